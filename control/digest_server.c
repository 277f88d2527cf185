// SPDX-License-Identifier: BSD-3-Clause
// The side that challenges. A nonce says when it was made and proves that it is ours: nothing is kept for one that
// nobody uses. Of those in use the counts that were seen are kept, so that nothing is taken twice.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "digest_sums.h"
#include "sip_msg.h"
#include "sip_table.h"

#define NONCE_LIFE_MS 300000
#define NONCE_NOISE 16
#define NONCE_PROOF 32 // hex characters of its HMAC
#define IN_USE 4096    // power of two; the place of one is taken by the next that falls on it
#define WINDOW 64

struct in_use {
	char nonce[80];
	uint32_t highest;
	uint64_t seen;     // counts highest-63 .. highest: bit 0 is highest
	uint64_t floor_ms; // other nonces that fall here and were made before this may have been used: they are past
};

struct digest_server {
	char realm[DIGEST_FIELD];
	uint8_t secret[32];
	struct in_use *in_use;
};

const char *digest_verdict_name(enum digest_verdict verdict)
{
	static const char *const names[] = {
		"good", "no_credentials", "stale", "replayed", "wrong_password", "unknown_user", "malformed"};

	return names[verdict];
}

struct digest_server *digest_server_create(const char *realm, const uint8_t secret[32])
{
	struct digest_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->in_use = calloc(IN_USE, sizeof(*server->in_use));
	if (!server->in_use) {
		free(server);
		return NULL;
	}
	snprintf(server->realm, sizeof(server->realm), "%s", realm);
	memcpy(server->secret, secret, sizeof(server->secret));
	return server;
}

void digest_server_destroy(struct digest_server *server)
{
	if (!server)
		return;
	OPENSSL_cleanse(server->secret, sizeof(server->secret));
	free(server->in_use);
	free(server);
}

// --- nonces -------------------------------------------------------------------------------------------------------

static void proof_make(const struct digest_server *server, const char *text, size_t length, char out[NONCE_PROOF + 1])
{
	// The secret before and behind: nobody can lengthen what he has seen, and each text is of one length.
	char hex[DIGEST_HEX] = "";
	const char *const parts[] = {(const char *)server->secret, text, (const char *)server->secret, NULL};
	const size_t lengths[] = {sizeof(server->secret), length, sizeof(server->secret)};

	if (digest_sum(DIGEST_SHA256, hex, parts, lengths) != 0)
		sip_random_hex(hex, NONCE_PROOF); // no memory: a proof that fits nothing
	snprintf(out, NONCE_PROOF + 1, "%.*s", NONCE_PROOF, hex);
}

// TIME.NOISE.PROOF
static void nonce_make(const struct digest_server *server, uint64_t now_ms, char out[80])
{
	char noise[NONCE_NOISE + 1], proof[NONCE_PROOF + 1];
	int length;

	sip_random_hex(noise, NONCE_NOISE);
	length = snprintf(out, 80, "%012llx%s", (unsigned long long)now_ms, noise);
	proof_make(server, out, (size_t)length, proof);
	strcat(out, proof);
}

static bool nonce_is_ours(const struct digest_server *server, const char *nonce)
{
	const size_t head = 12 + NONCE_NOISE;
	char proof[NONCE_PROOF + 1];

	if (strlen(nonce) != head + NONCE_PROOF)
		return false;
	proof_make(server, nonce, head, proof);
	return CRYPTO_memcmp(proof, nonce + head, NONCE_PROOF) == 0;
}

static uint64_t nonce_made_ms(const char *nonce)
{
	char text[13];

	snprintf(text, sizeof(text), "%.12s", nonce);
	return strtoull(text, NULL, 16);
}

// Its place, by its proof: nobody chooses that.
static struct in_use *nonce_place(const struct digest_server *server, const char *nonce)
{
	char slot[5];

	snprintf(slot, sizeof(slot), "%.4s", nonce + 12 + NONCE_NOISE);
	return &server->in_use[strtoul(slot, NULL, 16) & (IN_USE - 1)];
}

static bool nonce_is_fresh(const struct digest_server *server, const char *nonce, uint64_t now_ms)
{
	const struct in_use *use = nonce_place(server, nonce);
	uint64_t made_ms = nonce_made_ms(nonce);

	return made_ms <= now_ms && now_ms - made_ms < NONCE_LIFE_MS &&
	       (made_ms >= use->floor_ms || strcmp(use->nonce, nonce) == 0);
}

// Take note of a count. Returns: false where it was used before, or is too far behind to know.
static bool count_take(struct digest_server *server, const char *nonce, uint32_t count, uint64_t now_ms)
{
	struct in_use *use = nonce_place(server, nonce);
	uint32_t ahead;

	if (strcmp(use->nonce, nonce) != 0) {
		if (*use->nonce)
			use->floor_ms = now_ms + 1;
		snprintf(use->nonce, sizeof(use->nonce), "%s", nonce);
		use->highest = count;
		use->seen = 1;
		return true;
	}
	if (count > use->highest) {
		ahead = count - use->highest;
		use->seen = ahead < WINDOW ? use->seen << ahead | 1 : 1;
		use->highest = count;
		return true;
	}
	ahead = use->highest - count;
	if (ahead >= WINDOW || use->seen >> ahead & 1)
		return false;
	use->seen |= (uint64_t)1 << ahead;
	return true;
}

// --- challenge and check ------------------------------------------------------------------------------------------

void digest_server_challenge(const struct digest_server *server, uint64_t now_ms, bool stale,
	char sha256[DIGEST_CHALLENGE], char md5[DIGEST_CHALLENGE])
{
	static const char fmt[] = "Digest realm=\"%s\", nonce=\"%s\", algorithm=%s, qop=\"auth\"%s";
	char nonce[80];

	nonce_make(server, now_ms, nonce);
	snprintf(sha256, DIGEST_CHALLENGE, fmt, server->realm, nonce, "SHA-256", stale ? ", stale=true" : "");
	snprintf(md5, DIGEST_CHALLENGE, fmt, server->realm, nonce, "MD5", stale ? ", stale=true" : "");
}

// RFC 7616 3.4.6: it must mean this request. Proxies rewrite its host or parameters, so those need not be the same.
static bool uri_fits(const char *said, const char *uri)
{
	struct sip_uri a, b;

	if (strcmp(said, uri) == 0)
		return true;
	return sip_uri_parse(said, &a) == 0 && sip_uri_parse(uri, &b) == 0 && strcmp(a.user, b.user) == 0 &&
	       strcasecmp(a.host, b.host) == 0;
}

static bool is_well_formed(const struct digest_fields *f, const char *uri)
{
	enum digest_algorithm algorithm;
	bool session;

	return *f->username && *f->nonce && *f->response && strcasecmp(f->qop, "auth") == 0 && *f->cnonce &&
	       strlen(f->nc) == 8 && strspn(f->nc, "0123456789abcdefABCDEF") == 8 && uri_fits(f->uri, uri) &&
	       digest_algorithm(f->algorithm, &algorithm, &session) && !session && algorithm != DIGEST_SHA512_256;
}

enum digest_verdict digest_server_check(struct digest_server *server, uint64_t now_ms, const char *credentials,
	const char *method, const char *uri, const char *(*password_of)(void *arg, const char *user), void *arg,
	char user[DIGEST_FIELD])
{
	char expected[DIGEST_HEX] = "";
	const char *password;
	struct digest_fields f;
	uint32_t count;
	bool right;

	user[0] = '\0';
	if (!credentials)
		return DIGEST_NONE;
	if (digest_parse(credentials, &f) != 0)
		return DIGEST_MALFORMED;
	if (strcmp(f.realm, server->realm) != 0)
		return DIGEST_NONE;
	if (!is_well_formed(&f, uri))
		return DIGEST_MALFORMED;
	snprintf(user, DIGEST_FIELD, "%s", f.username);
	password = password_of(arg, f.username);
	// The same sums for a user that is none: time tells nothing.
	if (digest_response(&f, f.username, password ? password : "", method, NULL, 0, expected) != 0)
		return DIGEST_MALFORMED;
	right = strlen(f.response) == strlen(expected) && CRYPTO_memcmp(f.response, expected, strlen(expected)) == 0;
	if (!password)
		return DIGEST_UNKNOWN_USER;
	if (!right)
		return DIGEST_WRONG;
	count = (uint32_t)strtoul(f.nc, NULL, 16);
	if (!nonce_is_ours(server, f.nonce) || !nonce_is_fresh(server, f.nonce, now_ms))
		return DIGEST_STALE;
	return count_take(server, f.nonce, count, now_ms) ? DIGEST_GOOD : DIGEST_REPLAYED;
}
