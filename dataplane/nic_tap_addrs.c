// SPDX-License-Identifier: BSD-3-Clause
// Addresses of a TAP, by one netlink message each: ioctl knows neither secondary addresses without a label nor nodad.

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nic_tap.h"

struct message {
	struct nlmsghdr header;
	struct ifaddrmsg address;
	char attributes[128];
};

static void put(struct message *message, unsigned short type, const void *data, unsigned length)
{
	struct rtattr *at = (void *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));

	at->rta_type = type;
	at->rta_len = (unsigned short)RTA_LENGTH(length);
	memcpy(RTA_DATA(at), data, length);
	message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

// Send it and take the kernel's answer. Returns: 0 or -errno.
static int carry_out(const struct message *message)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = 0;
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	ssize_t got;

	if (fd < 0)
		return -errno;
	if (send(fd, message, message->header.nlmsg_len, 0) < 0)
		error = -errno;
	got = error ? 0 : recv(fd, &answer, sizeof(answer), 0);
	if (got < 0)
		error = -errno;
	else if (!error &&
		 (got < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) || answer.header.nlmsg_type != NLMSG_ERROR))
		error = -EPROTO;
	close(fd);
	return error ? error : answer.error.error;
}

int nic_tap_address(int ifindex, const struct nic_tap_addr *addr, bool add)
{
	const unsigned length = addr->addr.family == 4 ? 4 : 16;
	struct message message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
					  .nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR,
					  .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK |
									  (add ? NLM_F_CREATE | NLM_F_REPLACE : 0))},
		.address = {.ifa_family = addr->addr.family == 4 ? AF_INET : AF_INET6,
			.ifa_prefixlen = addr->prefix,
			.ifa_flags = IFA_F_NODAD,
			.ifa_index = (unsigned)ifindex}};

	put(&message, IFA_LOCAL, addr->addr.ip, length);
	put(&message, IFA_ADDRESS, addr->addr.ip, length);
	return carry_out(&message);
}
