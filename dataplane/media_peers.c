// SPDX-License-Identifier: BSD-3-Clause
// A vhost nic's peer says which queues it uses: a guest begins with one, whatever it could have. What is sent on others
// goes nowhere, so the lcores send through those that there are.

#include <rte_cycles.h>

#include "kg_log.h"
#include "media_private.h"

static void set_ways(struct kg_media *media, unsigned nic, unsigned queues)
{
	for (unsigned i = 0; i < media->lcore_count; i++)
		__atomic_store_n(&media->lcores[i]->nics[nic].via, i % queues, __ATOMIC_RELAXED);
}

// It enables queues one after the other: a second later it has them all.
static void warn(struct media_peer *peer, const struct nic *nic)
{
	peer->said = true;
	kg_warn("nic",
		"%s: the other side of %s uses %u of %u queues: all is sent through %s, at the cost of hand-overs; "
		"give it "
		"as many (`ethtool -L` in a guest), or configure %u relay lcore%s",
		nic->name, nic->device, peer->queues, nic->queues, peer->queues == 1 ? "that one" : "these",
		peer->queues, peer->queues == 1 ? "" : "s");
}

void media_peers_look(struct kg_media *media, uint64_t now_tsc)
{
	for (unsigned i = 0; i < media->nic_count; i++) {
		const struct nic *nic = &media->nics[i];
		struct media_peer *peer = &media->peers[i];
		unsigned queues = nic_peer_queues(nic);

		if (queues != peer->queues) {
			*peer = (struct media_peer){.queues = queues, .since_tsc = now_tsc};
			set_ways(media, i, queues && queues < nic->pair_count ? queues : nic->pair_count);
		} else if (queues && queues < nic->queues && !peer->said && now_tsc - peer->since_tsc > media->tsc_hz) {
			warn(peer, nic);
		}
	}
}
