// SPDX-License-Identifier: BSD-3-Clause
// SIP over connections: TCP, TLS, WebSocket. For sip_wires.c, and what sip_stream.c (listeners, tables, who is reused)
// and sip_conn*.c (one connection) share. All: Thread: control.
//
// A connection that is closed is `gone` at once: it is found no more and nothing is sent on it. What is left of it is
// freed, and its end told, by an event of its own, so that nobody has a freed one on the stack, nor hears of an end
// from inside send.
#pragma once

#include <sys/queue.h>

#include <event2/event.h>

#include "sip_frame.h"
#include "sip_tls.h"
#include "sip_wire.h"
#include "ws.h"

#define STREAM_LISTENERS 16
#define STREAM_BUCKETS 4096

enum conn_state {
	CONN_CONNECTING, // TCP's handshake, of one that we open
	CONN_TLS,        // TLS's
	CONN_UPGRADE,    // a WebSocket's HTTP request is to come
	CONN_OPEN,
};

struct bufferevent;
struct evbuffer;
struct stream;

struct conn {
	struct stream *stream;
	struct sip_flow flow;
	enum conn_state state;
	bool accepted; // the peer opened it
	bool spoke;    // a whole message came
	bool gone, told;
	bool flush;              // once gone, what waits to be sent still goes out
	int fd;                  // CONNECTING only, then it is bev's
	struct event *connected; // CONNECTING only
	struct bufferevent *bev;
	struct evbuffer *queue; // to be sent once it is OPEN
	char *in; // what came and is not yet taken: CONN_BUFFER bytes at most; NULL where there is nothing
	size_t in_used, in_size;
	struct sip_frame frame;
	struct ws ws;
	struct event *timer;
	uint64_t opened_ms, heard_ms, said_ms; // heard: any byte
	uint64_t begun_ms;                     // the message that is coming; 0: none is
	uint64_t ping_ms;                      // of the ping that waits for its pong; 0: none does
	uint64_t timer_ms;                     // when the timer comes
	uint32_t keepalive_ms;                 // the limit, less up to a fifth (RFC 5626 4.4.1); 0: we do not ping
	int error;
	char why[200];
	LIST_ENTRY(conn) by_id, by_remote, by_source; // by_source: accepted ones, until they are freed
	TAILQ_ENTRY(conn) grave;
};

LIST_HEAD(conn_list, conn);
TAILQ_HEAD(conn_graves, conn);

struct stream_listener {
	struct stream *stream;
	struct sip_listen listen;
	struct evconnlistener *listener;
	struct event *again; // after a rest, where descriptors ran out
};

struct stream {
	struct event_base *base;
	struct sip_wire_events events;
	struct sip_wires_limits limits;
	struct sip_wires_counts counts;
	struct sip_tls *tls; // NULL: not needed so far
	struct stream_listener listeners[STREAM_LISTENERS];
	unsigned listener_count;
	uint64_t last_id, secret;
	uint32_t total; // connections, those too that are gone and not yet freed
	struct conn_list by_id[STREAM_BUCKETS], by_remote[STREAM_BUCKETS], by_source[STREAM_BUCKETS];
	struct conn_graves graves;    // gone, and not yet told
	struct conn_graves lingerers; // told; what they had to send still goes out
	struct event *reaper;
};

// `listen` may hold UDP listeners: they are skipped. The rest as sip_wires_open.
int sip_stream_open(struct event_base *base, const struct sip_listen *listen, unsigned count,
	const struct sip_tls_files *tls, const struct sip_wires_limits *limits, const struct sip_wire_events *events,
	struct stream **out, char *err);
void sip_stream_close(struct stream *stream);
int sip_stream_send(struct stream *stream, struct sip_flow *flow, const char *data, size_t length);
int sip_stream_reload(struct stream *stream, const struct sip_tls_files *tls, char *err);
static inline void sip_stream_counts(const struct stream *stream, struct sip_wires_counts *out)
{
	*out = stream->counts;
}

// sip_stream.c: where connections are found
void stream_put(struct stream *stream, struct conn *conn);
uint64_t stream_now_ms(void);

// sip_conn_open.c
// One that came, by its descriptor, which it owns from then on. Returns: 0, -ENOMEM.
int conn_accept(struct stream *stream, const struct sip_flow *flow, int fd);
// A new one to flow->remote. Returns: 0, or -errno where the kernel knows at once that it will not be.
int conn_connect(struct stream *stream, const struct sip_flow *flow, struct conn **out);
void conn_open(struct conn *conn); // all handshakes are done

// sip_conn.c
void conn_read(struct bufferevent *bev, void *conn); // bufferevents call these
void conn_event(struct bufferevent *bev, short what, void *conn);
// Queue one message, as it is framed here. Returns: 0, -ENOBUFS or -ENOMEM: it is closed.
int conn_send(struct conn *conn, const char *data, size_t length);
int conn_put(struct conn *conn, const void *data, size_t length); // bytes as they are, also in a handshake
void conn_message(struct conn *conn, char *data, size_t length);  // data[length] is ours to write
void conn_pong(struct conn *conn);                                // it answered our ping
void conn_garbage(struct conn *conn, const char *why);            // counts, and closes
// error 0: the peer closed it. `fmt`: a sentence for the log, without the address.
void conn_close(struct conn *conn, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void conn_free(struct conn *conn); // nobody is told

// sip_conn_time.c: all of a connection's limits by one timer, which comes at the earliest of them
int conn_timer_create(struct conn *conn);
void conn_timer_set(struct conn *conn); // after a change that may have made something due earlier

// sip_conn_ws.c: what conn->in holds, of a WebSocket. Returns: bytes at its front that are done with.
size_t conn_ws_upgrade(struct conn *conn);
void conn_ws_read(struct conn *conn, bool *whole);
int conn_ws_send(struct conn *conn, const char *data, size_t length);
