// SPDX-License-Identifier: BSD-3-Clause
// A hash table of intrusive items by string key, for what peers name: its hash is keyed by a secret (SipHash), so that
// nobody can choose names that collide.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sip_table_item {
	struct sip_table_item *next;
	uint64_t hash;
	const char *key; // the item owner's; unchanged while the item is in the table
};

struct sip_table {
	struct sip_table_item **slots;
	size_t slot_count, count;
	uint64_t secret[2];
};

int sip_table_init(struct sip_table *table); // 0, -ENOMEM
void sip_table_fini(struct sip_table *table);
uint64_t sip_table_hash(const struct sip_table *table, const char *key);
void sip_table_put(struct sip_table *table, struct sip_table_item *item, const char *key);
void sip_table_remove(struct sip_table *table, struct sip_table_item *item);
// Returns: NULL where none has that key. Several may have it: find_next gives the others.
struct sip_table_item *sip_table_find(const struct sip_table *table, const char *key);
struct sip_table_item *sip_table_find_next(const struct sip_table_item *item);

// `length` characters (even, at most 64) of hexadecimal noise and a NUL into `out`, for tags, branches and Call-IDs.
void sip_random_hex(char *out, size_t length);
