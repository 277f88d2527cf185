// SPDX-License-Identifier: BSD-3-Clause
// IPv6 addresses, routes and neighbours as the kernel tells them, and IPv4 that goes through an IPv6 neighbour.

#include "netlink_rig.h"

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

static int setup_6(void **state)
{
	int error = setup(state);

	shell("ip addr add 2001:db8::1/64 dev va nodad");
	shell("nsenter -t %d -n ip addr add 2001:db8::2/64 dev vb nodad", (int)peer);
	settle();
	return error;
}

static void addresses_that_serve(void **state)
{
	struct kg_addr addrs[8];

	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 2); // and not fe80::
	assert_addr(&addrs[0], "192.0.2.1");
	assert_addr(&addrs[1], "2001:db8::1");
	shell("sysctl -qw net.ipv6.conf.va.accept_dad=1 net.ipv6.conf.va.dad_transmits=1");
	shell("ip addr add 2001:db8::9/64 dev va");                       // still tried for duplicates
	shell("ip addr add 2001:db8::8/64 dev va nodad preferred_lft 0"); // about to go
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 3);
	while (netlink_addresses(netlink, "va", addrs, 8) < 4)
		assert_true(reaches(&changes, changes + 1));
	assert_addr(&addrs[2], "2001:db8::9"); // now it serves, and that was told
	assert_addr(&addrs[3], "2001:db8::8");
	shell("ip addr del 2001:db8::1/64 dev va");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 3);
	assert_addr(&addrs[1], "2001:db8::9");
	assert_int_equal(netlink_addresses(netlink, "lo", addrs, 8), 2);
	assert_addr(&addrs[0], "127.0.0.1");
	assert_addr(&addrs[1], "::1");
}

// One that another host has fails its trial, and never serves.
static void address_of_another_host(void **state)
{
	struct kg_addr addrs[8];

	shell("sysctl -qw net.ipv6.conf.va.accept_dad=1 net.ipv6.conf.va.dad_transmits=1");
	shell("ip addr add 2001:db8::2/64 dev va");
	shell("until ip addr show dev va | grep 'db8::2/64' | grep -q dadfailed; do sleep 0.05; done");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 2);
	assert_addr(&addrs[1], "2001:db8::1");
}

static void temporary_ones_are_last(void **state)
{
	struct kg_addr addrs[8];

	shell("sysctl -qw net.ipv6.conf.va.use_tempaddr=1");
	shell("ip addr add 2001:db8:7::7/64 dev va mngtmpaddr nodad");
	shell("until ip addr show dev va temporary -tentative | grep -q 2001:db8:7; do sleep 0.05; done");
	shell("ip addr add 2001:db8::4/64 dev va nodad && ip addr add 192.0.2.4/24 dev va");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 6);
	assert_addr(&addrs[0], "192.0.2.1");
	assert_addr(&addrs[1], "192.0.2.4");
	assert_addr(&addrs[2], "2001:db8::1");
	assert_addr(&addrs[3], "2001:db8:7::7");
	assert_addr(&addrs[4], "2001:db8::4");
	assert_int_equal(addrs[5].family, 6);
	assert_memory_equal(addrs[5].ip, addrs[3].ip, 8); // of the same prefix, made up by the kernel
}

static void routes(void **state)
{
	struct netlink_route out;

	shell("ip addr add 2001:db8::3/64 dev va nodad && ip route add 2001:db8:1::/48 via 2001:db8::fe");
	shell("ip route add 2001:db8:2::/48 via fe80::1 dev va && ip route add unreachable 2001:db8:3::/48");
	assert_int_equal(route("2001:db8::9", NULL, &out), 0);
	assert_addr(&out.next_hop, "2001:db8::9");
	assert_string_equal(out.interface, "va");
	assert_int_equal(route("2001:db8:1::5", "2001:db8::3", &out), 0);
	assert_addr(&out.next_hop, "2001:db8::fe");
	assert_addr(&out.source, "2001:db8::3");
	assert_int_equal(route("2001:db8:2::5", NULL, &out), 0);
	assert_addr(&out.next_hop, "fe80::1");
	assert_int_equal(route("2001:db8::9", "2001:db8::1", &out), 0);
	assert_addr(&out.source, "2001:db8::1"); // though the kernel would choose the newer one
	assert_int_equal(route("2001:db8:3::5", NULL, &out), -EHOSTUNREACH);
	assert_int_equal(route("2001:db8:4::5", NULL, &out), -ENETUNREACH);         // none
	assert_int_equal(route("2001:db8::9", "2001:db8::77", &out), -ENETUNREACH); // from what is not ours
	assert_int_equal(route("ff05::1", NULL, &out), -ENETUNREACH);               // to a group
	assert_int_equal(route("2001:db8::9", "192.0.2.1", &out), -ENETUNREACH);
	assert_int_equal(route("2001:db8::1", NULL, &out), 0); // ourselves
	assert_string_equal(out.interface, "lo");
}

static void the_kernel_resolves(void **state)
{
	struct told told;

	watch(&told, "2001:db8::2", "2001:db8::1");
	while (!told.hop.resolved)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	assert_mac(told.hop.source_mac, "02:00:00:00:00:01");
	netlink_watch_destroy(told.watch);
}

static void a_neighbour_changes(void **state)
{
	struct told told;

	shell("ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev va");
	settle();
	watch(&told, "2001:db8::9", NULL);
	assert_true(told.hop.resolved);
	shell("ip neigh replace 2001:db8::9 lladdr 02:00:00:00:00:0a dev va");
	assert_true(reaches(&told.count, 1));
	assert_mac(told.hop.target_mac, "02:00:00:00:00:0a");
	shell("ip link set va mtu 1400");
	assert_true(reaches(&told.count, 2));
	assert_int_equal(told.hop.mtu, 1400);
	shell("ip neigh del 2001:db8::9 dev va");
	assert_true(reaches(&told.count, 3));
	assert_false(told.hop.resolved);
	netlink_watch_destroy(told.watch);
}

static void a_link_local_gateway_is_found(void **state)
{
	struct told told;

	shell("nsenter -t %d -n ip addr add fe80::22/64 dev vb nodad", (int)peer);
	shell("ip route add 2001:db8:2::/48 via fe80::22 dev va");
	settle();
	watch(&told, "2001:db8:2::7", NULL);
	while (!told.hop.resolved)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	shell("ip route replace 2001:db8:2::/48 via 2001:db8::77 dev va"); // nobody is there
	assert_true(reaches(&told.count, told.count + 1));
	assert_false(told.hop.resolved);
	netlink_watch_destroy(told.watch);
}

static void ipv4_through_an_ipv6_neighbour(void **state)
{
	struct told told;

	shell("ip route add 198.51.100.0/24 via inet6 2001:db8::2 dev va");
	settle();
	watch(&told, "198.51.100.9", NULL);
	while (!told.hop.resolved)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_6, teardown)
	const struct CMUnitTest tests[] = {
		CASE(addresses_that_serve),
		CASE(address_of_another_host),
		CASE(temporary_ones_are_last),
		CASE(routes),
		CASE(the_kernel_resolves),
		CASE(a_neighbour_changes),
		CASE(a_link_local_gateway_is_found),
		CASE(ipv4_through_an_ipv6_neighbour),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs root, for network namespaces of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
