// SPDX-License-Identifier: BSD-3-Clause
// What changes while it is watched: addresses, interfaces, neighbours, the loopback; each for IPv4 and IPv6.

#include "netlink_rig.h"

struct family {
	uint8_t number;
	const char *ours, *second, *peer, *fixed; // fixed: a neighbour that the test sets by hand
	unsigned prefix;
};

static struct family ip4 = {4, "192.0.2.1", "192.0.2.3", "192.0.2.2", "192.0.2.9", 24};
static struct family ip6 = {6, "2001:db8::1", "2001:db8::3", "2001:db8::2", "2001:db8::9", 64};

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

static int setup_both(void **state)
{
	int error = setup(state);

	shell("sysctl -qw net.ipv6.conf.va.keep_addr_on_down=1");
	shell("ip addr add 2001:db8::1/64 dev va nodad");
	shell("nsenter -t %d -n sh -c 'sysctl -qw net.ipv6.conf.vb.ndisc_notify=1 "
	      "net.ipv4.conf.vb.arp_notify=1; ip addr add 2001:db8::2/64 dev vb nodad'",
		(int)peer);
	settle();
	return error;
}

static void address(const char *what, const struct family *family, const char *ip)
{
	shell("ip addr %s %s/%u dev va %s", what, ip, family->prefix,
		family->number == 6 && strcmp(what, "add") == 0 ? "nodad" : "");
}

static bool has_address(const char *interface, const char *ip)
{
	struct kg_addr addrs[16], wanted = addr_of(ip);
	int count = netlink_addresses(netlink, interface, addrs, 16);

	for (int i = 0; i < count; i++)
		if (kg_addr_same_ip(&addrs[i], &wanted))
			return true;
	return false;
}

// Turn the loop until the watch was told that its hop is resolved, or that it is not.
static void becomes(struct told *told, bool resolved)
{
	while (told->hop.resolved != resolved)
		assert_true(reaches(&told->count, told->count + 1));
}

static void until_link_up(const char *interface, bool up)
{
	while (netlink_link_up(netlink, interface) != up)
		assert_true(reaches(&changes, changes + 1));
}

// --- addresses ------------------------------------------------------------------------------------------------------

static void source_goes_and_comes(void **state)
{
	const struct family *family = *state;
	struct told told, other;

	address("add", family, family->second);
	settle();
	watch(&told, family->peer, family->second);
	watch(&other, family->peer, family->ours);
	becomes(&told, true);
	becomes(&other, true);
	assert_true(has_address("va", family->second));

	other.count = 0;
	address("del", family, family->second);
	becomes(&told, false);
	assert_int_equal(told.ifindex, 0);
	settle();
	assert_false(has_address("va", family->second));
	assert_int_equal(other.count, 0);

	address("add", family, family->second);
	becomes(&told, true);
	assert_mac(told.hop.target_mac, PEER_MAC);
	assert_true(has_address("va", family->second));
	netlink_watch_destroy(told.watch);
	netlink_watch_destroy(other.watch);
}

// Its prefix goes with it, and the way to the peer.
static void last_address_goes_and_comes(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, NULL);
	becomes(&told, true);
	address("del", family, family->ours);
	becomes(&told, false);
	settle();
	assert_int_equal(told.ifindex, 0);
	assert_false(has_address("va", family->ours));
	address("add", family, family->ours);
	becomes(&told, true);
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

// --- interfaces -----------------------------------------------------------------------------------------------------

static void interface_goes_down_and_up(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, family->ours);
	becomes(&told, true);
	assert_true(netlink_link_up(netlink, "va"));
	shell("ip link set va down");
	becomes(&told, false);
	assert_false(netlink_link_up(netlink, "va"));
	settle();
	assert_int_equal(told.ifindex, 0);
	shell("ip link set va up");
	becomes(&told, true);
	assert_mac(told.hop.target_mac, PEER_MAC);
	until_link_up("va", true);
	netlink_watch_destroy(told.watch);
}

// The interface is up, but nothing is at the other end.
static void carrier_goes_and_comes(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, NULL);
	becomes(&told, true);
	shell("nsenter -t %d -n sh -c 'sysctl -qw net.ipv6.conf.vb.keep_addr_on_down=1; ip link set vb down'",
		(int)peer);
	until_link_up("va", false);
	becomes(&told, false);
	shell("nsenter -t %d -n ip link set vb up", (int)peer);
	until_link_up("va", true);
	becomes(&told, true);
	assert_false(netlink_link_up(netlink, "nothing"));
	netlink_watch_destroy(told.watch);
}

static void mtu_changes(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, NULL);
	becomes(&told, true);
	assert_int_equal(told.hop.mtu, 1500);
	shell("ip link set va mtu 1400");
	while (told.hop.mtu != 1400)
		assert_true(reaches(&told.count, told.count + 1));
	assert_true(told.hop.resolved);
	netlink_watch_destroy(told.watch);
}

// The kernel tells of a link before it drops the link's routes: ways are asked for once more at the next tick.
static void link_change_is_looked_at_twice(void **state)
{
	unsigned before;

	settle();
	netlink->links_changed = false;
	shell("ip link set va mtu 1400");
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(netlink->links_changed);
	settle();
	before = netlink->sweep_number;
	netlink->links_changed = true;
	assert_true(reaches(&netlink->sweep_number, before + 1));
	assert_false(netlink->links_changed);
}

// --- neighbours -----------------------------------------------------------------------------------------------------

// The peer gets another card, and says so (gratuitous ARP, unsolicited advertisement).
static void peer_changes_its_mac(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, NULL);
	becomes(&told, true);
	shell("nsenter -t %d -n ip link set vb address 02:00:00:00:00:22", (int)peer);
	while (!told.hop.resolved || told.hop.target_mac[5] != 0x22)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, "02:00:00:00:00:22");
	netlink_watch_destroy(told.watch);
}

// Our own MAC changes: the kernel forgets its neighbours, and finds them again.
static void our_mac_changes(void **state)
{
	const struct family *family = *state;
	struct told told;

	watch(&told, family->peer, NULL);
	becomes(&told, true);
	shell("ip link set va address 02:00:00:00:00:aa");
	while (!told.hop.resolved || told.hop.source_mac[5] != 0xaa)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

// Media goes past the kernel: watched neighbours are confirmed every 30 s, but for those that somebody set by hand.
static void neighbours_are_refreshed(void **state)
{
	const struct family *family = *state;
	struct told told, fixed;

	shell("ip neigh add %s lladdr 02:00:00:00:00:09 dev va", family->fixed);
	watch(&told, family->peer, NULL);
	watch(&fixed, family->fixed, NULL);
	becomes(&told, true);
	shell("ip neigh replace %s lladdr " PEER_MAC " dev va nud stale", family->peer);
	for (unsigned second = 0; second < 25; second++)
		watches_tick(netlink);
	shell("ip neigh show %s dev va | grep -q STALE", family->peer);
	for (unsigned second = 25; second < 31; second++)
		watches_tick(netlink);
	shell("ip neigh show %s dev va | grep -Eq 'DELAY|PROBE|REACHABLE'", family->peer);
	shell("ip neigh show %s dev va | grep -q PERMANENT", family->fixed);
	settle();
	assert_true(told.hop.resolved);
	assert_int_equal(fixed.count, 0);
	netlink_watch_destroy(told.watch);
	netlink_watch_destroy(fixed.watch);
}

// A peer that no longer answers is lost, one that answers again is found.
static void peer_goes_and_comes(void **state)
{
	const struct family *family = *state;
	struct told told;

	shell("sysctl -qw net.ipv%u.neigh.va.retrans_time_ms=20", family->number);
	watch(&told, family->peer, NULL);
	becomes(&told, true);
	shell("nsenter -t %d -n ip addr del %s/%u dev vb", (int)peer, family->peer, family->prefix);
	shell("ip neigh replace %s lladdr " PEER_MAC " dev va nud probe", family->peer);
	becomes(&told, false);
	shell("nsenter -t %d -n ip addr add %s/%u dev vb", (int)peer, family->peer, family->prefix);
	becomes(&told, true);
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

// --- the loopback ---------------------------------------------------------------------------------------------------

static void our_own_address_is_through_lo(void **state)
{
	const struct family *family = *state;
	struct netlink_route out;
	struct told told;

	assert_int_equal(route(family->ours, family->ours, &out), 0);
	assert_string_equal(out.interface, "lo");
	watch(&told, family->ours, NULL);
	assert_true(told.hop.resolved);
	assert_mac(told.hop.target_mac, "00:00:00:00:00:00");
	assert_mac(told.hop.source_mac, "00:00:00:00:00:00");
	assert_int_equal(told.hop.mtu, 65535); // lo's 65536, as far as we count
	shell("ip link set lo mtu 9000");
	while (told.hop.mtu != 9000)
		assert_true(reaches(&told.count, told.count + 1));
	shell("ip link set lo down");
	becomes(&told, false);
	shell("ip link set lo up");
	becomes(&told, true);
	address("del", family, family->ours); // now it may be anybody's
	becomes(&told, false);
	assert_int_not_equal(told.ifindex, (int)if_nametoindex("lo"));
	netlink_watch_destroy(told.watch);
}

static void loopback_addresses(void **state)
{
	const char *ip = ((const struct family *)*state)->number == 4 ? "127.0.0.1" : "::1";
	struct netlink_route out;
	struct told told;

	assert_true(has_address("lo", ip));
	assert_true(netlink_link_up(netlink, "lo"));
	assert_int_equal(route(ip, ip, &out), 0);
	assert_string_equal(out.interface, "lo");
	assert_addr(&out.source, ip);
	assert_addr(&out.next_hop, ip);
	watch(&told, ip, NULL);
	assert_true(told.hop.resolved);
	assert_mac(told.hop.target_mac, "00:00:00:00:00:00");
	netlink_watch_destroy(told.watch);
}

int main(void)
{
#define CASE(name, family)                                               \
	{                                                                \
#name " " #family, name, setup_both, teardown, &(family) \
	}
#define BOTH(name) CASE(name, ip4), CASE(name, ip6)
	const struct CMUnitTest tests[] = {
		BOTH(source_goes_and_comes),
		BOTH(last_address_goes_and_comes),
		BOTH(interface_goes_down_and_up),
		BOTH(carrier_goes_and_comes),
		BOTH(mtu_changes),
		CASE(link_change_is_looked_at_twice, ip4),
		BOTH(peer_changes_its_mac),
		BOTH(our_mac_changes),
		BOTH(neighbours_are_refreshed),
		BOTH(peer_goes_and_comes),
		BOTH(our_own_address_is_through_lo),
		BOTH(loopback_addresses),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs root, for network namespaces of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
