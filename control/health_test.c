// SPDX-License-Identifier: BSD-3-Clause
// Each check of the engine's health, provoked; and what is said when one changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cdr.h"
#include "events.h"
#include "health.h"
#include "kg_log.h"
#include "kg_media.h"
#include "ports.h"

static struct {
	struct kg_lcore_info lcore;
	struct kg_nic_info nic;
	unsigned used, capacity, alarms, logs;
	uint64_t written, lost, now;
	char name[32];
	bool active;
} fake;

static struct health *health;

// --- what it asks ---------------------------------------------------------------------------------------------------

int kg_media_lcore_info(struct kg_media *media, unsigned index, struct kg_lcore_info *out)
{
	*out = fake.lcore;
	return index == 0 ? 0 : -1;
}

static bool dsp_full;

bool kg_media_room_free(const struct kg_media *media)
{
	return !dsp_full;
}

int kg_media_nic_info(struct kg_media *media, unsigned nic, struct kg_nic_info *out)
{
	*out = fake.nic;
	return nic == 0 ? 0 : -1;
}

unsigned ports_in_use_at(const struct ports *ports, const struct kg_addr *ip)
{
	return ip->family == 4 ? fake.used : 0;
}

unsigned ports_capacity(const struct ports *ports)
{
	return fake.capacity;
}

uint64_t cdr_written(const struct cdr *cdr)
{
	return fake.written;
}

uint64_t cdr_lost(const struct cdr *cdr)
{
	return fake.lost;
}

void events_emit(struct events *events, const char *type, const char *call, const char *leg, json_t *data)
{
	assert_string_equal(type, "alarm");
	snprintf(fake.name, sizeof(fake.name), "%s", json_string_value(json_object_get(data, "name")));
	fake.active = json_is_true(json_object_get(data, "active"));
	fake.alarms++;
	json_decref(data);
}

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	fake.logs++;
}

// --- the tests ------------------------------------------------------------------------------------------------------

static int set_up(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.nic.link_up = true;
	fake.nic.addr_count = 2; // IPv6's ports stay free
	fake.nic.addrs[0].family = 4;
	fake.nic.addrs[1].family = 6;
	fake.capacity = 100; // pairs
	fake.now = 5000;
	health = health_create(&(struct health_options){.cdr_file = "/tmp/kedge-health-cdr.jsonl"});
	return health ? 0 : -1;
}

static int tear_down(void **state)
{
	health_destroy(health);
	return 0;
}

// The clock goes on evenly for that long.
static void pass(uint64_t ms)
{
	for (uint64_t end = fake.now + ms; fake.now < end; fake.now += 10)
		health_turn(health, fake.now, 10);
}

static void assert_only(unsigned bad) // HEALTH_COUNT: none
{
	bool well;
	json_t *json = health_json(health, &well), *checks = json_object_get(json, "checks");

	assert_int_equal(well, bad == HEALTH_COUNT);
	assert_string_equal(json_string_value(json_object_get(json, "status")), well ? "ok" : "failing");
	for (unsigned i = 0; i < HEALTH_COUNT; i++) {
		json_t *check = json_array_get(checks, i);

		assert_string_equal(json_string_value(json_object_get(check, "what")), health_name(i));
		assert_int_equal(json_is_true(json_object_get(check, "ok")), i != bad);
		assert_int_equal(health_good(health, i), i != bad);
		assert_int_equal(*json_string_value(json_object_get(check, "detail")) != '\0', i == bad);
	}
	json_decref(json);
}

// The check fails after the next look, and is well after `mend` and some time: an alarm each, and a line.
static void assert_alarm(unsigned check, void (*mend)(void), uint64_t patience_ms)
{
	pass(1500);
	assert_only(check);
	assert_int_equal(fake.alarms, 1);
	assert_string_equal(fake.name, health_name(check));
	assert_true(fake.active);
	pass(5000); // said once
	assert_int_equal(fake.alarms, 1);
	mend();
	pass(patience_ms);
	assert_only(HEALTH_COUNT);
	assert_int_equal(fake.alarms, 2);
	assert_int_equal(fake.logs, 2);
	assert_false(fake.active);
}

static void all_is_well(void **state)
{
	pass(30000);
	assert_only(HEALTH_COUNT);
	assert_int_equal(fake.alarms + fake.logs, 0);
	assert_int_equal(health_lag_ms(health), 0);
}

static void nothing(void)
{
}

static void a_late_control_loop(void **state)
{
	pass(2000);
	fake.now += 501;
	health_turn(health, fake.now, 10);
	assert_int_equal(health_lag_ms(health), 501);
	assert_alarm(HEALTH_control_loop, nothing, 21000);
	fake.now += 400; // not yet worth an alarm, but to be seen
	health_turn(health, fake.now, 10);
	assert_in_range(health_lag_ms(health), 400, 410);
	assert_only(HEALTH_COUNT);
}

static void beat(void)
{
	fake.lcore.heartbeat_age_us = 300;
}

static void a_stuck_lcore(void **state)
{
	fake.lcore.heartbeat_age_us = 1000000;
	assert_alarm(HEALTH_lcore, beat, 1500);
}

static void dsp_lcores_without_time(void **state)
{
	dsp_full = true;
	pass(3000);
	assert_only(HEALTH_COUNT); // the engine is well
	assert_int_equal(fake.alarms, 1);
	assert_string_equal(fake.name, "dsp_overload");
	assert_true(fake.active);
	dsp_full = false;
	pass(3000);
	assert_int_equal(fake.alarms, 2);
	assert_false(fake.active);
}

static void plug(void)
{
	fake.nic.link_up = true;
}

static void a_nic_without_link(void **state)
{
	fake.nic.link_up = false;
	assert_alarm(HEALTH_nic, plug, 1500);
}

static void hang_up(void)
{
	fake.used = 190;
}

static void ports_that_run_out(void **state)
{
	fake.used = 191; // of 200
	assert_alarm(HEALTH_ports, hang_up, 1500);
	fake.nic.addr_count = 0; // nothing to give and nothing taken
	fake.used = 0;
	pass(1500);
	assert_only(HEALTH_COUNT);
}

static void write_one(void)
{
	fake.written++;
}

static void records_that_are_lost(void **state)
{
	fake.written = 7;
	pass(1500);
	fake.lost = 1;
	assert_alarm(HEALTH_disk, write_one, 1500);
}

static void a_directory_that_is_not_there(void **state)
{
	health_destroy(health);
	health = health_create(&(struct health_options){.cdr_file = "/nothing/here/cdr.jsonl"});
	assert_non_null(health);
	pass(1500);
	assert_only(HEALTH_disk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_is_well),
		TEST(a_late_control_loop),
		TEST(a_stuck_lcore),
		TEST(dsp_lcores_without_time),
		TEST(a_nic_without_link),
		TEST(ports_that_run_out),
		TEST(records_that_are_lost),
		TEST(a_directory_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
