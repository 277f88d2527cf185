// SPDX-License-Identifier: BSD-3-Clause
// What a struct sip_msg is, for sip_msg*.c alone.
#pragma once

#include "sip_msg.h"

#define FIELDS_MAX (SIP_MAX_HEADERS + 32) // ours are added to what was parsed

struct field {
	char *name; // canonical where it was a compact form
	char *value;
	bool owned; // the value is on the heap by itself, not inside the text
};

// What osip2 reads for us out of a message's values.
struct typed {
	char *from_tag, *to_tag, *branch, *via_host, *contact_uri, *content_type;
	uint16_t via_port;
	bool rport;
};

struct sip_msg {
	unsigned refs;
	bool request, built;
	enum sip_method method;
	char *method_name;
	char *uri; // of a request
	int status;
	char *reason;
	uint32_t cseq;
	struct field fields[FIELDS_MAX];
	unsigned field_count;
	char *text;  // a parsed message's bytes: all strings above that are not `owned` point into it
	char *start; // the start line
	char *body;
	size_t body_length;
	struct typed typed;
	bool typed_known;     // of one that was built: read when somebody asks
	struct sip_flow flow; // that it came by
};

// sip_msg_scan.c: cut `msg->text` (length bytes, a NUL behind) into fields and body, within the limits.
int scan_head(struct sip_msg *msg, size_t length, const char **why);
// What a message that was cut must hold, and what osip2 would let through.
int scan_check(struct sip_msg *msg, size_t length, const char **why);
// Its pieces, for sip_msg_salvage.c too. All write into the text that they are given.
char *scan_line(char **cursor, char *end, size_t *length); // unfolded, its end cut off. NULL: no line end until `end`
char *scan_name(char *name);                               // its long form where it is a compact one (a literal then)
char *scan_comma(char *text);                              // the next one outside quotes and angle brackets, or NULL
char *scan_trim(char *text);
char *scan_trim_semicolons(char *value);                     // semicolons at its end too
int scan_push(struct sip_msg *msg, char *name, char *value); // -E2BIG past SIP_MAX_HEADERS
// The bounds of the URI in a name-addr or addr-spec. Returns: false where quotes or brackets do not close.
bool scan_uri(const char *value, const char **uri, size_t *length);
bool scan_is_sip(const char *uri);    // sip: or sips:
bool text_is_clean(const char *text); // no CR, no LF
bool text_is_token(const char *text, size_t length);

// sip_msg.c
const struct typed *msg_typed(const struct sip_msg *msg);
