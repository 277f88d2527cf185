// SPDX-License-Identifier: BSD-3-Clause
// The four state machines: RFC 3261 figures 5 to 8 as RFC 6026 mends them. A reliable transport sends nothing again (A,
// E, G) and has nothing to absorb (D, I, J, K).

#include <errno.h>
#include <stdlib.h>

#include "sip_tx_impl.h"

static void on_resend(struct wheel_timer *timer, void *arg);
static void on_end(struct wheel_timer *timer, void *arg);

static void resend_in(struct sip_tx *tx, uint32_t ms)
{
	tx->interval_ms = ms;
	wheel_start(tx->txs->options.wheel, &tx->resend, ms, on_resend, tx);
}

static void resend_stop(struct sip_tx *tx)
{
	wheel_stop(tx->txs->options.wheel, &tx->resend);
}

static void end_in(struct sip_tx *tx, uint32_t ms)
{
	wheel_start(tx->txs->options.wheel, &tx->end, ms, on_end, tx);
}

static void end_stop(struct sip_tx *tx)
{
	wheel_stop(tx->txs->options.wheel, &tx->end);
}

// How long copies can still come.
static uint32_t absorbing(const struct sip_tx *tx, uint32_t ms)
{
	return tx_reliable(tx) ? 0 : ms;
}

// A finished transaction keeps bytes, not trees.
static void request_drop(struct sip_tx *tx)
{
	sip_msg_unref(tx->request);
	tx->request = NULL;
}

void machine_start(struct sip_tx *tx)
{
	tx->state = tx->kind == SIP_IST ? TX_PROCEEDING : TX_TRYING;
	if (!tx_is_client(tx))
		return;
	if (!tx_reliable(tx))
		resend_in(tx, SIP_T1_MS); // A, E
	end_in(tx, SIP_TIMEOUT_MS);       // B, F
}

// Timers A, E and G.
static void on_resend(struct wheel_timer *timer, void *arg)
{
	struct sip_tx *tx = arg;
	uint32_t next = tx->interval_ms * 2;

	tx_emit_again(tx);
	if (tx->kind != SIP_ICT && (next > SIP_T2_MS || tx->state == TX_PROCEEDING))
		next = SIP_T2_MS;
	resend_in(tx, next);
}

// Timers B, F and H give up; D, I, J, K, L and M have nothing more to absorb.
static void on_end(struct wheel_timer *timer, void *arg)
{
	struct sip_tx *tx = arg;
	bool waits = tx->state == TX_TRYING || tx->state == TX_PROCEEDING;

	if (tx->error) {
		tx_terminate(tx, tx->error);
	} else if (tx_is_client(tx) && waits) {
		tx->txs->counts.timeouts++;
		tx_terminate(tx, -ETIMEDOUT);
	} else {
		if (tx->kind == SIP_IST && tx->state == TX_COMPLETED)
			tx->txs->counts.timeouts++;
		tx_terminate(tx, 0);
	}
}

void machine_refused(struct sip_tx *tx, int error)
{
	// Once the peer has answered it is there: a late ICMP error says nothing more.
	if (!tx_is_client(tx) || tx->state != TX_TRYING || tx->error)
		return;
	tx->error = error;
	end_in(tx, 0);
}

// --- clients ------------------------------------------------------------------------------------------------------

static void ack_failure(struct sip_tx *tx, const struct sip_msg *msg)
{
	struct sip_msg *ack = sip_msg_derive(tx->request, SIP_ACK, sip_msg_to(msg));
	size_t length = 0;
	char *bytes = ack ? sip_msg_build(ack, &length) : NULL;

	sip_msg_unref(ack);
	tx_hold_bytes(tx, bytes, length);
	tx_emit(tx);
}

static void ict_response(struct sip_tx *tx, const struct sip_msg *msg)
{
	int status = sip_msg_status(msg);

	if (tx->state == TX_ACCEPTED) {
		if (status / 100 == 2) {
			tx->txs->counts.retransmits_in++;
			tx_report(tx, msg);
		}
		return;
	}
	if (tx->state == TX_COMPLETED) {
		if (status >= 300) {
			tx->txs->counts.retransmits_in++;
			tx_emit_again(tx);
		}
		return;
	}
	resend_stop(tx);
	tx->error = 0;
	if (status < 200) {
		end_stop(tx);
		tx->state = TX_PROCEEDING;
	} else if (status < 300) {
		tx->state = TX_ACCEPTED;
		end_in(tx, SIP_TIMEOUT_MS); // M
		request_drop(tx);
		tx_hold_bytes(tx, NULL, 0);
	} else {
		tx->state = TX_COMPLETED;
		end_in(tx, absorbing(tx, SIP_TIMEOUT_MS)); // D
		ack_failure(tx, msg);
		request_drop(tx);
	}
	tx_report(tx, msg);
}

static void nict_response(struct sip_tx *tx, const struct sip_msg *msg)
{
	if (tx->state == TX_COMPLETED) {
		tx->txs->counts.retransmits_in++;
		return;
	}
	if (sip_msg_status(msg) < 200) {
		if (tx->error)
			end_in(tx, SIP_TIMEOUT_MS);
		tx->state = TX_PROCEEDING;
	} else {
		tx->state = TX_COMPLETED;
		resend_stop(tx);
		end_in(tx, absorbing(tx, SIP_T4_MS)); // K
		request_drop(tx);
		tx_hold_bytes(tx, NULL, 0);
	}
	tx->error = 0;
	tx_report(tx, msg);
}

void machine_response(struct sip_tx *tx, const struct sip_msg *msg)
{
	tx_answered(tx);
	if (tx->kind == SIP_ICT)
		ict_response(tx, msg);
	else
		nict_response(tx, msg);
}

// --- servers ------------------------------------------------------------------------------------------------------

int machine_respond(struct sip_tx *tx, int status)
{
	if (tx->state >= TX_ACCEPTED)
		return -EALREADY;
	if (status < 200) {
		tx->state = TX_PROCEEDING;
		return 0;
	}
	request_drop(tx);
	if (tx->kind == SIP_NIST) {
		tx->state = TX_COMPLETED;
		end_in(tx, absorbing(tx, SIP_TIMEOUT_MS)); // J
	} else if (status < 300) {
		tx->state = TX_ACCEPTED;
		end_in(tx, SIP_TIMEOUT_MS); // L
	} else {
		tx->state = TX_COMPLETED;
		if (!tx_reliable(tx))
			resend_in(tx, SIP_T1_MS); // G
		end_in(tx, SIP_TIMEOUT_MS);       // H
	}
	return 0;
}

void machine_copy(struct sip_tx *tx)
{
	tx->txs->counts.retransmits_in++;
	// Accepted: the 2xx is its user's to send again (RFC 6026 7.1). Trying, Confirmed: there is nothing to say.
	if (tx->state == TX_PROCEEDING || tx->state == TX_COMPLETED)
		tx_emit_again(tx);
}

void machine_ack(struct sip_tx *tx, const struct sip_msg *msg)
{
	if (tx->state == TX_ACCEPTED) {
		tx->txs->options.ack(tx->txs->options.arg, msg);
	} else if (tx->state == TX_COMPLETED) {
		tx->state = TX_CONFIRMED;
		resend_stop(tx);
		tx_hold_bytes(tx, NULL, 0);
		end_in(tx, absorbing(tx, SIP_T4_MS)); // I
	} else if (tx->state == TX_CONFIRMED) {
		tx->txs->counts.retransmits_in++;
	}
}
