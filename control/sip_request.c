// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sip_locate.h"
#include "sip_stack.h"

#define UDP_BYTES 1300 // RFC 3261 18.1.1, where the path's MTU is not known
#define VIA_BYTES 120  // what our Via will add to that
#define CHALLENGES 3   // answers to challenges: the first, a stale nonce, a proxy behind the proxy

struct sip_request {
	struct sip_stack *stack;
	struct sip_request *next, **prev; // all of the stack
	struct sip_msg *msg;              // until its final response
	struct sip_tx *tx;
	struct sip_flow flow;     // of the attempt in hand
	struct sip_flow fallback; // where its URI leads nowhere
	bool udp_only;
	struct sip_target few[2], *many, *targets;  // targets: few or many
	const char *host;                           // what their certificates must prove; NULL: their addresses
	struct sip_locate *locate;                  // its targets are looked for
	unsigned target_room, target_count, target; // the one in hand
	unsigned challenges;
	uint32_t *cseq;
	char *username, *password;
	const char *proof_name; // what answered the last challenge
	char *proof;
	char *realm;                       // that asked last
	const struct sip_request_ops *ops; // NULL: detached
	void *user;
};

static void request_free(struct sip_request *request)
{
	if (request->prev) {
		*request->prev = request->next;
		if (request->next)
			request->next->prev = request->prev;
	}
	free(request->many);
	free(request->realm);
	sip_locate_cancel(request->locate);
	sip_msg_unref(request->msg);
	free(request->proof);
	free(request->username);
	free(request->password);
	free(request);
}

static void request_over(struct sip_request *request)
{
	if (request->ops)
		request->ops->gone(request->user, request);
	request_free(request);
}

// --- targets ------------------------------------------------------------------------------------------------------

static void target_add(struct sip_request *request, enum sip_transport transport, const struct kg_addr *addr)
{
	if (request->target_count < request->target_room)
		request->targets[request->target_count++] = (struct sip_target){transport, *addr};
}

// What is too large for a datagram goes over TCP, and as a datagram where nobody takes it there (RFC 3261 18.1.1).
static void targets_widen(struct sip_request *request)
{
	if (request->udp_only || sip_msg_length(request->msg) + VIA_BYTES <= UDP_BYTES)
		return;
	for (unsigned i = 0; i < request->target_count && request->target_count < request->target_room; i++) {
		struct sip_target *target = &request->targets[i];

		if (target->transport != SIP_UDP)
			continue;
		memmove(target + 1, target, (request->target_count - i) * sizeof(*target));
		target->transport = SIP_TCP;
		request->target_count++;
		i++;
	}
}

// It says by which transport we are reached, so each attempt has its own.
static bool wants_contact(enum sip_method method)
{
	return method == SIP_INVITE || method == SIP_UPDATE || method == SIP_SUBSCRIBE || method == SIP_NOTIFY ||
	       method == SIP_REFER;
}

static const struct sip_tx_ops tx_ops;

// One attempt, at the target in hand. Returns: 0 or -errno.
static int attempt(struct sip_request *request)
{
	const struct sip_target *target = &request->targets[request->target];
	int error;

	if (target->transport != request->flow.transport || !kg_addr_same(&target->addr, &request->flow.remote)) {
		request->flow = (struct sip_flow){
			.transport = target->transport, .remote = target->addr, .host = request->host};
		error = stack_local_for(request->stack, &request->flow);
		if (error)
			return error;
	}
	sip_msg_remove(request->msg, "Via");
	if (wants_contact(sip_msg_method(request->msg))) {
		sip_msg_remove(request->msg, "Contact");
		error = stack_add_contact(request->stack, request->msg, &request->flow);
		if (error)
			return error;
	}
	request->tx = sip_tx_send(request->stack->txs, request->msg, &request->flow, &tx_ops, request);
	return request->tx ? 0 : -errno;
}

// Returns: false where there is no other target left.
static bool attempt_next(struct sip_request *request)
{
	struct sip_tx *old = request->tx;

	while (request->target + 1 < request->target_count) {
		request->target++;
		if (attempt(request) == 0) {
			sip_tx_detach(old);
			return true;
		}
	}
	request->tx = old;
	return false;
}

// --- what its transaction says ------------------------------------------------------------------------------------

// Who challenges us gets our credentials: the same request with the next CSeq, by the way that it went.
static bool challenge_answer(struct sip_request *request, const struct sip_msg *msg)
{
	const char *answer[] = {NULL, NULL, NULL};
	char *value;

	if (!request->username || request->challenges == CHALLENGES || !request->msg ||
		auth_answer(request->msg, msg, request->username, request->password, &request->realm, &value) != 0)
		return false;
	request->challenges++;
	free(request->proof);
	request->proof = value;
	request->proof_name = sip_msg_status(msg) == 407 ? "Proxy-Authorization" : "Authorization";
	answer[0] = request->proof_name;
	answer[1] = value;
	return sip_request_again(request, answer) == 0;
}

const char *sip_request_proof(const struct sip_request *request, const char **value)
{
	*value = request->proof;
	return request->proof_name;
}

int sip_request_again(struct sip_request *request, const char *const *headers)
{
	struct sip_tx *old = request->tx;
	int error = request->cseq && request->msg ? 0 : -EINVAL;

	if (error)
		return error;
	for (unsigned i = 0; headers[i]; i += 2)
		sip_msg_remove(request->msg, headers[i]);
	sip_msg_remove(request->msg, "CSeq");
	error = sip_msg_add_list(request->msg, headers);
	if (!error)
		error = sip_msg_addf(
			request->msg, "CSeq", "%u %s", *request->cseq + 1, sip_msg_method_name(request->msg));
	if (!error)
		error = attempt(request);
	if (error) {
		request->tx = old;
		return error;
	}
	++*request->cseq;
	sip_tx_detach(old);
	return 0;
}

static void on_response(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
	struct sip_request *request = user;
	int status = sip_msg_status(msg);

	if ((status == 401 || status == 407) && challenge_answer(request, msg))
		return;
	if (status == 503 && attempt_next(request))
		return;
	if (status >= 200 && status < 300 && sip_msg_method(msg) == SIP_INVITE) {
		sip_msg_unref(request->msg);
		request->msg = NULL;
	}
	request->flow = *sip_tx_flow(tx);
	if (request->ops)
		request->ops->response(request->user, request, msg); // may end it
}

static void on_failed(void *user, struct sip_tx *tx, int error)
{
	struct sip_request *request = user;

	if (!attempt_next(request) && request->ops)
		request->ops->failed(request->user, request, error); // may end it
}

static void on_gone(void *user, struct sip_tx *tx)
{
	struct sip_request *request = user;

	if (request->tx != tx)
		return; // another attempt is in hand
	request->tx = NULL;
	request_over(request);
}

static const struct sip_tx_ops tx_ops = {on_response, on_failed, on_gone};

// --- the way ------------------------------------------------------------------------------------------------------

// What its URI asks for. Returns: false where it says nothing that leads anywhere.
static bool way_read(
	const struct sip_stack *stack, const struct sip_way *way, struct sip_uri *uri, struct sip_locate_ask *ask)
{
	enum sip_transport transport;

	if (!way->uri || sip_uri_parse(way->uri, uri) != 0 || !sip_uri_transport(uri, &transport) ||
		transport > SIP_TLS || !*uri->host)
		return false;
	*ask = (struct sip_locate_ask){.host = uri->host,
		.port = uri->port,
		.transport = *uri->transport || strcasecmp(uri->scheme, "sips") == 0 ? (int)transport : -1,
		.secure = strcasecmp(uri->scheme, "sips") == 0,
		.transports = 1u << SIP_UDP | 1u << SIP_TCP | 1u << SIP_TLS};
	for (unsigned i = 0; i < stack->options.listen_count; i++) {
		ask->ip4 |= stack->options.listen[i].addr.family == 4;
		ask->ip6 |= stack->options.listen[i].addr.family == 6;
	}
	return true;
}

static const char *host_of(struct sip_stack *stack, const struct sip_located *located)
{
	if (*located->host)
		return sip_stack_name(stack, located->host);
	return located->count ? stack_peer_name(stack, &located->targets[0].addr) : NULL;
}

int sip_way_flow(struct sip_stack *stack, const struct sip_way *way, struct sip_flow *out)
{
	struct sip_locate *locate = NULL;
	struct sip_located located;
	struct sip_locate_ask ask;
	struct sip_uri uri;

	if (way_read(stack, way, &uri, &ask) &&
		sip_locate(stack->options.dns, &ask, NULL, NULL, &located, &locate) == 0) {
		*out = (struct sip_flow){.transport = located.targets[0].transport,
			.remote = located.targets[0].addr,
			.host = host_of(stack, &located)};
		return stack_local_for(stack, out);
	}
	sip_locate_cancel(locate);
	*out = way->flow;
	return kg_addr_none(&out->remote) ? -EHOSTUNREACH : 0;
}

static int way_fallback(struct sip_request *request)
{
	const struct sip_flow *flow = &request->fallback;

	if (kg_addr_none(&flow->remote))
		return -EHOSTUNREACH;
	target_add(request, flow->transport, &flow->remote);
	request->host = flow->host;
	if (!kg_addr_none(&flow->local))
		request->flow = *flow;
	return 0;
}

static int targets_take(struct sip_request *request, const struct sip_located *located)
{
	if (located->error) {
		stack_drop(request->stack, "not_located");
		stack_log(
			request->stack, KG_LOG_WARN, request->msg, "where this goes cannot be found: %s", located->why);
		return way_fallback(request);
	}
	if (2 * located->count > request->target_room) { // each may be tried by TCP first
		struct sip_target *targets = calloc(2 * located->count, sizeof(*targets));

		if (!targets)
			return -ENOMEM;
		request->targets = request->many = targets;
		request->target_room = 2 * located->count;
	}
	memcpy(request->targets, located->targets, located->count * sizeof(*located->targets));
	request->target_count = located->count;
	request->host = host_of(request->stack, located);
	return 0;
}

// The first attempt that can be made at all. Returns: 0 or -errno.
static int attempt_first(struct sip_request *request)
{
	int error;

	targets_widen(request);
	error = attempt(request);
	while (error && request->target + 1 < request->target_count) {
		request->target++;
		error = attempt(request);
	}
	return error;
}

static void on_located(void *arg, const struct sip_located *located)
{
	struct sip_request *request = arg;
	int error;

	request->locate = NULL;
	error = targets_take(request, located);
	if (!error)
		error = attempt_first(request);
	if (!error)
		return;
	if (request->ops)
		request->ops->failed(request->user, request, error);
	request_over(request);
}

// Returns: 0, -EINPROGRESS, or another -errno.
static int targets_find(struct sip_request *request, const struct sip_way *way)
{
	struct sip_located located;
	struct sip_locate_ask ask;
	struct sip_uri uri;
	int error;

	request->fallback = way->flow;
	if (!way_read(request->stack, way, &uri, &ask))
		return way_fallback(request);
	error = sip_locate(request->stack->options.dns, &ask, on_located, request, &located, &request->locate);
	return error == -EINPROGRESS ? error : targets_take(request, &located);
}

struct sip_request *sip_request_send(struct sip_stack *stack, struct sip_msg *msg, const struct sip_way *way,
	const struct sip_credentials *credentials, uint32_t *cseq, const struct sip_request_ops *ops, void *user)
{
	struct sip_request *request = calloc(1, sizeof(*request));
	int error = request ? 0 : -ENOMEM;

	if (error)
		goto fail;
	request->stack = stack;
	request->targets = request->few;
	request->target_room = sizeof(request->few) / sizeof(*request->few);
	request->next = stack->requests;
	request->prev = &stack->requests;
	if (request->next)
		request->next->prev = &request->next;
	stack->requests = request;
	request->ops = ops;
	request->user = user;
	request->cseq = cseq;
	request->udp_only = way->udp_only;
	request->msg = sip_msg_ref(msg);
	if (credentials && credentials->username && *credentials->username) {
		request->username = strdup(credentials->username);
		request->password = strdup(credentials->password);
		error = request->username && request->password ? 0 : -ENOMEM;
	}
	if (!error)
		error = targets_find(request, way);
	if (error == -EINPROGRESS)
		return request;
	if (!error)
		error = attempt_first(request);
	if (!error)
		return request;
fail:
	if (request)
		request_free(request);
	errno = -error;
	return NULL;
}

struct sip_tx *sip_request_tx(const struct sip_request *request)
{
	return request->tx;
}

const char *sip_request_branch(const struct sip_request *request)
{
	return request->tx ? sip_tx_branch(request->tx) : "";
}

const struct sip_flow *sip_request_flow(const struct sip_request *request)
{
	return &request->flow;
}

void sip_request_detach(struct sip_request *request)
{
	request->ops = NULL;
	request->user = NULL;
	request->cseq = NULL;
	free(request->username); // nobody counts its CSeq any more
	request->username = NULL;
}

void sip_request_end(struct sip_request *request)
{
	if (request->tx)
		sip_tx_end(request->tx);
	request_free(request);
}
