// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events.h"

struct heard {
	unsigned count;
	uint64_t first, last;
	char type[32], text[256];
};

static void hear(uint64_t seq, const char *type, const char *text, void *arg)
{
	struct heard *heard = arg;

	if (heard->count)
		assert_int_equal(seq, heard->last + 1);
	else
		heard->first = seq;
	heard->last = seq;
	heard->count++;
	strncpy(heard->type, type, sizeof(heard->type) - 1);
	strncpy(heard->text, text, sizeof(heard->text) - 1);
}

static struct events *new_events(unsigned keep)
{
	struct events *events = events_create(keep);

	assert_non_null(events);
	return events;
}

static void an_event_has_what_the_contract_says(void **state)
{
	struct events *events = new_events(8);
	struct heard heard = {0};
	struct events_listener listener = {.fn = hear, .arg = &heard};
	json_t *event;

	events_listen(events, &listener);
	events_emit(events, "call.state", "c1", NULL, json_pack("{s:s}", "state", "ringing"));
	assert_int_equal(heard.count, 1);
	assert_string_equal(heard.type, "call.state");
	event = json_loads(heard.text, 0, NULL);
	assert_non_null(event);
	assert_int_equal(json_integer_value(json_object_get(event, "seq")), 1);
	assert_string_equal(json_string_value(json_object_get(event, "type")), "call.state");
	assert_string_equal(json_string_value(json_object_get(event, "call")), "c1");
	assert_true(json_is_null(json_object_get(event, "leg")));
	assert_string_equal(json_string_value(json_object_get(event, "state")), "ringing");
	assert_int_equal(strlen(json_string_value(json_object_get(event, "time"))), 27);
	json_decref(event);
	events_unlisten(events, &listener);
	events_emit(events, "call.state", NULL, NULL, NULL);
	assert_int_equal(heard.count, 1);
	events_destroy(events);
}

static void what_is_kept_is_replayed_without_gaps(void **state)
{
	struct events *events = new_events(4);
	struct heard heard = {0};

	for (int i = 0; i < 10; i++)
		events_emit(events, "alarm", NULL, NULL, NULL);
	assert_int_equal(events_last(events), 10);
	assert_int_equal(events_replay(events, 6, hear, &heard), 0);
	assert_int_equal(heard.count, 4);
	assert_int_equal(heard.first, 7);
	assert_int_equal(heard.last, 10);
	assert_int_equal(events_replay(events, 5, hear, &heard), -ERANGE); // 6 is gone
	assert_int_equal(events_replay(events, 11, hear, &heard), -ERANGE);
	assert_int_equal(heard.count, 4);
	assert_int_equal(events_replay(events, 10, hear, &heard), 0);
	assert_int_equal(heard.count, 4);
	events_destroy(events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_has_what_the_contract_says),
		cmocka_unit_test(what_is_kept_is_replayed_without_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
