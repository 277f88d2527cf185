// SPDX-License-Identifier: BSD-3-Clause
// The kernel's answer to "which way to that address?".

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "netlink.h"
#include "netlink_private.h"

struct route_answer {
	struct netlink_route route;
	unsigned char type;
};

// The gateway of a route to the other family: IPv4 through an IPv6 neighbour (RFC 5549).
static void get_via(const struct nlattr *attr, struct kg_addr *out)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);

	memset(out, 0, sizeof(*out));
	if (mnl_attr_get_payload_len(attr) != sizeof(*via) + 16 || via->rtvia_family != AF_INET6)
		return;
	out->family = 6;
	memcpy(out->ip, via->rtvia_addr, 16);
}

static int take_route(const struct nlmsghdr *header, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(header);
	struct route_answer *answer = arg;
	const struct nlattr *attr;

	if (header->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	answer->type = info->rtm_type;
	mnl_attr_for_each(attr, header, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF)
			answer->route.ifindex = (int)mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == RTA_PREFSRC)
			netlink_get_addr(attr, &answer->route.source);
		else if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			netlink_get_addr(attr, &answer->route.next_hop);
		else if (mnl_attr_get_type(attr) == RTA_VIA)
			get_via(attr, &answer->route.next_hop);
	}
	return MNL_CB_OK;
}

static int route_error(int error)
{
	switch (error) {
	case -EHOSTUNREACH: // a route of type unreachable
		return -EHOSTUNREACH;
	case -ENETUNREACH: // none
	case -EACCES:      // a route of type prohibit
	case -EINVAL:      // a route of type blackhole, or a source that is not ours
		return -ENETUNREACH;
	default:
		return -EIO;
	}
}

// Of IPv6, RTA_PREFSRC is what the kernel would choose, also where a source was given.
static int ask_route(struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source,
	struct route_answer *answer)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *header = netlink_request(buffer, RTM_GETROUTE, 0, ++netlink->sequence);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	int error;

	memset(answer, 0, sizeof(*answer));
	answer->type = RTN_UNSPEC;
	answer->route.next_hop = *target;
	answer->route.next_hop.port = 0;
	info->rtm_family = netlink_family(target);
	info->rtm_dst_len = target->family == 4 ? 32 : 128;
	netlink_put_addr(header, RTA_DST, target);
	if (source) {
		info->rtm_src_len = info->rtm_dst_len;
		netlink_put_addr(header, RTA_SRC, source);
	}
	error = netlink_ask(netlink, header, take_route, answer);
	if (source) {
		answer->route.source = *source;
		answer->route.source.port = 0;
	}
	return error;
}

// Is the address one of this machine's?
static bool is_ours(struct netlink *netlink, const struct kg_addr *addr)
{
	struct route_answer answer;

	return ask_route(netlink, addr, NULL, &answer) == 0 && answer.type == RTN_LOCAL;
}

int netlink_route(
	struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source, struct netlink_route *out)
{
	struct route_answer answer;
	const struct link *link;
	int error;

	memset(out, 0, sizeof(*out));
	if (source && !source->family)
		source = NULL;
	if (!target->family || (source && source->family != target->family))
		return -ENETUNREACH;
	if (source && source->family == 6 && !is_ours(netlink, source)) // of IPv4 the kernel looks itself
		return -ENETUNREACH;
	error = ask_route(netlink, target, source, &answer);
	if (error)
		return route_error(error);
	link = netlink_link(netlink, answer.route.ifindex);
	if (!link || !answer.route.source.family || !answer.route.next_hop.family ||
		(answer.type != RTN_UNICAST && answer.type != RTN_LOCAL)) // media goes to one host
		return -ENETUNREACH;
	*out = answer.route;
	snprintf(out->interface, sizeof(out->interface), "%s", link->name);
	return 0;
}
