// SPDX-License-Identifier: BSD-3-Clause
// One connection: what comes on it and what goes, how it ends.

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>

#include "sip_msg.h"
#include "sip_stream.h"

#define CONN_BUFFER (SIP_MAX_MESSAGE + WS_MORE_MAX) // of TCP the first byte too many fits too
#define CONN_BUFFER_FIRST 2048
#define FLUSH_S 2

// --- freed ----------------------------------------------------------------------------------------------------------

static void bev_free(struct conn *conn)
{
	SSL *ssl = conn->bev ? bufferevent_openssl_get_ssl(conn->bev) : NULL;

	if (ssl)
		sip_tls_end(ssl);
	if (conn->bev)
		bufferevent_free(conn->bev);
	conn->bev = NULL;
}

// Out of what finds it.
static void conn_hide(struct conn *conn)
{
	if (conn->gone)
		return;
	conn->gone = true;
	LIST_REMOVE(conn, by_id);
	LIST_REMOVE(conn, by_remote);
	conn->stream->counts.connections[conn->flow.transport]--;
	event_del(conn->timer);
	if (conn->connected)
		event_free(conn->connected);
	conn->connected = NULL;
}

void conn_free(struct conn *conn)
{
	conn_hide(conn);
	if (conn->accepted)
		LIST_REMOVE(conn, by_source);
	bev_free(conn);
	if (conn->fd >= 0)
		close(conn->fd);
	if (conn->queue)
		evbuffer_free(conn->queue);
	event_free(conn->timer);
	free(conn->in);
	conn->stream->total--;
	free(conn);
}

// --- its end ------------------------------------------------------------------------------------------------------

static void linger_end(struct conn *conn)
{
	bev_free(conn);
	if (!conn->told)
		return; // the reaper frees it
	TAILQ_REMOVE(&conn->stream->lingerers, conn, grave);
	conn_free(conn);
}

static void on_drained(struct bufferevent *bev, void *arg)
{
	linger_end(arg);
}

static void on_linger_event(struct bufferevent *bev, short what, void *arg)
{
	linger_end(arg);
}

static bool linger_begin(struct conn *conn)
{
	static const struct timeval flush = {.tv_sec = FLUSH_S};

	if (!conn->flush || !conn->bev || !evbuffer_get_length(bufferevent_get_output(conn->bev)))
		return false;
	bufferevent_disable(conn->bev, EV_READ);
	bufferevent_setcb(conn->bev, NULL, on_drained, on_linger_event, conn);
	bufferevent_set_timeouts(conn->bev, NULL, &flush);
	return true;
}

void conn_close(struct conn *conn, int error, const char *fmt, ...)
{
	va_list args;

	if (conn->gone)
		return;
	conn->error = error;
	va_start(args, fmt);
	vsnprintf(conn->why, sizeof(conn->why), fmt, args);
	va_end(args);
	if (conn->state != CONN_OPEN)
		conn->stream->counts.handshake_failed++;
	conn_hide(conn);
	if (!linger_begin(conn))
		bev_free(conn);
	TAILQ_INSERT_TAIL(&conn->stream->graves, conn, grave);
	event_active(conn->stream->reaper, EV_TIMEOUT, 0);
}

void conn_garbage(struct conn *conn, const char *why)
{
	struct sip_wire_events *events = &conn->stream->events;

	if (conn->gone)
		return;
	conn->stream->counts.closed_garbage++;
	if (events->garbage)
		events->garbage(events->arg, &conn->flow, why);
	conn_close(conn, -EBADMSG, "what came was no SIP: %s", why);
}

// --- what comes ---------------------------------------------------------------------------------------------------

// Returns: whether there is something new in conn->in.
static bool in_fill(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t want = conn->in_used + evbuffer_get_length(input), size = conn->in_size;
	int count;

	if (want > CONN_BUFFER)
		want = CONN_BUFFER;
	while (size < want)
		size = size ? size * 2 : CONN_BUFFER_FIRST;
	if (size > CONN_BUFFER)
		size = CONN_BUFFER;
	if (size > conn->in_size) {
		char *in = realloc(conn->in, size + 1); // and the NUL behind a message

		if (!in) {
			conn_close(conn, -ENOMEM, "no memory for what it sends");
			return false;
		}
		conn->in = in;
		conn->in_size = size;
	}
	count = conn->in_used < conn->in_size ? evbuffer_remove(input, conn->in + conn->in_used, want - conn->in_used)
					      : 0;
	if (count <= 0)
		return false;
	conn->in_used += (size_t)count;
	return true;
}

static void in_drop(struct conn *conn, size_t count)
{
	conn->in_used -= count;
	if (conn->in_used) {
		memmove(conn->in, conn->in + count, conn->in_used);
		return;
	}
	// Most connections are quiet most of the time: they hold no buffer.
	free(conn->in);
	conn->in = NULL;
	conn->in_size = 0;
}

void conn_message(struct conn *conn, char *data, size_t length)
{
	struct sip_wire_events *events = &conn->stream->events;
	char saved = data[length];

	conn->spoke = true;
	data[length] = '\0';
	events->message(events->arg, &conn->flow, data, length);
	data[length] = saved;
}

void conn_pong(struct conn *conn)
{
	if (conn->ping_ms)
		conn->stream->counts.pongs++;
	conn->ping_ms = 0;
	conn->frame.pong_due = false;
}

// Returns: bytes that are done with.
static size_t frames_read(struct conn *conn, bool *whole)
{
	enum sip_frame_kind kind = SIP_FRAME_PONG;
	size_t at = 0, used;

	for (; !conn->gone && kind != SIP_FRAME_MORE; at += used) {
		kind = sip_frame_next(&conn->frame, conn->in + at, conn->in_used - at, &used);
		switch (kind) {
		case SIP_FRAME_MESSAGE:
			*whole = true;
			conn_message(conn, conn->in + at, used);
			break;
		case SIP_FRAME_PING:
			conn_put(conn, "\r\n", 2);
			break;
		case SIP_FRAME_PONG:
			conn_pong(conn);
			break;
		case SIP_FRAME_GARBAGE:
			conn_garbage(conn, conn->frame.why);
			break;
		case SIP_FRAME_MORE:
			break;
		}
	}
	return at;
}

void conn_read(struct bufferevent *bev, void *arg)
{
	struct conn *conn = arg;

	conn->heard_ms = stream_now_ms();
	while (!conn->gone && in_fill(conn)) {
		bool socket = conn->flow.transport == SIP_WS || conn->flow.transport == SIP_WSS, whole = false;
		size_t used = 0;

		if (conn->state == CONN_UPGRADE)
			used = conn_ws_upgrade(conn);
		else if (!socket)
			used = frames_read(conn, &whole);
		if (conn->gone)
			return;
		in_drop(conn, used);
		if (socket && conn->state == CONN_OPEN && conn->in_used)
			conn_ws_read(conn, &whole);
		if (conn->gone)
			return;
		if (!conn->in_used)
			in_drop(conn, 0);
		if (!conn->in_used || conn->state != CONN_OPEN)
			conn->begun_ms = 0;
		else if (whole || !conn->begun_ms)
			conn->begun_ms = conn->heard_ms;
	}
	if (!conn->gone)
		conn_timer_set(conn);
}

// --- what goes ----------------------------------------------------------------------------------------------------

int conn_put(struct conn *conn, const void *data, size_t length)
{
	bool open = conn->bev && conn->state >= CONN_UPGRADE; // the answer to an upgrade goes before what waits
	struct evbuffer *out = open ? bufferevent_get_output(conn->bev) : conn->queue;

	if (conn->gone)
		return -ENOTCONN;
	if (evbuffer_get_length(out) + length > conn->stream->limits.queue_bytes) {
		conn_close(conn, -ENOBUFS, "it does not take what is sent to it: %zu bytes wait",
			evbuffer_get_length(out));
		return -ENOBUFS;
	}
	conn->said_ms = stream_now_ms();
	if ((open ? bufferevent_write(conn->bev, data, length) : evbuffer_add(out, data, length)) != 0) {
		conn_close(conn, -ENOMEM, "no memory for what is sent to it");
		return -ENOMEM;
	}
	return 0;
}

int conn_send(struct conn *conn, const char *data, size_t length)
{
	if (conn->flow.transport == SIP_WS || conn->flow.transport == SIP_WSS)
		return conn_ws_send(conn, data, length);
	return conn_put(conn, data, length);
}

// --- what happens to it ---------------------------------------------------------------------------------------------

static void broken_by(struct conn *conn, int error)
{
	SSL *ssl = bufferevent_openssl_get_ssl(conn->bev);
	unsigned long tls = ssl ? bufferevent_get_openssl_error(conn->bev) : 0;
	char why[160];

	if (tls) {
		sip_tls_why(ssl, tls, why, sizeof(why));
		conn_close(conn, -EPROTO, "TLS: %s", why);
	} else if (conn->state == CONN_TLS) {
		conn_close(conn, -EPROTO, "TLS: it closed the connection during the handshake%s%s", error ? ": " : "",
			error ? strerror(error) : "");
	} else {
		conn_close(conn, error ? -error : -EPIPE, "the connection broke: %s", strerror(error ? error : EPIPE));
	}
}

void conn_event(struct bufferevent *bev, short what, void *arg)
{
	int error = EVUTIL_SOCKET_ERROR();
	struct conn *conn = arg;

	if (what & BEV_EVENT_CONNECTED) {
		if (conn->flow.transport == SIP_WSS)
			conn->state = CONN_UPGRADE;
		else
			conn_open(conn);
	} else if ((what & BEV_EVENT_EOF) && conn->state >= CONN_UPGRADE) {
		conn->flush = true; // it may only have ended its own half
		conn_close(conn, 0,
			conn->in_used ? "the peer closed it in the middle of a message" : "the peer closed it");
	} else {
		broken_by(conn, what & BEV_EVENT_EOF ? 0 : error);
	}
}
