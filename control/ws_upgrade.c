// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

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

static uint32_t rotate(uint32_t value, unsigned bits)
{
	return value << bits | value >> (32 - bits);
}

static void sha1_block(uint32_t hash[5], const uint8_t *block)
{
	static const uint32_t constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4], w[80];

	for (unsigned i = 0; i < 80; i++) {
		const uint8_t *at = block + 4 * i;
		uint32_t f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;

		w[i] = i < 16 ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]
			      : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
		f += rotate(a, 5) + e + constants[i / 20] + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = f;
	}
	hash[0] += a;
	hash[1] += b;
	hash[2] += c;
	hash[3] += d;
	hash[4] += e;
}

// RFC 6455 4.2.2: a mark of the protocol, no secret. SHA-1 of the 60 bytes of key and GUID, which are two blocks; by
// hand, as OpenSSL's asks for memory, and 3.0 crashes where it gets none.
static void accept_build(const char *key, char out[32])
{
	uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t blocks[128] = {0}, bytes[20];
	int length = snprintf((char *)blocks, 64, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

	blocks[length] = 0x80;
	blocks[126] = (uint8_t)(length * 8 >> 8);
	blocks[127] = (uint8_t)(length * 8);
	sha1_block(hash, blocks);
	sha1_block(hash, blocks + 64);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(hash[i / 4] >> 8 * (3 - i % 4));
	EVP_EncodeBlock((unsigned char *)out, bytes, sizeof(bytes));
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
