// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "router.h"

int router_trunk(const struct config *config, const struct kg_addr *source)
{
	int best = -1, best_prefix = -1;

	for (size_t i = 0; i < config->trunk_count; i++) {
		const struct config_trunk *trunk = &config->trunks[i];

		for (size_t j = 0; j < trunk->from_count; j++) {
			if (trunk->from[j].prefix > best_prefix && config_net_has(&trunk->from[j], source)) {
				best = (int)i;
				best_prefix = trunk->from[j].prefix;
			}
		}
	}
	return best;
}

static bool route_matches(const struct config_route *route, int trunk, const char *endpoint, const char *to,
	const char *from, const struct kg_addr *source)
{
	bool endpoint_wanted = *route->match_endpoint;

	if (endpoint_wanted && (!endpoint || (strcmp(route->match_endpoint, "*") != 0 &&
						     strcmp(route->match_endpoint, endpoint) != 0)))
		return false;
	return (route->match_trunk < 0 || route->match_trunk == trunk) &&
	       (!route->has_to || regexec(&route->to, to, 0, NULL, 0) == 0) &&
	       (!route->has_from || regexec(&route->from, from, 0, NULL, 0) == 0) &&
	       (!route->source || config_net_has(route->source, source));
}

// A next hop that a peer names is used only where it is a trunk's own address: its target, or a host that is named in
// `from`.
static int trunk_of_address(const struct config *config, const struct kg_addr *host)
{
	for (size_t i = 0; i < config->trunk_count; i++) {
		const struct config_trunk *trunk = &config->trunks[i];

		if (kg_addr_same_ip(&trunk->target, host))
			return (int)i;
		for (size_t j = 0; j < trunk->from_count; j++)
			if (trunk->from[j].prefix == (host->family == 4 ? 32 : 128) &&
				kg_addr_same_ip(&trunk->from[j].addr, host))
				return (int)i;
	}
	return -1;
}

static int trunk_of_name(const struct config *config, const char *host)
{
	for (size_t i = 0; i < config->trunk_count; i++)
		if (*config->trunks[i].target_host && strcasecmp(config->trunks[i].target_host, host) == 0)
			return (int)i;
	return -1;
}

// How a trunk is spoken to where its peer's URI does not say.
static void hop_transport(const struct config_trunk *trunk, struct router_hop *hop)
{
	static const char *const params[] = {"", ";transport=udp", ";transport=tcp", ";transport=tls"};
	size_t length = strlen(hop->next);

	hop->udp_only = trunk->transport == SIP_UDP + 1;
	if (trunk->transport && strncasecmp(hop->next, "sips:", 5) != 0 && !strcasestr(hop->next, ";transport="))
		snprintf(hop->next + length, sizeof(hop->next) - length, "%s", params[trunk->transport]);
}

// Where a trunk's media is looked for while nobody knows its address.
static struct kg_addr trunk_place(const struct config_trunk *trunk)
{
	struct kg_addr place = trunk->target;

	if (!place.family && trunk->from_count)
		place = trunk->from[0].addr;
	if (!place.port)
		place.port = SIP_DEFAULT_PORT;
	return place;
}

// RFC 3261 16.6 step 6: a next hop that routes strictly wants to be the Request-URI, which becomes the last Route.
static void hop_strict(struct router_hop *hop)
{
	char last[sizeof(hop->routes[0])];

	if ((size_t)snprintf(last, sizeof(last), "<%s>", hop->request_uri) >= sizeof(last))
		return; // it could not be told who is called: left as it is
	snprintf(hop->request_uri, sizeof(hop->request_uri), "%s", hop->next);
	memmove(hop->routes[0], hop->routes[1], (hop->route_count - 1) * sizeof(hop->routes[0]));
	snprintf(hop->routes[hop->route_count - 1], sizeof(hop->routes[0]), "%s", last);
}

// Follow the Route that is left after ours was popped, else the Request-URI, which is kept (RFC 3261 16.4, 16.6).
static int hop_next(const struct config *config, const struct sip_msg *invite, const struct sip_uri *request_uri,
	bool (*is_ours)(void *arg, const char *host, uint16_t port), void *arg, struct router_hop *hop)
{
	struct sip_uri uri = *request_uri, first;
	const char *text = sip_msg_header(invite, "Route", 0);
	char *next = NULL;
	unsigned skip = 0;
	int trunk;

	if (text && sip_uri_parse(text, &first) == 0 && is_ours(arg, first.host, first.port))
		skip = 1;
	for (unsigned i = skip; hop->route_count < 8 && (text = sip_msg_header(invite, "Route", i)); i++) {
		if (strlen(text) >= sizeof(hop->routes[0]) || (i == skip && sip_uri_parse(text, &uri) != 0))
			return -403;
		snprintf(hop->routes[hop->route_count++], sizeof(hop->routes[0]), "%s", text);
	}
	trunk = kg_addr_parse(&hop->target, uri.host, uri.port ? uri.port : SIP_DEFAULT_PORT) == 0
			? trunk_of_address(config, &hop->target)
			: trunk_of_name(config, uri.host);
	if (trunk < 0)
		return -403;
	if (!hop->target.family)
		hop->target = trunk_place(&config->trunks[trunk]);
	next = sip_uri_extract(hop->route_count ? hop->routes[0] : sip_msg_request_uri(invite));
	if (!next || strlen(next) + 16 >= sizeof(hop->next) ||
		strlen(sip_msg_request_uri(invite)) >= sizeof(hop->request_uri)) {
		free(next);
		return -403;
	}
	snprintf(hop->next, sizeof(hop->next), "%s", next);
	free(next);
	hop->trunk = (unsigned)trunk;
	snprintf(hop->request_uri, sizeof(hop->request_uri), "%s", sip_msg_request_uri(invite));
	if (hop->route_count && !uri.lr)
		hop_strict(hop);
	hop_transport(&config->trunks[trunk], hop);
	return 0;
}

// Host and port of a trunk as a URI has them.
static void trunk_host(const struct config_trunk *trunk, char *out, size_t size)
{
	uint16_t usual = trunk->transport == SIP_TLS + 1 ? SIP_DEFAULT_TLS_PORT : SIP_DEFAULT_PORT;
	char ip[KG_ADDR_STRLEN];

	if (*trunk->target_host)
		snprintf(out, size, trunk->target_port ? "%s:%u" : "%s", trunk->target_host, trunk->target_port);
	else if (trunk->target.port == usual)
		snprintf(out, size, trunk->target.family == 4 ? "%s" : "[%s]",
			kg_addr_ip(&trunk->target, ip, sizeof(ip)));
	else
		kg_addr_text(&trunk->target, out, size);
}

static int hop_trunk(const struct config *config, const struct config_route *route, unsigned number,
	const struct sip_uri *request_uri, struct router_hop *hop)
{
	const struct config_trunk *trunk = &config->trunks[number];
	const char *user = request_uri->user, *scheme = "sip";
	size_t length = strlen(user);
	char host[160];

	hop->trunk = number;
	hop->target = trunk_place(trunk);
	user += route->strip < length ? route->strip : length;
	if (trunk->target_uri && strncmp(trunk->target_uri, "sips:", 5) == 0)
		scheme = "sips";
	trunk_host(trunk, host, sizeof(host));
	snprintf(hop->request_uri, sizeof(hop->request_uri), "%s:%s%s%s%s", scheme, route->prefix, user,
		*route->prefix || *user ? "@" : "", host);
	snprintf(hop->next, sizeof(hop->next), "%s:%s", scheme, host);
	hop_transport(trunk, hop);
	return 0;
}

int router_resolve(const struct config *config, int trunk, const char *endpoint, const struct sip_msg *invite,
	const struct kg_addr *source, bool (*is_ours)(void *arg, const char *host, uint16_t port), void *arg,
	struct router_hop *out, unsigned max)
{
	struct sip_uri request_uri, from;
	const struct config_route *route = NULL;
	unsigned count = 0;
	int error = -404;

	if (sip_uri_parse(sip_msg_request_uri(invite), &request_uri) != 0)
		return -404;
	if (sip_uri_parse(sip_msg_from(invite), &from) != 0)
		memset(&from, 0, sizeof(from));
	for (size_t i = 0; i < config->route_count && !route; i++)
		if (route_matches(&config->routes[i], trunk, endpoint, request_uri.user, from.user, source))
			route = &config->routes[i];
	if (!route)
		return -404;

	for (size_t i = 0; i < route->target_count && count < max; i++) {
		struct router_hop *hop = &out[count];
		int status;

		memset(hop, 0, sizeof(*hop));
		if (route->targets[i].kind == CONFIG_TO_NEXT_HOP)
			status = hop_next(config, invite, &request_uri, is_ours, arg, hop);
		else
			status = hop_trunk(config, route, route->targets[i].trunk, &request_uri, hop);
		// Back to where it came from only where the route names that trunk: a match for "any" did not mean it.
		if (status == 0 && trunk >= 0 && (int)hop->trunk == trunk && route->match_trunk != trunk)
			status = -482;
		hop->has_codecs = route->has_codecs;
		hop->codecs = route->codecs;
		if (status == 0)
			count++;
		else
			error = status;
	}
	return count ? (int)count : error;
}
