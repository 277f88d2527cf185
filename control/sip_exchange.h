// SPDX-License-Identifier: BSD-3-Clause
// Requests inside a dialog beside the INVITE that made it: re-INVITE, UPDATE, INFO, MESSAGE, REFER, NOTIFY and
// SUBSCRIBE, PRACK with an offer; by either side. For sip_session*.c and sip_core.c; users see sip_session.h.
#pragma once

#include "sip_stack.h"

struct sip_exchange {
	struct sip_session *session;
	struct sip_exchange *next, **prev;
	struct fork *fork;
	enum sip_method method;
	bool ours, offers;           // offers: it has or waits for an offer and answer
	struct sip_request *request; // ours
	struct sip_tx *serving;      // theirs
	bool final;                  // its final response is known
	bool told;                   // its user knows of it
	bool refresh;                // ours alone: the session timer's, nobody else knows of it
	uint32_t cseq;
	bool acked; // INVITE with a 2xx
	char *ack;  // ours: what answers each copy of the 2xx
	size_t ack_length;
	struct sip_flow ack_flow;
	uint32_t resend_ms;
	struct wheel_timer resend, end; // theirs: the 2xx again; its ACK's timeout. Ours: `end` retries a refresh
	void *user;
};

// A request came in the dialog of `fork`. It is answered here where nobody else needs to be asked.
void exchange_receive(struct sip_session *session, struct fork *fork, struct sip_msg *msg);
// An ACK that is not the first INVITE's. Returns: false where it belongs to nothing.
bool exchange_ack(struct sip_session *session, struct fork *fork, const struct sip_msg *msg);
// A CANCEL of a re-INVITE whose transaction is `invite`. Returns: false where it is none.
bool exchange_cancel(struct sip_tx *invite);
// The dialog of `fork` (NULL: the session) is over: what waits is answered 487 or 481, what we sent goes on alone.
void exchanges_end(struct sip_session *session, const struct fork *fork);
bool exchanges_busy(const struct sip_session *session); // some of its transactions still live
void exchanges_free(struct sip_session *session);       // at the very end
// For sip_exchange*.c.
struct sip_exchange *exchange_create(struct sip_session *session, struct fork *fork, enum sip_method method);
void exchange_free(struct sip_exchange *exchange);
void exchange_forget(struct sip_exchange *exchange); // its user does
void exchange_settle(struct sip_exchange *exchange); // gone soon, where all is said
int exchange_respond(struct sip_exchange *exchange, int status, const char *reason, const char *const *headers,
	const char *type, const char *body, size_t length);
// Ask, for the call layer or (refresh) for the session timer.
struct sip_exchange *exchange_start(
	struct sip_session *session, struct fork *fork, const struct sip_ask *ask, bool refresh);
// An offer of either side has no answer yet: ours, theirs.
bool exchange_offered(const struct sip_session *session, bool ours);
