// SPDX-License-Identifier: BSD-3-Clause
// HTTP digest for SIP (RFC 7616, 8760, 3261 22): what a peer that challenges us is answered, and what who calls us has
// to answer. Pure: the clock is the caller's. All: Thread: control.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

#define DIGEST_FIELD 256
#define DIGEST_CHALLENGE 512 // room for a challenge of ours

enum digest_algorithm { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256, DIGEST_ALGORITHMS };

// Once at start-up (sip_stack_create does it too): libcrypto makes itself ready. Returns: 0, or -EIO where it lacks a hash.
int digest_init(void);

// The parameters of a challenge or of credentials. "": not there.
struct digest_fields {
	char username[DIGEST_FIELD], realm[DIGEST_FIELD], nonce[DIGEST_FIELD], uri[2 * DIGEST_FIELD],
		response[DIGEST_FIELD], algorithm[32], cnonce[DIGEST_FIELD], opaque[DIGEST_FIELD], qop[64], nc[16],
		stale[8];
};

// "Digest name=value, name="value", ...". Returns: 0, or -EINVAL for another scheme, a broken one, or one with a
// parameter that is too long or there twice.
int digest_parse(const char *value, struct digest_fields *out);

// --- we are challenged --------------------------------------------------------------------------------------------

// Which of several challenges is answered: the strongest of those that can be. Returns: its index, or -1.
int digest_choose(const char *const *challenges, unsigned count);

struct digest_ask {
	const char *username, *password, *method, *uri;
	const char *body; // for qop=auth-int alone
	size_t length;
	uint32_t nc;        // 1: the first use of this nonce
	const char *cnonce; // noise
};
// The value of Authorization or Proxy-Authorization. Owns: the caller frees. Returns: NULL with errno: EINVAL: it
// cannot be answered; ENOMEM.
char *digest_answer(const char *challenge, const struct digest_ask *ask);

// --- we challenge -------------------------------------------------------------------------------------------------

enum digest_verdict {
	DIGEST_GOOD,
	DIGEST_NONE,         // no credentials for our realm
	DIGEST_STALE,        // right, but for a nonce that is too old or not ours: asked again with stale=true
	DIGEST_REPLAYED,     // its nonce count was used before
	DIGEST_WRONG,        // not that password
	DIGEST_UNKNOWN_USER, // told to nobody but the log
	DIGEST_MALFORMED,
};
const char *digest_verdict_name(enum digest_verdict verdict);

struct digest_server;
// Returns: NULL for want of memory. The secret is of this process alone (getrandom).
struct digest_server *digest_server_create(const char *realm, const uint8_t secret[32]);
void digest_server_destroy(struct digest_server *server); // NULL is fine
// Two values for WWW-Authenticate, the stronger first (RFC 8760 2.4).
void digest_server_challenge(const struct digest_server *server, uint64_t now_ms, bool stale,
	char sha256[DIGEST_CHALLENGE], char md5[DIGEST_CHALLENGE]);
// Check credentials. password_of: NULL: there is no such user; the work is the same then. user: who it says it is.
enum digest_verdict digest_server_check(struct digest_server *server, uint64_t now_ms, const char *credentials,
	const char *method, const char *uri, const char *(*password_of)(void *arg, const char *user), void *arg,
	char user[DIGEST_FIELD]);

// --- who guesses is slowed down -----------------------------------------------------------------------------------

#define DIGEST_FREE 5 // failures without a pause
#define DIGEST_PAUSE_MS 1000
#define DIGEST_PAUSE_MAX_MS 60000
#define DIGEST_FORGET_MS 600000

struct digest_guess;
struct digest_guess *digest_guess_create(uint64_t secret); // NULL: no memory
void digest_guess_destroy(struct digest_guess *guess);     // NULL is fine
// May credentials from there for that user be looked at now?
bool digest_guess_admits(
	const struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms);
void digest_guess_failed(struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms);
void digest_guess_succeeded(
	struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms);
