// SPDX-License-Identifier: BSD-3-Clause
// Is the engine well? Looked at once a second, each check with a limit and words of its own; a check that changes is an
// event (`alarm`), a metric and a log line. All: Thread: control.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cdr;
struct events;
struct kg_media;
struct ports;

// X(name, what it says). The name is the word in /healthz, in kedge_health{check=} and in alarms.
#define HEALTH_CHECKS(X)                                                        \
	X(control_loop, "the control loop comes round within 500 ms, SIP's T1") \
	X(lcore, "each relay lcore came round within the last second")          \
	X(nic, "each nic has its link")                                         \
	X(ports, "a twentieth of the media ports is free")                      \
	X(disk, "call records can be written, and 64 MB are free where they go")

#define HEALTH_ENUM(name, what) HEALTH_##name,
enum health_check { HEALTH_CHECKS(HEALTH_ENUM) HEALTH_COUNT };

struct health_options {
	struct kg_media *media;
	const struct ports *ports;
	const struct cdr *cdr;
	struct events *events;
	const char *cdr_file;
};

struct health;

struct health *health_create(const struct health_options *options); // NULL for want of memory
void health_destroy(struct health *health);                         // NULL is fine

// To be called each turn of the clock, every `interval_ms`: measures how late it is, and once a second looks at the
// rest.
void health_turn(struct health *health, uint64_t now_ms, uint32_t interval_ms);

const char *health_name(unsigned check); // NULL past the last
const char *health_what(unsigned check);
bool health_good(const struct health *health, unsigned check);
uint32_t health_lag_ms(const struct health *health); // the worst of the last 10 to 20 s
// {status: "ok" | "failing", checks: [{what, ok, ...figures}]}, looked at anew. Owns: the caller.
json_t *health_json(struct health *health, bool *well);
