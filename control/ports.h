// SPDX-License-Identifier: BSD-3-Clause
// The pool of (local address, media port) pairs. A pair is an even RTP port and the odd RTCP port above it. A pair that
// comes back rests for a guard time before it is given out again, so that late packets of a dead call reach nobody.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

struct ports;

// Thread: control. Ports first..last, both included; an odd start is rounded up.
struct ports *ports_create(uint16_t first, uint16_t last, uint32_t guard_ms);
void ports_destroy(struct ports *ports);
// Pairs are of kinds: which relay lcore will have their packets. `kind_of` tells it (below `kinds`), always the same
// for a pair. Before the first ports_get; without it all are of kind 0.
#define PORTS_KINDS 16
void ports_set_kinds(
	struct ports *ports, unsigned kinds, unsigned (*kind_of)(void *arg, const struct kg_addr *pair), void *arg);
// Take a pair on `ip` (its port is ignored), of that kind where there is one, else of another; out->port is the even
// one. Oldest first. Returns: 0, or -EADDRNOTAVAIL (pool empty), -ENOMEM.
int ports_get(struct ports *ports, const struct kg_addr *ip, unsigned kind, uint64_t now_ms, struct kg_addr *out);
void ports_put(struct ports *ports, const struct kg_addr *pair, uint64_t now_ms);
unsigned ports_in_use(const struct ports *ports); // UDP ports, two a pair
unsigned ports_in_use_at(const struct ports *ports, const struct kg_addr *ip);
unsigned ports_capacity(const struct ports *ports); // pairs of one address
