// SPDX-License-Identifier: BSD-3-Clause
// Requests inside a dialog that are the parties' own affair: INFO, MESSAGE, REFER with its NOTIFY and SUBSCRIBE go to
// the other party as they are, and its answer comes back. Dialog ids that they name are translated (RFC 3891 in
// Refer-To).

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calls_private.h"

static const char *const passing[] = {"Info-Package", "Content-Disposition", "Content-Language", "Content-Encoding",
	"MIME-Version", "Refer-To", "Referred-By", "Refer-Sub", "Event", "Subscription-State", "Expires", "Accept",
	"Target-Dialog", NULL};
static const char *const returning[] = {"Content-Disposition", "Refer-Sub", "Recv-Info", "Expires", "Allow-Events",
	"Accept", "Warning", "Retry-After", NULL};

static void headers_copy_all(struct headers *out, const struct sip_msg *msg, const char *const *names)
{
	const char *value;

	for (; *names; names++)
		for (unsigned i = 0; (value = sip_msg_header(msg, *names, i)); i++)
			headers_add(out, *names, value);
}

// --- Replaces inside Refer-To ---------------------------------------------------------------------------------------

// The value of "name=" in an escaped header, from `at` to the next separator.
static void escaped_read(const char *at, const char *name, char *out, size_t size)
{
	const char *found = name ? strcasestr(at, name) : at;
	size_t used = 0;

	out[0] = '\0';
	if (!found)
		return;
	for (found += name ? strlen(name) : 0; *found && !strchr("&>;", *found) && used + 1 < size; found++) {
		unsigned code;

		if (*found == '%' && sscanf(found, "%%%2x", &code) == 1) {
			if (code == ';')
				break;
			out[used++] = (char)code;
			found += 2;
		} else {
			out[used++] = *found;
		}
	}
	out[used] = '\0';
}

// The party that is in that dialog with us, by its ids as the other end names them.
static struct party *party_in_dialog(struct calls *calls, const char *call_id, const char *to_tag, const char *from_tag)
{
	struct party *party;

	for (struct anchor *anchor = calls->anchors; anchor; anchor = anchor->next)
		for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
			if (party->session && strcmp(party->sip_call_id, call_id) == 0 &&
				strcmp(party->local_tag, to_tag) == 0 && strcmp(party->remote_tag, from_tag) == 0)
				return party;
	return NULL;
}

static void escape(FILE *out, const char *text)
{
	for (; *text; text++)
		if ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			(*text >= '0' && *text <= '9') || strchr("-_.!~*'()", *text))
			fputc(*text, out);
		else
			fprintf(out, "%%%02X", (unsigned char)*text);
}

// A Refer-To whose Replaces names a dialog with us names the one behind us instead: its receiver knows no other.
// Owns: the caller frees. Returns: NULL where there is nothing to translate.
static char *refer_to_translate(struct calls *calls, const char *value)
{
	const char *replaces = strcasestr(value, "Replaces="), *rest;
	char call_id[256], to_tag[128], from_tag[128], *text = NULL;
	struct party *party, *other;
	size_t length;
	FILE *out;

	if (!replaces || !strchr(value, '?') || replaces < strchr(value, '?'))
		return NULL;
	replaces += strlen("Replaces=");
	escaped_read(replaces, NULL, call_id, sizeof(call_id));
	escaped_read(replaces, "to-tag%3D", to_tag, sizeof(to_tag));
	escaped_read(replaces, "from-tag%3D", from_tag, sizeof(from_tag));
	party = party_in_dialog(calls, call_id, to_tag, from_tag);
	if (!party)
		return NULL;
	other = party->side == CALL_CALLER ? anchor_callee(party->anchor) : party->anchor->caller;
	if (!other || !other->session)
		return NULL;
	out = open_memstream(&text, &length);
	if (!out)
		return NULL;
	rest = replaces + strcspn(replaces, "&>");
	fprintf(out, "%.*s", (int)(replaces - value), value);
	escape(out, other->sip_call_id);
	fprintf(out, "%%3Bto-tag%%3D");
	escape(out, other->remote_tag);
	fprintf(out, "%%3Bfrom-tag%%3D");
	escape(out, other->local_tag);
	fprintf(out, "%s", rest);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

// --- there and back -------------------------------------------------------------------------------------------------

static struct relay *relay_create(struct anchor *anchor, struct sip_exchange *from)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->from = from;
	relay->next = anchor->relays;
	anchor->relays = relay;
	return relay;
}

static void relay_drop(struct anchor *anchor, struct relay *relay)
{
	struct relay **at = &anchor->relays;

	while (*at != relay)
		at = &(*at)->next;
	*at = relay->next;
	free(relay);
}

void relays_free(struct anchor *anchor)
{
	while (anchor->relays)
		relay_drop(anchor, anchor->relays);
}

// Whose dialog is meant: the caller's early dialogs have numbers of their own.
static unsigned fork_across(const struct party *party, unsigned fork)
{
	const struct call *call = &party->anchor->call;

	if (party->side == CALL_CALLER)
		return fork < call->fork_count ? call->forks[fork].fork : 0;
	for (unsigned i = 0; i < call->fork_count; i++)
		if (call->forks[i].hop == party->hop && call->forks[i].fork == fork)
			return i;
	return 0;
}

void relay_asked(struct party *party, unsigned fork, struct sip_exchange *exchange, const struct sip_msg *msg)
{
	struct anchor *anchor = party->anchor;
	struct party *other = party->side == CALL_CALLER ? anchor_callee(anchor) : anchor->caller;
	struct headers headers = {.count = 0};
	struct sip_ask ask = {.method = sip_msg_method(msg), .headers = headers.list};
	const char *refer_to = sip_msg_header(msg, "Refer-To", 0);
	char *translated = refer_to ? refer_to_translate(anchor->calls, refer_to) : NULL;
	struct relay *relay;

	ask.type = sip_msg_header(msg, "Content-Type", 0);
	ask.body = sip_msg_body(msg, &ask.length);
	headers_pass(&headers, party, other, msg);
	headers_copy_all(&headers, msg, passing);
	for (unsigned i = 0; translated && i < headers.count; i += 2)
		if (strcasecmp(headers.list[i], "Refer-To") == 0)
			headers.list[i + 1] = translated;
	relay = relay_create(anchor, exchange);
	if (relay && other && other->session && (ask.type || !ask.body))
		relay->to = sip_session_ask(other->session, fork_across(party, fork), &ask, other);
	free(translated);
	if (relay && relay->to)
		return;
	if (relay)
		relay_drop(anchor, relay);
	sip_exchange_answer(exchange, ask.type || !ask.body ? 480 : 400, NULL, NULL, NULL, NULL, 0);
}

bool relay_replied(struct anchor *anchor, struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	struct headers headers = {.count = 0};
	const char *type = msg ? sip_msg_header(msg, "Content-Type", 0) : NULL, *body = NULL;
	struct relay *relay = anchor->relays;
	size_t length = 0;

	while (relay && relay->to != exchange)
		relay = relay->next;
	if (!relay)
		return false;
	if (msg)
		headers_copy_all(&headers, msg, returning);
	if (type)
		body = sip_msg_body(msg, &length);
	// RFC 4320: never 408; 481 and the like speak of the other dialog, 401 and 407 of our trunk
	if (status == 408 || status == 481)
		status = 500;
	else if (status >= 300)
		status = call_status_upstream(status);
	if (relay->from)
		sip_exchange_answer(
			relay->from, status, msg ? sip_msg_reason(msg) : NULL, headers.list, type, body, length);
	relay_drop(anchor, relay);
	return true;
}

void relay_gone(struct anchor *anchor, struct sip_exchange *exchange)
{
	struct relay *relay = anchor->relays, *next;

	for (; relay; relay = next) {
		next = relay->next;
		if (relay->from == exchange)
			relay->from = NULL;
		if (relay->to == exchange)
			relay->to = NULL;
		if (!relay->from && !relay->to)
			relay_drop(anchor, relay);
	}
}
