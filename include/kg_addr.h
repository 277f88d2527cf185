// SPDX-License-Identifier: BSD-3-Clause
// An IP address with a UDP or TCP port, free of any library's types.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#define KG_ADDR_STRLEN 56 // "[v6]:port" and its NUL

struct kg_addr {
	uint8_t family; // 0 = none, 4 or 6
	uint8_t ip[16]; // network order; IPv4 in the first four bytes, the rest zero
	uint16_t port;  // host order
};

static inline bool kg_addr_none(const struct kg_addr *a)
{
	return a->family == 0;
}

static inline bool kg_addr_same_ip(const struct kg_addr *a, const struct kg_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static inline bool kg_addr_same(const struct kg_addr *a, const struct kg_addr *b)
{
	return kg_addr_same_ip(a, b) && a->port == b->port;
}

// Parse an IPv4 or IPv6 literal (without brackets) and set the port.
// Returns: 0, or -1 where `text` is no literal.
static inline int kg_addr_parse(struct kg_addr *a, const char *text, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->port = port;
	if (inet_pton(AF_INET, text, a->ip) == 1)
		a->family = 4;
	else if (inet_pton(AF_INET6, text, a->ip) == 1)
		a->family = 6;
	return a->family ? 0 : -1;
}

// Write the bare IP literal into `out` (KG_ADDR_STRLEN bytes suffice). Returns: out.
static inline char *kg_addr_ip(const struct kg_addr *a, char *out, size_t size)
{
	out[0] = '\0';
	if (a->family)
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, out, (socklen_t)size);
	return out;
}

// Write "ip:port" or "[ip]:port" into `out` (KG_ADDR_STRLEN bytes suffice), "" for none. Returns: out.
static inline char *kg_addr_text(const struct kg_addr *a, char *out, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	if (!a->family)
		out[0] = '\0';
	else
		snprintf(out, size, a->family == 4 ? "%s:%u" : "[%s]:%u", kg_addr_ip(a, ip, sizeof(ip)), a->port);
	return out;
}
