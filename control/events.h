// SPDX-License-Identifier: BSD-3-Clause
// The event bus: numbered without gaps, kept in a bounded ring for Last-Event-ID, sent to every listener of /v1/events.
#pragma once

#include <jansson.h>
#include <stdint.h>

struct events;

struct events *events_create(unsigned keep);
void events_destroy(struct events *events);
// Publish one. data's members are merged into {seq, time, type, call, leg}; call and leg may be NULL.
// Owns: takes data (may be NULL).
void events_emit(struct events *events, const char *type, const char *call, const char *leg, json_t *data);
uint64_t events_last(const struct events *events);
// Listeners (api.c): called for each new event with its text (the whole JSON object).
struct events_listener {
	struct events_listener *next;
	void (*fn)(uint64_t seq, const char *type, const char *text, void *arg);
	void *arg;
};
void events_listen(struct events *events, struct events_listener *listener);
void events_unlisten(struct events *events, struct events_listener *listener);
// Replay what is kept after `seq`. Returns: 0, or -ERANGE where that is too old (the client needs a reset).
int events_replay(const struct events *events, uint64_t seq,
	void (*fn)(uint64_t seq, const char *type, const char *text, void *arg), void *arg);
