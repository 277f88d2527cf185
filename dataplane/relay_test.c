// SPDX-License-Identifier: BSD-3-Clause
// The packet path on frames from memory: what leaves, byte for byte, and the name of what does not.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_ip.h>

#include "relay_rig.h"

#define A 0x00100001u // leg ids: generation 1, index 1 and 2
#define B 0x00100002u

static struct rig *rig;
static struct kg_leg_config leg_a, leg_b;
static struct rig_out out[RELAY_BURST];
static uint8_t frame[4096];

static struct kg_addr addr(const char *ip, uint16_t port)
{
	struct kg_addr out_addr;

	assert_int_equal(kg_addr_parse(&out_addr, ip, port), 0);
	return out_addr;
}

static struct kg_leg_config config(const char *local, const char *remote, uint16_t port, uint8_t nic, kg_leg_id peer)
{
	struct kg_leg_config leg = {
		.nic = nic,
		.local = addr(local, 20000),
		.remote = addr(remote, port),
		.remote_rtcp = addr(remote, (uint16_t)(port + 1)),
		.hop = {.resolved = true, .source_mac = {2, 0, 0, 0, 0, nic}, .target_mac = {2, 0, 0, 0, 1, nic}},
		.may_receive = true,
		.may_send = true,
		.dscp = 46,
		.peer = peer,
		.formats = {{0, 8000}, {101, 8000}},
		.format_count = 2,
	};

	return leg;
}

static int set_up(void **state)
{
	rig = rig_create(8);
	leg_a = config("10.0.0.1", "10.0.0.9", 4000, 0, B);
	leg_b = config("10.0.1.1", "10.0.1.9", 6000, 1, A);
	rig_leg_create(rig, A, &leg_a);
	rig_leg_create(rig, B, &leg_b);
	return 0;
}

static bool provoked[KG_DROP_COUNT]; // by any test

// A reason by which a packet ends before its leg is known.
static bool before_the_leg(unsigned reason)
{
	for (const int *exit = relay_stages[RELAY_CLASSIFY].exits; *exit >= 0; exit++)
		if ((unsigned)*exit == reason)
			return true;
	return false;
}

// After each test the lcore's drops are the legs' sums. (Too long has two exits: only the second has a leg.)
static int tear_down(void **state)
{
	for (unsigned i = 0; i < KG_DROP_COUNT; i++) {
		uint64_t sum = 0;

		for (unsigned j = 1; j <= rig->relay->leg_room; j++)
			sum += rig->relay->cold[j].drops[i];
		if (i == KG_DROP_too_long)
			assert_true(sum <= rig->relay->drops[i]);
		else
			assert_int_equal(sum, before_the_leg(i) ? 0 : rig->relay->drops[i]);
		provoked[i] = provoked[i] || rig->relay->drops[i];
	}
	rig_destroy(rig);
	return 0;
}

static unsigned rtp(uint8_t *packet, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
	memset(packet, 0, 172);
	packet[0] = 0x80;
	packet[1] = sequence % 7 == 0 ? 0x80 : 0;
	rtp_put16(packet + 2, sequence);
	rtp_put32(packet + 4, timestamp);
	rtp_put32(packet + 8, ssrc);
	for (unsigned i = 12; i < 172; i++)
		packet[i] = (uint8_t)(i * 31 + sequence);
	return 172;
}

// One datagram from a leg's remote. Returns: how many frames left.
static unsigned deliver(const struct kg_leg_config *from, const void *payload, unsigned length)
{
	return rig_one(rig, frame, rig_frame(frame, &from->remote, &from->local, payload, length, RIG_PARTIAL), out);
}

static unsigned send_rtp(const struct kg_leg_config *from, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
	uint8_t packet[172];

	return deliver(from, packet, rtp(packet, sequence, timestamp, ssrc));
}

static uint64_t dropped(enum kg_drop reason, kg_leg_id leg)
{
	uint64_t count = rig->relay->drops[reason];

	if (leg)
		assert_int_equal(rig->relay->cold[leg_index(leg)].drops[reason], count);
	return count;
}

static const uint8_t *payload_of(unsigned i)
{
	assert_true(rig_sound(&out[i]));
	return out[i].frame + 42;
}

// --- what passes ----------------------------------------------------------------------------------------------------

static void rtp_passes_bit_exact_both_ways(void **state)
{
	const struct kg_leg_config *legs[] = {&leg_a, &leg_b};
	uint8_t packet[172];

	for (unsigned i = 0; i < 200; i++) {
		for (unsigned way = 0; way < 2; way++) {
			const struct kg_leg_config *from = legs[way], *to = legs[!way];
			unsigned length = rtp(packet, (uint16_t)(65500 + i), i * 320, 0xabc0 + way);

			assert_int_equal(deliver(from, packet, length), 1);
			assert_int_equal(out[0].nic, to->nic);
			assert_int_equal(out[0].length, 42 + length);
			assert_memory_equal(payload_of(0), packet, length);
			assert_memory_equal(out[0].frame, to->hop.target_mac, 6);
			assert_memory_equal(out[0].frame + 6, to->hop.source_mac, 6);
			assert_memory_equal(out[0].frame + 26, to->local.ip, 4);
			assert_memory_equal(out[0].frame + 30, to->remote.ip, 4);
			assert_int_equal(rtp_get16(out[0].frame + 34), to->local.port);
			assert_int_equal(rtp_get16(out[0].frame + 36), to->remote.port);
			assert_int_equal(out[0].frame[15], 46 << 2);
		}
	}
	for (unsigned way = 0; way < 2; way++) {
		struct kg_leg_stats stats;

		leg_stats(&rig->relay->legs[way + 1], &rig->relay->cold[way + 1], &stats);
		assert_int_equal(stats.rx_packets, 200);
		assert_int_equal(stats.rx_bytes, 200 * 172);
		assert_int_equal(stats.tx_packets, 200);
		assert_int_equal(stats.rx_lost, 0);
		assert_int_equal(stats.rx_jitter_us, 0);
		assert_int_equal(stats.rx_ssrc, 0xabc0 + way);
	}
	assert_int_equal(rig->first_packets, 2);
	assert_int_equal(rig->relay->counters[KG_CNT_rtp_relayed], 400);
}

static void a_burst_keeps_its_order(void **state)
{
	uint8_t packets[RELAY_BURST][256], *frames[RELAY_BURST];
	unsigned lengths[RELAY_BURST], left = 0;

	for (unsigned i = 0; i < RELAY_BURST; i++) {
		uint8_t packet[172];
		bool wrong = i % 5 == 3;

		rtp(packet, (uint16_t)i, i * 160, 7);
		packet[0] = wrong ? 0x40 : 0x80;
		frames[i] = packets[i];
		lengths[i] =
			rig_frame(packets[i], &leg_a.remote, &leg_a.local, packet, 172, (enum rig_checksum)(i % 3));
		left += !wrong;
	}
	assert_int_equal(rig_burst(rig, frames, lengths, RELAY_BURST, out), left);
	for (unsigned i = 0, j = 0; i < RELAY_BURST; i++)
		if (i % 5 != 3)
			assert_int_equal(rtp_get16(payload_of(j++) + 2), i);
	assert_int_equal(dropped(KG_DROP_not_media, A), RELAY_BURST - left);
}

static void checksums_are_whole_whatever_came(void **state)
{
	uint8_t packet[173];

	for (unsigned odd = 0; odd < 2; odd++) {
		for (enum rig_checksum kind = RIG_WHOLE; kind <= RIG_WRONG; kind++) {
			unsigned length = rtp(packet, (uint16_t)(kind + 10 * odd), 0, 7) - odd;

			length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, length, kind);
			assert_int_equal(rig_one(rig, frame, length, out), 1);
			assert_int_equal(rig_sound(&out[0]), kind != RIG_WRONG); // whose payload is wrong stays wrong
		}
	}
}

// What the nic found out, and what it left to do.
static void checksums_that_the_nic_looked_at(void **state)
{
	uint8_t packet[172];

	for (enum rig_checksum kind = RIG_WHOLE; kind <= RIG_WRONG; kind++) {
		unsigned length = rtp(packet, (uint16_t)(3 * kind), 0, 7);

		length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, length, kind);
		rig->rx_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
		assert_int_equal(rig_one(rig, frame, length, out), 0);
		assert_int_equal(dropped(KG_DROP_bad_checksum, 0), kind + 1);
		rig->rx_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE; // whatever is in it: the data are right, it is to be made
		packet[3]++;
		length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, 172, kind);
		assert_int_equal(rig_one(rig, frame, length, out), 1);
		assert_true(rig_sound(&out[0]));
		rig->rx_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		packet[3]++;
		length = rig_frame(
			frame, &leg_a.remote, &leg_a.local, packet, 172, kind == RIG_WRONG ? RIG_WHOLE : kind);
		assert_int_equal(rig_one(rig, frame, length, out), 1);
		assert_true(rig_sound(&out[0]));
	}
}

// What came without a whole checksum the nic completes, where it can; a whole one is cheaper to update.
static void the_nic_completes_checksums(void **state)
{
	static const enum rig_checksum kinds[] = {RIG_PARTIAL, RIG_ZERO, RIG_WHOLE};
	uint8_t packet[172];
	unsigned length;

	for (unsigned nic = 0; nic < KG_MEDIA_NICS; nic++)
		rig->relay->tx[nic].udp_checksum = true;
	for (unsigned i = 0; i < 3; i++) {
		struct rte_ipv4_hdr *ip = (void *)(out[0].frame + 14);
		uint16_t sum;

		length =
			rig_frame(frame, &leg_a.remote, &leg_a.local, packet, rtp(packet, (uint16_t)i, 2, 3), kinds[i]);
		assert_int_equal(rig_one(rig, frame, length, out), 1);
		memcpy(&sum, out[0].frame + 40, 2);
		if (kinds[i] == RIG_WHOLE) {
			assert_int_equal(out[0].tx_flags, 0);
			assert_true(rig_sound(&out[0]));
		} else {
			assert_int_equal(out[0].tx_flags, RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4);
			assert_int_equal(sum, rte_ipv4_phdr_cksum(ip, 0));
		}
	}
}

static void options_and_padding_are_gone(void **state)
{
	uint8_t packet[172], plain[512];
	unsigned length = rig_frame(plain, &leg_a.remote, &leg_a.local, packet, rtp(packet, 1, 2, 3), RIG_ZERO);

	memcpy(frame, plain, 34);
	memset(frame + 34, 1, 8); // two words of no-operation options
	memcpy(frame + 42, plain + 34, length - 34);
	frame[14] = 0x47;
	rtp_put16(frame + 16, (uint16_t)(length - 14 + 8));
	rtp_put16(frame + 24, 0);
	{
		uint32_t sum = 0;

		for (unsigned i = 0; i < 28; i += 2)
			sum += rtp_get16(frame + 14 + i);
		sum = (sum & 0xffff) + (sum >> 16);
		rtp_put16(frame + 24, (uint16_t)~sum);
	}
	memset(frame + length + 8, 0xee, 5); // Ethernet's padding
	assert_int_equal(rig_one(rig, frame, length + 8 + 5, out), 1);
	assert_int_equal(out[0].length, length);
	assert_memory_equal(payload_of(0), packet, 172);
}

// --- RTCP -----------------------------------------------------------------------------------------------------------

static unsigned receiver_report(uint8_t *packet, uint32_t from, uint32_t about)
{
	memset(packet, 0, 32);
	packet[0] = 0x81;
	packet[1] = 201;
	packet[3] = 7;
	rtp_put32(packet + 4, from);
	rtp_put32(packet + 8, about);
	rtp_put32(packet + 16, 100);
	return 32;
}

static void rtcp_passes_on_its_own_port(void **state)
{
	struct kg_leg_config rtcp = leg_a;
	uint8_t report[32];
	unsigned length;

	rtcp.local.port++;
	rtcp.remote.port++;
	length = receiver_report(report, 1, 2);
	assert_int_equal(deliver(&rtcp, report, length), 1);
	assert_memory_equal(payload_of(0), report, length);
	assert_int_equal(rtp_get16(out[0].frame + 34), leg_b.local.port + 1);
	assert_int_equal(rtp_get16(out[0].frame + 36), leg_b.remote.port + 1);
	assert_int_equal(rig->relay->counters[KG_CNT_rtcp_relayed], 1);
	assert_int_equal(rig->relay->cold[1].rx_rtcp_packets, 1);
	assert_int_equal(deliver(&leg_a, report, length), 0); // on the RTP port without rtcp-mux
	assert_int_equal(dropped(KG_DROP_not_media, A), 1);
	report[3] = 20;
	assert_int_equal(deliver(&rtcp, report, length), 0);
	assert_int_equal(dropped(KG_DROP_rtcp_malformed, A), 1);
}

static void rtcp_mux_uses_the_rtp_port(void **state)
{
	uint8_t report[32];
	unsigned length = receiver_report(report, 1, 2);

	leg_b.rtcp_mux = true;
	leg_b.remote_rtcp = leg_b.remote;
	rig_leg_change(rig, B, &leg_b);
	assert_int_equal(deliver(&leg_b, report, length), 1);
	assert_int_equal(rtp_get16(out[0].frame + 36), leg_a.remote.port + 1);
	leg_a.local.port++;
	leg_a.remote.port++;
	assert_int_equal(deliver(&leg_a, report, length), 1);
	assert_int_equal(rtp_get16(out[0].frame + 34), leg_b.local.port);
	assert_int_equal(rtp_get16(out[0].frame + 36), leg_b.remote.port);
	assert_true(rig_sound(&out[0]));
}

// --- sources --------------------------------------------------------------------------------------------------------

static void a_later_source_goes_on_the_same_line(void **state)
{
	uint8_t report[32];
	const uint8_t *packet;
	unsigned length;

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send_rtp(&leg_a, (uint16_t)(100 + i), 1000 + i * 160, 0x11), 1);
	assert_int_equal(send_rtp(&leg_a, 7000, 99, 0x22), 0); // one packet is not believed
	assert_int_equal(dropped(KG_DROP_seq_probation, A), 1);
	assert_int_equal(send_rtp(&leg_a, 7001, 99 + 160, 0x22), 1);
	packet = payload_of(0);
	assert_int_equal(rtp_get32(packet + 8), 0x11);
	assert_int_equal(rtp_get16(packet + 2), 103);
	assert_int_equal(rtp_get32(packet + 4), 1000 + 2 * 160 + 2 * 160); // two bursts of 20 ms later
	assert_int_equal(send_rtp(&leg_a, 7002, 99 + 320, 0x22), 1);
	assert_int_equal(rtp_get16(payload_of(0) + 2), 104);
	// B's report about what it hears speaks of 0x11; A must read of 0x22 and of its own numbers.
	leg_b.local.port++;
	leg_b.remote.port++;
	length = receiver_report(report, 0x55, 0x11);
	assert_int_equal(deliver(&leg_b, report, length), 1);
	assert_int_equal(rtp_get32(payload_of(0) + 8), 0x22);
	assert_int_equal((uint16_t)rtp_get32(payload_of(0) + 16), (uint16_t)(100 + 7001 - 103));
	assert_int_equal(rig->relay->cold[1].sources, 2);
}

// The two packets that make a later source believed may lie on either side of 65535, and our line may wrap meanwhile.
static void a_later_source_may_wrap(void **state)
{
	assert_int_equal(send_rtp(&leg_a, 65534, 4294967295u, 0x11), 1);
	assert_int_equal(send_rtp(&leg_a, 65535, 159, 0x11), 1);
	assert_int_equal(send_rtp(&leg_a, 65535, 4294967290u, 0x22), 0);
	assert_int_equal(send_rtp(&leg_a, 0, 154, 0x22), 1);
	assert_int_equal(rtp_get16(payload_of(0) + 2), 0);
	assert_int_equal(rtp_get32(payload_of(0) + 4), 159 + 2 * 160);
	assert_int_equal(rig->relay->legs[1].stream.source.highest & 0xffff, 0);
}

static void loss_duplicates_and_order_are_counted(void **state)
{
	static const uint16_t sequence[] = {65533, 65534, 0, 65535, 1, 1, 4};
	struct kg_leg_stats stats;

	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(send_rtp(&leg_a, sequence[i], sequence[i] * 160u, 9), 1);
	leg_stats(&rig->relay->legs[1], &rig->relay->cold[1], &stats);
	assert_int_equal(stats.rx_packets, 7);
	assert_int_equal(stats.rx_lost, 2);
	assert_int_equal(stats.rx_reordered, 1);
	assert_int_equal(stats.rx_duplicate, 1);
}

static void a_silent_or_moved_source_is_replaced_at_once(void **state)
{
	send_rtp(&leg_a, 1, 100, 0x11);
	rig->now_tsc += rig->relay->tsc_hz; // nothing for a second
	assert_int_equal(send_rtp(&leg_a, 500, 9, 0x22), 1);
	assert_int_equal(rtp_get16(payload_of(0) + 2), 2);
	assert_int_equal(rtp_get32(payload_of(0) + 4), 100 + 8000 + 160);
	leg_a.remote = addr("10.0.0.7", 4444); // and control says that it sends from elsewhere
	rig_leg_change(rig, A, &leg_a);
	assert_int_equal(send_rtp(&leg_a, 800, 5, 0x33), 1);
	assert_int_equal(rtp_get16(payload_of(0) + 2), 3);
	assert_int_equal(dropped(KG_DROP_seq_probation, A), 0);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 0x44), 0); // but not so from the same one
	assert_int_equal(dropped(KG_DROP_seq_probation, A), 1);
	assert_int_equal(rig->first_packets, 1);
}

// The line's end is where its newest packet was, also over a wrap, a restart and late packets.
static void a_line_goes_on_from_its_newest_packet(void **state)
{
	uint8_t report[32];

	send_rtp(&leg_a, 65535, 100, 0x11);
	send_rtp(&leg_a, 1, 420, 0x11);
	send_rtp(&leg_a, 0, 260, 0x11); // late
	rig->now_tsc += rig->relay->tsc_hz;
	send_rtp(&leg_a, 9000, 0, 0x22);
	assert_int_equal(rtp_get16(payload_of(0) + 2), 2);
	leg_b.local.port++;
	leg_b.remote.port++;
	receiver_report(report, 0x55, 0x11);
	rtp_put32(report + 16, 65536 + 2); // B counts its wraps from the line's beginning, A's are 0x22's
	assert_int_equal(deliver(&leg_b, report, sizeof(report)), 1);
	assert_int_equal(rtp_get32(payload_of(0) + 8), 0x22);
	assert_int_equal(rtp_get32(payload_of(0) + 16), 9000);
	send_rtp(&leg_a, 30, 0, 0x22); // 0x22 begins anew, far back
	send_rtp(&leg_a, 31, 160, 0x22);
	assert_int_equal(rtp_get16(payload_of(0) + 2), (uint16_t)(31 + 2 - 9000));
	rig->now_tsc += rig->relay->tsc_hz;
	send_rtp(&leg_a, 7, 0, 0x33);
	assert_int_equal(rtp_get16(payload_of(0) + 2), (uint16_t)(31 + 2 - 9000 + 1));
}

// What A says of itself goes through the same map: its report's SSRC and RTP time, and the BYE of one that was before.
static void a_later_sources_own_rtcp_is_mapped(void **state)
{
	uint8_t report[36] = {0x80, 200, 0, 6, 0, 0, 0, 0x22, [28] = 0x81, 203, 0, 1, 0, 0, 0, 0x11};

	send_rtp(&leg_a, 1, 1000, 0x11);
	rig->now_tsc += rig->relay->tsc_hz;
	send_rtp(&leg_a, 500, 50, 0x22);
	rtp_put32(report + 16, 50);
	leg_a.local.port++;
	leg_a.remote.port++;
	assert_int_equal(deliver(&leg_a, report, sizeof(report)), 1);
	assert_int_equal(rtp_get32(payload_of(0) + 4), 0x11);
	assert_int_equal(rtp_get32(payload_of(0) + 16), 1000 + 8000 + 160);
	assert_int_equal(rtp_get32(payload_of(0) + 32), 0x22); // not the line that goes on
}

static void rtcp_passes_on_hold(void **state)
{
	struct kg_leg_config rtcp = leg_a;
	uint8_t report[32];

	leg_a.may_receive = leg_a.may_send = false;
	leg_b.may_receive = leg_b.may_send = false;
	rig_leg_change(rig, A, &leg_a);
	rig_leg_change(rig, B, &leg_b);
	rtcp.local.port++;
	rtcp.remote.port++;
	assert_int_equal(deliver(&rtcp, report, receiver_report(report, 1, 2)), 1);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_direction, A), 1);
}

static void hold_is_no_loss(void **state)
{
	struct kg_leg_stats stats;

	for (unsigned i = 0; i < 300; i++) {
		leg_a.may_receive = i < 100 || i >= 200;
		rig_leg_change(rig, A, &leg_a);
		assert_int_equal(send_rtp(&leg_a, (uint16_t)i, i * 160, 1), leg_a.may_receive);
	}
	leg_stats(&rig->relay->legs[1], &rig->relay->cold[1], &stats);
	assert_int_equal(stats.rx_lost, 0);
	assert_int_equal(stats.rx_packets, 200);
	assert_int_equal(stats.rx_sources, 1);
}

static void jitter_is_in_time_whatever_the_clocks(void **state)
{
	struct kg_leg_stats stats;
	uint8_t packet[172];

	leg_a.formats[1] = (struct kg_media_format){96, 48000};
	rig_leg_change(rig, A, &leg_a);
	for (unsigned i = 0; i < 400; i++) { // 20 ms apart, each second one 2 ms late
		rtp(packet, (uint16_t)i, i * 960, 1);
		packet[1] = 96;
		rig->now_tsc += i % 2 ? 16000 : 0;
		assert_int_equal(deliver(&leg_a, packet, 172), 1);
		rig->now_tsc -= i % 2 ? 16000 : 0;
	}
	leg_stats(&rig->relay->legs[1], &rig->relay->cold[1], &stats);
	assert_in_range(stats.rx_jitter_us, 1900, 2000);
}

static void an_event_that_finds_no_room_is_counted(void **state)
{
	const struct relay_event event = {.type = RELAY_EV_FIRST_PACKET};
	uint64_t lost;

	while (relay_tell(rig->relay, &event))
		;
	lost = rig->relay->counters[KG_CNT_events_lost];
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 1);
	assert_int_equal(rig->relay->counters[KG_CNT_events_lost], lost + 1);
}

// --- what does not pass, by name ------------------------------------------------------------------------------------

static void frames_that_are_no_media(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		enum kg_drop reason;
	} cases[] = {
		{12, 0x86, KG_DROP_not_ip},
		{14, 0x65, KG_DROP_bad_ip},
		{14, 0x44, KG_DROP_bad_ip},
		{16, 0x7f, KG_DROP_bad_ip},
		{25, 0x55, KG_DROP_bad_ip},
	};
	uint8_t packet[172];
	struct kg_addr other = addr("10.9.9.9", 20000), closed = leg_a.local;
	unsigned length;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t before = dropped(cases[i].reason, 0);

		length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, rtp(packet, 1, 1, 1), RIG_WHOLE);
		frame[cases[i].at] = cases[i].value;
		assert_int_equal(rig_one(rig, frame, length, out), 0);
		assert_int_equal(dropped(cases[i].reason, 0), before + 1);
	}
	assert_int_equal(rig_one(rig, frame, 13, out), 0);
	assert_int_equal(dropped(KG_DROP_not_ip, 0), 2);
	length = rig_frame(frame, &leg_a.remote, &other, packet, 172, RIG_WHOLE);
	assert_int_equal(rig_one(rig, frame, length, out), 0);
	assert_int_equal(dropped(KG_DROP_not_local, 0), 1);
	closed.port = 30000;
	length = rig_frame(frame, &leg_a.remote, &closed, packet, 172, RIG_WHOLE);
	assert_int_equal(rig_one(rig, frame, length, out), 0);
	assert_int_equal(dropped(KG_DROP_no_leg, 0), 1);
	assert_int_equal(rig_one(rig, frame, RELAY_MAX_FRAME + 1, out), 0);
	assert_int_equal(dropped(KG_DROP_too_long, 0), 1);
}

// A frame with one header byte changed and its IP checksum mended.
static void change(unsigned length, unsigned at, uint8_t value)
{
	uint32_t sum = 0;

	frame[at] = value;
	rtp_put16(frame + 24, 0);
	for (unsigned i = 0; i < 20; i += 2)
		sum += rtp_get16(frame + 14 + i);
	sum = (sum & 0xffff) + (sum >> 16);
	rtp_put16(frame + 24, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	assert_int_equal(rig_one(rig, frame, length, out), 0);
}

static void datagrams_that_are_none(void **state)
{
	uint8_t packet[172];
	unsigned length = rtp(packet, 1, 1, 1);

	length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, length, RIG_WHOLE);
	change(length, 20, 0x20); // more fragments
	assert_int_equal(dropped(KG_DROP_ip_fragment, 0), 1);
	length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, 172, RIG_WHOLE);
	change(length, 23, 6);
	assert_int_equal(dropped(KG_DROP_not_udp, 0), 1);
	length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, 172, RIG_WHOLE);
	change(length, 38, 0x10); // UDP says more than there is
	frame[39] = 7;            // less than its header
	change(length, 38, 0);
	assert_int_equal(dropped(KG_DROP_bad_udp, 0), 2);
}

static void senders_and_payloads_that_do_not_fit(void **state)
{
	struct kg_leg_config wrong = leg_a;
	uint8_t packet[172];

	wrong.remote.port++;
	assert_int_equal(send_rtp(&wrong, 1, 1, 1), 0);
	wrong.remote = addr("10.0.0.8", 4000);
	assert_int_equal(send_rtp(&wrong, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_wrong_source, A), 2);
	rtp(packet, 1, 1, 1);
	packet[0] = 1;
	assert_int_equal(deliver(&leg_a, packet, 20), 0);
	assert_int_equal(dropped(KG_DROP_stun, A), 1);
	packet[0] = 22;
	assert_int_equal(deliver(&leg_a, packet, 20), 0);
	assert_int_equal(dropped(KG_DROP_dtls, A), 1);
	packet[0] = 100;
	assert_int_equal(deliver(&leg_a, packet, 20), 0);
	assert_int_equal(deliver(&leg_a, packet, 0), 0);
	assert_int_equal(dropped(KG_DROP_not_media, A), 2);
	packet[0] = 0x8f;
	assert_int_equal(deliver(&leg_a, packet, 20), 0);
	assert_int_equal(dropped(KG_DROP_rtp_malformed, A), 1);
	packet[0] = 0x80;
	packet[1] = 8;
	assert_int_equal(deliver(&leg_a, packet, 172), 0);
	assert_int_equal(dropped(KG_DROP_rtp_payload_type, A), 1);
	packet[1] = 0x80 | 101;
	assert_int_equal(deliver(&leg_a, packet, 172), 1);
}

static void a_new_port_of_a_party_behind_nat(void **state) // more in relay_addr_test.c
{
	struct kg_leg_config other = leg_a;

	leg_a.latch = 1;
	rig_leg_change(rig, A, &leg_a);
	other.remote.port++;
	assert_int_equal(send_rtp(&other, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_latch_probation, A), 1);
}

static void legs_that_are_not_ready(void **state)
{
	struct kg_leg_config leg = leg_a, peer = leg_b;

	leg.remote.family = 0;
	rig_leg_change(rig, A, &leg);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_no_remote, A), 1);
	assert_int_equal(send_rtp(&leg_b, 1, 1, 1), 0); // the peer has nowhere to send to
	assert_int_equal(rig->relay->drops[KG_DROP_no_remote], 2);
	leg = leg_a;
	leg.may_receive = false;
	rig_leg_change(rig, A, &leg);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_direction, A), 1);
	leg.may_receive = true;
	leg.peer = 0;
	rig_leg_change(rig, A, &leg);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_no_bridge, A), 1);
	rig_leg_change(rig, A, &leg_a);
	peer.hop.resolved = false;
	rig_leg_change(rig, B, &peer);
	assert_int_equal(send_rtp(&leg_a, 2, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_no_next_hop, A), 1);
	peer.hop.resolved = true;
	peer.may_send = false;
	rig_leg_change(rig, B, &peer);
	assert_int_equal(send_rtp(&leg_a, 3, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_direction, A), 2);
	peer.may_send = true;
	peer.remote_rtcp.family = 0;
	rig_leg_change(rig, B, &peer);
	{
		struct kg_leg_config rtcp = leg_a;
		uint8_t report[32];

		rtcp.local.port++;
		rtcp.remote.port++;
		assert_int_equal(deliver(&rtcp, report, receiver_report(report, 1, 2)), 0);
		assert_int_equal(dropped(KG_DROP_rtcp_no_peer, A), 1);
	}
	assert_int_equal(send_rtp(&leg_a, 4, 1, 1), 1);
	peer.hop.mtu = 199; // the packet is 200
	rig_leg_change(rig, B, &peer);
	assert_int_equal(send_rtp(&leg_a, 5, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_too_long, A), 1);
	peer.hop.mtu = 200;
	rig_leg_change(rig, B, &peer);
	assert_int_equal(send_rtp(&leg_a, 6, 1, 1), 1);
}

static void a_retired_leg_is_no_peer_and_no_target(void **state)
{
	rig_leg_retire(rig, B, &leg_b);
	assert_int_equal(send_rtp(&leg_b, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_no_leg, 0), 1);
	assert_int_equal(send_rtp(&leg_a, 1, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_peer_gone, A), 1);
	// the same place, another leg: A's old peer is still gone, and nothing of the old one is left
	rig_leg_create(rig, B + (1u << LEG_INDEX_BITS), &leg_b);
	assert_int_equal(send_rtp(&leg_a, 2, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_peer_gone, A), 2);
	assert_int_equal(rig->relay->legs[2].tx.packets, 0);
	assert_int_equal(rig->relay->legs_live, 2);
}

static void a_full_nic_is_counted(void **state)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	uint8_t packet[172];
	unsigned length = rig_frame(frame, &leg_a.remote, &leg_a.local, packet, rtp(packet, 1, 1, 1), RIG_WHOLE);

	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
	relay_process(rig->relay, &mbuf, 1, 1);
	assert_int_equal(rig->relay->tx[1].count, 1);
	relay_sent(rig->relay, 1, 0);
	assert_int_equal(dropped(KG_DROP_tx_full, A), 1);
	assert_int_equal(rig->relay->taken, rig->relay->given);
	assert_int_equal(rig->relay->legs[2].tx.packets + rig->relay->legs[2].tx.bytes, 0); // it was not sent
	assert_int_equal(rig->relay->counters[KG_CNT_rtp_relayed], 0);
	rig->relay->tx[1].count = RELAY_TX; // more than a turn may hold
	mbuf = rte_pktmbuf_alloc(rig->pool);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
	relay_process(rig->relay, &mbuf, 1, 1);
	assert_int_equal(dropped(KG_DROP_tx_full, A), 2);
	rig->relay->tx[1].count = 0;
}

// --- the picture ----------------------------------------------------------------------------------------------------

static void the_picture_has_every_stage_and_reason(void **state)
{
	const char *picture = kg_media_graph();

	for (unsigned i = 0; i < RELAY_STAGES; i++)
		assert_non_null(strstr(picture, relay_stages[i].name));
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		assert_non_null(strstr(picture, kg_drop_info[i].id));
	for (const char *line = picture; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
}

// The last of all: each reason of the table was seen.
static void every_reason_was_provoked(void **state)
{
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		if (!provoked[i] && i != KG_DROP_wrong_vlan && i != KG_DROP_lcore_full) // lcore_test.c
			fail_msg("no test provokes %s", kg_drop_info[i].id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rtp_passes_bit_exact_both_ways),
		TEST(a_burst_keeps_its_order),
		TEST(checksums_are_whole_whatever_came),
		TEST(checksums_that_the_nic_looked_at),
		TEST(the_nic_completes_checksums),
		TEST(options_and_padding_are_gone),
		TEST(rtcp_passes_on_its_own_port),
		TEST(rtcp_mux_uses_the_rtp_port),
		TEST(a_later_source_goes_on_the_same_line),
		TEST(a_later_source_may_wrap),
		TEST(a_silent_or_moved_source_is_replaced_at_once),
		TEST(a_line_goes_on_from_its_newest_packet),
		TEST(a_later_sources_own_rtcp_is_mapped),
		TEST(rtcp_passes_on_hold),
		TEST(hold_is_no_loss),
		TEST(jitter_is_in_time_whatever_the_clocks),
		TEST(an_event_that_finds_no_room_is_counted),
		TEST(loss_duplicates_and_order_are_counted),
		TEST(frames_that_are_no_media),
		TEST(datagrams_that_are_none),
		TEST(senders_and_payloads_that_do_not_fit),
		TEST(a_new_port_of_a_party_behind_nat),
		TEST(legs_that_are_not_ready),
		TEST(a_retired_leg_is_no_peer_and_no_target),
		TEST(a_full_nic_is_counted),
		TEST(the_picture_has_every_stage_and_reason),
		cmocka_unit_test(every_reason_was_provoked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
