// SPDX-License-Identifier: BSD-3-Clause
// Values of SIP: listeners, targets, transports, headers, endpoints.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_reader.h"

#define HELP_LISTEN "write udp:IP:PORT (or tcp:, tls:, ws:, wss:), for example udp:192.0.2.10:5060"
#define HELP_HEADERS "write [NAME, ...], for example [X-Customer]"
#define MAX_LISTENS 16
#define MAX_HEADERS 32
#define MAX_GROUPS 16
#define MAX_ENDPOINTS 100000

static const char *const transports[] = {"udp", "tcp", "tls", "ws", "wss", NULL};

// --- listeners ------------------------------------------------------------------------------------------------------

// "udp:IP:PORT". Returns: false where it is none.
static bool listen_parse(const char *text, struct config_listen *out)
{
	for (unsigned i = 0; transports[i]; i++) {
		size_t length = strlen(transports[i]);
		bool secure = sip_transport_secure((enum sip_transport)i);

		if (strncmp(text, transports[i], length) != 0 || text[length] != ':')
			continue;
		out->transport = (enum sip_transport)i;
		return config_parse_address(
			text + length + 1, secure ? SIP_DEFAULT_TLS_PORT : SIP_DEFAULT_PORT, &out->addr);
	}
	return false;
}

static void add_listen(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, HELP_LISTEN);
	struct config *config = object;
	struct config_listen listen, *grown;

	if (!text)
		return;
	if (!listen_parse(text, &listen)) {
		reader_wrong(reader, node, "\"%.60s\" is no listener: " HELP_LISTEN, text);
		return;
	}
	if (listen.addr.port >= config->port_first && listen.addr.port <= config->port_last) {
		reader_wrong(reader, node, "\"%.60s\" lies in media.ports %u-%u: write a port outside of it", text,
			config->port_first, config->port_last);
		return;
	}
	for (size_t i = 0; i < config->listen_count; i++) {
		// UDP has its ports for itself; the others share TCP's
		if (!kg_addr_same(&config->listens[i].addr, &listen.addr) ||
			(config->listens[i].transport == SIP_UDP) != (listen.transport == SIP_UDP))
			continue;
		reader_wrong(reader, node, "\"%.60s\" is sip.listen[%zu] once more: take one out", text, i);
		return;
	}
	grown = reader_grow(reader, node, &config->listens, &config->listen_count, sizeof(listen), MAX_LISTENS);
	if (grown)
		*grown = listen;
}

void set_listen(struct reader *reader, struct fy_node *node, void *object)
{
	reader->listen_read = true;
	reader->listen_line = reader->line;
	reader_each(reader, node, "write [\"udp:IP:PORT\"]", add_listen, object);
}

// --- trunks ---------------------------------------------------------------------------------------------------------

// "NAME" or "NAME:PORT". Returns: false where it is none.
static bool name_parse(const char *text, struct config_trunk *trunk)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
	char *end;
	long port = 0;

	// One that ends in a number is an address that is wrong (RFC 1123 2.1).
	if (!length || length >= sizeof(trunk->target_host) || strspn(text, "0123456789.") == length)
		return false;
	if (text[length] == ':') {
		port = strtol(text + length + 1, &end, 10);
		if (*end || port < 1 || port > 65535)
			return false;
	} else if (text[length]) {
		return false;
	}
	memcpy(trunk->target_host, text, length);
	trunk->target_host[length] = '\0';
	trunk->target_port = (uint16_t)port;
	return true;
}

void set_target(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, HELP_TARGET);
	struct config_trunk *trunk = object;
	bool secure;
	char *rest, *semi;

	if (!text)
		return;
	secure = strncmp(text, "sips:", 5) == 0;
	rest = strdup(strncmp(text, "sip:", 4) == 0 ? text + 4 : secure ? text + 5 : "");
	semi = rest ? strchr(rest, ';') : NULL;
	if (semi) {
		*semi++ = '\0';
		for (int i = SIP_UDP; i <= SIP_TLS; i++)
			if (strncasecmp(semi, "transport=", 10) == 0 && strcasecmp(semi + 10, transports[i]) == 0)
				trunk->uri_transport = i + 1;
	}
	if (secure)
		trunk->uri_transport = SIP_TLS + 1;
	if (!rest || (semi && !trunk->uri_transport) ||
		(!config_parse_address(rest,
			 trunk->uri_transport == SIP_TLS + 1 ? SIP_DEFAULT_TLS_PORT : SIP_DEFAULT_PORT,
			 &trunk->target) &&
			!name_parse(rest, trunk))) {
		trunk->target.family = 0;
		if (strchr(text, '@')) // what stands before it may be a password
			reader_wrong(reader, node, "has a user: " HELP_TARGET ", and username and password beside it");
		else
			reader_wrong(reader, node, "\"%.60s\" is no SIP address: " HELP_TARGET, text);
	} else {
		trunk->target_uri = reader_copy(reader, node, text);
	}
	if (*trunk->target_host)
		trunk->target.family = 0;
	free(rest);
}

void set_transport(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write udp, tcp or tls");
	struct config_trunk *trunk = object;

	for (int i = SIP_UDP; text && i <= SIP_TLS; i++)
		if (strcmp(text, transports[i]) == 0) {
			trunk->transport = i + 1;
			return;
		}
	if (text)
		reader_wrong(reader, node, "\"%.60s\" is no transport of a trunk: write udp, tcp or tls", text);
}

static bool header_is_ours(const char *name)
{
	static const char *const ours[] = {"Via", "Contact", "Route", "Record-Route", "CSeq", "Call-ID", "From", "To",
		"Max-Forwards", "Require", "Supported", "Allow", "Accept", "Session-Expires", "Min-SE", "RSeq", "RAck",
		"Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "User-Agent",
		"Server", "Replaces", NULL};

	for (unsigned i = 0; ours[i]; i++)
		if (strcasecmp(ours[i], name) == 0)
			return true;
	return strncasecmp(name, "Content-", 8) == 0 || strlen(name) < 2;
}

static void add_header(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, HELP_HEADERS);
	struct config_trunk *trunk = object;
	char(*grown)[CONFIG_NAME];

	if (!text)
		return;
	if (!*text || strlen(text) >= CONFIG_NAME ||
		text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!%*+`'~")]) {
		reader_wrong(reader, node, "\"%.60s\" is no header's name: " HELP_HEADERS, text);
		return;
	}
	if (header_is_ours(text)) {
		reader_wrong(reader, node, "\"%.60s\" is written by the engine itself: take it out", text);
		return;
	}
	grown = reader_grow(reader, node, &trunk->headers, &trunk->header_count, sizeof(*grown), MAX_HEADERS);
	if (grown)
		snprintf(*grown, CONFIG_NAME, "%s", text);
}

void set_headers(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, HELP_HEADERS, add_header, object);
}

// What its keys say together.
void trunk_check(struct reader *reader, struct fy_node *node, struct config_trunk *trunk)
{
	if (trunk->transport && trunk->uri_transport && trunk->transport != trunk->uri_transport)
		reader_wrong(reader, node, "transport is %s, but target says %s: take one out",
			transports[trunk->transport - 1], transports[trunk->uri_transport - 1]);
	if (!trunk->transport)
		trunk->transport = trunk->uri_transport;
	if (trunk->target.family && trunk->transport == SIP_TLS + 1 && trunk->target.port == SIP_DEFAULT_PORT &&
		trunk->target_uri && !strstr(trunk->target_uri, ":5060"))
		trunk->target.port = SIP_DEFAULT_TLS_PORT;
	if (*trunk->target_host && !trunk->from_count)
		reader_wrong(reader, node,
			"target is a name, so calls from it cannot be known by it: write from: [NETWORK] with its "
			"addresses");
	if (!*trunk->username != !*trunk->password)
		reader_wrong(reader, node, "username and password belong together: write both, or none");
}

// --- endpoints ------------------------------------------------------------------------------------------------------

static void add_group(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write [NAME, ...]");
	struct config_endpoint *endpoint = object;
	char(*grown)[CONFIG_NAME];

	if (!text)
		return;
	if (!*text || strlen(text) >= CONFIG_NAME) {
		reader_wrong(
			reader, node, "\"%.60s\" is no group's name: write a short name, for example agents", text);
		return;
	}
	grown = reader_grow(reader, node, &endpoint->groups, &endpoint->group_count, sizeof(*grown), MAX_GROUPS);
	if (grown)
		snprintf(*grown, CONFIG_NAME, "%s", text);
}

void set_groups(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, "write [NAME, ...]", add_group, object);
}

static int by_user(const void *a, const void *b)
{
	return strcmp(((const struct config_endpoint *)a)->user, ((const struct config_endpoint *)b)->user);
}

void endpoints_done(struct reader *reader, struct fy_node *node)
{
	struct config *config = reader->config;

	if (config->endpoint_count > MAX_ENDPOINTS)
		reader_wrong(
			reader, node, "has %zu endpoints: write at most %d", config->endpoint_count, MAX_ENDPOINTS);
	qsort(config->endpoints, config->endpoint_count, sizeof(*config->endpoints), by_user);
	for (size_t i = 1; i < config->endpoint_count; i++)
		if (*config->endpoints[i].user && by_user(&config->endpoints[i - 1], &config->endpoints[i]) == 0)
			reader_wrong(
				reader, node, "two endpoints are user \"%s\": take one out", config->endpoints[i].user);
}

const struct config_endpoint *config_endpoint(const struct config *config, const char *user)
{
	struct config_endpoint key;

	if (strlen(user) >= sizeof(key.user) || !config->endpoint_count)
		return NULL;
	snprintf(key.user, sizeof(key.user), "%s", user);
	return bsearch(&key, config->endpoints, config->endpoint_count, sizeof(key), by_user);
}

// --- the whole ------------------------------------------------------------------------------------------------------

void sip_check(struct reader *reader)
{
	const struct config *config = reader->config;

	if (!config->tls_certificate || !config->tls_key)
		return; // no memory, which is reported
	for (size_t i = 0; i < config->listen_count; i++) {
		if (!sip_transport_secure(config->listens[i].transport) ||
			(*config->tls_certificate && *config->tls_key))
			continue;
		strcpy(reader->path, "sip.tls");
		reader->line = reader->listen_line;
		reader_wrong(reader, NULL,
			"sip.listen[%zu] is %s: write tls: {certificate: FILE, key: FILE} (PEM) beside it", i,
			transports[config->listens[i].transport]);
		return;
	}
}
