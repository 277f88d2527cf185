// SPDX-License-Identifier: BSD-3-Clause
// /v1/events: one chunked answer that goes on while the client reads. A client that reads too slowly is dropped: it
// comes back with Last-Event-ID and misses nothing.

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "api_private.h"
#include "events.h"
#include "kg_log.h"

#define MAX_WAITING (1024 * 1024)
#define MAX_LISTENERS 64
#define KEEPALIVE_S 15

struct api_listener {
	struct api_listener *next;
	struct api *api;
	struct evhttp_request *request;
	struct events_listener events;
	struct event *keepalive;
	size_t room;         // what may wait to be sent: MAX_WAITING beyond its replay
	struct event *leave; // dropping is done from the loop, not from within an event
};

static void listener_free(struct api_listener *listener)
{
	struct api_listener **at = &listener->api->listeners;

	while (*at != listener)
		at = &(*at)->next;
	*at = listener->next;
	events_unlisten(listener->api->options.events, &listener->events);
	event_free(listener->keepalive);
	event_free(listener->leave);
	free(listener);
}

// Where the client went away, evhttp has let go of the unfinished request: it is ours then.
static void on_closed(struct evhttp_connection *connection, void *arg)
{
	struct api_listener *listener = arg;

	if (!evhttp_request_get_connection(listener->request))
		evhttp_request_free(listener->request);
	listener_free(listener);
}

static void on_leave(evutil_socket_t fd, short what, void *arg)
{
	struct api_listener *listener = arg;
	struct evhttp_connection *connection = evhttp_request_get_connection(listener->request);

	kg_info("api",
		"a listener of /v1/events reads too slowly and was dropped: it may come back with Last-Event-ID");
	evhttp_connection_set_closecb(connection, NULL, NULL);
	listener_free(listener);
	evhttp_connection_free(connection);
}

static size_t waiting(const struct api_listener *listener)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(listener->request);

	return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(connection)));
}

static void send_text(struct api_listener *listener, const char *text)
{
	struct evbuffer *chunk;

	if (waiting(listener) > listener->room) {
		event_active(listener->leave, EV_TIMEOUT, 0);
		return;
	}
	chunk = evbuffer_new();
	if (!chunk)
		return;
	evbuffer_add(chunk, text, strlen(text));
	evhttp_send_reply_chunk(listener->request, chunk);
	evbuffer_free(chunk);
}

static void send_event(uint64_t seq, const char *type, const char *text, void *arg)
{
	char *block = NULL;

	if (asprintf(&block, "id: %llu\nevent: %s\ndata: %s\n\n", (unsigned long long)seq, type, text) < 0)
		return;
	send_text(arg, block);
	free(block);
}

static void on_keepalive(evutil_socket_t fd, short what, void *arg)
{
	send_text(arg, ": still here\n\n");
}

// Replay what came after `last`, as the client wrote it. Returns: 0, or -ERANGE where it is too old or no number of
// ours.
static int replay(struct api_listener *listener, const char *last)
{
	if (!*last || last[strspn(last, "0123456789")])
		return -ERANGE; // not 0: that would send all that is kept as if the client had asked for it
	return events_replay(listener->api->options.events, strtoull(last, NULL, 10), send_event, listener);
}

static void begin(struct api_listener *listener, const char *last)
{
	struct events *events = listener->api->options.events;
	char reset[128];

	listener->room = SIZE_MAX; // a replay goes out as a whole: the ring bounds it
	send_text(listener, ": events of kedge\n\n");
	if (last && replay(listener, last) != 0) {
		snprintf(reset, sizeof(reset), "id: %llu\nevent: reset\ndata: {}\n\n",
			(unsigned long long)events_last(events));
		send_text(listener, reset);
	}
	listener->room = MAX_WAITING + waiting(listener);
}

void api_events(struct api *api, struct evhttp_request *request, const char *id)
{
	const struct timeval keepalive = {KEEPALIVE_S, 0};
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct api_listener *listener;
	unsigned count = 0;

	for (listener = api->listeners; listener; listener = listener->next)
		count++;
	listener = count < MAX_LISTENERS ? calloc(1, sizeof(*listener)) : NULL;
	if (!listener)
		return api_problem(request, 503, "Too many listeners", "close one of them first");
	listener->api = api;
	listener->request = request;
	listener->events = (struct events_listener){.fn = send_event, .arg = listener};
	listener->keepalive = event_new(api->options.base, -1, EV_PERSIST, on_keepalive, listener);
	listener->leave = event_new(api->options.base, -1, 0, on_leave, listener);
	if (!listener->keepalive || !listener->leave) {
		if (listener->keepalive)
			event_free(listener->keepalive);
		free(listener);
		return api_problem(request, 500, "Out of memory", "try again later");
	}
	listener->next = api->listeners;
	api->listeners = listener;
	event_add(listener->keepalive, &keepalive);
	evhttp_connection_set_timeout(connection, 0);
	evhttp_connection_set_closecb(connection, on_closed, listener);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/event-stream");
	evhttp_add_header(evhttp_request_get_output_headers(request), "Cache-Control", "no-store");
	evhttp_send_reply_start(request, 200, "OK");
	events_listen(api->options.events, &listener->events);
	begin(listener, evhttp_find_header(evhttp_request_get_input_headers(request), "Last-Event-ID"));
}

void api_events_close(struct api *api)
{
	while (api->listeners) {
		struct api_listener *listener = api->listeners;

		evhttp_connection_set_closecb(evhttp_request_get_connection(listener->request), NULL, NULL);
		listener_free(listener);
	}
}
