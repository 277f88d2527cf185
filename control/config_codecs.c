// SPDX-License-Identifier: BSD-3-Clause
// `codecs: {offer, prefer, strip, transcode}` of a trunk, an endpoint or a route.

#include <string.h>
#include <strings.h>

#include "codec.h"
#include "config_reader.h"

#define JITTER_MAX_MS 300 // the jitter buffer's own
#define HELP_CODECS "write {offer: [NAME, ...], prefer: [NAME, ...], strip: [NAME, ...], transcode: true}"

// Returns: 1 + the codec's place in the table, or 0 (reported, with the names that there are).
static unsigned codec_read(struct reader *reader, struct fy_node *node)
{
	const char *text = reader_text(reader, node, "write a codec's name, for example PCMU");
	char names[160] = "";
	size_t at = 0;

	if (!text)
		return 0;
	for (unsigned i = 0; codec_table[i]; i++) {
		if (strcasecmp(codec_table[i]->name, text) == 0)
			return i + 1;
		if (at < sizeof(names) - 1 && (!i || strcmp(codec_table[i]->name, codec_table[i - 1]->name) != 0))
			at += (size_t)snprintf(
				names + at, sizeof(names) - at, "%s%s", i ? ", " : "", codec_table[i]->name);
	}
	reader_wrong(reader, node, "\"%.30s\" is no codec of this engine: write one of %s", text, names);
	return 0;
}

static void list_add(struct reader *reader, struct fy_node *node, uint8_t list[OFFER_CODECS])
{
	unsigned place = codec_read(reader, node), i = 0;

	if (!place)
		return;
	while (i < OFFER_CODECS && list[i] && list[i] != place)
		i++;
	if (i == OFFER_CODECS)
		reader_wrong(reader, node, "is the %uth codec: write at most %u", i + 1, OFFER_CODECS);
	else
		list[i] = (uint8_t)place;
}

static void add_offer(struct reader *reader, struct fy_node *node, void *object)
{
	list_add(reader, node, ((struct offer_policy *)object)->offer);
}

static void add_prefer(struct reader *reader, struct fy_node *node, void *object)
{
	list_add(reader, node, ((struct offer_policy *)object)->prefer);
}

static void add_strip(struct reader *reader, struct fy_node *node, void *object)
{
	unsigned place = codec_read(reader, node);

	for (unsigned i = place; i && codec_table[i - 1]; i++) // at every clock
		if (strcmp(codec_table[i - 1]->name, codec_table[place - 1]->name) == 0)
			((struct offer_policy *)object)->strip |= UINT32_C(1) << (i - 1);
}

static void set_offer(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, "write [NAME, ...], for example [opus, G722]", add_offer, object);
}

static void set_prefer(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, "write [NAME, ...], for example [G722]", add_prefer, object);
}

static void set_strip(struct reader *reader, struct fy_node *node, void *object)
{
	reader_each(reader, node, "write [NAME, ...], for example [GSM]", add_strip, object);
}

static const char *const jitter_words[] = {"adaptive", "fixed", "off", NULL};

static const struct schema jitter_keys[] = {
	{"mode", SCHEMA_WORD, false, offsetof(struct offer_policy, jitter), .words = jitter_words,
		.help = "write adaptive, fixed or off"},
	{"min_ms", SCHEMA_NUMBER, false, offsetof(struct offer_policy, jitter_min_ms), .min = 0, .max = 500},
	{"max_ms", SCHEMA_NUMBER, false, offsetof(struct offer_policy, jitter_max_ms), .min = 10, .max = 1000},
	{NULL},
};

static void set_jitter(struct reader *reader, struct fy_node *node, void *object)
{
	struct offer_policy *policy = object;

	if (fy_node_get_type(node) != FYNT_MAPPING) {
		reader_wrong(reader, node, "holds no keys: write {mode: adaptive, min_ms: 0, max_ms: 300}");
		return;
	}
	reader_map(reader, node, jitter_keys, policy);
	if (policy->jitter_min_ms > (policy->jitter_max_ms ? policy->jitter_max_ms : JITTER_MAX_MS))
		reader_wrong(reader, node, "min_ms is above max_ms (%u): raise max_ms",
			policy->jitter_max_ms ? policy->jitter_max_ms : JITTER_MAX_MS);
}

static const char *const not_words[] = {"true", "false", NULL};

static const struct schema codec_keys[] = {
	{"offer", SCHEMA_OWN, .set = set_offer},
	{"prefer", SCHEMA_OWN, .set = set_prefer},
	{"strip", SCHEMA_OWN, .set = set_strip},
	{"transcode", SCHEMA_CHOICE, false, offsetof(struct offer_policy, pass_only), .words = not_words,
		.help = "write true or false"},
	{"jitter_buffer", SCHEMA_OWN, .set = set_jitter},
	{NULL},
};

static void policy_set(struct reader *reader, struct fy_node *node, struct offer_policy *policy)
{
	if (!node || fy_node_get_type(node) != FYNT_MAPPING) {
		reader_wrong(reader, node, "holds no keys: " HELP_CODECS);
		return;
	}
	reader_map(reader, node, codec_keys, policy);
	for (unsigned i = 0; i < OFFER_CODECS && policy->offer[i]; i++)
		if (policy->strip >> (policy->offer[i] - 1) & 1)
			reader_wrong(reader, node, "%s is offered and stripped: take one out",
				codec_table[policy->offer[i] - 1]->name);
	if (policy->offer[0] && policy->pass_only)
		reader_wrong(reader, node, "offers codecs that transcode: false cannot serve: take one out");
}

void set_trunk_codecs(struct reader *reader, struct fy_node *node, void *object)
{
	policy_set(reader, node, &((struct config_trunk *)object)->codecs);
}

void set_endpoint_codecs(struct reader *reader, struct fy_node *node, void *object)
{
	policy_set(reader, node, &((struct config_endpoint *)object)->codecs);
}

void set_route_codecs(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;

	route->has_codecs = true;
	policy_set(reader, node, &route->codecs);
}
