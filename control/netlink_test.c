// SPDX-License-Identifier: BSD-3-Clause
// Interfaces, IPv4 addresses, routes and neighbours as the kernel tells them (IPv6: netlink_ip6_test.c).

#include "netlink_rig.h"

#define MANY 10000

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
}

// --- addresses and routes -------------------------------------------------------------------------------------------

static void test_addresses(void **state)
{
	struct kg_addr addrs[8];
	unsigned before = changes;

	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 1);
	assert_addr(&addrs[0], "192.0.2.1");
	assert_int_equal(netlink_addresses(netlink, "nothing", addrs, 8), -ENODEV);

	shell("ip addr add 192.0.2.3/24 dev va && ip addr add 198.51.100.1/24 dev va");
	assert_true(reaches(&changes, before + 1));
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 3);
	assert_addr(&addrs[0], "192.0.2.1"); // the primary ones before the secondary one
	assert_addr(&addrs[1], "198.51.100.1");
	assert_addr(&addrs[2], "192.0.2.3");
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 2), 2);

	shell("ip addr del 192.0.2.1/24 dev va"); // takes the secondary one with it
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 1);
	assert_addr(&addrs[0], "198.51.100.1");
	shell("ip link del va");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), -ENODEV);
}

static void test_change_is_told_only_where_there_is_one(void **state)
{
	settle();
	shell("ip link set va alias something && ip link set va txqueuelen 100");
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_false(netlink->changed || netlink->routes_changed);
	shell("ip link set va mtu 1400");
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(netlink->changed);
}

static void test_port_that_leaves_a_bridge_is_no_lost_link(void **state)
{
	struct kg_addr addrs[8];
	struct told told;

	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va && ip link add name br0 type bridge");
	settle();
	watch(&told, "192.0.2.9", NULL);
	shell("ip link set va master br0 && ip link set va nomaster");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 1);
	assert_true(told.hop.resolved);
	assert_int_equal(told.count, 0);
	netlink_watch_destroy(told.watch);
}

static void test_routes(void **state)
{
	struct kg_addr six;
	struct netlink_route out;

	shell("ip addr add 192.0.2.3/24 dev va");
	shell("ip route add 198.51.100.0/24 via 192.0.2.254 && ip route add 203.0.113.0/24 via 192.0.2.254 src "
	      "192.0.2.3");
	shell("ip route add unreachable 10.1.0.0/16 && ip route add prohibit 10.2.0.0/16");
	shell("ip route add blackhole 10.3.0.0/16");
	settle();

	assert_int_equal(route("192.0.2.2", NULL, &out), 0);
	assert_string_equal(out.interface, "va");
	assert_addr(&out.source, "192.0.2.1");
	assert_addr(&out.next_hop, "192.0.2.2");

	assert_int_equal(route("198.51.100.7", NULL, &out), 0);
	assert_addr(&out.next_hop, "192.0.2.254");
	assert_int_equal(route("203.0.113.7", NULL, &out), 0);
	assert_addr(&out.source, "192.0.2.3");
	assert_int_equal(route("198.51.100.7", "192.0.2.3", &out), 0);
	assert_addr(&out.source, "192.0.2.3");

	assert_int_equal(route("192.0.2.1", NULL, &out), 0);
	assert_string_equal(out.interface, "lo");

	assert_int_equal(route("10.9.0.1", NULL, &out), -ENETUNREACH);
	assert_int_equal(route("10.1.0.1", NULL, &out), -EHOSTUNREACH);
	assert_int_equal(route("10.2.0.1", NULL, &out), -ENETUNREACH);
	assert_int_equal(route("10.3.0.1", NULL, &out), -ENETUNREACH);
	assert_int_equal(route("192.0.2.2", "10.9.9.9", &out), -ENETUNREACH); // from an address that is not ours
	assert_int_equal(route("192.0.2.255", NULL, &out), -ENETUNREACH);     // to everybody
	assert_int_equal(route("224.0.0.5", NULL, &out), -ENETUNREACH);
	assert_int_equal(out.ifindex, 0);
	assert_int_equal(kg_addr_parse(&six, "2001:db8::1", 0), 0);
	assert_int_equal(netlink_route(netlink, &six, NULL, &out), -ENETUNREACH);
}

// The kernel's rules count: another table for one source.
static void test_rules(void **state)
{
	struct netlink_route out;
	struct told told;

	shell("ip addr add 192.0.2.3/24 dev va && ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va");
	watch(&told, "198.51.100.7", "192.0.2.3");
	assert_false(told.hop.resolved);
	shell("ip route add default via 192.0.2.9 table 7 && ip rule add from 192.0.2.3 table 7");
	assert_true(reaches(&told.count, 1));
	assert_mac(told.hop.target_mac, "02:00:00:00:00:09");
	assert_int_equal(route("198.51.100.7", "192.0.2.3", &out), 0);
	assert_addr(&out.next_hop, "192.0.2.9");
	assert_int_equal(route("198.51.100.7", "192.0.2.1", &out), -ENETUNREACH);
	shell("ip rule del from 192.0.2.3 table 7");
	assert_true(reaches(&told.count, 2));
	assert_false(told.hop.resolved);
	netlink_watch_destroy(told.watch);
}

// --- watches --------------------------------------------------------------------------------------------------------

static void test_watch_knows_at_once(void **state)
{
	struct told told, loopback;

	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va && ip link set va mtu 1400");
	settle();
	watch(&told, "192.0.2.9", "192.0.2.1");
	assert_true(told.hop.resolved);
	assert_mac(told.hop.target_mac, "02:00:00:00:00:09");
	assert_mac(told.hop.source_mac, "02:00:00:00:00:01");
	assert_int_equal(told.hop.mtu, 1400);
	watch(&loopback, "192.0.2.1", NULL);
	assert_true(loopback.hop.resolved);
	assert_mac(loopback.hop.target_mac, "00:00:00:00:00:00");
	settle();
	assert_int_equal(told.count + loopback.count, 0); // nothing changed: nothing to tell
	netlink_watch_destroy(told.watch);
	netlink_watch_destroy(loopback.watch);
}

// The kernel finds the peer because somebody watches it.
static void test_kernel_resolves(void **state)
{
	struct told told, gateway;

	watch(&told, "192.0.2.2", NULL);
	if (!told.hop.resolved)
		assert_true(reaches(&told.count, 1));
	assert_true(told.hop.resolved);
	assert_mac(told.hop.target_mac, PEER_MAC);

	shell("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(&gateway, "198.51.100.9", NULL);
	assert_true(gateway.hop.resolved); // the neighbour is known already
	assert_mac(gateway.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
	netlink_watch_destroy(gateway.watch);
}

// A neighbour that comes later is found by asking again, and again after the kernel gave up.
static void test_asks_again(void **state)
{
	struct told told;

	shell("sysctl -qw net.ipv4.neigh.va.retrans_time_ms=20"); // INCOMPLETE becomes FAILED before it comes
	watch(&told, "192.0.2.50", NULL);
	assert_false(told.hop.resolved);
	settle();
	shell("until ip neigh show 192.0.2.50 dev va | grep -q FAILED; do :; done");
	settle();
	shell("nsenter -t %d -n ip addr add 192.0.2.50/24 dev vb", (int)peer);
	assert_true(reaches(&told.count, 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

static void test_neighbour_changes(void **state)
{
	struct told told;

	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va");
	settle();
	watch(&told, "192.0.2.9", NULL);
	shell("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev va");
	assert_true(reaches(&told.count, 1));
	assert_mac(told.hop.target_mac, "02:00:00:00:00:0a");
	shell("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev va nud stale"); // still good
	settle();
	assert_int_equal(told.count, 1);
	assert_true(told.hop.resolved);
	shell("ip neigh del 192.0.2.9 dev va");
	assert_true(reaches(&told.count, 2));
	assert_false(told.hop.resolved);
	netlink_watch_destroy(told.watch);
}

static void test_interface_changes(void **state)
{
	struct told told;

	watch(&told, "192.0.2.2", NULL);
	while (!told.hop.resolved)
		assert_true(reaches(&told.count, told.count + 1));
	told.count = 0;
	shell("ip link set va mtu 1300");
	assert_true(reaches(&told.count, 1));
	assert_int_equal(told.hop.mtu, 1300);
	assert_true(told.hop.resolved);
	shell("ip link set va address 02:00:00:00:00:aa"); // the kernel forgets its neighbours, and finds them again
	do
		assert_true(reaches(&told.count, told.count + 1));
	while (!told.hop.resolved || told.hop.source_mac[5] != 0xaa);
	assert_mac(told.hop.source_mac, "02:00:00:00:00:aa");
	assert_mac(told.hop.target_mac, PEER_MAC);
	shell("ip link del va");
	assert_true(reaches(&told.count, told.count + 1));
	settle();
	assert_false(told.hop.resolved);
	assert_int_equal(told.ifindex, 0); // no route
	netlink_watch_destroy(told.watch);
}

static void test_route_moves(void **state)
{
	struct told told, stays;

	shell("ip link add name d0 type veth peer name d1 && ip link set d1 up && ip addr add 198.51.100.1/24 dev d0 "
	      "&& ip link set d0 up");
	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va");
	shell("ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:0b dev d0");
	shell("ip route add 203.0.113.64/26 via 192.0.2.9");
	settle();
	watch(&told, "203.0.113.77", NULL);
	watch(&stays, "192.0.2.9", NULL);
	assert_mac(told.hop.target_mac, "02:00:00:00:00:09");
	shell("ip route replace 203.0.113.64/26 via 198.51.100.9");
	assert_true(reaches(&told.count, 1));
	assert_mac(told.hop.target_mac, "02:00:00:00:00:0b");
	assert_int_equal(told.ifindex, (int)if_nametoindex("d0"));
	shell("ip route del 203.0.113.64/26");
	assert_true(reaches(&told.count, 2));
	assert_false(told.hop.resolved);
	assert_int_equal(told.ifindex, 0);
	shell("ip route add 203.0.113.64/26 via 192.0.2.9"); // a watch without a route gets one
	assert_true(reaches(&told.count, 3));
	assert_true(told.hop.resolved);
	assert_int_equal(stays.count, 0);
	netlink_watch_destroy(told.watch);
	netlink_watch_destroy(stays.watch);
}

static void test_link_goes_down_and_up(void **state)
{
	struct told told;

	watch(&told, "192.0.2.2", NULL);
	if (!told.hop.resolved)
		assert_true(reaches(&told.count, 1));
	told.count = 0;
	shell("ip link set va down");
	assert_true(reaches(&told.count, 1));
	assert_false(told.hop.resolved);
	shell("ip link set va up");
	while (!told.hop.resolved)
		assert_true(reaches(&told.count, told.count + 1));
	assert_mac(told.hop.target_mac, PEER_MAC);
	netlink_watch_destroy(told.watch);
}

// --- many, and what callbacks may do --------------------------------------------------------------------------------

static struct told *many;
static unsigned many_told;

static void on_hop_many(const struct kg_media_hop *hop, int ifindex, void *arg)
{
	((struct told *)arg)->count++;
	many_told++;
}

static void watch_many(netlink_hop_fn fn)
{
	many = calloc(MANY, sizeof(*many));
	many_told = 0;
	for (unsigned i = 0; i < MANY; i++) {
		struct kg_addr to = addr_of("198.51.100.0");

		to.ip[2] = (uint8_t)(100 + i / 5000); // half of them share one target, the others have one each
		to.ip[3] = (uint8_t)(i < 5000 ? 7 : i);
		to.ip[1] = (uint8_t)(i < 5000 ? 51 : i >> 8);
		many[i].watch = netlink_watch_create(netlink, &to, NULL, fn, &many[i], &many[i].hop);
		assert_non_null(many[i].watch);
		assert_true(many[i].hop.resolved);
	}
}

static void test_many_watches(void **state)
{
	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va && ip route add default via 192.0.2.9");
	shell("ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev va");
	settle();
	watch_many(on_hop_many);
	shell("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev va");
	assert_true(reaches(&many_told, MANY));
	shell("ip route replace default via 192.0.2.8");
	assert_true(reaches(&many_told, 2 * MANY));
	settle();
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(many[i].count, 2);
		netlink_watch_destroy(many[i].watch);
	}
	free(many);
}

// The first one that is told destroys all, itself too.
static void on_hop_destroy(const struct kg_media_hop *hop, int ifindex, void *arg)
{
	many_told++;
	for (unsigned i = 0; i < MANY; i++) {
		netlink_watch_destroy(many[i].watch);
		many[i].watch = NULL;
	}
	assert_mac(hop->target_mac, "02:00:00:00:00:0a"); // what we were given is still there
}

static void test_callback_destroys_all(void **state)
{
	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va && ip route add default via 192.0.2.9");
	settle();
	watch_many(on_hop_destroy);
	shell("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev va");
	assert_true(reaches(&many_told, 1));
	settle();
	assert_int_equal(many_told, 1);
	free(many);
}

// More happens than the socket holds while nobody reads: the state afterwards is the kernel's.
static void test_lost_notifications(void **state)
{
	struct told kept, gone;
	struct kg_addr addrs[8];

	shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev va");
	shell("ip neigh add 192.0.2.10 lladdr 02:00:00:00:00:10 dev va nud permanent");
	settle();
	watch(&kept, "192.0.2.9", NULL);
	watch(&gone, "192.0.2.10", NULL);
	assert_true(kept.hop.resolved && gone.hop.resolved);
	shell("for i in $(seq 0 15); do for j in $(seq 0 255); do echo route add 10.77.$i.$j via 192.0.2.9; done; done "
	      "| ip -batch -");
	shell("ip addr add 198.51.100.1/24 dev va && ip neigh del 192.0.2.10 dev va");
	shell("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:0a dev va");
	assert_true(reaches(&kept.count, 1));
	assert_true(reaches(&gone.count, 1));
	assert_mac(kept.hop.target_mac, "02:00:00:00:00:0a");
	assert_false(gone.hop.resolved);
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 2);
	assert_int_equal(kept.count, 1);
	netlink_watch_destroy(kept.watch);
	netlink_watch_destroy(gone.watch);
}

// The socket overflowed and is still full when the tick comes: the kernel drops all that happens until it has been
// emptied, and does not say so again.
static void test_tick_while_notifications_are_lost(void **state)
{
	struct kg_addr addrs[8];

	settle();
	shell("for i in $(seq 0 15); do for j in $(seq 0 255); do echo route add 10.77.$i.$j via 192.0.2.9; done; done "
	      "| ip -batch -");
	event_base_loop(base, EVLOOP_ONCE); // reads some of them
	assert_true(netlink->stale);
	event_active(netlink->tick, EV_TIMEOUT, 1);
	event_base_loop(base, EVLOOP_ONCE);
	shell("ip addr add 198.51.100.1/24 dev va");
	settle();
	assert_int_equal(netlink_addresses(netlink, "va", addrs, 8), 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_addresses),
		CASE(test_change_is_told_only_where_there_is_one),
		CASE(test_port_that_leaves_a_bridge_is_no_lost_link),
		CASE(test_routes),
		CASE(test_rules),
		CASE(test_watch_knows_at_once),
		CASE(test_kernel_resolves),
		CASE(test_asks_again),
		CASE(test_neighbour_changes),
		CASE(test_interface_changes),
		CASE(test_route_moves),
		CASE(test_link_goes_down_and_up),
		CASE(test_many_watches),
		CASE(test_callback_destroys_all),
		CASE(test_lost_notifications),
		CASE(test_tick_while_notifications_are_lost),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
		printf("skipped: needs root, for network namespaces of its own\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
