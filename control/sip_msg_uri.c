// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>

#include "sip_msg_impl.h"

char *sip_uri_extract(const char *text)
{
	const char *uri;
	size_t length;

	if (!scan_uri(text, &uri, &length) || !length)
		return NULL;
	return strndup(uri, length);
}

static int text_fit(char *out, size_t size, const char *text)
{
	if (!text)
		text = "";
	snprintf(out, size, "%s", text);
	return strlen(text) < size ? 0 : -EINVAL;
}

static int port_parse(const char *text, uint16_t *port)
{
	char *end;
	long value;

	if (!text || !*text)
		return 0;
	value = strtol(text, &end, 10);
	if (*end || value < 1 || value > 65535)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static int uri_read(const osip_uri_t *uri, struct sip_uri *out)
{
	osip_list_t *params = (osip_list_t *)&uri->url_params;
	osip_uri_param_t *lr = NULL, *transport = NULL;
	int error = text_fit(out->scheme, sizeof(out->scheme), uri->scheme);

	if (!error && strcasecmp(out->scheme, "tel") == 0 && uri->string) {
		size_t length = strcspn(uri->string, ";");

		if (!length || length >= sizeof(out->user))
			return -EINVAL;
		memcpy(out->user, uri->string, length);
		return 0;
	}
	if (error || !uri->host || !*uri->host)
		return -EINVAL;
	error = text_fit(out->user, sizeof(out->user), uri->username);
	if (!error)
		error = text_fit(out->host, sizeof(out->host), uri->host);
	if (!error)
		error = port_parse(uri->port, &out->port);
	out->lr = osip_uri_param_get_byname(params, (char *)"lr", &lr) == OSIP_SUCCESS && lr;
	if (osip_uri_param_get_byname(params, (char *)"transport", &transport) == OSIP_SUCCESS && transport &&
		transport->gvalue) // one that is too long to be any is cut, and none of ours
		snprintf(out->transport, sizeof(out->transport), "%s", transport->gvalue);
	return error;
}

bool sip_uri_transport(const struct sip_uri *uri, enum sip_transport *out)
{
	bool secure = strcasecmp(uri->scheme, "sips") == 0;

	if (strcasecmp(uri->scheme, "tel") == 0)
		return false;
	*out = secure ? SIP_TLS : SIP_UDP;
	if (!*uri->transport)
		return true;
	for (unsigned i = 0; i < SIP_TRANSPORTS; i++) {
		if (strcasecmp(sip_transport_name((enum sip_transport)i), uri->transport) != 0)
			continue;
		*out = (enum sip_transport)i;
		// RFC 3261 26.2.2: sips over TCP is TLS; RFC 7118 5: over WebSocket it is WSS
		if (secure && i == SIP_TCP)
			*out = SIP_TLS;
		else if (secure && i == SIP_WS)
			*out = SIP_WSS;
		return !secure || i != SIP_UDP;
	}
	return false;
}

int sip_uri_parse(const char *text, struct sip_uri *out)
{
	char *bare = sip_uri_extract(text);
	// "<sip:a;b@c>" has its parameters inside the brackets; a bare URI as of a request line is read whole.
	const char *whole = strchr(text, '<') ? bare : text + strspn(text, " \t");
	osip_uri_t *uri = NULL;
	int error = -EINVAL;

	memset(out, 0, sizeof(*out));
	// An escaped NUL would end a C string early: what is compared would not be what is sent.
	if (!bare || strlen(whole) > SIP_MAX_LINE || strstr(whole, "%00") || !text_is_clean(whole))
		goto out;
	error = -EPROTONOSUPPORT;
	if (!scan_is_sip(whole) && strncasecmp(whole, "tel:", 4) != 0)
		goto out;
	error = -EINVAL;
	if (osip_uri_init(&uri) != OSIP_SUCCESS) {
		error = -ENOMEM;
		goto out;
	}
	if (osip_uri_parse(uri, whole) == OSIP_SUCCESS)
		error = uri_read(uri, out);
out:
	osip_uri_free(uri);
	free(bare);
	return error;
}
