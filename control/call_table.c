// SPDX-License-Identifier: BSD-3-Clause
// What a call's machine knows by tables: states and their successors, causes, statuses.

#include "call_impl.h"

#define BIT(state) (1u << (state))
#define ENDS (BIT(CALL_DISCONNECTED) | BIT(CALL_FAILED) | BIT(CALL_TIMEOUT))

static const struct state_info {
	const char *name;
	const char *business; // NULL: none, or by `answered` for timeout
	unsigned next;        // legal successors
} states[CALL_STATE_COUNT] = {
	[CALL_CALLING] = {"calling", NULL, BIT(CALL_RINGING) | BIT(CALL_EARLY_MEDIA) | BIT(CALL_CONFIRMED) | ENDS},
	[CALL_RINGING] = {"ringing", "ringing", BIT(CALL_EARLY_MEDIA) | BIT(CALL_CONFIRMED) | ENDS},
	// back to ringing where the route's next hop rings after the first one's announcement
	[CALL_EARLY_MEDIA] = {"early_media", "ringing", BIT(CALL_RINGING) | BIT(CALL_CONFIRMED) | ENDS},
	[CALL_CONFIRMED] = {"confirmed", "answered",
		BIT(CALL_HELD) | BIT(CALL_TRANSFERRED) | BIT(CALL_DISCONNECTED) | BIT(CALL_TIMEOUT)},
	[CALL_HELD] = {"held", "held",
		BIT(CALL_CONFIRMED) | BIT(CALL_TRANSFERRED) | BIT(CALL_DISCONNECTED) | BIT(CALL_TIMEOUT)},
	[CALL_TRANSFERRED] = {"transferred", "transferred", 0},
	[CALL_DISCONNECTED] = {"disconnected", "released", 0},
	[CALL_FAILED] = {"failed", "failed", 0},
	[CALL_TIMEOUT] = {"timeout", NULL, 0},
};

#define CAUSE_ROW(word, layer, help) {#word, layer, help},
static const struct cause_info {
	const char *word, *layer, *help;
} causes[CALL_CAUSE_COUNT] = {CALL_CAUSES(CAUSE_ROW)};

// A callee's failure that may not pass as it is: it speaks of the trunk or of what was negotiated on that leg only.
static const struct upstream {
	int from, to, status;
} upstreams[] = {
	{300, 399, 480},                  // redirects are not followed, and their Contacts are the trunk's
	{401, 401, 403},                  // the trunk asks us, not the caller
	{407, 407, 403}, {420, 422, 500}, // Require, Supported and Session-Expires are each leg's own
	{494, 494, 500}, {503, 503, 500}, // a proxy would bench us
};

int call_status_upstream(int status)
{
	if (status < 300 || status > 699)
		return 500;
	for (size_t i = 0; i < sizeof(upstreams) / sizeof(*upstreams); i++)
		if (status >= upstreams[i].from && status <= upstreams[i].to)
			return upstreams[i].status;
	return status;
}

bool call_status_hunts(int status)
{
	static const int hunts[] = {408, 480, 500, 502, 503, 504};

	for (size_t i = 0; i < sizeof(hunts) / sizeof(*hunts); i++)
		if (hunts[i] == status)
			return true;
	return false;
}

// What a description that is not good says to the caller, by who wrote it.
static const struct sdp_failure sdp_failures[] = {
	[CALL_SDP_NONE] = {CALL_CAUSE_sdp_refused, 488, 488},
	[CALL_SDP_BROKEN] = {CALL_CAUSE_sdp_broken, 400, 502},
	[CALL_SDP_UNUSABLE] = {CALL_CAUSE_sdp_refused, 488, 488},
	[CALL_SDP_UNREACHABLE] = {CALL_CAUSE_unreachable, 488, 502},
	[CALL_SDP_NO_ROOM] = {CALL_CAUSE_overload, 503, 503},
	[CALL_SDP_NO_DSP] = {CALL_CAUSE_dsp_overload, 503, 503},
	[CALL_SDP_NO_MEDIA] = {CALL_CAUSE_media_failed, 500, 500},
};

const char *call_state_name(enum call_state state)
{
	return states[state].name;
}

const char *call_business_name(enum call_state state, bool answered)
{
	if (state == CALL_TIMEOUT)
		return answered ? "released" : "failed";
	return states[state].business;
}

const char *call_cause_name(enum call_cause_word word)
{
	return causes[word].word;
}

const char *call_cause_layer(enum call_cause_word word)
{
	return causes[word].layer;
}

bool call_transition_legal(enum call_state from, enum call_state to)
{
	return states[from].next & BIT(to);
}

bool call_ended(const struct call *call)
{
	return states[call->state].next == 0;
}

const struct sdp_failure *sdp_failure_of(enum call_sdp sdp)
{
	return &sdp_failures[sdp];
}

const char *call_cause_help(enum call_cause_word word)
{
	return causes[word].help;
}
