// SPDX-License-Identifier: BSD-3-Clause
// What strangers may cost, and who of them is worth a line in the log: token buckets by source address in a table of
// fixed size, where who was quiet longest makes room. Pure: no socket, no clock (each call brings the time), no log.
// All: Thread: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

// Why something was not served. X(word): `word` is the reason in kedge_sip_refused_total and in the API.
//   stranger       a request from an address that is no trunk's: 403, or nothing where sip.strangers is silent
//   scan           the same, but from an address that was told so often enough: nothing
//   source_rate    dropped unread: its address sends more than sip.limits.source_per_s
//   strangers_rate dropped unread: all strangers together send more than sip.limits.strangers_per_s
//   message_bytes  longer than sip.limits.message_bytes: 513
//   headers        more header lines than sip.limits.headers: 400
//   calls          media.max_calls: 503
//   cps            sip.limits.cps: 503
//   trunk_calls    a trunk's max_calls: 503, or the next target of the route
//   trunk_cps      a trunk's cps: 503, or the next target of the route
//   shutdown       the engine is stopping: 503
//   overload       no relay lcore keeps up with the media that there is: 503
#define SIP_REFUSALS(X)   \
	X(stranger)       \
	X(scan)           \
	X(source_rate)    \
	X(strangers_rate) \
	X(message_bytes)  \
	X(headers)        \
	X(calls)          \
	X(cps)            \
	X(trunk_calls)    \
	X(trunk_cps)      \
	X(shutdown)       \
	X(overload)

#define SIP_REFUSAL_ENUM(word) SIP_REFUSED_##word,
enum sip_refusal { SIP_REFUSALS(SIP_REFUSAL_ENUM) SIP_REFUSAL_COUNT };
const char *sip_refusal_name(unsigned refusal); // NULL past the last

#define SIP_LIMITS_SOURCES 4096   // addresses that are remembered
#define SIP_LIMITS_ANSWERS 30     // refusals that one address is told at once; then one a second
#define SIP_LIMITS_LINE_MS 60000  // one line for each address in that time
#define SIP_LIMITS_GATHER_MS 5000 // a first line waits that long for more of the same,
#define SIP_LIMITS_SCAN 10        // but not where so many came

struct sip_limits_config {                      // 0: no limit
	bool silent;                            // strangers get no answer at all
	uint32_t message_bytes, headers;        // of anybody's message
	uint32_t source_per_s, strangers_per_s; // requests of one stranger, and of all of them
};

// A bucket that is full when it is first used. Zeroed: new.
struct sip_bucket {
	uint64_t at_ms, milli; // thousandths of a token that it had then
	bool used;
};

// Is there a token (rate: tokens a second, 0: always; burst: what it holds)? _take takes it where there is one.
bool sip_bucket_has(const struct sip_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms);
bool sip_bucket_take(struct sip_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms);

struct sip_limits;

// `secret` places addresses in the table, so that nobody can choose ones that collide.
// Owns: the caller's (sip_limits_destroy). Returns: NULL for want of memory.
struct sip_limits *sip_limits_create(const struct sip_limits_config *config, uint64_t secret);
void sip_limits_destroy(struct sip_limits *limits); // NULL is fine
void sip_limits_configure(struct sip_limits *limits, const struct sip_limits_config *config);
const uint64_t *sip_limits_counts(const struct sip_limits *limits); // SIP_REFUSAL_COUNT of them

// Is a datagram of this stranger to be read? Costs it nothing: what belongs to a dialog or transaction of ours is free.
// Responses are bounded by their source alone. Where it is not, that is counted.
bool sip_limits_admits(struct sip_limits *limits, const struct kg_addr *source, bool request, uint64_t now_ms);
// A stranger's datagram was read and came to nothing.
void sip_limits_charge(struct sip_limits *limits, const struct kg_addr *source, uint64_t now_ms);
// The same, and it was a request: counted and remembered for a line. `what`: "REGISTER sip:100@192.0.2.1".
// Returns: true where the stranger is to be told.
bool sip_limits_refuse(struct sip_limits *limits, const struct kg_addr *source, const char *what, uint64_t now_ms);

// Is a datagram longer, or has its head more lines, than it may? Returns: true with the reason, counted.
bool sip_limits_exceeds(struct sip_limits *limits, const char *data, size_t length, enum sip_refusal *why);

// What is to be written down now, as one line; to be called until it says no, about once a second.
// Returns: false where nothing is due.
bool sip_limits_line(struct sip_limits *limits, uint64_t now_ms, char *out, size_t size);
bool sip_limits_waits(const struct sip_limits *limits); // something will be due

// Seconds for Retry-After: 5 to 15, another number for each source, so that they do not all come back at once.
unsigned sip_limits_retry_after(const struct kg_addr *source);
