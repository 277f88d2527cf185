// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "api_client.h"

#define GIVE_UP_S 20
#define SHORT_US 200000 // where memory fails an answer may well not come

static void on_read(struct bufferevent *connection, void *arg)
{
	struct api_client *client = arg;
	size_t more = evbuffer_get_length(bufferevent_get_input(connection));

	client->text = realloc(client->text, client->length + more + 1);
	assert_non_null(client->text);
	client->length += bufferevent_read(connection, client->text + client->length, more);
	client->text[client->length] = '\0';
}

static void on_event(struct bufferevent *connection, short what, void *arg)
{
	struct api_client *client = arg;

	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		client->over = true;
}

struct api_client *client_open(struct event_base *base, const char *path, const char *text, size_t length)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct api_client *client = calloc(1, sizeof(*client));

	assert_non_null(client);
	client->base = base;
	client->text = strdup("");
	client->connection = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	assert_non_null(client->connection);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	bufferevent_setcb(client->connection, on_read, NULL, on_event, client);
	assert_int_equal(bufferevent_socket_connect(client->connection, (struct sockaddr *)&name, sizeof(name)), 0);
	bufferevent_write(client->connection, text, length);
	bufferevent_enable(client->connection, EV_READ | EV_WRITE);
	return client;
}

static void on_give_up(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

// The clock only ends a test that hangs.
static void turn_until(
	struct api_client *client, bool (*enough)(struct api_client *client, const char *text), const char *text)
{
	const struct timeval limit = {getenv("KEDGE_FAIL_ALLOC") ? 0 : GIVE_UP_S, SHORT_US};
	bool gave_up = false;
	struct event *give_up = evtimer_new(client->base, on_give_up, &gave_up);

	evtimer_add(give_up, &limit);
	while (!enough(client, text) && !gave_up)
		event_base_loop(client->base, EVLOOP_ONCE);
	event_free(give_up);
	if (gave_up)
		fail_msg("nothing more came in %d s; so far: %.1000s", GIVE_UP_S, client->text);
}

static bool is_over(struct api_client *client, const char *text)
{
	return client->over;
}

static bool has_come(struct api_client *client, const char *text)
{
	const char *at = strstr(client->text + client->read, text);

	if (!at && client->over)
		fail_msg("it was closed before \"%s\" came; what came: %s", text, client->text);
	if (at)
		client->read = (size_t)(at - client->text) + strlen(text);
	return at;
}

void client_finish(struct api_client *client)
{
	turn_until(client, is_over, "");
	if (sscanf(client->text, "HTTP/%*s %d", &client->status) != 1)
		client->status = 0;
	client->body = strstr(client->text, "\r\n\r\n");
	if (client->body)
		client->body += 4;
}

void client_await(struct api_client *client, const char *text)
{
	turn_until(client, has_come, text);
}

const char *client_header(struct api_client *client, const char *name)
{
	static char value[256];
	char start[64];
	const char *at;

	snprintf(start, sizeof(start), "\r\n%s: ", name);
	at = strcasestr(client->text, start);
	if (!at || at > client->body)
		return NULL;
	at += strlen(start);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

void client_close(struct api_client *client)
{
	bufferevent_free(client->connection);
	free(client->text);
	free(client);
}

struct api_client *client_ask(
	struct event_base *base, const char *path, const char *method, const char *target, const char *body)
{
	struct api_client *client;
	char *text;
	int length =
		asprintf(&text, "%s %s HTTP/1.1\r\nHost: kedge\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
			method, target, body ? strlen(body) : 0, body ? body : "");

	assert_true(length > 0);
	client = client_open(base, path, text, (size_t)length);
	free(text);
	client_finish(client);
	return client;
}
