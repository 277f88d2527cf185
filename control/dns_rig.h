// SPDX-License-Identifier: BSD-3-Clause
// What the DNS tests stand on: a small server on the loopback, in the test's own event base, that answers from a table,
// or badly.
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "dns.h"

#define PATIENCE_S 20 // how long the loopback may take; nothing is asserted of time
#define RIG_CNAME 5
#define RIG_SOA 6
#define RIG_MESSAGE 4096
#define RIG_LOG 4096

// Text: A, AAAA, CNAME: address or name; SRV: "priority weight port target"; NAPTR: "order preference flags service
// replacement", "." for the root.
struct rig_record {
	const char *name; // NULL: the table's end
	int type;
	uint32_t ttl_s;
	const char *text;
};

enum rig_manner {
	RIG_ANSWERS,
	RIG_SILENT,
	RIG_SERVFAIL,
	RIG_REFUSED,
	RIG_GARBAGE,   // behind the question
	RIG_CUT,       // the last record ends early
	RIG_WRONG_ID,  // and nothing else
	RIG_TRUNCATED, // over UDP; whole over TCP
};

struct rig_odd { // a name that is answered in another manner
	const char *name;
	enum rig_manner manner;
};

struct rig_message {
	uint8_t data[RIG_MESSAGE];
	size_t length;
};

static struct {
	struct event_base *base;
	struct dns *dns;
	struct event *udp_event, *listen_event, *stream_event;
	int udp, listen, stream;
	const struct rig_record *records;
	const struct rig_odd *odd;
	uint32_t soa_minimum_s; // 0: negative answers have no SOA
	bool any;               // each name has an address
	char servers[32];
	uint64_t now_ms;
	struct {
		char name[DNS_NAME];
		int type;
	} asked[RIG_LOG];
	unsigned asked_count, asked_tcp;
	bool impatient;
} rig;

static inline unsigned rig_asked(const char *name, int type)
{
	unsigned count = 0;

	for (unsigned i = 0; i < rig.asked_count; i++)
		count += rig.asked[i].type == type && strcasecmp(rig.asked[i].name, name) == 0;
	return count;
}

// --- messages -------------------------------------------------------------------------------------------------------

static inline void put(struct rig_message *m, const void *data, size_t length)
{
	assert_true(m->length + length <= sizeof(m->data));
	memcpy(m->data + m->length, data, length);
	m->length += length;
}

static inline void put8(struct rig_message *m, unsigned value)
{
	put(m, (uint8_t[]){(uint8_t)value}, 1);
}

static inline void put16(struct rig_message *m, unsigned value)
{
	put8(m, value >> 8);
	put8(m, value & 0xff);
}

static inline void put32(struct rig_message *m, uint32_t value)
{
	put16(m, value >> 16);
	put16(m, value & 0xffff);
}

static inline void put_text(struct rig_message *m, const char *text)
{
	put8(m, (unsigned)strlen(text));
	put(m, text, strlen(text));
}

static inline void put_name(struct rig_message *m, const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		size_t length = strcspn(name, ".");

		put8(m, (unsigned)length);
		put(m, name, length);
		name += length + (name[length] == '.');
	}
	put8(m, 0);
}

static inline void put_data(struct rig_message *m, int type, const char *text)
{
	char flags[16], service[64], name[DNS_NAME];
	struct kg_addr addr;
	unsigned a, b, c;

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		assert_int_equal(kg_addr_parse(&addr, text, 0), 0);
		put(m, addr.ip, type == DNS_A ? 4 : 16);
		break;
	case RIG_CNAME:
		put_name(m, text);
		break;
	case RIG_SOA:
		put_name(m, "ns");
		put_name(m, "root");
		for (int i = 0; i < 4; i++)
			put32(m, 1);
		put32(m, (uint32_t)atoi(text));
		break;
	case DNS_SRV:
		assert_int_equal(sscanf(text, "%u %u %u %255s", &a, &b, &c, name), 4);
		put16(m, a);
		put16(m, b);
		put16(m, c);
		put_name(m, name);
		break;
	case DNS_NAPTR:
		assert_int_equal(sscanf(text, "%u %u %15s %63s %255s", &a, &b, flags, service, name), 5);
		put16(m, a);
		put16(m, b);
		put_text(m, flags);
		put_text(m, service);
		put_text(m, strncmp(flags, "u", 1) == 0 ? "!^.*$!sip:x@y!" : "");
		put_name(m, name);
		break;
	}
}

static inline void put_record(struct rig_message *m, const char *name, int type, uint32_t ttl_s, const char *text)
{
	size_t at;

	put_name(m, name);
	put16(m, (unsigned)type);
	put16(m, 1);
	put32(m, ttl_s);
	at = m->length;
	put16(m, 0);
	put_data(m, type, text);
	m->data[at] = (uint8_t)((m->length - at - 2) >> 8);
	m->data[at + 1] = (uint8_t)(m->length - at - 2);
}

static inline void put_question(struct rig_message *m, unsigned id, unsigned flags, const char *name, int type)
{
	const unsigned words[] = {id, flags, 1, 0, 0, 0};

	for (size_t i = 0; i < 6; i++)
		put16(m, words[i]);
	put_name(m, name);
	put16(m, (unsigned)type);
	put16(m, 1);
}

// --- the server -----------------------------------------------------------------------------------------------------

// Returns: where the question ends; 0: it is none.
static inline size_t question_read(const uint8_t *data, size_t length, char name[DNS_NAME], int *type)
{
	size_t at = 12, out = 0;

	name[0] = '\0';
	while (at < length && data[at] && at + data[at] < length && out + data[at] + 2 < DNS_NAME) {
		out += (size_t)snprintf(name + out, DNS_NAME - out, "%s%.*s", out ? "." : "", data[at], data + at + 1);
		at += data[at] + 1u;
	}
	if (at + 5 > length)
		return 0;
	*type = data[at + 1] << 8 | data[at + 2];
	return at + 5;
}

static inline void answer_write(struct rig_message *m, const char *name, int type)
{
	bool exists = rig.any;
	char owner[DNS_NAME];
	unsigned count = 0;

	snprintf(owner, sizeof(owner), "%s", name);
	if (rig.any && type == DNS_A && ++count)
		put_record(m, owner, DNS_A, 300, "192.0.2.99");
	for (const struct rig_record *r = rig.records; r && r->name; r++) {
		if (strcasecmp(r->name, owner) != 0)
			continue;
		exists = true;
		if (r->type != type && r->type != RIG_CNAME)
			continue;
		put_record(m, owner, r->type, r->ttl_s, r->text);
		count++;
		if (r->type == RIG_CNAME) // its own records follow in the table
			snprintf(owner, sizeof(owner), "%s", r->text);
	}
	m->data[7] = (uint8_t)count;
	m->data[3] |= exists ? 0 : 3;
	if (count == 0 && rig.soa_minimum_s) {
		char text[16];

		snprintf(text, sizeof(text), "%u", rig.soa_minimum_s);
		put_record(m, "example.com", RIG_SOA, 3000, text);
		m->data[9] = 1;
	}
}

static inline enum rig_manner manner_of(const char *name)
{
	for (const struct rig_odd *odd = rig.odd; odd && odd->name; odd++)
		if (strcasecmp(odd->name, name) == 0)
			return odd->manner;
	return RIG_ANSWERS;
}

// Returns: false: silence.
static inline bool serve(const uint8_t *query, size_t length, bool tcp, struct rig_message *m)
{
	char name[DNS_NAME];
	int type = 0;
	size_t end = length < 17 ? 0 : question_read(query, length, name, &type);
	enum rig_manner manner;

	if (end == 0)
		return false;
	assert_true(rig.asked_count < RIG_LOG);
	snprintf(rig.asked[rig.asked_count].name, DNS_NAME, "%s", name);
	rig.asked[rig.asked_count++].type = type;
	rig.asked_tcp += tcp;
	manner = manner_of(name);
	if (manner == RIG_SILENT)
		return false;
	m->length = 0;
	put(m, query, end);
	memcpy(m->data + 2, "\x81\x80\0\1\0\0\0\0\0\0", 10);
	if (manner == RIG_SERVFAIL || manner == RIG_REFUSED) {
		m->data[3] |= manner == RIG_SERVFAIL ? 2 : 5;
		return true;
	}
	if (manner == RIG_TRUNCATED && !tcp) {
		m->data[2] |= 2;
		return true;
	}
	answer_write(m, name, type);
	if (manner == RIG_WRONG_ID)
		m->data[0] ^= 0x55;
	if (manner == RIG_CUT)
		m->length -= 3;
	if (manner == RIG_GARBAGE)
		memset(m->data + end, 0xc0, m->length - end);
	return true;
}

static inline void on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct sockaddr_in from;
	socklen_t from_length = sizeof(from);
	uint8_t query[1500];
	struct rig_message m;
	ssize_t length;

	while ((length = recvfrom(fd, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length)) >= 0)
		if (serve(query, (size_t)length, false, &m))
			sendto(fd, m.data, m.length, 0, (struct sockaddr *)&from, from_length);
}

static inline void on_stream(evutil_socket_t fd, short what, void *arg)
{
	uint8_t query[1500];
	struct rig_message m;
	ssize_t length = recv(fd, query, sizeof(query), 0);

	if (length <= 0) {
		event_free(rig.stream_event);
		rig.stream_event = NULL;
		close(fd);
	} else if (length > 2 && serve(query + 2, (size_t)length - 2, true, &m)) { // the loopback cuts no query in two
		uint8_t prefix[] = {(uint8_t)(m.length >> 8), (uint8_t)m.length};

		send(fd, prefix, 2, MSG_MORE);
		send(fd, m.data, m.length, MSG_NOSIGNAL);
	}
}

static inline void on_accept(evutil_socket_t fd, short what, void *arg)
{
	int stream = accept(fd, NULL, NULL);

	assert_true(stream >= 0);
	assert_null(rig.stream_event); // one at a time
	rig.stream = stream;
	rig.stream_event = event_new(rig.base, stream, EV_READ | EV_PERSIST, on_stream, NULL);
	event_add(rig.stream_event, NULL);
}

// --- test's tools ---------------------------------------------------------------------------------------------------

static inline uint64_t rig_now_ms(void *arg)
{
	return rig.now_ms;
}

static inline void on_impatience(evutil_socket_t fd, short what, void *arg)
{
	rig.impatient = true;
}

// Turn the loop until *count is at least `least`.
static inline void until(const unsigned *count, unsigned least)
{
	struct timeval patience = {PATIENCE_S, 0};
	struct event *event = evtimer_new(rig.base, on_impatience, NULL);

	assert_non_null(event);
	event_add(event, &patience);
	rig.impatient = false;
	while (*count < least && !rig.impatient)
		event_base_loop(rig.base, EVLOOP_ONCE);
	event_free(event);
	if (rig.impatient)
		fail_msg("nothing came in %d s", PATIENCE_S);
}

static inline void rig_dns_open(uint32_t timeout_ms, uint32_t tries)
{
	struct dns_options options = {
		.servers = rig.servers, .timeout_ms = timeout_ms, .tries = tries, .now_ms = rig_now_ms};
	char err[256];

	dns_close(rig.dns);
	assert_int_equal(dns_open(rig.base, &options, &rig.dns, err), 0);
}

static inline int rig_set_up(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(in);

	memset(&rig, 0, sizeof(rig));
	rig.now_ms = 1;
	rig.base = event_base_new();
	assert_non_null(rig.base);
	rig.listen = socket(AF_INET, SOCK_STREAM, 0); // the same port for both: TCP's is harder to get
	assert_int_equal(bind(rig.listen, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(rig.listen, (struct sockaddr *)&in, &length), 0);
	assert_int_equal(listen(rig.listen, 4), 0);
	rig.udp = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(rig.udp, (struct sockaddr *)&in, sizeof(in)), 0);
	setsockopt(rig.udp, SOL_SOCKET, SO_RCVBUF, (int[]){1 << 20}, sizeof(int));
	snprintf(rig.servers, sizeof(rig.servers), "127.0.0.1:%u", ntohs(in.sin_port));
	rig.udp_event = event_new(rig.base, rig.udp, EV_READ | EV_PERSIST, on_udp, NULL);
	rig.listen_event = event_new(rig.base, rig.listen, EV_READ | EV_PERSIST, on_accept, NULL);
	assert_non_null(rig.udp_event);
	assert_non_null(rig.listen_event);
	event_add(rig.udp_event, NULL);
	event_add(rig.listen_event, NULL);
	rig_dns_open(3000, 2);
	return 0;
}

static inline int rig_tear_down(void **state)
{
	struct event **events[] = {&rig.udp_event, &rig.listen_event, &rig.stream_event};

	dns_close(rig.dns);
	if (rig.stream_event)
		close(rig.stream);
	for (size_t i = 0; i < 3; i++)
		if (*events[i])
			event_free(*events[i]);
	close(rig.udp);
	close(rig.listen);
	event_base_free(rig.base);
	return 0;
}
