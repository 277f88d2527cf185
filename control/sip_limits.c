// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip_limits.h"

#define BUCKETS 4096 // of the hash, power of two
#define NONE UINT16_MAX
#define WHAT 96
_Static_assert(SIP_LIMITS_SOURCES < NONE, "an index fits");

struct source {
	struct kg_addr key;  // without port, of IPv6 the /64
	struct kg_addr last; // who of them it was last
	struct sip_bucket requests, answers;
	uint64_t since_ms, refused, line_ms; // refused: since since_ms, and no line says so yet
	bool lined;                          // line_ms is one
	uint16_t chain, newer, older;
	char what[WHAT];
};

struct sip_limits {
	struct sip_limits_config config;
	uint64_t secret;
	uint64_t counts[SIP_REFUSAL_COUNT];
	struct sip_bucket strangers;
	uint16_t heads[BUCKETS], newest, oldest, count;
	struct { // what no address of the table stands for: it was pushed out, or never was in
		uint64_t since_ms, refused, line_ms;
		bool lined;
	} others;
	struct source sources[SIP_LIMITS_SOURCES];
};

static const char *const names[SIP_REFUSAL_COUNT] = {
#define NAME(word) [SIP_REFUSED_##word] = #word,
	SIP_REFUSALS(NAME)
#undef NAME
};

const char *sip_refusal_name(unsigned refusal)
{
	return refusal < SIP_REFUSAL_COUNT ? names[refusal] : NULL;
}

// --- buckets ------------------------------------------------------------------------------------------------------

static uint64_t bucket_level(const struct sip_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
	const uint64_t full = (uint64_t)burst * 1000, elapsed = now_ms - bucket->at_ms;

	// An hour fills any of ours; a longer time would only overflow.
	if (!bucket->used || elapsed > 3600000 || bucket->milli + elapsed * rate > full)
		return full;
	return bucket->milli + elapsed * rate;
}

bool sip_bucket_has(const struct sip_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
	return !rate || bucket_level(bucket, rate, burst, now_ms) >= 1000;
}

bool sip_bucket_take(struct sip_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
	uint64_t level = bucket_level(bucket, rate, burst, now_ms);

	if (!rate)
		return true;
	if (level < 1000)
		return false;
	*bucket = (struct sip_bucket){.at_ms = now_ms, .milli = level - 1000, .used = true};
	return true;
}

// --- the table of addresses ---------------------------------------------------------------------------------------

static struct kg_addr source_key(const struct kg_addr *addr)
{
	struct kg_addr key = *addr;

	key.port = 0;
	if (key.family == 6) // who has one address of it has them all
		memset(key.ip + 8, 0, 8);
	return key;
}

static unsigned key_slot(const struct sip_limits *limits, const struct kg_addr *key)
{
	uint64_t hash = limits->secret ^ key->family, word;

	for (unsigned i = 0; i < sizeof(key->ip); i += sizeof(word)) {
		memcpy(&word, key->ip + i, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
		hash = (hash + limits->secret) * 0xbf58476d1ce4e5b9u;
		hash ^= hash >> 32;
	}
	return hash & (BUCKETS - 1);
}

static void order_leave(struct sip_limits *limits, uint16_t index)
{
	struct source *source = &limits->sources[index];

	*(source->newer == NONE ? &limits->newest : &limits->sources[source->newer].older) = source->older;
	*(source->older == NONE ? &limits->oldest : &limits->sources[source->older].newer) = source->newer;
}

static void order_first(struct sip_limits *limits, uint16_t index)
{
	struct source *source = &limits->sources[index];

	source->newer = NONE;
	source->older = limits->newest;
	*(limits->newest == NONE ? &limits->oldest : &limits->sources[limits->newest].newer) = index;
	limits->newest = index;
}

static struct source *source_find(struct sip_limits *limits, const struct kg_addr *addr)
{
	const struct kg_addr key = source_key(addr);
	uint16_t index = limits->heads[key_slot(limits, &key)];

	while (index != NONE && !kg_addr_same_ip(&limits->sources[index].key, &key))
		index = limits->sources[index].chain;
	return index == NONE ? NULL : &limits->sources[index];
}

static void others_note(struct sip_limits *limits, uint64_t refused, uint64_t now_ms)
{
	if (!limits->others.refused)
		limits->others.since_ms = now_ms;
	limits->others.refused += refused;
}

// Take the one that was quiet longest out.
static uint16_t source_evict(struct sip_limits *limits, uint64_t now_ms)
{
	uint16_t index = limits->oldest;
	struct source *source = &limits->sources[index];
	uint16_t *link = &limits->heads[key_slot(limits, &source->key)];

	while (*link != index)
		link = &limits->sources[*link].chain;
	*link = source->chain;
	order_leave(limits, index);
	if (source->refused)
		others_note(limits, source->refused, now_ms);
	return index;
}

// The address' place, which is the newest then.
static struct source *source_touch(struct sip_limits *limits, const struct kg_addr *addr, uint64_t now_ms)
{
	struct source *source = source_find(limits, addr);
	uint16_t index, *head;

	if (source) {
		index = (uint16_t)(source - limits->sources);
		order_leave(limits, index);
	} else {
		index = limits->count < SIP_LIMITS_SOURCES ? limits->count++ : source_evict(limits, now_ms);
		source = &limits->sources[index];
		*source = (struct source){.key = source_key(addr), .what = "not read"};
		head = &limits->heads[key_slot(limits, &source->key)];
		source->chain = *head;
		*head = index;
	}
	source->last = *addr;
	order_first(limits, index);
	return source;
}

static void source_note(struct source *source, uint64_t now_ms)
{
	if (!source->refused++)
		source->since_ms = now_ms;
}

// --- the whole ----------------------------------------------------------------------------------------------------

struct sip_limits *sip_limits_create(const struct sip_limits_config *config, uint64_t secret)
{
	struct sip_limits *limits = calloc(1, sizeof(*limits));

	if (!limits)
		return NULL;
	limits->config = *config;
	limits->secret = secret;
	limits->newest = limits->oldest = NONE;
	memset(limits->heads, 0xff, sizeof(limits->heads));
	return limits;
}

void sip_limits_destroy(struct sip_limits *limits)
{
	free(limits);
}

void sip_limits_configure(struct sip_limits *limits, const struct sip_limits_config *config)
{
	limits->config = *config;
}

const uint64_t *sip_limits_counts(const struct sip_limits *limits)
{
	return limits->counts;
}

bool sip_limits_admits(struct sip_limits *limits, const struct kg_addr *addr, bool request, uint64_t now_ms)
{
	const struct sip_limits_config *config = &limits->config;
	struct source *source = source_find(limits, addr);

	if (source && !sip_bucket_has(&source->requests, config->source_per_s, config->source_per_s, now_ms)) {
		limits->counts[SIP_REFUSED_source_rate]++;
		if (request)
			source_note(source_touch(limits, addr, now_ms), now_ms);
		return false;
	}
	if (!request || sip_bucket_has(&limits->strangers, config->strangers_per_s, config->strangers_per_s, now_ms))
		return true;
	limits->counts[SIP_REFUSED_strangers_rate]++;
	if (source)
		source_note(source_touch(limits, addr, now_ms), now_ms);
	else // addresses are easily forged: they do not push others out
		others_note(limits, 1, now_ms);
	return false;
}

static struct source *charge(struct sip_limits *limits, const struct kg_addr *addr, uint64_t now_ms)
{
	const struct sip_limits_config *config = &limits->config;
	struct source *source = source_touch(limits, addr, now_ms);

	sip_bucket_take(&source->requests, config->source_per_s, config->source_per_s, now_ms);
	sip_bucket_take(&limits->strangers, config->strangers_per_s, config->strangers_per_s, now_ms);
	return source;
}

void sip_limits_charge(struct sip_limits *limits, const struct kg_addr *addr, uint64_t now_ms)
{
	charge(limits, addr, now_ms);
}

bool sip_limits_refuse(struct sip_limits *limits, const struct kg_addr *addr, const char *what, uint64_t now_ms)
{
	struct source *source = charge(limits, addr, now_ms);
	bool tell = limits->config.silent || sip_bucket_take(&source->answers, 1, SIP_LIMITS_ANSWERS, now_ms);

	source_note(source, now_ms);
	snprintf(source->what, sizeof(source->what), "%s", what);
	limits->counts[tell ? SIP_REFUSED_stranger : SIP_REFUSED_scan]++;
	return tell && !limits->config.silent;
}

// Lines of the head, without the first: folded ones count as one. Not more than `most` and one are looked at.
static unsigned header_lines(const char *data, size_t length, unsigned most)
{
	const char *at = data, *end = data + length;
	unsigned count = 0;

	while (count <= most && (at = memchr(at, '\n', (size_t)(end - at)))) {
		at++;
		if (at == end || *at == '\r' || *at == '\n')
			break;
		count += *at != ' ' && *at != '\t';
	}
	return count;
}

bool sip_limits_exceeds(struct sip_limits *limits, const char *data, size_t length, enum sip_refusal *why)
{
	const struct sip_limits_config *config = &limits->config;

	if (config->message_bytes && length > config->message_bytes)
		*why = SIP_REFUSED_message_bytes;
	else if (config->headers && header_lines(data, length, config->headers) > config->headers)
		*why = SIP_REFUSED_headers;
	else
		return false;
	limits->counts[*why]++;
	return true;
}

// --- lines --------------------------------------------------------------------------------------------------------

static bool is_due(const struct source *source, uint64_t now_ms)
{
	if (!source->refused || (source->lined && now_ms - source->line_ms < SIP_LIMITS_LINE_MS))
		return false;
	return source->refused >= SIP_LIMITS_SCAN || now_ms - source->since_ms >= SIP_LIMITS_GATHER_MS;
}

// The address comes before what the stranger wrote, so that nobody can name another's.
static void source_line(struct source *source, uint64_t now_ms, char *out, size_t size)
{
	char ip[KG_ADDR_STRLEN];

	snprintf(out, size, "strangers: refused %llu request%s from %s in %llu s (last: %s)",
		(unsigned long long)source->refused, source->refused == 1 ? "" : "s",
		kg_addr_ip(&source->last, ip, sizeof(ip)),
		(unsigned long long)((now_ms - source->since_ms + 999) / 1000), source->what);
	source->refused = 0;
	source->line_ms = now_ms;
	source->lined = true;
}

static bool others_line(struct sip_limits *limits, uint64_t now_ms, char *out, size_t size)
{
	uint64_t took_ms = now_ms - limits->others.since_ms;

	if (!limits->others.refused || took_ms < SIP_LIMITS_GATHER_MS ||
		(limits->others.lined && now_ms - limits->others.line_ms < SIP_LIMITS_LINE_MS))
		return false;
	snprintf(out, size, "strangers: refused %llu more requests in %llu s, from more addresses than are listed",
		(unsigned long long)limits->others.refused, (unsigned long long)((took_ms + 999) / 1000));
	limits->others.refused = 0;
	limits->others.line_ms = now_ms;
	limits->others.lined = true;
	return true;
}

bool sip_limits_line(struct sip_limits *limits, uint64_t now_ms, char *out, size_t size)
{
	for (unsigned i = 0; i < limits->count; i++) {
		struct source *source = &limits->sources[i];

		if (is_due(source, now_ms)) {
			source_line(source, now_ms, out, size);
			return true;
		}
	}
	return others_line(limits, now_ms, out, size);
}

bool sip_limits_waits(const struct sip_limits *limits)
{
	for (unsigned i = 0; i < limits->count; i++)
		if (limits->sources[i].refused)
			return true;
	return limits->others.refused > 0;
}

unsigned sip_limits_retry_after(const struct kg_addr *source)
{
	uint32_t hash = 2166136261u ^ source->port;

	for (unsigned i = 0; i < sizeof(source->ip); i++)
		hash = (hash ^ source->ip[i]) * 16777619u;
	hash ^= hash >> 16;
	return 5 + hash % 11;
}
