// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls_world.h"

struct world w;

struct kg_addr addr_of(const char *ip, uint16_t port)
{
	struct kg_addr addr;

	assert_int_equal(kg_addr_parse(&addr, ip, port), 0);
	return addr;
}

static struct config_net *net_of(const char *ip)
{
	struct config_net *net = calloc(1, sizeof(*net));

	net->addr = addr_of(ip, 0);
	net->prefix = 32;
	return net;
}

static void trunk_set(struct config_trunk *trunk, const char *name, const char *ip)
{
	snprintf(trunk->name, sizeof(trunk->name), "%s", name);
	trunk->target = addr_of(ip, 5060);
	trunk->from = net_of(ip);
	trunk->from_count = 1;
	trunk->ring_timeout_s = 30;
	trunk->trusted = true;
}

// nics lan and wan; trunks proxy (lan), carrier and spare (wan), far (behind no nic); calls from proxy go to carrier
// and then spare; to "far" they go there.
struct config *config_make(void)
{
	struct config *config = calloc(1, sizeof(*config));
	static const char *const names[] = {"lan", "wan"}, *const interfaces[] = {"eth0", "eth1"};

	config->nic_count = 2;
	config->nics = calloc(2, sizeof(*config->nics));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(config->nics[i].name, CONFIG_NAME, "%s", names[i]);
		snprintf(config->nics[i].interface, CONFIG_NAME, "%s", interfaces[i]);
	}
	config->timeout_s = 60;
	config->hold_timeout_s = 1800;
	config->max_calls = 8;
	config->trunk_count = 4;
	config->trunks = calloc(4, sizeof(*config->trunks));
	trunk_set(&config->trunks[0], "proxy", "192.0.2.20");
	trunk_set(&config->trunks[1], "carrier", "198.51.100.20");
	trunk_set(&config->trunks[2], "spare", "198.51.100.30");
	trunk_set(&config->trunks[3], "far", "203.0.113.20");
	config->route_count = 2;
	config->routes = calloc(2, sizeof(*config->routes));
	config->routes[0].has_to = true;
	assert_int_equal(regcomp(&config->routes[0].to, "^far$", REG_EXTENDED), 0);
	config->routes[0].targets = calloc(1, sizeof(struct config_target));
	config->routes[0].targets[0].trunk = 3;
	config->routes[0].target_count = 1;
	config->routes[0].match_trunk = -1;
	config->routes[1].match_trunk = 0;
	config->routes[1].targets = calloc(2, sizeof(struct config_target));
	config->routes[1].targets[0].trunk = 1;
	config->routes[1].targets[1].trunk = 2;
	config->routes[1].target_count = 2;
	return config;
}

void config_unmake(struct config *config)
{
	for (unsigned i = 0; i < config->trunk_count; i++)
		free(config->trunks[i].from);
	regfree(&config->routes[0].to);
	free(config->routes[0].targets);
	free(config->routes[1].targets);
	free(config->routes);
	free(config->trunks);
	free(config->nics);
	free(config);
}

int world_open(void **state)
{
	struct calls_options options = {0};

	fakes_init();
	w = (struct world){.now_ms = 1000};
	options.config = w.config = config_make();
	options.wheel = w.wheel = wheel_create(w.now_ms);
	options.ports = w.ports = ports_create(20000, 20015, 0);
	w.calls = calls_create(&options);
	return w.wheel && w.ports && w.calls ? 0 : -1;
}

int world_close(void **state)
{
	calls_destroy(w.calls);
	ports_destroy(w.ports);
	wheel_destroy(w.wheel);
	config_unmake(w.config);
	fakes_fini();
	return 0;
}

void pass_ms(uint64_t ms)
{
	w.now_ms += ms;
	wheel_advance(w.wheel, w.now_ms);
}

// Everything that a call takes is given back.
void assert_nothing_left(void)
{
	struct calls_counts counts;

	fakes_retire_all(w.calls);
	for (unsigned i = 0; i < FAKE_SESSIONS; i++)
		if (fakes.sessions[i].used)
			fakes_free_session(&fakes.sessions[i]);
	calls_counts(w.calls, &counts);
	assert_int_equal(counts.calls, 0);
	assert_int_equal(counts.illegal_transitions, 0);
	assert_int_equal(ports_in_use(w.ports), 0);
	assert_int_equal(fakes_live_legs(), 0);
	assert_int_equal(fakes_live_watches(), 0);
	assert_true(calls_idle(w.calls));
	assert_int_equal(json_array_size(fakes.cdrs), counts.total);
}

// --- speaking -----------------------------------------------------------------------------------------------------

static struct sip_msg *message(const char *first, const char *extra, const char *body)
{
	char text[8192];
	struct sip_msg *msg;
	const char *why = "";
	const char *method = strncmp(first, "SIP/2.0", 7) == 0 ? "INVITE" : first;

	snprintf(text, sizeof(text),
		"%s\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: \"Al <x> ice\" <sip:alice@a;x=1>;tag=at\r\n"
		"To: sip:bob@b%s\r\nCall-ID: in-1\r\nCSeq: 1 %.*s\r\nMax-Forwards: 30\r\nContact: "
		"<sip:192.0.2.20>\r\n%s%s"
		"Content-Length: %zu\r\n\r\n%s",
		first, method == first ? "" : ";tag=bt", (int)strcspn(method, " "), method, extra ? extra : "",
		body ? "Content-Type: application/sdp\r\n" : "", body ? strlen(body) : 0, body ? body : "");
	if (sip_msg_parse(text, strlen(text), &msg, &why) != 0)
		fail_msg("%s: %s", first, why);
	return msg;
}

struct sip_session *invites(const char *source, const char *uri, const char *extra, const char *sdp)
{
	struct kg_addr from = addr_of(source, 5060);
	struct sip_session *session = fakes.sessions;
	char first[256];
	struct sip_msg *msg;

	while (session->used)
		session++;
	memset(session, 0, sizeof(*session));
	session->used = session->uas = true;
	session->peer = from;
	snprintf(session->call_id, sizeof(session->call_id), "in-%u", (unsigned)(session - fakes.sessions));
	snprintf(first, sizeof(first), "INVITE %s SIP/2.0", uri);
	msg = message(first, extra, sdp);
	calls_session_ops.invite(w.calls, session, msg, &from);
	sip_msg_unref(msg);
	return session;
}

struct sip_session *calls_bob(void)
{
	return invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, OFFER);
}

void answers(struct sip_session *session, unsigned fork, const char *first, const char *extra, const char *sdp)
{
	struct sip_msg *msg = message(first, extra, sdp);
	int status = sip_msg_status(msg);

	if (status < 200)
		calls_session_ops.provisional(session->user, session, fork, msg);
	else if (status < 300)
		calls_session_ops.answered(session->user, session, fork, msg);
	else
		calls_session_ops.failed(session->user, session, msg);
	sip_msg_unref(msg);
}

void requests(struct sip_session *session, const char *method, const char *extra, const char *sdp,
	void (*op)(void *user, struct sip_session *session, const struct sip_msg *msg))
{
	char first[128];
	struct sip_msg *msg;

	snprintf(first, sizeof(first), "%s sip:x@192.0.2.10 SIP/2.0", method);
	msg = message(first, extra, sdp);
	op(session->user, session, msg);
	sip_msg_unref(msg);
}

void acks(struct sip_session *session, const char *sdp)
{
	requests(session, "ACK", NULL, sdp, calls_session_ops.acked);
}

void hangs_up(struct sip_session *session, const char *extra)
{
	requests(session, "BYE", extra, NULL, calls_session_ops.ended);
}

struct fake_leg *leg_on(unsigned nic)
{
	for (unsigned i = 0; i < FAKE_LEGS; i++)
		if (fakes.legs[i].live && !fakes.legs[i].retiring && fakes.legs[i].config.nic == nic)
			return &fakes.legs[i];
	return NULL;
}

const char *text_at(json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "(none)";
}

json_t *last_cdr(void)
{
	return json_array_get(fakes.cdrs, json_array_size(fakes.cdrs) - 1);
}

void assert_cause(const char *state, const char *layer, const char *reason, int code)
{
	json_t *cdr = last_cdr(), *cause = json_object_get(cdr, "cause");

	assert_string_equal(text_at(cdr, "state"), state);
	assert_string_equal(text_at(cause, "reason"), reason);
	assert_string_equal(text_at(cause, "layer"), layer);
	assert_int_equal(json_integer_value(json_object_get(cause, "code")), code);
	assert_true(strlen(text_at(cause, "message")) > 10);
}

void assert_addr(const struct kg_addr *addr, const char *expected)
{
	char text[KG_ADDR_STRLEN];

	assert_string_equal(kg_addr_text(addr, text, sizeof(text)), expected);
}
