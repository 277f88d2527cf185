// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#include "kg_log.h"
#include "netlink.h"
#include "netlink_private.h"

#define ANSWER_MS 500
#define DUMP_TRIES 5
#define FOLLOW_BYTES (1 << 20)
#define FOLLOW_BURST 256 // messages read at one go
#define BUFFER_BYTES 32768

// --- asking ---------------------------------------------------------------------------------------------------------

struct nlmsghdr *netlink_request(char *buffer, uint16_t type, uint16_t flags, unsigned sequence)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = sequence;
	return header;
}

int netlink_ask(struct netlink *netlink, struct nlmsghdr *header, mnl_cb_t fn, void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[BUFFER_BYTES];
	const bool dump = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	const bool many = dump || header->nlmsg_flags & NLM_F_ACK;
	int more = 1;

	if (mnl_socket_sendto(netlink->ask, header, header->nlmsg_len) < 0)
		return -errno;
	while (more > 0) {
		ssize_t got = mnl_socket_recvfrom(netlink->ask, buffer, sizeof(buffer));

		if (got < 0)
			return -errno;
		if (((struct nlmsghdr *)buffer)->nlmsg_seq != header->nlmsg_seq)
			continue; // the rest of an answer that came too late
		more = mnl_cb_run(buffer, (size_t)got, header->nlmsg_seq, netlink->port, fn, arg);
		if (!many)
			break;
	}
	return more < 0 ? -errno : 0;
}

void netlink_get_addr(const struct nlattr *attr, struct kg_addr *out)
{
	const uint16_t length = mnl_attr_get_payload_len(attr);

	memset(out, 0, sizeof(*out));
	if (length != 4 && length != 16)
		return;
	out->family = length == 4 ? 4 : 6;
	memcpy(out->ip, mnl_attr_get_payload(attr), length);
}

unsigned char netlink_family(const struct kg_addr *addr)
{
	return addr->family == 4 ? AF_INET : AF_INET6;
}

void netlink_put_addr(struct nlmsghdr *header, uint16_t type, const struct kg_addr *addr)
{
	mnl_attr_put(header, type, addr->family == 4 ? 4 : 16, addr->ip);
}

// --- facts: interfaces and addresses --------------------------------------------------------------------------------

static struct link *link_find(const struct facts *facts, int ifindex)
{
	for (unsigned i = 0; i < facts->link_count; i++)
		if (facts->links[i].ifindex == ifindex)
			return &facts->links[i];
	return NULL;
}

const struct link *netlink_link(const struct netlink *netlink, int ifindex)
{
	return link_find(&netlink->facts, ifindex);
}

static const struct link *link_named(const struct facts *facts, const char *name)
{
	for (unsigned i = 0; i < facts->link_count; i++)
		if (strcmp(facts->links[i].name, name) == 0)
			return &facts->links[i];
	return NULL;
}

bool netlink_link_up(const struct netlink *netlink, const char *interface)
{
	const struct link *link = link_named(&netlink->facts, interface);

	return link && link->up && link->running;
}

// Room for one more in a list. Returns: the list, or NULL.
static void *grow(void *list, unsigned count, unsigned *room, size_t size)
{
	void *grown = list;

	if (count < *room)
		return list;
	grown = realloc(list, (*room * 2 + 16) * size);
	if (grown)
		*room = *room * 2 + 16;
	return grown;
}

static void read_link(const struct nlmsghdr *header, struct link *out)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr;

	out->ifindex = info->ifi_index;
	out->loopback = info->ifi_type == ARPHRD_LOOPBACK;
	out->up = info->ifi_flags & IFF_UP;
	out->running = info->ifi_flags & IFF_RUNNING;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == IFLA_IFNAME)
			snprintf(out->name, sizeof(out->name), "%s", mnl_attr_get_str(attr));
		else if (mnl_attr_get_type(attr) == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == 6)
			memcpy(out->mac, mnl_attr_get_payload(attr), 6);
		else if (mnl_attr_get_type(attr) == IFLA_MTU)
			out->mtu = mnl_attr_get_u32(attr) > UINT16_MAX ? UINT16_MAX : (uint16_t)mnl_attr_get_u32(attr);
	}
}

static void take_link(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	struct facts *facts = &netlink->facts;
	struct link *link, was = {0}, *grown;

	if (info->ifi_family != AF_UNSPEC)
		return; // a bridge speaks of its ports
	link = link_find(facts, info->ifi_index);
	if (link) {
		was = *link;
	} else {
		if (header->nlmsg_type == RTM_DELLINK)
			return;
		grown = grow(facts->links, facts->link_count, &facts->link_room, sizeof(*link));
		if (!grown) {
			netlink->stale = true;
			return;
		}
		facts->links = grown;
		link = &facts->links[facts->link_count++];
		memset(link, 0, sizeof(*link));
	}
	if (header->nlmsg_type == RTM_DELLINK)
		*link = facts->links[--facts->link_count];
	else
		read_link(header, link);
	if (header->nlmsg_type == RTM_NEWLINK && memcmp(&was, link, sizeof(was)) == 0)
		return; // its counters, its alias: nothing that we know of
	netlink->changed = netlink->routes_changed = netlink->links_changed = true;
	watches_link_changed(netlink, info->ifi_index);
}

// Can others reach us at it? Not at a link-local one, nor while it is tried for duplicates. A deprecated one serves
// calls that are on it (RFC 4862 5.5.4), and comes last for new ones.
static bool address_serves(const struct ifaddrmsg *info)
{
	const unsigned not_now = IFA_F_TENTATIVE | IFA_F_DADFAILED;

	return info->ifa_family == AF_INET || (info->ifa_scope != RT_SCOPE_LINK && !(info->ifa_flags & not_now));
}

// secondary: of IPv6 that bit says temporary (RFC 8981).
static void take_address(struct netlink *netlink, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(header);
	struct address taken = {
		.ifindex = (int)info->ifa_index, .secondary = info->ifa_flags & (IFA_F_SECONDARY | IFA_F_DEPRECATED)};
	struct facts *facts = &netlink->facts;
	const struct nlattr *attr;
	struct address *grown;
	unsigned i;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			netlink_get_addr(attr, &taken.addr);
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS && !taken.addr.family)
			netlink_get_addr(attr, &taken.addr); // the peer's where there is IFA_LOCAL too
	}
	for (i = 0; i < facts->address_count; i++)
		if (facts->addresses[i].ifindex == taken.ifindex &&
			kg_addr_same_ip(&facts->addresses[i].addr, &taken.addr))
			break;
	if (header->nlmsg_type == RTM_DELADDR || !address_serves(info)) {
		if (i == facts->address_count)
			return;
		memmove(&facts->addresses[i], &facts->addresses[i + 1], (facts->address_count - i - 1) * sizeof(taken));
		facts->address_count--;
	} else if (i < facts->address_count) {
		if (facts->addresses[i].secondary == taken.secondary)
			return; // its lifetime
		facts->addresses[i] = taken;
	} else {
		grown = grow(facts->addresses, facts->address_count, &facts->address_room, sizeof(taken));
		if (!grown) {
			netlink->stale = true;
			return;
		}
		facts->addresses = grown;
		facts->addresses[facts->address_count++] = taken;
	}
	netlink->changed = netlink->routes_changed = true;
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
		watches_take(netlink, header);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
		netlink->routes_changed = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int dump(struct netlink *netlink, uint16_t type)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	int error = 0;

	for (unsigned i = 0; i < DUMP_TRIES; i++) {
		struct nlmsghdr *header = netlink_request(buffer, type, NLM_F_DUMP, ++netlink->sequence);
		struct rtgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));

		generic->rtgen_family = AF_UNSPEC;
		error = netlink_ask(netlink, header, take, netlink);
		if (error != -EINTR) // something changed in the middle of the list: once more
			break;
	}
	return error;
}

// Read interfaces and addresses anew. Where that fails, what was known stays. Returns: 0 or -errno.
static int read_facts(struct netlink *netlink)
{
	struct facts before = netlink->facts;
	int error;

	memset(&netlink->facts, 0, sizeof(netlink->facts));
	netlink->stale = false;
	error = dump(netlink, RTM_GETLINK);
	if (!error)
		error = dump(netlink, RTM_GETADDR);
	if (!error && netlink->stale)
		error = -ENOMEM;
	if (error) {
		struct facts half = netlink->facts;

		netlink->facts = before;
		before = half;
		netlink->stale = true; // the next tick tries again
	}
	free(before.links);
	free(before.addresses);
	return error;
}

static void read_all(struct netlink *netlink)
{
	int error = read_facts(netlink);

	if (error) {
		kg_warn("netlink", "interfaces and addresses could not be read from the kernel (%s): trying again",
			strerror(-error));
		return;
	}
	netlink->changed = netlink->routes_changed = true;
	watches_read_all(netlink);
}

int netlink_addresses(struct netlink *netlink, const char *interface, struct kg_addr *out, unsigned max)
{
	const struct facts *facts = &netlink->facts;
	const struct link *link = link_named(facts, interface);
	unsigned count = 0;

	if (!link)
		return -ENODEV;
	for (unsigned order = 0; order < 4; order++) // IPv4, its secondary ones, IPv6, its temporary ones
		for (unsigned i = 0; i < facts->address_count && count < max; i++) {
			const struct address *address = &facts->addresses[i];

			if (address->ifindex == link->ifindex && address->secondary == (order & 1) &&
				address->addr.family == (order < 2 ? 4 : 6))
				out[count++] = address->addr;
		}
	return (int)count;
}

void netlink_on_change(struct netlink *netlink, void (*fn)(void *arg), void *arg)
{
	netlink->changed_fn = fn;
	netlink->changed_arg = arg;
}

// --- following ------------------------------------------------------------------------------------------------------

// Notifications come in crowds; what follows from them is done when they are all in.
void netlink_work_soon(struct netlink *netlink)
{
	const struct timeval soon = {0, 10000};

	if (!event_pending(netlink->work, EV_TIMEOUT, NULL))
		event_add(netlink->work, &soon);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval next_turn = {0, 0};
	struct netlink *netlink = arg;

	if (netlink->changed) {
		netlink->changed = false;
		if (netlink->changed_fn)
			netlink->changed_fn(netlink->changed_arg);
	}
	if (watches_work(netlink))
		event_add(netlink->work, &next_turn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[BUFFER_BYTES];
	struct netlink *netlink = arg;
	bool drained = false;

	for (unsigned i = 0; i < FOLLOW_BURST && !drained; i++) {
		ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (got > 0)
			mnl_cb_run(buffer, (size_t)got, 0, 0, take, netlink);
		else if (got < 0 && errno == ENOBUFS)
			netlink->stale = true;
		else
			drained = true;
	}
	// Not before all is read: what is older than the answer would be taken for news, and a socket that overflowed
	// drops all that happens until it has been emptied.
	if (netlink->stale && drained)
		read_all(netlink);
	if (!TAILQ_EMPTY(&netlink->pending)) // a next hop: somebody's media waits for it
		on_work(-1, 0, netlink);
	else if (netlink->changed || netlink->routes_changed)
		netlink_work_soon(netlink);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct netlink *netlink = arg;

	if (netlink->stale)
		on_readable(mnl_socket_get_fd(netlink->follow), EV_READ, netlink);
	if (netlink->links_changed && !netlink->routes_changed) {
		netlink->links_changed = false;
		netlink->routes_changed = true;
		netlink_work_soon(netlink);
	}
	watches_tick(netlink);
}

// --- opening --------------------------------------------------------------------------------------------------------

static int open_sockets(struct netlink *netlink)
{
	const unsigned groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE};
	const struct timeval patience = {0, ANSWER_MS * 1000};
	const int room = FOLLOW_BYTES;
	int fd;

	netlink->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	netlink->follow = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netlink->ask || !netlink->follow || mnl_socket_bind(netlink->ask, 0, MNL_SOCKET_AUTOPID) ||
		mnl_socket_bind(netlink->follow, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	netlink->port = mnl_socket_get_portid(netlink->ask);
	setsockopt(mnl_socket_get_fd(netlink->ask), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	fd = mnl_socket_get_fd(netlink->follow);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
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
	int error = netlink ? 0 : -ENOMEM;

	*out = NULL;
	if (error)
		goto out;
	watches_init(netlink);
	error = open_sockets(netlink);
	if (!error)
		error = read_facts(netlink);
	if (error)
		goto out;
	netlink->changed = netlink->routes_changed = netlink->links_changed = false;
	netlink->readable =
		event_new(base, mnl_socket_get_fd(netlink->follow), EV_READ | EV_PERSIST, on_readable, netlink);
	netlink->tick = event_new(base, -1, EV_PERSIST, on_tick, netlink);
	netlink->work = event_new(base, -1, 0, on_work, netlink);
	if (base && netlink->readable && netlink->work) { // before SIP: an answer that leaves now brings media at once
		event_priority_set(netlink->readable, 0);
		event_priority_set(netlink->work, 0);
	}
	if (!netlink->readable || !netlink->tick || !netlink->work || event_add(netlink->readable, NULL) ||
		event_add(netlink->tick, &second))
		error = -ENOMEM;
out:
	if (error) {
		snprintf(
			err, 256, "the kernel's interfaces and routes cannot be read by netlink: %s", strerror(-error));
		netlink_close(netlink);
		return error;
	}
	*out = netlink;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	struct event *events[3];

	if (!netlink)
		return;
	memcpy(events, (struct event *[]){netlink->readable, netlink->tick, netlink->work}, sizeof(events));
	for (unsigned i = 0; i < 3; i++)
		if (events[i])
			event_free(events[i]);
	watches_fini(netlink);
	if (netlink->ask)
		mnl_socket_close(netlink->ask);
	if (netlink->follow)
		mnl_socket_close(netlink->follow);
	free(netlink->facts.links);
	free(netlink->facts.addresses);
	free(netlink);
}
