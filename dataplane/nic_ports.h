// SPDX-License-Identifier: BSD-3-Clause
// Which UDP ports of which addresses are media: two maps in the kernel that a program of ours looks into (XDP's or a
// packet socket's filter), and control's memory of what stands in them. All functions: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

struct nic_ports;

// Owns: both descriptors, from here on. Returns: NULL for want of memory (they are closed then).
struct nic_ports *nic_ports_create(int addrs_map, int live_map);
void nic_ports_destroy(struct nic_ports *ports); // NULL is fine

// The addresses whose live ports count. One that goes and comes back finds its live ports as they were.
int nic_ports_addresses(struct nic_ports *ports, const struct kg_addr *addrs, unsigned count); // 0, -E2BIG, -EIO
// Returns: 0, -EADDRNOTAVAIL (on only), -EIO.
int nic_ports_live(struct nic_ports *ports, const struct kg_addr *local, bool on);
uint32_t nic_ports_count(const struct nic_ports *ports);
