// SPDX-License-Identifier: BSD-3-Clause
// What the stack needs of a transport. sip_udp.c is the real one; tests have their own.
#pragma once

#include <stddef.h>

#include "kg_addr.h"

struct sip_wire {
	// Returns: 0, or -errno where the datagram certainly went nowhere.
	int (*send)(struct sip_wire *wire, const struct kg_addr *local, const struct kg_addr *remote, const char *data,
		size_t length);
	void (*close)(struct sip_wire *wire);
};

struct sip_wire_events {
	// `local` may be a wildcard address with its port.
	void (*datagram)(
		void *arg, const struct kg_addr *local, const struct kg_addr *remote, const char *data, size_t length);
	// Something of ours came back as undeliverable: its first bytes. May be called from inside send.
	void (*refused)(void *arg, const char *data, size_t length, int error);
	void *arg;
};

struct event_base;
// Returns: 0, or -errno with a sentence in err (256 bytes).
int sip_udp_open(struct event_base *base, const struct kg_addr *listen, unsigned count,
	const struct sip_wire_events *events, struct sip_wire **out, char *err);
