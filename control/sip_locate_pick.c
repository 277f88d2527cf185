// SPDX-License-Identifier: BSD-3-Clause

#include <stdlib.h>
#include <strings.h>

#include "sip_locate_pick.h"

static const struct {
	enum sip_transport transport;
	const char *naptr, *prefix;
} services[] = {
	// in the order in which they are tried where the domain says nothing
	{SIP_UDP, "SIP+D2U", "_sip._udp."},
	{SIP_TCP, "SIP+D2T", "_sip._tcp."},
	{SIP_TLS, "SIPS+D2T", "_sips._tcp."},
};
#define SERVICES (sizeof(services) / sizeof(*services))

unsigned pick_transports(const struct sip_locate_ask *ask)
{
	unsigned left = ask->transports & (1u << SIP_UDP | 1u << SIP_TCP | 1u << SIP_TLS);
	int asked = ask->transport;

	if (ask->secure && asked == SIP_TCP) // sips with transport=tcp is TLS over TCP (RFC 3261 26.2.2)
		asked = SIP_TLS;
	if (asked >= 0)
		left &= asked < SIP_TRANSPORTS ? 1u << asked : 0;
	return ask->secure ? left & 1u << SIP_TLS : left;
}

enum sip_transport pick_transport(unsigned transports)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (transports & 1u << services[i].transport)
			return services[i].transport;
	return SIP_UDP;
}

uint16_t pick_port(enum sip_transport transport)
{
	return sip_transport_secure(transport) ? 5061 : 5060;
}

// --- NAPTR ----------------------------------------------------------------------------------------------------------

// Returns: an index into `services`; -1: none of SIP's that we could use, *sip says whether it is one of SIP's.
static int service_find(const struct dns_record *record, bool *sip)
{
	*sip = strncasecmp(record->naptr.service, "SIP+", 4) == 0 ||
	       strncasecmp(record->naptr.service, "SIPS+", 5) == 0;
	if (record->naptr.regexp || !*record->naptr.replacement) // RFC 3263 4.1 has a replacement
		return -1;
	if (strcasecmp(record->naptr.flags, "s") != 0 && strcasecmp(record->naptr.flags, "a") != 0)
		return -1;
	for (size_t i = 0; i < SERVICES; i++)
		if (strcasecmp(record->naptr.service, services[i].naptr) == 0)
			return (int)i;
	return -1;
}

static bool naptr_before(const struct dns_record *a, const struct dns_record *b)
{
	if (a->naptr.order != b->naptr.order)
		return a->naptr.order < b->naptr.order;
	return a->naptr.preference < b->naptr.preference;
}

unsigned pick_naptr(
	const struct dns_answer *naptr, unsigned transports, struct pick_service out[PICK_SERVICES], bool *foreign)
{
	const struct dns_record *sorted[PICK_SERVICES];
	unsigned count = 0, at;
	bool sip;

	*foreign = false;
	for (unsigned i = 0; i < naptr->count; i++) {
		const struct dns_record *record = &naptr->records[i];
		int service = service_find(record, &sip);

		*foreign = *foreign || sip;
		if (service < 0 || !(transports & 1u << services[service].transport))
			continue;
		for (at = count; at > 0 && naptr_before(record, sorted[at - 1]); at--)
			if (at < PICK_SERVICES)
				sorted[at] = sorted[at - 1];
		if (at < PICK_SERVICES)
			sorted[at] = record;
		count += count < PICK_SERVICES;
	}
	for (unsigned i = 0; i < count; i++) {
		out[i].transport = services[service_find(sorted[i], &sip)].transport;
		out[i].order = sorted[i]->naptr.order;
		out[i].direct = strcasecmp(sorted[i]->naptr.flags, "a") == 0;
		strcpy(out[i].name, sorted[i]->naptr.replacement);
	}
	*foreign = *foreign && count == 0;
	return count;
}

unsigned pick_default(const char *host, unsigned transports, struct pick_service out[PICK_SERVICES])
{
	unsigned count = 0;

	for (size_t i = 0; i < SERVICES; i++) {
		struct pick_service *service = &out[count];

		if (!(transports & 1u << services[i].transport))
			continue;
		if (snprintf(service->name, DNS_NAME, "%s%s", services[i].prefix, host) >= DNS_NAME)
			continue; // such a long name has no services
		service->transport = services[i].transport;
		service->order = 0;
		service->direct = false;
		count++;
	}
	return count;
}

// --- SRV ------------------------------------------------------------------------------------------------------------

// A record of the lowest priority by chance: those of weight 0 stand first, so that a running sum of 0 finds them
// (RFC 2782). `left` is sorted by priority, then weight 0 first.
static unsigned draw(const struct dns_record *records, const unsigned *left, unsigned count,
	uint32_t (*random)(void *arg, uint32_t limit), void *arg)
{
	uint16_t priority = records[left[0]].srv.priority;
	uint32_t sum = 0, drawn;
	unsigned alike = 0;

	for (; alike < count && records[left[alike]].srv.priority == priority; alike++)
		sum += records[left[alike]].srv.weight;
	drawn = alike == 1 ? 0 : random(arg, sum);
	sum = 0;
	for (unsigned i = 0; i < alike; i++) {
		sum += records[left[i]].srv.weight;
		if (sum >= drawn)
			return i;
	}
	return alike - 1; // `random` went beyond its limit
}

static bool srv_before(const struct dns_record *a, const struct dns_record *b)
{
	if (a->srv.priority != b->srv.priority)
		return a->srv.priority < b->srv.priority;
	return a->srv.weight == 0 && b->srv.weight != 0;
}

unsigned pick_srv(const struct dns_answer *srv, uint32_t (*random)(void *arg, uint32_t limit), void *arg,
	unsigned out[DNS_RECORDS])
{
	unsigned left[DNS_RECORDS], count = 0, picked = 0, at;

	for (unsigned i = 0; i < srv->count && i < DNS_RECORDS; i++) {
		const struct dns_record *record = &srv->records[i];

		if (!*record->srv.target || record->srv.port == 0)
			continue;
		for (at = count++; at > 0 && srv_before(record, &srv->records[left[at - 1]]); at--)
			left[at] = left[at - 1];
		left[at] = i;
	}
	while (count > 0) {
		at = draw(srv->records, left, count, random, arg);
		out[picked++] = left[at];
		memmove(&left[at], &left[at + 1], (--count - at) * sizeof(*left));
	}
	return picked;
}

// --- targets --------------------------------------------------------------------------------------------------------

static unsigned target_add(
	struct sip_target out[SIP_LOCATE_TARGETS], unsigned count, enum sip_transport transport, struct kg_addr addr)
{
	for (unsigned i = 0; i < count; i++)
		if (out[i].transport == transport && kg_addr_same(&out[i].addr, &addr))
			return count;
	if (count == SIP_LOCATE_TARGETS)
		return count;
	out[count].transport = transport;
	out[count].addr = addr;
	return count + 1;
}

unsigned pick_targets(const struct pick_host *hosts, unsigned count, struct sip_target out[SIP_LOCATE_TARGETS])
{
	unsigned targets = 0;

	for (unsigned i = 0; i < count; i++)
		for (unsigned family = 0; family < 2; family++) {
			const struct dns_answer *answer = hosts[i].answers[family];

			for (unsigned j = 0; answer && j < answer->count; j++) {
				struct kg_addr addr = answer->records[j].addr;

				addr.port = hosts[i].port;
				targets = target_add(out, targets, hosts[i].transport, addr);
			}
		}
	return targets;
}
