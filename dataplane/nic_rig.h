// SPDX-License-Identifier: BSD-3-Clause
// What the tests of nics that DPDK owns share: EAL in a network namespace of its own, and frames.
#pragma once

#include "nic_tap.h"

#define WAIT_MS 10000
#define VLAN 7

struct rte_mbuf;

extern struct rte_mempool *pool, *pools[KG_MEDIA_LCORES]; // the same for each queue
extern char err[KG_MEDIA_ERR];
extern const uint8_t far_mac[6]; // who asks
extern const struct nic_tap_addr near_addrs[3];

// Returns: 0, 77 where the tests cannot be run here (it says why), or 1.
int nic_rig_start(void);
void nic_rig_stop(void);

struct rte_mbuf *make(const void *data, unsigned length);
struct rte_mbuf *arp_request(void);                             // for near_addrs[0]
struct rte_mbuf *tagged(struct rte_mbuf *frame, uint16_t vlan); // 0: as it is
void nothing_is_left(void);
