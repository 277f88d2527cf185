// SPDX-License-Identifier: BSD-3-Clause

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_udp.h>

#include "g711_kernel.h"
#include "relay_rig.h"

static void eal_once(void)
{
	static bool started;
	char *args[] = {"rig", "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf", "-m", "128", "--lcores", "0",
		"--log-level", "1"};

	if (started)
		return;
	started = rte_eal_init(sizeof(args) / sizeof(*args), args) >= 0;
	if (!started)
		abort();
}

static void add_address(struct relay *relay, const char *text)
{
	struct kg_addr addr;

	kg_addr_parse(&addr, text, 0);
	relay_addrs_add(relay->addrs, &addr, calloc(RELAY_PORTS, sizeof(uint32_t)));
}

struct rig *rig_create(unsigned legs)
{
	struct rig *rig = aligned_alloc(64, (sizeof(*rig) + 63) / 64 * 64);
	struct relay *relay;

	eal_once();
	memset(rig, 0, sizeof(*rig));
	rig->relay = relay = &rig->lcore.relay;
	rig->now_tsc = 1000000;
	relay->legs = aligned_alloc(64, (legs + 1) * sizeof(struct leg));
	memset(relay->legs, 0, (legs + 1) * sizeof(struct leg));
	relay->cold = aligned_alloc(64, (legs + 1) * sizeof(struct leg_cold));
	memset(relay->cold, 0, (legs + 1) * sizeof(struct leg_cold));
	relay->leg_first = 1;
	relay->leg_room = legs;
	relay->g711 = g711_kernel_choose();
	relay->tsc_hz = 8000000; // a thousand ticks a timestamp unit of 8 kHz audio
	relay->addrs = calloc(1, sizeof(*relay->addrs));
	add_address(relay, "10.0.0.1");
	add_address(relay, "10.0.1.1");
	add_address(relay, "2001:db8::1");
	add_address(relay, "2001:db8:1::1");
	relay->events = rte_ring_create_elem("rig-events", sizeof(struct relay_event), 64, SOCKET_ID_ANY, 0);
	rig->lcore.commands = rte_ring_create_elem("rig-commands", sizeof(struct lcore_command), 64, SOCKET_ID_ANY, 0);
	rig->pool = rte_pktmbuf_pool_create("rig", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!relay->events || !rig->lcore.commands || !rig->pool)
		abort();
	return rig;
}

void rig_destroy(struct rig *rig)
{
	for (unsigned i = 0; i < rig->relay->addrs->count; i++)
		free(rig->relay->addrs->list[i].ports);
	free(rig->relay->addrs);
	free(rig->relay->legs);
	free(rig->relay->cold);
	rte_ring_free(rig->relay->events);
	rte_ring_free(rig->lcore.commands);
	rte_mempool_free(rig->pool);
	free(rig);
}

static void take_events(struct rig *rig)
{
	struct relay_event event;

	while (rte_ring_sc_dequeue_elem(rig->relay->events, &event, sizeof(event)) == 0) {
		if (event.type == RELAY_EV_ACK)
			free(event.block);
		else if (event.type == RELAY_EV_FIRST_PACKET)
			rig->first_packets++;
		else
			rig->latched_port = (uint16_t)event.port;
	}
}

static uint32_t *ports_of(struct rig *rig, const struct kg_leg_config *config)
{
	for (unsigned i = 0; i < rig->relay->addrs->count; i++)
		if (memcmp(&rig->relay->addrs->list[i].ip, config->local.ip, 16) == 0)
			return rig->relay->addrs->list[i].ports;
	abort();
}

static void command(struct rig *rig, uint32_t type, kg_leg_id id, const struct kg_leg_config *config)
{
	struct lcore_command one = {
		.type = type, .leg = id, .block = leg_conf_create(config, id, ports_of(rig, config))};

	assert(one.block && rte_ring_sp_enqueue_elem(rig->lcore.commands, &one, sizeof(one)) == 0);
	assert(lcore_commands(&rig->lcore) + lcore_commands(&rig->lcore) == 1); // a retirement by the second call
	take_events(rig);
}

void rig_leg_create(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config)
{
	leg_ports_set(ports_of(rig, config), config, id, rig->relay->number);
	command(rig, LCORE_CREATE, id, config);
}

void rig_leg_change(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config)
{
	command(rig, LCORE_CHANGE, id, config);
}

void rig_leg_retire(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config)
{
	command(rig, LCORE_RETIRE, id, config);
}

static unsigned put_ip4(uint8_t *at, const struct kg_addr *source, const struct kg_addr *target, unsigned length)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)at;

	ip->version_ihl = 0x45;
	ip->total_length = htons((uint16_t)(28 + length));
	ip->time_to_live = 9;
	ip->next_proto_id = 17;
	memcpy(&ip->src_addr, source->ip, 4);
	memcpy(&ip->dst_addr, target->ip, 4);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return sizeof(*ip);
}

static unsigned put_ip6(uint8_t *at, const struct kg_addr *source, const struct kg_addr *target, unsigned length)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)at;

	ip->vtc_flow = htonl(0x60000000);
	ip->payload_len = htons((uint16_t)(8 + length));
	ip->proto = 17;
	ip->hop_limits = 9;
	memcpy(ip->src_addr, source->ip, 16);
	memcpy(ip->dst_addr, target->ip, 16);
	return sizeof(*ip);
}

unsigned rig_frame(uint8_t *out, const struct kg_addr *source, const struct kg_addr *target, const void *payload,
	unsigned length, enum rig_checksum checksum)
{
	bool v6 = target->family == 6;
	struct rte_udp_hdr *udp;

	memset(out, 0, 62);
	out[12] = v6 ? 0x86 : 8;
	out[13] = v6 ? 0xdd : 0;
	udp = (struct rte_udp_hdr *)(out + 14 +
				     (v6 ? put_ip6(out + 14, source, target, length)
					 : put_ip4(out + 14, source, target, length)));
	udp->src_port = htons(source->port);
	udp->dst_port = htons(target->port);
	udp->dgram_len = htons((uint16_t)(8 + length));
	udp->dgram_cksum = 0;
	memcpy(udp + 1, payload, length);
	if (checksum == RIG_PARTIAL)
		udp->dgram_cksum =
			v6 ? rte_ipv6_phdr_cksum((void *)(out + 14), 0) : rte_ipv4_phdr_cksum((void *)(out + 14), 0);
	else if (checksum != RIG_ZERO)
		udp->dgram_cksum = v6 ? rte_ipv6_udptcp_cksum((void *)(out + 14), udp)
				      : rte_ipv4_udptcp_cksum((void *)(out + 14), udp);
	if (checksum == RIG_WRONG)
		udp->dgram_cksum ^= 0x0100;
	return (v6 ? 62 : 42) + length;
}

unsigned rig_burst(struct rig *rig, uint8_t *const *frames, const unsigned *lengths, unsigned n, struct rig_out *out)
{
	struct rte_mbuf *mbufs[RELAY_BURST];
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		mbufs[i] = rte_pktmbuf_alloc(rig->pool);
		if (!mbufs[i])
			abort(); // a packet was not given back
		memcpy(rte_pktmbuf_append(mbufs[i], (uint16_t)lengths[i]), frames[i], lengths[i]);
		mbufs[i]->ol_flags |= rig->rx_flags;
	}
	rig->now_tsc += 160 * 1000;
	relay_process(rig->relay, mbufs, n, rig->now_tsc);
	for (unsigned nic = 0; nic < KG_MEDIA_NICS; nic++) {
		struct relay_tx *tx = &rig->relay->tx[nic];
		unsigned count = tx->count;

		for (unsigned i = 0; i < count; i++) {
			out[left].nic = nic;
			out[left].length = rte_pktmbuf_data_len(tx->packets[i]);
			out[left].tx_flags = tx->packets[i]->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
			memcpy(out[left++].frame, rte_pktmbuf_mtod(tx->packets[i], void *),
				rte_pktmbuf_data_len(tx->packets[i]));
			rte_pktmbuf_free(tx->packets[i]);
		}
		relay_sent(rig->relay, nic, count);
	}
	take_events(rig);
	if (rig->relay->taken != rig->relay->given || rte_mempool_in_use_count(rig->pool))
		abort();
	return left;
}

// Is `reason` one of the exits that the table gives the stage?
static bool has_exit(enum relay_stage stage, unsigned reason)
{
	for (const int *exit = relay_stages[stage].exits; *exit >= 0; exit++)
		if ((unsigned)*exit == reason)
			return true;
	return false;
}

unsigned rig_one(struct rig *rig, const uint8_t *frame, unsigned length, struct rig_out *out)
{
	struct relay before = *rig->relay;
	const struct relay *after = rig->relay;
	unsigned left, drops = 0, stage = RELAY_CLASSIFY;

	left = rig_burst(rig, (uint8_t *const[]){(uint8_t *)(uintptr_t)frame}, &length, 1, out);
	for (unsigned i = RELAY_CLASSIFY; i <= RELAY_FORWARD; i++) // the last stage that saw it
		if (after->stages[i].packets != before.stages[i].packets)
			stage = i;
	for (unsigned i = 0; i < KG_DROP_COUNT; i++) {
		if (after->drops[i] != before.drops[i] && !has_exit(stage, i))
			abort(); // the picture says otherwise
		drops += (unsigned)(after->drops[i] - before.drops[i]);
	}
	if (left + drops != 1)
		abort();
	return left;
}

static bool sound_ip4(const uint8_t *copy, unsigned length)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)copy;

	return ip->version_ihl == 0x45 && ntohs(ip->total_length) == length && rte_raw_cksum(ip, 20) == 0xffff;
}

static bool sound_ip6(const uint8_t *copy, unsigned length)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)copy;

	return copy[0] >> 4 == 6 && ntohs(ip->payload_len) == length - 40 && ip->proto == 17 && ip->hop_limits == 64;
}

bool rig_sound(const struct rig_out *out)
{
	uint8_t copy[RELAY_MAX_FRAME] __attribute__((aligned(8)));
	bool v6 = out->length >= 62 && rtp_get16(out->frame + 12) == 0x86dd;
	unsigned length = out->length - 14, header = v6 ? 40 : 20;
	struct rte_udp_hdr udp;

	if (out->length < 42 || (!v6 && rtp_get16(out->frame + 12) != 0x0800))
		return false;
	memcpy(copy, out->frame + 14, length);
	memcpy(&udp, copy + header, sizeof(udp));
	if (!(v6 ? sound_ip6(copy, length) : sound_ip4(copy, length)) || ntohs(udp.dgram_len) != length - header)
		return false;
	memset(copy + header + 6, 0, 2); // what DPDK's own full computation says
	return udp.dgram_cksum == (v6 ? rte_ipv6_udptcp_cksum((void *)copy, copy + header)
				      : rte_ipv4_udptcp_cksum((void *)copy, copy + header));
}
