// SPDX-License-Identifier: BSD-3-Clause
// Each stream is given whole, byte by byte and cut in two at every place: it is the same messages.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_frame.h"
#include "sip_msg.h"

#define A "OPTIONS sip:a@b SIP/2.0\r\n"

// What comes out of a stream of which `first` bytes come at once, then `step` at a time: M with the length, i (ping),
// o (pong), G with the word, then the bytes that are left.
static void run(const char *data, size_t length, size_t first, size_t step, bool pong_due, char *out, size_t size)
{
	struct sip_frame frame = {.pong_due = pong_due};
	size_t at = 0, given = first, used, put = 0;
	char *copy = malloc(length + 1); // where one byte too far is seen

	assert_non_null(copy);
	for (;;) {
		enum sip_frame_kind kind;

		memcpy(copy, data + at, given - at);
		kind = sip_frame_next(&frame, copy, given - at, &used);
		at += used;
		if (kind == SIP_FRAME_MESSAGE)
			put += (size_t)snprintf(out + put, size - put, "M%zu ", used);
		else if (kind == SIP_FRAME_PING)
			put += (size_t)snprintf(out + put, size - put, "i ");
		else if (kind == SIP_FRAME_PONG)
			put += (size_t)snprintf(out + put, size - put, "o ");
		if (kind == SIP_FRAME_GARBAGE) {
			snprintf(out + put, size - put, "G%s", frame.why);
			break;
		}
		frame.pong_due = frame.pong_due && kind == SIP_FRAME_MORE; // as a connection does
		if (kind != SIP_FRAME_MORE)
			continue;
		if (given == length) {
			snprintf(out + put, size - put, "%zu", length - at);
			break;
		}
		given = given + step > length ? length : given + step;
	}
	free(copy);
}

static void frames_are(const char *data, size_t length, const char *wanted)
{
	char got[512];

	run(data, length, length, 1, false, got, sizeof(got));
	assert_string_equal(got, wanted);
	if (strpbrk(wanted, "io"))
		return; // a CRLF by itself is told at once
	run(data, length, 0, 1, false, got, sizeof(got));
	assert_string_equal(got, wanted);
	for (size_t cut = 1; cut < length; cut++) {
		run(data, length, cut, length, false, got, sizeof(got));
		assert_string_equal(got, wanted);
	}
}

#define FRAMES(text, wanted) frames_are(text, sizeof(text) - 1, wanted)

static void length_is_found(void **state)
{
	FRAMES(A "Content-Length: 0\r\n\r\n", "M46 0");
	FRAMES(A "l:5\r\n\r\nhello", "M37 0");
	FRAMES(A "Via: x\r\nCONTENT-LENGTH \t:\t 5 \r\nTo: y\r\n\r\nhello", "M70 0");
	FRAMES(A "Content-Length:\r\n 5\r\nA: b\r\n\r\nhello", "M59 0");
	FRAMES(A "L:\r\n\t\r\n 5\r\n\r\nhello", "M43 0"); // folded twice
	FRAMES(A "l: 5\n\nhello", "M36 0");               // lines of LF alone
	FRAMES("SIP/2.0 200 OK\r\nl: 3\r\n\r\na\0b", "M27 0");
	FRAMES(A "X-l: 4\r\nContent-Lengths: 9\r\nl: 1\r\n\r\nx", "M62 0"); // names that only look like it
	FRAMES(A "Subject: x\r\n l: 7\r\nl: 1\r\n\r\nx", "M53 0");          // in a folded line
}

static void several_in_one_segment(void **state)
{
	FRAMES(A "l: 2\r\n\r\nab" A "l: 0\r\n\r\n" A "l: 1\r\n\r\nx" A "l: 9", "M35 M33 M34 29");
}

static void no_length_is_garbage(void **state)
{
	FRAMES(A "Via: x\r\n\r\n", "Gno_content_length");
	FRAMES(A "l: x\r\n\r\n", "Gbad_content_length");
	FRAMES(A "l: -1\r\n\r\n", "Gbad_content_length");
	FRAMES(A "l: 1 2\r\n\r\n", "Gbad_content_length");
	FRAMES(A "l: 0x10\r\n\r\n", "Gbad_content_length");
	FRAMES(A "l:\r\n\r\n", "Gbad_content_length");
	FRAMES(A "l: 1\r\nContent-Length: 1\r\n\r\n", "Gtwo_content_lengths");
	FRAMES(A "l: 65536\r\n\r\n", "Gtoo_large");
	FRAMES(A "l: 65535\r\n\r\n", "Gtoo_large"); // with its header
	FRAMES(A "l: 18446744073709551617\r\n\r\n", "Gtoo_large");
}

static void what_is_no_sip_is_soon_seen(void **state)
{
	FRAMES("GET / HTTP/1.1\r\n", "Gno_sip");
	FRAMES("\x16\x03\x01", "Gno_sip");
	FRAMES("\nOPTIONS", "Gno_sip");
	FRAMES("\rx", "Gno_sip");
	FRAMES("{\"a\":1}", "Gno_sip");
	FRAMES("hello\r\n", "Gno_sip");
}

static void a_header_has_an_end(void **state)
{
	size_t size = SIP_MAX_MESSAGE + 1;
	char *data = malloc(size), got[64];

	assert_non_null(data);
	memset(data, 'x', size);
	memcpy(data, A, strlen(A));
	run(data, size, size - 1, 1, false, got, sizeof(got));
	assert_string_equal(got, "Gtoo_large");
	free(data);
}

// As large as may be: the last byte makes it whole.
static void the_largest_is_whole(void **state)
{
	char *data = malloc(SIP_MAX_MESSAGE), got[64];
	int head = data ? snprintf(data, 100, A "Content-Length: %zu\r\n\r\n", SIP_MAX_MESSAGE - sizeof(A) - 24) : 0;

	assert_int_equal(head, sizeof(A) - 1 + 25);
	memset(data + head, 'x', SIP_MAX_MESSAGE - (size_t)head);
	run(data, SIP_MAX_MESSAGE, SIP_MAX_MESSAGE, 1, false, got, sizeof(got));
	assert_string_equal(got, "M65535 0");
	run(data, SIP_MAX_MESSAGE, SIP_MAX_MESSAGE - 1, 1, false, got, sizeof(got));
	assert_string_equal(got, "M65535 0");
	free(data);
}

static void keepalives(void **state)
{
	char got[64];

	FRAMES("\r\n\r\n", "i 0");
	FRAMES("\r\n", "o 0");
	FRAMES("\r\n\r\n\r\n\r\n", "i i 0");
	FRAMES("\r\n\r\n" A "l: 0\r\n\r\n\r\n\r\n", "i M33 i 0");
	FRAMES("\r\n" A "l: 0\r\n\r\n\r\n", "o M33 o 0");
	// half a ping, its other half later
	run("\r\n\r\n", 4, 2, 2, false, got, sizeof(got));
	assert_string_equal(got, "o i 0");
	run("\r\n\r\n", 4, 0, 1, false, got, sizeof(got));
	assert_string_equal(got, "o i 0");
	// a pong that is waited for, and the peer's own ping behind it or before it
	run("\r\n", 2, 2, 1, true, got, sizeof(got));
	assert_string_equal(got, "o 0");
	run("\r\n\r\n\r\n", 6, 6, 1, true, got, sizeof(got));
	assert_string_equal(got, "o i 0");
	run("\r\n\r\n\r\n", 6, 4, 2, true, got, sizeof(got));
	assert_string_equal(got, "o o i 0");
}

// A megabyte of header lines in bytes of one: what is quadratic does not come to its end.
static void bytes_are_looked_at_once(void **state)
{
	for (unsigned n = 0; n < 16; n++) {
		struct sip_frame frame = {0};
		size_t used, length = SIP_MAX_MESSAGE;
		char *data = malloc(length);

		assert_non_null(data);
		memset(data, 'x', length);
		memcpy(data, A, strlen(A));
		for (size_t given = 1; given <= length; given++) {
			assert_int_equal(sip_frame_next(&frame, data, given, &used), SIP_FRAME_MORE);
			assert_int_equal(frame.scanned, given);
		}
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_is_found),
		cmocka_unit_test(several_in_one_segment),
		cmocka_unit_test(no_length_is_garbage),
		cmocka_unit_test(what_is_no_sip_is_soon_seen),
		cmocka_unit_test(a_header_has_an_end),
		cmocka_unit_test(the_largest_is_whole),
		cmocka_unit_test(keepalives),
		cmocka_unit_test(bytes_are_looked_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
