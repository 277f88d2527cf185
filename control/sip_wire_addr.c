// SPDX-License-Identifier: BSD-3-Clause

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>

#include "sip_wire_addr.h"

const char *sip_transport_name(enum sip_transport transport)
{
	static const char *const names[] = {"UDP", "TCP", "TLS", "WS", "WSS"};

	return (unsigned)transport < SIP_TRANSPORTS ? names[transport] : "?";
}

socklen_t wire_sockaddr_write(const struct kg_addr *addr, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (addr->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		memcpy(&in->sin_addr, addr->ip, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(addr->port);
	memcpy(&in6->sin6_addr, addr->ip, 16);
	return sizeof(*in6);
}

void wire_sockaddr_read(const struct sockaddr_storage *from, struct kg_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		out->family = 4;
		out->port = ntohs(in->sin_port);
		memcpy(out->ip, &in->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		out->family = 6;
		out->port = ntohs(in6->sin6_port);
		memcpy(out->ip, &in6->sin6_addr, 16);
	}
}

bool wire_addr_is_any(const struct kg_addr *addr)
{
	static const uint8_t any[16];

	return memcmp(addr->ip, any, sizeof(any)) == 0;
}

void wire_listen_explain(int error, enum sip_transport transport, const struct kg_addr *local, char *err)
{
	const char *name = sip_transport_name(transport), *ss = transport == SIP_UDP ? "ss -ulnp" : "ss -tlnp";
	char where[8 + KG_ADDR_STRLEN];
	size_t at = 0;

	for (; name[at]; at++)
		where[at] = (char)tolower((unsigned char)name[at]);
	where[at++] = ':';
	kg_addr_text(local, where + at, sizeof(where) - at);
	if (error == -EADDRINUSE)
		snprintf(err, 256,
			"%s is taken by another process: stop it (%s shows it) or write another address in sip.listen",
			where, ss);
	else if (error == -EADDRNOTAVAIL)
		snprintf(err, 256,
			"%s is no address of this machine: correct sip.listen, or give it to an interface (ip address "
			"add)",
			where);
	else if (error == -EACCES)
		snprintf(
			err, 256, "%s needs a privilege: start as root or take a port above 1023 in sip.listen", where);
	else
		snprintf(err, 256, "%s cannot be opened: %s", where, strerror(-error));
}
