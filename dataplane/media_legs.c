// SPDX-License-Identifier: BSD-3-Clause
// The facade's legs, control's side of each: it allocates, sends commands to the owner lcore, turns what comes back
// into events, and looks after silence.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "media_private.h"

#define POLLS_A_SECOND 100 // each slot is looked at for silence once in so many polls

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
	unsigned lcore = media_lcore(media, leg_index(id));
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
	if (!error) {
		leg_ports_set(table->ports, config, id, lcore);
		if (media_push(media, lcore, &(struct lcore_command){.type = LCORE_CREATE, .leg = id, .block = conf}))
			return 0;
		leg_ports_clear(table->ports, config, id, lcore);
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
	struct free_legs *free_legs;
	struct slot *slot;
	uint32_t index;
	int error;

	if (config->nic >= media->nic_count || !good_peer(media, config->peer) || config->codec.row)
		return -EINVAL;
	if (!has_address(&media->nics[config->nic], &config->local))
		return -EADDRNOTAVAIL;
	free_legs = &media->free[kg_media_lcore_of(media, config->nic, &config->local)];
	if (!free_legs->count || media->live >= media->max_legs)
		return -ENOSPC;
	index = free_legs->list[free_legs->head];
	slot = &media->slots[index];
	*id = (uint32_t)(slot->generation + 1) << LEG_INDEX_BITS | index;
	error = begin(media, config, *id);
	if (error)
		return error;
	free_legs->head = (free_legs->head + 1) % media->legs_each;
	free_legs->count--;
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
	int error;

	if (!slot)
		return -ENOENT;
	if (config->nic != slot->config.nic || !kg_addr_same(&config->local, &slot->config.local) ||
		(slot->config.rtcp_mux && !config->rtcp_mux) || !good_peer(media, config->peer))
		return -EINVAL;
	error = media_room_enter(media, slot, config); // first: who comes through it finds it there
	if (error)
		return error;
	conf = leg_conf_create(config, id, media_table(media, &config->local)->ports);
	if (!conf)
		return -errno;
	media_room_conf(slot, &conf->in);
	if (!media_push(media, media_lcore(media, leg_index(id)),
		    &(struct lcore_command){
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
	if (!slot->conf || !media_push(media, media_lcore(media, leg_index(slot->id)), &command))
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
	media_room_leave(media, slot);
	if (!push_retire(media, slot)) {
		slot->retire_waits = true;
		media->waiting++;
	}
	return 0;
}

static uint64_t packets_heard(const struct kg_media *media, const struct slot *slot)
{
	uint32_t index = leg_index(slot->id);

	return __atomic_load_n(&media_leg(media, index)->stream.packets, __ATOMIC_RELAXED) +
	       __atomic_load_n(&media_cold(media, index)->rx_rtcp_packets, __ATOMIC_RELAXED);
}

static void slot_stats(const struct kg_media *media, const struct slot *slot, struct kg_leg_stats *out)
{
	uint32_t index = leg_index(slot->id);

	leg_stats(media_leg(media, index), media_cold(media, index), out);
	out->lcore = media->lcores[media_lcore(media, index)]->id;
	media_room_stats(slot, &out->room);
	if (packets_heard(media, slot) == slot->heard)
		out->silent_us = media_us(media, rte_rdtsc() - slot->heard_tsc);
}

int kg_media_leg_stats(struct kg_media *media, kg_leg_id id, struct kg_leg_stats *out)
{
	uint32_t index = leg_index(id);

	if (id == 0 || index >= media->leg_room || media->slots[index].id != id)
		return -ENOENT;
	if (!media->slots[index].ready) { // the owner has not cleared what the last leg left there
		memset(out, 0, sizeof(*out));
		out->lcore = media->lcores[media_lcore(media, index)]->id;
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
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 -
	       (now > tsc ? media_us(media, now - tsc) : 0);
}

static void retired(
	struct kg_media *media, struct slot *slot, struct kg_media_event *event, kg_media_event_fn fn, void *arg)
{
	struct kg_leg_stats stats;
	uint32_t index = leg_index(slot->id);
	struct free_legs *free_legs = &media->free[media_lcore(media, index)];

	slot_stats(media, slot, &stats);
	media_ports_give(media_table(media, &slot->config.local), slot->config.local.port, slot->own_rtcp_port);
	media_ports_linger(media, &slot->config, slot->own_rtcp_port);
	*slot = (struct slot){.generation = slot->generation};
	free_legs->list[(free_legs->head + free_legs->count++) % media->legs_each] = index;
	media->live--;
	event->type = KG_EVENT_RETIRED;
	event->stats = &stats;
	fn(event, arg);
}

static void acknowledged(struct kg_media *media, unsigned lcore, const struct relay_event *ack,
	struct kg_media_event *event, kg_media_event_fn fn, void *arg)
{
	struct slot *slot = &media->slots[leg_index(ack->leg)];

	switch (ack->command) {
	case LCORE_CAPTURE:
		media_capture_returned(media, lcore, ack->leg, ack->block);
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
		media_us(media, now - slot->heard_tsc) < (uint64_t)slot->config.silent_ms * 1000)
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

static int take_events(struct kg_media *media, unsigned lcore, kg_media_event_fn fn, void *arg)
{
	struct relay_event from;
	int events = 0;

	for (; rte_ring_sc_dequeue_elem(media->lcores[lcore]->relay.events, &from, sizeof(from)) == 0; events++) {
		struct kg_media_event event = {.leg = from.leg,
			.version = from.version,
			.ssrc = from.ssrc,
			.port = (uint16_t)from.port,
			.time_us = realtime_us(media, from.tsc)};

		if (from.type == RELAY_EV_ACK) {
			acknowledged(media, lcore, &from, &event, fn, arg);
		} else if (media->slots[leg_index(from.leg)].id == from.leg) {
			event.type = from.type == RELAY_EV_LATCHED ? KG_EVENT_LATCHED : KG_EVENT_FIRST_PACKET;
			fn(&event, arg);
		}
	}
	return events;
}

int kg_media_poll(struct kg_media *media, kg_media_event_fn fn, void *arg)
{
	int events = 0;

	assert_owner(&media->owner);
	for (unsigned i = 0; i < media->lcore_count; i++)
		events += take_events(media, i, fn, arg);
	media_ports_expire(media, false);
	media_captures_poll(media);
	if (media->waiting)
		retry(media);
	media_load_look(media, rte_rdtsc());
	media_rooms_poll(media, rte_rdtsc());
	media_peers_look(media, rte_rdtsc());
	if (media->addrs_wait)
		media_addrs_send(media, media->addrs_wait);
	return events + check_silence(media, fn, arg);
}
