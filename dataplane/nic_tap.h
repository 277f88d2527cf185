// SPDX-License-Identifier: BSD-3-Clause
// The kernel's side of a nic that DPDK owns: a TAP with the nic's MAC address, named kdg-NICNAME, where ARP,
// neighbours, routes, ping and the SIP sockets are. A thread of its own carries frames between it and two rings:
//
//   any lcore: what is no media of a live leg -> to_kernel -> write
//   read -> from_kernel -> the lcore of queue 0 transmits it
//
// Tags of the nic's VLAN are taken off on the way to the kernel and put on (into the frame) on the way back.
// All functions: Thread: control. The rings: see there.
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

#define NIC_TAP_RING 1024
#define NIC_TAP_ADDRS 16

struct nic_tap;
struct rte_mempool;
struct rte_ring;

struct nic_tap_config {
	const char *nic; // its name
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t vlan;
	struct rte_mempool *pool; // frames from the kernel are put into its buffers
};

struct nic_tap_addr {
	struct kg_addr addr; // the port does not count
	uint8_t prefix;      // 0-32 or 0-128
};

struct nic_tap_counts {
	uint64_t to_kernel, from_kernel; // frames
	uint64_t lost;                   // a ring was full, the TAP refused, or the frame was of another VLAN
};

// Make the TAP, bring it up, start the thread. Blocks: a moment. Returns: 0, or -errno with a sentence in err.
int nic_tap_open(const struct nic_tap_config *config, struct nic_tap **out, char err[KG_MEDIA_ERR]);
// End the thread, which takes the TAP away, and free what waits. No lcore uses the rings any more. NULL is fine.
void nic_tap_close(struct nic_tap *tap);
// The same, but an lcore that is stuck may still hold the rings: they stay. NULL is fine.
void nic_tap_abandon(struct nic_tap *tap);

// Give the TAP exactly these addresses (beside the link-local one). Duplicate detection is not waited for. Returns: 0,
// or -errno with a sentence in err.
int nic_tap_addresses(struct nic_tap *tap, const struct nic_tap_addr *addrs, unsigned count, char err[KG_MEDIA_ERR]);

// Of struct rte_mbuf *. to_kernel: any number of threads enqueue (bytes whole in the mbuf; who finds it full frees the
// mbuf and says so by nic_tap_lost). from_kernel: one lcore dequeues.
struct rte_ring *nic_tap_to_kernel(const struct nic_tap *tap);
struct rte_ring *nic_tap_from_kernel(const struct nic_tap *tap);
// Count frames that found to_kernel full. Thread: any.
void nic_tap_lost(struct nic_tap *tap, unsigned frames);

const char *nic_tap_interface(const struct nic_tap *tap);
int nic_tap_ifindex(const struct nic_tap *tap);
void nic_tap_counts(const struct nic_tap *tap, struct nic_tap_counts *out);

// Its half in nic_tap_addrs.c. Returns: 0 or -errno.
int nic_tap_address(int ifindex, const struct nic_tap_addr *addr, bool add);
