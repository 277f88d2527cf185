// SPDX-License-Identifier: BSD-3-Clause
// What the stack needs of its transports. sip_wires.c is the real thing, over sip_udp.c and sip_stream.c; tests have
// their own. All: Thread: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

#define SIP_DEFAULT_PORT 5060
#define SIP_DEFAULT_TLS_PORT 5061

enum sip_transport { SIP_UDP, SIP_TCP, SIP_TLS, SIP_WS, SIP_WSS, SIP_TRANSPORTS };

// A way between a peer and us. Flat: it is copied wherever somebody must find the way back.
struct sip_flow {
	enum sip_transport transport;
	struct kg_addr
		local; // a listener's address and port (what Via and Contact say), also on a connection we opened
	struct kg_addr remote; // of a connection that a peer opened: its ephemeral port
	uint64_t connection;   // streams: which one; 0: any that leads to `remote`, else a new one. Never used twice
	const char *host; // TLS and WSS: the name that the peer's certificate must prove and that SNI says; NULL: its
			  // address. Lives as long as the wire (sip_wire.name)
};

struct sip_wire {
	// Send one whole message. On a stream it is queued, also while the connection is being opened;
	// `flow->connection` is filled in. Returns: 0, or -errno where it certainly went nowhere (-ENOTCONN: that
	// connection is no more; -EOPNOTSUPP: WS and WSS are never opened by us; -ENOBUFS: too much waits already).
	int (*send)(struct sip_wire *wire, struct sip_flow *flow, const char *data, size_t length);
	void (*close)(struct sip_wire *wire);
};

struct sip_wire_events {
	// A message came: `length` bytes and a NUL behind them. A datagram is passed as it is, a stream's message is
	// framed (keepalives are answered by the wire itself). flow->local may be a wildcard address with its port.
	// `flow` and `data` live as long as the call.
	void (*message)(void *arg, const struct sip_flow *flow, const char *data, size_t length);
	// UDP: something of ours came back as undeliverable: its first bytes. May be called from inside send.
	void (*refused)(void *arg, const char *data, size_t length, int error);
	// A connection is no more, or could not be opened (-ETIMEDOUT, -ECONNREFUSED, -EPROTO: TLS; 0: the peer closed
	// it). `why` is a sentence for the log. Never called from inside send.
	void (*broken)(void *arg, const struct sip_flow *flow, int error, const char *why);
	// A peer opens a connection: may it? (false: closed at once). NULL: everybody may.
	bool (*admits)(void *arg, enum sip_transport transport, const struct kg_addr *remote);
	// A trunk's proxy has many users behind one address: per_source does not bind whom we know. NULL: nobody.
	bool (*known)(void *arg, const struct kg_addr *remote);
	// What came on a stream was no SIP: a word for the counters, then the connection is closed.
	void (*garbage)(void *arg, const struct sip_flow *flow, const char *why);
	void *arg;
};

const char *sip_transport_name(enum sip_transport transport); // "UDP", as in Via
static inline bool sip_transport_reliable(enum sip_transport transport)
{
	return transport != SIP_UDP;
}
static inline bool sip_transport_secure(enum sip_transport transport)
{
	return transport == SIP_TLS || transport == SIP_WSS;
}

struct sip_listen {
	enum sip_transport transport;
	struct kg_addr addr;
};

// Files in PEM; "" where none. Copied.
struct sip_tls_files {
	const char *certificate, *key; // ours, as server and as client (the certificate with its chain)
	const char *ca;                // who may sign peers' certificates; "": the system's
	bool verify_clients;           // a peer that connects must show a certificate that `ca` signed
};

struct sip_wires_limits {      // 0: the default that is named
	uint32_t connections;  // at once, all together: 10000
	uint32_t per_source;   // at once, opened by one IP address (an IPv6 /64) that is not `known`: 100
	uint32_t handshake_ms; // TCP connect, TLS and WebSocket handshakes: 5000
	uint32_t message_ms;   // from a message's first byte to its last: 10000
	uint32_t silent_ms;    // a connection on which no whole message ever came, from its opening: 15000
	uint32_t idle_ms;      // nothing at all, keepalives neither: 900000
	uint32_t queue_bytes;  // that wait to be sent on one connection: 1 MB; beyond it is closed
	uint32_t keepalive_ms; // on connections that we opened: CRLF CRLF this often while nothing else is sent (RFC
			       // 5626 4.4.1: 95-120 s); no pong within 10 s: broken
};

struct sip_wires_counts {
	uint64_t connections[SIP_TRANSPORTS]; // open now
	uint64_t opened, accepted, refused_limit, handshake_failed, closed_slow, closed_garbage, closed_idle, pings,
		pongs;
};

struct event_base;
// Returns: 0, or -errno with a sentence in err (256 bytes) that says what to do.
int sip_wires_open(struct event_base *base, const struct sip_listen *listen, unsigned count,
	const struct sip_tls_files *tls, const struct sip_wires_limits *limits, const struct sip_wire_events *events,
	struct sip_wire **out, char *err);
// Read the files again: connections that stand stay, new ones use the new files; wrong ones change nothing.
// Returns: 0, or -EINVAL with a sentence in err that names the file.
int sip_wires_reload(struct sip_wire *wire, const struct sip_tls_files *tls, char *err);
// The same text by the same pointer, for sip_flow.host; kept until the wire is closed. NULL: no memory.
const char *sip_wire_name(struct sip_wire *wire, const char *host);
void sip_wires_counts(const struct sip_wire *wire, struct sip_wires_counts *out);

// sip_udp.c, for sip_wires.c: `listen` are UDP's alone.
int sip_udp_open(struct event_base *base, const struct kg_addr *listen, unsigned count,
	const struct sip_wire_events *events, struct sip_wire **out, char *err);
