// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define LINE 4096

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

// A line under construction; what does not fit is cut, the end always fits.
struct line {
	char text[LINE];
	size_t length;
};

static void put(struct line *line, const char *text, size_t length)
{
	size_t room = LINE - 8 - line->length;

	length = length < room ? length : room;
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

// Peers' bytes: quotes, backslashes, control characters and what is not ASCII are escaped, so that one line stays one
// line and the JSON is whole whatever they sent.
static void put_escaped(struct line *line, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		char escaped[8];

		if (LINE - 8 - line->length < 6)
			return;
		if (*at == '"' || *at == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", *at);
		else if (*at < 0x20 || *at >= 0x7f)
			snprintf(escaped, sizeof(escaped), "\\u%04x", *at);
		else
			snprintf(escaped, sizeof(escaped), "%c", *at);
		put_text(line, escaped);
	}
}

static void put_field(struct line *line, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	if (log_json) {
		put_text(line, ",\"");
		put_text(line, name);
		put_text(line, "\":\"");
		put_escaped(line, value);
		put_text(line, "\"");
	} else {
		put_text(line, " ");
		put_text(line, name);
		put_text(line, "=");
		put_escaped(line, value);
	}
}

static void write_line(
	enum kg_log_level level, const char *area, const struct log_ids *ids, const char *fmt, va_list args)
{
	struct line line = {.length = 0};
	char message[2048], stamp[64];
	struct timespec now;
	struct tm utc;
	size_t length;

	vsnprintf(message, sizeof(message), fmt, args);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(stamp + length, sizeof(stamp) - length, ".%06ldZ", now.tv_nsec / 1000);
	if (log_json) {
		put_text(&line, "{\"time\":\"");
		put_text(&line, stamp);
		put_text(&line, "\"");
		put_field(&line, "level", level_names[level]);
		put_field(&line, "area", area);
		put_field(&line, "msg", message);
	} else {
		put_text(&line, stamp);
		put_text(&line, " ");
		put_text(&line, level_names[level]);
		put_text(&line, " ");
		put_text(&line, area);
		put_text(&line, ": ");
		put_escaped(&line, message);
	}
	if (ids) {
		put_field(&line, "method", ids->method);
		put_field(&line, "transaction", ids->transaction);
		put_field(&line, "dialog", ids->dialog);
		put_field(&line, "call", ids->call);
	}
	memcpy(line.text + line.length, log_json ? "}\n" : "\n", log_json ? 2 : 1);
	line.length += log_json ? 2 : 1;
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
