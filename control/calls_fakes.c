// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls_fakes.h"
#include "cdr.h"
#include "events.h"
#include "log.h"

struct fakes fakes;

void fakes_init(void)
{
	memset(&fakes, 0, sizeof(fakes));
	fakes.events = json_array();
	fakes.cdrs = json_array();
}

void fakes_fini(void)
{
	json_decref(fakes.events);
	json_decref(fakes.cdrs);
}

unsigned fakes_live_legs(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_LEGS; i++)
		count += fakes.legs[i].live;
	return count;
}

unsigned fakes_live_sessions(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_SESSIONS; i++)
		count += fakes.sessions[i].used;
	return count;
}

unsigned fakes_live_watches(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_LEGS; i++)
		count += fakes.watches[i].used;
	return count;
}

struct sip_session *fakes_session(bool uas, unsigned index)
{
	for (unsigned i = 0; i < FAKE_SESSIONS; i++)
		if (fakes.sessions[i].used && fakes.sessions[i].uas == uas && index-- == 0)
			return &fakes.sessions[i];
	return NULL;
}

void fakes_free_session(struct sip_session *session)
{
	calls_session_ops.freed(session->user, session);
	memset(session, 0, sizeof(*session));
}

void fakes_retire_all(struct calls *calls)
{
	for (unsigned i = 0; i < FAKE_LEGS; i++) {
		struct kg_leg_stats stats = fakes.legs[i].stats;
		struct kg_media_event event = {.type = KG_EVENT_RETIRED, .leg = i + 1, .stats = &stats};

		if (!fakes.legs[i].retiring)
			continue;
		memset(&fakes.legs[i], 0, sizeof(fakes.legs[i]));
		calls_media_event(&event, calls);
	}
}

// --- sessions -----------------------------------------------------------------------------------------------------

static void say(struct sip_session *session, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct sip_session *session, const char *fmt, ...)
{
	size_t used = strlen(session->said);
	va_list args;

	if (used)
		session->said[used++] = ' ';
	va_start(args, fmt);
	vsnprintf(session->said + used, sizeof(session->said) - used, fmt, args);
	va_end(args);
}

static void keep_headers(char *out, size_t size, const char *const *headers)
{
	out[0] = '\0';
	for (unsigned i = 0; headers && headers[i]; i += 2)
		snprintf(out + strlen(out), size - strlen(out), "%s: %s\n", headers[i], headers[i + 1]);
}

static void keep_sdp(struct sip_session *session, const char *sdp)
{
	snprintf(session->sdp, sizeof(session->sdp), "%s", sdp ? sdp : "");
}

void sip_session_set_user(struct sip_session *session, void *user)
{
	session->user = user;
}

struct sip_session *sip_session_invite(struct sip_stack *stack, const struct sip_invite *invite, void *user)
{
	struct sip_session *session = fakes.sessions;
	struct sip_uri next;

	if (fakes.invite_error) {
		errno = fakes.invite_error;
		return NULL;
	}
	while (session->used)
		session++;
	memset(session, 0, sizeof(*session));
	session->used = true;
	session->user = user;
	if (sip_uri_parse(invite->way.uri, &next) != 0 ||
		kg_addr_parse(&session->peer, next.host, next.port ? next.port : 5060) != 0)
		abort();
	session->max_forwards = invite->max_forwards;
	session->ring_timeout_ms = invite->ring_timeout_ms;
	kg_addr_text(&session->peer, session->target, sizeof(session->target));
	snprintf(session->call_id, sizeof(session->call_id), "out-%u", (unsigned)(session - fakes.sessions));
	snprintf(session->request_uri, sizeof(session->request_uri), "%s", invite->request_uri);
	snprintf(session->from, sizeof(session->from), "%s", invite->from);
	snprintf(session->to, sizeof(session->to), "%s", invite->to);
	snprintf(session->body, sizeof(session->body), "%.*s", invite->body ? (int)invite->length : 0,
		invite->body ? invite->body : "");
	keep_headers(session->headers, sizeof(session->headers), invite->headers);
	keep_sdp(session, invite->sdp);
	say(session, "INVITE");
	return session;
}

int sip_session_provisional(struct sip_session *session, unsigned fork, int status, const char *reason, const char *sdp,
	const char *const *extra)
{
	say(session, "%d/%u", status, fork);
	keep_sdp(session, sdp);
	keep_headers(session->extra, sizeof(session->extra), extra);
	return 0;
}

int sip_session_answer(struct sip_session *session, unsigned fork, const char *sdp, const char *const *extra)
{
	say(session, "200/%u", fork);
	keep_sdp(session, sdp);
	keep_headers(session->extra, sizeof(session->extra), extra);
	return 0;
}

int sip_session_reject(struct sip_session *session, int status, const char *reason, const char *const *extra)
{
	say(session, "%d", status);
	keep_headers(session->extra, sizeof(session->extra), extra);
	session->over = true;
	return 0;
}

int sip_session_ack(struct sip_session *session, const char *sdp)
{
	say(session, "ACK");
	if (sdp)
		keep_sdp(session, sdp);
	return 0;
}

int sip_session_cancel(struct sip_session *session, const char *const *extra)
{
	say(session, "CANCEL");
	keep_headers(session->extra, sizeof(session->extra), extra);
	return 0;
}

int sip_session_bye(struct sip_session *session, const char *const *extra)
{
	say(session, "BYE");
	keep_headers(session->extra, sizeof(session->extra), extra);
	return 0;
}

void sip_session_info(const struct sip_session *session, struct sip_session_info *out)
{
	*out = (struct sip_session_info){.call_id = session->call_id,
		.local_tag = "here",
		.remote_tag = "there",
		.dialog = strstr(session->said, "ACK") || strstr(session->said, "200/") ? "confirmed" : "early",
		.branch = "z9hG4bK1",
		.uas = session->uas,
		.peer = session->peer};
}

// --- the media plane ----------------------------------------------------------------------------------------------

#define INFO(word, level, text) {#word, "packets", level, text},
const struct kg_counter_info kg_drop_info[KG_DROP_COUNT] = {KG_DROPS(INFO)};

bool kg_media_room_free(const struct kg_media *media)
{
	return !fakes.dsp_full;
}

int kg_media_lcore_choose(const struct kg_media *media)
{
	return fakes.overloaded ? -1 : 0;
}

int kg_media_leg_create(struct kg_media *media, const struct kg_leg_config *config, kg_leg_id *id)
{
	unsigned i = 0;

	if (fakes.create_error && fakes.create_error_after-- <= 0)
		return fakes.create_error;
	while (i < FAKE_LEGS && fakes.legs[i].live)
		i++;
	if (i == FAKE_LEGS)
		return -ENOSPC;
	fakes.legs[i] = (struct fake_leg){.live = true, .config = *config};
	*id = i + 1;
	return 0;
}

int kg_media_leg_change(struct kg_media *media, kg_leg_id id, const struct kg_leg_config *config)
{
	struct fake_leg *leg = &fakes.legs[id - 1];

	if (fakes.change_error)
		return fakes.change_error;
	if (!leg->live || leg->retiring)
		return -ENOENT;
	if (memcmp(&leg->config.local, &config->local, sizeof(config->local)) || leg->config.nic != config->nic)
		return -EINVAL;
	leg->config = *config;
	return (int)++leg->changes;
}

int kg_media_leg_retire(struct kg_media *media, kg_leg_id id)
{
	if (!fakes.legs[id - 1].live || fakes.legs[id - 1].retiring)
		return -ENOENT;
	fakes.legs[id - 1].retiring = true;
	return 0;
}

int kg_media_leg_stats(struct kg_media *media, kg_leg_id id, struct kg_leg_stats *out)
{
	if (!fakes.legs[id - 1].live)
		return -ENOENT;
	*out = fakes.legs[id - 1].stats;
	return 0;
}

int kg_media_lcore_info(struct kg_media *media, unsigned index, struct kg_lcore_info *out)
{
	memset(out, 0, sizeof(*out));
	out->lcore = 1;
	return index ? -ENOENT : 0;
}

// --- the kernel: 192.0.2.0/24 behind eth0 (nic lan), 198.51.100.0/24 behind eth1 (nic wan), 203.0.113.0/24 behind eth9
// ----

int netlink_route(
	struct netlink *netlink, const struct kg_addr *target, const struct kg_addr *source, struct netlink_route *out)
{
	static const struct {
		uint8_t net[3];
		int ifindex;
		const char *interface, *source;
	} routes[] = {
		{{192, 0, 2}, 2, "eth0", "192.0.2.10"},
		{{198, 51, 100}, 3, "eth1", "198.51.100.10"},
		{{203, 0, 113}, 9, "eth9", "203.0.113.10"},
	};

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < 3 && target->family == 4; i++) {
		if (memcmp(target->ip, routes[i].net, 3) != 0)
			continue;
		out->ifindex = routes[i].ifindex;
		snprintf(out->interface, sizeof(out->interface), "%s", routes[i].interface);
		out->next_hop = *target;
		return kg_addr_parse(&out->source, routes[i].source, 0);
	}
	return -ENETUNREACH;
}

int netlink_addresses(struct netlink *netlink, const char *interface, struct kg_addr *out, unsigned max)
{
	if (strcmp(interface, "eth0") != 0 && strcmp(interface, "eth1") != 0)
		return -ENODEV;
	kg_addr_parse(out, strcmp(interface, "eth0") == 0 ? "192.0.2.10" : "198.51.100.10", 0);
	return 1;
}

struct netlink_watch *netlink_watch_create(struct netlink *netlink, const struct kg_addr *target,
	const struct kg_addr *source, netlink_hop_fn fn, void *arg, struct kg_media_hop *hop)
{
	struct netlink_watch *watch = fakes.watches;

	while (watch->used)
		watch++;
	*watch = (struct netlink_watch){.used = true, .target = *target, .fn = fn, .arg = arg};
	memset(hop, 0, sizeof(*hop));
	hop->resolved = !fakes.unresolved;
	hop->target_mac[5] = target->ip[3];
	return watch;
}

void netlink_watch_destroy(struct netlink_watch *watch)
{
	watch->used = false;
}

// --- books --------------------------------------------------------------------------------------------------------

void events_emit(struct events *events, const char *type, const char *call, const char *leg, json_t *data)
{
	json_object_set_new(data, "type", json_string(type));
	json_object_set_new(data, "call", call ? json_string(call) : json_null());
	json_object_set_new(data, "leg", leg ? json_string(leg) : json_null());
	json_array_append_new(fakes.events, data);
}

void cdr_write(struct cdr *cdr, json_t *call)
{
	json_array_append_new(fakes.cdrs, call);
}

bool log_enabled(enum kg_log_level level)
{
	return true;
}

void log_sip(enum kg_log_level level, const struct log_ids *ids, const char *fmt, ...)
{
	va_list args;

	if (level > KG_LOG_WARN)
		return;
	fakes.log_lines++;
	va_start(args, fmt);
	vsnprintf(fakes.log, sizeof(fakes.log), fmt, args);
	va_end(args);
}

void log_init(enum kg_log_level level, bool json)
{
}

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	fakes.log_lines += level <= KG_LOG_WARN;
}

// --- exchanges ----------------------------------------------------------------------------------------------------

struct sip_exchange *fakes_exchange(struct sip_session *session, enum sip_method method)
{
	struct sip_exchange *exchange = &fakes.exchanges[fakes.exchange_count++ % FAKE_SESSIONS];

	*exchange = (struct sip_exchange){.session = session, .method = method};
	return exchange;
}

static void keep_body(char out[4096], const char *body, size_t length)
{
	snprintf(out, 4096, "%.*s", (int)length, body ? body : "");
}

struct sip_exchange *sip_session_ask(
	struct sip_session *session, unsigned fork, const struct sip_ask *ask, void *exchange_user)
{
	struct sip_exchange *exchange;

	if (session->ask_error) {
		errno = session->ask_error;
		return NULL;
	}
	exchange = fakes_exchange(session, ask->method);
	exchange->ours = true;
	keep_body(exchange->body, ask->body, ask->length);
	keep_headers(exchange->headers, sizeof(exchange->headers), ask->headers);
	session->exchanges[session->exchange_count++ % 8] = exchange;
	say(session, "%s/%u", sip_method_text(ask->method), fork);
	return exchange;
}

int sip_exchange_answer(struct sip_exchange *exchange, int status, const char *reason, const char *const *headers,
	const char *type, const char *body, size_t length)
{
	if (exchange->ours || exchange->answered)
		return -EALREADY;
	exchange->answered = true;
	exchange->status = status;
	keep_body(exchange->body, body, length);
	keep_headers(exchange->headers, sizeof(exchange->headers), headers);
	say(exchange->session, "%s:%d", sip_method_text(exchange->method), status);
	return 0;
}

int sip_exchange_ack(struct sip_exchange *exchange, const char *sdp)
{
	if (exchange->acked)
		return -EALREADY;
	exchange->acked = true;
	snprintf(exchange->ack, sizeof(exchange->ack), "%s", sdp ? sdp : "");
	say(exchange->session, "ACK(%s)", sip_method_text(exchange->method));
	return 0;
}

int sip_exchange_cancel(struct sip_exchange *exchange)
{
	exchange->cancelled = true;
	say(exchange->session, "CANCEL(%s)", sip_method_text(exchange->method));
	return 0;
}

enum sip_method sip_exchange_method(const struct sip_exchange *exchange)
{
	return exchange->method;
}

bool sip_session_allows(const struct sip_session *session, enum sip_method method)
{
	return method != SIP_UPDATE || session->takes_update;
}

bool sip_session_reliable(const struct sip_session *session)
{
	return session && session->reliable;
}

int sip_session_prack(struct sip_session *session, unsigned fork, const char *sdp)
{
	keep_sdp(session, sdp);
	say(session, "PRACK/%u", fork);
	return 0;
}

const char *sip_session_endpoint(const struct sip_session *session)
{
	return session->endpoint;
}
