// SPDX-License-Identifier: BSD-3-Clause
// The lcore's loop with a nic made of two rings: what was received before a command, and what comes after it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "relay_rig.h"

#define A 0x00100001u // leg ids: generation 1, index 1 and 2
#define B 0x00100002u
#define ROOM 1024

static struct rte_ring *wire_in, *wire_out;
static uint16_t port;
static struct rig *rig;
static struct lcore *lcore;
static struct kg_leg_config legs[2];

static struct kg_leg_config config(uint16_t local, const char *remote, kg_leg_id peer)
{
	struct kg_leg_config leg = {.hop = {.resolved = true},
		.may_receive = true,
		.may_send = true,
		.peer = peer,
		.formats = {{0, 8000}},
		.format_count = 1};

	assert_int_equal(kg_addr_parse(&leg.local, "10.0.0.1", local), 0);
	assert_int_equal(kg_addr_parse(&leg.remote, remote, 4000), 0);
	assert_int_equal(kg_addr_parse(&leg.remote_rtcp, remote, 4001), 0);
	return leg;
}

static int set_up(void **state)
{
	rig = rig_create(4);
	lcore = &rig->lcore;
	if (!wire_in) {
		struct rte_eth_conf none = {0};

		wire_in = rte_ring_create("in", ROOM, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		wire_out = rte_ring_create("out", ROOM, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		port = (uint16_t)rte_eth_from_rings("wire", &wire_in, 1, &wire_out, 1, SOCKET_ID_ANY);
		assert_int_equal(rte_eth_dev_configure(port, 1, 1, &none), 0);
		assert_int_equal(rte_eth_rx_queue_setup(port, 0, ROOM, SOCKET_ID_ANY, NULL, rig->pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(port, 0, ROOM, SOCKET_ID_ANY, NULL), 0);
		assert_int_equal(rte_eth_dev_start(port), 0);
	}
	lcore->nics[0].port_id = port;
	lcore->nic_count = 1;
	legs[0] = config(20000, "10.0.0.8", B);
	legs[1] = config(20002, "10.0.0.9", A);
	rig_leg_create(rig, A, &legs[0]);
	rig_leg_create(rig, B, &legs[1]);
	return 0;
}

static int tear_down(void **state)
{
	struct rte_mbuf *mbuf;

	while (rte_ring_dequeue(wire_in, (void **)&mbuf) == 0 || rte_ring_dequeue(wire_out, (void **)&mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	assert_int_equal(rte_mempool_in_use_count(rig->pool), 0);
	rig_destroy(rig);
	return 0;
}

static void receive(unsigned count)
{
	static uint16_t sequence;

	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
		uint8_t packet[172] = {0x80, 0, (uint8_t)(sequence >> 8), (uint8_t)sequence}, frame[256];
		unsigned length = rig_frame(frame, &legs[0].remote, &legs[0].local, packet, sizeof(packet), RIG_WHOLE);

		sequence++;
		assert_non_null(mbuf);
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
		assert_int_equal(rte_ring_enqueue(wire_in, mbuf), 0);
	}
}

static unsigned sent(void)
{
	struct rte_mbuf *mbuf;
	unsigned count = 0;

	for (; rte_ring_dequeue(wire_out, (void **)&mbuf) == 0; count++)
		rte_pktmbuf_free(mbuf);
	return count;
}

static void push(uint32_t type, kg_leg_id id)
{
	struct lcore_command one = {.type = type, .leg = id};

	if (type != LCORE_STOP)
		one.block = leg_conf_create(&legs[id == B], id, rig->relay->addrs->list[0].ports);
	assert_int_equal(rte_ring_sp_enqueue_elem(lcore->commands, &one, sizeof(one)), 0);
}

// As lcore_run() does. Returns: commands carried out.
static unsigned turn(void)
{
	unsigned n = lcore_commands(lcore);
	struct relay_event event;

	lcore_turn(lcore);
	while (rte_ring_sc_dequeue_elem(rig->relay->events, &event, sizeof(event)) == 0)
		if (event.type == RELAY_EV_ACK)
			free(event.block);
	return n;
}

static void what_came_before_a_retirement_is_forwarded(void **state)
{
	receive(3 * RELAY_BURST + 5);
	push(LCORE_RETIRE, A);
	push(LCORE_RETIRE, B);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(turn(), 0); // three full bursts and the last
	assert_int_equal(sent(), 3 * RELAY_BURST + 5);
	receive(1);
	assert_int_equal(turn(), 2);
	assert_int_equal(sent(), 0);
	assert_int_equal(rig->relay->drops[KG_DROP_no_leg], 1);
	assert_int_equal(rig->relay->legs_live, 0);
}

static void a_flood_does_not_hold_a_retirement(void **state)
{
	unsigned turns = 1;

	receive(RELAY_BURST);
	push(LCORE_RETIRE, A);
	for (; turn() == 0; turns++) {
		receive(RELAY_BURST);
		sent();
		assert_in_range(turns, 1, 64);
	}
	assert_int_equal(rig->relay->legs_live, 1);
	push(LCORE_RETIRE, B);
	turn();
	turn();
}

static void a_change_is_in_force_for_what_came_before_it(void **state)
{
	legs[0].may_receive = false;
	receive(1);
	push(LCORE_RETIRE, B); // held; what follows is not
	push(LCORE_CHANGE, A);
	assert_int_equal(turn(), 1);
	assert_int_equal(sent(), 0);
	assert_int_equal(rig->relay->drops[KG_DROP_direction], 1);
	assert_int_equal(turn(), 1);
	push(LCORE_RETIRE, A);
	turn();
	turn();
}

static void the_stop_waits_behind_retirements(void **state)
{
	receive(1);
	push(LCORE_RETIRE, A);
	push(LCORE_RETIRE, B);
	push(LCORE_STOP, 0);
	assert_int_equal(turn(), 0);
	assert_false(lcore->stop);
	assert_int_equal(sent(), 1);
	assert_int_equal(turn(), 3);
	assert_true(lcore->stop);
	assert_int_equal(rig->relay->legs_live, 0);
}

// Held, and no room for the answers: carried out when there is some, each once.
static void no_room_for_answers(void **state)
{
	struct relay_event event = {.type = RELAY_EV_FIRST_PACKET};

	push(LCORE_RETIRE, A);
	push(LCORE_RETIRE, B);
	assert_int_equal(lcore_commands(lcore), 0);
	while (rte_ring_free_count(rig->relay->events) > 2)
		assert_int_equal(rte_ring_sp_enqueue_elem(rig->relay->events, &event, sizeof(event)), 0);
	assert_int_equal(lcore_commands(lcore), 1);
	assert_int_equal(rig->relay->legs_live, 1);
	assert_int_equal(lcore_commands(lcore), 0);
	turn(); // empties the ring
	assert_int_equal(turn(), 1);
	assert_int_equal(rig->relay->legs_live, 0);
	assert_int_equal(turn(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_came_before_a_retirement_is_forwarded),
		TEST(a_flood_does_not_hold_a_retirement),
		TEST(a_change_is_in_force_for_what_came_before_it),
		TEST(the_stop_waits_behind_retirements),
		TEST(no_room_for_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
