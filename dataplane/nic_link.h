// SPDX-License-Identifier: BSD-3-Clause
// The kernel's side of an interface that a nic stands on: what must be so before XDP can take it, and what it says of
// itself. All functions: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

// May this process, and can this interface? Raises the limit of locked memory where it may. `queues` is how many pairs
// of queues may be read, and becomes how many the interface has; `apart`: they are several, and its receive and
// transmit queues are no pairs but counted apart. Returns: 0 and the interface's index, or -errno with a sentence in
// err that says what to do.
int nic_link_check(const char *interface, unsigned *queues, bool *apart, int *ifindex, char err[KG_MEDIA_ERR]);
// Where the interface is the loopback: does the host take what we send there? What DPDK sends on lo comes to the kernel
// like from a wire, where it refuses the host's own addresses as they come. Returns: 0 (other interfaces too), or
// -ENOTSUP with the sysctl lines to write in err.
int nic_link_loopback(const char *interface, char err[KG_MEDIA_ERR]);
// May `bytes` be locked in memory? Returns: 0, or -EPERM with a sentence in err.
int nic_link_lockable(uint64_t bytes, char err[KG_MEDIA_ERR]);
// By its index: an interface may change its name, and another may come under the name of one that went.
// Returns: 0, or -errno where it cannot be read (it is gone).
int nic_link_read(int ifindex, uint16_t *mtu, bool *running);
