// SPDX-License-Identifier: BSD-3-Clause
// The XDP half of an af_xdp nic: who holds the interface, our program and its maps. libbpf and libxdp stop here.
// All functions: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

extern const unsigned char nic_xdp_program[]; // an ELF object, embedded at build time
extern const unsigned nic_xdp_program_bytes;

struct nic_ports;
struct nic_xdp;

// Take the interface: lock it against other engines, look at what is attached, remove what a dead engine left. Nothing
// of others is touched. `queues` is how many may be read, and becomes how many the interface has. Returns: 0, or -errno
// with a sentence in err.
int nic_xdp_take(const char *interface, unsigned *queues, struct nic_xdp **out, char err[KG_MEDIA_ERR]);
// DPDK's driver knows combined queues only, and takes an interface that has its receive and transmit queues apart
// (veth) for one with a single queue: then each queue is a port of its own.
bool nic_xdp_apart(const struct nic_xdp *xdp);
// What the driver needs to load our program: for the whole interface or, where its queues are apart, for one queue.
void nic_xdp_devargs(const struct nic_xdp *xdp, unsigned queue, char *devargs, unsigned size);
// After the driver has attached the program: find its maps. Returns: 0, or -errno with a sentence in err.
int nic_xdp_find_maps(struct nic_xdp *xdp, char err[KG_MEDIA_ERR]);
// Before one more port is opened on the interface: our program gives way to the one that the driver attaches again.
// Returns: 0, or -errno with a sentence in err.
int nic_xdp_step_aside(struct nic_xdp *xdp, char err[KG_MEDIA_ERR]);
// After it: the first program stands in its place, and knows the new port's socket as the queue's. Returns: the same.
int nic_xdp_come_back(struct nic_xdp *xdp, unsigned queue, char err[KG_MEDIA_ERR]);
// Does a program that is not ours hang on the interface? Then the driver must not be closed: it would take it away.
bool nic_xdp_foreign(const struct nic_xdp *xdp);
// What the kernel said when it refused the program, or "".
const char *nic_xdp_reason(void);
// Give the interface back; a program of ours that the driver left is detached. NULL is fine.
void nic_xdp_give(struct nic_xdp *xdp);

// Its live ports, once the maps are found.
struct nic_ports *nic_xdp_ports(const struct nic_xdp *xdp);
