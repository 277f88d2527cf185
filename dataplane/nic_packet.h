// SPDX-License-Identifier: BSD-3-Clause
// The kernel's half of an af_packet nic. The driver reads a copy of what the interface receives: a filter lets only
// media through to it. The kernel has the packet too and would answer it by ICMP, as nobody listens on that port: so
// each live port is held by a UDP socket that drops everything. All functions: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

extern const unsigned char nic_packet_program[]; // an ELF object, embedded at build time
extern const unsigned nic_packet_program_bytes;

struct nic_packet;
struct nic_ports;

// Check the interface and load the filter. `devargs` gets what DPDK's driver needs. Returns: 0, or -errno with a
// sentence in err.
int nic_packet_take(
	const char *interface, struct nic_packet **out, char *devargs, unsigned size, char err[KG_MEDIA_ERR]);
// After the driver has opened its sockets: put the filter on them. Returns: 0, or -errno with a sentence in err.
int nic_packet_attach(struct nic_packet *packet, char err[KG_MEDIA_ERR]);
// How many packets of media the kernel dropped because the driver's ring was full.
uint64_t nic_packet_missed(struct nic_packet *packet);
// Give everything back. NULL is fine.
void nic_packet_give(struct nic_packet *packet);

// Which addresses and ports come through the filter.
struct nic_ports *nic_packet_ports(const struct nic_packet *packet);
// Hold the port against the kernel's ICMP, or let it go. Returns: 0, or -errno: -EADDRINUSE where another program has
// it, -EMFILE or -ENFILE where descriptors are out (which is logged once, with what to do).
int nic_packet_hold(struct nic_packet *packet, const struct kg_addr *local, bool on);
