// SPDX-License-Identifier: BSD-3-Clause
// WebSocket, the server's side (RFC 6455), as SIP uses it (RFC 7118): the HTTP request that asks for it, and frames.
// Pure: no socket, no clock, no memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_REQUEST_MAX 8192 // bytes of the HTTP request
#define WS_ANSWER 256
#define WS_HEAD 10         // bytes of a frame's header, as we send it
#define WS_CONTROL_MAX 125 // bytes that a ping, pong or close carries
// A buffer needs room for this much beside SIP_MAX_MESSAGE: the message that is put together may be nearly whole, and a
// ping be on its way.
#define WS_MORE_MAX (14 + WS_CONTROL_MAX)

// Is there a whole request in these bytes, and what is said to it? *scanned: starts at 0, ours: what was looked at.
// Returns: 0: not yet; 101: yes, `*used` bytes; or the HTTP status of a refusal. With a status `answer` is what to
// send.
int ws_upgrade(const char *data, size_t length, size_t *scanned, size_t *used, char answer[WS_ANSWER]);

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_OP_CLOSE = 8, WS_OP_PING = 9, WS_OP_PONG = 10 };

enum ws_kind {
	WS_MORE,
	WS_MESSAGE, // a whole one, put together of its fragments
	WS_PING,    // to be answered with a pong that carries the same
	WS_PONG,
	WS_CLOSE, // to be answered with a close of `code`
	WS_BAD,   // `why` says what; to be closed with `code`
};

// What came: `assembled` bytes of the message that is not yet whole at the front of the caller's buffer, frames not yet
// looked at from `at` on.
struct ws {
	size_t scanned; // of the HTTP request
	size_t assembled, at;
	bool in_message, whole, text;
};

struct ws_item {
	char *payload; // unmasked, in the caller's buffer; the byte behind it may be written
	size_t length;
	const char *why;
	uint16_t code;
};

// The next thing in data[0..length), which is changed. *ws starts as zeros.
enum ws_kind ws_next(struct ws *ws, char *data, size_t length, struct ws_item *item);
// Make room after WS_MORE. Returns: the new length.
size_t ws_compact(struct ws *ws, char *data, size_t length);
// The header of a frame that holds `length` bytes, whole. Returns: its length.
size_t ws_head_build(unsigned char head[WS_HEAD], enum ws_opcode opcode, size_t length);
// A text frame must be UTF-8; what is not goes in a binary one.
bool ws_is_utf8(const char *data, size_t length);
