// SPDX-License-Identifier: BSD-3-Clause
// Connections over TCP: framing, reuse, limits, and every way to end.

#include "sip_stream_rig.h"

static const struct sip_wires_limits limits = {.per_source = 3, .connections = 6};

static int set_up(void **state)
{
	return rig_open(1u << SIP_TCP, NULL, &limits);
}

static int set_up_with(const struct sip_wires_limits *other)
{
	rig_close(NULL);
	return rig_open(1u << SIP_TCP, NULL, other);
}

static void answer(const struct sip_flow *flow)
{
	struct sip_flow back = *flow;

	assert_int_equal(rig_send(&back, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n"), 0);
	assert_int_equal(back.connection, flow->connection);
}

static void a_request_is_answered_on_its_connection(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	t.on_message = answer;
	peer_send(fd, OPTIONS("4") "body");
	UNTIL(t.messages == 1);
	assert_string_equal(t.message[0].text, OPTIONS("4") "body");
	assert_int_equal(t.message[0].flow.transport, SIP_TCP);
	assert_true(kg_addr_same(&t.message[0].flow.local, &t.at[SIP_TCP]));
	assert_true(t.message[0].flow.connection > 0);
	peer_expect(fd, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n");
	assert_int_equal(rig_counts().accepted, 1);
	assert_int_equal(rig_counts().connections[SIP_TCP], 1);
	close(fd);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, 0);
	assert_string_equal(t.end[0].text, "the peer closed it");
	assert_int_equal(t.end[0].flow.connection, t.message[0].flow.connection);
	assert_int_equal(rig_counts().connections[SIP_TCP], 0);
	assert_int_equal(rig_send(&t.end[0].flow, "x"), -ENOTCONN);
}

static void bytes_come_one_by_one(void **state)
{
	static const char text[] = OPTIONS("4") "body";
	int fd = peer_connect(SIP_TCP, 1);

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		peer_send_bytes(fd, text + i, 1);
		rig_turn();
	}
	UNTIL(t.messages == 1);
	assert_string_equal(t.message[0].text, text);
	close(fd);
}

static void several_come_in_one_segment(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	peer_send(fd, OPTIONS("1") "a" OPTIONS("2") "bc\r\n\r\n" OPTIONS("0") "OPTIO");
	UNTIL(t.messages == 3);
	assert_string_equal(t.message[0].text, OPTIONS("1") "a");
	assert_string_equal(t.message[1].text, OPTIONS("2") "bc");
	assert_string_equal(t.message[2].text, OPTIONS("0"));
	peer_expect(fd, "\r\n");
	close(fd);
	UNTIL(t.broken == 1);
	assert_string_equal(t.end[0].text, "the peer closed it in the middle of a message");
}

static void large_ones_come_whole(void **state)
{
	static char text[65535];
	int fd = peer_connect(SIP_TCP, 1), head = snprintf(text, sizeof(text), OPTIONS("65000"));

	memset(text + head, 'x', 65000);
	for (int i = 0; i < 3; i++)
		peer_send_bytes(fd, text, (size_t)head + 65000);
	UNTIL(t.messages == 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(t.message[i].length, head + 65000);
	close(fd);
}

static void garbage_is_named_and_closed(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	peer_send(fd, "OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n");
	UNTIL(t.broken == 1);
	assert_int_equal(t.garbage, 1);
	assert_string_equal(t.word, "no_content_length");
	assert_int_equal(t.end[0].error, -EBADMSG);
	assert_string_equal(t.end[0].text, "what came was no SIP: no_content_length");
	peer_expect_end(fd);
	assert_int_equal(rig_counts().closed_garbage, 1);
	assert_int_equal(t.messages, 0);
	close(fd);
}

// A peer that sends its request and shuts its half down still hears the answer.
static void half_a_connection_is_enough_to_answer(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	t.on_message = answer;
	peer_send(fd, OPTIONS("0"));
	shutdown(fd, SHUT_WR);
	peer_expect(fd, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n");
	peer_expect_end(fd);
	close(fd);
}

// --- connections of ours ------------------------------------------------------------------------------------------

static void ours_is_opened_and_used_again(void **state)
{
	struct kg_addr remote;
	int listener = peer_listen(&remote), fd;
	struct sip_flow flow = rig_flow(SIP_TCP, &remote, NULL), again = flow;

	assert_int_equal(rig_send(&flow, OPTIONS("0")), 0); // waits for the connection
	assert_int_equal(rig_send(&again, OPTIONS("1") "x"), 0);
	assert_true(flow.connection > 0);
	assert_int_equal(flow.connection, again.connection);
	fd = peer_accept(listener);
	peer_expect(fd, OPTIONS("0") OPTIONS("1") "x");
	again.connection = 0;
	assert_int_equal(rig_send(&again, OPTIONS("0")), 0);
	assert_int_equal(flow.connection, again.connection);
	peer_expect(fd, OPTIONS("0"));
	peer_send(fd, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n");
	UNTIL(t.messages == 1);
	assert_int_equal(t.message[0].flow.connection, flow.connection);
	assert_true(kg_addr_same(&t.message[0].flow.local, &t.at[SIP_TCP]));
	assert_int_equal(rig_counts().opened, 1);
	close(fd);
	UNTIL(t.broken == 1);
	again.connection = 0; // a new one, by a new number
	assert_int_equal(rig_send(&again, OPTIONS("0")), 0);
	assert_int_not_equal(flow.connection, again.connection);
	fd = peer_accept(listener);
	peer_expect(fd, OPTIONS("0"));
	close(fd);
	close(listener);
}

static void one_that_a_peer_opened_is_used(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);
	struct sip_flow flow;

	peer_send(fd, OPTIONS("0"));
	UNTIL(t.messages == 1);
	flow = rig_flow(SIP_TCP, &t.message[0].flow.remote, NULL);
	assert_int_equal(rig_send(&flow, OPTIONS("0")), 0);
	assert_int_equal(flow.connection, t.message[0].flow.connection);
	peer_expect(fd, OPTIONS("0"));
	assert_int_equal(rig_counts().opened, 0);
	close(fd);
}

static void nobody_listens(void **state)
{
	struct kg_addr remote = rig_free_port("127.0.0.9");
	struct sip_flow flow = rig_flow(SIP_TCP, &remote, NULL);

	assert_int_equal(rig_send(&flow, OPTIONS("0")), 0);
	assert_int_equal(rig_counts().connections[SIP_TCP], 1);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ECONNREFUSED);
	assert_string_equal(t.end[0].text, "it could not be opened: Connection refused");
	assert_int_equal(t.end[0].flow.connection, flow.connection);
	assert_int_equal(rig_counts().connections[SIP_TCP], 0);
	assert_int_equal(rig_counts().handshake_failed, 1);
}

// A listener whose queue is full answers nothing.
static void nobody_answers(void **state)
{
	static const struct sip_wires_limits quick = {.handshake_ms = 30};
	struct sockaddr_in in;
	struct kg_addr remote;
	int listener, fill[8];
	struct sip_flow flow;

	assert_int_equal(set_up_with(&quick), 0);
	listener = peer_listen(&remote);
	listen(listener, 0);
	in = rig_sockaddr(&remote);
	for (int i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fill[i], (struct sockaddr *)&in, sizeof(in));
	}
	flow = rig_flow(SIP_TCP, &remote, NULL);
	assert_int_equal(rig_send(&flow, OPTIONS("0")), 0);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_string_equal(t.end[0].text, "it could not be opened: no answer in 30 ms");
	for (int i = 0; i < 8; i++)
		close(fill[i]);
	close(listener);
}

static void what_cannot_be_is_said_at_once(void **state)
{
	struct kg_addr remote, other;
	struct sip_flow flow;

	kg_addr_parse(&remote, "127.0.0.9", 5060);
	flow = rig_flow(SIP_WS, &remote, NULL);
	assert_int_equal(rig_send(&flow, "x"), -EOPNOTSUPP);
	flow = rig_flow(SIP_WSS, &remote, NULL);
	assert_int_equal(rig_send(&flow, "x"), -EOPNOTSUPP);
	flow = rig_flow(SIP_UDP, &remote, NULL);
	assert_int_equal(rig_send(&flow, "x"), -EADDRNOTAVAIL);
	flow = rig_flow(SIP_TCP, &remote, NULL);
	flow.connection = 77;
	assert_int_equal(rig_send(&flow, "x"), -ENOTCONN);
	kg_addr_parse(&other, "::1", 5060);
	flow = rig_flow(SIP_TCP, &other, NULL);
	assert_int_equal(rig_send(&flow, "x"), -EADDRNOTAVAIL);
	kg_addr_parse(&other, "192.0.2.77", 5060);
	flow = (struct sip_flow){.transport = SIP_TCP, .local = other, .remote = remote};
	assert_int_equal(rig_send(&flow, "x"), -EADDRNOTAVAIL);
	assert_int_equal(t.broken, 0);
}

// --- limits -------------------------------------------------------------------------------------------------------

static void who_is_known_has_more(void **state)
{
	t.knows = true;
	for (int i = 0; i < 5; i++)
		peer_connect(SIP_TCP, 1);
	UNTIL(rig_counts().accepted == 5);
	assert_int_equal(rig_counts().refused_limit, 0);
}

static void one_source_has_its_share(void **state)
{
	int fd[8];

	for (int i = 0; i < 4; i++)
		fd[i] = peer_connect(SIP_TCP, 1);
	UNTIL(rig_counts().accepted == 3 && rig_counts().refused_limit == 1);
	peer_expect_end(fd[3]);
	for (int i = 4; i < 8; i++) // all together
		fd[i] = peer_connect(SIP_TCP, 2 + i);
	UNTIL(rig_counts().accepted == 6 && rig_counts().refused_limit == 2);
	assert_int_equal(rig_counts().connections[SIP_TCP], 6);
	close(fd[0]);
	UNTIL(t.broken == 1);
	fd[0] = peer_connect(SIP_TCP, 1); // there is room again
	UNTIL(rig_counts().accepted == 7);
	for (int i = 0; i < 8; i++)
		close(fd[i]);
}

static void no_more_than_may_be_are_opened(void **state)
{
	static const struct sip_wires_limits one = {.connections = 1};
	struct kg_addr remote, other;
	int listeners[2];
	struct sip_flow flow;

	assert_int_equal(set_up_with(&one), 0);
	listeners[0] = peer_listen(&remote);
	listeners[1] = peer_listen(&other);
	flow = rig_flow(SIP_TCP, &remote, NULL);
	assert_int_equal(rig_send(&flow, "x"), 0);
	flow = rig_flow(SIP_TCP, &other, NULL);
	assert_int_equal(rig_send(&flow, "x"), -EMFILE);
	assert_int_equal(rig_counts().refused_limit, 1);
	close(listeners[0]);
	close(listeners[1]);
}

static void who_is_not_admitted_is_closed(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	t.refuses = true;
	UNTIL(t.asked == 1);
	peer_expect_end(fd);
	assert_int_equal(rig_counts().accepted, 0);
	assert_int_equal(t.broken, 0);
	close(fd);
}

static void a_slow_message_is_not_waited_for(void **state)
{
	static const struct sip_wires_limits quick = {.message_ms = 40};
	int fd;

	assert_int_equal(set_up_with(&quick), 0);
	fd = peer_connect(SIP_TCP, 1);
	peer_send(fd, OPTIONS("0"));
	UNTIL(t.messages == 1);
	for (const char *at = OPTIONS("0"); *at && !t.broken; at++) { // each byte is life, the message is late
		send(fd, at, 1, MSG_NOSIGNAL);
		rig_turns(8);
	}
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_string_equal(t.end[0].text, "a message was not whole after 40 ms");
	assert_int_equal(rig_counts().closed_slow, 1);
	assert_int_equal(t.messages, 1);
	close(fd);
}

static void who_never_speaks_is_closed(void **state)
{
	static const struct sip_wires_limits quick = {.silent_ms = 40};
	int fd;

	assert_int_equal(set_up_with(&quick), 0);
	fd = peer_connect(SIP_TCP, 1);
	UNTIL((send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL), t.broken)); // keepalives are no messages
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_string_equal(t.end[0].text, "no message came in 40 ms");
	assert_int_equal(rig_counts().closed_idle, 1);
	close(fd);
}

static void who_falls_silent_is_closed(void **state)
{
	static const struct sip_wires_limits quick = {.idle_ms = 40};
	int fd;

	assert_int_equal(set_up_with(&quick), 0);
	fd = peer_connect(SIP_TCP, 1);
	peer_send(fd, OPTIONS("0"));
	UNTIL(t.broken == 1);
	assert_int_equal(t.messages, 1);
	assert_string_equal(t.end[0].text, "nothing came or went for 40 ms");
	close(fd);
}

static void who_does_not_read_is_closed(void **state)
{
	static const struct sip_wires_limits small = {.queue_bytes = 4096};
	char text[1024];
	int fd, error = 0, size = 1;
	struct sip_flow flow;

	assert_int_equal(set_up_with(&small), 0);
	fd = peer_connect(SIP_TCP, 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	peer_send(fd, OPTIONS("0"));
	UNTIL(t.messages == 1);
	flow = t.message[0].flow;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 100000 && !error; i++) {
		error = rig_send_bytes(&flow, text, sizeof(text));
		rig_turn();
	}
	assert_int_equal(error, -ENOBUFS);
	assert_int_equal(rig_send(&flow, "x"), -ENOTCONN);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ENOBUFS);
	close(fd);
}

// --- keepalives ---------------------------------------------------------------------------------------------------

static void ours_are_answered_or_it_breaks(void **state)
{
	static const struct sip_wires_limits quick = {.keepalive_ms = 50};
	struct kg_addr remote;
	struct sip_flow flow;
	int listener, fd;

	assert_int_equal(set_up_with(&quick), 0);
	listener = peer_listen(&remote);
	flow = rig_flow(SIP_TCP, &remote, NULL);
	assert_int_equal(rig_send(&flow, OPTIONS("0")), 0);
	fd = peer_accept(listener);
	peer_expect(fd, OPTIONS("0"));
	peer_expect(fd, "\r\n\r\n");
	peer_send(fd, "\r\n");
	UNTIL(rig_counts().pongs == 1);
	peer_expect(fd, "\r\n\r\n");
	UNTIL(t.broken == 1); // this one is not answered
	assert_int_equal(rig_counts().pings, 2);
	assert_int_equal(rig_counts().pongs, 1);
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_non_null(strstr(t.end[0].text, "no answer to a keepalive"));
	peer_expect_end(fd);
	close(fd);
	close(listener);
}

static void theirs_are_answered_also_in_pieces(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	peer_send(fd, "\r\n\r\n");
	peer_expect(fd, "\r\n");
	peer_send(fd, "\r\n\r");
	rig_turns(3);
	peer_send(fd, "\n");
	peer_expect(fd, "\r\n");
	peer_send(fd, OPTIONS("0") "\r\n\r\n");
	peer_expect(fd, "\r\n");
	assert_int_equal(t.messages, 1);
	close(fd);
}

// --- from inside what is told -------------------------------------------------------------------------------------

// The answer to the first of several messages overflows the queue: the others are not told of any more.
static void overflow(const struct sip_flow *flow)
{
	struct sip_flow back = *flow;
	char text[3000];

	memset(text, 'x', sizeof(text));
	assert_int_equal(rig_send_bytes(&back, text, sizeof(text)), 0);
	assert_int_equal(rig_send_bytes(&back, text, sizeof(text)), -ENOBUFS);
	assert_int_equal(rig_send_bytes(&back, text, sizeof(text)), -ENOTCONN);
}

static void it_may_end_while_it_is_read(void **state)
{
	static const struct sip_wires_limits small = {.queue_bytes = 4096};
	int fd;

	assert_int_equal(set_up_with(&small), 0);
	t.on_message = overflow;
	fd = peer_connect(SIP_TCP, 1);
	peer_send(fd, OPTIONS("0") OPTIONS("0") OPTIONS("0"));
	UNTIL(t.broken == 1);
	assert_int_equal(t.messages, 1);
	close(fd);
}

static struct sip_flow retry;

static void send_again(const struct sip_flow *flow)
{
	if (t.broken < 5) {
		retry.connection = 0;
		assert_int_equal(rig_send(&retry, OPTIONS("0")), 0);
	}
}

static void an_end_may_be_answered_by_a_new_try(void **state)
{
	struct kg_addr remote = rig_free_port("127.0.0.9");

	retry = rig_flow(SIP_TCP, &remote, NULL);
	t.on_broken = send_again;
	assert_int_equal(rig_send(&retry, OPTIONS("0")), 0);
	UNTIL(t.broken == 5);
	rig_turns(5);
	assert_int_equal(t.broken, 5);
	assert_int_equal(rig_counts().connections[SIP_TCP], 0);
}

// Whatever is under way: all is given back (the sanitizer sees what is not), and nobody is told.
static void closing_the_wire_ends_all(void **state)
{
	struct kg_addr remote = rig_free_port("127.0.0.9"), other;
	int listener = peer_listen(&other), fd = peer_connect(SIP_TCP, 1);
	struct sip_flow flow = rig_flow(SIP_TCP, &remote, NULL), open = rig_flow(SIP_TCP, &other, NULL);

	UNTIL(rig_counts().accepted == 1);
	assert_int_equal(rig_send(&flow, "x"), 0);
	assert_int_equal(rig_send(&open, "x"), 0);
	t.wire->close(t.wire);
	t.wire = NULL;
	assert_int_equal(t.broken, 0);
	close(fd);
	close(listener);
}

static void reset(int fd)
{
	struct linger hard = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void a_reset_is_an_error(void **state)
{
	int fd = peer_connect(SIP_TCP, 1);

	peer_send(fd, OPTIONS("0"));
	UNTIL(t.messages == 1);
	reset(fd);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ECONNRESET);
	assert_string_equal(t.end[0].text, "the connection broke: Connection reset by peer");
}

// They come, speak or do not, and end in each way there is, in no order: nothing is left of them.
static void many_come_and_go(void **state)
{
	static const struct sip_wires_limits many = {.per_source = 10};
	int fds[100];

	assert_int_equal(set_up_with(&many), 0);
	t.on_message = answer;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 100; i++)
			fds[i] = peer_connect(SIP_TCP, (int)(1 + i % 20));
		for (unsigned i = 0; i < 100; i++) {
			static const char *const texts[] = {
				OPTIONS("0"), "OPT", "", "\r\n\r\n", "garbage\r\n", OPTIONS("9")};

			send(fds[i], texts[(i * 7 + round) % 6], strlen(texts[(i * 7 + round) % 6]), MSG_NOSIGNAL);
			if (i % 3 == round % 3)
				rig_turn();
		}
		for (unsigned i = 0; i < 100; i++)
			(i + round) % 2 ? (void)close(fds[i]) : reset(fds[i]);
		UNTIL(rig_counts().accepted + rig_counts().refused_limit >= 100 * (round + 1));
		UNTIL(rig_counts().connections[SIP_TCP] == 0);
	}
	rig_turns(2);
	assert_int_equal(t.broken, rig_counts().accepted);
	assert_true(t.messages > 0 && t.garbage > 0);
}

static void ip6_is_the_same(void **state)
{
	struct sip_listen listen = {.transport = SIP_TCP};
	struct sip_flow flow;
	struct sip_wire *wire;
	char err[256];
	int error;

	kg_addr_parse(&listen.addr, "::1", t.at[SIP_TCP].port);
	error = sip_wires_open(t.base, &listen, 1, NULL, NULL, &rig_events, &wire, err);
	if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT)
		skip();
	assert_int_equal(error, 0);
	flow = (struct sip_flow){.transport = SIP_TCP, .local = listen.addr, .remote = listen.addr}; // to ourselves
	assert_int_equal(wire->send(wire, &flow, OPTIONS("0"), strlen(OPTIONS("0"))), 0);
	UNTIL(t.messages == 1);
	assert_int_equal(t.message[0].flow.remote.family, 6);
	assert_true(kg_addr_same(&t.message[0].flow.local, &listen.addr));
	assert_int_not_equal(t.message[0].flow.connection, flow.connection);
	wire->close(wire);
}

// A wildcard's connections are found by the address that the peer reached.
static void a_wildcard_knows_where_it_was_reached(void **state)
{
	struct sip_listen listen = {.transport = SIP_TCP};
	struct kg_addr reached;
	struct sip_wire *wire;
	struct sip_flow flow;
	char err[256];
	int fd;

	listen.addr = rig_free_port("0.0.0.0"); // free on every address
	kg_addr_parse(&reached, "127.0.0.5", listen.addr.port);
	assert_int_equal(sip_wires_open(t.base, &listen, 1, NULL, NULL, &rig_events, &wire, err), 0);
	t.at[SIP_TCP] = reached;
	fd = peer_connect(SIP_TCP, 7);
	peer_send(fd, OPTIONS("0"));
	UNTIL(t.messages == 1);
	assert_true(kg_addr_same(&t.message[0].flow.local, &reached));
	flow = t.message[0].flow;
	flow.connection = 0;
	assert_int_equal(wire->send(wire, &flow, "x", 1), 0);
	assert_int_equal(flow.connection, t.message[0].flow.connection);
	flow.connection = 0;
	flow.local = listen.addr;
	assert_int_equal(wire->send(wire, &flow, "y", 1), 0);
	assert_int_equal(flow.connection, t.message[0].flow.connection);
	peer_expect(fd, "xy");
	wire->close(wire);
	close(fd);
}

static void names_are_kept(void **state)
{
	char text[] = "sip.example.com";
	const char *name = sip_wire_name(t.wire, text);

	assert_string_equal(name, "sip.example.com");
	assert_ptr_not_equal(name, text);
	assert_ptr_equal(sip_wire_name(t.wire, "sip.example.com"), name);
	assert_ptr_not_equal(sip_wire_name(t.wire, "example.com"), name);
}

static void an_address_that_cannot_be_had_is_explained(void **state)
{
	struct sip_listen listen = {SIP_TCP, t.at[SIP_TCP]};
	struct sip_wire *wire;
	char err[256];

	assert_int_equal(sip_wires_open(t.base, &listen, 1, NULL, NULL, &rig_events, &wire, err), -EADDRINUSE);
	assert_non_null(strstr(err, "taken by another process: stop it (ss -tlnp shows it)"));
	assert_memory_equal(err, "tcp:127.0.0.1:", 14);
	kg_addr_parse(&listen.addr, "192.0.2.77", 5060);
	assert_int_equal(sip_wires_open(t.base, &listen, 1, NULL, NULL, &rig_events, &wire, err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err, "tcp:192.0.2.77:5060 is no address of this machine: correct sip.listen"));
	listen.transport = SIP_TLS;
	assert_int_equal(sip_wires_open(t.base, &listen, 1, NULL, NULL, &rig_events, &wire, err), -EINVAL);
	assert_non_null(strstr(err, "need a certificate and its key"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_close)
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered_on_its_connection),
		TEST(bytes_come_one_by_one),
		TEST(several_come_in_one_segment),
		TEST(large_ones_come_whole),
		TEST(garbage_is_named_and_closed),
		TEST(half_a_connection_is_enough_to_answer),
		TEST(ours_is_opened_and_used_again),
		TEST(one_that_a_peer_opened_is_used),
		TEST(nobody_listens),
		TEST(nobody_answers),
		TEST(what_cannot_be_is_said_at_once),
		TEST(who_is_known_has_more),
		TEST(one_source_has_its_share),
		TEST(no_more_than_may_be_are_opened),
		TEST(who_is_not_admitted_is_closed),
		TEST(a_slow_message_is_not_waited_for),
		TEST(who_never_speaks_is_closed),
		TEST(who_falls_silent_is_closed),
		TEST(who_does_not_read_is_closed),
		TEST(ours_are_answered_or_it_breaks),
		TEST(theirs_are_answered_also_in_pieces),
		TEST(it_may_end_while_it_is_read),
		TEST(an_end_may_be_answered_by_a_new_try),
		TEST(closing_the_wire_ends_all),
		TEST(a_reset_is_an_error),
		TEST(many_come_and_go),
		TEST(ip6_is_the_same),
		TEST(a_wildcard_knows_where_it_was_reached),
		TEST(names_are_kept),
		TEST(an_address_that_cannot_be_had_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
