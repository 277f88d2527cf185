// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "api_private.h"
#include "health.h"
#include "kg_log.h"

#define MAX_BODY 65536
#define MAX_HEADERS 16384
#define TIMEOUT_S 30

// --- answers --------------------------------------------------------------------------------------------------------

void api_answer(struct evhttp_request *request, int status, const char *type, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
	if (body)
		evbuffer_add(body, text, strlen(text));
	evhttp_send_reply(request, status, NULL, body);
	if (body)
		evbuffer_free(body);
}

void api_answer_json(struct evhttp_request *request, int status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

	if (text)
		api_answer(request, status, "application/json", text);
	else
		api_problem(request, 500, "Out of memory", "the answer could not be made: ask for less at once");
	free(text);
	json_decref(json);
}

void api_problem(struct evhttp_request *request, int status, const char *title, const char *detail)
{
	json_t *problem = json_pack(
		"{s:s,s:s,s:i,s:s}", "type", "about:blank", "title", title, "status", status, "detail", detail);
	char *text = json_dumps(problem, JSON_COMPACT);

	api_answer(request, status, "application/problem+json", text ? text : "{}");
	free(text);
	json_decref(problem);
}

// --- what may be asked ----------------------------------------------------------------------------------------------

static void get_calls(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer_json(request, 200, calls_list_json(api->options.calls));
}

static void get_call(struct api *api, struct evhttp_request *request, const char *id)
{
	json_t *call = calls_show_json(api->options.calls, id);

	if (call)
		api_answer_json(request, 200, call);
	else
		api_problem(request, 404, "No such call",
			"there is no call with this id: GET /v1/calls lists those that live");
}

static void delete_call(struct api *api, struct evhttp_request *request, const char *id)
{
	if (calls_hangup(api->options.calls, id) != 0)
		api_problem(
			request, 404, "No such call", "there is no living call with this id: GET /v1/calls lists them");
	else
		api_answer_json(request, 202, calls_show_json(api->options.calls, id));
}

static void get_legs(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer_json(request, 200, calls_legs_json(api->options.calls));
}

static void get_leg(struct api *api, struct evhttp_request *request, const char *id)
{
	json_t *leg = calls_leg_json(api->options.calls, id);

	if (leg)
		api_answer_json(request, 200, leg);
	else
		api_problem(request, 404, "No such leg",
			"there is no leg with this id: GET /v1/legs lists those that live");
}

static void get_nics(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer_json(request, 200, api_nics_json(api));
}

static void get_lcores(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer_json(request, 200, api_lcores_json(api));
}

static void get_graph(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer(request, 200, "text/plain; charset=utf-8", kg_media_graph());
}

static void get_stats(struct api *api, struct evhttp_request *request, const char *id)
{
	api_answer_json(request, 200, api_stats_json(api));
}

static void get_trunks(struct api *api, struct evhttp_request *request, const char *id)
{
	json_t *items = json_array();

	for (size_t i = 0; i < api->config->trunk_count; i++) {
		const struct config_trunk *trunk = &api->config->trunks[i];
		json_t *from = json_array();

		for (size_t j = 0; j < trunk->from_count; j++) {
			char ip[KG_ADDR_STRLEN], net[KG_ADDR_STRLEN + 8];

			snprintf(net, sizeof(net), "%s/%u", kg_addr_ip(&trunk->from[j].addr, ip, sizeof(ip)),
				trunk->from[j].prefix);
			json_array_append_new(from, json_string(net));
		}
		json_array_append_new(items,
			json_pack("{s:s,s:s,s:o}", "name", trunk->name, "target", trunk->target_uri, "from", from));
	}
	api_answer_json(request, 200, json_pack("{s:o}", "items", items));
}

static void get_metrics(struct api *api, struct evhttp_request *request, const char *id)
{
	struct evbuffer *body = evbuffer_new();

	if (!body)
		return api_problem(request, 500, "Out of memory", "the answer could not be made");
	metrics_write(api, body);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain; version=0.0.4");
	evhttp_send_reply(request, 200, NULL, body);
	evbuffer_free(body);
}

static void get_health(struct api *api, struct evhttp_request *request, const char *id)
{
	bool well;
	json_t *health = health_json(api->options.health, &well);

	api_answer_json(request, well ? 200 : 503, health);
}

static void post_reload(struct api *api, struct evhttp_request *request, const char *id)
{
	char *report = NULL;
	int error = api->options.reload(api->options.arg, &report);

	if (error)
		api_problem(request, 409, "Not applied", report ? report : strerror(-error));
	else
		api_answer_json(
			request, 200, json_pack("{s:s,s:s}", "status", "applied", "report", report ? report : ""));
	free(report);
}

static const struct entry {
	enum evhttp_cmd_type method;
	const char *path; // "*" stands for one id
	void (*fn)(struct api *api, struct evhttp_request *request, const char *id);
} entries[] = {
	{EVHTTP_REQ_GET, "/v1/calls", get_calls},
	{EVHTTP_REQ_GET, "/v1/calls/*", get_call},
	{EVHTTP_REQ_DELETE, "/v1/calls/*", delete_call},
	{EVHTTP_REQ_GET, "/v1/legs", get_legs},
	{EVHTTP_REQ_GET, "/v1/legs/*", get_leg},
	{EVHTTP_REQ_GET, "/v1/nics", get_nics},
	{EVHTTP_REQ_GET, "/v1/captures/*", api_capture},
	{EVHTTP_REQ_GET, "/v1/traces/*", api_trace},
	{EVHTTP_REQ_GET, "/v1/lcores", get_lcores},
	{EVHTTP_REQ_GET, "/v1/lcores/graph", get_graph},
	{EVHTTP_REQ_GET, "/v1/stats", get_stats},
	{EVHTTP_REQ_GET, "/v1/trunks", get_trunks},
	{EVHTTP_REQ_GET, "/v1/events", api_events},
	{EVHTTP_REQ_POST, "/v1/config/reload", post_reload},
	{EVHTTP_REQ_GET, "/metrics", get_metrics},
	{EVHTTP_REQ_GET, "/healthz", get_health},
};
#define ENTRIES (sizeof(entries) / sizeof(*entries))

// Does the path fit? Returns: the id where the pattern has one, "" where it has none, NULL where it does not fit.
static const char *fits(const char *pattern, const char *path)
{
	size_t length = strcspn(pattern, "*");

	if (!pattern[length])
		return strcmp(pattern, path) == 0 ? "" : NULL;
	if (strncmp(pattern, path, length) != 0 || !path[length] || strchr(path + length, '/'))
		return NULL;
	return path + length;
}

static void not_found(struct evhttp_request *request)
{
	char detail[512] = "there is nothing here; there are:";

	for (size_t i = 0; i < ENTRIES; i++)
		if (!strchr(entries[i].path, '*'))
			snprintf(detail + strlen(detail), sizeof(detail) - strlen(detail), " %s", entries[i].path);
	api_problem(request, 404, "Not found", detail);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)), *id;
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	char allow[64] = "";
	struct api *api = arg;

	for (size_t i = 0; path && i < ENTRIES; i++) {
		id = fits(entries[i].path, path);
		if (id && entries[i].method == method)
			return entries[i].fn(api, request, id);
		if (id)
			snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s", *allow ? ", " : "",
				entries[i].method == EVHTTP_REQ_GET    ? "GET"
				: entries[i].method == EVHTTP_REQ_POST ? "POST"
								       : "DELETE");
	}
	if (!*allow)
		return not_found(request);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allow);
	api_problem(request, 405, "Method not allowed", "this exists, but not with this method: see the Allow header");
}

// --- listening ------------------------------------------------------------------------------------------------------

static int make_directory(const char *file)
{
	char path[128];
	char *slash;

	snprintf(path, sizeof(path), "%s", file);
	slash = strrchr(path, '/');
	if (!slash || slash == path)
		return 0;
	*slash = '\0';
	return mkdir(path, 0750) != 0 && errno != EEXIST ? -errno : 0;
}

// A socket file that nobody listens on was left by an engine that died. One whose queue is full still has its engine.
static int clear_stale(const struct sockaddr_un *name, char *err)
{
	struct stat stat;
	int fd, error;

	if (lstat(name->sun_path, &stat) != 0)
		return 0; // nothing there, or bind will say why
	if (!S_ISSOCK(stat.st_mode)) {
		snprintf(err, 256, "api.socket: %.100s exists and is no socket: write another path", name->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0 ? 0 : errno;
	if (fd >= 0)
		close(fd);
	if (error != ECONNREFUSED) {
		snprintf(err, 256, "api.socket: another engine answers on %.100s: stop it, or write another path",
			name->sun_path);
		return -EADDRINUSE;
	}
	unlink(name->sun_path);
	return 0;
}

static int listen_unix(struct api *api, char *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct evconnlistener *listener = NULL;
	int error;

	if (strlen(api->socket) >= sizeof(name.sun_path)) {
		snprintf(err, 256, "api.socket: the path is longer than %zu characters: write a shorter one",
			sizeof(name.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(name.sun_path, api->socket);
	error = make_directory(api->socket);
	if (error)
		goto fail;
	error = clear_stale(&name, err);
	if (error)
		return error;
	listener = evconnlistener_new_bind(api->options.base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
		64, (struct sockaddr *)&name, sizeof(name));
	api->bound = listener;
	if (listener && chmod(api->socket, 0660) == 0 && evhttp_bind_listener(api->http, listener))
		return 0;
	error = errno ? -errno : -EIO;
	if (listener)
		evconnlistener_free(listener);
fail:
	snprintf(err, 256, "api.socket: %.100s cannot be made: %s; write another path", api->socket, strerror(-error));
	return error;
}

// The HTTP address is a convenience beside the socket: where it cannot be had, the engine says so and runs.
static void listen_tcp(struct api *api)
{
	const struct kg_addr *listen = &api->config->api_listen;
	char ip[KG_ADDR_STRLEN], text[KG_ADDR_STRLEN + 10];
	struct sockaddr_storage name = {0};
	int size = sizeof(name);
	struct evconnlistener *listener;

	if (!listen->family)
		return;
	kg_addr_ip(listen, ip, sizeof(ip));
	snprintf(text, sizeof(text), listen->family == 6 ? "[%s]:%u" : "%s:%u", ip, listen->port);
	errno = 0;
	evutil_parse_sockaddr_port(text, (struct sockaddr *)&name, &size);
	listener = evconnlistener_new_bind(api->options.base, NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 64, (struct sockaddr *)&name, size);
	if (listener && evhttp_bind_listener(api->http, listener))
		return;
	kg_warn("api", "api.listen: %s cannot be had (%s): kedgectl works through %s all the same", text,
		strerror(errno), api->socket);
	if (listener)
		evconnlistener_free(listener);
}

int api_open(const struct api_options *options, struct api **out, char *err)
{
	struct api *api = calloc(1, sizeof(*api));
	int error = -ENOMEM;

	if (!api)
		return -ENOMEM;
	api->options = *options;
	api->config = options->config;
	api->socket = strdup(options->config->api_socket);
	api->http = evhttp_new(options->base);
	if (!api->http || !api->socket)
		goto fail;
	evhttp_set_max_body_size(api->http, MAX_BODY);
	evhttp_set_max_headers_size(api->http, MAX_HEADERS);
	evhttp_set_timeout(api->http, TIMEOUT_S);
	evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_PUT |
						      EVHTTP_REQ_HEAD | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
	evhttp_set_gencb(api->http, on_request, api);
	error = listen_unix(api, err);
	if (error)
		goto fail;
	listen_tcp(api);
	*out = api;
	return 0;
fail:
	api_close(api);
	return error;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	api_events_close(api);
	api_captures_close(api);
	if (api->http)
		evhttp_free(api->http);
	if (api->bound)
		unlink(api->socket);
	free(api->socket);
	free(api);
}

void api_set_config(struct api *api, const struct config *config)
{
	api->config = config;
}
