// SPDX-License-Identifier: BSD-3-Clause
// What the stack and its sessions share, for sip_stack*.c and sip_session*.c; and the way in for tests, which bring
// their own wire and clock. Layers call downwards only: session, dialog, transaction, wire.
#pragma once

#include "digest.h"
#include "log.h"
#include "sip_dialog.h"
#include "sip_limits.h"
#include "sip_request.h"
#include "sip_session.h"
#include "sip_tx.h"
#include "sip_wire.h"

#define STACK_DROPS 64
#define STACK_LOG_LINES 50   // warnings a second
#define SIP_RING_MS 185000   // timer C where the call layer names none
#define SIP_REFRESH_MS 60000 // RFC 3261 13.3.1.1: a UAS that takes its time says so every minute
#define SIP_ACCEPT "application/sdp, multipart/mixed"
#define SIP_SESSION_EXPIRES_S 1800 // RFC 4028 4.2
#define SIP_MIN_SE_S 90u           // RFC 4028 5

// One dialog of an INVITE, early or confirmed, on either side.
struct fork {
	struct sip_session *session;
	unsigned index;
	char *tag;                 // UAC: the peer's, "" where it sent none; UAS: ours; NULL: not in use
	struct sip_dialog *dialog; // NULL: none yet, or none any more
	bool answered;             // UAC: its 2xx came
	bool agreed;               // offer and answer are done in the early dialog (RFC 3262, 3311)
	bool unpracked;            // UAC: a reliable provisional with an offer waits for its answer
	uint32_t rseq;             // UAC: of the last reliable provisional; 0: none came
	struct kept_ack {          // UAC: what answers each copy of its 2xx; NULL: our user has not sent it yet
		struct sip_flow flow;
		size_t length;
		char *bytes;
	} *ack;
	struct sip_request *bye;
};

// UAS: what waits for the PRACK of the provisional before it; status 200: the answer.
struct held {
	struct held *next;
	unsigned fork;
	int status;
	char *reason, *sdp, **headers;
};

// UAS: reliable provisionals (sip_prack.c). RSeq runs over all forks: the INVITE is one.
struct reliable {
	uint32_t rseq;     // of the last one sent
	struct fork *fork; // that it went to, while its PRACK is awaited
	bool with_sdp;
	uint64_t since_ms;
	uint32_t resend_ms;
	struct wheel_timer timer;
	struct held *held;
};

// Session timer (sip_refresh.c).
struct refresh {
	uint32_t expires_s; // 0: not negotiated
	bool ours;          // we refresh
	bool peer_knows;    // RFC 4028
	uint64_t until_ms;  // ours: then it is given up
	struct wheel_timer timer;
};

enum session_state {
	SESSION_CALLING,   // no final response
	SESSION_ANSWERED,  // 2xx: the ACK is our user's to send, or awaited
	SESSION_CONFIRMED, // ACK
	SESSION_ENDING,    // BYE is out, bye_done will be told
	SESSION_OVER,      // nothing will be told but freed
};

struct sip_session {
	struct sip_stack *stack;
	struct sip_session *next, **prev;
	void *user;
	enum session_state state;
	bool uas;
	struct sip_flow flow;                      // by which it began
	struct sip_credentials credentials;        // UAC
	char *call_id, *branch, *from, *local_tag; // from and local_tag: UAC
	char *remote_tag;                          // UAS: the caller's
	uint32_t cseq;                             // of the INVITE
	struct sip_request *invite;                // UAC
	struct sip_tx *serving;                    // UAS: the INVITE
	struct sip_tx *cancel;
	struct fork forks[SIP_FORKS];
	int chosen;     // the fork that was answered; -1: none
	char *endpoint; // UAS: who the caller proved to be; NULL: it was not asked
	struct sip_policy policy;
	bool late; // the INVITE had no SDP: the offer is the called party's
	enum { REL_NONE, REL_SUPPORTED, REL_REQUIRED } peer_rel; // UAS: what the caller says of 100rel
	struct reliable *reliable;                               // NULL until there is one
	struct refresh refresh;
	struct sip_exchange *exchanges;
	char *told_sdp;        // what we said last in the confirmed dialog, for a refresh
	uint32_t peer_methods; // by the peer's Allow: bits of enum sip_method; 0: it said nothing
	uint32_t ring_timeout_ms;
	bool provisional_seen, cancel_wanted, bye_wanted;
	char **held_headers;         // of a CANCEL or BYE that waits for its hour
	struct sip_table_item merge; // UAS, until answered: by Call-ID and From tag
	char *merge_key;
	uint32_t resend_ms;
	struct wheel_timer
		ring; // UAC: timer C, then what a CANCEL waits; UAS: the minute's refresh, then the ACK's timeout
	struct wheel_timer resend; // UAS: the 2xx
	struct wheel_timer reap;
};

#define STACK_NAMES 4096
#define SIP_FINALS 500

struct sip_stack {
	struct sip_stack_options options;
	char *user_agent;
	struct sip_wire *wire;
	struct sip_txs *txs;
	struct sip_dialogs dialogs;
	struct sip_table pending; // UAS sessions without a final response
	struct sip_session *sessions;
	struct sip_request *requests;
	char *names[STACK_NAMES]; // of hosts, as flows point to them
	unsigned name_count;
	struct sip_counts counts;
	uint64_t finals[2][SIP_METHOD_COUNT][SIP_FINALS]; // received and sent, by status - 200
	struct {
		const char *reason;
		uint64_t count;
	} drops[STACK_DROPS];
	unsigned drop_count;
	uint64_t log_second; // of the wheel: lines written and kept back in it
	unsigned log_lines, log_kept_back;
	bool closing;
	struct sip_limits *limits; // of strangers
	struct digest_server *digest;
	struct digest_guess *guess;
	struct wheel_timer limit_lines; // what is to be said of them
};

// The stack on a wire of the caller's (its close is called by sip_stack_close), whose events come by these.
int sip_stack_create(const struct sip_stack_options *options, struct sip_wire *wire, struct sip_stack **out);
void sip_stack_message(void *stack, const struct sip_flow *flow, const char *data, size_t length);
void sip_stack_refused(void *stack, const char *data, size_t length, int error);
void sip_stack_broken(void *stack, const struct sip_flow *flow, int error, const char *why);

// sip_stack.c
void stack_drop(struct sip_stack *stack, const char *reason); // counted; `reason` is a literal
// Our end of a way to flow->remote by flow->transport, into flow->local. Returns: 0 or -errno.
int stack_local_for(struct sip_stack *stack, struct sip_flow *flow);
// The name that the certificate of a peer at this address must prove; NULL: its address.
const char *stack_name(
	struct sip_stack *stack, const char *host); // the same text by the same pointer, for sip_flow.host
const char *stack_peer_name(const struct sip_stack *stack, const struct kg_addr *peer);
int stack_add_contact(const struct sip_stack *stack, struct sip_msg *msg, const struct sip_flow *flow);
// Answer a request once and for all. headers as for sip_msg_add_list.
void stack_answer(struct sip_stack *stack, struct sip_msg *request, int status, const char *const *headers);
// The same with a To tag of the caller's choice.
void stack_answer_as(
	struct sip_stack *stack, struct sip_msg *request, int status, const char *tag, const char *const *headers);
// A line about a message that came (msg NULL: about none). What a flood would write is cut to some lines a second.
// The stateless answer to a request that cannot be read, where one can be made (sip_msg_salvage).
void stack_answer_broken(
	struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length, const char *why);
void stack_log(struct sip_stack *stack, enum kg_log_level level, const struct sip_msg *msg, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// sip_guard.c: who may cost us what
int guard_open(struct sip_stack *stack); // 0, -ENOMEM
void guard_close(struct sip_stack *stack);
// May a datagram be used? It comes before anything is read and before anything is sent; what is too large is answered.
bool guard_admits(struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length);
bool guard_knows(struct sip_stack *stack, const struct kg_addr *remote);                      // it is no stranger
void guard_malformed(struct sip_stack *stack, const struct kg_addr *remote, const char *why); // of a stranger
// A stranger's request is refused: without a transaction, so that a flood of them costs no memory; or not answered.
void guard_refuse(struct sip_stack *stack, struct sip_msg *msg);
void guard_stray(struct sip_stack *stack, const struct sip_msg *msg); // it came to nothing, and is not answered

// sip_auth.c
int auth_open(struct sip_stack *stack); // 0, -errno
void auth_close(struct sip_stack *stack);
bool auth_wanted(const struct sip_stack *stack); // there are endpoints
// Has a stranger's request proved to come from an endpoint? Else it was challenged, or left without an answer.
bool auth_admits(struct sip_stack *stack, struct sip_msg *msg, char user[DIGEST_FIELD]);
// Our answer to a 401 or 407, as the value of its header. Owns: the caller frees *out. Returns: 0, -ENOTSUP: it asks
// for nothing that we know, -errno.
// -EACCES: it is `realm` that asks again, which had our answer. *realm: who asked, on the heap (NULL: nobody yet).
int auth_answer(struct sip_msg *request, const struct sip_msg *challenge, const char *username, const char *password,
	char **realm, char **out);

// sip_core.c: what comes, by RFC 3261 8.2 and 12.2.2
void core_request(void *stack, struct sip_msg *msg);
void core_ack(void *stack, const struct sip_msg *msg);

// sip_lists.c
const char *policy_allow(const struct sip_policy *policy);
const char *policy_supported(const struct sip_policy *policy); // NULL: nothing
bool policy_allows(const struct sip_policy *policy, enum sip_method method);
void policy_of(struct sip_stack *stack, const struct kg_addr *peer, struct sip_policy *out);
int policy_say(struct sip_msg *msg, const struct sip_policy *policy); // Allow and Supported
bool header_has_token(const struct sip_msg *msg, const char *name, const char *token);
// Require names what is not ours (420), or what we require is not the peer's (421). Returns: it was refused.
bool refuse_extension(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy);

// sip_refresh.c
bool refresh_refuses(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy); // 422 was sent
void refresh_read_request(struct sip_session *session, const struct sip_msg *msg);  // the peer's INVITE or UPDATE
int refresh_answer(struct sip_session *session, struct sip_msg *response);          // our 2xx to it
int refresh_offer(struct sip_session *session, struct sip_msg *request);            // our INVITE or UPDATE
void refresh_read_response(struct sip_session *session, const struct sip_msg *msg); // the peer's 2xx to it
bool refresh_read_refusal(struct sip_session *session, const struct sip_msg *msg);  // its 422: longer, if true
void refresh_again(struct sip_session *session);

// sip_prack.c, UAS
bool prack_wanted(const struct sip_session *session, const char *sdp); // should this provisional be reliable?
int prack_prepare(struct sip_session *session, struct sip_msg *msg);   // RSeq and Require
void prack_sent(struct sip_session *session, struct fork *fork, bool with_sdp);
bool prack_awaited(const struct sip_session *session);
// What must wait for that PRACK. Returns: 0, -ENOBUFS, -ENOMEM.
int prack_hold(struct sip_session *session, unsigned fork, int status, const char *reason, const char *sdp,
	const char *const *extra);
void prack_receive(struct sip_session *session, struct fork *fork, struct sip_msg *msg);
void prack_stop(struct sip_session *session); // no PRACK is awaited any more
void prack_free(struct sip_session *session);
// sip_prack.c, UAC
bool prack_admits(struct fork *fork, const struct sip_msg *msg);
void prack_answer(struct sip_session *session, struct fork *fork, const struct sip_msg *msg);

// sip_session.c
void session_told(struct sip_session *session, const char *sdp, size_t length); // for a refresh
void session_note_allow(struct sip_session *session, const struct sip_msg *msg);
void session_lost(struct sip_session *session, enum sip_timeout what); // BYE, and the call layer is told
char **headers_list_copy(const char *const *headers);                  // NULL: no memory
void headers_list_free(char **headers);
struct sip_session *session_create(struct sip_stack *stack, bool uas);
void session_free(struct sip_session *session);    // tells freed
void session_discard(struct sip_session *session); // one that nobody was told of
void session_merge_leave(struct sip_session *session);
void session_over(struct sip_session *session);   // stops its timers; the caller reports
void session_settle(struct sip_session *session); // over and done: to be freed soon
int session_hold_headers(struct sip_session *session, const char *const *headers);
void session_bye_received(struct sip_session *session, struct fork *fork, const struct sip_msg *msg);
struct fork *fork_free_slot(struct sip_session *session);
void fork_dialogs_drop(struct sip_session *session, const struct fork *but);
int fork_bye(struct fork *fork, const char *const *headers);
void fork_forget_ack(struct fork *fork);
void fork_clear(struct fork *fork);

// sip_session_uac.c
int uac_ack(struct sip_session *session, struct fork *fork, const char *sdp);
// sip_session_uas.c
// endpoint: who the caller proved to be; NULL: it was not asked.
void uas_invite(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy, const char *endpoint);
bool uas_cancel(struct sip_stack *stack, struct sip_msg *msg); // false: no such INVITE
void uas_ack(struct sip_session *session, struct fork *fork, const struct sip_msg *msg);
void uas_stop(struct sip_session *session, int status); // final response to an INVITE that waits for one
char *uas_merge_key(const struct sip_msg *msg);
