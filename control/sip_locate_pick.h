// SPDX-License-Identifier: BSD-3-Clause
// sip_locate's decisions, without a resolver: which services, in which order, and the list of targets.
#pragma once

#include "sip_locate.h"

#define PICK_SERVICES 8 // of a domain; what is behind them is left out

// Something to ask SRV for, or, where `direct`, addresses.
struct pick_service {
	enum sip_transport transport;
	uint16_t order; // of its NAPTR record
	bool direct;
	char name[DNS_NAME];
};

// A name whose addresses are targets.
struct pick_host {
	enum sip_transport transport;
	uint16_t port;
	const char *name;                    // not ours
	const struct dns_answer *answers[2]; // A, AAAA; NULL: none
};

// The transports that are left, as bits: those enabled, of them the one asked for or, with sips, TLS.
unsigned pick_transports(const struct sip_locate_ask *ask);
// The one for a host without SRV: the first that is left of UDP, TCP, TLS.
enum sip_transport pick_transport(unsigned transports);
uint16_t pick_port(enum sip_transport transport); // the default one

// The services of NAPTR records, best first. *foreign: there are records of SIP services, though of none for us.
unsigned pick_naptr(
	const struct dns_answer *naptr, unsigned transports, struct pick_service out[PICK_SERVICES], bool *foreign);
// The services to ask for where there is no NAPTR record.
unsigned pick_default(const char *host, unsigned transports, struct pick_service out[PICK_SERVICES]);
// Indices of SRV records in the order that RFC 2782 wants, by priority and weighted chance; without those of no use.
unsigned pick_srv(const struct dns_answer *srv, uint32_t (*random)(void *arg, uint32_t limit), void *arg,
	unsigned out[DNS_RECORDS]);
// Every host's addresses, IPv4 first.
unsigned pick_targets(const struct pick_host *hosts, unsigned count, struct sip_target out[SIP_LOCATE_TARGETS]);
