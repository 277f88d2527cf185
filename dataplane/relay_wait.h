// SPDX-License-Identifier: BSD-3-Clause
// Where packets wait whose next hop the kernel is still asking for, as its own do: a party may send before the other's
// neighbour has said its MAC, or before control has read the answer. Everything here: Thread: the lcore that owns the
// relay.
#pragma once

#include "relay_work.h"

// Keep a packet that has come as far as forward. Returns: false where there is no room; it is still the caller's then.
bool wait_push(struct relay *relay, struct work *work, uint64_t now_tsc);

// A leg is another now, or gone: those that wait for it may go on with the next wait_pop.
void wait_changed(struct relay *relay, kg_leg_id leg);

// Let those go on that may, and drop those that waited too long. Returns: how many went on; they wait in relay->tx,
// which has room for RELAY_WAIT.
unsigned wait_pop(struct relay *relay, uint64_t now_tsc);

// Drop them all.
void wait_end(struct relay *relay);
