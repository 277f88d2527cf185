// SPDX-License-Identifier: BSD-3-Clause
// A TAP without a device: what it carries, counts and says. Runs in a network namespace of its own; needs root.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ring.h>

#include "nic_rig.h"

static struct nic_tap *open_tap(uint16_t vlan)
{
	struct nic_tap_config what = {
		.nic = "alone", .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .vlan = vlan, .pool = pool};
	struct nic_tap *tap = NULL;

	assert_int_equal(nic_tap_open(&what, &tap, err), 0);
	return tap;
}

static struct nic_tap_counts until(const struct nic_tap *tap, uint64_t to_kernel, uint64_t lost)
{
	struct nic_tap_counts counts;

	for (unsigned i = 0; i < WAIT_MS; i++) {
		nic_tap_counts(tap, &counts);
		if (counts.to_kernel >= to_kernel && counts.lost >= lost)
			break;
		usleep(1000);
	}
	return counts;
}

static void what_the_tap_cannot_carry_is_counted(void **state)
{
	struct nic_tap *tap = open_tap(VLAN);
	struct nic_tap_counts counts;
	char command[64];

	assert_int_equal(rte_ring_enqueue(nic_tap_to_kernel(tap), arp_request()), 0); // untagged
	assert_int_equal(rte_ring_enqueue(nic_tap_to_kernel(tap), tagged(arp_request(), VLAN + 1)), 0);
	assert_int_equal(
		rte_ring_enqueue(nic_tap_to_kernel(tap), tagged(arp_request(), 0x2000 | VLAN)), 0); // priority 1
	counts = until(tap, 1, 2);
	assert_int_equal(counts.to_kernel, 1);
	assert_int_equal(counts.lost, 2);
	nic_tap_lost(tap, 3);
	assert_int_equal(until(tap, 1, 5).lost, 5);
	snprintf(command, sizeof(command), "ip link set dev %s down", nic_tap_interface(tap));
	assert_int_equal(system(command), 0);
	assert_int_equal(rte_ring_enqueue(nic_tap_to_kernel(tap), tagged(arp_request(), VLAN)), 0);
	assert_int_equal(until(tap, 1, 6).lost, 6);
	nic_tap_close(tap);
	nothing_is_left();
}

// Nobody takes what the kernel sends: the ring fills, the rest is counted, and both go with the TAP.
static void a_full_ring_is_counted(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xc63364ff)};
	struct nic_tap *tap = open_tap(0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), yes = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes)), 0);
	assert_int_equal(nic_tap_addresses(tap, near_addrs, 1, err), 0);
	for (unsigned i = 0; i < WAIT_MS && !until(tap, 0, 0).lost; i++) {
		for (unsigned n = 0; n < 100; n++)
			sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		usleep(1000);
	}
	assert_true(until(tap, 0, 1).lost > 0);
	assert_int_equal(rte_ring_count(nic_tap_from_kernel(tap)), NIC_TAP_RING - 1);
	close(fd);
	nic_tap_close(tap);
	nothing_is_left();
}

static bool kernel_has(const struct nic_tap_addr *one)
{
	char text[KG_ADDR_STRLEN], command[128];

	snprintf(command, sizeof(command), "ip addr show dev kdg-alone | grep -q ' %s/%u '",
		kg_addr_ip(&one->addr, text, sizeof(text)), one->prefix);
	return system(command) == 0;
}

static void addresses_are_given_and_taken(void **state)
{
	const struct nic_tap_addr wrong = {.addr = {.family = 4, .ip = {198, 51, 100, 9}}, .prefix = 99};
	struct nic_tap *tap = open_tap(0), *other = NULL;
	struct nic_tap_config same = {.nic = "alone", .mtu = 1500, .pool = pool};
	struct sockaddr_in6 at = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	assert_int_equal(nic_tap_addresses(tap, near_addrs, 3, err), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(kernel_has(&near_addrs[i]));
	memcpy(&at.sin6_addr, near_addrs[2].addr.ip, 16);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0); // at once: it is not tentative
	close(fd);
	assert_int_equal(nic_tap_addresses(tap, &near_addrs[1], 2, err), 0);
	assert_false(kernel_has(&near_addrs[0]));
	assert_true(kernel_has(&near_addrs[2]));
	assert_int_equal(nic_tap_addresses(tap, &wrong, 1, err), -EINVAL);
	assert_non_null(strstr(err, "kdg-alone does not take the address 198.51.100.9/99"));
	assert_int_equal(nic_tap_open(&same, &other, err), -EEXIST);
	assert_non_null(strstr(err, "there is an interface kdg-alone"));
	nic_tap_close(tap);
	assert_int_equal(if_nametoindex("kdg-alone"), 0);
	nothing_is_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_tap_cannot_carry_is_counted),
		cmocka_unit_test(a_full_ring_is_counted),
		cmocka_unit_test(addresses_are_given_and_taken),
	};
	int error = nic_rig_start();

	if (error)
		return error;
	error = cmocka_run_group_tests(tests, NULL, NULL);
	nic_rig_stop();
	return error;
}
