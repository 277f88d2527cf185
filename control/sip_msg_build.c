// SPDX-License-Identifier: BSD-3-Clause
// Building: fields are kept as given, osip2 writes them out. Values go through it as opaque headers, so that a URI or a
// name that a peer wrote leaves byte for byte as it came.

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>

#include "sip_msg_impl.h"

static const struct {
	int status;
	const char *phrase;
} phrases[] = {
	{100, "Trying"},
	{180, "Ringing"},
	{181, "Call Is Being Forwarded"},
	{182, "Queued"},
	{183, "Session Progress"},
	{199, "Early Dialog Terminated"},
	{200, "OK"},
	{202, "Accepted"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Moved Temporarily"},
	{305, "Use Proxy"},
	{380, "Alternative Service"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{413, "Request Entity Too Large"},
	{414, "Request-URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Unsupported URI Scheme"},
	{420, "Bad Extension"},
	{421, "Extension Required"},
	{422, "Session Interval Too Small"},
	{423, "Interval Too Brief"},
	{433, "Anonymity Disallowed"},
	{480, "Temporarily Unavailable"},
	{481, "Call/Transaction Does Not Exist"},
	{482, "Loop Detected"},
	{483, "Too Many Hops"},
	{484, "Address Incomplete"},
	{485, "Ambiguous"},
	{486, "Busy Here"},
	{487, "Request Terminated"},
	{488, "Not Acceptable Here"},
	{491, "Request Pending"},
	{493, "Undecipherable"},
	{500, "Server Internal Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Server Time-out"},
	{505, "Version Not Supported"},
	{513, "Message Too Large"},
	{600, "Busy Everywhere"},
	{603, "Decline"},
	{604, "Does Not Exist Anywhere"},
	{606, "Not Acceptable"},
	{607, "Unwanted"},
};

const char *sip_reason_phrase(int status)
{
	static const char *const classes[] = {
		"", "Progress", "Success", "Redirection", "Client Error", "Server Error", "Global Failure"};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return status >= 100 && status < 700 ? classes[status / 100] : "";
}

static struct sip_msg *msg_create(void)
{
	struct sip_msg *msg = calloc(1, sizeof(*msg));

	if (!msg) {
		errno = ENOMEM;
		return NULL;
	}
	msg->refs = 1;
	msg->built = true;
	return msg;
}

static struct sip_msg *msg_fail(struct sip_msg *msg, int error)
{
	sip_msg_unref(msg);
	errno = -error;
	return NULL;
}

struct sip_msg *sip_msg_request(const char *method, const char *uri)
{
	struct sip_msg *msg;

	if (!text_is_token(method, strlen(method)) || !strchr(uri, ':') || uri[strcspn(uri, " \t\r\n<>\"")]) {
		errno = EINVAL;
		return NULL;
	}
	msg = msg_create();
	if (!msg)
		return NULL;
	msg->request = true;
	msg->method = sip_method_find(method, strlen(method));
	msg->method_name = strdup(method);
	msg->uri = strdup(uri);
	if (!msg->method_name || !msg->uri || asprintf(&msg->start, "%s %s SIP/2.0", method, uri) < 0)
		return msg_fail(msg, -ENOMEM);
	return msg;
}

static int copy_all(struct sip_msg *msg, const struct sip_msg *from, const char *name)
{
	const char *value;
	int error = 0;

	for (unsigned i = 0; !error && (value = sip_msg_header(from, name, i)); i++)
		error = sip_msg_add(msg, name, value);
	return error;
}

static bool has_tag(const char *value)
{
	const char *uri;
	size_t length;

	if (!scan_uri(value, &uri, &length))
		return false;
	for (value = uri + length; (value = strchr(value, ';'));) {
		value += 1 + strspn(value + 1, " \t");
		if (strncasecmp(value, "tag", 3) == 0 && value[3 + strspn(value + 3, " \t")] == '=')
			return true;
	}
	return false;
}

struct sip_msg *sip_msg_response(const struct sip_msg *request, int status, const char *reason, const char *to_tag)
{
	const char *to = sip_msg_to(request);
	struct sip_msg *msg;
	int error;

	if (!reason)
		reason = sip_reason_phrase(status);
	if (status < 100 || status > 699 || !text_is_clean(reason) ||
		(to_tag && !text_is_token(to_tag, strlen(to_tag)))) {
		errno = EINVAL;
		return NULL;
	}
	msg = msg_create();
	if (!msg)
		return NULL;
	msg->status = status;
	msg->method = request->method;
	msg->reason = strdup(reason);
	msg->method_name = strdup(sip_msg_method_name(request));
	if (!msg->reason || !msg->method_name || asprintf(&msg->start, "SIP/2.0 %d %s", status, reason) < 0)
		return msg_fail(msg, -ENOMEM);
	error = copy_all(msg, request, "Via");
	if (!error)
		error = copy_all(msg, request, "Record-Route");
	if (!error)
		error = copy_all(msg, request, "From");
	if (!error)
		error = to_tag && !has_tag(to) ? sip_msg_addf(msg, "To", "%s;tag=%s", to, to_tag)
					       : sip_msg_add(msg, "To", to);
	if (!error)
		error = copy_all(msg, request, "Call-ID");
	if (!error)
		error = copy_all(msg, request, "CSeq");
	if (!error && status == 100)
		error = copy_all(msg, request, "Timestamp");
	return error ? msg_fail(msg, error) : msg;
}

struct sip_msg *sip_msg_derive(const struct sip_msg *invite, enum sip_method method, const char *to)
{
	struct sip_msg *msg = sip_msg_request(sip_method_text(method), sip_msg_request_uri(invite));
	int error;

	if (!msg)
		return NULL;
	error = sip_msg_add(msg, "Via", sip_msg_header(invite, "Via", 0));
	if (!error)
		error = copy_all(msg, invite, "Route");
	if (!error)
		error = sip_msg_add(msg, "Max-Forwards", "70");
	if (!error)
		error = sip_msg_add(msg, "From", sip_msg_from(invite));
	if (!error)
		error = sip_msg_add(msg, "To", to ? to : sip_msg_to(invite));
	if (!error)
		error = sip_msg_add(msg, "Call-ID", sip_msg_call_id(invite));
	if (!error)
		error = sip_msg_addf(msg, "CSeq", "%u %s", sip_msg_cseq(invite), sip_method_text(method));
	return error ? msg_fail(msg, error) : msg;
}

static int field_insert(struct sip_msg *msg, unsigned at, const char *name, const char *value)
{
	struct field field = {NULL, NULL, true};

	if (!msg->built || !value || !text_is_token(name, strlen(name)) || !text_is_clean(value))
		return -EINVAL;
	if (msg->field_count == FIELDS_MAX)
		return -E2BIG;
	field.name = strdup(name);
	field.value = strdup(value);
	if (!field.name || !field.value) {
		free(field.name);
		free(field.value);
		return -ENOMEM;
	}
	memmove(&msg->fields[at + 1], &msg->fields[at], (msg->field_count - at) * sizeof(field));
	msg->fields[at] = field;
	msg->field_count++;
	msg->typed_known = false;
	return 0;
}

int sip_msg_add(struct sip_msg *msg, const char *name, const char *value)
{
	return field_insert(msg, msg->field_count, name, value);
}

int sip_msg_prepend(struct sip_msg *msg, const char *name, const char *value)
{
	return field_insert(msg, 0, name, value);
}

void sip_msg_remove(struct sip_msg *msg, const char *name)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < msg->field_count; i++) {
		struct field *field = &msg->fields[i];

		if (msg->built && strcasecmp(field->name, name) == 0) {
			free(field->name);
			free(field->value);
		} else {
			msg->fields[kept++] = *field;
		}
	}
	msg->field_count = kept;
	msg->typed_known = false;
}

size_t sip_msg_length(const struct sip_msg *msg)
{
	size_t length = strlen(msg->start) + 2 + sizeof("Content-Length: 12345\r\n\r\n") - 1 + msg->body_length;

	for (unsigned i = 0; i < msg->field_count; i++)
		length += strlen(msg->fields[i].name) + strlen(msg->fields[i].value) + 4;
	return length;
}

int sip_msg_addf(struct sip_msg *msg, const char *name, const char *fmt, ...)
{
	va_list args;
	char *value;
	int error;

	va_start(args, fmt);
	error = vasprintf(&value, fmt, args) < 0 ? -ENOMEM : 0;
	va_end(args);
	if (error)
		return error;
	error = sip_msg_add(msg, name, value);
	free(value);
	return error;
}

int sip_msg_add_list(struct sip_msg *msg, const char *const *headers)
{
	int error = 0;

	for (; !error && headers && headers[0]; headers += 2)
		error = sip_msg_add(msg, headers[0], headers[1]);
	return error;
}

int sip_msg_set_body(struct sip_msg *msg, const char *type, const char *body, size_t length)
{
	char *bytes;
	int error;

	if (!msg->built || msg->body || length > SIP_MAX_MESSAGE)
		return -EINVAL;
	bytes = malloc(length + 1);
	if (!bytes)
		return -ENOMEM;
	error = sip_msg_add(msg, "Content-Type", type);
	if (error) {
		free(bytes);
		return error;
	}
	memcpy(bytes, body, length);
	bytes[length] = '\0';
	msg->body = bytes;
	msg->body_length = length;
	return 0;
}

// osip2 takes a URI of another scheme as one string and leaves it alone: so it does ours.
static int tree_set_uri(osip_message_t *tree, const char *uri)
{
	const char *colon = strchr(uri, ':');
	osip_uri_t *out;

	if (!colon || osip_uri_init(&out) != OSIP_SUCCESS)
		return -ENOMEM;
	out->scheme = osip_strdup(uri);
	out->string = osip_strdup(colon + 1);
	if (out->scheme)
		out->scheme[colon - uri] = '\0';
	osip_message_set_uri(tree, out);
	return out->scheme && out->string ? 0 : -ENOMEM;
}

static int tree_fill(osip_message_t *tree, const struct sip_msg *msg)
{
	osip_message_set_version(tree, osip_strdup("SIP/2.0"));
	if (msg->request) {
		osip_message_set_method(tree, osip_strdup(msg->method_name));
		if (tree_set_uri(tree, msg->uri) != 0)
			return -ENOMEM;
	} else {
		osip_message_set_status_code(tree, msg->status);
		osip_message_set_reason_phrase(tree, osip_strdup(msg->reason));
	}
	for (unsigned i = 0; i < msg->field_count; i++)
		if (osip_message_set_header(tree, msg->fields[i].name, msg->fields[i].value) != OSIP_SUCCESS)
			return -ENOMEM;
	return 0;
}

char *sip_msg_build(struct sip_msg *msg, size_t *length)
{
	static const char no_body[] = "Content-Length: 0\r\n\r\n";
	const size_t tail = sizeof(no_body) - 1;
	osip_message_t *tree = NULL;
	char *head = NULL, *out = NULL;
	size_t head_length = 0;
	int written;

	if (!msg->built || osip_message_init(&tree) != OSIP_SUCCESS)
		return NULL;
	if (tree_fill(tree, msg) != 0 || osip_message_to_str(tree, &head, &head_length) != OSIP_SUCCESS ||
		head_length < tail || memcmp(head + head_length - tail, no_body, tail) != 0)
		goto out;
	// The body is ours to append: osip2 would take a multipart apart and write it anew.
	head_length -= tail;
	out = malloc(head_length + tail + 8 + msg->body_length + 1);
	if (!out)
		goto out;
	memcpy(out, head, head_length);
	written = sprintf(out + head_length, "Content-Length: %zu\r\n\r\n", msg->body_length);
	*length = head_length + (size_t)written + msg->body_length;
	if (msg->body_length)
		memcpy(out + head_length + written, msg->body, msg->body_length);
	out[*length] = '\0';
out:
	osip_free(head);
	osip_message_free(tree);
	return out;
}

// --- where a request came from ------------------------------------------------------------------------------------

// The value without its parameter `name` (";name" or ";name=…"). Returns: whether it was there.
static bool param_cut(char *value, const char *name)
{
	size_t length = strlen(name);
	bool found = false;
	char *semi = value;

	while ((semi = strchr(semi, ';'))) {
		char *start = semi + 1 + strspn(semi + 1, " \t");
		char *after = start + length + strspn(start + (strlen(start) < length ? strlen(start) : length), " \t");

		if (strncasecmp(start, name, length) == 0 && (*after == '=' || *after == ';' || !*after)) {
			after += strcspn(after, ";");
			memmove(semi, after, strlen(after) + 1);
			found = true;
		} else {
			semi++;
		}
	}
	return found;
}

void sip_msg_set_source(struct sip_msg *msg, const struct kg_addr *source)
{
	sip_msg_set_flow(msg, &(struct sip_flow){.remote = *source});
}

void sip_msg_set_flow(struct sip_msg *msg, const struct sip_flow *flow)
{
	const struct kg_addr *source = &flow->remote;
	char ip[KG_ADDR_STRLEN], *cut = NULL, *value = NULL;
	bool rport;

	msg->flow = *flow;
	for (unsigned i = 0; i < msg->field_count; i++) {
		struct field *field = &msg->fields[i];

		if (strcasecmp(field->name, "Via") != 0)
			continue;
		cut = strdup(field->value);
		if (!cut)
			return;
		param_cut(cut, "received"); // a peer's word for it is worth nothing
		rport = param_cut(cut, "rport");
		kg_addr_ip(source, ip, sizeof(ip));
		if (rport ? asprintf(&value, "%s;received=%s;rport=%u", cut, ip, source->port) < 0
			  : asprintf(&value, "%s;received=%s", cut, ip) < 0)
			value = NULL;
		free(cut);
		if (!value)
			return;
		if (field->owned)
			free(field->value);
		field->value = value;
		field->owned = true;
		return;
	}
}
