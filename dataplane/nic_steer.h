// SPDX-License-Identifier: BSD-3-Clause
// An ethdev port and how packets come to its queues. All functions: Thread: control.
#pragma once

#include <rte_ethdev.h>

#include "nic.h"

// Before rte_eth_dev_configure: ask for the hash over destination ports where the driver has it, or for any that
// spreads packets.
void nic_steer_plan(const struct rte_eth_dev_info *info, unsigned queues, struct rte_eth_conf *conf);
// The port runs: choose the best that the driver takes, and say it in nic->steer.
void nic_steer_start(struct nic *nic, const struct rte_eth_conf *conf);

// nic_port.c: configure an ethdev port with as many queues as are wanted and possible, start it, and put it among the
// nic's ports and pairs. Where all the nic's queues are wanted it has as many as the port then. Returns: 0 or -errno;
// then it is not among them.
int nic_port_start(struct nic *nic, uint16_t port_id, unsigned wanted, struct rte_mempool *const *pools);
