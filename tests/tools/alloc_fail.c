// SPDX-License-Identifier: BSD-3-Clause
// Linked into the control plane's unit tests for tests/alloc.py: makes one allocation fail. Counted are, from main on,
// those of our code and of the libraries alike, only not the ones that cmocka asks for itself. The environment says
// what it does, where it says nothing all is as without it:
//
// KEDGE_FAIL_ALLOC=N: the Nth (from 0) gives NULL, once.
//
// KEDGE_ALLOC_LOG=FILE: each process appends "failed" where it made one fail, and at its end "count N".
//
// KEDGE_ALLOC_SITES=MAX: and "site N NEAR" for each allocation that came by a new way, NEAR stands for its innermost
// callers. The process ends at the MAXth.
//
// KEDGE_ALLOC_STACK=1: a sanitizer's build says who got none.
//
// KEDGE_ALLOC_LIST=1: the names of the cmocka tests are printed and none is run; KEDGE_ALLOC_TEST=NAME: only this one
// is.
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h> // wants the above

// the allocators behind: a sanitizer's where it is there, else libc's
void *__interceptor_malloc(size_t size) __attribute__((weak));
void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
void *__interceptor_realloc(void *old, size_t size) __attribute__((weak));
void *__interceptor_aligned_alloc(size_t align, size_t size) __attribute__((weak));
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __sanitizer_print_stack_trace(void) __attribute__((weak));

#define NEVER UINT64_MAX
#define DEPTH 28 // callers that are looked at
#define NEAR 5   // of them innermost ones, two of these our own
#define SLOTS (1 << 17)
#define SITES_MAX (SLOTS / 4)
static atomic_bool counting;
static atomic_uint_fast64_t counted;
static uint64_t to_fail = NEVER;
static const char *log_file;
static void *cmocka;         // where it is loaded, NULL: not at all
static uint64_t sites_of;    // of so many allocations at most; 0: not asked for
static uint64_t seen[SLOTS]; // hashes of callers, 0: free
static struct {
	uint64_t number, near;
} sites[SITES_MAX];
static unsigned site_count;

static void say(const char *text)
{
	int fd = open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		_exit(99);
	close(fd);
}

static void end(void)
{
	FILE *file;

	atomic_store(&counting, false);
	file = fopen(log_file, "ae");
	if (!file)
		return;
	fprintf(file, "count %llu\n", (unsigned long long)atomic_load(&counted));
	for (unsigned i = 0; i < site_count; i++)
		fprintf(file, "site %llu %llx\n", (unsigned long long)sites[i].number,
			(unsigned long long)sites[i].near);
	fclose(file);
}

// Returns: is this hash not seen before?
static bool is_new(uint64_t hash)
{
	for (unsigned i = hash % SLOTS;; i = (i + 1) % SLOTS) {
		if (seen[i] == hash)
			return false;
		if (!seen[i]) {
			seen[i] = hash;
			return true;
		}
	}
}

// Only the main thread's count: tests have no other that allocates.
static void note_site(uint64_t number)
{
	void *callers[DEPTH];
	uint64_t hash = 14695981039346656037u, near = 0;
	int count;

	if (site_count >= SITES_MAX)
		return;
	count = backtrace(callers, DEPTH);
	for (int i = 0; i < count; i++) {
		if (i == NEAR)
			near = hash;
		hash = (hash ^ (uintptr_t)callers[i]) * 1099511628211u;
	}
	if (!is_new(hash | 1))
		return;
	if (!near)
		near = ~hash; // there are no farther ones
	sites[site_count].number = number;
	sites[site_count++].near = near;
}

__attribute__((constructor)) static void begin(void)
{
	const char *number = getenv("KEDGE_FAIL_ALLOC");
	void (*filter)(const char *) = dlsym(RTLD_DEFAULT, "cmocka_set_test_filter");
	void *first[1];
	Dl_info info;

	log_file = getenv("KEDGE_ALLOC_LOG");
	if (!number && !log_file)
		return;
	if (number)
		to_fail = strtoull(number, NULL, 10);
	if (filter && dladdr(filter, &info))
		cmocka = info.dli_fbase;
	if (log_file)
		atexit(end);
	if (log_file && getenv("KEDGE_ALLOC_SITES"))
		sites_of = strtoull(getenv("KEDGE_ALLOC_SITES"), NULL, 10);
	if (sites_of)
		backtrace(first, 1); // loads what it needs
	if (filter && getenv("KEDGE_ALLOC_TEST"))
		filter(getenv("KEDGE_ALLOC_TEST"));
	atomic_store(&counting, true);
}

// Stands before cmocka's own.
int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *const tests, const size_t count,
	CMFixtureFunction setup, CMFixtureFunction teardown)
{
	int (*next)(const char *, const struct CMUnitTest *, size_t, CMFixtureFunction, CMFixtureFunction) =
		dlsym(RTLD_NEXT, "_cmocka_run_group_tests");

	if (!getenv("KEDGE_ALLOC_LIST"))
		return next(group, tests, count, setup, teardown);
	for (size_t i = 0; i < count; i++)
		printf("%s\n", tests[i].name);
	return 0;
}

static bool is_cmockas(const void *caller)
{
	Dl_info info;

	return cmocka && dladdr(caller, &info) && info.dli_fbase == cmocka;
}

// Say where it was, and what was counted: a crash comes before end().
static void report(void)
{
	atomic_store(&counting, false);
	if (log_file)
		say("failed\n");
	if (getenv("KEDGE_ALLOC_STACK") && __sanitizer_print_stack_trace)
		__sanitizer_print_stack_trace();
	atomic_store(&counting, true);
}

// Returns: shall this allocation fail?
static bool fails(const void *caller)
{
	uint64_t number;

	if (!atomic_load_explicit(&counting, memory_order_relaxed) || is_cmockas(caller))
		return false;
	number = atomic_fetch_add(&counted, 1);
	if (sites_of)
		note_site(number);
	if (sites_of && number + 1 == sites_of) { // what comes later is taken for more of the same
		end();
		_exit(0);
	}
	if (number != to_fail)
		return false;
	report();
	errno = ENOMEM;
	return true;
}

static void *get(size_t size)
{
	return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

static void *get_aligned(size_t align, size_t size)
{
	return __interceptor_aligned_alloc ? __interceptor_aligned_alloc(align, size) : __libc_memalign(align, size);
}

void *malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : get(size);
}

void *calloc(size_t count, size_t size)
{
	if (fails(__builtin_return_address(0)))
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	if (fails(__builtin_return_address(0)))
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(old, size) : __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : get_aligned(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	void *got = fails(__builtin_return_address(0)) ? NULL : get_aligned(align, size);

	if (!got)
		return ENOMEM;
	*out = got;
	return 0;
}

char *strndup(const char *text, size_t most)
{
	size_t length = strnlen(text, most);
	char *copy = fails(__builtin_return_address(0)) ? NULL : get(length + 1);

	if (!copy)
		return NULL;
	copy[length] = 0;
	return memcpy(copy, text, length);
}

char *strdup(const char *text)
{
	size_t length = strlen(text);
	char *copy = fails(__builtin_return_address(0)) ? NULL : get(length + 1);

	return copy ? memcpy(copy, text, length + 1) : NULL;
}
