// SPDX-License-Identifier: BSD-3-Clause
// The real wire, on the loopback: the kernel delivers there before send returns, so nothing has to be waited for.

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "sip_wire.h"

static struct {
	struct event_base *base;
	struct sip_wire *wire;
	struct kg_addr a, b, nobody;
	unsigned datagrams, refused;
	struct kg_addr local, remote;
	char data[128];
	int error;
	bool echo, echo_oddly;
} t;

static void on_message(void *arg, const struct sip_flow *flow, const char *data, size_t length)
{
	t.datagrams++;
	t.local = flow->local;
	t.remote = flow->remote;
	assert_int_equal(flow->transport, SIP_UDP);
	assert_int_equal(data[length], '\0');
	snprintf(t.data, sizeof(t.data), "%.*s", (int)length, data);
	if (!t.echo || strcmp(t.data, "ping") != 0)
		return;
	for (int i = 0; i < 40; i++) {
		struct sip_flow back = {.local = flow->local, .remote = flow->remote};

		if (i == 2 && t.echo_oddly)
			kg_addr_parse(&back.remote, "255.255.255.255", 5060); // needs a right that the socket has not
		assert_int_equal(t.wire->send(t.wire, &back, "pong", 4), 0);
	}
}

static void on_refused(void *arg, const char *data, size_t length, int error)
{
	t.refused++;
	t.error = error;
	snprintf(t.data, sizeof(t.data), "%.*s", (int)length, data);
}

static const struct sip_wire_events events = {.message = on_message, .refused = on_refused};

// A port that is free now.
static struct kg_addr loopback(const char *ip)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t length = sizeof(in);
	struct kg_addr addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &length), 0);
	close(fd);
	assert_int_equal(kg_addr_parse(&addr, ip, ntohs(in.sin_port)), 0);
	return addr;
}

static int set_up(void **state)
{
	char err[256];
	struct kg_addr listen[2];

	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	listen[0] = t.a = loopback("127.0.0.1");
	listen[1] = t.b = loopback("127.0.0.2");
	t.nobody = loopback("127.0.0.3");
	return sip_udp_open(t.base, listen, 2, &events, &t.wire, err);
}

static int tear_down(void **state)
{
	t.wire->close(t.wire);
	event_base_free(t.base);
	return 0;
}

static int send_text(const struct kg_addr *local, const struct kg_addr *remote, const char *text)
{
	struct sip_flow flow = {.transport = SIP_UDP, .local = *local, .remote = *remote};

	return t.wire->send(t.wire, &flow, text, strlen(text));
}

static void turn(void)
{
	event_base_loop(t.base, EVLOOP_NONBLOCK);
}

static void goes_from_the_listener_that_is_named(void **state)
{
	assert_int_equal(send_text(&t.a, &t.b, "hello"), 0);
	turn();
	assert_int_equal(t.datagrams, 1);
	assert_true(kg_addr_same(&t.local, &t.b));
	assert_true(kg_addr_same(&t.remote, &t.a));
	assert_string_equal(t.data, "hello");
	assert_int_equal(send_text(&t.b, &t.a, "back"), 0);
	turn();
	assert_true(kg_addr_same(&t.local, &t.a));
	assert_true(kg_addr_same(&t.remote, &t.b));
	assert_int_equal(send_text(&t.nobody, &t.a, "x"), -EADDRNOTAVAIL);
}

static void a_burst_comes_whole(void **state)
{
	for (int i = 0; i < 50; i++)
		assert_int_equal(send_text(&t.a, &t.b, "hello"), 0);
	turn();
	assert_int_equal(t.datagrams, 50);
}

static void icmp_brings_back_what_was_refused(void **state)
{
	assert_int_equal(send_text(&t.a, &t.nobody, "OPTIONS nobody"), 0);
	turn();
	assert_int_equal(t.refused, 1);
	assert_int_equal(t.error, -ECONNREFUSED);
	assert_string_equal(t.data, "OPTIONS nobody");
	turn();
	assert_int_equal(t.refused, 1);
	assert_int_equal(t.datagrams, 0);
}

// The kernel tells of an earlier refusal at the next send: that send is still made.
static void a_refusal_is_not_blamed_on_the_next(void **state)
{
	assert_int_equal(send_text(&t.a, &t.nobody, "lost"), 0);
	assert_int_equal(send_text(&t.a, &t.b, "good"), 0);
	assert_int_equal(t.refused, 1);
	assert_string_equal(t.data, "lost");
	turn();
	assert_int_equal(t.datagrams, 1);
	assert_string_equal(t.data, "good");
}

static void an_address_that_cannot_be_had_is_explained(void **state)
{
	struct sip_wire *wire;
	struct kg_addr foreign;
	char err[256];

	assert_int_equal(sip_udp_open(t.base, &t.a, 1, &events, &wire, err), -EADDRINUSE);
	assert_non_null(strstr(err, "taken by another process: stop it"));
	kg_addr_parse(&foreign, "192.0.2.77", 5060);
	assert_int_equal(sip_udp_open(t.base, &foreign, 1, &events, &wire, err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err, "udp:192.0.2.77:5060 is no address of this machine: correct sip.listen"));
}

// What a batch sets off leaves in as few calls: in order, whole, and what cannot go comes back as refused.
static void answers_of_a_batch_leave_together(void **state)
{
	t.echo = true;
	for (int i = 0; i < 8; i++)
		assert_int_equal(send_text(&t.a, &t.b, "ping"), 0);
	turn();
	turn();
	assert_int_equal(t.datagrams, 8 + 8 * 40); // each is answered forty times, more than are collected
	assert_int_equal(t.refused, 0);
}

static void one_that_cannot_go_keeps_none_of_the_others(void **state)
{
	t.echo = true;
	t.echo_oddly = true; // the third of each forty is for an address that no socket of ours reaches
	assert_int_equal(send_text(&t.a, &t.b, "ping"), 0);
	turn();
	turn();
	assert_int_equal(t.datagrams, 1 + 39);
	assert_int_equal(t.refused, 1);
	assert_true(t.error < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(goes_from_the_listener_that_is_named),
		TEST(a_burst_comes_whole),
		TEST(icmp_brings_back_what_was_refused),
		TEST(a_refusal_is_not_blamed_on_the_next),
		TEST(answers_of_a_batch_leave_together),
		TEST(one_that_cannot_go_keeps_none_of_the_others),
		TEST(an_address_that_cannot_be_had_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
