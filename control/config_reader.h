// SPDX-License-Identifier: BSD-3-Clause
// How the schema table is walked over a YAML document. libfyaml's types stop in config.c and config_schema.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <libfyaml.h>

#include "config.h"

struct reader {
	const char *file;
	config_report_fn report;
	void *arg;
	unsigned errors;
	char path[160]; // "trunks[0].target"
	int line;       // of the key at hand, for values that have no line of their own
	struct config *config;
};

enum schema_kind {
	SCHEMA_MAP,    // keys
	SCHEMA_LIST,   // of maps: keys, size of an item, offset of its pointer, count_offset
	SCHEMA_TEXT,   // char[size] at offset
	SCHEMA_STRING, // char * at offset, heap
	SCHEMA_NUMBER, // uint32_t at offset, min to max
	SCHEMA_WORD,   // int at offset: index into words
	SCHEMA_CHOICE, // bool at offset: false for the first word, true for the second
	SCHEMA_OWN,    // set() reads it
	SCHEMA_LATER,  // a key that this engine does not know yet: refused, `help` says what works instead
};

struct schema {
	const char *key;
	enum schema_kind kind;
	bool required;
	size_t offset, count_offset, size;
	unsigned long min, max, number; // number: the default
	const char *text;               // the default
	const char *const *words;
	const struct schema *keys;
	void (*set)(struct reader *reader, struct fy_node *node, void *object);
	void (*item)(void *object); // a new item's defaults that the table cannot say
	void (*done)(struct reader *reader, struct fy_node *node, const struct config *config); // after a list
	const char *help;                                                                       // what to write
};

extern const struct schema config_schema[];  // the file's top level
void config_defaults(struct config *config); // what the table cannot say

// Report "FILE:LINE: KEY: ..." at a node (NULL: at the key).
void reader_wrong(struct reader *reader, struct fy_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
// A scalar's text, or NULL (reported, with `help`). Lives as long as the document.
const char *reader_text(struct reader *reader, struct fy_node *node, const char *help);
// A whole number in a range. Returns: false where it is none (reported).
bool reader_number(
	struct reader *reader, struct fy_node *node, unsigned long min, unsigned long max, unsigned long *out);
// Call fn for each item of a list, with [i] in the path. A scalar counts as a list of one.
void reader_each(struct reader *reader, struct fy_node *node, const char *help,
	void (*fn)(struct reader *reader, struct fy_node *item, void *object), void *object);
void reader_map(struct reader *reader, struct fy_node *node, const struct schema *keys, void *object);
