// SPDX-License-Identifier: BSD-3-Clause
// Which lcores keep up, looked at once a second. One that does not gets no new calls until it does; that no lcore does
// is said to the driver, who refuses calls. What lives keeps its packets.

#include <rte_cycles.h>

#include "kg_log.h"
#include "media_private.h"

#define SHARE_HIGH 0.90 // of its time that an lcore had packets
#define SHARE_LOW 0.80
#define BURST_HIGH (RELAY_BURST / 2) // and so many in each turn: a lcore that spins is "busy" with three
#define MISSED_SHARE 1000            // a nic that loses one packet in so many, because its rings are full

static uint64_t read64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

// Do the nics lose packets that nobody fetched in time?
static bool nics_overflow(struct kg_media *media)
{
	uint64_t packets = 0, missed = 0;
	bool over;

	for (unsigned i = 0; i < media->nic_count; i++) {
		struct kg_nic_info info;

		nic_info(&media->nics[i], &info);
		packets += info.rx_packets;
		missed += info.rx_missed;
	}
	over = (missed - media->nics_missed) * MISSED_SHARE > packets - media->nics_packets && media->looked;
	media->nics_packets = packets;
	media->nics_missed = missed;
	return over;
}

static void look_at(struct kg_media *media, unsigned number, uint64_t passed_tsc, bool overflow)
{
	const struct relay *relay = &media->lcores[number]->relay;
	struct media_load *load = &media->loads[number];
	uint64_t busy = read64(&relay->busy_cycles), packets = read64(&relay->counters[KG_CNT_rx_packets]),
		 turns = read64(&relay->counters[KG_CNT_busy_loops]);
	double share = (double)(busy - load->busy) / (double)passed_tsc;
	bool full = packets - load->packets >= (turns - load->turns) * BURST_HIGH, was = load->over;

	if (media->looked) {
		load->share = share;
		load->over = overflow || (full && share >= SHARE_HIGH) || (was && share >= SHARE_LOW);
	}
	load->busy = busy;
	load->packets = packets;
	load->turns = turns;
	if (load->over && !was)
		kg_warn("media",
			"relay lcore %u does not keep up (busy %.0f %%%s): it gets no new calls; give lcores.relay "
			"another "
			"CPU, or spread the calls over more engines",
			number, 100 * share, overflow ? ", the nics' rings overflow" : "");
	if (!load->over && was)
		kg_info("media", "relay lcore %u keeps up again (busy %.0f %%)", number, 100 * share);
}

void media_load_look(struct kg_media *media, uint64_t now_tsc)
{
	uint64_t passed = now_tsc - media->looked_tsc;
	bool overflow;

	if (passed < media->tsc_hz)
		return;
	overflow = nics_overflow(media);
	for (unsigned i = 0; i < media->lcore_count; i++)
		look_at(media, i, passed, overflow);
	media->looked_tsc = now_tsc;
	media->looked = true;
}

int kg_media_lcore_choose(const struct kg_media *media)
{
	uint64_t least = UINT64_MAX;
	int found = -1;

	for (unsigned i = 0; i < media->lcore_count; i++) {
		uint64_t legs = media->legs_each - media->free[i].count;

		if (media->loads[i].over || legs >= least)
			continue;
		least = legs;
		found = (int)i;
	}
	return found;
}
