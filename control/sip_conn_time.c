// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>

#include "sip_stream.h"

#define PONG_MS 10000 // RFC 5626 4.4.1

// Where pings are more frequent than that, so is the end of patience.
static uint32_t pong_ms(const struct conn *conn)
{
	return conn->keepalive_ms < PONG_MS ? conn->keepalive_ms : PONG_MS;
}

static uint64_t idle_since(const struct conn *conn)
{
	return conn->heard_ms > conn->said_ms ? conn->heard_ms : conn->said_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t due(const struct conn *conn)
{
	const struct sip_wires_limits *limits = &conn->stream->limits;
	uint64_t at;

	if (conn->state != CONN_OPEN)
		return conn->opened_ms + limits->handshake_ms;
	at = idle_since(conn) + limits->idle_ms;
	if (conn->begun_ms)
		at = earlier(at, conn->begun_ms + limits->message_ms);
	if (conn->accepted && !conn->spoke)
		at = earlier(at, conn->opened_ms + limits->silent_ms);
	if (conn->ping_ms)
		at = earlier(at, conn->ping_ms + pong_ms(conn));
	else if (conn->keepalive_ms)
		at = earlier(at, conn->said_ms + conn->keepalive_ms);
	return at;
}

static void handshake_over(struct conn *conn)
{
	static const char *const what[] = {
		[CONN_CONNECTING] = "it could not be opened: no answer",
		[CONN_TLS] = "TLS: no end of the handshake",
		[CONN_UPGRADE] = "it asked for no WebSocket",
	};

	conn_close(conn, -ETIMEDOUT, "%s in %u ms", what[conn->state], conn->stream->limits.handshake_ms);
}

static void ping(struct conn *conn, uint64_t now)
{
	conn->ping_ms = now;
	conn->frame.pong_due = true;
	conn->stream->counts.pings++;
	conn_put(conn, "\r\n\r\n", 4);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	const struct sip_wires_limits *limits = &conn->stream->limits;
	uint64_t now = stream_now_ms();

	conn->timer_ms = 0;
	if (now < due(conn)) {
		conn_timer_set(conn);
	} else if (conn->state != CONN_OPEN) {
		handshake_over(conn);
	} else if (conn->begun_ms && now >= conn->begun_ms + limits->message_ms) {
		conn->stream->counts.closed_slow++;
		conn_close(conn, -ETIMEDOUT, "a message was not whole after %u ms", limits->message_ms);
	} else if (conn->accepted && !conn->spoke && now >= conn->opened_ms + limits->silent_ms) {
		conn->stream->counts.closed_idle++;
		conn_close(conn, -ETIMEDOUT, "no message came in %u ms", limits->silent_ms);
	} else if (now >= idle_since(conn) + limits->idle_ms) {
		conn->stream->counts.closed_idle++;
		conn_close(conn, -ETIMEDOUT, "nothing came or went for %u ms", limits->idle_ms);
	} else if (conn->ping_ms) {
		conn_close(conn, -ETIMEDOUT, "no answer to a keepalive in %u ms", pong_ms(conn));
	} else {
		ping(conn, now);
		if (!conn->gone)
			conn_timer_set(conn);
	}
}

int conn_timer_create(struct conn *conn)
{
	uint32_t keepalive = conn->stream->limits.keepalive_ms, noise;

	evutil_secure_rng_get_bytes(&noise, sizeof(noise));
	conn->keepalive_ms = conn->accepted ? 0 : keepalive - noise % (keepalive / 5 + 1);
	conn->timer = evtimer_new(conn->stream->base, on_timer, conn);
	return conn->timer ? 0 : -ENOMEM;
}

void conn_timer_set(struct conn *conn)
{
	uint64_t now = stream_now_ms(), at = due(conn), wait = at > now ? at - now : 0;
	struct timeval timeout = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000) * 1000};

	// One that is to come too early is left: it looks again.
	if (conn->timer_ms && conn->timer_ms <= at)
		return;
	conn->timer_ms = at;
	if (evtimer_add(conn->timer, &timeout) != 0)
		conn_close(conn, -ENOMEM, "no memory for its timer");
}
