// SPDX-License-Identifier: BSD-3-Clause
// The stack as a whole: opened and closed, what goes over its wire counted, logged and traced.

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sip_stack.h"

void stack_drop(struct sip_stack *stack, const char *reason)
{
	unsigned i = 0;

	while (i < stack->drop_count && strcmp(stack->drops[i].reason, reason) != 0)
		i++;
	if (i == STACK_DROPS)
		return;
	if (i == stack->drop_count)
		stack->drops[stack->drop_count++].reason = reason;
	stack->drops[i].count++;
}

void sip_stack_drops(
	const struct sip_stack *stack, void (*fn)(const char *reason, uint64_t count, void *arg), void *arg)
{
	for (unsigned i = 0; i < stack->drop_count; i++)
		fn(stack->drops[i].reason, stack->drops[i].count, arg);
}

static void log_message(enum kg_log_level level, const struct sip_msg *msg, bool sent, const char *text)
{
	bool from_us = sent == sip_msg_is_request(msg);
	const char *from = sip_msg_from_tag(msg), *to = sip_msg_to_tag(msg);
	const char *ours = from_us ? from : to, *theirs = from_us ? to : from;
	char dialog[512], status[16];
	const struct log_ids ids = {
		.method = sip_msg_is_request(msg) ? sip_msg_method_name(msg) : status,
		.transaction = sip_msg_branch(msg),
		.dialog = dialog,
	};

	snprintf(status, sizeof(status), "%d", sip_msg_status(msg));
	snprintf(dialog, sizeof(dialog), "%.200s;%.100s;%.100s", sip_msg_call_id(msg), ours ? ours : "",
		theirs ? theirs : "");
	log_sip(level, &ids, "%s", text);
}

static bool log_has_room(struct sip_stack *stack)
{
	uint64_t second = wheel_now_ms(stack->options.wheel) / 1000;

	if (second != stack->log_second) {
		if (stack->log_kept_back)
			kg_warn("sip", "%u more lines like these were kept back", stack->log_kept_back);
		stack->log_second = second;
		stack->log_lines = stack->log_kept_back = 0;
	}
	if (stack->log_lines == STACK_LOG_LINES) {
		stack->log_kept_back++;
		return false;
	}
	stack->log_lines++;
	return true;
}

void stack_log(struct sip_stack *stack, enum kg_log_level level, const struct sip_msg *msg, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!log_enabled(level) || (level != KG_LOG_DEBUG && !log_has_room(stack)))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (msg)
		log_message(level, msg, false, text);
	else
		kg_log(level, "sip", "%s", text);
}

// --- the wire -----------------------------------------------------------------------------------------------------

static void observe(struct sip_stack *stack, bool sent, const struct sip_flow *flow, const struct sip_msg *msg,
	const char *data, size_t length)
{
	char addr[KG_ADDR_STRLEN], text[512];

	if (log_enabled(KG_LOG_DEBUG)) {
		snprintf(text, sizeof(text), "%s %s by %s: %s", sent ? "to" : "from",
			kg_addr_text(&flow->remote, addr, sizeof(addr)), sip_transport_name(flow->transport),
			sip_msg_start_line(msg));
		log_message(KG_LOG_DEBUG, msg, sent, text);
	}
	if (stack->options.trace)
		stack->options.trace(stack->options.arg, sent, flow, msg, data, length);
}

// A final response, once for each time that it goes over the wire.
static void final_note(struct sip_stack *stack, bool sent, enum sip_method method, int status)
{
	if (status >= 200 && status < 200 + SIP_FINALS)
		stack->finals[sent][method][status - 200]++;
}

void sip_stack_finals(const struct sip_stack *stack,
	void (*fn)(bool sent, enum sip_method method, int status, uint64_t count, void *arg), void *arg)
{
	for (unsigned sent = 0; sent < 2; sent++)
		for (unsigned method = 0; method < SIP_METHOD_COUNT; method++)
			for (int i = 0; i < SIP_FINALS; i++)
				if (stack->finals[sent][method][i])
					fn(sent, (enum sip_method)method, 200 + i, stack->finals[sent][method][i], arg);
}

// The method that a response of ours answers, by its CSeq.
static enum sip_method method_in(const char *data, size_t length)
{
	const char *cseq = memmem(data, length, "\r\nCSeq: ", 8), *end = data + length;

	if (!cseq)
		return SIP_UNKNOWN;
	for (cseq += 8; cseq < end && *cseq >= '0' && *cseq <= '9'; cseq++)
		;
	cseq++;
	return cseq < end ? sip_method_find(cseq, strcspn(cseq, "\r")) : SIP_UNKNOWN;
}

static int on_send(void *arg, struct sip_flow *flow, const char *data, size_t length)
{
	struct sip_stack *stack = arg;
	int error = stack->wire->send(stack->wire, flow, data, length);

	if (strncmp(data, "SIP/2.0 ", 8) == 0 && data[8] >= '1' && data[8] <= '6') {
		stack->counts.responses_out[data[8] - '0']++;
		final_note(stack, true, method_in(data, length), atoi(data + 8));
	} else
		stack->counts.requests_out[sip_method_find(data, strcspn(data, " "))]++;
	if (error)
		stack_drop(stack, "send_failed");
	if (stack->options.trace || log_enabled(KG_LOG_DEBUG)) {
		struct sip_msg *msg;
		const char *why;

		if (sip_msg_parse(data, length, &msg, &why) == 0) {
			observe(stack, true, flow, msg, data, length);
			sip_msg_unref(msg);
		}
	}
	return error;
}

static bool is_wildcard(const struct kg_addr *addr)
{
	static const uint8_t any[16];

	return memcmp(addr->ip, any, sizeof(any)) == 0;
}

int stack_local_for(struct sip_stack *stack, struct sip_flow *flow)
{
	const struct sip_stack_options *options = &stack->options;
	struct kg_addr *local = &flow->local;
	int error = options->source_for ? options->source_for(options->arg, &flow->remote, local) : -ENETUNREACH;

	for (unsigned i = 0; !error && i < options->listen_count; i++) {
		const struct kg_addr *listen = &options->listen[i].addr;

		if (options->listen[i].transport == flow->transport && listen->family == local->family &&
			(is_wildcard(listen) || kg_addr_same_ip(listen, local))) {
			local->port = listen->port;
			return 0;
		}
	}
	// The kernel would leave by an address that we do not listen on: a listener of that family has to do.
	for (unsigned i = 0; i < options->listen_count; i++)
		if (options->listen[i].transport == flow->transport &&
			options->listen[i].addr.family == flow->remote.family &&
			!is_wildcard(&options->listen[i].addr)) {
			*local = options->listen[i].addr;
			return 0;
		}
	if (error || !sip_transport_reliable(flow->transport))
		return error ? error : -EADDRNOTAVAIL;
	// A connection needs no listener: answers come by it.
	local->port = sip_transport_secure(flow->transport) ? SIP_DEFAULT_TLS_PORT : SIP_DEFAULT_PORT;
	return 0;
}

static bool on_behind_nat(void *arg, const struct sip_flow *flow)
{
	struct sip_stack *stack = arg;

	return stack->options.behind_nat && stack->options.behind_nat(stack->options.arg, &flow->remote);
}

static bool is_keepalive(const char *data, size_t length)
{
	size_t i = 0;

	while (i < length && (data[i] == '\r' || data[i] == '\n'))
		i++;
	return i == length;
}

void stack_answer_broken(
	struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length, const char *why)
{
	bool to_source = sip_transport_reliable(flow->transport) || on_behind_nat(stack, flow);
	struct sip_flow back = *flow;
	size_t size;
	char *bytes = sip_msg_salvage(data, length, why, &flow->remote, to_source, &back.remote, &size);

	if (bytes)
		on_send(stack, &back, bytes, size);
	free(bytes);
}

static void refuse_malformed(
	struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length, const char *why)
{
	const struct kg_addr *remote = &flow->remote;
	char addr[KG_ADDR_STRLEN];

	stack_drop(stack, why);
	// A stranger's garbage is not answered: it would make us a mirror.
	if (!guard_knows(stack, remote)) {
		guard_malformed(stack, remote, why);
		return;
	}
	stack_log(stack, KG_LOG_WARN, NULL, "malformed message from %s: %s", kg_addr_text(remote, addr, sizeof(addr)),
		why);
	stack_answer_broken(stack, flow, data, length, why);
}

void sip_stack_message(void *arg, const struct sip_flow *from, const char *data, size_t length)
{
	struct sip_stack *stack = arg;
	struct sip_flow flow = *from;
	struct sip_msg *msg;
	const char *why;
	int error;

	if (is_keepalive(data, length))
		return;
	if (is_wildcard(&flow.local) && stack_local_for(stack, &flow) != 0)
		flow.local = from->local;
	if (!guard_admits(stack, &flow, data, length))
		return;
	error = sip_msg_parse(data, length, &msg, &why);
	if (error == -ENOMEM)
		stack_drop(stack, "no_memory");
	else if (error)
		refuse_malformed(stack, &flow, data, length, why);
	if (error)
		return;
	sip_msg_set_flow(msg, &flow);
	if (on_behind_nat(stack, &flow))
		sip_msg_reply_to_source(msg);
	if (sip_msg_is_request(msg))
		stack->counts.requests_in[sip_msg_method(msg)]++;
	else
		stack->counts.responses_in[sip_msg_status(msg) / 100]++;
	if (!sip_msg_is_request(msg))
		final_note(stack, false, sip_msg_method(msg), sip_msg_status(msg));
	observe(stack, false, &flow, msg, data, length);
	sip_txs_receive(stack->txs, msg);
	sip_msg_unref(msg);
}

void sip_stack_refused(void *arg, const char *data, size_t length, int error)
{
	struct sip_stack *stack = arg;

	stack_drop(stack, "undeliverable");
	sip_txs_refused(stack->txs, data, length, error);
}

void sip_stack_broken(void *arg, const struct sip_flow *flow, int error, const char *why)
{
	struct sip_stack *stack = arg;
	char addr[KG_ADDR_STRLEN];

	if (error)
		stack_log(stack, KG_LOG_WARN, NULL, "%s connection with %s: %s", sip_transport_name(flow->transport),
			kg_addr_text(&flow->remote, addr, sizeof(addr)), why);
	sip_txs_broken(stack->txs, flow->connection, error);
}

static void sip_stack_garbage(void *arg, const struct sip_flow *flow, const char *why)
{
	struct sip_stack *stack = arg;
	char addr[KG_ADDR_STRLEN];

	stack_drop(stack, why);
	if (guard_knows(stack, &flow->remote))
		stack_log(stack, KG_LOG_WARN, NULL, "no SIP from %s by %s: %s; the connection is closed",
			kg_addr_text(&flow->remote, addr, sizeof(addr)), sip_transport_name(flow->transport), why);
	else
		guard_malformed(stack, &flow->remote, why);
}

static bool on_known(void *arg, const struct kg_addr *remote)
{
	return guard_knows(arg, remote);
}

int sip_stack_reload_tls(struct sip_stack *stack, const struct sip_tls_files *files, char *err)
{
	return sip_wires_reload(stack->wire, files, err);
}

void sip_stack_wires(const struct sip_stack *stack, struct sip_wires_counts *out)
{
	sip_wires_counts(stack->wire, out);
}

static void on_stray(void *arg, const struct sip_msg *msg)
{
	struct sip_stack *stack = arg;

	guard_stray(stack, msg);
	stack_drop(stack, "stray_response");
	stack_log(stack, KG_LOG_DEBUG, msg, "this response belongs to nothing");
}

static void on_advertised(void *arg, const struct kg_addr *local, struct kg_addr *out)
{
	struct sip_stack *stack = arg;

	stack->options.advertised(stack->options.arg, local, out);
}

// --- what the rest builds with ------------------------------------------------------------------------------------

const char *sip_stack_name(struct sip_stack *stack, const char *host)
{
	for (unsigned i = 0; i < stack->name_count; i++)
		if (strcasecmp(stack->names[i], host) == 0)
			return stack->names[i];
	// Past the last no certificate fits: who names that many hosts is not called.
	if (stack->name_count == STACK_NAMES || !(stack->names[stack->name_count] = strdup(host)))
		return "";
	return stack->names[stack->name_count++];
}

const char *stack_peer_name(const struct sip_stack *stack, const struct kg_addr *peer)
{
	return stack->options.peer_name ? stack->options.peer_name(stack->options.arg, peer) : NULL;
}

int stack_add_contact(const struct sip_stack *stack, struct sip_msg *msg, const struct sip_flow *flow)
{
	static const char *const params[SIP_TRANSPORTS] = {
		[SIP_UDP] = "",
		[SIP_TCP] = ";transport=tcp",
		[SIP_TLS] = ";transport=tls",
		[SIP_WS] = ";transport=ws",
		[SIP_WSS] = ";transport=ws", // RFC 7118 5: `ws` for both
	};
	const struct kg_addr said = sip_txs_advertised(stack->txs, &flow->local);
	char addr[KG_ADDR_STRLEN];

	return sip_msg_addf(
		msg, "Contact", "<sip:%s%s>", kg_addr_text(&said, addr, sizeof(addr)), params[flow->transport]);
}

// The same request gets the same tag, whether or not we keep a transaction for it.
static void core_tag(struct sip_stack *stack, const struct sip_msg *request, char tag[17])
{
	const char *branch = sip_msg_branch(request);
	uint64_t hash = sip_table_hash(&stack->pending, sip_msg_call_id(request));

	hash ^= sip_table_hash(&stack->pending, branch ? branch : "") * 3;
	snprintf(tag, 17, "%016llx", (unsigned long long)hash);
}

void stack_answer(struct sip_stack *stack, struct sip_msg *request, int status, const char *const *headers)
{
	char tag[17];

	core_tag(stack, request, tag);
	stack_answer_as(stack, request, status, tag, headers);
}

void stack_answer_as(
	struct sip_stack *stack, struct sip_msg *request, int status, const char *tag, const char *const *headers)
{
	struct sip_msg *response = sip_msg_response(request, status, NULL, tag);
	struct sip_tx *tx;
	int error = -ENOMEM;

	tx = response ? sip_tx_serve(stack->txs, request, NULL, NULL) : NULL;
	if (tx)
		error = sip_msg_add(response, "Server", stack->user_agent);
	if (!error)
		error = sip_msg_add_list(response, headers);
	if (!error)
		error = sip_tx_respond(tx, response);
	if (error) {
		stack_drop(stack, "no_memory");
		if (tx)
			sip_tx_end(tx);
	}
	sip_msg_unref(response);
}

// --- open and close -----------------------------------------------------------------------------------------------

int sip_stack_create(const struct sip_stack_options *options, struct sip_wire *wire, struct sip_stack **out)
{
	struct sip_stack *stack = calloc(1, sizeof(*stack));
	const struct sip_txs_options txs = {
		.wheel = options->wheel,
		.send = on_send,
		.request = core_request,
		.ack = core_ack,
		.stray = on_stray,
		.advertised = options->advertised ? on_advertised : NULL,
		.arg = stack,
	};
	int error = sip_msg_init();

	if (!stack)
		return -ENOMEM;
	stack->options = *options;
	stack->wire = wire;
	stack->user_agent = strdup(options->user_agent ? options->user_agent : "kedge");
	if (!error && !stack->user_agent)
		error = -ENOMEM;
	if (!error)
		error = sip_table_init(&stack->pending);
	if (!error)
		error = sip_dialogs_init(&stack->dialogs);
	stack->dialogs.behind_nat = on_behind_nat;
	stack->dialogs.arg = stack;
	if (!error)
		error = sip_txs_create(&txs, &stack->txs);
	if (!error)
		error = guard_open(stack);
	if (!error)
		error = auth_open(stack);
	if (error) {
		stack->wire = NULL; // the caller's still
		sip_stack_close(stack);
		return error;
	}
	*out = stack;
	return 0;
}

int sip_stack_open(const struct sip_stack_options *options, struct sip_stack **out, char *err)
{
	struct sip_wire_events events = {.message = sip_stack_message,
		.refused = sip_stack_refused,
		.broken = sip_stack_broken,
		.garbage = sip_stack_garbage,
		.known = on_known};
	struct sip_stack *stack;
	int error = sip_stack_create(options, NULL, &stack);

	if (error) {
		snprintf(err, 256, "the SIP stack cannot start: %s", strerror(-error));
		return error;
	}
	events.arg = stack;
	error = sip_wires_open(options->base, options->listen, options->listen_count, &options->tls, &options->wires,
		&events, &stack->wire, err);
	if (error) {
		sip_stack_close(stack);
		return error;
	}
	*out = stack;
	return 0;
}

void sip_stack_close(struct sip_stack *stack)
{
	if (!stack)
		return;
	stack->closing = true; // what `freed` may call on other sessions is refused
	while (stack->sessions)
		session_free(stack->sessions);
	while (stack->requests) // that nobody waits for
		sip_request_end(stack->requests);
	guard_close(stack);
	auth_close(stack);
	sip_txs_destroy(stack->txs);
	sip_dialogs_fini(&stack->dialogs);
	sip_table_fini(&stack->pending);
	if (stack->wire)
		stack->wire->close(stack->wire);
	for (unsigned i = 0; i < stack->name_count; i++)
		free(stack->names[i]);
	free(stack->user_agent);
	free(stack);
}

void sip_stack_counts(const struct sip_stack *stack, struct sip_counts *out)
{
	const struct sip_txs_counts *txs = sip_txs_counts(stack->txs);

	*out = stack->counts;
	out->ict = txs->live[SIP_ICT];
	out->ist = txs->live[SIP_IST];
	out->nict = txs->live[SIP_NICT];
	out->nist = txs->live[SIP_NIST];
	out->dialogs = stack->dialogs.table.count;
	out->retransmits_in += txs->retransmits_in;
	out->retransmits_out += txs->retransmits_out;
	out->timeouts += txs->timeouts;
	memcpy(out->refused, sip_limits_counts(stack->limits), sizeof(out->refused));
}
