// SPDX-License-Identifier: BSD-3-Clause

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>

#include "sip_body.h"
#include "sip_msg_impl.h"

static const char *const method_names[SIP_METHOD_COUNT] = {"", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER",
	"INFO", "PRACK", "UPDATE", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE"};

const char *sip_method_text(enum sip_method method)
{
	return method > SIP_UNKNOWN && method < SIP_METHOD_COUNT ? method_names[method] : "";
}

enum sip_method sip_method_find(const char *name, size_t length)
{
	for (unsigned i = 1; i < SIP_METHOD_COUNT; i++)
		if (strlen(method_names[i]) == length && memcmp(method_names[i], name, length) == 0)
			return (enum sip_method)i;
	return SIP_UNKNOWN;
}

static void trace_nowhere(const char *file, int line, osip_trace_level_t level, const char *fmt, va_list args)
{
}

int sip_msg_init(void)
{
	static bool done;

	if (done)
		return 0;
	osip_trace_initialize_func(END_TRACE_LEVEL, trace_nowhere);
	for (int level = 0; level < END_TRACE_LEVEL; level++)
		osip_trace_disable_level((osip_trace_level_t)level);
	if (parser_init() != OSIP_SUCCESS)
		return -ENOMEM;
	done = true;
	return 0;
}

// --- what osip2 reads ---------------------------------------------------------------------------------------------

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int via_read(osip_message_t *tree, struct typed *typed)
{
	osip_via_t *via = osip_list_get(&tree->vias, 0);
	osip_generic_param_t *param = NULL;
	char *end;
	long port = 5060;

	if (!via || !via->host || !*via->host || !via->version || strcmp(via->version, "2.0") != 0)
		return -EBADMSG;
	if (via->port) {
		port = strtol(via->port, &end, 10);
		if (*end || port < 1 || port > 65535)
			return -EBADMSG;
	}
	typed->via_port = (uint16_t)port;
	typed->via_host = copy(via->host);
	if (osip_via_param_get_byname(via, (char *)"branch", &param) == OSIP_SUCCESS && param && param->gvalue)
		typed->branch = copy(param->gvalue);
	param = NULL;
	typed->rport = osip_via_param_get_byname(via, (char *)"rport", &param) == OSIP_SUCCESS && param;
	return 0;
}

static char *tag_read(osip_from_t *address)
{
	osip_generic_param_t *tag = NULL;

	if (!address || osip_from_get_tag(address, &tag) != OSIP_SUCCESS || !tag || !tag->gvalue)
		return NULL;
	return copy(tag->gvalue);
}

static char *type_read(const struct sip_msg *msg)
{
	const char *value = sip_msg_header(msg, "Content-Type", 0);
	char *type = value ? strndup(value, strcspn(value, "; \t")) : NULL;

	for (char *c = type; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return type;
}

static void typed_free(struct typed *typed)
{
	free(typed->from_tag);
	free(typed->to_tag);
	free(typed->branch);
	free(typed->via_host);
	free(typed->contact_uri);
	free(typed->content_type);
	memset(typed, 0, sizeof(*typed));
}

// The head alone, as one line a field: osip2 gets no body and no length to be wrong about (it would cut up multiparts).
static char *head_text(const struct sip_msg *msg, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	if (!out)
		return NULL;
	// Of a URI of another scheme, which only has to be refused politely, osip2 needs to know nothing.
	if (msg->request && !scan_is_sip(msg->uri))
		fprintf(out, "%s sip:other SIP/2.0\r\n", msg->method_name);
	else if (msg->request)
		fprintf(out, "%s\r\n", msg->start);
	else // without a reason phrase osip2 would take the first header for it
		fprintf(out, "SIP/2.0 %d reason\r\n", msg->status);
	for (unsigned i = 0; i < msg->field_count; i++)
		if (strcasecmp(msg->fields[i].name, "Content-Length") != 0)
			fprintf(out, "%s: %s\r\n", msg->fields[i].name, msg->fields[i].value);
	fputs("\r\n", out);
	return fclose(out) == 0 ? text : NULL;
}

static int typed_read(struct sip_msg *msg, const char *head, size_t length, const char **why)
{
	osip_message_t *tree = NULL;
	const char *contact = sip_msg_header(msg, "Contact", 0);
	int error = -EBADMSG;

	*why = "malformed";
	if (osip_message_init(&tree) != OSIP_SUCCESS)
		return -ENOMEM;
	if (osip_message_parse(tree, head, length) != OSIP_SUCCESS || !tree->from || !tree->to || !tree->cseq ||
		!tree->call_id)
		goto out;
	if (via_read(tree, &msg->typed) != 0) {
		*why = "bad_via";
		goto out;
	}
	msg->typed.from_tag = tag_read(tree->from);
	msg->typed.to_tag = tag_read((osip_from_t *)tree->to);
	msg->typed.contact_uri = contact && strcmp(contact, "*") != 0 ? sip_uri_extract(contact) : NULL;
	msg->typed.content_type = type_read(msg);
	error = 0;
out:
	osip_message_free(tree);
	return error;
}

const struct typed *msg_typed(const struct sip_msg *msg)
{
	struct sip_msg *own = (struct sip_msg *)msg; // a cache, filled once

	if (msg->built && !msg->typed_known) {
		size_t length;
		char *head = head_text(msg, &length);
		const char *why;

		own->typed_known = true;
		typed_free(&own->typed);
		if (head)
			typed_read(own, head, length, &why);
		free(head);
	}
	return &msg->typed;
}

// --- life ---------------------------------------------------------------------------------------------------------

int sip_msg_parse(const char *data, size_t length, struct sip_msg **out, const char **why)
{
	struct sip_msg *msg;
	char *head = NULL;
	size_t head_length;
	int error;

	*out = NULL;
	*why = "too_long";
	if (length > SIP_MAX_MESSAGE)
		return -EBADMSG;
	msg = calloc(1, sizeof(*msg));
	if (!msg)
		return -ENOMEM;
	msg->refs = 1;
	error = -ENOMEM;
	msg->text = malloc(length + 1);
	if (!msg->text)
		goto out;
	memcpy(msg->text, data, length);
	msg->text[length] = '\0';
	error = scan_head(msg, length, why);
	if (!error)
		error = scan_check(msg, length, why);
	if (error)
		goto out;
	msg->body[msg->body_length] = '\0';
	head = head_text(msg, &head_length);
	error = head ? typed_read(msg, head, head_length, why) : -ENOMEM;
	free(head);
out:
	if (error)
		sip_msg_unref(msg);
	else
		*out = msg;
	return error;
}

struct sip_msg *sip_msg_ref(struct sip_msg *msg)
{
	msg->refs++;
	return msg;
}

void sip_msg_unref(struct sip_msg *msg)
{
	if (!msg || --msg->refs)
		return;
	if (msg->built) {
		free(msg->method_name);
		free(msg->uri);
		free(msg->reason);
		free(msg->body);
	}
	for (unsigned i = 0; i < msg->field_count; i++) {
		if (msg->fields[i].owned)
			free(msg->fields[i].value);
		if (msg->built)
			free(msg->fields[i].name);
	}
	typed_free(&msg->typed);
	free(msg->start);
	free(msg->text);
	free(msg);
}

// --- reading ------------------------------------------------------------------------------------------------------

bool sip_msg_is_request(const struct sip_msg *msg)
{
	return msg->request;
}

enum sip_method sip_msg_method(const struct sip_msg *msg)
{
	return msg->method;
}

const char *sip_msg_method_name(const struct sip_msg *msg)
{
	return msg->method_name ? msg->method_name : "";
}

int sip_msg_status(const struct sip_msg *msg)
{
	return msg->status;
}

const char *sip_msg_reason(const struct sip_msg *msg)
{
	return msg->reason ? msg->reason : "";
}

const char *sip_msg_request_uri(const struct sip_msg *msg)
{
	return msg->uri ? msg->uri : "";
}

const char *sip_msg_start_line(const struct sip_msg *msg)
{
	return msg->start;
}

static const char *header_or_empty(const struct sip_msg *msg, const char *name)
{
	const char *value = sip_msg_header(msg, name, 0);

	return value ? value : "";
}

const char *sip_msg_call_id(const struct sip_msg *msg)
{
	return header_or_empty(msg, "Call-ID");
}

const char *sip_msg_from(const struct sip_msg *msg)
{
	return header_or_empty(msg, "From");
}

const char *sip_msg_to(const struct sip_msg *msg)
{
	return header_or_empty(msg, "To");
}

uint32_t sip_msg_cseq(const struct sip_msg *msg)
{
	return msg->built ? (uint32_t)strtoul(header_or_empty(msg, "CSeq"), NULL, 10) : msg->cseq;
}

const char *sip_msg_from_tag(const struct sip_msg *msg)
{
	return msg_typed(msg)->from_tag;
}

const char *sip_msg_to_tag(const struct sip_msg *msg)
{
	return msg_typed(msg)->to_tag;
}

const char *sip_msg_branch(const struct sip_msg *msg)
{
	return msg_typed(msg)->branch;
}

const char *sip_msg_via_host(const struct sip_msg *msg)
{
	const char *host = msg_typed(msg)->via_host;

	return host ? host : "";
}

// The host of a Via value: what `received` says, else its sent-by.
static bool via_address(const char *via, struct kg_addr *out)
{
	const char *received = strcasestr(via, ";received="), *at = received ? received + 10 : strchr(via, ' ');
	char host[64];
	size_t length;

	at = at ? at + strspn(at, " \t") : "";
	at += *at == '[';
	length = strcspn(at, strchr(at, ']') ? "]" : received ? "; \t," : ":; \t,");
	if (length >= sizeof(host))
		return false;
	memcpy(host, at, length);
	host[length] = '\0';
	return kg_addr_parse(out, host, 0) == 0;
}

bool sip_msg_origin(const struct sip_msg *msg, struct kg_addr *out)
{
	const char *via = NULL, *next;
	unsigned count = 0;

	while ((next = sip_msg_header(msg, "Via", count))) {
		via = next;
		count++;
	}
	if (count > 1)
		return via_address(via, out);
	*out = *sip_msg_source(msg);
	return out->family != 0;
}

uint16_t sip_msg_via_port(const struct sip_msg *msg)
{
	return msg_typed(msg)->via_port;
}

const char *sip_msg_contact_uri(const struct sip_msg *msg)
{
	return msg_typed(msg)->contact_uri;
}

const char *sip_msg_content_type(const struct sip_msg *msg)
{
	return msg_typed(msg)->content_type;
}

const char *sip_msg_header(const struct sip_msg *msg, const char *name, unsigned index)
{
	for (unsigned i = 0; i < msg->field_count; i++)
		if (strcasecmp(msg->fields[i].name, name) == 0 && index-- == 0)
			return msg->fields[i].value;
	return NULL;
}

const char *sip_msg_body(const struct sip_msg *msg, size_t *length)
{
	if (length)
		*length = msg->body_length;
	return msg->body_length ? msg->body : NULL;
}

const char *sip_msg_sdp(const struct sip_msg *msg, size_t *length)
{
	const char *sdp;

	return sip_body_sdp(sip_msg_header(msg, "Content-Type", 0), msg->body, msg->body_length, &sdp, length) ? sdp
													       : NULL;
}

const struct kg_addr *sip_msg_source(const struct sip_msg *msg)
{
	return &msg->flow.remote;
}

const struct sip_flow *sip_msg_flow(const struct sip_msg *msg)
{
	return &msg->flow;
}

void sip_msg_reply_to_source(struct sip_msg *msg)
{
	msg->typed.rport = true;
}

struct kg_addr sip_msg_reply_to(const struct sip_msg *msg)
{
	struct kg_addr to = msg->flow.remote;

	if (!msg->built && msg->typed.via_host && !msg->typed.rport)
		to.port = msg->typed.via_port;
	return to;
}

struct sip_flow sip_msg_reply_flow(const struct sip_msg *msg)
{
	struct sip_flow flow = msg->flow;

	if (flow.transport == SIP_UDP)
		flow.remote = sip_msg_reply_to(msg);
	return flow;
}
