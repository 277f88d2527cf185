// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <string.h>

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

static bool route_matches(
	const struct config_route *route, int trunk, const char *to, const char *from, const struct kg_addr *source)
{
	return (route->match_trunk < 0 || route->match_trunk == trunk) &&
	       (!route->has_to || regexec(&route->to, to, 0, NULL, 0) == 0) &&
	       (!route->has_from || regexec(&route->from, from, 0, NULL, 0) == 0) &&
	       (!route->source || config_net_has(route->source, source));
}

// A next hop that a peer names is used only where it is a trunk's own address: its target, or a host that is named in
// `from`.
static int trunk_of_host(const struct config *config, const struct kg_addr *host)
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

// Follow the Route that is left after ours was popped, else the Request-URI, which is kept (RFC 3261 16.4, 16.6).
static int hop_next(const struct config *config, const struct sip_msg *invite, const struct sip_uri *request_uri,
	bool (*is_ours)(void *arg, const char *host, uint16_t port), void *arg, struct router_hop *hop)
{
	struct sip_uri uri = *request_uri, first;
	unsigned skip = 0;
	const char *text = sip_msg_header(invite, "Route", 0);
	int trunk;

	if (text && sip_uri_parse(text, &first) == 0 && is_ours(arg, first.host, first.port))
		skip = 1;
	for (unsigned i = skip; hop->route_count < 8 && (text = sip_msg_header(invite, "Route", i)); i++) {
		if (strlen(text) >= sizeof(hop->routes[0]) || (i == skip && sip_uri_parse(text, &uri) != 0))
			return -403;
		snprintf(hop->routes[hop->route_count++], sizeof(hop->routes[0]), "%s", text);
	}
	if (kg_addr_parse(&hop->target, uri.host, uri.port ? uri.port : 5060) != 0)
		return -403;
	trunk = trunk_of_host(config, &hop->target);
	if (trunk < 0)
		return -403;
	hop->trunk = (unsigned)trunk;
	if (strlen(sip_msg_request_uri(invite)) >= sizeof(hop->request_uri))
		return -403;
	snprintf(hop->request_uri, sizeof(hop->request_uri), "%s", sip_msg_request_uri(invite));
	return 0;
}

static int hop_trunk(const struct config *config, const struct config_route *route, unsigned trunk,
	const struct sip_uri *request_uri, struct router_hop *hop)
{
	const char *user = request_uri->user;
	char host[KG_ADDR_STRLEN];
	size_t length = strlen(user);

	hop->trunk = trunk;
	hop->target = config->trunks[trunk].target;
	user += route->strip < length ? route->strip : length;
	if (hop->target.port == 5060) {
		char ip[KG_ADDR_STRLEN];

		kg_addr_ip(&hop->target, ip, sizeof(ip));
		snprintf(host, sizeof(host), hop->target.family == 4 ? "%s" : "[%s]", ip);
	} else {
		kg_addr_text(&hop->target, host, sizeof(host));
	}
	snprintf(hop->request_uri, sizeof(hop->request_uri), "sip:%s%s%s%s", route->prefix, user,
		*route->prefix || *user ? "@" : "", host);
	return 0;
}

int router_resolve(const struct config *config, int trunk, const struct sip_msg *invite, const struct kg_addr *source,
	bool (*is_ours)(void *arg, const char *host, uint16_t port), void *arg, struct router_hop *out, unsigned max)
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
		if (route_matches(&config->routes[i], trunk, request_uri.user, from.user, source))
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
		if (status == 0 && (int)hop->trunk == trunk && route->match_trunk != trunk)
			status = -482;
		if (status == 0)
			count++;
		else
			error = status;
	}
	return count ? (int)count : error;
}
