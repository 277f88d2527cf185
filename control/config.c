// SPDX-License-Identifier: BSD-3-Clause
// A configuration file on its way in: bytes, YAML, then the schema table's walk (config_reader.c).

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define MAX_FILE (1024 * 1024)

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
	if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] >= 0xa0) || (*at == 0xf0 && at[1] < 0x90) ||
		(*at == 0xf4 && at[1] >= 0x90)) // written too long, half of a pair, past the last
		return 0;
	return length;
}

// A key that is itself a structure, "? {a: b}": the question mark stands alone, where a key may begin.
static bool is_complex_key(const unsigned char *at, const unsigned char *end, unsigned char before)
{
	return *at == '?' && (at + 1 == end || strchr(" \t\r\n", at[1])) && (!before || strchr("-?[{,:", before));
}

// libfyaml 0.7 goes round for ever on directives with bytes that are no UTF-8, and writes past its own where complex
// keys meet tabs: none of them has a place in this file.
static bool text_right(struct reader *reader, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + length;
	unsigned char before = 0; // the last byte on the line that is no blank
	bool line_start = true;

	if (length >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3; // the byte order mark that some editors write
	for (reader->line = 1; at < end;) {
		size_t size = utf8_length(at, end);
		const char *wrong = !size                             ? "has a byte that is no text: save it as UTF-8"
				    : line_start && *at == '%'        ? "has a directive (%): take the line out"
				    : is_complex_key(at, end, before) ? "holds a key that is no word: write KEY: VALUE"
								      : NULL;

		if (wrong) {
			reader_wrong(reader, NULL, "%s", wrong);
			return false;
		}
		line_start = *at == '\n' || *at == '\r';
		before = line_start ? 0 : *at == ' ' || *at == '\t' ? before : *at;
		reader->line += *at == '\n';
		at += size;
	}
	return true;
}

static void read_document(struct reader *reader, struct fy_document *document)
{
	struct fy_node *root = document ? fy_document_root(document) : NULL;

	reader->line = 1;
	if (!root || (fy_node_is_scalar(root) && !fy_node_is_alias(root) && !*fy_node_get_scalar0(root))) {
		reader_wrong(reader, NULL, "is empty: write nics, trunks and routes");
	} else if (fy_node_get_type(root) != FYNT_MAPPING) {
		reader_wrong(reader, root, "is no list of keys: write nics, trunks and routes");
	} else {
		reader_map(reader, root, config_schema, reader->config);
		config_check(reader);
	}
}

static void read_text(struct reader *reader, const char *text, size_t length)
{
	struct fy_diag_cfg diag_cfg;
	struct fy_parse_cfg cfg = {
		// Duplicate keys are found here: libfyaml's search compares each key with each.
		// Aliases are not resolved: a few lines of them can stand for gigabytes, and this file needs none.
		.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_ALLOW_DUPLICATE_KEYS,
	};
	struct fy_document *document = NULL, *second = NULL;
	struct fy_parser *parser;

	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	cfg.diag = fy_diag_create(&diag_cfg);
	fy_diag_set_collect_errors(cfg.diag, true);
	parser = fy_parser_create(&cfg);
	if (!parser || fy_parser_set_string(parser, text, length) != 0) {
		reader_wrong(reader, NULL, "finds no memory: write less");
	} else {
		document = fy_parse_load_document(parser);
		second = document ? fy_parse_load_document(parser) : NULL;
		if (fy_diag_got_error(cfg.diag))
			report_syntax(reader, cfg.diag);
		else if (second)
			reader_wrong(reader, fy_document_root(second), "begins a second document: take its --- out");
		else
			read_document(reader, document);
	}
	fy_document_destroy(document);
	fy_document_destroy(second);
	fy_parser_destroy(parser);
	fy_diag_destroy(cfg.diag);
}

int config_parse(
	const char *name, const char *text, size_t length, struct config **out, config_report_fn report, void *arg)
{
	struct reader reader = {.file = name, .report = report, .arg = arg, .config = calloc(1, sizeof(struct config))};
	struct config *config = reader.config;

	*out = NULL;
	if (!config)
		return -ENOMEM;
	config->file = strdup(name);
	config_defaults(config);
	reader_defaults(config_schema, config);
	if (text_right(&reader, text, length))
		read_text(&reader, text, length);
	if (!reader.errors && (!config->file || !config->cdr_file || !config->api_socket || !config->tls_certificate ||
				      !config->tls_key || !config->tls_ca || !config->dns_servers)) {
		config_destroy(config);
		return -ENOMEM;
	}
	if (reader.errors) {
		config_destroy(config);
		return -EINVAL;
	}
	*out = config;
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
		snprintf(line, sizeof(line), "%s:1: file: cannot be read: %s; write its right path after -c", file,
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
	if (text) // it may hold passwords
		explicit_bzero(text, MAX_FILE + 2);
	free(text);
	fclose(stream);
	return error;
}
