// SPDX-License-Identifier: BSD-3-Clause
// The real pipeline without nics, for tests and fuzzing: legs made by real commands, frames from memory, what leaves is
// read from the transmit buffer.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lcore.h"

struct rte_mempool;

struct rig {
	struct lcore lcore;
	struct relay *relay;
	struct rte_mempool *pool;
	unsigned first_packets; // events
	uint16_t latched_port;  // of the last such event
	uint64_t rx_flags;      // what the nic says of each mbuf (RTE_MBUF_F_RX_*)
	uint64_t now_tsc;
};

// Start EAL (once a process) and make the world: local addresses 10.0.0.1, 10.0.1.1, 2001:db8::1 and
// 2001:db8:1::1.
struct rig *rig_create(unsigned legs);
void rig_destroy(struct rig *rig);

// Legs by the real commands; config as control gives it. Returns: the acknowledged configuration's bytes are freed.
void rig_leg_create(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config);
void rig_leg_change(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config);
void rig_leg_retire(struct rig *rig, kg_leg_id id, const struct kg_leg_config *config);

enum rig_checksum { RIG_WHOLE, RIG_ZERO, RIG_PARTIAL, RIG_WRONG };

// An Ethernet frame with one UDP datagram. Returns: its length.
unsigned rig_frame(uint8_t *out, const struct kg_addr *source, const struct kg_addr *target, const void *payload,
	unsigned length, enum rig_checksum checksum);

// Put frames through the pipeline as one burst. What left is copied to `out` (RELAY_MAX_FRAME + 1 bytes each), then
// "sent". Returns: how many left. Checked each time: every mbuf is given back; of one packet, that it left or was
// dropped once, by an exit that relay_stages gives the last stage that saw it.
struct rig_out {
	unsigned nic, length;
	uint64_t tx_flags; // what the nic is asked for (RTE_MBUF_F_TX_*)
	uint8_t frame[RELAY_MAX_FRAME + 1];
};
unsigned rig_burst(struct rig *rig, uint8_t *const *frames, const unsigned *lengths, unsigned n, struct rig_out *out);
unsigned rig_one(struct rig *rig, const uint8_t *frame, unsigned length, struct rig_out *out);

// Is the frame UDP over IPv4 or IPv6 with right lengths and right, whole checksums?
bool rig_sound(const struct rig_out *out);
