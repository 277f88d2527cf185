// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "eal.h"
#include "kg_log.h"
#include "world.h"

#define LEGS_AN_ADDRESS 16384 // pairs of ports: RTP even, RTCP odd
#define RTP_AT4 42
#define RTP_AT6 62
#define PAYLOAD 160

void world_fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

// What lies behind the first 64 bytes never changes: the payload, here zeros.
static void clear(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	memset(rte_pktmbuf_mtod((struct rte_mbuf *)object, void *), 0, 512);
}

struct world *world_create(enum kind kind, unsigned mbufs, unsigned cached)
{
	size_t size = (sizeof(struct world) + 63) / 64 * 64;
	struct world *world = aligned_alloc(64, size);

	if (!world)
		world_fail("no memory");
	memset(world, 0, size);
	world->kind = kind;
	world->head = kind == KIND_IPV6 || kind == KIND_RTCP ? 2 * FRAME_HEAD : FRAME_HEAD;
	world->rtp_at = kind == KIND_IPV6 ? RTP_AT6 : RTP_AT4;
	world->pool = rte_pktmbuf_pool_create("bench", mbufs, cached, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!world->pool)
		world_fail("no memory for packets");
	rte_mempool_obj_iter(world->pool, clear, NULL);
	return world;
}

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
		world_fail("no address");
	return addr;
}

static struct kg_leg_config config_of(const struct world *world, uint32_t index)
{
	uint32_t number = index - 1;
	struct kg_leg_config config = {
		.local = address(
			world, false, number / LEGS_AN_ADDRESS + 1, (uint16_t)(16384 + number % LEGS_AN_ADDRESS * 2)),
		.remote = address(world, true, index, REMOTE_PORT),
		.remote_rtcp = address(world, true, index, REMOTE_PORT + 1),
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

void world_make_legs(struct world *world, uint32_t legs)
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
		world_fail("no memory: with hugepages `sysctl vm.nr_hugepages=1024`");
	for (uint32_t i = 1; i <= legs; i++) {
		struct kg_leg_config config = config_of(world, i);
		uint32_t at = (i - 1) / LEGS_AN_ADDRESS;
		struct leg_conf *conf;

		if (at == relay->addrs->count) {
			uint32_t *ports = eal_table_create(RELAY_PORTS * sizeof(uint32_t), SOCKET_ID_ANY);

			if (!ports)
				world_fail("no memory for a port table");
			relay_addrs_add(relay->addrs, &config.local, ports);
		}
		conf = leg_conf_create(&config, 0x00100000u | i, relay->addrs->list[at].ports);
		if (!conf)
			world_fail("a leg that cannot be");
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

static void build_head(struct world *world, uint32_t index, uint8_t *out)
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
	memcpy(out, frame, world->head);
}

static uint64_t seed = 1;

static uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % limit);
}

void world_make_traffic(struct world *world, uint32_t legs)
{
	uint32_t *order = malloc(legs * sizeof(*order));

	world->count = legs;
	world->heads = eal_table_create((size_t)legs * world->head, SOCKET_ID_ANY);
	if (!order || !world->heads)
		world_fail("no memory for the traffic");
	for (uint32_t i = 0; i < legs; i++)
		order[i] = i + 1;
	for (uint32_t i = legs - 1; i > 0; i--) {
		uint32_t j = below(i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < legs; i++)
		build_head(world, order[i], world->heads + (size_t)i * world->head);
	free(order);
}
