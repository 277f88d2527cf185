// SPDX-License-Identifier: BSD-3-Clause
// SIP in WebSockets, over real connections.

#include "sip_stream_rig.h"

#define REQUEST                                                                      \
	"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define SIP "Sec-WebSocket-Protocol: sip\r\n"
#define ANSWER                                                                              \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
#define OK "SIP/2.0 200 OK\r\n\r\n" // Content-Length is not needed here
#define REGISTER "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/WS x.invalid\r\n\r\n"

static int set_up(void **state)
{
	return rig_open(1u << SIP_WS, NULL, NULL);
}

static void put(int fd, unsigned char first, const char *text, size_t length)
{
	static const unsigned char mask[4] = {1, 2, 3, 4};
	unsigned char frame[600] = {first, (unsigned char)(0x80 | (length < 126 ? length : 126))};
	size_t at = 2;

	if (length >= 126) {
		frame[at++] = (unsigned char)(length >> 8);
		frame[at++] = (unsigned char)length;
	}
	memcpy(frame + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < length; i++)
		frame[at++] = (unsigned char)text[i] ^ mask[i & 3];
	peer_send_bytes(fd, (const char *)frame, at);
}

static void put_text(int fd, unsigned char first, const char *text)
{
	put(fd, first, text, strlen(text));
}

// A frame of less than 126 bytes.
static void expect(int fd, unsigned char first, const char *text, size_t length)
{
	char head[2] = {(char)first, (char)length};

	peer_expect_bytes(fd, head, 2);
	peer_expect_bytes(fd, text, length);
}

static int ws_connect(void)
{
	int fd = peer_connect(SIP_WS, 1);

	peer_send(fd, REQUEST SIP "\r\n");
	peer_expect(fd, ANSWER);
	return fd;
}

static void answer(const struct sip_flow *flow)
{
	struct sip_flow back = *flow;

	assert_int_equal(rig_send(&back, OK), 0);
}

static void one_message_in_each(void **state)
{
	int fd = ws_connect();
	struct sip_flow flow;

	t.on_message = answer;
	put_text(fd, 0x81, REGISTER);
	UNTIL(t.messages == 1);
	assert_string_equal(t.message[0].text, REGISTER);
	assert_int_equal(t.message[0].flow.transport, SIP_WS);
	expect(fd, 0x81, OK, strlen(OK));
	flow = rig_flow(SIP_WS, &t.message[0].flow.remote, NULL); // never opened by us, but used where it stands
	assert_int_equal(rig_send(&flow, "SIP/2.0 200 \xff\r\n\r\n"), 0);
	assert_int_equal(flow.connection, t.message[0].flow.connection);
	expect(fd, 0x82, "SIP/2.0 200 \xff\r\n\r\n", 17);
	put_text(fd, 0x01, "REGISTER sip:x ");
	put_text(fd, 0x89, "?");
	expect(fd, 0x8a, "?", 1);
	put_text(fd, 0x80, "SIP/2.0\r\n\r\n");
	UNTIL(t.messages == 2);
	assert_string_equal(t.message[1].text, "REGISTER sip:x SIP/2.0\r\n\r\n");
	close(fd);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, 0);
}

static void request_and_frame_in_one_segment(void **state)
{
	static const char text[] = REQUEST SIP "\r\n\x82\x84\0\0\0\0data";
	int fd = peer_connect(SIP_WS, 1);

	peer_send_bytes(fd, text, sizeof(text) - 1);
	UNTIL(t.messages == 1);
	assert_string_equal(t.message[0].text, "data");
	peer_expect(fd, ANSWER);
	close(fd);
	fd = peer_connect(SIP_WS, 1);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		peer_send_bytes(fd, text + i, 1);
		rig_turn();
	}
	UNTIL(t.messages == 2);
	close(fd);
}

static void keepalives_of_both_kinds(void **state)
{
	int fd = ws_connect();

	put(fd, 0x81, "\r\n\r\n", 4);
	expect(fd, 0x81, "\r\n", 2);
	put(fd, 0x81, "\r\n", 2);
	put_text(fd, 0x8a, "unasked");
	put_text(fd, 0x89, "");
	expect(fd, 0x8a, "", 0);
	assert_int_equal(t.messages, 0);
	close(fd);
}

static void closing_is_answered(void **state)
{
	int fd = ws_connect();

	put(fd, 0x88, "\x03\xe9", 2);
	expect(fd, 0x88, "\x03\xe9", 2);
	peer_expect_end(fd);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, 0);
	assert_string_equal(t.end[0].text, "the peer closed it (1001)");
	assert_int_equal(t.garbage, 0);
	close(fd);
}

static void bad_frames_are_named(void **state)
{
	int fd = ws_connect();

	peer_send_bytes(fd, "\x81\x05hello", 7);
	expect(fd, 0x88, "\x03\xea", 2);
	peer_expect_end(fd);
	UNTIL(t.broken == 1);
	assert_string_equal(t.word, "ws_unmasked");
	assert_int_equal(t.end[0].error, -EBADMSG);
	assert_int_equal(rig_counts().closed_garbage, 1);
	close(fd);
}

static void other_http_is_refused(void **state)
{
	int fd = peer_connect(SIP_WS, 1);

	peer_send(fd, REQUEST "\r\n");
	peer_expect(fd, "HTTP/1.1 403 Subprotocol sip is missing\r\nConnection: close\r\n");
	UNTIL(t.broken == 1);
	assert_string_equal(t.end[0].text, "it asked for no WebSocket with the subprotocol sip: 403");
	assert_int_equal(rig_counts().handshake_failed, 1);
	assert_int_equal(rig_counts().connections[SIP_WS], 0);
	close(fd);
	fd = peer_connect(SIP_WS, 1);
	peer_send(fd, OPTIONS("0"));
	peer_expect(fd, "HTTP/1.1 400 Bad Request\r\n");
	UNTIL(t.broken == 2);
	close(fd);
}

static void an_upgrade_has_an_end(void **state)
{
	static const struct sip_wires_limits quick = {.handshake_ms = 30, .message_ms = 30};
	int fd;

	rig_close(NULL);
	assert_int_equal(rig_open(1u << SIP_WS, NULL, &quick), 0);
	fd = peer_connect(SIP_WS, 1);
	peer_send(fd, "GET / HT");
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_string_equal(t.end[0].text, "it asked for no WebSocket in 30 ms");
	close(fd);
	fd = ws_connect(); // pings between the pieces do not make it less slow
	put_text(fd, 0x01, "REGISTER");
	UNTIL((send(fd, "\x89\x80\0\0\0\0", 6, MSG_NOSIGNAL), t.broken == 2));
	assert_string_equal(t.end[1].text, "a message was not whole after 30 ms");
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_close)
	const struct CMUnitTest tests[] = {
		TEST(one_message_in_each),
		TEST(request_and_frame_in_one_segment),
		TEST(keepalives_of_both_kinds),
		TEST(closing_is_answered),
		TEST(bad_frames_are_named),
		TEST(other_http_is_refused),
		TEST(an_upgrade_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
