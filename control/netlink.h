// SPDX-License-Identifier: BSD-3-Clause
// The kernel's view of layers 2 and 3, asked and followed by netlink (libmnl): interfaces, addresses, routes and
// neighbours. Routes are asked from the kernel itself (RTM_GETROUTE), so its rules and tables count.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "kg_media.h"

struct event_base;
struct netlink;

struct netlink_route {
	int ifindex;
	char interface[64];
	struct kg_addr source;   // what the kernel would send from
	struct kg_addr next_hop; // the gateway (of IPv6 also a link-local one), or the target itself
};

// A watch keeps one target's next hop up to date; fn is called when it changes (resolved, another MAC, gone, moved to
// another interface). An unresolved neighbour is resolved by the kernel (NTF_USE), refreshed every 30 s while watched.
struct netlink_watch;
typedef void (*netlink_hop_fn)(const struct kg_media_hop *hop, int ifindex, void *arg);

// Thread: control. Returns: 0, or -errno with a sentence in err (256 bytes).
int netlink_open(struct event_base *base, struct netlink **out, char *err);
void netlink_close(struct netlink *netlink);

// Addresses of an interface at which others reach us: IPv4, primary first, then IPv6, temporary last; no link-local
// ones and none that are still tried for duplicates. Returns: count, or -ENODEV.
int netlink_addresses(struct netlink *netlink, const char *interface, struct kg_addr *out, unsigned max);
// Is there such an interface, is it up and does it have a carrier? As last told by the kernel; netlink_on_change is
// called when that changes.
bool netlink_link_up(const struct netlink *netlink, const char *interface);
// Called after any address of any interface came or went, or an interface did.
void netlink_on_change(struct netlink *netlink, void (*fn)(void *arg), void *arg);

// Ask the kernel for the route to `target`, from `source` where that is not NULL: it must be an address of this
// machine. To such an address the way is through lo. Returns: 0, or -ENETUNREACH, -EHOSTUNREACH, -EIO.
int netlink_route(
	struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source, struct netlink_route *out);

// `hop` gets what is known at once; fn is called for each change after that, always from the event loop. It may create
// and destroy watches, also its own. Owns: whoever created the watch destroys it, before netlink_close.
// Returns: NULL where there is no memory.
struct netlink_watch *netlink_watch_create(struct netlink *netlink, const struct kg_addr *target,
	const struct kg_addr *source, netlink_hop_fn fn, void *arg, struct kg_media_hop *hop);
void netlink_watch_destroy(struct netlink_watch *watch);
