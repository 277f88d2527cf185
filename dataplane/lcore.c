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
#include "lcore.h"

#define HELD_TURNS 16  // a retirement waits no longer, however full the nics are
#define IDLE_PAUSES 64 // empty turns before the first sleep
#define IDLE_SLEEP_MIN_US 20
#define IDLE_SLEEP_MAX_US 100

// --- commands -------------------------------------------------------------------------------------------------------

// Enter the leg's ports into the table of its address, which stays where it is when the address goes and comes back.
static void set_ports(const struct leg_conf *conf, uint32_t index)
{
	conf->ports[conf->config.local.port] = index;
	if (!conf->config.rtcp_mux)
		conf->ports[conf->config.local.port + 1] = index;
}

// Take both out; the RTCP port may have been entered before rtcp-mux was agreed.
static void clear_ports(const struct leg_conf *conf, uint32_t index)
{
	uint32_t *ports = conf->ports + conf->config.local.port;

	for (unsigned i = 0; i < 2; i++)
		if (ports[i] == index)
			ports[i] = 0;
}

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
		set_ports(conf, leg_index(command->leg));
		relay_add(&relay->legs_live, 1);
		break;
	case LCORE_CHANGE:
		if (!(leg->in.flags & LEG_MAY_RECEIVE) && conf->in.flags & LEG_MAY_RECEIVE)
			leg->stream.source.paused = true; // what was turned away meanwhile was not lost
		// Who sends from a new place was negotiated: the first packet from there is the stream.
		if (leg_configure(leg, cold, conf))
			leg->stream.source.heard_q = 0;
		set_ports(conf, leg_index(command->leg));
		break;
	case LCORE_RETIRE:
		clear_ports(conf, leg_index(command->leg));
		leg->in.id = leg->out.id = 0;
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

// Carry out what was held, where its wait is over. Returns: how many.
static unsigned obey_held(struct lcore *lcore)
{
	unsigned n = 0;

	if (lcore->last_burst >= RELAY_BURST && ++lcore->held_turns < HELD_TURNS)
		return 0;
	while (n < lcore->held_count && may_answer(lcore))
		obey(lcore, &lcore->held[n++]);
	lcore->held_count -= n;
	memmove(lcore->held, lcore->held + n, lcore->held_count * sizeof(*lcore->held));
	lcore->held_turns = 0;
	return n;
}

unsigned lcore_commands(struct lcore *lcore)
{
	struct lcore_command command;
	unsigned n = lcore->held_count ? obey_held(lcore) : 0;

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

// Hand the waiting packets of each nic that has more than `most` of them to it.
static void flush(struct lcore *lcore, unsigned most)
{
	struct relay *relay = &lcore->relay;

	for (unsigned i = 0; i < lcore->nic_count; i++) {
		struct relay_tx *tx = &relay->tx[i];
		uint64_t bytes = 0, tsc = rte_rdtsc();
		unsigned sent;
		uint16_t sizes[RELAY_TX];

		if (tx->count <= most)
			continue;
		for (unsigned j = 0; j < tx->count; j++)
			sizes[j] = rte_pktmbuf_data_len(tx->packets[j]); // a sent mbuf is not ours to look at
		if (unlikely(lcore->nics[i].capture != NULL))
			capture_burst(lcore->nics[i].capture, tx->packets, tx->count, tsc, true);
		sent = rte_eth_tx_burst(lcore->nics[i].port_id, 0, tx->packets, (uint16_t)tx->count);
		for (unsigned j = 0; j < sent; j++)
			bytes += sizes[j];
		relay_add(&relay->counters[KG_CNT_tx_packets], sent);
		relay_add(&relay->counters[KG_CNT_tx_bytes], bytes);
		relay_add(&relay->stages[RELAY_TX_STAGE].packets, tx->count);
		relay_sent(relay, i, sent);
		relay_add(&relay->stages[RELAY_TX_STAGE].cycles, rte_rdtsc() - tsc);
	}
}

unsigned lcore_turn(struct lcore *lcore)
{
	struct relay *relay = &lcore->relay;
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned total = 0;

	for (unsigned i = 0; i < lcore->nic_count; i++) {
		uint64_t tsc = rte_rdtsc();
		unsigned n = rte_eth_rx_burst(lcore->nics[i].port_id, 0, packets, RELAY_BURST);
		uint64_t now = rte_rdtsc();

		if (!n)
			continue;
		relay_add(&relay->stages[RELAY_RX].packets, n);
		relay_add(&relay->stages[RELAY_RX].cycles, now - tsc);
		relay_add(&relay->counters[KG_CNT_bursts], 1);
		count_frames(relay, packets, n, KG_CNT_rx_packets, KG_CNT_rx_bytes);
		if (unlikely(lcore->nics[i].capture != NULL))
			capture_burst(lcore->nics[i].capture, packets, n, now, false);
		relay_process(relay, packets, n, now);
		flush(lcore, RELAY_TX - RELAY_BURST); // the next burst must find room
		total += n;
	}
	if (total)
		flush(lcore, 0);
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

// It reads what strangers send, and needs no right that the process may have; only to become another user with it,
// which takes the rest.
static void give_up_rights(void)
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
	give_up_rights();
	while (!lcore->stop) {
		uint64_t tsc = rte_rdtsc();
		unsigned n;

		// Before receiving, each turn: a leg that control changed before it let the peer send is in force for
		// the peer's first packet, however long this lcore slept.
		lcore_commands(lcore);
		n = lcore_turn(lcore);
		relay_add(&relay->counters[KG_CNT_loops], 1);
		__atomic_store_n(&relay->heartbeat_tsc, tsc, __ATOMIC_RELAXED);
		if (n) {
			relay_add(&relay->counters[KG_CNT_busy_loops], 1);
			relay_add(&relay->busy_cycles, rte_rdtsc() - tsc);
			idle_turns = 0;
			sleep_us = IDLE_SLEEP_MIN_US;
		} else {
			sleep_us = rest(lcore, idle_turns++, sleep_us);
		}
	}
	return 0;
}
