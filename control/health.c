// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cdr.h"
#include "events.h"
#include "health.h"
#include "kg_log.h"
#include "kg_media.h"
#include "ports.h"

#define LOOK_MS 1000
#define LAG_WINDOW_MS 10000
#define LAG_MAX_MS 500
#define HEARTBEAT_MAX_US 1000000
#define PORTS_FREE_MIN 20 // one of so many
#define DISK_FREE_MIN (64ull << 20)

struct health {
	struct health_options options;
	uint64_t turned_ms, looked_ms, window_ms;
	uint32_t lag_ms, lag_before_ms; // the worst of this window and of the one before
	uint64_t cdr_written, cdr_lost; // when last looked at
	bool cdr_fails;                 // the last record that there was could not be written
	bool good[HEALTH_COUNT];
	bool dsp_full;
	char detail[HEALTH_COUNT][160];
};

const char *health_name(unsigned check)
{
#define NAME(name, what) #name,
	static const char *const names[] = {HEALTH_CHECKS(NAME)};

	return check < HEALTH_COUNT ? names[check] : NULL;
}

const char *health_what(unsigned check)
{
#define WHAT(name, what) what,
	static const char *const whats[] = {HEALTH_CHECKS(WHAT)};

	return check < HEALTH_COUNT ? whats[check] : NULL;
}

// --- looking --------------------------------------------------------------------------------------------------------

static bool look_control_loop(struct health *health, char *detail, size_t size, json_t *json)
{
	uint32_t lag = health_lag_ms(health);

	snprintf(detail, size, "it was up to %u ms late: too much to do, or other work on its CPU", lag);
	if (json)
		json_object_set_new(json, "lag_ms", json_integer(lag));
	return lag <= LAG_MAX_MS;
}

static bool look_lcore(struct health *health, char *detail, size_t size, json_t *json)
{
	struct kg_lcore_info info;
	uint64_t oldest = 0;

	for (unsigned i = 0; kg_media_lcore_info(health->options.media, i, &info) == 0; i++) {
		if (info.heartbeat_age_us <= oldest)
			continue;
		oldest = info.heartbeat_age_us;
		snprintf(detail, size, "lcore %u has not come round for %llu ms: media stands still there", info.lcore,
			(unsigned long long)oldest / 1000);
	}
	if (json)
		json_object_set_new(json, "heartbeat_age_us", json_integer((json_int_t)oldest));
	return oldest < HEARTBEAT_MAX_US;
}

static bool look_nic(struct health *health, char *detail, size_t size, json_t *json)
{
	json_t *down = json ? json_array() : NULL;
	struct kg_nic_info info;
	bool good = true;

	for (unsigned i = 0; kg_media_nic_info(health->options.media, i, &info) == 0; i++) {
		if (info.link_up)
			continue;
		if (good)
			snprintf(detail, size, "nic %s (%s) has no link: `ip link show` says more", info.name,
				info.device);
		good = false;
		if (down)
			json_array_append_new(down, json_string(info.name));
	}
	if (json)
		json_object_set_new(json, "down", down);
	return good;
}

// A call that needs IPv4 is not helped by free IPv6 ports, nor by those of another nic. Returns: are there enough?
static bool look_family(
	const struct health *health, const struct kg_nic_info *nic, uint8_t family, uint64_t *used, uint64_t *all)
{
	uint64_t here = 0, room = 0;

	for (unsigned i = 0; i < nic->addr_count; i++) {
		if (nic->addrs[i].family != family)
			continue;
		room += 2ull * ports_capacity(health->options.ports);
		here += ports_in_use_at(health->options.ports, &nic->addrs[i]);
	}
	*used += here;
	*all += room;
	return here * PORTS_FREE_MIN <= room * (PORTS_FREE_MIN - 1) || here == 0;
}

static bool look_ports(struct health *health, char *detail, size_t size, json_t *json)
{
	struct kg_nic_info info;
	uint64_t all = 0, used = 0;
	bool good = true;

	for (unsigned i = 0; kg_media_nic_info(health->options.media, i, &info) == 0; i++) {
		for (uint8_t family = 4; family <= 6; family += 2) {
			if (look_family(health, &info, family, &used, &all) || !good)
				continue;
			good = false;
			snprintf(detail, size,
				"nearly all IPv%u media ports of nic %s are taken: widen media.ports or give the nic "
				"another address",
				family, info.name);
		}
	}
	if (json) {
		json_object_set_new(json, "used", json_integer((json_int_t)used));
		json_object_set_new(json, "all", json_integer((json_int_t)all));
	}
	return good;
}

static bool look_disk(struct health *health, char *detail, size_t size, json_t *json)
{
	uint64_t written = cdr_written(health->options.cdr), lost = cdr_lost(health->options.cdr), free_bytes = 0;
	char directory[256];
	struct statvfs fs;
	char *slash;

	if (lost != health->cdr_lost)
		health->cdr_fails = true;
	else if (written != health->cdr_written)
		health->cdr_fails = false;
	health->cdr_lost = lost;
	health->cdr_written = written;
	snprintf(directory, sizeof(directory), "%s", health->options.cdr_file);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';
	if (statvfs(slash ? directory : ".", &fs) == 0)
		free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (health->cdr_fails)
		snprintf(detail, size, "the last call records could not be written to %s: the log says why",
			health->options.cdr_file);
	else
		snprintf(detail, size, "%llu MB are free in %s", (unsigned long long)(free_bytes >> 20), directory);
	if (json) {
		json_object_set_new(json, "free_bytes", json_integer((json_int_t)free_bytes));
		json_object_set_new(json, "records_lost", json_integer((json_int_t)lost));
	}
	return !health->cdr_fails && free_bytes >= DISK_FREE_MIN;
}

static bool look(struct health *health, unsigned check, json_t *json)
{
#define LOOK(name, what) look_##name,
	static bool (*const looks[])(struct health *, char *, size_t, json_t *) = {HEALTH_CHECKS(LOOK)};
	char detail[sizeof(health->detail[0])] = "";
	bool good = looks[check](health, detail, sizeof(detail), json);

	snprintf(health->detail[check], sizeof(health->detail[check]), "%s", good ? "" : detail);
	if (good != health->good[check]) {
		health->good[check] = good;
		events_emit(health->options.events, "alarm", NULL, NULL,
			json_pack("{s:s,s:b,s:s}", "name", health_name(check), "active", !good, "detail",
				health->detail[check]));
		kg_log(good ? KG_LOG_INFO : KG_LOG_WARN, "health", "%s: %s", health_name(check),
			good ? "well again" : detail);
	}
	return good;
}

// No reason to send the engine no calls: those that need no room go on.
static void look_dsp(struct health *health)
{
	bool full = !kg_media_room_free(health->options.media);

	if (full == health->dsp_full)
		return;
	health->dsp_full = full;
	events_emit(health->options.events, "alarm", NULL, NULL,
		json_pack("{s:s,s:b,s:s}", "name", "dsp_overload", "active", full, "detail",
			full ? "no dsp lcore has time: calls that would be transcoded get 503" : ""));
	kg_log(full ? KG_LOG_WARN : KG_LOG_INFO, "health", "dsp_overload: %s",
		full ? "no dsp lcore has time: calls that would be transcoded get 503; give lcores.dsp another CPU"
		     : "well again");
}

// --- the clock ------------------------------------------------------------------------------------------------------

void health_turn(struct health *health, uint64_t now_ms, uint32_t interval_ms)
{
	uint64_t late = health->turned_ms ? now_ms - health->turned_ms : 0;

	late = late > interval_ms ? late - interval_ms : 0;
	health->turned_ms = now_ms;
	if (now_ms - health->window_ms >= LAG_WINDOW_MS) {
		health->window_ms = now_ms;
		health->lag_before_ms = health->lag_ms;
		health->lag_ms = 0;
	}
	if (late > health->lag_ms)
		health->lag_ms = (uint32_t)late;
	if (now_ms - health->looked_ms < LOOK_MS)
		return;
	health->looked_ms = now_ms;
	for (unsigned i = 0; i < HEALTH_COUNT; i++)
		look(health, i, NULL);
	look_dsp(health);
}

uint32_t health_lag_ms(const struct health *health)
{
	return health->lag_ms > health->lag_before_ms ? health->lag_ms : health->lag_before_ms;
}

bool health_good(const struct health *health, unsigned check)
{
	return health->good[check];
}

json_t *health_json(struct health *health, bool *well)
{
	json_t *checks = json_array();

	*well = true;
	for (unsigned i = 0; i < HEALTH_COUNT; i++) {
		json_t *json = json_object();
		bool good = look(health, i, json);

		json_object_set_new(json, "what", json_string(health_name(i)));
		json_object_set_new(json, "ok", json_boolean(good));
		json_object_set_new(json, "help", json_string(health_what(i)));
		json_object_set_new(json, "detail", json_string(health->detail[i]));
		json_array_append_new(checks, json);
		*well = *well && good;
	}
	return json_pack("{s:s,s:o}", "status", *well ? "ok" : "failing", "checks", checks);
}

struct health *health_create(const struct health_options *options)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return NULL;
	health->options = *options;
	for (unsigned i = 0; i < HEALTH_COUNT; i++)
		health->good[i] = true; // what is not is said at the first look
	return health;
}

void health_destroy(struct health *health)
{
	free(health);
}
