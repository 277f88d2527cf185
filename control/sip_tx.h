// SPDX-License-Identifier: BSD-3-Clause
// Transactions: the four machines of RFC 3261 17 with RFC 6026's Accepted states. A transaction knows nothing of
// dialogs; 2xx copies and their ACKs are its user's. All: Thread: control.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "sip_msg.h"
#include "wheel.h"

#define SIP_T1_MS 500
#define SIP_T2_MS 4000
#define SIP_T4_MS 5000
#define SIP_TIMEOUT_MS (64 * SIP_T1_MS) // B, F, H, L, M; D and J on UDP

enum sip_tx_kind { SIP_ICT, SIP_NICT, SIP_IST, SIP_NIST, SIP_TX_KINDS }; // client and server, INVITE and not

struct sip_txs; // all of a stack
struct sip_tx;  // one; its own until it is `gone`

// What a transaction tells its user. Each may call anything of this header, also on the transaction in hand.
struct sip_tx_ops {
	// Client: each provisional, the final one once, of an INVITE each 2xx. `tx` may be ended by the callee.
	void (*response)(void *user, struct sip_tx *tx, const struct sip_msg *msg);
	// Client: -ETIMEDOUT (B or F), or what the transport said. Never from inside sip_tx_send. `gone` follows.
	void (*failed)(void *user, struct sip_tx *tx, int error);
	// Either: forget the pointer.
	void (*gone)(void *user, struct sip_tx *tx);
};

struct sip_txs_options {
	struct wheel *wheel;
	// Put bytes on the wire (struct sip_wire's send).
	int (*send)(void *arg, struct sip_flow *flow, const char *data, size_t length);
	// A request that belongs to no transaction; sip_tx_serve makes it one. `msg` is the caller's.
	void (*request)(void *arg, struct sip_msg *msg);
	// The ACK of a 2xx, or one that belongs to nothing.
	void (*ack)(void *arg, const struct sip_msg *msg);
	// A response that belongs to no transaction.
	void (*stray)(void *arg, const struct sip_msg *msg);
	// What Via says for `local` (behind 1:1 NAT its public address); NULL: local itself.
	void (*advertised)(void *arg, const struct kg_addr *local, struct kg_addr *out);
	void *arg;
};

struct sip_txs_counts {
	uint64_t live[SIP_TX_KINDS];
	uint64_t retransmits_in, retransmits_out, timeouts;
};

// The address by which others know `local`.
struct kg_addr sip_txs_advertised(const struct sip_txs *txs, const struct kg_addr *local);

int sip_txs_create(const struct sip_txs_options *options, struct sip_txs **out); // 0, -ENOMEM
void sip_txs_destroy(struct sip_txs *txs);                                       // ends all without a word
const struct sip_txs_counts *sip_txs_counts(const struct sip_txs *txs);

// A message came (its flow is set).
void sip_txs_receive(struct sip_txs *txs, struct sip_msg *msg);
// A datagram of ours came back (ICMP): `data` are its first bytes.
void sip_txs_refused(struct sip_txs *txs, const char *data, size_t length, int error);
// A connection is no more: requests on it that nobody has answered have failed.
void sip_txs_broken(struct sip_txs *txs, uint64_t connection, int error);

// Client: send a request; its Via is put on here. Owns: a reference of its own. Returns: NULL with errno.
struct sip_tx *sip_tx_send(struct sip_txs *txs, struct sip_msg *request, const struct sip_flow *flow,
	const struct sip_tx_ops *ops, void *user);
const struct sip_flow *sip_tx_flow(const struct sip_tx *tx);
// Client: CANCEL an INVITE that has a provisional and no final response. headers: name, value, …, NULL; NULL: none.
// Returns: the CANCEL's own transaction, or NULL with errno (EINVAL: it cannot be cancelled now).
struct sip_tx *sip_tx_cancel(
	struct sip_tx *invite, const char *const *headers, const struct sip_tx_ops *ops, void *user);

// Server: begin a transaction for a request. Owns: a reference of its own. Returns: NULL for want of memory.
struct sip_tx *sip_tx_serve(struct sip_txs *txs, struct sip_msg *request, const struct sip_tx_ops *ops, void *user);
// Server: send a response. Returns: 0, -EALREADY after a final one, -ENOMEM. (Bytes that the wire refuses are sent
// again by timer.)
int sip_tx_respond(struct sip_tx *tx, struct sip_msg *response);
// Server: the last response once more (an INVITE's 2xx or provisional).
void sip_tx_resend(struct sip_tx *tx);
const struct sip_msg *sip_tx_request(const struct sip_tx *tx); // NULL once a final response is known
// Server: the INVITE that a CANCEL means. Returns: NULL: none.
struct sip_tx *sip_txs_find_invite(struct sip_txs *txs, const struct sip_msg *cancel);

void *sip_tx_user(const struct sip_tx *tx);
const char *sip_tx_branch(const struct sip_tx *tx);
const struct sip_tx_ops *sip_tx_ops(const struct sip_tx *tx);
void sip_tx_detach(struct sip_tx *tx); // it goes on alone and tells nobody
void sip_tx_end(struct sip_tx *tx);    // over at once, without `gone`

// Outside transactions: ACK for a 2xx gets a Via of its own; a response that nobody will want again.
int sip_txs_add_via(struct sip_txs *txs, struct sip_msg *msg, const struct sip_flow *flow);
int sip_txs_emit(struct sip_txs *txs, struct sip_flow *flow, const char *data, size_t length);
int sip_txs_reply(struct sip_txs *txs, const struct sip_msg *request, struct sip_msg *response);
