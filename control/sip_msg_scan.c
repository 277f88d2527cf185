// SPDX-License-Identifier: BSD-3-Clause
// A datagram is cut into start line, header fields and body here, before osip2 sees it: every limit is checked first,
// and values stay byte for byte what the peer wrote (osip2's serialiser would reorder, re-case and unescape them).

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_msg_impl.h"

#define CSEQ_MAX 0x7fffffffu

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EBADMSG;
}

bool text_is_clean(const char *text)
{
	return text[strcspn(text, "\r\n")] == '\0';
}

bool text_is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && (!text[i] || !strchr("-.!%*_+`'~", text[i])))
			return false;
	return length > 0;
}

// RFC 3261 7.3.3, 3265, 3515, 3841, 3891, 3892, 4028, 4474; osip2 knows less than half of them.
char *scan_name(char *name)
{
	static const char *const full[26] = {
		['a' - 'a'] = "Accept-Contact",
		['b' - 'a'] = "Referred-By",
		['c' - 'a'] = "Content-Type",
		['d' - 'a'] = "Request-Disposition",
		['e' - 'a'] = "Content-Encoding",
		['f' - 'a'] = "From",
		['i' - 'a'] = "Call-ID",
		['j' - 'a'] = "Reject-Contact",
		['k' - 'a'] = "Supported",
		['l' - 'a'] = "Content-Length",
		['m' - 'a'] = "Contact",
		['n' - 'a'] = "Identity-Info",
		['o' - 'a'] = "Event",
		['r' - 'a'] = "Refer-To",
		['s' - 'a'] = "Subject",
		['t' - 'a'] = "To",
		['u' - 'a'] = "Allow-Events",
		['v' - 'a'] = "Via",
		['x' - 'a'] = "Session-Expires",
		['y' - 'a'] = "Identity",
	};
	int letter = tolower((unsigned char)name[0]);

	if (name[1] || letter < 'a' || letter > 'z' || !full[letter - 'a'])
		return name;
	return (char *)full[letter - 'a']; // never written to, never freed
}

int scan_push(struct sip_msg *msg, char *name, char *value)
{
	if (msg->field_count == SIP_MAX_HEADERS)
		return -E2BIG;
	msg->fields[msg->field_count++] = (struct field){name, value, false};
	return 0;
}

char *scan_trim(char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		text[--length] = '\0';
	return text;
}

char *scan_comma(char *text)
{
	bool quoted = false, bracket = false;

	for (; *text; text++) {
		if (quoted && *text == '\\' && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (!quoted && *text == '<')
			bracket = true;
		else if (!quoted && *text == '>')
			bracket = false;
		else if (!quoted && !bracket && *text == ',')
			return text;
	}
	return NULL;
}

// To these we append parameters: a semicolon that ends them (wrong, and seen) must not come to stand beside ours.
char *scan_trim_semicolons(char *value)
{
	size_t length;

	value = scan_trim(value);
	length = strlen(value);
	while (length && strchr("; \t", value[length - 1]))
		value[--length] = '\0';
	return value;
}

static int fields_push(struct sip_msg *msg, char *name, char *value)
{
	bool list = !strcasecmp(name, "Via") || !strcasecmp(name, "Route") || !strcasecmp(name, "Record-Route");
	char *comma;

	if (!strcasecmp(name, "Via") || !strcasecmp(name, "From") || !strcasecmp(name, "To"))
		value = scan_trim_semicolons(value);

	while (list && (comma = scan_comma(value))) {
		*comma = '\0';
		if (scan_push(msg, name, scan_trim_semicolons(value)) != 0)
			return -E2BIG;
		value = comma + 1;
	}
	return scan_push(msg, name, scan_trim(value));
}

char *scan_line(char **cursor, char *end, size_t *length)
{
	char *line = *cursor, *lf = memchr(line, '\n', (size_t)(end - line));

	if (!lf)
		return NULL;
	// RFC 3261 7.3.1: a line that begins with blank goes on with the one before; an empty one never does.
	while (lf > line && !(lf == line + 1 && *line == '\r') && lf + 1 < end && (lf[1] == ' ' || lf[1] == '\t')) {
		if (lf[-1] == '\r')
			lf[-1] = ' ';
		*lf = ' ';
		lf = memchr(lf, '\n', (size_t)(end - lf));
		if (!lf)
			return NULL;
	}
	*cursor = lf + 1;
	if (lf > line && lf[-1] == '\r')
		lf--;
	*lf = '\0';
	*length = (size_t)(lf - line);
	return line;
}

static int line_check(const char *line, size_t length, const char **why)
{
	if (length > SIP_MAX_LINE)
		return refuse(why, "line_too_long");
	if (memchr(line, '\0', length))
		return refuse(why, "nul");
	if (memchr(line, '\r', length))
		return refuse(why, "bad_header");
	return 0;
}

static int scan_status_line(struct sip_msg *msg, char *line, const char **why)
{
	if (strncmp(line, "SIP/2.0 ", 8) != 0)
		return refuse(why, "bad_version");
	line += 8;
	if (!isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) || !isdigit((unsigned char)line[2]) ||
		(line[3] && line[3] != ' ') || line[0] < '1' || line[0] > '6')
		return refuse(why, "bad_status");
	msg->status = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
	msg->reason = line[3] ? line + 4 : line + 3;
	return 0;
}

static int scan_request_line(struct sip_msg *msg, char *line, const char **why)
{
	char *uri = strchr(line, ' '), *version = uri ? strchr(uri + 1, ' ') : NULL;

	msg->request = true;
	if (!version || !text_is_token(line, (size_t)(uri - line)))
		return refuse(why, "bad_start_line");
	*uri++ = '\0';
	*version++ = '\0';
	msg->method_name = line;
	msg->method = sip_method_find(line, strlen(line));
	msg->uri = uri;
	if (strcmp(version, "SIP/2.0") != 0)
		return refuse(why, strncasecmp(version, "SIP/", 4) == 0 && !strchr(version, ' ') ? "bad_version"
												 : "bad_start_line");
	if (!*uri || strpbrk(uri, "<>\"\t"))
		return refuse(why, "bad_uri");
	return 0;
}

static int scan_start_line(struct sip_msg *msg, char *line, const char **why)
{
	msg->start = strdup(line);
	if (!msg->start)
		return -ENOMEM;
	if (strncasecmp(line, "SIP/", 4) == 0)
		return scan_status_line(msg, line, why);
	return scan_request_line(msg, line, why);
}

static int scan_field(struct sip_msg *msg, char *line, const char **why)
{
	char *colon = strchr(line, ':'), *name;

	if (!colon)
		return refuse(why, "bad_header");
	*colon = '\0';
	name = scan_trim(line);
	if (name != line || !text_is_token(name, strlen(name)))
		return refuse(why, "bad_header");
	if (fields_push(msg, scan_name(name), colon + 1) != 0)
		return refuse(why, "too_many_headers");
	return 0;
}

int scan_head(struct sip_msg *msg, size_t length, const char **why)
{
	char *cursor = msg->text, *end = msg->text + length, *line;
	int start_error, error = 0;
	size_t line_length;

	while (cursor < end && (*cursor == '\r' || *cursor == '\n')) // RFC 3261 7.5
		cursor++;
	line = scan_line(&cursor, end, &line_length);
	if (!line)
		return refuse(why, "no_end");
	error = line_check(line, line_length, why);
	if (error)
		return error;
	// Even a message whose first line is wrong is cut on: 400 is made of its headers.
	start_error = scan_start_line(msg, line, why);
	while (!error || error == -EBADMSG) {
		const char *ignored, **say = start_error || error ? &ignored : why;
		int field_error;

		line = scan_line(&cursor, end, &line_length);
		if (!line)
			return start_error || error ? -EBADMSG : refuse(why, "no_end");
		if (!line_length)
			break;
		field_error = line_check(line, line_length, say);
		if (!field_error)
			field_error = scan_field(msg, line, say);
		if (field_error && !error)
			error = field_error;
		if (msg->field_count == SIP_MAX_HEADERS && error)
			break;
	}
	msg->body = cursor;
	msg->body_length = (size_t)(end - cursor);
	return start_error ? start_error : error;
}

// --- what must be there, and how ----------------------------------------------------------------------------------

bool scan_uri(const char *value, const char **uri, size_t *length)
{
	const char *start = value, *end;
	bool quoted = false;

	for (; *start && (quoted || *start != '<'); start++) {
		if (quoted && *start == '\\' && start[1])
			start++;
		else if (*start == '"')
			quoted = !quoted;
	}
	if (quoted)
		return false;
	if (*start == '<') {
		end = strchr(++start, '>');
		if (!end)
			return false;
	} else {
		start = value + strspn(value, " \t");
		end = start + strcspn(start, ";, \t");
	}
	*uri = start;
	*length = (size_t)(end - start);
	return true;
}

bool scan_is_sip(const char *uri)
{
	return strncasecmp(uri, "sip:", 4) == 0 || strncasecmp(uri, "sips:", 5) == 0;
}

// From, To, Contact, Route, Record-Route: quotes close, a display name is words, and the URI has no blank in it.
static bool address_is_good(const char *value)
{
	const char *uri;
	size_t length;

	if (!scan_uri(value, &uri, &length) || !length || memchr(uri, ' ', length) || memchr(uri, '\t', length))
		return false;
	if (uri > value && uri[-1] == '<') {
		const char *name = value + strspn(value, " \t");

		if (*name == '"')
			return true;
		return !memchr(name, ',', (size_t)(uri - name)) && !memchr(name, ';', (size_t)(uri - name));
	}
	return !memchr(uri, '?', length); // RFC 3261 20: such a URI must stand in brackets
}

static bool number_parse(const char *text, uint32_t max, uint32_t *out, const char **rest)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++) {
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	*out = (uint32_t)value;
	*rest = text;
	return true;
}

static int check_cseq(struct sip_msg *msg, const char **why)
{
	const char *rest;

	if (!number_parse(sip_msg_header(msg, "CSeq", 0), CSEQ_MAX, &msg->cseq, &rest) ||
		(*rest != ' ' && *rest != '\t'))
		return refuse(why, "bad_cseq");
	rest += strspn(rest, " \t");
	if (!text_is_token(rest, strlen(rest)))
		return refuse(why, "bad_cseq");
	if (msg->request && strcmp(rest, msg->method_name) != 0)
		return refuse(why, "method_mismatch");
	if (!msg->request) {
		msg->method_name = (char *)rest;
		msg->method = sip_method_find(rest, strlen(rest));
	}
	return 0;
}

static int check_length(struct sip_msg *msg, const char **why)
{
	const char *value = sip_msg_header(msg, "Content-Length", 0), *rest;
	uint32_t length;

	if (!value)
		return 0;
	if (!number_parse(value, SIP_MAX_MESSAGE, &length, &rest) || *rest)
		return refuse(why, "bad_content_length");
	if (length > msg->body_length)
		return refuse(why, "short_body");
	msg->body_length = length; // RFC 3261 18.3: what follows is not ours
	return 0;
}

static int check_values(struct sip_msg *msg, const char **why)
{
	static const struct {
		const char *name, *why;
	} addresses[] = {{"From", "bad_from"}, {"To", "bad_to"}, {"Contact", "bad_contact"}, {"Route", "bad_route"},
		{"Record-Route", "bad_route"}};
	const char *value, *rest;
	uint32_t hops;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++)
		for (unsigned n = 0; (value = sip_msg_header(msg, addresses[i].name, n)); n++)
			if (!address_is_good(value))
				return refuse(why, addresses[i].why);
	value = sip_msg_header(msg, "Max-Forwards", 0);
	if (value && (!number_parse(value, 255, &hops, &rest) || *rest))
		return refuse(why, "bad_max_forwards");
	value = sip_msg_header(msg, "Date", 0);
	if (value && (strlen(value) < 4 || strcmp(value + strlen(value) - 4, " GMT") != 0))
		return refuse(why, "bad_date");
	// RFC 3261 19.1.1: a Request-URI has no headers.
	if (msg->request && scan_is_sip(msg->uri)) {
		const char *at = strchr(msg->uri, '@');

		if (strchr(at ? at : msg->uri, '?'))
			return refuse(why, "bad_uri");
	}
	return 0;
}

int scan_check(struct sip_msg *msg, size_t length, const char **why)
{
	static const struct {
		const char *name, *missing;
	} once[] = {{"Call-ID", "no_call_id"}, {"CSeq", "no_cseq"}, {"From", "no_from"}, {"To", "no_to"},
		{"Max-Forwards", NULL}, {"Content-Length", NULL}, {"Content-Type", NULL}};
	int error;

	for (size_t i = 0; i < sizeof(once) / sizeof(*once); i++) {
		const char *value = sip_msg_header(msg, once[i].name, 0);

		if (once[i].missing && (!value || !*value))
			return refuse(why, once[i].missing);
		if (sip_msg_header(msg, once[i].name, 1))
			return refuse(why, "duplicate_header");
	}
	if (!sip_msg_header(msg, "Via", 0))
		return refuse(why, "no_via");
	if (sip_msg_header(msg, "Via", SIP_MAX_VIAS))
		return refuse(why, "too_many_vias");
	error = check_cseq(msg, why);
	if (!error)
		error = check_length(msg, why);
	return error ? error : check_values(msg, why);
}
