// SPDX-License-Identifier: BSD-3-Clause
// All calls of the engine: carries events from sessions, media and API into each call's pure machine (call.c) and
// carries out the actions it asks for.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "kg_media.h"
#include "sip_limits.h"
#include "sip_session.h"

struct calls;
struct events;
struct cdr;
struct netlink;
struct ports;

struct calls_options {
	const struct config *config; // replaced by calls_reload
	struct kg_media *media;
	struct netlink *netlink;
	struct ports *ports;
	struct events *events;
	struct cdr *cdr;
	struct wheel *wheel;
};

struct calls *calls_create(const struct calls_options *options);
void calls_destroy(struct calls *calls);
// The stack needs calls' ops and calls need the stack: open the stack with these, then attach it.
extern const struct sip_session_ops calls_session_ops; // arg is struct calls *
void calls_attach(struct calls *calls, struct sip_stack *stack);
void calls_media_event(const struct kg_media_event *event, void *arg); // for kg_media_poll; arg is struct calls *
void calls_reload(struct calls *calls, const struct config *config);

// JSON in the contract's shapes. Owns: the caller's.
json_t *calls_list_json(struct calls *calls);                 // {"items": [...]}
json_t *calls_show_json(struct calls *calls, const char *id); // NULL: not found
json_t *calls_legs_json(struct calls *calls);                 // {"items": [...]}, each leg with "call"
json_t *calls_leg_json(struct calls *calls, const char *id);
int calls_hangup(struct calls *calls, const char *id); // 0, or -ENOENT
// Where a leg that lives has its media: its nic and local ports. Returns: false where there is no such leg (any more).
struct calls_leg_place {
	unsigned nic;
	struct kg_capture_only ports;
};
bool calls_leg_place(struct calls *calls, const char *id, struct calls_leg_place *out);
void calls_shutdown(struct calls *calls); // refuse new ones (503), end all with CANCEL or BYE
// Nothing lives: calls, legs, dialogs. Sessions that only absorb their peers' late copies do not count.
bool calls_idle(const struct calls *calls);

#define CALLS_STATES 9
#define CALLS_CAUSES 24

struct calls_counts {
	uint64_t calls;                        // live, until the CDR is written
	uint64_t by_state[CALLS_STATES];       // live, by calls_state_name
	uint64_t total, answered, failed;      // since start
	uint64_t ended_by_cause[CALLS_CAUSES]; // since start, by calls_cause_name
	uint64_t illegal_transitions;          // a bug where not 0
	uint64_t strangers;                    // INVITEs from nobody's address
	uint64_t refused[SIP_REFUSAL_COUNT];   // by enum sip_refusal: those of calls and trunks
};
void calls_counts(const struct calls *calls, struct calls_counts *out);
const char *calls_state_name(unsigned state); // NULL past the last
const char *calls_cause_name(unsigned cause); // NULL past the last
