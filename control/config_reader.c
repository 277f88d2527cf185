// SPDX-License-Identifier: BSD-3-Clause
// Walks the schema table over a YAML document: finds each key's value, checks its kind, stores it, and names what is
// wrong.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define MAX_ITEMS 4096
#define NAME "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// --- reporting ------------------------------------------------------------------------------------------------------

// Where a node begins, counted from 1; 0 where it is empty.
static int node_line(struct fy_node *node)
{
	void *at = NULL;
	const struct fy_mark *mark;

	if (!node)
		return 0;
	switch (fy_node_get_type(node)) {
	case FYNT_SCALAR:
		mark = fy_token_start_mark(fy_node_get_scalar_token(node));
		return mark ? mark->line + 1 : 0;
	case FYNT_SEQUENCE:
		return node_line(fy_node_sequence_iterate(node, &at));
	case FYNT_MAPPING:
		return node_line(fy_node_pair_key(fy_node_mapping_iterate(node, &at)));
	}
	return 0;
}

#define LINE 1024

static void make_line(const struct reader *reader, struct fy_node *node, char *out, const char *fmt, va_list args)
{
	int line = node_line(node) ? node_line(node) : reader->line;
	char message[512];

	vsnprintf(message, sizeof(message), fmt, args);
	snprintf(out, LINE, "%s:%d: %s: %s", reader->file, line > 0 ? line : 1, *reader->path ? reader->path : "file",
		message);
	for (; *out; out++) // a quoted value may hold line ends: an error stays one line
		if ((unsigned char)*out < 0x20)
			*out = ' ';
}

void reader_wrong(struct reader *reader, struct fy_node *node, const char *fmt, ...)
{
	char line[LINE];
	va_list args;

	va_start(args, fmt);
	make_line(reader, node, line, fmt, args);
	va_end(args);
	reader->errors++;
	reader->report(line, reader->arg);
}

void reader_note(struct reader *reader, struct fy_node *node, const char *fmt, ...)
{
	char line[LINE];
	va_list args;

	va_start(args, fmt);
	make_line(reader, node, line, fmt, args);
	va_end(args);
	kg_warn("config", "%s", line);
}

// --- values ---------------------------------------------------------------------------------------------------------

// What stands there instead of what should.
static const char *kind_name(struct fy_node *node)
{
	if (node && fy_node_is_alias(node))
		return "an alias (this file knows none)";
	if (!node || (fy_node_is_scalar(node) && !*fy_node_get_scalar0(node)))
		return "empty";
	switch (fy_node_get_type(node)) {
	case FYNT_MAPPING:
		return "keys";
	case FYNT_SEQUENCE:
		return "a list";
	default:
		return "one value";
	}
}

const char *reader_text(struct reader *reader, struct fy_node *node, const char *help)
{
	const char *text =
		node && fy_node_is_scalar(node) && !fy_node_is_alias(node) ? fy_node_get_scalar0(node) : NULL;

	if (text && *text)
		return text;
	reader_wrong(reader, node, "is %s: %s", kind_name(node), help);
	return NULL;
}

void *reader_grow(struct reader *reader, struct fy_node *node, void *list, size_t *count, size_t size, size_t most)
{
	char **items = list, *grown;

	if (*count >= most) {
		reader_wrong(reader, node, "is one too many: write at most %zu", most);
		return NULL;
	}
	grown = realloc(*items, (*count + 1) * size);
	if (!grown) {
		reader_wrong(reader, node, "finds no memory: write less");
		return NULL;
	}
	*items = grown;
	return memset(grown + (*count)++ * size, 0, size);
}

char *reader_copy(struct reader *reader, struct fy_node *node, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		reader_wrong(reader, node, "finds no memory: write less");
	return copy;
}

bool reader_number(
	struct reader *reader, struct fy_node *node, unsigned long min, unsigned long max, unsigned long *out)
{
	char help[96], *end;
	const char *text;

	snprintf(help, sizeof(help), "write a number from %lu to %lu", min, max);
	text = reader_text(reader, node, help);
	if (!text)
		return false;
	errno = 0;
	*out = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || *out < min || *out > max) {
		reader_wrong(reader, node, "\"%.60s\" does not fit: %s", text, help);
		return false;
	}
	return true;
}

void reader_each(struct reader *reader, struct fy_node *node, const char *help,
	void (*fn)(struct reader *reader, struct fy_node *item, void *object), void *object)
{
	size_t length = strlen(reader->path);
	struct fy_node *item;
	unsigned i = 0;
	void *at = NULL;

	if (!node || fy_node_get_type(node) == FYNT_MAPPING || (fy_node_is_scalar(node) && fy_node_is_alias(node))) {
		reader_wrong(reader, node, "is %s: %s", kind_name(node), help);
		return;
	}
	if (fy_node_is_scalar(node)) {
		fn(reader, node, object);
		return;
	}
	while ((item = fy_node_sequence_iterate(node, &at))) {
		snprintf(reader->path + length, sizeof(reader->path) - length, "[%u]", i++);
		if (i > MAX_ITEMS) {
			reader_wrong(reader, item, "is one too many: write at most %d", MAX_ITEMS);
			break;
		}
		fn(reader, item, object);
	}
	reader->path[length] = '\0';
}

// --- the walk -------------------------------------------------------------------------------------------------------

static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], n = (unsigned)strlen(b);

	if (n >= 64)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0]++;

		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

// An unknown key is most often a known one with a slip. One without a value may be a value ("password:SECRET" lacks a
// space), and so may what stands behind a key's first word: these are not repeated.
static void unknown_key(
	struct reader *reader, struct fy_node *node, const char *key, const struct schema *keys, bool alone)
{
	const struct schema *nearest = NULL;
	size_t length = strlen(reader->path), word = strspn(key, NAME);
	char known[400] = "";
	unsigned best = 3;

	for (const struct schema *schema = keys; schema->key; schema++) {
		unsigned d = strlen(key) < 64 ? distance(key, schema->key) : 99;

		if (d < best && 2 * d < strlen(key)) {
			best = d;
			nearest = schema;
		}
		if (schema->kind != SCHEMA_LATER)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", *known ? ", " : "",
				schema->key);
	}
	if (alone && !nearest) {
		reader_wrong(
			reader, node, "holds a key without a value: write KEY: VALUE, with a space behind the colon");
		return;
	}
	snprintf(reader->path + length, sizeof(reader->path) - length, "%s%.*s", length ? "." : "",
		(int)(word < 60 ? word : 60), key);
	if (nearest)
		reader_wrong(reader, node, "is no key: did you mean %s?", nearest->key);
	else
		reader_wrong(reader, node, "is no key: write one of %s", known);
}

static const struct schema *schema_find(const struct schema *keys, const char *key)
{
	for (; keys->key; keys++)
		if (strcmp(keys->key, key) == 0)
			return keys;
	return NULL;
}

static void set_default(const struct schema *schema, char *object)
{
	char *at = object + schema->offset;

	if (schema->kind == SCHEMA_NUMBER)
		*(uint32_t *)at = (uint32_t)schema->number;
	else if (schema->kind == SCHEMA_CHOICE)
		*(bool *)at = schema->number == 1;
	else if (schema->kind == SCHEMA_WORD)
		*(int *)at = (int)schema->number;
	else if (schema->kind == SCHEMA_STRING && schema->text)
		*(char **)at = strdup(schema->text);
	else if (schema->kind == SCHEMA_MAP)
		reader_defaults(schema->keys, object);
}

void reader_defaults(const struct schema *keys, void *object)
{
	for (; keys->key; keys++)
		set_default(keys, object);
}

static void set_word(struct reader *reader, struct fy_node *node, const struct schema *schema, char *object)
{
	const char *text = reader_text(reader, node, schema->help);

	if (!text)
		return;
	for (int i = 0; schema->words[i]; i++) {
		if (strcmp(schema->words[i], text) == 0) {
			if (schema->kind == SCHEMA_CHOICE)
				*(bool *)(object + schema->offset) = i == 1;
			else
				*(int *)(object + schema->offset) = i;
			return;
		}
	}
	reader_wrong(reader, node, "\"%.60s\" is not known here: %s", text, schema->help);
}

static void set_text(struct reader *reader, struct fy_node *node, const struct schema *schema, char *object)
{
	const char *text = reader_text(reader, node, schema->help);
	size_t most;

	if (!text)
		return;
	most = schema->kind == SCHEMA_STRING ? schema->max : schema->size - 1;
	if (strlen(text) > most) {
		reader_wrong(reader, node, "is too long: write at most %zu characters", most);
	} else if (schema->kind == SCHEMA_NAME && text[strspn(text, NAME)]) {
		reader_wrong(reader, node, "\"%.60s\" is no name: write letters, digits, - _ . only", text);
	} else if (schema->kind == SCHEMA_STRING) {
		free(*(char **)(object + schema->offset));
		*(char **)(object + schema->offset) = reader_copy(reader, node, text);
	} else {
		strcpy(object + schema->offset, text);
	}
}

struct list {
	const struct schema *schema;
	char *object;
};

static void add_item(struct reader *reader, struct fy_node *node, void *arg)
{
	const struct list *list = arg;
	char *item = reader_grow(reader, node, list->object + list->schema->offset,
		(size_t *)(list->object + list->schema->count_offset), list->schema->size, MAX_ITEMS);

	if (!item)
		return;
	if (list->schema->item)
		list->schema->item(item);
	reader_defaults(list->schema->keys, item);
	if (fy_node_get_type(node) != FYNT_MAPPING)
		reader_wrong(reader, node, "is %s: %s", kind_name(node), list->schema->help);
	else
		reader_map(reader, node, list->schema->keys, item);
}

static void set(struct reader *reader, struct fy_node *node, const struct schema *schema, char *object)
{
	unsigned long number;

	switch (schema->kind) {
	case SCHEMA_MAP:
		if (node && fy_node_get_type(node) == FYNT_MAPPING)
			reader_map(reader, node, schema->keys, object);
		else
			reader_wrong(reader, node, "is %s: %s", kind_name(node), schema->help);
		break;
	case SCHEMA_LIST:
		if (node && fy_node_is_sequence(node))
			reader_each(reader, node, schema->help, add_item, &(struct list){schema, object});
		else
			reader_wrong(reader, node, "is %s: %s", kind_name(node), schema->help);
		if (schema->done && node && fy_node_is_sequence(node))
			schema->done(reader, node);
		break;
	case SCHEMA_TEXT:
	case SCHEMA_NAME:
	case SCHEMA_STRING:
		set_text(reader, node, schema, object);
		break;
	case SCHEMA_NUMBER:
		if (reader_number(reader, node, schema->min, schema->max, &number))
			*(uint32_t *)(object + schema->offset) = (uint32_t)number;
		break;
	case SCHEMA_WORD:
	case SCHEMA_CHOICE:
		set_word(reader, node, schema, object);
		break;
	case SCHEMA_OWN:
		schema->set(reader, node, object);
		break;
	case SCHEMA_LATER:
		reader_wrong(reader, node, "is not in this version: %s", schema->help);
		break;
	}
}

// The key's value; where it is written more than once the first, and all further ones are reported.
static struct fy_node_pair *pair_find(struct reader *reader, struct fy_node *map, const char *key)
{
	struct fy_node_pair *pair, *found = NULL;
	void *at = NULL;

	while ((pair = fy_node_mapping_iterate(map, &at))) {
		struct fy_node *name = fy_node_pair_key(pair);
		const char *text =
			name && fy_node_is_scalar(name) && !fy_node_is_alias(name) ? fy_node_get_scalar0(name) : NULL;

		if (!text || strcmp(text, key) != 0)
			continue;
		if (found)
			reader_wrong(reader, name, "is written twice: take one out");
		else
			found = pair;
	}
	return found;
}

static void check_keys(struct reader *reader, struct fy_node *map, const struct schema *keys, size_t length)
{
	struct fy_node_pair *pair;
	void *at = NULL;

	while ((pair = fy_node_mapping_iterate(map, &at))) {
		struct fy_node *name = fy_node_pair_key(pair);
		const char *text =
			name && fy_node_is_scalar(name) && !fy_node_is_alias(name) ? fy_node_get_scalar0(name) : NULL;

		if (!text) {
			reader_wrong(reader, name, "holds a key that is no word: write KEY: VALUE");
		} else if (!schema_find(keys, text)) {
			struct fy_node *value = fy_node_pair_value(pair);

			unknown_key(reader, name, text, keys,
				!value || (fy_node_is_scalar(value) && !fy_node_is_alias(value) &&
						  !*fy_node_get_scalar0(value)));
			reader->path[length] = '\0';
		}
	}
}

// In the table's order, not the file's: what others refer to (nics, trunks) is read before them.
void reader_map(struct reader *reader, struct fy_node *node, const struct schema *keys, void *object)
{
	size_t length = strlen(reader->path);
	int line = node_line(node) ? node_line(node) : reader->line;

	check_keys(reader, node, keys, length);
	for (const struct schema *schema = keys; schema->key; schema++) {
		struct fy_node_pair *pair;

		snprintf(reader->path + length, sizeof(reader->path) - length, "%s%s", length ? "." : "", schema->key);
		pair = pair_find(reader, node, schema->key);
		reader->line = pair ? node_line(fy_node_pair_key(pair)) : line;
		if (pair)
			set(reader, fy_node_pair_value(pair), schema, object);
		else if (schema->required)
			reader_wrong(reader, NULL, "is missing: %s", schema->help);
		reader->path[length] = '\0';
	}
}
