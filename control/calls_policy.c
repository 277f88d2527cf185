// SPDX-License-Identifier: BSD-3-Clause
// What the configuration says of the trunk that a party belongs to.

#include "calls_private.h"

static void policy_read(const struct config_trunk *trunk, struct sip_policy *out)
{
	*out = (struct sip_policy){
		.session_expires_s = trunk->session_expires_s,
		.prack = (enum sip_prack)trunk->prack,
		.refer = trunk->refer,
	};
}

void party_policy(const struct party *party, struct sip_policy *out)
{
	const struct config_trunk *trunk = party_trunk(party);

	*out = (struct sip_policy){.refer = false};
	if (trunk)
		policy_read(trunk, out);
}

void credentials_of(const struct party *party, struct sip_credentials *out)
{
	const struct config_trunk *trunk = party_trunk(party);

	*out = (struct sip_credentials){NULL, NULL};
	if (trunk && *trunk->username)
		*out = (struct sip_credentials){trunk->username, trunk->password};
}

void calls_policy(void *arg, const struct kg_addr *peer, struct sip_policy *out)
{
	const struct calls *calls = arg;
	int trunk = router_trunk(calls->options.config, peer);

	if (trunk >= 0)
		policy_read(&calls->options.config->trunks[trunk], out);
}
