// SPDX-License-Identifier: BSD-3-Clause
// Who waits for which next hop. A watch hangs on a path (one for each pair of target and source), a path on a
// neighbour (one for each pair of interface and next hop); so a change costs one look at the kernel for a neighbour or
// a path, however many watches share it. Watches are told later, from the event loop and one by one, so that a callback
// may destroy and create watches as it likes.

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "netlink.h"
#include "netlink_private.h"

#define REFRESH_S 30 // a neighbour that media uses is confirmed this often: the kernel sees no traffic to it
#define SLICE 256    // paths or watches looked at in one turn of the event loop

struct neighbour {
	LIST_ENTRY(neighbour) bucket;
	int ifindex;
	struct kg_addr addr;
	struct kg_media_hop hop;
	struct path_list paths;
	unsigned refresh_s; // seconds until it is asked for again
	bool answered;      // while its state is read
	bool fixed;         // set by hand, or of an interface without ARP
};

struct path {
	LIST_ENTRY(path) bucket;
	TAILQ_ENTRY(path) sweep;   // in netlink->sweep
	TAILQ_ENTRY(path) sibling; // in neighbour->paths
	struct kg_addr target, source;
	struct neighbour *neighbour; // NULL: no route now
	unsigned sweep_number;       // of the sweep in which it was routed
	struct watch_list watches;
};

struct netlink_watch {
	TAILQ_ENTRY(netlink_watch) sibling; // in path->watches
	TAILQ_ENTRY(netlink_watch) queue;   // in netlink->pending
	struct netlink *netlink;
	struct path *path;
	bool pending;
	struct kg_media_hop hop; // what it was told
	int ifindex;
	netlink_hop_fn fn;
	void *arg;
};

static unsigned hash_of(const struct kg_addr *addr, uint32_t other)
{
	uint64_t half[2], mixed;

	memcpy(half, addr->ip, sizeof(half));
	mixed = (half[0] ^ (half[1] << 7 | half[1] >> 57) ^ (uint64_t)other << 40) * 0x9e3779b97f4a7c15u;
	return (unsigned)(mixed >> 40);
}

static void path_tell(struct netlink *netlink, struct path *path)
{
	struct netlink_watch *watch;

	TAILQ_FOREACH(watch, &path->watches, sibling)
	{
		if (!watch->pending)
			TAILQ_INSERT_TAIL(&netlink->pending, watch, queue);
		watch->pending = true;
	}
}

// --- neighbours -----------------------------------------------------------------------------------------------------

static struct neighbour_bucket *neighbour_bucket(struct netlink *netlink, int ifindex, const struct kg_addr *addr)
{
	return &netlink->neighbours[hash_of(addr, (uint32_t)ifindex) % NETLINK_NEIGHBOURS];
}

static struct neighbour *neighbour_find(struct netlink *netlink, int ifindex, const struct kg_addr *addr)
{
	struct neighbour *neighbour;

	LIST_FOREACH(neighbour, neighbour_bucket(netlink, ifindex, addr), bucket)
	{
		if (neighbour->ifindex == ifindex && kg_addr_same_ip(&neighbour->addr, addr))
			return neighbour;
	}
	return NULL;
}

// mac: NULL where the kernel does not know it.
static void neighbour_set(struct netlink *netlink, struct neighbour *neighbour, const uint8_t *mac)
{
	const struct link *link = netlink_link(netlink, neighbour->ifindex);
	struct kg_media_hop hop;
	struct path *path;

	memset(&hop, 0, sizeof(hop)); // padding too: hops are compared as a whole
	if (link) {
		hop.mtu = link->mtu;
		memcpy(hop.source_mac, link->mac, sizeof(hop.source_mac));
	}
	hop.resolved = link && link->up && (link->loopback || mac);
	if (hop.resolved && !link->loopback)
		memcpy(hop.target_mac, mac, sizeof(hop.target_mac));
	if (memcmp(&hop, &neighbour->hop, sizeof(hop)) == 0)
		return;
	neighbour->hop = hop;
	TAILQ_FOREACH(path, &neighbour->paths, sibling)
	{
		path_tell(netlink, path);
	}
}

void watches_take(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(header);
	const uint16_t good = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
	struct neighbour *neighbour;
	struct kg_addr addr = {0};
	const uint8_t *mac = NULL;
	const struct nlattr *attr;

	if ((info->ndm_family != AF_INET && info->ndm_family != AF_INET6) || info->ndm_flags & NTF_PROXY)
		return;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == NDA_DST)
			netlink_get_addr(attr, &addr);
		else if (mnl_attr_get_type(attr) == NDA_LLADDR && mnl_attr_get_payload_len(attr) == 6)
			mac = mnl_attr_get_payload(attr);
	}
	neighbour = addr.family ? neighbour_find(netlink, info->ndm_ifindex, &addr) : NULL;
	if (!neighbour)
		return;
	neighbour->answered = true;
	neighbour->fixed = header->nlmsg_type == RTM_NEWNEIGH && info->ndm_state & (NUD_PERMANENT | NUD_NOARP);
	neighbour_set(netlink, neighbour, header->nlmsg_type == RTM_NEWNEIGH && info->ndm_state & good ? mac : NULL);
}

static int take_answer(const struct nlmsghdr *header, void *arg)
{
	if (header->nlmsg_type == RTM_NEWNEIGH)
		watches_take(arg, header);
	return MNL_CB_OK;
}

static void neighbour_read(struct netlink *netlink, struct neighbour *neighbour)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *header = netlink_request(buffer, RTM_GETNEIGH, 0, ++netlink->sequence);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ndm_family = netlink_family(&neighbour->addr);
	info->ndm_ifindex = neighbour->ifindex;
	netlink_put_addr(header, NDA_DST, &neighbour->addr);
	neighbour->answered = neighbour->fixed = false;
	netlink_ask(netlink, header, take_answer, netlink);
	if (!neighbour->answered)
		neighbour_set(netlink, neighbour, NULL);
}

// Let the kernel use the neighbour now: a missing one is resolved, a stale one confirmed. Where that fails, the hop
// stays unresolved and is asked for again. One that is fixed is left alone: to use it would make the kernel forget it.
static void neighbour_use(struct netlink *netlink, struct neighbour *neighbour)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *header;
	struct ndmsg *info;

	neighbour->refresh_s = REFRESH_S;
	neighbour_read(netlink, neighbour);
	if (neighbour->fixed)
		return;
	header = netlink_request(buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, ++netlink->sequence);
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->ndm_family = netlink_family(&neighbour->addr);
	info->ndm_ifindex = neighbour->ifindex;
	info->ndm_state = NUD_NONE;
	info->ndm_flags = NTF_USE;
	netlink_put_addr(header, NDA_DST, &neighbour->addr);
	netlink_ask(netlink, header, NULL, NULL);
}

static bool is_loopback(const struct netlink *netlink, const struct neighbour *neighbour)
{
	const struct link *link = netlink_link(netlink, neighbour->ifindex);

	return link && link->loopback;
}

static struct neighbour *neighbour_get(struct netlink *netlink, int ifindex, const struct kg_addr *addr)
{
	struct neighbour *neighbour = neighbour_find(netlink, ifindex, addr);

	if (neighbour)
		return neighbour;
	neighbour = calloc(1, sizeof(*neighbour));
	if (!neighbour)
		return NULL;
	neighbour->ifindex = ifindex;
	neighbour->addr = *addr;
	TAILQ_INIT(&neighbour->paths);
	LIST_INSERT_HEAD(neighbour_bucket(netlink, ifindex, addr), neighbour, bucket);
	if (is_loopback(netlink, neighbour))
		neighbour_set(netlink, neighbour, NULL);
	else
		neighbour_use(netlink, neighbour);
	return neighbour;
}

void watches_link_changed(struct netlink *netlink, int ifindex)
{
	struct neighbour *neighbour;

	for (unsigned i = 0; i < NETLINK_NEIGHBOURS; i++) {
		LIST_FOREACH(neighbour, &netlink->neighbours[i], bucket)
		{
			uint8_t mac[6];

			if (neighbour->ifindex != ifindex)
				continue;
			memcpy(mac, neighbour->hop.target_mac, sizeof(mac));
			neighbour_set(netlink, neighbour, neighbour->hop.resolved ? mac : NULL);
		}
	}
}

void watches_read_all(struct netlink *netlink)
{
	struct neighbour *neighbour;

	for (unsigned i = 0; i < NETLINK_NEIGHBOURS; i++) {
		LIST_FOREACH(neighbour, &netlink->neighbours[i], bucket)
		{
			if (!is_loopback(netlink, neighbour))
				neighbour_read(netlink, neighbour);
		}
	}
}

void watches_tick(struct netlink *netlink)
{
	struct neighbour *neighbour;

	for (unsigned i = 0; i < NETLINK_NEIGHBOURS; i++) {
		LIST_FOREACH(neighbour, &netlink->neighbours[i], bucket)
		{
			if (is_loopback(netlink, neighbour))
				continue;
			if (!neighbour->hop.resolved || --neighbour->refresh_s == 0)
				neighbour_use(netlink, neighbour);
		}
	}
	if (!TAILQ_EMPTY(&netlink->pending))
		netlink_work_soon(netlink);
}

// --- paths ----------------------------------------------------------------------------------------------------------

static struct path_bucket *path_bucket(struct netlink *netlink, const struct kg_addr *target)
{
	return &netlink->paths[hash_of(target, 0) % NETLINK_PATHS];
}

// Take the path from its neighbour, whom nobody may need any more.
static void path_leave(struct path *path)
{
	struct neighbour *neighbour = path->neighbour;

	path->neighbour = NULL;
	if (!neighbour)
		return;
	TAILQ_REMOVE(&neighbour->paths, path, sibling);
	if (TAILQ_EMPTY(&neighbour->paths)) {
		LIST_REMOVE(neighbour, bucket);
		free(neighbour);
	}
}

// Ask the kernel which way the path goes now.
static void path_route(struct netlink *netlink, struct path *path)
{
	struct neighbour *neighbour = NULL;
	struct netlink_route route;

	path->sweep_number = netlink->sweep_number;
	if (netlink_route(netlink, &path->target, path->source.family ? &path->source : NULL, &route) == 0)
		neighbour = neighbour_get(netlink, route.ifindex, &route.next_hop);
	if (neighbour == path->neighbour)
		return;
	path_leave(path);
	path->neighbour = neighbour;
	if (neighbour)
		TAILQ_INSERT_TAIL(&neighbour->paths, path, sibling);
	path_tell(netlink, path);
}

static struct path *path_get(struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source)
{
	struct path_bucket *bucket = path_bucket(netlink, target);
	struct kg_addr none = {0};
	struct path *path;

	source = source ? source : &none;
	LIST_FOREACH(path, bucket, bucket)
	{
		if (kg_addr_same_ip(&path->target, target) && kg_addr_same_ip(&path->source, source))
			return path;
	}
	path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->target = *target;
	path->source = *source;
	TAILQ_INIT(&path->watches);
	LIST_INSERT_HEAD(bucket, path, bucket);
	TAILQ_INSERT_TAIL(&netlink->sweep, path, sweep);
	path_route(netlink, path);
	return path;
}

static void path_drop(struct netlink *netlink, struct path *path)
{
	path_leave(path);
	LIST_REMOVE(path, bucket);
	TAILQ_REMOVE(&netlink->sweep, path, sweep);
	free(path);
}

// --- watches --------------------------------------------------------------------------------------------------------

static void watch_read(const struct netlink_watch *watch, struct kg_media_hop *hop, int *ifindex)
{
	const struct neighbour *neighbour = watch->path->neighbour;

	memset(hop, 0, sizeof(*hop));
	if (neighbour)
		*hop = neighbour->hop;
	*ifindex = neighbour ? neighbour->ifindex : 0;
}

struct netlink_watch *netlink_watch_create(struct netlink *netlink, const struct kg_addr *target,
	const struct kg_addr *source, netlink_hop_fn fn, void *arg, struct kg_media_hop *hop)
{
	struct netlink_watch *watch = calloc(1, sizeof(*watch));

	memset(hop, 0, sizeof(*hop));
	if (!watch)
		return NULL;
	watch->netlink = netlink;
	watch->fn = fn;
	watch->arg = arg;
	watch->path = path_get(netlink, target, source);
	if (!watch->path) {
		free(watch);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&watch->path->watches, watch, sibling);
	watch_read(watch, &watch->hop, &watch->ifindex);
	*hop = watch->hop;
	if (!TAILQ_EMPTY(&netlink->pending)) // what we asked the kernel may have been news for others
		netlink_work_soon(netlink);
	return watch;
}

void netlink_watch_destroy(struct netlink_watch *watch)
{
	if (!watch)
		return;
	if (watch->pending)
		TAILQ_REMOVE(&watch->netlink->pending, watch, queue);
	TAILQ_REMOVE(&watch->path->watches, watch, sibling);
	if (TAILQ_EMPTY(&watch->path->watches))
		path_drop(watch->netlink, watch->path);
	free(watch);
}

static void watch_tell(struct netlink_watch *watch)
{
	struct kg_media_hop hop;
	int ifindex;

	TAILQ_REMOVE(&watch->netlink->pending, watch, queue);
	watch->pending = false;
	watch_read(watch, &hop, &ifindex);
	if (ifindex == watch->ifindex && memcmp(&hop, &watch->hop, sizeof(hop)) == 0)
		return; // it came and went
	watch->hop = hop;
	watch->ifindex = ifindex;
	watch->fn(&hop, ifindex, watch->arg); // may destroy the watch
}

bool watches_work(struct netlink *netlink)
{
	struct path *path;

	if (netlink->routes_changed)
		netlink->sweep_number++;
	netlink->routes_changed = false;
	for (unsigned i = 0; i < SLICE; i++) {
		path = TAILQ_FIRST(&netlink->sweep);
		if (!path || path->sweep_number == netlink->sweep_number)
			break;
		TAILQ_REMOVE(&netlink->sweep, path, sweep);
		TAILQ_INSERT_TAIL(&netlink->sweep, path, sweep);
		path_route(netlink, path);
	}
	for (unsigned i = 0; i < SLICE && !TAILQ_EMPTY(&netlink->pending); i++)
		watch_tell(TAILQ_FIRST(&netlink->pending));
	path = TAILQ_FIRST(&netlink->sweep);
	return !TAILQ_EMPTY(&netlink->pending) || (path && path->sweep_number != netlink->sweep_number);
}

// --- all of them ----------------------------------------------------------------------------------------------------

void watches_init(struct netlink *netlink)
{
	for (unsigned i = 0; i < NETLINK_NEIGHBOURS; i++)
		LIST_INIT(&netlink->neighbours[i]);
	for (unsigned i = 0; i < NETLINK_PATHS; i++)
		LIST_INIT(&netlink->paths[i]);
	TAILQ_INIT(&netlink->sweep);
	TAILQ_INIT(&netlink->pending);
}

// Watches belong to who made them and are gone by now; what is left of theirs goes here.
void watches_fini(struct netlink *netlink)
{
	while (!TAILQ_EMPTY(&netlink->sweep))
		path_drop(netlink, TAILQ_FIRST(&netlink->sweep));
}
