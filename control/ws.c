// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "sip_msg.h"
#include "ws.h"

// Close codes of RFC 6455 7.4.1.
#define NORMAL 1000
#define PROTOCOL 1002
#define NOT_UTF8 1007
#define TOO_LARGE 1009

struct head {
	bool fin, control;
	uint8_t opcode, mask[4];
	size_t length, payload; // header, payload
};

static enum ws_kind bad(struct ws_item *item, const char *why, uint16_t code)
{
	item->why = why;
	item->code = code;
	return WS_BAD;
}

// Returns: 0: not whole; its length; SIZE_MAX: of no good form.
static size_t length_read(const uint8_t *data, size_t length, size_t *payload)
{
	uint64_t value = data[1] & 0x7f;
	size_t bytes = value == 127 ? 8 : value == 126 ? 2 : 0;

	if (length < 2 + bytes)
		return 0;
	if (bytes) {
		value = 0;
		for (size_t i = 0; i < bytes; i++)
			value = value << 8 | data[2 + i];
		if (value < (bytes == 2 ? 126u : 65536u) || value >> 63)
			return SIZE_MAX; // the shortest form is a must
	}
	*payload = value;
	return 2 + bytes;
}

// What can be said by a frame's header is said before the rest of it is there.
static enum ws_kind head_check(const struct ws *ws, const struct head *head, struct ws_item *item)
{
	if (head->control && (!head->fin || head->payload > WS_CONTROL_MAX))
		return bad(item, "ws_control", PROTOCOL);
	if (head->opcode != WS_CONTINUATION && head->opcode != WS_TEXT && head->opcode != WS_BINARY &&
		head->opcode != WS_OP_CLOSE && head->opcode != WS_OP_PING && head->opcode != WS_OP_PONG)
		return bad(item, "ws_opcode", PROTOCOL);
	if (!head->control && ws->in_message != (head->opcode == WS_CONTINUATION))
		return bad(item, "ws_fragment", PROTOCOL);
	if (!head->control && (head->payload > SIP_MAX_MESSAGE || ws->assembled + head->payload > SIP_MAX_MESSAGE))
		return bad(item, "too_large", TOO_LARGE);
	return WS_MORE;
}

// Returns: WS_MORE; head->length 0: there is not enough of it.
static enum ws_kind head_read(
	const struct ws *ws, const uint8_t *data, size_t length, struct head *head, struct ws_item *item)
{
	size_t size;

	*head = (struct head){0};
	if (length < 2)
		return WS_MORE;
	head->fin = data[0] & 0x80;
	head->opcode = data[0] & 0x0f;
	head->control = head->opcode & 8;
	if (data[0] & 0x70)
		return bad(item, "ws_reserved", PROTOCOL);
	if (!(data[1] & 0x80))
		return bad(item, "ws_unmasked", PROTOCOL);
	size = length_read(data, length, &head->payload);
	if (size == SIZE_MAX)
		return bad(item, "ws_length", PROTOCOL);
	if (!size)
		return WS_MORE;
	if (head_check(ws, head, item) != WS_MORE)
		return WS_BAD;
	if (length < size + 4)
		return WS_MORE;
	memcpy(head->mask, data + size, 4);
	head->length = size + 4;
	return WS_MORE;
}

static void unmask(const struct head *head, char *data)
{
	for (size_t i = 0; i < head->payload; i++)
		data[i] ^= (char)head->mask[i & 3];
}

static enum ws_kind control(const struct head *head, char *payload, struct ws_item *item)
{
	item->payload = payload;
	item->length = head->payload;
	if (head->opcode == WS_OP_PING)
		return WS_PING;
	if (head->opcode == WS_OP_PONG)
		return WS_PONG;
	item->code = NORMAL;
	if (head->payload == 1)
		return bad(item, "ws_close", PROTOCOL);
	if (head->payload)
		item->code = (uint16_t)((uint8_t)payload[0] << 8 | (uint8_t)payload[1]);
	if (item->code < 1000 || item->code > 4999 || (item->code >= 1004 && item->code <= 1006))
		return bad(item, "ws_close", PROTOCOL);
	return WS_CLOSE;
}

// One frame of a message is whole: its payload goes behind what there is.
static enum ws_kind fragment(struct ws *ws, const struct head *head, char *data, char *payload, struct ws_item *item)
{
	if (head->opcode != WS_CONTINUATION)
		ws->text = head->opcode == WS_TEXT;
	memmove(data + ws->assembled, payload, head->payload);
	ws->assembled += head->payload;
	ws->in_message = !head->fin;
	if (!head->fin)
		return WS_MORE;
	ws->whole = true;
	item->payload = data;
	item->length = ws->assembled;
	if (ws->text && !ws_is_utf8(data, ws->assembled))
		return bad(item, "ws_utf8", NOT_UTF8);
	return WS_MESSAGE;
}

enum ws_kind ws_next(struct ws *ws, char *data, size_t length, struct ws_item *item)
{
	enum ws_kind kind = WS_MORE;

	*item = (struct ws_item){0};
	if (ws->whole)
		ws->assembled = 0;
	ws->whole = false;
	while (kind == WS_MORE) {
		struct head head;
		char *payload;

		if (head_read(ws, (const uint8_t *)data + ws->at, length - ws->at, &head, item) != WS_MORE)
			return WS_BAD;
		if (!head.length || length - ws->at - head.length < head.payload)
			return WS_MORE;
		payload = data + ws->at + head.length;
		ws->at += head.length + head.payload;
		unmask(&head, payload);
		kind = head.control ? control(&head, payload, item) : fragment(ws, &head, data, payload, item);
	}
	return kind;
}

size_t ws_compact(struct ws *ws, char *data, size_t length)
{
	size_t left = length - ws->at;

	memmove(data + ws->assembled, data + ws->at, left);
	ws->at = ws->assembled;
	return ws->assembled + left;
}

size_t ws_head_build(unsigned char head[WS_HEAD], enum ws_opcode opcode, size_t length)
{
	size_t bytes = length < 126 ? 0 : length < 65536 ? 2 : 8;

	head[0] = (unsigned char)(0x80 | opcode);
	head[1] = (unsigned char)(bytes == 0 ? length : bytes == 2 ? 126 : 127);
	for (size_t i = 0; i < bytes; i++)
		head[2 + i] = (unsigned char)((uint64_t)length >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}

// Returns: bytes of the character there, 0: it is none.
static size_t utf8_one(const uint8_t *at, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t more;

	if (*at < 0x80)
		return 1;
	if (*at < 0xc2 || *at > 0xf4)
		return 0;
	more = *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
	if (*at == 0xe0)
		low = 0xa0; // no longer than need be
	else if (*at == 0xed)
		high = 0x9f; // no surrogates
	else if (*at == 0xf0)
		low = 0x90;
	else if (*at == 0xf4)
		high = 0x8f;
	if (left <= more || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i <= more; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return more + 1;
}

bool ws_is_utf8(const char *data, size_t length)
{
	for (size_t at = 0, size; at < length; at += size) {
		size = utf8_one((const uint8_t *)data + at, length - at);
		if (!size)
			return false;
	}
	return true;
}
