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
// of others is touched. `devargs` gets what DPDK's driver needs to load our program. Returns: 0, or -errno with a
// sentence in err.
int nic_xdp_take(const char *interface, struct nic_xdp **out, char *devargs, unsigned size, char err[KG_MEDIA_ERR]);
// After the driver has attached the program: find its maps. Returns: 0, or -errno with a sentence in err.
int nic_xdp_find_maps(struct nic_xdp *xdp, char err[KG_MEDIA_ERR]);
// Does a program that is not ours hang on the interface? Then the driver must not be closed: it would take it away.
bool nic_xdp_foreign(const struct nic_xdp *xdp);
// What the kernel said when it refused the program, or "".
const char *nic_xdp_reason(void);
// Give the interface back; a program of ours that the driver left is detached. NULL is fine.
void nic_xdp_give(struct nic_xdp *xdp);

// Its live ports, once the maps are found.
struct nic_ports *nic_xdp_ports(const struct nic_xdp *xdp);
