// SPDX-License-Identifier: BSD-3-Clause
// Dialogs (RFC 3261 12): the ids, sequence numbers, route set and remote target by which two ends talk after an INVITE.
// All: Thread: control.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_addr.h"
#include "sip_msg.h"
#include "sip_request.h"
#include "sip_table.h"

struct sip_dialogs {
	struct sip_table table;                                     // its count is the number of live dialogs
	bool (*behind_nat)(void *arg, const struct sip_flow *flow); // NULL: nobody is
	void *arg;
};

struct sip_dialog {
	struct sip_table_item item;
	struct sip_dialogs *dialogs;
	void *owner;
	bool confirmed;
	char *key; // "Call-ID;local-tag;remote-tag", also what logs show
	char *call_id;
	char *local, *remote; // whole From and To values of our requests
	char *target;         // remote target URI
	char **routes;        // as our requests carry them
	unsigned route_count;
	uint32_t local_cseq, remote_cseq;
	struct sip_flow flow; // by which the peer spoke: used where the URIs lead nowhere, or behind NAT
	bool behind_nat;
};

int sip_dialogs_init(struct sip_dialogs *dialogs);
void sip_dialogs_fini(struct sip_dialogs *dialogs); // all dialogs are gone already

// From a response to our INVITE with From value `from` (its tag `tag`) and sequence number `cseq`.
// Returns: NULL for want of memory.
struct sip_dialog *sip_dialog_create_uac(struct sip_dialogs *dialogs, const char *from, const char *tag, uint32_t cseq,
	const struct sip_msg *response, void *owner);
// From an INVITE that we answer with To tag `tag`.
struct sip_dialog *sip_dialog_create_uas(
	struct sip_dialogs *dialogs, const struct sip_msg *invite, const char *tag, void *owner);
void sip_dialog_destroy(struct sip_dialog *dialog); // NULL is fine
// UAC: a 2xx confirms; its Contact and Record-Route replace what a provisional said (RFC 3261 13.2.2.4).
int sip_dialog_confirm(struct sip_dialog *dialog, const struct sip_msg *response);
// What refreshes the target (RFC 3261 12.2): its Contact, where there is one. dialog NULL is fine. Returns: 0, -ENOMEM.
int sip_dialog_refresh(struct sip_dialog *dialog, const struct sip_msg *msg);
// The dialog of a request that came. Returns: NULL: none.
struct sip_dialog *sip_dialog_find(struct sip_dialogs *dialogs, const struct sip_msg *request);
// Take note of a request's sequence number. Returns: false where it is lower than one before (RFC 3261 12.2.2: 500).
bool sip_dialog_accept_cseq(struct sip_dialog *dialog, const struct sip_msg *request);

// A request in the dialog with all but Via and Contact; *way (which lives as long as the dialog stays as it is) is
// where it goes. ACK takes `cseq` of its INVITE, others the next number. Owns: the caller's. Returns: NULL with errno.
struct sip_msg *sip_dialog_request(
	struct sip_dialog *dialog, enum sip_method method, uint32_t cseq, struct sip_way *way);
