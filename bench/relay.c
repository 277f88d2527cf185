// SPDX-License-Identifier: BSD-3-Clause
// The whole pipeline fed from memory, legs in random order: what one packet costs. One JSON line for each case.
//
// The memory nic stands for a real one, and its cost is part of the figure: rx takes mbufs from the pool and writes
// each frame's first 64 bytes, of IPv6 and RTCP 128 (DMA's work, done here by the CPU); tx counts and frees. Two feeds:
// "hot", where the pool's per-lcore cache hands out what was freed last, and "cold", where it is a FIFO of all mbufs.

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mempool.h>

#include "capture.h"
#include "world.h"

#define REPEATS 15

// --- the memory nic -------------------------------------------------------------------------------------------------

static inline unsigned memory_rx(struct world *world, struct rte_mbuf **packets)
{
	if (rte_mempool_get_bulk(world->pool, (void **)packets, RELAY_BURST) != 0)
		world_fail("the pool is empty: packets were lost");
	world_receive_burst(world, packets, RELAY_BURST);
	return RELAY_BURST;
}

// As drivers with RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE do it.
static inline unsigned null_tx(struct world *world)
{
	struct relay_tx *tx = &world->relay.tx[0];
	unsigned count = tx->count;

	if (count)
		rte_mempool_put_bulk(world->pool, (void **)tx->packets, count);
	relay_sent(&world->relay, 0, count);
	return count;
}

// --- a reader of everything that passes -----------------------------------------------------------------------------

static struct capture *tap; // every packet's bytes, for a reader who does nothing with them; NULL: none

static struct capture *tap_create(void)
{
	struct capture *made = aligned_alloc(64, sizeof(*made));

	if (!made)
		world_fail("no memory for the tap");
	memset(made, 0, sizeof(*made));
	return made;
}

// --- measuring ------------------------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

// Returns: cycles a packet; *lost counts what did not leave.
static double run(struct world *world, uint64_t packets, bool relay, uint64_t *lost)
{
	struct rte_mbuf *burst[RELAY_BURST];
	uint64_t begin = rte_rdtsc(), sent = 0, done = 0;

	for (; done < packets; done += RELAY_BURST) {
		unsigned n = memory_rx(world, burst);

		if (relay) {
			uint64_t now = rte_rdtsc();

			if (tap)
				capture_burst(tap, burst, n, now, false);
			relay_process(&world->relay, burst, n, now);
			if (tap)
				__atomic_store_n(&tap->tail, tap->head, __ATOMIC_RELEASE); // all read
			sent += null_tx(world);
		} else {
			rte_mempool_put_bulk(world->pool, (void **)burst, n);
			sent += n;
		}
	}
	*lost += done - sent;
	return (double)(rte_rdtsc() - begin) / (double)done;
}

// Returns: the median; *best is the quickest run, which others on the machine disturbed least.
static double median(struct world *world, uint64_t packets, bool relay, uint64_t *lost, double *best)
{
	double figures[REPEATS];

	for (unsigned i = 0; i < REPEATS; i++)
		figures[i] = run(world, packets, relay, lost);
	qsort(figures, REPEATS, sizeof(*figures), by_value);
	*best = figures[0];
	return figures[REPEATS / 2];
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = {"rtp", "rtcp", "ipv6", "rfc4733"};
	uint32_t legs = 1000, millions = 1, mbufs = 8191;
	bool huge = false, cold = false, hardware = false, laws = false;
	enum kind kind = KIND_RTP;
	struct world *world;
	char *eal[] = {"bench", "--no-pci", "--no-telemetry", "--no-shconf", "--lcores", "0@1", "--log-level", "1",
		"-m", "700", "--in-memory"};
	uint64_t lost = 0, warm_lost = 0;
	double nic, all, best;
	int option;

	while ((option = getopt(argc, argv, "l:k:m:Hcota")) != -1) {
		switch (option) {
		case 'l':
			legs = (uint32_t)atoi(optarg) / 2 * 2;
			break;
		case 'k':
			for (unsigned i = 0; i < 4; i++)
				if (strcmp(kinds[i], optarg) == 0)
					kind = i;
			break;
		case 'm':
			millions = (uint32_t)atoi(optarg);
			break;
		case 'H':
			huge = true;
			break;
		case 'c':
			cold = true;
			break;
		case 'o':
			hardware = true;
			break;
		case 't':
			tap = tap_create();
			break;
		case 'a':
			laws = true;
			break;
		default:
			world_fail("bench_relay [-l LEGS] [-k rtp|rtcp|ipv6|rfc4733] [-m MILLIONS] [-H hugepages] [-c "
				   "cold] "
				   "[-o checksums by the nic] [-t tap] [-a from mu-law to A-law]");
		}
	}
	legs = legs < 2 ? 2 : legs;
	eal[10] = huge ? "--in-memory" : "--no-huge";
	if (rte_eal_init(11, eal) < 0)
		world_fail("EAL did not start");
	world = world_create(kind, mbufs, cold ? 0 : 512);
	world->rx_flags = hardware ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
	world_make_legs(world, legs);
	world_make_traffic(world, legs);
	for (uint32_t i = 1; laws && i <= legs; i++) {
		world->relay.legs[i].in.law = LEG_LAW_ULAW_TO_ALAW;
		world->relay.legs[i].in.law_to = 8;
	}
	run(world, 4u * legs + 100000, true, &warm_lost); // every leg has its source, every page its place
	nic = median(world, millions * 1000000ull, false, &lost, &best);
	world->next = 0; // whole passes: sequence numbers without gaps
	all = median(world, millions * 1000000ull, true, &lost, &best);
	printf("{\"laws\": %s, \"legs\": %u, \"kind\": \"%s\", \"feed\": \"%s\", \"mbufs\": %u, \"hugepages\": %s, "
	       "\"checksums\": "
	       "\"%s\", "
	       "\"cycles_per_packet\": %.1f, \"best_cycles_per_packet\": %.1f, \"nic_cycles_per_packet\": %.1f, "
	       "\"mpps\": %.2f, \"tsc_ghz\": %.3f, "
	       "\"lost\": %" PRIu64 ", \"stages\": {",
		laws ? "true" : "false", legs, kinds[kind], cold ? "cold" : "hot", mbufs, huge ? "true" : "false",
		hardware ? "nic" : "software", all, best, nic, (double)world->relay.tsc_hz / all / 1e6,
		(double)world->relay.tsc_hz / 1e9, lost);
	for (unsigned i = RELAY_CLASSIFY; i <= RELAY_FORWARD; i++)
		printf("%s\"%s\": %.1f", i == RELAY_CLASSIFY ? "" : ", ", relay_stages[i].name,
			(double)world->relay.stages[i].cycles / (double)world->relay.stages[i].packets);
	printf("}}\n");
	return lost || warm_lost || (tap && tap->lost) ? 1 : 0;
}
