// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "dsp.h"
#include "hand.h"
#include "lcore.h"
#include "leg.h"
#include "rtp.h"

#define LATE_MS 100  // further behind than this, ticks are left out: who stood still does not hurry after
#define IDLE_US 5000 // without rooms only commands are awaited
#define COMMANDS 64  // in a turn
#define LOOK_MS 1000
#define LOAD_MUCH 70           // percent of its time: encoders think less
#define LOAD_LITTLE 40         // percent: they may think more
#define NTP_1970 2208988800ull // seconds from 1900

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

// --- ways
// -------------------------------------------------------------------------------------------------------------

static void way_enter(struct dsp *dsp, struct dsp_way *way, unsigned slot)
{
	way->slot = slot;
	LIST_INSERT_HEAD(&dsp->slots[slot], way, same_slot);
	dsp->slot_count[slot]++;
}

static void way_leave(struct dsp *dsp, struct dsp_way *way)
{
	LIST_REMOVE(way, same_slot);
	dsp->slot_count[way->slot]--;
}

// Of the milliseconds of its first period the one with the least work: work is even.
static void way_begin(struct dsp *dsp, struct dsp_way *way)
{
	unsigned best = 1;

	for (unsigned i = 2; i <= way->ptime_ms; i++)
		if (dsp->slot_count[(dsp->done_ms + i) % DSP_SLOTS] <
			dsp->slot_count[(dsp->done_ms + best) % DSP_SLOTS])
			best = i;
	way_enter(dsp, way, (unsigned)((dsp->done_ms + best) % DSP_SLOTS));
	dsp->way_count++;
	transcode_adapt(&way->transcode, dsp->complexity);
}

static unsigned take_commands(struct dsp *dsp)
{
	struct dsp_command command;
	unsigned n = 0;

	// An acknowledgement must not be lost: no room for it, no command.
	while (n < COMMANDS && rte_ring_free_count(dsp->events) > 0 &&
		rte_ring_sc_dequeue_elem(dsp->commands, &command, sizeof(command)) == 0) {
		struct dsp_way **at = &dsp->ways[leg_index(command.leg)], *old = *at;

		if (old) {
			way_leave(dsp, old);
			dsp->way_count--;
		}
		*at = command.way;
		if (command.way)
			way_begin(dsp, command.way);
		command.way = old;
		rte_ring_sp_enqueue_elem(dsp->events, &command, sizeof(command));
		n++;
	}
	return n;
}

// --- packets
// ----------------------------------------------------------------------------------------------------------

static void hand_back(struct dsp *dsp, const struct dsp_way *way, const uint8_t *rtp, unsigned length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(dsp->pools[way->lcore]);
	char *at = mbuf ? rte_pktmbuf_append(mbuf, (uint16_t)length) : NULL;

	if (at) {
		memcpy(at, rtp, length);
		hand_write(mbuf, &(struct hand){.kind = HAND_MADE, .from = way->from, .peer = way->to});
	}
	if (at && rte_ring_sp_enqueue(dsp->out[way->lcore], mbuf) == 0) {
		add(&dsp->packets_out, 1);
		return;
	}
	rte_pktmbuf_free(mbuf);
	add(&dsp->lost, 1);
}

// The other direction of a way's room; NULL: there is none, or on another dsp.
static struct dsp_way *back_of(const struct dsp *dsp, const struct dsp_way *way)
{
	struct dsp_way *back = dsp->ways[leg_index(way->to)];

	return back && back->from == way->to && back->to == way->from ? back : NULL;
}

static void take_packet(struct dsp *dsp, struct dsp_way *way, const struct rte_mbuf *packet, uint64_t now_us)
{
	const uint8_t *data = rte_pktmbuf_mtod(packet, const uint8_t *);
	size_t length = rte_pktmbuf_data_len(packet);
	uint8_t out[TRANSCODE_PACKET];
	struct dsp_way *back;
	unsigned made;

	if (rtp_kind(data, length) == RTP_KIND_RTCP) {
		back = back_of(dsp, way);
		transcode_hear(&way->transcode, back ? &back->transcode : NULL, (int64_t)now_us, data, length);
		return;
	}
	made = transcode_push(&way->transcode, (int64_t)now_us, data, length, out);
	if (made)
		hand_back(dsp, way, out, made);
}

static unsigned take_packets(struct dsp *dsp, uint64_t now_us)
{
	struct rte_mbuf *packets[DSP_BURST];
	unsigned total = 0;

	for (unsigned i = 0; i < dsp->lcores; i++) {
		unsigned n = rte_ring_sc_dequeue_burst(dsp->in[i], (void **)packets, DSP_BURST, NULL);

		for (unsigned j = 0; j < n; j++) {
			uint32_t from = hand_read(packets[j]).from;
			struct dsp_way *way = dsp->ways[leg_index(from)];

			if (way && way->from == from) // else its room ended while the packet was on its way
				take_packet(dsp, way, packets[j], now_us);
			rte_pktmbuf_free(packets[j]);
		}
		total += n;
	}
	add(&dsp->packets_in, total);
	return total;
}

// --- ticks
// ------------------------------------------------------------------------------------------------------------

static uint64_t ntp_read(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec + NTP_1970) << 32 | (uint64_t)now.tv_nsec * 4294967296ull / 1000000000;
}

// Our own RTCP for the party that the way leads to; what it lost is looked at as often.
static void report(struct dsp *dsp, struct dsp_way *way, uint64_t now_us)
{
	struct dsp_way *back = back_of(dsp, way);
	uint8_t out[REPORT_BYTES];

	transcode_adapt(&way->transcode, dsp->complexity);
	hand_back(dsp, way, out,
		report_write(&way->transcode.report, back ? &back->transcode.report : NULL, (int64_t)now_us, ntp_read(),
			out));
	add(&dsp->reports, 1);
}

static unsigned run_slot(struct dsp *dsp, uint64_t ms)
{
	struct dsp_way *way, *next;
	uint8_t out[TRANSCODE_PACKET];
	unsigned n = 0;

	for (way = LIST_FIRST(&dsp->slots[ms % DSP_SLOTS]); way; way = next, n++) {
		unsigned length = transcode_tick(&way->transcode, (int64_t)(ms * 1000), out);

		next = LIST_NEXT(way, same_slot);
		if (length)
			hand_back(dsp, way, out, length);
		if (report_due(&way->transcode.report, (int64_t)(ms * 1000)))
			report(dsp, way, ms * 1000);
		way_leave(dsp, way);
		way_enter(dsp, way, (unsigned)((ms + way->ptime_ms) % DSP_SLOTS));
	}
	add(&dsp->ticks, n);
	return n;
}

static void way_adapt_all(struct dsp *dsp)
{
	struct dsp_way *way;

	for (unsigned i = 0; i < DSP_SLOTS; i++)
		LIST_FOREACH(way, &dsp->slots[i], same_slot)
	transcode_adapt(&way->transcode, dsp->complexity);
}

void dsp_look(struct dsp *dsp, uint64_t now_ms, uint64_t passed_tsc)
{
	static const uint8_t steps[] = {0, 3, 1, CODEC_COMPLEXITY_LEAST}; // 0: 5 by itself
	uint64_t busy = dsp->busy_tsc - dsp->looked_busy;
	unsigned at = 0;

	while (steps[at] != dsp->complexity)
		at++;
	if (busy > passed_tsc / 100 * LOAD_MUCH && at + 1 < sizeof(steps))
		at++;
	else if (busy < passed_tsc / 100 * LOAD_LITTLE && at > 0)
		at--;
	dsp->looked_ms = now_ms;
	dsp->looked_busy = dsp->busy_tsc;
	if (steps[at] == dsp->complexity)
		return;
	dsp->complexity = steps[at];
	way_adapt_all(dsp);
}

unsigned dsp_turn(struct dsp *dsp, uint64_t now_us)
{
	uint64_t now_ms = now_us / 1000;
	unsigned n;

	assert_owner(&dsp->owner);
	n = take_commands(dsp);
	n += take_packets(dsp, now_us);
	if (now_ms - dsp->done_ms > LATE_MS) {
		// Each room's turn comes in order still: whole rounds of the wheel are left out.
		uint64_t rounds = (now_ms - dsp->done_ms) / DSP_SLOTS;

		if (dsp->way_count)
			add(&dsp->late_ticks, rounds * dsp->way_count);
		dsp->done_ms += rounds * DSP_SLOTS;
	}
	while (dsp->done_ms < now_ms)
		n += run_slot(dsp, ++dsp->done_ms);
	return n;
}

// --- the thread
// -------------------------------------------------------------------------------------------------------

static uint64_t now_us_read(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void rest(const struct dsp *dsp)
{
	uint64_t us = dsp->way_count ? 1000 - now_us_read() % 1000 : IDLE_US;
	const struct timespec time = {0, (long)us * 1000};

	nanosleep(&time, NULL);
}

static void bind_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	if (cpu < 0) { // EAL bound the thread that made this one
		for (int i = 0; i < CPU_SETSIZE; i++)
			CPU_SET(i, &cpus);
	} else {
		CPU_SET(cpu, &cpus);
	}
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

void *dsp_run(void *arg)
{
	struct dsp *dsp = arg;
	uint64_t looked_tsc = rte_rdtsc();

	prctl(PR_SET_NAME, "kedge-dsp");
	prctl(PR_SET_TIMERSLACK, 10000UL); // ns
	bind_to(dsp->cpu);
	lcore_give_up_rights();
	owner_take(&dsp->owner);
	dsp->done_ms = now_us_read() / 1000;
	while (!__atomic_load_n(&dsp->stop, __ATOMIC_ACQUIRE)) {
		uint64_t tsc = rte_rdtsc();

		if (dsp_turn(dsp, now_us_read()))
			add(&dsp->busy_tsc, rte_rdtsc() - tsc);
		if (dsp->done_ms - dsp->looked_ms >= LOOK_MS) {
			dsp_look(dsp, dsp->done_ms, tsc - looked_tsc);
			looked_tsc = tsc;
		}
		add(&dsp->loops, 1);
		__atomic_store_n(&dsp->heartbeat_tsc, tsc, __ATOMIC_RELAXED);
		rest(dsp);
	}
	return NULL;
}
