// SPDX-License-Identifier: BSD-3-Clause
// The lcore's loop with a nic made of rings: what was received before a command, and what comes after it; two lcores
// that hand packets to each other; VLAN tags; what is the kernel's.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "relay_rig.h"

#define A 0x00100001u // leg ids: generation 1, index 1 and 2
#define B 0x00100002u
#define C 0x00100005u // of the second lcore
#define D 0x00100006u
#define ROOM 1024
#define HANDS 256
#define EACH 4 // legs of an lcore

static struct rte_ring *wire_in[2], *wire_out[2]; // by queue
static uint16_t port;
static struct rig *rig;
static struct lcore *lcore, *other;
static struct kg_leg_config legs[4];

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

static struct rte_ring *ring(const char *name, unsigned room)
{
	struct rte_ring *made = rte_ring_create(name, room, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	assert_non_null(made);
	return made;
}

// A nic of two queues, whose wires are rings.
static void make_nic(void)
{
	struct rte_eth_conf none = {0};

	wire_in[0] = ring("in0", ROOM);
	wire_in[1] = ring("in1", ROOM);
	wire_out[0] = ring("out0", ROOM);
	wire_out[1] = ring("out1", ROOM);
	port = (uint16_t)rte_eth_from_rings("wire", wire_in, 2, wire_out, 2, SOCKET_ID_ANY);
	assert_int_equal(rte_eth_dev_configure(port, 2, 2, &none), 0);
	for (uint16_t i = 0; i < 2; i++) {
		assert_int_equal(rte_eth_rx_queue_setup(port, i, ROOM, SOCKET_ID_ANY, NULL, rig->pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(port, i, ROOM, SOCKET_ID_ANY, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(port), 0);
}

// A second lcore beside the rig's: the legs after its, the same addresses, a ring each way.
static void make_other(void)
{
	static struct rte_ring *to, *from, *commands, *events;
	struct relay *relay;

	if (!to) {
		to = ring("to", HANDS);
		from = ring("from", HANDS);
		commands = rte_ring_create_elem("c", sizeof(struct lcore_command), 64, SOCKET_ID_ANY, 0);
		events = rte_ring_create_elem("e", sizeof(struct relay_event), 64, SOCKET_ID_ANY, 0);
	}
	other = aligned_alloc(64, (sizeof(*other) + 63) / 64 * 64);
	memset(other, 0, sizeof(*other));
	relay = &other->relay;
	relay->number = 1;
	relay->leg_first = 1 + EACH;
	relay->leg_room = EACH;
	relay->wait.room = RELAY_WAIT;
	relay->legs = rig->relay->legs; // the rig has room for both
	relay->cold = rig->relay->cold;
	relay->tsc_hz = rig->relay->tsc_hz;
	relay->addrs = rig->relay->addrs;
	relay->events = events;
	other->commands = commands;
	other->nics[0] = (struct lcore_nic){.port = port, .queue = 1, .own = true, .via = 1};
	other->nic_count = 1;
	relay->hands[0].ring = lcore->from[1] = from;
	lcore->relay.hands[1].ring = other->from[0] = to;
}

static void push_to(struct lcore *to, uint32_t type, kg_leg_id id, const struct kg_leg_config *leg)
{
	struct lcore_command one = {.type = type, .leg = id};

	if (type != LCORE_STOP)
		one.block = leg_conf_create(leg, id, rig->relay->addrs->list[0].ports);
	if (type == LCORE_CREATE)
		leg_ports_set(rig->relay->addrs->list[0].ports, leg, id, to->relay.number);
	assert_int_equal(rte_ring_sp_enqueue_elem(to->commands, &one, sizeof(one)), 0);
}

static void push(uint32_t type, kg_leg_id id)
{
	push_to(lcore, type, id, &legs[id == B]);
}

static void take_events(struct lcore *of)
{
	struct relay_event event;

	while (rte_ring_sc_dequeue_elem(of->relay.events, &event, sizeof(event)) == 0)
		if (event.type == RELAY_EV_ACK)
			free(event.block);
}

static int set_up(void **state)
{
	rig = rig_create(2 * EACH);
	lcore = &rig->lcore;
	rig->relay->leg_room = EACH;
	rig->relay->wait.room = RELAY_WAIT;
	if (!wire_in[0])
		make_nic();
	lcore->nics[0] = (struct lcore_nic){.port = port, .own = true};
	lcore->nic_count = 1;
	make_other();
	legs[0] = config(20000, "10.0.0.8", B);
	legs[1] = config(20002, "10.0.0.9", A);
	legs[2] = config(20004, "10.0.0.10", D);
	legs[3] = config(20006, "10.0.0.11", C);
	push(LCORE_CREATE, A);
	push(LCORE_CREATE, B);
	push_to(other, LCORE_CREATE, C, &legs[2]);
	push_to(other, LCORE_CREATE, D, &legs[3]);
	assert_int_equal(lcore_commands(lcore) + lcore_commands(other), 4);
	take_events(lcore);
	take_events(other);
	return 0;
}

static int tear_down(void **state)
{
	struct rte_ring *rings[] = {wire_in[0], wire_in[1], wire_out[0], wire_out[1], lcore->from[1], other->from[0]};
	struct rte_mbuf *mbuf = NULL;

	for (unsigned i = 0; i < 6; i++)
		while (rte_ring_dequeue(rings[i], (void **)&mbuf) == 0)
			rte_pktmbuf_free(mbuf);
	assert_int_equal(rte_mempool_in_use_count(rig->pool), 0);
	take_events(lcore);
	take_events(other);
	free(other);
	rig_destroy(rig);
	return 0;
}

static uint16_t sequence;

static void arrive(unsigned queue, const uint8_t *frame, unsigned length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
	assert_int_equal(rte_ring_enqueue(wire_in[queue], mbuf), 0);
}

static unsigned rtp_frame(uint8_t frame[256], const struct kg_leg_config *from)
{
	uint8_t packet[172] = {0x80, 0, (uint8_t)(sequence >> 8), (uint8_t)sequence};

	sequence++;
	return rig_frame(frame, &from->remote, &from->local, packet, sizeof(packet), RIG_WHOLE);
}

static void receive_for(unsigned queue, const struct kg_leg_config *from, unsigned count)
{
	uint8_t frame[256];

	for (unsigned i = 0; i < count; i++)
		arrive(queue, frame, rtp_frame(frame, from));
}

static void receive(unsigned count)
{
	receive_for(0, &legs[0], count);
}

static uint8_t last_sent[RELAY_MAX_FRAME];

static unsigned sent_on(unsigned queue)
{
	struct rte_mbuf *mbuf = NULL;
	unsigned count = 0;

	for (; rte_ring_dequeue(wire_out[queue], (void **)&mbuf) == 0; count++) {
		memcpy(last_sent, rte_pktmbuf_mtod(mbuf, void *), rte_pktmbuf_data_len(mbuf));
		rte_pktmbuf_free(mbuf);
	}
	return count;
}

static unsigned sent(void)
{
	return sent_on(0);
}

// As lcore_run() does. Returns: commands carried out.
static unsigned turn(void)
{
	unsigned n = lcore_commands(lcore);

	lcore_turn(lcore);
	take_events(lcore);
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

// This lcore was stopped behind its commands and before its nics, and meanwhile a leg was made and its peer told.
static void a_leg_is_there_for_its_first_packet(void **state)
{
	push(LCORE_RETIRE, A);
	turn();
	turn();
	leg_ports_set(rig->relay->addrs->list[0].ports, &legs[0], A, 0);
	receive(1); // somebody who guessed, before the leg is made
	lcore_turn(lcore);
	assert_int_equal(rig->relay->drops[KG_DROP_no_leg], 1);
	receive(1);
	push(LCORE_CREATE, A);
	lcore_turn(lcore);
	assert_int_equal(sent(), 1);
	assert_int_equal(rig->relay->drops[KG_DROP_no_leg], 1);
}

// --- next hops that are not resolved yet ----------------------------------------------------------------------------

static void set_hop(struct lcore *of, kg_leg_id id, struct kg_leg_config *leg, bool resolved)
{
	leg->hop.resolved = resolved;
	push_to(of, LCORE_CHANGE, id, leg);
}

static void packets_wait_for_a_next_hop(void **state)
{
	set_hop(lcore, B, &legs[1], false);
	turn();
	receive(3); // A's, for B
	lcore_turn(lcore);
	assert_int_equal(sent(), 0);
	assert_int_equal(rig->relay->counters[KG_CNT_waited], 3);
	assert_int_equal(rig->relay->taken - rig->relay->given, 3);
	set_hop(lcore, B, &legs[1], true);
	receive(2);
	lcore_turn(lcore); // control's word comes behind the packets, in the ring and the nic: the old ones go first
	assert_int_equal(sent(), 5);
	assert_int_equal(rtp_get16(last_sent + 44), sequence - 1);
	assert_int_equal(rig->relay->legs[leg_index(B)].tx.packets, 5);
	assert_int_equal(rig->relay->legs[leg_index(B)].tx.last_seq & 0xffff, sequence - 1);
	assert_int_equal(rig->relay->drops[KG_DROP_no_next_hop], 0);
	assert_int_equal(rig->relay->taken, rig->relay->given);
}

static void packets_wait_for_a_next_hop_while_nobody_sends(void **state)
{
	set_hop(lcore, B, &legs[1], false);
	turn();
	receive(1);
	lcore_turn(lcore);
	set_hop(lcore, B, &legs[1], true);
	lcore_commands(lcore);
	assert_int_equal(lcore_turn(lcore), 1);
	assert_int_equal(sent(), 1);
}

static void not_all_wait_and_none_for_ever(void **state)
{
	set_hop(lcore, B, &legs[1], false);
	turn();
	receive(20);
	lcore_turn(lcore);
	assert_int_equal(rig->relay->counters[KG_CNT_waited], 8);
	assert_int_equal(rig->relay->drops[KG_DROP_no_next_hop], 12);
	lcore_turn(lcore);
	assert_int_equal(rig->relay->drops[KG_DROP_no_next_hop], 12);
	for (unsigned i = 0; rig->relay->drops[KG_DROP_no_next_hop] < 20; i++) {
		assert_in_range(i, 0, 5000);
		usleep(1000);
		lcore_turn(lcore);
	}
	assert_int_equal(rig->relay->cold[leg_index(A)].drops[KG_DROP_no_next_hop], 20);
	assert_int_equal(sent(), 0);
	assert_int_equal(rig->relay->taken, rig->relay->given);
}

static void who_waits_for_a_leg_that_ends_ends_too(void **state)
{
	set_hop(lcore, B, &legs[1], false);
	turn();
	receive(2);
	lcore_turn(lcore);
	push(LCORE_RETIRE, B);
	turn();
	turn();
	lcore_turn(lcore);
	assert_int_equal(rig->relay->drops[KG_DROP_peer_gone], 2);
	assert_int_equal(rig->relay->taken, rig->relay->given);
}

// --- two lcores -----------------------------------------------------------------------------------------------------

static void what_came_to_the_wrong_queue_is_handed_over(void **state)
{
	receive_for(0, &legs[2], 3); // C is the other's
	receive_for(0, &legs[0], 1);
	lcore_turn(lcore);
	assert_int_equal(sent_on(0), 1);
	assert_int_equal(rig->relay->counters[KG_CNT_handed_over], 3);
	lcore_turn(other);
	assert_int_equal(sent_on(1), 3); // through its own queue
	assert_int_equal(rtp_get16(last_sent + 34), 20006);
	assert_int_equal(other->relay.counters[KG_CNT_rtp_relayed], 3);
	assert_int_equal(rig->relay->legs[leg_index(C)].stream.packets, 3);
	assert_int_equal(other->relay.counters[KG_CNT_handed_over] + other->relay.counters[KG_CNT_cross_lcore], 0);
	assert_int_equal(rig->relay->taken + other->relay.taken, rig->relay->given + other->relay.given);
}

static void a_leg_is_there_for_its_first_packet_on_any_queue(void **state)
{
	push_to(other, LCORE_RETIRE, C, &legs[2]);
	lcore_commands(other);
	lcore_commands(other);
	push_to(other, LCORE_CREATE, C, &legs[2]); // and the other lcore has not looked yet
	receive_for(0, &legs[2], 1);
	lcore_turn(lcore);
	lcore_turn(other);
	assert_int_equal(sent_on(1), 1);
	assert_int_equal(rig->relay->drops[KG_DROP_no_leg] + other->relay.drops[KG_DROP_no_leg], 0);
}

// The last packets before a BYE, in the queue of an lcore that is late.
static void a_retirement_waits_for_other_lcores(void **state)
{
	uint64_t turns = 7;

	other->turns[0] = &turns;
	receive_for(0, &legs[2], 3);
	push_to(other, LCORE_RETIRE, C, &legs[2]);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(lcore_commands(other), 0);
		lcore_turn(other);
	}
	turns++; // the end of the turn that was on its way
	assert_int_equal(lcore_commands(other), 0);
	lcore_turn(other);
	lcore_turn(lcore);
	turns++;
	assert_int_equal(lcore_commands(other), 0);
	lcore_turn(other);
	assert_int_equal(sent_on(1), 3);
	assert_int_equal(lcore_commands(other), 1);
	push_to(other, LCORE_RETIRE, D, &legs[3]); // of one that stands still it does not wait for ever
	for (unsigned i = 0; lcore_commands(other) == 0; i++) {
		assert_in_range(i, 0, 1000);
		usleep(1000);
	}
	assert_int_equal(other->relay.legs_live, 0);
}

// A on the one, D on the other: a bridge that was made later (Replaces).
static void a_bridge_across_lcores(void **state)
{
	uint8_t frame[256], report[28] = {0x80, 200, 0, 6, 1, 2, 3, 4};
	struct kg_leg_config from = legs[3];

	legs[0].peer = D;
	legs[3].peer = A;
	push(LCORE_CHANGE, A);
	push_to(other, LCORE_CHANGE, D, &legs[3]);
	lcore_commands(lcore);
	lcore_commands(other);
	receive_for(0, &legs[0], 5);
	lcore_turn(lcore);
	assert_int_equal(sent_on(0), 0);
	lcore_turn(other);
	assert_int_equal(sent_on(1), 5);
	assert_int_equal(rtp_get16(last_sent + 34), 20006);
	assert_int_equal(rtp_get16(last_sent + 44), sequence - 1);
	receive_for(1, &legs[3], 4);
	from.remote.port++; // and a report
	from.local.port++;
	arrive(1, frame, rig_frame(frame, &from.remote, &from.local, report, sizeof(report), RIG_PARTIAL));
	lcore_turn(other);
	lcore_turn(lcore);
	assert_int_equal(sent_on(0), 5);
	assert_int_equal(rtp_get16(last_sent + 34), 20001);
	assert_int_equal(rtp_get16(last_sent + 36), 4001);
	assert_memory_equal(last_sent + 42, report, sizeof(report));
	assert_int_equal(rig->relay->counters[KG_CNT_cross_lcore], 5);
	assert_int_equal(other->relay.counters[KG_CNT_cross_lcore], 5);
	assert_int_equal(rig->relay->legs[leg_index(D)].tx.packets, 5);
	assert_int_equal(rig->relay->legs[leg_index(A)].tx.packets, 4);
	assert_int_equal(rig->relay->cold[leg_index(A)].tx_rtcp_packets, 1);
	push_to(other, LCORE_RETIRE, D, &legs[3]); // what is under way to a leg that goes ends with its name
	receive_for(0, &legs[0], 1);
	lcore_turn(lcore);
	lcore_commands(other);
	assert_int_equal(lcore_commands(other), 1);
	lcore_turn(other);
	assert_int_equal(other->relay.drops[KG_DROP_peer_gone], 1);
}

// A's report, for a leg whose line was mapped as A's was: it is mapped once by each, wherever it comes by.
static void report_is_mapped(kg_leg_id peer, struct lcore *owner, struct kg_leg_config *to, bool waits)
{
	uint8_t frame[256], report[32] = {0x81, 201, 0, 7, 0, 0, 0, 9};
	struct kg_leg_config from = legs[0];
	struct rig_out out = {.length = 74};

	legs[0].peer = peer;
	push(LCORE_CHANGE, A);
	set_hop(owner, peer, to, !waits);
	lcore_commands(lcore);
	lcore_commands(other);
	rig->relay->legs[leg_index(A)].tx.map = (struct rtp_map){.in_ssrc = 5, .out_ssrc = 6, .seq_add = 100};
	rig->relay->legs[leg_index(peer)].tx.map = (struct rtp_map){.in_ssrc = 9, .out_ssrc = 8};
	rtp_put32(report + 8, 6); // A hears 6, which the far end calls 5
	rtp_put32(report + 16, 1100);
	from.remote.port++;
	from.local.port++;
	arrive(0, frame, rig_frame(frame, &from.remote, &from.local, report, sizeof(report), RIG_WHOLE));
	lcore_turn(lcore);
	lcore_turn(other);
	if (waits) {
		assert_int_equal(sent_on(owner == other), 0);
		assert_int_equal(owner->relay.counters[KG_CNT_waited], 1);
		set_hop(owner, peer, to, true);
		lcore_commands(owner);
		lcore_turn(owner);
	}
	assert_int_equal(sent_on(owner == other), 1);
	assert_int_equal(rtp_get32(last_sent + 46), 8);
	assert_int_equal(rtp_get32(last_sent + 50), 5);
	assert_int_equal(rtp_get32(last_sent + 58), 1000);
	memcpy(out.frame, last_sent, 74);
	assert_true(rig_sound(&out));
}

static void reports_cross_through_both_maps(void **state)
{
	report_is_mapped(D, other, &legs[3], false);
}

static void reports_for_another_lcore_wait(void **state)
{
	report_is_mapped(D, other, &legs[3], true);
}

static void reports_wait(void **state)
{
	report_is_mapped(B, lcore, &legs[1], true);
}

static void one_queue_for_two_lcores(void **state)
{
	other->nics[0] = (struct lcore_nic){.port = port, .queue = 0, .via = 0};
	receive_for(0, &legs[2], 2);
	lcore_turn(lcore);
	lcore_turn(other);
	assert_int_equal(sent_on(0) + sent_on(1), 0);
	assert_int_equal(other->relay.counters[KG_CNT_handed_tx], 2);
	lcore_turn(lcore);
	assert_int_equal(sent_on(0), 2);
	assert_int_equal(rig->relay->taken + other->relay.taken, rig->relay->given + other->relay.given);
}

// The nic's other side does not use our queue: we receive on it still, but send through another's.
static void a_peer_that_does_not_use_our_queue(void **state)
{
	other->nics[0].via = 0;
	receive_for(1, &legs[2], 3);
	lcore_turn(other);
	assert_int_equal(other->relay.counters[KG_CNT_handed_tx], 3);
	assert_int_equal(sent_on(1), 0);
	lcore_turn(lcore);
	assert_int_equal(sent_on(0), 3);
	other->nics[0].via = 1; // now it does
	receive_for(1, &legs[2], 3);
	lcore_turn(other);
	assert_int_equal(sent_on(1), 3);
}

static void a_ring_that_is_full_is_counted(void **state)
{
	for (unsigned i = 0; i < HANDS / RELAY_BURST; i++) {
		receive_for(0, &legs[2], RELAY_BURST);
		lcore_turn(lcore);
	}
	assert_int_equal(rig->relay->drops[KG_DROP_lcore_full], 1); // it holds one less
	assert_int_equal(rig->relay->taken, rig->relay->given);
	for (unsigned i = 0; i < HANDS / RELAY_BURST; i++)
		lcore_turn(other);
	assert_int_equal(sent_on(1), HANDS - 1);
}

// --- tags and the kernel --------------------------------------------------------------------------------------------

static void tagged(const uint8_t *frame, unsigned length, uint16_t vlan)
{
	uint8_t with[300];

	memcpy(with, frame, 12);
	rtp_put16(with + 12, 0x8100);
	rtp_put16(with + 14, vlan);
	memcpy(with + 16, frame + 12, length - 12);
	arrive(0, with, length + 4);
}

static void a_nic_with_a_vlan(void **state)
{
	uint8_t frame[256];
	unsigned length = rtp_frame(frame, &legs[0]);

	lcore->nics[0].vlan = 7;
	tagged(frame, length, 7 | 5 << 13); // with a priority
	tagged(frame, length, 8);
	arrive(0, frame, length);
	lcore_turn(lcore);
	assert_int_equal(sent(), 1);
	assert_int_equal(rig->relay->drops[KG_DROP_wrong_vlan], 2);
	assert_int_equal(rtp_get16(last_sent + 12), 0x8100);
	assert_int_equal(rtp_get16(last_sent + 14), 7);
	assert_int_equal(rtp_get16(last_sent + 38), 20002);
	assert_int_equal(rig->relay->taken, rig->relay->given);
}

static void what_is_no_media_is_the_kernels(void **state)
{
	struct rte_ring *to = rte_ring_create("to_kernel", 16, SOCKET_ID_ANY, 0), *from = ring("from_kernel", 16);
	uint8_t arp[60] = {[12] = 8, [13] = 6}, sip[256];
	struct kg_addr host = legs[0].remote, port_5060 = legs[0].local;
	unsigned length;
	struct rte_mbuf *mbuf = NULL;

	lcore->nics[0].to_kernel = to;
	lcore->nics[0].from_kernel = from;
	port_5060.port = 5060;
	length = rig_frame(sip, &host, &port_5060, "OPTIONS", 7, RIG_WHOLE);
	arrive(0, arp, sizeof(arp));
	arrive(0, sip, length);
	receive(1);
	lcore_turn(lcore);
	assert_int_equal(sent(), 1);
	assert_int_equal(rig->relay->counters[KG_CNT_to_kernel], 2);
	assert_int_equal(rte_ring_dequeue(to, (void **)&mbuf), 0);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, void *), arp, sizeof(arp));
	assert_int_equal(rte_ring_enqueue(from, mbuf), 0); // what the kernel sends
	assert_int_equal(rte_ring_dequeue(to, (void **)&mbuf), 0);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, void *), sip, length); // untouched
	rte_pktmbuf_free(mbuf);
	lcore_turn(lcore);
	assert_int_equal(sent(), 1);
	assert_memory_equal(last_sent, arp, sizeof(arp));
	for (unsigned i = 0; i < 20; i++) // more than the ring holds: by its own reason
		arrive(0, arp, sizeof(arp));
	lcore_turn(lcore);
	assert_int_equal(rig->relay->drops[KG_DROP_not_ip], 5);
	while (rte_ring_dequeue(to, (void **)&mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	assert_int_equal(rig->relay->taken, rig->relay->given);
	rte_ring_free(to);
	rte_ring_free(from);
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
		TEST(a_leg_is_there_for_its_first_packet),
		TEST(packets_wait_for_a_next_hop),
		TEST(packets_wait_for_a_next_hop_while_nobody_sends),
		TEST(not_all_wait_and_none_for_ever),
		TEST(who_waits_for_a_leg_that_ends_ends_too),
		TEST(what_came_to_the_wrong_queue_is_handed_over),
		TEST(a_leg_is_there_for_its_first_packet_on_any_queue),
		TEST(a_retirement_waits_for_other_lcores),
		TEST(a_bridge_across_lcores),
		TEST(reports_cross_through_both_maps),
		TEST(reports_for_another_lcore_wait),
		TEST(reports_wait),
		TEST(one_queue_for_two_lcores),
		TEST(a_peer_that_does_not_use_our_queue),
		TEST(a_ring_that_is_full_is_counted),
		TEST(a_nic_with_a_vlan),
		TEST(what_is_no_media_is_the_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
