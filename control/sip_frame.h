// SPDX-License-Identifier: BSD-3-Clause
// Where one SIP message ends and the next begins on a stream (RFC 3261 18.3), and the keepalives between them (RFC 5626
// 4.4.1). Pure: no socket, no clock, no memory. What it has looked at it does not look at again, however few bytes
// arrive at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum sip_frame_kind {
	SIP_FRAME_MORE,    // there is no whole one yet
	SIP_FRAME_MESSAGE, // `used` bytes are one
	SIP_FRAME_PING,    // CRLF CRLF, also in two pieces: to be answered with CRLF
	SIP_FRAME_PONG,    // a CRLF: the answer to our ping, or nothing
	SIP_FRAME_GARBAGE, // `why` says what; there is no way to go on
};

struct sip_frame {
	bool pong_due;   // owner: rw. We have sent a ping: the next CRLF is its answer, and not half of a ping
	const char *why; // of GARBAGE: a word for the counters
	bool half;       // the last thing was a CRLF that may be half of a ping
	bool in_length;  // the header that goes on here is Content-Length
	size_t scanned;  // bytes of this message that were looked at
	size_t line;     // where the line begins that is not yet whole
	size_t value, value_length; // of Content-Length, with the lines it is folded over; value 0: not seen yet
	size_t total;               // of the message, once its header is whole; 0: not known
};

// What do the `length` bytes begin with? Until it is something else than MORE, `data` is what it was with more behind
// it; afterwards the caller takes `used` bytes away. *frame starts as zeros.
enum sip_frame_kind sip_frame_next(struct sip_frame *frame, const char *data, size_t length, size_t *used);
