// SPDX-License-Identifier: BSD-3-Clause
// What the media plane shows of itself: totals, nics, lcores.

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mempool.h>

#include "eal.h"
#include "dsp.h"
#include "media_private.h"

static uint64_t read64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

void kg_media_totals(struct kg_media *media, struct kg_media_totals *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned n = 0; n < media->lcore_count; n++) {
		const struct relay *relay = &media->lcores[n]->relay;
		uint64_t given = read64(&relay->given); // before taken, so that the difference is never below zero

		for (unsigned i = 0; i < KG_DROP_COUNT; i++)
			out->drops[i] += read64(&relay->drops[i]);
		for (unsigned i = 0; i < KG_CNT_COUNT; i++)
			out->counters[i] += read64(&relay->counters[i]);
		out->mbufs_in_use += read64(&relay->taken) - given;
	}
	out->legs = media->live;
	out->rooms = (media->ways + 1) / 2;
	for (unsigned i = 0; i < media->lcore_count; i++)
		if (media_pool_is_first(media, i))
			out->mbufs_total += media->pools[i]->size;
}

int kg_media_nic_info(struct kg_media *media, unsigned nic, struct kg_nic_info *out)
{
	if (nic >= media->nic_count)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	nic_info(&media->nics[nic], out);
	return 0;
}

static int dsp_info(const struct kg_media *media, unsigned index, struct kg_lcore_info *out)
{
	const struct media_dsp *one = &media->dsps[index];
	uint64_t now = rte_rdtsc(), beat;

	if (index >= media->dsp_count)
		return -ENOENT;
	beat = read64(&one->dsp->heartbeat_tsc);
	memset(out, 0, sizeof(*out));
	out->lcore = media->lcore_count + 1 + index; // behind the relays'
	out->cpu = one->dsp->cpu;
	snprintf(out->role, sizeof(out->role), "dsp");
	snprintf(out->idle, sizeof(out->idle), "adaptive");
	out->legs = one->ways;
	out->loops = read64(&one->dsp->loops);
	out->packets = read64(&one->dsp->packets_in);
	out->heartbeat_age_us = now > beat ? media_us(media, now - beat) : 0;
	out->busy_share = (double)read64(&one->dsp->busy_tsc) / (double)(now - one->start_tsc + 1);
	out->load = one->share;
	out->overloaded = media_dsp_full(media, index);
	return 0;
}

int kg_media_lcore_info(struct kg_media *media, unsigned index, struct kg_lcore_info *out)
{
	const struct lcore *lcore;
	const struct relay *relay;
	uint64_t now = rte_rdtsc(), beat;

	if (index >= media->lcore_count)
		return dsp_info(media, index - media->lcore_count, out);
	lcore = media->lcores[index];
	relay = &lcore->relay;
	beat = read64(&relay->heartbeat_tsc);
	memset(out, 0, sizeof(*out));
	out->lcore = lcore->id;
	out->cpu = lcore->cpu;
	snprintf(out->role, sizeof(out->role), "relay");
	snprintf(out->idle, sizeof(out->idle), lcore->spin ? "spin" : "adaptive");
	out->legs = read64(&relay->legs_live);
	out->loops = read64(&relay->counters[KG_CNT_loops]);
	out->busy_loops = read64(&relay->counters[KG_CNT_busy_loops]);
	out->sleeps = read64(&relay->counters[KG_CNT_sleeps]);
	out->bursts = read64(&relay->counters[KG_CNT_bursts]);
	out->commands = read64(&relay->counters[KG_CNT_commands]);
	out->packets = read64(&relay->counters[KG_CNT_rx_packets]);
	out->heartbeat_age_us = now > beat ? (uint64_t)((double)(now - beat) * 1e6 / (double)relay->tsc_hz) : 0;
	out->busy_share = (double)read64(&relay->busy_cycles) / (double)(now - lcore->start_tsc + 1);
	out->load = media->loads[index].share;
	out->overloaded = media->loads[index].over;
	out->worst_turn_us = media_us(media, read64(&lcore->worst_tsc));
	out->handed_over = read64(&relay->counters[KG_CNT_handed_over]);
	out->cross_lcore = read64(&relay->counters[KG_CNT_cross_lcore]);
	out->handed_tx = read64(&relay->counters[KG_CNT_handed_tx]);
	out->stage_count = RELAY_STAGES;
	for (unsigned i = 0; i < RELAY_STAGES; i++)
		out->stages[i] = (struct kg_stage_info){.name = relay_stages[i].name,
			.packets = read64(&relay->stages[i].packets),
			.cycles = read64(&relay->stages[i].cycles)};
	return 0;
}

unsigned kg_media_files(const char *files[3])
{
	return eal_telemetry_files(files);
}
