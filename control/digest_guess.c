// SPDX-License-Identifier: BSD-3-Clause
// Failures by source and by user, in two tables of fixed size: a place is taken by the next that falls on it, so who
// guesses from many addresses is met by the user's row, and who tries many users by the source's. Who has proved itself
// from there lately is not kept out by others that guess at its name.

#include <stdlib.h>
#include <string.h>

#include "digest.h"

#define ROWS 4096 // power of two
#define PROVED_MS 3600000

struct row {
	uint64_t key;
	uint64_t last_ms;
	uint32_t failures;
};

struct digest_guess {
	uint64_t secret;
	struct row sources[ROWS], users[ROWS], proved[ROWS];
};

struct digest_guess *digest_guess_create(uint64_t secret)
{
	struct digest_guess *guess = calloc(1, sizeof(*guess));

	if (guess)
		guess->secret = secret;
	return guess;
}

void digest_guess_destroy(struct digest_guess *guess)
{
	free(guess);
}

// Keyed, so that nobody can choose whose place he takes (FNV-1a over the secret, then mixed).
static uint64_t hash(uint64_t secret, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t h = 14695981039346656037u ^ secret;

	for (size_t i = 0; i < length; i++)
		h = (h ^ bytes[i]) * 1099511628211u;
	h ^= h >> 31;
	h *= 0x9e3779b97f4a7c15u ^ secret >> 7 << 1;
	return h ^ h >> 29;
}

static uint64_t source_key(const struct digest_guess *guess, const struct kg_addr *source)
{
	return hash(guess->secret, source->ip, source->family == 6 ? 8 : 4); // IPv6: its /64
}

static bool row_admits(const struct row *rows, uint64_t key, uint64_t now_ms)
{
	const struct row *row = &rows[key & (ROWS - 1)];
	uint64_t pause_ms = DIGEST_PAUSE_MS;

	if (row->key != key || row->failures < DIGEST_FREE || now_ms - row->last_ms >= DIGEST_FORGET_MS)
		return true;
	for (uint32_t i = DIGEST_FREE; i < row->failures && pause_ms < DIGEST_PAUSE_MAX_MS; i++)
		pause_ms *= 2;
	if (pause_ms > DIGEST_PAUSE_MAX_MS)
		pause_ms = DIGEST_PAUSE_MAX_MS;
	return now_ms - row->last_ms >= pause_ms;
}

static void row_failed(struct row *rows, uint64_t key, uint64_t now_ms)
{
	struct row *row = &rows[key & (ROWS - 1)];

	if (row->key != key || now_ms - row->last_ms >= DIGEST_FORGET_MS)
		*row = (struct row){.key = key};
	row->failures++;
	row->last_ms = now_ms;
}

static void row_clear(struct row *rows, uint64_t key)
{
	struct row *row = &rows[key & (ROWS - 1)];

	if (row->key == key)
		row->failures = 0;
}

static uint64_t pair_key(const struct digest_guess *guess, const struct kg_addr *source, const char *user)
{
	return source_key(guess, source) ^ hash(guess->secret + 1, user, strlen(user));
}

bool digest_guess_admits(
	const struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms)
{
	uint64_t pair = pair_key(guess, source, user);
	const struct row *proved = &guess->proved[pair & (ROWS - 1)];

	if (!row_admits(guess->sources, source_key(guess, source), now_ms))
		return false;
	return (proved->key == pair && now_ms - proved->last_ms < PROVED_MS) ||
	       row_admits(guess->users, hash(guess->secret, user, strlen(user)), now_ms);
}

void digest_guess_failed(struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms)
{
	row_failed(guess->sources, source_key(guess, source), now_ms);
	row_failed(guess->users, hash(guess->secret, user, strlen(user)), now_ms);
}

void digest_guess_succeeded(struct digest_guess *guess, const struct kg_addr *source, const char *user, uint64_t now_ms)
{
	uint64_t pair = pair_key(guess, source, user);

	guess->proved[pair & (ROWS - 1)] = (struct row){.key = pair, .last_ms = now_ms};
	row_clear(guess->sources, source_key(guess, source));
	row_clear(guess->users, hash(guess->secret, user, strlen(user)));
}
