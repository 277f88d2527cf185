// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ports.h"

static struct kg_addr ip(const char *text)
{
	struct kg_addr addr;

	assert_int_equal(kg_addr_parse(&addr, text, 0), 0);
	return addr;
}

static struct ports *new_ports(uint16_t first, uint16_t last, uint32_t guard_ms)
{
	struct ports *ports = ports_create(first, last, guard_ms);

	assert_non_null(ports);
	return ports;
}

static void gives_even_pairs_until_empty(void **state)
{
	struct ports *ports = new_ports(16385, 16391, 1000); // 16386/7, 16388/9, 16390/1
	struct kg_addr a = ip("192.0.2.1"), got;

	assert_int_equal(ports_capacity(ports), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ports_get(ports, &a, 0, 0, &got), 0);
		assert_int_equal(got.port, 16386 + 2 * i);
		assert_true(kg_addr_same_ip(&got, &a));
	}
	assert_int_equal(ports_in_use(ports), 6);
	assert_int_equal(ports_get(ports, &a, 0, 0, &got), -EADDRNOTAVAIL);
	ports_destroy(ports);
}

static void addresses_have_pools_of_their_own(void **state)
{
	struct ports *ports = new_ports(20000, 20001, 0);
	struct kg_addr a = ip("192.0.2.1"), b = ip("192.0.2.2"), got_a, got_b;

	assert_int_equal(ports_get(ports, &a, 0, 0, &got_a), 0);
	assert_int_equal(ports_get(ports, &b, 0, 0, &got_b), 0);
	assert_int_equal(got_a.port, got_b.port);
	ports_put(ports, &got_a, 5);
	assert_int_equal(ports_get(ports, &b, 0, 5, &got_b), -EADDRNOTAVAIL);
	assert_int_equal(ports_get(ports, &a, 0, 5, &got_a), 0);
	ports_destroy(ports);
}

static void a_pair_rests_before_it_is_given_again(void **state)
{
	struct ports *ports = new_ports(20000, 20001, 1000);
	struct kg_addr a = ip("192.0.2.1"), got;

	assert_int_equal(ports_get(ports, &a, 0, 0, &got), 0);
	ports_put(ports, &got, 100);
	assert_int_equal(ports_in_use(ports), 0);
	assert_int_equal(ports_get(ports, &a, 0, 1099, &got), -EADDRNOTAVAIL);
	assert_int_equal(ports_get(ports, &a, 0, 1100, &got), 0);
	ports_destroy(ports);
}

static void what_was_not_taken_is_not_put(void **state)
{
	struct ports *ports = new_ports(20000, 20003, 0);
	struct kg_addr a = ip("192.0.2.1"), got, wrong;

	assert_int_equal(ports_get(ports, &a, 0, 0, &got), 0);
	wrong = got;
	wrong.port = 30000;
	ports_put(ports, &wrong, 0);
	assert_int_equal(ports_in_use(ports), 2);
	ports_put(ports, &got, 0);
	ports_put(ports, &got, 0); // twice
	assert_int_equal(ports_in_use(ports), 0);
	assert_int_equal(ports_get(ports, &a, 0, 0, &got), 0);
	assert_int_equal(ports_get(ports, &a, 0, 0, &got), 0);
	assert_int_equal(ports_get(ports, &a, 0, 0, &got), -EADDRNOTAVAIL);
	ports_destroy(ports);
}

static unsigned by_pair(void *arg, const struct kg_addr *pair)
{
	assert_ptr_equal(arg, &by_pair);
	return pair->port / 2u % 3;
}

static void kinds_are_kept_apart_while_they_last(void **state)
{
	struct ports *ports = new_ports(30000, 30019, 100); // ten pairs: 15000 % 3 is 0
	struct kg_addr a = ip("192.0.2.1"), got, taken[10];
	unsigned count = 0;

	ports_set_kinds(ports, 3, by_pair, &by_pair);
	for (; count < 3; count++) {
		assert_int_equal(ports_get(ports, &a, 1, 0, &taken[count]), 0);
		assert_int_equal(by_pair(&by_pair, &taken[count]), 1);
	}
	assert_int_equal(ports_get(ports, &a, 1, 0, &taken[count++]), 0); // there are no more: the next kind's
	assert_int_equal(by_pair(&by_pair, &taken[3]), 2);
	ports_put(ports, &taken[1], 0);
	assert_int_equal(ports_in_use_at(ports, &a), 6);
	assert_int_equal(ports_get(ports, &a, 1, 99, &got), 0); // it rests
	assert_int_equal(by_pair(&by_pair, &got), 2);
	assert_int_equal(ports_get(ports, &a, 1, 100, &taken[1]), 0);
	assert_int_equal(by_pair(&by_pair, &taken[1]), 1);
	for (unsigned i = 0; i < 5; i++) // each pair once
		assert_int_equal(ports_get(ports, &a, 0, 100, &got), 0);
	assert_int_equal(ports_get(ports, &a, 0, 100, &got), -EADDRNOTAVAIL);
	assert_int_equal(ports_in_use(ports), 20);
	ports_destroy(ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_even_pairs_until_empty),
		cmocka_unit_test(addresses_have_pools_of_their_own),
		cmocka_unit_test(a_pair_rests_before_it_is_given_again),
		cmocka_unit_test(what_was_not_taken_is_not_put),
		cmocka_unit_test(kinds_are_kept_apart_while_they_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
