// SPDX-License-Identifier: BSD-3-Clause
// Call records on a real file system, in a directory of the test's own.

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cdr.h"
#include "events.h"
#include "log.h"

static struct {
	char dir[64], file[128], old[128], err[256];
	struct events *events;
	struct cdr *cdr;
	unsigned alarms; // events heard
	bool active;     // the last one's
} t;

static void hear(uint64_t seq, const char *type, const char *text, void *arg)
{
	json_t *event = json_loads(text, 0, NULL);

	assert_string_equal(type, "alarm");
	assert_non_null(event);
	assert_string_equal(json_string_value(json_object_get(event, "name")), "cdr_lost");
	assert_true(json_is_boolean(json_object_get(event, "active")));
	t.active = json_is_true(json_object_get(event, "active"));
	t.alarms++;
	json_decref(event);
}

static struct events_listener listener = {.fn = hear};

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	snprintf(t.dir, sizeof(t.dir), "%s/kedge-cdr-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.file, sizeof(t.file), "%s/cdr.jsonl", t.dir);
	snprintf(t.old, sizeof(t.old), "%s/cdr.jsonl.1", t.dir);
	t.events = events_create(16);
	assert_non_null(t.events);
	events_listen(t.events, &listener);
	return 0;
}

static int tear_down(void **state)
{
	cdr_close(t.cdr);
	events_destroy(t.events);
	unlink(t.file);
	unlink(t.old);
	return rmdir(t.dir); // nothing else was left there
}

static void open_cdr(void)
{
	t.cdr = NULL;
	assert_int_equal(cdr_open(t.file, t.events, &t.cdr, t.err), 0);
}

static void write_call(const char *id)
{
	cdr_write(t.cdr, json_pack("{s:s,s:s,s:{s:i}}", "id", id, "said", "two\nlines \"q\" é", "cause", "code", 200));
}

// The ids of a file's lines, joined by blanks; every line must be one whole JSON object.
static const char *ids_in(const char *file)
{
	static char ids[256];
	char line[1024];
	FILE *in = fopen(file, "r");

	assert_non_null(in);
	ids[0] = '\0';
	while (fgets(line, sizeof(line), in)) {
		json_t *call = json_loads(line, 0, NULL);

		assert_non_null(call);
		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_string_equal(json_string_value(json_object_get(call, "said")), "two\nlines \"q\" é");
		assert_int_equal(json_integer_value(json_object_get(json_object_get(call, "cause"), "code")), 200);
		snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%s", *ids ? " " : "",
			json_string_value(json_object_get(call, "id")));
		json_decref(call);
	}
	fclose(in);
	return ids;
}

static void a_record_is_one_whole_line(void **state)
{
	struct stat stat;

	open_cdr();
	write_call("a");
	assert_string_equal(ids_in(t.file), "a"); // at once, not when it is closed
	write_call("b");
	assert_string_equal(ids_in(t.file), "a b");
	assert_int_equal(cdr_written(t.cdr), 2);
	assert_int_equal(cdr_lost(t.cdr), 0);
	assert_int_equal(t.alarms, 0);
	assert_int_equal(lstat(t.file, &stat), 0);
	assert_int_equal(stat.st_mode & 0007, 0); // who called whom is nobody else's business
}

static void a_restart_appends(void **state)
{
	open_cdr();
	write_call("a");
	cdr_close(t.cdr);
	open_cdr();
	write_call("b");
	assert_string_equal(ids_in(t.file), "a b");
}

static void rotation_goes_on_in_a_new_file(void **state)
{
	open_cdr();
	write_call("a");
	assert_int_equal(rename(t.file, t.old), 0);
	write_call("b"); // until it is told, the old file is written
	assert_int_equal(cdr_reopen(t.cdr), 0);
	write_call("c");
	assert_string_equal(ids_in(t.old), "a b");
	assert_string_equal(ids_in(t.file), "c");
	assert_int_equal(cdr_written(t.cdr), 3);
}

static void a_reopen_that_fails_keeps_the_old_file(void **state)
{
	open_cdr();
	assert_int_equal(rename(t.file, t.old), 0);
	assert_int_equal(mkdir(t.file, 0700), 0); // something stands in the way
	assert_int_equal(cdr_reopen(t.cdr), -EISDIR);
	write_call("a");
	assert_string_equal(ids_in(t.old), "a");
	assert_int_equal(cdr_lost(t.cdr), 0);
	assert_int_equal(rmdir(t.file), 0);
	assert_int_equal(cdr_reopen(t.cdr), 0);
	write_call("b");
	assert_string_equal(ids_in(t.file), "b");
}

static void a_missing_directory_is_made(void **state)
{
	char file[160], dir[128];

	snprintf(dir, sizeof(dir), "%s/one/two", t.dir);
	snprintf(file, sizeof(file), "%s/cdr.jsonl", dir);
	assert_int_equal(cdr_open(file, t.events, &t.cdr, t.err), 0);
	write_call("a");
	assert_string_equal(ids_in(file), "a");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(rmdir(dir), 0);
}

static void refused(const char *file, int error, const char *reason)
{
	char said[256];

	t.cdr = NULL;
	memset(t.err, 'x', sizeof(t.err));
	assert_int_equal(cdr_open(file, t.events, &t.cdr, t.err), error);
	assert_null(t.cdr);
	snprintf(said, sizeof(said), "cdr.file: %s cannot be written: %s; write another path", file, reason);
	assert_string_equal(t.err, said);
}

static void a_path_that_cannot_be_written_is_said(void **state)
{
	char below[160];

	refused(t.dir, -EISDIR, "Is a directory");
	refused("/proc/kedge-test/cdr.jsonl", -ENOENT, "No such file or directory");
	refused("", -ENOENT, "No such file or directory");
	open_cdr();
	cdr_close(t.cdr);
	snprintf(below, sizeof(below), "%s/cdr.jsonl", t.file); // a file where a directory would have to be
	refused(below, -ENOTDIR, "Not a directory");
}

static void a_full_disk_raises_the_alarm_once(void **state)
{
	assert_int_equal(symlink("/dev/full", t.file), 0);
	open_cdr();
	write_call("a");
	write_call("b");
	assert_int_equal(cdr_lost(t.cdr), 2);
	assert_int_equal(cdr_written(t.cdr), 0);
	assert_int_equal(t.alarms, 1);
	assert_true(t.active);

	assert_int_equal(unlink(t.file), 0);
	assert_int_equal(cdr_reopen(t.cdr), 0);
	assert_int_equal(t.alarms, 1); // not before a record is safe
	write_call("c");
	write_call("d");
	assert_int_equal(t.alarms, 2);
	assert_false(t.active);
	assert_int_equal(cdr_lost(t.cdr), 2);
	assert_int_equal(cdr_written(t.cdr), 2);
	assert_string_equal(ids_in(t.file), "c d");

	assert_int_equal(unlink(t.file), 0); // and again
	assert_int_equal(symlink("/dev/full", t.file), 0);
	assert_int_equal(cdr_reopen(t.cdr), 0);
	write_call("e");
	assert_int_equal(t.alarms, 3);
	assert_true(t.active);
	assert_int_equal(cdr_lost(t.cdr), 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_one_whole_line),
		TEST(a_restart_appends),
		TEST(rotation_goes_on_in_a_new_file),
		TEST(a_reopen_that_fails_keeps_the_old_file),
		TEST(a_missing_directory_is_made),
		TEST(a_path_that_cannot_be_written_is_said),
		TEST(a_full_disk_raises_the_alarm_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
