// SPDX-License-Identifier: BSD-3-Clause
// Devices that DPDK owns wholly, so that the kernel's side of them is a TAP: pci:, vhost:, virtio:, memif:.
// All functions: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

#define NIC_PCI_DEVICES "/sys/bus/pci/devices"

// What DPDK needs to make the device.
struct nic_vdev {
	char driver[32];   // with its number
	char devargs[192]; // with queues and, where the driver takes one, the MAC address
};

// Is it "vhost:", "virtio:" or "memif:"?
bool nic_vdev_is(const char *device);
// Look at the socket: a stale one of a server that died is removed, one that is served is left alone.
// Returns: 0, or -errno with a sentence in err.
int nic_vdev_choose(const char *device, unsigned number, unsigned queues, const uint8_t mac[6], struct nic_vdev *out,
	char err[KG_MEDIA_ERR]);
// A vhost port, before it starts: follow which of its queues the peer enables.
int nic_vdev_watch(uint16_t port_id); // 0 or -errno
// How many of the queues that we transmit on the peer has enabled, from the first on. What is sent on others is
// dropped.
unsigned nic_vdev_peer_queues(uint16_t port_id);
// A local MAC address, the same each time on this machine, another for each device and machine.
void nic_vdev_mac(const char *device, uint8_t mac[6]);

// May DPDK have the PCI device of this address? `devices` is NIC_PCI_DEVICES. Returns: 0 and the address in the
// kernel's spelling, or -errno with a sentence in err.
int nic_pci_check(const char *devices, const char *address, char name[16], char err[KG_MEDIA_ERR]);
// Give it to DPDK, which has it as ethdev port *port_id then. Returns: 0, or -errno with a sentence in err.
int nic_pci_probe(const char *name, uint16_t *port_id, char err[KG_MEDIA_ERR]);
// After the port is closed.
void nic_pci_remove(const char *name);
