// SPDX-License-Identifier: BSD-3-Clause
// What netlink.c (sockets, interfaces, addresses), netlink_route.c (routes) and netlink_watch.c (neighbours and who
// waits for them) share.
#pragma once

#include <linux/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <libmnl/libmnl.h>

#include "netlink.h"

#define NETLINK_PATHS 4096
#define NETLINK_NEIGHBOURS 1024

struct event;

// What the kernel told of one interface.
struct link {
	int ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6];
	uint16_t mtu;
	bool loopback, up, running;
};

struct address {
	int ifindex;
	struct kg_addr addr;
	bool secondary;
};

// Interfaces and addresses, in the kernel's order.
struct facts {
	struct link *links;
	unsigned link_count, link_room;
	struct address *addresses;
	unsigned address_count, address_room;
};

TAILQ_HEAD(watch_list, netlink_watch);
TAILQ_HEAD(path_list, path);
LIST_HEAD(path_bucket, path);
LIST_HEAD(neighbour_bucket, neighbour);

struct netlink {
	struct mnl_socket *ask, *follow;
	struct event *readable, *tick, *work;
	unsigned port, sequence;
	struct facts facts;
	bool stale;          // notifications were lost, or the facts could not be read: read all anew
	bool changed;        // addresses or links, since changed_fn was called
	bool routes_changed; // since the last sweep over the paths began
	// Since the last tick but one: the kernel tells of a link before it drops its IPv4 routes, and nothing of
	// those. So there is a second sweep at the next tick.
	bool links_changed;
	void (*changed_fn)(void *arg);
	void *changed_arg;

	struct neighbour_bucket neighbours[NETLINK_NEIGHBOURS];
	struct path_bucket paths[NETLINK_PATHS];
	struct path_list sweep; // all paths, the one that was routed longest ago first
	unsigned sweep_number;
	struct watch_list pending; // watches that have something to be told
};

// --- netlink.c ------------------------------------------------------------------------------------------------------

struct nlmsghdr *netlink_request(char *buffer, uint16_t type, uint16_t flags, unsigned sequence);
// Send a request and carry its answers to `fn`. Blocks: for the kernel's answer. Returns: 0 or -errno.
int netlink_ask(struct netlink *netlink, struct nlmsghdr *header, mnl_cb_t fn, void *arg);
const struct link *netlink_link(const struct netlink *netlink, int ifindex); // NULL: there is none
void netlink_get_addr(const struct nlattr *attr, struct kg_addr *out);       // none where it is no address
void netlink_put_addr(struct nlmsghdr *header, uint16_t type, const struct kg_addr *addr);
unsigned char netlink_family(const struct kg_addr *addr); // AF_INET, AF_INET6
// Let the event loop do what waits.
void netlink_work_soon(struct netlink *netlink);

// --- netlink_watch.c ------------------------------------------------------------------------------------------------

void watches_init(struct netlink *netlink);
void watches_fini(struct netlink *netlink);
void watches_take(struct netlink *netlink, const struct nlmsghdr *header); // RTM_NEWNEIGH, RTM_DELNEIGH
void watches_link_changed(struct netlink *netlink, int ifindex);
void watches_read_all(struct netlink *netlink); // ask for each neighbour's state
void watches_tick(struct netlink *netlink);     // each second
// A slice of what waits: paths to be routed anew, watches to be told. Returns: is there more?
bool watches_work(struct netlink *netlink);
