// SPDX-License-Identifier: BSD-3-Clause
// Copies of a nic's frames for somebody who looks: a ring of bytes from the relay lcore to control. Bytes, never mbufs:
// who reads slowly loses frames of the capture, which are counted, and delays no media.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

#define CAPTURE_BYTES (4u << 20) // power of two
#define CAPTURE_SNAP KG_CAPTURE_SNAP

struct capture {
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
