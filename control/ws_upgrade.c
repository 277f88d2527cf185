// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "ws.h"

#define KEY 24 // 16 bytes in base64

struct request {
	bool host, upgrade, connection, sip, version;
	unsigned keys;
	char key[KEY + 1];
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

// Is `token` in a comma list?
static bool list_has(const char *list, size_t length, const char *token, bool any_case)
{
	const char *end = list + length;

	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list)), *stop = comma ? comma : end, *last = stop;

		while (list < stop && is_blank(*list))
			list++;
		while (last > list && is_blank(last[-1]))
			last--;
		if ((size_t)(last - list) == strlen(token) &&
			(any_case ? strncasecmp(list, token, strlen(token)) : strncmp(list, token, strlen(token))) == 0)
			return true;
		list = stop + 1;
	}
	return false;
}

static bool key_is_good(const char *key, size_t length)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (length != KEY || memcmp(key + KEY - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < KEY - 2; i++)
		if (!key[i] || !strchr(base64, key[i]))
			return false;
	return true;
}

static bool is_named(const char *line, size_t length, const char *name)
{
	return length == strlen(name) && strncasecmp(line, name, length) == 0;
}

// Returns: false where it is no header line.
static bool header_read(struct request *request, const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length), *value, *end = line + length;
	size_t name, size;

	if (!colon || colon == line || is_blank(*line) || is_blank(colon[-1]))
		return false;
	name = (size_t)(colon - line);
	for (value = colon + 1; value < end && is_blank(*value); value++)
		;
	while (end > value && is_blank(end[-1]))
		end--;
	size = (size_t)(end - value);
	if (is_named(line, name, "Host"))
		request->host = true;
	else if (is_named(line, name, "Upgrade"))
		request->upgrade |= list_has(value, size, "websocket", true);
	else if (is_named(line, name, "Connection"))
		request->connection |= list_has(value, size, "upgrade", true);
	else if (is_named(line, name, "Sec-WebSocket-Protocol"))
		request->sip |= list_has(value, size, "sip", false);
	else if (is_named(line, name, "Sec-WebSocket-Version"))
		request->version |= list_has(value, size, "13", false);
	else if (is_named(line, name, "Sec-WebSocket-Key")) {
		request->keys++;
		if (key_is_good(value, size))
			memcpy(request->key, value, KEY);
	}
	return true;
}

static bool request_line_is_good(const char *line, size_t length)
{
	static const char version[] = " HTTP/1.1";
	const size_t tail = sizeof(version) - 1;

	return length > 4 + tail && memcmp(line, "GET /", 5) == 0 && memcmp(line + length - tail, version, tail) == 0 &&
	       !memchr(line + 4, ' ', length - 4 - tail);
}

// Returns: the status.
static int request_read(struct request *request, const char *data, size_t length)
{
	const char *end = data + length, *line = data;
	bool first = true;

	if (memchr(data, '\0', length))
		return 400;
	for (const char *stop; (stop = memmem(line, (size_t)(end - line), "\r\n", 2)) && stop != line;
		line = stop + 2) {
		size_t size = (size_t)(stop - line);

		if (!(first ? request_line_is_good(line, size) : header_read(request, line, size)))
			return 400;
		first = false;
	}
	if (!request->host || !request->connection || !request->upgrade || request->keys != 1 || !request->key[0])
		return 400;
	if (!request->version)
		return 426;
	return request->sip ? 101 : 403;
}

static void accept_build(const char *key, char out[32])
{
	char text[KEY + 37];
	unsigned char hash[SHA_DIGEST_LENGTH];

	snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	SHA1((const unsigned char *)text, strlen(text), hash);
	EVP_EncodeBlock((unsigned char *)out, hash, sizeof(hash));
}

static void answer_build(int status, const char *key, char answer[WS_ANSWER])
{
	const char *phrase = status == 403   ? "Subprotocol sip is missing"
			     : status == 426 ? "Upgrade Required"
			     : status == 431 ? "Request Header Fields Too Large"
					     : "Bad Request";
	char accept[32];

	if (status != 101) {
		snprintf(answer, WS_ANSWER, "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n",
			status, phrase, status == 426 ? "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n" : "");
		return;
	}
	accept_build(key, accept);
	snprintf(answer, WS_ANSWER,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
		accept);
}

int ws_upgrade(const char *data, size_t length, size_t *scanned, size_t *used, char answer[WS_ANSWER])
{
	size_t known = length < 5 ? length : 5, from = *scanned > 3 ? *scanned - 3 : 0;
	struct request request = {0};
	const char *end;
	int status;

	*used = 0;
	if (memcmp(data, "GET /", known) != 0) { // no need to wait for the end of something else
		answer_build(400, "", answer);
		return 400;
	}
	end = memmem(data + from, length - from, "\r\n\r\n", 4);
	*scanned = length;
	if ((end ? (size_t)(end - data) + 4 : length) > WS_REQUEST_MAX) {
		answer_build(431, "", answer);
		return 431;
	}
	if (!end)
		return 0;
	*used = (size_t)(end - data) + 4;
	status = request_read(&request, data, *used);
	answer_build(status, request.key, answer);
	return status;
}
