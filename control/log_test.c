// SPDX-License-Identifier: BSD-3-Clause
// What the log writes on stderr, byte by byte: caught in a pipe, read as JSON.

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "log.h"

static struct {
	int keep, out[2];
	char text[16384];
} t;

static int catch_stderr(void **state)
{
	t.keep = dup(STDERR_FILENO);
	assert_int_equal(pipe2(t.out, O_NONBLOCK | O_DIRECT), 0); // each read gives one write
	assert_true(dup2(t.out[1], STDERR_FILENO) >= 0);
	return 0;
}

static int leave_stderr(void **state)
{
	dup2(t.keep, STDERR_FILENO);
	close(t.keep);
	close(t.out[0]);
	close(t.out[1]);
	return 0;
}

// One write of the log; "" where there was none.
static const char *said(void)
{
	ssize_t length = read(t.out[0], t.text, sizeof(t.text) - 1);

	t.text[length > 0 ? length : 0] = '\0';
	return t.text;
}

static json_t *said_json(void)
{
	const char *text = said();
	json_t *json = json_loads(text, 0, NULL);

	if (!json)
		fail_msg("is no JSON: %s", text);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	return json;
}

static const char *field(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void a_line_has_its_fields(void **state)
{
	const struct log_ids ids = {"INVITE", "z9hG4bK1", "a@b;1;2", "c-1"};
	json_t *json;
	unsigned year, month, day, hour, minute, second, us;
	char z;

	log_init(KG_LOG_INFO, true);
	log_sip(KG_LOG_WARN, &ids, "%s of %d", "copy", 3);
	json = said_json();
	assert_int_equal(json_object_size(json), 8);
	assert_string_equal(field(json, "level"), "warn");
	assert_string_equal(field(json, "area"), "sip");
	assert_string_equal(field(json, "msg"), "copy of 3");
	assert_string_equal(field(json, "method"), "INVITE");
	assert_string_equal(field(json, "transaction"), "z9hG4bK1");
	assert_string_equal(field(json, "dialog"), "a@b;1;2");
	assert_string_equal(field(json, "call"), "c-1");
	assert_int_equal(strlen(field(json, "time")), 27);
	assert_int_equal(sscanf(field(json, "time"), "%4u-%2u-%2uT%2u:%2u:%2u.%6u%c", &year, &month, &day, &hour,
				 &minute, &second, &us, &z),
		8);
	assert_int_equal(z, 'Z');
	json_decref(json);
}

static void an_id_that_is_not_there_is_left_out(void **state)
{
	const struct log_ids ids = {.method = "OPTIONS", .dialog = ""};
	json_t *json;

	log_init(KG_LOG_INFO, true);
	log_sip(KG_LOG_INFO, &ids, "x");
	json = said_json();
	assert_int_equal(json_object_size(json), 5);
	json_decref(json);
	kg_error("nic", "y");
	json = said_json();
	assert_int_equal(json_object_size(json), 4);
	assert_string_equal(field(json, "level"), "error");
	assert_string_equal(field(json, "area"), "nic");
	json_decref(json);
}

static void what_is_below_the_level_is_not_written(void **state)
{
	log_init(KG_LOG_WARN, true);
	assert_true(log_enabled(KG_LOG_ERROR) && log_enabled(KG_LOG_WARN));
	assert_false(log_enabled(KG_LOG_INFO) || log_enabled(KG_LOG_DEBUG));
	kg_info("main", "no");
	log_sip(KG_LOG_DEBUG, NULL, "no");
	assert_string_equal(said(), "");
	kg_warn("main", "yes");
	assert_non_null(strstr(said(), "\"yes\""));
}

static void peers_bytes_are_escaped(void **state)
{
	const char *peer = "a\"b\\c\nd\te\x1b[31m\x7f\xc3\xa9\xff";
	const struct log_ids ids = {.dialog = peer};
	json_t *json;

	log_init(KG_LOG_INFO, true);
	log_sip(KG_LOG_INFO, &ids, "%s", peer);
	json = said_json();
	// what is not ASCII is shown byte by byte
	assert_string_equal(field(json, "msg"), "a\"b\\c\nd\te\x1b[31m\x7f\xc3\x83\xc2\xa9\xc3\xbf");
	assert_string_equal(field(json, "dialog"), field(json, "msg"));
	for (const char *at = t.text; at[1]; at++)
		assert_in_range(*at, 0x20, 0x7e);
	json_decref(json);
	log_init(KG_LOG_INFO, false);
	log_sip(KG_LOG_INFO, &ids, "%s", peer);
	said();
	assert_string_equal(t.text + 27,
		" info sip: a\\\"b\\\\c\\u000ad\\u0009e\\u001b[31m\\u007f\\u00c3\\u00a9\\u00ff"
		" dialog=a\\\"b\\\\c\\u000ad\\u0009e\\u001b[31m\\u007f\\u00c3\\u00a9\\u00ff\n");
}

// However long its parts, a line is whole JSON, fits one write of a pipe, and loses none of its fields.
static void long_parts_are_cut_not_the_line(void **state)
{
	static const char bytes[] = {'x', '"', '\n', (char)0xff};
	char peer[8192];

	log_init(KG_LOG_INFO, true);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		for (size_t length = 0; length < sizeof(peer) - 1; length += 61) {
			const struct log_ids ids = {peer, peer, peer, peer};
			json_t *json;

			memset(peer, bytes[i], length);
			peer[length] = '\0';
			log_sip(KG_LOG_INFO, &ids, "m%s", peer);
			json = said_json();
			assert_in_range(strlen(t.text), 1, 4096);
			assert_int_equal(json_object_size(json), length ? 8 : 4);
			if (length > 3000)
				assert_non_null(strstr(field(json, "msg"), "..."));
			if (length && length < 50)
				assert_string_equal(field(json, "msg") + 1, field(json, "call"));
			json_decref(json);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_its_fields, catch_stderr, leave_stderr),
		cmocka_unit_test_setup_teardown(an_id_that_is_not_there_is_left_out, catch_stderr, leave_stderr),
		cmocka_unit_test_setup_teardown(what_is_below_the_level_is_not_written, catch_stderr, leave_stderr),
		cmocka_unit_test_setup_teardown(peers_bytes_are_escaped, catch_stderr, leave_stderr),
		cmocka_unit_test_setup_teardown(long_parts_are_cut_not_the_line, catch_stderr, leave_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
