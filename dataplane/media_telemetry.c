// SPDX-License-Identifier: BSD-3-Clause
// DPDK's telemetry socket: /kedge/... beside DPDK's own /ethdev/..., for collectors that know DPDK. Its threads are
// DPDK's: they read counters that their owners publish, and nothing that control writes.

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_telemetry.h>

#include "media_private.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kg_media *shown; // NULL: none is open

static uint64_t read64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

// --- commands -------------------------------------------------------------------------------------------------------

// "/kedge/lcores": the relay lcores' numbers.
static void list_lcores(const struct kg_media *media, const char *params, struct rte_tel_data *out)
{
	rte_tel_data_start_array(out, RTE_TEL_INT_VAL);
	for (unsigned i = 0; i < media->lcore_count; i++)
		rte_tel_data_add_array_int(out, (int)media->lcores[i]->id);
}

static const struct lcore *lcore_named(const struct kg_media *media, const char *params)
{
	char *end;
	unsigned long id = params && *params ? strtoul(params, &end, 10) : 0;

	for (unsigned i = 0; params && *params && !*end && i < media->lcore_count; i++)
		if (media->lcores[i]->id == id)
			return media->lcores[i];
	return NULL;
}

// "/kedge/lcore,ID": what `kedgectl lcore show` has of it, as counts since its start.
static void show_lcore(const struct kg_media *media, const char *params, struct rte_tel_data *out)
{
	const struct lcore *lcore = lcore_named(media, params);
	char name[RTE_TEL_MAX_STRING_LEN];

	if (!lcore) {
		rte_tel_data_string(out, "no such lcore: /kedge/lcores lists them");
		return;
	}
	rte_tel_data_start_dict(out);
	rte_tel_data_add_dict_int(out, "cpu", lcore->cpu);
	rte_tel_data_add_dict_u64(out, "tsc_hz", lcore->relay.tsc_hz);
	rte_tel_data_add_dict_u64(out, "legs", read64(&lcore->relay.legs_live));
	rte_tel_data_add_dict_u64(out, "busy_cycles", read64(&lcore->relay.busy_cycles));
	rte_tel_data_add_dict_u64(out, "heartbeat_age_cycles", rte_rdtsc() - read64(&lcore->relay.heartbeat_tsc));
	rte_tel_data_add_dict_u64(out, "worst_turn_cycles", read64(&lcore->worst_tsc));
	for (unsigned i = 0; i < KG_CNT_COUNT; i++)
		rte_tel_data_add_dict_u64(out, kg_counter_info[i].id, read64(&lcore->relay.counters[i]));
	for (unsigned i = 0; i < RELAY_STAGES; i++) {
		snprintf(name, sizeof(name), "stage_%s_packets", relay_stages[i].name);
		rte_tel_data_add_dict_u64(out, name, read64(&lcore->relay.stages[i].packets));
		snprintf(name, sizeof(name), "stage_%s_cycles", relay_stages[i].name);
		rte_tel_data_add_dict_u64(out, name, read64(&lcore->relay.stages[i].cycles));
	}
}

// "/kedge/totals": every counter of the pipeline, of all lcores.
static void show_totals(const struct kg_media *media, const char *params, struct rte_tel_data *out)
{
	uint64_t legs = 0;

	rte_tel_data_start_dict(out);
	for (unsigned i = 0; i < KG_CNT_COUNT; i++) {
		uint64_t sum = 0;

		for (unsigned n = 0; n < media->lcore_count; n++)
			sum += read64(&media->lcores[n]->relay.counters[i]);
		rte_tel_data_add_dict_u64(out, kg_counter_info[i].id, sum);
	}
	for (unsigned n = 0; n < media->lcore_count; n++)
		legs += read64(&media->lcores[n]->relay.legs_live);
	rte_tel_data_add_dict_u64(out, "legs", legs);
}

// "/kedge/drops": packets dropped, by reason.
static void show_drops(const struct kg_media *media, const char *params, struct rte_tel_data *out)
{
	rte_tel_data_start_dict(out);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++) {
		uint64_t sum = 0;

		for (unsigned n = 0; n < media->lcore_count; n++)
			sum += read64(&media->lcores[n]->relay.drops[i]);
		rte_tel_data_add_dict_u64(out, kg_drop_info[i].id, sum);
	}
}

// "/kedge/nics": by name, the number under which DPDK's /ethdev/... has its port.
static void list_nics(const struct kg_media *media, const char *params, struct rte_tel_data *out)
{
	rte_tel_data_start_dict(out);
	for (unsigned i = 0; i < media->nic_count; i++)
		rte_tel_data_add_dict_int(out, media->nics[i].name, media->nics[i].ports[0]);
}

static const struct {
	const char *path, *help;
	void (*show)(const struct kg_media *media, const char *params, struct rte_tel_data *out);
} commands[] = {
	{"/kedge/lcores", "Relay lcores. No parameters", list_lcores},
	{"/kedge/lcore", "Counts and cycles of a relay lcore. Parameters: int lcore_id", show_lcore},
	{"/kedge/totals", "The pipeline's counters, of all lcores. No parameters", show_totals},
	{"/kedge/drops", "Packets dropped, by reason. No parameters", show_drops},
	{"/kedge/nics", "Nics and their ethdev port. No parameters", list_nics},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static int answer(const char *path, const char *params, struct rte_tel_data *out)
{
	int error = -ENOENT;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; shown && error && i < COMMANDS; i++)
		if (strcmp(path, commands[i].path) == 0) {
			commands[i].show(shown, params, out);
			error = 0;
		}
	pthread_mutex_unlock(&lock);
	return error;
}

void media_telemetry_open(struct kg_media *media)
{
	pthread_mutex_lock(&lock);
	shown = media;
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < COMMANDS; i++)
		rte_telemetry_register_cmd(commands[i].path, answer, commands[i].help);
}

void media_telemetry_close(void)
{
	pthread_mutex_lock(&lock);
	shown = NULL;
	pthread_mutex_unlock(&lock);
}
