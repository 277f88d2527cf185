// SPDX-License-Identifier: BSD-3-Clause

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "capture.h"
#include "hand.h"
#include "lcore.h"
#include "relay_wait.h"
#include "relay_work.h"

#define HELD_TURNS 16  // a retirement waits no longer, however full the nics are
#define HELD_MS 100    // nor for another lcore that stands still
#define IDLE_PAUSES 64 // empty turns before the first sleep
#define IDLE_SLEEP_MIN_US 20
#define IDLE_SLEEP_MAX_US 100

// --- commands -------------------------------------------------------------------------------------------------------

static void carry_out(struct lcore *lcore, struct lcore_command *command)
{
	struct relay *relay = &lcore->relay;
	struct leg *leg = &relay->legs[leg_index(command->leg)];
	struct leg_cold *cold = &relay->cold[leg_index(command->leg)];
	struct leg_conf *conf = command->block;

	switch (command->type) {
	case LCORE_CREATE:
		memset(leg, 0, sizeof(*leg));
		memset(cold, 0, sizeof(*cold));
		leg_configure(leg, cold, conf);
		relay_add(&relay->legs_live, 1);
		break;
	case LCORE_CHANGE:
		if (!(leg->in.flags & LEG_MAY_RECEIVE) && conf->in.flags & LEG_MAY_RECEIVE)
			leg->stream.source.paused = true; // what was turned away meanwhile was not lost
		// Who sends from a new place was negotiated: the first packet from there is the stream.
		if (leg_configure(leg, cold, conf))
			leg->stream.source.heard_q = 0;
		wait_changed(relay, command->leg);
		break;
	case LCORE_RETIRE:
		leg_ports_clear(conf->ports, &conf->config, command->leg, relay->number);
		leg->in = (struct leg_in){.id = 0}; // whose ports are entered again before it is made: nobody's yet
		leg->out.id = 0;
		wait_changed(relay, command->leg);
		relay_add(&relay->legs_live, (uint64_t)-1);
		break;
	case LCORE_ADDRS:
		command->block = relay->addrs;
		relay->addrs = (struct relay_addrs *)conf;
		break;
	case LCORE_CAPTURE:
		command->block = lcore->nics[command->leg].capture;
		lcore->nics[command->leg].capture = (struct capture *)conf;
		break;
	case LCORE_STOP:
		wait_end(relay);
		lcore->stop = true;
		break;
	}
}

// An acknowledgement must not be lost: no room for it, no command.
static bool may_answer(const struct lcore *lcore)
{
	return rte_ring_free_count(lcore->relay.events) > 1;
}

static void obey(struct lcore *lcore, struct lcore_command *command)
{
	carry_out(lcore, command);
	relay_tell(&lcore->relay, &(struct relay_event){
					  .type = RELAY_EV_ACK,
					  .command = command->type,
					  .leg = command->leg,
					  .version = command->version,
					  .tsc = rte_rdtsc(),
					  .block = command->block,
				  });
}

// Has each other lcore made a whole turn since the retirements were held? What it had received is handed over then.
static bool others_turned(struct lcore *lcore)
{
	if (rte_rdtsc() - lcore->held_tsc > lcore->relay.tsc_hz / 1000 * HELD_MS)
		return true;
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		if (lcore->turns[i] && __atomic_load_n(lcore->turns[i], __ATOMIC_ACQUIRE) - lcore->held_at[i] < 2)
			return false;
	return true;
}

// The next retirements to wait: those that are held now.
static void hold(struct lcore *lcore)
{
	lcore->held_ready = lcore->held_count;
	lcore->held_turns = 0;
	lcore->held_tsc = rte_rdtsc();
	lcore->held_drained = true; // by the turn that begins, where nobody hands anything over
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		if (lcore->turns[i]) {
			lcore->held_at[i] = __atomic_load_n(lcore->turns[i], __ATOMIC_ACQUIRE);
			lcore->held_drained = false;
		}
}

// Carry out what was held, where its wait is over. Returns: how many.
static unsigned obey_held(struct lcore *lcore)
{
	unsigned n = 0;

	if (!lcore->held_drained) {
		lcore->held_drained = others_turned(lcore); // and now a turn of our own, for what they handed over
		return 0;
	}
	if (lcore->last_burst >= RELAY_BURST && ++lcore->held_turns < HELD_TURNS)
		return 0;
	while (n < lcore->held_ready && may_answer(lcore))
		obey(lcore, &lcore->held[n++]);
	lcore->held_ready -= n;
	lcore->held_count -= n;
	memmove(lcore->held, lcore->held + n, lcore->held_count * sizeof(*lcore->held));
	return n;
}

// Returns: how many were carried out; retirements are held.
static unsigned take_commands(struct lcore *lcore)
{
	struct lcore_command command;
	unsigned n = 0;

	for (unsigned taken = 0; taken < LCORE_COMMANDS && lcore->held_count < LCORE_COMMANDS && may_answer(lcore);
		taken++) {
		if (rte_ring_sc_dequeue_elem(lcore->commands, &command, sizeof(command)) != 0)
			break;
		if (command.type == LCORE_RETIRE || command.type == LCORE_STOP) {
			lcore->held[lcore->held_count++] = command;
			continue;
		}
		obey(lcore, &command);
		n++;
	}
	if (n)
		relay_add(&lcore->relay.counters[KG_CNT_commands], n);
	return n;
}

unsigned lcore_commands(struct lcore *lcore)
{
	unsigned n;

	assert_owner(&lcore->relay.owner);
	n = lcore->held_ready ? obey_held(lcore) : 0;
	if (n)
		relay_add(&lcore->relay.counters[KG_CNT_commands], n);
	n += take_commands(lcore);
	if (!lcore->held_ready && lcore->held_count)
		hold(lcore);
	return n;
}

// --- the loop -------------------------------------------------------------------------------------------------------

static void count_frames(
	struct relay *relay, struct rte_mbuf **packets, unsigned n, enum kg_counter count, enum kg_counter bytes)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += rte_pktmbuf_pkt_len(packets[i]);
	relay_add(&relay->counters[count], n);
	relay_add(&relay->counters[bytes], sum);
}

// What only the wire has: the nic's VLAN tag, put on by the nic or into the frame. Returns: false where it cannot be.
static bool tag(const struct lcore_nic *nic, struct rte_mbuf **mbuf)
{
	(*mbuf)->vlan_tci = nic->vlan;
	if (!nic->vlan_insert)
		return rte_vlan_insert(mbuf) == 0;
	(*mbuf)->ol_flags |= RTE_MBUF_F_TX_VLAN;
	return true;
}

static void tag_burst(struct lcore *lcore, unsigned i)
{
	struct relay_tx *tx = &lcore->relay.tx[i];

	for (unsigned j = 0; j < tx->count;) {
		if (tag(&lcore->nics[i], &tx->packets[j])) {
			j++;
			continue;
		}
		work_drop(&lcore->relay, NULL, tx->packets[j], KG_DROP_too_long); // no room in front
		tx->count--;
		tx->packets[j] = tx->packets[tx->count];
		tx->whose[j] = tx->whose[tx->count];
	}
}

// The nic's queue is another lcore's: it sends for us.
static void send_via(struct lcore *lcore, unsigned i, unsigned via)
{
	struct relay_tx *tx = &lcore->relay.tx[i];

	relay_add(&lcore->relay.counters[KG_CNT_handed_tx], tx->count);
	for (unsigned j = 0; j < tx->count; j++)
		relay_hand_over(
			&lcore->relay, via, tx->packets[j], &(struct hand){.kind = HAND_READY, .nic = (uint8_t)i});
	tx->count = 0;
}

static void send_burst(struct lcore *lcore, unsigned i)
{
	struct relay *relay = &lcore->relay;
	struct lcore_nic *nic = &lcore->nics[i];
	struct relay_tx *tx = &relay->tx[i];
	uint64_t bytes = 0, tsc = rte_rdtsc();
	unsigned sent;
	uint16_t sizes[RELAY_TX];

	if (unlikely(nic->vlan))
		tag_burst(lcore, i);
	for (unsigned j = 0; j < tx->count; j++)
		sizes[j] = rte_pktmbuf_data_len(tx->packets[j]); // a sent mbuf is not ours to look at
	if (unlikely(nic->capture != NULL))
		capture_burst(nic->capture, tx->packets, tx->count, tsc, true);
	sent = rte_eth_tx_burst(nic->port, nic->queue, tx->packets, (uint16_t)tx->count);
	for (unsigned j = 0; j < sent; j++)
		bytes += sizes[j];
	relay_add(&relay->counters[KG_CNT_tx_packets], sent);
	relay_add(&relay->counters[KG_CNT_tx_bytes], bytes);
	relay_add(&relay->stages[RELAY_TX_STAGE].packets, tx->count);
	relay_sent(relay, i, sent);
	relay_add(&relay->stages[RELAY_TX_STAGE].cycles, rte_rdtsc() - tsc);
}

// Hand the waiting packets of each nic that has more than `most` of them to it.
static void flush(struct lcore *lcore, unsigned most)
{
	for (unsigned i = 0; i < lcore->nic_count; i++) {
		unsigned via = __atomic_load_n(&lcore->nics[i].via, __ATOMIC_RELAXED);

		if (lcore->relay.tx[i].count <= most)
			continue;
		if (via == lcore->relay.number)
			send_burst(lcore, i);
		else
			send_via(lcore, i, via);
	}
}

// Frames of the nic's VLAN lose their tag; others are none of ours, nor the TAP's. Returns: how many are left.
static unsigned untag_burst(struct lcore *lcore, const struct lcore_nic *nic, struct rte_mbuf **packets, unsigned n)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		bool tagged = packets[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED || rte_vlan_strip(packets[i]) == 0;

		if (tagged && (packets[i]->vlan_tci & 0xfff) == nic->vlan) {
			packets[left++] = packets[i];
			continue;
		}
		relay_add(&lcore->relay.taken, 1);
		work_drop(&lcore->relay, NULL, packets[i], KG_DROP_wrong_vlan);
	}
	return left;
}

// Commands may say where to packets go that wait: they leave before those that came later.
// Returns: how many.
static unsigned let_go(struct lcore *lcore)
{
	unsigned n;

	if (likely(lcore->relay.wait.count == 0))
		return 0;
	flush(lcore, RELAY_TX - RELAY_WAIT);
	n = wait_pop(&lcore->relay, rte_rdtsc());
	if (n)
		flush(lcore, RELAY_TX - RELAY_BURST); // the next burst must find room
	return n;
}

static unsigned receive(struct lcore *lcore, struct lcore_nic *nic)
{
	struct relay *relay = &lcore->relay;
	struct rte_mbuf *packets[RELAY_BURST];
	uint64_t tsc = rte_rdtsc();
	unsigned n = rte_eth_rx_burst(nic->port, nic->queue, packets, RELAY_BURST), left = n;
	uint64_t now = rte_rdtsc();

	if (!n)
		return 0;
	relay_add(&relay->stages[RELAY_RX].packets, n);
	relay_add(&relay->stages[RELAY_RX].cycles, now - tsc);
	relay_add(&relay->counters[KG_CNT_bursts], 1);
	count_frames(relay, packets, n, KG_CNT_rx_packets, KG_CNT_rx_bytes);
	if (unlikely(nic->capture != NULL))
		capture_burst(nic->capture, packets, n, now, false);
	if (unlikely(nic->vlan))
		left = untag_burst(lcore, nic, packets, n);
	relay->kernel = nic->to_kernel;
	// Behind the nic, before its packets: a leg that was made before its peer could know of it is there for the
	// peer's first packet, wherever in its turn this lcore was stopped meanwhile.
	take_commands(lcore);
	let_go(lcore);
	if (left)
		relay_process(relay, packets, left, now);
	relay->kernel = NULL;
	return n;
}

// Frames of the nic's TAP, as they are but for the tag.
static unsigned send_kernels(struct lcore *lcore, struct lcore_nic *nic)
{
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned n = rte_ring_sc_dequeue_burst(nic->from_kernel, (void **)packets, RELAY_BURST, NULL), sent;

	if (!n)
		return 0;
	if (nic->capture)
		capture_burst(nic->capture, packets, n, rte_rdtsc(), true);
	sent = rte_eth_tx_burst(nic->port, nic->queue, packets, (uint16_t)n);
	relay_add(&lcore->relay.counters[KG_CNT_from_kernel], sent);
	for (unsigned i = sent; i < n; i++) {
		relay_add(&lcore->relay.taken, 1);
		work_drop(&lcore->relay, NULL, packets[i], KG_DROP_tx_full);
	}
	return n;
}

// What other lcores hand over, by what is to be done with it.
static void take_handed(struct lcore *lcore, struct rte_mbuf **packets, unsigned n)
{
	struct rte_mbuf *received[RELAY_BURST], *observed[RELAY_BURST];
	unsigned received_count = 0, observed_count = 0;
	struct relay *relay = &lcore->relay;
	uint64_t now = rte_rdtsc();

	for (unsigned i = 0; i < n; i++) {
		const struct hand hand = hand_read(packets[i]);
		struct relay_tx *tx = &relay->tx[hand.nic];

		switch (hand.kind) {
		case HAND_RECEIVED:
			received[received_count++] = packets[i];
			break;
		case HAND_OBSERVED:
			observed[observed_count++] = packets[i];
			break;
		case HAND_MADE: // comes by a ring of its own
			break;
		case HAND_READY:
			relay_add(&relay->taken, 1);
			tx->whose[tx->count] = (struct relay_whose){0, 0};
			tx->packets[tx->count++] = packets[i]; // there is room: flush sees to it
			break;
		}
	}
	if (received_count)
		relay_process(relay, received, received_count, now);
	if (observed_count)
		relay_crossed(relay, observed, observed_count, now);
}

static unsigned take_made(struct lcore *lcore)
{
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned total = 0;

	for (unsigned i = 0; i < KG_MEDIA_LCORES && lcore->made[i]; i++) {
		unsigned n = rte_ring_sc_dequeue_burst(lcore->made[i], (void **)packets, RELAY_BURST, NULL);

		if (!n)
			continue;
		take_commands(lcore); // as in receive()
		relay_made(&lcore->relay, packets, n, rte_rdtsc());
		flush(lcore, RELAY_TX - RELAY_BURST);
		total += n;
	}
	return total;
}

unsigned lcore_turn(struct lcore *lcore)
{
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned total;

	assert_owner(&lcore->relay.owner);
	total = let_go(lcore);
	for (unsigned i = 0; i < lcore->nic_count; i++) {
		if (!lcore->nics[i].own)
			continue;
		total += receive(lcore, &lcore->nics[i]);
		flush(lcore, RELAY_TX - RELAY_BURST); // the next burst must find room
		if (lcore->nics[i].from_kernel)
			total += send_kernels(lcore, &lcore->nics[i]);
	}
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++) {
		unsigned n = lcore->from[i]
				     ? rte_ring_sc_dequeue_burst(lcore->from[i], (void **)packets, RELAY_BURST, NULL)
				     : 0;

		if (!n)
			continue;
		take_commands(lcore); // as in receive()
		let_go(lcore);
		take_handed(lcore, packets, n);
		flush(lcore, RELAY_TX - RELAY_BURST);
		total += n;
	}
	total += take_made(lcore);
	if (total) {
		flush(lcore, 0);
		relay_hand_flush(&lcore->relay);
	}
	lcore->last_burst = total;
	return total;
}

// Nothing came: pause first, then sleep ever longer. Returns: the next sleep.
static unsigned rest(struct lcore *lcore, unsigned idle_turns, unsigned sleep_us)
{
	const struct timespec time = {0, (long)sleep_us * 1000};

	if (lcore->spin || idle_turns < IDLE_PAUSES) {
		rte_pause();
		return IDLE_SLEEP_MIN_US;
	}
	relay_add(&lcore->relay.counters[KG_CNT_sleeps], 1);
	nanosleep(&time, NULL);
	return sleep_us * 2 < IDLE_SLEEP_MAX_US ? sleep_us * 2 : IDLE_SLEEP_MAX_US;
}

void lcore_give_up_rights(void)
{
	const uint32_t kept = CAP_TO_MASK(CAP_SETUID) | CAP_TO_MASK(CAP_SETGID); // both in the first word
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {{0}}, less[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, has) != 0)
		return;
	less[0].permitted = has[0].permitted & kept;
	less[0].effective = has[0].effective & kept;
	syscall(SYS_capset, &header, less);
}

int lcore_run(void *arg)
{
	struct lcore *lcore = arg;
	struct relay *relay = &lcore->relay;
	unsigned idle_turns = 0, sleep_us = IDLE_SLEEP_MIN_US;

	prctl(PR_SET_TIMERSLACK, 1000UL); // ns: else 50 us are added to each sleep
	lcore_give_up_rights();
	owner_take(&relay->owner);
	while (!lcore->stop) {
		uint64_t tsc = rte_rdtsc();
		unsigned n;

		lcore_commands(lcore);
		n = lcore_turn(lcore);
		__atomic_store_n( // what this turn handed over comes before it (others_turned)
			&relay->counters[KG_CNT_loops], relay->counters[KG_CNT_loops] + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&relay->heartbeat_tsc, tsc, __ATOMIC_RELAXED);
		if (n) {
			uint64_t took = rte_rdtsc() - tsc;

			relay_add(&relay->counters[KG_CNT_busy_loops], 1);
			relay_add(&relay->busy_cycles, took);
			if (took > lcore->worst_tsc)
				__atomic_store_n(&lcore->worst_tsc, took, __ATOMIC_RELAXED);
			idle_turns = 0;
			sleep_us = IDLE_SLEEP_MIN_US;
		} else {
			sleep_us = rest(lcore, idle_turns++, sleep_us);
		}
	}
	return 0;
}
