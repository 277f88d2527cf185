// SPDX-License-Identifier: BSD-3-Clause
// The packet path by address: IPv6, calls between the families, and latching onto parties behind NAT.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
	return (struct kg_leg_config){
		.nic = nic,
		.local = addr(local, 20000),
		.remote = addr(remote, port),
		.remote_rtcp = addr(remote, (uint16_t)(port + 1)),
		.hop = {.resolved = true, .source_mac = {2, 0, 0, 0, 0, nic}, .target_mac = {2, 0, 0, 0, 1, nic}},
		.may_receive = true,
		.may_send = true,
		.dscp = 46,
		.peer = peer,
		.formats = {{0, 8000}},
		.format_count = 1,
	};
}

static int set_up_legs(const char *local_a, const char *remote_a, const char *local_b, const char *remote_b)
{
	rig = rig_create(8);
	leg_a = config(local_a, remote_a, 4000, 0, B);
	leg_b = config(local_b, remote_b, 6000, 1, A);
	rig_leg_create(rig, A, &leg_a);
	rig_leg_create(rig, B, &leg_b);
	return 0;
}

static int set_up_4_to_6(void **state)
{
	return set_up_legs("10.0.0.1", "10.0.0.9", "2001:db8:1::1", "2001:db8:1::9");
}

static int set_up_6_to_6(void **state)
{
	return set_up_legs("2001:db8::1", "2001:db8::9", "2001:db8:1::1", "2001:db8:1::9");
}

static int set_up_nat(void **state)
{
	set_up_legs("10.0.0.1", "10.0.0.9", "10.0.1.1", "10.0.1.9");
	leg_a.latch = 1;
	leg_a.remote.port = leg_a.remote_rtcp.port = 0;
	rig_leg_change(rig, A, &leg_a);
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(rig);
	return 0;
}

static unsigned rtp(uint8_t *packet, uint16_t sequence, uint32_t ssrc)
{
	memset(packet, 0, 172);
	packet[0] = 0x80;
	rtp_put16(packet + 2, sequence);
	rtp_put32(packet + 4, sequence * 160u);
	rtp_put32(packet + 8, ssrc);
	for (unsigned i = 12; i < 172; i++)
		packet[i] = (uint8_t)(i * 31 + sequence);
	return 172;
}

static unsigned deliver_from(
	const struct kg_leg_config *leg, struct kg_addr source, unsigned rtcp, const void *payload, unsigned length)
{
	struct kg_addr target = leg->local;

	target.port = (uint16_t)(target.port + rtcp);
	return rig_one(rig, frame, rig_frame(frame, &source, &target, payload, length, RIG_PARTIAL), out);
}

static unsigned rtp_from(
	const struct kg_leg_config *leg, const char *ip, uint16_t port, uint16_t sequence, uint32_t ssrc)
{
	uint8_t packet[172];

	return deliver_from(leg, addr(ip, port), 0, packet, rtp(packet, sequence, ssrc));
}

static unsigned report(uint8_t *packet, uint32_t from)
{
	memset(packet, 0, 8);
	packet[0] = 0x80;
	packet[1] = 201;
	packet[3] = 1;
	rtp_put32(packet + 4, from);
	return 8;
}

static uint64_t dropped(enum kg_drop reason)
{
	return rig->relay->drops[reason];
}

// --- IPv6 -----------------------------------------------------------------------------------------------------------

// Does the frame that left come from `from`'s local and go to its remote, over its family, with these bytes?
static void assert_left(const struct kg_leg_config *by, unsigned rtcp, const void *payload, unsigned length)
{
	bool v6 = by->local.family == 6;
	const uint8_t *ip = out[0].frame + 14, *udp = ip + (v6 ? 40 : 20);

	assert_true(rig_sound(&out[0]));
	assert_int_equal(out[0].nic, by->nic);
	assert_int_equal(out[0].length, (v6 ? 62 : 42) + length);
	assert_memory_equal(out[0].frame, by->hop.target_mac, 6);
	assert_memory_equal(ip + (v6 ? 8 : 12), by->local.ip, v6 ? 16 : 4);
	assert_memory_equal(ip + (v6 ? 24 : 16), by->remote.ip, v6 ? 16 : 4);
	assert_int_equal(v6 ? (rtp_get16(ip) >> 4 & 0xff) : ip[1], 46 << 2);
	assert_int_equal(rtp_get16(udp), by->local.port + rtcp);
	assert_int_equal(rtp_get16(udp + 2), by->remote.port + rtcp);
	assert_memory_equal(udp + 8, payload, length);
}

static void media_passes_both_ways(void **state)
{
	const struct kg_leg_config *legs[] = {&leg_a, &leg_b};
	uint8_t packet[172];

	for (unsigned i = 0; i < 50; i++) {
		for (unsigned way = 0; way < 2; way++) {
			const struct kg_leg_config *from = legs[way], *to = legs[!way];
			unsigned length = rtp(packet, (uint16_t)(65520 + i), 0xabc0 + way) - i % 3;

			assert_int_equal(deliver_from(from, from->remote, 0, packet, length), 1);
			assert_left(to, 0, packet, length);
		}
	}
	for (unsigned way = 0; way < 2; way++) {
		unsigned length = report(packet, 0xabc0 + way);

		assert_int_equal(deliver_from(legs[way], legs[way]->remote_rtcp, 1, packet, length), 1);
		assert_left(legs[!way], 1, packet, length);
	}
	assert_int_equal(rig->relay->counters[KG_CNT_rtp_relayed], 100);
	assert_int_equal(rig->relay->counters[KG_CNT_rtcp_relayed], 2);
}

static void checksums_are_needed(void **state)
{
	static const unsigned passes[] = {[RIG_WHOLE] = 1, [RIG_ZERO] = 0, [RIG_PARTIAL] = 1, [RIG_WRONG] = 1};
	uint8_t packet[172];

	for (enum rig_checksum kind = RIG_WHOLE; kind <= RIG_WRONG; kind++) {
		unsigned length = rtp(packet, (uint16_t)kind, 7);

		length = rig_frame(frame, &leg_b.remote, &leg_b.local, packet, length, kind);
		assert_int_equal(rig_one(rig, frame, length, out), passes[kind]);
	}
	assert_int_equal(dropped(KG_DROP_bad_checksum), 1); // IPv6 wants one (RFC 8200 8.1)
}

// Whatever the sum is, also where it comes to zero, it is right for the other family.
static void checksums_of_each_value_are_updated(void **state)
{
	const struct kg_leg_config *legs[] = {&leg_a, &leg_b};
	uint8_t packet[172];

	for (unsigned i = 0; i < 0x20000; i++) {
		const struct kg_leg_config *from = legs[i & 1];
		unsigned length = rtp(packet, (uint16_t)(i >> 1), 7);

		rtp_put16(packet + 12, (uint16_t)(i * 40503u >> 1)); // walks through all sums
		length = rig_frame(frame, &from->remote, &from->local, packet, length, RIG_WHOLE);
		assert_int_equal(rig_one(rig, frame, length, out), 1);
		assert_true(rig_sound(&out[0]));
		assert_int_not_equal(rtp_get16(out[0].frame + out[0].length - 172 - 2), 0); // "none"
	}
}

static void neighbours_hash_apart(void **state)
{
	static const char *const first[] = {"10.0.0.0", "2001:db8::"};

	for (unsigned family = 0; family < 2; family++) {
		unsigned taken[RELAY_ADDR_SLOTS] = {0}, most = 0;

		for (unsigned i = 0; i < RELAY_ADDRS; i++) {
			struct kg_addr local = addr(first[family], 1);
			struct leg_ip ip;

			local.ip[family ? 15 : 3] = (uint8_t)i;
			ip = leg_ip_of(&local);
			most = RTE_MAX(most, ++taken[relay_addr_hash(&ip)]);
		}
		assert_in_range(most, 1, 3);
	}
}

static void frames_that_are_no_datagrams(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		enum kg_drop reason;
	} cases[] = {
		{14, 0x40, KG_DROP_bad_ip},
		{18, 0x7f, KG_DROP_bad_ip}, // payload length
		{20, 44, KG_DROP_ip_fragment},
		{20, 6, KG_DROP_not_udp},
		{20, 0, KG_DROP_not_udp}, // a hop-by-hop header
		{58, 0x7f, KG_DROP_bad_udp},
		{53, 0xee, KG_DROP_not_local},
	};
	uint8_t packet[172];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t before = dropped(cases[i].reason);
		unsigned length = rig_frame(frame, &leg_b.remote, &leg_b.local, packet, rtp(packet, 1, 1), RIG_WHOLE);

		frame[cases[i].at] = cases[i].value;
		assert_int_equal(rig_one(rig, frame, length, out), 0);
		assert_int_equal(dropped(cases[i].reason), before + 1);
	}
	rig_frame(frame, &leg_b.remote, &leg_b.local, packet, 172, RIG_WHOLE);
	assert_int_equal(rig_one(rig, frame, 53, out), 0); // cut in its header
	assert_int_equal(rig_one(rig, frame, 61, out), 0); // and in UDP's
	assert_int_equal(dropped(KG_DROP_bad_ip), 4);
}

static void a_way_is_as_long_as_its_family_says(void **state)
{
	leg_b.hop.mtu = 40 + 8 + 171;
	rig_leg_change(rig, B, &leg_b);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 4000, 1, 1), 0);
	assert_int_equal(dropped(KG_DROP_too_long), 1);
	leg_b.hop.mtu++;
	rig_leg_change(rig, B, &leg_b);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 4000, 2, 1), 1);
}

// --- latching -------------------------------------------------------------------------------------------------------

static const uint8_t *target_port(void)
{
	assert_true(rig_sound(&out[0]));
	return out[0].frame + 36;
}

static void a_port_is_learned_from_three_in_sequence(void **state)
{
	assert_int_equal(rtp_from(&leg_b, "10.0.1.9", 6000, 1, 5), 0); // A is not known yet
	assert_int_equal(dropped(KG_DROP_no_remote), 1);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40123, 100, 7), 0);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40123, 101, 7), 0);
	assert_int_equal(dropped(KG_DROP_latch_probation), 2);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40123, 102, 7), 1);
	assert_int_equal(rig->latched_port, 40123);
	assert_int_equal(rig->first_packets, 2);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40123, 103, 7), 1);
	assert_int_equal(rtp_from(&leg_b, "10.0.1.9", 6000, 2, 5), 1);
	assert_int_equal(rtp_get16(target_port()), 40123);
}

static void other_hosts_are_never_followed(void **state)
{
	struct kg_leg_stats stats;

	for (uint16_t i = 0; i < 20; i++) {
		assert_int_equal(rtp_from(&leg_a, "10.0.0.8", 40123, i, 7), 0);
		if (i < 3) // and do not disturb the true one
			assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40124, i, 7), i == 2);
	}
	assert_int_equal(dropped(KG_DROP_wrong_source), 20);
	leg_stats(&rig->relay->legs[1], &rig->relay->cold[1], &stats);
	assert_int_equal(stats.latched_port, 40124);
	assert_memory_equal(stats.refused_ip, addr("10.0.0.8", 0).ip, 16);
	assert_int_equal(stats.refused_port, 40123);
	assert_int_equal(stats.refused_ssrc, 7);
}

static void what_is_no_sequence_is_not_believed(void **state)
{
	uint8_t packet[172];

	for (uint16_t i = 0; i < 30; i++) { // a sprayer: ports, sequence numbers and SSRCs by chance
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", (uint16_t)(40000 + i), i, 7), 0);
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 41000, (uint16_t)(i * 999), 7), 0);
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 41000, i, i), 0);
	}
	assert_int_equal(dropped(KG_DROP_latch_probation), 90);
	rtp(packet, 1, 1);
	packet[1] = 8; // not negotiated
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 42000), 0, packet, 172), 0);
	assert_int_equal(dropped(KG_DROP_wrong_source), 5);
	assert_int_equal(rig->latched_port, 0);
}

static void latch_a(void)
{
	for (uint16_t i = 0; i < 3; i++)
		rtp_from(&leg_a, "10.0.0.9", 40000, i, 7);
	assert_int_equal(rig->latched_port, 40000);
}

static void a_living_stream_is_not_taken_over(void **state)
{
	latch_a();
	for (uint16_t i = 3; i < 20; i++) { // it knows codec, SSRC and sequence, and comes from the same host
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40001, (uint16_t)(i + 1), 7), 0);
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40000, i, 7), 1);
	}
	assert_int_equal(dropped(KG_DROP_wrong_source), 17);
	assert_int_equal(rig->latched_port, 40000);
}

static void a_quiet_stream_may_move(void **state)
{
	latch_a();
	rig->now_tsc += rig->relay->tsc_hz / 4;                          // its NAT gave it another port
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40007, 90, 8), 0); // another source may not
	assert_int_equal(dropped(KG_DROP_wrong_source), 1);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40007, 20, 7), 0);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40007, 21, 7), 0);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40007, 22, 7), 1);
	assert_int_equal(rig->latched_port, 40007);
	assert_int_equal(rtp_from(&leg_b, "10.0.1.9", 6000, 2, 5), 1);
	assert_int_equal(rtp_get16(target_port()), 40007);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40000, 23, 7), 0); // and the old one is a stranger
}

static void a_change_keeps_what_was_learned_until_a_new_window(void **state)
{
	latch_a();
	leg_a.dscp = 0;
	rig_leg_change(rig, A, &leg_a);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40000, 3, 7), 1);
	assert_int_equal(rtp_from(&leg_b, "10.0.1.9", 6000, 2, 5), 1);
	assert_int_equal(rtp_get16(target_port()), 40000);
	leg_a.latch = 2; // another fork answered
	rig_leg_change(rig, A, &leg_a);
	assert_int_equal(rtp_from(&leg_b, "10.0.1.9", 6000, 3, 5), 0);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 40009, i, 9), i == 2);
	assert_int_equal(rig->latched_port, 40009);
}

static void the_port_of_the_sdp_is_heard_at_once(void **state)
{
	leg_a.latch = 2;
	leg_a.remote.port = 4000;
	leg_a.remote_rtcp.port = 4001;
	rig_leg_change(rig, A, &leg_a);
	assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 4000, 1, 7), 1);
	for (uint16_t i = 2; i < 9; i++) // and proved by that
		assert_int_equal(rtp_from(&leg_a, "10.0.0.9", 4002, i, 7), 0);
	assert_int_equal(dropped(KG_DROP_wrong_source), 7);
	assert_int_equal(rig->latched_port, 0);
}

static void rtcp_follows_the_source_that_is_heard(void **state)
{
	uint8_t packet[64];

	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 40101), 1, packet, report(packet, 7)), 0);
	latch_a();
	assert_int_equal(deliver_from(&leg_b, leg_b.remote_rtcp, 1, packet, report(packet, 5)), 0);
	assert_int_equal(dropped(KG_DROP_rtcp_no_peer), 1);
	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 40101), 1, packet, report(packet, 8)), 0);
	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.8", 40101), 1, packet, report(packet, 7)), 0);
	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 40101), 1, packet, report(packet, 7)), 1);
	assert_int_equal(deliver_from(&leg_b, leg_b.remote_rtcp, 1, packet, report(packet, 5)), 1);
	assert_int_equal(rtp_get16(target_port()), 40101);
}

static void with_mux_rtcp_follows_rtp(void **state)
{
	uint8_t packet[64];

	leg_a.latch = 2;
	leg_a.rtcp_mux = true;
	rig_leg_change(rig, A, &leg_a);
	latch_a();
	assert_int_equal(deliver_from(&leg_b, leg_b.remote_rtcp, 1, packet, report(packet, 5)), 1);
	assert_int_equal(rtp_get16(target_port()), 40000);
	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 40000), 0, packet, report(packet, 7)), 1);
	assert_int_equal(deliver_from(&leg_a, addr("10.0.0.9", 40001), 1, packet, report(packet, 7)), 0);
	assert_int_equal(deliver_from(&leg_b, leg_b.remote_rtcp, 1, packet, report(packet, 5)), 1);
	assert_int_equal(rtp_get16(target_port()), 40000);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(media_passes_both_ways, set_up_6_to_6),
		TEST(media_passes_both_ways, set_up_4_to_6),
		TEST(checksums_are_needed, set_up_4_to_6),
		TEST(checksums_of_each_value_are_updated, set_up_4_to_6),
		TEST(neighbours_hash_apart, set_up_6_to_6),
		TEST(frames_that_are_no_datagrams, set_up_6_to_6),
		TEST(a_way_is_as_long_as_its_family_says, set_up_4_to_6),
		TEST(a_port_is_learned_from_three_in_sequence, set_up_nat),
		TEST(other_hosts_are_never_followed, set_up_nat),
		TEST(what_is_no_sequence_is_not_believed, set_up_nat),
		TEST(a_living_stream_is_not_taken_over, set_up_nat),
		TEST(a_quiet_stream_may_move, set_up_nat),
		TEST(a_change_keeps_what_was_learned_until_a_new_window, set_up_nat),
		TEST(the_port_of_the_sdp_is_heard_at_once, set_up_nat),
		TEST(rtcp_follows_the_source_that_is_heard, set_up_nat),
		TEST(with_mux_rtcp_follows_rtp, set_up_nat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
