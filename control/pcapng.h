// SPDX-License-Identifier: BSD-3-Clause
// pcapng blocks (draft-ietf-opsawg-pcapng), in this machine's order. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPNG_ROOM 512 // bytes that suffice for what is around a packet, and for each other block

// Section header and one Ethernet interface with nanosecond times. Returns: bytes written.
size_t pcapng_begin(uint8_t out[2 * PCAPNG_ROOM], const char *program, const char *interface, uint32_t snap);
// One packet: `copied` bytes of `length`; out has room for PCAPNG_ROOM + copied. Returns: bytes written.
size_t pcapng_packet(uint8_t *out, uint64_t time_ns, const void *data, uint32_t copied, uint32_t length, bool outgoing);
// What the interface counted until the end: received by the capture, and lost by it. Returns: bytes written.
size_t pcapng_end(uint8_t out[PCAPNG_ROOM], uint64_t time_ns, uint64_t received, uint64_t lost);
