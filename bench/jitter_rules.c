// SPDX-License-Identifier: BSD-3-Clause
// Published rules, in our own words and only as far as delay goes: Asterisk's adaptive jitterbuf (1.8 and on) and
// WebRTC's NetEQ (2023: relative arrival delays, histogram of maxima, reorder optimiser). What they leave to audio (how
// much an accelerate takes out) is the same here for all.

#include <stdlib.h>
#include <string.h>

#include "jitter.h"

#define HELD 256

// What came and was not played, by index.
struct held {
	int64_t media_us[HELD];
	uint32_t index[HELD]; // + 1
	uint32_t first, newest;
	bool any;
};

static void held_put(struct held *held, uint32_t index, int64_t media_us)
{
	if (!held->any)
		held->first = held->newest = index;
	held->any = true;
	if (index + HELD / 2 < held->newest)
		return;
	if (index < held->first)
		held->first = index;
	if (index > held->newest)
		held->newest = index;
	held->media_us[index % HELD] = media_us;
	held->index[index % HELD] = index + 1;
}

// The first that waits. Returns: its index, or -1.
static int64_t held_first(struct held *held)
{
	for (; held->any && held->first <= held->newest; held->first++)
		if (held->index[held->first % HELD] == held->first + 1)
			return held->first;
	return -1;
}

static void held_take(struct held *held, int64_t index)
{
	held->index[index % HELD] = 0;
}

// --- Asterisk: times in ms ------------------------------------------------------------------------------------------

#define ASTERISK_HISTORY 500
#define ASTERISK_TOP 100 // of them are kept sorted at most
#define ASTERISK_DROP_PERCENT 3
#define ASTERISK_MAX_MS 300
#define ASTERISK_CONTIGUOUS 10 // concealments, then it is silence

struct asterisk {
	struct held held;
	int history[ASTERISK_HISTORY], seen;
	int extra, min, target, current, next_voice, adjusted, contiguous;
	bool silent;
};

static void *asterisk_open(double knob)
{
	struct asterisk *asterisk = calloc(1, sizeof(*asterisk));

	asterisk->extra = asterisk->current = asterisk->target = (int)knob;
	asterisk->silent = true;
	return asterisk;
}

static void asterisk_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	struct asterisk *asterisk = buffer;

	asterisk->history[asterisk->seen++ % ASTERISK_HISTORY] = (int)((packet->came_us - packet->media_us) / 1000);
	held_put(&asterisk->held, index, packet->media_us);
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void asterisk_aim(struct asterisk *asterisk)
{
	int count = asterisk->seen < ASTERISK_HISTORY ? asterisk->seen : ASTERISK_HISTORY, sorted[ASTERISK_HISTORY];
	int drop = count * ASTERISK_DROP_PERCENT / 100, jitter;

	if (count == 0)
		return;
	memcpy(sorted, asterisk->history, sizeof(int) * (unsigned)count);
	qsort(sorted, (unsigned)count, sizeof(int), by_value);
	asterisk->min = sorted[drop];
	jitter = sorted[count - 1 - drop] - sorted[drop];
	asterisk->target = jitter + asterisk->min + asterisk->extra;
	if (asterisk->target - asterisk->min > ASTERISK_MAX_MS)
		asterisk->target = asterisk->min + ASTERISK_MAX_MS;
}

enum got { GOT_DROP, GOT_FRAME, GOT_CONCEAL, GOT_NOTHING };

static enum got asterisk_conceal(struct asterisk *asterisk)
{
	asterisk->next_voice += 20;
	if (++asterisk->contiguous >= ASTERISK_CONTIGUOUS)
		asterisk->silent = true;
	return GOT_CONCEAL;
}

static enum got asterisk_silent(struct asterisk *asterisk, int64_t first, int ts, int now)
{
	if (asterisk->target - asterisk->current < -asterisk->extra && asterisk->adjusted + 10 <= now) {
		asterisk->current -= 20;
		asterisk->adjusted = now;
	}
	if (first < 0 || ts > now - asterisk->current)
		return GOT_NOTHING;
	asterisk->current = asterisk->target;
	asterisk->silent = false;
	asterisk->next_voice = ts + asterisk->current + 20;
	asterisk->contiguous = 0;
	return GOT_FRAME;
}

static enum got asterisk_get(struct asterisk *asterisk, int now, int64_t *index)
{
	int64_t first = held_first(&asterisk->held);
	int ts = first < 0 ? 0 : (int)(asterisk->held.media_us[first % HELD] / 1000), diff, span;
	bool frame;

	*index = first;
	asterisk_aim(asterisk);
	if (asterisk->silent)
		return asterisk_silent(asterisk, first, ts, now);
	diff = asterisk->target - asterisk->current;
	span = first < 0 ? 0 : (int)(asterisk->held.newest - (uint32_t)first) * 20;
	if (diff > 0 && (asterisk->adjusted + 40 < now || diff > span)) {
		asterisk->current += 20;
		asterisk->adjusted = now;
		return asterisk_conceal(asterisk);
	}
	frame = first >= 0 && ts <= asterisk->next_voice - asterisk->current;
	if (frame && ts + asterisk->current < asterisk->next_voice) {
		if (ts + asterisk->current <= asterisk->next_voice - 20)
			return GOT_DROP;
		asterisk->next_voice = ts + asterisk->current + 20;
		asterisk->contiguous = 0;
		return GOT_FRAME;
	}
	if (diff < -asterisk->extra && asterisk->adjusted + (frame ? 500 : 80) < now) {
		asterisk->adjusted = now;
		asterisk->contiguous = 0;
		asterisk->current -= 20;
		return frame ? GOT_DROP : GOT_NOTHING;
	}
	if (!frame)
		return asterisk_conceal(asterisk);
	asterisk->next_voice += 20;
	asterisk->contiguous = 0;
	return GOT_FRAME;
}

static void asterisk_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	struct asterisk *asterisk = buffer;
	int now = (int)(now_us / 1000);
	int64_t index;

	for (int i = 0; i < 64 && (asterisk->silent || asterisk->next_voice <= now); i++) {
		enum got got = asterisk_get(asterisk, now, &index);

		if (got == GOT_FRAME || got == GOT_DROP)
			held_take(&asterisk->held, index);
		if (got == GOT_FRAME)
			heard_play(heard, (uint32_t)index, now_us);
		if (got == GOT_CONCEAL)
			heard_conceal(heard, TICK_US);
		if (asterisk->silent || got == GOT_NOTHING)
			break;
	}
}

const struct buffer asterisk_buffer = {"asterisk-like", "extra_ms", {5, 10, 20, 40, 60, 80, 120, 160}, 3, asterisk_open,
	asterisk_push, asterisk_tick, free};

// --- NetEQ: two of its 10 ms for each of our ticks ------------------------------------------------------------------

#define NETEQ_BUCKETS 100
#define NETEQ_BUCKET_MS 20
#define NETEQ_HISTORY 128 // packets; 2 s of them count

struct histogram {
	double bucket[NETEQ_BUCKETS], forget, base;
	int count;
};

struct neteq {
	struct held held;
	struct histogram late, reordered;
	double quantile;
	int64_t media_us[NETEQ_HISTORY], transit_us[NETEQ_HISTORY];
	unsigned seen;
	int64_t newest_us, interval_us, interval_ms; // of the maxima
	int underrun_ms, target_ms;
	int64_t next_us, left_us, concealed_us; // media time to be decoded; decoded and not played
	bool started;
	int countdown;
	uint32_t random;
};

static void histogram_add(struct histogram *histogram, int bucket)
{
	for (int i = 0; i < NETEQ_BUCKETS; i++)
		histogram->bucket[i] *= histogram->forget;
	histogram->bucket[bucket] += 1 - histogram->forget;
	histogram->count++;
	histogram->forget = 1 - 2.0 / (histogram->count + 1);
	if (histogram->forget > histogram->base)
		histogram->forget = histogram->base;
}

static int histogram_quantile(const struct histogram *histogram, double quantile)
{
	double rest = 1 - histogram->bucket[0];
	int i = 0;

	while (rest > 1 - quantile && i < NETEQ_BUCKETS - 1)
		rest -= histogram->bucket[++i];
	return i;
}

// The delay whose ms, at 20 of them for a percent of reordered packets that are lost, cost least.
static int reorder_ms(const struct histogram *histogram, int base_ms)
{
	double loss = 1, least = 1e9, cost;
	int best = 0;

	for (int i = 0; i < NETEQ_BUCKETS; i++) {
		loss -= histogram->bucket[i];
		cost = i * NETEQ_BUCKET_MS - base_ms;
		cost = (cost > 0 ? cost : 0) + 100 * 20 * loss;
		if (cost < least) {
			least = cost;
			best = i;
		}
	}
	return (best + 1) * NETEQ_BUCKET_MS;
}

static void *neteq_open(double knob)
{
	struct neteq *neteq = calloc(1, sizeof(*neteq));

	neteq->quantile = knob;
	neteq->late.base = 0.983;
	neteq->reordered.base = 0.9993;
	neteq->target_ms = neteq->underrun_ms = 80;
	return neteq;
}

static void neteq_extremes(const struct neteq *neteq, int64_t *least_us, int64_t *most_us)
{
	*least_us = INT64_MAX;
	*most_us = INT64_MIN;
	for (unsigned i = 0; i < NETEQ_HISTORY && i < neteq->seen; i++) {
		if (neteq->media_us[i] + 2000000 < neteq->newest_us)
			continue;
		*least_us = neteq->transit_us[i] < *least_us ? neteq->transit_us[i] : *least_us;
		*most_us = neteq->transit_us[i] > *most_us ? neteq->transit_us[i] : *most_us;
	}
}

static void neteq_learn(struct neteq *neteq, int delay_ms, bool reordered, int64_t now_us)
{
	int reordering_ms;

	if (!reordered) {
		if (neteq->interval_us == 0)
			neteq->interval_us = now_us;
		if (now_us - neteq->interval_us > 500000) {
			if (neteq->interval_ms / NETEQ_BUCKET_MS < NETEQ_BUCKETS)
				histogram_add(&neteq->late, (int)(neteq->interval_ms / NETEQ_BUCKET_MS));
			neteq->underrun_ms = (1 + histogram_quantile(&neteq->late, neteq->quantile)) * NETEQ_BUCKET_MS;
			neteq->interval_us = now_us;
			neteq->interval_ms = 0;
		}
		if (delay_ms > neteq->interval_ms)
			neteq->interval_ms = delay_ms;
	}
	if (!reordered || delay_ms / NETEQ_BUCKET_MS < NETEQ_BUCKETS)
		histogram_add(&neteq->reordered, reordered ? delay_ms / NETEQ_BUCKET_MS : 0);
	reordering_ms = reorder_ms(&neteq->reordered, neteq->underrun_ms);
	neteq->target_ms = neteq->underrun_ms > reordering_ms ? neteq->underrun_ms : reordering_ms;
}

static void neteq_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	struct neteq *neteq = buffer;
	bool reordered = neteq->seen > 0 && packet->media_us < neteq->newest_us;
	int64_t least_us, most_us;

	if (!reordered)
		neteq->newest_us = packet->media_us;
	neteq->media_us[neteq->seen % NETEQ_HISTORY] = packet->media_us;
	neteq->transit_us[neteq->seen++ % NETEQ_HISTORY] = packet->came_us - packet->media_us;
	neteq_extremes(neteq, &least_us, &most_us);
	if (neteq->seen > 1)
		neteq_learn(neteq, (int)((packet->came_us - packet->media_us - least_us) / 1000), reordered,
			packet->came_us);
	if (!neteq->started || packet->media_us >= neteq->next_us)
		held_put(&neteq->held, index, packet->media_us);
}

// A pitch period out or in, where the playout delay calls for it.
static int64_t neteq_scale(struct neteq *neteq, int64_t now_us)
{
	int64_t least_us, most_us, delay_ms, high_ms, period_us;

	neteq_extremes(neteq, &least_us, &most_us);
	delay_ms = (now_us - (neteq->next_us - neteq->left_us) - least_us) / 1000;
	high_ms = neteq->target_ms + (most_us - least_us) / 1000 + 20;
	period_us = pitch_us(&neteq->random);
	if (delay_ms >= high_ms * 4 || (delay_ms >= high_ms && neteq->countdown <= 0)) {
		neteq->countdown = 6;
		return -period_us;
	}
	if (delay_ms < neteq->target_ms && neteq->countdown <= 0) {
		neteq->countdown = 6;
		return period_us;
	}
	return 0;
}

static bool neteq_waits(const struct neteq *neteq, int64_t first)
{
	int64_t leap_us = neteq->held.media_us[first % HELD] - neteq->next_us;
	int64_t span_us = (neteq->held.newest - first + 1) * PTIME_US;

	if (neteq->concealed_us > 100000 && span_us < neteq->target_ms * 500) // faded out: not again too soon
		return true;
	return leap_us > neteq->concealed_us && span_us <= (neteq->target_ms + 50) * 1000;
}

static void neteq_10ms(struct neteq *neteq, int64_t now_us, int64_t ahead_us, struct heard *heard)
{
	int64_t first = held_first(&neteq->held), scaled_us = 0;

	neteq->countdown--;
	if (neteq->left_us >= 10000) {
		neteq->left_us -= 10000;
		return;
	}
	if (first < 0 || (neteq->started && neteq_waits(neteq, first))) {
		if (neteq->started) {
			heard_conceal(heard, 10000 - neteq->left_us);
			neteq->concealed_us += 10000 - neteq->left_us;
		}
		neteq->left_us = 0;
		return;
	}
	heard_play(heard, (uint32_t)first, now_us + ahead_us + neteq->left_us);
	held_take(&neteq->held, first);
	neteq->next_us = neteq->held.media_us[first % HELD];
	if (neteq->started && neteq->concealed_us == 0)
		scaled_us = neteq_scale(neteq, now_us + ahead_us);
	neteq->started = true;
	neteq->concealed_us = 0;
	neteq->next_us += PTIME_US;
	neteq->left_us += PTIME_US + scaled_us - 10000;
	heard->stretched_us += (double)llabs(scaled_us);
}

static void neteq_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	neteq_10ms(buffer, now_us, 0, heard);
	neteq_10ms(buffer, now_us, 10000, heard);
}

const struct buffer neteq_buffer = {"neteq-like", "quantile", {0.3, 0.5, 0.7, 0.85, 0.95, 0.97, 0.99, 0.995}, 4,
	neteq_open, neteq_push, neteq_tick, free};
