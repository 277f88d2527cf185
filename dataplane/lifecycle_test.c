// SPDX-License-Identifier: BSD-3-Clause
// Legs made and retired by the thousand while traffic runs: two lcores in threads of their own, control in a third, the
// real loop, rings and legs between them, and nics made of rings. Nothing of EAL, so that ThreadSanitizer can follow it
// all. Each leg's first packet is sent right behind the command that makes it, its last one right before the command
// that retires it, each to either lcore's queue: not one may be lost, nor one of the legs that stay.

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "relay_rig.h"

#ifdef __SANITIZE_THREAD__
#define SLOWER 4
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOWER 4
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

#define LCORES 2
#define STAY 100 // legs that stay, half of them each lcore's
#define BATCH 32 // legs that come and go together
#define ROUNDS (20000 / BATCH / SLOWER)
#define EACH ((STAY + BATCH) / LCORES)
#define PORT 31 // of the ethdevs, one that DPDK does not use
#define MBUFS 2048
#define ROOM 4096

static struct lcore *lcores[LCORES];
static struct rte_ring *in[LCORES], *out[LCORES];
static struct relay_addrs *addrs;
static uint32_t *ports;
static struct rte_mbuf *spare[MBUFS];
static unsigned spares;
static struct {
	kg_leg_id id;
	struct kg_leg_config config;
	uint32_t sent, arrived; // packets; of those that its peer sent on
	uint16_t generation;
} legs[1 + LCORES * EACH];
static uint64_t made, retired, heard;

static struct rte_ring *ring(unsigned size, unsigned room)
{
	ssize_t bytes = rte_ring_get_memsize_elem(size, room);
	struct rte_ring *made_of = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);

	assert_non_null(made_of);
	assert_int_equal(rte_ring_init(made_of, "", room, RING_F_SP_ENQ | RING_F_SC_DEQ), 0);
	made_of->prod.head = made_of->prod.tail = made_of->cons.head = made_of->cons.tail =
		UINT32_MAX - 100; // they go round
	return made_of;
}

// --- a nic whose wires are rings ------------------------------------------------------------------------------------

static uint16_t wire_rx(void *queue, struct rte_mbuf **packets, uint16_t n)
{
	return (uint16_t)rte_ring_sc_dequeue_burst(queue, (void **)packets, n, NULL);
}

static uint16_t wire_tx(void *queue, struct rte_mbuf **packets, uint16_t n)
{
	return (uint16_t)rte_ring_sp_enqueue_burst(queue, (void **)packets, n, NULL);
}

static void make_nic(void)
{
	static void *none[LCORES];

	for (unsigned i = 0; i < LCORES; i++) {
		in[i] = ring(sizeof(void *), ROOM);
		out[i] = ring(sizeof(void *), ROOM);
	}
	rte_eth_fp_ops[PORT].rx_pkt_burst = wire_rx;
	rte_eth_fp_ops[PORT].tx_pkt_burst = wire_tx;
	rte_eth_fp_ops[PORT].rxq.data = (void **)in;
	rte_eth_fp_ops[PORT].txq.data = (void **)out;
	rte_eth_fp_ops[PORT].rxq.clbk = rte_eth_fp_ops[PORT].txq.clbk = none;
}

static void make_mbufs(void)
{
	for (spares = 0; spares < MBUFS; spares++) {
		const size_t head = (sizeof(struct rte_mbuf) + 127) / 128 * 128;
		struct rte_mbuf *mbuf = aligned_alloc(128, head + 512);

		assert_non_null(mbuf);
		memset(mbuf, 0, head + 512);
		mbuf->buf_addr = (uint8_t *)mbuf + head;
		mbuf->buf_len = 512;
		rte_mbuf_refcnt_set(mbuf, 1);
		spare[spares] = mbuf;
	}
}

// --- the world ------------------------------------------------------------------------------------------------------

static struct lcore *make_lcore(unsigned number, struct leg *all, struct leg_cold *cold)
{
	struct lcore *lcore = aligned_alloc(64, (sizeof(*lcore) + 63) / 64 * 64);
	struct relay *relay = &lcore->relay;

	assert_non_null(lcore);
	memset(lcore, 0, sizeof(*lcore));
	relay->number = number;
	relay->leg_first = 1 + number * EACH;
	relay->leg_room = EACH;
	relay->legs = all;
	relay->cold = cold;
	relay->tsc_hz = 2000000000;
	relay->addrs = addrs;
	relay->events = ring(sizeof(struct relay_event), 1024);
	lcore->commands = ring(sizeof(struct lcore_command), 1024);
	lcore->nics[0] = (struct lcore_nic){.port = PORT, .queue = (uint16_t)number, .own = true, .via = number};
	lcore->nic_count = 1;
	return lcore;
}

static void make_world(void)
{
	struct leg *all = aligned_alloc(64, (1 + LCORES * EACH) * sizeof(*all));
	struct leg_cold *cold = aligned_alloc(64, (1 + LCORES * EACH) * sizeof(*cold));
	struct kg_addr local;

	memset(all, 0, (1 + LCORES * EACH) * sizeof(*all));
	memset(cold, 0, (1 + LCORES * EACH) * sizeof(*cold));
	make_nic();
	make_mbufs();
	addrs = calloc(1, sizeof(*addrs));
	ports = calloc(RELAY_PORTS, sizeof(*ports));
	kg_addr_parse(&local, "10.0.0.1", 0);
	relay_addrs_add(addrs, &local, ports);
	for (unsigned i = 0; i < LCORES; i++)
		lcores[i] = make_lcore(i, all, cold);
	for (unsigned to = 0; to < LCORES; to++)
		for (unsigned from = 0; from < LCORES; from++) {
			if (from == to)
				continue;
			lcores[to]->from[from] = lcores[from]->relay.hands[to].ring = ring(sizeof(void *), ROOM);
			lcores[to]->turns[from] = &lcores[from]->relay.counters[KG_CNT_loops];
		}
}

static unsigned owner(unsigned leg)
{
	return (leg - 1) / EACH;
}

// Legs 2n + 1 and 2n + 2 are each other's peers.
static unsigned peer_of(unsigned leg)
{
	return leg % 2 ? leg + 1 : leg - 1;
}

static kg_leg_id id_of(unsigned leg)
{
	return (uint32_t)(legs[leg].generation + 1) << LEG_INDEX_BITS | leg;
}

// --- control --------------------------------------------------------------------------------------------------------

static void take_events(void)
{
	struct relay_event event;

	for (unsigned i = 0; i < LCORES; i++)
		while (rte_ring_sc_dequeue_elem(lcores[i]->relay.events, &event, sizeof(event)) == 0) {
			if (event.type == RELAY_EV_FIRST_PACKET) {
				assert_int_equal(event.leg, legs[leg_index(event.leg)].id);
				heard++;
				continue;
			}
			made += event.command == LCORE_CREATE;
			retired += event.command == LCORE_RETIRE;
			free(event.block);
		}
}

static void push(uint32_t type, unsigned leg)
{
	struct lcore_command command = {.type = type, .leg = legs[leg].id};
	unsigned to = owner(leg);

	command.block = leg_conf_create(&legs[leg].config, legs[leg].id, ports);
	assert_non_null(command.block);
	if (type == LCORE_CREATE)
		leg_ports_set(ports, &legs[leg].config, legs[leg].id, to);
	while (rte_ring_sp_enqueue_elem(lcores[to]->commands, &command, sizeof(command)) != 0) {
		take_events();
		sched_yield();
	}
}

static void create(unsigned leg)
{
	struct kg_leg_config *config = &legs[leg].config;

	*config = (struct kg_leg_config){.hop = {.resolved = true},
		.may_receive = true,
		.may_send = true,
		.rtcp_mux = true,
		.formats = {{0, 8000}},
		.format_count = 1};
	kg_addr_parse(&config->local, "10.0.0.1", (uint16_t)(20000 + 2 * leg));
	kg_addr_parse(&config->remote, "10.0.0.9", (uint16_t)(40000 + leg));
	legs[leg].generation++;
	legs[leg].id = id_of(leg);
	legs[peer_of(leg)].generation += leg % 2; // the second one's id is known to the first
	config->peer = id_of(peer_of(leg));
	legs[peer_of(leg)].generation -= leg % 2;
	push(LCORE_CREATE, leg);
}

static void take_arrived(void)
{
	struct rte_mbuf *mbuf = NULL;

	for (unsigned i = 0; i < LCORES; i++)
		while (rte_ring_sc_dequeue(out[i], (void **)&mbuf) == 0) {
			const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
			unsigned leg = rtp_get16(frame + 36) - 40000u, from = rtp_get32(frame + 54);

			assert_in_range(leg, 1, LCORES * EACH);
			assert_int_equal(from, peer_of(leg)); // to whom it was for, and to nobody else
			assert_int_equal(
				rtp_get32(frame + 58), legs[from].arrived); // and in the order in which it was sent
			assert_int_equal(rtp_get16(frame + 34), legs[leg].config.local.port);
			legs[from].arrived++;
			spare[spares++] = mbuf;
		}
}

static void offer(unsigned leg, unsigned queue)
{
	uint8_t packet[12 + 8] = {0x80, 0};
	struct rte_mbuf *mbuf;

	while (!spares) {
		take_arrived();
		take_events();
		sched_yield();
	}
	rtp_put16(packet + 2, (uint16_t)legs[leg].sent);
	rtp_put32(packet + 4, legs[leg].sent * 160);
	rtp_put32(packet + 8, legs[leg].id);
	rtp_put32(packet + 12, leg);
	rtp_put32(packet + 16, legs[leg].sent);
	mbuf = spare[--spares];
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->nb_segs = 1;
	mbuf->ol_flags = 0;
	mbuf->data_len = (uint16_t)rig_frame((uint8_t *)mbuf->buf_addr + mbuf->data_off, &legs[leg].config.remote,
		&legs[leg].config.local, packet, sizeof(packet), RIG_ZERO);
	mbuf->pkt_len = mbuf->data_len;
	legs[leg].sent++;
	assert_int_equal(rte_ring_sp_enqueue(in[queue], mbuf), 0);
}

static void wait_until(uint64_t (*reached)(void), uint64_t wanted)
{
	struct timespec pause = {0, 20000};
	time_t end = time(NULL) + 60;

	while (reached() != wanted) {
		take_arrived();
		take_events();
		nanosleep(&pause, NULL);
		assert_true(time(NULL) < end);
	}
}

static uint64_t count_made(void)
{
	return made;
}

static uint64_t count_retired(void)
{
	return retired;
}

static uint64_t missing(void)
{
	uint64_t sum = 0;

	for (unsigned leg = 1; leg <= LCORES * EACH; leg++)
		sum += legs[leg].sent - legs[leg].arrived;
	return sum;
}

// --- the test -------------------------------------------------------------------------------------------------------

static void *run(void *arg)
{
	lcore_run(arg);
	return NULL;
}

static bool stays(unsigned leg)
{
	return (leg - 1) % EACH < STAY / LCORES;
}

static void for_legs(bool staying, void (*what)(unsigned leg, unsigned round), unsigned round)
{
	for (unsigned leg = 1; leg <= LCORES * EACH; leg++)
		if (stays(leg) == staying)
			what(leg, round);
}

static void come(unsigned leg, unsigned round)
{
	legs[leg].sent = legs[leg].arrived = 0;
	create(leg);
}

static void talk(unsigned leg, unsigned round)
{
	offer(leg, round % 3 ? owner(leg) : !owner(leg)); // the wire's order holds within a queue
}

static void go(unsigned leg, unsigned round)
{
	push(LCORE_RETIRE, leg);
}

static void legs_come_and_go_under_traffic(void **state)
{
	pthread_t threads[LCORES];
	struct timespec begin, end;
	double took;

	make_world();
	for (unsigned i = 0; i < LCORES; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, lcores[i]), 0);
	for_legs(true, come, 0);
	wait_until(count_made, STAY);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for_legs(false, come, round);
		for_legs(true, talk, round);
		for_legs(false, talk, round);
		wait_until(count_made, STAY + (uint64_t)(round + 1) * BATCH);
		wait_until(missing, 0); // another queue may be quicker
		for_legs(false, talk, round + 1);
		for_legs(false, go, round);
		for_legs(true, talk, round + 1);
		wait_until(count_retired, (uint64_t)(round + 1) * BATCH);
		wait_until(missing, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	took = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("%u legs made and retired in %.2f s: %.0f a second, beside %u packets of %u others\n",
		ROUNDS * BATCH, took, ROUNDS * BATCH / took, 2 * ROUNDS * STAY, STAY);
	assert_int_equal(heard, STAY + (uint64_t)ROUNDS * BATCH);
	for_legs(true, go, 0);
	wait_until(count_retired, STAY + (uint64_t)ROUNDS * BATCH);
	for (unsigned i = 0; i < LCORES; i++) {
		struct lcore_command stop = {.type = LCORE_STOP};

		rte_ring_sp_enqueue_elem(lcores[i]->commands, &stop, sizeof(stop));
	}
	for (unsigned i = 0; i < LCORES; i++) {
		const struct relay *relay = &lcores[i]->relay;

		pthread_join(threads[i], NULL);
		assert_int_equal(relay->legs_live, 0);
		assert_int_equal(relay->taken, relay->given);
		assert_true(relay->counters[KG_CNT_handed_over] > 0);
		for (unsigned reason = 0; reason < KG_DROP_COUNT; reason++)
			assert_int_equal(relay->drops[reason], 0);
	}
	take_events();
	assert_int_equal(spares, MBUFS);
	for (unsigned i = 0; i < RELAY_PORTS; i++)
		assert_int_equal(ports[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(legs_come_and_go_under_traffic)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
