// SPDX-License-Identifier: BSD-3-Clause
// Where a request goes: from a URI's host, port and transport to addresses in the order they are to be tried (RFC
// 3263). An address, and what the DNS cache knows, is answered at once. All: Thread: control.
#pragma once

#include "dns.h"
#include "sip_wire.h"

#define SIP_LOCATE_TARGETS 16

struct sip_locate_ask {
	const char *host;    // a name or an address, IPv6 without brackets
	uint16_t port;       // 0: none written
	int transport;       // enum sip_transport; -1: none asked for
	bool secure;         // sips: TLS and nothing else
	bool ip4, ip6;       // which we can send from
	unsigned transports; // which we send by: bits 1 << SIP_UDP, SIP_TCP, SIP_TLS
	// Any of 0..limit, both included, each as likely; NULL: the kernel's randomness.
	uint32_t (*random)(void *arg, uint32_t limit);
	void *random_arg;
};

struct sip_target {
	enum sip_transport transport;
	struct kg_addr addr;
};

struct sip_located {
	int error;       // 0, or as sip_locate returns it
	const char *why; // a few words for the log, beside the host; "" where all is well
	char host[128];  // what a certificate must prove: the name asked for, whatever SRV says (RFC 5922 4); "": none,
			 // as an address was asked for
	unsigned count;  // 0 with an error
	struct sip_target targets[SIP_LOCATE_TARGETS]; // the best first, none twice
};

struct sip_locate;                                                        // one that waits for DNS
typedef void sip_locate_fn(void *arg, const struct sip_located *located); // lives as long as the call

// `dns` may be NULL where only addresses can be asked for. Strings of `ask` are copied.
// Returns: 0 with *out filled; -EINPROGRESS: fn comes later, never from inside this call; else *out says why:
// -ENOENT: no such name, no address, no such service; -EPROTONOSUPPORT: no transport that we send by; -EAFNOSUPPORT: an
// address of a family that we have not; -ETIMEDOUT: DNS is silent; -EIO: DNS fails; -EAGAIN: too many questions wait
// (dns.h); -EINVAL: no host; -ENOMEM.
int sip_locate(struct dns *dns, const struct sip_locate_ask *ask, sip_locate_fn *fn, void *arg, struct sip_located *out,
	struct sip_locate **locate);
// fn is not called any more. Before dns_close, all that wait are cancelled. NULL is fine.
void sip_locate_cancel(struct sip_locate *locate);
