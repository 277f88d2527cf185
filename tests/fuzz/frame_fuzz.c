// SPDX-License-Identifier: BSD-3-Clause
// A stream cut into SIP messages: however its bytes arrive, what comes out is the same, within the limits, and no byte
// behind those that are there is read. The first byte of the input says how they arrive.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sip_frame.h"
#include "sip_msg.h"

struct result {
	size_t messages, crlfs, sum, left;
	const char *why;
};

static void message_check(const char *data, size_t used, struct result *result)
{
	if (used > SIP_MAX_MESSAGE || !memchr(data, '\n', used))
		abort();
	result->messages++;
	result->sum = result->sum * 31 + used;
}

// `step` bytes at a time. Each look is at a copy that ends where the bytes do, as far as that costs little.
static struct result run(const char *data, size_t length, size_t step)
{
	struct sip_frame frame = {0};
	struct result result = {0};
	size_t at = 0, given = 0, used;

	for (;;) {
		size_t size = given - at;
		char *copy = size < 4096 ? malloc(size + 1) : NULL;
		enum sip_frame_kind kind;

		if (copy)
			memcpy(copy, data + at, size);
		kind = sip_frame_next(&frame, copy ? copy : data + at, size, &used);
		free(copy);
		if (used > size || (used == 0) != (kind == SIP_FRAME_MORE || kind == SIP_FRAME_GARBAGE))
			abort();
		if (kind == SIP_FRAME_MESSAGE)
			message_check(data + at, used, &result);
		else if (kind == SIP_FRAME_PING || kind == SIP_FRAME_PONG)
			result.crlfs += used / 2;
		at += used;
		if (kind == SIP_FRAME_GARBAGE) {
			result.why = frame.why;
			return result;
		}
		if (kind != SIP_FRAME_MORE)
			continue;
		if (size > SIP_MAX_MESSAGE)
			abort(); // it would never end
		if (given == length)
			break;
		given = length - given < step ? length : given + step;
	}
	result.left = length - at;
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const char *data = (const char *)input + 1;
	struct result whole, pieces;

	if (!size)
		return 0;
	whole = run(data, size - 1, size - 1 < 16384 ? size : 16384);
	pieces = run(data, size - 1, 1 + input[0] % 64);
	if (whole.messages != pieces.messages || whole.crlfs != pieces.crlfs || whole.sum != pieces.sum ||
		whole.left != pieces.left || !whole.why != !pieces.why ||
		(whole.why && strcmp(whole.why, pieces.why) != 0))
		abort();
	return 0;
}
