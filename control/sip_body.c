// SPDX-License-Identifier: BSD-3-Clause

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sip_body.h"

#define BOUNDARY 72 // RFC 2046: at most 70 characters

// The value of the boundary parameter. Returns: false where there is none that can be used.
static bool boundary_read(const char *type, char out[BOUNDARY])
{
	const char *at = strcasestr(type, "boundary");
	size_t length;

	if (!at)
		return false;
	at += strlen("boundary");
	at += strspn(at, " \t");
	if (*at++ != '=')
		return false;
	at += strspn(at, " \t");
	if (*at == '"') {
		at++;
		length = strcspn(at, "\"");
	} else {
		length = strcspn(at, "; \t");
	}
	if (!length || length > 70)
		return false;
	memcpy(out, at, length);
	out[length] = '\0';
	return true;
}

// The next "--boundary" that begins a line, from `at` on. Returns: NULL: none.
static const char *delimiter_find(const char *body, const char *at, const char *end, const char *boundary)
{
	size_t length = strlen(boundary);

	for (; at + 2 + length <= end; at++) {
		at = memmem(at, (size_t)(end - at), "--", 2);
		if (!at || at + 2 + length > end)
			return NULL;
		if ((at == body || at[-1] == '\n') && memcmp(at + 2, boundary, length) == 0)
			return at;
	}
	return NULL;
}

static const char *line_end(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline ? newline + 1 : end;
}

// Do the headers of a part, from `at` on, say application/sdp? *content: behind them.
static bool part_is_sdp(const char *at, const char *end, const char **content)
{
	static const char name[] = "content-type:", wanted[] = "application/sdp";
	bool found = false;

	while (at < end) {
		const char *next = line_end(at, end), *value = at + sizeof(name) - 1;

		if (*at == '\n' || (*at == '\r' && at + 1 < end && at[1] == '\n')) {
			*content = next;
			return found;
		}
		if ((size_t)(next - at) > sizeof(name) - 1 && strncasecmp(at, name, sizeof(name) - 1) == 0) {
			while (value < next && (*value == ' ' || *value == '\t'))
				value++;
			found = (size_t)(next - value) >= sizeof(wanted) - 1 &&
				strncasecmp(value, wanted, sizeof(wanted) - 1) == 0;
		}
		at = next;
	}
	return false;
}

static bool type_is(const char *type, const char *wanted)
{
	return type && strncasecmp(type + strspn(type, " \t"), wanted, strlen(wanted)) == 0;
}

bool sip_body_sdp(const char *type, const char *body, size_t length, const char **sdp, size_t *sdp_length)
{
	const char *end = body + length, *at, *next, *content;
	char boundary[BOUNDARY];

	if (!body || !length)
		return false;
	if (type_is(type, "application/sdp")) {
		*sdp = body;
		*sdp_length = length;
		return true;
	}
	if (!type_is(type, "multipart/") || !boundary_read(type, boundary))
		return false;
	for (at = delimiter_find(body, body, end, boundary); at; at = next) {
		at = line_end(at, end);
		next = delimiter_find(body, at, end, boundary);
		if (!next)
			return false; // the last one, or it is cut short
		if (!part_is_sdp(at, next, &content))
			continue;
		*sdp = content;
		*sdp_length = (size_t)(next - content);
		// The line end before a delimiter is the delimiter's.
		if (*sdp_length && content[*sdp_length - 1] == '\n')
			(*sdp_length)--;
		if (*sdp_length && content[*sdp_length - 1] == '\r')
			(*sdp_length)--;
		return *sdp_length > 0;
	}
	return false;
}

char *sip_body_replace(const char *type, const char *body, size_t length, const char *sdp, size_t *out_length)
{
	size_t old_length, new_length = strlen(sdp), head;
	const char *old;
	char *out;

	if (!sip_body_sdp(type, body, length, &old, &old_length))
		return NULL;
	head = (size_t)(old - body);
	*out_length = length - old_length + new_length;
	out = malloc(*out_length + 1);
	if (!out)
		return NULL;
	memcpy(out, body, head);
	memcpy(out + head, sdp, new_length);
	memcpy(out + head + new_length, old + old_length, length - head - old_length);
	out[*out_length] = '\0';
	return out;
}
