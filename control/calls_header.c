// SPDX-License-Identifier: BSD-3-Clause
// Which SIP headers pass from one side of a call to the other, and which we write ourselves.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calls_private.h"

// Everything else is each leg's own, or named by the trunk that it goes to (`headers`).
static const char *const passing[] = {
	"Subject", "User-to-User", "Session-ID", "Diversion", "History-Info", "Privacy", "Identity", "Identity-Info"};
// Who somebody is, among those who may know (RFC 3325).
static const char *const identities[] = {"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"};

// The end of the address in a From or To value: behind '>' or, without brackets, at the first ';'.
static size_t address_length(const char *value, bool *bare)
{
	const char *p = value;
	bool quoted = false;

	for (; *p; p++) {
		if (*p == '\\' && quoted && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '<' && !quoted)
			break;
	}
	*bare = *p != '<';
	if (*bare)
		return strcspn(value, ";");
	p += strcspn(p, ">");
	return (size_t)(p - value) + (*p == '>');
}

char *header_without_tag(const char *value)
{
	bool bare;
	size_t length, used;
	char *out, *rest, *save = NULL, *copy;

	value += strspn(value, " \t");
	length = address_length(value, &bare);
	out = malloc(strlen(value) + 3); // brackets and NUL
	copy = strdup(value + length);
	if (!out || !copy) {
		free(out);
		free(copy);
		return NULL;
	}
	while (length && strchr(" \t", value[length - 1]))
		length--;
	used = (size_t)sprintf(out, bare ? "<%.*s>" : "%.*s", (int)length, value);
	for (rest = strtok_r(copy, ";", &save); rest; rest = strtok_r(NULL, ";", &save)) {
		rest += strspn(rest, " \t");
		if (*rest && strncasecmp(rest, "tag", 3) != 0)
			used += (size_t)sprintf(out + used, ";%s", rest);
		else if (*rest && rest[3 + strspn(rest + 3, " \t")] != '=')
			used += (size_t)sprintf(out + used, ";%s", rest);
	}
	free(copy);
	return out;
}

void headers_add(struct headers *out, const char *name, const char *value)
{
	if (!value || out->count + 2 >= sizeof(out->list) / sizeof(*out->list))
		return;
	out->list[out->count++] = name;
	out->list[out->count++] = value;
	out->list[out->count] = NULL;
}

static void headers_copy(struct headers *out, const struct sip_msg *msg, const char *name)
{
	const char *value;

	for (unsigned i = 0; i < CALLS_HEADERS && (value = sip_msg_header(msg, name, i)); i++)
		headers_add(out, name, value);
}

static bool is_trusted(const struct party *party)
{
	const struct config_trunk *trunk = party_trunk(party);

	return trunk && trunk->trusted;
}

void headers_pass(struct headers *out, const struct party *from, const struct party *to, const struct sip_msg *msg)
{
	const struct config_trunk *trunk = to ? party_trunk(to) : NULL;

	if (!msg)
		return;
	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		headers_copy(out, msg, passing[i]);
	for (size_t i = 0; i < sizeof(identities) / sizeof(*identities); i++)
		if (from && to && is_trusted(from) && is_trusted(to))
			headers_copy(out, msg, identities[i]);
	for (size_t i = 0; trunk && i < trunk->header_count; i++)
		headers_copy(out, msg, trunk->headers[i]);
	if (sip_msg_header(msg, "Identity", 0)) // its signature covers Date
		headers_copy(out, msg, "Date");
}

void headers_reason(struct headers *out, const struct sip_msg *msg, const struct call_cause *cause)
{
	if (msg && sip_msg_header(msg, "Reason", 0)) {
		headers_copy(out, msg, "Reason");
		return;
	}
	if (cause->word == CALL_CAUSE_none)
		return;
	if (cause->code == 200)
		snprintf(out->own, sizeof(out->own), "Q.850;cause=16;text=\"Normal call clearing\"");
	else
		snprintf(out->own, sizeof(out->own), "SIP;cause=%d;text=\"%s\"", cause->code,
			call_cause_name(cause->word));
	headers_add(out, "Reason", out->own);
}
