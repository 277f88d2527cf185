// SPDX-License-Identifier: BSD-3-Clause
// `kedgectl nic capture` and `leg trace`: the engine's answer, as it comes, into a file.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "kedgectl.h"

#define ROOM 65536

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	stopped = 1;
}

// The answer's head. Returns: its status, or 0; *body is what came behind it already.
static int read_head(int fd, char *text, size_t *length, char **body)
{
	int status = 0;
	char *end;

	for (*length = 0; *length < ROOM - 1;) {
		ssize_t got = read(fd, text + *length, ROOM - 1 - *length);

		if (got <= 0)
			return 0;
		*length += (size_t)got;
		text[*length] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		*body = end + 4;
		*length -= (size_t)(*body - text);
		return sscanf(text, "HTTP/%*s %d", &status) == 1 ? status : 0;
	}
	return 0;
}

// Count the whole packet blocks that passed: type 6, little more is asked of them.
struct counter {
	uint8_t head[8];
	size_t have;   // of head
	uint64_t skip; // to the next block
	uint64_t packets;
	bool ended;
};

static void count_blocks(struct counter *counter, const uint8_t *data, size_t length)
{
	while (length) {
		uint32_t type, size;

		if (counter->skip) {
			size_t step = length < counter->skip ? length : counter->skip;

			counter->skip -= step;
			data += step;
			length -= step;
			continue;
		}
		counter->head[counter->have++] = *data++;
		length--;
		if (counter->have < 8)
			continue;
		counter->have = 0;
		memcpy(&type, counter->head, 4);
		memcpy(&size, counter->head + 4, 4);
		counter->skip = size - 8;
		counter->packets += type == 6;
		counter->ended = counter->ended || type == 5;
	}
}

static bool write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t done = write(fd, data, length);

		if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			data += done;
			length -= (size_t)done;
		}
	}
	return true;
}

static int copy(int from, int to, uint64_t wanted, char *text, char *body, size_t length)
{
	struct counter counter = {.have = 0};
	bool tty = isatty(STDERR_FILENO);

	for (;;) {
		ssize_t got;

		count_blocks(&counter, (uint8_t *)body, length);
		if (!write_all(to, body, length)) {
			fprintf(stderr, "kedgectl: the file cannot be written: %s\n", strerror(errno));
			return 1;
		}
		if (tty)
			fprintf(stderr, "\r%llu frames", (unsigned long long)counter.packets);
		body = text;
		got = stopped ? 0 : read(from, text, ROOM);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			length = 0;
			continue; // nothing passed just now
		}
		if (got <= 0)
			break;
		length = (size_t)got;
	}
	fprintf(stderr, "%s%llu frames%s\n", tty ? "\r" : "", (unsigned long long)counter.packets,
		counter.ended ? counter.packets < wanted ? ": the leg ended" : ""
		: stopped     ? ", stopped here"
			      : ": the engine ended it");
	return counter.ended || stopped ? 0 : 1;
}

int capture_run(int fd, const char *path, const char *count, const char *file)
{
	const struct timeval patience = {1, 0};
	const struct sigaction action = {.sa_handler = on_signal};
	char request[512], *text = malloc(ROOM), *body;
	size_t length;
	int status, to, result;
	int size = snprintf(request, sizeof(request), "GET %s?count=%s HTTP/1.0\r\nHost: kedge\r\n\r\n", path, count);

	if (!text || size >= (int)sizeof(request) || send(fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
		free(text);
		return 3;
	}
	status = read_head(fd, text, &length, &body);
	if (status != 200) {
		result = status ? refused(body, false) : 3;
		free(text);
		return result;
	}
	to = strcmp(file, "-") == 0 ? STDOUT_FILENO : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0) {
		fprintf(stderr, "kedgectl: %s cannot be written: %s\n", file, strerror(errno));
		free(text);
		return 1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	result = copy(fd, to, strtoull(count, NULL, 10), text, body, length);
	if (to != STDOUT_FILENO)
		close(to);
	free(text);
	return result;
}
