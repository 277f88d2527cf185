// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ports.h"

// Pairs of one address that are free, oldest first.
struct pool {
	struct kg_addr ip;
	struct rest {
		uint16_t pair;
		uint64_t ready_ms;
	} * queue;   // ring of `pairs` entries
	bool *taken; // by pair
	unsigned head, count;
};

struct ports {
	uint16_t first;
	unsigned pairs;
	uint32_t guard_ms;
	unsigned pairs_in_use;
	struct pool *pools;
	unsigned pool_count;
};

struct ports *ports_create(uint16_t first, uint16_t last, uint32_t guard_ms)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return NULL;
	ports->first = first + (first & 1);
	ports->pairs = last > ports->first ? (last - ports->first + 1u) / 2 : 0;
	ports->guard_ms = guard_ms;
	return ports;
}

void ports_destroy(struct ports *ports)
{
	if (!ports)
		return;
	for (unsigned i = 0; i < ports->pool_count; i++) {
		free(ports->pools[i].queue);
		free(ports->pools[i].taken);
	}
	free(ports->pools);
	free(ports);
}

static struct pool *pool_find(const struct ports *ports, const struct kg_addr *ip)
{
	for (unsigned i = 0; i < ports->pool_count; i++)
		if (kg_addr_same_ip(&ports->pools[i].ip, ip))
			return &ports->pools[i];
	return NULL;
}

static struct pool *pool_create(struct ports *ports, const struct kg_addr *ip)
{
	struct pool *pools = realloc(ports->pools, (ports->pool_count + 1) * sizeof(*pools));
	struct pool *pool;

	if (!pools)
		return NULL;
	ports->pools = pools;
	pool = &pools[ports->pool_count];
	memset(pool, 0, sizeof(*pool));
	pool->ip = *ip;
	pool->queue = calloc(ports->pairs + 1, sizeof(*pool->queue));
	pool->taken = calloc(ports->pairs + 1, sizeof(*pool->taken));
	if (!pool->queue || !pool->taken) {
		free(pool->queue);
		free(pool->taken);
		return NULL;
	}
	for (unsigned i = 0; i < ports->pairs; i++)
		pool->queue[i].pair = (uint16_t)i;
	pool->count = ports->pairs;
	ports->pool_count++;
	return pool;
}

int ports_get(struct ports *ports, const struct kg_addr *ip, uint64_t now_ms, struct kg_addr *out)
{
	struct pool *pool = pool_find(ports, ip);
	struct rest *oldest;

	if (!pool && !(pool = pool_create(ports, ip)))
		return -ENOMEM;
	if (!pool->count)
		return -EADDRNOTAVAIL;
	oldest = &pool->queue[pool->head];
	if (oldest->ready_ms > now_ms)
		return -EADDRNOTAVAIL; // all that is free still rests
	*out = *ip;
	out->port = (uint16_t)(ports->first + 2 * oldest->pair);
	pool->taken[oldest->pair] = true;
	pool->head = (pool->head + 1) % ports->pairs;
	pool->count--;
	ports->pairs_in_use++;
	return 0;
}

void ports_put(struct ports *ports, const struct kg_addr *pair, uint64_t now_ms)
{
	struct pool *pool = pool_find(ports, pair);
	unsigned index = (pair->port - ports->first) / 2u;

	if (!pool || pair->port < ports->first || index >= ports->pairs || !pool->taken[index])
		return; // never ours, or given back before
	pool->taken[index] = false;
	pool->queue[(pool->head + pool->count) % ports->pairs] =
		(struct rest){.pair = (uint16_t)index, .ready_ms = now_ms + ports->guard_ms};
	pool->count++;
	ports->pairs_in_use--;
}

unsigned ports_in_use(const struct ports *ports)
{
	return 2 * ports->pairs_in_use;
}

unsigned ports_in_use_at(const struct ports *ports, const struct kg_addr *ip)
{
	const struct pool *pool = pool_find(ports, ip);

	return pool ? 2 * (ports->pairs - pool->count) : 0;
}

unsigned ports_capacity(const struct ports *ports)
{
	return ports->pairs;
}
