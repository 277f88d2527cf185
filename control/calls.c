// SPDX-License-Identifier: BSD-3-Clause
// The books of all calls: makes anchors, feeds their machines, and closes each call with its CDR. What machines ask for
// is in calls_action.c, sessions' callbacks in calls_sip.c, media in calls_media.c, JSON in calls_json.c.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "calls_private.h"

_Static_assert(CALLS_STATES == CALL_STATE_COUNT, "calls.h counts the states of call.h");
_Static_assert(CALLS_CAUSES >= CALL_CAUSE_COUNT, "calls.h has room for the causes of call.h");
_Static_assert(CALL_FORKS == SIP_FORKS, "each upstream fork is an early dialog of the session");

// --- parties and anchors ------------------------------------------------------------------------------------------

struct party *anchor_party(struct anchor *anchor, unsigned index)
{
	if (index == 0)
		return anchor->caller;
	for (unsigned hop = 0; hop < CALL_HOPS; hop++) // a hop that there was no memory for is not there
		if (anchor->callees[hop] && --index == 0)
			return anchor->callees[hop];
	return NULL;
}

struct party *anchor_callee(struct anchor *anchor)
{
	return anchor->callees[anchor->call.hop];
}

static void party_free(struct party *party)
{
	free(party->sip_call_id);
	free(party->local_tag);
	free(party->remote_tag);
	free(party->branch);
	free(party->from);
	free(party->to);
	free(party);
}

struct party *party_create(struct anchor *anchor, enum call_side side, unsigned hop, const char *from, const char *to)
{
	struct party *party = calloc(1, sizeof(*party));

	if (!party)
		return NULL;
	party->anchor = anchor;
	party->side = side;
	party->hop = hop;
	party->dialog = "none";
	party->from = strdup(from);
	party->to = strdup(to);
	snprintf(party->id, sizeof(party->id), "%s-%u", anchor->id, side == CALL_CALLER ? 0 : 1 + hop);
	party->sip_call_id = strdup("");
	party->local_tag = strdup("");
	party->remote_tag = strdup("");
	party->branch = strdup("");
	if (party->from && party->to && party->sip_call_id && party->local_tag && party->remote_tag && party->branch)
		return party;
	party_free(party);
	return NULL;
}

static void party_destroy(struct party *party)
{
	if (!party)
		return;
	leg_forget(party);
	free(party->leg.final);
	party_unuse(party);
	for (unsigned i = 0; i < SIP_FORKS; i++)
		sdp_free(party->sdps[i]);
	modify_forget(party);
	free(party->told.text);
	party_free(party);
}

static void id_make(char id[CALLS_ID])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		memset(b, 0, sizeof(b)); // cannot be for 16 bytes
	b[6] = (b[6] & 0x0f) | 0x40;     // UUID version 4
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(id, CALLS_ID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
		b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void anchor_lighten(struct anchor *anchor)
{
	sip_msg_unref(anchor->invite);
	anchor->invite = NULL;
	for (unsigned i = 0; i < anchor->hop_count; i++) {
		free(anchor->hops[i].route);
		anchor->hops[i].route = NULL;
	}
	for (unsigned i = 0; i < CALL_FORKS; i++) {
		free(anchor->told[i].text);
		anchor->told[i].text = NULL;
	}
}

static void anchor_destroy(struct anchor *anchor)
{
	struct calls *calls = anchor->calls;

	if (anchor->prev) {
		*anchor->prev = anchor->next;
		if (anchor->next)
			anchor->next->prev = anchor->prev;
	}
	wheel_stop(calls->options.wheel, &anchor->retry);
	party_destroy(anchor->caller);
	for (unsigned i = 0; i < CALL_HOPS; i++)
		party_destroy(anchor->callees[i]);
	anchor_lighten(anchor);
	for (unsigned i = 0; i < anchor->hop_count; i++)
		free(anchor->hops[i].codecs);
	relays_free(anchor);
	free(anchor->hops);
	free(anchor);
}

struct anchor *anchor_create(
	struct calls *calls, const struct config_trunk *trunk, const char *endpoint, struct sip_msg *msg)
{
	struct anchor *anchor = calloc(1, sizeof(*anchor));
	char *from = header_without_tag(sip_msg_from(msg)), *to = header_without_tag(sip_msg_to(msg));
	struct timespec ts;
	int lcore;

	if (!anchor || !from || !to)
		goto fail;
	clock_gettime(CLOCK_REALTIME, &ts);
	anchor->created_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	anchor->calls = calls;
	lcore = kg_media_lcore_choose(calls->options.media);
	anchor->lcore = lcore < 0 ? 0 : (unsigned)lcore; // a call that was admitted is not refused for that any more
	call_init(&anchor->call);
	id_make(anchor->id);
	if (trunk) {
		snprintf(anchor->trunk, sizeof(anchor->trunk), "%s", trunk->name);
		snprintf(anchor->nic, sizeof(anchor->nic), "%s", trunk->nic);
	} else {
		snprintf(anchor->endpoint, sizeof(anchor->endpoint), "%s", endpoint);
	}
	anchor->invite = sip_msg_ref(msg);
	anchor->caller = party_create(anchor, CALL_CALLER, 0, from, to);
	if (!anchor->caller)
		goto fail;
	free(from);
	free(to);
	anchor->next = calls->anchors;
	anchor->prev = &calls->anchors;
	if (anchor->next)
		anchor->next->prev = &anchor->next;
	calls->anchors = anchor;
	calls->live++;
	calls->counts.total++;
	return anchor;
fail:
	free(from);
	free(to);
	if (anchor && anchor->calls)
		anchor_destroy(anchor);
	else
		free(anchor);
	return NULL;
}

void anchor_log(enum kg_log_level level, const struct party *party, const char *method, const char *fmt, ...)
{
	char dialog[600], text[512];
	const struct log_ids ids = {.method = method,
		.transaction = *party->branch ? party->branch : NULL,
		.dialog = *party->sip_call_id ? dialog : NULL,
		.call = party->anchor->id};
	va_list args;

	if (!log_enabled(level))
		return;
	snprintf(dialog, sizeof(dialog), "%s;%s;%s", party->sip_call_id, party->local_tag, party->remote_tag);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_sip(level, &ids, "%s", text);
}

// --- the end of a call --------------------------------------------------------------------------------------------

// Its bytes, not its tree: a hundred small blocks a call leave holes in the heap that nothing else fits.
static void history_add(struct calls *calls, struct anchor *anchor)
{
	struct ended *slot = &calls->history[calls->history_next];
	json_t *json = anchor_json(anchor);

	free(slot->text);
	slot->text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	memcpy(slot->id, anchor->id, sizeof(slot->id));
	calls->history_next = (calls->history_next + 1) % CALLS_HISTORY;
}

static void anchor_finish(struct anchor *anchor)
{
	struct calls *calls = anchor->calls;
	struct party *party;

	for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
		party_unuse(party);
	history_add(calls, anchor);
	cdr_write(calls->options.cdr, anchor_cdr(anchor));
	calls->counts.ended_by_cause[anchor->call.cause.word]++;
	calls->counts.illegal_transitions += anchor->call.illegal;
	calls->counts.failed += !anchor->call.answered;
	calls->live--;
	anchor->finished = true;
}

void anchor_check(struct anchor *anchor)
{
	bool legs = false, sessions = false;
	struct party *party;

	if (anchor->depth || !call_ended(&anchor->call))
		return;
	for (unsigned i = 0; (party = anchor_party(anchor, i)); i++) {
		legs |= party->leg.live;
		sessions |= party->session != NULL;
	}
	if (!legs && !anchor->finished)
		anchor_finish(anchor);
	if (anchor->finished && !sessions)
		anchor_destroy(anchor);
}

// --- events and actions ----------------------------------------------------------------------------------------------

void anchor_feed(struct anchor *anchor, struct call_event *event, struct evidence *evidence)
{
	struct call_actions actions;

	event->now_ms = calls_now_ms(anchor->calls);
	anchor->depth++;
	if (event->type == CALL_EV_INVITE)
		action_execute(anchor, &(struct call_action){.type = CALL_DO_REPORT}, evidence);
	call_step(&anchor->call, event, &actions);
	for (unsigned i = 0; i < actions.count; i++)
		action_execute(anchor, &actions.list[i], evidence);
	anchor->depth--;
	anchor_check(anchor);
}

// --- the whole ----------------------------------------------------------------------------------------------------

struct calls *calls_create(const struct calls_options *options)
{
	struct calls *calls = calloc(1, sizeof(*calls));

	if (calls)
		calls->options = *options;
	return calls;
}

void calls_attach(struct calls *calls, struct sip_stack *stack)
{
	calls->stack = stack;
}

// What still lives was cut off by a stop that did not wait. Each call has its CDR all the same.
void calls_destroy(struct calls *calls)
{
	struct anchor *anchor, *next;
	struct party *party;

	if (!calls)
		return;
	for (anchor = calls->anchors; anchor; anchor = next) {
		next = anchor->next;
		anchor->depth++;
		if (!call_ended(&anchor->call)) {
			struct call_event event = {.type = CALL_EV_SHUTDOWN, .now_ms = calls_now_ms(calls)};
			struct call_actions ignored;

			call_step(&anchor->call, &event, &ignored);
			action_execute(anchor, &(struct call_action){.type = CALL_DO_REPORT}, NULL);
		}
		for (unsigned i = 0; (party = anchor_party(anchor, i)); i++) {
			leg_forget(party);
			if (party->session)
				sip_session_set_user(party->session, NULL);
		}
		if (!anchor->finished)
			anchor_finish(anchor);
		anchor_destroy(anchor);
	}
	for (unsigned i = 0; i < CALLS_HISTORY; i++)
		free(calls->history[i].text);
	uses_free(calls);
	free(calls);
}

void calls_reload(struct calls *calls, const struct config *config)
{
	calls->options.config = config;
}

void calls_media_event(const struct kg_media_event *event, void *arg)
{
	leg_event(arg, event);
}

int calls_hangup(struct calls *calls, const char *id)
{
	struct call_event event = {.type = CALL_EV_HANGUP};

	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next) {
		if (strcmp(anchor->id, id) == 0 && !call_ended(&anchor->call)) {
			anchor_feed(anchor, &event, NULL);
			return 0;
		}
	}
	return -ENOENT;
}

void calls_shutdown(struct calls *calls)
{
	struct anchor *anchor, *next;

	calls->stopping = true;
	for (anchor = calls->anchors; anchor; anchor = next) {
		struct call_event event = {.type = CALL_EV_SHUTDOWN};

		next = anchor->next;
		anchor_feed(anchor, &event, NULL);
	}
}

bool calls_idle(const struct calls *calls)
{
	for (const struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		if (!anchor->finished || anchor->call.caller != CALL_LEG_OVER ||
			(anchor->call.callee != CALL_LEG_OVER && anchor->call.callee != CALL_LEG_NONE))
			return false;
	return true;
}

void calls_counts(const struct calls *calls, struct calls_counts *out)
{
	*out = calls->counts;
	out->calls = calls->live;
	for (const struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next) {
		if (anchor->finished)
			continue;
		out->by_state[anchor->call.state]++;
		out->illegal_transitions += anchor->call.illegal;
	}
}

const char *calls_state_name(unsigned state)
{
	return state < CALL_STATE_COUNT ? call_state_name((enum call_state)state) : NULL;
}

const char *calls_cause_name(unsigned cause)
{
	return cause < CALL_CAUSE_COUNT ? call_cause_name((enum call_cause_word)cause) : NULL;
}
