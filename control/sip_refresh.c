// SPDX-License-Identifier: BSD-3-Clause
// Session timers (RFC 4028): each leg has its own. Where the peer does not know them we refresh alone; who should
// refresh and does not has lost the call.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sip_exchange.h"

#define RETRY_S 10 // a refresh that is refused for a while (491, 500) is tried again

static void on_due(struct wheel_timer *timer, void *arg);

static uint32_t header_seconds(const struct sip_msg *msg, const char *name)
{
	const char *value = sip_msg_header(msg, name, 0);

	return value ? (uint32_t)strtoul(value, NULL, 10) : 0;
}

// Who refreshes, as the message says: 'c' the client of its request, 's' the server, 0 nobody yet.
static char header_refresher(const struct sip_msg *msg)
{
	const char *value = sip_msg_header(msg, "Session-Expires", 0);
	const char *at = value ? strcasestr(value, "refresher=") : NULL;
	if (!at)
		return 0;
	return strncasecmp(at + 10, "uac", 3) == 0 ? 'c' : strncasecmp(at + 10, "uas", 3) == 0 ? 's' : 0;
}

static void start(struct sip_session *session)
{
	struct refresh *refresh = &session->refresh;
	uint32_t expires_s = refresh->expires_s, wait_s = expires_s / 2;

	refresh->until_ms = wheel_now_ms(session->stack->options.wheel) + (uint64_t)expires_s * 1000;

	if (!expires_s || session->state > SESSION_CONFIRMED) {
		wheel_stop(session->stack->options.wheel, &refresh->timer);
		return;
	}
	if (!refresh->ours) // RFC 4028 10: that much before it expires
		wait_s = expires_s - (expires_s / 3 < 32 ? expires_s / 3 : 32);
	wheel_start(session->stack->options.wheel, &refresh->timer, wait_s * 1000, on_due, session);
}

bool refresh_refuses(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy)
{
	static const char *const min_se[] = {"Min-SE", "90", NULL};
	uint32_t asked = header_seconds(msg, "Session-Expires");

	if (!policy->session_expires_s || !asked || asked >= SIP_MIN_SE_S ||
		!(header_has_token(msg, "Supported", "timer") || header_has_token(msg, "Require", "timer")))
		return false;
	stack_answer(stack, msg, 422, min_se);
	return true;
}

void refresh_read_request(struct sip_session *session, const struct sip_msg *msg)
{
	struct refresh *refresh = &session->refresh;
	uint32_t asked = header_seconds(msg, "Session-Expires"), least = header_seconds(msg, "Min-SE");

	if (!session->policy.session_expires_s)
		return;
	refresh->peer_knows = header_has_token(msg, "Supported", "timer") || header_has_token(msg, "Require", "timer");
	refresh->expires_s = session->policy.session_expires_s;
	if (refresh->expires_s < least)
		refresh->expires_s = least;
	if (asked && asked < refresh->expires_s)
		refresh->expires_s = asked < SIP_MIN_SE_S ? SIP_MIN_SE_S : asked;
	// We would rather be told than tell; but who does not know session timers cannot.
	refresh->ours = !refresh->peer_knows || header_refresher(msg) == 's';
}

int refresh_answer(struct sip_session *session, struct sip_msg *response)
{
	struct refresh *refresh = &session->refresh;
	int error = 0;

	if (!refresh->expires_s)
		return 0;
	if (refresh->peer_knows) {
		error = sip_msg_addf(response, "Session-Expires", "%u;refresher=%s", refresh->expires_s,
			refresh->ours ? "uas" : "uac");
		if (!error)
			error = sip_msg_add(response, "Require", "timer");
	}
	start(session);
	return error;
}

int refresh_offer(struct sip_session *session, struct sip_msg *request)
{
	struct refresh *refresh = &session->refresh;
	const char *refresher = "";
	int error;

	if (!session->policy.session_expires_s)
		return 0;
	if (!refresh->expires_s)
		refresh->expires_s = session->policy.session_expires_s;
	else if (session->state == SESSION_CONFIRMED && refresh->peer_knows)
		refresher = refresh->ours ? ";refresher=uac" : ";refresher=uas";
	error = sip_msg_addf(request, "Session-Expires", "%u%s", refresh->expires_s, refresher);
	return error ? error : sip_msg_addf(request, "Min-SE", "%u", SIP_MIN_SE_S);
}

bool refresh_read_refusal(struct sip_session *session, const struct sip_msg *msg)
{
	uint32_t least = header_seconds(msg, "Min-SE");

	if (sip_msg_status(msg) != 422 || least <= session->refresh.expires_s || least > 86400)
		return false;
	session->refresh.expires_s = least;
	return true;
}

void refresh_read_response(struct sip_session *session, const struct sip_msg *msg)
{
	struct refresh *refresh = &session->refresh;
	uint32_t granted = header_seconds(msg, "Session-Expires");

	if (!session->policy.session_expires_s)
		return;
	refresh->peer_knows = granted != 0;
	if (granted)
		refresh->expires_s = granted < SIP_MIN_SE_S ? SIP_MIN_SE_S : granted;
	refresh->ours = !granted || header_refresher(msg) != 's';
	start(session);
}

// --- when it is due -----------------------------------------------------------------------------------------------

static void refresh_send(struct sip_session *session)
{
	struct fork *fork = session->chosen >= 0 ? &session->forks[session->chosen] : NULL;
	struct sip_ask ask = {.method = SIP_UPDATE};

	if (!sip_session_allows(session, SIP_UPDATE)) {
		ask.method = SIP_INVITE;
		ask.body = session->told_sdp;
		ask.type = ask.body ? "application/sdp" : NULL;
		ask.length = ask.body ? strlen(ask.body) : 0;
	}
	// Where something is under way just now, that may refresh it too; else soon again.
	if (!fork || exchange_offered(session, true) || exchange_offered(session, false) ||
		!exchange_start(session, fork, &ask, true))
		refresh_again(session);
}

void refresh_again(struct sip_session *session)
{
	wheel_start(session->stack->options.wheel, &session->refresh.timer, RETRY_S * 1000, on_due, session);
}

static void on_due(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;

	if (session->state != SESSION_CONFIRMED && session->state != SESSION_ANSWERED)
		return;
	if (session->refresh.ours && wheel_now_ms(session->stack->options.wheel) < session->refresh.until_ms) {
		refresh_send(session);
		return;
	}
	session->stack->counts.timeouts++;
	session_lost(session, SIP_TIMEOUT_SESSION);
}
