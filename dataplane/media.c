// SPDX-License-Identifier: BSD-3-Clause
// The facade of the media plane: control's side of every leg. It allocates, sends commands to the lcore, turns what
// comes back into events, and looks after silence.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "eal.h"
#include "kg_log.h"
#include "lcore.h"
#include "leg.h"
#include "media_private.h"
#include "nic.h"
#include "relay.h"

#define COMMANDS 4096
#define EVENTS 16384
#define MAX_LEGS 16384
#define POLLS_A_SECOND 100 // each slot is looked at for silence once in so many polls
#define STOP_MS 1000

// --- opening and closing --------------------------------------------------------------------------------------------

static int make_memory(struct kg_media *media, unsigned nics, char *err)
{
	struct lcore *lcore = media->lcore = rte_zmalloc("lcore", sizeof(*lcore), 64);
	unsigned mbufs = (nics + 1) * 3 * NIC_RING;

	media->slots = calloc(media->leg_room, sizeof(*media->slots));
	media->free = calloc(media->leg_room, sizeof(*media->free));
	media->lingers = calloc(media->leg_room, sizeof(*media->lingers));
	if (!lcore || !media->slots || !media->free || !media->lingers)
		goto fail;
	lcore->relay.legs = rte_zmalloc("legs", sizeof(struct leg) * media->leg_room, 64);
	lcore->relay.cold = rte_zmalloc("cold", sizeof(struct leg_cold) * media->leg_room, 64);
	lcore->relay.leg_room = media->leg_room;
	lcore->relay.tsc_hz = rte_get_tsc_hz();
	lcore->relay.addrs = calloc(1, sizeof(*lcore->relay.addrs));
	lcore->commands = rte_ring_create_elem(
		"commands", sizeof(struct lcore_command), COMMANDS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	lcore->relay.events = rte_ring_create_elem(
		"events", sizeof(struct relay_event), EVENTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	media->pool = rte_pktmbuf_pool_create("media", mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (lcore->relay.legs && lcore->relay.cold && lcore->relay.addrs && lcore->commands && lcore->relay.events && media->pool)
		return 0;
fail:
	snprintf(err, KG_MEDIA_ERR,
		"no memory for %u legs and %u packet buffers (%s): give the machine more memory, or lower "
		"media.max_calls",
		media->leg_room, mbufs, rte_strerror(rte_errno));
	return -ENOMEM;
}

static void free_memory(struct kg_media *media)
{
	struct lcore *lcore = media->lcore;
	struct lcore_command late;

	// What was sent behind LCORE_STOP was not carried out: its blocks are still ours.
	while (lcore && lcore->commands && rte_ring_sc_dequeue_elem(lcore->commands, &late, sizeof(late)) == 0) {
		if (late.type == LCORE_CAPTURE && late.block)
			media->captures[late.leg] = NULL;
		free(late.block);
	}
	for (unsigned i = 0; lcore && i < lcore->held_count; i++)
		free(lcore->held[i].block);
	for (unsigned i = 0; i < media->leg_room && media->slots; i++)
		free(media->slots[i].conf);
	for (unsigned i = 0; i < KG_MEDIA_NICS; i++) {
		if (lcore && lcore->nics[i].capture != media->captures[i])
			free(lcore->nics[i].capture); // one that ended, and another had begun
		free(media->captures[i]);
	}
	if (lcore) {
		rte_ring_free(lcore->commands);
		rte_ring_free(lcore->relay.events);
		rte_free(lcore->relay.legs);
		rte_free(lcore->relay.cold);
		free(lcore->relay.addrs);
		rte_free(lcore);
	}
	rte_mempool_free(media->pool);
	media_addrs_fini(media);
	free(media->slots);
	free(media->free);
	free(media->lingers);
	free(media);
}

static int open_nics(struct kg_media *media, const struct kg_media_config *config, char *err)
{
	for (unsigned i = 0; i < config->nic_count; i++) {
		int error = nic_open(&config->nics[i], media->pool, &media->nics[i], err);

		if (error)
			return error;
		media->lcore->nics[i].port_id = media->nics[i].port_id;
		media->lcore->nic_count = ++media->nic_count;
	}
	return 0;
}

int kg_media_open(const struct kg_media_config *config, struct kg_media **out, char err[KG_MEDIA_ERR])
{
	struct kg_media *media = calloc(1, sizeof(*media));
	int error;

	*out = NULL;
	if (!media || config->nic_count > KG_MEDIA_NICS) {
		free(media);
		snprintf(err, KG_MEDIA_ERR, "at most %d nics", KG_MEDIA_NICS);
		return -EINVAL;
	}
	media->leg_room = (config->max_legs ? config->max_legs : MAX_LEGS) + 1; // index 0 stays unused
	if (media->leg_room >= 1u << LEG_INDEX_BITS) {
		snprintf(err, KG_MEDIA_ERR, "at most %u legs", (1u << LEG_INDEX_BITS) - 2);
		free(media);
		return -EINVAL;
	}
	error = eal_start(config->control_cpu, config->relay_cpu, media->leg_room, err);
	if (error) {
		free(media);
		return error;
	}
	error = make_memory(media, config->nic_count, err);
	if (!error)
		error = open_nics(media, config, err);
	if (error)
		goto fail;
	for (uint32_t i = 1; i < media->leg_room; i++)
		media->free[media->free_count++] = i;
	media->lcore->spin = config->idle == KG_IDLE_SPIN;
	media->lcore->id = eal_relay_lcore();
	media->lcore->cpu = eal_relay_cpu();
	media->lcore->start_tsc = rte_rdtsc();
	media->lcore->relay.heartbeat_tsc = media->lcore->start_tsc;
	error = rte_eal_remote_launch(lcore_run, media->lcore, media->lcore->id);
	if (error) {
		snprintf(err, KG_MEDIA_ERR, "the relay lcore did not start: %s", strerror(-error));
		goto fail;
	}
	media->running = true;
	*out = media;
	return 0;
fail:
	kg_media_close(media);
	return error;
}

bool media_push(struct kg_media *media, const struct lcore_command *command)
{
	return rte_ring_sp_enqueue_elem(media->lcore->commands, (void *)(uintptr_t)command, sizeof(*command)) == 0;
}

static void ignore_event(const struct kg_media_event *event, void *arg)
{
}

// Stop the loop; while it has not ended its events are taken, as it carries out no command that it cannot acknowledge.
// Returns: 0, or -ETIMEDOUT where the lcore is stuck.
static int stop_lcore(struct kg_media *media)
{
	bool told = false;

	for (unsigned i = 0; i < STOP_MS; i++) {
		told = told || media_push(media, &(struct lcore_command){.type = LCORE_STOP});
		kg_media_poll(media, ignore_event, NULL);
		if (rte_eal_get_lcore_state(media->lcore->id) != RUNNING) {
			rte_eal_wait_lcore(media->lcore->id);
			while (kg_media_poll(media, ignore_event, NULL) > 0)
				;
			return 0;
		}
		rte_delay_us_sleep(1000);
	}
	return -ETIMEDOUT;
}

void kg_media_close(struct kg_media *media)
{
	int error;

	if (!media)
		return;
	error = media->running ? stop_lcore(media) : 0;
	for (unsigned i = 0; i < media->nic_count; i++)
		(error ? nic_abandon : nic_close)(&media->nics[i]); // an lcore that is stuck may still be in the port
	if (error) {                                                // what it may still touch cannot be freed
		kg_error("media", "the relay lcore did not stop within %d ms: its memory goes with the process",
			STOP_MS);
		return;
	}
	free_memory(media);
	eal_stop();
}

// --- legs -----------------------------------------------------------------------------------------------------------

static struct slot *slot_find(struct kg_media *media, kg_leg_id id)
{
	uint32_t index = leg_index(id);

	if (id == 0 || index >= media->leg_room || media->slots[index].id != id || media->slots[index].retiring)
		return NULL;
	return &media->slots[index];
}

static bool has_address(const struct nic *nic, const struct kg_addr *local)
{
	for (unsigned i = 0; i < nic->addr_count; i++)
		if (kg_addr_same_ip(&nic->addrs[i], local))
			return true;
	return false;
}

static bool good_peer(const struct kg_media *media, kg_leg_id peer)
{
	return leg_index(peer) < media->leg_room;
}

// Take the ports, make them live, tell the lcore. Returns: 0 or -errno, and then nothing is left of it.
static int begin(struct kg_media *media, const struct kg_leg_config *config, kg_leg_id id)
{
	struct table *table = media_table(media, &config->local);
	struct leg_conf *conf;
	bool rtcp_too = !config->rtcp_mux;
	int error = -EADDRINUSE;

	if (!table)
		return -EADDRNOTAVAIL;
	conf = leg_conf_create(config, id, table->ports);
	if (!conf)
		return -errno;
	if (!media_ports_take(table, config->local.port, rtcp_too))
		goto fail;
	error = media_ports_live(media, config, rtcp_too);
	if (!error && media_push(media, &(struct lcore_command){.type = LCORE_CREATE, .leg = id, .block = conf}))
		return 0;
	if (!error) {
		media_ports_dead(media, config, rtcp_too);
		error = -EAGAIN;
	}
	media_ports_give(table, config->local.port, rtcp_too);
fail:
	free(conf);
	return error;
}

int kg_media_leg_create(struct kg_media *media, const struct kg_leg_config *config, kg_leg_id *id)
{
	struct slot *slot;
	uint32_t index;
	int error;

	if (config->nic >= media->nic_count || !good_peer(media, config->peer))
		return -EINVAL;
	if (!has_address(&media->nics[config->nic], &config->local))
		return -EADDRNOTAVAIL;
	if (!media->free_count)
		return -ENOSPC;
	index = media->free[media->free_head];
	slot = &media->slots[index];
	*id = (uint32_t)(slot->generation + 1) << LEG_INDEX_BITS | index;
	error = begin(media, config, *id);
	if (error)
		return error;
	media->free_head = (media->free_head + 1) % media->leg_room;
	media->free_count--;
	media->live++;
	*slot = (struct slot){.id = *id,
		.generation = (slot->generation + 1) & ((1u << (32 - LEG_INDEX_BITS)) - 1),
		.config = *config,
		.own_rtcp_port = !config->rtcp_mux,
		.heard_tsc = rte_rdtsc()};
	return 0;
}

// Who is told to send by another measure, or to another place, is given the whole time for it.
static void silence_restart(struct slot *slot, const struct kg_leg_config *next)
{
	if (next->silent_ms == slot->config.silent_ms && kg_addr_same(&next->remote, &slot->config.remote))
		return;
	slot->heard_tsc = rte_rdtsc();
	slot->silent = false;
}

int kg_media_leg_change(struct kg_media *media, kg_leg_id id, const struct kg_leg_config *config)
{
	struct slot *slot = slot_find(media, id);
	struct leg_conf *conf;

	if (!slot)
		return -ENOENT;
	if (config->nic != slot->config.nic || !kg_addr_same(&config->local, &slot->config.local) ||
		(slot->config.rtcp_mux && !config->rtcp_mux) || !good_peer(media, config->peer))
		return -EINVAL;
	conf = leg_conf_create(config, id, media_table(media, &config->local)->ports);
	if (!conf)
		return -errno;
	if (!media_push(media, &(struct lcore_command){
				       .type = LCORE_CHANGE, .leg = id, .version = slot->version + 1, .block = conf})) {
		free(conf);
		return -EAGAIN;
	}
	silence_restart(slot, config);
	slot->config = *config;
	return (int)++slot->version;
}

static bool push_retire(struct kg_media *media, struct slot *slot)
{
	struct lcore_command command = {.type = LCORE_RETIRE, .leg = slot->id, .block = slot->conf};

	// The block that names the ports is the one that came back last; until one did, the create is still under way.
	if (!slot->conf || !media_push(media, &command))
		return false;
	slot->conf = NULL;
	return true;
}

int kg_media_leg_retire(struct kg_media *media, kg_leg_id id)
{
	struct slot *slot = slot_find(media, id);

	if (!slot)
		return -ENOENT;
	slot->retiring = true;
	if (!push_retire(media, slot)) {
		slot->retire_waits = true;
		media->waiting++;
	}
	return 0;
}

static uint64_t packets_heard(const struct kg_media *media, const struct slot *slot)
{
	const struct relay *relay = &media->lcore->relay;
	uint32_t index = leg_index(slot->id);

	return __atomic_load_n(&relay->legs[index].stream.packets, __ATOMIC_RELAXED) +
	       __atomic_load_n(&relay->cold[index].rx_rtcp_packets, __ATOMIC_RELAXED);
}

static uint64_t tsc_us(const struct kg_media *media, uint64_t tsc)
{
	return (uint64_t)((double)tsc * 1e6 / (double)media->lcore->relay.tsc_hz);
}

static void slot_stats(const struct kg_media *media, const struct slot *slot, struct kg_leg_stats *out)
{
	const struct relay *relay = &media->lcore->relay;

	leg_stats(&relay->legs[leg_index(slot->id)], &relay->cold[leg_index(slot->id)], out);
	if (packets_heard(media, slot) == slot->heard)
		out->silent_us = tsc_us(media, rte_rdtsc() - slot->heard_tsc);
}

int kg_media_leg_stats(struct kg_media *media, kg_leg_id id, struct kg_leg_stats *out)
{
	uint32_t index = leg_index(id);

	if (id == 0 || index >= media->leg_room || media->slots[index].id != id)
		return -ENOENT;
	if (!media->slots[index].ready) { // the owner has not cleared what the last leg left there
		memset(out, 0, sizeof(*out));
		return 0;
	}
	slot_stats(media, &media->slots[index], out);
	return 0;
}

// --- events ---------------------------------------------------------------------------------------------------------

static uint64_t realtime_us(const struct kg_media *media, uint64_t tsc)
{
	struct timespec ts;
	uint64_t now = rte_rdtsc();

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 - (now > tsc ? tsc_us(media, now - tsc) : 0);
}

static void retired(
	struct kg_media *media, struct slot *slot, struct kg_media_event *event, kg_media_event_fn fn, void *arg)
{
	struct kg_leg_stats stats;
	uint32_t index = leg_index(slot->id);

	slot_stats(media, slot, &stats);
	media_ports_give(media_table(media, &slot->config.local), slot->config.local.port, slot->own_rtcp_port);
	media_ports_linger(media, &slot->config, slot->own_rtcp_port);
	*slot = (struct slot){.generation = slot->generation};
	media->free[(media->free_head + media->free_count++) % media->leg_room] = index;
	media->live--;
	event->type = KG_EVENT_RETIRED;
	event->stats = &stats;
	fn(event, arg);
}

static void acknowledged(struct kg_media *media, const struct relay_event *ack, struct kg_media_event *event,
	kg_media_event_fn fn, void *arg)
{
	struct slot *slot = &media->slots[leg_index(ack->leg)];

	switch (ack->command) {
	case LCORE_CAPTURE:
		media_capture_returned(media, ack->leg, ack->block);
		return;
	case LCORE_ADDRS:
		media_addrs_sent(media, ack->block);
		return;
	case LCORE_CREATE:
	case LCORE_CHANGE:
		free(slot->conf);
		slot->conf = ack->block;
		event->type = ack->command == LCORE_CREATE ? KG_EVENT_READY : KG_EVENT_CHANGED;
		if (ack->command == LCORE_CREATE)
			slot->ready = true;
		if (slot->retire_waits && push_retire(media, slot)) {
			slot->retire_waits = false;
			media->waiting--;
		}
		fn(event, arg);
		return;
	case LCORE_RETIRE:
		free(ack->block);
		free(slot->conf);
		slot->conf = NULL;
		retired(media, slot, event, fn, arg);
		return;
	default:
		return;
	}
}

static void retry(struct kg_media *media)
{
	for (uint32_t i = 1; i < media->leg_room && media->waiting; i++) {
		struct slot *slot = &media->slots[i];

		if (slot->retire_waits && push_retire(media, slot)) {
			slot->retire_waits = false;
			media->waiting--;
		}
	}
}

static int look_for_silence(struct kg_media *media, struct slot *slot, kg_media_event_fn fn, void *arg)
{
	uint64_t now = rte_rdtsc(), heard = packets_heard(media, slot);

	if (heard != slot->heard) {
		slot->heard = heard;
		slot->heard_tsc = now;
		slot->silent = false;
		return 0;
	}
	if (slot->silent || !slot->config.silent_ms ||
		tsc_us(media, now - slot->heard_tsc) < (uint64_t)slot->config.silent_ms * 1000)
		return 0;
	slot->silent = true;
	fn(&(struct kg_media_event){.type = KG_EVENT_SILENT, .leg = slot->id, .time_us = realtime_us(media, now)}, arg);
	return 1;
}

// A slice of all slots each time, so that many legs cost little at once.
static int check_silence(struct kg_media *media, kg_media_event_fn fn, void *arg)
{
	unsigned slice = media->leg_room / POLLS_A_SECOND + 1;
	int events = 0;

	for (unsigned i = 0; i < slice; i++) {
		struct slot *slot = &media->slots[media->silence_at];

		media->silence_at = (media->silence_at + 1) % media->leg_room;
		if (slot->id && slot->ready && !slot->retiring)
			events += look_for_silence(media, slot, fn, arg);
	}
	return events;
}

int kg_media_poll(struct kg_media *media, kg_media_event_fn fn, void *arg)
{
	struct relay_event from;
	int events = 0;

	while (rte_ring_sc_dequeue_elem(media->lcore->relay.events, &from, sizeof(from)) == 0) {
		struct kg_media_event event = {.leg = from.leg,
			.version = from.version,
			.ssrc = from.ssrc,
			.port = (uint16_t)from.port,
			.time_us = realtime_us(media, from.tsc)};

		events++;
		if (from.type == RELAY_EV_ACK) {
			acknowledged(media, &from, &event, fn, arg);
		} else if (media->slots[leg_index(from.leg)].id == from.leg) {
			event.type = from.type == RELAY_EV_LATCHED ? KG_EVENT_LATCHED : KG_EVENT_FIRST_PACKET;
			fn(&event, arg);
		}
	}
	media_ports_expire(media, false);
	media_captures_poll(media);
	if (media->waiting)
		retry(media);
	if (media->addrs_wait && media_addrs_send(media) != 0)
		media->addrs_wait = true;
	return events + check_silence(media, fn, arg);
}
