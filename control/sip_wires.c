// SPDX-License-Identifier: BSD-3-Clause
// All transports as one wire.

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "sip_stream.h"

struct wires {
	struct sip_wire wire; // first
	struct sip_wire *udp; // NULL: no listener of it
	struct stream *stream;
	void *names; // tree of strings
};

static int wires_send(struct sip_wire *wire, struct sip_flow *flow, const char *data, size_t length)
{
	struct wires *wires = (struct wires *)wire;

	if (flow->transport != SIP_UDP)
		return sip_stream_send(wires->stream, flow, data, length);
	return wires->udp ? wires->udp->send(wires->udp, flow, data, length) : -EADDRNOTAVAIL;
}

static void wires_close(struct sip_wire *wire)
{
	struct wires *wires = (struct wires *)wire;

	if (wires->udp)
		wires->udp->close(wires->udp);
	if (wires->stream)
		sip_stream_close(wires->stream);
	tdestroy(wires->names, free);
	free(wires);
}

static int udp_open(struct wires *wires, struct event_base *base, const struct sip_listen *listen, unsigned count,
	const struct sip_wire_events *events, char *err)
{
	struct kg_addr addrs[16];
	unsigned used = 0;

	for (unsigned i = 0; i < count; i++) {
		if (listen[i].transport != SIP_UDP)
			continue;
		if (used == sizeof(addrs) / sizeof(*addrs)) {
			snprintf(err, 256, "sip.listen names more than %u addresses for UDP", used);
			return -E2BIG;
		}
		addrs[used++] = listen[i].addr;
	}
	return used ? sip_udp_open(base, addrs, used, events, &wires->udp, err) : 0;
}

int sip_wires_open(struct event_base *base, const struct sip_listen *listen, unsigned count,
	const struct sip_tls_files *tls, const struct sip_wires_limits *limits, const struct sip_wire_events *events,
	struct sip_wire **out, char *err)
{
	struct wires *wires = calloc(1, sizeof(*wires));
	int error;

	snprintf(err, 256, "no memory for the SIP sockets");
	if (!wires)
		return -ENOMEM;
	wires->wire = (struct sip_wire){wires_send, wires_close};
	error = udp_open(wires, base, listen, count, events, err);
	if (!error)
		error = sip_stream_open(base, listen, count, tls, limits, events, &wires->stream, err);
	if (error) {
		wires_close(&wires->wire);
		return error;
	}
	*out = &wires->wire;
	return 0;
}

int sip_wires_reload(struct sip_wire *wire, const struct sip_tls_files *tls, char *err)
{
	return sip_stream_reload(((struct wires *)wire)->stream, tls, err);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

const char *sip_wire_name(struct sip_wire *wire, const char *host)
{
	struct wires *wires = (struct wires *)wire;
	char **found = tfind(host, &wires->names, name_compare), *copy;

	if (found)
		return *found;
	copy = strdup(host);
	found = copy ? tsearch(copy, &wires->names, name_compare) : NULL;
	if (!found)
		free(copy);
	return found ? *found : NULL;
}

void sip_wires_counts(const struct sip_wire *wire, struct sip_wires_counts *out)
{
	sip_stream_counts(((const struct wires *)wire)->stream, out);
}
