// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sip_table.h"

#define SLOTS_MIN 64

static void random_fill(void *out, size_t size)
{
	while (getrandom(out, size, 0) != (ssize_t)size) // up to 256 bytes come whole, once the kernel has any
		;
}

int sip_table_init(struct sip_table *table)
{
	memset(table, 0, sizeof(*table));
	table->slots = calloc(SLOTS_MIN, sizeof(struct sip_table_item *));
	if (!table->slots)
		return -ENOMEM;
	table->slot_count = SLOTS_MIN;
	random_fill(table->secret, sizeof(table->secret));
	return 0;
}

void sip_table_fini(struct sip_table *table)
{
	free(table->slots);
	memset(table, 0, sizeof(*table));
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

// SipHash-1-3 (Aumasson and Bernstein) with the parameters that Rust and Linux use for tables.
uint64_t sip_table_hash(const struct sip_table *table, const char *key)
{
	uint64_t v[4] = {table->secret[0] ^ 0x736f6d6570736575ull, table->secret[1] ^ 0x646f72616e646f6dull,
		table->secret[0] ^ 0x6c7967656e657261ull, table->secret[1] ^ 0x7465646279746573ull};
	size_t length = strlen(key), left = length;
	uint64_t word;

	for (; left >= 8; left -= 8, key += 8) {
		memcpy(&word, key, 8);
		v[3] ^= word;
		mix(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, key, left);
	word |= (uint64_t)length << 56;
	v[3] ^= word;
	mix(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void table_grow(struct sip_table *table)
{
	size_t count = table->slot_count * 2;
	struct sip_table_item **slots = calloc(count, sizeof(struct sip_table_item *));

	if (!slots)
		return; // longer chains, nothing worse
	for (size_t i = 0; i < table->slot_count; i++) {
		struct sip_table_item *item = table->slots[i], *next;

		for (; item; item = next) {
			next = item->next;
			item->next = slots[item->hash & (count - 1)];
			slots[item->hash & (count - 1)] = item;
		}
	}
	free(table->slots);
	table->slots = slots;
	table->slot_count = count;
}

void sip_table_put(struct sip_table *table, struct sip_table_item *item, const char *key)
{
	struct sip_table_item **slot;

	if (table->count >= table->slot_count)
		table_grow(table);
	item->key = key;
	item->hash = sip_table_hash(table, key);
	slot = &table->slots[item->hash & (table->slot_count - 1)];
	item->next = *slot;
	*slot = item;
	table->count++;
}

void sip_table_remove(struct sip_table *table, struct sip_table_item *item)
{
	struct sip_table_item **slot = &table->slots[item->hash & (table->slot_count - 1)];

	while (*slot && *slot != item)
		slot = &(*slot)->next;
	if (!*slot)
		return;
	*slot = item->next;
	table->count--;
}

static struct sip_table_item *chain_find(struct sip_table_item *item, uint64_t hash, const char *key)
{
	while (item && (item->hash != hash || strcmp(item->key, key) != 0))
		item = item->next;
	return item;
}

struct sip_table_item *sip_table_find(const struct sip_table *table, const char *key)
{
	uint64_t hash = sip_table_hash(table, key);

	return chain_find(table->slots[hash & (table->slot_count - 1)], hash, key);
}

struct sip_table_item *sip_table_find_next(const struct sip_table_item *item)
{
	return chain_find(item->next, item->hash, item->key);
}

void sip_random_hex(char *out, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char noise[32];

	random_fill(noise, length / 2);
	for (size_t i = 0; i < length / 2; i++) {
		out[2 * i] = digits[noise[i] >> 4];
		out[2 * i + 1] = digits[noise[i] & 15];
	}
	out[length / 2 * 2] = '\0';
}
