// SPDX-License-Identifier: BSD-3-Clause
// Legs that do not speak the same: the relay, a dsp lcore's turns and the relay again, without threads, on a clock of
// the test's. And the two laws of G.711, which need no room.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "dsp.h"
#include "g711_kernel.h"
#include "hand.h"
#include "leg.h"
#include "relay_rig.h"
#include "relay_wait.h"

#define A 0x00100001u // leg ids: generation 1, index 1 and 2
#define B 0x00100002u
#define LEGS 8
#define MS 1000

enum { PCMU, PCMA, G722, OPUS, CODECS };
static const struct {
	const char *name;
	uint32_t clock;
	uint8_t type;
} codecs[CODECS] = {{"PCMU", 8000, 0}, {"PCMA", 8000, 8}, {"G722", 8000, 9}, {"opus", 48000, 96}};

static struct rig *rig;
static struct dsp *dsp;
static struct kg_leg_config leg_a, leg_b;
static uint64_t now_us;
static struct rig_out left[64]; // what left since it was looked at last
static unsigned left_count;

// --- the world
// --------------------------------------------------------------------------------------------------------

static struct kg_addr addr(const char *ip, uint16_t port)
{
	struct kg_addr out;

	assert_int_equal(kg_addr_parse(&out, ip, port), 0);
	return out;
}

static struct kg_leg_config config(const char *local, const char *remote, uint8_t nic, kg_leg_id peer)
{
	return (struct kg_leg_config){
		.nic = nic,
		.local = addr(local, 20000),
		.remote = addr(remote, 4000),
		.remote_rtcp = addr(remote, 4001),
		.hop = {.resolved = true, .source_mac = {2, 0, 0, 0, 0, nic}, .target_mac = {2, 0, 0, 0, 1, nic}},
		.may_receive = true,
		.may_send = true,
		.peer = peer,
	};
}

static struct kg_media_codec codec_of(unsigned which, uint8_t ptime_ms)
{
	struct kg_media_codec out = {
		.payload_type = codecs[which].type, .event_type = 101, .event_hz = 8000, .ptime_ms = ptime_ms};

	while (strcmp(codec_table[out.row]->name, codecs[which].name) != 0)
		out.row++;
	out.row++;
	return out;
}

static struct rte_ring *ring(const char *name, unsigned element)
{
	struct rte_ring *made = rte_ring_create_elem(name, element, 256, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	assert_non_null(made);
	return made;
}

static int set_up(void **state)
{
	rig = rig_create(LEGS);
	dsp = calloc(1, sizeof(*dsp));
	dsp->lcores = 1;
	dsp->leg_room = LEGS + 1;
	dsp->ways = calloc(dsp->leg_room, sizeof(struct dsp_way *));
	dsp->commands = ring("room-commands", sizeof(struct dsp_command));
	dsp->events = ring("room-events", sizeof(struct dsp_command));
	dsp->in[0] = ring("room-in", sizeof(void *));
	dsp->out[0] = ring("room-out", sizeof(void *));
	dsp->pools[0] = rig->pool;
	rig->relay->rooms[0].ring = dsp->in[0];
	now_us = 1000000 * (uint64_t)MS;
	dsp->done_ms = now_us / MS;
	left_count = 0;
	leg_a = config("10.0.0.1", "10.0.0.9", 0, B);
	leg_b = config("10.0.1.1", "10.0.1.9", 1, A);
	rig_leg_create(rig, A, &leg_a);
	rig_leg_create(rig, B, &leg_b);
	return 0;
}

static void way_command(kg_leg_id leg, struct dsp_way *way)
{
	struct dsp_command command = {.leg = leg, .way = way};

	assert_int_equal(rte_ring_sp_enqueue_elem(dsp->commands, &command, sizeof(command)), 0);
	dsp_turn(dsp, now_us);
	assert_int_equal(rte_ring_sc_dequeue_elem(dsp->events, &command, sizeof(command)), 0);
	assert_int_equal(command.leg, leg);
	if (command.way) {
		transcode_fini(&command.way->transcode);
		free(command.way);
	}
}

static int tear_down(void **state)
{
	way_command(A, NULL);
	way_command(B, NULL);
	assert_int_equal(dsp->way_count, 0);
	rte_ring_free(dsp->commands);
	rte_ring_free(dsp->events);
	rte_ring_free(dsp->in[0]);
	rte_ring_free(dsp->out[0]);
	free(dsp->ways);
	free(dsp);
	assert_int_equal(rte_mempool_in_use_count(rig->pool), 0); // each packet was given back
	assert_int_equal(rig->relay->taken, rig->relay->given);
	rig_destroy(rig);
	return 0;
}

static void way_make(kg_leg_id from, kg_leg_id to, unsigned in, unsigned out, uint8_t ptime_ms)
{
	struct transcode_config way_config = {
		.in = {.codec = codec_find(codecs[in].name, codecs[in].clock, in == OPUS ? 2 : 1),
			.payload_type = codecs[in].type,
			.event_type = 101,
			.event_hz = 8000},
		.out = {.codec = codec_find(codecs[out].name, codecs[out].clock, out == OPUS ? 2 : 1),
			.payload_type = codecs[out].type,
			.event_type = 102,
			.event_hz = 8000,
			.ptime_ms = ptime_ms},
		.jbuf_mode = JBUF_FIXED,
		.ssrc = 0xabcd0000 | from,
		.ts = 5000,
		.seq = 65000,
	};
	struct dsp_way *way = aligned_alloc(64, (sizeof(*way) + transcode_bytes(&way_config) + 63) / 64 * 64);

	*way = (struct dsp_way){.from = from, .to = to, .ptime_ms = ptime_ms};
	assert_int_equal(transcode_init(&way->transcode, &way_config), 0);
	way_command(from, way);
}

// Both legs through rooms, as the facade does it (its own test is media_test.c).
static void rooms_make(unsigned a, unsigned b, uint8_t ptime_a, uint8_t ptime_b)
{
	leg_a.codec = leg_b.peer_codec = codec_of(a, ptime_a);
	leg_b.codec = leg_a.peer_codec = codec_of(b, ptime_b);
	rig_leg_change(rig, A, &leg_a);
	rig_leg_change(rig, B, &leg_b);
	way_make(A, B, a, b, ptime_b);
	way_make(B, A, b, a, ptime_a);
	rig->relay->legs[1].in.room = rig->relay->legs[2].in.room = 1;
	rig->relay->legs[1].in.peer = rig->relay->legs[2].in.peer = 0;
}

static void collect(void)
{
	for (unsigned nic = 0; nic < 2; nic++) {
		struct relay_tx *tx = &rig->relay->tx[nic];
		unsigned n = tx->count;

		for (unsigned i = 0; i < n; i++) {
			struct rig_out *to = &left[left_count++];

			assert_in_range(left_count, 1, 63);
			to->nic = nic;
			to->length = rte_pktmbuf_data_len(tx->packets[i]);
			to->tx_flags = tx->packets[i]->ol_flags;
			memcpy(to->frame, rte_pktmbuf_mtod(tx->packets[i], void *), to->length);
			rte_pktmbuf_free(tx->packets[i]);
		}
		relay_sent(rig->relay, nic, n);
	}
}

static void made(void)
{
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned n;

	relay_hand_flush(rig->relay);
	dsp_turn(dsp, now_us);
	while ((n = rte_ring_sc_dequeue_burst(dsp->out[0], (void **)packets, RELAY_BURST, NULL)) > 0) {
		relay_made(rig->relay, packets, n, now_us * 8);
		collect();
	}
}

static void deliver(const struct kg_leg_config *to, const struct kg_addr *source, const struct kg_addr *target,
	const uint8_t *payload, unsigned length)
{
	uint8_t frame[2048];
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	unsigned bytes = rig_frame(frame, source, target, payload, length, RIG_WHOLE);

	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), frame, bytes);
	relay_process(rig->relay, &mbuf, 1, now_us * 8);
	collect();
}

static void says(const struct kg_leg_config *leg, uint8_t type, uint16_t seq, uint32_t ts, uint32_t ssrc,
	const uint8_t *payload, unsigned length)
{
	uint8_t rtp[1500] = {0x80, type};

	rtp_put16(rtp + 2, seq);
	rtp_put32(rtp + 4, ts);
	rtp_put32(rtp + 8, ssrc);
	memcpy(rtp + 12, payload, length);
	deliver(leg, &leg->remote, &leg->local, rtp, 12 + length);
}

static void pass_ms(unsigned ms)
{
	while (ms--) {
		now_us += MS;
		made();
	}
}

static const uint8_t *rtp_of(const struct rig_out *out)
{
	assert_true(rig_sound(out));
	return out->frame + LEG_HEADER_4;
}

static void silence_of(uint8_t payload[160], unsigned n)
{
	for (unsigned i = 0; i < 160; i++)
		payload[i] = (uint8_t)(0x30 + (i * 7 + n * 13) % 60); // loud enough to be heard as something
}

// --- rooms
// ------------------------------------------------------------------------------------------------------------

static void what_comes_as_one_leaves_as_the_other(void **state)
{
	uint8_t payload[160];

	rooms_make(PCMU, G722, 20, 20);
	for (unsigned n = 0; n < 50; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)(100 + n), 160 * n, 0x1111, payload, 160);
		pass_ms(20);
	}
	assert_in_range(left_count, 46, 50); // all but what the jitter buffer has
	for (unsigned i = 0; i < left_count; i++) {
		const uint8_t *rtp = rtp_of(&left[i]), *before = i ? rtp_of(&left[i - 1]) : NULL;

		assert_int_equal(left[i].nic, 1);
		assert_int_equal(left[i].length, LEG_HEADER_4 + 12 + 160);
		assert_int_equal(rtp[1], i ? 9 : 0x89);
		if (!before)
			continue;
		assert_int_equal((uint16_t)(rtp_get16(rtp + 2) - rtp_get16(before + 2)), 1);
		assert_int_equal(rtp_get32(rtp + 4) - rtp_get32(before + 4), 160);
		assert_int_equal(rtp_get32(rtp + 8), rtp_get32(before + 8));
	}
	assert_int_equal(rig->relay->counters[KG_CNT_to_rooms], 50);
	assert_int_equal(rig->relay->counters[KG_CNT_from_rooms], left_count);
	assert_int_equal(rig->relay->legs[2].tx.packets, left_count);
	assert_int_equal(rig->relay->legs[1].stream.packets, 50);
}

static void ptimes_of_both_sides(void **state)
{
	uint8_t payload[160];

	rooms_make(PCMU, OPUS, 20, 60);
	for (unsigned n = 0; n < 60; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)n, 160 * n, 1, payload, 160);
		pass_ms(20);
	}
	assert_in_range(left_count, 17, 20);
	for (unsigned i = 1; i < left_count; i++)
		assert_int_equal(rtp_get32(rtp_of(&left[i]) + 4) - rtp_get32(rtp_of(&left[i - 1]) + 4), 2880);
}

// Relayed, then transcoded, then relayed: one SSRC, a sequence without a hole, a timestamp that goes on.
static void a_running_call_changes(void **state)
{
	uint8_t payload[160];
	const uint8_t *first;
	unsigned n = 0, relayed;

	for (; n < 10; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)(700 + n), 9000 + 160 * n, 0x2222, payload, 160);
		pass_ms(20);
	}
	relayed = left_count;
	assert_int_equal(relayed, 10);
	rooms_make(PCMU, G722, 20, 20);
	for (; n < 30; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)(700 + n), 9000 + 160 * n, 0x2222, payload, 160);
		pass_ms(20);
	}
	assert_in_range(left_count, 26, 30);
	relayed = left_count;
	way_command(A, NULL);
	way_command(B, NULL);
	leg_a.codec.row = leg_b.codec.row = 0;
	rig_leg_change(rig, A, &leg_a);
	rig_leg_change(rig, B, &leg_b);
	for (; n < 40; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)(700 + n), 9000 + 160 * n, 0x2222, payload, 160);
		pass_ms(20);
	}
	assert_int_equal(left_count, relayed + 10);
	first = rtp_of(&left[0]);
	for (unsigned i = 1; i < left_count; i++) {
		const uint8_t *rtp = rtp_of(&left[i]), *before = rtp_of(&left[i - 1]);
		uint32_t step = rtp_get32(rtp + 4) - rtp_get32(before + 4);

		assert_int_equal(rtp_get32(rtp + 8), rtp_get32(first + 8));
		assert_int_equal((uint16_t)(rtp_get16(rtp + 2) - rtp_get16(first + 2)), i);
		assert_in_range(step, 1, 160 * 5); // where it changes, the time that passed
		if (i != 10 && i != relayed)
			assert_int_equal(step, 160);
	}
}

static void events_leave_at_once(void **state)
{
	const uint8_t event[] = {5, 10, 0x01, 0x40};

	rooms_make(PCMU, G722, 20, 20);
	for (unsigned n = 0; n < 3; n++) {
		says(&leg_a, 0x80 | 101, (uint16_t)(1 + n), 4000, 7, event, 4);
		made();
	}
	assert_int_equal(left_count, 3);
	assert_int_equal(rtp_of(&left[0])[1], 0x80 | 102);
	assert_int_equal(rtp_of(&left[1])[1], 102);
	assert_memory_equal(rtp_of(&left[2]) + 12, event, 4);
	assert_int_equal(rtp_get32(rtp_of(&left[2]) + 4), rtp_get32(rtp_of(&left[0]) + 4));
}

static void packets_of_rooms_that_ended(void **state)
{
	uint8_t payload[160];

	rooms_make(PCMU, G722, 20, 20);
	silence_of(payload, 0);
	says(&leg_a, 0, 1, 160, 1, payload, 160);
	relay_hand_flush(rig->relay); // it lies in the ring
	way_command(A, NULL);
	assert_int_equal(dsp->packets_in, 1);
	// and of one whose leg has gone meanwhile
	way_make(A, B, PCMU, G722, 20);
	for (unsigned n = 0; n < 5; n++) {
		says(&leg_a, 0, (uint16_t)(2 + n), 320 + 160 * n, 1, payload, 160);
		relay_hand_flush(rig->relay);
		now_us += 20 * MS;
		dsp_turn(dsp, now_us);
	}
	assert_in_range(rte_ring_count(dsp->out[0]), 1, 5);
	rig_leg_retire(rig, B, &leg_b);
	made();
	assert_int_equal(left_count, 0);
	assert_in_range(rig->relay->drops[KG_DROP_peer_gone], 1, 6);
}

static void a_room_waits_for_its_next_hop(void **state)
{
	uint8_t payload[160];
	unsigned waited;

	rooms_make(PCMU, G722, 20, 20);
	rig->relay->wait.room = RELAY_WAIT;
	leg_b.hop.resolved = false;
	rig_leg_change(rig, B, &leg_b);
	rig->relay->legs[2].in.room = 1;
	for (unsigned n = 0; n < 6; n++) {
		silence_of(payload, n);
		says(&leg_a, 0, (uint16_t)n, 160 * n, 1, payload, 160);
		pass_ms(20);
	}
	waited = rig->relay->wait.count;
	assert_in_range(waited, 2, 6);
	assert_int_equal(left_count, 0);
	leg_b.hop.resolved = true;
	rig_leg_change(rig, B, &leg_b);
	wait_changed(rig->relay, B);
	assert_int_equal(wait_pop(rig->relay, now_us * 8), waited);
	collect();
	assert_int_equal(left_count, waited);
	for (unsigned i = 1; i < left_count; i++)
		assert_int_equal(rtp_get16(rtp_of(&left[i]) + 2), rtp_get16(rtp_of(&left[i - 1]) + 2) + 1);
}

// --- reports
// ----------------------------------------------------------------------------------------------------------

static const uint8_t *rtcp_to(unsigned nic, unsigned *length)
{
	for (unsigned i = 0; i < left_count; i++) {
		const uint8_t *payload = left[i].frame + LEG_HEADER_4;

		if (left[i].nic != nic || payload[1] < 200 || payload[1] > 201)
			continue;
		assert_true(rig_sound(&left[i]));
		*length = left[i].length - LEG_HEADER_4;
		return payload;
	}
	return NULL;
}

// Each party gets our own reports: about our line to it, and about what came from it. Its own end here.
static void both_get_our_own_reports(void **state)
{
	uint8_t payload[160], sr[28] = {0x80, 200, 0, 6, 0, 0, 0x33, 0x33, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0};
	struct kg_addr source = leg_a.remote_rtcp, target = leg_a.local;
	const uint8_t *to_a, *to_b;
	unsigned length, n, sent = 0;

	rooms_make(PCMU, G722, 20, 20);
	target.port++;
	for (n = 0; n < 150; n++) {
		left_count = 0;
		silence_of(payload, n);
		if (n % 10 != 9) // a tenth is lost
			says(&leg_a, 0, (uint16_t)(100 + n), 160 * n, 0x3333, payload, 160);
		if (n == 100)
			deliver(&leg_a, &source, &target, sr, sizeof(sr));
		pass_ms(20);
		to_b = rtcp_to(1, &length);
		for (unsigned i = 0; i < left_count; i++)
			sent += left[i].nic == 1 && left[i].frame[LEG_HEADER_4 + 1] < 192;
		if (to_b) {
			assert_true(rtcp_sound(to_b, length));
			assert_int_equal(to_b[1], 200);                        // an SR: we send to it
			assert_int_equal(to_b[0] & 31, 0);                     // about nobody: it has sent nothing
			assert_in_range(rtp_get32(to_b + 20), sent - 1, sent); // packets
			assert_int_equal(rtp_get32(to_b + 24), rtp_get32(to_b + 20) * 160);
			assert_int_equal(to_b[28 + 1], 202); // with a name
		}
		to_a = rtcp_to(0, &length);
		if (!to_a)
			continue;
		assert_true(rtcp_sound(to_a, length));
		assert_int_equal(to_a[1], 201); // an RR: nothing was sent to it
		assert_int_equal(to_a[0] & 31, 1);
		assert_int_equal(rtp_get32(to_a + 8), 0x3333);
		assert_in_range(to_a[12], 20, 30);                        // a tenth of 256
		assert_in_range(rtp_get32(to_a + 12) & 0xffffff, 11, 13); // of some 125
		assert_in_range(rtp_get32(to_a + 16), 100 + n - 1, 100 + n);
		assert_int_equal(rtp_get32(to_a + 24), 0x12345678 >> 0 & 0xffffffff);
		assert_in_range(rtp_get32(to_a + 28), 65536 * 20 / 1000 * (n - 100), 65536 * 20 / 1000 * (n - 99));
		break;
	}
	assert_in_range(n, 120, 130); // after two and a half seconds
	assert_int_equal(dsp->reports, 2);
}

// The fraction is of what was due since the last report, the sum of all (RFC 3550 6.4.1).
static void a_report_is_of_its_interval(void **state)
{
	uint8_t rtp[12] = {0x80}, out[REPORT_BYTES];
	struct report line, in;

	report_init(&line, 1, 8000, 5);
	report_init(&in, 2, 8000, 6);
	for (unsigned n = 0; n < 200; n++) {
		rtp_put16(rtp + 2, (uint16_t)n);
		rtp_put32(rtp + 4, 160 * n);
		if (n >= 100 || n % 2 == 0 || n == 99)
			report_received(&in, rtp, 20000 * n, 8000);
		if (n != 99 && n != 199)
			continue;
		assert_true(rtcp_sound(out, report_write(&line, &in, 20000 * n, 0, out)));
		assert_in_range(out[12], n == 99 ? 120 : 0, n == 99 ? 128 : 0);
		assert_int_equal(rtp_get32(out + 12) & 0xffffff, 49);
	}
}

// What a party loses decides what redundancy Opus brings it.
static void losses_that_are_reported_are_answered(void **state)
{
	uint8_t rr[32] = {0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 26, 0, 0, 9}; // 10 %
	struct kg_addr source = leg_b.remote_rtcp, target = leg_b.local;

	rooms_make(PCMU, OPUS, 20, 20);
	target.port++;
	deliver(&leg_b, &source, &target, rr, sizeof(rr));
	made();
	assert_int_equal(dsp->ways[1]->transcode.report.lost_256, 26);
	assert_int_equal(dsp->ways[1]->transcode.loss_percent, 0);
	pass_ms(2600);
	assert_int_equal(dsp->ways[1]->transcode.loss_percent, 10);
}

// --- time
// -------------------------------------------------------------------------------------------------------------

static void rooms_are_spread_over_phases(void **state)
{
	way_make(A, B, PCMU, G722, 20);
	for (kg_leg_id id = 0x00100003u; id <= 0x00100008u; id++)
		way_make(id, B, PCMU, G722, 20);
	for (unsigned i = 0; i < DSP_SLOTS; i++)
		assert_in_range(dsp->slot_count[i], 0, 1);
	pass_ms(500);
	for (unsigned i = 0; i < DSP_SLOTS; i++)
		assert_in_range(dsp->slot_count[i], 0, 1);
	assert_in_range(dsp->ticks, 7 * 24, 7 * 26);
	for (kg_leg_id id = 0x00100003u; id <= 0x00100008u; id++)
		way_command(id, NULL);
	assert_int_equal(dsp->way_count, 1);
}

static void who_stood_still_does_not_hurry(void **state)
{
	rooms_make(PCMU, G722, 20, 20);
	pass_ms(100);
	dsp->ticks = 0;
	now_us += 10000 * MS; // ten seconds
	made();
	assert_in_range(dsp->ticks, 1, 2 * 10);
	assert_in_range(dsp->late_ticks, 2 * 150, 2 * 160);
	dsp->ticks = 0;
	pass_ms(1000);
	assert_in_range(dsp->ticks, 2 * 49, 2 * 51);
}

static void encoders_think_less_under_load(void **state)
{
	rooms_make(PCMU, OPUS, 20, 20);
	for (unsigned i = 0; i < 5; i++) {
		static const uint8_t steps[] = {
			3, 1, CODEC_COMPLEXITY_LEAST, CODEC_COMPLEXITY_LEAST, CODEC_COMPLEXITY_LEAST};

		dsp->busy_tsc += 900000;
		dsp_look(dsp, 0, 1000000);
		assert_int_equal(dsp->complexity, steps[i]);
		assert_int_equal(dsp->ways[1]->transcode.complexity, steps[i]);
	}
	dsp->busy_tsc += 500000; // neither much nor little
	dsp_look(dsp, 0, 1000000);
	assert_int_equal(dsp->complexity, CODEC_COMPLEXITY_LEAST);
	way_make(A, B, PCMU, OPUS, 20); // and a new one begins like that
	assert_int_equal(dsp->ways[1]->transcode.complexity, CODEC_COMPLEXITY_LEAST);
	for (unsigned i = 0; i < 4; i++) {
		static const uint8_t steps[] = {1, 3, 0, 0};

		dsp_look(dsp, 0, 1000000);
		assert_int_equal(dsp->complexity, steps[i]);
	}
}

// --- the two laws
// -----------------------------------------------------------------------------------------------------

static void laws_are_put_in_place(void **state)
{
	const struct g711_kernel *kernel = g711_kernel_choose();
	uint8_t all[256], there[256];
	const uint8_t *rtp;

	leg_a.codec = leg_b.peer_codec = codec_of(PCMU, 0);
	leg_b.codec = leg_a.peer_codec = codec_of(PCMA, 20);
	leg_a.peer_codec.event_type = leg_b.codec.event_type = 97;
	rig_leg_change(rig, A, &leg_a);
	rig_leg_change(rig, B, &leg_b);
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	says(&leg_a, 0x80, 500, 777, 0x55, all, 255); // an odd length too
	assert_int_equal(left_count, 1);
	rtp = rtp_of(&left[0]); // its checksum is whole
	kernel->ulaw_to_alaw(all, there, 255);
	assert_memory_equal(rtp + 12, there, 255);
	assert_int_equal(rtp[1], 0x88);
	assert_int_equal(rtp_get16(rtp + 2), 500);
	says(&leg_b, 8, 501, 778, 0x66, all, 256);
	rtp = rtp_of(&left[1]);
	kernel->alaw_to_ulaw(all, there, 256);
	assert_memory_equal(rtp + 12, there, 256);
	assert_int_equal(rtp[1], 0);
	says(&leg_a, 101, 501, 900, 0x55, all, 4); // an event gets the other's number, and stays what it is
	rtp = rtp_of(&left[2]);
	assert_int_equal(rtp[1], 97);
	assert_memory_equal(rtp + 12, all, 4);
	says(&leg_a, 13, 502, 900, 0x55, all, 4); // comfort noise has one number
	rtp = rtp_of(&left[3]);
	assert_int_equal(rtp[1], 13);
	assert_memory_equal(rtp + 12, all, 4);
	assert_int_equal(rig->relay->counters[KG_CNT_to_rooms], 0);
}

static void headers_and_padding_stay(void **state)
{
	uint8_t rtp[64] = {0xb1, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5, 0xca, 0xfe, 0xba, 0xbe, 0xbe, 0xde, 0, 1, 0x10, 0xff,
		0, 0, 1, 2, 3, 4, 5, 0, 0, 3};
	uint8_t body[5];
	const uint8_t *got;

	leg_a.codec = leg_b.peer_codec = codec_of(PCMU, 0);
	leg_b.codec = leg_a.peer_codec = codec_of(PCMA, 0);
	rig_leg_change(rig, A, &leg_a);
	rig_leg_change(rig, B, &leg_b);
	deliver(&leg_a, &leg_a.remote, &leg_a.local, rtp, 32);
	assert_int_equal(left_count, 1);
	got = rtp_of(&left[0]);
	g711_kernel_choose()->ulaw_to_alaw(rtp + 24, body, 5);
	assert_memory_equal(got + 12, rtp + 12, 12);
	assert_memory_equal(got + 24, body, 5);
	assert_memory_equal(got + 29, rtp + 29, 3);
}

static void laws_with_other_packets_need_a_room(void **state)
{
	leg_a.codec = leg_b.peer_codec = codec_of(PCMU, 20);
	leg_b.codec = leg_a.peer_codec = codec_of(PCMA, 30);
	assert_int_equal(leg_law(&leg_a), LEG_LAW_NONE);
	leg_a.peer_codec.ptime_ms = 20;
	assert_int_equal(leg_law(&leg_a), LEG_LAW_ULAW_TO_ALAW);
	leg_b.codec.ptime_ms = 0;
	assert_int_equal(leg_law(&leg_b), LEG_LAW_ALAW_TO_ULAW);
	leg_b.codec = codec_of(PCMU, 20);
	assert_int_equal(leg_law(&leg_b), LEG_LAW_NONE);
	leg_b.codec = codec_of(G722, 20);
	assert_int_equal(leg_law(&leg_b), LEG_LAW_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_comes_as_one_leaves_as_the_other),
		TEST(ptimes_of_both_sides),
		TEST(a_running_call_changes),
		TEST(events_leave_at_once),
		TEST(packets_of_rooms_that_ended),
		TEST(a_room_waits_for_its_next_hop),
		TEST(both_get_our_own_reports),
		TEST(a_report_is_of_its_interval),
		TEST(losses_that_are_reported_are_answered),
		TEST(rooms_are_spread_over_phases),
		TEST(who_stood_still_does_not_hurry),
		TEST(encoders_think_less_under_load),
		TEST(laws_are_put_in_place),
		TEST(headers_and_padding_stay),
		TEST(laws_with_other_packets_need_a_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
