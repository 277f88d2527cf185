// SPDX-License-Identifier: BSD-3-Clause
// The HTTP request and frames of WebSockets, whole, byte by byte and cut at every place.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_msg.h"
#include "ws.h"

#define GET "GET /sip HTTP/1.1\r\n"
#define HOST "Host: sip.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define SIP "Sec-WebSocket-Protocol: sip\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define END "\r\n"

static char answer[WS_ANSWER];

static int upgrade(const char *text, size_t length, size_t *used)
{
	size_t scanned = 0;

	return ws_upgrade(text, length, &scanned, used, answer);
}

static void upgrade_is(const char *text, int wanted)
{
	size_t used, scanned = 0, length = strlen(text);
	int status = 0;

	assert_int_equal(upgrade(text, length, &used), wanted);
	for (size_t given = 0; given <= length && !status; given++)
		status = ws_upgrade(text, given, &scanned, &used, answer);
	assert_int_equal(status, wanted);
	assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
	assert_int_equal(atoi(answer + 9), wanted);
}

// RFC 6455 1.3 names key and answer.
static void a_request_is_answered_by_its_key(void **state)
{
	static const char text[] = GET HOST UPGRADE KEY SIP VERSION END "frames";
	size_t used;

	upgrade_is(GET HOST UPGRADE KEY SIP VERSION END, 101);
	assert_int_equal(upgrade(text, sizeof(text) - 1, &used), 101);
	assert_int_equal(used, sizeof(text) - 1 - 6);
	assert_string_equal(answer,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n");
	upgrade_is("GET / HTTP/1.1\r\nhost:x\r\nUPGRADE:WebSocket\r\nconnection:upgrade\r\n" KEY
		   "Sec-WebSocket-Protocol: chat , sip\r\nSec-WebSocket-Protocol: other\r\n" VERSION END,
		101);
}

static void keys_are_hashed(void **state)
{
	static const char *const keys[][2] = {
		{"AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
		{"//////////////////////==", "zXRQvy1wi5A4l0hwWYxMN3e2wNk="},
		{"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
	};
	char text[512];
	size_t used;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		snprintf(text, sizeof(text), GET HOST UPGRADE "Sec-WebSocket-Key: %s\r\n" SIP VERSION END, keys[i][0]);
		assert_int_equal(upgrade(text, strlen(text), &used), 101);
		assert_non_null(strstr(answer, keys[i][1]));
	}
}

static void other_requests_are_refused(void **state)
{
	upgrade_is(GET HOST UPGRADE KEY VERSION END, 403);
	upgrade_is(GET HOST UPGRADE KEY "Sec-WebSocket-Protocol: sips, xsip\r\n" VERSION END, 403);
	upgrade_is(GET HOST UPGRADE KEY SIP "Sec-WebSocket-Version: 8\r\n" END, 426);
	upgrade_is(GET HOST UPGRADE SIP VERSION END, 400);
	upgrade_is(GET HOST UPGRADE KEY KEY SIP VERSION END, 400);
	upgrade_is(GET HOST UPGRADE "Sec-WebSocket-Key: short==\r\n" SIP VERSION END, 400);
	upgrade_is(GET UPGRADE KEY SIP VERSION END, 400);
	upgrade_is(GET HOST "Upgrade: websocket\r\n" KEY SIP VERSION END, 400);
	upgrade_is(GET HOST "Connection: upgrade\r\n" KEY SIP VERSION END, 400);
	upgrade_is(GET HOST UPGRADE KEY SIP VERSION "no colon\r\n" END, 400);
	upgrade_is(GET HOST UPGRADE KEY SIP VERSION " folded: x\r\n" END, 400);
	upgrade_is("GET /a b HTTP/1.1\r\n" HOST UPGRADE KEY SIP VERSION END, 400);
	upgrade_is("GET / HTTP/1.0\r\n" HOST UPGRADE KEY SIP VERSION END, 400);
	upgrade_is("POST / HTTP/1.1\r\n", 400);
	upgrade_is("OPTIONS sip:a@b SIP/2.0\r\n", 400);
	upgrade_is("\x16\x03\x01", 400);
}

static void a_request_has_an_end(void **state)
{
	char text[WS_REQUEST_MAX + 2];
	size_t used;

	memset(text, 'x', sizeof(text));
	memcpy(text, GET, strlen(GET));
	assert_int_equal(upgrade(text, WS_REQUEST_MAX, &used), 0);
	assert_int_equal(upgrade(text, WS_REQUEST_MAX + 1, &used), 431);
}

// --- frames -------------------------------------------------------------------------------------------------------

static struct {
	unsigned char data[300000];
	size_t length;
} in;

static void put(unsigned first, const char *payload, size_t length)
{
	static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	unsigned char *at = in.data + in.length;
	size_t head = ws_head_build(at, WS_TEXT, length);

	at[0] = (unsigned char)first;
	at[1] |= 0x80;
	memcpy(at + head, mask, 4);
	for (size_t i = 0; i < length; i++)
		at[head + 4 + i] = (unsigned char)payload[i] ^ mask[i & 3];
	in.length += head + 4 + length;
}

static void put_text(unsigned first, const char *text)
{
	put(first, text, strlen(text));
}

// What comes out, `step` bytes at a time: M, i (ping), o (pong), C, B with what they carry.
static void run(size_t first, size_t step, char *out, size_t size)
{
	const size_t room = SIP_MAX_MESSAGE + WS_MORE_MAX;
	char *data = malloc(room + 1);
	struct ws ws = {0};
	size_t given = 0, used = 0, want = first, at = 0;
	struct ws_item item;
	enum ws_kind kind;

	assert_non_null(data);
	for (;;) {
		kind = ws_next(&ws, data, used, &item);
		if (kind == WS_BAD) {
			snprintf(out + at, size - at, "B%s %u", item.why, item.code);
			break;
		}
		if (kind != WS_MORE) {
			at += (size_t)snprintf(out + at, size - at, "%c%.*s ", "?MioC"[kind],
				item.length > 40 || kind == WS_CLOSE ? 0 : (int)item.length, item.payload);
			if (item.length > 40)
				at += (size_t)snprintf(out + at - 1, size - at, "%zu ", item.length) - 1;
			if (kind == WS_CLOSE)
				at += (size_t)snprintf(out + at - 1, size - at, "%u ", item.code) - 1;
			continue;
		}
		used = ws_compact(&ws, data, used);
		if (given == in.length) {
			snprintf(out + at, size - at, "%zu", used - ws.at);
			break;
		}
		if (want > in.length - given)
			want = in.length - given;
		if (want > room - used)
			want = room - used;
		assert_true(want > 0); // else it would wait for what it has no room for
		memcpy(data + used, in.data + given, want);
		used += want;
		given += want;
		want = step;
	}
	free(data);
}

static void frames_are(const char *wanted)
{
	char got[256];

	run(in.length, 1, got, sizeof(got));
	assert_string_equal(got, wanted);
	run(1, 1, got, sizeof(got));
	assert_string_equal(got, wanted);
	for (size_t cut = 1; cut < in.length && in.length < 1000; cut++) {
		run(cut, in.length, got, sizeof(got));
		assert_string_equal(got, wanted);
	}
	in.length = 0;
}

static void messages_come_whole(void **state)
{
	put_text(0x81, "hello");
	put_text(0x82, "binary");
	put_text(0x81, "");
	frames_are("Mhello Mbinary M 0");
	put_text(0x01, "frag");
	put_text(0x89, "ping");
	put_text(0x00, "men");
	put_text(0x8a, "pong");
	put_text(0x00, "");
	put_text(0x80, "ted");
	put_text(0x81, "next");
	frames_are("iping opong Mfragmented Mnext 0");
	put_text(0x88, "\x03\xe8 bye");
	frames_are("C1000 0");
	put_text(0x88, "");
	frames_are("C1000 0");
}

static void large_ones_too(void **state)
{
	char *text = calloc(1, SIP_MAX_MESSAGE + 1);

	assert_non_null(text);
	memset(text, 'x', SIP_MAX_MESSAGE);
	put(0x81, text, SIP_MAX_MESSAGE);
	put(0x81, text, 126);
	put(0x01, text, SIP_MAX_MESSAGE - 10);
	put(0x89, text, 125);
	put(0x80, text, 10);
	frames_are("M65535 M126 i125 M65535 0");
	put(0x01, text, SIP_MAX_MESSAGE);
	put(0x80, text, 1);
	frames_are("Btoo_large 1009");
	free(text);
}

static void raw_is(const char *bytes, size_t length, const char *wanted)
{
	memcpy(in.data, bytes, length);
	in.length = length;
	frames_are(wanted);
}

#define RAW(bytes, wanted) raw_is(bytes, sizeof(bytes) - 1, wanted)

static void what_is_wrong_has_a_name(void **state)
{
	RAW("\x81\x05hello", "Bws_unmasked 1002");
	RAW("\xc1\x80", "Bws_reserved 1002");
	RAW("\x83\x80", "Bws_opcode 1002");
	RAW("\x8b\x80", "Bws_opcode 1002");
	RAW("\x80\x80", "Bws_fragment 1002");
	RAW("\x09\x80", "Bws_control 1002");
	RAW("\x89\xfe\x00\x7e", "Bws_control 1002");
	RAW("\x81\xfe\x00\x7d", "Bws_length 1002");
	RAW("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x80", "Bws_length 1002");
	RAW("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00", "Bws_length 1002");
	RAW("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00", "Btoo_large 1009");
	put_text(0x01, "a");
	put_text(0x81, "b");
	frames_are("Bws_fragment 1002");
	put_text(0x88, "x");
	frames_are("Bws_close 1002");
	put_text(0x88, "\x03\xed");
	frames_are("Bws_close 1002");
	put_text(0x81, "\xc3\xa4 \xff");
	frames_are("Bws_utf8 1007");
	put_text(0x82, "\xff");
	frames_are("M\xff 0");
	put_text(0x01, "\xc3"); // a character over two fragments
	put_text(0x80, "\xa4");
	frames_are("M\xc3\xa4 0");
}

static void heads_are_built(void **state)
{
	unsigned char head[WS_HEAD];

	assert_int_equal(ws_head_build(head, WS_TEXT, 125), 2);
	assert_memory_equal(head, "\x81\x7d", 2);
	assert_int_equal(ws_head_build(head, WS_BINARY, 126), 4);
	assert_memory_equal(head, "\x82\x7e\x00\x7e", 4);
	assert_int_equal(ws_head_build(head, WS_OP_PONG, 65536), 10);
	assert_memory_equal(head, "\x8a\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void utf8_is_known(void **state)
{
	static const char *const good[] = {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
	static const char *const wrong[] = {"\x80", "\xc0\x80", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xf0\x90\x80", "\xc2\x41"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(ws_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(ws_is_utf8(wrong[i], strlen(wrong[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered_by_its_key),
		cmocka_unit_test(keys_are_hashed),
		cmocka_unit_test(other_requests_are_refused),
		cmocka_unit_test(a_request_has_an_end),
		cmocka_unit_test(messages_come_whole),
		cmocka_unit_test(large_ones_too),
		cmocka_unit_test(what_is_wrong_has_a_name),
		cmocka_unit_test(heads_are_built),
		cmocka_unit_test(utf8_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
