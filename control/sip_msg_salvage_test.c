// SPDX-License-Identifier: BSD-3-Clause
// Answers to requests that cannot be read, and RFC 4475's 49 messages at the parser.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_msg.h"

#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n"
#define REST "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\n"
#define HEAD VIA REST
#define INVITE "INVITE sip:c@d SIP/2.0\r\n"
#define VIA_BACK "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;received=192.0.2.7\r\n"
#define CALL "Call-ID: i\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"

// The answer, its To tag cut out (it is a hash of the request); NULL: none.
static char *salvage(const char *data, size_t length, const char *why, struct kg_addr *to)
{
	struct kg_addr source;
	char *text, *tag;
	size_t size;

	kg_addr_parse(&source, "192.0.2.7", 6000);
	text = sip_msg_salvage(data, length, why, &source, false, to, &size);
	if (!text)
		return NULL;
	assert_int_equal(strlen(text), size);
	tag = strstr(text, "\r\nTo: ");
	tag = tag ? strstr(tag, ";tag=") : NULL;
	if (tag && strspn(tag + 5, "0123456789abcdef") == 16)
		memmove(tag, tag + 21, strlen(tag + 21) + 1);
	return text;
}

static void answers_byte_for_byte(void **state)
{
	static const struct {
		const char *text, *why, *want;
	} rows[] = {
		{INVITE HEAD "CSeq: 1 INVITE\r\nno colon\r\n\r\n", "bad_header",
			"SIP/2.0 400 Bad Request (bad_header)\r\n" VIA_BACK
			"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n" CALL},
		// compact forms, folded lines, blanks, a Via list of two and of nothing, no end
		{"  INVITE\tsip:c@d\nv : SIP/2.0/UDP 192.0.2.1\n ;branch=z9hG4bKx ;; , ,;SIP/2.0/UDP x\n"
		 "f: <sip:a@b>;tag=1\nt: <sip:c@d>\ni: i\ncseq: 1\n INVITE\n",
			"no_end",
			"SIP/2.0 400 Bad Request (no_end)\r\n"
			"Via: SIP/2.0/UDP 192.0.2.1  ;branch=z9hG4bKx;received=192.0.2.7\r\n"
			"Via: ;SIP/2.0/UDP x\r\n"
			"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1  INVITE\r\n"
			"Content-Length: 0\r\n\r\n"},
		// the first of several; a quote that never ends; controls
		{INVITE VIA "From: \"a\a\x7f <sip:a@b>;tag=1\r\nTo: \"c <sip:c@d>\r\nTo: <sip:e@f>\r\n"
			    "Call-ID: i\rX: y\r\nCall-ID: j\r\nCSeq: 1 INVITE\r\nCSeq: 2 INVITE\r\n\r\n",
			"bad_to",
			"SIP/2.0 400 Bad Request (bad_to)\r\n" VIA_BACK
			"From: \"a   <sip:a@b>;tag=1\r\nTo: \"c <sip:c@d>\r\nCall-ID: i X: y\r\nCSeq: 1 INVITE\r\n"
			"Content-Length: 0\r\n\r\n"},
		// a To tag stays; what is missing is not made up
		{INVITE VIA "To: <sip:c@d>;tag=T\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n", "no_from",
			"SIP/2.0 400 Bad Request (no_from)\r\n" VIA_BACK "To: <sip:c@d>;tag=T\r\n" CALL},
		{INVITE VIA "From: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n", "no_to",
			"SIP/2.0 400 Bad Request (no_to)\r\n" VIA_BACK "From: <sip:a@b>\r\n" CALL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kg_addr to;
		char *text = salvage(rows[i].text, strlen(rows[i].text), rows[i].why, &to);

		assert_non_null(text);
		assert_string_equal(text, rows[i].want);
		free(text);
	}
}

static void each_reason_has_its_status(void **state)
{
	static const struct {
		const char *text, *why, *want;
	} rows[] = {
		{INVITE HEAD "CSeq: 1 BYE\r\n\r\n", "method_mismatch", "SIP/2.0 400 Bad Request (method_mismatch)\r\n"},
		{"WHAT sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 BYE\r\n\r\n", "method_mismatch",
			"SIP/2.0 501 Not Implemented\r\n"},
		{"INVITE sip:c@d SIP/3.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_version",
			"SIP/2.0 505 Version Not Supported\r\n"},
		{INVITE HEAD "CSeq: 1 INVITE\r\n\r\n", "message_bytes", "SIP/2.0 513 Message Too Large\r\n"},
		{INVITE HEAD "CSeq: 99999999999999999999 INVITE\r\n\r\n", "bad_cseq",
			"SIP/2.0 400 Bad Request (bad_cseq)\r\n"},
		{"SIPPING sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 x\r\n\r\n", "bad_header",
			"SIP/2.0 400 Bad Request (bad_header)\r\n"},
		{"ACK sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 BYE\r\n\r\n", "method_mismatch", NULL},
		{"ack sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 BYE\r\n\r\n", "method_mismatch", NULL},
		{INVITE HEAD "CSeq: 1 ACK\r\n\r\n", "method_mismatch", NULL},
		{"SIP/2.0 200 OK\r\n" HEAD "CSeq: 99999999999 BYE\r\n\r\n", "bad_cseq", NULL},
		{"SIP /2.0 200 OK\r\n" HEAD "CSeq: 1 BYE\r\n\r\n", "bad_start_line", NULL},
		{" sip/2.0 200 OK\r\n" HEAD "CSeq: 1 BYE\r\n\r\n", "bad_start_line", NULL},
		{"INVITE\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_start_line", NULL},
		{INVITE HEAD "\r\nCSeq: 1 INVITE\r\n\r\n", "no_cseq", NULL},
		{INVITE HEAD "CSeq: 1 INVITE", "no_end", NULL}, // who knows what was to follow
		{INVITE REST "CSeq: 1 INVITE\r\n\r\n", "no_via", NULL},
		{INVITE REST "Via: ,;,\r\nCSeq: 1 INVITE\r\n\r\n", "no_via", NULL},
		{INVITE VIA "From: x\r\nTo: y\r\nCSeq: 1 INVITE\r\n\r\n", "no_call_id", NULL},
		{INVITE VIA "Call-ID: \r\nCSeq: 1 INVITE\r\n\r\n", "no_call_id", NULL},
		{"x", "no_end", NULL},
		{"", "no_end", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kg_addr to;
		char *text = salvage(rows[i].text, strlen(rows[i].text), rows[i].why, &to);

		if (!text != !rows[i].want)
			fail_msg("%s for:\n%s", text ? text : "nothing", rows[i].text);
		if (text)
			assert_memory_equal(text, rows[i].want, strlen(rows[i].want));
		free(text);
	}
}

static void it_goes_where_the_via_says(void **state)
{
	static const struct {
		const char *via, *back;
		uint16_t port;
	} rows[] = {
		{"SIP/2.0/UDP h", "SIP/2.0/UDP h;received=192.0.2.7", 5060},
		{"SIP/2.0/TCP h:5080 ;branch=x", "SIP/2.0/TCP h:5080 ;branch=x;received=192.0.2.7", 5080},
		{"SIP/2.0/UDP h:5080;rport;x", "SIP/2.0/UDP h:5080;x;received=192.0.2.7;rport=6000", 6000},
		{"SIP/2.0/UDP h;received=9.9.9.9", "SIP/2.0/UDP h;received=192.0.2.7", 5060},
		{"SIP/2.0/UDP [2001:db8::1]", "SIP/2.0/UDP [2001:db8::1];received=192.0.2.7", 5060},
		{"SIP/2.0/UDP [2001:db8::1]:99", "SIP/2.0/UDP [2001:db8::1]:99;received=192.0.2.7", 99},
		{"SIP/2.0/UDP h:99999", "SIP/2.0/UDP h:99999;received=192.0.2.7", 6000},
		{"SIP/2.0/UDP h:5x", "SIP/2.0/UDP h:5x;received=192.0.2.7", 6000},
		{"x", "x;received=192.0.2.7", 5060},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kg_addr source, to;
		char request[300], want[200], *text;
		size_t size;

		snprintf(request, sizeof(request), INVITE "Via: %s\r\n" REST "CSeq: 1 INVITE\r\n\r\n", rows[i].via);
		snprintf(want, sizeof(want), "\r\nVia: %s\r\n", rows[i].back);
		text = salvage(request, strlen(request), "bad_header", &to);
		assert_non_null(text);
		assert_non_null(strstr(text, want));
		assert_int_equal(to.port, rows[i].port);
		free(text);
		// behind NAT
		kg_addr_parse(&source, "192.0.2.7", 6000);
		text = sip_msg_salvage(request, strlen(request), "bad_header", &source, true, &to, &size);
		assert_non_null(text);
		assert_true(kg_addr_same(&to, &source));
		free(text);
	}
}

static void what_is_reflected_is_bounded(void **state)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		char request[SIP_SALVAGE_MAX + 100], *text;
		const size_t fixed = strlen("Via: SIP/2.0/UDP h\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nFrom: \r\n");
		struct kg_addr to;

		snprintf(request, sizeof(request),
			INVITE "Via: SIP/2.0/UDP h\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nFrom: %0*d\r\n\r\n",
			(int)(SIP_SALVAGE_MAX - fixed + extra), 0);
		text = salvage(request, strlen(request), "line_too_long", &to);
		assert_int_equal(text != NULL, !extra);
		free(text);
	}
	for (unsigned extra = 0; extra < 2; extra++) {
		char *request = NULL, *text;
		struct kg_addr to;
		size_t length;
		FILE *out = open_memstream(&request, &length);

		assert_non_null(out);
		fputs(INVITE "Call-ID: i\r\nCSeq: 1 INVITE\r\nVia: x", out);
		for (unsigned i = 3; i < SIP_MAX_HEADERS + extra; i++)
			fputs(",x", out);
		fputs("\r\n\r\n", out);
		fclose(out);
		assert_non_null(request);
		text = salvage(request, length, "too_many_vias", &to);
		assert_int_equal(text != NULL, !extra);
		free(text);
		free(request);
	}
}

static void the_same_request_gets_the_same_tag(void **state)
{
	static const char one[] = INVITE HEAD "CSeq: 1 INVITE\r\nx\r\n\r\n",
			  two[] = INVITE HEAD "CSeq: 2 INVITE\r\nx\r\n\r\n";
	struct kg_addr source, to;
	char *texts[3], *tags[3];
	size_t size;

	kg_addr_parse(&source, "2001:db8::7", 6000);
	for (unsigned i = 0; i < 3; i++) {
		texts[i] =
			sip_msg_salvage(i < 2 ? one : two, sizeof(one) - 1, "bad_header", &source, false, &to, &size);
		assert_non_null(texts[i]);
		assert_non_null(strstr(texts[i], ";received=2001:db8::7\r\n"));
		tags[i] = strstr(texts[i], "To: <sip:c@d>;tag=");
		assert_non_null(tags[i]);
	}
	assert_string_equal(texts[0], texts[1]);
	assert_memory_not_equal(tags[0], tags[2], 34);
	for (unsigned i = 0; i < 3; i++)
		free(texts[i]);
}

static void read_file(const char *name, char **data, size_t *length)
{
	char path[512];
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s.dat", RFC4475, name);
	in = fopen(path, "r");
	if (!in)
		fail_msg("%s: %s", path, strerror(errno));
	*data = malloc(65536);
	assert_non_null(*data);
	*length = fread(*data, 1, 65536, in);
	fclose(in);
	*data = realloc(*data, *length); // fits: a sanitizer sees who reads past it
	assert_non_null(*data);
}

// Each file with what it must come to. "ok" also where only the call layer or the stack has to refuse.
static void torture(void **state)
{
	static const struct {
		const char *name, *want;
		int status; // of the answer to what cannot be read; 0: none
	} rows[] = {
		{"badaspec", "bad_to", 400},
		{"badbranch", "ok", 0},
		{"baddate", "bad_date", 400},
		{"baddn", "no_end", 400}, // the file lacks its last line; with it: bad_from
		{"badinv01", "malformed", 400},
		{"badvers", "bad_version", 505},
		{"bcast", "ok", 0},
		{"bext01", "ok", 0},
		{"bigcode", "bad_status", 0},
		{"clerr", "short_body", 400},
		{"cparam01", "ok", 0},
		{"cparam02", "ok", 0},
		{"dblreq", "ok", 0},
		{"esc01", "ok", 0},
		{"esc02", "ok", 0},
		{"escnull", "ok", 0},
		{"escruri", "bad_uri", 400},
		{"insuf", "no_call_id", 0},
		{"intmeth", "nul", 501}, // valid, but a NUL in a header breaks C strings
		{"inv2543", "ok", 0},
		{"invut", "ok", 0},
		{"longreq", "ok", 0},
		{"ltgtruri", "bad_uri", 400},
		{"lwsdisp", "ok", 0},
		{"lwsruri", "bad_start_line", 400},
		{"lwsstart", "bad_start_line", 400},
		{"mcl01", "duplicate_header", 400},
		{"mismatch01", "method_mismatch", 400},
		{"mismatch02", "method_mismatch", 501},
		{"mpart01", "ok", 0},
		{"multi01", "duplicate_header", 400},
		{"ncl", "bad_content_length", 400},
		{"noreason", "ok", 0},
		{"novelsc", "ok", 0},
		{"quotbal", "bad_to", 400},
		{"regaut01", "ok", 0},
		{"regbadct", "bad_contact", 400},
		{"regescrt", "ok", 0},
		{"scalar02", "bad_cseq", 400},
		{"scalarlg", "bad_cseq", 0},
		{"sdp01", "ok", 0},
		{"semiuri", "ok", 0},
		{"transports", "ok", 0},
		{"trws", "bad_start_line", 400},
		{"unkscm", "ok", 0},
		{"unksm2", "ok", 0},
		{"unreason", "ok", 0},
		{"wsinv", "ok", 0},
		{"zeromf", "ok", 0},
	};

	assert_int_equal(sizeof(rows) / sizeof(*rows), 49);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *why = "ok";
		struct sip_msg *msg;
		struct kg_addr to;
		char *data, *text;
		int status = 0;
		size_t length;

		read_file(rows[i].name, &data, &length);
		sip_msg_parse(data, length, &msg, &why);
		if (strcmp(msg ? "ok" : why, rows[i].want) != 0)
			fail_msg("%s: %s instead of %s", rows[i].name, msg ? "ok" : why, rows[i].want);
		text = msg ? NULL : salvage(data, length, why, &to);
		if (text)
			sscanf(text, "SIP/2.0 %d", &status);
		if (status != rows[i].status)
			fail_msg("%s: answered %d instead of %d", rows[i].name, status, rows[i].status);
		free(text);
		free(data);
		sip_msg_unref(msg);
	}
}

static int set_up(void **state)
{
	return sip_msg_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_byte_for_byte),
		cmocka_unit_test(each_reason_has_its_status),
		cmocka_unit_test(it_goes_where_the_via_says),
		cmocka_unit_test(what_is_reflected_is_bounded),
		cmocka_unit_test(the_same_request_gets_the_same_tag),
		cmocka_unit_test(torture),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
