// SPDX-License-Identifier: BSD-3-Clause
// pcapng blocks, byte for byte where it matters; that tshark reads them is shown by tests/ns/test_a_capture.py.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pcapng.h"

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

// Each block says its length twice and is padded to words. Returns: how many there are.
static unsigned blocks(const uint8_t *data, size_t length, uint32_t *types)
{
	unsigned count = 0;

	for (size_t at = 0; at < length; count++) {
		uint32_t size = word(data + at + 4);

		assert_true(size % 4 == 0 && size >= 12 && size <= length - at);
		assert_int_equal(word(data + at + size - 4), size);
		types[count] = word(data + at);
		at += size;
	}
	return count;
}

static void a_file_begins_and_ends(void **state)
{
	uint8_t out[2 * PCAPNG_ROOM];
	uint32_t types[4];
	size_t length = pcapng_begin(out, "kedge 1", "lan", 2048);

	assert_int_equal(blocks(out, length, types), 2);
	assert_int_equal(types[0], 0x0a0d0d0a);
	assert_int_equal(types[1], 1);
	assert_int_equal(word(out + 8), 0x1a2b3c4d);
	length = pcapng_end(out, 7, 10, 3);
	assert_int_equal(blocks(out, length, types), 1);
	assert_int_equal(types[0], 5);
	assert_int_equal(word(out + 24), 10);
	assert_int_equal(word(out + 36), 3);
}

static void packets_of_every_length(void **state)
{
	uint8_t out[PCAPNG_ROOM + 64], data[64];
	uint32_t types[2];

	memset(data, 0xee, sizeof(data));
	for (uint32_t size = 0; size <= 64; size++) {
		size_t length = pcapng_packet(out, 0x123456789abcdefull, data, size, size + 5, size % 2);

		assert_int_equal(blocks(out, length, types), 1);
		assert_int_equal(types[0], 6);
		assert_int_equal(word(out + 12), 0x01234567);
		assert_int_equal(word(out + 16), 0x89abcdef);
		assert_int_equal(word(out + 20), size);
		assert_int_equal(word(out + 24), size + 5);
		assert_memory_equal(out + 28, data, size);
		assert_int_equal(word(out + 28 + (size + 3) / 4 * 4 + 4), size % 2 ? 2 : 1); // direction
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_begins_and_ends),
		cmocka_unit_test(packets_of_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
