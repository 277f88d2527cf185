// SPDX-License-Identifier: BSD-3-Clause
// What a transaction is, for sip_tx*.c alone.
#pragma once

#include "sip_table.h"
#include "sip_tx.h"

enum tx_state {
	TX_TRYING, // Calling in an INVITE client
	TX_PROCEEDING,
	TX_ACCEPTED, // RFC 6026: a 2xx is known
	TX_COMPLETED,
	TX_CONFIRMED,
	TX_TERMINATED,
};

struct sip_tx {
	struct sip_table_item item;
	char *key;
	struct sip_txs *txs;
	enum sip_tx_kind kind;
	enum tx_state state;
	struct sip_flow flow;
	uint16_t sent_by; // server: the port of its Via, for a connection that is no more (RFC 3261 18.2.2)
	struct sip_tx *waiting, **waiting_at; // client on a stream that nobody has answered: in the list
	struct sip_msg *request;              // until the final response
	char *bytes;                          // what goes out again: request, ACK of a failure, last response
	size_t length;
	struct wheel_timer resend; // A, E, G
	struct wheel_timer end;    // B, D, F, H, I, J, K, L, M
	uint32_t interval_ms;
	int error; // the transport's word on a client's request; told from the wheel
	unsigned busy;
	const struct sip_tx_ops *ops;
	void *user;
	char branch[80];
};

struct sip_txs {
	struct sip_txs_options options;
	struct sip_table clients, servers;
	struct sip_txs_counts counts;
	struct sip_tx *waiting; // clients on streams, before any response
};

// sip_tx.c
void tx_emit(struct sip_tx *tx);                                   // its bytes; an error of a client's is noted
void tx_emit_again(struct sip_tx *tx);                             // counted
void tx_hold_bytes(struct sip_tx *tx, char *bytes, size_t length); // in place of what it held; takes them
void tx_report(struct sip_tx *tx, const struct sip_msg *msg);
void tx_terminate(struct sip_tx *tx, int error); // tells `failed` where error is not 0, then `gone`
bool tx_is_client(const struct sip_tx *tx);
bool tx_reliable(const struct sip_tx *tx); // its transport sends again by itself
void tx_answered(struct sip_tx *tx);       // client: somebody is there

// sip_tx_machine.c
void machine_start(struct sip_tx *tx);                               // the first timers
void machine_response(struct sip_tx *tx, const struct sip_msg *msg); // client: one came
int machine_respond(struct sip_tx *tx, int status);                  // server: one went out
void machine_copy(struct sip_tx *tx);                                // server: the request came again
void machine_ack(struct sip_tx *tx, const struct sip_msg *msg);      // INVITE server
void machine_refused(struct sip_tx *tx, int error);                  // client: the transport's word
