// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_flow.h>
#include <rte_thash.h>

#include "nic_steer.h"

#define UDP_TYPES (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define BY_PORT (UDP_TYPES | RTE_ETH_RSS_L4_DST_ONLY)
#define PORT_SHIFT 1 // an even port and the odd one behind it, RTP's and RTCP's, go together

static const char *const names[] = {[NIC_STEER_NONE] = "none",
	[NIC_STEER_SOFTWARE] = "software",
	[NIC_STEER_RSS] = "rss",
	[NIC_STEER_FLOW] = "flow"};

const char *nic_steering(const struct nic *nic)
{
	return names[nic->steer];
}

static unsigned hash_of(const struct nic *nic, uint16_t port)
{
	uint32_t tuple = (uint32_t)port << 16; // nothing but the port, in the first two bytes

	return rte_softrss(&tuple, 1, nic->rss_key);
}

unsigned nic_queue_of(const struct nic *nic, const struct kg_addr *local)
{
	if (nic->steer == NIC_STEER_FLOW)
		return (local->port >> PORT_SHIFT & (nic->slices - 1)) % nic->queues;
	if (nic->steer == NIC_STEER_RSS)
		return hash_of(nic, local->port) % nic->reta_size % nic->queues;
	return NIC_QUEUE_UNKNOWN;
}

// --- the hash -------------------------------------------------------------------------------------------------------

void nic_steer_plan(const struct rte_eth_dev_info *info, unsigned queues, struct rte_eth_conf *conf)
{
	uint64_t types = info->flow_type_rss_offloads;

	if (queues == 1 || !(types & UDP_TYPES))
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = (types & BY_PORT) == BY_PORT ? BY_PORT : types & UDP_TYPES;
}

// Entry i of the table leads to queue i % queues. Returns: 0 or -errno.
static int write_table(struct nic *nic, unsigned size)
{
	struct rte_eth_rss_reta_entry64 table[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];

	if (!size || size > RTE_ETH_RSS_RETA_SIZE_512)
		return -ENOTSUP;
	memset(table, 0, sizeof(table));
	for (unsigned i = 0; i < size; i++) {
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % nic->queues);
	}
	nic->reta_size = size;
	return rte_eth_dev_rss_reta_update(nic->port_id, table, (uint16_t)size);
}

// Do we know how the device hashes?
static bool hash_is_known(struct nic *nic)
{
	struct rte_eth_rss_conf now = {.rss_key = nic->rss_key, .rss_key_len = NIC_RSS_KEY};
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(nic->port_id, &info) != 0 || info.hash_key_size > NIC_RSS_KEY)
		return false;
	if (info.hash_key_size)
		now.rss_key_len = info.hash_key_size;
	return rte_eth_dev_rss_hash_conf_get(nic->port_id, &now) == 0 && (now.rss_hf & BY_PORT) == BY_PORT &&
	       write_table(nic, info.reta_size) == 0;
}

// --- rules ----------------------------------------------------------------------------------------------------------

// One slice of the UDP destination ports goes to a queue. Creates the rule, or only asks whether it could be.
static bool rule(const struct nic *nic, enum rte_flow_item_type ip, unsigned slice, bool create)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const uint16_t tci = rte_cpu_to_be_16(nic->vlan);
	const struct rte_flow_item_vlan vlan = {.tci = tci}, vlan_mask = {.tci = RTE_BE16(0x0fff)};
	const struct rte_flow_item_udp udp = {.hdr.dst_port = rte_cpu_to_be_16((uint16_t)(slice << PORT_SHIFT))};
	const struct rte_flow_item_udp udp_mask = {
		.hdr.dst_port = rte_cpu_to_be_16((uint16_t)((nic->slices - 1) << PORT_SHIFT))};
	const struct rte_flow_action_queue queue = {.index = (uint16_t)(slice % nic->queues)};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_item pattern[5] = {{.type = RTE_FLOW_ITEM_TYPE_ETH}};
	struct rte_flow_error error;
	unsigned n = 1;

	if (nic->vlan)
		pattern[n++] =
			(struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_VLAN, .spec = &vlan, .mask = &vlan_mask};
	pattern[n++].type = ip;
	pattern[n++] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask};
	pattern[n].type = RTE_FLOW_ITEM_TYPE_END;
	if (create)
		return rte_flow_create(nic->port_id, &attr, pattern, actions, &error) != NULL;
	return rte_flow_validate(nic->port_id, &attr, pattern, actions, &error) == 0;
}

static bool rules(const struct nic *nic, bool create)
{
	for (unsigned slice = 0; slice < nic->slices; slice++)
		if (!rule(nic, RTE_FLOW_ITEM_TYPE_IPV4, slice, create) ||
			!rule(nic, RTE_FLOW_ITEM_TYPE_IPV6, slice, create))
			return false;
	return true;
}

static bool rules_are_taken(struct nic *nic)
{
	struct rte_flow_error error;

	nic->slices = rte_align32pow2(nic->queues);
	if (!rules(nic, false))
		return false;
	if (rules(nic, true))
		return true;
	rte_flow_flush(nic->port_id, &error); // it promised too much
	return false;
}

void nic_steer_start(struct nic *nic, const struct rte_eth_conf *conf)
{
	if (nic->queues == 1)
		nic->steer = NIC_STEER_NONE;
	else if (nic->pair_count < nic->queues) // ports of one queue each
		nic->steer = NIC_STEER_SOFTWARE;
	else if (rules_are_taken(nic))
		nic->steer = NIC_STEER_FLOW;
	else if (conf->rx_adv_conf.rss_conf.rss_hf == BY_PORT && hash_is_known(nic))
		nic->steer = NIC_STEER_RSS;
	else
		nic->steer = NIC_STEER_SOFTWARE;
}
