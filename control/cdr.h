// SPDX-License-Identifier: BSD-3-Clause
// One JSON line per ended call, appended and flushed. A file that cannot be written raises an alarm event and counts
// lost lines; the engine goes on.
#pragma once

#include <jansson.h>
#include <stdint.h>

struct cdr;
struct events;

// Returns: 0, or -errno with a sentence in err (256 bytes). Directory is made where it is missing.
int cdr_open(const char *file, struct events *events, struct cdr **out, char *err);
void cdr_close(struct cdr *cdr);
// Owns: takes `call` (the call's API view with durations).
void cdr_write(struct cdr *cdr, json_t *call);
int cdr_reopen(struct cdr *cdr); // after log rotation (SIGHUP)
uint64_t cdr_written(const struct cdr *cdr);
uint64_t cdr_lost(const struct cdr *cdr);
