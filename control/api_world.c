// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "api_world.h"
#include "cdr.h"
#include "events.h"
#include "health.h"
#include "ports.h"

struct api_world t;

int world_prepare(void **state)
{
	struct kg_addr ip, pair;

	memset(&t, 0, sizeof(t));
	api_fakes_init();
	snprintf(t.dir, sizeof(t.dir), "%s/kedge-api-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.socket, sizeof(t.socket), "%s/run/kedge.sock", t.dir);
	snprintf(t.cdr_file, sizeof(t.cdr_file), "%s/cdr.jsonl", t.dir);
	kg_addr_parse(&t.from.addr, "192.0.2.0", 0);
	t.from.prefix = 24;
	t.trunk = (struct config_trunk){
		.name = "carrier", .target_uri = "sip:192.0.2.20:5060", .from = &t.from, .from_count = 1};
	t.config = (struct config){.api_socket = t.socket, .trunks = &t.trunk, .trunk_count = 1};
	t.options = (struct api_options){.base = event_base_new(),
		.config = &t.config,
		.ports = ports_create(30000, 30009, 0),
		.events = events_create(KEPT),
		.reload = api_fakes_reload};
	assert_true(t.options.base && t.options.ports && t.options.events);
	assert_int_equal(cdr_open(t.cdr_file, t.options.events, &t.options.cdr, t.err), 0);
	kg_addr_parse(&ip, "192.0.2.10", 0);
	assert_int_equal(ports_get(t.options.ports, &ip, 0, 0, &pair), 0);
	return 0;
}

int world_open(void **state)
{
	world_prepare(state);
	t.options.health = health_create(&(struct health_options){.media = t.options.media,
		.ports = t.options.ports,
		.cdr = t.options.cdr,
		.events = t.options.events,
		.cdr_file = t.cdr_file});
	assert_non_null(t.options.health);
	assert_int_equal(api_open(&t.options, &t.api, t.err), 0);
	return 0;
}

int world_close(void **state)
{
	char run[128];

	api_close(t.api);
	health_destroy(t.options.health);
	cdr_close(t.options.cdr);
	events_destroy(t.options.events);
	ports_destroy(t.options.ports);
	event_base_free(t.options.base);
	unlink(t.cdr_file);
	snprintf(run, sizeof(run), "%s/run", t.dir);
	rmdir(run);
	return rmdir(t.dir); // the API left nothing there
}

struct api_client *ask(const char *method, const char *target)
{
	return client_ask(t.options.base, t.socket, method, target, NULL);
}

json_t *ask_json(const char *method, const char *target, int status, const char *type)
{
	struct api_client *client = ask(method, target);
	json_t *json;

	assert_non_null(client->body);
	assert_int_equal(client->status, status);
	assert_string_equal(client_header(client, "Content-Type"), type);
	assert_int_equal(strtoul(client_header(client, "Content-Length"), NULL, 10), strlen(client->body));
	json = json_loads(client->body, 0, NULL);
	assert_non_null(json);
	client_close(client);
	return json;
}

json_t *get_json(const char *target)
{
	return ask_json("GET", target, 200, "application/json");
}

void assert_text(const json_t *json, const char *key, const char *value)
{
	assert_non_null(json_object_get(json, key));
	assert_string_equal(json_string_value(json_object_get(json, key)), value);
}

void assert_number(const json_t *json, const char *key, json_int_t value)
{
	assert_true(json_is_integer(json_object_get(json, key)));
	assert_int_equal(json_integer_value(json_object_get(json, key)), value);
}

void assert_problem(const char *method, const char *target, int status, const char *word)
{
	json_t *problem = ask_json(method, target, status, "application/problem+json");

	assert_text(problem, "type", "about:blank");
	assert_true(json_is_string(json_object_get(problem, "title")));
	assert_number(problem, "status", status);
	assert_non_null(strstr(json_string_value(json_object_get(problem, "detail")), word));
	json_decref(problem);
}
