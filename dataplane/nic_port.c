// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include <rte_mbuf.h>

#include "nic_link.h"
#include "nic_steer.h"

// What the device can do for us of what we use.
static void choose_offloads(struct nic *nic, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

	conf->rxmode.offloads = info->rx_offload_capa & (nic->vlan ? rx | RTE_ETH_RX_OFFLOAD_VLAN_STRIP : rx);
	conf->txmode.offloads = info->tx_offload_capa & (nic->vlan ? tx | RTE_ETH_TX_OFFLOAD_VLAN_INSERT : tx);
	nic->rx_udp_checksum = conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	nic->vlan_strip = conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
	nic->tx_udp_checksum = conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	nic->tx_ip_checksum = conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	nic->vlan_insert = conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int configure(struct nic *nic, uint16_t port_id, unsigned *queues, struct rte_eth_conf *conf)
{
	struct rte_eth_dev_info info;
	int error = rte_eth_dev_info_get(port_id, &info);

	if (error)
		return error;
	*queues = least(*queues, least(info.max_rx_queues, info.max_tx_queues));
	choose_offloads(nic, &info, conf);
	nic_steer_plan(&info, *queues, conf);
	error = rte_eth_dev_configure(port_id, (uint16_t)*queues, (uint16_t)*queues, conf);
	nic->rx_ring = nic->tx_ring = NIC_RING;
	return error ? error : rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &nic->rx_ring, &nic->tx_ring);
}

static int set_up_queues(
	const struct nic *nic, uint16_t port_id, unsigned first, unsigned queues, struct rte_mempool *const *pools)
{
	int error = 0;

	for (unsigned i = 0; i < queues && !error; i++) {
		error = rte_eth_rx_queue_setup(
			port_id, (uint16_t)i, nic->rx_ring, SOCKET_ID_ANY, NULL, pools[(first + i) % KG_MEDIA_LCORES]);
		if (!error)
			error = rte_eth_tx_queue_setup(port_id, (uint16_t)i, nic->tx_ring, SOCKET_ID_ANY, NULL);
	}
	return error;
}

// Returns: 0 or -errno.
static int read_facts(struct nic *nic, uint16_t port_id)
{
	struct rte_ether_addr mac;
	bool running;
	int error = rte_eth_macaddr_get(port_id, &mac);

	if (!error)
		error = nic->ifindex ? nic_link_read(nic->ifindex, &nic->mtu, &running)
				     : rte_eth_dev_get_mtu(port_id, &nic->mtu); // DPDK's drivers do not ask the kernel
	if (!error && !nic->own_mac)
		memcpy(nic->mac, mac.addr_bytes, sizeof(nic->mac));
	return error;
}

int nic_port_start(struct nic *nic, uint16_t port_id, unsigned wanted, struct rte_mempool *const *pools)
{
	struct rte_eth_conf conf = {0};
	unsigned queues = wanted, first = nic->pair_count;
	int error = configure(nic, port_id, &queues, &conf);

	if (!error)
		error = set_up_queues(nic, port_id, first, queues, pools);
	if (!error)
		error = rte_eth_dev_start(port_id);
	if (!error)
		error = read_facts(nic, port_id);
	if (error)
		return error;
	if (!nic->port_count)
		nic->port_id = port_id;
	nic->ports[nic->port_count++] = port_id;
	while (nic->pair_count < first + queues) {
		nic->pairs[nic->pair_count] = (struct nic_pair){port_id, (uint16_t)(nic->pair_count - first)};
		nic->pair_count++;
	}
	if (wanted == nic->queues) // this port is the whole nic
		nic->queues = queues;
	nic_steer_start(nic, &conf);
	return 0;
}
