// SPDX-License-Identifier: BSD-3-Clause
// What the API's files share.
#pragma once

#include <jansson.h>

#include "api.h"

struct evbuffer;
struct evhttp;
struct evhttp_request;
struct api_capture;
struct api_listener;

struct api {
	struct api_options options;
	const struct config *config;
	struct evhttp *http;
	char *socket;
	bool bound;
	struct api_listener *listeners; // of /v1/events
	struct api_capture *captures;   // of /v1/captures
};

// Answers. json is taken.
void api_answer(struct evhttp_request *request, int status, const char *type, const char *text);
void api_answer_json(struct evhttp_request *request, int status, json_t *json);
void api_problem(struct evhttp_request *request, int status, const char *title, const char *detail);

// api_stats.c
json_t *api_nics_json(struct api *api);
json_t *api_lcores_json(struct api *api);
json_t *api_stats_json(struct api *api);

// metrics.c: Prometheus text
void metrics_write(struct api *api, struct evbuffer *out);

// api_capture.c: a nic's or a leg's frames as pcapng
void api_capture(struct api *api, struct evhttp_request *request, const char *id);
void api_trace(struct api *api, struct evhttp_request *request, const char *id);
void api_captures_close(struct api *api);

// api_events.c: server-sent events
void api_events(struct api *api, struct evhttp_request *request, const char *id);
void api_events_close(struct api *api);
