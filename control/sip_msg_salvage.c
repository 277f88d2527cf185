// SPDX-License-Identifier: BSD-3-Clause
// What can be saved of a request that cannot be read: the headers of which an answer is made. Nothing here believes
// that the bytes are SIP; osip2 sees neither them nor the answer.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip_msg_impl.h"

#define DEFAULT_PORT 5060

// Controls become blanks; what cuts lines stays.
static void text_clean(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		bool cr = c == '\r' && i + 1 < length && text[i + 1] == '\n';

		if ((c < ' ' || c == 0x7f) && c != '\n' && c != '\t' && !cr)
			text[i] = ' ';
	}
}

// Whatever has two words and is no response may have been meant as a request. An ACK is answered by nobody.
static bool request_line_read(struct sip_msg *msg, char *line)
{
	size_t length;

	line += strspn(line, " \t");
	length = strcspn(line, " \t");
	if (!line[length + strspn(line + length, " \t")])
		return false;
	if (strncasecmp(line, "SIP", 3) == 0 && strchr("/ \t", line[3]))
		return false;
	line[length] = '\0';
	msg->request = true;
	msg->method_name = line;
	msg->method = sip_method_find(line, length);
	return strcasecmp(line, "ACK") != 0;
}

static int vias_read(struct sip_msg *msg, char *value)
{
	while (value) {
		char *comma = scan_comma(value), *via;

		if (comma)
			*comma++ = '\0';
		via = scan_trim_semicolons(value);
		if (*via && scan_push(msg, (char *)"Via", via) != 0)
			return -E2BIG;
		value = comma;
	}
	return 0;
}

// Of what may stand there once, the first counts.
static int field_read(struct sip_msg *msg, char *line)
{
	static const char *const once[] = {"From", "To", "Call-ID", "CSeq"};
	char *colon = strchr(line, ':'), *name, *value;

	if (!colon)
		return 0;
	*colon = '\0';
	name = scan_name(scan_trim(line));
	if (strcasecmp(name, "Via") == 0)
		return vias_read(msg, colon + 1);
	value = strcasecmp(name, "From") == 0 || strcasecmp(name, "To") == 0 ? scan_trim_semicolons(colon + 1)
									     : scan_trim(colon + 1);
	for (size_t i = 0; i < sizeof(once) / sizeof(*once); i++)
		if (strcasecmp(name, once[i]) == 0 && *value && !sip_msg_header(msg, once[i], 0))
			return scan_push(msg, (char *)once[i], value);
	return 0;
}

static bool head_read(struct sip_msg *msg, size_t length)
{
	char *cursor = msg->text, *end = msg->text + length, *line;
	size_t line_length;

	while (cursor < end && isspace((unsigned char)*cursor))
		cursor++;
	line = scan_line(&cursor, end, &line_length);
	if (!line || !request_line_read(msg, line))
		return false;
	while ((line = scan_line(&cursor, end, &line_length)) && line_length)
		if (field_read(msg, line) != 0)
			return false;
	return true;
}

static bool is_enough(const struct sip_msg *msg)
{
	const char *cseq = sip_msg_header(msg, "CSeq", 0), *method;
	size_t bytes = 0;

	if (!cseq || !sip_msg_header(msg, "Via", 0) || !sip_msg_header(msg, "Call-ID", 0))
		return false;
	method = cseq + strlen(cseq);
	while (method > cseq && !isblank((unsigned char)method[-1]))
		method--;
	for (unsigned i = 0; i < msg->field_count; i++)
		bytes += strlen(msg->fields[i].name) + strlen(msg->fields[i].value) + 4;
	return strcasecmp(method, "ACK") != 0 && bytes <= SIP_SALVAGE_MAX;
}

// Where the topmost Via wants its answers: what is typed of it, as osip2 would have read it.
static void sent_by_read(struct sip_msg *msg, const struct kg_addr *source)
{
	const char *via = sip_msg_header(msg, "Via", 0), *start, *end = via + strcspn(via, ";"), *colon;
	long port = DEFAULT_PORT;
	char *rest;

	while (end > via && isblank((unsigned char)end[-1]))
		end--;
	for (start = end; start > via && !isblank((unsigned char)start[-1]);)
		start--;
	colon = memrchr(start, ':', (size_t)(end - start));
	if (colon && !memchr(colon, ']', (size_t)(end - colon))) {
		port = strtol(colon + 1, &rest, 10);
		if (rest != end || port < 1 || port > 65535)
			port = source->port;
	}
	msg->typed.via_port = (uint16_t)port;
	msg->typed.via_host = strndup(start, (size_t)(end - start));
	sip_msg_set_source(msg, source);
	msg->typed.rport = strstr(sip_msg_header(msg, "Via", 0), ";rport=") != NULL;
}

static int status_for(const struct sip_msg *msg, const char *why)
{
	static const struct {
		const char *why;
		bool unknown_method;
		int status;
	} rows[] = {
		{"bad_version", false, 505},
		{"message_bytes", false, 513},
		{"too_long", false, 513},
		// RFC 4475 3.1.2.18: of a method that is not ours we need not know more than that
		{"method_mismatch", true, 501},
		{"nul", true, 501},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strcmp(rows[i].why, why) == 0 && (!rows[i].unknown_method || msg->method == SIP_UNKNOWN))
			return rows[i].status;
	return 400;
}

// The same request gets the same tag (RFC 3261 8.2.7).
static void tag_make(const char *data, size_t length, char tag[17])
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)data[i]) * 1099511628211u;
	snprintf(tag, 17, "%016llx", (unsigned long long)hash);
}

// Not by sip_msg_build: osip2 would refuse what is wrong with the request again.
static char *text_write(const struct sip_msg *request, const struct sip_msg *response, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	if (!out)
		return NULL;
	fprintf(out, "%s\r\n", sip_msg_start_line(response));
	for (unsigned i = 0; i < response->field_count; i++)
		if (sip_msg_header(request, response->fields[i].name, 0)) // there may be no To
			fprintf(out, "%s: %s\r\n", response->fields[i].name, response->fields[i].value);
	fputs("Content-Length: 0\r\n\r\n", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static char *answer_make(const struct sip_msg *msg, const char *data, size_t length, const char *why, size_t *out)
{
	int status = status_for(msg, why);
	struct sip_msg *response;
	char reason[80], tag[17], *text;

	tag_make(data, length, tag);
	snprintf(reason, sizeof(reason), "%s (%s)", sip_reason_phrase(status), why);
	response = sip_msg_response(msg, status, status == 400 ? reason : NULL, tag);
	text = response ? text_write(msg, response, out) : NULL;
	sip_msg_unref(response);
	return text;
}

char *sip_msg_salvage(const char *data, size_t length, const char *why, const struct kg_addr *source, bool to_source,
	struct kg_addr *to, size_t *out_length)
{
	struct sip_msg *msg = length <= SIP_MAX_MESSAGE ? calloc(1, sizeof(*msg)) : NULL;
	char *out = NULL;

	if (!msg)
		return NULL;
	msg->refs = 1;
	msg->text = malloc(length + 1);
	if (msg->text) {
		memcpy(msg->text, data, length);
		msg->text[length] = '\0';
		text_clean(msg->text, length);
	}
	if (msg->text && head_read(msg, length) && is_enough(msg)) {
		sent_by_read(msg, source);
		if (to_source)
			sip_msg_reply_to_source(msg);
		*to = sip_msg_reply_to(msg);
		out = answer_make(msg, data, length, why, out_length);
	}
	sip_msg_unref(msg);
	return out;
}
