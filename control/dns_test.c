// SPDX-License-Identifier: BSD-3-Clause
// DNS: answers by a table of bytes, then the resolver against a small server on the loopback.

#include "dns_rig.h"

struct told {
	unsigned count;
	const struct dns_answer *answer; // the last
	struct dns_query *query;
};

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct told *told = arg;

	dns_answer_unref(told->answer);
	told->answer = dns_answer_ref(answer);
	told->query = NULL;
	told->count++;
}

// Ask and wait for it. Returns: the answer's error.
static int ask(struct told *told, const char *name, enum dns_type type)
{
	const struct dns_answer *answer;
	unsigned count = told->count;
	int result = dns_query(rig.dns, name, type, on_answer, told, &answer, &told->query);

	if (result == 0) {
		on_answer(told, answer);
		dns_answer_unref(answer);
	} else {
		assert_int_equal(result, -EINPROGRESS);
		until(&told->count, count + 1);
	}
	return told->answer->error;
}

static void forget(struct told *told)
{
	dns_answer_unref(told->answer);
	told->answer = NULL;
}

static struct dns_counts counts(void)
{
	struct dns_counts out;

	dns_counts(rig.dns, &out);
	return out;
}

// --- parsing --------------------------------------------------------------------------------------------------------

static void an_answer_is_read_from_its_bytes(void **state)
{
	struct rig_message m = {.length = 0};
	struct dns_answer *answer;

	put_question(&m, 1, 0x8180, "_sip._UDP.Example.com", DNS_SRV);
	m.data[7] = 3;
	put_record(&m, "other.example.com", DNS_SRV, 5, "1 1 1 not.asked.for");
	put_record(&m, "_sip._udp.example.COM", DNS_SRV, 600, "10 60 5060 Big.Example.com");
	put(&m, "\xc0\x0c\0\x21\0\1\0\0\1\x2c\0\x0c\0\x14\0\0\x13\xc4\3web\xc0\x16", 24); // names by pointers
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_SRV, &answer), 0);
	assert_int_equal(answer->error, 0);
	assert_int_equal(answer->ttl_s, 300);
	assert_int_equal(answer->count, 2);
	assert_int_equal(answer->records[0].srv.priority, 10);
	assert_int_equal(answer->records[0].srv.weight, 60);
	assert_int_equal(answer->records[0].srv.port, 5060);
	assert_string_equal(answer->records[0].srv.target, "big.example.com");
	assert_int_equal(answer->records[1].srv.port, 5060);
	assert_string_equal(answer->records[1].srv.target, "web.example.com");
	dns_answer_unref(answer);
	for (size_t length = 0; length < m.length; length++)
		assert_int_equal(dns_answer_parse(m.data, length, DNS_SRV, &answer), -EBADMSG);
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_NAPTR, &answer), -EBADMSG); // not the question
	m.data[2] = 1;
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_SRV, &answer), -EBADMSG); // a query
}

static void naptr_is_read_from_its_bytes(void **state)
{
	struct rig_message m = {.length = 0};
	struct dns_answer *answer;

	put_question(&m, 1, 0x8180, "example.com", DNS_NAPTR);
	m.data[7] = 3;
	put_record(&m, "example.com", DNS_NAPTR, 60, "50 51 s SIPS+D2T _sips._tcp.example.com");
	put_record(&m, "example.com", DNS_NAPTR, 60, "1 2 u E2U+sip .");
	put_record(&m, "example.com", DNS_NAPTR, 60, "3 4 s a-service-that-is-longer-than-any-that-we-know-of .");
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_NAPTR, &answer), 0);
	assert_int_equal(answer->count, 3);
	assert_int_equal(answer->records[0].naptr.order, 50);
	assert_int_equal(answer->records[0].naptr.preference, 51);
	assert_string_equal(answer->records[0].naptr.flags, "s");
	assert_string_equal(answer->records[0].naptr.service, "SIPS+D2T");
	assert_string_equal(answer->records[0].naptr.replacement, "_sips._tcp.example.com");
	assert_false(answer->records[0].naptr.regexp);
	assert_true(answer->records[1].naptr.regexp);
	assert_string_equal(answer->records[1].naptr.replacement, "");
	assert_string_equal(answer->records[2].naptr.service, "");
	dns_answer_unref(answer);
	for (size_t length = 0; length < m.length; length++)
		assert_int_equal(dns_answer_parse(m.data, length, DNS_NAPTR, &answer), -EBADMSG);
}

// The least TTL of what led to the addresses counts, within 1 s and 1 h.
static void a_ttl_is_the_least_and_bounded(void **state)
{
	static const struct {
		uint32_t alias_s, addr_s, other_s, expected_s;
	} cases[] = {
		{300, 200, 100, 100},
		{50, 200, 100, 50},
		{300, 0, 100, 1},
		{99999, 86400, 86400, DNS_TTL_MAX_S},
		{300, 0x80000000u, 100, 1},
		{300, UINT32_MAX, 100, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct rig_message m = {.length = 0};
		struct dns_answer *answer;

		put_question(&m, 1, 0x8180, "a.example.com", DNS_A);
		m.data[7] = 4;
		put_record(&m, "b.example.com", DNS_A, cases[i].addr_s, "192.0.2.1");
		put_record(&m, "a.example.com", RIG_CNAME, cases[i].alias_s, "b.example.com");
		put_record(&m, "b.example.com", DNS_A, cases[i].other_s, "192.0.2.2");
		put_record(&m, "c.example.com", DNS_A, 1, "192.0.2.3");
		assert_int_equal(dns_answer_parse(m.data, m.length, DNS_A, &answer), 0);
		assert_int_equal(answer->count, 2);
		assert_int_equal(answer->ttl_s, cases[i].expected_s);
		dns_answer_unref(answer);
	}
}

static void aliases_in_a_ring_end(void **state)
{
	struct rig_message m = {.length = 0};
	struct dns_answer *answer;

	put_question(&m, 1, 0x8180, "a.example.com", DNS_A);
	m.data[7] = 2;
	put_record(&m, "a.example.com", RIG_CNAME, 10, "b.example.com");
	put_record(&m, "b.example.com", RIG_CNAME, 10, "a.example.com");
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_A, &answer), 0);
	assert_int_equal(answer->error, -ENODATA);
	dns_answer_unref(answer);
}

static void too_many_records_are_left_out(void **state)
{
	struct rig_message m = {.length = 0};
	struct dns_answer *answer;

	put_question(&m, 1, 0x8180, "a.example.com", DNS_AAAA);
	m.data[7] = DNS_RECORDS + 8;
	for (unsigned i = 0; i < DNS_RECORDS + 8; i++)
		put_record(&m, "a.example.com", DNS_AAAA, 10, "2001:db8::1");
	assert_int_equal(dns_answer_parse(m.data, m.length, DNS_AAAA, &answer), 0);
	assert_int_equal(answer->count, DNS_RECORDS);
	dns_answer_unref(answer);
}

// --- the resolver ---------------------------------------------------------------------------------------------------

static const struct rig_record zone[] = {
	{"v4.example.com", DNS_A, 60, "192.0.2.1"},
	{"v4.example.com", DNS_A, 60, "192.0.2.2"},
	{"v6.example.com", DNS_AAAA, 60, "2001:db8::1"},
	{"alias.example.com", RIG_CNAME, 60, "v4.example.com"},
	{"v4.example.com", DNS_A, 60, "192.0.2.1"},
	{"_sip._udp.example.com", DNS_SRV, 60, "1 2 5062 v4.example.com"},
	{"example.com", DNS_NAPTR, 60, "10 20 s SIP+D2U _sip._udp.example.com"},
	{NULL},
};

static void each_type_is_asked_for(void **state)
{
	struct told told = {0};

	rig.records = zone;
	assert_int_equal(ask(&told, "v4.example.com", DNS_A), 0);
	assert_int_equal(told.answer->records[0].addr.family, 4);
	assert_memory_equal(told.answer->records[0].addr.ip, ((uint8_t[]){192, 0, 2, 1}), 4);
	assert_int_equal(ask(&told, "v6.example.com", DNS_AAAA), 0);
	assert_int_equal(told.answer->records[0].addr.family, 6);
	assert_int_equal(told.answer->records[0].addr.ip[15], 1);
	assert_int_equal(ask(&told, "alias.example.com", DNS_A), 0);
	assert_int_equal(told.answer->count, 1);
	assert_int_equal(ask(&told, "_sip._udp.example.com", DNS_SRV), 0);
	assert_string_equal(told.answer->records[0].srv.target, "v4.example.com");
	assert_int_equal(ask(&told, "example.com", DNS_NAPTR), 0);
	assert_string_equal(told.answer->records[0].naptr.replacement, "_sip._udp.example.com");
	assert_int_equal(counts().queries, 5);
	assert_int_equal(counts().cached, 5);
	assert_int_equal(counts().in_flight, 0);
	forget(&told);
}

static void an_answer_is_kept_as_long_as_it_says(void **state)
{
	static const struct rig_record before[] = {{"a.example.com", DNS_A, 1, "192.0.2.1"}, {NULL}};
	static const struct rig_record after[] = {{"a.example.com", DNS_A, 1, "192.0.2.2"}, {NULL}};
	struct told told = {0};

	rig.records = before;
	assert_int_equal(ask(&told, "a.example.com", DNS_A), 0);
	rig.records = after;
	rig.now_ms += 999;
	assert_int_equal(ask(&told, "A.Example.COM.", DNS_A), 0); // the same name
	assert_int_equal(told.answer->records[0].addr.ip[3], 1);
	assert_int_equal(rig_asked("a.example.com", DNS_A), 1);
	assert_int_equal(counts().hits, 1);
	rig.now_ms += 1;
	assert_int_equal(ask(&told, "a.example.com", DNS_A), 0);
	assert_int_equal(told.answer->records[0].addr.ip[3], 2);
	assert_int_equal(rig_asked("a.example.com", DNS_A), 2);
	assert_int_equal(counts().cached, 1);
	forget(&told);
}

// There is none, and for how long that is believed.
static void what_is_not_there_is_kept_too(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		uint32_t soa_minimum_s, ttl_s;
		int error;
	} cases[] = {
		{"no.example.com", DNS_A, 0, DNS_NONE_TTL_S, -ENOENT},
		{"v6.example.com", DNS_A, 0, DNS_NONE_TTL_S, -ENODATA}, {"no.example.com", DNS_SRV, 7, 7, -ENOENT},
		{"v4.example.com", DNS_SRV, 120, 120, -ENODATA},
		{"v6.example.com", DNS_NAPTR, 86400, 3000, -ENODATA}, // the SOA's own TTL
	};
	struct told told = {0};

	rig.records = zone;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rig.soa_minimum_s = cases[i].soa_minimum_s;
		assert_int_equal(ask(&told, cases[i].name, cases[i].type), cases[i].error);
		assert_int_equal(told.answer->ttl_s, cases[i].ttl_s);
		rig.now_ms += cases[i].ttl_s * 1000 - 1;
		assert_int_equal(ask(&told, cases[i].name, cases[i].type), cases[i].error);
		assert_int_equal(rig_asked(cases[i].name, cases[i].type), 1);
		rig.now_ms += 1;
		assert_int_equal(ask(&told, cases[i].name, cases[i].type), cases[i].error);
		assert_int_equal(rig_asked(cases[i].name, cases[i].type), 2);
	}
	assert_int_equal(counts().failures, 0);
	forget(&told);
}

static void what_fails_has_a_name_and_is_tried_again(void **state)
{
	static const struct rig_odd odd[] = {{"servfail.example.com", RIG_SERVFAIL},
		{"refused.example.com", RIG_REFUSED}, {"garbage.example.com", RIG_GARBAGE},
		{"cut.example.com", RIG_CUT}, {"silent.example.com", RIG_SILENT},
		{"wrong-id.example.com", RIG_WRONG_ID}, {NULL}};
	struct told told = {0};

	rig.odd = odd;
	rig.any = true;
	for (size_t i = 0; odd[i].name; i++) {
		bool silent = odd[i].manner == RIG_SILENT || odd[i].manner == RIG_WRONG_ID;
		unsigned asked;

		rig_dns_open(silent ? 50 : 3000, 1);
		assert_int_equal(ask(&told, odd[i].name, DNS_A), silent ? -ETIMEDOUT : -EIO);
		assert_int_equal(told.answer->count, 0);
		asked = rig_asked(odd[i].name, DNS_A);
		rig.now_ms += DNS_FAILED_TTL_S * 1000 - 1;
		assert_int_equal(ask(&told, odd[i].name, DNS_A), silent ? -ETIMEDOUT : -EIO);
		assert_int_equal(rig_asked(odd[i].name, DNS_A), asked);
		rig.now_ms += 1;
		assert_int_equal(ask(&told, odd[i].name, DNS_A), silent ? -ETIMEDOUT : -EIO);
		assert_true(rig_asked(odd[i].name, DNS_A) > asked);
		assert_int_equal(counts().failures, silent ? 0 : 2);
		assert_int_equal(counts().timeouts, silent ? 2 : 0);
	}
	forget(&told);
}

static void silence_is_asked_again(void **state)
{
	static const struct rig_odd odd[] = {{"silent.example.com", RIG_SILENT}, {NULL}};
	struct told told = {0};

	rig_dns_open(50, 3);
	rig.odd = odd;
	assert_int_equal(ask(&told, "silent.example.com", DNS_A), -ETIMEDOUT);
	assert_int_equal(rig_asked("silent.example.com", DNS_A), 3);
	assert_int_equal(counts().timeouts, 1);
	forget(&told);
}

static void a_server_that_is_not_there_is_a_failure(void **state)
{
	struct told told = {0};

	event_del(rig.udp_event);
	close(rig.udp);
	rig.udp = -1;
	assert_int_equal(ask(&told, "v4.example.com", DNS_A), -EIO);
	assert_int_equal(counts().failures, 1);
	forget(&told);
}

static void a_long_answer_comes_over_tcp(void **state)
{
	static const struct rig_odd odd[] = {{"v4.example.com", RIG_TRUNCATED}, {NULL}};
	struct told told = {0};

	rig.records = zone;
	rig.odd = odd;
	assert_int_equal(ask(&told, "v4.example.com", DNS_A), 0);
	assert_int_equal(told.answer->count, 3);
	assert_int_equal(rig.asked_tcp, 1);
	forget(&told);
}

static void who_asks_the_same_waits_for_the_same(void **state)
{
	struct told first = {0}, second = {0}, third = {0};
	const struct dns_answer *answer;

	rig.records = zone;
	assert_int_equal(
		dns_query(rig.dns, "v4.example.com", DNS_A, on_answer, &first, &answer, &first.query), -EINPROGRESS);
	assert_int_equal(
		dns_query(rig.dns, "V4.example.com.", DNS_A, on_answer, &second, &answer, &second.query), -EINPROGRESS);
	assert_int_equal(
		dns_query(rig.dns, "v4.example.com", DNS_AAAA, on_answer, &third, &answer, &third.query), -EINPROGRESS);
	until(&first.count, 1);
	until(&second.count, 1);
	until(&third.count, 1);
	assert_ptr_equal(first.answer, second.answer);
	assert_int_equal(third.answer->error, -ENODATA);
	assert_int_equal(rig_asked("v4.example.com", DNS_A), 1);
	assert_int_equal(counts().joined, 1);
	assert_int_equal(counts().queries, 2);
	forget(&first);
	forget(&second);
	forget(&third);
}

static void what_is_cancelled_is_not_told(void **state)
{
	struct told first = {0}, second = {0};
	const struct dns_answer *answer;

	rig.records = zone;
	dns_cancel(NULL);
	dns_query(rig.dns, "v4.example.com", DNS_A, on_answer, &first, &answer, &first.query);
	dns_query(rig.dns, "v4.example.com", DNS_A, on_answer, &second, &answer, &second.query);
	dns_cancel(first.query);
	until(&second.count, 1);
	assert_int_equal(first.count, 0);
	assert_int_equal(ask(&first, "v4.example.com", DNS_A), 0); // the question went on, for the cache
	assert_int_equal(counts().hits, 1);
	dns_query(rig.dns, "v6.example.com", DNS_AAAA, on_answer, &first, &answer, &first.query);
	dns_cancel(first.query); // nobody waits
	assert_int_equal(ask(&second, "v6.example.com", DNS_AAAA), 0);
	assert_int_equal(rig_asked("v6.example.com", DNS_AAAA), 1);
	assert_int_equal(first.count, 1);
	forget(&first);
	forget(&second);
}

// From inside a callback others may be asked for and cancelled.
static struct {
	struct told told;
	struct dns_query *other;
	unsigned others;
} nest;

static void on_other(void *arg, const struct dns_answer *answer)
{
	nest.others++;
}

static void on_nested(void *arg, const struct dns_answer *answer)
{
	const struct dns_answer *cached;

	dns_cancel(nest.other);
	assert_int_equal(dns_query(rig.dns, "v4.example.com", DNS_A, on_other, NULL, &cached, &nest.other), 0);
	dns_answer_unref(cached);
	assert_int_equal(
		dns_query(rig.dns, "v6.example.com", DNS_AAAA, on_answer, &nest.told, &cached, &nest.told.query),
		-EINPROGRESS);
}

static void a_callback_may_ask_and_cancel(void **state)
{
	const struct dns_answer *answer;
	struct dns_query *query;

	memset(&nest, 0, sizeof(nest));
	rig.records = zone;
	dns_query(rig.dns, "v4.example.com", DNS_A, on_nested, NULL, &answer, &query);
	dns_query(rig.dns, "v4.example.com", DNS_A, on_other, NULL, &answer, &nest.other);
	until(&nest.told.count, 1);
	assert_int_equal(nest.others, 0);
	assert_int_equal(nest.told.answer->error, 0);
	forget(&nest.told);
}

static void nobody_is_told_after_the_close(void **state)
{
	static const struct rig_odd odd[] = {{"silent.example.com", RIG_SILENT}, {NULL}};
	struct told told = {0};
	const struct dns_answer *answer;

	rig.odd = odd;
	dns_query(rig.dns, "silent.example.com", DNS_A, on_answer, &told, &answer, &told.query);
	dns_query(rig.dns, "silent.example.com", DNS_A, on_answer, &told, &answer, &told.query);
	dns_query(rig.dns, "silent.example.com", DNS_SRV, on_answer, &told, &answer, &told.query);
	until(&rig.asked_count, 2);
	dns_close(rig.dns);
	rig.dns = NULL;
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(told.count, 0);
	dns_close(NULL);
}

static void too_many_in_flight_are_refused(void **state)
{
	struct told told = {0};
	const struct dns_answer *answer;
	char name[64];

	rig.any = true;
	for (unsigned i = 0; i < DNS_IN_FLIGHT; i++) {
		snprintf(name, sizeof(name), "n%u.example.com", i);
		assert_int_equal(dns_query(rig.dns, name, DNS_A, on_answer, &told, &answer, &told.query), -EINPROGRESS);
	}
	assert_int_equal(
		dns_query(rig.dns, "more.example.com", DNS_A, on_answer, &told, &answer, &told.query), -EAGAIN);
	assert_null(told.query);
	assert_int_equal(
		dns_query(rig.dns, name, DNS_A, on_answer, &told, &answer, &told.query), -EINPROGRESS); // joins
	assert_int_equal(counts().refused, 1);
	assert_int_equal(counts().in_flight, DNS_IN_FLIGHT);
	until(&told.count, DNS_IN_FLIGHT + 1);
	assert_int_equal(counts().in_flight, 0);
	assert_int_equal(ask(&told, "more.example.com", DNS_A), 0);
	forget(&told);
}

static void the_oldest_answer_makes_room(void **state)
{
	struct told told = {0};
	char name[64];

	rig.any = true;
	for (unsigned i = 0; i <= DNS_CACHED; i++) {
		snprintf(name, sizeof(name), "n%u.example.com", i);
		assert_int_equal(ask(&told, name, DNS_A), 0);
	}
	assert_int_equal(counts().cached, DNS_CACHED);
	ask(&told, "n1.example.com", DNS_A);
	assert_int_equal(counts().hits, 1);
	ask(&told, "n0.example.com", DNS_A);
	assert_int_equal(counts().hits, 1);
	assert_int_equal(rig_asked("n0.example.com", DNS_A), 2);
	forget(&told);
}

static void what_is_no_name_is_not_asked_for(void **state)
{
	static const char *const names[] = {"", ".", "a..b", ".a", "a b.example.com", "a\\.b", "a/b",
		"\xc3\xa4.example.com", "a123456789012345678901234567890123456789012345678901234567890123.com"};
	struct told told = {0};
	const struct dns_answer *answer;
	char longer[300];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_int_equal(dns_query(rig.dns, names[i], DNS_A, on_answer, &told, &answer, &told.query), -EINVAL);
	memset(longer, 'a', sizeof(longer));
	for (size_t i = 50; i < sizeof(longer); i += 50)
		longer[i] = '.';
	longer[254] = '\0';
	assert_int_equal(dns_query(rig.dns, longer, DNS_A, on_answer, &told, &answer, &told.query), -EINVAL);
	assert_int_equal(counts().queries, 0);
	longer[253] = '\0';
	rig.any = true;
	assert_int_equal(ask(&told, longer, DNS_A), 0);
	forget(&told);
}

static void what_is_no_server_is_refused(void **state)
{
	struct dns_options options = {.servers = "nobody at home"};
	struct dns *dns;
	char err[256];

	assert_int_equal(dns_open(rig.base, &options, &dns, err), -EINVAL);
	assert_non_null(strstr(err, "nobody at home"));
	assert_null(dns);
	options.servers = NULL; // the system's
	assert_int_equal(dns_open(rig.base, &options, &dns, err), 0);
	dns_close(dns);
}

#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read_from_its_bytes),
		cmocka_unit_test(naptr_is_read_from_its_bytes),
		cmocka_unit_test(a_ttl_is_the_least_and_bounded),
		cmocka_unit_test(aliases_in_a_ring_end),
		cmocka_unit_test(too_many_records_are_left_out),
		RIG_TEST(each_type_is_asked_for),
		RIG_TEST(an_answer_is_kept_as_long_as_it_says),
		RIG_TEST(what_is_not_there_is_kept_too),
		RIG_TEST(what_fails_has_a_name_and_is_tried_again),
		RIG_TEST(silence_is_asked_again),
		RIG_TEST(a_server_that_is_not_there_is_a_failure),
		RIG_TEST(a_long_answer_comes_over_tcp),
		RIG_TEST(who_asks_the_same_waits_for_the_same),
		RIG_TEST(what_is_cancelled_is_not_told),
		RIG_TEST(a_callback_may_ask_and_cancel),
		RIG_TEST(nobody_is_told_after_the_close),
		RIG_TEST(too_many_in_flight_are_refused),
		RIG_TEST(the_oldest_answer_makes_room),
		RIG_TEST(what_is_no_name_is_not_asked_for),
		RIG_TEST(what_is_no_server_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
