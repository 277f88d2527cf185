// SPDX-License-Identifier: BSD-3-Clause
// What the call layer sees of SIP: sessions (one INVITE and the dialogs that grow from it) over dialogs, transactions
// and transports. Everything below this line (retransmission, ACK of failures, 2xx copies, second 2xx, CSeq, tags,
// route sets, 481) is done here; everything above (what a call means) is call.c.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "sip_limits.h"
#include "sip_msg.h"
#include "sip_request.h"
#include "wheel.h"

struct event_base;
struct dns;
struct sip_stack;    // transports, transactions, dialogs
struct sip_session;  // one INVITE session
struct sip_exchange; // one request inside its dialogs, after the INVITE
#define SIP_FORKS 8  // early dialogs of one INVITE

enum sip_timeout {
	SIP_TIMEOUT_B,   // no response at all to our INVITE (64*T1)
	SIP_TIMEOUT_ACK, // no ACK to our 2xx (64*T1); BYE has been sent by the session
	SIP_TIMEOUT_C,   // a provisional came but no final one before sip_invite.ring_timeout_ms; CANCEL has been sent
	SIP_TIMEOUT_SESSION, // nobody refreshed the session (RFC 4028); BYE has been sent
	SIP_TIMEOUT_LOST,  // the peer does not know the dialog any more (481), or says nothing (408); BYE has been sent
	SIP_TIMEOUT_PRACK, // nobody acknowledged a reliable provisional; 504 has been sent
};

enum sip_prack { SIP_PRACK_SUPPORTED, SIP_PRACK_OFF, SIP_PRACK_REQUIRED }; // RFC 3262

struct sip_policy {
	uint32_t session_expires_s; // RFC 4028; 0: no session timer
	enum sip_prack prack;
	bool refer; // REFER, and NOTIFY and SUBSCRIBE for it, are passed on
};

enum sip_source {
	SIP_SOURCE_STRANGER,
	SIP_SOURCE_PARTY, // a phone: the same INVITE by two ways is one (482)
	SIP_SOURCE_PROXY, // its parallel forks and serial hunts are meant
};

// What the stack tells the call layer. All: Thread: control. `user` is what sip_session_set_user gave (NULL until
// then). Each may call any function of this header on any session, also on the one that it is told of, but
// sip_stack_close: a session's memory goes from the wheel only, never while a callback runs. Messages live as long as
// the callback. While sip_stack_close runs, whatever `freed` calls on other sessions is refused with -ESHUTDOWN.
struct sip_session_ops {
	// A new INVITE outside any dialog, from `source`, which is no stranger. Max-Forwards, merged request (482),
	// Require (420) are checked, 100 is sent. The callee of this function must answer by provisional/answer/reject,
	// now or later.
	void (*invite)(void *arg, struct sip_session *session, struct sip_msg *msg, const struct kg_addr *source);
	// UAC: 101-199. fork numbers the early dialog (by its To-tag), 0 to SIP_FORKS-1; 100 is not reported.
	void (*provisional)(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg);
	// UAC: the first 2xx. Its ACK is not sent until sip_session_ack; later 2xx of the same fork are re-ACKed with
	// that ACK, 2xx of other forks get ACK and BYE, silently but counted (extra_2xx).
	void (*answered)(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg);
	// UAC: final 3xx-6xx; also 487 after our CANCEL. The session is over.
	void (*failed)(void *user, struct sip_session *session, const struct sip_msg *msg);
	// UAS: ACK for our 2xx (once).
	void (*acked)(void *user, struct sip_session *session, const struct sip_msg *msg);
	// UAS: CANCEL before a final response; 200 (CANCEL) and 487 (INVITE) are sent. The session is over.
	void (*cancelled)(void *user, struct sip_session *session, const struct sip_msg *msg);
	// Either: BYE; 200 is sent. The session is over.
	void (*ended)(void *user, struct sip_session *session, const struct sip_msg *msg);
	// Either: a timer, or our transport refused (B then, at once). For B, C and ACK the session is over (CANCEL or
	// BYE went out where due).
	void (*timed_out)(void *user, struct sip_session *session, enum sip_timeout what);
	// Either: the peer asks something in dialog `fork`: a re-INVITE (with an offer or, without SDP, for one), an
	// UPDATE or PRACK with an offer, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE. Glare and the order of offers are
	// checked, 100 is sent where it is due. It must be answered by sip_exchange_answer, now or later.
	void (*asked)(void *user, struct sip_session *session, unsigned fork, struct sip_exchange *exchange,
		const struct sip_msg *msg);
	// Either: what sip_session_ask sent has its final response; msg NULL: nobody answered, status says why. The 2xx
	// of a re-INVITE waits for sip_exchange_ack.
	void (*replied)(void *user, struct sip_session *session, struct sip_exchange *exchange, int status,
		const struct sip_msg *msg);
	// Either: the ACK of our 2xx to a re-INVITE (once).
	void (*exchange_acked)(
		void *user, struct sip_session *session, struct sip_exchange *exchange, const struct sip_msg *msg);
	// Forget this pointer: it was cancelled, or all is said.
	void (*exchange_gone)(void *user, struct sip_session *session, struct sip_exchange *exchange);
	// UAS: PRACK for the provisional of dialog `fork` that had an offer: its SDP is the answer.
	void (*pracked)(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg);
	// Our BYE got its final response (status) or none (408); after it the dialog is gone from every count.
	void (*bye_done)(void *user, struct sip_session *session, int status);
	// The session's memory is about to go: forget the pointer. Called once, last, for every session.
	void (*freed)(void *user, struct sip_session *session);
	// Whose is this address? Asked before anything is sent: requests of strangers outside dialogs are refused.
	enum sip_source (*known_source)(void *arg, const struct kg_addr *source);
	// What is agreed with a peer.
	void (*policy)(void *arg, const struct kg_addr *peer, struct sip_policy *out);
	// May this INVITE of no stranger begin a session? Asked before its 100, and before it costs memory.
	// Returns: 0, or the status that refuses it; then seconds for Retry-After in *retry_after_s (0: none).
	int (*admit)(void *arg, const struct kg_addr *source, unsigned *retry_after_s);
};

struct sip_stack_options {
	struct event_base *base;
	struct wheel *wheel;
	struct dns *dns; // NULL: only addresses can be called
	const struct sip_session_ops *ops;
	void *arg; // for ops->invite, ops->known_source and source_for
	struct sip_listen listen[16];
	unsigned listen_count;
	// Which of our addresses the kernel would use towards `target` (port unused). Returns: 0 or -errno.
	int (*source_for)(void *arg, const struct kg_addr *target, struct kg_addr *source);
	// What Via and Contact say for a local address (behind 1:1 NAT: the public one); NULL: itself.
	void (*advertised)(void *arg, const struct kg_addr *local, struct kg_addr *out);
	// Does this peer sit behind NAT? Then requests in a dialog that has no route go to where its own came from
	// last, not to its Contact (RFC 3581's idea for requests). NULL: nobody does.
	bool (*behind_nat)(void *arg, const struct kg_addr *peer);
	// Endpoints: are there any; the password of one (NULL: no such user). NULL: there are none.
	bool (*has_endpoints)(void *arg);
	const char *(*password_of)(void *arg, const char *user);
	const char *realm; // NULL: "kedge"
	// The name that the certificate of a peer at this address must prove (lives as long as the stack); NULL: its
	// address.
	const char *(*peer_name)(void *arg, const struct kg_addr *peer);
	// Every message that went over a socket, for log and ladder; may be NULL.
	void (*trace)(void *arg, bool sent, const struct sip_flow *flow, const struct sip_msg *msg, const char *data,
		size_t length);
	const char *user_agent; // "kedge/0.1"
	struct sip_limits_config limits;
	struct sip_tls_files tls; // for tls and wss listeners, and for TLS to trunks; copied
	struct sip_wires_limits wires;
};

// Returns: 0, or -errno with a sentence in err (256 bytes).
int sip_stack_open(const struct sip_stack_options *options, struct sip_stack **out, char *err);
void sip_stack_close(struct sip_stack *stack); // frees every session (freed is called)
// The same text by the same pointer, as long as the stack lives (struct sip_flow.host).
const char *sip_stack_name(struct sip_stack *stack, const char *host);
// As sip_wires_reload and sip_wires_counts.
int sip_stack_reload_tls(struct sip_stack *stack, const struct sip_tls_files *files, char *err);
void sip_stack_wires(const struct sip_stack *stack, struct sip_wires_counts *out);
void sip_stack_set_limits(struct sip_stack *stack, const struct sip_limits_config *limits);

struct sip_counts {
	uint64_t ict, ist, nict, nist; // live transactions by machine
	uint64_t dialogs;              // live, early and confirmed
	uint64_t sessions;
	uint64_t requests_in[SIP_METHOD_COUNT], requests_out[SIP_METHOD_COUNT];
	uint64_t responses_in[7], responses_out[7]; // by class, index 1-6
	uint64_t retransmits_in, retransmits_out, timeouts, extra_2xx;
	uint64_t refused_sources, stranger_invites;
	uint64_t challenges, auth_failures;  // of endpoints
	uint64_t refused[SIP_REFUSAL_COUNT]; // by enum sip_refusal
};
void sip_stack_counts(const struct sip_stack *stack, struct sip_counts *out);
// Final responses by method and status: fn for each that is not zero.
void sip_stack_finals(const struct sip_stack *stack,
	void (*fn)(bool sent, enum sip_method method, int status, uint64_t count, void *arg), void *arg);
// Malformed and unmatched input by name: calls fn for each {reason, count}.
void sip_stack_drops(
	const struct sip_stack *stack, void (*fn)(const char *reason, uint64_t count, void *arg), void *arg);

// UAS: the user as whom the caller proved itself (RFC 3261 22); NULL: it was not asked.
const char *sip_session_endpoint(const struct sip_session *session);
void sip_session_set_user(struct sip_session *session, void *user);

// UAC: send an INVITE. Call-ID, tags, CSeq, Via, Contact, Max-Forwards and Route are made here.
struct sip_invite {
	struct sip_way way; // where it goes
	struct sip_credentials credentials;
	const char *request_uri;
	const char *from;           // name-addr without tag
	const char *to;             // name-addr without tag
	const char *const *routes;  // Route headers to be sent, NULL-terminated; NULL: none
	const char *const *headers; // name, value, name, value, …, NULL; NULL: none
	unsigned max_forwards;
	const char *sdp;         // NULL: late offer
	const char *type, *body; // the whole body where the SDP is but a part of it; NULL: the SDP is all
	size_t length;
	struct sip_policy policy;
	uint32_t ring_timeout_ms; // timer C of this INVITE, from its first provisional on; 0: 185 s
};
// Returns: the session, or NULL with errno. No callback runs inside.
struct sip_session *sip_session_invite(struct sip_stack *stack, const struct sip_invite *invite, void *user);

// UAS: 101-199 in the early dialog `fork` (its own To-tag). sdp may be NULL. extra: name, value, …, NULL.
int sip_session_provisional(struct sip_session *session, unsigned fork, int status, const char *reason, const char *sdp,
	const char *const *extra);
// UAS: 200 in dialog `fork`; retransmitted until ACK.
int sip_session_answer(struct sip_session *session, unsigned fork, const char *sdp, const char *const *extra);
// UAS: 300-699; the session is over.
int sip_session_reject(struct sip_session *session, int status, const char *reason, const char *const *extra);
// UAC: ACK the 2xx that `answered` brought; sdp for a late offer's answer, else NULL.
int sip_session_ack(struct sip_session *session, const char *sdp);
// UAC: CANCEL (held back until a provisional arrives). A 2xx that crosses gets ACK and BYE by the session;
// `failed` (487), `timed_out` or `bye_done` follows. extra: Reason header or NULL.
int sip_session_cancel(struct sip_session *session, const char *const *extra);
// Either: BYE on the confirmed dialog; bye_done follows. On a UAS session whose ACK has not come: after ACK or its
// timeout, as RFC 3261 15 asks.
int sip_session_bye(struct sip_session *session, const char *const *extra);

// A request inside a dialog.
struct sip_ask {
	enum sip_method method;
	const char *const *headers; // name, value, …, NULL; NULL: none
	const char *type, *body;    // NULL: none (a re-INVITE then asks for an offer)
	size_t length;
};
// Send it in dialog `fork` (the answered one where there is one). `replied` follows.
// Returns: NULL with errno: EBUSY: an offer of either side is open, or its method is not the peer's (ENOTSUP), or the
// session has no such dialog (ENOTCONN).
struct sip_exchange *sip_session_ask(
	struct sip_session *session, unsigned fork, const struct sip_ask *ask, void *exchange_user);
// Answer what `asked` brought. Returns: 0, or -errno (-EALREADY: it is answered).
int sip_exchange_answer(struct sip_exchange *exchange, int status, const char *reason, const char *const *headers,
	const char *type, const char *body, size_t length);
// ACK the 2xx of our re-INVITE; sdp for the answer to a late offer, else NULL.
int sip_exchange_ack(struct sip_exchange *exchange, const char *sdp);
int sip_exchange_cancel(struct sip_exchange *exchange); // our re-INVITE; `replied` follows all the same
void *sip_exchange_user(const struct sip_exchange *exchange);
enum sip_method sip_exchange_method(const struct sip_exchange *exchange);
bool sip_session_reliable(const struct sip_session *session); // UAS: can the caller take a reliable provisional?
// Does the peer take this method, by its Allow?
bool sip_session_allows(const struct sip_session *session, enum sip_method method);
// UAC: PRACK the reliable provisional with an offer that dialog `fork` has (others are acknowledged by themselves),
// with its answer.
int sip_session_prack(struct sip_session *session, unsigned fork, const char *sdp);

struct sip_session_info {
	const char *call_id, *local_tag, *remote_tag; // "" where not known yet
	const char *dialog;                           // "none" | "early" | "confirmed" | "terminated"
	const char *branch;                           // of the INVITE transaction
	bool uas;
	struct kg_addr peer;
};
void sip_session_info(const struct sip_session *session, struct sip_session_info *out);
