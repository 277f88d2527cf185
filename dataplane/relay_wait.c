// SPDX-License-Identifier: BSD-3-Clause

#include "relay_wait.h"

#include "hand.h"
#include "relay_forward.h"

#define A_LEG 8         // of one leg at most: 160 ms of a call; others want room too
#define PATIENCE_MS 500 // what is older nobody plays any more

bool wait_push(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct relay_wait *wait = &relay->wait;
	enum hand_kind kind = work->source ? HAND_OBSERVED : HAND_MADE; // which has no frame to be read again
	unsigned same = 0;

	for (unsigned i = 0; i < wait->count; i++)
		same += hand_read(wait->packets[i]).peer == work->who.peer;
	if (wait->count == wait->room || same == A_LEG)
		return false;
	if (work->rtcp && work->leg)
		forward_rtcp_half(work);
	hand_write(work->mbuf, &(struct hand){.kind = kind, .from = work->who.from, .peer = work->who.peer});
	wait->since_tsc[wait->count] = now_tsc;
	wait->packets[wait->count++] = work->mbuf;
	relay_add(&relay->counters[KG_CNT_waited], 1);
	return true;
}

void wait_changed(struct relay *relay, kg_leg_id leg)
{
	for (unsigned i = 0; i < relay->wait.count; i++)
		relay->wait.due |= hand_read(relay->wait.packets[i]).peer == leg;
}

// May it go on? Where its leg is gone or sends nothing any more, it ends by that.
static bool may_go(const struct relay *relay, const struct rte_mbuf *mbuf)
{
	uint32_t peer = hand_read(mbuf).peer;
	const struct leg_out *out = &relay->legs[leg_index(peer)].out;

	return out->id != peer || (out->flags & (LEG_REMOTE | LEG_HOP)) != LEG_REMOTE;
}

static void give_up(struct relay *relay, struct rte_mbuf *mbuf)
{
	uint32_t from = hand_read(mbuf).from;
	struct leg *leg = work_owns(relay, from) ? &relay->legs[leg_index(from)] : NULL;

	work_drop(relay, leg && leg->in.id == from ? leg : NULL, mbuf, KG_DROP_no_next_hop);
}

unsigned wait_pop(struct relay *relay, uint64_t now_tsc)
{
	struct relay_wait *wait = &relay->wait;
	struct rte_mbuf *ready[RELAY_WAIT], *made[RELAY_WAIT];
	unsigned left = 0, n = 0, m = 0;

	assert_owner(&relay->owner);
	// They came in this order: while the first has patience, all have.
	if (wait->count == 0 || (!wait->due && now_tsc - wait->since_tsc[0] <= relay->tsc_hz / 1000 * PATIENCE_MS))
		return 0;
	for (unsigned i = 0; i < wait->count; i++) {
		if (may_go(relay, wait->packets[i])) {
			if (hand_read(wait->packets[i]).kind == HAND_MADE)
				made[m++] = wait->packets[i];
			else
				ready[n++] = wait->packets[i];
		} else if (now_tsc - wait->since_tsc[i] > relay->tsc_hz / 1000 * PATIENCE_MS) {
			give_up(relay, wait->packets[i]);
		} else {
			wait->packets[left] = wait->packets[i];
			wait->since_tsc[left++] = wait->since_tsc[i];
		}
	}
	wait->count = left;
	wait->due = false;
	relay_crossed(relay, ready, n, now_tsc);
	relay_made(relay, made, m, now_tsc);
	relay_add(&relay->given, n + m); // they were taken a second time
	return n + m;
}

void wait_end(struct relay *relay)
{
	for (unsigned i = 0; i < relay->wait.count; i++)
		give_up(relay, relay->wait.packets[i]);
	relay->wait.count = 0;
}
