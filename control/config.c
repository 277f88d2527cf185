// SPDX-License-Identifier: BSD-3-Clause
// Walks the schema table over a YAML document: finds each key's value, checks its kind, stores it, and names what is
// wrong.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define MAX_FILE (1024 * 1024)
#define MAX_ITEMS 4096

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

static void report_at(struct reader *reader, int line, const char *key, const char *fmt, va_list args)
{
	char message[512], text[1024];

	vsnprintf(message, sizeof(message), fmt, args);
	snprintf(text, sizeof(text), "%s:%d: %s: %s", reader->file, line > 0 ? line : 1, key, message);
	for (char *at = text; *at; at++) // a quoted value may hold line ends: an error stays one line
		if ((unsigned char)*at < 0x20)
			*at = ' ';
	reader->errors++;
	reader->report(text, reader->arg);
}

void reader_wrong(struct reader *reader, struct fy_node *node, const char *fmt, ...)
{
	int line = node_line(node);
	va_list args;

	va_start(args, fmt);
	report_at(reader, line ? line : reader->line, *reader->path ? reader->path : "file", fmt, args);
	va_end(args);
}

// --- values ---------------------------------------------------------------------------------------------------------

static const char *kind_name(struct fy_node *node)
{
	switch (node ? fy_node_get_type(node) : FYNT_SCALAR) {
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
	if (node && !fy_node_is_scalar(node))
		reader_wrong(reader, node, "is %s: %s", kind_name(node), help);
	else
		reader_wrong(reader, node, "is empty: %s", help);
	return NULL;
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
		reader_wrong(reader, node, "is no list: %s", help);
		return;
	}
	if (fy_node_is_scalar(node)) {
		fn(reader, node, object);
		return;
	}
	while ((item = fy_node_sequence_iterate(node, &at))) {
		snprintf(reader->path + length, sizeof(reader->path) - length, "[%u]", i++);
		if (i > MAX_ITEMS) {
			reader_wrong(reader, item, "the list is too long: write at most %d", MAX_ITEMS);
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

// An unknown key is most often a known one with a slip.
static void unknown_key(struct reader *reader, struct fy_node *node, const char *key, const struct schema *keys)
{
	const struct schema *nearest = NULL;
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
	if (schema->kind == SCHEMA_NUMBER)
		*(uint32_t *)(object + schema->offset) = (uint32_t)schema->number;
	else if (schema->kind == SCHEMA_CHOICE)
		*(bool *)(object + schema->offset) = schema->number == 1;
	else if (schema->kind == SCHEMA_WORD)
		*(int *)(object + schema->offset) = (int)schema->number;
	else if (schema->kind == SCHEMA_STRING && schema->text)
		*(char **)(object + schema->offset) = strdup(schema->text);
	else if (schema->kind == SCHEMA_MAP)
		for (const struct schema *key = schema->keys; key->key; key++)
			set_default(key, object);
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

	if (!text)
		return;
	if (schema->kind == SCHEMA_STRING) {
		free(*(char **)(object + schema->offset));
		*(char **)(object + schema->offset) = strdup(text);
	} else if (strlen(text) >= schema->size) {
		reader_wrong(reader, node, "is too long: write at most %zu characters", schema->size - 1);
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
	char **items = (char **)(list->object + list->schema->offset);
	size_t *count = (size_t *)(list->object + list->schema->count_offset);
	char *grown = realloc(*items, (*count + 1) * list->schema->size), *item;

	if (!grown)
		return;
	*items = grown;
	item = grown + (*count)++ * list->schema->size;
	memset(item, 0, list->schema->size);
	if (list->schema->item)
		list->schema->item(item);
	for (const struct schema *key = list->schema->keys; key->key; key++)
		set_default(key, item);
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
			schema->done(reader, node, reader->config);
		break;
	case SCHEMA_TEXT:
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

static struct fy_node_pair *pair_find(struct fy_node *map, const char *key)
{
	struct fy_node_pair *pair;
	void *at = NULL;

	while ((pair = fy_node_mapping_iterate(map, &at))) {
		struct fy_node *name = fy_node_pair_key(pair);
		const char *text = name && fy_node_is_scalar(name) ? fy_node_get_scalar0(name) : NULL;

		if (text && strcmp(text, key) == 0)
			return pair;
	}
	return NULL;
}

static void check_keys(struct reader *reader, struct fy_node *map, const struct schema *keys, size_t length)
{
	struct fy_node_pair *pair;
	void *at = NULL;

	while ((pair = fy_node_mapping_iterate(map, &at))) {
		struct fy_node *name = fy_node_pair_key(pair);
		const char *text = name && fy_node_is_scalar(name) ? fy_node_get_scalar0(name) : NULL;

		if (!text) {
			reader_wrong(reader, name, "has a key that is no word: write KEY: VALUE");
		} else if (!schema_find(keys, text)) {
			snprintf(reader->path + length, sizeof(reader->path) - length, "%s%.60s", length ? "." : "",
				text);
			unknown_key(reader, name, text, keys);
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
		struct fy_node_pair *pair = pair_find(node, schema->key);

		snprintf(reader->path + length, sizeof(reader->path) - length, "%s%s", length ? "." : "", schema->key);
		reader->line = pair ? node_line(fy_node_pair_key(pair)) : line;
		if (pair)
			set(reader, fy_node_pair_value(pair), schema, object);
		else if (schema->required)
			reader_wrong(reader, NULL, "is missing: %s", schema->help);
		reader->path[length] = '\0';
	}
}

// --- the document ---------------------------------------------------------------------------------------------------

static void report_syntax(struct reader *reader, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	void *at = NULL;
	unsigned before = reader->errors;

	while ((error = fy_diag_errors_iterate(diag, &at))) {
		reader->line = error->line > 0 ? error->line : 1;
		reader_wrong(reader, NULL, "is no YAML: %s (column %d): mind indentation, quotes and brackets",
			error->msg, error->column);
	}
	if (reader->errors == before)
		reader_wrong(reader, NULL, "is no YAML: mind indentation, quotes and brackets");
}

// How many bytes the UTF-8 character at `at` has; 0: it is none, or a control character.
static size_t utf8_length(const unsigned char *at, const unsigned char *end)
{
	size_t length = *at < 0x80 ? 1 : *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;

	if (length == 1 && (*at == 0x7f || (*at < 0x20 && !strchr("\t\n\r", *at))))
		return 0;
	if (*at == 0 || length > (size_t)(end - at))
		return 0;
	for (size_t i = 1; i < length; i++)
		if (at[i] >> 6 != 2)
			return 0;
	return length;
}

// libfyaml 0.7 goes round for ever on directives with bytes that are no UTF-8: neither has a place in this file.
static bool text_right(struct reader *reader, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + length;
	bool line_start = true;

	for (reader->line = 1; at < end;) {
		size_t size = utf8_length(at, end);

		if (!size || (line_start && *at == '%')) {
			reader_wrong(reader, NULL,
				size ? "has a directive (%%): take the line out"
				     : "has a byte that is no text: save it as UTF-8");
			return false;
		}
		line_start = *at == '\n';
		reader->line += line_start;
		at += size;
	}
	return true;
}

static void read_document(struct reader *reader, struct fy_document *document)
{
	struct fy_node *root = document ? fy_document_root(document) : NULL;

	reader->line = 1;
	for (const struct schema *schema = config_schema; schema->key; schema++)
		set_default(schema, (char *)reader->config);
	if (!root || (fy_node_is_scalar(root) && !*fy_node_get_scalar0(root)))
		reader_wrong(reader, NULL, "is empty: write nics, trunks and routes");
	else if (fy_node_get_type(root) != FYNT_MAPPING)
		reader_wrong(reader, root, "is %s: write nics, trunks and routes", kind_name(root));
	else
		reader_map(reader, root, config_schema, reader->config);
}

int config_parse(
	const char *name, const char *text, size_t length, struct config **out, config_report_fn report, void *arg)
{
	struct reader reader = {.file = name, .report = report, .arg = arg, .config = calloc(1, sizeof(struct config))};
	struct fy_diag_cfg diag_cfg;
	struct fy_diag *diag;
	struct fy_document *document;

	*out = NULL;
	if (!reader.config)
		return -ENOMEM;
	reader.config->file = strdup(name);
	config_defaults(reader.config);
	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag = fy_diag_create(&diag_cfg);
	fy_diag_set_collect_errors(diag, true);
	// Aliases are not resolved: a few lines of them can stand for gigabytes, and this file needs none.
	document = !text_right(&reader, text, length)
			   ? NULL
			   : fy_document_build_from_string(
				     &(struct fy_parse_cfg){.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag},
				     text, length);
	if (!document && !reader.errors && length && strspn(text, " \t\r\n") < length)
		report_syntax(&reader, diag);
	else if (!reader.errors)
		read_document(&reader, document);
	if (document)
		fy_document_destroy(document);
	fy_diag_destroy(diag);
	if (reader.errors) {
		config_destroy(reader.config);
		return -EINVAL;
	}
	*out = reader.config;
	return 0;
}

int config_load(const char *file, struct config **out, config_report_fn report, void *arg)
{
	FILE *stream = fopen(file, "re");
	char line[512], *text = NULL;
	size_t length = 0;
	int error;

	*out = NULL;
	if (!stream) {
		error = -errno;
		snprintf(line, sizeof(line), "%s:0: file: cannot be read: %s; write its right path after -c", file,
			strerror(errno));
		report(line, arg);
		return error;
	}
	text = calloc(1, MAX_FILE + 2);
	if (text)
		length = fread(text, 1, MAX_FILE + 1, stream);
	if (!text || ferror(stream) || length > MAX_FILE) {
		snprintf(line, sizeof(line), "%s:1: file: %s", file,
			length > MAX_FILE ? "is longer than 1 MiB: write less" : "cannot be read: is it a directory?");
		report(line, arg);
		error = -EINVAL;
	} else {
		error = config_parse(file, text, length, out, report, arg);
	}
	free(text);
	fclose(stream);
	return error;
}
