// SPDX-License-Identifier: BSD-3-Clause
// The facade's rooms: control makes each direction of one, gives it to a dsp lcore by command, and frees it when it
// comes back. The two legs of a call go to the same dsp lcore.

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_random.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "kg_log.h"
#include "dsp.h"
#include "media_private.h"

#define COMMANDS 16384
#define HANDS 2048
#define LOAD_MOST 0.85  // of a dsp lcore's time: beyond it rooms are refused
#define WAY_COST 0.0025 // of it, for a way that was not measured yet: 50 us each 20 ms

// --- opening and closing
// ----------------------------------------------------------------------------------------------

static struct rte_ring *ring_of(const char *what, unsigned from, unsigned to, unsigned size, unsigned element)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s-%u-%u", what, from, to);
	return rte_ring_create_elem(name, element, size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static struct dsp *dsp_create(struct kg_media *media, unsigned number, int cpu)
{
	struct dsp *dsp = calloc(1, sizeof(*dsp));
	bool good;

	if (!dsp)
		return NULL;
	dsp->number = number;
	dsp->cpu = cpu;
	dsp->tsc_hz = media->tsc_hz;
	dsp->lcores = media->lcore_count;
	dsp->leg_room = media->leg_room;
	dsp->ways = calloc(media->leg_room, sizeof(struct dsp_way *));
	dsp->commands = ring_of("dspc", number, number, COMMANDS, sizeof(struct dsp_command));
	dsp->events = ring_of("dspe", number, number, COMMANDS, sizeof(struct dsp_command));
	good = dsp->ways && dsp->commands && dsp->events;
	for (unsigned i = 0; i < media->lcore_count && good; i++) {
		dsp->pools[i] = media->pools[i];
		dsp->in[i] = ring_of("dspi", i, number, HANDS, sizeof(void *));
		dsp->out[i] = ring_of("dspo", number, i, HANDS, sizeof(void *));
		good = dsp->in[i] && dsp->out[i];
		media->lcores[i]->relay.rooms[number].ring = dsp->in[i];
		media->lcores[i]->made[number] = dsp->out[i];
	}
	media->dsps[number].dsp = dsp; // whole or not: media_rooms_free ends it
	return good ? dsp : NULL;
}

int media_rooms_make(struct kg_media *media, const struct kg_media_config *config, char *err)
{
	const char *failed = NULL;
	int error = codecs_init(&failed);

	if (error) {
		snprintf(
			err, KG_MEDIA_ERR, "%s does not give its known answer: a library or the CPU is broken", failed);
		return error;
	}
	media->dsp_count = config->dsp_count ? config->dsp_count : media->lcore_count;
	for (unsigned i = 0; i < media->dsp_count; i++)
		if (!dsp_create(media, i, config->dsp_count ? config->dsp_cpus[i] : -1)) {
			snprintf(err, KG_MEDIA_ERR, "no memory for dsp lcore %u: give the machine more memory", i);
			return -ENOMEM;
		}
	return 0;
}

int media_rooms_launch(struct kg_media *media, char *err)
{
	for (unsigned i = 0; i < media->dsp_count; i++) {
		struct media_dsp *one = &media->dsps[i];
		int error = -pthread_create(&one->thread, NULL, dsp_run, one->dsp);

		if (error) {
			snprintf(err, KG_MEDIA_ERR, "dsp lcore %u did not start: %s", i, strerror(-error));
			return error;
		}
		one->runs = true;
		one->start_tsc = rte_rdtsc();
	}
	return 0;
}

void media_rooms_stop(struct kg_media *media)
{
	for (unsigned i = 0; i < media->dsp_count; i++) {
		struct media_dsp *one = &media->dsps[i];

		if (!one->runs)
			continue;
		__atomic_store_n(&one->dsp->stop, true, __ATOMIC_RELEASE);
		pthread_join(one->thread, NULL);
		one->runs = false;
	}
}

static void way_free(struct dsp_way *way)
{
	if (!way)
		return;
	transcode_fini(&way->transcode);
	free(way);
}

static void drain(struct rte_ring *ring)
{
	struct rte_mbuf *mbuf;

	while (ring && rte_ring_sc_dequeue(ring, (void **)&mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

static void drain_commands(struct rte_ring *ring)
{
	struct dsp_command command;

	while (ring && rte_ring_sc_dequeue_elem(ring, &command, sizeof(command)) == 0)
		way_free(command.way);
	rte_ring_free(ring);
}

void media_rooms_free(struct kg_media *media)
{
	for (unsigned i = 0; i < media->dsp_count; i++) {
		struct dsp *dsp = media->dsps[i].dsp;

		if (!dsp)
			continue;
		drain_commands(dsp->commands);
		drain_commands(dsp->events);
		for (unsigned j = 0; j < media->lcore_count; j++) {
			drain(dsp->in[j]);
			drain(dsp->out[j]);
		}
		for (uint32_t j = 0; j < dsp->leg_room && dsp->ways; j++)
			way_free(dsp->ways[j]);
		free(dsp->ways);
		free(dsp);
	}
}

// --- ways
// -------------------------------------------------------------------------------------------------------------

static const struct codec *codec_of(const struct kg_media_codec *codec)
{
	return codec->row ? codec_table[codec->row - 1] : NULL;
}

static bool same_codec(const struct kg_media_codec *a, const struct kg_media_codec *b)
{
	return a->row == b->row && a->payload_type == b->payload_type && a->event_type == b->event_type &&
	       a->event_hz == b->event_hz && a->ptime_ms == b->ptime_ms && a->jitter == b->jitter &&
	       a->jitter_min_ms == b->jitter_min_ms && a->jitter_max_ms == b->jitter_max_ms &&
	       a->rate_hz == b->rate_hz && a->bitrate_bps == b->bitrate_bps && a->fec == b->fec && a->dtx == b->dtx &&
	       a->cbr == b->cbr;
}

static struct transcode_side side_of(const struct kg_media_codec *from)
{
	return (struct transcode_side){
		.codec = codec_of(from),
		.options = {.rate_hz = from->rate_hz,
			.bitrate_bps = from->bitrate_bps,
			.fec = from->fec,
			.dtx = from->dtx,
			.cbr = from->cbr},
		.payload_type = from->payload_type,
		.event_type = from->event_type,
		.event_hz = from->event_hz,
		.ptime_ms = from->ptime_ms,
	};
}

static int way_create(
	struct kg_media *media, const struct slot *slot, const struct kg_leg_config *leg, struct dsp_way **made)
{
	struct transcode_config config = {
		.in = side_of(&leg->codec),
		.out = side_of(&leg->peer_codec),
		.jbuf_mode = (enum jbuf_mode)leg->codec.jitter,
		.jbuf_min_ms = leg->codec.jitter_min_ms,
		.jbuf_max_ms = leg->codec.jitter_max_ms,
		.ssrc = (uint32_t)rte_rand(),
		.ts = (uint32_t)rte_rand(),
		.seq = (uint16_t)rte_rand(),
	};
	struct dsp_way *way =
		aligned_alloc(64, (sizeof(*way) + transcode_bytes(&config) + 63) / 64 * 64); // more than it needs
	int error;

	if (!way)
		return -ENOMEM;
	*way = (struct dsp_way){.from = slot->id, .to = leg->peer, .lcore = media_lcore(media, leg_index(leg->peer))};
	error = transcode_init(&way->transcode, &config);
	if (error) {
		free(way);
		return error;
	}
	way->ptime_ms = way->transcode.need / (way->transcode.out_rate / 1000);
	*made = way;
	return 0;
}

static bool push(struct kg_media *media, const struct slot *slot, struct dsp_way *way)
{
	struct dsp_command command = {.leg = slot->id, .way = way};

	return rte_ring_sp_enqueue_elem(media->dsps[slot->dsp - 1].dsp->commands, &command, sizeof(command)) == 0;
}

static void stats_add(const struct dsp_way *way, struct kg_room_stats *out)
{
	const struct jbuf_stats *jbuf = jbuf_stats(way->transcode.jbuf);
	const struct transcode_stats *stats = &way->transcode.stats;

	out->runs = true;
	out->played += jbuf->played;
	out->late += jbuf->late;
	out->concealed += jbuf->concealed;
	out->recovered += jbuf->recovered;
	out->discarded += jbuf->overflow + jbuf->flushed + jbuf->stray + jbuf->duplicate + jbuf->oversize;
	out->undecodable += stats->undecodable;
	out->events += stats->events;
	out->encoded += stats->encoded;
	out->depth_us = jbuf->depth_us;
	out->target_us = jbuf->target_us;
}

void media_room_leave(struct kg_media *media, struct slot *slot)
{
	if (!slot->way)
		return;
	stats_add(slot->way, &slot->room); // its last word: what still comes goes to nobody
	slot->room.runs = false;
	if (!push(media, slot, NULL))
		kg_error("media", "a room could not be ended: the ring to dsp lcore %u is full", slot->dsp - 1);
	slot->way = NULL;
	media->ways--;
	media->dsps[slot->dsp - 1].ways--;
}

// What a dsp lcore has to do, with what it got since it was measured.
static double load_of(const struct media_dsp *one)
{
	double each = one->measured >= 8 ? one->share / one->measured : WAY_COST;

	return one->share + (one->ways > one->measured ? (one->ways - one->measured) * each : 0);
}

static unsigned dsp_choose(const struct kg_media *media)
{
	unsigned best = 0;

	for (unsigned i = 1; i < media->dsp_count; i++)
		if (load_of(&media->dsps[i]) < load_of(&media->dsps[best]))
			best = i;
	return best;
}

bool media_dsp_full(const struct kg_media *media, unsigned index)
{
	return load_of(&media->dsps[index]) >= LOAD_MOST;
}

bool kg_media_room_free(const struct kg_media *media)
{
	return !media_dsp_full(media, dsp_choose(media));
}

// Both directions of a call are on the same dsp lcore: each looks at the other's reports.
static unsigned dsp_of(const struct kg_media *media, const struct kg_leg_config *config)
{
	const struct slot *peer = &media->slots[leg_index(config->peer)];

	return peer->id == config->peer && peer->dsp ? peer->dsp : 1 + dsp_choose(media);
}

int media_room_enter(struct kg_media *media, struct slot *slot, const struct kg_leg_config *config)
{
	bool wanted = config->peer && config->codec.row && config->peer_codec.row && leg_law(config) == LEG_LAW_NONE;
	struct dsp_way *way = NULL;
	int error;

	if (!wanted) {
		media_room_leave(media, slot);
		return 0;
	}
	if (slot->way && slot->config.peer == config->peer && same_codec(&slot->config.codec, &config->codec) &&
		same_codec(&slot->config.peer_codec, &config->peer_codec))
		return 0;
	error = way_create(media, slot, config, &way);
	if (error)
		return error;
	slot->dsp = slot->dsp ? slot->dsp : dsp_of(media, config);
	if (!push(media, slot, way)) {
		way_free(way);
		return -EAGAIN;
	}
	if (slot->way)
		stats_add(slot->way, &slot->room);
	media->ways += !slot->way;
	media->dsps[slot->dsp - 1].ways += !slot->way;
	slot->way = way;
	return 0;
}

void media_room_conf(const struct slot *slot, struct leg_in *in)
{
	if (!slot->way)
		return;
	in->room = (uint8_t)slot->dsp;
	in->peer = 0;
}

// --- what comes back
// ----------------------------------------------------------------------------------------------------

void media_rooms_poll(struct kg_media *media, uint64_t now_tsc)
{
	struct dsp_command command;

	for (unsigned i = 0; i < media->dsp_count; i++) {
		struct media_dsp *one = &media->dsps[i];
		uint64_t busy;

		while (rte_ring_sc_dequeue_elem(one->dsp->events, &command, sizeof(command)) == 0)
			way_free(command.way);
		if (now_tsc - one->looked_tsc < media->tsc_hz)
			continue;
		busy = __atomic_load_n(&one->dsp->busy_tsc, __ATOMIC_RELAXED);
		one->share = (double)(busy - one->busy) / (double)(now_tsc - one->looked_tsc);
		one->busy = busy;
		one->looked_tsc = now_tsc;
		one->measured = one->ways;
	}
}

void media_room_stats(const struct slot *slot, struct kg_room_stats *out)
{
	*out = slot->room;
	if (slot->way)
		stats_add(slot->way, out);
}
