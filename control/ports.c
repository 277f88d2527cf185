// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ports.h"

// Pairs of one kind that are free, oldest first.
struct queue {
	struct rest {
		uint16_t pair;
		uint64_t ready_ms;
	} * ring; // of `room` entries
	unsigned head, count, room;
};

// One address's pairs.
struct pool {
	struct kg_addr ip;
	struct rest *rests; // the rings, one behind the other
	struct queue queues[PORTS_KINDS];
	bool *taken; // by pair
	unsigned in_use;
};

struct ports {
	uint16_t first;
	unsigned pairs, kinds;
	uint32_t guard_ms;
	unsigned pairs_in_use;
	unsigned (*kind_of)(void *arg, const struct kg_addr *pair);
	void *arg;
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
	ports->kinds = 1;
	return ports;
}

void ports_set_kinds(
	struct ports *ports, unsigned kinds, unsigned (*kind_of)(void *arg, const struct kg_addr *pair), void *arg)
{
	ports->kinds = kinds < PORTS_KINDS ? kinds : PORTS_KINDS;
	ports->kind_of = kind_of;
	ports->arg = arg;
}

void ports_destroy(struct ports *ports)
{
	if (!ports)
		return;
	for (unsigned i = 0; i < ports->pool_count; i++) {
		free(ports->pools[i].rests);
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

static struct queue *queue_of(const struct ports *ports, struct pool *pool, unsigned pair)
{
	struct kg_addr addr = pool->ip;

	addr.port = (uint16_t)(ports->first + 2 * pair);
	return &pool->queues[ports->kinds > 1 ? ports->kind_of(ports->arg, &addr) % ports->kinds : 0];
}

// Deal the pairs out to their kinds' rings.
static void fill(const struct ports *ports, struct pool *pool)
{
	struct rest *ring = pool->rests;

	for (unsigned i = 0; i < ports->pairs; i++)
		queue_of(ports, pool, i)->room++;
	for (unsigned kind = 0; kind < ports->kinds; kind++) {
		pool->queues[kind].ring = ring;
		ring += pool->queues[kind].room;
	}
	for (unsigned i = 0; i < ports->pairs; i++) {
		struct queue *queue = queue_of(ports, pool, i);

		queue->ring[queue->count++].pair = (uint16_t)i;
	}
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
	pool->rests = calloc(ports->pairs + 1, sizeof(*pool->rests));
	pool->taken = calloc(ports->pairs + 1, sizeof(*pool->taken));
	if (!pool->rests || !pool->taken) {
		free(pool->rests);
		free(pool->taken);
		return NULL;
	}
	fill(ports, pool);
	ports->pool_count++;
	return pool;
}

// Returns: false where all that is free of this kind still rests.
static bool take(struct pool *pool, struct queue *queue, uint64_t now_ms, unsigned *pair)
{
	struct rest *oldest = &queue->ring[queue->head];

	if (!queue->count || oldest->ready_ms > now_ms)
		return false;
	*pair = oldest->pair;
	pool->taken[oldest->pair] = true;
	pool->in_use++;
	queue->head = (queue->head + 1) % queue->room;
	queue->count--;
	return true;
}

int ports_get(struct ports *ports, const struct kg_addr *ip, unsigned kind, uint64_t now_ms, struct kg_addr *out)
{
	struct pool *pool = pool_find(ports, ip);
	unsigned pair;

	if (!pool && !(pool = pool_create(ports, ip)))
		return -ENOMEM;
	for (unsigned i = 0; i < ports->kinds; i++) {
		if (!take(pool, &pool->queues[(kind + i) % ports->kinds], now_ms, &pair))
			continue;
		*out = *ip;
		out->port = (uint16_t)(ports->first + 2 * pair);
		ports->pairs_in_use++;
		return 0;
	}
	return -EADDRNOTAVAIL;
}

void ports_put(struct ports *ports, const struct kg_addr *pair, uint64_t now_ms)
{
	struct pool *pool = pool_find(ports, pair);
	unsigned index = (pair->port - ports->first) / 2u;
	struct queue *queue;

	if (!pool || pair->port < ports->first || index >= ports->pairs || !pool->taken[index])
		return; // never ours, or given back before
	pool->taken[index] = false;
	queue = queue_of(ports, pool, index);
	queue->ring[(queue->head + queue->count) % queue->room] =
		(struct rest){.pair = (uint16_t)index, .ready_ms = now_ms + ports->guard_ms};
	queue->count++;
	pool->in_use--;
	ports->pairs_in_use--;
}

unsigned ports_in_use(const struct ports *ports)
{
	return 2 * ports->pairs_in_use;
}

unsigned ports_in_use_at(const struct ports *ports, const struct kg_addr *ip)
{
	const struct pool *pool = pool_find(ports, ip);

	return pool ? 2 * pool->in_use : 0;
}

unsigned ports_capacity(const struct ports *ports)
{
	return ports->pairs;
}
