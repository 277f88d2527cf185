// SPDX-License-Identifier: BSD-3-Clause
// A question is an entry from when it is asked until its answer is too old; who waits for it hangs on it. Answers are
// told from the loop alone: c-ares may come up with one inside any call to it, also one for somebody else.

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "dns_loop.h"

#define BUCKETS 1024
#define LABEL_MAX 63
#define NAME_MAX_TEXT 253 // of a name without its last dot

TAILQ_HEAD(waits, dns_query);

struct dns_query {
	TAILQ_ENTRY(dns_query) next;
	struct waits *in; // an entry's, or `ready`
	dns_fn *fn;
	void *arg;
	const struct dns_answer *answer; // NULL: not yet
};

struct entry {
	LIST_ENTRY(entry) in_bucket;
	TAILQ_ENTRY(entry) in_age; // with an answer
	struct dns *dns;
	struct waits waits;              // without one
	const struct dns_answer *answer; // NULL: in flight
	uint64_t expires_ms;
	enum dns_type type;
	char name[];
};

struct dns {
	struct dns_options options;
	struct dns_loop loop;
	LIST_HEAD(, entry) buckets[BUCKETS];
	TAILQ_HEAD(, entry) cached; // oldest first
	struct waits ready;         // have their answer, are to be told
	struct dns_counts counts;
	bool closing;
};

// Nothing is allocated for these, so that want of memory can be told too.
static struct dns_answer timed_out = {.refs = 1, .error = -ETIMEDOUT, .ttl_s = DNS_FAILED_TTL_S};
static struct dns_answer failed = {.refs = 1, .error = -EIO, .ttl_s = DNS_FAILED_TTL_S};

static uint64_t now_ms(const struct dns *dns)
{
	struct timespec now;

	if (dns->options.now_ms)
		return dns->options.now_ms(dns->options.now_arg);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// --- entries --------------------------------------------------------------------------------------------------------

// Lower case and without a last dot. Returns: 0, -EINVAL where no host can be called so.
static int name_fold(const char *name, char out[DNS_NAME])
{
	size_t length = strlen(name), label = 0;

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length == 0 || length > NAME_MAX_TEXT)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.' ? label == 0 : (!isalnum(c) && c != '-' && c != '_') || label == LABEL_MAX)
			return -EINVAL;
		label = c == '.' ? 0 : label + 1;
		out[i] = (char)tolower(c);
	}
	out[length] = '\0';
	return label == 0 ? -EINVAL : 0;
}

bool dns_is_name(const char *name)
{
	char folded[DNS_NAME];

	return name_fold(name, folded) == 0;
}

static unsigned bucket_of(const char *name, enum dns_type type)
{
	uint32_t hash = 2166136261u ^ (uint32_t)type;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash % BUCKETS;
}

static void entry_free(struct entry *entry)
{
	LIST_REMOVE(entry, in_bucket);
	dns_answer_unref(entry->answer);
	free(entry);
}

static void entry_forget(struct dns *dns, struct entry *entry)
{
	TAILQ_REMOVE(&dns->cached, entry, in_age);
	dns->counts.cached--;
	entry_free(entry);
}

// What is in flight or young enough; what is too old goes. Returns: NULL: none.
static struct entry *entry_find(struct dns *dns, const char *name, enum dns_type type)
{
	struct entry *entry;

	LIST_FOREACH(entry, &dns->buckets[bucket_of(name, type)], in_bucket)
	{
		if (entry->type == type && strcmp(entry->name, name) == 0)
			break;
	}
	if (entry && entry->answer && entry->expires_ms <= now_ms(dns)) {
		entry_forget(dns, entry);
		return NULL;
	}
	return entry;
}

static struct entry *entry_add(struct dns *dns, const char *name, enum dns_type type)
{
	struct entry *entry = calloc(1, sizeof(*entry) + strlen(name) + 1);

	if (!entry)
		return NULL;
	strcpy(entry->name, name);
	entry->dns = dns;
	entry->type = type;
	TAILQ_INIT(&entry->waits);
	LIST_INSERT_HEAD(&dns->buckets[bucket_of(name, type)], entry, in_bucket);
	return entry;
}

static void wait_move(struct dns_query *query, struct waits *to)
{
	if (query->in)
		TAILQ_REMOVE(query->in, query, next);
	query->in = to;
	TAILQ_INSERT_TAIL(to, query, next);
}

static void wait_free(struct dns_query *query)
{
	TAILQ_REMOVE(query->in, query, next);
	dns_answer_unref(query->answer);
	free(query);
}

// The answer came: it is kept, and those who wait are to be told. Owns: takes the answer.
static void entry_settle(struct dns *dns, struct entry *entry, const struct dns_answer *answer)
{
	struct dns_query *query;

	entry->answer = answer;
	entry->expires_ms = now_ms(dns) + answer->ttl_s * 1000ull;
	dns->counts.in_flight--;
	while ((query = TAILQ_FIRST(&entry->waits))) {
		query->answer = dns_answer_ref(answer);
		wait_move(query, &dns->ready);
	}
	TAILQ_INSERT_TAIL(&dns->cached, entry, in_age);
	if (++dns->counts.cached > DNS_CACHED)
		entry_forget(dns, TAILQ_FIRST(&dns->cached));
}

// --- c-ares ---------------------------------------------------------------------------------------------------------

static void on_reply(void *arg, int status, int timeouts, unsigned char *data, int length)
{
	struct entry *entry = arg;
	struct dns *dns = entry->dns;
	struct dns_answer *answer = NULL;

	if (dns->closing)
		return;
	if (status == ARES_ETIMEOUT) {
		dns->counts.timeouts++;
		answer = dns_answer_ref(&timed_out);
	} else if ((status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND) && data) {
		dns_answer_parse(data, (size_t)length, entry->type, &answer);
	}
	if (!answer) {
		dns->counts.failures++;
		answer = dns_answer_ref(&failed);
	}
	entry_settle(dns, entry, answer);
}

static void on_turn(void *arg)
{
	struct dns *dns = arg;
	struct dns_query *query;

	while ((query = TAILQ_FIRST(&dns->ready))) {
		const struct dns_answer *answer = dns_answer_ref(query->answer);
		dns_fn *fn = query->fn;
		void *fn_arg = query->arg;

		wait_free(query);
		fn(fn_arg, answer);
		dns_answer_unref(answer);
	}
	dns_loop_schedule(&dns->loop, false);
}

// --- opening and asking ---------------------------------------------------------------------------------------------

int dns_open(struct event_base *base, const struct dns_options *options, struct dns **out, char *err)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int error;

	*out = NULL;
	snprintf(err, 256, "no memory for DNS");
	if (!dns)
		return -ENOMEM;
	dns->options = *options;
	dns->options.servers = NULL; // the caller's
	TAILQ_INIT(&dns->cached);
	TAILQ_INIT(&dns->ready);
	error = dns_loop_open(&dns->loop, base, options, on_turn, dns, err);
	if (error) {
		dns_close(dns);
		return error;
	}
	*err = '\0';
	*out = dns;
	return 0;
}

void dns_close(struct dns *dns)
{
	struct dns_query *query;
	struct entry *entry;

	if (!dns)
		return;
	dns->closing = true;
	dns_loop_close(&dns->loop);
	while ((query = TAILQ_FIRST(&dns->ready)))
		wait_free(query);
	for (unsigned i = 0; i < BUCKETS; i++)
		while ((entry = LIST_FIRST(&dns->buckets[i]))) {
			while ((query = TAILQ_FIRST(&entry->waits)))
				wait_free(query);
			entry_free(entry);
		}
	free(dns);
}

// A new question goes out. Returns: 0, -EAGAIN, -ENOMEM.
static int entry_ask(struct dns *dns, const char *name, enum dns_type type, struct dns_query *query)
{
	struct entry *entry;

	if (dns->counts.in_flight >= DNS_IN_FLIGHT) {
		dns->counts.refused++;
		return -EAGAIN;
	}
	entry = entry_add(dns, name, type);
	if (!entry)
		return -ENOMEM;
	wait_move(query, &entry->waits);
	dns->counts.in_flight++;
	dns->counts.queries++;
	ares_query(
		dns->loop.channel, name, 1 /* IN */, (int)type, on_reply, entry); // may have answered already, and more
	dns_loop_schedule(&dns->loop, !TAILQ_EMPTY(&dns->ready));
	return 0;
}

int dns_query(struct dns *dns, const char *name, enum dns_type type, dns_fn *fn, void *arg,
	const struct dns_answer **answer, struct dns_query **out)
{
	char folded[DNS_NAME];
	struct dns_query *query;
	struct entry *entry;
	int error = name_fold(name, folded);

	*out = NULL;
	*answer = NULL;
	if (error)
		return error;
	entry = entry_find(dns, folded, type);
	if (entry && entry->answer) {
		dns->counts.hits++;
		*answer = dns_answer_ref(entry->answer);
		return 0;
	}
	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	query->fn = fn;
	query->arg = arg;
	if (entry) {
		dns->counts.joined++;
		wait_move(query, &entry->waits);
	} else {
		error = entry_ask(dns, folded, type, query);
	}
	if (error) {
		free(query);
		return error;
	}
	if (query->answer) {
		*answer = dns_answer_ref(query->answer);
		wait_free(query);
		return 0;
	}
	*out = query;
	return -EINPROGRESS;
}

void dns_cancel(struct dns_query *query)
{
	if (query)
		wait_free(query);
}

void dns_counts(const struct dns *dns, struct dns_counts *out)
{
	*out = dns->counts;
}
