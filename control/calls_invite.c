// SPDX-License-Identifier: BSD-3-Clause
// A new call: who calls, where it goes, and whatever may refuse it before any hop is tried.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls_private.h"

static bool nic_has(const struct calls *calls, const struct config_nic *nic, const struct kg_addr *addr)
{
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];
	int count;

	for (size_t i = 0; i < nic->address_count; i++)
		if (kg_addr_same_ip(&nic->addresses[i].addr, addr))
			return true;
	if (nic->address_count)
		return false;
	count = netlink_addresses(calls->options.netlink, nic->interface, addrs, KG_MEDIA_NIC_ADDRS);
	for (int i = 0; i < count; i++)
		if (kg_addr_same_ip(&addrs[i], addr))
			return true;
	return false;
}

static bool nic_advertises(const struct config_nic *nic, const struct kg_addr *addr)
{
	for (size_t i = 0; i < nic->advertise_count; i++)
		if (kg_addr_same_ip(&nic->advertise[i].addr, addr))
			return true;
	return false;
}

static bool port_is_ours(const struct config *config, uint16_t port)
{
	for (size_t i = 0; i < config->listen_count; i++)
		if (config->listens[i].addr.port == port)
			return true;
	return !config->listen_count && port == 5060;
}

// Is this host and port a listener of ours, or one as others know it? (port 0: none written)
static bool listener_is_ours(void *arg, const char *host, uint16_t port)
{
	const struct calls *calls = arg;
	const struct config *config = calls->options.config;
	struct kg_addr addr;

	if (kg_addr_parse(&addr, host, port ? port : 5060) != 0)
		return false;
	for (size_t i = 0; i < config->listen_count; i++)
		if (kg_addr_same(&config->listens[i].addr, &addr))
			return true;
	for (size_t i = 0; i < config->nic_count; i++)
		if (nic_advertises(&config->nics[i], &addr) && port_is_ours(config, addr.port))
			return true;
	for (size_t i = 0; i < config->nic_count && !config->listen_count && addr.port == 5060; i++)
		if (nic_has(calls, &config->nics[i], &addr))
			return true;
	return false;
}

// Find the hops and copy all that is needed of the configuration. Returns: count, or the negative SIP status.
static int hops_plan(
	struct calls *calls, struct anchor *anchor, int trunk, const struct sip_msg *msg, const struct kg_addr *source)
{
	static struct router_hop routes[CALL_HOPS]; // 20 kB, filled and read here only
	const struct config *config = calls->options.config;
	int count = router_resolve(config, trunk, *anchor->endpoint ? anchor->endpoint : NULL, msg, source,
		listener_is_ours, calls, routes, CALL_HOPS);

	if (count <= 0)
		return count ? count : -404;
	anchor->hops = calloc((size_t)count, sizeof(*anchor->hops));
	if (!anchor->hops)
		return -503;
	for (int i = 0; i < count; i++) {
		const struct config_trunk *to = &config->trunks[routes[i].trunk];

		anchor->hops[i].route = malloc(sizeof(routes[i]));
		if (!anchor->hops[i].route)
			return -503;
		*anchor->hops[i].route = routes[i];
		anchor->hop_count++;
		snprintf(anchor->hops[i].trunk, CONFIG_NAME, "%s", to->name);
		snprintf(anchor->hops[i].nic, CONFIG_NAME, "%s", to->nic);
		anchor->hops[i].ring_timeout_ms = to->ring_timeout_s * 1000;
		if (routes[i].has_codecs) {
			anchor->hops[i].codecs = malloc(sizeof(routes[i].codecs));
			if (!anchor->hops[i].codecs)
				return -503;
			*anchor->hops[i].codecs = routes[i].codecs;
		}
	}
	return count;
}

static void route_refused(struct call_event *event, int status, const struct sip_msg *msg, char why[CALL_MESSAGE])
{
	static const struct {
		int status;
		const char *sentence;
	} sentences[] = {
		{404, "no route matches"},
		{403, "the next hop is no trunk's address in"},
		{482, "it would go back to the trunk that it came from"},
		{503, "no memory for the route of"},
	};
	const char *sentence = "the route was refused";

	for (size_t i = 0; i < sizeof(sentences) / sizeof(*sentences); i++)
		if (sentences[i].status == status)
			sentence = sentences[i].sentence;
	event->status = status;
	event->cause = status == 503 ? CALL_CAUSE_overload : CALL_CAUSE_no_route;
	snprintf(why, CALL_MESSAGE, "%s: %.160s", sentence, sip_msg_request_uri(msg));
}

// Everything that may refuse a call before any hop is tried.
static void invite_admit(struct calls *calls, struct anchor *anchor, int trunk, const struct sip_msg *msg,
	const struct kg_addr *source, struct call_event *event, char why[CALL_MESSAGE])
{
	struct party *caller = anchor->caller;
	struct offer_media media;
	struct sdp *sdp;
	int hops;

	if (calls->stopping) {
		calls->counts.refused[SIP_REFUSED_shutdown]++;
		event->status = 503;
		event->cause = CALL_CAUSE_shutdown;
		return;
	}
	if (calls->live > calls->options.config->max_calls) {
		event->status = 503;
		event->cause = CALL_CAUSE_overload;
		snprintf(why, CALL_MESSAGE, "media.max_calls (%u) is reached", calls->options.config->max_calls);
		calls->counts.refused[SIP_REFUSED_calls]++;
		return;
	}
	if (!party_fits(caller, why)) {
		event->status = 503;
		event->cause = CALL_CAUSE_overload;
		return;
	}
	event->sdp = sdp_read(msg, &sdp, why);
	if (event->sdp > CALL_SDP_GOOD)
		return;
	if (sdp) {
		sdp_keep(caller, 0, sdp);
		caller->sdp = sdp;
	}
	hops = hops_plan(calls, anchor, trunk, msg, source);
	if (hops < 0) {
		route_refused(event, -hops, msg, why);
		return;
	}
	event->hop_count = (unsigned)hops;
	if (!sdp)
		return;
	party_media(caller, sdp, &media);
	caller->mux_said = media.rtcp_mux;
	if (media_denied(calls, &media.remote, why)) {
		event->sdp = CALL_SDP_UNREACHABLE;
		return;
	}
	event->sdp = leg_open(caller, anchor->nic, kg_addr_none(&media.remote) ? source : &media.remote, why);
	if (event->sdp == CALL_SDP_GOOD)
		leg_update(caller, NULL);
}

void calls_invite(void *arg, struct sip_session *session, struct sip_msg *msg, const struct kg_addr *source)
{
	struct calls *calls = arg;
	int trunk = router_trunk(calls->options.config, source);
	struct call_event event = {.type = CALL_EV_INVITE};
	struct evidence evidence = {.msg = msg};
	char why[CALL_MESSAGE] = "", text[KG_ADDR_STRLEN];
	const char *hops_left = sip_msg_header(msg, "Max-Forwards", 0);
	struct anchor *anchor;

	const char *endpoint = trunk < 0 ? sip_session_endpoint(session) : NULL;

	if (trunk < 0 && !endpoint) {
		const struct log_ids ids = {
			.method = "INVITE", .transaction = sip_msg_branch(msg), .dialog = sip_msg_call_id(msg)};

		calls->counts.strangers++;
		log_sip(KG_LOG_WARN, &ids, "refused: %s is in no trunk's `from`",
			kg_addr_text(source, text, sizeof(text)));
		sip_session_set_user(session, NULL);
		sip_session_reject(session, 403, NULL, NULL);
		return;
	}
	anchor = anchor_create(calls, trunk < 0 ? NULL : &calls->options.config->trunks[trunk], endpoint, msg);
	if (!anchor) {
		char seconds[16];
		const char *retry[] = {"Retry-After", seconds, NULL};

		snprintf(seconds, sizeof(seconds), "%u", sip_limits_retry_after(source));
		sip_session_set_user(session, NULL);
		sip_session_reject(session, 503, NULL, retry);
		return;
	}
	anchor->max_forwards = hops_left ? (unsigned)strtoul(hops_left, NULL, 10) : 70;
	anchor->max_forwards -= anchor->max_forwards > 0;
	anchor->caller->session = session;
	anchor->caller->peer = *source;
	party_locate(anchor->caller, msg);
	party_use(anchor->caller, anchor->trunk);
	sip_session_set_user(session, anchor->caller);
	party_remember(anchor->caller);
	anchor_log(KG_LOG_INFO, anchor->caller, "INVITE", "call starts: %s calls %s (%s %s)", anchor->caller->from,
		sip_msg_request_uri(msg), endpoint ? "endpoint" : "trunk", endpoint ? endpoint : anchor->trunk);
	invite_admit(calls, anchor, trunk, msg, source, &event, why);
	event.message = *why ? why : NULL;
	anchor_feed(anchor, &event, &evidence);
}
