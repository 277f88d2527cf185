// SPDX-License-Identifier: BSD-3-Clause
// The media side of a call: which nic and address a leg has, its ports, its next hop, and what the media plane is told
// of it.

#include <errno.h>
#include <string.h>

#include "calls_private.h"

#define DSCP_EF 46
#define RETRY_MS 10
#define PORT_TRIES 16

// --- making and giving back ---------------------------------------------------------------------------------------

static struct party **leg_bucket(struct calls *calls, kg_leg_id id)
{
	return &calls->by_leg[(id * 2654435761u >> 16) & (CALLS_LEG_BUCKETS - 1)];
}

// Take a port pair of that address and make the leg there. A port that another program holds is passed over.
static int leg_make(const struct anchor *anchor, struct leg *leg, const struct kg_addr *local)
{
	struct kg_leg_config *config = &leg->config;
	struct calls *calls = anchor->calls;
	int error = -EADDRINUSE;

	for (unsigned i = 0; i < PORT_TRIES && error == -EADDRINUSE; i++) {
		error = ports_get(calls->options.ports, local, anchor->lcore, calls_now_ms(calls), &config->local);
		if (error)
			return error;
		error = kg_media_leg_create(calls->options.media, config, &leg->id);
		if (error)
			ports_put(calls->options.ports, &config->local, calls_now_ms(calls));
	}
	return error;
}

enum call_sdp leg_open(struct party *party, const char *nic, const struct kg_addr *target, char why[CALL_MESSAGE])
{
	struct calls *calls = party->anchor->calls;
	struct leg *leg = &party->leg;
	struct party **bucket;
	struct place place;
	int error = -EADDRNOTAVAIL;

	if (place_find(calls, nic, target, &place, why) != 0)
		return CALL_SDP_UNREACHABLE;
	memset(leg, 0, sizeof(*leg));
	leg->config.nic = (uint8_t)place.nic;
	leg->ifindex = place.ifindex;
	leg->config.may_receive = leg->config.may_send = true;
	leg->config.dscp = DSCP_EF;
	for (unsigned i = 0; i < place.count && error == -EADDRNOTAVAIL; i++) // the next one where ports are out
		error = leg_make(party->anchor, leg, &place.locals[i]);
	if (error == -EADDRNOTAVAIL) {
		snprintf(why, CALL_MESSAGE, "no media port is free: widen media.ports or give the nic another address");
		return CALL_SDP_NO_ROOM;
	}
	if (error) {
		snprintf(why, CALL_MESSAGE, "the media plane made no leg: %s", strerror(-error));
		return error == -ENOSPC || error == -EAGAIN ? CALL_SDP_NO_ROOM : CALL_SDP_NO_MEDIA;
	}
	leg->live = leg->was = true;
	bucket = leg_bucket(calls, leg->id);
	leg->bucket_next = *bucket;
	*bucket = party;
	return CALL_SDP_GOOD;
}

static void leg_unwatch(struct leg *leg)
{
	if (leg->watch)
		netlink_watch_destroy(leg->watch);
	leg->watch = NULL;
	memset(&leg->watched, 0, sizeof(leg->watched));
}

// The leg is no more: its ports and its place in the table are free.
static void leg_gone(struct party *party)
{
	struct calls *calls = party->anchor->calls;
	struct party **at = leg_bucket(calls, party->leg.id);

	while (*at && *at != party)
		at = &(*at)->leg.bucket_next;
	if (*at)
		*at = party->leg.bucket_next;
	ports_put(calls->options.ports, &party->leg.config.local, calls_now_ms(calls));
	party->leg.live = false;
}

void leg_retire(struct party *party)
{
	struct calls *calls = party->anchor->calls;
	struct leg *leg = &party->leg;

	leg_unwatch(leg);
	wheel_stop(calls->options.wheel, &leg->silence);
	leg->dirty = false;
	if (!leg->live || leg->retiring)
		return;
	leg->retiring = true;
	leg->final = calloc(1, sizeof(*leg->final));
	if (leg->final)
		kg_media_leg_stats(calls->options.media, leg->id, leg->final); // in case the last word never comes
	if (kg_media_leg_retire(calls->options.media, leg->id) != 0)
		leg_gone(party); // the media plane does not know it
}

void leg_forget(struct party *party)
{
	leg_retire(party);
	if (party->leg.live)
		leg_gone(party);
}

// --- what it is told ----------------------------------------------------------------------------------------------

struct offer_local leg_local(const struct party *party, bool mux, uint32_t version)
{
	struct kg_addr said;

	config_advertised(
		&party->anchor->calls->options.config->nics[party->leg.config.nic], &party->leg.config.local, &said);
	return (struct offer_local){
		.rtp = said,
		.mux = mux,
		.session_id = party->anchor->created_us + (party->side == CALL_CALLER ? 0 : 1 + party->hop),
		.version = version,
	};
}

enum call_sdp leg_reaches(const struct party *party, const struct sdp *sdp, char why[CALL_MESSAGE])
{
	const struct calls *calls = party->anchor->calls;
	const struct leg *leg = &party->leg;
	struct offer_media media;
	struct netlink_route route;
	char ip[KG_ADDR_STRLEN];
	int error;

	party_media(party, sdp, &media);
	if (kg_addr_none(&media.remote))
		return CALL_SDP_GOOD; // on hold: nothing is sent
	if (media_denied(calls, &media.remote, why))
		return CALL_SDP_UNREACHABLE;
	kg_addr_ip(&media.remote, ip, sizeof(ip));
	error = media.remote.family == leg->config.local.family
			? netlink_route(calls->options.netlink, &media.remote, &leg->config.local, &route)
			: -EAFNOSUPPORT;
	if (!error && route.ifindex == leg->ifindex)
		return CALL_SDP_GOOD;
	snprintf(why, CALL_MESSAGE, "media address %s is not reached from nic %s, where the leg is: %s", ip,
		calls->options.config->nics[leg->config.nic].name, error ? strerror(-error) : route.interface);
	return CALL_SDP_UNREACHABLE;
}

static void formats_add(struct kg_leg_config *config, const struct sdp *sdp)
{
	struct offer_media media;

	if (!sdp)
		return;
	sdp_media(sdp, &media);
	for (unsigned i = 0; i < media.format_count; i++) {
		bool known = false;

		for (unsigned j = 0; j < config->format_count && !known; j++)
			known = config->formats[j].payload_type == media.formats[i].payload_type;
		if (known || config->format_count == KG_MEDIA_FORMATS)
			continue;
		config->formats[config->format_count++] = (struct kg_media_format){
			.payload_type = media.formats[i].payload_type, .clock_hz = media.formats[i].clock_hz};
	}
}

// Each fork's answer, and each new address, opens the window anew.
static uint32_t latch_window(struct party *party)
{
	struct offer_media said;
	unsigned fork = 0;

	if (!party->behind_nat || !party->sdp)
		return 0;
	sdp_media(party->sdp, &said);
	while (fork < SIP_FORKS - 1 && party->sdps[fork] != party->sdp)
		fork++;
	if (party->leg.config.latch && fork == party->latch_fork && kg_addr_same(&said.remote, &party->latch_sdp))
		return party->leg.config.latch;
	party->latch_fork = fork;
	party->latch_sdp = said.remote;
	return party->leg.config.latch + 1;
}

// Send the leg's configuration to its owner. Where the command ring is full it waits, and the latest one counts.
static void leg_send(struct party *party)
{
	struct calls *calls = party->anchor->calls;
	struct leg *leg = &party->leg;
	int error;

	leg->dirty = false;
	if (!leg->live || leg->retiring)
		return;
	error = kg_media_leg_change(calls->options.media, leg->id, &leg->config);
	if (error == -EAGAIN) {
		leg->dirty = true;
		if (!wheel_running(&party->anchor->retry))
			wheel_start(calls->options.wheel, &party->anchor->retry, RETRY_MS, legs_retry, party->anchor);
	} else if (error < 0) {
		anchor_log(KG_LOG_ERROR, party, NULL, "leg %s: the media plane refused its new configuration: %s",
			party->id, strerror(-error));
	}
}

void legs_retry(struct wheel_timer *timer, void *arg)
{
	struct anchor *anchor = arg;
	struct party *party;

	for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
		if (party->leg.dirty)
			leg_send(party);
}

static void hop_changed(const struct kg_media_hop *hop, int ifindex, void *arg)
{
	struct party *party = arg;
	struct kg_media_hop now = *hop;

	if (ifindex != party->leg.ifindex)
		now.resolved = false; // it moved away from our nic: send nothing rather than to the wrong neighbour
	if (memcmp(&now, &party->leg.config.hop, sizeof(now)) == 0)
		return;
	if (!now.resolved)
		anchor_log(
			KG_LOG_WARN, party, NULL, "leg %s: the next hop towards its media is not resolved", party->id);
	party->leg.config.hop = now;
	leg_send(party);
}

static void leg_watch(struct party *party, const struct kg_addr *remote)
{
	struct leg *leg = &party->leg;
	struct kg_media_hop hop = {.resolved = false};

	if (kg_addr_same_ip(&leg->watched, remote))
		return;
	leg_unwatch(leg);
	leg->config.hop = hop;
	if (kg_addr_none(remote))
		return;
	leg->watched = *remote;
	leg->watch = netlink_watch_create(
		party->anchor->calls->options.netlink, remote, &leg->config.local, hop_changed, party, &hop);
	if (!leg->watch)
		anchor_log(KG_LOG_ERROR, party, NULL, "leg %s: its next hop cannot be followed: no memory", party->id);
	else
		leg->config.hop = hop;
}

// RTCP goes to the next hop of RTP. Where a=rtcp names an address behind another one, it is not sent at all.
static bool rtcp_same_hop(const struct party *party, const struct offer_media *media)
{
	struct netlink *netlink = party->anchor->calls->options.netlink;
	const struct kg_addr *local = &party->leg.config.local;
	struct netlink_route rtp, rtcp;

	if (kg_addr_same_ip(&media->remote, &media->remote_rtcp))
		return true;
	return media->remote_rtcp.family == local->family && netlink_route(netlink, &media->remote, local, &rtp) == 0 &&
	       netlink_route(netlink, &media->remote_rtcp, local, &rtcp) == 0 && rtp.ifindex == rtcp.ifindex &&
	       kg_addr_same_ip(&rtp.next_hop, &rtcp.next_hop);
}

void leg_update(struct party *party, struct party *peer)
{
	const struct anchor *anchor = party->anchor;
	const struct config *config = anchor->calls->options.config;
	struct kg_leg_config *leg = &party->leg.config;
	struct offer_media mine = {.direction = OFFER_SENDRECV}, other = {.direction = OFFER_SENDRECV};
	bool both = peer && peer->sdp && party->sdp;
	char why[CALL_MESSAGE];

	if (!party->leg.live || party->leg.retiring)
		return;
	if (party->sdp)
		party_media(party, party->sdp, &mine);
	if (both)
		sdp_media(peer->sdp, &other);
	leg->remote = mine.remote;
	leg->remote_rtcp = mine.remote_rtcp;
	leg->rtcp_mux = party->mux_said && mine.rtcp_mux;
	leg->latch = latch_window(party);
	if (!kg_addr_none(&mine.remote) &&
		(media_denied(anchor->calls, &mine.remote_rtcp, why) || !rtcp_same_hop(party, &mine)))
		memset(&leg->remote_rtcp, 0, sizeof(leg->remote_rtcp));
	leg->may_receive = (mine.direction & OFFER_SENDONLY) && (other.direction & OFFER_RECVONLY);
	leg->may_send = (mine.direction & OFFER_RECVONLY) && (other.direction & OFFER_SENDONLY);
	leg->peer = both && peer->leg.live && !peer->leg.retiring ? peer->leg.id : 0;
	if (!codecs_fill(party, both ? peer : NULL, leg)) {
		// A party sends what the other's SDP names (its own numbers may mean something else there); its own
		// come after
		leg->format_count = 0;
		formats_add(leg, both ? peer->sdp : NULL);
		formats_add(leg, party->sdp);
	}
	leg->silent_ms = 0; // nobody must send before the answer
	if (anchor->call.answered)
		leg->silent_ms =
			1000 * (leg->may_receive && leg->may_send ? config->timeout_s : config->hold_timeout_s);
	leg_watch(party, &mine.remote);
	leg_send(party);
}

// --- what it says -------------------------------------------------------------------------------------------------

static void media_report(struct party *party, const char *what, uint32_t ssrc)
{
	struct calls *calls = party->anchor->calls;
	json_t *data = json_object();

	json_object_set_new(data, "media", json_string(what));
	if (ssrc)
		json_object_set_new(data, "ssrc", json_integer(ssrc));
	events_emit(calls->options.events, "leg.media", party->anchor->id, party->id, data);
	anchor_log(KG_LOG_INFO, party, NULL, "leg %s: %s", party->id, what);
}

static void latched_report(struct party *party, const struct kg_media_event *event)
{
	struct kg_addr remote = party->leg.config.remote;
	json_t *data = json_object();
	char text[KG_ADDR_STRLEN];

	remote.port = event->port;
	kg_addr_text(&remote, text, sizeof(text));
	json_object_set_new(data, "media", json_string("latched"));
	json_object_set_new(data, "remote", json_string(text));
	json_object_set_new(data, "ssrc", json_integer(event->ssrc));
	events_emit(party->anchor->calls->options.events, "leg.media", party->anchor->id, party->id, data);
	anchor_log(KG_LOG_INFO, party, NULL, "leg %s: media comes from %s and goes there", party->id, text);
}

static void silence_over(struct wheel_timer *timer, void *arg);

// A leg is silent for as long as its figures say, but not from before the answer: then nobody had to send.
static void silence_check(struct party *party)
{
	struct anchor *anchor = party->anchor;
	struct calls *calls = anchor->calls;
	struct leg *leg = &party->leg;
	struct call_event event = {.type = CALL_EV_SILENT, .side = party->side, .hop = party->hop};
	uint64_t now = calls_now_ms(calls), silent_ms, since_answer = now - anchor->call.answered_ms;
	struct kg_leg_stats stats;
	char message[CALL_MESSAGE];

	if (!leg->live || leg->retiring || !leg->config.silent_ms || !anchor->call.answered ||
		kg_media_leg_stats(calls->options.media, leg->id, &stats) != 0)
		return;
	silent_ms = stats.silent_us / 1000 < since_answer ? stats.silent_us / 1000 : since_answer;
	if (silent_ms < leg->config.silent_ms) {
		wheel_start(
			calls->options.wheel, &leg->silence, leg->config.silent_ms - silent_ms, silence_over, party);
		return;
	}
	snprintf(message, sizeof(message), "the %s sent neither RTP nor RTCP for %u s",
		party->side == CALL_CALLER ? "caller" : "callee", leg->config.silent_ms / 1000);
	event.message = message;
	media_report(party, "silent", 0);
	anchor_feed(anchor, &event, NULL);
}

static void silence_over(struct wheel_timer *timer, void *arg)
{
	silence_check(arg);
}

void leg_event(struct calls *calls, const struct kg_media_event *event)
{
	struct party *party = *leg_bucket(calls, event->leg);
	struct anchor *anchor;

	while (party && party->leg.id != event->leg)
		party = party->leg.bucket_next;
	if (!party)
		return; // of a leg that was given up
	anchor = party->anchor;
	switch (event->type) {
	case KG_EVENT_FIRST_PACKET:
		media_report(party, "first_packet", event->ssrc);
		break;
	case KG_EVENT_LATCHED:
		latched_report(party, event);
		break;
	case KG_EVENT_SILENT:
		silence_check(party);
		break;
	case KG_EVENT_RETIRED:
		if (event->stats && party->leg.final)
			*party->leg.final = *event->stats;
		leg_gone(party);
		anchor_check(anchor);
		break;
	case KG_EVENT_READY:
	case KG_EVENT_CHANGED:
		break;
	}
}
