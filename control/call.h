// SPDX-License-Identifier: BSD-3-Clause
// One B2BUA call as a pure state machine: a caller's session and, one after the other, the sessions to the hops of its
// route. Events go in, actions come out; it knows no socket, no media plane and no clock (each event carries the time).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_HOPS 8
#define CALL_FORKS 8    // early dialogs that the caller may see (SIP_FORKS)
#define CALL_ACTIONS 12 // most that one event asks for
#define CALL_MESSAGE 256

enum call_state {
	CALL_CALLING,
	CALL_RINGING,
	CALL_EARLY_MEDIA,
	CALL_CONFIRMED,
	CALL_HELD,
	CALL_TRANSFERRED,
	CALL_DISCONNECTED,
	CALL_FAILED,
	CALL_TIMEOUT,
	CALL_STATE_COUNT
};

// Why a call ended. X(word, layer, help); `word` is the cause's `reason` in API, CDR and metrics.
#define CALL_CAUSES(X)                                                                                       \
	X(none, "call", "the call goes on")                                                                  \
	X(caller_hangup, "call", "the caller sent BYE")                                                      \
	X(callee_hangup, "call", "the callee sent BYE")                                                      \
	X(cancelled, "call", "the caller sent CANCEL before the answer")                                     \
	X(rejected, "call", "the callee refused the call")                                                   \
	X(no_answer, "call", "it rang, and nobody answered within the trunk's ring_timeout_s")               \
	X(no_response, "transaction", "no response at all to the INVITE (timer B)")                          \
	X(ack_timeout, "dialog", "the caller never acknowledged the answer")                                 \
	X(session_timeout, "dialog", "the party did not refresh the session in time (RFC 4028)")             \
	X(dialog_lost, "dialog", "the party knows the call no more, or says nothing to a request inside it") \
	X(prack_timeout, "dialog", "the caller never acknowledged a reliable provisional (PRACK)")           \
	X(media_timeout, "media", "a party that should send was silent, RTP and RTCP, for media.timeout_s")  \
	X(media_failed, "media", "the media plane could not make a leg")                                     \
	X(sdp_broken, "message", "the session description cannot be read")                                   \
	X(sdp_refused, "call", "the session description offers no audio over RTP/AVP that can be relayed")   \
	X(no_route, "route", "no route of the configuration takes this call")                                \
	X(unreachable, "route", "the kernel has no route to the party through a nic")                        \
	X(overload, "call", "no room for one more call: media.max_calls or the media ports are used up")     \
	X(transport_failed, "transport", "the message could not be sent")                                    \
	X(dsp_overload, "media", "the dsp lcores have no time for one more call that is transcoded")         \
	X(api_hangup, "api", "the API ended the call")                                                       \
	X(shutdown, "api", "the engine is stopping")

#define CALL_CAUSE_ENUM(word, layer, help) CALL_CAUSE_##word,
enum call_cause_word { CALL_CAUSES(CALL_CAUSE_ENUM) CALL_CAUSE_COUNT };

struct call_cause {
	enum call_cause_word word;
	int code; // the SIP status that says it best; 200: a normal end
	char message[CALL_MESSAGE];
};

enum call_side { CALL_CALLER, CALL_CALLEE };

// What a session description turned out to be, once read and checked by the owner of the media.
enum call_sdp {
	CALL_SDP_NONE,
	CALL_SDP_GOOD,
	CALL_SDP_BROKEN,      // cannot be read
	CALL_SDP_UNUSABLE,    // no audio that we relay, or none in common
	CALL_SDP_UNREACHABLE, // its address lies behind no nic
	CALL_SDP_NO_ROOM,     // no media port, no leg
	CALL_SDP_NO_DSP,      // it would have to be transcoded, and no dsp lcore has time
	CALL_SDP_NO_MEDIA,    // the media plane refused
};

enum call_timer {
	CALL_TIMER_B,
	CALL_TIMER_C,
	CALL_TIMER_ACK,
	CALL_TIMER_SESSION, // nobody refreshed it
	CALL_TIMER_LOST,    // the party does not know it any more
	CALL_TIMER_PRACK,
};

enum call_event_type {
	CALL_EV_INVITE,      // the first: sdp, hop_count; status and cause where it is refused before any hop
	CALL_EV_PROVISIONAL, // callee's 101-199: hop, fork, status, sdp
	CALL_EV_ANSWER,      // callee's 2xx: hop, fork, sdp (GOOD also where the fork's 18x brought it)
	CALL_EV_FAILED,      // callee's 300-699: hop, status
	CALL_EV_HOP_ERROR,   // a hop could not be called: hop, cause, status
	CALL_EV_CANCEL,      // caller's CANCEL
	CALL_EV_ACK,         // caller's ACK: sdp
	CALL_EV_PRACK,       // caller's answer to a late offer in an 18x: hop, fork, sdp
	CALL_EV_MODIFY,   // side asks to change the session: sdp (NONE: asks for an offer), hop and fork of the callee
	CALL_EV_MODIFIED, // side's final response to that: status, sdp, held
	CALL_EV_MODIFY_ACK,  // side's ACK with the answer to the offer that it asked for: sdp, held
	CALL_EV_MODIFY_GONE, // side takes back what it asked
	CALL_EV_BYE,         // side, hop
	CALL_EV_BYE_DONE,    // side, hop: our BYE has its response
	CALL_EV_TIMER,       // side, hop, timer
	CALL_EV_SILENT,      // side: no media
	CALL_EV_GONE,        // side, hop: its session is no more
	CALL_EV_HANGUP,      // by the API
	CALL_EV_SHUTDOWN,
	CALL_EV_COUNT
};

struct call_event {
	enum call_event_type type;
	uint64_t now_ms; // monotonic
	enum call_side side;
	unsigned hop, fork, hop_count;
	int status;
	enum call_sdp sdp;
	bool held; // with ANSWER, ACK, MODIFIED and MODIFY_ACK: a party does not take all media as things stand then
	enum call_timer timer;
	enum call_cause_word cause;
	const char *message; // what proves it, for the cause; NULL: the table's sentence
};

enum call_action_type {
	CALL_DO_INVITE,        // call hop: take a media leg, send the INVITE
	CALL_DO_PROVISIONAL,   // to the caller: status in early dialog `fork`; with_sdp: the callee's
	CALL_DO_ANSWER,        // to the caller: 200 in dialog `fork` with the callee's SDP
	CALL_DO_REJECT,        // to the caller: status; own: the phrase is ours, not the callee's
	CALL_DO_BRIDGE,        // join the media as both SDPs say
	CALL_DO_ACK,           // to the callee; ack says with what
	CALL_DO_CANCEL,        // to the callee
	CALL_DO_BYE,           // to side
	CALL_DO_PRACK,         // to the callee: the late answer for its 18x of `fork`
	CALL_DO_MODIFY,        // ask side for what the other one asks; late: without SDP
	CALL_DO_MODIFY_ANSWER, // to side, who asked: 200 with the other's SDP
	CALL_DO_MODIFY_REFUSE, // to side, who asked: status; all stays as it is
	CALL_DO_MODIFY_COMMIT, // what both said is in force
	CALL_DO_MODIFY_ACK,    // to side, who answered; ack says with what
	CALL_DO_MODIFY_CANCEL, // to side: what it was asked is not wanted any more
	CALL_DO_RELEASE_HOP,   // hop's media leg is not needed any more
	CALL_DO_REPORT,        // the state is another one
	CALL_DO_RELEASE_MEDIA, // the call is over: all legs go
};

enum call_ack { CALL_ACK_PLAIN, CALL_ACK_ANSWER, CALL_ACK_REFUSE }; // no SDP; the late answer; all m-lines refused

struct call_action {
	enum call_action_type type;
	enum call_side side;
	unsigned hop, fork;
	int status;
	bool with_sdp, own, retry_after, late;
	enum call_ack ack;
};

struct call_actions {
	unsigned count;
	struct call_action list[CALL_ACTIONS];
};

// What a session can still do, as the machine believes.
enum call_leg_state {
	CALL_LEG_NONE,       // callee: not called yet
	CALL_LEG_OPEN,       // INVITE without final response
	CALL_LEG_ANSWERED,   // 2xx without ACK
	CALL_LEG_CONFIRMED,  // 2xx and ACK
	CALL_LEG_CANCELLING, // callee: CANCEL sent
	CALL_LEG_CLOSING,    // BYE sent
	CALL_LEG_OVER
};

struct call {
	enum call_state state;
	struct call_cause cause;
	enum call_leg_state caller, callee;
	unsigned hop, hop_count;
	bool late_offer;
	bool answered;       // 200 went to the caller
	struct call_modify { // one change of the session at a time
		// offered: the asker has to answer; taken back: the other one has not said yet how that ends
		enum { MODIFY_NONE, MODIFY_ASKED, MODIFY_OFFERED, MODIFY_TAKEN_BACK } state;
		enum call_side asker;
		bool late, early;
	} modify;
	bool late_done;     // the late offer was answered by PRACK
	unsigned early_hop; // whose early media the caller hears (in early_media)
	struct call_fork {
		unsigned hop, fork;
	} forks[CALL_FORKS]; // the caller's early dialogs: index is its fork number
	unsigned fork_count;
	uint64_t created_ms, ringing_ms, answered_ms, ended_ms; // 0: not yet (created_ms may be 0)
	unsigned illegal;                                       // transitions refused: a bug where not 0
};

// Owns: caller's memory, no fini.
void call_init(struct call *call);
// Take one event. Returns: in `out` the actions to carry out, in order (count 0: nothing to do).
void call_step(struct call *call, const struct call_event *event, struct call_actions *out);

bool call_ended(const struct call *call);
const char *call_state_name(enum call_state state);
// The business state by table: NULL for calling.
const char *call_business_name(enum call_state state, bool answered);
const char *call_cause_name(enum call_cause_word word);
const char *call_cause_layer(enum call_cause_word word);
bool call_transition_legal(enum call_state from, enum call_state to);
// The status that a trunk's failure becomes upstream (503 -> 500, 401 and 407 -> 403, 3xx -> 480, ...).
int call_status_upstream(int status);
// May the next hop be tried after this status?
bool call_status_hunts(int status);
