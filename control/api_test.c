// SPDX-License-Identifier: BSD-3-Clause
// The API as its users meet it: every route, its refusals, and where it listens.

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_world.h"
#include "health.h"
#include "cdr.h"

// --- JSON -----------------------------------------------------------------------------------------------------------

static json_t *only_item(json_t *list)
{
	assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
	return json_array_get(json_object_get(list, "items"), 0);
}

static void calls_and_legs_are_shown(void **state)
{
	json_t *json = get_json("/v1/calls");

	assert_text(only_item(json), "id", FAKE_CALL);
	json_decref(json);
	json = get_json("/v1/calls/" FAKE_CALL);
	assert_text(json, "id", FAKE_CALL);
	json_decref(json);
	json = get_json("/v1/legs");
	assert_text(only_item(json), "call", FAKE_CALL);
	json_decref(json);
	json = get_json("/v1/legs/" FAKE_LEG "?verbose=1"); // a query is no part of the id
	assert_text(json, "id", FAKE_LEG);
	json_decref(json);
	assert_problem("GET", "/v1/calls/c-2", 404, "GET /v1/calls");
	assert_problem("GET", "/v1/legs/l-2", 404, "GET /v1/legs");
}

static void a_call_is_ended(void **state)
{
	json_t *json = ask_json("DELETE", "/v1/calls/" FAKE_CALL, 202, "application/json");

	assert_text(json, "id", FAKE_CALL);
	json_decref(json);
	assert_int_equal(api_fakes.hangups, 1);
	assert_problem("DELETE", "/v1/calls/c-2", 404, "GET /v1/calls");
	assert_int_equal(api_fakes.hangups, 1);
}

static void nics_are_shown(void **state)
{
	json_t *json = get_json("/v1/nics"), *nic = only_item(json);

	assert_text(nic, "name", "lan");
	assert_text(nic, "driver", "net_null");
	assert_text(nic, "mac", "02:00:00:00:00:0a");
	assert_true(json_is_true(json_object_get(nic, "link_up")));
	assert_number(nic, "mtu", 1500);
	assert_string_equal(json_string_value(json_array_get(json_object_get(nic, "addresses"), 0)), "192.0.2.10");
	assert_number(json_object_get(nic, "rx"), "packets", 41);
	assert_number(json_object_get(nic, "rx"), "missed", 42);
	assert_number(json_object_get(nic, "tx"), "packets", 43);
	json_decref(json);
}

static void lcores_and_their_graph_are_shown(void **state)
{
	json_t *json = get_json("/v1/lcores"), *lcore = only_item(json), *stages = json_object_get(lcore, "stages");
	struct api_client *client;

	assert_number(lcore, "lcore", 1);
	assert_number(lcore, "cpu", 3);
	assert_text(lcore, "role", "relay");
	assert_number(lcore, "heartbeat_age_us", 999999);
	assert_true(json_real_value(json_object_get(lcore, "busy_share")) == 0.25);
	assert_int_equal(json_array_size(stages), 2);
	assert_true(json_real_value(json_object_get(json_array_get(stages, 0), "cycles_per_packet")) == 100.0);
	assert_true(json_real_value(json_object_get(json_array_get(stages, 1), "cycles_per_packet")) == 0.0);
	json_decref(json);
	client = ask("GET", "/v1/lcores/graph");
	assert_int_equal(client->status, 200);
	assert_string_equal(client_header(client, "Content-Type"), "text/plain; charset=utf-8");
	assert_string_equal(client->body, kg_media_graph());
	client_close(client);
}

static void stats_are_shown(void **state)
{
	json_t *json, *calls, *sip, *media, *cdr;

	cdr_write(t.options.cdr, json_object());
	api_fakes.media.drops[KG_DROP_not_ip] = 0;
	json = get_json("/v1/stats");
	calls = json_object_get(json, "calls");
	sip = json_object_get(json, "sip");
	media = json_object_get(json, "media");
	cdr = json_object_get(json, "cdr");
	assert_number(calls, "live", 11);
	assert_number(calls, "total", 12);
	assert_number(calls, "strangers", 15 + 63);
	assert_number(sip, "dialogs", 21);
	assert_number(sip, "transactions", 15);
	assert_number(json_object_get(sip, "drops"), "no_via", 51);
	assert_null(json_object_get(json_object_get(sip, "drops"), "no_cseq"));
	assert_number(json_object_get(sip, "refused"), "trunk_cps", 61);
	assert_number(json_object_get(sip, "refused"), "stranger", 62);
	assert_int_equal(json_object_size(json_object_get(sip, "refused")), 2);
	assert_number(media, "legs", 31);
	assert_number(media, "ports_in_use", 2);
	assert_number(media, "mbufs_in_use", 32);
	assert_null(json_object_get(json_object_get(media, "drops"), "not_ip"));
	assert_number(json_object_get(media, "drops"), "bad_ip", 1000 + KG_DROP_bad_ip);
	assert_number(json_object_get(media, "counters"), "sleeps", 2000 + KG_CNT_sleeps);
	assert_int_equal(json_object_size(json_object_get(media, "counters")), KG_CNT_COUNT);
	assert_number(cdr, "written", 1);
	assert_number(cdr, "lost", 0);
	json_decref(json);
}

static void trunks_are_shown_as_configured_now(void **state)
{
	json_t *json = get_json("/v1/trunks"), *trunk = only_item(json);
	struct config next = t.config;

	assert_text(trunk, "name", "carrier");
	assert_text(trunk, "target", "sip:192.0.2.20:5060");
	assert_string_equal(json_string_value(json_array_get(json_object_get(trunk, "from"), 0)), "192.0.2.0/24");
	json_decref(json);
	next.trunk_count = 0;
	api_set_config(t.api, &next);
	json = get_json("/v1/trunks");
	assert_int_equal(json_array_size(json_object_get(json, "items")), 0);
	json_decref(json);
}

static void a_reload_says_what_came_of_it(void **state)
{
	json_t *json;

	api_fakes.reload_report = "trunks are in force\n";
	json = ask_json("POST", "/v1/config/reload", 200, "application/json");
	assert_text(json, "status", "applied");
	assert_text(json, "report", api_fakes.reload_report);
	json_decref(json);
	api_fakes.reload_error = -EINVAL;
	api_fakes.reload_report = "kedge.yaml:3: trunks: write one";
	assert_problem("POST", "/v1/config/reload", 409, api_fakes.reload_report);
	api_fakes.reload_report = NULL;
	assert_problem("POST", "/v1/config/reload", 409, "Invalid argument");
}

static void health_follows_heartbeat_and_link(void **state)
{
	json_t *json = get_json("/healthz");

	assert_text(json, "status", "ok");
	assert_int_equal(json_array_size(json_object_get(json, "checks")), 5); // more in health_test.c
	json_decref(json);

	api_fakes.lcore.heartbeat_age_us = 1000000;
	json = ask_json("GET", "/healthz", 503, "application/json");
	assert_text(json, "status", "failing");
	assert_true(
		json_is_false(json_object_get(json_array_get(json_object_get(json, "checks"), HEALTH_lcore), "ok")));
	assert_true(json_is_true(json_object_get(json_array_get(json_object_get(json, "checks"), HEALTH_nic), "ok")));
	json_decref(json);

	api_fakes_init();
	api_fakes.nic.link_up = false;
	json = ask_json("GET", "/healthz", 503, "application/json");
	assert_true(json_is_true(json_object_get(json_array_get(json_object_get(json, "checks"), HEALTH_lcore), "ok")));
	assert_true(json_is_false(json_object_get(json_array_get(json_object_get(json, "checks"), HEALTH_nic), "ok")));
	json_decref(json);
}

// --- what there is not ----------------------------------------------------------------------------------------------

static void what_is_not_there_lists_what_is(void **state)
{
	static const char *const there[] = {"/v1/calls", "/v1/legs", "/v1/nics", "/v1/lcores", "/v1/lcores/graph",
		"/v1/stats", "/v1/trunks", "/v1/events", "/v1/config/reload", "/metrics", "/healthz"};
	static const char *const not_there[] = {
		"/", "/v1", "/v1/call", "/v1/calls/", "/v1/calls/a/b", "/v1/callsign", "/metrics/", "/%2e%2e/x"};

	for (size_t i = 0; i < sizeof(there) / sizeof(*there); i++)
		assert_problem("GET", "/v1/nothing", 404, there[i]);
	for (size_t i = 0; i < sizeof(not_there) / sizeof(*not_there); i++)
		assert_problem("GET", not_there[i], 404, "/healthz");
}

static void refuses_method(const char *method, const char *target, const char *allow)
{
	struct api_client *client = ask(method, target);

	assert_int_equal(client->status, 405);
	assert_string_equal(client_header(client, "Allow"), allow);
	if (strcmp(method, "HEAD") != 0) // it has no body
		assert_non_null(strstr(client->body, "Allow header"));
	client_close(client);
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
	refuses_method("POST", "/v1/calls", "GET");
	refuses_method("PUT", "/v1/calls/" FAKE_CALL, "GET, DELETE");
	refuses_method("GET", "/v1/config/reload", "POST");
	refuses_method("DELETE", "/metrics", "GET");
	refuses_method("PATCH", "/healthz", "GET");
	refuses_method("OPTIONS", "/v1/events", "GET");
	refuses_method("HEAD", "/healthz", "GET");
	assert_int_equal(api_fakes.hangups, 0);
}

// Sends what is no sound question; the server must answer with that status and go on for others.
static void refuses_text(const char *text, size_t length, int status)
{
	struct api_client *client = client_open(t.options.base, t.socket, text, length);

	client_finish(client);
	assert_int_equal(client->status, status);
	client_close(client);
	json_decref(get_json("/v1/calls"));
}

static void too_much_is_refused(void **state)
{
	char *text = malloc(200000);
	int head;

	assert_non_null(text);
	memset(text, 'x', 200000);
	head = snprintf(text, 200000, "POST /v1/config/reload HTTP/1.1\r\nHost: k\r\nContent-Length: 100000\r\n\r\n");
	text[head] = 'x';
	api_fakes.reload_error = -EINVAL; // would be 409
	refuses_text(text, (size_t)head + 100000, 413);
	head = snprintf(text, 200000, "GET /v1/calls HTTP/1.1\r\nX-Long: ");
	text[head] = 'x';
	refuses_text(text, 100000, 413);
	memset(text, 'x', 200000); // a first line without end
	refuses_text(text, 100000, 400);
	free(text);
	refuses_text("\r\n\r\n\r\n", 6, 400);
	refuses_text("BREW /coffee HTTP/1.1\r\n\r\n", 25, 501);
}

// --- /metrics -------------------------------------------------------------------------------------------------------

static unsigned times(const char *text, const char *line)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, line)); at++)
		count += at == text || at[-1] == '\n';
	return count;
}

static void assert_metric(const char *text, const char *name, const char *type, uint64_t value)
{
	char line[160];

	snprintf(line, sizeof(line), "# TYPE %s %s\n", name, type);
	assert_int_equal(times(text, line), 1);
	snprintf(line, sizeof(line), "%s %llu\n", name, (unsigned long long)value);
	assert_int_equal(times(text, line), 1);
}

// Prometheus' text format: a name's HELP and TYPE stand once, in this order, straight before all its samples; no
// sample comes twice.
static void assert_well_formed(const char *text)
{
	char name[96] = "", line[512], start[520];

	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		assert_non_null(strchr(at, '\n'));
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (sscanf(line, "# HELP %95s", name) == 1) {
			snprintf(start, sizeof(start), "# HELP %s ", name);
			assert_int_equal(times(text, start), 1);
			assert_true(strlen(line) > strlen(start));
			snprintf(start, sizeof(start), "# TYPE %s ", name);
			assert_int_equal(times(text, start), 1);
			at = strchr(at, '\n') + 1;
			assert_int_equal(strncmp(at, start, strlen(start)), 0);
			assert_true(strncmp(at + strlen(start), "gauge\n", 6) == 0 ||
				    strncmp(at + strlen(start), "counter\n", 8) == 0);
			continue;
		}
		assert_int_equal(strcspn(line, "{ "), strlen(name));
		assert_int_equal(strncmp(line, name, strlen(name)), 0);
		*strrchr(line, ' ') = '\0';
		snprintf(start, sizeof(start), "%s ", line);
		assert_int_equal(times(text, start), 1);
	}
}

static void metrics_hold_what_the_contract_names(void **state)
{
	struct api_client *client = ask("GET", "/metrics");
	const char *text = client->body;
	char line[128];

	assert_int_equal(client->status, 200);
	assert_string_equal(client_header(client, "Content-Type"), "text/plain; version=0.0.4");
	assert_well_formed(text);
	assert_metric(text, "kedge_calls", "gauge", 11);
	assert_metric(text, "kedge_dialogs", "gauge", 21);
	assert_metric(text, "kedge_transactions", "gauge", 15);
	assert_metric(text, "kedge_legs", "gauge", 31);
	assert_metric(text, "kedge_ports_in_use", "gauge", 2);
	assert_metric(text, "kedge_mbufs_in_use", "gauge", 32);
	assert_metric(text, "kedge_rooms", "gauge", 0);
	assert_metric(text, "kedge_taps", "gauge", 0);
	assert_metric(text, "kedge_cdr_lost_total", "counter", 0);
	assert_int_equal(times(text, "# TYPE kedge_drops_total counter\n"), 1);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++) {
		snprintf(line, sizeof(line), "kedge_drops_total{reason=\"%s\"} %u\n", kg_drop_info[i].id, 1000 + i);
		assert_int_equal(times(text, line), 1);
	}
	for (unsigned i = 0; i < KG_CNT_COUNT; i++) {
		snprintf(line, sizeof(line), "kedge_%s_total", kg_counter_info[i].id);
		assert_metric(text, line, "counter", 2000 + i);
	}
	assert_int_equal(times(text, "kedge_sip_drops_total{reason=\"no_via\"} 51\n"), 1);
	assert_int_equal(
		times(text, "kedge_sip_finals_total{direction=\"out\",method=\"INVITE\",code=\"486\"} 63\n"), 1);
	assert_int_equal(times(text, "kedge_sip_connections{transport=\"TCP\"} 61\n"), 1);
	assert_int_equal(times(text, "kedge_strangers_total 78\n"), 1);
	assert_int_equal(times(text, "kedge_sip_refused_total{reason=\"trunk_cps\"} 61\n"), 1);
	assert_int_equal(times(text, "kedge_sip_refused_total{reason=\"stranger\"} 62\n"), 1);
	assert_int_equal(times(text, "kedge_sip_refused_total{"), SIP_REFUSAL_COUNT);
	assert_int_equal(times(text, "kedge_nic_link_up{nic=\"lan\"} 1\n"), 1);
	assert_int_equal(times(text, "kedge_lcore_heartbeat_age_us{lcore=\"1\"} 999999\n"), 1);
	assert_int_equal(times(text, "kedge_stage_packets_total{lcore=\"1\",stage=\"rx\"} 10\n"), 1);
	assert_int_equal(times(text, "kedge_stage_cycles_total{lcore=\"1\",stage=\"rx\"} 1000\n"), 1);
	assert_int_equal(times(text, "kedge_calls_ended_total{cause=\"none\"} 17\n"), 1);
	client_close(client);
}

// --- where it listens -----------------------------------------------------------------------------------------------

static void assert_refused(int error, const char *word)
{
	struct api *api = NULL;

	memset(t.err, 0, sizeof(t.err));
	assert_int_equal(api_open(&t.options, &api, t.err), error);
	assert_null(api);
	assert_int_equal(strncmp(t.err, "api.socket: ", 12), 0);
	assert_non_null(strstr(t.err, word));
}

static void the_socket_is_private_and_goes_with_the_engine(void **state)
{
	struct stat stat;

	assert_int_equal(lstat(t.socket, &stat), 0);
	assert_true(S_ISSOCK(stat.st_mode));
	assert_int_equal(stat.st_mode & 0777, 0660);
	api_close(t.api);
	t.api = NULL;
	assert_int_equal(lstat(t.socket, &stat), -1);
}

static void a_living_socket_is_refused(void **state)
{
	assert_refused(-EADDRINUSE, "another engine answers");
	json_decref(get_json("/v1/calls")); // and goes on answering
}

// Leaves a socket file behind. Returns: its descriptor.
static int bind_socket(int backlog)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char run[128];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(run, sizeof(run), "%s/run", t.dir);
	assert_int_equal(mkdir(run, 0700), 0);
	strcpy(name.sun_path, t.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void a_stale_socket_is_replaced(void **state)
{
	close(bind_socket(1));
	assert_int_equal(api_open(&t.options, &t.api, t.err), 0);
	json_decref(get_json("/v1/calls"));
}

static void an_engine_that_hangs_is_not_replaced(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = bind_socket(0), waiting[2];

	strcpy(name.sun_path, t.socket);
	for (unsigned i = 0; i < 2; i++) { // its queue is full
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(waiting[i], (struct sockaddr *)&name, sizeof(name));
	}
	assert_refused(-EADDRINUSE, "another engine");
	for (unsigned i = 0; i < 2; i++)
		close(waiting[i]);
	close(fd);
	assert_int_equal(unlink(t.socket), 0);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	struct stat stat;

	t.config.api_socket = t.cdr_file; // a path that was written into the wrong key
	assert_refused(-EEXIST, "no socket");
	assert_int_equal(lstat(t.cdr_file, &stat), 0);
	assert_true(S_ISREG(stat.st_mode));
}

static void a_path_that_cannot_be_is_said(void **state)
{
	char path[128];

	memset(path, 'a', sizeof(path));
	path[108] = '\0';
	t.config.api_socket = path;
	assert_refused(-ENAMETOOLONG, "longer than 107");
	t.config.api_socket = "/proc/kedge-test/kedge.sock";
	assert_refused(-ENOENT, "write another path");
	snprintf(path, sizeof(path), "%s/none/none/kedge.sock", t.dir);
	t.config.api_socket = path;
	assert_refused(-ENOENT, "No such file or directory");
}

// The address beside the socket may be taken: the socket works all the same. Where it is free, it answers.
static void the_address_is_a_convenience(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(in);
	int taken = socket(AF_INET, SOCK_STREAM, 0), fd;

	assert_int_equal(bind(taken, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_int_equal(getsockname(taken, (struct sockaddr *)&in, &length), 0);
	kg_addr_parse(&t.config.api_listen, "127.0.0.1", ntohs(in.sin_port));
	assert_int_equal(api_open(&t.options, &t.api, t.err), 0);
	json_decref(get_json("/v1/calls"));
	api_close(t.api);
	t.api = NULL;
	close(taken);
	assert_int_equal(api_open(&t.options, &t.api, t.err), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	close(fd);
}

#define SERVED(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)
#define NOT_YET(fn) cmocka_unit_test_setup_teardown(fn, world_prepare, world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(calls_and_legs_are_shown),
		SERVED(a_call_is_ended),
		SERVED(nics_are_shown),
		SERVED(lcores_and_their_graph_are_shown),
		SERVED(stats_are_shown),
		SERVED(trunks_are_shown_as_configured_now),
		SERVED(a_reload_says_what_came_of_it),
		SERVED(health_follows_heartbeat_and_link),
		SERVED(what_is_not_there_lists_what_is),
		SERVED(a_wrong_method_is_told_the_right_ones),
		SERVED(too_much_is_refused),
		SERVED(metrics_hold_what_the_contract_names),
		SERVED(the_socket_is_private_and_goes_with_the_engine),
		SERVED(a_living_socket_is_refused),
		NOT_YET(a_stale_socket_is_replaced),
		NOT_YET(an_engine_that_hangs_is_not_replaced),
		NOT_YET(a_file_that_is_no_socket_is_left_alone),
		NOT_YET(a_path_that_cannot_be_is_said),
		NOT_YET(the_address_is_a_convenience),
	};

	signal(SIGPIPE, SIG_IGN); // as the engine does
	return cmocka_run_group_tests(tests, NULL, NULL);
}
