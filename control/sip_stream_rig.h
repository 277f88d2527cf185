// SPDX-License-Identifier: BSD-3-Clause
// A wire over connections on the loopback, and what it told, for the tests of sip_stream*.c. One thread: the peers are
// descriptors that never block.
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "sip_wire.h"

#define RIG_TOLD 64
#define RIG_PATIENCE_S 5 // then something that is waited for will not come

#define OPTIONS(length) "OPTIONS sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP x\r\nContent-Length: " length "\r\n\r\n"

static struct {
	struct event_base *base;
	struct event *beat;
	struct sip_wire *wire;
	struct kg_addr at[SIP_TRANSPORTS]; // our listeners
	unsigned messages, broken, garbage, asked;
	struct {
		struct sip_flow flow;
		char text[512];
		size_t length;
		int error;
	} message[RIG_TOLD], end[RIG_TOLD];
	char word[64];
	bool refuses; // admits says no
	bool knows;   // per_source does not bind
	bool in_send; // to see that nobody is told of an end from inside send
	void (*on_message)(const struct sip_flow *flow);
	void (*on_broken)(const struct sip_flow *flow);
} t;

static void rig_message(void *arg, const struct sip_flow *flow, const char *data, size_t length)
{
	assert_int_equal(data[length], '\0');
	if (t.messages < RIG_TOLD) {
		t.message[t.messages].flow = *flow;
		t.message[t.messages].length = length;
		snprintf(t.message[t.messages].text, sizeof(t.message[0].text), "%s", data);
	}
	t.messages++;
	if (t.on_message)
		t.on_message(flow);
}

static void rig_broken(void *arg, const struct sip_flow *flow, int error, const char *why)
{
	assert_false(t.in_send);
	if (t.broken < RIG_TOLD) {
		t.end[t.broken].flow = *flow;
		t.end[t.broken].error = error;
		snprintf(t.end[t.broken].text, sizeof(t.end[0].text), "%s", why);
	}
	t.broken++;
	if (t.on_broken)
		t.on_broken(flow);
}

static bool rig_admits(void *arg, enum sip_transport transport, const struct kg_addr *remote)
{
	t.asked++;
	return !t.refuses;
}

static bool rig_known(void *arg, const struct kg_addr *remote)
{
	return t.knows;
}

static void rig_garbage(void *arg, const struct sip_flow *flow, const char *why)
{
	t.garbage++;
	snprintf(t.word, sizeof(t.word), "%s", why);
}

static const struct sip_wire_events rig_events = {
	.message = rig_message, .broken = rig_broken, .admits = rig_admits, .known = rig_known, .garbage = rig_garbage};

static void rig_beat(evutil_socket_t fd, short what, void *arg)
{
}

static inline struct kg_addr rig_free_port(const char *ip)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t length = sizeof(in);
	struct kg_addr addr;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &length), 0);
	close(fd);
	assert_int_equal(kg_addr_parse(&addr, ip, ntohs(in.sin_port)), 0);
	return addr;
}

// transports: which listen, a bit for each.
static inline int rig_open(unsigned transports, const struct sip_tls_files *tls, const struct sip_wires_limits *limits)
{
	static const struct timeval beat = {.tv_usec = 2000};
	struct sip_listen listen[SIP_TRANSPORTS];
	unsigned count = 0;
	char err[256];
	int error;

	signal(SIGPIPE, SIG_IGN); // as the engine does
	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	t.beat = event_new(t.base, -1, EV_PERSIST, rig_beat, NULL);
	event_add(t.beat, &beat);
	for (unsigned i = 0; i < SIP_TRANSPORTS; i++)
		if (transports & 1u << i) {
			t.at[i] = rig_free_port("127.0.0.1");
			listen[count++] = (struct sip_listen){(enum sip_transport)i, t.at[i]};
		}
	error = sip_wires_open(t.base, listen, count, tls, limits, &rig_events, &t.wire, err);
	if (error)
		fprintf(stderr, "%s\n", err);
	return error;
}

static inline int rig_close(void **state)
{
	if (t.wire)
		t.wire->close(t.wire);
	event_free(t.beat);
	event_base_free(t.base);
	return 0;
}

static inline void rig_turn(void)
{
	event_base_loop(t.base, EVLOOP_ONCE);
}

static inline void rig_turns(unsigned count)
{
	while (count--)
		rig_turn();
}

#define UNTIL(what)                                                       \
	do {                                                              \
		time_t rig_end = time(NULL) + RIG_PATIENCE_S;             \
		while (!(what)) {                                         \
			if (time(NULL) > rig_end)                         \
				fail_msg("waited in vain for %s", #what); \
			rig_turn();                                       \
		}                                                         \
	} while (0)

static inline struct sip_wires_counts rig_counts(void)
{
	struct sip_wires_counts counts;

	sip_wires_counts(t.wire, &counts);
	return counts;
}

static inline int rig_send_bytes(struct sip_flow *flow, const char *data, size_t length)
{
	int error;

	t.in_send = true;
	error = t.wire->send(t.wire, flow, data, length);
	t.in_send = false;
	return error;
}

static inline int rig_send(struct sip_flow *flow, const char *text)
{
	return rig_send_bytes(flow, text, strlen(text));
}

// --- peers --------------------------------------------------------------------------------------------------------

static inline struct sockaddr_in rig_sockaddr(const struct kg_addr *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

	memcpy(&in.sin_addr, addr->ip, 4);
	return in;
}

// One that connects to us, from 127.0.0.`from`.
static inline int peer_connect(enum sip_transport transport, int from)
{
	struct sockaddr_in in = rig_sockaddr(&t.at[transport]), source = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	source.sin_addr.s_addr = htonl(0x7f000000u | (unsigned)from);
	assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof(source)), 0);
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static inline int peer_listen(struct kg_addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in in;

	*addr = rig_free_port("127.0.0.9");
	in = rig_sockaddr(addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static inline int peer_accept(int listener)
{
	int fd = -1;

	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	return fd;
}

static inline void peer_send_bytes(int fd, const char *data, size_t length)
{
	ssize_t sent;

	for (size_t at = 0; at<length; at += sent> 0 ? (size_t)sent : 0) {
		sent = send(fd, data + at, length - at, MSG_NOSIGNAL);
		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			rig_turn();
		}
	}
}

static inline void peer_send(int fd, const char *text)
{
	peer_send_bytes(fd, text, strlen(text));
}

// Exactly these bytes come next.
static inline void peer_expect_bytes(int fd, const char *data, size_t length)
{
	char got[4096];
	size_t at = 0;

	assert_true(length <= sizeof(got));
	while (at < length) {
		ssize_t count = -1;

		UNTIL((count = recv(fd, got + at, length - at, 0)) >= 0);
		if (!count)
			fail_msg("closed after %zu of %zu bytes", at, length);
		at += (size_t)count;
	}
	assert_memory_equal(got, data, length);
}

static inline void peer_expect(int fd, const char *text)
{
	peer_expect_bytes(fd, text, strlen(text));
}

// We close it: nothing but its end comes.
static inline void peer_expect_end(int fd)
{
	char byte;
	ssize_t count = -1;

	UNTIL((count = recv(fd, &byte, 1, 0)) >= 0 || errno == ECONNRESET);
	assert_true(count <= 0);
}

static inline struct sip_flow rig_flow(enum sip_transport transport, const struct kg_addr *remote, const char *host)
{
	return (struct sip_flow){.transport = transport, .local = t.at[transport], .remote = *remote, .host = host};
}
