// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "events.h"

struct kept {
	uint64_t seq; // 0: empty
	char type[32];
	char *text;
};

struct events {
	struct kept *ring; // seq % keep
	unsigned keep;
	uint64_t last;
	struct events_listener *listeners;
};

struct events *events_create(unsigned keep)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events || !(events->ring = calloc(keep, sizeof(*events->ring)))) {
		free(events);
		return NULL;
	}
	events->keep = keep;
	return events;
}

void events_destroy(struct events *events)
{
	if (!events)
		return;
	for (unsigned i = 0; i < events->keep; i++)
		free(events->ring[i].text);
	free(events->ring);
	free(events);
}

static json_t *event_json(uint64_t seq, const char *type, const char *call, const char *leg, json_t *data)
{
	struct timespec now;
	struct tm utc;
	char day[32], stamp[64];
	json_t *event = json_object();

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp, sizeof(stamp), "%s.%06ldZ", day, now.tv_nsec / 1000);
	json_object_set_new(event, "seq", json_integer((json_int_t)seq));
	json_object_set_new(event, "time", json_string(stamp));
	json_object_set_new(event, "type", json_string(type));
	json_object_set_new(event, "call", call ? json_string(call) : json_null());
	json_object_set_new(event, "leg", leg ? json_string(leg) : json_null());
	if (data)
		json_object_update(event, data);
	return event;
}

void events_emit(struct events *events, const char *type, const char *call, const char *leg, json_t *data)
{
	json_t *event = event_json(events->last + 1, type, call, leg, data);
	char *text = json_dumps(event, JSON_COMPACT);
	struct events_listener *listener, *next;
	struct kept *kept;

	json_decref(event);
	json_decref(data);
	if (!text)
		return; // no memory for it: it has no number either, so there is no gap
	kept = &events->ring[++events->last % events->keep];
	free(kept->text);
	kept->seq = events->last;
	kept->text = text;
	snprintf(kept->type, sizeof(kept->type), "%s", type);
	for (listener = events->listeners; listener; listener = next) { // one may take itself away
		next = listener->next;
		listener->fn(kept->seq, kept->type, kept->text, listener->arg);
	}
}

uint64_t events_last(const struct events *events)
{
	return events->last;
}

void events_listen(struct events *events, struct events_listener *listener)
{
	listener->next = events->listeners;
	events->listeners = listener;
}

void events_unlisten(struct events *events, struct events_listener *listener)
{
	struct events_listener **at = &events->listeners;

	while (*at && *at != listener)
		at = &(*at)->next;
	if (*at)
		*at = listener->next;
}

int events_replay(const struct events *events, uint64_t seq,
	void (*fn)(uint64_t seq, const char *type, const char *text, void *arg), void *arg)
{
	uint64_t oldest = events->last > events->keep ? events->last - events->keep + 1 : 1;

	if (seq + 1 < oldest || seq > events->last) // also one from before a restart
		return -ERANGE;
	for (uint64_t i = seq + 1; i <= events->last; i++) {
		const struct kept *kept = &events->ring[i % events->keep];

		fn(kept->seq, kept->type, kept->text, arg);
	}
	return 0;
}
