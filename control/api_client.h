// SPDX-License-Identifier: BSD-3-Clause
// A small HTTP client for tests, on the same event_base as the server: both take turns until what is awaited came.
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct bufferevent;
struct event_base;

struct api_client {
	struct event_base *base;
	struct bufferevent *connection;
	bool over; // the server closed it
	char *text;
	size_t length, read; // read: what client_await has passed
	// of a whole answer
	int status;
	char *body; // within text
};

// Connect to a UNIX socket and send text. Owns: client_close frees.
struct api_client *client_open(struct event_base *base, const char *path, const char *text, size_t length);
// Turn the loop until the server closes. Fails the test where that takes 20 s.
void client_finish(struct api_client *client);
// Turn the loop until `text` comes, after what was awaited before.
void client_await(struct api_client *client, const char *text);
const char *client_header(struct api_client *client, const char *name); // of a finished answer; NULL: none
void client_close(struct api_client *client);                           // without a word
// A whole question and answer. body NULL: none.
struct api_client *client_ask(
	struct event_base *base, const char *path, const char *method, const char *target, const char *body);
