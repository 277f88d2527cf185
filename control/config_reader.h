// SPDX-License-Identifier: BSD-3-Clause
// How the schema table is walked over a YAML document. libfyaml's types stop in config*.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <libfyaml.h>

#include "config.h"

#define HELP_TARGET "write sip:IP:PORT, for example sip:192.0.2.20:5060, or sip:NAME with `from`"

struct reader {
	const char *file;
	config_report_fn report;
	void *arg;
	unsigned errors;
	char path[160];  // "trunks[0].target"
	int line;        // of the key at hand, for values that have no line of their own
	int ports_line;  // of media.ports
	int listen_line; // of sip.listen
	bool listen_read;
	struct config *config;
};

enum schema_kind {
	SCHEMA_MAP,    // keys
	SCHEMA_LIST,   // of maps: keys, size of an item, offset of its pointer, count_offset
	SCHEMA_TEXT,   // char[size] at offset
	SCHEMA_NAME,   // the same, of letters, digits, - _ . only: names go into metrics, paths and tables
	SCHEMA_STRING, // char * at offset, heap, at most max characters
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
	void (*item)(void *object);                                // a new item's defaults that the table cannot say
	void (*done)(struct reader *reader, struct fy_node *node); // after a list
	const char *help;                                          // what to write
};

extern const struct schema config_schema[];  // the file's top level
void config_defaults(struct config *config); // what the table cannot say
void config_check(struct reader *reader);    // over several sections, at the end

// Report "FILE:LINE: KEY: ..." at a node (NULL: at the key).
void reader_wrong(struct reader *reader, struct fy_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
// The same as a warning in the log: the file is taken.
void reader_note(struct reader *reader, struct fy_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
// One more item, zeroed, at the end of a heap array. Returns: the item, or NULL (reported: it is full, or no memory).
void *reader_grow(struct reader *reader, struct fy_node *node, void *list, size_t *count, size_t size, size_t most);
char *reader_copy(struct reader *reader, struct fy_node *node, const char *text); // strdup; NULL is reported
// A scalar's text, or NULL (reported, with `help`). Lives as long as the document.
const char *reader_text(struct reader *reader, struct fy_node *node, const char *help);
// A whole number in a range. Returns: false where it is none (reported).
bool reader_number(
	struct reader *reader, struct fy_node *node, unsigned long min, unsigned long max, unsigned long *out);
// Call fn for each item of a list, with [i] in the path. A scalar counts as a list of one.
void reader_each(struct reader *reader, struct fy_node *node, const char *help,
	void (*fn)(struct reader *reader, struct fy_node *item, void *object), void *object);
void reader_defaults(const struct schema *keys, void *object); // what the table says
void reader_map(struct reader *reader, struct fy_node *node, const struct schema *keys, void *object);

// config_addr.c: "IP", "IP:PORT", "[IPv6]" or "[IPv6]:PORT" of one machine. Returns: false where it is none.
bool config_parse_address(const char *text, uint16_t port, struct kg_addr *out);

// config_addr.c and config_values.c: schema.set for values of a kind of their own
void set_device(struct reader *reader, struct fy_node *node, void *nic);
void set_addresses(struct reader *reader, struct fy_node *node, void *nic);
void set_advertise(struct reader *reader, struct fy_node *node, void *nic);
void set_dsp(struct reader *reader, struct fy_node *node, void *object);
void set_relay(struct reader *reader, struct fy_node *node, void *config);
void set_ports(struct reader *reader, struct fy_node *node, void *config);
void set_media_deny(struct reader *reader, struct fy_node *node, void *config);
void set_listen(struct reader *reader, struct fy_node *node, void *config);
void set_target(struct reader *reader, struct fy_node *node, void *trunk);
void set_from(struct reader *reader, struct fy_node *node, void *trunk);
void set_transport(struct reader *reader, struct fy_node *node, void *trunk);
void set_trunk_nic(struct reader *reader, struct fy_node *node, void *trunk);
void set_match_trunk(struct reader *reader, struct fy_node *node, void *route);
void set_match_to(struct reader *reader, struct fy_node *node, void *route);
void set_match_from(struct reader *reader, struct fy_node *node, void *route);
void set_match_source(struct reader *reader, struct fy_node *node, void *route);
void set_targets(struct reader *reader, struct fy_node *node, void *route);
void set_record(struct reader *reader, struct fy_node *node, void *route);
void set_recording(struct reader *reader, struct fy_node *node, void *config);
void set_recording_directory(struct reader *reader, struct fy_node *node, void *config);
void set_recording_format(struct reader *reader, struct fy_node *node, void *config);
void set_match_endpoint(struct reader *reader, struct fy_node *node, void *route);
// config_codecs.c
void set_trunk_codecs(struct reader *reader, struct fy_node *node, void *trunk);
void set_endpoint_codecs(struct reader *reader, struct fy_node *node, void *endpoint);
void set_route_codecs(struct reader *reader, struct fy_node *node, void *route);
// config_sip.c
void set_headers(struct reader *reader, struct fy_node *node, void *trunk);
void set_groups(struct reader *reader, struct fy_node *node, void *endpoint);
void trunk_check(struct reader *reader, struct fy_node *node, struct config_trunk *trunk);
void endpoints_done(struct reader *reader, struct fy_node *node);
void sip_check(struct reader *reader);
void set_api_listen(struct reader *reader, struct fy_node *node, void *config);
