// SPDX-License-Identifier: BSD-3-Clause

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

#define HEAD "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\n"
#define INVITE "INVITE sip:c@d SIP/2.0\r\n"

static const char *parse(const char *text, size_t length, struct sip_msg **out)
{
	const char *why = NULL;
	int error = sip_msg_parse(text, length, out, &why);

	if (!error) {
		assert_non_null(*out);
		return "ok";
	}
	assert_null(*out);
	assert_int_equal(error, -EBADMSG);
	return why;
}

static void expect(const char *text, size_t length, const char *want)
{
	struct sip_msg *msg;
	const char *got = parse(text, length, &msg);

	if (strcmp(got, want) != 0)
		fail_msg("got %s, want %s, for:\n%.300s", got, want, text);
	sip_msg_unref(msg);
}

static void malformed_messages_by_name(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{INVITE HEAD "CSeq: 1 INVITE\r\n\r\n", "ok"},
		{"\r\n\r\n" INVITE HEAD "CSeq: 1 INVITE\r\n\r\n", "ok"},
		{INVITE HEAD "CSeq: 1 INVITE\r\n", "no_end"},
		{"INVITE", "no_end"},
		{"INVITE sip:c@d SIP/2.0 \r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_start_line"},
		{"INVITE  sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_start_line"},
		{"IN(VITE sip:c@d SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_start_line"},
		{"INVITE sip:c@d HTTP/1.1\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_start_line"},
		{"INVITE sip:c@d SIP/3.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_version"},
		{"INVITE sip:c@d sip/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_version"},
		{"SIP/2.1 200 OK\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_version"},
		{"SIP/2.0 200 OK\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "ok"},
		{"SIP/2.0 200\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "ok"},
		{"SIP/2.0 099 OK\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_status"},
		{"SIP/2.0 700 OK\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_status"},
		{"SIP/2.0 2000 OK\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_status"},
		{"INVITE <sip:c@d> SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_uri"},
		{"INVITE sip:c@d?a=b SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n\r\n", "bad_uri"},
		{INVITE HEAD "CSeq: 2147483647 INVITE\r\n\r\n", "ok"},
		{INVITE HEAD "CSeq: 2147483648 INVITE\r\n\r\n", "bad_cseq"},
		{INVITE HEAD "CSeq: 36893488147419103233 INVITE\r\n\r\n", "bad_cseq"},
		{INVITE HEAD "CSeq: -1 INVITE\r\n\r\n", "bad_cseq"},
		{INVITE HEAD "CSeq: 1\r\n\r\n", "bad_cseq"},
		{INVITE HEAD "CSeq: 1 BYE\r\n\r\n", "method_mismatch"},
		{INVITE HEAD "\r\n", "no_cseq"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nContent-Length: -1\r\n\r\n", "bad_content_length"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nContent-Length: 4294967297\r\n\r\n", "bad_content_length"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nContent-Length: 1x\r\n\r\nab", "bad_content_length"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nl: 3\r\n\r\nab", "short_body"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nl: 2\r\nContent-Length: 2\r\n\r\nab", "duplicate_header"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nf: <sip:x@y>\r\n\r\n", "duplicate_header"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nMax-Forwards: 256\r\n\r\n", "bad_max_forwards"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nDate: Fri, 01 Jan 2010 16:00:00 EST\r\n\r\n", "bad_date"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nno colon\r\n\r\n", "bad_header"},
		{INVITE HEAD "CSeq: 1 INVITE\r\na b: c\r\n\r\n", "bad_header"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nSubject: a\rVia: b\r\n\r\n", "bad_header"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nContact: sip:a@b?c=d\r\n\r\n", "bad_contact"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nContact: \"a <sip:a@b>\r\n\r\n", "bad_contact"},
		{INVITE HEAD "CSeq: 1 INVITE\r\nRoute: <sip:a b>\r\n\r\n", "bad_route"},
		{INVITE "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n", "no_via"},
		{INVITE "v: SIP/2.0/UDP h\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n", "no_from"},
		{INVITE "v: SIP/2.0/UDP h\r\nf: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n", "no_to"},
		{INVITE "v: SIP/2.0/UDP h\r\nf: <sip:c@d>\r\nt: <sip:c@d>\r\nCSeq: 1 INVITE\r\n\r\n", "no_call_id"},
		{INVITE "v: SIP/3.0/UDP h\r\nf: <sip:c@d>\r\nt: <sip:c@d>\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n",
			"bad_via"},
		{INVITE "v: SIP/2.0/UDP h:99999\r\nf: <sip:c@d>\r\nt: <sip:c@d>\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n",
			"bad_via"},
		{INVITE "v: SIP/2.0/UDP h\r\nf: A, B <sip:c@d>\r\nt: <sip:c@d>\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n",
			"bad_from"},
		{INVITE "v: SIP/2.0/UDP h\r\nf: <sip:c@d>\r\nt: \"x <sip:c@d>\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n",
			"bad_to"},
	};
	static const char nul[] = INVITE HEAD "CSeq: 1 INVITE\r\nSubject: a\0b\r\n\r\n";

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		expect(rows[i].text, strlen(rows[i].text), rows[i].want);
	expect(nul, sizeof(nul) - 1, "nul");
}

// A message with `count` lines of that kind, each of `width` bytes of x.
static char *grown(const char *name, unsigned count, unsigned width, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	assert_non_null(out);
	fputs(INVITE HEAD "CSeq: 1 INVITE\r\n", out);
	for (unsigned i = 0; i < count; i++) {
		fputs(name, out);
		for (unsigned j = 0; j < width; j++)
			fputc('x', out);
		fputs("\r\n", out);
	}
	fputs("\r\n", out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(text);
	return text;
}

static void limits_are_met_exactly(void **state)
{
	static const struct {
		const char *name;
		unsigned count, width;
		const char *want;
	} rows[] = {
		{"A: ", SIP_MAX_HEADERS - 5, 1, "ok"},
		{"A: ", SIP_MAX_HEADERS - 4, 1, "too_many_headers"},
		{"A: ", 1, SIP_MAX_LINE - 3, "ok"},
		{"A: ", 1, SIP_MAX_LINE - 2, "line_too_long"},
		{"A: y\r\n ", 1, SIP_MAX_LINE, "line_too_long"},
		{"v: SIP/2.0/UDP ", SIP_MAX_VIAS - 1, 1, "ok"},
		{"v: SIP/2.0/UDP ", SIP_MAX_VIAS, 1, "too_many_vias"},
		{"v: SIP/2.0/UDP a, SIP/2.0/UDP ", SIP_MAX_VIAS / 2, 1, "too_many_vias"},
		{"A: ", 16, 4090, "too_long"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t length;
		char *text = grown(rows[i].name, rows[i].count, rows[i].width, &length);

		expect(text, length, rows[i].want);
		free(text);
	}
}

static void reads_what_is_written(void **state)
{
	static const char text[] =
		"INVITE sip:u%00x@h;p SIP/2.0\r\n"
		"v: SIP/2.0/UDP [2001:db8::1]:5071;branch=z9hG4bKa;rport , SIP/2.0/TCP second\r\n"
		"VIA: SIP/2.0/UDP third\r\nf: \"A, \\\"B\\\"\" <sip:a@b;x=1>;tag=F\r\nt: <sip:c@d>;x;TAG=T\r\n"
		"i: c@ll\r\ncseq: 0042   INVITE\r\nk: timer\r\nx: 1800\r\nr: <sip:r@r>\r\nb: <sip:b@b>\r\nj: a\r\n"
		"u: e\r\no: refer\r\nRoute: <sip:r1;lr>,<sip:r2,x;lr>\r\nRecord-Route: \"a,b\" <sip:rr>\r\n"
		"m: \"x\" <sip:con%74act@h:5080;a=b>;q=1, <sip:two@h>\r\nSubject: a\r\n  b\r\n"
		"Identity: eyJ,\"<;=\r\nc: Application/SDP;a=b\r\nl: 4\r\n\r\nv=0\nrest";
	struct sip_msg *msg;
	size_t length;

	assert_string_equal(parse(text, sizeof(text) - 1, &msg), "ok");
	assert_true(sip_msg_is_request(msg));
	assert_int_equal(sip_msg_method(msg), SIP_INVITE);
	assert_string_equal(sip_msg_request_uri(msg), "sip:u%00x@h;p");
	assert_string_equal(sip_msg_start_line(msg), "INVITE sip:u%00x@h;p SIP/2.0");
	assert_string_equal(sip_msg_via_host(msg), "2001:db8::1");
	assert_int_equal(sip_msg_via_port(msg), 5071);
	assert_string_equal(sip_msg_branch(msg), "z9hG4bKa");
	assert_string_equal(sip_msg_header(msg, "via", 1), "SIP/2.0/TCP second");
	assert_string_equal(sip_msg_header(msg, "Via", 2), "SIP/2.0/UDP third");
	assert_null(sip_msg_header(msg, "Via", 3));
	assert_string_equal(sip_msg_from(msg), "\"A, \\\"B\\\"\" <sip:a@b;x=1>;tag=F");
	assert_string_equal(sip_msg_from_tag(msg), "F");
	assert_string_equal(sip_msg_to_tag(msg), "T");
	assert_string_equal(sip_msg_call_id(msg), "c@ll");
	assert_int_equal(sip_msg_cseq(msg), 42);
	assert_string_equal(sip_msg_header(msg, "Supported", 0), "timer");
	assert_string_equal(sip_msg_header(msg, "Session-Expires", 0), "1800");
	assert_string_equal(sip_msg_header(msg, "Refer-To", 0), "<sip:r@r>");
	assert_string_equal(sip_msg_header(msg, "Referred-By", 0), "<sip:b@b>");
	assert_string_equal(sip_msg_header(msg, "Reject-Contact", 0), "a");
	assert_string_equal(sip_msg_header(msg, "Allow-Events", 0), "e");
	assert_string_equal(sip_msg_header(msg, "Event", 0), "refer");
	assert_string_equal(sip_msg_header(msg, "Route", 0), "<sip:r1;lr>");
	assert_string_equal(sip_msg_header(msg, "Route", 1), "<sip:r2,x;lr>");
	assert_string_equal(sip_msg_header(msg, "Record-Route", 0), "\"a,b\" <sip:rr>");
	assert_string_equal(sip_msg_contact_uri(msg), "sip:con%74act@h:5080;a=b");
	assert_string_equal(sip_msg_header(msg, "Subject", 0), "a    b");
	assert_string_equal(sip_msg_header(msg, "Identity", 0), "eyJ,\"<;=");
	assert_string_equal(sip_msg_content_type(msg), "application/sdp");
	assert_string_equal(sip_msg_body(msg, &length), "v=0\n");
	assert_int_equal(length, 4); // what follows is not ours
	sip_msg_unref(msg);
}

static void builds_what_reads_the_same(void **state)
{
	static const char body[] = "--b\r\n\r\nv=0\r\n--b--\r\n\0bytes";
	struct sip_msg *msg = sip_msg_request("MESSAGE", "sip:a%41;x@h?y"), *back;
	size_t length, body_length;
	char *text;

	assert_non_null(msg);
	assert_int_equal(sip_msg_add(msg, "From", "\"O,'x\" <sip:%41@b>;tag=f"), 0);
	assert_int_equal(sip_msg_add(msg, "To", "<tel:+12;ext=3>"), 0);
	assert_int_equal(sip_msg_add(msg, "Call-ID", "c@1"), 0);
	assert_int_equal(sip_msg_addf(msg, "CSeq", "%u MESSAGE", 9), 0);
	assert_int_equal(sip_msg_prepend(msg, "Via", "SIP/2.0/UDP second;branch=z9hG4bK2"), 0);
	assert_int_equal(sip_msg_prepend(msg, "Via", "SIP/2.0/UDP first:7000;branch=z9hG4bK1"), 0);
	assert_int_equal(sip_msg_add(msg, "Diversion", "<sip:a@b>;reason=x, <sip:c@d>"), 0);
	assert_int_equal(sip_msg_set_body(msg, "multipart/mixed;boundary=b", body, sizeof(body)), 0);
	assert_int_equal(sip_msg_set_body(msg, "a/b", body, 1), -EINVAL); // once
	assert_string_equal(sip_msg_branch(msg), "z9hG4bK1");
	assert_int_equal(sip_msg_via_port(msg), 7000);
	assert_int_equal(sip_msg_cseq(msg), 9);
	assert_string_equal(sip_msg_from_tag(msg), "f");
	assert_null(sip_msg_to_tag(msg));
	text = sip_msg_build(msg, &length);
	sip_msg_unref(msg);
	// The Request-URI has headers, which only a peer that is careless would accept: ours is not.
	expect(text, length, "bad_uri");
	text[strcspn(text, "?")] = ';';
	assert_string_equal(parse(text, length, &back), "ok");
	assert_string_equal(sip_msg_start_line(back), "MESSAGE sip:a%41;x@h;y SIP/2.0");
	assert_string_equal(sip_msg_header(back, "Via", 0), "SIP/2.0/UDP first:7000;branch=z9hG4bK1");
	assert_string_equal(sip_msg_header(back, "Via", 1), "SIP/2.0/UDP second;branch=z9hG4bK2");
	assert_string_equal(sip_msg_from(back), "\"O,'x\" <sip:%41@b>;tag=f");
	assert_string_equal(sip_msg_to(back), "<tel:+12;ext=3>");
	assert_string_equal(sip_msg_header(back, "Diversion", 0), "<sip:a@b>;reason=x, <sip:c@d>");
	assert_memory_equal(sip_msg_body(back, &body_length), body, sizeof(body));
	assert_int_equal(body_length, sizeof(body));
	free(text);
	sip_msg_unref(back);
}

static void refuses_to_build_what_would_inject(void **state)
{
	struct sip_msg *msg = sip_msg_request("OPTIONS", "sip:x");

	assert_non_null(msg);
	assert_int_equal(sip_msg_add(msg, "X", "a\r\nb: c"), -EINVAL);
	assert_int_equal(sip_msg_add(msg, "X", "a\nb"), -EINVAL);
	assert_int_equal(sip_msg_add(msg, "X\r\nY", "a"), -EINVAL);
	assert_int_equal(sip_msg_add(msg, "", "a"), -EINVAL);
	assert_int_equal(sip_msg_prepend(msg, "Via", "a\rb"), -EINVAL);
	assert_int_equal(sip_msg_set_body(msg, "a/b\r\nX: y", "", 0), -EINVAL);
	assert_null(sip_msg_request("OPT IONS", "sip:x"));
	assert_null(sip_msg_request("OPTIONS", "sip:x SIP/2.0\r\nX: y"));
	assert_null(sip_msg_request("OPTIONS", "nothing"));
	assert_null(sip_msg_response(msg, 200, "OK\r\nX: y", NULL));
	assert_null(sip_msg_response(msg, 200, NULL, "t;x"));
	assert_null(sip_msg_response(msg, 99, NULL, NULL));
	sip_msg_unref(msg);
}

static void a_response_echoes_its_request(void **state)
{
	static const char text[] = INVITE
		"Via: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKa\r\nVia: SIP/2.0/UDP far\r\n"
		"Record-Route: <sip:a;lr>,<sip:b;lr>\r\nFrom: <sip:a@b>;tag=1\r\nTo: sip:c@d;x=1\r\nCall-ID: i\r\n"
		"CSeq: 7 INVITE\r\nTimestamp: 1\r\n\r\n";
	struct kg_addr source, to;
	struct sip_msg *msg, *response;

	kg_addr_parse(&source, "2001:db8::9", 6000);
	assert_string_equal(parse(text, sizeof(text) - 1, &msg), "ok");
	sip_msg_set_source(msg, &source);
	assert_true(kg_addr_same(sip_msg_source(msg), &source));
	to = sip_msg_reply_to(msg);
	assert_int_equal(to.port, 6000);
	response = sip_msg_response(msg, 180, NULL, "ours");
	assert_non_null(response);
	assert_string_equal(sip_msg_header(response, "Via", 0),
		"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;received=2001:db8::9;rport=6000");
	assert_string_equal(sip_msg_header(response, "Via", 1), "SIP/2.0/UDP far");
	assert_string_equal(sip_msg_header(response, "Record-Route", 1), "<sip:b;lr>");
	assert_string_equal(sip_msg_to(response), "sip:c@d;x=1;tag=ours");
	assert_string_equal(sip_msg_to_tag(response), "ours");
	assert_string_equal(sip_msg_header(response, "CSeq", 0), "7 INVITE");
	assert_int_equal(sip_msg_method(response), SIP_INVITE);
	assert_string_equal(sip_msg_start_line(response), "SIP/2.0 180 Ringing");
	assert_null(sip_msg_header(response, "Timestamp", 0));
	sip_msg_unref(response);
	sip_msg_unref(msg);
}

// Wrong, but seen: what we append must not come to stand behind two semicolons.
static void a_semicolon_at_the_end_is_dropped(void **state)
{
	static const char text[] = "BYE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa; , SIP/2.0/UDP i;\r\n"
				   "From: <sip:a@b>;tag=1;\r\nTo: <sip:c@d> ;\r\nCall-ID: i\r\nCSeq: 7 BYE\r\n\r\n";
	struct kg_addr source;
	struct sip_msg *msg, *response;

	kg_addr_parse(&source, "192.0.2.9", 6000);
	assert_string_equal(parse(text, sizeof(text) - 1, &msg), "ok");
	sip_msg_set_source(msg, &source);
	response = sip_msg_response(msg, 481, NULL, "t");
	assert_non_null(response);
	assert_string_equal(sip_msg_to(response), "<sip:c@d>;tag=t");
	assert_string_equal(sip_msg_header(response, "Via", 0), "SIP/2.0/UDP h;branch=z9hG4bKa;received=192.0.2.9");
	assert_string_equal(sip_msg_header(response, "Via", 1), "SIP/2.0/UDP i");
	sip_msg_unref(response);
	sip_msg_unref(msg);
}

static void uris_taken_apart(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *scheme, *user, *host;
		uint16_t port;
		bool lr;
	} rows[] = {
		{"sip:u@h", 0, "sip", "u", "h", 0, false},
		{"sips:h:5061;lr", 0, "sips", "", "h", 5061, true},
		{"\"A <x>\" <sip:u;p=1@[2001:db8::1]:5070;lr>;tag=a;lr", 0, "sip", "u;p=1", "2001:db8::1", 5070, true},
		{"sip:u@h;tag=x", 0, "sip", "u", "h", 0, false},
		{"<sip:u@h>;lr", 0, "sip", "u", "h", 0, false},
		{"tel:+1-23;ext=4", 0, "tel", "+1-23", "", 0, false},
		{"mailto:a@b", -EPROTONOSUPPORT, NULL, NULL, NULL, 0, false},
		{"urn:service:sos", -EPROTONOSUPPORT, NULL, NULL, NULL, 0, false},
		{"sip:a%00b@h", -EINVAL, NULL, NULL, NULL, 0, false},
		{"sip:u@h:70000", -EINVAL, NULL, NULL, NULL, 0, false},
		{"sip:", -EINVAL, NULL, NULL, NULL, 0, false},
		{"\"a <sip:u@h>", -EINVAL, NULL, NULL, NULL, 0, false},
		{"", -EINVAL, NULL, NULL, NULL, 0, false},
	};
	struct sip_uri uri;
	char long_user[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(sip_uri_parse(rows[i].text, &uri), rows[i].error);
		if (rows[i].error)
			continue;
		assert_string_equal(uri.scheme, rows[i].scheme);
		assert_string_equal(uri.user, rows[i].user);
		assert_string_equal(uri.host, rows[i].host);
		assert_int_equal(uri.port, rows[i].port);
		assert_int_equal(uri.lr, rows[i].lr);
	}
	snprintf(long_user, sizeof(long_user), "sip:%0150d@h", 1);
	assert_int_equal(sip_uri_parse(long_user, &uri), -EINVAL);
}

static int set_up(void **state)
{
	return sip_msg_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_messages_by_name),
		cmocka_unit_test(limits_are_met_exactly),
		cmocka_unit_test(reads_what_is_written),
		cmocka_unit_test(builds_what_reads_the_same),
		cmocka_unit_test(refuses_to_build_what_would_inject),
		cmocka_unit_test(a_response_echoes_its_request),
		cmocka_unit_test(a_semicolon_at_the_end_is_dropped),
		cmocka_unit_test(uris_taken_apart),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
