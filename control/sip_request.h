// SPDX-License-Identifier: BSD-3-Clause
// A request of ours on its way to whoever answers it: one transaction after the other, to each target that its next hop
// has (RFC 3263 4.3), and again with credentials where it is challenged (RFC 3261 22). All: Thread: control.
#pragma once

#include "sip_tx.h"

struct sip_stack;
struct sip_request;

struct sip_request_ops {
	// Each provisional, the final one once, of an INVITE each 2xx. The callee may end the request.
	void (*response)(void *user, struct sip_request *request, const struct sip_msg *msg);
	// Nobody answered: -ETIMEDOUT, or what the transport or DNS said. Never from inside sip_request_send. `gone`
	// follows.
	void (*failed)(void *user, struct sip_request *request, int error);
	// Forget the pointer.
	void (*gone)(void *user, struct sip_request *request);
};

// Where a request goes.
struct sip_way {
	const char *uri;      // its host, port and transport say where; NULL: `flow` does
	struct sip_flow flow; // where `uri` is NULL or says nothing that can be used (remote none: nowhere then)
	bool udp_only;        // a request that is too large for a datagram goes as one all the same
};

// Who we are where somebody asks; NULL or "": nobody.
struct sip_credentials {
	const char *username, *password;
};

// The flow of a message that is sent once, without a request of its own (the ACK of a 2xx): what is known at once.
// Returns: 0 or -errno.
int sip_way_flow(struct sip_stack *stack, const struct sip_way *way, struct sip_flow *out);
// Send `request`, which has all but Via. `cseq`: the sequence of its dialog, counted on where it is sent anew with
// credentials; lives as long as the request. credentials are copied. Owns: a reference of its own. Returns: NULL with
// errno. Its Contact, where the method wants one, and its Via are made here.
struct sip_request *sip_request_send(struct sip_stack *stack, struct sip_msg *request, const struct sip_way *way,
	const struct sip_credentials *credentials, uint32_t *cseq, const struct sip_request_ops *ops, void *user);
// Its transaction in hand: what sip_tx_cancel needs. NULL: its target is looked for, or it is over.
struct sip_tx *sip_request_tx(const struct sip_request *request);
// From inside `response`: the same once more, with the next CSeq and these headers in place of those of their names.
// Returns: 0, or -errno (the failure in hand then stands).
int sip_request_again(struct sip_request *request, const char *const *headers);
// The header that answered its challenge, for the ACK of its 2xx (RFC 3261 22.1). Returns: its name; NULL: none did.
const char *sip_request_proof(const struct sip_request *request, const char **value);
const char *sip_request_branch(const struct sip_request *request); // "" while its target is looked for
const struct sip_flow *sip_request_flow(const struct sip_request *request);
void sip_request_detach(struct sip_request *request); // it goes on alone and tells nobody
void sip_request_end(struct sip_request *request);    // over at once, without `gone`
