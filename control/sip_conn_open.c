// SPDX-License-Identifier: BSD-3-Clause
// How a connection begins, ours or a peer's.

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>

#include "sip_stream.h"
#include "sip_wire_addr.h"

#define UNACKED_MS 30000 // what we sent and the peer's kernel does not acknowledge

// --- made and freed -----------------------------------------------------------------------------------------------

static struct conn *conn_create(struct stream *stream, const struct sip_flow *flow, bool accepted)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	*conn = (struct conn){.stream = stream, .flow = *flow, .accepted = accepted, .fd = -1};
	conn->opened_ms = conn->heard_ms = conn->said_ms = stream_now_ms();
	conn->queue = evbuffer_new();
	if (!conn->queue || conn_timer_create(conn) != 0) {
		if (conn->queue)
			evbuffer_free(conn->queue);
		free(conn);
		return NULL;
	}
	stream_put(stream, conn);
	stream->total++;
	stream->counts.connections[flow->transport]++;
	return conn;
}

void conn_open(struct conn *conn)
{
	conn->state = CONN_OPEN;
	conn->heard_ms = conn->said_ms = stream_now_ms();
	if (!conn->accepted)
		conn->stream->counts.opened++;
	if (bufferevent_write_buffer(conn->bev, conn->queue) != 0)
		conn_close(conn, -ENOMEM, "no memory for what is sent to it");
	evbuffer_free(conn->queue);
	conn->queue = NULL;
	if (!conn->gone)
		conn_timer_set(conn);
}

// TCP stands.
static int conn_start(struct conn *conn, int fd)
{
	const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	struct stream *stream = conn->stream;
	int one = 1, unacked = UNACKED_MS;
	SSL *ssl = NULL;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof(unacked));
	if (sip_transport_secure(conn->flow.transport)) {
		ssl = sip_tls_new(stream->tls, &conn->flow, conn->accepted);
		conn->bev =
			ssl ? bufferevent_openssl_socket_new(stream->base, fd, ssl,
				      conn->accepted ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING, options)
			    : NULL;
		if (ssl && !conn->bev)
			SSL_free(ssl);
	} else {
		conn->bev = bufferevent_socket_new(stream->base, fd, options);
	}
	if (!conn->bev)
		return -ENOMEM;
	conn->fd = -1;
	if (ssl)
		bufferevent_openssl_set_allow_dirty_shutdown(conn->bev, 1); // SIP says itself where a message ends
	bufferevent_setcb(conn->bev, conn_read, NULL, conn_event, conn);
	conn->state = ssl ? CONN_TLS : conn->flow.transport == SIP_WS ? CONN_UPGRADE : CONN_OPEN;
	if (conn->state == CONN_OPEN)
		conn_open(conn);
	return conn->gone || bufferevent_enable(conn->bev, EV_READ | EV_WRITE) == 0 ? 0 : -ENOMEM;
}

int conn_accept(struct stream *stream, const struct sip_flow *flow, int fd)
{
	struct conn *conn = conn_create(stream, flow, true);

	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->fd = fd;
	conn->state = CONN_TLS; // what it is now, conn_start says; it may fail before
	if (conn_start(conn, fd) != 0) {
		conn_free(conn);
		return -ENOMEM;
	}
	conn_timer_set(conn);
	return 0;
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	event_free(conn->connected);
	conn->connected = NULL;
	if (error)
		conn_close(conn, -error, "it could not be opened: %s", strerror(error));
	else if (conn_start(conn, fd) != 0)
		conn_close(conn, -ENOMEM, "no memory for the connection");
}

static int socket_connect(const struct sip_flow *flow)
{
	int fd = socket(flow->remote.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct kg_addr source = flow->local;
	struct sockaddr_storage addr;
	int one = 1, error;
	socklen_t length;

	if (fd < 0)
		return -errno;
	source.port = 0;
	length = wire_sockaddr_write(&source, &addr);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (source.family && !wire_addr_is_any(&source) && bind(fd, (struct sockaddr *)&addr, length) != 0)
		goto fail;
	length = wire_sockaddr_write(&flow->remote, &addr);
	if (connect(fd, (struct sockaddr *)&addr, length) == 0 || errno == EINPROGRESS)
		return fd;
fail:
	error = -errno;
	close(fd);
	return error;
}

int conn_connect(struct stream *stream, const struct sip_flow *flow, struct conn **out)
{
	struct conn *conn;
	int fd;

	if (flow->local.family && flow->local.family != flow->remote.family)
		return -EADDRNOTAVAIL;
	fd = socket_connect(flow);
	if (fd < 0)
		return fd;
	conn = conn_create(stream, flow, false);
	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->fd = fd;
	conn->connected = event_new(stream->base, fd, EV_WRITE, on_connected, conn);
	if (!conn->connected || event_add(conn->connected, NULL) != 0) {
		conn_free(conn);
		return -ENOMEM;
	}
	conn_timer_set(conn);
	*out = conn;
	return 0;
}
