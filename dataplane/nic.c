// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>

#include "nic.h"
#include "nic_xdp.h"

static int start_port(struct nic *nic, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	struct rte_ether_addr mac;
	int error = rte_eth_dev_configure(nic->port_id, 1, 1, &conf);

	if (!error)
		error = rte_eth_rx_queue_setup(nic->port_id, 0, NIC_RING, SOCKET_ID_ANY, NULL, pool);
	if (!error)
		error = rte_eth_tx_queue_setup(nic->port_id, 0, NIC_RING, SOCKET_ID_ANY, NULL);
	if (!error)
		error = rte_eth_dev_start(nic->port_id);
	if (!error)
		error = rte_eth_macaddr_get(nic->port_id, &mac);
	if (!error)
		error = rte_eth_dev_get_mtu(nic->port_id, &nic->mtu);
	if (!error)
		memcpy(nic->mac, mac.addr_bytes, sizeof(nic->mac));
	return error;
}

int nic_open(
	const struct kg_media_nic_config *config, struct rte_mempool *pool, struct nic *out, char err[KG_MEDIA_ERR])
{
	static unsigned number; // each device's name in DPDK
	char driver[64], devargs[256] = "";
	int error;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", config->name);
	snprintf(out->device, sizeof(out->device), "%s", config->device);
	if (strncmp(config->device, "af_xdp:", 7) == 0) {
		snprintf(out->interface, sizeof(out->interface), "%.31s", config->device + 7);
		error = nic_xdp_take(out->interface, &out->xdp, devargs, sizeof(devargs), err);
		if (error)
			return error;
		snprintf(driver, sizeof(driver), "net_af_xdp%u", number++);
	} else if (strcmp(config->device, "null") == 0) {
		snprintf(driver, sizeof(driver), "net_null%u", number++);
	} else {
		snprintf(err, KG_MEDIA_ERR, "%s: \"%s\" is no device: write af_xdp:INTERFACE", config->name,
			config->device);
		return -EINVAL;
	}
	error = rte_vdev_init(driver, devargs);
	if (!error)
		error = rte_eth_dev_get_port_by_name(driver, &out->port_id);
	if (!error)
		error = start_port(out, pool);
	if (error) {
		snprintf(err, KG_MEDIA_ERR, "%s: DPDK cannot open %s (%s); the log lines of area dpdk above say more",
			config->name, config->device, strerror(-error));
		rte_vdev_uninit(driver);
		nic_xdp_give(out->xdp);
		return error;
	}
	if (out->xdp)
		error = nic_xdp_find_maps(out->xdp, err);
	if (error)
		nic_close(out);
	return error;
}

void nic_close(struct nic *nic)
{
	rte_eth_dev_stop(nic->port_id);
	rte_eth_dev_close(nic->port_id);
	nic_xdp_give(nic->xdp);
	nic->xdp = NULL;
}

int nic_set_addresses(struct nic *nic, const struct kg_addr *addrs, unsigned count)
{
	int error = count > KG_MEDIA_NIC_ADDRS ? -E2BIG : 0;

	if (!error && nic->xdp)
		error = nic_xdp_addresses(nic->xdp, addrs, count);
	if (error)
		return error;
	memcpy(nic->addrs, addrs, count * sizeof(*addrs));
	nic->addr_count = count;
	return 0;
}

int nic_set_live(struct nic *nic, const struct kg_addr *local, bool on)
{
	int changed = nic->xdp ? nic_xdp_live(nic->xdp, local, on) : 0;

	if (changed > 0)
		nic->live_ports += on ? 1 : (uint32_t)-1;
	return changed < 0 ? changed : 0;
}

void nic_info(const struct nic *nic, struct kg_nic_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_eth_stats stats;
	struct rte_eth_link link;

	snprintf(out->name, sizeof(out->name), "%s", nic->name);
	snprintf(out->device, sizeof(out->device), "%s", nic->device);
	snprintf(out->steering, sizeof(out->steering), "none"); // one queue: there is nothing to steer
	memcpy(out->mac, nic->mac, sizeof(out->mac));
	memcpy(out->addrs, nic->addrs, sizeof(out->addrs));
	out->addr_count = nic->addr_count;
	out->mtu = nic->mtu;
	out->rx_ring = out->tx_ring = NIC_RING;
	out->queues = 1;
	out->live_ports = nic->live_ports;
	if (rte_eth_dev_info_get(nic->port_id, &info) == 0)
		snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	if (rte_eth_link_get_nowait(nic->port_id, &link) == 0)
		out->link_up = link.link_status;
	if (rte_eth_stats_get(nic->port_id, &stats) == 0) {
		out->rx_packets = stats.ipackets;
		out->rx_bytes = stats.ibytes;
		out->rx_missed = stats.imissed;
		out->rx_errors = stats.ierrors;
		out->tx_packets = stats.opackets;
		out->tx_bytes = stats.obytes;
		out->tx_errors = stats.oerrors;
	}
}
