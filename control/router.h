// SPDX-License-Identifier: BSD-3-Clause
// Who may call, and where a call goes: trunks by source address, routes by their first match. Pure.
#pragma once

#include "config.h"
#include "sip_msg.h"

// The trunk whose `from` networks hold `source` (the longest prefix wins). Returns: its index, or -1.
int router_trunk(const struct config *config, const struct kg_addr *source);

struct router_hop {
	unsigned trunk;        // index
	struct kg_addr target; // its address; of a trunk that is a name one of its `from`: media is placed by it
	char next[300];        // the URI whose host, port and transport say where the INVITE goes
	bool udp_only;
	char request_uri[512];
	char routes[8][256]; // Route headers to send, in order (what is left after ours was popped)
	unsigned route_count;
	bool has_codecs; // the route's, instead of the trunk's
	struct offer_policy codecs;
};

// Where an INVITE of that trunk, or (trunk -1) of that endpoint, goes, in order. `is_ours` says whether a host and port
// are our own listener. Returns: number of hops, or -404 no route matches, -403 the next hop is no trunk's address,
// -482 it would go back to the trunk that it came from: the negative SIP status.
int router_resolve(const struct config *config, int trunk, const char *endpoint, const struct sip_msg *invite,
	const struct kg_addr *source, bool (*is_ours)(void *arg, const char *host, uint16_t port), void *arg,
	struct router_hop *out, unsigned max);
