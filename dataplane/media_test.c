// SPDX-License-Identifier: BSD-3-Clause
// The facade against a real owner's command code, turned by hand: no thread, so every race is a line of the test. Nics
// and EAL's start are fakes that keep books.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "codec.h"
#include "dsp.h"
#include "eal.h"
#include "kg_log.h"
#include "media_private.h"
#include "relay_rig.h"

#define LEGS 8
#define COMMAND_ROOM 4095 // what fits into the command ring

static struct kg_media *media;
static struct lcore *lcore; // the one that was to be launched
static bool live[2][65536]; // by nic: ports that the fake nic sends to DPDK
static unsigned live_count;

// --- fakes ----------------------------------------------------------------------------------------------------------

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

int eal_start(int control_cpu, const int *relay_cpus, unsigned *relay_count, uint32_t max_legs,
	const char *telemetry_dir, char err[KG_MEDIA_ERR])
{
	static bool started;
	char *args[] = {"media_test", "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "-m", "192", "--lcores",
		"0", "--log-level", "1"};

	*relay_count = *relay_count ? *relay_count : 1;
	started = started || rte_eal_init(sizeof(args) / sizeof(*args), args) >= 0;
	return started ? 0 : -EIO;
}

void eal_stop(void)
{
}

unsigned eal_relay_lcore(unsigned number)
{
	return 1 + number;
}

int eal_relay_cpu(unsigned number)
{
	return 0;
}

void *eal_table_create(size_t bytes, int socket)
{
	void *table = aligned_alloc(64, (bytes + 63) / 64 * 64);

	return table ? memset(table, 0, bytes) : NULL;
}

void eal_table_destroy(void *table, size_t bytes)
{
	free(table);
}

int rte_eal_remote_launch(lcore_function_t *function, void *arg, unsigned id)
{
	assert_ptr_equal(function, lcore_run);
	lcore = arg;
	return 0;
}

// One look at the lcore is one turn of it.
enum rte_lcore_state_t rte_eal_get_lcore_state(unsigned id)
{
	lcore_commands(lcore);
	lcore_commands(lcore); // a retirement waits for a turn in between
	return lcore->stop ? WAIT : RUNNING;
}

int rte_eal_wait_lcore(unsigned id)
{
	return 0;
}

int nic_open(const struct kg_media_nic_config *config, struct rte_mempool *const pools[KG_MEDIA_LCORES],
	struct nic *out, char err[KG_MEDIA_ERR])
{
	memset(out, 0, sizeof(*out));
	out->queues = out->pair_count = 1;
	if (strcmp(config->device, "broken") != 0)
		return 0;
	strcpy(err, "the nic is broken: mend it");
	return -EIO;
}

void nic_close(struct nic *nic)
{
}

void nic_abandon(struct nic *nic)
{
}

int nic_set_addresses(struct nic *nic, const struct kg_addr *addrs, unsigned count)
{
	memcpy(nic->addrs, addrs, count * sizeof(*addrs));
	nic->addr_count = count;
	return 0;
}

int nic_set_live(struct nic *nic, const struct kg_addr *local, bool on)
{
	bool *port = &live[nic - media->nics][local->port];

	assert_int_not_equal(*port, on); // neither twice on nor twice off
	*port = on;
	live_count += on ? 1 : -1;
	return 0;
}

unsigned nic_peer_queues(const struct nic *nic)
{
	return nic->queues;
}

static struct kg_nic_info fake_nic; // of all nics together

void nic_info(const struct nic *nic, struct kg_nic_info *out)
{
	*out = fake_nic;
	out->rx_packets /= media->nic_count;
	out->rx_missed = nic == media->nics ? fake_nic.rx_missed : 0;
}

// --- the world ------------------------------------------------------------------------------------------------------

static struct kg_media_event seen[64]; // since look() was called last
static struct kg_leg_stats seen_stats;
static unsigned seen_count;

static void see(const struct kg_media_event *event, void *arg)
{
	if (event->stats)
		seen_stats = *event->stats;
	if (seen_count < 64)
		seen[seen_count++] = *event;
}

// Control's poll, after the owner's turns. Returns: events.
static unsigned look(bool owner_first)
{
	while (owner_first && lcore_commands(lcore) + lcore_commands(lcore)) // the second: retirements
		;
	seen_count = 0;
	kg_media_poll(media, see, NULL);
	return seen_count;
}

static void saw(unsigned i, enum kg_event_type type, kg_leg_id leg)
{
	assert_in_range(i, 0, seen_count - 1);
	assert_int_equal(seen[i].type, type);
	assert_int_equal(seen[i].leg, leg);
}

static struct kg_addr addr(const char *ip, uint16_t port)
{
	struct kg_addr out;

	assert_int_equal(kg_addr_parse(&out, ip, port), 0);
	return out;
}

static struct kg_leg_config config(uint16_t port, kg_leg_id peer)
{
	return (struct kg_leg_config){
		.local = addr("10.0.0.1", port),
		.remote = addr("10.0.0.9", port),
		.remote_rtcp = addr("10.0.0.9", port + 1),
		.hop = {.resolved = true},
		.may_receive = true,
		.may_send = true,
		.peer = peer,
	};
}

static void set_addresses(const char *ip)
{
	struct kg_addr list = addr(ip, 0);

	assert_int_equal(kg_media_nic_addresses(media, 0, &list, 1), 0);
}

static int set_up(void **state)
{
	static const struct kg_media_config two_nics = {
		.nics = {{.name = "lan", .device = "fake"}, {.name = "wan", .device = "fake"}},
		.nic_count = 2,
		.max_legs = LEGS,
	};
	char err[KG_MEDIA_ERR];

	assert_int_equal(kg_media_open(&two_nics, &media, err), 0);
	set_addresses("10.0.0.1");
	look(true);
	return 0;
}

// Everything must have come back but what close() is to take; the sanitizer counts the memory.
static int tear_down(void **state)
{
	kg_media_close(media);
	memset(live, 0, sizeof(live));
	live_count = 0;
	return 0;
}

static kg_leg_id create(const struct kg_leg_config *leg)
{
	kg_leg_id id;

	assert_int_equal(kg_media_leg_create(media, leg, &id), 0);
	return id;
}

static uint64_t legs_live(void)
{
	struct kg_media_totals totals;

	kg_media_totals(media, &totals);
	return totals.legs;
}

// RTP from the leg's remote, through the pipeline.
static void deliver(const struct kg_leg_config *to, uint16_t sequence)
{
	uint8_t rtp[172] = {0x80, 0, (uint8_t)(sequence >> 8), (uint8_t)sequence}, frame[256];
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(media->pools[0]);
	unsigned length = rig_frame(frame, &to->remote, &to->local, rtp, sizeof(rtp), RIG_WHOLE);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)length), frame, length);
	relay_process(&lcore->relay, &mbuf, 1, rte_rdtsc());
	for (unsigned i = 0; i < lcore->relay.tx[0].count; i++)
		rte_pktmbuf_free(lcore->relay.tx[0].packets[i]);
	relay_sent(&lcore->relay, 0, lcore->relay.tx[0].count);
}

// --- a leg's life ---------------------------------------------------------------------------------------------------

static void a_leg_lives_by_acknowledgements(void **state)
{
	struct kg_leg_config leg = config(20000, 0);
	struct kg_leg_stats stats;
	kg_leg_id id = create(&leg), again;

	assert_int_equal(live_count, 2);
	assert_int_equal(look(false), 0); // the owner has not seen it
	assert_int_equal(kg_media_leg_stats(media, id, &stats), 0);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_READY, id);
	deliver(&leg, 7);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_FIRST_PACKET, id);
	leg.dscp = 46;
	assert_int_equal(kg_media_leg_change(media, id, &leg), 1);
	assert_int_equal(kg_media_leg_change(media, id, &leg), 2);
	assert_int_equal(look(true), 2);
	saw(0, KG_EVENT_CHANGED, id);
	saw(1, KG_EVENT_CHANGED, id);
	assert_int_equal(seen[1].version, 2);
	assert_int_equal(kg_media_leg_retire(media, id), 0);
	assert_int_equal(kg_media_leg_retire(media, id), -ENOENT);
	assert_int_equal(kg_media_leg_change(media, id, &leg), -ENOENT);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_RETIRED, id);
	assert_int_equal(seen_stats.rx_packets, 1);
	assert_int_equal(seen_stats.drops[KG_DROP_no_bridge], 1);
	assert_int_equal(kg_media_leg_stats(media, id, &stats), -ENOENT);
	assert_int_equal(live_count, 2); // what still comes is dropped here, not answered by the kernel
	media_ports_expire(media, false);
	assert_int_equal(live_count, 2);
	media_ports_expire(media, true);
	assert_int_equal(live_count, 0);
	assert_int_equal(legs_live(), 0);
	assert_int_equal(lcore->relay.legs_live, 0);
	for (unsigned i = 0; i < 2 * LEGS; i++) { // through all places and into the first one again
		again = create(&leg);
		assert_int_not_equal(again, id);
		look(true);
		assert_int_equal(kg_media_leg_stats(media, again, &stats), 0);
		assert_int_equal(stats.rx_packets, 0);
		kg_media_leg_retire(media, again);
		look(true);
	}
}

static void a_leg_may_go_at_any_time(void **state)
{
	struct kg_leg_config leg = config(20000, 0);
	kg_leg_id id = create(&leg);

	assert_int_equal(kg_media_leg_retire(media, id), 0); // the owner has not seen it yet
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_READY, id);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_RETIRED, id);
	id = create(&leg);
	look(true);
	assert_int_equal(kg_media_leg_change(media, id, &leg), 1);
	assert_int_equal(kg_media_leg_retire(media, id), 0); // behind a change
	assert_int_equal(look(true), 2);
	saw(1, KG_EVENT_RETIRED, id);
	assert_int_equal(legs_live(), 0);
	media_ports_expire(media, true);
	assert_int_equal(live_count, 0);
}

static void a_full_ring_delays_and_loses_nothing(void **state)
{
	struct kg_leg_config busy = config(20000, 0), leg = config(20002, 0), other = config(20004, 0);
	struct kg_addr both[] = {addr("10.0.0.1", 0), addr("10.0.0.2", 0)};
	kg_leg_id busy_id = create(&busy), id = create(&leg), unused;
	unsigned changes = 0;

	look(true);
	while (kg_media_leg_change(media, busy_id, &busy) > 0)
		changes++;
	assert_int_equal(changes, COMMAND_ROOM);
	assert_int_equal(kg_media_leg_create(media, &other, &unused), -EAGAIN);
	assert_int_equal(live_count, 4); // nothing of it is left
	assert_int_equal(kg_media_nic_addresses(media, 0, both, 2), 0);
	assert_int_equal(kg_media_leg_retire(media, id), 0);
	look(true);
	assert_int_equal(lcore->relay.addrs->count, 1);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_RETIRED, id);
	assert_int_equal(lcore->relay.addrs->count, 2);
	create(&other);
	assert_int_equal(look(true), 1);
}

// While an lcore stands still calls go on to begin: its next packet comes behind all that.
static void what_piled_up_comes_before_a_packet(void **state)
{
	struct kg_leg_config one = config(20000, 0), two = config(20002, 0);
	kg_leg_id a = create(&one), b = create(&two);

	look(true);
	for (unsigned i = 0; i < 500; i++) {
		one.peer = i == 499 ? b : 0;
		assert_true(kg_media_leg_change(media, a, &one) > 0);
	}
	lcore_commands(lcore); // once, as in front of a burst
	assert_int_equal(lcore->relay.legs[leg_index(a)].in.peer, b);
}

static void no_command_without_room_for_its_answer(void **state)
{
	struct kg_leg_config leg = config(20000, 0);
	struct relay_event event = {.type = RELAY_EV_FIRST_PACKET};
	kg_leg_id id = create(&leg);

	while (relay_tell(&lcore->relay, &event))
		;
	assert_int_equal(lcore->relay.counters[KG_CNT_events_lost], 1);
	assert_int_equal(lcore_commands(lcore), 0);
	look(false);
	assert_int_equal(look(true), 1);
	saw(0, KG_EVENT_READY, id);
	leg = config(20002, 0);
	create(&leg);
	while (relay_tell(&lcore->relay, &event)) // and now it is closed so
		;
}

// --- load -----------------------------------------------------------------------------------------------------------

static void second(double busy, unsigned packets_a_turn, uint64_t missed)
{
	struct relay *relay = &lcore->relay;

	relay->busy_cycles += (uint64_t)(busy * (double)media->tsc_hz);
	relay->counters[KG_CNT_busy_loops] += 1000;
	relay->counters[KG_CNT_rx_packets] += 1000 * packets_a_turn;
	fake_nic.rx_packets += 1000 * packets_a_turn;
	fake_nic.rx_missed += missed;
	media_load_look(media, media->looked_tsc + media->tsc_hz);
}

static void who_does_not_keep_up_gets_no_calls(void **state)
{
	struct kg_lcore_info info;

	media->looked = false;
	second(0.99, 60, 0); // the first look only begins
	assert_int_equal(kg_media_lcore_choose(media), 0);
	second(0.99, 3, 0); // an lcore that spins: there is room in its turns
	assert_int_equal(kg_media_lcore_choose(media), 0);
	second(0.89, 60, 0);
	assert_int_equal(kg_media_lcore_choose(media), 0);
	second(0.91, 60, 0);
	assert_int_equal(kg_media_lcore_choose(media), -1);
	assert_int_equal(kg_media_lcore_info(media, 0, &info), 0);
	assert_true(info.overloaded && info.load > 0.9 && info.load < 0.92);
	second(0.85, 10, 0); // it must come well below
	assert_int_equal(kg_media_lcore_choose(media), -1);
	second(0.75, 60, 0);
	assert_int_equal(kg_media_lcore_choose(media), 0);
	second(0.1, 10, 11); // the kernel did not let it run: packets were lost before it
	assert_int_equal(kg_media_lcore_choose(media), -1);
	second(0.1, 10, 9); // one in a thousand may be
	assert_int_equal(kg_media_lcore_choose(media), 0);
	media_load_look(media, media->looked_tsc + media->tsc_hz / 2); // not before a second is over
	assert_int_equal(kg_media_lcore_choose(media), 0);
}

// --- ports ----------------------------------------------------------------------------------------------------------

static void a_port_has_one_leg(void **state)
{
	struct kg_leg_config leg = config(20000, 0), next = config(20001, 0);
	kg_leg_id id = create(&leg), other;

	assert_int_equal(kg_media_leg_create(media, &leg, &other), -EADDRINUSE);  // the owner knows of neither
	assert_int_equal(kg_media_leg_create(media, &next, &other), -EADDRINUSE); // the first one's RTCP
	look(true);
	assert_int_equal(kg_media_leg_retire(media, id), 0);
	lcore_commands(lcore);
	lcore_commands(lcore);
	assert_int_equal(kg_media_leg_create(media, &leg, &other), -EADDRINUSE); // gone there, but not acknowledged
	assert_int_equal(look(false), 1);
	create(&leg);
	assert_int_equal(live_count, 2);
	next.local.port = 20003;
	next.rtcp_mux = true;
	next.remote_rtcp = next.remote;
	create(&next);
	leg.local.port = 20002; // its RTCP would be there
	assert_int_equal(kg_media_leg_create(media, &leg, &other), -EADDRINUSE);
}

static void rtcp_mux_takes_one_port(void **state)
{
	struct kg_leg_config mux = config(20000, 0), next = config(20001, 0);
	kg_leg_id id;

	mux.rtcp_mux = true;
	mux.remote_rtcp = mux.remote;
	id = create(&mux);
	create(&next);
	look(true);
	assert_int_equal(live_count, 3);
	kg_media_leg_retire(media, id);
	look(true);
	media_ports_expire(media, true);
	assert_int_equal(live_count, 2);
	assert_true(live[0][20001]);
	deliver(&next, 1);
	assert_int_equal(lcore->relay.drops[KG_DROP_no_leg], 0);
	next.rtcp_mux = true; // agreed on later: its second port stays its own until the end
	assert_true(kg_media_leg_change(media, media->slots[2].id, &next) > 0);
	look(true);
	next.rtcp_mux = false;
	assert_int_equal(kg_media_leg_change(media, media->slots[2].id, &next), -EINVAL);
	kg_media_leg_retire(media, media->slots[2].id);
	look(true);
	media_ports_expire(media, true);
	assert_int_equal(live_count, 0);
}

static void an_address_may_go_and_come_back(void **state)
{
	struct kg_leg_config gone = config(20000, 0), stays = config(20002, 0);
	kg_leg_id id = create(&gone);
	char ip[16];

	create(&stays);
	look(true);
	set_addresses("10.0.0.2");
	look(true);
	deliver(&stays, 1);
	assert_int_equal(lcore->relay.drops[KG_DROP_not_local], 1);
	kg_media_leg_retire(media, id);
	look(true);
	for (unsigned i = 0; i < 3 * RELAY_ADDRS; i++) { // a life's worth of leases
		snprintf(ip, sizeof(ip), "10.1.%u.%u", i >> 8, i & 255);
		set_addresses(ip);
		look(true);
		assert_in_range(media->table_count, 1, 3);
	}
	set_addresses("10.0.0.1");
	look(true);
	deliver(&stays, 1);
	assert_int_equal(lcore->relay.legs[2].stream.packets, 1); // it found its leg again
	deliver(&gone, 1);
	assert_int_equal(lcore->relay.drops[KG_DROP_no_leg], 1); // and nothing where the other one was
	create(&gone);
}

// --- silence --------------------------------------------------------------------------------------------------------

// A whole round over the slots. Returns: silent events.
static unsigned silent_round(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i <= LEGS + 1; i++)
		count += look(true);
	return count;
}

static void silence_is_said_once(void **state)
{
	struct kg_leg_config leg = config(20000, 0);
	kg_leg_id id;

	leg.silent_ms = 3600 * 1000;
	id = create(&leg);
	look(true);
	assert_int_equal(silent_round(), 0);
	media->slots[1].heard_tsc -= 3601 * lcore->relay.tsc_hz;
	assert_int_equal(silent_round(), 1);
	assert_int_equal(silent_round(), 0);
	deliver(&leg, 1);
	silent_round(); // the first packet's event
	media->slots[1].heard_tsc -= 3601 * lcore->relay.tsc_hz;
	assert_int_equal(silent_round(), 1); // and again, as media had come back
	assert_int_equal(legs_live(), 1);
	kg_media_leg_retire(media, id);
	assert_int_equal(look(true), 1);
}

static void another_measure_begins_anew(void **state)
{
	struct kg_leg_config leg = config(20000, 0);
	struct kg_leg_stats stats;
	kg_leg_id id;

	leg.silent_ms = 1800 * 1000;
	id = create(&leg);
	look(true);
	media->slots[1].heard_tsc -= 100 * lcore->relay.tsc_hz;
	leg.dscp = 34; // a change that has nothing to do with it
	assert_true(kg_media_leg_change(media, id, &leg) > 0);
	look(true);
	kg_media_leg_stats(media, id, &stats);
	assert_true(stats.silent_us >= 100 * 1000000ull);
	leg.silent_ms = 60 * 1000; // held until now, and quiet as it may be: it has a minute from here
	assert_true(kg_media_leg_change(media, id, &leg) > 0);
	look(true);
	assert_int_equal(silent_round(), 0);
}

// --- refusals -------------------------------------------------------------------------------------------------------

static void what_cannot_be_is_refused(void **state)
{
	struct kg_leg_config leg = config(20000, 0), bad;
	struct kg_addr many[KG_MEDIA_NIC_ADDRS + 1] = {{0}};
	struct kg_leg_stats stats;
	kg_leg_id id;

#define REFUSED(change, error) \
	bad = leg;             \
	bad.change;            \
	assert_int_equal(kg_media_leg_create(media, &bad, &id), error)
	REFUSED(nic = 2, -EINVAL);
	REFUSED(nic = 1, -EADDRNOTAVAIL);
	REFUSED(local.port = 0, -EINVAL);
	REFUSED(local.port = 65535, -EINVAL);
	REFUSED(local = addr("10.0.0.7", 20000), -EADDRNOTAVAIL);
	REFUSED(local = addr("2001:db8::1", 20000), -EADDRNOTAVAIL);
	REFUSED(remote = addr("2001:db8::9", 20000), -EINVAL);
	REFUSED(remote.port = 0, -EINVAL);
	REFUSED(format_count = KG_MEDIA_FORMATS + 1, -EINVAL);
	REFUSED(formats[0].payload_type = 128; bad.format_count = 1, -EINVAL);
	REFUSED(peer = (1u << LEG_INDEX_BITS) | (LEGS + 1), -EINVAL); // beyond the table
	assert_int_equal(kg_media_leg_stats(media, 0, &stats), -ENOENT);
	assert_int_equal(kg_media_leg_stats(media, 1, &stats), -ENOENT);
	assert_int_equal(kg_media_leg_retire(media, ~0u), -ENOENT);
	assert_int_equal(kg_media_nic_addresses(media, 2, many, 1), -EINVAL);
	assert_int_equal(kg_media_nic_addresses(media, 0, many, KG_MEDIA_NIC_ADDRS + 1), -E2BIG);
	assert_int_equal(live_count, 0);
	for (unsigned i = 0; i < LEGS; i++) {
		leg.local.port += 2;
		create(&leg);
	}
	leg.local.port += 2;
	assert_int_equal(kg_media_leg_create(media, &leg, &id), -ENOSPC);
	assert_int_equal(live_count, 2 * LEGS);
}

// A place in the table is used more often than its generation can count: the leg before is never found under the next
// one's name.
static void a_leg_id_means_one_leg(void **state)
{
	const struct kg_leg_config leg = config(20000, 0);
	struct kg_leg_stats stats;
	kg_leg_id before = 0;

	for (unsigned i = 0; i < LEGS * ((1u << (32 - LEG_INDEX_BITS)) + 10); i++) {
		kg_leg_id id = create(&leg);

		assert_int_not_equal(id, 0);
		assert_int_not_equal(id, before);
		assert_int_equal(kg_media_leg_stats(media, id, &stats), 0);
		if (before)
			assert_int_equal(kg_media_leg_retire(media, before), -ENOENT);
		look(true);
		assert_int_equal(kg_media_leg_retire(media, id), 0);
		look(true);
		media_ports_expire(media, true);
		assert_int_equal(kg_media_leg_stats(media, id, &stats), -ENOENT);
		before = id;
	}
	assert_int_equal(legs_live(), 0);
}

static void what_does_not_start_says_why(void **state)
{
	struct kg_media_config broken = {.nics = {{.device = "fake"}, {.device = "broken"}}, .nic_count = 2};
	struct kg_media *none = (void *)1;
	char err[KG_MEDIA_ERR] = "";

	assert_int_equal(kg_media_open(&broken, &none, err), -EIO);
	assert_null(none);
	assert_string_equal(err, "the nic is broken: mend it");
	broken.max_legs = 1u << LEG_INDEX_BITS;
	assert_int_equal(kg_media_open(&broken, &none, err), -EINVAL);
	assert_non_null(strstr(err, "legs"));
}

static void totals_are_the_legs_sums(void **state)
{
	struct kg_leg_config a = config(20000, 0), b;
	kg_leg_id ids[2] = {create(&a)};
	struct kg_media_totals totals;
	struct kg_leg_stats stats[2];

	b = config(20002, ids[0]);
	ids[1] = create(&b);
	a.peer = ids[1];
	kg_media_leg_change(media, ids[0], &a);
	look(true);
	for (uint16_t i = 0; i < 10; i++) {
		deliver(&a, i);
		deliver(&b, i);
	}
	b.may_receive = false;
	kg_media_leg_change(media, ids[1], &b);
	look(true);
	deliver(&b, 10);
	kg_media_totals(media, &totals);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kg_media_leg_stats(media, ids[i], &stats[i]), 0);
		assert_int_equal(stats[i].rx_packets, 10);
		assert_int_equal(stats[i].tx_packets, 10);
	}
	assert_int_equal(totals.counters[KG_CNT_rtp_relayed], 20);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++) {
		assert_int_equal(totals.drops[i], stats[0].drops[i] + stats[1].drops[i]);
		assert_int_equal(totals.drops[i], i == KG_DROP_direction);
	}
	assert_int_equal(totals.mbufs_in_use, 0);
	assert_int_equal(totals.legs, 2);
}

// --- packet buffers -------------------------------------------------------------------------------------------------

struct span {
	uintptr_t first, last;
};

static void span_add(struct rte_mempool *pool, void *arg, void *buffer, unsigned index)
{
	struct span *span = arg;

	span->first = (uintptr_t)buffer < span->first ? (uintptr_t)buffer : span->first;
	span->last = (uintptr_t)buffer > span->last ? (uintptr_t)buffer : span->last;
}

// The af_xdp driver tells the kernel of so many bytes: what lies beyond cannot be received into.
static void buffers_lie_close(void **state)
{
	struct rte_mempool *pool = media->pools[0];
	uint32_t each = rte_mempool_calc_obj_size(pool->elt_size, pool->flags, NULL);
	struct span span = {.first = UINTPTR_MAX};

	assert_int_equal(rte_mempool_obj_iter(pool, span_add, &span), pool->size);
	assert_true(span.last - span.first < (uintptr_t)pool->size * each);
}

// --- rooms
// ------------------------------------------------------------------------------------------------------------

static uint64_t rooms_live(void)
{
	struct kg_media_totals totals;

	kg_media_totals(media, &totals);
	return totals.rooms;
}

static struct kg_media_codec codec(const char *name, uint8_t type)
{
	struct kg_media_codec out = {.payload_type = type, .event_type = KG_MEDIA_NO_TYPE};

	while (strcmp(codec_table[out.row]->name, name) != 0)
		out.row++;
	out.row++;
	return out;
}

static struct leg_in *in_of(kg_leg_id id)
{
	look(true); // what control said was done
	return &lcore->relay.legs[leg_index(id)].in;
}

// The dsp lcore is a real one here: what it gave back is seen by the sanitizer, or at close.
static void a_room_has_a_way_for_each_direction(void **state)
{
	struct kg_leg_config a = config(20000, 0), b = config(20002, 0);
	kg_leg_id one = create(&a), two = create(&b);
	const struct dsp_way *first;
	struct kg_leg_stats stats;

	look(true);
	a.peer = two;
	b.peer = one;
	a.codec = b.peer_codec = codec("PCMU", 0);
	b.codec = a.peer_codec = codec("G722", 9);
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_true(kg_media_leg_change(media, two, &b) > 0);
	assert_int_equal(rooms_live(), 1);
	assert_int_equal(in_of(one)->room, 1);
	assert_int_equal(in_of(one)->peer, 0);
	assert_int_equal(in_of(two)->room, 1);
	assert_int_equal(kg_media_leg_stats(media, one, &stats), 0);
	assert_true(stats.room.runs);
	first = media->slots[leg_index(one)].way;
	a.may_send = false; // on hold: its room goes on
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_ptr_equal(media->slots[leg_index(one)].way, first);
	a.peer_codec.ptime_ms = 40;
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_ptr_not_equal(media->slots[leg_index(one)].way, first);
	assert_int_equal(media->ways, 2);
	a.codec.row = 0; // relayed again
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_int_equal(in_of(one)->room, 0);
	assert_int_equal(in_of(one)->peer, two);
	assert_int_equal(kg_media_leg_stats(media, one, &stats), 0);
	assert_false(stats.room.runs);
	assert_int_equal(media->ways, 1);
	assert_int_equal(kg_media_leg_retire(media, one), 0);
	assert_int_equal(kg_media_leg_retire(media, two), 0);
	look(true);
	assert_int_equal(media->ways + rooms_live() + legs_live(), 0);
	assert_int_equal(media->dsps[0].ways, 0);
}

static void laws_of_g711_need_none(void **state)
{
	struct kg_leg_config a = config(20000, 0), b = config(20002, 0);
	kg_leg_id one = create(&a), two = create(&b);

	look(true);
	a.peer = two;
	a.codec = codec("PCMU", 0);
	a.peer_codec = codec("PCMA", 8);
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_int_equal(rooms_live(), 0);
	assert_int_equal(in_of(one)->room, 0);
	assert_int_equal(in_of(one)->peer, two);
	assert_int_equal(in_of(one)->law, LEG_LAW_ULAW_TO_ALAW);
	a.peer_codec.ptime_ms = 30;
	assert_true(kg_media_leg_change(media, one, &a) > 0);
	assert_int_equal(in_of(one)->law, LEG_LAW_NONE);
	assert_int_equal(in_of(one)->room, 1);
}

static void a_dsp_without_time_takes_no_more(void **state)
{
	struct media_dsp *one = &media->dsps[0];

	assert_int_equal(media->dsp_count, 1);
	assert_true(kg_media_room_free(media));
	one->measured = one->ways = 100;
	one->share = 0.8; // 0.008 each
	assert_true(kg_media_room_free(media));
	one->ways = 106; // those are not measured yet
	assert_true(kg_media_room_free(media));
	one->ways = 107;
	assert_false(kg_media_room_free(media));
	one->share = 0.1;
	assert_true(kg_media_room_free(media));
	one->share = 0.9; // what it does already is too much
	one->ways = 100;
	assert_false(kg_media_room_free(media));
	one->ways = one->measured = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_leg_lives_by_acknowledgements),
		TEST(a_leg_may_go_at_any_time),
		TEST(a_full_ring_delays_and_loses_nothing),
		TEST(what_piled_up_comes_before_a_packet),
		TEST(no_command_without_room_for_its_answer),
		TEST(who_does_not_keep_up_gets_no_calls),
		TEST(a_port_has_one_leg),
		TEST(rtcp_mux_takes_one_port),
		TEST(an_address_may_go_and_come_back),
		TEST(silence_is_said_once),
		TEST(another_measure_begins_anew),
		TEST(what_cannot_be_is_refused),
		TEST(a_leg_id_means_one_leg),
		cmocka_unit_test(what_does_not_start_says_why),
		TEST(totals_are_the_legs_sums),
		TEST(buffers_lie_close),
		TEST(a_room_has_a_way_for_each_direction),
		TEST(laws_of_g711_need_none),
		TEST(a_dsp_without_time_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
