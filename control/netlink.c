// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "kg_log.h"
#include "netlink.h"

#define REFRESH_S 30 // a neighbour that media uses is confirmed this often: the kernel sees no traffic to it
#define ANSWER_MS 500
#define FACT_MAX 512 // interfaces, and as many addresses

// What the kernel told of one interface.
struct link {
	int ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	uint16_t mtu;
	bool loopback, up;
};

struct address {
	int ifindex;
	struct kg_addr addr;
	bool secondary;
};

// A neighbour on whose state watches hang: one for each (interface, next hop).
struct neighbour {
	struct neighbour *next;
	int ifindex;
	struct kg_addr addr;
	struct kg_media_hop hop;
	struct netlink_watch *watches;
	unsigned refresh_s; // seconds until it is asked for again
};

struct netlink_watch {
	struct netlink_watch *next;
	struct netlink *netlink;
	struct neighbour *neighbour; // NULL: no route now
	struct kg_addr target, source;
	bool has_source;
	netlink_hop_fn fn;
	void *arg;
};

struct netlink {
	struct mnl_socket *ask, *follow;
	struct event *readable, *tick, *settle;
	unsigned port, sequence;
	struct link links[FACT_MAX];
	unsigned link_count;
	struct address addresses[FACT_MAX];
	unsigned address_count;
	struct neighbour *neighbours[1024]; // by hash
	struct netlink_watch *lost;         // watches without a route
	bool changed;                       // addresses or links, since changed_fn was called
	bool routes_changed;
	void (*changed_fn)(void *arg);
	void *changed_arg;
};

// --- asking ---------------------------------------------------------------------------------------------------------

static struct nlmsghdr *request(char *buffer, uint16_t type, uint16_t flags, unsigned sequence)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = sequence;
	return header;
}

// Send a request and carry its answers to `fn`. Returns: 0 or -errno.
static int ask(struct netlink *netlink, struct nlmsghdr *header, mnl_cb_t fn, void *arg)
{
	char buffer[32768];
	ssize_t got;
	int more = 1;

	if (mnl_socket_sendto(netlink->ask, header, header->nlmsg_len) < 0)
		return -errno;
	while (more > 0) {
		got = mnl_socket_recvfrom(netlink->ask, buffer, sizeof(buffer));
		if (got < 0)
			return -errno;
		if (((struct nlmsghdr *)buffer)->nlmsg_seq < header->nlmsg_seq)
			continue; // the rest of an answer that came too late
		more = mnl_cb_run(buffer, (size_t)got, header->nlmsg_seq, netlink->port, fn, arg);
		if (!(header->nlmsg_flags & (NLM_F_DUMP & ~NLM_F_ACK)) && !(header->nlmsg_flags & NLM_F_ACK))
			break;
	}
	return more < 0 ? -errno : 0;
}

static void get_addr(const struct nlattr *attr, struct kg_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (mnl_attr_get_payload_len(attr) != 4)
		return;
	out->family = 4;
	memcpy(out->ip, mnl_attr_get_payload(attr), 4);
}

// --- what the kernel tells ------------------------------------------------------------------------------------------

static struct link *link_find(struct netlink *netlink, int ifindex)
{
	for (unsigned i = 0; i < netlink->link_count; i++)
		if (netlink->links[i].ifindex == ifindex)
			return &netlink->links[i];
	return NULL;
}

static void take_link(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	struct link *link = link_find(netlink, info->ifi_index);
	const struct nlattr *attr;

	netlink->changed = netlink->routes_changed = true;
	if (header->nlmsg_type == RTM_DELLINK) {
		if (link)
			*link = netlink->links[--netlink->link_count];
		return;
	}
	if (!link) {
		if (netlink->link_count == FACT_MAX)
			return;
		link = &netlink->links[netlink->link_count++];
		memset(link, 0, sizeof(*link));
		link->ifindex = info->ifi_index;
	}
	link->loopback = info->ifi_type == ARPHRD_LOOPBACK;
	link->up = info->ifi_flags & IFF_UP;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == IFLA_IFNAME)
			snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attr));
		else if (mnl_attr_get_type(attr) == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == 6)
			memcpy(link->mac, mnl_attr_get_payload(attr), 6);
		else if (mnl_attr_get_type(attr) == IFLA_MTU)
			link->mtu = (uint16_t)mnl_attr_get_u32(attr);
	}
}

static void take_address(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr;
	struct address taken = {.ifindex = (int)info->ifa_index, .secondary = info->ifa_flags & IFA_F_SECONDARY};
	struct kg_addr peer = {0};
	unsigned i;

	if (info->ifa_family != AF_INET)
		return;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			get_addr(attr, &taken.addr);
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			get_addr(attr, &peer);
	}
	if (!taken.addr.family)
		taken.addr = peer;
	netlink->changed = netlink->routes_changed = true;
	for (i = 0; i < netlink->address_count; i++)
		if (netlink->addresses[i].ifindex == taken.ifindex &&
			kg_addr_same_ip(&netlink->addresses[i].addr, &taken.addr))
			break;
	if (header->nlmsg_type == RTM_DELADDR) {
		if (i < netlink->address_count) { // keep the order: the first one is the primary
			memmove(&netlink->addresses[i], &netlink->addresses[i + 1],
				(netlink->address_count - i - 1) * sizeof(taken));
			netlink->address_count--;
		}
	} else if (i < netlink->address_count) {
		netlink->addresses[i] = taken;
	} else if (netlink->address_count < FACT_MAX) {
		netlink->addresses[netlink->address_count++] = taken;
	}
}

static unsigned neighbour_hash(int ifindex, const struct kg_addr *addr)
{
	uint32_t ip;

	memcpy(&ip, addr->ip, 4);
	return (ip * 2654435761u + (uint32_t)ifindex * 40503u) >> 22;
}

static struct neighbour *neighbour_find(struct netlink *netlink, int ifindex, const struct kg_addr *addr)
{
	struct neighbour *neighbour = netlink->neighbours[neighbour_hash(ifindex, addr)];

	while (neighbour && !(neighbour->ifindex == ifindex && kg_addr_same_ip(&neighbour->addr, addr)))
		neighbour = neighbour->next;
	return neighbour;
}

static void tell_watches(struct neighbour *neighbour)
{
	struct netlink_watch *watch = neighbour->watches, *next;

	for (; watch; watch = next) { // a watch may destroy itself
		next = watch->next;
		watch->fn(&neighbour->hop, neighbour->ifindex, watch->arg);
	}
}

static bool hop_same(const struct kg_media_hop *a, const struct kg_media_hop *b)
{
	return a->resolved == b->resolved && a->mtu == b->mtu && !memcmp(a->source_mac, b->source_mac, 6) &&
	       !memcmp(a->target_mac, b->target_mac, 6);
}

static void take_neighbour(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(header);
	const uint16_t good = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
	struct kg_media_hop hop;
	struct neighbour *neighbour;
	struct kg_addr addr = {0};
	const uint8_t *mac = NULL;
	const struct nlattr *attr;
	const struct link *link;

	if (info->ndm_family != AF_INET)
		return;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == NDA_DST)
			get_addr(attr, &addr);
		else if (mnl_attr_get_type(attr) == NDA_LLADDR && mnl_attr_get_payload_len(attr) == 6)
			mac = mnl_attr_get_payload(attr);
	}
	neighbour = addr.family ? neighbour_find(netlink, info->ndm_ifindex, &addr) : NULL;
	link = link_find(netlink, info->ndm_ifindex);
	if (!neighbour || !link || link->loopback)
		return;
	hop = neighbour->hop;
	hop.mtu = link->mtu;
	memcpy(hop.source_mac, link->mac, 6);
	hop.resolved = header->nlmsg_type == RTM_NEWNEIGH && mac && info->ndm_state & good;
	if (hop.resolved)
		memcpy(hop.target_mac, mac, 6);
	if (hop_same(&hop, &neighbour->hop))
		return;
	neighbour->hop = hop;
	tell_watches(neighbour);
}

static int take(const struct nlmsghdr *header, void *arg)
{
	struct netlink *netlink = arg;

	switch (header->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		take_link(netlink, header);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		take_address(netlink, header);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		take_neighbour(netlink, header);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		netlink->routes_changed = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int dump(struct netlink *netlink, uint16_t type)
{
	char buffer[256];
	struct nlmsghdr *header = request(buffer, type, NLM_F_DUMP, ++netlink->sequence);
	struct rtgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));

	generic->rtgen_family = type == RTM_GETLINK ? AF_UNSPEC : AF_INET;
	return ask(netlink, header, take, netlink);
}

// --- neighbours -----------------------------------------------------------------------------------------------------

// Ask the kernel to use the neighbour now: a missing one is resolved, a stale one confirmed.
static void neighbour_use(struct netlink *netlink, struct neighbour *neighbour)
{
	char buffer[256];
	struct nlmsghdr *header = request(buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, ++netlink->sequence);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ndm_family = AF_INET;
	info->ndm_ifindex = neighbour->ifindex;
	info->ndm_state = NUD_NONE;
	info->ndm_flags = NTF_USE;
	mnl_attr_put(header, NDA_DST, 4, neighbour->addr.ip);
	ask(netlink, header, NULL, NULL); // where it fails, the hop stays unresolved and is asked for again
}

static int neighbour_read(struct netlink *netlink, struct neighbour *neighbour)
{
	char buffer[256];
	struct nlmsghdr *header = request(buffer, RTM_GETNEIGH, 0, ++netlink->sequence);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ndm_family = AF_INET;
	info->ndm_ifindex = neighbour->ifindex;
	mnl_attr_put(header, NDA_DST, 4, neighbour->addr.ip);
	return ask(netlink, header, take, netlink);
}

static struct neighbour *neighbour_get(struct netlink *netlink, int ifindex, const struct kg_addr *addr)
{
	struct neighbour *neighbour = neighbour_find(netlink, ifindex, addr);
	const struct link *link = link_find(netlink, ifindex);
	unsigned hash = neighbour_hash(ifindex, addr);

	if (neighbour)
		return neighbour;
	neighbour = calloc(1, sizeof(*neighbour));
	if (!neighbour)
		return NULL;
	neighbour->ifindex = ifindex;
	neighbour->addr = *addr;
	neighbour->addr.port = 0;
	neighbour->refresh_s = 1;
	neighbour->next = netlink->neighbours[hash];
	netlink->neighbours[hash] = neighbour;
	if (link) {
		memcpy(neighbour->hop.source_mac, link->mac, 6);
		neighbour->hop.mtu = link->mtu;
		neighbour->hop.resolved = link->loopback;
	}
	if (!link || !link->loopback) {
		neighbour_use(netlink, neighbour);
		neighbour_read(netlink, neighbour);
	}
	return neighbour;
}

static void neighbour_drop(struct netlink *netlink, struct neighbour *neighbour)
{
	struct neighbour **at = &netlink->neighbours[neighbour_hash(neighbour->ifindex, &neighbour->addr)];

	while (*at != neighbour)
		at = &(*at)->next;
	*at = neighbour->next;
	free(neighbour);
}

// --- routes ---------------------------------------------------------------------------------------------------------

static int take_route(const struct nlmsghdr *header, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(header);
	struct netlink_route *route = arg;
	const struct nlattr *attr;

	if (header->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF)
			route->ifindex = (int)mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == RTA_PREFSRC)
			get_addr(attr, &route->source);
		else if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			get_addr(attr, &route->next_hop);
	}
	return MNL_CB_OK;
}

int netlink_route(
	struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source, struct netlink_route *out)
{
	char buffer[256];
	struct nlmsghdr *header = request(buffer, RTM_GETROUTE, 0, ++netlink->sequence);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	const struct link *link;
	int error;

	memset(out, 0, sizeof(*out));
	if (target->family != 4)
		return -ENETUNREACH;
	out->next_hop = *target;
	out->next_hop.port = 0;
	info->rtm_family = AF_INET;
	info->rtm_dst_len = 32;
	mnl_attr_put(header, RTA_DST, 4, target->ip);
	if (source && source->family == 4) {
		info->rtm_src_len = 32;
		mnl_attr_put(header, RTA_SRC, 4, source->ip);
	}
	error = ask(netlink, header, take_route, out);
	if (error)
		return error == -EHOSTUNREACH || error == -ENETUNREACH ? error : -EIO;
	if (source && source->family == 4)
		out->source = *source;
	link = link_find(netlink, out->ifindex);
	if (!link || !out->source.family)
		return -ENETUNREACH;
	snprintf(out->interface, sizeof(out->interface), "%s", link->name);
	return 0;
}

int netlink_addresses(struct netlink *netlink, const char *interface, struct kg_addr *out, unsigned max)
{
	unsigned count = 0;
	int ifindex = 0;

	for (unsigned i = 0; i < netlink->link_count; i++)
		if (strcmp(netlink->links[i].name, interface) == 0)
			ifindex = netlink->links[i].ifindex;
	if (!ifindex)
		return -ENODEV;
	for (int secondary = 0; secondary < 2; secondary++)
		for (unsigned i = 0; i < netlink->address_count && count < max; i++)
			if (netlink->addresses[i].ifindex == ifindex && netlink->addresses[i].secondary == secondary)
				out[count++] = netlink->addresses[i].addr;
	return (int)count;
}

void netlink_on_change(struct netlink *netlink, void (*fn)(void *arg), void *arg)
{
	netlink->changed_fn = fn;
	netlink->changed_arg = arg;
}

// --- watches --------------------------------------------------------------------------------------------------------

static void watch_leave(struct netlink_watch *watch)
{
	struct netlink_watch **at = watch->neighbour ? &watch->neighbour->watches : &watch->netlink->lost;

	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	if (watch->neighbour && !watch->neighbour->watches)
		neighbour_drop(watch->netlink, watch->neighbour);
}

static void watch_join(struct netlink_watch *watch)
{
	struct netlink_watch **head;
	struct netlink_route route;

	watch->neighbour = NULL;
	if (netlink_route(watch->netlink, &watch->target, watch->has_source ? &watch->source : NULL, &route) == 0)
		watch->neighbour = neighbour_get(watch->netlink, route.ifindex, &route.next_hop);
	head = watch->neighbour ? &watch->neighbour->watches : &watch->netlink->lost;
	watch->next = *head;
	*head = watch;
}

struct netlink_watch *netlink_watch_create(struct netlink *netlink, const struct kg_addr *target,
	const struct kg_addr *source, netlink_hop_fn fn, void *arg, struct kg_media_hop *hop)
{
	struct netlink_watch *watch = calloc(1, sizeof(*watch));

	memset(hop, 0, sizeof(*hop));
	if (!watch)
		return NULL;
	*watch = (struct netlink_watch){.netlink = netlink, .target = *target, .fn = fn, .arg = arg};
	if (source) {
		watch->source = *source;
		watch->has_source = true;
	}
	watch_join(watch);
	if (watch->neighbour)
		*hop = watch->neighbour->hop;
	return watch;
}

void netlink_watch_destroy(struct netlink_watch *watch)
{
	if (!watch)
		return;
	watch_leave(watch);
	free(watch);
}

// Routes changed: does each watch still go the same way? Watches are collected first, as a callback may destroy its
// own.
static void watches_reroute(struct netlink *netlink)
{
	struct netlink_watch **all = NULL, *watch;
	size_t count = 0, room = 0;

	for (unsigned i = 0; i <= 1024; i++) {
		struct neighbour *neighbour = i < 1024 ? netlink->neighbours[i] : NULL;
		struct netlink_watch *list = i < 1024 ? NULL : netlink->lost;

		for (; neighbour || list; neighbour = neighbour ? neighbour->next : NULL) {
			for (watch = neighbour ? neighbour->watches : list; watch; watch = watch->next) {
				if (count == room) {
					struct netlink_watch **grown =
						realloc(all, (room = room * 2 + 64) * sizeof(*all));

					if (!grown)
						goto out;
					all = grown;
				}
				all[count++] = watch;
			}
			list = NULL;
		}
	}
	for (size_t i = 0; i < count; i++) {
		struct neighbour *was = all[i]->neighbour;
		struct kg_media_hop hop = {0}, before = was ? was->hop : hop;
		int ifindex = was ? was->ifindex : 0;

		watch_leave(all[i]);
		watch_join(all[i]);
		if (all[i]->neighbour)
			hop = all[i]->neighbour->hop;
		if (!hop_same(&hop, &before) || ifindex != (all[i]->neighbour ? all[i]->neighbour->ifindex : 0))
			all[i]->fn(&hop, all[i]->neighbour ? all[i]->neighbour->ifindex : 0, all[i]->arg);
	}
out:
	free(all);
}

// --- following ------------------------------------------------------------------------------------------------------

static void dump_all(struct netlink *netlink)
{
	netlink->link_count = netlink->address_count = 0;
	if (dump(netlink, RTM_GETLINK) || dump(netlink, RTM_GETADDR) || dump(netlink, RTM_GETNEIGH))
		kg_warn("netlink", "the kernel's interfaces cannot be read: %s", strerror(errno));
}

// Many notifications come at once; what follows from them is done when they are all in.
static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *netlink = arg;

	if (netlink->routes_changed) {
		netlink->routes_changed = false;
		watches_reroute(netlink);
	}
	if (netlink->changed) {
		netlink->changed = false;
		if (netlink->changed_fn)
			netlink->changed_fn(netlink->changed_arg);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = {0, 10000};
	struct netlink *netlink = arg;
	char buffer[32768];
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
		mnl_cb_run(buffer, (size_t)got, 0, 0, take, netlink);
	if (got < 0 && errno == ENOBUFS)
		dump_all(netlink); // some were lost: read all anew
	if ((netlink->changed || netlink->routes_changed) && !event_pending(netlink->settle, EV_TIMEOUT, NULL))
		event_add(netlink->settle, &soon);
}

// Each second: neighbours that are not resolved are asked for again, the others every 30 s.
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *netlink = arg;

	for (unsigned i = 0; i < 1024; i++) {
		for (struct neighbour *neighbour = netlink->neighbours[i]; neighbour; neighbour = neighbour->next) {
			const struct link *link = link_find(netlink, neighbour->ifindex);

			if ((link && link->loopback) || (neighbour->hop.resolved && --neighbour->refresh_s > 0))
				continue;
			neighbour->refresh_s = REFRESH_S;
			neighbour_use(netlink, neighbour);
		}
	}
}

// --- opening --------------------------------------------------------------------------------------------------------

static int open_sockets(struct netlink *netlink)
{
	const unsigned groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_NEIGH};
	struct timeval patience = {0, ANSWER_MS * 1000};

	netlink->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	netlink->follow = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netlink->ask || !netlink->follow || mnl_socket_bind(netlink->ask, 0, MNL_SOCKET_AUTOPID) ||
		mnl_socket_bind(netlink->follow, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	netlink->port = mnl_socket_get_portid(netlink->ask);
	setsockopt(mnl_socket_get_fd(netlink->ask), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (unsigned i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		int group = (int)groups[i];

		if (mnl_socket_setsockopt(netlink->follow, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
			return -errno;
	}
	return 0;
}

int netlink_open(struct event_base *base, struct netlink **out, char *err)
{
	const struct timeval second = {1, 0};
	struct netlink *netlink = calloc(1, sizeof(*netlink));
	int error;

	if (!netlink)
		return -ENOMEM;
	error = open_sockets(netlink);
	if (error) {
		snprintf(err, 256, "no netlink socket: %s", strerror(-error));
		netlink_close(netlink);
		return error;
	}
	dump_all(netlink);
	netlink->changed = netlink->routes_changed = false;
	netlink->readable =
		event_new(base, mnl_socket_get_fd(netlink->follow), EV_READ | EV_PERSIST, on_readable, netlink);
	netlink->tick = event_new(base, -1, EV_PERSIST, on_tick, netlink);
	netlink->settle = event_new(base, -1, 0, on_settle, netlink);
	if (!netlink->readable || !netlink->tick || !netlink->settle || event_add(netlink->readable, NULL) ||
		event_add(netlink->tick, &second)) {
		netlink_close(netlink);
		return -ENOMEM;
	}
	*out = netlink;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	struct event *events[] = {netlink->readable, netlink->tick, netlink->settle};

	for (unsigned i = 0; i < 3; i++)
		if (events[i])
			event_free(events[i]);
	for (unsigned i = 0; i < 1024; i++) {
		while (netlink->neighbours[i]) {
			struct neighbour *next = netlink->neighbours[i]->next;

			free(netlink->neighbours[i]);
			netlink->neighbours[i] = next;
		}
	}
	if (netlink->ask)
		mnl_socket_close(netlink->ask);
	if (netlink->follow)
		mnl_socket_close(netlink->follow);
	free(netlink);
}
