// SPDX-License-Identifier: BSD-3-Clause
// All connections: who may open one, which one leads where, and what is left of those that are gone.

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "sip_stream.h"
#include "sip_wire_addr.h"

#define BACKLOG 1024
#define REST_MS 100 // of a listener for which there was no descriptor

uint64_t stream_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// --- tables -------------------------------------------------------------------------------------------------------

// Keyed, as peers choose their ports and, with IPv6, much of their addresses.
static unsigned bucket(const struct stream *stream, const struct kg_addr *addr, uint16_t port)
{
	uint64_t words[2], hash = stream->secret ^ port;

	memcpy(words, addr->ip, sizeof(words));
	for (unsigned i = 0; i < 2; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
		hash = (hash + stream->secret) * 0xbf58476d1ce4e5b9u;
		hash ^= hash >> 32;
	}
	return hash % STREAM_BUCKETS;
}

// Whose connections are counted together: an address, of IPv6 the /64 (as sip_limits.c does).
static struct kg_addr source_of(const struct kg_addr *remote)
{
	struct kg_addr source = *remote;

	source.port = 0;
	if (source.family == 6)
		memset(source.ip + 8, 0, 8);
	return source;
}

void stream_put(struct stream *stream, struct conn *conn)
{
	struct kg_addr source = source_of(&conn->flow.remote);

	conn->flow.connection = ++stream->last_id;
	LIST_INSERT_HEAD(&stream->by_id[conn->flow.connection % STREAM_BUCKETS], conn, by_id);
	LIST_INSERT_HEAD(
		&stream->by_remote[bucket(stream, &conn->flow.remote, conn->flow.remote.port)], conn, by_remote);
	if (conn->accepted)
		LIST_INSERT_HEAD(&stream->by_source[bucket(stream, &source, 0)], conn, by_source);
}

static bool source_is_full(struct stream *stream, const struct kg_addr *remote)
{
	struct kg_addr source = source_of(remote);
	uint32_t count = 0;
	struct conn *conn;

	LIST_FOREACH(conn, &stream->by_source[bucket(stream, &source, 0)], by_source)
	{
		struct kg_addr other = source_of(&conn->flow.remote);

		if (kg_addr_same(&other, &source) && ++count >= stream->limits.per_source)
			return true;
	}
	return false;
}

static struct conn *find_id(struct stream *stream, const struct sip_flow *flow)
{
	struct conn *conn;

	LIST_FOREACH(conn, &stream->by_id[flow->connection % STREAM_BUCKETS], by_id)
	if (conn->flow.connection == flow->connection && conn->flow.transport == flow->transport)
		return conn;
	return NULL;
}

static bool same_local(const struct kg_addr *wanted, const struct kg_addr *has)
{
	return !wanted->family ||
	       (wanted->port == has->port && wanted->family == has->family &&
		       (wire_addr_is_any(wanted) || wire_addr_is_any(has) || kg_addr_same_ip(wanted, has)));
}

// A name that must be proved has been, or will be, on a connection of ours for the same name; or by the certificate of
// the peer that opened it (RFC 5923 5).
static bool proves(const struct conn *conn, const char *host)
{
	if (!sip_transport_secure(conn->flow.transport))
		return true;
	if (!conn->accepted)
		return host ? conn->flow.host && strcasecmp(conn->flow.host, host) == 0 : !conn->flow.host;
	return !host || sip_tls_proves(bufferevent_openssl_get_ssl(conn->bev), host);
}

static struct conn *find_remote(struct stream *stream, const struct sip_flow *flow)
{
	struct conn *conn;

	LIST_FOREACH(conn, &stream->by_remote[bucket(stream, &flow->remote, flow->remote.port)], by_remote)
	if (conn->flow.transport == flow->transport && kg_addr_same(&conn->flow.remote, &flow->remote) &&
		same_local(&flow->local, &conn->flow.local) && proves(conn, flow->host))
		return conn;
	return NULL;
}

// --- going out ----------------------------------------------------------------------------------------------------

static int open_new(struct stream *stream, const struct sip_flow *flow, struct conn **out)
{
	char err[256];

	if (flow->transport == SIP_WS || flow->transport == SIP_WSS)
		return -EOPNOTSUPP;
	if (stream->total >= stream->limits.connections) {
		stream->counts.refused_limit++;
		return -EMFILE;
	}
	// No file was named: the system's CAs.
	if (flow->transport == SIP_TLS && !stream->tls && sip_tls_load(NULL, false, &stream->tls, err) != 0)
		return -EPROTO;
	return conn_connect(stream, flow, out);
}

int sip_stream_send(struct stream *stream, struct sip_flow *flow, const char *data, size_t length)
{
	struct conn *conn = flow->connection ? find_id(stream, flow) : find_remote(stream, flow);
	int error = 0;

	if (!conn)
		error = flow->connection ? -ENOTCONN : open_new(stream, flow, &conn);
	if (error)
		return error;
	flow->connection = conn->flow.connection;
	return conn_send(conn, data, length);
}

// --- coming in ----------------------------------------------------------------------------------------------------

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *from, int length, void *arg)
{
	struct stream_listener *listener = arg;
	struct stream *stream = listener->stream;
	struct sip_flow flow = {.transport = listener->listen.transport, .local = listener->listen.addr};
	struct sockaddr_storage addr = {0};
	socklen_t size = sizeof(addr);
	bool known;

	memcpy(&addr, from, (size_t)length);
	wire_sockaddr_read(&addr, &flow.remote);
	if (getsockname(fd, (struct sockaddr *)&addr, &size) == 0)
		wire_sockaddr_read(&addr, &flow.local); // the listener's may be a wildcard
	known = stream->events.known && stream->events.known(stream->events.arg, &flow.remote);
	if (stream->total >= stream->limits.connections || (!known && source_is_full(stream, &flow.remote))) {
		stream->counts.refused_limit++;
		close(fd);
		return;
	}
	if (stream->events.admits && !stream->events.admits(stream->events.arg, flow.transport, &flow.remote)) {
		close(fd);
		return;
	}
	if (conn_accept(stream, &flow, fd) == 0)
		stream->counts.accepted++;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct stream_listener *listener = arg;

	evconnlistener_enable(listener->listener);
}

// Without a descriptor what waits at the listener would wake us without end.
static void on_accept_error(struct evconnlistener *evl, void *arg)
{
	static const struct timeval rest = {.tv_usec = REST_MS * 1000};
	struct stream_listener *listener = arg;

	if (evtimer_add(listener->again, &rest) == 0)
		evconnlistener_disable(evl);
}

static int listener_open(struct stream_listener *listener)
{
	const struct kg_addr *local = &listener->listen.addr;
	bool v6 = local->family == 6;
	int one = 1, error = -ENOMEM, fd;
	struct sockaddr_storage addr;
	socklen_t length = wire_sockaddr_write(local, &addr);

	listener->again = evtimer_new(listener->stream->base, on_again, listener);
	if (!listener->again)
		return -ENOMEM;
	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if ((v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 || // what a restart left in TIME_WAIT
		bind(fd, (struct sockaddr *)&addr, length) != 0 || listen(fd, BACKLOG) != 0) {
		error = -errno;
		goto fail;
	}
	listener->listener = evconnlistener_new(
		listener->stream->base, on_accept, listener, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener->listener)
		goto fail;
	evconnlistener_set_error_cb(listener->listener, on_accept_error);
	return 0;
fail:
	close(fd);
	return error;
}

// --- the ends -----------------------------------------------------------------------------------------------------

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;
	struct sip_wire_events *events = &stream->events;
	struct conn_graves now =
		TAILQ_HEAD_INITIALIZER(now); // who hears of one may end others: they have their own turn
	struct conn *conn;

	TAILQ_CONCAT(&now, &stream->graves, grave);
	while ((conn = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, conn, grave);
		conn->told = true;
		if (events->broken)
			events->broken(events->arg, &conn->flow, conn->error, conn->why);
		if (conn->bev)
			TAILQ_INSERT_TAIL(&stream->lingerers, conn, grave);
		else
			conn_free(conn);
	}
}

void sip_stream_close(struct stream *stream)
{
	struct conn *conn;

	for (unsigned i = 0; i < STREAM_LISTENERS; i++) {
		if (stream->listeners[i].listener)
			evconnlistener_free(stream->listeners[i].listener);
		if (stream->listeners[i].again)
			event_free(stream->listeners[i].again);
	}
	for (unsigned i = 0; i < STREAM_BUCKETS; i++)
		while ((conn = LIST_FIRST(&stream->by_id[i])))
			conn_free(conn);
	TAILQ_CONCAT(&stream->graves, &stream->lingerers, grave);
	while ((conn = TAILQ_FIRST(&stream->graves))) {
		TAILQ_REMOVE(&stream->graves, conn, grave);
		conn_free(conn);
	}
	if (stream->reaper)
		event_free(stream->reaper);
	sip_tls_free(stream->tls);
	free(stream);
}

// --- opening ------------------------------------------------------------------------------------------------------

static void limits_fill(struct sip_wires_limits *out, const struct sip_wires_limits *limits)
{
	static const struct sip_wires_limits defaults = {10000, 100, 5000, 10000, 15000, 900000, 1 << 20, 120000};
	const uint32_t *from = (const uint32_t *)limits, *fallback = (const uint32_t *)&defaults;
	uint32_t *to = (uint32_t *)out;

	_Static_assert(sizeof(defaults) == 8 * sizeof(uint32_t), "all limits are uint32_t");
	for (unsigned i = 0; i < sizeof(defaults) / sizeof(uint32_t); i++)
		to[i] = limits && from[i] ? from[i] : fallback[i];
}

static bool files_are_named(const struct sip_tls_files *tls)
{
	return tls && ((tls->certificate && *tls->certificate) || (tls->key && *tls->key) || (tls->ca && *tls->ca));
}

static int tls_open(struct stream *stream, const struct sip_listen *listen, unsigned count,
	const struct sip_tls_files *tls, char *err)
{
	bool serves = false;

	for (unsigned i = 0; i < count; i++)
		serves = serves || sip_transport_secure(listen[i].transport);
	return serves || files_are_named(tls) ? sip_tls_load(tls, serves, &stream->tls, err) : 0;
}

int sip_stream_reload(struct stream *stream, const struct sip_tls_files *tls, char *err)
{
	struct sip_tls *loaded;
	bool serves = false;
	int error;

	for (unsigned i = 0; i < stream->listener_count; i++)
		serves = serves || sip_transport_secure(stream->listeners[i].listen.transport);
	error = sip_tls_load(tls, serves, &loaded, err);
	if (error)
		return error;
	sip_tls_free(stream->tls);
	stream->tls = loaded;
	return 0;
}

static int listeners_open(struct stream *stream, const struct sip_listen *listen, unsigned count, char *err)
{
	for (unsigned i = 0; i < count; i++) {
		struct stream_listener *listener = &stream->listeners[stream->listener_count];
		int error;

		if (listen[i].transport == SIP_UDP)
			continue;
		if (stream->listener_count == STREAM_LISTENERS) {
			snprintf(err, 256, "sip.listen names more than %d addresses for connections", STREAM_LISTENERS);
			return -E2BIG;
		}
		stream->listener_count++;
		*listener = (struct stream_listener){.stream = stream, .listen = listen[i]};
		error = listener_open(listener);
		if (error) {
			wire_listen_explain(error, listen[i].transport, &listen[i].addr, err);
			return error;
		}
	}
	return 0;
}

int sip_stream_open(struct event_base *base, const struct sip_listen *listen, unsigned count,
	const struct sip_tls_files *tls, const struct sip_wires_limits *limits, const struct sip_wire_events *events,
	struct stream **out, char *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int error = -ENOMEM;

	snprintf(err, 256, "no memory for the SIP connections");
	if (!stream)
		return -ENOMEM;
	stream->base = base;
	stream->events = *events;
	limits_fill(&stream->limits, limits);
	TAILQ_INIT(&stream->graves);
	TAILQ_INIT(&stream->lingerers);
	evutil_secure_rng_get_bytes(&stream->secret, sizeof(stream->secret));
	stream->reaper = event_new(base, -1, 0, on_reap, stream);
	if (stream->reaper)
		error = tls_open(stream, listen, count, tls, err);
	if (!error)
		error = listeners_open(stream, listen, count, err);
	if (error) {
		sip_stream_close(stream);
		return error;
	}
	*out = stream;
	return 0;
}
