// SPDX-License-Identifier: BSD-3-Clause
// GET /v1/captures/NIC?count=N: the nic's media frames as pcapng, while they pass; GET /v1/traces/LEG?count=N: those
// that come to and leave from one leg's ports. It ends after N frames, when the client goes, or with the leg or the
// engine. A client that reads slowly loses frames, which the last block counts. They are what people say to each other:
// only who may open the socket gets them, not every user and browser of this host, and from the first one on the
// process leaves no core dump, as media is in ordinary memory then.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "api_private.h"
#include "kg_log.h"
#include "pcapng.h"

#define TURN_MS 20
#define FRAMES_A_TURN 2000
#define MAX_WAITING (4u << 20)
#define COUNT_MAX 100000000u

struct api_capture {
	struct api_capture *next;
	struct api *api;
	struct evhttp_request *request;
	struct event *turn;
	unsigned nic;
	uint64_t want, seen;
	bool leg;
	char what[8], name[64]; // "nic" or "leg", and which
};

static void capture_free(struct api_capture *capture)
{
	struct api_capture **at = &capture->api->captures;

	while (*at != capture)
		at = &(*at)->next;
	*at = capture->next;
	kg_media_capture_stop(capture->api->options.media, capture->nic);
	event_free(capture->turn);
	free(capture);
}

// Where the client went away, evhttp has let go of the unfinished request: it is ours then.
static void on_closed(struct evhttp_connection *connection, void *arg)
{
	struct api_capture *capture = arg;

	if (!evhttp_request_get_connection(capture->request))
		evhttp_request_free(capture->request);
	kg_info("api", "the capture of %s %s was ended by its reader after %llu frames", capture->what, capture->name,
		(unsigned long long)capture->seen);
	capture_free(capture);
}

static size_t waiting(const struct api_capture *capture)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(capture->request);

	return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(connection)));
}

static void send_bytes(struct api_capture *capture, struct evbuffer *bytes)
{
	if (evbuffer_get_length(bytes))
		evhttp_send_reply_chunk(capture->request, bytes);
}

static void finish(struct api_capture *capture, struct evbuffer *bytes)
{
	struct evhttp_request *request = capture->request;
	uint8_t block[PCAPNG_ROOM];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	evbuffer_add(bytes, block,
		pcapng_end(block, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, capture->seen,
			kg_media_capture_lost(capture->api->options.media, capture->nic)));
	send_bytes(capture, bytes);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	kg_info("api", "the capture of %s %s has %llu frames%s", capture->what, capture->name,
		(unsigned long long)capture->seen, capture->seen < capture->want ? ": the leg ended" : "");
	capture_free(capture);
	evhttp_send_reply_end(request);
}

// Did its leg end? What was received before is in the ring still.
static bool is_over(const struct api_capture *capture)
{
	struct calls_leg_place place;

	return capture->leg && !calls_leg_place(capture->api->options.calls, capture->name, &place);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t data[KG_CAPTURE_SNAP], block[PCAPNG_ROOM + KG_CAPTURE_SNAP];
	struct api_capture *capture = arg;
	struct evbuffer *bytes;
	struct kg_captured frame;
	bool over = is_over(capture), empty = false;

	if (waiting(capture) > MAX_WAITING)
		return; // what does not fit into the ring meanwhile is lost, and counted there
	bytes = evbuffer_new();
	if (!bytes)
		return;
	for (unsigned i = 0; i < FRAMES_A_TURN && capture->seen < capture->want; i++) {
		empty = !kg_media_capture_read(capture->api->options.media, capture->nic, &frame, data);
		if (empty)
			break;
		capture->seen++;
		evbuffer_add(bytes, block,
			pcapng_packet(block, frame.time_ns, data, frame.copied, frame.length, frame.outgoing));
	}
	if (capture->seen == capture->want || (over && empty))
		finish(capture, bytes);
	else
		send_bytes(capture, bytes);
	evbuffer_free(bytes);
}

// Returns: the number, or 0 where there is none of 1 to COUNT_MAX.
static uint64_t read_count(struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request)), *text;
	struct evkeyvalq values;
	uint64_t count = 0;

	if (!query || evhttp_parse_query_str(query, &values) != 0)
		return 0;
	text = evhttp_find_header(&values, "count");
	if (text && *text && !text[strspn(text, "0123456789")] && strlen(text) < 10)
		count = strtoull(text, NULL, 10);
	evhttp_clear_headers(&values);
	return count <= COUNT_MAX ? count : 0;
}

static int nic_find(struct api *api, const char *name)
{
	struct kg_nic_info info;

	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &info) == 0; i++)
		if (strcmp(info.name, name) == 0)
			return (int)i;
	return -1;
}

static struct api_capture *capture_create(struct api *api, struct evhttp_request *request, unsigned nic)
{
	struct api_capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return NULL;
	capture->api = api;
	capture->request = request;
	capture->nic = nic;
	capture->turn = event_new(api->options.base, -1, EV_PERSIST, on_turn, capture);
	if (!capture->turn) {
		free(capture);
		return NULL;
	}
	return capture;
}

static bool over_the_socket(struct evhttp_connection *connection)
{
	struct sockaddr_storage own = {0};
	socklen_t size = sizeof(own);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));

	return getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.ss_family == AF_UNIX;
}

static void leave_no_core(void)
{
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
		return;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	kg_info("api", "media is in ordinary memory now: a crash leaves no core dump any more");
}

// Begin, or say why not. only: NULL takes all of the nic's.
static void begin(struct api *api, struct evhttp_request *request, unsigned nic, const struct kg_capture_only *only,
	const char *id, uint64_t count)
{
	const struct timeval turn = {0, TURN_MS * 1000};
	struct api_capture *capture = capture_create(api, request, nic);
	struct evbuffer *bytes = evbuffer_new();
	int error = capture && bytes ? kg_media_capture_start(api->options.media, nic, only) : -ENOMEM;
	uint8_t head[2 * PCAPNG_ROOM];

	if (error) {
		if (capture)
			event_free(capture->turn);
		free(capture);
		if (bytes)
			evbuffer_free(bytes);
		return api_problem(request, error == -EBUSY ? 409 : 503, "No capture",
			error == -EBUSY ? "somebody captures on this nic already: one at a time" : strerror(-error));
	}
	snprintf(capture->name, sizeof(capture->name), "%s", id);
	snprintf(capture->what, sizeof(capture->what), "%s", only ? "leg" : "nic");
	capture->leg = only != NULL;
	capture->want = count;
	capture->next = api->captures;
	api->captures = capture;
	leave_no_core();
	event_add(capture->turn, &turn);
	evhttp_connection_set_timeout(evhttp_request_get_connection(request), 0);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_closed, capture);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/x-pcapng");
	evhttp_send_reply_start(request, 200, "OK");
	evbuffer_add(bytes, head, pcapng_begin(head, "kedge " KEDGE_VERSION, id, KG_CAPTURE_SNAP));
	send_bytes(capture, bytes);
	evbuffer_free(bytes);
	kg_info("api", "%s %s: %llu frames of media are captured", capture->what, id, (unsigned long long)count);
}

// Returns: the count, or 0: the request was answered.
static uint64_t admitted(struct evhttp_request *request, bool found, const char *title, const char *where)
{
	uint64_t count = read_count(request);

	if (!over_the_socket(evhttp_request_get_connection(request)))
		api_problem(request, 403, "Not here", "captures are given on api.socket only: kedgectl asks there");
	else if (!found)
		api_problem(request, 404, title, where);
	else if (!count)
		api_problem(request, 400, "No count", "write ?count=N, the number of frames to capture");
	else
		return count;
	return 0;
}

void api_capture(struct api *api, struct evhttp_request *request, const char *id)
{
	int nic = nic_find(api, id);
	uint64_t count = admitted(request, nic >= 0, "No such nic", "GET /v1/nics lists those that there are");

	if (count)
		begin(api, request, (unsigned)nic, NULL, id, count);
}

void api_trace(struct api *api, struct evhttp_request *request, const char *id)
{
	struct calls_leg_place place;
	bool found = calls_leg_place(api->options.calls, id, &place);
	uint64_t count = admitted(request, found, "No such leg", "GET /v1/legs lists those that live");

	if (count)
		begin(api, request, place.nic, &place.ports, id, count);
}

void api_captures_close(struct api *api)
{
	while (api->captures) {
		struct api_capture *capture = api->captures;

		evhttp_connection_set_closecb(evhttp_request_get_connection(capture->request), NULL, NULL);
		capture_free(capture);
	}
}
