// SPDX-License-Identifier: BSD-3-Clause
// kedgectl's tables for people, each prints one answer of the API; and its capture.
#pragma once

#include <stdbool.h>

#include <jansson.h>

// Print why the engine refused (a problem of the API). Returns: 1.
int refused(const char *text, bool raw);
// Copy a capture from the engine's socket `fd` into a file ("-": standard output) until it has `count` frames, the
// engine ends it or a signal does. Returns: the exit status.
int capture_run(int fd, const char *path, const char *count, const char *file);

void table_calls(const json_t *answer);
void table_call(const json_t *answer);
void table_hangup(const json_t *answer);
void table_legs(const json_t *answer);
void table_leg(const json_t *answer);
void table_health(const json_t *answer);
void table_nics(const json_t *answer);
void table_lcores(const json_t *answer);
void table_stats(const json_t *answer);
void table_reload(const json_t *answer);
