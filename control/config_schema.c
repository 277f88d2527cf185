// SPDX-License-Identifier: BSD-3-Clause
// The one table of what a configuration file may say: key, kind, range, default, and what to write instead.

#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define SIP_PORT SIP_DEFAULT_PORT

// --- checks over several keys ---------------------------------------------------------------------------------------

static void nics_done(struct reader *reader, struct fy_node *node)
{
	const struct config *config = reader->config;

	if (!config->nic_count)
		reader_wrong(
			reader, node, "is empty: write [{name: lan, device: \"af_xdp:eth0\"}] with your interface");
	if (config->nic_count > 16)
		reader_wrong(reader, node, "has %zu nics: write at most 16", config->nic_count);
	for (size_t i = 0; i < config->nic_count; i++) {
		struct config_nic *nic = &config->nics[i];
		struct fy_node *item = fy_node_sequence_get_by_index(node, (int)i);

		if (nic->owned) {
			snprintf(nic->interface, sizeof(nic->interface), "kdg-%.11s", nic->name);
			if (!nic->address_count)
				reader_wrong(reader, item,
					"%s has no addresses: write addresses: [192.0.2.10/24], the kernel's side of "
					"the device gets them",
					nic->device);
		} else if (nic->vlan) {
			reader_wrong(reader, item,
				"%s takes no vlan: make a VLAN interface (ip link add link IFACE name IFACE.%u type "
				"vlan id %u) and write that",
				nic->device, nic->vlan, nic->vlan);
		}
		for (size_t j = 0; j < i; j++) {
			if (*nic->name && strcmp(nic->name, config->nics[j].name) == 0)
				reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
					"two nics are named \"%s\": give each a name of its own", nic->name);
			if (*nic->interface && strcmp(nic->interface, config->nics[j].interface) == 0)
				reader_wrong(reader, fy_node_sequence_get_by_index(node, (int)i),
					"two nics have the device %s: write it once", nic->device);
		}
	}
}

static bool net_same(const struct config_net *a, const struct config_net *b)
{
	return a->prefix == b->prefix && config_net_has(a, &b->addr);
}

// The first of two trunks with the same network gets all its calls: seldom what is meant, but it can be.
static void trunk_note_shared(
	struct reader *reader, struct fy_node *node, const struct config_trunk *trunk, const struct config_trunk *other)
{
	char ip[KG_ADDR_STRLEN];

	for (size_t i = 0; i < trunk->from_count; i++)
		for (size_t j = 0; j < other->from_count; j++)
			if (net_same(&trunk->from[i], &other->from[j]))
				reader_note(reader, node, "calls from %s/%u are taken as trunk %s's, not as %s's",
					kg_addr_ip(&trunk->from[i].addr, ip, sizeof(ip)), trunk->from[i].prefix,
					other->name, trunk->name);
}

static void trunks_done(struct reader *reader, struct fy_node *node)
{
	const struct config *config = reader->config;

	for (size_t i = 0; i < config->trunk_count; i++) {
		struct fy_node *item = fy_node_sequence_get_by_index(node, (int)i);
		struct config_trunk *trunk = &config->trunks[i];

		if (!trunk->from_count && trunk->target.family) {
			struct config_net *net =
				reader_grow(reader, item, &trunk->from, &trunk->from_count, sizeof(*net), 1);

			if (net)
				*net = (struct config_net){
					.addr = trunk->target, .prefix = trunk->target.family == 4 ? 32 : 128};
		}
		trunk_check(reader, item, trunk);
		for (size_t j = 0; j < i; j++) {
			if (*trunk->name && strcmp(trunk->name, config->trunks[j].name) == 0)
				reader_wrong(reader, item, "two trunks are named \"%s\": give each a name of its own",
					trunk->name);
			trunk_note_shared(reader, item, trunk, &config->trunks[j]);
		}
	}
}

void config_check(struct reader *reader)
{
	const struct config *config = reader->config;

	sip_check(reader);
	if (reader->listen_read || config->port_first > SIP_PORT || config->port_last < SIP_PORT)
		return;
	strcpy(reader->path, "media.ports");
	reader->line = reader->ports_line;
	reader_wrong(reader, NULL, "%u-%u holds %d, where SIP listens: write a range without it, or sip.listen",
		config->port_first, config->port_last, SIP_PORT);
}

static void route_defaults(void *object)
{
	((struct config_route *)object)->match_trunk = -1;
}

void config_defaults(struct config *config)
{
	strcpy(config->realm, "kedge");
	config->port_first = 16384;
	config->port_last = 32767;
	kg_addr_parse(&config->api_listen, "127.0.0.1", 8080);
}

// --- the table ------------------------------------------------------------------------------------------------------

static const char *const bool_words[] = {"false", "true", NULL};
static const char *const not_words[] = {"true", "false", NULL};
static const char *const prack_words[] = {"supported", "off", "required", NULL}; // enum sip_prack
static const char *const stranger_words[] = {"reject", "silent", NULL};
static const char *const idle_words[] = {"adaptive", "spin", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_words[] = {"text", "json", NULL};

static const struct schema nic_keys[] = {
	{"name", SCHEMA_NAME, true, offsetof(struct config_nic, name), .size = 32,
		.help = "write a short name, for example lan"},
	{"device", SCHEMA_OWN, true, .set = set_device, .help = "write af_xdp:INTERFACE, for example af_xdp:eth0"},
	{"addresses", SCHEMA_OWN, .set = set_addresses},
	{"advertise", SCHEMA_OWN, .set = set_advertise},
	{"vlan", SCHEMA_NUMBER, false, offsetof(struct config_nic, vlan), .min = 1, .max = 4094},
	{NULL},
};

static const struct schema trunk_keys[] = {
	{"name", SCHEMA_NAME, true, offsetof(struct config_trunk, name), .size = CONFIG_NAME,
		.help = "write a short name, for example carrier"},
	{"target", SCHEMA_OWN, true, .set = set_target, .help = HELP_TARGET},
	{"from", SCHEMA_OWN, .set = set_from},
	{"nic", SCHEMA_OWN, .set = set_trunk_nic},
	{"behind_nat", SCHEMA_CHOICE, false, offsetof(struct config_trunk, behind_nat), .words = bool_words,
		.help = "write true or false"},
	{"ring_timeout_s", SCHEMA_NUMBER, false, offsetof(struct config_trunk, ring_timeout_s), .min = 1, .max = 3600,
		.number = 180},
	{"transport", SCHEMA_OWN, .set = set_transport},
	{"session_expires_s", SCHEMA_NUMBER, false, offsetof(struct config_trunk, session_expires_s), .min = 0,
		.max = 86400, .number = 1800},
	{"prack", SCHEMA_WORD, false, offsetof(struct config_trunk, prack), .words = prack_words,
		.help = "write supported, off or required"},
	{"refer", SCHEMA_CHOICE, false, offsetof(struct config_trunk, refer), .words = bool_words,
		.help = "write true or false"},
	{"trusted", SCHEMA_CHOICE, false, offsetof(struct config_trunk, trusted), .number = 1, .words = bool_words,
		.help = "write true or false"},
	{"headers", SCHEMA_OWN, .set = set_headers},
	{"max_calls", SCHEMA_NUMBER, false, offsetof(struct config_trunk, max_calls), .min = 0, .max = 250000},
	{"cps", SCHEMA_NUMBER, false, offsetof(struct config_trunk, cps), .min = 0, .max = 100000},
	{"codecs", SCHEMA_OWN, .set = set_trunk_codecs},
	{"srtp", SCHEMA_LATER, .help = "leave it out; media is plain RTP"},
	{"dtmf", SCHEMA_LATER, .help = "leave it out; digits pass as RFC 4733 events"},
	{"username", SCHEMA_TEXT, false, offsetof(struct config_trunk, username), .size = CONFIG_NAME,
		.help = "write the name that the trunk knows us by"},
	{"password", SCHEMA_TEXT, false, offsetof(struct config_trunk, password), .size = CONFIG_NAME,
		.help = "write the password that belongs to username"},
	{NULL},
};

static const struct schema endpoint_keys[] = {
	{"user", SCHEMA_NAME, true, offsetof(struct config_endpoint, user), .size = CONFIG_NAME,
		.help = "write the user's name, for example alice"},
	{"password", SCHEMA_TEXT, true, offsetof(struct config_endpoint, password), .size = CONFIG_NAME,
		.help = "write the user's password"},
	{"groups", SCHEMA_OWN, .set = set_groups},
	{"codecs", SCHEMA_OWN, .set = set_endpoint_codecs},
	{"behind_nat", SCHEMA_CHOICE, false, offsetof(struct config_endpoint, trusts_sdp), .words = not_words,
		.help = "write true or false"},
	{"max_calls", SCHEMA_NUMBER, false, offsetof(struct config_endpoint, max_calls), .min = 0, .max = 250000},
	{NULL},
};

static const struct schema match_keys[] = {
	{"endpoint", SCHEMA_OWN, .set = set_match_endpoint},
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
	{"codecs", SCHEMA_OWN, .set = set_route_codecs},
	{NULL},
};

static const struct schema lcore_keys[] = {
	{"relay", SCHEMA_OWN, .set = set_relay},
	{"idle", SCHEMA_CHOICE, false, offsetof(struct config, spin), .words = idle_words,
		.help = "write adaptive or spin"},
	{"dsp", SCHEMA_OWN, .set = set_dsp},
	{NULL},
};

static const struct schema media_keys[] = {
	{"ports", SCHEMA_OWN, .set = set_ports},
	{"deny", SCHEMA_OWN, .set = set_media_deny},
	{"timeout_s", SCHEMA_NUMBER, false, offsetof(struct config, timeout_s), .min = 1, .max = 86400, .number = 60},
	{"hold_timeout_s", SCHEMA_NUMBER, false, offsetof(struct config, hold_timeout_s), .min = 1, .max = 86400,
		.number = 1800},
	{"max_calls", SCHEMA_NUMBER, false, offsetof(struct config, max_calls), .min = 1, .max = 250000,
		.number = 4096},
	{NULL},
};

#define LIMIT(name) false, offsetof(struct config, limits.name)

static const struct schema limit_keys[] = {
	{"message_bytes", SCHEMA_NUMBER, LIMIT(message_bytes), .min = 1500, .max = 65535, .number = 65535},
	{"headers", SCHEMA_NUMBER, LIMIT(headers), .min = 32, .max = 128, .number = 128},
	{"source_per_s", SCHEMA_NUMBER, LIMIT(source_per_s), .min = 1, .max = 100000, .number = 100},
	{"strangers_per_s", SCHEMA_NUMBER, LIMIT(strangers_per_s), .min = 1, .max = 1000000, .number = 500},
	{"cps", SCHEMA_NUMBER, false, offsetof(struct config, cps), .min = 0, .max = 100000},
	{"connections", SCHEMA_NUMBER, false, offsetof(struct config, connections), .min = 1, .max = 1000000,
		.number = 10000},
	{"connections_per_source", SCHEMA_NUMBER, false, offsetof(struct config, connections_per_source), .min = 1,
		.max = 1000000, .number = 100},
	{NULL},
};

static const struct schema tls_keys[] = {
	{"certificate", SCHEMA_STRING, false, offsetof(struct config, tls_certificate), .max = 255, .text = "",
		.help = "write a PEM file with the certificate and its chain"},
	{"key", SCHEMA_STRING, false, offsetof(struct config, tls_key), .max = 255, .text = "",
		.help = "write the PEM file with the certificate's key"},
	{"ca", SCHEMA_STRING, false, offsetof(struct config, tls_ca), .max = 255, .text = "",
		.help = "write a PEM file with the certificates that may sign peers'"},
	{"verify_clients", SCHEMA_CHOICE, false, offsetof(struct config, tls_verify_clients), .words = bool_words,
		.help = "write true or false"},
	{NULL},
};

static const struct schema dns_keys[] = {
	{"servers", SCHEMA_STRING, false, offsetof(struct config, dns_servers), .max = 255, .text = "",
		.help = "write \"IP:PORT\", or several with commas between"},
	{NULL},
};

static const struct schema sip_keys[] = {
	{"listen", SCHEMA_OWN, .set = set_listen},
	{"tls", SCHEMA_MAP, .keys = tls_keys, .help = "write {certificate: FILE, key: FILE}"},
	{"realm", SCHEMA_NAME, false, offsetof(struct config, realm), .size = CONFIG_NAME,
		.help = "write a name, for example sip.example.com"},
	{"dns", SCHEMA_MAP, .keys = dns_keys, .help = "write {servers: \"IP:PORT\"}"},
	{"strangers", SCHEMA_CHOICE, LIMIT(silent), .words = stranger_words, .help = "write reject or silent"},
	{"limits", SCHEMA_MAP, .keys = limit_keys,
		.help = "write {source_per_s: REQUESTS, strangers_per_s: REQUESTS, cps: CALLS}"},
	{NULL},
};

static const struct schema recording_keys[] = {
	{"calls", SCHEMA_OWN, .set = set_recording},
	{"directory", SCHEMA_OWN, .set = set_recording_directory},
	{"format", SCHEMA_OWN, .set = set_recording_format},
	{NULL},
};

static const struct schema cdr_keys[] = {
	{"file", SCHEMA_STRING, false, offsetof(struct config, cdr_file), .max = 255,
		.text = "/var/log/kedge/cdr.jsonl", .help = "write a path, for example /var/log/kedge/cdr.jsonl"},
	{NULL},
};

static const struct schema api_keys[] = {
	{"listen", SCHEMA_OWN, .set = set_api_listen},
	{"socket", SCHEMA_STRING, false, offsetof(struct config, api_socket), .max = 107,
		.text = "/run/kedge/kedge.sock", .help = "write a path, for example /run/kedge/kedge.sock"},
	{"telemetry", SCHEMA_CHOICE, false, offsetof(struct config, api_telemetry), .words = bool_words,
		.help = "write true or false"},
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
	{"endpoints", SCHEMA_LIST, false, LIST(struct config_endpoint, endpoints, endpoint_count),
		.keys = endpoint_keys, .done = endpoints_done,
		.help = "write [{user: alice, password: SECRET}], or []"},
	{"routes", SCHEMA_LIST, true, LIST(struct config_route, routes, route_count), .keys = route_keys,
		.item = route_defaults, .help = "write [{match: {trunk: NAME}, to: [\"trunk:NAME\"]}]"},
	{"recording", SCHEMA_MAP, .keys = recording_keys, .help = "write {calls: none}"},
	{"cdr", SCHEMA_MAP, .keys = cdr_keys, .help = "write {file: PATH}"},
	{"api", SCHEMA_MAP, .keys = api_keys, .help = "write {listen: \"127.0.0.1:8080\", socket: PATH}"},
	{"user", SCHEMA_NAME, false, offsetof(struct config, user), .size = CONFIG_NAME,
		.help = "write the system user to run as, for example kedge"},
	{"log", SCHEMA_MAP, .keys = log_keys, .help = "write {level: info, format: json}"},
	{NULL},
};
