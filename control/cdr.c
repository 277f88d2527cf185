// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cdr.h"
#include "events.h"
#include "kg_log.h"

struct cdr {
	char *file;
	int fd;
	struct events *events;
	uint64_t written, lost;
	bool alarm;
};

static int make_directory(const char *file)
{
	char path[512] = ""; // zeroed past its end: the loop begins at its second byte

	snprintf(path, sizeof(path), "%s", file);
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(path, 0750) != 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

int cdr_reopen(struct cdr *cdr)
{
	int fd = open(cdr->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno; // the old file stays in use
	if (cdr->fd >= 0)
		close(cdr->fd);
	cdr->fd = fd;
	return 0;
}

int cdr_open(const char *file, struct events *events, struct cdr **out, char *err)
{
	struct cdr *cdr = calloc(1, sizeof(*cdr));
	int error;

	if (!cdr || !(cdr->file = strdup(file))) {
		free(cdr);
		snprintf(err, 256, "no memory for cdr.file: free some and start again");
		return -ENOMEM;
	}
	cdr->fd = -1;
	cdr->events = events;
	error = make_directory(file);
	if (!error)
		error = cdr_reopen(cdr);
	if (error) {
		snprintf(
			err, 256, "cdr.file: %.150s cannot be written: %s; write another path", file, strerror(-error));
		cdr_close(cdr);
		return error;
	}
	*out = cdr;
	return 0;
}

void cdr_close(struct cdr *cdr)
{
	if (!cdr)
		return;
	if (cdr->fd >= 0)
		close(cdr->fd);
	free(cdr->file);
	free(cdr);
}

static void alarm_set(struct cdr *cdr, bool active)
{
	if (cdr->alarm == active)
		return;
	cdr->alarm = active;
	events_emit(cdr->events, "alarm", NULL, NULL, json_pack("{s:s,s:b}", "name", "cdr_lost", "active", active));
}

void cdr_write(struct cdr *cdr, json_t *call)
{
	char *text = json_dumps(call, JSON_COMPACT);
	size_t length = text ? strlen(text) : 0;
	ssize_t wrote = -1;

	if (text) {
		text[length] = '\n'; // over the NUL: one write is one whole line
		wrote = write(cdr->fd, text, length + 1);
	}
	if (wrote == (ssize_t)length + 1) {
		cdr->written++;
		alarm_set(cdr, false);
	} else {
		cdr->lost++;
		kg_error("cdr", "%s: a call record was lost: %s", cdr->file, text ? strerror(errno) : "no memory");
		alarm_set(cdr, true);
		if (wrote > 0 && write(cdr->fd, "\n", 1) != 1) // half a line: the next one starts on its own
			kg_error("cdr", "%s: the last line is not whole", cdr->file);
	}
	free(text);
	json_decref(call);
}

uint64_t cdr_written(const struct cdr *cdr)
{
	return cdr->written;
}

uint64_t cdr_lost(const struct cdr *cdr)
{
	return cdr->lost;
}
