// SPDX-License-Identifier: BSD-3-Clause
// Strangers by the clock: who is read, who is told, who gets a line, and who is forgotten.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sip_limits.h"

static struct sip_limits *limits;
static struct sip_limits_config config;
static uint64_t now;

static int set_up(void **state)
{
	config = (struct sip_limits_config){
		.message_bytes = 2000, .headers = 4, .source_per_s = 100, .strangers_per_s = 300};
	now = 1000000;
	limits = sip_limits_create(&config, 0x1234567890abcdef);
	return limits ? 0 : -1;
}

static int tear_down(void **state)
{
	sip_limits_destroy(limits);
	return 0;
}

static struct kg_addr addr(const char *ip)
{
	struct kg_addr out;

	assert_int_equal(kg_addr_parse(&out, ip, 5060), 0);
	return out;
}

static struct kg_addr numbered(unsigned n)
{
	char ip[KG_ADDR_STRLEN];

	snprintf(ip, sizeof(ip), "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
	return addr(ip);
}

static uint64_t count(enum sip_refusal why)
{
	return sip_limits_counts(limits)[why];
}

// Send so many requests. Returns: how many were read; *told: how many answered.
static unsigned sends(const char *ip, unsigned requests, unsigned *told)
{
	const struct kg_addr from = addr(ip);
	unsigned read = 0, answered = 0;

	for (unsigned i = 0; i < requests; i++)
		if (sip_limits_admits(limits, &from, true, now)) {
			read++;
			answered += sip_limits_refuse(limits, &from, "OPTIONS sip:100@x", now);
		}
	if (told)
		*told = answered;
	return read;
}

static const char *line(void)
{
	static char text[512];

	return sip_limits_line(limits, now, text, sizeof(text)) ? text : NULL;
}

static void a_bucket_holds_a_second(void **state)
{
	struct sip_bucket bucket = {0};

	for (int i = 0; i < 10; i++) {
		assert_true(sip_bucket_has(&bucket, 10, 10, now));
		assert_true(sip_bucket_take(&bucket, 10, 10, now));
	}
	assert_false(sip_bucket_has(&bucket, 10, 10, now));
	assert_false(sip_bucket_take(&bucket, 10, 10, now));
	assert_false(sip_bucket_take(&bucket, 10, 10, now + 99));
	assert_true(sip_bucket_take(&bucket, 10, 10, now + 100));
	assert_false(sip_bucket_take(&bucket, 10, 10, now + 150));
	for (int i = 0; i < 10; i++) // a year fills it, and no more
		assert_true(sip_bucket_take(&bucket, 10, 10, now + 31536000000));
	assert_false(sip_bucket_take(&bucket, 10, 10, now + 31536000000));
	for (int i = 0; i < 1000; i++)
		assert_true(sip_bucket_take(&bucket, 0, 0, now));
}

static void one_stranger_is_read_so_often_and_told_less_often(void **state)
{
	unsigned told;

	assert_int_equal(sends("203.0.113.9", 150, &told), 100);
	assert_int_equal(told, SIP_LIMITS_ANSWERS);
	assert_int_equal(count(SIP_REFUSED_stranger), SIP_LIMITS_ANSWERS);
	assert_int_equal(count(SIP_REFUSED_scan), 100 - SIP_LIMITS_ANSWERS);
	assert_int_equal(count(SIP_REFUSED_source_rate), 50);
	assert_int_equal(sends("203.0.113.10", 1, &told), 1); // another is another
	assert_int_equal(told, 1);
	now += 1000; // then one answer a second
	assert_int_equal(sends("203.0.113.9", 150, &told), 100);
	assert_int_equal(told, 1);
	now += 60000;
	assert_int_equal(sends("203.0.113.9", 5, &told), 5);
	assert_int_equal(told, 5);
}

static void nobody_is_told_in_silence(void **state)
{
	unsigned told;

	config.silent = true;
	sip_limits_configure(limits, &config);
	assert_int_equal(sends("203.0.113.9", 150, &told), 100);
	assert_int_equal(told, 0);
	assert_int_equal(count(SIP_REFUSED_stranger), 100);
	assert_int_equal(count(SIP_REFUSED_scan), 0);
}

static void all_strangers_together_are_bounded(void **state)
{
	const struct kg_addr known = addr("203.0.113.1");
	unsigned read = 0;
	char ip[32];

	for (int i = 0; i < 4; i++) {
		snprintf(ip, sizeof(ip), "203.0.113.%d", i + 1);
		read += sends(ip, 90, NULL);
	}
	assert_int_equal(read, 300);
	assert_int_equal(count(SIP_REFUSED_strangers_rate), 60);
	assert_int_equal(sends("198.51.100.1", 7, NULL), 0); // never seen
	assert_int_equal(count(SIP_REFUSED_strangers_rate), 67);
	assert_true(sip_limits_admits(limits, &known, false, now)); // a response is bounded by its source alone
	now += 100;
	assert_int_equal(sends("198.51.100.1", 90, NULL), 30);
}

static void what_is_ours_is_free(void **state)
{
	const struct kg_addr from = addr("203.0.113.9");

	for (int i = 0; i < 1000; i++)
		assert_true(sip_limits_admits(limits, &from, true, now));
	for (int i = 0; i < 100; i++)
		sip_limits_charge(limits, &from, now);
	assert_false(sip_limits_admits(limits, &from, false, now));
	assert_int_equal(count(SIP_REFUSED_source_rate), 1);
	assert_false(sip_limits_waits(limits)); // it asked for nothing
}

static void an_ipv6_network_is_one_stranger(void **state)
{
	assert_int_equal(sends("2001:db8:0:1::1", 60, NULL), 60);
	assert_int_equal(sends("2001:db8:0:1:ffff::2", 60, NULL), 40);
	assert_int_equal(sends("2001:db8:0:2::1", 60, NULL), 60);
	assert_string_equal(line(), "strangers: refused 120 requests from 2001:db8:0:1:ffff::2 in 0 s (last: OPTIONS "
				    "sip:100@x)");
}

static void a_scan_has_one_line_in_a_minute(void **state)
{
	sends("203.0.113.9", SIP_LIMITS_SCAN - 1, NULL);
	assert_null(line());
	assert_true(sip_limits_waits(limits));
	now += 500;
	sends("203.0.113.9", 1, NULL);
	assert_string_equal(line(), "strangers: refused 10 requests from 203.0.113.9 in 1 s (last: OPTIONS sip:100@x)");
	assert_null(line());
	assert_false(sip_limits_waits(limits));
	for (int i = 0; i < 59; i++) {
		now += 1000;
		sends("203.0.113.9", 50, NULL);
		assert_null(line());
	}
	now += 1000;
	assert_string_equal(
		line(), "strangers: refused 2950 requests from 203.0.113.9 in 59 s (last: OPTIONS sip:100@x)");
	assert_null(line());
}

static void a_single_request_has_its_line_too(void **state)
{
	sends("203.0.113.9", 1, NULL);
	now += SIP_LIMITS_GATHER_MS - 1;
	assert_null(line());
	now++;
	assert_string_equal(line(), "strangers: refused 1 request from 203.0.113.9 in 5 s (last: OPTIONS sip:100@x)");
	assert_null(line());
}

static void what_is_dropped_unread_is_in_the_line(void **state)
{
	sends("203.0.113.9", 150, NULL);
	assert_string_equal(
		line(), "strangers: refused 150 requests from 203.0.113.9 in 0 s (last: OPTIONS sip:100@x)");
}

static void a_long_word_is_cut(void **state)
{
	const struct kg_addr from = addr("203.0.113.9");
	char what[1000], text[64];

	memset(what, 'x', sizeof(what) - 1);
	what[sizeof(what) - 1] = '\0';
	sip_limits_refuse(limits, &from, what, now);
	now += SIP_LIMITS_GATHER_MS;
	assert_true(strlen(line()) < 200);
	sip_limits_refuse(limits, &from, what, now);
	now += SIP_LIMITS_LINE_MS;
	assert_true(sip_limits_line(limits, now, text, sizeof(text))); // cut, whole all the same
	assert_int_equal(strlen(text), sizeof(text) - 1);
}

// More addresses than the table has places: who is quiet longest goes, who goes on stays.
static void the_table_is_bounded(void **state)
{
	const struct kg_addr scanner = addr("203.0.113.9"), first = numbered(0);
	unsigned lines = 0;
	const char *text;

	config.strangers_per_s = 0;
	sip_limits_configure(limits, &config);
	for (unsigned i = 0; i < 3 * SIP_LIMITS_SOURCES; i++) {
		const struct kg_addr from = numbered(i);

		assert_true(sip_limits_admits(limits, &from, true, now));
		sip_limits_refuse(limits, &from, "x", now);
		if (i % 1000 == 0)
			sip_limits_refuse(limits, &scanner, "REGISTER sip:1@x", now);
	}
	assert_int_equal(count(SIP_REFUSED_stranger), 3 * SIP_LIMITS_SOURCES + 13);
	for (int i = 0; i < 100; i++)
		sip_limits_charge(limits, &scanner, now);
	assert_false(sip_limits_admits(limits, &scanner, true, now)); // it was not forgotten
	for (int i = 0; i < 98; i++) // the first was: it has a whole bucket, less what it takes now
		sip_limits_charge(limits, &first, now);
	assert_true(sip_limits_admits(limits, &first, true, now));
	assert_string_equal(line(), "strangers: refused 14 requests from 203.0.113.9 in 0 s (last: REGISTER sip:1@x)");
	assert_null(line());
	now += SIP_LIMITS_GATHER_MS;
	while ((text = line())) {
		assert_true(++lines <= SIP_LIMITS_SOURCES);
		if (strstr(text, "more requests"))
			assert_string_equal(text, "strangers: refused 8194 more requests in 5 s, from more addresses "
						  "than are listed");
	}
	assert_int_equal(lines, SIP_LIMITS_SOURCES - 1); // all but the scanner and the first, and the others' one
	assert_false(sip_limits_waits(limits));
}

static void sizes_are_bounded(void **state)
{
	static const struct {
		const char *text;
		size_t length; // 0: the text's
		int why;       // -1: it may pass
	} rows[] = {
		{"x", 2000, -1},
		{"x", 2001, SIP_REFUSED_message_bytes},
		{"A\r\nb: 1\r\nc: 2\r\nd: 3\r\ne: 4\r\n\r\n", 0, -1},
		{"A\r\nb: 1\r\nc: 2\r\nd: 3\r\ne: 4\r\nf: 5\r\n\r\n", 0, SIP_REFUSED_headers},
		{"A\r\nb: 1\r\n 1\r\n\t1\r\nc: 2\r\nd: 3\r\ne: 4\r\n\r\n", 0, -1},
		{"A\nb: 1\nc: 2\nd: 3\ne: 4\n\nbody\nbody\nbody\n", 0, -1},
		{"A\nb: 1\nc: 2\nd: 3\ne: 4\nf: 5", 0, SIP_REFUSED_headers},
		{"A\n", 0, -1},
		{"", 0, -1},
	};
	enum sip_refusal why;
	char text[3000];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t length = rows[i].length ? rows[i].length : strlen(rows[i].text);
		bool over;

		memset(text, 'x', sizeof(text));
		memcpy(text, rows[i].text, strlen(rows[i].text));
		over = sip_limits_exceeds(limits, text, length, &why);
		if (over != (rows[i].why >= 0) || (over && (int)why != rows[i].why))
			fail_msg("row %zu", i);
	}
	assert_int_equal(count(SIP_REFUSED_message_bytes), 1);
	assert_int_equal(count(SIP_REFUSED_headers), 2);
	config.message_bytes = config.headers = 0;
	sip_limits_configure(limits, &config);
	assert_false(sip_limits_exceeds(limits, rows[3].text, strlen(rows[3].text), &why));
}

static void they_come_back_at_different_times(void **state)
{
	unsigned seen = 0, times = 0;

	for (unsigned i = 0; i < 200; i++) {
		const struct kg_addr from = numbered(i);
		unsigned s = sip_limits_retry_after(&from);

		assert_in_range(s, 5, 15);
		assert_int_equal(s, sip_limits_retry_after(&from));
		seen |= 1u << s;
	}
	for (; seen; seen &= seen - 1)
		times++;
	assert_int_equal(times, 11);
}

static void each_reason_has_a_name(void **state)
{
	assert_string_equal(sip_refusal_name(SIP_REFUSED_stranger), "stranger");
	assert_string_equal(sip_refusal_name(SIP_REFUSED_shutdown), "shutdown");
	assert_null(sip_refusal_name(SIP_REFUSAL_COUNT));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_bucket_holds_a_second),
		TEST(one_stranger_is_read_so_often_and_told_less_often),
		TEST(nobody_is_told_in_silence),
		TEST(all_strangers_together_are_bounded),
		TEST(what_is_ours_is_free),
		TEST(an_ipv6_network_is_one_stranger),
		TEST(a_scan_has_one_line_in_a_minute),
		TEST(a_single_request_has_its_line_too),
		TEST(what_is_dropped_unread_is_in_the_line),
		TEST(a_long_word_is_cut),
		TEST(the_table_is_bounded),
		TEST(sizes_are_bounded),
		TEST(they_come_back_at_different_times),
		TEST(each_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
