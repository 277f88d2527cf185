// SPDX-License-Identifier: BSD-3-Clause
// Debug builds end where a thread touches what another owns.

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay_rig.h"

static void *turn(void *arg)
{
	lcore_turn(arg);
	return NULL;
}

static void *commands(void *arg)
{
	lcore_commands(arg);
	return NULL;
}

static void *sent(void *arg)
{
	struct lcore *lcore = arg;

	relay_sent(&lcore->relay, 0, 0);
	return NULL;
}

// How a process ends in which another thread calls `what`.
static int end_of(void *(*what)(void *), bool same_thread)
{
	struct rig *rig = rig_create(4);
	int status;
	pid_t child;

	lcore_turn(&rig->lcore); // this thread is the owner
	child = fork();
	if (child == 0) {
		struct rlimit no_core = {0, 0};
		pthread_t thread;

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(3);
		if (same_thread)
			what(&rig->lcore);
		else if (pthread_create(&thread, NULL, what, &rig->lcore) == 0)
			pthread_join(thread, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rig_destroy(rig);
	return status;
}

static void a_foreign_thread_is_caught(void **state)
{
	void *(*const all[])(void *) = {turn, commands, sent};

	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int status = end_of(all[i], false);

#ifdef KG_DEBUG
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
		assert_int_equal(status, 0); // nobody looks
#endif
	}
}

static void the_owner_is_not(void **state)
{
	assert_int_equal(end_of(turn, true), 0);
	assert_int_equal(end_of(commands, true), 0);
	assert_int_equal(end_of(sent, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_foreign_thread_is_caught), cmocka_unit_test(the_owner_is_not)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
