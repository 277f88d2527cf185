// SPDX-License-Identifier: BSD-3-Clause
// Peers that use fewer queues than the nic has: through whom each lcore sends, and what is said when.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kg_log.h"
#include "media_private.h"

#define LCORES 4
#define HZ 1000

static struct kg_media *media;
static unsigned now_used, warnings;
static char last[512];
static uint64_t now;

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(last, sizeof(last), fmt, args);
	va_end(args);
	warnings += level == KG_LOG_WARN;
}

unsigned nic_peer_queues(const struct nic *nic)
{
	return now_used;
}

// The ways of all lcores as digits, after the peer has used so many queues for that long.
static const char *ways(unsigned used, unsigned turns)
{
	static char text[LCORES + 1];

	now_used = used;
	for (unsigned i = 0; i < turns; i++)
		media_peers_look(media, now += 100);
	for (unsigned i = 0; i < LCORES; i++)
		text[i] = (char)('0' + media->lcores[i]->nics[0].via);
	return text;
}

static void lcores_send_through_the_queues_that_are_used(void **state)
{
	assert_string_equal(ways(0, 1), "0123"); // nobody there: nothing to go round
	assert_string_equal(ways(1, 1), "0000"); // it enables them one by one
	assert_string_equal(ways(3, 1), "0120");
	assert_string_equal(ways(4, 50), "0123");
	assert_int_equal(warnings, 0);
	assert_string_equal(ways(2, 50), "0101");
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(last, "v: the other side of vhost:/v uses 2 of 4 queues"));
	assert_string_equal(ways(0, 50), "0123"); // it went
	assert_string_equal(ways(2, 8), "0101");
	assert_int_equal(warnings, 1);
	ways(2, 20);
	assert_int_equal(warnings, 2); // another one perhaps
}

// The nic itself has fewer queues than there are lcores.
static void a_nic_with_few_queues(void **state)
{
	media->nics[0].queues = media->nics[0].pair_count = 2;
	assert_string_equal(ways(2, 50), "0101");
	assert_string_equal(ways(1, 5), "0000");
	assert_string_equal(ways(2, 5), "0101");
	assert_int_equal(warnings, 0);
}

static int set_up(void **state)
{
	media = calloc(1, sizeof(*media));
	media->tsc_hz = HZ;
	media->nic_count = 1;
	media->lcore_count = LCORES;
	media->nics[0] = (struct nic){.name = "v", .device = "vhost:/v", .queues = LCORES, .pair_count = LCORES};
	for (unsigned i = 0; i < LCORES; i++) {
		media->lcores[i] = aligned_alloc(64, (sizeof(struct lcore) + 63) / 64 * 64);
		memset(media->lcores[i], 0, sizeof(struct lcore));
		media->lcores[i]->nics[0].via = i;
	}
	warnings = 0;
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < LCORES; i++)
		free(media->lcores[i]);
	free(media);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lcores_send_through_the_queues_that_are_used),
		TEST(a_nic_with_few_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
