// SPDX-License-Identifier: BSD-3-Clause
// One side of many calls' media, on real sockets: sends RTP and RTCP at 20 ms, checks every byte of what the other side
// sends. Both sides know each other's packets because they are made from the SSRC alone.
//
//   rtp_ends ADDRESS BASE_PORT COUNT        RTP of call I is on BASE_PORT + 2 * I, RTCP above it
//   stdin:  know I IP PORT PEER_SSRC   expect that stream from there; 0.0.0.0: it is not known yet from where
//           go I SSRC PACKETS          send to there
//           end I                      print what call I saw as one JSON line, forget it
//
// socket_drops counts what this tool was too slow for: that is never the engine's loss.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 160
#define PACKET (12 + PAYLOAD)
#define MAX_PACKETS 60000
#define INTERVAL_US 20000
#define REPORT_EVERY 50 // packets between two RTCP reports
#define MAX_CALLS 1024

struct seen {
	uint32_t received, bad_header, bad_payload, duplicate, late, strange_ssrc, strange_source;
	uint32_t rtcp_received, rtcp_bad, socket_drops;
};

struct call {
	int rtp, rtcp;
	bool running;
	struct sockaddr_in to;
	uint32_t ssrc, peer_ssrc, packets, sent, rtcp_sent;
	uint32_t high; // the highest number that arrived, plus one
	uint64_t next_us;
	struct seen seen;
	uint8_t arrived[MAX_PACKETS / 8];
};

static struct call *calls[MAX_CALLS];
static unsigned call_count;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void put_16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_32(uint8_t *at, uint32_t value)
{
	put_16(at, value >> 16);
	put_16(at + 2, value);
}

static uint32_t get_32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// Starts near the wrap of both, so that every call crosses it.
static uint32_t first_sequence(uint32_t ssrc)
{
	return (65535u - ssrc % 100) & 0xffff;
}

// Packet number n of a stream.
static void packet_build(uint8_t *out, uint32_t ssrc, uint32_t n)
{
	uint64_t x = ((uint64_t)ssrc << 32 | n) * 0x9e3779b97f4a7c15u + 1;

	out[0] = 0x80;
	out[1] = n % 100 == 0 ? 0x80 : 0;
	put_16(out + 2, first_sequence(ssrc) + n);
	put_32(out + 4, 0xffffff00u - ssrc % 1000 * 16 + n * PAYLOAD);
	put_32(out + 8, ssrc);
	for (int i = 0; i < PAYLOAD; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		memcpy(out + 12 + i, &x, 8);
	}
}

static size_t report_build(uint8_t *out, const struct call *call)
{
	static const uint8_t name[] = {1, 8, 'r', 't', 'p', '-', 'e', 'n', 'd', 's', 0, 0};

	memset(out, 0, 64);
	put_32(out, 0x80c80006);
	put_32(out + 4, call->ssrc);
	put_32(out + 8, (uint32_t)time(NULL) + 2208988800u);
	put_32(out + 20, call->sent);
	put_32(out + 24, call->sent * PAYLOAD);
	put_32(out + 28, 0x81ca0004);
	put_32(out + 32, call->ssrc);
	memcpy(out + 36, name, sizeof(name));
	return 48;
}

static int socket_open(const char *address, uint16_t port)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 1 << 20, on = 1;

	inet_pton(AF_INET, address, &local.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0) {
		fprintf(stderr, "rtp_ends: cannot have %s:%u: %s\n", address, port, strerror(errno));
		exit(1);
	}
	return fd;
}

static void watch(int epoll, int fd, uint32_t id)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = id};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		exit(1);
}

static unsigned find_call(const struct call *call)
{
	unsigned i = 0;

	while (calls[i] != call)
		i++;
	return i;
}

static void check_packet(struct call *call, const uint8_t *data, ssize_t length)
{
	uint8_t want[PACKET];
	uint32_t n;

	if (length < 12 || get_32(data + 8) != call->peer_ssrc) {
		if (call->seen.strange_ssrc++ == 0)
			fprintf(stderr, "rtp_ends: call %u: %zd bytes of SSRC %u instead of %u: %02x%02x %02x%02x\n",
				find_call(call), length, length < 12 ? 0 : get_32(data + 8), call->peer_ssrc, data[0],
				data[1], data[2], data[3]);
		return;
	}
	n = ((uint32_t)(data[2] << 8 | data[3]) - first_sequence(call->peer_ssrc)) & 0xffff;
	if (n >= MAX_PACKETS || length != PACKET) {
		call->seen.bad_header++;
		return;
	}
	packet_build(want, call->peer_ssrc, n);
	call->seen.received++;
	call->seen.bad_header += memcmp(want, data, 12) != 0;
	call->seen.bad_payload += memcmp(want + 12, data + 12, PAYLOAD) != 0;
	call->seen.duplicate += (call->arrived[n / 8] >> (n % 8)) & 1;
	call->arrived[n / 8] |= (uint8_t)(1 << (n % 8));
	call->seen.late += n + 1 < call->high;
	if (n + 1 > call->high)
		call->high = n + 1;
}

static void check_report(struct call *call, const uint8_t *data, ssize_t length)
{
	bool good = length == 48 && get_32(data) == 0x80c80006 && get_32(data + 4) == call->peer_ssrc &&
		    get_32(data + 28) == 0x81ca0004 && get_32(data + 32) == call->peer_ssrc;

	call->seen.rtcp_received++;
	call->seen.rtcp_bad += !good;
}

static void receive(struct call *call, bool rtcp)
{
	uint8_t data[2048], control[64];
	struct sockaddr_in from;
	struct iovec part = {data, sizeof(data)};
	ssize_t length;

	for (;;) {
		struct msghdr msg = {.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		length = recvmsg(rtcp ? call->rtcp : call->rtp, &msg, 0);
		if (length < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
				memcpy(&call->seen.socket_drops, CMSG_DATA(c), 4);
		if (call->to.sin_addr.s_addr && (from.sin_addr.s_addr != call->to.sin_addr.s_addr ||
							ntohs(from.sin_port) != ntohs(call->to.sin_port) + rtcp))
			call->seen.strange_source++;
		if (rtcp)
			check_report(call, data, length);
		else
			check_packet(call, data, length);
	}
}

static void send_due(struct call *call, uint64_t now)
{
	uint8_t data[PACKET];
	struct sockaddr_in to = call->to;

	while (call->running && call->sent < call->packets && now >= call->next_us) {
		packet_build(data, call->ssrc, call->sent);
		if (sendto(call->rtp, data, PACKET, 0, (struct sockaddr *)&to, sizeof(to)) != PACKET)
			return; // try again at the next turn
		call->sent++;
		call->next_us += INTERVAL_US;
		if (call->sent % REPORT_EVERY == REPORT_EVERY / 2) {
			to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + 1));
			if (sendto(call->rtcp, data, report_build(data, call), 0, (struct sockaddr *)&to, sizeof(to)) >
				0)
				call->rtcp_sent++;
			to = call->to;
		}
	}
}

static void command(const char *line)
{
	char ip[64];
	unsigned i, port, ssrc, packets;
	struct call *call;

	if (sscanf(line, "know %u %63s %u %u", &i, ip, &port, &ssrc) == 4 && i < call_count) {
		call = calls[i];
		call->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
		inet_pton(AF_INET, ip, &call->to.sin_addr);
		call->peer_ssrc = ssrc;
	} else if (sscanf(line, "go %u %u %u", &i, &ssrc, &packets) == 3 && i < call_count && packets <= MAX_PACKETS) {
		call = calls[i];
		call->ssrc = ssrc;
		call->packets = packets;
		call->next_us = now_us();
		call->running = true;
	} else if (sscanf(line, "end %u", &i) == 1 && i < call_count) {
		const struct seen *seen = &calls[i]->seen;
		int rtp = calls[i]->rtp, rtcp = calls[i]->rtcp;

		printf("{\"call\": %u, \"sent\": %u, \"received\": %u, \"bad_header\": %u, \"bad_payload\": %u, "
		       "\"duplicate\": %u, \"late\": %u, \"strange_ssrc\": %u, \"strange_source\": %u, \"rtcp_sent\": "
		       "%u, "
		       "\"rtcp_received\": %u, \"rtcp_bad\": %u, \"socket_drops\": %u}\n",
			i, calls[i]->sent, seen->received, seen->bad_header, seen->bad_payload, seen->duplicate,
			seen->late, seen->strange_ssrc, seen->strange_source, calls[i]->rtcp_sent, seen->rtcp_received,
			seen->rtcp_bad, seen->socket_drops);
		fflush(stdout);
		memset(calls[i], 0, sizeof(*calls[i]));
		calls[i]->rtp = rtp;
		calls[i]->rtcp = rtcp;
	} else {
		fprintf(stderr, "rtp_ends: not understood: %s", line);
		exit(2);
	}
}

// Whole lines of stdin. Returns: false at its end.
static bool commands(void)
{
	static char text[65536];
	static size_t length;
	ssize_t got = read(0, text + length, sizeof(text) - 1 - length);
	char *line = text, *end;

	if (got < 0)
		return errno == EAGAIN;
	if (got == 0)
		return false;
	length += (size_t)got;
	text[length] = '\0';
	for (; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		command(line);
	}
	length = strlen(line);
	memmove(text, line, length);
	return true;
}

int main(int argc, char **argv)
{
	static struct epoll_event ready[2 * MAX_CALLS + 1];
	int epoll = epoll_create1(0), count;
	uint64_t now, due = 0;

	if (argc != 4 || atoi(argv[3]) < 1 || atoi(argv[3]) > MAX_CALLS) {
		fprintf(stderr, "usage: rtp_ends ADDRESS BASE_PORT COUNT\n");
		return 2;
	}
	call_count = (unsigned)atoi(argv[3]);
	for (unsigned i = 0; i < call_count; i++) {
		calls[i] = calloc(1, sizeof(**calls));
		if (!calls[i])
			return 1;
		calls[i]->rtp = socket_open(argv[1], (uint16_t)((unsigned)atoi(argv[2]) + 2 * i));
		calls[i]->rtcp = socket_open(argv[1], (uint16_t)((unsigned)atoi(argv[2]) + 2 * i + 1));
		watch(epoll, calls[i]->rtp, 2 * i);
		watch(epoll, calls[i]->rtcp, 2 * i + 1);
	}
	fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
	watch(epoll, 0, UINT32_MAX);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		count = epoll_wait(epoll, ready, 2 * MAX_CALLS + 1, 2);
		if (!commands()) // first: what a command announces may be here already
			return 0;
		for (int i = 0; i < count; i++)
			if (ready[i].data.u32 != UINT32_MAX)
				receive(calls[ready[i].data.u32 / 2], ready[i].data.u32 % 2);
		now = now_us();
		if (now < due)
			continue;
		due = now + 1000;
		for (unsigned i = 0; i < call_count; i++)
			send_due(calls[i], now);
	}
}
