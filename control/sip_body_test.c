// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_body.h"

#define TYPE "multipart/mixed; boundary=\"b 1\""
#define PARTS(sdp)                                                                                            \
	"preamble\r\n--b 1\r\nContent-Type: application/isup;version=x\r\n\r\n\x01\x02--b 1\x03\r\n--b 1\r\n" \
	"content-TYPE:application/sdp\r\nContent-Disposition: session\r\n\r\n" sdp                            \
	"\r\n--b 1\r\n\r\nlast\r\n--b 1--\r\n"

static const struct row {
	const char *type, *body, *sdp; // NULL: none
} rows[] = {
	{"application/sdp", "v=0\r\n", "v=0\r\n"},
	{"Application/SDP;charset=x", "v=0\r\n", "v=0\r\n"},
	{TYPE, PARTS("v=0\r\ns=-"), "v=0\r\ns=-"},
	{"multipart/alternative;boundary=x", "--x\nContent-Type: application/sdp\n\nv=0\n--x--", "v=0"},
	{"multipart/mixed", PARTS("v=0"), NULL},                                                 // no boundary
	{"multipart/mixed;boundary=", PARTS("v=0"), NULL},                                       // an empty one
	{"multipart/mixed;boundary=other", PARTS("v=0"), NULL},                                  // another one
	{"multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\nv=0", NULL}, // cut short
	{"multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n--x--", NULL},   // no end of its head
	{"multipart/mixed;boundary=x", "--x\r\n\r\nv=0\r\n--x--", NULL},
	{"multipart/mixed;boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\ns=--x\r\n--x--", "s=--x"},
	{"text/plain", "v=0", NULL},
	{NULL, "v=0", NULL},
	{"application/sdp", "", NULL},
};

static void the_description_is_found(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *sdp = NULL;
		size_t length = 0;
		bool found = sip_body_sdp(rows[i].type, rows[i].body, strlen(rows[i].body), &sdp, &length);

		assert_int_equal(found, rows[i].sdp != NULL);
		if (found) {
			assert_int_equal(length, strlen(rows[i].sdp));
			assert_memory_equal(sdp, rows[i].sdp, length);
		}
	}
}

static void nothing_else_is_touched(void **state)
{
	static const char wanted[] = PARTS("ours, and longer");
	const char *body = PARTS("v=0\r\ns=-");
	size_t length;
	char *out = sip_body_replace(TYPE, body, strlen(body), "ours, and longer", &length);

	assert_non_null(out);
	assert_int_equal(length, sizeof(wanted) - 1);
	assert_memory_equal(out, wanted, length + 1);
	free(out);
	assert_null(sip_body_replace("text/plain", "x", 1, "y", &length));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_description_is_found),
		cmocka_unit_test(nothing_else_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
