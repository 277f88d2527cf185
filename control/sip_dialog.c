// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip_dialog.h"

int sip_dialogs_init(struct sip_dialogs *dialogs)
{
	return sip_table_init(&dialogs->table);
}

void sip_dialogs_fini(struct sip_dialogs *dialogs)
{
	sip_table_fini(&dialogs->table);
}

static char *key_make(const char *call_id, const char *local_tag, const char *remote_tag)
{
	char *key;

	if (asprintf(&key, "%s;%s;%s", call_id, local_tag, remote_tag ? remote_tag : "") < 0)
		return NULL;
	return key;
}

static void routes_free(char **routes, unsigned count)
{
	for (unsigned i = 0; routes && i < count; i++)
		free(routes[i]);
	free(routes);
}

// The route set is the Record-Route headers: in their order for who was called, reversed for who called.
static int routes_take(struct sip_dialog *dialog, const struct sip_msg *msg, bool reverse)
{
	unsigned count = 0;
	char **routes;

	while (sip_msg_header(msg, "Record-Route", count))
		count++;
	routes = calloc(count + 1, sizeof(char *));
	if (!routes)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		routes[i] = strdup(sip_msg_header(msg, "Record-Route", reverse ? count - 1 - i : i));
		if (!routes[i]) {
			routes_free(routes, count);
			return -ENOMEM;
		}
	}
	routes_free(dialog->routes, dialog->route_count);
	dialog->routes = routes;
	dialog->route_count = count;
	return 0;
}

// RFC 3261 19.1.1: what becomes a Request-URI has no headers. A question mark before the @ is part of a name.
static void uri_cut_headers(char *uri)
{
	char *at = uri ? strchr(uri, '@') : NULL;

	if (uri)
		*strchrnul(at ? at : uri, '?') = '\0';
}

// Without a Contact (RFC 2543, or a careless provisional), or with one that is no URI, the peer's own address has to
// do.
static int target_take(struct sip_dialog *dialog, const struct sip_msg *msg)
{
	const char *contact = sip_msg_contact_uri(msg);
	char addr[KG_ADDR_STRLEN], *target = NULL;

	if (contact && (!strchr(contact, ':') || contact[strcspn(contact, " \t\"<>")]))
		contact = NULL;

	if (!contact && dialog->target)
		return 0;
	if (contact)
		target = strdup(contact);
	else if (asprintf(&target, "sip:%s", kg_addr_text(&dialog->flow.remote, addr, sizeof(addr))) < 0)
		target = NULL;
	if (!target)
		return -ENOMEM;
	uri_cut_headers(target);
	free(dialog->target);
	dialog->target = target;
	return 0;
}

static struct sip_dialog *dialog_create(
	struct sip_dialogs *dialogs, const struct sip_msg *msg, char *key, bool reverse, void *owner)
{
	struct sip_dialog *dialog = calloc(1, sizeof(*dialog));

	if (!dialog) {
		free(key);
		return NULL;
	}
	dialog->key = key;
	dialog->dialogs = dialogs;
	dialog->owner = owner;
	dialog->flow = *sip_msg_flow(msg);
	dialog->behind_nat = dialogs->behind_nat && dialogs->behind_nat(dialogs->arg, &dialog->flow);
	dialog->call_id = strdup(sip_msg_call_id(msg));
	if (!dialog->key || !dialog->call_id || target_take(dialog, msg) != 0 ||
		routes_take(dialog, msg, reverse) != 0) {
		sip_dialog_destroy(dialog);
		return NULL;
	}
	return dialog;
}

static struct sip_dialog *dialog_enter(struct sip_dialog *dialog)
{
	if (!dialog->local || !dialog->remote) {
		sip_dialog_destroy(dialog);
		return NULL;
	}
	sip_table_put(&dialog->dialogs->table, &dialog->item, dialog->key);
	return dialog;
}

struct sip_dialog *sip_dialog_create_uac(struct sip_dialogs *dialogs, const char *from, const char *tag, uint32_t cseq,
	const struct sip_msg *response, void *owner)
{
	char *key = key_make(sip_msg_call_id(response), tag, sip_msg_to_tag(response));
	struct sip_dialog *dialog = dialog_create(dialogs, response, key, true, owner);

	if (!dialog)
		return NULL;
	dialog->local = strdup(from);
	dialog->remote = strdup(sip_msg_to(response));
	dialog->local_cseq = cseq;
	return dialog_enter(dialog);
}

struct sip_dialog *sip_dialog_create_uas(
	struct sip_dialogs *dialogs, const struct sip_msg *invite, const char *tag, void *owner)
{
	char *key = key_make(sip_msg_call_id(invite), tag, sip_msg_from_tag(invite));
	struct sip_dialog *dialog = dialog_create(dialogs, invite, key, false, owner);

	if (!dialog)
		return NULL;
	if (asprintf(&dialog->local, "%s;tag=%s", sip_msg_to(invite), tag) < 0)
		dialog->local = NULL;
	dialog->remote = strdup(sip_msg_from(invite));
	dialog->remote_cseq = sip_msg_cseq(invite);
	return dialog_enter(dialog);
}

void sip_dialog_destroy(struct sip_dialog *dialog)
{
	if (!dialog)
		return;
	if (dialog->item.key)
		sip_table_remove(&dialog->dialogs->table, &dialog->item);
	routes_free(dialog->routes, dialog->route_count);
	free(dialog->key);
	free(dialog->call_id);
	free(dialog->local);
	free(dialog->remote);
	free(dialog->target);
	free(dialog);
}

int sip_dialog_confirm(struct sip_dialog *dialog, const struct sip_msg *response)
{
	int error = target_take(dialog, response);

	if (!error)
		error = routes_take(dialog, response, true);
	if (!error)
		dialog->confirmed = true;
	return error;
}

int sip_dialog_refresh(struct sip_dialog *dialog, const struct sip_msg *msg)
{
	if (!dialog) // it ended meanwhile
		return 0;
	dialog->flow = *sip_msg_flow(msg);
	return target_take(dialog, msg);
}

struct sip_dialog *sip_dialog_find(struct sip_dialogs *dialogs, const struct sip_msg *request)
{
	const char *to_tag = sip_msg_to_tag(request);
	char *key = to_tag ? key_make(sip_msg_call_id(request), to_tag, sip_msg_from_tag(request)) : NULL;
	struct sip_table_item *item = key ? sip_table_find(&dialogs->table, key) : NULL;

	free(key);
	return (struct sip_dialog *)item;
}

bool sip_dialog_accept_cseq(struct sip_dialog *dialog, const struct sip_msg *request)
{
	if (sip_msg_cseq(request) < dialog->remote_cseq)
		return false;
	dialog->remote_cseq = sip_msg_cseq(request);
	if (dialog->behind_nat) // its NAT may have given it another port meanwhile
		dialog->flow = *sip_msg_flow(request);
	return true;
}

// Behind NAT, and over a WebSocket that nobody can open but the peer, a Contact means nothing.
static void next_hop(const struct sip_dialog *dialog, struct sip_way *way)
{
	bool back = dialog->behind_nat || dialog->flow.transport == SIP_WS || dialog->flow.transport == SIP_WSS;

	*way = (struct sip_way){.flow = dialog->flow};
	if (dialog->route_count)
		way->uri = dialog->routes[0];
	else if (!back)
		way->uri = dialog->target;
}

// RFC 3261 12.2.1.1, also for a first hop that routes strictly: it wants to be the Request-URI itself.
struct sip_msg *sip_dialog_request(
	struct sip_dialog *dialog, enum sip_method method, uint32_t cseq, struct sip_way *way)
{
	struct sip_uri first;
	bool strict = dialog->route_count && sip_uri_parse(dialog->routes[0], &first) == 0 && !first.lr;
	char *first_uri = strict ? sip_uri_extract(dialog->routes[0]) : NULL;
	struct sip_msg *msg;
	int error = 0;

	uri_cut_headers(first_uri);
	msg = sip_msg_request(sip_method_text(method), first_uri ? first_uri : dialog->target);
	next_hop(dialog, way);
	free(first_uri);
	if (!msg)
		return NULL;
	for (unsigned i = strict; !error && i < dialog->route_count; i++)
		error = sip_msg_add(msg, "Route", dialog->routes[i]);
	if (!error && strict)
		error = sip_msg_addf(msg, "Route", "<%s>", dialog->target);
	if (!error)
		error = sip_msg_add(msg, "Max-Forwards", "70");
	if (!error)
		error = sip_msg_add(msg, "From", dialog->local);
	if (!error)
		error = sip_msg_add(msg, "To", dialog->remote);
	if (!error)
		error = sip_msg_add(msg, "Call-ID", dialog->call_id);
	if (!error)
		error = sip_msg_addf(
			msg, "CSeq", "%u %s", method == SIP_ACK ? cseq : ++dialog->local_cseq, sip_method_text(method));
	if (!error)
		return msg;
	sip_msg_unref(msg);
	errno = -error;
	return NULL;
}
