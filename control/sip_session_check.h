// SPDX-License-Identifier: BSD-3-Clause
// What the tests of sessions ask over and over, on top of sip_fake.h and cmocka.
#pragma once

#include "sip_fake.h"

static inline int set_up(void **state)
{
	fake_open();
	return 0;
}

static inline int tear_down(void **state)
{
	fake_close();
	return 0;
}

// The session of the call, which must be there.
static inline struct sip_session *live(void)
{
	assert_non_null(fake.session);
	return fake.session;
}

#define TOLD(text) assert_string_equal(fake.told, text)

static inline void told_is_forgotten(void)
{
	fake.told[0] = '\0';
}

static inline void nothing_stays(void)
{
	struct sip_counts counts;

	fake_wait(100000);
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.ict, 0);
	assert_int_equal(counts.ist, 0);
	assert_int_equal(counts.nict, 0);
	assert_int_equal(counts.nist, 0);
	assert_int_equal(counts.dialogs, 0);
	assert_int_equal(counts.sessions, 0);
	assert_int_equal(fake.stack->pending.count, 0);
}

static inline uint64_t drops_of(const char *reason)
{
	for (unsigned i = 0; i < fake.stack->drop_count; i++)
		if (strcmp(fake.stack->drops[i].reason, reason) == 0)
			return fake.stack->drops[i].count;
	return 0;
}

static inline struct sip_counts counts_now(void)
{
	struct sip_counts counts;

	sip_stack_counts(fake.stack, &counts);
	return counts;
}

static inline const char *dialog_of(struct sip_session *session)
{
	struct sip_session_info info;

	sip_session_info(session, &info);
	return info.dialog;
}

// Our tag in the last response that begins so.
static inline const char *our_tag(const char *start)
{
	const struct sip_msg *msg = fake_last(start, NULL);

	assert_non_null(msg);
	assert_non_null(sip_msg_to_tag(msg));
	return sip_msg_to_tag(msg);
}
