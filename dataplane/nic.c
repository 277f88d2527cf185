// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "kg_log.h"
#include "nic.h"
#include "nic_link.h"
#include "nic_packet.h"
#include "nic_ports.h"
#include "nic_xdp.h"

static unsigned left_open;

static int start_port(struct nic *nic, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	struct rte_ether_addr mac;
	bool running;
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
		error = nic->ifindex
				? nic_link_read(nic->ifindex, &nic->mtu, &running)
				: rte_eth_dev_get_mtu(nic->port_id, &nic->mtu); // DPDK's drivers do not ask the kernel
	if (!error)
		memcpy(nic->mac, mac.addr_bytes, sizeof(nic->mac));
	return error;
}

static uint64_t pool_bytes(const struct rte_mempool *pool)
{
	const struct rte_mempool_memhdr *chunk;
	uint64_t bytes = 0;

	STAILQ_FOREACH(chunk, &pool->mem_list, next)
	{
		bytes += chunk->len;
	}
	return bytes;
}

// Close the port, or leave it open where the driver would detach a program that is not ours.
static void close_port(struct nic *nic, const char *driver)
{
	if (nic->xdp && nic_xdp_foreign(nic->xdp)) {
		kg_warn("nic", "%s: the XDP program on %s is not ours any more: it is left alone", nic->name,
			nic->interface);
		left_open++;
		return;
	}
	if (driver) {
		rte_vdev_uninit(driver);
		return;
	}
	rte_eth_dev_stop(nic->port_id);
	rte_eth_dev_close(nic->port_id);
}

// Returns: 0 and what DPDK needs to open the device, or -errno with a sentence in err.
static int choose_driver(
	struct nic *nic, const struct rte_mempool *pool, char *driver, char *devargs, unsigned size, char *err)
{
	static unsigned number; // each device's name in DPDK
	int error;

	if (strcmp(nic->device, "null") == 0) {
		snprintf(driver, size, "net_null%u", number++);
		snprintf(devargs, size, "no-rx=1"); // else it feeds empty frames for ever
		return 0;
	}
	if (strncmp(nic->device, "af_packet:", 10) == 0) {
		snprintf(nic->interface, sizeof(nic->interface), "%.31s", nic->device + 10);
		snprintf(driver, size, "net_af_packet%u", number++);
		error = nic_link_loopback(nic->interface, err);
		return error ? error : nic_packet_take(nic->interface, &nic->packet, devargs, size, err);
	}
	if (strncmp(nic->device, "af_xdp:", 7) != 0) {
		snprintf(err, KG_MEDIA_ERR, "%s: \"%s\" is no device: write af_xdp:INTERFACE", nic->name, nic->device);
		return -EINVAL;
	}
	snprintf(nic->interface, sizeof(nic->interface), "%.31s", nic->device + 7);
	snprintf(driver, size, "net_af_xdp%u", number++);
	error = nic_link_loopback(nic->interface, err);
	if (!error)
		error = nic_xdp_take(nic->interface, &nic->xdp, devargs, size, err);
	if (!error)
		error = nic_link_lockable(pool_bytes(pool), err);
	return error;
}

// What we hold beside the port.
static void give_back(struct nic *nic)
{
	nic_xdp_give(nic->xdp);
	nic_packet_give(nic->packet);
	nic->xdp = NULL;
	nic->packet = NULL;
}

static struct nic_ports *ports_of(const struct nic *nic)
{
	return nic->xdp ? nic_xdp_ports(nic->xdp) : nic->packet ? nic_packet_ports(nic->packet) : NULL;
}

// What a packet socket took before it had its filter.
static void drain(uint16_t port_id)
{
	struct rte_mbuf *packet;

	for (unsigned i = 0; i < NIC_RING && rte_eth_rx_burst(port_id, 0, &packet, 1) == 1; i++)
		rte_pktmbuf_free(packet);
	rte_eth_stats_reset(port_id);
}

int nic_open(
	const struct kg_media_nic_config *config, struct rte_mempool *pool, struct nic *out, char err[KG_MEDIA_ERR])
{
	char driver[256], devargs[256] = "";
	const char *why;
	int error;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", config->name);
	snprintf(out->device, sizeof(out->device), "%s", config->device);
	error = choose_driver(out, pool, driver, devargs, sizeof(driver), err);
	if (error) {
		give_back(out);
		return error;
	}
	out->ifindex = (int)if_nametoindex(out->interface); // "": 0
	error = rte_vdev_init(driver, devargs);
	if (!error)
		error = rte_eth_dev_get_port_by_name(driver, &out->port_id);
	if (!error)
		error = start_port(out, pool);
	if (error) {
		why = out->xdp ? nic_xdp_reason() : "";
		snprintf(err, KG_MEDIA_ERR, "%s: %s cannot be opened: %s%s; the log lines of area dpdk above say more",
			config->name, config->device, *why ? "the kernel says: " : "", *why ? why : strerror(-error));
		close_port(out, driver);
		give_back(out);
		return error;
	}
	if (out->xdp)
		error = nic_xdp_find_maps(out->xdp, err);
	if (out->packet)
		error = nic_packet_attach(out->packet, err);
	if (out->packet && !error)
		drain(out->port_id);
	if (error)
		nic_close(out);
	return error;
}

void nic_close(struct nic *nic)
{
	close_port(nic, NULL);
	give_back(nic);
}

void nic_abandon(struct nic *nic)
{
	if (ports_of(nic)) // the driver's sockets stay: nothing goes there any more
		nic_ports_addresses(ports_of(nic), NULL, 0);
	give_back(nic);
	left_open++;
}

unsigned nic_left_open(void)
{
	return left_open;
}

int nic_set_addresses(struct nic *nic, const struct kg_addr *addrs, unsigned count)
{
	struct nic_ports *ports = ports_of(nic);
	int error = count > KG_MEDIA_NIC_ADDRS ? -E2BIG : 0;

	if (!error && ports)
		error = nic_ports_addresses(ports, addrs, count);
	if (error)
		return error;
	memcpy(nic->addrs, addrs, count * sizeof(*addrs));
	nic->addr_count = count;
	return 0;
}

int nic_set_live(struct nic *nic, const struct kg_addr *local, bool on)
{
	struct nic_ports *ports = ports_of(nic);
	int error = on && nic->packet ? nic_packet_hold(nic->packet, local, true) : 0;

	if (!error && ports)
		error = nic_ports_live(ports, local, on);
	if (nic->packet && (error || !on))
		nic_packet_hold(nic->packet, local, false);
	return error;
}

void nic_info(const struct nic *nic, struct kg_nic_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_eth_stats stats;
	struct rte_eth_link link;
	bool running;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", nic->name);
	snprintf(out->device, sizeof(out->device), "%s", nic->device);
	snprintf(out->steering, sizeof(out->steering), "none"); // one queue: there is nothing to steer
	memcpy(out->mac, nic->mac, sizeof(out->mac));
	memcpy(out->addrs, nic->addrs, sizeof(out->addrs));
	out->addr_count = nic->addr_count;
	out->mtu = nic->mtu;
	out->rx_ring = out->tx_ring = NIC_RING;
	out->queues = 1;
	out->live_ports = ports_of(nic) ? nic_ports_count(ports_of(nic)) : 0;
	if (rte_eth_dev_info_get(nic->port_id, &info) == 0)
		snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	if (nic->ifindex)
		out->link_up = nic_link_read(nic->ifindex, &out->mtu, &running) == 0 && running;
	else if (rte_eth_link_get_nowait(nic->port_id, &link) == 0)
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
	if (nic->packet)
		out->rx_missed += nic_packet_missed(nic->packet);
}
