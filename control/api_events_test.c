// SPDX-License-Identifier: BSD-3-Clause
// /v1/events as its users meet it: without gaps, back after an absence, gone without a word.

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "api_world.h"
#include "events.h"

static struct api_client *listen_to_events(const char *last)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "GET /v1/events HTTP/1.1\r\nHost: kedge\r\n%s%s%s\r\n",
		last ? "Last-Event-ID: " : "", last ? last : "", last ? "\r\n" : "");
	struct api_client *client = client_open(t.options.base, t.socket, text, (size_t)length);

	client_await(client, "\r\n\r\n");
	assert_non_null(strcasestr(client->text, "HTTP/1.1 200"));
	assert_non_null(strcasestr(client->text, "\r\nContent-Type: text/event-stream\r\n"));
	client_await(client, ": events of kedge\n\n");
	return client;
}

static void emit(unsigned count)
{
	while (count--)
		events_emit(t.options.events, "call.state", FAKE_CALL, NULL, json_pack("{s:s}", "state", "ringing"));
}

// The next events that come have these numbers, without a gap.
static void assert_ids(struct api_client *client, unsigned first, unsigned last)
{
	char head[64];
	size_t at;

	for (unsigned i = first; i <= last; i++) {
		client_await(client, "id: ");
		at = client->read;
		client_await(client, "\n\n");
		snprintf(head, sizeof(head), "%u\nevent: call.state\ndata: {\"seq\":%u,", i, i);
		assert_int_equal(strncmp(client->text + at, head, strlen(head)), 0);
	}
}

// The loop goes on until the API has noticed that nobody listens.
static void await_nobody(void)
{
	while (t.api->listeners)
		event_base_loop(t.options.base, EVLOOP_ONCE);
}

static void events_come_without_gaps(void **state)
{
	struct api_client *one = listen_to_events(NULL), *two;

	emit(3);
	assert_ids(one, 1, 3);
	two = listen_to_events(NULL); // from now on
	emit(2);
	assert_ids(one, 4, 5);
	assert_ids(two, 4, 5);
	client_close(two);
	client_close(one);
	await_nobody();
}

static void who_comes_back_misses_nothing(void **state)
{
	struct api_client *client;

	emit(5);
	client = listen_to_events("2");
	emit(1);
	assert_ids(client, 3, 6);
	client_close(client);
	client = listen_to_events("6"); // nothing was missed
	emit(1);
	assert_ids(client, 7, 7);
	assert_null(strstr(client->text, "reset"));
	client_close(client);
}

// Everything that is kept, of a size that a busy engine's events have.
static void a_long_replay_is_whole(void **state)
{
	struct api_client *client;
	char cause[600];

	memset(cause, 'c', sizeof(cause) - 1);
	cause[sizeof(cause) - 1] = '\0';
	for (unsigned i = 0; i < KEPT; i++)
		events_emit(t.options.events, "call.state", FAKE_CALL, NULL, json_pack("{s:s}", "cause", cause));
	client = listen_to_events("0");
	emit(1); // while the replay is on its way
	assert_ids(client, 1, KEPT + 1);
	client_close(client);
}

static void resets(const char *last, const char *reset)
{
	struct api_client *client = listen_to_events(last);

	client_await(client, reset);
	emit(1);
	assert_ids(client, (unsigned)events_last(t.options.events), (unsigned)events_last(t.options.events));
	client_close(client);
}

static void who_was_away_too_long_is_reset(void **state)
{
	emit(KEPT + 2);
	resets("1", "id: 4098\nevent: reset\ndata: {}\n\n");    // 2 is gone
	resets("9999", "id: 4099\nevent: reset\ndata: {}\n\n"); // of an engine before this one
	resets("-1", "id: 4100\nevent: reset\ndata: {}\n\n");   // of nobody
	resets("99999999999999999999", "id: 4101\nevent: reset\n");
}

// All is still kept, so that taking it for 0 would replay everything.
static void what_is_no_number_is_reset(void **state)
{
	emit(3);
	resets("junk", "id: 3\nevent: reset\ndata: {}\n\n");
	resets("2x", "id: 4\nevent: reset\ndata: {}\n\n");
	resets("-1", "id: 5\nevent: reset\ndata: {}\n\n");
}

// LeakSanitizer sees what would be left.
static void who_disappears_leaves_nothing(void **state)
{
	struct api_client *client = listen_to_events(NULL);

	emit(1);
	assert_ids(client, 1, 1);
	client_close(client);
	await_nobody();
	emit(1);

	client = listen_to_events(NULL);
	client_close(client);
	emit(10); // into a connection that is gone, before the loop knows
	await_nobody();

	client = listen_to_events("0");
	api_close(t.api); // the other way round
	t.api = NULL;
	emit(1);
	client_finish(client);
	client_close(client);
}

static void who_reads_too_slowly_is_dropped(void **state)
{
	struct api_client *client = listen_to_events(NULL);
	char *cause = calloc(1, 100001);

	memset(cause, 'c', 100000);
	for (unsigned i = 0; i < 12; i++) // the loop does not turn: nothing can leave
		events_emit(t.options.events, "call.state", NULL, NULL, json_pack("{s:s}", "cause", cause));
	assert_non_null(t.api->listeners);
	client_finish(client);
	assert_null(t.api->listeners);
	client_close(client);
	free(cause);
	json_decref(get_json("/v1/calls"));
}

static void listeners_are_bounded(void **state)
{
	struct api_client *clients[64];

	for (unsigned i = 0; i < 64; i++)
		clients[i] = listen_to_events(NULL);
	assert_problem("GET", "/v1/events", 503, "close one");
	client_close(clients[0]);
	emit(1);
	for (unsigned i = 1; i < 64; i++)
		assert_ids(clients[i], 1, 1);
	clients[0] = listen_to_events("0");
	for (unsigned i = 0; i < 64; i++)
		client_close(clients[i]);
	await_nobody();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(events_come_without_gaps),
		TEST(who_comes_back_misses_nothing),
		TEST(a_long_replay_is_whole),
		TEST(who_was_away_too_long_is_reset),
		TEST(what_is_no_number_is_reset),
		TEST(who_disappears_leaves_nothing),
		TEST(who_reads_too_slowly_is_dropped),
		TEST(listeners_are_bounded),
	};

	signal(SIGPIPE, SIG_IGN); // as the engine does
	return cmocka_run_group_tests(tests, NULL, NULL);
}
