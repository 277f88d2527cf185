// SPDX-License-Identifier: BSD-3-Clause
// What sessions tell (struct sip_session_ops), turned into events for the call's machine. Whatever a message brings is
// checked here, before the event: SDP is read, its address is reached, the text for the other party is made. So the
// machine's actions do not fail for what a peer wrote.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calls_private.h"

// Keep what the session knows of itself: it is asked for after the session is gone, too.
void party_remember(struct party *party)
{
	struct sip_session_info info;

	if (!party->session)
		return;
	sip_session_info(party->session, &info);
	snprintf(party->sip_call_id, sizeof(party->sip_call_id), "%s", info.call_id);
	snprintf(party->local_tag, sizeof(party->local_tag), "%s", info.local_tag);
	if (*info.remote_tag)
		snprintf(party->remote_tag, sizeof(party->remote_tag), "%s", info.remote_tag);
	snprintf(party->branch, sizeof(party->branch), "%s", info.branch);
	party->dialog = info.dialog;
}

static struct call_event party_event(const struct party *party, enum call_event_type type)
{
	return (struct call_event){.type = type, .side = party->side, .hop = party->hop};
}

// --- session descriptions -----------------------------------------------------------------------------------------

// Read the message's SDP. Returns: CALL_SDP_GOOD and *out, which is the caller's, or what is wrong with it and why.
static enum call_sdp sdp_read(const struct sip_msg *msg, struct sdp **out, char why[CALL_MESSAGE])
{
	static const char type[] = "application/sdp";
	const char *content = sip_msg_content_type(msg);
	struct offer_media media;
	char err[OFFER_ERR];
	size_t length = 0;
	const char *body = sip_msg_body(msg, &length);

	*out = NULL;
	if (!body || !length)
		return CALL_SDP_NONE;
	if (!content || strncasecmp(content, type, sizeof(type) - 1) != 0) {
		snprintf(why, CALL_MESSAGE, "the body is %.60s, not application/sdp", content ? content : "of no type");
		return CALL_SDP_UNUSABLE;
	}
	if (sdp_parse_text(body, length, out, err) != 0) {
		snprintf(why, CALL_MESSAGE, "SDP: %s", err);
		return CALL_SDP_BROKEN;
	}
	sdp_media(*out, &media);
	if (media.present)
		return CALL_SDP_GOOD;
	snprintf(why, CALL_MESSAGE, "SDP: no m=audio over RTP/AVP with a port, an IP address and a known payload type");
	sdp_free(*out);
	*out = NULL;
	return CALL_SDP_UNUSABLE;
}

// Keep a party's usable SDP of one fork. An older one of that fork goes.
static void sdp_keep(struct party *party, unsigned fork, struct sdp *sdp)
{
	if (party->sdp && party->sdp == party->sdps[fork])
		party->sdp = sdp;
	sdp_free(party->sdps[fork]);
	party->sdps[fork] = sdp;
}

// The callee's answer to the caller's offer, in an 18x or 2xx: read, reachable, and told to the caller.
static enum call_sdp answer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	const struct party *caller = callee->anchor->caller;
	const struct offer_local local = leg_local(caller, caller->mux_said, 1);
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp read = sdp_read(msg, &sdp, why);

	if (read == CALL_SDP_NONE && callee->sdps[evidence->fork]) {
		// the answer came with this fork's 18x and is not repeated
		evidence->sdp = callee->sdps[evidence->fork];
		evidence->text = sdp_relay_text(evidence->sdp, caller->sdp, &local, err);
		return evidence->text ? CALL_SDP_GOOD : CALL_SDP_UNUSABLE;
	}
	if (read == CALL_SDP_NONE)
		snprintf(why, CALL_MESSAGE, "the callee answered without SDP");
	party_locate(callee, msg);
	if (read == CALL_SDP_GOOD)
		read = leg_reaches(callee, sdp, why);
	if (read == CALL_SDP_GOOD) {
		evidence->text = sdp_relay_text(sdp, caller->sdp, &local, err);
		if (!evidence->text) {
			snprintf(why, CALL_MESSAGE, "SDP: %s", err);
			read = CALL_SDP_UNUSABLE;
		}
	}
	if (read != CALL_SDP_GOOD) {
		sdp_free(sdp);
		return read;
	}
	sdp_keep(callee, evidence->fork, sdp);
	evidence->sdp = sdp;
	return CALL_SDP_GOOD;
}

// The callee's offer in its 2xx to an INVITE without one: now both legs are made, and the caller is asked.
static enum call_sdp offer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	struct anchor *anchor = callee->anchor;
	struct party *caller = anchor->caller;
	struct offer_media media;
	struct offer_local local;
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp made = sdp_read(msg, &sdp, why);

	if (made != CALL_SDP_GOOD) {
		if (made == CALL_SDP_NONE)
			snprintf(why, CALL_MESSAGE,
				"the caller offered no SDP, and the callee answered without an offer");
		return made;
	}
	sdp_keep(callee, evidence->fork, sdp);
	callee->sdp = evidence->sdp = sdp;
	party_locate(callee, msg);
	party_media(callee, sdp, &media);
	if (media_denied(anchor->calls, &media.remote, why))
		return CALL_SDP_UNREACHABLE;
	made = leg_open(callee, anchor->hops[callee->hop].nic,
		kg_addr_none(&media.remote) ? &callee->peer : &media.remote, why);
	if (made == CALL_SDP_GOOD)
		made = leg_open(caller, anchor->nic, caller->behind_nat ? &caller->public : &caller->peer, why);
	if (made != CALL_SDP_GOOD)
		return made;
	caller->mux_said = media.rtcp_mux;
	local = leg_local(caller, caller->mux_said, 1);
	evidence->text = sdp_relay_text(sdp, NULL, &local, err);
	if (evidence->text)
		return CALL_SDP_GOOD;
	snprintf(why, CALL_MESSAGE, "SDP: %s", err);
	return CALL_SDP_UNUSABLE;
}

// The caller's late answer in its ACK.
static enum call_sdp late_answer_take(
	struct party *caller, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	struct party *callee = anchor_callee(caller->anchor);
	struct offer_media media;
	struct offer_local local;
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp read = sdp_read(msg, &sdp, why);

	if (read == CALL_SDP_NONE)
		snprintf(why, CALL_MESSAGE, "the caller's ACK has no SDP, though the 200 carried an offer");
	if (read == CALL_SDP_GOOD)
		read = leg_reaches(caller, sdp, why);
	if (read != CALL_SDP_GOOD) {
		sdp_free(sdp);
		return read;
	}
	sdp_keep(caller, 0, sdp);
	caller->sdp = sdp;
	sdp_media(callee->sdp, &media);
	callee->mux_said = media.rtcp_mux;
	local = leg_local(callee, callee->mux_said, 1);
	evidence->text = sdp_relay_text(sdp, callee->sdp, &local, err);
	if (evidence->text)
		return CALL_SDP_GOOD;
	snprintf(why, CALL_MESSAGE, "SDP: %s", err);
	return CALL_SDP_UNUSABLE;
}

// --- a new call ---------------------------------------------------------------------------------------------------

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
	int count = router_resolve(config, trunk, msg, source, listener_is_ours, calls, routes, CALL_HOPS);

	if (count <= 0)
		return count ? count : -404;
	anchor->hops = calloc((size_t)count, sizeof(*anchor->hops));
	if (!anchor->hops)
		return -503;
	for (int i = 0; i < count; i++) {
		const struct config_trunk *to = &config->trunks[routes[i].trunk];

		anchor->hops[i].route = routes[i];
		snprintf(anchor->hops[i].trunk, CONFIG_NAME, "%s", to->name);
		snprintf(anchor->hops[i].nic, CONFIG_NAME, "%s", to->nic);
		anchor->hops[i].ring_timeout_ms = to->ring_timeout_s * 1000;
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

static void on_invite(void *arg, struct sip_session *session, const struct sip_msg *msg, const struct kg_addr *source)
{
	struct calls *calls = arg;
	int trunk = router_trunk(calls->options.config, source);
	struct call_event event = {.type = CALL_EV_INVITE};
	struct evidence evidence = {.msg = msg};
	char why[CALL_MESSAGE] = "", text[KG_ADDR_STRLEN];
	const char *hops_left = sip_msg_header(msg, "Max-Forwards", 0);
	struct anchor *anchor;

	if (trunk < 0) {
		const struct log_ids ids = {
			.method = "INVITE", .transaction = sip_msg_branch(msg), .dialog = sip_msg_call_id(msg)};

		calls->counts.strangers++;
		log_sip(KG_LOG_WARN, &ids, "refused: %s is in no trunk's `from`",
			kg_addr_text(source, text, sizeof(text)));
		sip_session_set_user(session, NULL);
		sip_session_reject(session, 403, NULL, NULL);
		return;
	}
	anchor = anchor_create(calls, &calls->options.config->trunks[trunk], msg);
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
	anchor_log(KG_LOG_INFO, anchor->caller, "INVITE", "call starts: %s calls %s (trunk %s)", anchor->caller->from,
		sip_msg_request_uri(msg), anchor->trunk);
	invite_admit(calls, anchor, trunk, msg, source, &event, why);
	event.message = *why ? why : NULL;
	anchor_feed(anchor, &event, &evidence);
}

// --- the callee's answers -----------------------------------------------------------------------------------------

static void on_provisional(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg, .fork = fork};
	struct call_event event;
	char why[CALL_MESSAGE] = "";

	if (!party || fork >= SIP_FORKS)
		return;
	party_remember(party);
	event = party_event(party, CALL_EV_PROVISIONAL);
	event.fork = fork;
	event.status = sip_msg_status(msg);
	if (!party->anchor->call.late_offer && sip_msg_body(msg, NULL)) {
		event.sdp = answer_take(party, msg, &evidence, why);
		if (event.sdp != CALL_SDP_GOOD)
			anchor_log(KG_LOG_WARN, party, "INVITE", "no early media: %s", why);
	}
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

static void on_answered(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg, .fork = fork};
	struct call_event event;
	char why[CALL_MESSAGE] = "";

	if (!party || fork >= SIP_FORKS) {
		sip_session_ack(session, NULL);
		sip_session_bye(session, NULL);
		return;
	}
	party_remember(party);
	event = party_event(party, CALL_EV_ANSWER);
	event.fork = fork;
	event.sdp = party->anchor->call.late_offer ? offer_take(party, msg, &evidence, why)
						   : answer_take(party, msg, &evidence, why);
	event.message = *why ? why : NULL;
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

static void on_failed(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg};
	struct call_event event;
	char why[CALL_MESSAGE];

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_FAILED);
	event.status = sip_msg_status(msg);
	snprintf(why, sizeof(why), "trunk %s answered %d %.100s", party->anchor->hops[party->hop].trunk, event.status,
		sip_msg_reason(msg) ? sip_msg_reason(msg) : "");
	event.message = why;
	anchor_log(KG_LOG_INFO, party, "INVITE", "%s", why);
	anchor_feed(party->anchor, &event, &evidence);
}

// --- either side --------------------------------------------------------------------------------------------------

static void on_acked(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg};
	struct call_event event;
	char why[CALL_MESSAGE] = "";

	if (!party)
		return;
	party_remember(party);
	event = party_event(party, CALL_EV_ACK);
	if (party->anchor->call.late_offer && !call_ended(&party->anchor->call))
		event.sdp = late_answer_take(party, msg, &evidence, why);
	event.message = *why ? why : NULL;
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

// An event that needs nothing but its message. The session is over.
static void simple_end(struct party *party, enum call_event_type type, const struct sip_msg *msg)
{
	struct evidence evidence = {.msg = msg};
	struct call_event event;

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, type);
	anchor_feed(party->anchor, &event, &evidence);
}

static void on_cancelled(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	simple_end(user, CALL_EV_CANCEL, msg);
}

static void on_ended(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	simple_end(user, CALL_EV_BYE, msg);
}

static void on_timed_out(void *user, struct sip_session *session, enum sip_timeout what)
{
	static const enum call_timer timers[] = {
		[SIP_TIMEOUT_B] = CALL_TIMER_B, [SIP_TIMEOUT_ACK] = CALL_TIMER_ACK, [SIP_TIMEOUT_C] = CALL_TIMER_C};
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_TIMER);
	event.timer = timers[what];
	anchor_feed(party->anchor, &event, NULL);
}

static void on_bye_done(void *user, struct sip_session *session, int status)
{
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party->dialog = "terminated";
	if (status >= 300)
		anchor_log(KG_LOG_WARN, party, "BYE", "BYE was answered %d: the call is over all the same", status);
	event = party_event(party, CALL_EV_BYE_DONE);
	anchor_feed(party->anchor, &event, NULL);
}

static void on_freed(void *user, struct sip_session *session)
{
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party->session = NULL;
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_GONE);
	event.message = "its session was given up";
	anchor_feed(party->anchor, &event, NULL);
}

static enum sip_source on_known_source(void *arg, const struct kg_addr *source)
{
	struct calls *calls = arg;

	return router_trunk(calls->options.config, source) < 0 ? SIP_SOURCE_STRANGER : SIP_SOURCE_PROXY;
}

const struct sip_session_ops calls_session_ops = {
	.invite = on_invite,
	.provisional = on_provisional,
	.answered = on_answered,
	.failed = on_failed,
	.acked = on_acked,
	.cancelled = on_cancelled,
	.ended = on_ended,
	.timed_out = on_timed_out,
	.bye_done = on_bye_done,
	.freed = on_freed,
	.known_source = on_known_source,
	.admit = calls_admit,
};
