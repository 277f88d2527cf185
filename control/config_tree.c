// SPDX-License-Identifier: BSD-3-Clause
// A configuration once it is read: asked, compared, freed.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->nic_count; i++) {
		free(config->nics[i].addresses);
		free(config->nics[i].advertise);
	}
	for (size_t i = 0; i < config->trunk_count; i++) {
		free(config->trunks[i].target_uri);
		free(config->trunks[i].from);
		free(config->trunks[i].headers);
	}
	for (size_t i = 0; i < config->route_count; i++) {
		struct config_route *route = &config->routes[i];

		if (route->has_to)
			regfree(&route->to);
		if (route->has_from)
			regfree(&route->from);
		free(route->source);
		free(route->targets);
	}
	for (size_t i = 0; i < config->endpoint_count; i++)
		free(config->endpoints[i].groups);
	free(config->endpoints);
	free(config->tls_certificate);
	free(config->tls_key);
	free(config->tls_ca);
	free(config->dns_servers);
	free(config->media_deny);
	free(config->nics);
	free(config->trunks);
	free(config->routes);
	free(config->listens);
	free(config->cdr_file);
	free(config->api_socket);
	free(config->file);
	free(config);
}

bool config_net_has(const struct config_net *net, const struct kg_addr *addr)
{
	unsigned whole = net->prefix / 8, rest = net->prefix % 8;

	if (net->addr.family != addr->family || memcmp(net->addr.ip, addr->ip, whole) != 0)
		return false;
	return rest == 0 || (net->addr.ip[whole] ^ addr->ip[whole]) >> (8 - rest) == 0;
}

void config_advertised(const struct config_nic *nic, const struct kg_addr *local, struct kg_addr *out)
{
	const struct kg_addr *said = NULL;

	for (size_t i = 0; i < nic->address_count && nic->advertise_count == nic->address_count && !said; i++)
		if (kg_addr_same_ip(&nic->addresses[i].addr, local))
			said = &nic->advertise[i].addr;
	for (size_t i = 0; i < nic->advertise_count && !said; i++)
		if (nic->advertise[i].addr.family == local->family)
			said = &nic->advertise[i].addr;
	*out = said ? *said : *local;
	out->port = local->port;
}

static bool nics_same(const struct config *a, const struct config *b)
{
	if (a->nic_count != b->nic_count)
		return false;
	for (size_t i = 0; i < a->nic_count; i++) {
		const struct config_nic *x = &a->nics[i], *y = &b->nics[i];

		if (strcmp(x->name, y->name) || strcmp(x->device, y->device) || x->address_count != y->address_count)
			return false;
		for (size_t j = 0; j < x->address_count; j++)
			if (!kg_addr_same(&x->addresses[j].addr, &y->addresses[j].addr))
				return false;
		if (x->advertise_count != y->advertise_count)
			return false;
		for (size_t j = 0; j < x->advertise_count; j++)
			if (!kg_addr_same(&x->advertise[j].addr, &y->advertise[j].addr))
				return false;
	}
	return true;
}

static bool listens_same(const struct config *a, const struct config *b)
{
	if (a->listen_count != b->listen_count)
		return false;
	for (size_t i = 0; i < a->listen_count; i++)
		if (a->listens[i].transport != b->listens[i].transport ||
			!kg_addr_same(&a->listens[i].addr, &b->listens[i].addr))
			return false;
	return true;
}

unsigned config_frozen(const struct config *now, const struct config *next, config_report_fn report, void *arg)
{
	const struct {
		const char *key;
		bool same;
	} keys[] = {
		{"nics", nics_same(now, next)},
		{"lcores", now->relay_count == next->relay_count && now->spin == next->spin &&
				   memcmp(now->relay_cpus, next->relay_cpus, sizeof(now->relay_cpus)) == 0 &&
				   now->dsp_count == next->dsp_count &&
				   memcmp(now->dsp_cpus, next->dsp_cpus, sizeof(now->dsp_cpus)) == 0},
		{"media.ports", now->port_first == next->port_first && now->port_last == next->port_last},
		{"media.max_calls", now->max_calls == next->max_calls},
		{"sip.listen", listens_same(now, next)},
		{"sip.realm", strcmp(now->realm, next->realm) == 0},
		{"sip.dns", strcmp(now->dns_servers, next->dns_servers) == 0},
		{"sip.limits.connections", now->connections == next->connections &&
						   now->connections_per_source == next->connections_per_source},
		{"user", strcmp(now->user, next->user) == 0},
		{"cdr.file", strcmp(now->cdr_file, next->cdr_file) == 0},
		{"api", kg_addr_same(&now->api_listen, &next->api_listen) &&
				strcmp(now->api_socket, next->api_socket) == 0 &&
				now->api_telemetry == next->api_telemetry},
	};
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		char line[512];

		if (keys[i].same)
			continue;
		snprintf(line, sizeof(line), "%s: %s: a running engine cannot change it: restart kedged to apply it",
			next->file, keys[i].key);
		report(line, arg);
		count++;
	}
	return count;
}

bool config_lacks_nic(const struct config *now, const struct config *next, config_report_fn report, void *arg)
{
	bool lacks = false;

	for (size_t i = 0; i < next->trunk_count; i++) {
		const struct config_trunk *trunk = &next->trunks[i];
		char line[512];
		size_t j = 0;

		while (j < now->nic_count && strcmp(now->nics[j].name, trunk->nic) != 0)
			j++;
		if (!*trunk->nic || j < now->nic_count)
			continue;
		snprintf(line, sizeof(line),
			"%s: trunks[%zu].nic: the running engine has no nic \"%s\": restart kedged to apply it",
			next->file, i, trunk->nic);
		report(line, arg);
		lacks = true;
	}
	return lacks;
}

// The keys of config_frozen.
void config_keep_frozen(struct config *now, struct config *next)
{
	struct config kept = *next;

	next->nics = now->nics;
	next->nic_count = now->nic_count;
	next->relay_count = now->relay_count;
	memcpy(next->relay_cpus, now->relay_cpus, sizeof(next->relay_cpus));
	next->dsp_count = now->dsp_count;
	memcpy(next->dsp_cpus, now->dsp_cpus, sizeof(next->dsp_cpus));
	next->spin = now->spin;
	next->port_first = now->port_first;
	next->port_last = now->port_last;
	next->max_calls = now->max_calls;
	next->listens = now->listens;
	next->listen_count = now->listen_count;
	next->api_listen = now->api_listen;
	next->api_socket = now->api_socket;
	next->api_telemetry = now->api_telemetry;
	next->cdr_file = now->cdr_file;
	memcpy(next->realm, now->realm, sizeof(next->realm));
	next->dns_servers = now->dns_servers;
	next->connections = now->connections;
	next->connections_per_source = now->connections_per_source;
	now->dns_servers = kept.dns_servers;
	now->nics = kept.nics;
	now->nic_count = kept.nic_count;
	now->listens = kept.listens;
	now->listen_count = kept.listen_count;
	now->api_socket = kept.api_socket;
	now->cdr_file = kept.cdr_file;
}
