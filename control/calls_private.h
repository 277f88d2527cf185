// SPDX-License-Identifier: BSD-3-Clause
// What calls*.c share. An anchor is one call as the engine holds it: the pure machine (call.h), its parties with their
// SIP sessions and media legs, and what must be kept for hops that are tried later and for the CDR. Nothing in it
// points into the configuration, so that a reload leaves it alone. All: Thread: control.
#pragma once

#include "call.h"
#include "calls.h"
#include "cdr.h"
#include "events.h"
#include "log.h"
#include "netlink.h"
#include "offer.h"
#include "offer_codecs.h"
#include "ports.h"
#include "router.h"
#include "sip_session.h"
#include "wheel.h"

#define CALLS_ID 40
#define CALLS_LEG_ID (CALLS_ID + 4)
#define CALLS_HISTORY 1000
#define CALLS_LEG_BUCKETS 4096 // power of two
#define CALLS_HEADERS 32       // that pass from one side to the other

struct anchor;
struct trunk_use; // calls_limits.c

struct leg {
	bool live; // made, and KG_EVENT_RETIRED has not come
	bool was;  // made once: it has figures for the CDR
	bool retiring;
	bool dirty; // a change that waits for room in the command ring
	kg_leg_id id;
	struct kg_leg_config config;
	int ifindex;
	struct netlink_watch *watch;
	struct kg_addr watched;
	struct kg_leg_stats *final; // once retired; NULL: not yet, or no memory
	struct wheel_timer silence;
	struct party *bucket_next;
};

struct party {
	struct anchor *anchor;
	enum call_side side;
	unsigned hop; // of a callee
	char id[CALLS_LEG_ID];
	char *from, *to;                                     // as the INVITE of this party's session has them
	struct sip_session *session;                         // NULL: none, or freed
	char *sip_call_id, *local_tag, *remote_tag, *branch; // "" where not known yet
	const char *dialog;                                  // "none", "early", "confirmed", "terminated"
	struct kg_addr peer;                                 // where its signalling comes from or goes to
	struct sdp *sdps[SIP_FORKS];                         // what each fork said last and was usable
	struct sdp *sdp;                                     // the one of them that counts; NULL: none yet
	bool mux_said;                                       // our SDP to it says rtcp-mux
	bool behind_nat;                                     // its trunk says so
	struct kg_addr public;                               // behind NAT: as who it is seen from outside
	struct kg_addr latch_sdp; // the address in the SDP for which the latching window was opened last
	unsigned latch_fork;
	struct sdp *next_sdp; // what it says in a change of the session that is under way
	bool next_mux;
	struct told {
		char *text; // our SDP to it that is in force
		char *next; // that of the change under way
		uint32_t version;
	} told;
	bool holds;                  // its last word: it does not take all media
	struct sip_exchange *asking; // what it asked, and has no answer yet
	struct sip_exchange *asked;  // what it is asked, or a 2xx of its that has no ACK yet
	struct trunk_use *use;       // of its trunk, while the call counts there
	struct leg leg;
};

struct hop {
	struct router_hop *route; // until the answer: it is large
	char trunk[CONFIG_NAME], nic[CONFIG_NAME];
	uint32_t ring_timeout_ms;
	struct offer_policy *codecs; // its route's, instead of its trunk's; NULL: that says nothing
};

// A request inside a dialog on its way through the call.
struct relay {
	struct relay *next;
	struct sip_exchange *from, *to; // NULL: gone
};

// What the event in hand brought, for the actions that follow from it.
struct evidence {
	const struct sip_msg *msg;
	struct sdp *sdp; // usable, kept in its party
	unsigned fork;
	char *text; // the SDP for the other party, made and so known to be possible; freed by who made the evidence
};

struct headers { // name, value, name, value, ..., NULL
	const char *list[2 * CALLS_HEADERS + 1];
	unsigned count;
	char own[192]; // room for one value that we wrote
};

struct anchor {
	struct anchor *next, **prev;
	struct calls *calls;
	char id[CALLS_ID];
	struct call call;
	uint64_t created_us;                       // CLOCK_REALTIME
	char trunk[CONFIG_NAME], nic[CONFIG_NAME]; // the caller's; trunk "": it is an endpoint
	char endpoint[CONFIG_NAME];                // "": it is a trunk's
	struct party *caller, *callees[CALL_HOPS];
	struct hop *hops;
	unsigned hop_count;
	unsigned max_forwards, lcore; // whose ports the legs get, while there are some
	struct sip_msg *invite;       // the caller's, for hops that are tried later; until the answer
	struct fork_text {
		char *text;
		uint32_t version;
	} told[CALL_FORKS];       // SDP that the caller has from each of its early dialogs
	struct wheel_timer retry; // of dirty legs
	struct relay *relays;
	bool caller_answers; // who said the answer that is in force, or will
	unsigned depth;      // events in hand
	bool finished;       // the CDR is written; only sessions may be left
};

struct calls {
	struct calls_options options;
	struct sip_stack *stack;
	struct anchor *anchors;
	struct party *by_leg[CALLS_LEG_BUCKETS];
	uint64_t live; // anchors that are not finished
	bool stopping;
	struct calls_counts counts; // the totals
	struct trunk_use *uses;
	struct sip_bucket cps;
	struct ended {
		char id[CALLS_ID];
		char *text; // JSON
	} history[CALLS_HISTORY];
	unsigned history_next;
};

static inline uint64_t calls_now_ms(const struct calls *calls)
{
	return wheel_now_ms(calls->options.wheel);
}

// calls_limits.c, too
const struct config_trunk *party_trunk(const struct party *party);       // NULL: an endpoint; a reload took it away
const struct config_endpoint *party_endpoint(const struct party *party); // NULL: it is none

// calls.c
struct party *party_create(struct anchor *anchor, enum call_side side, unsigned hop, const char *from, const char *to);
// trunk NULL: of that endpoint.
struct anchor *anchor_create(
	struct calls *calls, const struct config_trunk *trunk, const char *endpoint, struct sip_msg *msg);
void anchor_feed(struct anchor *anchor, struct call_event *event, struct evidence *evidence);
void anchor_lighten(struct anchor *anchor); // of what only calling hops needs: thousands of calls stand for hours
void anchor_check(struct anchor *anchor);   // write the CDR and free, where that is due
struct party *anchor_callee(struct anchor *anchor);                // of the hop that is or was called last; NULL: none
struct party *anchor_party(struct anchor *anchor, unsigned index); // 0 the caller; NULL past the last
void anchor_log(enum kg_log_level level, const struct party *party, const char *method, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// calls_action.c
void action_execute(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);

// calls_sip.c
void party_remember(struct party *party);

// calls_invite.c: sip_session_ops.invite
void calls_invite(void *calls, struct sip_session *session, struct sip_msg *msg, const struct kg_addr *source);

// calls_sdp.c
// Read the message's SDP. Returns: CALL_SDP_GOOD and *out, which is the caller's, or what is wrong with it and why.
enum call_sdp sdp_read(const struct sip_msg *msg, struct sdp **out, char why[CALL_MESSAGE]);
void sdp_keep(struct party *party, unsigned fork, struct sdp *sdp); // takes it; an older one of that fork goes
enum call_sdp answer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE]);
enum call_sdp offer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE]);
enum call_sdp late_answer_take(
	struct party *caller, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE]);

// calls_modify.c: changes of a session (re-INVITE, UPDATE, PRACK with an offer)
void modify_asked(struct party *party, unsigned fork, struct sip_exchange *exchange, const struct sip_msg *msg);
void modify_replied(struct party *party, struct sip_exchange *exchange, int status, const struct sip_msg *msg);
void modify_acked(struct party *party, struct sip_exchange *exchange, const struct sip_msg *msg);
void modify_gone(struct party *party, struct sip_exchange *exchange);
void modify_forget(struct party *party); // frees what a change under way holds
void told_set(struct party *party, const char *text, uint32_t version);
// As both descriptions stand: does a party not take all media? Notes who.
bool party_holds_note(
	struct party *answerer, const struct party *offerer, const struct sdp *offer, const struct sdp *answer);
void do_modify(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);
void do_modify_answer(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);
void do_modify_refuse(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);
void do_modify_commit(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);
void do_modify_ack(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);
void do_modify_cancel(struct anchor *anchor, const struct call_action *action, struct evidence *evidence);

// What sdp_relay_text could not write, by its errno; why gets the sentence.
enum call_sdp sdp_untold(const char err[OFFER_ERR], char why[CALL_MESSAGE]);

// calls_codecs.c
// What one party may be told of what another one said.
struct offer_terms party_terms(const struct party *to, const struct party *from);
// What the two parties' descriptions come to. Returns: false where one has not spoken.
bool party_choice(const struct party *party, const struct party *peer, struct offer_choice *out);
// What the media plane has to know to transcode what a party sends; formats are then only those. Returns: false where
// it is passed on as it is.
bool codecs_fill(const struct party *party, const struct party *peer, struct kg_leg_config *leg);

// calls_policy.c: what its trunk says of a party
void party_policy(const struct party *party, struct sip_policy *out);
void credentials_of(const struct party *party, struct sip_credentials *out);
void calls_policy(void *calls, const struct kg_addr *peer, struct sip_policy *out); // sip_session_ops.policy

// calls_relay.c: INFO, MESSAGE, REFER and the like go through as they are
void relay_asked(struct party *party, unsigned fork, struct sip_exchange *exchange, const struct sip_msg *msg);
bool relay_replied(struct anchor *anchor, struct sip_exchange *exchange, int status, const struct sip_msg *msg);
void relay_gone(struct anchor *anchor, struct sip_exchange *exchange);
void relays_free(struct anchor *anchor);

// calls_limits.c
void party_use(struct party *party, const char *trunk); // it counts as one of the trunk's calls
void party_unuse(struct party *party);
// Is it within its trunk's max_calls; and cps? Returns: false with a sentence in why, counted.
bool party_fits(const struct party *party, char why[CALL_MESSAGE]);
bool party_paced(const struct party *party, char why[CALL_MESSAGE]);
// sip_session_ops.admit: rates, before there is a session.
int calls_admit(void *calls, const struct kg_addr *source, unsigned *retry_after_s);
void uses_free(struct calls *calls);

// calls_place.c
struct place {
	int nic, ifindex;
	struct kg_addr locals[KG_MEDIA_NIC_ADDRS]; // that reach the target, in the order in which to try them
	unsigned count;
};
// Where a leg for a target lives: on nic ("": by the kernel's route). Returns: 0, or -EHOSTUNREACH with a
// sentence in why.
int place_find(struct calls *calls, const char *nic, const struct kg_addr *target, struct place *out, char *why);
// What an SDP says, as it is believed of this party: behind NAT a private address stands for the public one, its port
// to be learned from the media.
void party_media(const struct party *party, const struct sdp *sdp, struct offer_media *out);
// Does media.deny hold this address? Then why says so.
bool media_denied(const struct calls *calls, const struct kg_addr *addr, char why[CALL_MESSAGE]);
// Note where the party sits, from a message of its (NULL: none came yet): what its latching is bound to.
void party_locate(struct party *party, const struct sip_msg *msg);

// calls_media.c
// Find nic and local address for a party whose media (or signalling) is at `target`, take a port pair and make its leg.
// Returns: CALL_SDP_GOOD, or _UNREACHABLE, _NO_ROOM, _NO_MEDIA with a sentence in why.
enum call_sdp leg_open(struct party *party, const char *nic, const struct kg_addr *target, char why[CALL_MESSAGE]);
// Can the leg reach this media address? Returns: CALL_SDP_GOOD or _UNREACHABLE.
enum call_sdp leg_reaches(const struct party *party, const struct sdp *sdp, char why[CALL_MESSAGE]);
void leg_update(struct party *party, struct party *peer); // as both SDPs say now
void leg_retire(struct party *party);
void leg_forget(struct party *party); // at the very end: watch, timer, table
void legs_retry(struct wheel_timer *timer, void *arg);
void leg_event(struct calls *calls, const struct kg_media_event *event);
struct offer_local leg_local(const struct party *party, bool mux, uint32_t version);

// calls_header.c
char *header_without_tag(const char *value); // From or To as name-addr; NULL: no memory
// What passes of a message from one party to the other; msg may be NULL. Values live as long as it.
void headers_pass(struct headers *out, const struct party *from, const struct party *to, const struct sip_msg *msg);
void headers_add(struct headers *out, const char *name, const char *value);
// Reason of the message that ended the call, else our own (RFC 3326).
void headers_reason(struct headers *out, const struct sip_msg *msg, const struct call_cause *cause);

// calls_json.c
json_t *anchor_json(struct anchor *anchor);
json_t *anchor_cdr(struct anchor *anchor);
json_t *anchor_cause_json(const struct anchor *anchor);
