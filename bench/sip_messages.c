// SPDX-License-Identifier: BSD-3-Clause
// What a message costs the SIP stack, with so many transactions live: each is parsed, checked, matched, answered and
// built, on a wire that goes nowhere. A line of JSON for each number of live ones.

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sip_stack.h"

#define BATCH 2000
#define TIMES 7

static struct kg_addr local, peer;
static uint64_t sent;

static int wire_send(struct sip_wire *wire, struct sip_flow *flow, const char *data, size_t length)
{
	sent++;
	return 0;
}

static void wire_close(struct sip_wire *wire)
{
}

static enum sip_source known_source(void *arg, const struct kg_addr *source)
{
	return SIP_SOURCE_PROXY;
}

static void invite(void *arg, struct sip_session *session, struct sip_msg *msg, const struct kg_addr *source)
{
	sip_session_reject(session, 486, NULL, NULL);
}

static void freed(void *user, struct sip_session *session)
{
}

static int admit(void *arg, const struct kg_addr *source, unsigned *retry_after_s)
{
	return 0;
}

static void message(struct sip_stack *stack, const char *method, unsigned n)
{
	static const char body[] =
		"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
		"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
	const struct sip_flow flow = {.local = local, .remote = peer};
	bool invite = *method == 'I';
	char text[2048];
	int length = snprintf(text, sizeof(text),
		"%s sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKproxy%u;rport\r\n"
		"Via: SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK%u;rport=5070;received=192.0.2.2\r\n"
		"Record-Route: <sip:192.0.2.9;lr>\r\nFrom: \"Alice\" <sip:alice@192.0.2.2>;tag=%u\r\n"
		"To: <sip:bob@192.0.2.1>\r\nCall-ID: %u@192.0.2.2\r\nCSeq: 1 %s\r\nMax-Forwards: 69\r\n"
		"Contact: <sip:alice@192.0.2.2:5070>\r\nUser-Agent: bench\r\nAllow: INVITE, ACK, BYE, CANCEL, "
		"OPTIONS\r\n"
		"%sContent-Length: %zu\r\n\r\n%s",
		method, n, n, n, n, method, invite ? "Content-Type: application/sdp\r\n" : "",
		invite ? sizeof(body) - 1 : 0, invite ? body : "");

	sip_stack_message(stack, &flow, text, (size_t)length);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values)
{
	qsort(values, TIMES, sizeof(*values), by_size);
	return values[TIMES / 2];
}

int main(void)
{
	static const unsigned lives[] = {1000, 10000, 100000};
	static const struct sip_session_ops ops = {
		.invite = invite, .freed = freed, .known_source = known_source, .admit = admit};

	kg_addr_parse(&local, "192.0.2.1", 5060);
	kg_addr_parse(&peer, "192.0.2.9", 5060);
	sip_msg_init();
	for (unsigned i = 0; i < sizeof(lives) / sizeof(*lives); i++) {
		struct sip_wire wire = {wire_send, wire_close};
		struct sip_stack_options options = {
			.ops = &ops, .wheel = wheel_create(0), .listen_count = 1, .limits = {.source_per_s = 100000}};
		struct sip_stack *stack;
		double options_us[TIMES], invite_us[TIMES];
		size_t before, after;
		unsigned n = 0;

		options.listen[0].addr = local;
		if (!options.wheel || sip_stack_create(&options, &wire, &stack) != 0)
			abort();
		before = mallinfo2().uordblks;
		while (n < lives[i])
			message(stack, "OPTIONS", n++);
		after = mallinfo2().uordblks;
		for (unsigned t = 0; t < TIMES; t++) {
			double began = now_us(), half;

			for (unsigned j = 0; j < BATCH; j++)
				message(stack, "OPTIONS", n++);
			half = now_us();
			for (unsigned j = 0; j < BATCH; j++)
				message(stack, "INVITE", n++);
			options_us[t] = (half - began) / BATCH;
			invite_us[t] = (now_us() - half) / BATCH;
		}
		printf("{\"live\": %u, \"options_us\": %.2f, \"invite_us\": %.2f, \"bytes_per_transaction\": %.0f}\n",
			lives[i], median(options_us), median(invite_us), (double)(after - before) / lives[i]);
		fflush(stdout);
		sip_stack_close(stack);
		wheel_destroy(options.wheel);
	}
	return 0;
}
