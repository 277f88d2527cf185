// SPDX-License-Identifier: BSD-3-Clause
// Who proves to be whom (RFC 3261 22): endpoints to us, we to trunks.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "digest.h"
#include "sip_stack.h"

#define CNONCE 16

int auth_open(struct sip_stack *stack)
{
	uint8_t secret[32];
	uint64_t guess;

	if (digest_init() != 0)
		return -EIO;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret) ||
		getrandom(&guess, sizeof(guess), 0) != sizeof(guess))
		return -EIO; // cannot be for that few bytes
	stack->digest = digest_server_create(stack->options.realm ? stack->options.realm : "kedge", secret);
	stack->guess = digest_guess_create(guess);
	return stack->digest && stack->guess ? 0 : -ENOMEM;
}

void auth_close(struct sip_stack *stack)
{
	digest_server_destroy(stack->digest);
	digest_guess_destroy(stack->guess);
}

static uint64_t now_ms(const struct sip_stack *stack)
{
	return wheel_now_ms(stack->options.wheel);
}

// --- endpoints ----------------------------------------------------------------------------------------------------

// Without a transaction: who asks may be anybody.
static void challenge(struct sip_stack *stack, struct sip_msg *msg, bool stale)
{
	struct sip_msg *response = sip_msg_response(msg, 401, NULL, "challenge");
	char sha256[DIGEST_CHALLENGE], md5[DIGEST_CHALLENGE];
	int error = response ? 0 : -ENOMEM;

	digest_server_challenge(stack->digest, now_ms(stack), stale, sha256, md5);
	if (!error)
		error = sip_msg_add(response, "WWW-Authenticate", sha256);
	if (!error)
		error = sip_msg_add(response, "WWW-Authenticate", md5);
	if (!error)
		error = sip_msg_add(response, "Server", stack->user_agent);
	if (!error)
		sip_txs_reply(stack->txs, msg, response);
	else
		stack_drop(stack, "no_memory");
	stack->counts.challenges++;
	sip_msg_unref(response);
}

// Of several credentials those for our realm count.
static enum digest_verdict credentials_check(struct sip_stack *stack, struct sip_msg *msg, char user[DIGEST_FIELD])
{
	enum digest_verdict verdict = DIGEST_NONE;
	const char *value;

	for (unsigned i = 0; verdict == DIGEST_NONE && (value = sip_msg_header(msg, "Authorization", i)); i++)
		verdict = digest_server_check(stack->digest, now_ms(stack), value, sip_msg_method_name(msg),
			sip_msg_request_uri(msg), stack->options.password_of, stack->options.arg, user);
	return verdict;
}

// Is this name guessed at just now? Then nobody looks at its credentials, and nothing is answered.
static bool is_paused(struct sip_stack *stack, const struct sip_msg *msg)
{
	const char *value = sip_msg_header(msg, "Authorization", 0);
	struct digest_fields fields;

	return value && digest_parse(value, &fields) == 0 &&
	       !digest_guess_admits(stack->guess, sip_msg_source(msg), fields.username, now_ms(stack));
}

bool auth_admits(struct sip_stack *stack, struct sip_msg *msg, char user[DIGEST_FIELD])
{
	const struct kg_addr *source = sip_msg_source(msg);
	enum digest_verdict verdict;
	char addr[KG_ADDR_STRLEN];

	if (is_paused(stack, msg)) {
		stack_drop(stack, "auth_paused");
		return false;
	}
	verdict = credentials_check(stack, msg, user);
	if (verdict == DIGEST_GOOD) {
		digest_guess_succeeded(stack->guess, source, user, now_ms(stack));
		return true;
	}
	if (verdict != DIGEST_NONE && verdict != DIGEST_STALE) {
		stack->counts.auth_failures++;
		stack_log(stack, KG_LOG_WARN, msg, "%s as \"%.64s\" from %s: refused", digest_verdict_name(verdict),
			user, kg_addr_text(source, addr, sizeof(addr)));
	}
	if (verdict == DIGEST_WRONG || verdict == DIGEST_UNKNOWN_USER)
		digest_guess_failed(stack->guess, source, user, now_ms(stack));
	challenge(stack, msg, verdict == DIGEST_STALE || verdict == DIGEST_REPLAYED);
	return false;
}

bool auth_wanted(const struct sip_stack *stack)
{
	return stack->options.has_endpoints && stack->options.has_endpoints(stack->options.arg);
}

// --- trunks -------------------------------------------------------------------------------------------------------

int auth_answer(struct sip_msg *request, const struct sip_msg *challenge_msg, const char *username,
	const char *password, char **realm, char **out)
{
	bool proxy = sip_msg_status(challenge_msg) == 407;
	const char *name = proxy ? "Proxy-Authenticate" : "WWW-Authenticate", *values[8], *body;
	char cnonce[CNONCE + 1];
	unsigned count = 0;
	struct digest_ask ask = {.username = username,
		.password = password,
		.method = sip_msg_method_name(request),
		.uri = sip_msg_request_uri(request),
		.nc = 1,
		.cnonce = cnonce};
	struct digest_fields fields;
	int chosen;

	while (count < 8 && (values[count] = sip_msg_header(challenge_msg, name, count)))
		count++;
	chosen = digest_choose(values, count);
	if (chosen < 0 || digest_parse(values[chosen], &fields) != 0)
		return -ENOTSUP;
	// The same realm again, and not for a nonce that is too old: our password is not the right one.
	if (*realm && strcmp(fields.realm, *realm) == 0 && strcasecmp(fields.stale, "true") != 0)
		return -EACCES;
	free(*realm);
	*realm = strdup(fields.realm);
	if (!*realm)
		return -ENOMEM;
	body = sip_msg_body(request, &ask.length);
	ask.body = body;
	sip_random_hex(cnonce, CNONCE);
	*out = digest_answer(values[chosen], &ask);
	return *out ? 0 : -errno;
}
