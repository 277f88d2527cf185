// SPDX-License-Identifier: BSD-3-Clause
// Where a party is and where its leg may live: who sits behind NAT and is believed what, which nic and which of its
// addresses reach a target.

#include <errno.h>
#include <string.h>

#include "calls_private.h"

// --- behind NAT ---------------------------------------------------------------------------------------------------

// An address that means nothing outside of its own network (RFC 1918, 6598, 3927, 4193).
static bool is_private(const struct kg_addr *addr)
{
	const uint8_t *ip = addr->ip;

	if (addr->family == 6)
		return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
	return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) ||
	       (ip[0] == 100 && (ip[1] & 0xc0) == 64) || (ip[0] == 169 && ip[1] == 254);
}

bool media_denied(const struct calls *calls, const struct kg_addr *addr, char why[CALL_MESSAGE])
{
	const struct config *config = calls->options.config;
	char ip[KG_ADDR_STRLEN];

	for (size_t i = 0; i < config->media_deny_count; i++) {
		if (!config_net_has(&config->media_deny[i], addr))
			continue;
		snprintf(why, CALL_MESSAGE, "media address %s is denied by media.deny",
			kg_addr_ip(addr, ip, sizeof(ip)));
		return true;
	}
	return false;
}

void party_locate(struct party *party, const struct sip_msg *msg)
{
	const struct config *config = party->anchor->calls->options.config;
	int trunk = router_trunk(config, &party->peer);
	struct sip_uri contact;
	struct kg_addr public;

	if (party_endpoint(party))
		party->behind_nat = !party_endpoint(party)->trusts_sdp;
	else
		party->behind_nat = trunk >= 0 && config->trunks[trunk].behind_nat;
	if (!party->behind_nat)
		return;
	party->public = party->peer;
	if (msg && sip_msg_is_request(msg) && sip_msg_origin(msg, &public))
		party->public = public;
	// An answer that came through proxies: a public Contact is what the one next to the party made of it.
	if (msg && !sip_msg_is_request(msg) && sip_msg_header(msg, "Record-Route", 0) &&
		sip_uri_parse(sip_msg_contact_uri(msg) ? sip_msg_contact_uri(msg) : "", &contact) == 0 &&
		kg_addr_parse(&public, contact.host, 0) == 0 && !is_private(&public))
		party->public = public;
}

void party_media(const struct party *party, const struct sdp *sdp, struct offer_media *out)
{
	sdp_media(sdp, out);
	if (!party->behind_nat || kg_addr_none(&out->remote) || kg_addr_same_ip(&out->remote, &party->public) ||
		!is_private(&out->remote))
		return;
	out->remote = party->public;
	out->remote.port = 0;
	out->remote_rtcp = out->remote;
}

// --- where a leg lives --------------------------------------------------------------------------------------------

static int nic_by_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->nic_count; i++)
		if (strcmp(config->nics[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int nic_by_interface(const struct config *config, const char *interface)
{
	for (size_t i = 0; i < config->nic_count; i++)
		if (strcmp(config->nics[i].interface, interface) == 0)
			return (int)i;
	return -1;
}

// The nic's addresses of a family that media may use, the kernel's choice first where it is one of them.
static unsigned nic_addresses(struct calls *calls, const struct config_nic *nic, const struct kg_addr *preferred,
	uint8_t family, struct kg_addr out[KG_MEDIA_NIC_ADDRS])
{
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];
	unsigned count = 0;
	int all;

	if (nic->address_count) {
		all = (int)(nic->address_count < KG_MEDIA_NIC_ADDRS ? nic->address_count : KG_MEDIA_NIC_ADDRS);
		for (int i = 0; i < all; i++)
			addrs[i] = nic->addresses[i].addr;
	} else {
		all = netlink_addresses(calls->options.netlink, nic->interface, addrs, KG_MEDIA_NIC_ADDRS);
	}
	for (int i = 0; i < all; i++) {
		if (addrs[i].family != family)
			continue;
		out[count++] = addrs[i];
		if (kg_addr_same_ip(&addrs[i], preferred)) {
			out[count - 1] = out[0];
			out[0] = addrs[i];
		}
	}
	return count;
}

// Two addresses behind one advertised one would share its ports: only the first can be used.
static bool said_before(
	const struct config_nic *nic, const struct kg_addr *locals, unsigned count, const struct kg_addr *local)
{
	struct kg_addr said, other;

	config_advertised(nic, local, &said);
	for (unsigned i = 0; i < count; i++) {
		config_advertised(nic, &locals[i], &other);
		if (kg_addr_same_ip(&said, &other))
			return true;
	}
	return false;
}

// The kernel's rules may send it another way from this address: it must be through the nic.
static bool place_reaches(
	struct calls *calls, struct place *place, const struct kg_addr *target, const struct kg_addr *local, char *why)
{
	const struct config_nic *nic = &calls->options.config->nics[place->nic];
	struct netlink_route route;
	char ip[KG_ADDR_STRLEN];
	int error = netlink_route(calls->options.netlink, target, local, &route);

	if (!error && strcmp(route.interface, nic->interface) == 0) {
		place->ifindex = route.ifindex;
		return true;
	}
	snprintf(why, CALL_MESSAGE, "%s is not reached from nic %s (%s)", kg_addr_ip(target, ip, sizeof(ip)), nic->name,
		error ? strerror(-error) : route.interface);
	return false;
}

// The nic that has this address as its own, or -1.
static int nic_of_address(struct calls *calls, const struct kg_addr *addr)
{
	const struct config *config = calls->options.config;
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];

	for (size_t i = 0; i < config->nic_count; i++) {
		unsigned count = nic_addresses(calls, &config->nics[i], addr, addr->family, addrs);

		for (unsigned j = 0; j < count; j++)
			if (kg_addr_same_ip(&addrs[j], addr))
				return (int)i;
	}
	return -1;
}

int place_find(struct calls *calls, const char *nic, const struct kg_addr *target, struct place *out, char *why)
{
	const struct config *config = calls->options.config;
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];
	struct netlink_route route;
	char ip[KG_ADDR_STRLEN];
	int error = netlink_route(calls->options.netlink, target, NULL, &route);
	unsigned count;

	kg_addr_ip(target, ip, sizeof(ip));
	// A call that comes back to us through a proxy offers our own address, which the kernel reaches by lo. Its leg
	// lives where that address is; nothing is sent to it, as no nic sends to itself. Max-Forwards ends what only
	// goes round.
	if (!error && nic_of_address(calls, target) >= 0) {
		out->nic = nic_of_address(calls, target);
		out->ifindex = 0;
		out->locals[0] = *target;
		out->count = 1;
		return 0;
	}
	out->nic = *nic ? nic_by_name(config, nic) : error ? -1 : nic_by_interface(config, route.interface);
	if (error && !*nic) {
		snprintf(why, CALL_MESSAGE, "the kernel has no route to %s: %s", ip, strerror(-error));
		return -EHOSTUNREACH;
	}
	if (out->nic < 0) {
		snprintf(why, CALL_MESSAGE,
			*nic ? "the trunk's nic %s is none of the nics"
			     : "%s is reached through %s, which is no nic of the configuration",
			*nic ? nic : ip, route.interface);
		return -EHOSTUNREACH;
	}
	count = nic_addresses(calls, &config->nics[out->nic], &route.source, target->family, addrs);
	if (!count)
		snprintf(why, CALL_MESSAGE, "nic %s has no address of the family of %s", config->nics[out->nic].name,
			ip);
	out->count = 0;
	for (unsigned i = 0; i < count; i++)
		if (!said_before(&config->nics[out->nic], out->locals, out->count, &addrs[i]) &&
			place_reaches(calls, out, target, &addrs[i], why))
			out->locals[out->count++] = addrs[i];
	return out->count ? 0 : -EHOSTUNREACH;
}
