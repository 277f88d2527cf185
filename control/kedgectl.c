// SPDX-License-Identifier: BSD-3-Clause
// kedgectl: asks a running engine over its UNIX socket. One command table drives parser, help and tables.
// Exit status: 0 done, 1 refused or not found, 2 usage, 3 no engine.

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "kedgectl.h"

#define DEFAULT_SOCKET "/run/kedge/kedge.sock"
#define TIMEOUT_S 10
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define MAX_ANSWER (64 * 1024 * 1024)

static const struct command {
	const char *noun, *verb;
	const char *argument;      // NULL: none
	const char *method, *path; // %s: the argument
	void (*print)(const json_t *answer);
	const char *help;
} commands[] = {
	{"call", "list", NULL, "GET", "/v1/calls", table_calls, "the calls that live"},
	{"call", "show", "ID", "GET", "/v1/calls/%s", table_call, "one call with its legs"},
	{"call", "hangup", "ID", "DELETE", "/v1/calls/%s", table_hangup, "end a call: CANCEL or BYE to both parties"},
	{"leg", "list", NULL, "GET", "/v1/legs", table_legs, "the media legs that live"},
	{"leg", "show", "ID", "GET", "/v1/legs/%s", table_leg, "one leg: addresses, packets, loss, jitter, drops"},
	{"leg", "trace", "ID --count N --file F", NULL, "/v1/traces/%s", NULL,
		"one leg's frames as pcapng, in and out; ends with the leg"},
	{"nic", "show", NULL, "GET", "/v1/nics", table_nics, "nics: driver, addresses, rings, packets"},
	{"nic", "capture", "NIC --count N --file F", NULL, "/v1/captures/%s", NULL,
		"media frames as pcapng: what tcpdump no longer sees; F may be -"},
	{"lcore", "show", "--graph", "GET", "/v1/lcores", table_lcores,
		"lcores: load and each stage's cost; --graph draws the pipeline"},
	{"health", "show", NULL, "GET", "/healthz", table_health, "is the engine well? exit 1 where a check fails"},
	{"stats", "show", NULL, "GET", "/v1/stats", table_stats, "what is counted, drops by reason"},
	{"config", "reload", NULL, "POST", "/v1/config/reload", table_reload, "read the configuration again"},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

// --- help -----------------------------------------------------------------------------------------------------------

static int usage(FILE *out, const char *noun)
{
	fprintf(out, "usage: kedgectl [-s SOCKET] [-j] NOUN VERB [ARG]\n"
		     "  -s SOCKET  the engine's api.socket (default $KEDGE_SOCKET or " DEFAULT_SOCKET ")\n"
		     "  -j         JSON as the engine sends it\n\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		char words[64];

		if (noun && strcmp(noun, commands[i].noun) != 0)
			continue;
		snprintf(words, sizeof(words), "%s %s %s", commands[i].noun, commands[i].verb,
			!commands[i].argument          ? ""
			: *commands[i].argument == '-' ? "[--graph]"
						       : commands[i].argument);
		fprintf(out, "  %-34s %s\n", words, commands[i].help);
	}
	return 2;
}

static const struct command *command_find(const char *noun, const char *verb)
{
	bool known = false;

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].noun, noun) != 0)
			continue;
		known = true;
		if (verb && strcmp(commands[i].verb, verb) == 0)
			return &commands[i];
	}
	if (!known)
		fprintf(stderr, "kedgectl: there is no \"%s\"; there are:\n", noun);
	else if (!verb)
		fprintf(stderr, "kedgectl: %s needs a verb; there are:\n", noun);
	else
		fprintf(stderr, "kedgectl: %s has no \"%s\"; there are:\n", noun, verb);
	usage(stderr, known ? noun : NULL);
	return NULL;
}

// --- asking ---------------------------------------------------------------------------------------------------------

static int no_engine(const char *path, const char *why, const char *advice)
{
	fprintf(stderr, "kedgectl: no engine answers on %s: %s.\n%s\n", path, why, advice);
	return -1;
}

static int connect_to(const char *path)
{
	const struct timeval timeout = {TIMEOUT_S, 0};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(name.sun_path))
		return no_engine(path, "the path is too long for a socket", "Give the engine's api.socket with -s.");
	strcpy(name.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); // connect too: a full queue
		if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
			return fd;
	}
	error = errno;
	if (fd >= 0)
		close(fd);
	return no_engine(path, strerror(error),
		error == EACCES   ? "Try with sudo."
		: error == EAGAIN ? "It has not taken a question for " TEXT(TIMEOUT_S) " s: look at its log."
				  : "Is kedged running? Start it with `kedged -c FILE`; where its file says another "
				    "api.socket, give that one with -s.");
}

static char *read_all(int fd, size_t *length)
{
	size_t room = 65536;
	char *text = malloc(room);

	*length = 0;
	while (text && room <= MAX_ANSWER) {
		ssize_t got = read(fd, text + *length, room - *length - 1);

		if (got < 0) {
			free(text);
			return NULL;
		}
		if (got == 0) {
			text[*length] = '\0';
			return text;
		}
		*length += (size_t)got;
		if (*length + 1 == room) {
			char *grown = realloc(text, room *= 2);

			if (!grown)
				free(text);
			text = grown;
		}
	}
	free(text);
	return NULL;
}

// The engine closes the connection after its answer. Returns: the body in heap memory and the status, or NULL where it
// is not whole.
static char *ask(int fd, const char *method, const char *path, int *status)
{
	char request[512], *text, *body;
	const char *field;
	size_t length;
	int size = snprintf(request, sizeof(request),
		"%s %s HTTP/1.1\r\nHost: kedge\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path);

	if (size >= (int)sizeof(request) || send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
		return NULL;
	text = read_all(fd, &length);
	body = text ? strstr(text, "\r\n\r\n") : NULL;
	if (!body || sscanf(text, "HTTP/%*s %d", status) != 1)
		goto broken;
	*body = '\0';
	body += 4;
	length -= (size_t)(body - text);
	field = strcasestr(text, "\r\nContent-Length:");
	if (field && strtoull(field + 17, NULL, 10) != length)
		goto broken;
	memmove(text, body, length + 1);
	return text;
broken:
	free(text);
	return NULL;
}

// Names of peers go to a terminal: what would steer it is shown as '?'.
static void defuse(char *text)
{
	char *out = text;
	unsigned code;

	while (*text) {
		size_t skip = 0;

		if (sscanf(text, "\\u%4x", &code) == 1 && (code < 0x20 || (code >= 0x7f && code < 0xa0)))
			skip = 6;
		else if (text[0] == '\\' && text[1] && strchr("bfnrt", text[1]))
			skip = 2;
		else if ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0 && text[1])
			skip = 2;
		if (skip) {
			*out++ = '?';
			text += skip;
			continue;
		}
		if (text[0] == '\\' && text[1])
			*out++ = *text++;
		*out++ = *text++;
	}
	*out = '\0';
}

int refused(const char *text, bool raw)
{
	json_t *problem = json_loads(text, 0, NULL);
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));

	if (raw && problem)
		printf("%s\n", text);
	fprintf(stderr, "kedgectl: %s%s%s\n", title ? title : "refused", detail ? ": " : "", detail ? detail : "");
	json_decref(problem);
	return 1;
}

static int show(const struct command *command, char *text)
{
	json_t *answer;

	if (command->print != table_reload) // whose lines are the engine's own
		defuse(text);
	answer = json_loads(text, 0, NULL);
	if (!answer) {
		fprintf(stderr, "kedgectl: what answered is no kedge engine, or one of another version\n");
		return 3;
	}
	command->print(answer);
	json_decref(answer);
	return 0;
}

static int run(const struct command *command, const char *argument, const char *socket_path, bool raw)
{
	bool graph = argument && strcmp(argument, "--graph") == 0;
	char path[256], *text;
	int fd, status = 0, result = 0;

	snprintf(path, sizeof(path), command->path, argument ? argument : "");
	if (graph)
		snprintf(path, sizeof(path), "/v1/lcores/graph");
	fd = connect_to(socket_path);
	if (fd < 0)
		return 3;
	text = ask(fd, command->method, path, &status);
	close(fd);
	if (!text) {
		fprintf(stderr, "kedgectl: the engine on %s gave no whole answer within %d s: look at its log\n",
			socket_path, TIMEOUT_S);
		return 3;
	}
	if (status == 503 && command->print == table_health) { // an answer all the same
		result = raw ? (printf("%s\n", text), 1) : show(command, text) ? 3 : 1;
	} else if (status >= 300)
		result = refused(text, raw);
	else if (raw || graph)
		printf("%s%s", text, graph ? "" : "\n");
	else
		result = show(command, text);
	free(text);
	return result;
}

// An id goes into a path: what cannot be part of one is no id.
static bool good_argument(const char *text)
{
	return *text && strlen(text) < 128 &&
	       strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.@") == strlen(text);
}

// nic capture NIC --count N --file F, leg trace ID ..., in any order.
static int capture(const struct command *command, int argc, char **argv, const char *socket_path)
{
	const char *id = NULL, *count = "1000", *file = NULL;
	char path[256];
	int fd, result;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--count") == 0 && i + 1 < argc)
			count = argv[++i];
		else if (strcmp(argv[i], "--file") == 0 && i + 1 < argc)
			file = argv[++i];
		else if (!id && good_argument(argv[i]) && *argv[i] != '-')
			id = argv[i];
		else
			return fprintf(stderr, "kedgectl: \"%s\" does not fit here:\n", argv[i]),
			       usage(stderr, command->noun);
	}
	if (!id || !file || !*count || count[strspn(count, "0123456789")] || strlen(count) > 9) {
		fprintf(stderr,
			"kedgectl: %s %s needs a %s (`kedgectl %s %s` lists them), --count with a number and --file:\n",
			command->noun, command->verb, command->noun, command->noun,
			strcmp(command->noun, "nic") == 0 ? "show" : "list");
		return usage(stderr, command->noun);
	}
	fd = connect_to(socket_path);
	if (fd < 0)
		return 3;
	snprintf(path, sizeof(path), command->path, id);
	result = capture_run(fd, path, count, file);
	close(fd);
	return result;
}

int main(int argc, char **argv)
{
	const char *socket_path = getenv("KEDGE_SOCKET"), *argument = NULL;
	const struct command *command;
	bool raw = false;
	int option;

	if (!socket_path)
		socket_path = DEFAULT_SOCKET;
	while ((option = getopt(argc, argv, "+s:jh")) != -1) {
		if (option == 's')
			socket_path = optarg;
		else if (option == 'j')
			raw = true;
		else if (option == 'h')
			return usage(stdout, NULL), 0;
		else
			return usage(stderr, NULL);
	}
	if (optind >= argc)
		return usage(stderr, NULL);
	command = command_find(argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL);
	if (!command)
		return 2;
	if (!command->method)
		return capture(command, argc - optind - 2, argv + optind + 2, socket_path);
	for (int i = optind + 2; i < argc; i++) {
		if (strcmp(argv[i], "-j") == 0)
			raw = true;
		else if (!argument && command->argument && good_argument(argv[i]) &&
			 (strcmp(command->argument, "ID") == 0 || strcmp(argv[i], command->argument) == 0))
			argument = argv[i];
		else
			return fprintf(stderr, "kedgectl: \"%s\" does not fit here:\n", argv[i]),
			       usage(stderr, command->noun);
	}
	if (!argument && command->argument && strcmp(command->argument, "ID") == 0) {
		fprintf(stderr, "kedgectl: %s %s needs an id: `kedgectl %s list` shows them\n", command->noun,
			command->verb, command->noun);
		return 2;
	}
	return run(command, argument, socket_path, raw);
}
