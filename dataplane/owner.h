// SPDX-License-Identifier: BSD-3-Clause
// What one thread owns: a lcore's half of the media plane is its thread's, the facade's is control's. Debug builds
// check it wherever it is entered; others do not look.
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct owner {
	pthread_t thread;
	int known; // 0: whoever comes first
};

// The calling thread has it from now on. Thread: before another may enter, or the owner.
static inline void owner_take(struct owner *owner)
{
	owner->thread = pthread_self();
	owner->known = 1;
}

static inline void owner_check(struct owner *owner, const char *where)
{
	if (!owner->known)
		owner_take(owner);
	if (pthread_equal(owner->thread, pthread_self()))
		return;
	fprintf(stderr, "%s: called by a thread that does not own what it touches\n", where);
	abort();
}

#ifdef KG_DEBUG
#define assert_owner(owner) owner_check(owner, __func__)
#else
#define assert_owner(owner) ((void)(owner))
#endif
