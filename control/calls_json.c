// SPDX-License-Identifier: BSD-3-Clause
// Calls and legs as JSON, in the shapes that the API, the events and the CDR share.

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "calls_private.h"
#include "sdp.h"

// A moment of the call's life, given in the machine's monotonic time, as RFC 3339.
static json_t *time_json(const struct anchor *anchor, bool happened, uint64_t at_ms)
{
	uint64_t us = anchor->created_us + (at_ms - anchor->call.created_ms) * 1000;
	time_t seconds = (time_t)(us / 1000000);
	char text[48];
	struct tm tm;
	size_t used;

	if (!happened)
		return json_null();
	gmtime_r(&seconds, &tm);
	used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, sizeof(text) - used, ".%06uZ", (unsigned)(us % 1000000));
	return json_string(text);
}

// A peer's bytes need not be UTF-8: what is not is shown as '?'.
static json_t *string_json(const char *text)
{
	char safe[1024];
	json_t *json = json_string(text);
	size_t i = 0;

	if (json)
		return json;
	for (; text[i] && i < sizeof(safe) - 1; i++)
		safe[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	safe[i] = '\0';
	return json_string(safe);
}

json_t *anchor_cause_json(const struct anchor *anchor)
{
	const struct call_cause *cause = &anchor->call.cause;
	json_t *json;

	if (cause->word == CALL_CAUSE_none)
		return json_null();
	json = json_object();
	json_object_set_new(json, "layer", json_string(call_cause_layer(cause->word)));
	json_object_set_new(json, "code", json_integer(cause->code));
	json_object_set_new(json, "reason", json_string(call_cause_name(cause->word)));
	json_object_set_new(json, "message", string_json(cause->message));
	return json;
}

// What the two parties agreed on; null until both have spoken.
static void negotiated_set(json_t *json, const struct party *party)
{
	const struct party *caller = party->anchor->caller, *callee = party;
	struct offer_choice choice = {.way = OFFER_NOTHING};
	const struct offer_side *side;
	bool agreed;

	if (party->side == CALL_CALLER)
		callee = anchor_callee(party->anchor);
	agreed = callee && party_choice(caller, callee, &choice) && choice.way != OFFER_NOTHING;
	side = (party->side == CALL_CALLER) == party->anchor->caller_answers ? &choice.answerer : &choice.offerer;
	json_object_set_new(json, "codec", agreed ? string_json(side->codec.encoding) : json_null());
	json_object_set_new(json, "codec_why", agreed ? string_json(choice.why) : json_null());
	json_object_set_new(json, "transcoded", json_boolean(choice.way == OFFER_TRANSCODE));
	json_object_set_new(json, "dtmf", json_string(side->event.clock_hz ? "rfc4733" : "none"));
	json_object_set_new(json, "srtp", json_string("none"));
}

// What the room makes of what this party sends; null: it is relayed.
static json_t *room_json(const struct kg_room_stats *room)
{
	json_t *json;

	if (!room->runs && !room->played && !room->encoded)
		return json_null();
	json = json_object();
	json_object_set_new(json, "played", json_integer((json_int_t)room->played));
	json_object_set_new(json, "late", json_integer((json_int_t)room->late));
	json_object_set_new(json, "concealed", json_integer((json_int_t)room->concealed));
	json_object_set_new(json, "recovered", json_integer((json_int_t)room->recovered));
	json_object_set_new(json, "discarded", json_integer((json_int_t)room->discarded));
	json_object_set_new(json, "undecodable", json_integer((json_int_t)room->undecodable));
	json_object_set_new(json, "events", json_integer((json_int_t)room->events));
	json_object_set_new(json, "encoded", json_integer((json_int_t)room->encoded));
	json_object_set_new(json, "depth_us", json_integer(room->depth_us));
	json_object_set_new(json, "target_us", json_integer(room->target_us));
	return json;
}

static void figures_set(json_t *json, const struct kg_leg_stats *stats)
{
	json_t *rx = json_object(), *tx = json_object(), *drops = json_object(), *quality = json_object();

	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		if (stats->drops[i])
			json_object_set_new(drops, kg_drop_info[i].id, json_integer((json_int_t)stats->drops[i]));
	json_object_set_new(rx, "packets", json_integer((json_int_t)stats->rx_packets));
	json_object_set_new(rx, "bytes", json_integer((json_int_t)stats->rx_bytes));
	json_object_set_new(rx, "lost", json_integer((json_int_t)stats->rx_lost));
	json_object_set_new(rx, "duplicate", json_integer((json_int_t)stats->rx_duplicate));
	json_object_set_new(rx, "reordered", json_integer((json_int_t)stats->rx_reordered));
	json_object_set_new(rx, "jitter_us", json_integer((json_int_t)stats->rx_jitter_us));
	json_object_set_new(rx, "rtcp_packets", json_integer((json_int_t)stats->rx_rtcp_packets));
	json_object_set_new(rx, "drops", drops);
	json_object_set_new(tx, "packets", json_integer((json_int_t)stats->tx_packets));
	json_object_set_new(tx, "bytes", json_integer((json_int_t)stats->tx_bytes));
	json_object_set_new(tx, "rtcp_packets", json_integer((json_int_t)stats->tx_rtcp_packets));
	json_object_set_new(quality, "r", json_null()); // not measured yet
	json_object_set_new(quality, "mos", json_null());
	json_object_set_new(json, "rx", rx);
	json_object_set_new(json, "tx", tx);
	json_object_set_new(json, "room", room_json(&stats->room));
	json_object_set_new(json, "quality", quality);
}

static json_t *addr_json(const struct kg_addr *addr)
{
	char text[KG_ADDR_STRLEN];

	return kg_addr_none(addr) ? json_null() : json_string(kg_addr_text(addr, text, sizeof(text)));
}

// How far the party's media address is known.
static const char *latching_word(const struct party *party, const struct kg_leg_stats *stats)
{
	if (!party->behind_nat)
		return "off";
	return stats->latched_port ? "latched" : party->leg.config.remote.port ? "open" : "waiting";
}

// Who sent what was dropped as wrong_source last; null: nobody.
static json_t *refused_json(const struct leg *leg, const struct kg_leg_stats *stats)
{
	struct kg_addr from = {.family = leg->config.local.family, .port = stats->refused_port};
	json_t *json;

	if (!stats->refused_port)
		return json_null();
	memcpy(from.ip, stats->refused_ip, sizeof(from.ip));
	json = json_object();
	json_object_set_new(json, "packets", json_integer((json_int_t)stats->drops[KG_DROP_wrong_source]));
	json_object_set_new(json, "last_source", addr_json(&from));
	json_object_set_new(json, "last_ssrc", stats->refused_ssrc ? json_integer(stats->refused_ssrc) : json_null());
	return json;
}

static json_t *leg_json(struct party *party)
{
	struct calls *calls = party->anchor->calls;
	const struct leg *leg = &party->leg;
	struct kg_leg_stats stats = {.lcore = 0};
	struct kg_addr remote = leg->config.remote;
	struct sip_session_info info;
	json_t *json = json_object();

	if ((!leg->live || kg_media_leg_stats(calls->options.media, leg->id, &stats) != 0) && leg->final)
		stats = *leg->final;
	if (call_ended(&party->anchor->call)) {
		party->dialog = "terminated"; // also where the BYE still waits for its response
	} else if (party->session && strcmp(party->dialog, "terminated") != 0) {
		sip_session_info(party->session, &info);
		party->dialog = info.dialog;
	}
	json_object_set_new(json, "id", json_string(party->id));
	json_object_set_new(json, "role", json_string(party->side == CALL_CALLER ? "caller" : "callee"));
	json_object_set_new(json, "sip_call_id", string_json(party->sip_call_id));
	json_object_set_new(json, "local_tag", string_json(party->local_tag));
	json_object_set_new(json, "remote_tag", string_json(party->remote_tag));
	json_object_set_new(json, "dialog", json_string(party->dialog));
	json_object_set_new(json, "from", string_json(party->from));
	json_object_set_new(json, "to", string_json(party->to));
	if (party_endpoint(party))
		json_object_set_new(json, "endpoint", json_string(party->anchor->endpoint));
	json_object_set_new(json, "trunk",
		json_string(party->side == CALL_CALLER ? party->anchor->trunk : party->anchor->hops[party->hop].trunk));
	json_object_set_new(
		json, "nic", leg->was ? json_string(calls->options.config->nics[leg->config.nic].name) : json_null());
	json_object_set_new(json, "lcore", leg->was ? json_integer(stats.lcore) : json_null());
	negotiated_set(json, party);
	json_object_set_new(json, "local", addr_json(&leg->config.local));
	if (stats.latched_port)
		remote.port = stats.latched_port;
	json_object_set_new(json, "remote", remote.port ? addr_json(&remote) : json_null());
	json_object_set_new(json, "latching", json_string(latching_word(party, &stats)));
	json_object_set_new(json, "refused", refused_json(leg, &stats));
	figures_set(json, &stats);
	return json;
}

json_t *anchor_json(struct anchor *anchor)
{
	const struct call *call = &anchor->call;
	const char *business = call_business_name(call->state, call->answered);
	json_t *json = json_object(), *legs = json_array();
	struct party *party;

	for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
		json_array_append_new(legs, leg_json(party));
	json_object_set_new(json, "id", json_string(anchor->id));
	json_object_set_new(json, "state", json_string(call_state_name(call->state)));
	json_object_set_new(json, "business", business ? json_string(business) : json_null());
	json_object_set_new(json, "created", time_json(anchor, true, call->created_ms));
	json_object_set_new(json, "answered", time_json(anchor, call->answered, call->answered_ms));
	json_object_set_new(json, "ended", time_json(anchor, call_ended(call), call->ended_ms));
	json_object_set_new(json, "cause", anchor_cause_json(anchor));
	json_object_set_new(json, "record", json_false());
	json_object_set_new(json, "legs", legs);
	return json;
}

// The call with its durations. setup_ms: until it rang, or until it was answered or ended without ringing. ring_ms:
// from then until the answer or the end. talk_ms: from the answer to the end.
json_t *anchor_cdr(struct anchor *anchor)
{
	const struct call *call = &anchor->call;
	json_t *json = anchor_json(anchor);
	uint64_t open_until = call->answered ? call->answered_ms : call->ended_ms;
	uint64_t rang = call->ringing_ms ? call->ringing_ms : open_until;

	json_object_set_new(json, "setup_ms", json_integer((json_int_t)(rang - call->created_ms)));
	json_object_set_new(json, "ring_ms", json_integer((json_int_t)(open_until - rang)));
	json_object_set_new(
		json, "talk_ms", json_integer((json_int_t)(call->answered ? call->ended_ms - call->answered_ms : 0)));
	return json;
}

static json_t *items(json_t *list)
{
	json_t *json = json_object();

	json_object_set_new(json, "items", list);
	return json;
}

json_t *calls_list_json(struct calls *calls)
{
	json_t *list = json_array();

	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		if (!call_ended(&anchor->call))
			json_array_append_new(list, anchor_json(anchor));
	return items(list);
}

json_t *calls_show_json(struct calls *calls, const char *id)
{
	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		if (strcmp(anchor->id, id) == 0)
			return anchor_json(anchor);
	for (unsigned i = 0; i < CALLS_HISTORY; i++)
		if (calls->history[i].text && strcmp(calls->history[i].id, id) == 0)
			return json_loads(calls->history[i].text, 0, NULL);
	return NULL;
}

static json_t *leg_with_call(struct party *party)
{
	json_t *json = leg_json(party);

	json_object_set_new(json, "call", json_string(party->anchor->id));
	return json;
}

json_t *calls_legs_json(struct calls *calls)
{
	json_t *list = json_array();
	struct party *party;

	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
			if (party->leg.live)
				json_array_append_new(list, leg_with_call(party));
	return items(list);
}

static struct party *party_named(struct calls *calls, const char *id)
{
	struct party *party;

	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
			if (strcmp(party->id, id) == 0)
				return party;
	return NULL;
}

json_t *calls_leg_json(struct calls *calls, const char *id)
{
	struct party *party = party_named(calls, id);

	return party ? leg_with_call(party) : NULL;
}

bool calls_leg_place(struct calls *calls, const char *id, struct calls_leg_place *out)
{
	const struct party *party = party_named(calls, id);

	if (!party || !party->leg.live)
		return false;
	*out = (struct calls_leg_place){party->leg.config.nic, {party->leg.config.local, party->leg.config.rtcp_mux}};
	return true;
}
