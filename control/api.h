// SPDX-License-Identifier: BSD-3-Clause
// The HTTP API on loopback and on a UNIX socket (libevent's evhttp): JSON under /v1, Prometheus text at /metrics,
// health at /healthz, server-sent events at /v1/events.
#pragma once

#include "calls.h"
#include "config.h"
#include "kg_media.h"

struct api;
struct event_base;

struct api_options {
	struct event_base *base;
	const struct config *config;
	struct calls *calls;
	struct sip_stack *stack;
	struct kg_media *media;
	struct ports *ports;
	struct events *events;
	struct cdr *cdr;
	struct health *health;
	int (*reload)(void *arg, char **report); // POST /v1/config/reload; report is text, freed by the API
	void *arg;
};
// Returns: 0, or -errno with a sentence in err (256 bytes). A stale UNIX socket is replaced, a living one refused.
int api_open(const struct api_options *options, struct api **out, char *err);
void api_close(struct api *api);
void api_set_config(struct api *api, const struct config *config);
