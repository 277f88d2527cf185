// SPDX-License-Identifier: BSD-3-Clause
// Copies of a nic's frames for somebody who looks: a ring of bytes from the relay lcore to control. Bytes, never mbufs:
// who reads slowly loses frames of the capture, which are counted, and delays no media.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_media.h"

#define CAPTURE_BYTES (4u << 20) // power of two
#define CAPTURE_SNAP KG_CAPTURE_SNAP

// Which frames are taken: of one local address and its one or two ports; ports 0: all.
struct capture_filter {
	uint8_t ip[16]; // IPv4: the first four
	uint8_t family;
	uint16_t port, ports; // host order
};

// Is it UDP from (outgoing) or to the filter's address and ports? An 802.1Q tag and IPv4 options are passed over. Pure.
bool capture_wants(const struct capture_filter *filter, const uint8_t *frame, size_t size, bool outgoing);

struct capture {
	struct capture_filter filter;               // control, before the lcore has it
	uint64_t head;                              // relay: rw, control: ro
	uint64_t lost;                              // relay: rw, control: ro; frames that found no room
	uint64_t tail __attribute__((aligned(64))); // control: rw, relay: ro
	uint8_t data[CAPTURE_BYTES] __attribute__((aligned(64)));
};

struct rte_mbuf;

// Copy a burst. Thread: the relay lcore.
void capture_burst(struct capture *capture, struct rte_mbuf **packets, unsigned n, uint64_t tsc, bool outgoing);

// The next frame. Returns: false where there is none. Thread: control.
struct capture_frame {
	uint64_t tsc;
	uint32_t length, copied; // on the wire; in the copy
	bool outgoing;
};
bool capture_next(struct capture *capture, struct capture_frame *frame, uint8_t data[CAPTURE_SNAP]);
// When the next frame passed. Returns: false where there is none. Thread: control.
bool capture_peek(const struct capture *capture, uint64_t *tsc);
