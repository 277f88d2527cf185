// SPDX-License-Identifier: BSD-3-Clause
// Header lines are cut as sip_msg_scan.c cuts them, so that both see the same end of the header: a line ends with LF, a
// CR before it is of no account, and a line that begins with a blank goes on with the one before.

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "sip_frame.h"
#include "sip_msg.h"

static enum sip_frame_kind garbage(struct sip_frame *frame, const char *why)
{
	frame->why = why;
	return SIP_FRAME_GARBAGE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

// --- between messages ---------------------------------------------------------------------------------------------

static enum sip_frame_kind crlf(struct sip_frame *frame, const char *data, size_t length, size_t *used)
{
	if (length < 2)
		return SIP_FRAME_MORE;
	if (data[1] != '\n')
		return garbage(frame, "no_sip");
	*used = 2;
	if (frame->pong_due)
		return SIP_FRAME_PONG;
	if (length >= 4 && data[2] == '\r' && data[3] == '\n') {
		*used = 4;
		frame->half = false;
		return SIP_FRAME_PING;
	}
	frame->half = !frame->half;
	return frame->half ? SIP_FRAME_PONG : SIP_FRAME_PING;
}

// --- header -------------------------------------------------------------------------------------------------------

// A method or "SIP" begins with a letter, a digit or a mark; TLS, HTTP/2 and RTP on the wrong port do not get far.
static bool may_begin(char c)
{
	return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static bool first_line_is_sip(const char *line, size_t length)
{
	if (length >= 4 && strncasecmp(line, "SIP/", 4) == 0)
		return true;
	for (const char *at = line; (at = memchr(at, ' ', length - (size_t)(at - line))); at++)
		if (length - (size_t)(at - line) >= 5 && strncasecmp(at, " SIP/", 5) == 0)
			return true;
	return false;
}

// Returns: where the value begins in the line, 0 where it is another header.
static size_t length_header(const char *line, size_t length)
{
	static const char *const names[] = {"Content-Length", "l"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t at = strlen(names[i]);

		if (length <= at || strncasecmp(line, names[i], at) != 0)
			continue;
		while (at < length && is_blank(line[at]))
			at++;
		if (at < length && line[at] == ':')
			return at + 1;
	}
	return 0;
}

// Line frame->line..end (without its LF).
static enum sip_frame_kind header_line(struct sip_frame *frame, const char *data, size_t end)
{
	const char *line = data + frame->line;
	size_t length = end - frame->line, value;

	if (frame->line == 0)
		return first_line_is_sip(line, length) ? SIP_FRAME_MORE : garbage(frame, "no_sip");
	if (length && is_blank(*line)) {
		if (frame->in_length)
			frame->value_length = end - frame->value;
		return SIP_FRAME_MORE;
	}
	value = length_header(line, length);
	frame->in_length = value > 0;
	if (!value)
		return SIP_FRAME_MORE;
	if (frame->value) // two readers might believe different ones
		return garbage(frame, "two_content_lengths");
	frame->value = frame->line + value;
	frame->value_length = end - frame->value;
	return SIP_FRAME_MORE;
}

// Returns: false where it is no number. *out: at most SIP_MAX_MESSAGE + 1.
static bool length_read(const char *value, size_t length, size_t *out)
{
	size_t at = 0, digits = 0;

	while (at < length && (is_blank(value[at]) || value[at] == '\r' || value[at] == '\n'))
		at++;
	for (*out = 0; at < length && value[at] >= '0' && value[at] <= '9'; at++, digits++)
		if (*out <= SIP_MAX_MESSAGE)
			*out = *out * 10 + (size_t)(value[at] - '0');
	while (at < length && (is_blank(value[at]) || value[at] == '\r' || value[at] == '\n'))
		at++;
	return digits && at == length;
}

static enum sip_frame_kind header_end(struct sip_frame *frame, const char *data, size_t head)
{
	size_t body;

	if (!frame->value)
		return garbage(frame, "no_content_length");
	if (!length_read(data + frame->value, frame->value_length, &body))
		return garbage(frame, "bad_content_length");
	if (body > SIP_MAX_MESSAGE || head + body > SIP_MAX_MESSAGE)
		return garbage(frame, "too_large");
	frame->total = head + body;
	return SIP_FRAME_MORE;
}

static enum sip_frame_kind header_scan(struct sip_frame *frame, const char *data, size_t length)
{
	while (!frame->total && frame->scanned < length) {
		const char *lf = memchr(data + frame->scanned, '\n', length - frame->scanned);
		enum sip_frame_kind kind;
		size_t end;

		if (!lf) {
			frame->scanned = length;
			break;
		}
		end = (size_t)(lf - data);
		frame->scanned = end + 1;
		if (end == frame->line || (end == frame->line + 1 && data[frame->line] == '\r'))
			kind = header_end(frame, data, end + 1);
		else
			kind = header_line(frame, data, end);
		frame->line = end + 1;
		if (kind != SIP_FRAME_MORE)
			return kind;
	}
	return !frame->total && length > SIP_MAX_MESSAGE ? garbage(frame, "too_large") : SIP_FRAME_MORE;
}

enum sip_frame_kind sip_frame_next(struct sip_frame *frame, const char *data, size_t length, size_t *used)
{
	enum sip_frame_kind kind;

	*used = 0;
	if (!length)
		return SIP_FRAME_MORE;
	if (!frame->scanned && *data == '\r')
		return crlf(frame, data, length, used);
	if (!frame->scanned && !may_begin(*data))
		return garbage(frame, "no_sip");
	kind = header_scan(frame, data, length);
	if (kind != SIP_FRAME_MORE || !frame->total || length < frame->total)
		return kind;
	*used = frame->total;
	*frame = (struct sip_frame){.pong_due = frame->pong_due};
	return SIP_FRAME_MESSAGE;
}
