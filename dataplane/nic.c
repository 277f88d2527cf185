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
#include "nic_owned.h"
#include "nic_packet.h"
#include "nic_ports.h"
#include "nic_steer.h"
#include "nic_tap.h"
#include "nic_xdp.h"

#define XDP "af_xdp:"
#define PACKET "af_packet:"
#define PCI "pci:"
#define VHOST "vhost:"

static unsigned left_open;
static unsigned device_number; // of each device's name in DPDK

static bool is_vhost(const struct nic *nic)
{
	return strncmp(nic->device, VHOST, strlen(VHOST)) == 0;
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
static void close_port(struct nic *nic, uint16_t port_id, const char *driver)
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
	rte_eth_dev_stop(port_id);
	rte_eth_dev_close(port_id);
	if (*nic->pci)
		nic_pci_remove(nic->pci);
}

// --- the kinds of device --------------------------------------------------------------------------------------------

// What DPDK needs to open the device. PCI devices: driver is "".
struct opening {
	char driver[64], devargs[256];
};

static int choose_interface(
	struct nic *nic, const struct rte_mempool *pool, unsigned number, struct opening *out, char *err)
{
	bool xdp = strncmp(nic->device, XDP, strlen(XDP)) == 0;
	int error;

	snprintf(nic->interface, sizeof(nic->interface), "%.31s", strchr(nic->device, ':') + 1);
	snprintf(out->driver, sizeof(out->driver), "net_af_%s%u", xdp ? "xdp" : "packet", number);
	if (nic->vlan) {
		snprintf(err, KG_MEDIA_ERR,
			"%s: `vlan` is for devices that DPDK owns: make an interface of the VLAN (`ip link add link %s "
			"name %.8s.%u type vlan id %u`) and give its name as device",
			nic->name, nic->interface, nic->interface, nic->vlan, nic->vlan);
		return -EINVAL;
	}
	error = nic_link_loopback(nic->interface, err);
	if (error)
		return error;
	if (!xdp) {
		nic->queues = 1;
		return nic_packet_take(nic->interface, &nic->packet, out->devargs, sizeof(out->devargs), err);
	}
	error = nic_xdp_take(nic->interface, &nic->queues, &nic->xdp, err);
	if (!error)
		nic_xdp_devargs(nic->xdp, 0, out->devargs, sizeof(out->devargs));
	return error ? error : nic_link_lockable(pool_bytes(pool) * nic->queues, err); // each queue locks the pool
}

static int choose_vdev(struct nic *nic, unsigned number, struct opening *out, char *err)
{
	struct nic_vdev vdev;
	int error;

	nic_vdev_mac(nic->device, nic->mac);
	nic->own_mac = is_vhost(nic);
	error = nic_vdev_choose(nic->device, number, nic->queues, nic->mac, &vdev, err);
	if (error)
		return error;
	snprintf(out->driver, sizeof(out->driver), "%s", vdev.driver);
	snprintf(out->devargs, sizeof(out->devargs), "%s", vdev.devargs);
	return 0;
}

// Returns: 0, or -errno with a sentence in err.
static int choose_driver(struct nic *nic, const struct rte_mempool *pool, struct opening *out, char *err)
{
	unsigned number = device_number++;

	memset(out, 0, sizeof(*out));
	if (strcmp(nic->device, "null") == 0) {
		snprintf(out->driver, sizeof(out->driver), "net_null%u", number);
		snprintf(out->devargs, sizeof(out->devargs), "no-rx=1"); // else it feeds empty frames for ever
		return 0;
	}
	if (strncmp(nic->device, XDP, strlen(XDP)) == 0 || strncmp(nic->device, PACKET, strlen(PACKET)) == 0)
		return choose_interface(nic, pool, number, out, err);
	if (nic_vdev_is(nic->device))
		return choose_vdev(nic, number, out, err);
	if (strncmp(nic->device, PCI, strlen(PCI)) == 0)
		return nic_pci_check(NIC_PCI_DEVICES, nic->device + strlen(PCI), nic->pci, err);
	snprintf(err, KG_MEDIA_ERR,
		"%s: \"%s\" is no device: write af_xdp:INTERFACE (or af_packet:INTERFACE, pci:ADDRESS, vhost:SOCKET, "
		"virtio:SOCKET, memif:SOCKET)",
		nic->name, nic->device);
	return -EINVAL;
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

static int open_tap(struct nic *nic, struct rte_mempool *pool, char *err)
{
	struct nic_tap_config config = {.nic = nic->name, .mtu = nic->mtu, .vlan = nic->vlan, .pool = pool};
	int error;

	memcpy(config.mac, nic->mac, sizeof(config.mac));
	rte_eth_allmulticast_enable(nic->port_id); // IPv6's neighbours; a driver that cannot has no filter
	error = nic_tap_open(&config, &nic->tap, err);
	if (!error)
		snprintf(nic->interface, sizeof(nic->interface), "%s", nic_tap_interface(nic->tap));
	return error;
}

static int explain(const struct nic *nic, int error, char *err)
{
	const char *why = nic->xdp ? nic_xdp_reason() : "";

	snprintf(err, KG_MEDIA_ERR, "%s: %s cannot be opened: %s%s; the log lines of area dpdk above say more",
		nic->name, nic->device, *why ? "the kernel says: " : "", *why ? why : strerror(-error));
	return error;
}

// Returns: 0, or -errno with a sentence in err; then it is not open.
static int open_port(struct nic *nic, struct rte_mempool *const *pools, const struct opening *opening, char *err)
{
	uint16_t port_id = 0;
	int error;

	if (*nic->pci) {
		error = nic_pci_probe(nic->pci, &port_id, err);
		if (error)
			return error;
	} else {
		error = rte_vdev_init(opening->driver, opening->devargs);
		if (!error)
			error = rte_eth_dev_get_port_by_name(opening->driver, &port_id);
	}
	if (!error && is_vhost(nic))
		error = nic_vdev_watch(port_id);
	if (!error)
		error = nic_port_start(nic, port_id, nic->xdp && nic_xdp_apart(nic->xdp) ? 1 : nic->queues, pools);
	if (!error)
		return 0;
	close_port(nic, port_id, *nic->pci ? NULL : opening->driver);
	return explain(nic, error, err);
}

// An interface whose queues DPDK's driver takes for one: a port for each of the others. The driver attaches the program
// with each port anew, so ours steps aside and comes back.
static int open_more_ports(struct nic *nic, struct rte_mempool *const *pools, char *err)
{
	struct opening opening;
	int error = 0;

	for (unsigned queue = 1; queue < nic->queues && !error; queue++) {
		snprintf(opening.driver, sizeof(opening.driver), "net_af_xdp%u", device_number++);
		nic_xdp_devargs(nic->xdp, queue, opening.devargs, sizeof(opening.devargs));
		error = nic_xdp_step_aside(nic->xdp, err);
		if (!error)
			error = open_port(nic, pools, &opening, err);
		if (!error)
			error = nic_xdp_come_back(nic->xdp, queue, err);
	}
	return error;
}

// The kernel's side of it. Returns: 0, or -errno with a sentence in err.
static int open_beside(struct nic *nic, struct rte_mempool *const *pools, char *err)
{
	int error = 0;

	if (nic->xdp)
		error = nic_xdp_find_maps(nic->xdp, err);
	if (nic->xdp && !error && nic_xdp_apart(nic->xdp))
		error = open_more_ports(nic, pools, err);
	if (nic->packet)
		error = nic_packet_attach(nic->packet, err);
	if (nic->packet && !error)
		drain(nic->port_id);
	if (*nic->pci || nic_vdev_is(nic->device))
		error = open_tap(nic, pools[0], err);
	return error;
}

int nic_open(const struct kg_media_nic_config *config, struct rte_mempool *const pools[KG_MEDIA_LCORES], struct nic *out,
	char err[KG_MEDIA_ERR])
{
	struct opening opening;
	int error;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", config->name);
	snprintf(out->device, sizeof(out->device), "%s", config->device);
	out->queues = config->queues == 0 ? 1 : config->queues < NIC_QUEUES ? config->queues : NIC_QUEUES;
	out->vlan = config->vlan;
	error = choose_driver(out, pools[0], &opening, err);
	if (!error) {
		out->ifindex = (int)if_nametoindex(out->interface); // "": 0
		error = open_port(out, pools, &opening, err);
	}
	if (error) {
		give_back(out);
		return error;
	}
	error = open_beside(out, pools, err);
	if (error)
		nic_close(out);
	else if (out->queues > 1)
		kg_info("nic", "%s: %u queues, steering: %s", out->name, out->queues, nic_steering(out));
	return error;
}

void nic_close(struct nic *nic)
{
	nic_tap_close(nic->tap);
	nic->tap = NULL;
	for (unsigned i = 0; i < nic->port_count; i++)
		close_port(nic, nic->ports[i], NULL);
	give_back(nic);
}

void nic_abandon(struct nic *nic)
{
	if (ports_of(nic)) // the driver's sockets stay: nothing goes there any more
		nic_ports_addresses(ports_of(nic), NULL, 0);
	nic_tap_abandon(nic->tap);
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

unsigned nic_peer_queues(const struct nic *nic)
{
	unsigned queues = is_vhost(nic) ? nic_vdev_peer_queues(nic->port_id) : nic->queues;

	return queues < nic->queues ? queues : nic->queues;
}

static void add_stats(uint16_t port_id, struct kg_nic_info *out)
{
	struct rte_eth_stats stats;

	if (rte_eth_stats_get(port_id, &stats) != 0)
		return;
	out->rx_packets += stats.ipackets;
	out->rx_bytes += stats.ibytes;
	out->rx_missed += stats.imissed;
	out->rx_errors += stats.ierrors;
	out->tx_packets += stats.opackets;
	out->tx_bytes += stats.obytes;
	out->tx_errors += stats.oerrors;
}

static void tap_info(const struct nic *nic, struct kg_nic_info *out)
{
	struct nic_tap_counts counts;

	if (!nic->tap)
		return;
	snprintf(out->tap, sizeof(out->tap), "%s", nic_tap_interface(nic->tap));
	nic_tap_counts(nic->tap, &counts);
	out->tap_to_kernel = counts.to_kernel;
	out->tap_from_kernel = counts.from_kernel;
	out->tap_lost = counts.lost;
}

void nic_info(const struct nic *nic, struct kg_nic_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_eth_link link;
	bool running;

	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", nic->name);
	snprintf(out->device, sizeof(out->device), "%s", nic->device);
	snprintf(out->steering, sizeof(out->steering), "%s", nic_steering(nic));
	memcpy(out->mac, nic->mac, sizeof(out->mac));
	memcpy(out->addrs, nic->addrs, sizeof(out->addrs));
	out->addr_count = nic->addr_count;
	out->mtu = nic->mtu;
	out->rx_ring = nic->rx_ring;
	out->tx_ring = nic->tx_ring;
	out->queues = (uint16_t)nic->queues;
	out->peer_queues = (uint16_t)nic_peer_queues(nic);
	out->vlan = nic->vlan;
	out->rx_udp_checksum = nic->rx_udp_checksum;
	out->tx_udp_checksum = nic->tx_udp_checksum;
	out->tx_ip_checksum = nic->tx_ip_checksum;
	out->vlan_insert = nic->vlan_insert;
	out->vlan_strip = nic->vlan_strip;
	tap_info(nic, out);
	out->live_ports = ports_of(nic) ? nic_ports_count(ports_of(nic)) : 0;
	if (rte_eth_dev_info_get(nic->port_id, &info) == 0)
		snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	if (nic->ifindex)
		out->link_up = nic_link_read(nic->ifindex, &out->mtu, &running) == 0 && running;
	else if (rte_eth_link_get_nowait(nic->port_id, &link) == 0)
		out->link_up = link.link_status;
	for (unsigned i = 0; i < nic->port_count; i++)
		add_stats(nic->ports[i], out);
	if (nic->packet)
		out->rx_missed += nic_packet_missed(nic->packet);
}
