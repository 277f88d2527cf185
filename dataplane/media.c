// SPDX-License-Identifier: BSD-3-Clause
// The facade of the media plane, its start and its end: memory, rings, nics, lcores. What it does with legs is in
// media_legs.c, with addresses in media_addrs.c.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "eal.h"
#include "g711_kernel.h"
#include "kg_log.h"
#include "media_private.h"
#include "nic_tap.h"

#define POOL_CACHE 256 // of each lcore
#define COMMANDS 4096
#define EVENTS 16384
#define HANDS 2048 // packets that may be on their way from one lcore to another
#define MAX_LEGS 16384
#define STOP_MS 1000

// --- memory ---------------------------------------------------------------------------------------------------------

static struct rte_ring *ring_of(
	const char *what, unsigned from, unsigned to, unsigned size, unsigned element, int socket)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s-%u-%u", what, from, to);
	return rte_ring_create_elem(name, element, size, socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

// One lcore's world, on its own NUMA node.
static struct lcore *lcore_create(const struct kg_media *media, unsigned number)
{
	int socket = (int)rte_lcore_to_socket_id(eal_relay_lcore(number));
	struct lcore *lcore = rte_zmalloc_socket("lcore", sizeof(*lcore), 64, socket);
	struct relay *relay;
	uint8_t *legs, *cold;

	if (!lcore)
		return NULL;
	relay = &lcore->relay;
	relay->number = number;
	relay->leg_first = 1 + number * media->legs_each;
	relay->leg_room = media->legs_each;
	relay->wait.room = RELAY_WAIT;
	relay->tsc_hz = media->tsc_hz;
	relay->g711 = g711_kernel_choose();
	relay->addrs = calloc(1, sizeof(*relay->addrs));
	lcore->commands = ring_of("commands", number, number, COMMANDS, sizeof(struct lcore_command), socket);
	relay->events = ring_of("events", number, number, EVENTS, sizeof(struct relay_event), socket);
	legs = eal_table_create(media->legs_each * sizeof(struct leg), socket);
	cold = eal_table_create(media->legs_each * sizeof(struct leg_cold), socket);
	lcore->legs = legs;
	lcore->cold = cold;
	// Legs are numbered through all lcores: the tables begin with this one's first.
	relay->legs = (struct leg *)(uintptr_t)((uintptr_t)legs - relay->leg_first * sizeof(struct leg));
	relay->cold = (struct leg_cold *)(uintptr_t)((uintptr_t)cold - relay->leg_first * sizeof(struct leg_cold));
	return lcore;
}

static bool lcore_whole(const struct lcore *lcore)
{
	return lcore && lcore->relay.addrs && lcore->commands && lcore->relay.events && lcore->legs && lcore->cold;
}

static void lcore_destroy(const struct kg_media *media, struct lcore *lcore)
{
	struct lcore_command late;

	if (!lcore)
		return;
	// What was sent behind LCORE_STOP was not carried out: its blocks are still ours, but for captures, which
	// media_captures_fini knows.
	while (lcore->commands && rte_ring_sc_dequeue_elem(lcore->commands, &late, sizeof(late)) == 0)
		if (late.type != LCORE_CAPTURE)
			free(late.block);
	for (unsigned i = 0; i < lcore->held_count; i++)
		free(lcore->held[i].block);
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		rte_ring_free(lcore->from[i]);
	rte_ring_free(lcore->commands);
	rte_ring_free(lcore->relay.events);
	eal_table_destroy(lcore->legs, media->legs_each * sizeof(struct leg));
	eal_table_destroy(lcore->cold, media->legs_each * sizeof(struct leg_cold));
	free(lcore->relay.addrs);
	rte_free(lcore);
}

// A ring from each lcore to each other one.
static bool join_lcores(struct kg_media *media)
{
	for (unsigned to = 0; to < media->lcore_count; to++)
		for (unsigned from = 0; from < media->lcore_count; from++) {
			struct rte_ring *ring;

			if (from == to)
				continue;
			ring = ring_of("hand", from, to, HANDS, sizeof(void *),
				(int)rte_lcore_to_socket_id(eal_relay_lcore(to)));
			if (!ring)
				return false;
			media->lcores[to]->from[from] = ring;
			media->lcores[to]->turns[from] = &media->lcores[from]->relay.counters[KG_CNT_loops];
			media->lcores[from]->relay.hands[to].ring = ring;
		}
	return true;
}

static bool make_books(struct kg_media *media)
{
	media->slots = calloc(media->leg_room, sizeof(*media->slots));
	media->lingers = calloc(media->leg_room, sizeof(*media->lingers));
	for (unsigned i = 0; i < media->lcore_count; i++) {
		struct free_legs *free_legs = &media->free[i];

		free_legs->list = calloc(media->legs_each, sizeof(*free_legs->list));
		if (!free_legs->list)
			return false;
		for (uint32_t j = 0; j < media->legs_each; j++)
			free_legs->list[free_legs->count++] = 1 + i * media->legs_each + j;
	}
	return media->slots && media->lingers;
}

// For each queue its ring twice, and what lcores and TAPs hold.
static unsigned pool_room(unsigned nics, unsigned lcores)
{
	return (nics * lcores + 1) * 3 * NIC_RING;
}

bool media_pool_is_first(const struct kg_media *media, unsigned lcore)
{
	unsigned first = 0;

	while (media->pools[first] != media->pools[lcore])
		first++;
	return first == lcore;
}

static unsigned node_of(unsigned lcore)
{
	return rte_lcore_to_socket_id(eal_relay_lcore(lcore));
}

// A pool of packet buffers, one close behind the other. In ordinary pages DPDK would let none of them lie across two of
// these, which leaves gaps; its af_xdp driver tells the kernel of as many bytes as there would be without any, and the
// kernel drops what lies beyond. There is no device that would mind: those that DPDK owns itself need hugepages.
static struct rte_mempool *pool_create(const char *name, unsigned count, int node)
{
	struct rte_mempool *pool;

	if (rte_eal_has_hugepages())
		return rte_pktmbuf_pool_create(name, count, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, node);
	pool = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, POOL_CACHE,
		sizeof(struct rte_pktmbuf_pool_private), node, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, NULL);
	if (rte_mempool_set_ops_byname(pool, "ring_mp_mc", NULL) != 0 || rte_mempool_populate_default(pool) < 0) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

// A pool on each NUMA node that has relay lcores, as large as their queues need.
static bool make_pools(struct kg_media *media, unsigned nics)
{
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++) {
		unsigned first = 0, lcores = 0;
		char name[16];

		if (i >= media->lcore_count) { // of a nic's queues beyond
			media->pools[i] = media->pools[i % media->lcore_count];
			continue;
		}
		while (node_of(first) != node_of(i))
			first++;
		for (unsigned j = 0; j < media->lcore_count; j++)
			lcores += node_of(j) == node_of(i);
		snprintf(name, sizeof(name), "media%u", i);
		media->pools[i] =
			first < i ? media->pools[first] : pool_create(name, pool_room(nics, lcores), (int)node_of(i));
		if (!media->pools[i])
			return false;
	}
	return true;
}

static int make_memory(struct kg_media *media, unsigned nics, char *err)
{
	bool good = make_books(media);

	for (unsigned i = 0; i < media->lcore_count && good; i++) {
		media->lcores[i] = lcore_create(media, i);
		good = lcore_whole(media->lcores[i]);
	}
	if (good && make_pools(media, nics) && join_lcores(media))
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"no memory for %u legs and %u packet buffers (%s): give the machine more memory, or lower "
		"media.max_calls",
		media->leg_room, pool_room(nics, media->lcore_count), rte_strerror(rte_errno));
	return -ENOMEM;
}

static void free_memory(struct kg_media *media)
{
	for (unsigned i = 0; i < media->leg_room && media->slots; i++)
		free(media->slots[i].conf);
	media_captures_fini(media);
	for (unsigned i = 0; i < media->lcore_count; i++) {
		lcore_destroy(media, media->lcores[i]);
		free(media->free[i].list);
	}
	for (unsigned i = 0; i < media->lcore_count; i++)
		if (media_pool_is_first(media, i))
			rte_mempool_free(media->pools[i]);
	media_addrs_fini(media);
	free(media->slots);
	free(media->lingers);
	free(media);
}

// --- opening and closing --------------------------------------------------------------------------------------------

// What a lcore uses of a nic: the pair of queues of its number, or where there are fewer another lcore's.
static struct lcore_nic view_of(const struct nic *nic, unsigned number)
{
	unsigned pair = number % nic->pair_count;

	return (struct lcore_nic){.port = nic->pairs[pair].port,
		.queue = nic->pairs[pair].queue,
		.own = number < nic->pair_count,
		.via = pair,
		.vlan = nic->vlan,
		.vlan_insert = nic->vlan_insert,
		.vlan_strip = nic->vlan_strip,
		.to_kernel = nic->tap ? nic_tap_to_kernel(nic->tap) : NULL,
		.from_kernel = nic->tap && number == 0 ? nic_tap_from_kernel(nic->tap) : NULL};
}

static int give_addresses(struct nic *nic, const struct kg_media_nic_config *config, char *err)
{
	struct nic_tap_addr addrs[KG_MEDIA_NIC_ADDRS];

	for (unsigned i = 0; i < config->addr_count; i++)
		addrs[i] = (struct nic_tap_addr){.addr = config->addrs[i].addr, .prefix = config->addrs[i].prefix};
	return nic_tap_addresses(nic->tap, addrs, config->addr_count, err);
}

static int open_nics(struct kg_media *media, const struct kg_media_config *config, char *err)
{
	for (unsigned i = 0; i < config->nic_count; i++) {
		struct kg_media_nic_config wanted = config->nics[i];
		int error;

		wanted.queues = media->lcore_count;
		error = nic_open(&wanted, media->pools, &media->nics[i], err);
		if (error)
			return error;
		media->nic_count++;
		if (media->nics[i].tap)
			error = give_addresses(&media->nics[i], &config->nics[i], err);
		if (error)
			return error;
		for (unsigned j = 0; j < media->lcore_count; j++) {
			media->lcores[j]->nics[i] = view_of(&media->nics[i], j);
			media->lcores[j]->relay.tx[i].udp_checksum = media->nics[i].tx_udp_checksum;
			media->lcores[j]->nic_count = media->nic_count;
		}
	}
	return 0;
}

static int launch(struct kg_media *media, const struct kg_media_config *config, char *err)
{
	for (unsigned i = 0; i < media->lcore_count; i++) {
		struct lcore *lcore = media->lcores[i];
		int error;

		lcore->spin = config->idle == KG_IDLE_SPIN;
		lcore->id = eal_relay_lcore(i);
		lcore->cpu = eal_relay_cpu(i);
		lcore->start_tsc = lcore->relay.heartbeat_tsc = rte_rdtsc();
		error = rte_eal_remote_launch(lcore_run, lcore, lcore->id);
		if (error) {
			snprintf(err, KG_MEDIA_ERR, "relay lcore %u did not start: %s", i, strerror(-error));
			return error;
		}
		media->running++;
	}
	return 0;
}

int kg_media_open(const struct kg_media_config *config, struct kg_media **out, char err[KG_MEDIA_ERR])
{
	struct kg_media *media = calloc(1, sizeof(*media));
	int error = -EINVAL;

	*out = NULL;
	if (!media || config->nic_count > KG_MEDIA_NICS || config->relay_count > KG_MEDIA_LCORES ||
		config->dsp_count > KG_MEDIA_LCORES) {
		snprintf(err, KG_MEDIA_ERR, "at most %d nics and %d relay lcores", KG_MEDIA_NICS, KG_MEDIA_LCORES);
		goto unopened;
	}
	media->max_legs = config->max_legs ? config->max_legs : MAX_LEGS;
	media->lcore_count = config->relay_count;
	error = eal_start(config->control_cpu, config->relay_cpus, &media->lcore_count, (uint32_t)media->max_legs,
		config->telemetry_dir, err);
	if (error)
		goto unopened;
	// Calls are spread evenly, more or less: there is room for half as many again on each lcore.
	media->legs_each = (uint32_t)(media->lcore_count == 1 ? media->max_legs
							      : media->max_legs * 3 / 2 / media->lcore_count + 2);
	media->leg_room = 1 + media->lcore_count * media->legs_each; // index 0 stays unused
	media->tsc_hz = rte_get_tsc_hz();
	if (media->leg_room >= 1u << LEG_INDEX_BITS) {
		error = -EINVAL;
		snprintf(err, KG_MEDIA_ERR, "media.max_calls: at most %u legs, write at most half of that",
			(1u << LEG_INDEX_BITS) * 2 / 3);
	}
	if (!error)
		error = make_memory(media, config->nic_count, err);
	if (!error)
		error = media_rooms_make(media, config, err);
	if (!error)
		error = open_nics(media, config, err);
	if (!error)
		error = launch(media, config, err);
	if (!error)
		error = media_rooms_launch(media, err);
	if (error) {
		kg_media_close(media);
		return error;
	}
	if (config->telemetry_dir)
		media_telemetry_open(media);
	*out = media;
	return 0;
unopened:
	free(media);
	return error;
}

bool media_push(struct kg_media *media, unsigned lcore, const struct lcore_command *command)
{
	assert_owner(&media->owner);
	return rte_ring_sp_enqueue_elem(media->lcores[lcore]->commands, (void *)(uintptr_t)command, sizeof(*command)) ==
	       0;
}

unsigned kg_media_lcores(const struct kg_media *media)
{
	return media->lcore_count;
}

unsigned kg_media_lcore_of(const struct kg_media *media, unsigned nic, const struct kg_addr *local)
{
	unsigned queue = nic < media->nic_count ? nic_queue_of(&media->nics[nic], local) : NIC_QUEUE_UNKNOWN;

	// Nobody brings it anywhere: pairs of ports are dealt out in turn, and handed over where they arrive elsewhere.
	return queue < media->lcore_count ? queue : local->port / 2u % media->lcore_count;
}

static void ignore_event(const struct kg_media_event *event, void *arg)
{
}

// Stop a loop; while it has not ended events are taken, as it carries out no command that it cannot acknowledge.
// Returns: 0, or -ETIMEDOUT where the lcore is stuck.
static int stop_lcore(struct kg_media *media, unsigned number)
{
	unsigned id = media->lcores[number]->id;
	bool told = false;

	for (unsigned i = 0; i < STOP_MS; i++) {
		told = told || media_push(media, number, &(struct lcore_command){.type = LCORE_STOP});
		kg_media_poll(media, ignore_event, NULL);
		if (rte_eal_get_lcore_state(id) != RUNNING) {
			rte_eal_wait_lcore(id);
			while (kg_media_poll(media, ignore_event, NULL) > 0)
				;
			return 0;
		}
		rte_delay_us_sleep(1000);
	}
	return -ETIMEDOUT;
}

// Packets that were on their way to an lcore that has stopped.
static void drain_hands(struct kg_media *media)
{
	struct rte_mbuf *mbuf;

	for (unsigned i = 0; i < media->lcore_count; i++)
		for (unsigned j = 0; media->lcores[i] && j < media->lcore_count; j++)
			while (media->lcores[i]->from[j] &&
				rte_ring_sc_dequeue(media->lcores[i]->from[j], (void **)&mbuf) == 0)
				rte_pktmbuf_free(mbuf);
}

void kg_media_close(struct kg_media *media)
{
	int error = 0;

	if (!media)
		return;
	media_telemetry_close();
	media_rooms_stop(media);
	for (unsigned i = 0; i < media->running; i++)
		if (stop_lcore(media, i) != 0)
			error = -ETIMEDOUT;
	for (unsigned i = 0; i < media->nic_count; i++)
		(error ? nic_abandon : nic_close)(&media->nics[i]); // an lcore that is stuck may still be in the port
	if (error) {                                                // what it may still touch cannot be freed
		kg_error("media", "a relay lcore did not stop within %d ms: its memory goes with the process", STOP_MS);
		return;
	}
	drain_hands(media);
	media_rooms_free(media);
	free_memory(media);
	eal_stop();
}
