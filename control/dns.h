// SPDX-License-Identifier: BSD-3-Clause
// DNS questions, asked without waiting, answers kept as long as they say. c-ares stops at dns*.c. All: Thread: control.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

#define DNS_NAME 256        // a name and its NUL
#define DNS_RECORDS 32      // of an answer; what is behind them is left out
#define DNS_CACHED 1024     // answers that are kept; the oldest goes
#define DNS_IN_FLIGHT 256   // different questions that wait for an answer
#define DNS_TTL_MAX_S 3600  // and at least 1 s
#define DNS_NONE_TTL_S 30   // of "there is none" without a SOA record that says it
#define DNS_FAILED_TTL_S 5  // of a server that failed or was silent
#define DNS_TIMEOUT_MS 1500 // of the first try, where options say nothing; it doubles
#define DNS_TRIES 2

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_NAPTR = 35 };

struct dns_record {
	union {
		struct kg_addr addr; // A, AAAA: its port is 0
		struct {
			uint16_t priority, weight, port;
			char target[DNS_NAME]; // "": the root, so there is no such service
		} srv;
		struct {
			uint16_t order, preference;
			char flags[8], service[40];
			bool regexp; // has one: not for us
			char replacement[DNS_NAME];
		} naptr;
	};
};

// Immutable once it is told. Names are lower case and have no dot at their end.
struct dns_answer {
	unsigned refs;
	int error; // 0; -ENOENT: no such name; -ENODATA: none of that type; -ETIMEDOUT; -EIO: no server could say it
	uint32_t ttl_s; // within 1..DNS_TTL_MAX_S: the least of the records and of the aliases that led to them
	unsigned count; // 0 with an error
	struct dns_record records[];
};

struct dns_answer *dns_answer_ref(const struct dns_answer *answer);
void dns_answer_unref(const struct dns_answer *answer); // NULL is fine

// Read a whole message: its records of that type, at the name asked for or where its aliases lead.
// Owns: *out is the caller's. Returns: 0, also where the answer is that there is none (out->error), -EBADMSG where it
// is no answer, -ENOMEM.
int dns_answer_parse(const uint8_t *data, size_t length, enum dns_type type, struct dns_answer **out);

struct dns;
struct dns_query; // a wait for an answer
struct event_base;

struct dns_options {
	const char *servers;           // "ip:port,[ip]:port"; NULL: those of /etc/resolv.conf
	uint32_t timeout_ms, tries;    // 0: see above
	uint64_t (*now_ms)(void *arg); // the cache's clock, any monotonic count; NULL: the system's
	void *now_arg;
};

struct dns_counts {
	uint64_t queries;           // that went to a server
	uint64_t hits;              // answered from the cache
	uint64_t joined;            // waited for another's query
	uint64_t failures;          // no server could say it: an error, garbage, none could be reached
	uint64_t timeouts;          // no server answered in time
	uint64_t refused;           // DNS_IN_FLIGHT
	unsigned cached, in_flight; // now
};

// Returns: 0, or -errno with a sentence in err (256 bytes).
int dns_open(struct event_base *base, const struct dns_options *options, struct dns **out, char *err);
// Nobody who waits is called back any more, their handles are gone. Not from inside a callback. NULL is fine.
void dns_close(struct dns *dns);

// `answer` lives as long as the call unless a reference is taken. The handle is gone.
typedef void dns_fn(void *arg, const struct dns_answer *answer);

// Ask, or have it from the cache. The name is taken as it is: no search list is applied; its case does not matter.
// Owns: *answer is the caller's. Returns: 0: *answer is set, also where it is an error, and fn is not called;
// -EINPROGRESS: fn comes later, never from inside this call; -EINVAL: no host's name; -EAGAIN: DNS_IN_FLIGHT, -ENOMEM.
int dns_query(struct dns *dns, const char *name, enum dns_type type, dns_fn *fn, void *arg,
	const struct dns_answer **answer, struct dns_query **query);
bool dns_is_name(const char *name); // can a host be called so? (letters, digits, '-', '_', dots)
// fn is not called any more. The question itself goes on, for the cache.
void dns_cancel(struct dns_query *query); // NULL is fine

void dns_counts(const struct dns *dns, struct dns_counts *out);
