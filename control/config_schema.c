// SPDX-License-Identifier: BSD-3-Clause
// The one table of what a configuration file may say: key, kind, range, default, and what to write instead.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define EPHEMERAL_FIRST 32768 // the kernel's own client ports, as it comes
#define HELP_NET "write ADDRESS/BITS, for example 192.0.2.0/24"
#define HELP_TARGET "write sip:IP:PORT, for example sip:192.0.2.20:5060"

// --- values of their own kind ---------------------------------------------------------------------------------------

static bool parse_net(const char *text, struct config_net *out)
{
	char ip[64];
	const char *slash = strchr(text, '/');
	char *end = NULL;
	unsigned long bits = 32;

	if ((slash ? (size_t)(slash - text) : strlen(text)) >= sizeof(ip))
		return false;
	snprintf(ip, sizeof(ip), "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
	if (slash)
		bits = strtoul(slash + 1, &end, 10);
	if (slash && (slash[1] < '0' || slash[1] > '9' || *end || bits > 32))
		return false;
	out->prefix = (uint8_t)bits;
	return kg_addr_parse(&out->addr, ip, 0) == 0 && out->addr.family == 4;
}

struct nets {
	struct config_net *list;
	size_t count;
};

static void add_net(struct reader *reader, struct fy_node *node, void *arg)
{
	const char *text = reader_text(reader, node, HELP_NET);
	struct nets *nets = arg;
	struct config_net *grown, net;

	if (!text)
		return;
	if (!parse_net(text, &net)) {
		reader_wrong(reader, node, "\"%.60s\" is no IPv4 network: " HELP_NET, text);
		return;
	}
	grown = realloc(nets->list, (nets->count + 1) * sizeof(net));
	if (!grown)
		return;
	nets->list = grown;
	nets->list[nets->count++] = net;
}

static void set_nets(struct reader *reader, struct fy_node *node, struct config_net **list, size_t *count)
{
	struct nets nets = {*list, *count};

	reader_each(reader, node, HELP_NET, add_net, &nets);
	*list = nets.list;
	*count = nets.count;
}

// "IP" or "IP:PORT". Returns: false where it is neither.
static bool parse_address(const char *text, uint16_t port, struct kg_addr *out)
{
	char ip[64];
	const char *colon = strchr(text, ':');
	unsigned long number = port;
	char *end = NULL;

	if ((colon ? (size_t)(colon - text) : strlen(text)) >= sizeof(ip))
		return false;
	snprintf(ip, sizeof(ip), "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	if (colon)
		number = strtoul(colon + 1, &end, 10);
	if (colon && (colon[1] < '0' || colon[1] > '9' || *end))
		return false;
	return number > 0 && number < 65536 && kg_addr_parse(out, ip, (uint16_t)number) == 0 && out->family == 4;
}

static void set_device(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write af_xdp:INTERFACE, for example af_xdp:eth0", *text = reader_text(reader, node, help);
	struct config_nic *nic = object;
	size_t length = text ? strlen(text) : 0;

	if (!text)
		return;
	if (strncmp(text, "af_xdp:", 7) != 0 || length == 7 || length > 7 + 15) {
		reader_wrong(reader, node, "\"%.60s\" is no device: %s", text, help);
		return;
	}
	snprintf(nic->device, sizeof(nic->device), "%s", text);
	snprintf(nic->interface, sizeof(nic->interface), "%s", text + 7);
}

static void set_addresses(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_nic *nic = object;

	set_nets(reader, node, &nic->addresses, &nic->address_count);
	if (nic->address_count > 8)
		reader_wrong(reader, node, "has %zu addresses: write at most 8", nic->address_count);
}

static void set_relay(struct reader *reader, struct fy_node *node, void *object)
{
	struct config *config = object;
	struct fy_node *first = node && fy_node_is_sequence(node) ? fy_node_sequence_get_by_index(node, 0) : NULL;
	unsigned long cpu;

	if (!first || fy_node_sequence_item_count(node) != 1)
		reader_wrong(reader, node, "is no list of one CPU: write [N], for example [1]");
	else if (reader_number(reader, first, 0, 1023, &cpu))
		config->relay_cpu = (int)cpu;
}

static void set_ports(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write FIRST-LAST, for example 16384-32767", *text = reader_text(reader, node, help);
	struct config *config = object;
	unsigned first, last;
	int length = 0;

	if (!text)
		return;
	if (sscanf(text, "%5u-%5u%n", &first, &last, &length) != 2 || text[length] || first < 1024 || last > 65534 ||
		first >= last) {
		reader_wrong(reader, node, "\"%.60s\" is no port range between 1024 and 65534: %s", text, help);
		return;
	}
	config->port_first = (uint16_t)first;
	config->port_last = (uint16_t)last;
	if (last >= EPHEMERAL_FIRST)
		kg_warn("config",
			"media.ports reaches into %d-60999, where the kernel picks ports for its own clients: their "
			"answers reach "
			"them only while no call uses the same port",
			EPHEMERAL_FIRST);
}

static void add_listen(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write udp:IP:PORT, for example udp:192.0.2.10:5060",
		   *text = reader_text(reader, node, help);
	struct config *config = object;
	struct config_listen listen, *grown;

	if (!text)
		return;
	if (strncmp(text, "udp:", 4) != 0 || !parse_address(text + 4, 5060, &listen.addr)) {
		reader_wrong(reader, node, "\"%.60s\" is no listener of this version: %s", text, help);
		return;
	}
	if (config->listen_count == 16) {
		reader_wrong(reader, node, "is one too many: write at most 16 listeners");
		return;
	}
	grown = realloc(config->listens, (config->listen_count + 1) * sizeof(listen));
	if (!grown)
		return;
	config->listens = grown;
	config->listens[config->listen_count++] = listen;
}

static void set_listen(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, "write [\"udp:IP:PORT\"]", add_listen, object);
}

static void set_target(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, HELP_TARGET);
	struct config_trunk *trunk = object;

	if (!text)
		return;
	if (strncmp(text, "sip:", 4) != 0 || !parse_address(text + 4, 5060, &trunk->target)) {
		reader_wrong(reader, node, "\"%.60s\" is no SIP address: " HELP_TARGET, text);
		return;
	}
	trunk->target_uri = strdup(text);
}

static void set_from(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_trunk *trunk = object;

	set_nets(reader, node, &trunk->from, &trunk->from_count);
}

static int trunk_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->trunk_count; i++)
		if (strcmp(config->trunks[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const char *trunk_names(const struct config *config, char *out, size_t size)
{
	snprintf(out, size, "%s", config->trunk_count ? "" : "trunks (none was read)");
	for (size_t i = 0; i < config->trunk_count; i++)
		snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? ", " : "", config->trunks[i].name);
	return out;
}

static void set_match_trunk(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write a trunk's name");
	struct config_route *route = object;
	char names[200];

	if (!text)
		return;
	route->match_trunk = trunk_named(reader->config, text);
	if (route->match_trunk < 0)
		reader_wrong(reader, node, "there is no trunk \"%.60s\": write one of %s", text,
			trunk_names(reader->config, names, sizeof(names)));
}

static bool set_pattern(struct reader *reader, struct fy_node *node, regex_t *out)
{
	const char *help = "write an extended regular expression, for example ^9",
		   *text = reader_text(reader, node, help);
	char why[100];
	int error;

	if (!text)
		return false;
	error = strlen(text) > 256 ? REG_ESPACE : regcomp(out, text, REG_EXTENDED | REG_NOSUB);
	if (!error)
		return true;
	regerror(error, out, why, sizeof(why));
	reader_wrong(reader, node, "\"%.60s\" is no pattern (%s): %s", text, why, help);
	return false;
}

static void set_match_to(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	route->has_to = set_pattern(reader, node, &route->to);
}

static void set_match_from(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	route->has_from = set_pattern(reader, node, &route->from);
}

static void set_match_source(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;
	struct nets nets = {0};

	add_net(reader, node, &nets);
	route->source = nets.list;
}

static void add_target(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write next_hop or trunk:NAME", *text = reader_text(reader, node, help);
	struct config_target target = {.kind = CONFIG_TO_NEXT_HOP}, *grown;
	struct config_route *route = object;
	char names[200];
	int trunk = -1;

	if (!text)
		return;
	if (strncmp(text, "trunk:", 6) == 0) {
		trunk = trunk_named(reader->config, text + 6);
		if (trunk < 0) {
			reader_wrong(reader, node, "there is no trunk \"%.60s\": write one of %s", text + 6,
				trunk_names(reader->config, names, sizeof(names)));
			return;
		}
		target = (struct config_target){CONFIG_TO_TRUNK, (unsigned)trunk};
	} else if (strcmp(text, "next_hop") != 0) {
		reader_wrong(reader, node, "\"%.60s\" is no target: %s", text, help);
		return;
	}
	grown = realloc(route->targets, (route->target_count + 1) * sizeof(target));
	if (!grown)
		return;
	route->targets = grown;
	route->targets[route->target_count++] = target;
}

static void set_targets(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	reader_each(reader, node, "write [next_hop] or [\"trunk:NAME\"]", add_target, object);
	if (node && fy_node_is_sequence(node) && fy_node_sequence_item_count(node) == 0)
		reader_wrong(reader, node, "is empty: write [next_hop] or [\"trunk:NAME\"]");
	if (route->target_count > 8)
		reader_wrong(reader, node, "has %zu targets: write at most 8", route->target_count);
}

static void set_record(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write false");

	if (text && strcmp(text, "false") != 0)
		reader_wrong(reader, node, "recording is not in this version: write false, or leave it out");
}

static void set_endpoints(struct reader *reader, struct fy_node *node, void *object)
{
	if (!node || !fy_node_is_sequence(node) || fy_node_sequence_item_count(node) != 0)
		reader_wrong(reader, node,
			"users that register are not in this version: write [], and a trunk for each peer");
}

static void set_recording(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write none");

	if (text && strcmp(text, "none") != 0)
		reader_wrong(reader, node, "\"%.60s\": recording is not in this version: write none", text);
}

static void set_anything(struct reader *reader, struct fy_node *node, void *object)
{
	reader_text(reader, node, "write a value, or leave it out");
}

static void set_api_listen(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write 127.0.0.1:PORT or off", *text = reader_text(reader, node, help);
	struct config *config = object;

	if (!text)
		return;
	if (strcmp(text, "off") == 0)
		config->api_listen.family = 0;
	else if (!parse_address(text, 8080, &config->api_listen) || config->api_listen.ip[0] != 127)
		reader_wrong(reader, node,
			"\"%.60s\" is no loopback address: %s (the API has no tokens in this version)", text, help);
}

static void set_transport(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write udp");

	if (text && strcmp(text, "udp") != 0)
		reader_wrong(reader, node, "\"%.60s\" is not in this version: write udp", text);
}

// --- checks over several keys ---------------------------------------------------------------------------------------

static void nics_done(struct reader *reader, struct fy_node *node, const struct config *config)
{
	if (!config->nic_count)
		reader_wrong(
			reader, node, "is empty: write [{name: lan, device: \"af_xdp:eth0\"}] with your interface");
	if (config->nic_count > 16)
		reader_wrong(reader, node, "has %zu nics: write at most 16", config->nic_count);
	for (size_t i = 0; i < config->nic_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (*config->nics[i].name && strcmp(config->nics[i].name, config->nics[j].name) == 0)
				reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
					"two nics are named \"%s\": give each a name of its own", config->nics[i].name);
			if (*config->nics[i].device && strcmp(config->nics[i].device, config->nics[j].device) == 0)
				reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
					"two nics have the device %s: write it once", config->nics[i].device);
		}
	}
}

static bool nic_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->nic_count; i++)
		if (strcmp(config->nics[i].name, name) == 0)
			return true;
	return false;
}

static void trunks_done(struct reader *reader, struct fy_node *node, const struct config *config)
{
	for (size_t i = 0; i < config->trunk_count; i++) {
		struct config_trunk *trunk = &config->trunks[i];

		for (size_t j = 0; j < i; j++)
			if (*trunk->name && strcmp(trunk->name, config->trunks[j].name) == 0)
				reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
					"two trunks are named \"%s\": give each a name of its own", trunk->name);
		if (*trunk->nic && !nic_named(config, trunk->nic))
			reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
				"trunk %s: there is no nic \"%s\": write the name of one of nics", trunk->name,
				trunk->nic);
		if (!trunk->from_count && trunk->target.family) {
			trunk->from = calloc(1, sizeof(*trunk->from));
			if (trunk->from)
				trunk->from[trunk->from_count++] =
					(struct config_net){.addr = trunk->target, .prefix = 32};
		}
	}
}

static void route_defaults(void *object)
{
	((struct config_route *)object)->match_trunk = -1;
}

void config_defaults(struct config *config)
{
	config->relay_cpu = -1;
	config->port_first = 16384;
	config->port_last = 32767;
	kg_addr_parse(&config->api_listen, "127.0.0.1", 8080);
}

// --- the table ------------------------------------------------------------------------------------------------------

static const char *const idle_words[] = {"adaptive", "spin", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_words[] = {"text", "json", NULL};

static const struct schema nic_keys[] = {
	{"name", SCHEMA_TEXT, true, offsetof(struct config_nic, name), .size = 32,
		.help = "write a short name, for example lan"},
	{"device", SCHEMA_OWN, true, .set = set_device, .help = "write af_xdp:INTERFACE, for example af_xdp:eth0"},
	{"addresses", SCHEMA_OWN, .set = set_addresses},
	{"advertise", SCHEMA_LATER, .help = "leave it out; SDP and Contact say the nic's own address"},
	{"vlan", SCHEMA_LATER, .help = "leave it out; use an untagged interface"},
	{NULL},
};

static const struct schema trunk_keys[] = {
	{"name", SCHEMA_TEXT, true, offsetof(struct config_trunk, name), .size = CONFIG_NAME,
		.help = "write a short name, for example carrier"},
	{"target", SCHEMA_OWN, true, .set = set_target, .help = HELP_TARGET},
	{"from", SCHEMA_OWN, .set = set_from},
	{"nic", SCHEMA_TEXT, false, offsetof(struct config_trunk, nic), .size = CONFIG_NAME,
		.help = "write a nic's name"},
	{"ring_timeout_s", SCHEMA_NUMBER, false, offsetof(struct config_trunk, ring_timeout_s), .min = 1, .max = 3600,
		.number = 180},
	{"transport", SCHEMA_OWN, .set = set_transport},
	{"max_calls", SCHEMA_LATER, .help = "leave it out; media.max_calls bounds all calls together"},
	{"cps", SCHEMA_LATER, .help = "leave it out"},
	{"codecs", SCHEMA_LATER, .help = "leave it out; the ends keep the codecs that they agree on"},
	{"srtp", SCHEMA_LATER, .help = "leave it out; media is plain RTP"},
	{"dtmf", SCHEMA_LATER, .help = "leave it out; digits pass as RFC 4733 events"},
	{"username", SCHEMA_LATER, .help = "leave it out; trunks are known by their addresses"},
	{"password", SCHEMA_LATER, .help = "leave it out; trunks are known by their addresses"},
	{NULL},
};

static const struct schema match_keys[] = {
	{"trunk", SCHEMA_OWN, .set = set_match_trunk},
	{"to", SCHEMA_OWN, .set = set_match_to},
	{"from", SCHEMA_OWN, .set = set_match_from},
	{"source", SCHEMA_OWN, .set = set_match_source},
	{NULL},
};

static void route_match(struct reader *reader, struct fy_node *node, void *object)
{
	if (node && fy_node_get_type(node) == FYNT_MAPPING)
		reader_map(reader, node, match_keys, object);
	else
		reader_wrong(reader, node,
			"holds no keys: write {trunk: NAME, to: PATTERN, from: PATTERN, source: NETWORK} or {}");
}

static const struct schema route_keys[] = {
	{"match", SCHEMA_OWN, .set = route_match},
	{"to", SCHEMA_OWN, true, .set = set_targets, .help = "write [next_hop] or [\"trunk:NAME\"]"},
	{"strip", SCHEMA_NUMBER, false, offsetof(struct config_route, strip), .min = 0, .max = 64},
	{"prefix", SCHEMA_TEXT, false, offsetof(struct config_route, prefix), .size = CONFIG_NAME,
		.help = "write digits, for example \"00\""},
	{"record", SCHEMA_OWN, .set = set_record},
	{NULL},
};

static const struct schema lcore_keys[] = {
	{"relay", SCHEMA_OWN, .set = set_relay},
	{"idle", SCHEMA_CHOICE, false, offsetof(struct config, spin), .words = idle_words,
		.help = "write adaptive or spin"},
	{"dsp", SCHEMA_LATER, .help = "leave it out; nothing is transcoded"},
	{NULL},
};

static const struct schema media_keys[] = {
	{"ports", SCHEMA_OWN, .set = set_ports},
	{"timeout_s", SCHEMA_NUMBER, false, offsetof(struct config, timeout_s), .min = 1, .max = 86400, .number = 60},
	{"hold_timeout_s", SCHEMA_NUMBER, false, offsetof(struct config, hold_timeout_s), .min = 1, .max = 86400,
		.number = 1800},
	{"max_calls", SCHEMA_NUMBER, false, offsetof(struct config, max_calls), .min = 1, .max = 250000,
		.number = 4096},
	{NULL},
};

static const struct schema sip_keys[] = {
	{"listen", SCHEMA_OWN, .set = set_listen},
	{NULL},
};

static const struct schema recording_keys[] = {
	{"calls", SCHEMA_OWN, .set = set_recording},
	{"directory", SCHEMA_OWN, .set = set_anything},
	{"format", SCHEMA_OWN, .set = set_anything},
	{NULL},
};

static const struct schema cdr_keys[] = {
	{"file", SCHEMA_STRING, false, offsetof(struct config, cdr_file), .text = "/var/log/kedge/cdr.jsonl",
		.help = "write a path, for example /var/log/kedge/cdr.jsonl"},
	{NULL},
};

static const struct schema api_keys[] = {
	{"listen", SCHEMA_OWN, .set = set_api_listen},
	{"socket", SCHEMA_STRING, false, offsetof(struct config, api_socket), .text = "/run/kedge/kedge.sock",
		.help = "write a path, for example /run/kedge/kedge.sock"},
	{"token_file", SCHEMA_LATER, .help = "leave it out; the API answers on the loopback only"},
	{NULL},
};

static const struct schema log_keys[] = {
	{"level", SCHEMA_WORD, false, offsetof(struct config, log_level), .number = KG_LOG_INFO, .words = level_words,
		.help = "write error, warn, info or debug"},
	{"format", SCHEMA_CHOICE, false, offsetof(struct config, log_json), .number = 1, .words = format_words,
		.help = "write json or text"},
	{NULL},
};

#define LIST(type, list, counter) \
	.offset = offsetof(struct config, list), .count_offset = offsetof(struct config, counter), .size = sizeof(type)

const struct schema config_schema[] = {
	{"nics", SCHEMA_LIST, true, LIST(struct config_nic, nics, nic_count), .keys = nic_keys, .done = nics_done,
		.help = "write [{name: lan, device: \"af_xdp:eth0\"}] with your interface"},
	{"lcores", SCHEMA_MAP, .keys = lcore_keys, .help = "write {relay: [CPU]}"},
	{"media", SCHEMA_MAP, .keys = media_keys, .help = "write {ports: FIRST-LAST, timeout_s: SECONDS}"},
	{"sip", SCHEMA_MAP, .keys = sip_keys, .help = "write {listen: [\"udp:IP:PORT\"]}"},
	{"trunks", SCHEMA_LIST, true, LIST(struct config_trunk, trunks, trunk_count), .keys = trunk_keys,
		.done = trunks_done,
		.help = "write [{name: carrier, target: \"sip:192.0.2.20:5060\"}] with your peer's address"},
	{"endpoints", SCHEMA_OWN, .set = set_endpoints},
	{"routes", SCHEMA_LIST, true, LIST(struct config_route, routes, route_count), .keys = route_keys,
		.item = route_defaults, .help = "write [{match: {trunk: NAME}, to: [\"trunk:NAME\"]}]"},
	{"recording", SCHEMA_MAP, .keys = recording_keys, .help = "write {calls: none}"},
	{"cdr", SCHEMA_MAP, .keys = cdr_keys, .help = "write {file: PATH}"},
	{"api", SCHEMA_MAP, .keys = api_keys, .help = "write {listen: \"127.0.0.1:8080\", socket: PATH}"},
	{"log", SCHEMA_MAP, .keys = log_keys, .help = "write {level: info, format: json}"},
	{NULL},
};
