// SPDX-License-Identifier: BSD-3-Clause
// What call*.c share.
#pragma once

#include "call.h"

// call_table.c
struct sdp_failure { // what a description that is not good says to the caller, by who wrote it
	enum call_cause_word cause;
	int by_caller, by_callee;
};
const struct sdp_failure *sdp_failure_of(enum call_sdp sdp);
const char *call_cause_help(enum call_cause_word word);

// call.c
struct call_action *action_add(struct call_actions *out, enum call_action_type type);
void state_set(struct call *call, enum call_state to, struct call_actions *out);
void held_set(struct call *call, bool held, struct call_actions *out);
// The call is over: whatever still lives of it is let go.
void call_end(struct call *call, const struct call_event *event, enum call_state state, enum call_cause_word cause,
	int code, struct call_actions *out);
// Does the event come from the hop that is being called now?
bool hop_current(const struct call *call, const struct call_event *event);

// call_modify.c: events, and a hop that asked or was asked and is gone
void on_prack(struct call *call, const struct call_event *event, struct call_actions *out);
void on_modify(struct call *call, const struct call_event *event, struct call_actions *out);
void on_modified(struct call *call, const struct call_event *event, struct call_actions *out);
void on_modify_ack(struct call *call, const struct call_event *event, struct call_actions *out);
void on_modify_gone(struct call *call, const struct call_event *event, struct call_actions *out);
void modify_drop(struct call *call, struct call_actions *out);
