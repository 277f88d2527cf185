// SPDX-License-Identifier: BSD-3-Clause
// SIP in WebSockets (RFC 7118): one message in each, whatever its Content-Length says.

#include <errno.h>
#include <stdlib.h>

#include "sip_stream.h"

static int frame_send(struct conn *conn, enum ws_opcode opcode, const char *data, size_t length)
{
	unsigned char head[WS_HEAD];
	size_t head_length = ws_head_build(head, opcode, length);
	char *frame = malloc(head_length + length);
	int error;

	if (!frame) {
		conn_close(conn, -ENOMEM, "no memory for what is sent to it");
		return -ENOMEM;
	}
	memcpy(frame, head, head_length);
	if (length)
		memcpy(frame + head_length, data, length);
	error = conn_put(conn, frame, head_length + length);
	free(frame);
	return error;
}

int conn_ws_send(struct conn *conn, const char *data, size_t length)
{
	return frame_send(conn, ws_is_utf8(data, length) ? WS_TEXT : WS_BINARY, data, length);
}

size_t conn_ws_upgrade(struct conn *conn)
{
	char answer[WS_ANSWER];
	size_t used;
	int status = ws_upgrade(conn->in, conn->in_used, &conn->ws.scanned, &used, answer);

	if (!status || conn_put(conn, answer, strlen(answer)) != 0)
		return 0;
	if (status == 101) {
		conn_open(conn);
		return used;
	}
	conn->flush = true;
	conn_close(conn, -EBADMSG, "it asked for no WebSocket with the subprotocol sip: %d", status);
	return 0;
}

static void close_send(struct conn *conn, uint16_t code)
{
	char payload[2] = {(char)(code >> 8), (char)code};

	conn->flush = true;
	frame_send(conn, WS_OP_CLOSE, payload, sizeof(payload));
}

static void message(struct conn *conn, const struct ws_item *item, bool *whole)
{
	if (item->length == 4 && memcmp(item->payload, "\r\n\r\n", 4) == 0) {
		frame_send(conn, WS_TEXT, "\r\n", 2);
	} else if (item->length == 2 && memcmp(item->payload, "\r\n", 2) == 0) {
		conn_pong(conn);
	} else if (item->length) {
		*whole = true;
		conn_message(conn, item->payload, item->length);
	}
}

void conn_ws_read(struct conn *conn, bool *whole)
{
	enum ws_kind kind = WS_PONG;
	struct ws_item item;

	while (!conn->gone && kind != WS_MORE) {
		kind = ws_next(&conn->ws, conn->in, conn->in_used, &item);
		switch (kind) {
		case WS_MESSAGE:
			message(conn, &item, whole);
			break;
		case WS_PING:
			frame_send(conn, WS_OP_PONG, item.payload, item.length);
			break;
		case WS_PONG:
			conn_pong(conn);
			break;
		case WS_CLOSE:
			close_send(conn, item.code);
			conn_close(conn, 0, "the peer closed it (%u)", item.code);
			break;
		case WS_BAD:
			close_send(conn, item.code);
			conn_garbage(conn, item.why);
			break;
		case WS_MORE:
			break;
		}
	}
	if (!conn->gone)
		conn->in_used = ws_compact(&conn->ws, conn->in, conn->in_used);
}
