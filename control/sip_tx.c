// SPDX-License-Identifier: BSD-3-Clause
// Transactions: matching (RFC 3261 17.1.3 and 17.2.3), life and death. Their states are in sip_tx_machine.c.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip_tx_impl.h"

#define COOKIE "z9hG4bK"
#define BRANCH_NOISE 24

int sip_txs_create(const struct sip_txs_options *options, struct sip_txs **out)
{
	struct sip_txs *txs = calloc(1, sizeof(*txs));

	if (!txs)
		return -ENOMEM;
	txs->options = *options;
	if (sip_table_init(&txs->clients) != 0 || sip_table_init(&txs->servers) != 0) {
		sip_txs_destroy(txs);
		return -ENOMEM;
	}
	*out = txs;
	return 0;
}

static void table_end_all(struct sip_table *table)
{
	for (size_t i = 0; i < table->slot_count; i++)
		while (table->slots[i])
			sip_tx_end((struct sip_tx *)table->slots[i]);
	sip_table_fini(table);
}

void sip_txs_destroy(struct sip_txs *txs)
{
	if (!txs)
		return;
	table_end_all(&txs->clients);
	table_end_all(&txs->servers);
	free(txs);
}

const struct sip_txs_counts *sip_txs_counts(const struct sip_txs *txs)
{
	return &txs->counts;
}

// --- names --------------------------------------------------------------------------------------------------------

static char *client_key(const char *branch, const char *method)
{
	char *key;

	return asprintf(&key, "%s|%s", branch, method) < 0 ? NULL : key;
}

static char *server_key(const struct sip_msg *msg, const char *method)
{
	const char *branch = sip_msg_branch(msg), *tag = sip_msg_from_tag(msg), *via = sip_msg_header(msg, "Via", 0);
	char *key;
	int length;

	if (branch && strncasecmp(branch, COOKIE, strlen(COOKIE)) == 0 && branch[strlen(COOKIE)]) {
		length = asprintf(&key, "%s|%s|%s|%u", branch, method, sip_msg_via_host(msg), sip_msg_via_port(msg));
		for (char *c = length < 0 ? NULL : key + strlen(branch) + strlen(method) + 2; c && *c; c++)
			*c = (char)tolower((unsigned char)*c);
		return length < 0 ? NULL : key;
	}
	// RFC 2543: no branch to trust. The To tag is left out: an ACK has it and its INVITE has not.
	length = asprintf(&key, "|%s|%s|%s|%s|%u|%s", method, sip_msg_request_uri(msg), tag ? tag : "",
		sip_msg_call_id(msg), sip_msg_cseq(msg), via);
	return length < 0 ? NULL : key;
}

static struct sip_tx *server_find(struct sip_txs *txs, const struct sip_msg *msg, const char *method)
{
	char *key = server_key(msg, method);
	struct sip_table_item *item = key ? sip_table_find(&txs->servers, key) : NULL;

	free(key);
	return (struct sip_tx *)item;
}

static struct sip_tx *client_find(struct sip_txs *txs, const char *branch, const char *method)
{
	char *key = branch ? client_key(branch, method) : NULL;
	struct sip_table_item *item = key ? sip_table_find(&txs->clients, key) : NULL;

	free(key);
	return (struct sip_tx *)item;
}

bool tx_is_client(const struct sip_tx *tx)
{
	return tx->kind == SIP_ICT || tx->kind == SIP_NICT;
}

static struct sip_table *tx_table(struct sip_tx *tx)
{
	return tx_is_client(tx) ? &tx->txs->clients : &tx->txs->servers;
}

// --- life ---------------------------------------------------------------------------------------------------------

static struct sip_tx *tx_create(struct sip_txs *txs, enum sip_tx_kind kind, struct sip_msg *request,
	const struct sip_flow *flow, const struct sip_tx_ops *ops, void *user)
{
	struct sip_tx *tx = calloc(1, sizeof(*tx));
	const char *branch = sip_msg_branch(request);

	if (!tx)
		goto fail;
	tx->txs = txs;
	tx->kind = kind;
	if (tx_is_client(tx))
		tx->key = branch ? client_key(branch, sip_msg_method_name(request)) : NULL;
	else
		tx->key = server_key(request, sip_msg_method_name(request));
	if (!tx->key)
		goto fail;
	tx->flow = *flow;
	tx->request = sip_msg_ref(request);
	tx->ops = ops;
	tx->user = user;
	snprintf(tx->branch, sizeof(tx->branch), "%s", branch ? branch : "");
	sip_table_put(tx_table(tx), &tx->item, tx->key);
	txs->counts.live[kind]++;
	return tx;
fail:
	free(tx);
	errno = ENOMEM;
	return NULL;
}

bool tx_reliable(const struct sip_tx *tx)
{
	return sip_transport_reliable(tx->flow.transport);
}

static void tx_wait(struct sip_tx *tx)
{
	tx->waiting = tx->txs->waiting;
	tx->waiting_at = &tx->txs->waiting;
	if (tx->waiting)
		tx->waiting->waiting_at = &tx->waiting;
	tx->txs->waiting = tx;
}

void tx_answered(struct sip_tx *tx)
{
	if (!tx->waiting_at)
		return;
	*tx->waiting_at = tx->waiting;
	if (tx->waiting)
		tx->waiting->waiting_at = tx->waiting_at;
	tx->waiting_at = NULL;
}

static void tx_free(struct sip_tx *tx)
{
	free(tx->bytes);
	free(tx->key);
	free(tx);
}

// Out of the table and the wheel at once; the memory goes when no frame of ours stands on it.
static void tx_unlink(struct sip_tx *tx)
{
	tx->state = TX_TERMINATED;
	tx_answered(tx);
	wheel_stop(tx->txs->options.wheel, &tx->resend);
	wheel_stop(tx->txs->options.wheel, &tx->end);
	sip_table_remove(tx_table(tx), &tx->item);
	tx->txs->counts.live[tx->kind]--;
	sip_msg_unref(tx->request);
	tx->request = NULL;
}

void sip_tx_end(struct sip_tx *tx)
{
	if (tx->state == TX_TERMINATED)
		return;
	tx_unlink(tx);
	tx->ops = NULL;
	if (!tx->busy)
		tx_free(tx);
}

void tx_terminate(struct sip_tx *tx, int error)
{
	tx->busy++;
	if (error && tx->ops)
		tx->ops->failed(tx->user, tx, error);
	if (tx->state != TX_TERMINATED)
		tx_unlink(tx);
	if (tx->ops)
		tx->ops->gone(tx->user, tx);
	tx->ops = NULL;
	if (--tx->busy == 0)
		tx_free(tx);
}

void tx_report(struct sip_tx *tx, const struct sip_msg *msg)
{
	if (tx->ops)
		tx->ops->response(tx->user, tx, msg); // may end it: nobody above this frame looks at it again
}

void sip_tx_detach(struct sip_tx *tx)
{
	tx->ops = NULL;
	tx->user = NULL;
}

void *sip_tx_user(const struct sip_tx *tx)
{
	return tx->user;
}

const struct sip_tx_ops *sip_tx_ops(const struct sip_tx *tx)
{
	return tx->ops;
}

const char *sip_tx_branch(const struct sip_tx *tx)
{
	return tx->branch;
}

const struct sip_flow *sip_tx_flow(const struct sip_tx *tx)
{
	return &tx->flow;
}

const struct sip_msg *sip_tx_request(const struct sip_tx *tx)
{
	return tx->request;
}

// --- bytes --------------------------------------------------------------------------------------------------------

int sip_txs_emit(struct sip_txs *txs, struct sip_flow *flow, const char *data, size_t length)
{
	return txs->options.send(txs->options.arg, flow, data, length);
}

// An answer whose connection is gone goes by another to where its request says that it came from (RFC 3261 18.2.2).
static int reply_emit(struct sip_txs *txs, struct sip_flow *flow, uint16_t sent_by, const char *data, size_t length)
{
	int error = sip_txs_emit(txs, flow, data, length);

	if (error != -ENOTCONN || !sent_by)
		return error;
	flow->connection = 0;
	flow->remote.port = sent_by;
	return sip_txs_emit(txs, flow, data, length);
}

void tx_hold_bytes(struct sip_tx *tx, char *bytes, size_t length)
{
	free(tx->bytes);
	tx->bytes = bytes;
	tx->length = length;
}

void tx_emit(struct sip_tx *tx)
{
	int error;

	if (!tx->bytes)
		return;
	error = reply_emit(tx->txs, &tx->flow, tx->sent_by, tx->bytes, tx->length);
	// A full socket heals by timer; a network that says no is believed.
	if (error && error != -EAGAIN && error != -ENOBUFS)
		machine_refused(tx, error);
}

void tx_emit_again(struct sip_tx *tx)
{
	if (!tx->bytes)
		return;
	tx->txs->counts.retransmits_out++;
	tx_emit(tx);
}

void sip_tx_resend(struct sip_tx *tx)
{
	tx_emit_again(tx);
}

struct kg_addr sip_txs_advertised(const struct sip_txs *txs, const struct kg_addr *local)
{
	struct kg_addr said = *local;

	if (txs->options.advertised)
		txs->options.advertised(txs->options.arg, local, &said);
	return said;
}

int sip_txs_add_via(struct sip_txs *txs, struct sip_msg *msg, const struct sip_flow *flow)
{
	const struct kg_addr said = sip_txs_advertised(txs, &flow->local);
	char addr[KG_ADDR_STRLEN], noise[BRANCH_NOISE + 1], via[160];

	sip_random_hex(noise, BRANCH_NOISE);
	snprintf(via, sizeof(via), "SIP/2.0/%s %s;branch=" COOKIE "%s;rport%s", sip_transport_name(flow->transport),
		kg_addr_text(&said, addr, sizeof(addr)), noise,
		sip_transport_reliable(flow->transport) ? ";alias" : ""); // RFC 5923: use this connection too
	return sip_msg_prepend(msg, "Via", via);
}

int sip_txs_reply(struct sip_txs *txs, const struct sip_msg *request, struct sip_msg *response)
{
	struct sip_flow flow = sip_msg_reply_flow(request);
	size_t length;
	char *bytes = sip_msg_build(response, &length);
	int error = bytes ? reply_emit(txs, &flow, sip_msg_via_port(request), bytes, length) : -ENOMEM;

	free(bytes);
	return error;
}

// --- clients ------------------------------------------------------------------------------------------------------

static struct sip_tx *client_start(struct sip_txs *txs, struct sip_msg *request, const struct sip_flow *flow,
	const struct sip_tx_ops *ops, void *user)
{
	enum sip_tx_kind kind = sip_msg_method(request) == SIP_INVITE ? SIP_ICT : SIP_NICT;
	size_t length;
	char *bytes = sip_msg_build(request, &length);
	struct sip_tx *tx = bytes ? tx_create(txs, kind, request, flow, ops, user) : NULL;

	if (!tx) {
		free(bytes);
		errno = ENOMEM;
		return NULL;
	}
	tx_hold_bytes(tx, bytes, length);
	machine_start(tx);
	if (tx_reliable(tx))
		tx_wait(tx);
	tx_emit(tx);
	return tx;
}

struct sip_tx *sip_tx_send(struct sip_txs *txs, struct sip_msg *request, const struct sip_flow *flow,
	const struct sip_tx_ops *ops, void *user)
{
	int error = sip_txs_add_via(txs, request, flow);

	if (error) {
		errno = -error;
		return NULL;
	}
	return client_start(txs, request, flow, ops, user);
}

struct sip_tx *sip_tx_cancel(
	struct sip_tx *invite, const char *const *headers, const struct sip_tx_ops *ops, void *user)
{
	struct sip_msg *cancel;
	struct sip_tx *tx = NULL;

	if (invite->kind != SIP_ICT || invite->state != TX_PROCEEDING) {
		errno = EINVAL;
		return NULL;
	}
	cancel = sip_msg_derive(invite->request, SIP_CANCEL, NULL);
	if (!cancel)
		return NULL;
	if (sip_msg_add_list(cancel, headers) == 0)
		tx = client_start(invite->txs, cancel, &invite->flow, ops, user);
	else
		errno = EINVAL;
	sip_msg_unref(cancel);
	return tx;
}

// --- servers ------------------------------------------------------------------------------------------------------

struct sip_tx *sip_tx_serve(struct sip_txs *txs, struct sip_msg *request, const struct sip_tx_ops *ops, void *user)
{
	enum sip_tx_kind kind = sip_msg_method(request) == SIP_INVITE ? SIP_IST : SIP_NIST;
	const struct sip_flow flow = sip_msg_reply_flow(request);
	struct sip_tx *tx = tx_create(txs, kind, request, &flow, ops, user);

	if (!tx)
		return NULL;
	tx->sent_by = sip_msg_via_port(request);
	machine_start(tx);
	return tx;
}

int sip_tx_respond(struct sip_tx *tx, struct sip_msg *response)
{
	size_t length;
	char *bytes = sip_msg_build(response, &length);
	int error = bytes ? machine_respond(tx, sip_msg_status(response)) : -ENOMEM;

	if (error) {
		free(bytes);
		return error;
	}
	tx_hold_bytes(tx, bytes, length);
	tx_emit(tx);
	return 0;
}

struct sip_tx *sip_txs_find_invite(struct sip_txs *txs, const struct sip_msg *cancel)
{
	return server_find(txs, cancel, "INVITE");
}

// --- what comes in ------------------------------------------------------------------------------------------------

static void receive_request(struct sip_txs *txs, struct sip_msg *msg)
{
	bool is_ack = sip_msg_method(msg) == SIP_ACK;
	struct sip_tx *tx = server_find(txs, msg, is_ack ? "INVITE" : sip_msg_method_name(msg));

	if (tx && is_ack)
		machine_ack(tx, msg);
	else if (tx)
		machine_copy(tx);
	else if (is_ack)
		txs->options.ack(txs->options.arg, msg);
	else
		txs->options.request(txs->options.arg, msg);
}

// RFC 3261 18.1.2: a response whose sent-by is not ours is not for us.
static bool sent_by_is(const struct sip_txs *txs, const struct sip_msg *msg, const struct kg_addr *local)
{
	const struct kg_addr said = sip_txs_advertised(txs, local);
	struct kg_addr addr;

	return kg_addr_parse(&addr, sip_msg_via_host(msg), sip_msg_via_port(msg)) == 0 && kg_addr_same(&addr, &said);
}

void sip_txs_receive(struct sip_txs *txs, struct sip_msg *msg)
{
	struct sip_tx *tx;

	if (sip_msg_is_request(msg)) {
		receive_request(txs, msg);
		return;
	}
	tx = client_find(txs, sip_msg_branch(msg), sip_msg_method_name(msg));
	if (tx && sent_by_is(txs, msg, &tx->flow.local))
		machine_response(tx, msg);
	else
		txs->options.stray(txs->options.arg, msg);
}

// What ICMP brings back is the head of our datagram, often cut: method and topmost Via are in its first two lines.
void sip_txs_refused(struct sip_txs *txs, const char *data, size_t length, int error)
{
	char head[512], method[32], branch[80];
	const char *via;
	struct sip_tx *tx;

	snprintf(head, sizeof(head), "%.*s", (int)(length < sizeof(head) ? length : sizeof(head) - 1), data);
	via = strstr(head, "\r\nVia: ");
	if (!via || sscanf(head, "%31[A-Z] ", method) != 1 || sscanf(via, "%*[^;];branch=%79[^;]", branch) != 1)
		return;
	tx = client_find(txs, branch, method);
	if (tx)
		machine_refused(tx, error);
}

void sip_txs_broken(struct sip_txs *txs, uint64_t connection, int error)
{
	struct sip_tx *next;

	for (struct sip_tx *tx = txs->waiting; tx; tx = next) {
		next = tx->waiting;
		if (tx->flow.connection == connection)
			machine_refused(tx, error ? error : -ECONNRESET);
	}
}
