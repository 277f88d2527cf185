// SPDX-License-Identifier: BSD-3-Clause
// The engine of the API's tests: the real server on a UNIX socket in a directory of its own, over fakes of what it
// asks.
#pragma once

#include <jansson.h>

#include "api_client.h"
#include "api_fakes.h"
#include "api_private.h"

#define KEPT 4096 // events, as the engine keeps

extern struct api_world {
	char dir[64], socket[108], cdr_file[128], err[256];
	struct config config;
	struct config_trunk trunk;
	struct config_net from;
	struct api_options options;
	struct api *api;
} t;
// For cmocka: world_prepare makes all but the server, world_open the server too; world_close checks that no file stays.
int world_prepare(void **state);
int world_open(void **state);
int world_close(void **state);

struct api_client *ask(const char *method, const char *target); // Owns: client_close frees
// What JSON came, after looking at status, type and length. Owns: the caller's.
json_t *ask_json(const char *method, const char *target, int status, const char *type);
json_t *get_json(const char *target); // a 200
void assert_text(const json_t *json, const char *key, const char *value);
void assert_number(const json_t *json, const char *key, json_int_t value);
// A problem: all four members, the status twice, and the sentence holds `word`.
void assert_problem(const char *method, const char *target, int status, const char *word);
