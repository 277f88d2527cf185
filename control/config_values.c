// SPDX-License-Identifier: BSD-3-Clause
// Values of a kind of their own: port ranges, patterns, targets (addresses are config_addr.c's). Each is read from one
// node, stored, or reported with what to write instead.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define EPHEMERAL_FIRST 32768 // the kernel's own client ports, as it comes
#define MAX_TARGETS 8
#define MAX_PATTERN 256
#define MAX_EXPANDED 1000 // what a pattern's {n,m} may grow to: nested ones fill gigabytes in a few characters

// --- nics and media -------------------------------------------------------------------------------------------------

static void cpus_read(struct reader *reader, struct fy_node *node, int cpus[KG_MEDIA_LCORES], unsigned *taken)
{
	int count = node && fy_node_is_sequence(node) ? fy_node_sequence_item_count(node) : 0;
	unsigned long cpu;

	if (count < 1 || count > KG_MEDIA_LCORES)
		return reader_wrong(
			reader, node, "is no list of 1 to %d CPUs: write [N, ...], for example [1]", KG_MEDIA_LCORES);
	*taken = 0;
	for (int i = 0; i < count; i++) {
		if (!reader_number(reader, fy_node_sequence_get_by_index(node, i), 0, 1023, &cpu))
			return;
		for (unsigned j = 0; j < *taken; j++)
			if (cpus[j] == (int)cpu)
				return reader_wrong(reader, node, "names CPU %lu twice: write each once", cpu);
		cpus[(*taken)++] = (int)cpu;
	}
}

void set_relay(struct reader *reader, struct fy_node *node, void *object)
{
	struct config *config = object;

	cpus_read(reader, node, config->relay_cpus, &config->relay_count);
}

void set_dsp(struct reader *reader, struct fy_node *node, void *object)
{
	struct config *config = object;

	cpus_read(reader, node, config->dsp_cpus, &config->dsp_count);
}

void set_ports(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write FIRST-LAST, for example 16384-32767", *text = reader_text(reader, node, help);
	struct config *config = object;
	unsigned first, last;
	int length = 0;

	reader->ports_line = reader->line;
	if (!text)
		return;
	if (sscanf(text, "%5u-%5u%n", &first, &last, &length) != 2 || text[length] || first < 1024 || last > 65534 ||
		first >= last) {
		reader_wrong(reader, node, "\"%.60s\" is no port range between 1024 and 65534: %s", text, help);
		return;
	}
	if (((first + 1) & ~1u) + 1 > last) {
		reader_wrong(reader, node, "\"%.60s\" has no even port with an odd one above it: %s", text, help);
		return;
	}
	config->port_first = (uint16_t)first;
	config->port_last = (uint16_t)last;
	if (last >= EPHEMERAL_FIRST)
		reader_note(reader, node,
			"reaches into %d-60999, where the kernel picks ports for its own clients: their answers reach "
			"them only while no call uses the same port",
			EPHEMERAL_FIRST);
}

// --- SIP ------------------------------------------------------------------------------------------------------------

// --- names of others ------------------------------------------------------------------------------------------------

struct names {
	char text[200];
};

static const char *names_add(struct names *names, const char *name)
{
	size_t length = strlen(names->text);

	snprintf(names->text + length, sizeof(names->text) - length, "%s%s", length ? ", " : "", name);
	return names->text;
}

static void no_such(
	struct reader *reader, struct fy_node *node, const char *kind, const char *name, const struct names *names)
{
	if (*names->text)
		reader_wrong(reader, node, "there is no %s \"%.60s\": write one of %s", kind, name, names->text);
	else
		reader_wrong(reader, node, "there is no %s \"%.60s\": none is written under %ss", kind, name, kind);
}

void set_trunk_nic(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write a nic's name");
	const struct config *config = reader->config;
	struct config_trunk *trunk = object;
	struct names names = {""};

	if (!text)
		return;
	for (size_t i = 0; i < config->nic_count; i++) {
		if (strcmp(config->nics[i].name, text) == 0) {
			snprintf(trunk->nic, sizeof(trunk->nic), "%s", text);
			return;
		}
		names_add(&names, config->nics[i].name);
	}
	no_such(reader, node, "nic", text, &names);
}

// Returns: a trunk's index, or -1 (reported).
static int trunk_named(struct reader *reader, struct fy_node *node, const char *name)
{
	const struct config *config = reader->config;
	struct names names = {""};

	for (size_t i = 0; i < config->trunk_count; i++) {
		if (strcmp(config->trunks[i].name, name) == 0)
			return (int)i;
		names_add(&names, config->trunks[i].name);
	}
	no_such(reader, node, "trunk", name, &names);
	return -1;
}

// --- routes ---------------------------------------------------------------------------------------------------------

void set_match_endpoint(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write a user, or \"*\" for any");
	struct config_route *route = object;

	if (!text)
		return;
	if (!*text || strlen(text) >= sizeof(route->match_endpoint))
		reader_wrong(reader, node, "\"%.60s\" is no user: write a user, or \"*\" for any", text);
	else
		snprintf(route->match_endpoint, sizeof(route->match_endpoint), "%s", text);
}

void set_match_trunk(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write a trunk's name");
	struct config_route *route = object;

	if (text)
		route->match_trunk = trunk_named(reader, node, text);
}

// How many times its last atom a pattern's "{n,m}" stands for.
static unsigned long repeat_count(const char *at)
{
	unsigned long n = strtoul(at + 1, NULL, 10);
	const char *comma = strpbrk(at, ",}");
	unsigned long m = comma && *comma == ',' ? strtoul(comma + 1, NULL, 10) : 0;

	n = comma && comma[0] == ',' && comma[1] == '}' ? n + 1 : n > m ? n : m; // x{n,} is n times x, and x*
	return n < 1 ? 1 : n > 100000 ? 100000 : n;
}

// What glibc cannot take of a pattern whose text is short enough: more than MAX_EXPANDED atoms when its {n,m} are
// written out, and a repeat of a repeat, which POSIX leaves undefined and regcomp() may take years over. Returns: NULL,
// or why.
static const char *pattern_wrong(const char *at)
{
	unsigned long open[MAX_PATTERN], last = 0, size = 0; // open: sizes of what is around the group at hand
	unsigned depth = 0;
	bool repeated = false;

	for (; *at; at++) {
		if (last && strchr("*+?{", *at)) {
			if (repeated)
				return "repeats a repeat: write one of * + ? {n,m} behind an atom";
			repeated = true;
		} else {
			repeated = false;
		}
		if (*at == '{' && last) {
			unsigned long n = repeat_count(at);

			size += last * (n - 1);
			last *= n;
			at += strcspn(at, "}");
		} else if (*at == '+' && last) { // glibc writes x+ as xx*
			size += last;
			last *= 2;
		} else if ((*at == '*' || *at == '?') && last) {
			continue; // what is repeated stays what may be repeated again
		} else if (*at == '(') {
			open[depth++] = size;
			size = last = 0;
			continue;
		} else if (*at == ')' && depth) {
			last = size + 1;
			size = open[--depth] + last;
		} else {
			if (*at == '\\' && at[1])
				at++;
			else if (*at == '[' && at[1] && at[2]) // "[]x]" and "[^]x]": a bracket that comes first
				at += 2 + strcspn(at + 2, "]");
			last = 1;
			size++;
		}
		if (size > MAX_EXPANDED || !*at)
			break;
	}
	while (depth)
		size += open[--depth];
	return size > MAX_EXPANDED ? "is too large: write at most 1000 characters, repeats written out" : NULL;
}

static bool set_pattern(struct reader *reader, struct fy_node *node, regex_t *out)
{
	const char *help = "write an extended regular expression, for example ^9",
		   *text = reader_text(reader, node, help);
	const char *back = text, *wrong;
	char why[100];
	int error;

	if (!text)
		return false;
	wrong = strlen(text) > MAX_PATTERN ? "is too large: write at most 256 characters" : pattern_wrong(text);
	if (wrong) {
		reader_wrong(reader, node, "\"%.60s\" %s", text, wrong);
		return false;
	}
	while ((back = strchr(back, '\\')) && back[1]) {
		if (back[1] >= '1' && back[1] <= '9') { // a peer's number could then cost hours
			reader_wrong(reader, node, "\"%.60s\" refers back to a group (\\%c): %s", text, back[1], help);
			return false;
		}
		back += 2;
	}
	error = regcomp(out, text, REG_EXTENDED | REG_NOSUB);
	if (!error)
		return true;
	regerror(error, out, why, sizeof(why));
	reader_wrong(reader, node, "\"%.60s\" is no pattern (%s): %s", text, why, help);
	return false;
}

void set_match_to(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	route->has_to = set_pattern(reader, node, &route->to);
}

void set_match_from(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	route->has_from = set_pattern(reader, node, &route->from);
}

static void add_target(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write next_hop or trunk:NAME", *text = reader_text(reader, node, help);
	struct config_target target = {.kind = CONFIG_TO_NEXT_HOP}, *grown;
	struct config_route *route = object;
	int trunk;

	if (!text)
		return;
	if (strncmp(text, "trunk:", 6) == 0) {
		trunk = trunk_named(reader, node, text + 6);
		if (trunk < 0)
			return;
		target = (struct config_target){CONFIG_TO_TRUNK, (unsigned)trunk};
	} else if (strcmp(text, "next_hop") != 0) {
		reader_wrong(reader, node, "\"%.60s\" is no target: %s", text, help);
		return;
	}
	grown = reader_grow(reader, node, &route->targets, &route->target_count, sizeof(target), MAX_TARGETS);
	if (grown)
		*grown = target;
}

void set_targets(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write [next_hop] or [\"trunk:NAME\"]";

	reader_each(reader, node, help, add_target, object);
	if (node && fy_node_is_sequence(node) && fy_node_sequence_item_count(node) == 0)
		reader_wrong(reader, node, "is empty: %s", help);
}

void set_record(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write false");

	if (text && strcmp(text, "false") != 0)
		reader_wrong(reader, node, "recording is not in this version: write false, or leave it out");
}

// --- the rest -------------------------------------------------------------------------------------------------------

void set_recording(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write none");

	if (text && strcmp(text, "none") != 0)
		reader_wrong(reader, node, "\"%.60s\": recording is not in this version: write none", text);
}

void set_recording_directory(struct reader *reader, struct fy_node *node, void *object)
{
	reader_text(reader, node, "write a path, or leave it out");
}

void set_recording_format(struct reader *reader, struct fy_node *node, void *object)
{
	const char *text = reader_text(reader, node, "write wav");

	if (text && strcmp(text, "wav") != 0)
		reader_wrong(
			reader, node, "\"%.60s\": recording is not in this version: write wav, or leave it out", text);
}

static bool is_loopback(const struct kg_addr *addr)
{
	static const uint8_t one[16] = {[15] = 1};

	return addr->family == 4 ? addr->ip[0] == 127 : memcmp(addr->ip, one, sizeof(one)) == 0;
}

void set_api_listen(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write 127.0.0.1:PORT or off", *text = reader_text(reader, node, help);
	struct config *config = object;

	if (!text)
		return;
	if (strcmp(text, "off") == 0)
		config->api_listen.family = 0;
	else if (!config_parse_address(text, 8080, &config->api_listen) || !is_loopback(&config->api_listen))
		reader_wrong(reader, node,
			"\"%.60s\" is no loopback address: %s (the API has no tokens in this version)", text, help);
}
