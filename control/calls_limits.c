// SPDX-License-Identifier: BSD-3-Clause
// How many calls there may be: of all and of each trunk, at once and a second. What is over a rate is refused before it
// is a call, so that a storm costs little; what is over a number of calls has its record.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls_private.h"

#define TOLD_MS 60000 // a trunk's refusals are said that often

// What a trunk has now. It is known by its name, so that a reload leaves it alone, and stays until the engine ends.
struct trunk_use {
	struct trunk_use *next;
	char name[CONFIG_NAME + 16];
	uint64_t live; // parties of calls that live
	struct sip_bucket cps;
	uint64_t told_ms, untold; // refusals that no line has said
	bool told;
};

static struct trunk_use *use_of(struct calls *calls, const char *name)
{
	struct trunk_use *use = calls->uses;

	while (use && strcmp(use->name, name) != 0)
		use = use->next;
	if (use)
		return use;
	use = calloc(1, sizeof(*use));
	if (!use)
		return NULL; // it is not limited then: no memory will refuse the call soon enough
	snprintf(use->name, sizeof(use->name), "%s", name);
	use->next = calls->uses;
	calls->uses = use;
	return use;
}

void uses_free(struct calls *calls)
{
	struct trunk_use *use, *next;

	for (use = calls->uses; use; use = next) {
		next = use->next;
		free(use);
	}
}

static const struct config_trunk *trunk_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->trunk_count; i++)
		if (strcmp(config->trunks[i].name, name) == 0)
			return &config->trunks[i];
	return NULL; // a reload took it away
}

const struct config_trunk *party_trunk(const struct party *party)
{
	const struct anchor *anchor = party->anchor;

	return trunk_named(anchor->calls->options.config,
		party->side == CALL_CALLER ? anchor->trunk : anchor->hops[party->hop].trunk);
}

// --- at once ------------------------------------------------------------------------------------------------------

const struct config_endpoint *party_endpoint(const struct party *party)
{
	const struct anchor *anchor = party->anchor;

	return party->side == CALL_CALLER && *anchor->endpoint
		       ? config_endpoint(anchor->calls->options.config, anchor->endpoint)
		       : NULL;
}

void party_use(struct party *party, const char *trunk)
{
	char name[CONFIG_NAME + 16];

	if (!*trunk) { // an endpoint: no trunk can have that name
		if (!party_endpoint(party) || !party_endpoint(party)->max_calls)
			return;
		snprintf(name, sizeof(name), "endpoint %s", party->anchor->endpoint);
		trunk = name;
	}
	party->use = use_of(party->anchor->calls, trunk);
	if (party->use)
		party->use->live++;
}

void party_unuse(struct party *party)
{
	if (party->use)
		party->use->live--;
	party->use = NULL;
}

bool party_fits(const struct party *party, char why[CALL_MESSAGE])
{
	struct calls *calls = party->anchor->calls;
	const struct config_trunk *trunk = party->use ? trunk_named(calls->options.config, party->use->name) : NULL;
	const struct config_endpoint *endpoint = party_endpoint(party);
	uint32_t most = trunk ? trunk->max_calls : endpoint ? endpoint->max_calls : 0;

	if (!most || !party->use || party->use->live <= most)
		return true;
	calls->counts.refused[SIP_REFUSED_trunk_calls]++;
	snprintf(why, CALL_MESSAGE, "max_calls (%u) of %s %s is reached", most, trunk ? "trunk" : "endpoint",
		trunk ? trunk->name : endpoint->user);
	return false;
}

// --- a second -----------------------------------------------------------------------------------------------------

bool party_paced(const struct party *party, char why[CALL_MESSAGE])
{
	struct calls *calls = party->anchor->calls;
	const struct config_trunk *trunk = party->use ? trunk_named(calls->options.config, party->use->name) : NULL;

	if (!trunk || sip_bucket_take(&party->use->cps, trunk->cps, trunk->cps, calls_now_ms(calls)))
		return true;
	calls->counts.refused[SIP_REFUSED_trunk_cps]++;
	snprintf(why, CALL_MESSAGE, "cps (%u) of trunk %s is reached", trunk->cps, trunk->name);
	return false;
}

static int refuse(struct calls *calls, struct trunk_use *use, enum sip_refusal why, uint32_t limit,
	const struct kg_addr *source, unsigned *retry_after_s)
{
	uint64_t now = calls_now_ms(calls);

	*retry_after_s = sip_limits_retry_after(source);
	calls->counts.refused[why]++;
	use->untold++;
	if (use->told && now - use->told_ms < TOLD_MS)
		return 503;
	if (why == SIP_REFUSED_overload)
		kg_warn("call",
			"trunk %s: %llu call%s refused with 503: no relay lcore keeps up with the media that there is",
			use->name, (unsigned long long)use->untold, use->untold == 1 ? "" : "s");
	else
		kg_warn("call", "trunk %s: %llu call%s refused with 503: %s (%u) is reached", use->name,
			(unsigned long long)use->untold, use->untold == 1 ? "" : "s",
			why == SIP_REFUSED_cps ? "sip.limits.cps" : "its cps", limit);
	use->told = true;
	use->told_ms = now;
	use->untold = 0;
	return 503;
}

// Both buckets have a token, or neither loses one: the refused cost the others nothing.
int calls_admit(void *arg, const struct kg_addr *source, unsigned *retry_after_s)
{
	struct calls *calls = arg;
	const struct config *config = calls->options.config;
	const uint64_t now = calls_now_ms(calls);
	int index = router_trunk(config, source);
	const struct config_trunk *trunk = index < 0 ? NULL : &config->trunks[index];
	struct trunk_use *use = use_of(calls, trunk ? trunk->name : "endpoints");
	const uint32_t trunk_cps = trunk ? trunk->cps : 0;

	if (!use || calls->stopping)
		return 0;
	if (kg_media_lcore_choose(calls->options.media) < 0)
		return refuse(calls, use, SIP_REFUSED_overload, 0, source, retry_after_s);
	if (!sip_bucket_has(&calls->cps, config->cps, config->cps, now))
		return refuse(calls, use, SIP_REFUSED_cps, config->cps, source, retry_after_s);
	if (!sip_bucket_take(&use->cps, trunk_cps, trunk_cps, now))
		return refuse(calls, use, SIP_REFUSED_trunk_cps, trunk_cps, source, retry_after_s);
	sip_bucket_take(&calls->cps, config->cps, config->cps, now);
	return 0;
}
