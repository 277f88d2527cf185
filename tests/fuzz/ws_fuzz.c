// SPDX-License-Identifier: BSD-3-Clause
// A WebSocket from its HTTP request on. The input's first byte says how the bytes arrive: whole or in pieces it must be
// the same; with its highest bit set the request has been answered already.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sip_msg.h"
#include "ws.h"

#define ROOM (SIP_MAX_MESSAGE + WS_MORE_MAX)

struct result {
	size_t items, sum;
	int status;
	uint16_t code;
};

static void item_check(enum ws_kind kind, struct ws_item *item, struct result *result)
{
	unsigned char head[WS_HEAD];

	if (item->length > (kind == WS_MESSAGE ? (size_t)SIP_MAX_MESSAGE : WS_CONTROL_MAX))
		abort();
	for (size_t i = 0; i < item->length; i++)
		result->sum = result->sum * 31 + (unsigned char)item->payload[i];
	item->payload[item->length] = '\0'; // as who takes the message does
	result->items++;
	result->sum = result->sum * 31 + (size_t)kind + item->code;
	if (ws_head_build(head, WS_TEXT, item->length) > WS_HEAD)
		abort();
}

static void frames(struct ws *ws, char *data, size_t *used, struct result *result)
{
	struct ws_item item;
	enum ws_kind kind;
	char saved;

	while ((kind = ws_next(ws, data, *used, &item)) != WS_MORE) {
		if (kind == WS_BAD || kind == WS_CLOSE) {
			if ((kind == WS_BAD && !item.why) || item.code < 1000)
				abort();
			result->code = item.code;
			return;
		}
		saved = item.payload[item.length];
		item_check(kind, &item, result);
		item.payload[item.length] = saved;
	}
	*used = ws_compact(ws, data, *used);
	if (ws->at > *used || ws->assembled > ws->at || *used >= ROOM)
		abort(); // there must be room for what is missing
}

static struct result run(const char *input, size_t length, size_t step, bool open)
{
	char *data = malloc(ROOM + 1), answer[WS_ANSWER];
	struct result result = {.status = open ? 101 : 0};
	struct ws ws = {0};
	size_t used = 0, taken = 0, given;

	for (; length && !result.code; input += given, length -= given) {
		given = length < step ? length : step;
		if (given > ROOM - used)
			given = ROOM - used;
		memcpy(data + used, input, given);
		used += given;
		if (!result.status) {
			result.status = ws_upgrade(data, used, &ws.scanned, &taken, answer);
			if (result.status && (strlen(answer) < 20 || taken > used))
				abort();
			if (!result.status && used > WS_REQUEST_MAX)
				abort();
			if (result.status == 101) {
				used -= taken;
				memmove(data, data + taken, used);
			}
		}
		if (result.status == 101)
			frames(&ws, data, &used, &result);
		else if (result.status)
			break;
	}
	free(data);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct result whole, pieces;
	bool open;

	if (!size)
		return 0;
	open = input[0] & 0x80;
	whole = run((const char *)input + 1, size - 1, 16384, open);
	pieces = run((const char *)input + 1, size - 1, 1 + input[0] % 64, open);
	if (whole.items != pieces.items || whole.sum != pieces.sum || whole.status != pieces.status ||
		whole.code != pieces.code)
		abort();
	return 0;
}
