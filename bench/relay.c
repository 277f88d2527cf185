// SPDX-License-Identifier: BSD-3-Clause
// The whole pipeline fed from memory, legs in random order: what one packet costs. One JSON line for each case.
//
// The memory nic stands for a real one, and its cost is part of the figure: rx takes mbufs from the pool and writes
// each frame's first 64 bytes (DMA's work, done here by the CPU); tx counts and frees. Two feeds: "hot", where the
// pool's per-lcore cache hands out what was freed last, and "cold", where it is a FIFO of all mbufs.

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "eal.h"
#include "frame.h"
#include "kg_log.h"
#include "relay.h"

#define LEGS_AN_ADDRESS 16384 // pairs of ports: RTP even, RTCP odd
#define FRAME_HEAD 64
#define RTP_AT4 42
#define RTP_AT6 62
#define PAYLOAD 160
#define REPEATS 15

enum kind { KIND_RTP, KIND_RTCP, KIND_IPV6, KIND_EVENT };

struct head { // a packet that arrives: what rx writes, in the order in which it is sent
	uint8_t bytes[128];
};

struct world {
	struct relay relay;
	struct rte_mempool *pool;
	struct head *heads;
	uint32_t count, next;
	uint16_t pass; // the packets' sequence number
	uint16_t length, rtp_at;
	uint64_t rx_flags;
	enum kind kind;
};

static void fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

// --- the memory nic -------------------------------------------------------------------------------------------------

// What differs from pass to pass.
struct numbers {
	uint16_t sequence; // network order
	uint32_t timestamp;
	uint32_t sum;
};

static struct numbers numbers_of(const struct world *world)
{
	struct numbers numbers = {htons(world->pass), htonl(world->pass * 160u), 0};

	numbers.sum = frame_fold((uint64_t)numbers.sequence + numbers.timestamp);
	return numbers;
}

// As a driver does it: the mbuf's fields, and the frame, which a device writes.
static inline void receive(struct world *world, struct rte_mbuf *mbuf, const struct numbers *numbers)
{
	uint8_t *frame = (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
	const uint8_t *head = world->heads[world->next].bytes;
	uint32_t sum;
	uint16_t base;

	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->nb_segs = 1;
	mbuf->data_len = world->length;
	mbuf->pkt_len = world->length;
	mbuf->ol_flags = world->rx_flags;
	memcpy(frame, head, FRAME_HEAD);
	if (world->kind == KIND_IPV6)
		memcpy(frame + FRAME_HEAD, head + FRAME_HEAD, FRAME_HEAD);
	if (world->kind == KIND_RTCP)
		return;
	memcpy(&base, head + world->rtp_at - 2, 2); // the checksum with both numbers zero
	sum = (uint16_t)~base + numbers->sum;
	sum = ~((sum & 0xffff) + (sum >> 16));
	memcpy(frame + world->rtp_at - 2, &sum, 2);
	memcpy(frame + world->rtp_at + 2, &numbers->sequence, 2);
	memcpy(frame + world->rtp_at + 4, &numbers->timestamp, 4);
}

static inline unsigned memory_rx(struct world *world, struct rte_mbuf **packets)
{
	struct numbers numbers = numbers_of(world);

	if (rte_mempool_get_bulk(world->pool, (void **)packets, RELAY_BURST) != 0)
		fail("the pool is empty: packets were lost");
	for (unsigned i = 0; i < RELAY_BURST; i++) {
		receive(world, packets[i], &numbers);
		if (++world->next == world->count) {
			world->next = 0;
			world->pass++;
			numbers = numbers_of(world);
		}
	}
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

// --- the world ------------------------------------------------------------------------------------------------------

static struct kg_addr address(const struct world *world, bool remote, uint32_t host, uint16_t port)
{
	struct kg_addr addr;
	char text[64];

	if (world->kind == KIND_IPV6)
		snprintf(text, sizeof(text), "2001:db8:%u::%x:%x", remote, host >> 16, host & 0xffff);
	else
		snprintf(text, sizeof(text), "10.%u.%u.%u", (remote ? 64 : 0) + (host >> 16), host >> 8 & 255,
			host & 255);
	if (kg_addr_parse(&addr, text, port) != 0)
		fail("no address");
	return addr;
}

static struct kg_leg_config config_of(const struct world *world, uint32_t index)
{
	uint32_t number = index - 1;
	struct kg_leg_config config = {
		.local = address(
			world, false, number / LEGS_AN_ADDRESS + 1, (uint16_t)(16384 + number % LEGS_AN_ADDRESS * 2)),
		.remote = address(world, true, index, 4000),
		.remote_rtcp = address(world, true, index, 4001),
		.hop = {.resolved = true,
			.source_mac = {2, 0, 0, 0, 0, 1},
			.target_mac = {2, 0, 0, 0, 0, 2},
			.mtu = 1500},
		.may_receive = true,
		.may_send = true,
		.dscp = 46,
		.peer = 0x00100000u | (((index - 1) ^ 1) + 1),
		.formats = {{0, 8000}, {101, 8000}},
		.format_count = 2,
	};

	return config;
}

static void make_legs(struct world *world, uint32_t legs)
{
	struct relay *relay = &world->relay;

	relay->legs = eal_table_create((legs + 1) * sizeof(struct leg), SOCKET_ID_ANY);
	relay->cold = eal_table_create((legs + 1) * sizeof(struct leg_cold), SOCKET_ID_ANY);
	relay->leg_first = 1;
	relay->leg_room = legs;
	relay->tsc_hz = rte_get_tsc_hz();
	relay->addrs = calloc(1, sizeof(*relay->addrs));
	relay->events = rte_ring_create_elem("events", sizeof(struct relay_event), 1 << 20, SOCKET_ID_ANY, 0);
	if (!relay->legs || !relay->cold || !relay->addrs || !relay->events)
		fail("no memory: with hugepages `sysctl vm.nr_hugepages=1024`");
	for (uint32_t i = 1; i <= legs; i++) {
		struct kg_leg_config config = config_of(world, i);
		uint32_t at = (i - 1) / LEGS_AN_ADDRESS;
		struct leg_conf *conf;

		if (at == relay->addrs->count) {
			uint32_t *ports = eal_table_create(RELAY_PORTS * sizeof(uint32_t), SOCKET_ID_ANY);

			if (!ports)
				fail("no memory for a port table");
			relay_addrs_add(relay->addrs, &config.local, ports);
		}
		conf = leg_conf_create(&config, 0x00100000u | i, relay->addrs->list[at].ports);
		if (!conf)
			fail("a leg that cannot be");
		leg_configure(&relay->legs[i], &relay->cold[i], conf);
		leg_ports_set(conf->ports, &config, i, 0);
		free(conf);
	}
}

static unsigned build_payload(enum kind kind, uint32_t ssrc, uint8_t *out)
{
	if (kind == KIND_RTCP) { // a sender report, one report block, and its CNAME
		rtp_put16(out, 0x81c8);
		rtp_put16(out + 2, 12);
		rtp_put32(out + 4, ssrc);
		rtp_put32(out + 28, ssrc ^ 1);
		rtp_put16(out + 52, 0x81ca);
		rtp_put16(out + 54, 2);
		rtp_put32(out + 56, ssrc);
		out[60] = 1;
		out[61] = 1;
		out[62] = 'k';
		return 64;
	}
	rtp_put16(out, kind == KIND_EVENT ? 0x8065 : 0x8000);
	rtp_put32(out + 8, ssrc);
	return RTP_HEADER + (kind == KIND_EVENT ? 4 : PAYLOAD);
}

static void build_head(struct world *world, uint32_t index, uint8_t out[128])
{
	struct kg_leg_config config = config_of(world, index);
	uint8_t frame[512] = {0}, *ip = frame + 14, *udp;
	unsigned length = build_payload(world->kind, 0x10000000 + index, frame + (world->kind == KIND_IPV6 ? 62 : 42));
	bool v6 = world->kind == KIND_IPV6;

	memset(frame, 2, 12);
	if (v6) {
		rtp_put16(frame + 12, 0x86dd);
		ip[0] = 0x60;
		rtp_put16(ip + 4, (uint16_t)(8 + length));
		ip[6] = 17;
		ip[7] = 64;
		memcpy(ip + 8, config.remote.ip, 16);
		memcpy(ip + 24, config.local.ip, 16);
		udp = ip + 40;
	} else {
		rtp_put16(frame + 12, 0x0800);
		ip[0] = 0x45;
		rtp_put16(ip + 2, (uint16_t)(28 + length));
		ip[8] = 64;
		ip[9] = 17;
		memcpy(ip + 12, config.remote.ip, 4);
		memcpy(ip + 16, config.local.ip, 4);
		udp = ip + 20;
	}
	rtp_put16(udp, config.remote.port + (world->kind == KIND_RTCP));
	rtp_put16(udp + 2, config.local.port + (world->kind == KIND_RTCP));
	rtp_put16(udp + 4, (uint16_t)(8 + length));
	if (v6) {
		uint16_t sum = rte_ipv6_udptcp_cksum((void *)ip, udp);

		memcpy(udp + 6, &sum, 2);
	} else {
		uint16_t sum = rte_ipv4_cksum((void *)ip);

		memcpy(ip + 10, &sum, 2);
		sum = rte_ipv4_udptcp_cksum((void *)ip, udp);
		memcpy(udp + 6, &sum, 2);
	}
	world->length = (uint16_t)((v6 ? 62 : 42) + length);
	memcpy(out, frame, 128);
}

static uint64_t seed = 1;

static uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % limit);
}

static void make_traffic(struct world *world, uint32_t legs)
{
	uint32_t *order = malloc(legs * sizeof(*order));

	world->count = legs;
	world->heads = eal_table_create(legs * sizeof(*world->heads), SOCKET_ID_ANY);
	if (!order || !world->heads)
		fail("no memory for the traffic");
	for (uint32_t i = 0; i < legs; i++)
		order[i] = i + 1;
	for (uint32_t i = legs - 1; i > 0; i--) {
		uint32_t j = below(i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < legs; i++)
		build_head(world, order[i], world->heads[i].bytes);
	free(order);
}

// What lies behind the first 64 bytes never changes: the payload, here zeros.
static void clear(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	memset(rte_pktmbuf_mtod((struct rte_mbuf *)object, void *), 0, 512);
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
			relay_process(&world->relay, burst, n, rte_rdtsc());
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
	bool huge = false, cold = false, hardware = false;
	struct world *world = aligned_alloc(64, (sizeof(*world) + 63) / 64 * 64);
	char *eal[] = {"bench", "--no-pci", "--no-telemetry", "--no-shconf", "--lcores", "0@1", "--log-level", "1",
		"-m", "700", "--in-memory"};
	uint64_t lost = 0, warm_lost = 0;
	double nic, all, best;
	int option;

	memset(world, 0, sizeof(*world));
	while ((option = getopt(argc, argv, "l:k:m:Hco")) != -1) {
		switch (option) {
		case 'l':
			legs = (uint32_t)atoi(optarg) / 2 * 2;
			break;
		case 'k':
			for (unsigned i = 0; i < 4; i++)
				if (strcmp(kinds[i], optarg) == 0)
					world->kind = i;
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
		default:
			fail("bench_relay [-l LEGS] [-k rtp|rtcp|ipv6|rfc4733] [-m MILLIONS] [-H hugepages] [-c cold] "
			     "[-o checksums by the nic]");
		}
	}
	legs = legs < 2 ? 2 : legs;
	eal[10] = huge ? "--in-memory" : "--no-huge";
	if (rte_eal_init(11, eal) < 0)
		fail("EAL did not start");
	world->rx_flags = hardware ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
	world->rtp_at = world->kind == KIND_IPV6 ? RTP_AT6 : RTP_AT4;
	world->pool =
		rte_pktmbuf_pool_create("bench", mbufs, cold ? 0 : 512, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!world->pool)
		fail("no memory for packets");
	rte_mempool_obj_iter(world->pool, clear, NULL);
	make_legs(world, legs);
	make_traffic(world, legs);
	run(world, 4u * legs + 100000, true, &warm_lost); // every leg has its source, every page its place
	nic = median(world, millions * 1000000ull, false, &lost, &best);
	world->next = 0; // whole passes: sequence numbers without gaps
	all = median(world, millions * 1000000ull, true, &lost, &best);
	printf("{\"legs\": %u, \"kind\": \"%s\", \"feed\": \"%s\", \"mbufs\": %u, \"hugepages\": %s, \"checksums\": "
	       "\"%s\", "
	       "\"cycles_per_packet\": %.1f, \"best_cycles_per_packet\": %.1f, \"nic_cycles_per_packet\": %.1f, "
	       "\"mpps\": %.2f, \"tsc_ghz\": %.3f, "
	       "\"lost\": %" PRIu64 ", \"stages\": {",
		legs, kinds[world->kind], cold ? "cold" : "hot", mbufs, huge ? "true" : "false",
		hardware ? "nic" : "software", all, best, nic, (double)world->relay.tsc_hz / all / 1e6,
		(double)world->relay.tsc_hz / 1e9, lost);
	for (unsigned i = RELAY_CLASSIFY; i <= RELAY_FORWARD; i++)
		printf("%s\"%s\": %.1f", i == RELAY_CLASSIFY ? "" : ", ", relay_stages[i].name,
			(double)world->relay.stages[i].cycles / (double)world->relay.stages[i].packets);
	printf("}}\n");
	return lost || warm_lost ? 1 : 0;
}
