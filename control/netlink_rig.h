// SPDX-License-Identifier: BSD-3-Clause
// What the netlink tests stand on: the real kernel, in a network namespace of the test's own; its peer is a child that
// sits in another one. Both vanish with the processes. Needs root.
#pragma once

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "kg_log.h"
#include "netlink.h"
#include "netlink_private.h"

#define PATIENCE_S 10 // how long the kernel may take; nothing is asserted of time
#define PEER_MAC "02:00:00:00:00:02"

static struct event_base *base;
static struct netlink *netlink;
static pid_t peer;
static unsigned changes;

// What one watch was told.
struct told {
	struct netlink_watch *watch;
	struct kg_media_hop hop;
	int ifindex;
	unsigned count;
};

// --- tools ----------------------------------------------------------------------------------------------------------

static inline void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void shell(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline struct kg_addr addr_of(const char *text)
{
	struct kg_addr addr;

	assert_int_equal(kg_addr_parse(&addr, text, 0), 0);
	return addr;
}

static inline void assert_addr(const struct kg_addr *addr, const char *expected)
{
	char text[KG_ADDR_STRLEN];

	assert_string_equal(kg_addr_ip(addr, text, sizeof(text)), expected);
}

static inline void assert_mac(const uint8_t *mac, const char *expected)
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	assert_string_equal(text, expected);
}

static inline void on_end(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

// Turn the loop until *counter reaches `wanted`. Returns: did it?
static inline bool reaches(const unsigned *counter, unsigned wanted)
{
	const struct timeval patience = {PATIENCE_S, 0};
	bool over = false;
	struct event *end = event_new(base, -1, 0, on_end, &over);

	event_add(end, &patience);
	while (*counter < wanted && !over)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(end);
	return *counter >= wanted;
}

static inline void on_change(void *arg)
{
	changes++;
}

// Turn the loop until all that the kernel has told so far is carried out: an address that comes is told after it.
static inline void settle(void)
{
	unsigned before = changes;

	shell("ip addr add 203.0.113.1/32 dev lo");
	assert_true(reaches(&changes, before + 1));
	before = changes;
	shell("ip addr del 203.0.113.1/32 dev lo");
	assert_true(reaches(&changes, before + 1));
	for (unsigned i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	netlink->links_changed = false; // the second look would find what was not told
}

static inline void on_hop(const struct kg_media_hop *hop, int ifindex, void *arg)
{
	struct told *told = arg;

	told->hop = *hop;
	told->ifindex = ifindex;
	told->count++;
}

static inline void watch(struct told *told, const char *target, const char *source)
{
	struct kg_addr to = addr_of(target), from = addr_of(source ? source : "0.0.0.0");

	memset(told, 0, sizeof(*told));
	told->watch = netlink_watch_create(netlink, &to, source ? &from : NULL, on_hop, told, &told->hop);
	assert_non_null(told->watch);
}

static inline pid_t start_peer(void)
{
	int ready[2];
	char byte = 1;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0 || write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static inline int setup(void **state)
{
	char err[256] = "";

	changes = 0;
	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	peer = start_peer();
	shell("ip link set lo up && sysctl -qw net.ipv6.conf.default.accept_dad=0"); // nobody has to wait for trials
	shell("nsenter -t %d -n sysctl -qw net.ipv6.conf.default.accept_dad=0", (int)peer);
	shell("ip link add va address 02:00:00:00:00:01 type veth peer name vb address " PEER_MAC);
	shell("ip link set vb netns %d", (int)peer);
	shell("ip addr add 192.0.2.1/24 dev va && ip link set va up");
	shell("nsenter -t %d -n sh -c 'ip addr add 192.0.2.2/24 dev vb; ip link set vb up'", (int)peer);
	base = event_base_new();
	assert_int_equal(netlink_open(base, &netlink, err), 0);
	netlink_on_change(netlink, on_change, NULL);
	return 0;
}

static inline int teardown(void **state)
{
	netlink_close(netlink);
	event_base_free(base);
	kill(peer, SIGKILL);
	return 0;
}

static inline int route(const char *target, const char *source, struct netlink_route *out)
{
	struct kg_addr to = addr_of(target), from = addr_of(source ? source : "0.0.0.0");

	return netlink_route(netlink, &to, source ? &from : NULL, out);
}
