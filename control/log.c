// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define LINE 4096 // PIPE_BUF

static enum kg_log_level log_level = KG_LOG_INFO;
static bool log_json = true;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(enum kg_log_level level, bool json)
{
	log_level = level;
	log_json = json;
}

bool log_enabled(enum kg_log_level level)
{
	return level <= log_level;
}

// A line under construction. Each value has a room of its own, so that a long one cannot push out what follows: a line
// is at most LINE bytes, which a pipe takes whole, and always ends as it should.
struct line {
	char text[LINE];
	size_t length;
};

#define AREA_ROOM 32
#define MESSAGE_ROOM 2000
#define ID_ROOM 384 // each of the four
#define CUT "..."   // stands where a value was cut
_Static_assert(MESSAGE_ROOM + 4 * ID_ROOM + 2 * AREA_ROOM + 256 <= LINE, "a line holds the room of all its parts");

static void put_text(struct line *line, const char *text)
{
	size_t length = strlen(text);

	memcpy(line->text + line->length, text, length);
	line->length += length;
}

// Peers' bytes: quotes, backslashes, control characters and what is not ASCII are escaped, so that one line stays one
// line and the JSON is whole whatever they sent.
static void put_escaped(struct line *line, const char *text, size_t room)
{
	size_t end = line->length + room - sizeof(CUT);

	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		char escaped[8];

		if (*at == '"' || *at == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", *at);
		else if (*at < 0x20 || *at >= 0x7f)
			snprintf(escaped, sizeof(escaped), "\\u%04x", *at);
		else
			snprintf(escaped, sizeof(escaped), "%c", *at);
		if (line->length + strlen(escaped) > end) {
			put_text(line, CUT);
			return;
		}
		put_text(line, escaped);
	}
}

static void put_field(struct line *line, const char *name, const char *value, size_t room)
{
	if (!value || !*value)
		return;
	put_text(line, log_json ? ",\"" : " ");
	put_text(line, name);
	put_text(line, log_json ? "\":\"" : "=");
	put_escaped(line, value, room);
	put_text(line, log_json ? "\"" : "");
}

static void put_start(struct line *line, enum kg_log_level level, const char *area, const char *message)
{
	struct timespec now;
	struct tm utc;
	char stamp[64];
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp + length, sizeof(stamp) - length, ".%06ldZ", now.tv_nsec / 1000);
	if (log_json) {
		put_text(line, "{\"time\":\"");
		put_text(line, stamp);
		put_text(line, "\"");
		put_field(line, "level", level_names[level], AREA_ROOM);
		put_field(line, "area", area, AREA_ROOM);
		put_field(line, "msg", message, MESSAGE_ROOM);
	} else {
		put_text(line, stamp);
		put_text(line, " ");
		put_text(line, level_names[level]);
		put_text(line, " ");
		put_escaped(line, area, AREA_ROOM);
		put_text(line, ": ");
		put_escaped(line, message, MESSAGE_ROOM);
	}
}

static void write_line(
	enum kg_log_level level, const char *area, const struct log_ids *ids, const char *fmt, va_list args)
{
	struct line line = {.length = 0};
	char message[MESSAGE_ROOM];

	vsnprintf(message, sizeof(message), fmt, args);
	put_start(&line, level, area, message);
	if (ids) {
		put_field(&line, "method", ids->method, ID_ROOM);
		put_field(&line, "transaction", ids->transaction, ID_ROOM);
		put_field(&line, "dialog", ids->dialog, ID_ROOM);
		put_field(&line, "call", ids->call, ID_ROOM);
	}
	put_text(&line, log_json ? "}\n" : "\n");
	for (size_t at = 0; at < line.length;) {
		ssize_t wrote = write(STDERR_FILENO, line.text + at, line.length - at);

		if (wrote < 0 && errno != EINTR)
			return; // nobody reads the log: the engine goes on
		at += wrote > 0 ? (size_t)wrote : 0;
	}
}

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_line(level, area, NULL, fmt, args);
	va_end(args);
}

void log_sip(enum kg_log_level level, const struct log_ids *ids, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_line(level, "sip", ids, fmt, args);
	va_end(args);
}
