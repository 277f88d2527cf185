// SPDX-License-Identifier: BSD-3-Clause
// Fakes of what calls*.c stand on and what cannot fail on demand: sessions, the media plane, netlink, events, CDR, log.
// Each writes down what it was asked; tests make the other side speak. One world at a time.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "calls.h"
#include "netlink.h"
#include "ports.h"
#include "sip_session.h"
#include "wheel.h"

#define FAKE_SESSIONS 64
#define FAKE_LEGS 64

struct sip_session {
	bool used, uas, over;
	void *user;
	char call_id[32];
	struct kg_addr peer;
	char target[KG_ADDR_STRLEN], request_uri[256], from[256], to[256], headers[2048]; // of our INVITE
	unsigned max_forwards;
	uint32_t ring_timeout_ms;
	const char *endpoint;              // who the caller proved to be
	bool reliable;                     // the caller takes reliable provisionals
	bool takes_update;                 // the peer's Allow has UPDATE
	int ask_error;                     // what sip_session_ask says instead
	struct sip_exchange *exchanges[8]; // asked by us, in order
	unsigned exchange_count;
	char sdp[4096];   // the last that we sent in it; "" none
	char body[4096];  // the whole of our INVITE, where it has several parts
	char said[1024];  // all that was asked of it: "180/0 200/0 ACK BYE ..."
	char extra[2048]; // the last extra headers, "Name: value\n"
};

struct sip_exchange {
	struct sip_session *session;
	enum sip_method method;
	bool ours, answered, acked;
	int status;      // of our answer
	char body[4096]; // ours: what was asked; theirs: what it was answered
	char headers[2048];
	char ack[4096];
	bool cancelled;
};

struct fake_leg {
	bool live, retiring;
	struct kg_leg_config config;
	struct kg_leg_stats stats;
	unsigned changes;
};

struct netlink_watch {
	bool used;
	struct kg_addr target;
	netlink_hop_fn fn;
	void *arg;
};

struct fakes {
	struct sip_session sessions[FAKE_SESSIONS];
	struct fake_leg legs[FAKE_LEGS]; // id is index + 1
	struct sip_exchange exchanges[FAKE_SESSIONS];
	unsigned exchange_count;
	struct netlink_watch watches[FAKE_LEGS];
	int create_error, change_error, invite_error; // given instead of success
	int create_error_after;                       // so many creations succeed first
	bool unresolved;                              // neighbours are not known yet
	json_t *events, *cdrs;                        // arrays
	char log[512];                                // the last line of warn or worse
	unsigned log_lines;                           // of warn or worse
	bool dsp_full;                                // no dsp lcore has time
	bool overloaded;                              // no relay lcore keeps up
};
extern struct fakes fakes;

void fakes_init(void);
void fakes_fini(void);
unsigned fakes_live_legs(void);
unsigned fakes_live_sessions(void);
unsigned fakes_live_watches(void);
struct sip_session *fakes_session(bool uas, unsigned index); // the index-th made of that kind
void fakes_free_session(struct sip_session *session);        // as the stack does at the very end
struct sip_exchange *fakes_exchange(struct sip_session *session, enum sip_method method); // one of the peer's
void fakes_retire_all(struct calls *calls);                                               // let the owner acknowledge
