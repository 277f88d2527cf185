// SPDX-License-Identifier: BSD-3-Clause
// Values that hold addresses: networks, devices, listeners, targets. Each is read from one node, stored, or reported
// with what to write instead.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_reader.h"

#define HELP_NET "write ADDRESS/BITS, for example 192.0.2.0/24"
#define HELP_DEVICE "write af_xdp:INTERFACE, for example af_xdp:eth0"
#define MAX_LISTENS 16
#define MAX_NETS 256

// --- parsing --------------------------------------------------------------------------------------------------------

static bool is_zero(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i])
			return false;
	return true;
}

// An address that one machine can have and others reach: not "any", not multicast or broadcast, not link-local IPv6
// (which says nothing without an interface).
static bool is_unicast(const struct kg_addr *addr)
{
	if (addr->family == 4)
		return addr->ip[0] != 0 && addr->ip[0] < 224;
	return addr->ip[0] != 0xff && !(addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80) &&
	       !is_zero(addr->ip, sizeof(addr->ip));
}

static bool parse_decimal(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*out = strtoul(text, &end, 10);
	return !*end && *out <= max;
}

static bool parse_net(const char *text, struct config_net *out)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits, most;
	char ip[64];

	if (length >= sizeof(ip))
		return false;
	memcpy(ip, text, length);
	ip[length] = '\0';
	if (kg_addr_parse(&out->addr, ip, 0) != 0)
		return false;
	bits = most = out->addr.family == 4 ? 32 : 128;
	if (slash && !parse_decimal(slash + 1, most, &bits))
		return false;
	out->prefix = (uint8_t)bits;
	return true;
}

bool config_parse_address(const char *text, uint16_t port, struct kg_addr *out)
{
	const char *end = *text == '[' ? strchr(text, ']') : text + strcspn(text, ":");
	const char *begin = text + (*text == '[');
	unsigned long number = port;
	char ip[64];

	if (!end || (size_t)(end - begin) >= sizeof(ip))
		return false;
	memcpy(ip, begin, (size_t)(end - begin));
	ip[end - begin] = '\0';
	end += *end == ']';
	if (*end && (*end != ':' || !parse_decimal(end + 1, 65535, &number)))
		return false;
	if (number == 0 || kg_addr_parse(out, ip, (uint16_t)number) != 0 || !is_unicast(out))
		return false;
	return (out->family == 6) == (*text == '['); // IPv6 in brackets, as in a URI
}

// --- networks -------------------------------------------------------------------------------------------------------

struct nets {
	struct config_net **list;
	size_t *count;
};

static void add_net(struct reader *reader, struct fy_node *node, void *arg)
{
	const char *text = reader_text(reader, node, HELP_NET);
	struct nets *nets = arg;
	struct config_net net, *grown;

	if (!text)
		return;
	if (!parse_net(text, &net)) {
		reader_wrong(reader, node, "\"%.60s\" is no network: " HELP_NET, text);
		return;
	}
	grown = reader_grow(reader, node, nets->list, nets->count, sizeof(net), MAX_NETS);
	if (grown)
		*grown = net;
}

static void set_nets(struct reader *reader, struct fy_node *node, struct config_net **list, size_t *count)
{
	struct nets nets = {list, count};

	reader_each(reader, node, HELP_NET, add_net, &nets);
	if (node && fy_node_is_sequence(node) && fy_node_sequence_item_count(node) == 0)
		reader_wrong(reader, node, "is empty: " HELP_NET ", or leave it out");
}

void set_media_deny(struct reader *reader, struct fy_node *node, void *object)
{
	struct config *config = object;

	set_nets(reader, node, &config->media_deny, &config->media_deny_count);
}

void set_from(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_trunk *trunk = object;

	set_nets(reader, node, &trunk->from, &trunk->from_count);
}

void set_match_source(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_route *route = object;
	size_t count = 0;

	add_net(reader, node, &(struct nets){&route->source, &count});
}

// --- nics -----------------------------------------------------------------------------------------------------------

void set_device(struct reader *reader, struct fy_node *node, void *object)
{
	static const char *const owned[] = {"pci:", "vhost:", "virtio:", "memif:", NULL};
	const char *text = reader_text(reader, node, HELP_DEVICE), *interface;
	struct config_nic *nic = object;

	if (!text)
		return;
	if (strcmp(text, "null") == 0) {
		snprintf(nic->device, sizeof(nic->device), "null");
		return;
	}
	for (unsigned i = 0; owned[i]; i++) {
		if (strncmp(text, owned[i], strlen(owned[i])) != 0)
			continue;
		if (!text[strlen(owned[i])] || strlen(text) >= sizeof(nic->device))
			return reader_wrong(reader, node, "\"%.60s\" is no device: " HELP_DEVICE, text);
		snprintf(nic->device, sizeof(nic->device), "%s", text);
		nic->owned = true; // its interface is a TAP, see nics_done
		return;
	}
	interface = strchr(text, ':');
	if ((strncmp(text, "af_xdp:", 7) != 0 && strncmp(text, "af_packet:", 10) != 0) || !*++interface ||
		strlen(interface) > 15 || strpbrk(interface, "/: \t")) {
		reader_wrong(reader, node, "\"%.60s\" is no device: " HELP_DEVICE, text);
		return;
	}
	snprintf(nic->device, sizeof(nic->device), "%s", text);
	snprintf(nic->interface, sizeof(nic->interface), "%s", interface);
}

static void check_machine_addresses(
	struct reader *reader, struct fy_node *node, const struct config_net *list, size_t count, const char *help)
{
	for (size_t i = 0; i < count; i++)
		if (!is_unicast(&list[i].addr))
			reader_wrong(reader, node, "holds what no machine can have as its address: %s", help);
	if (count > 8)
		reader_wrong(reader, node, "has %zu addresses: write at most 8", count);
}

void set_addresses(struct reader *reader, struct fy_node *node, void *object)
{
	struct config_nic *nic = object;

	set_nets(reader, node, &nic->addresses, &nic->address_count);
	check_machine_addresses(reader, node, nic->addresses, nic->address_count, "write those of the interface");
}

// One for all addresses of its family, or one for each of `addresses`.
void set_advertise(struct reader *reader, struct fy_node *node, void *object)
{
	const char *help = "write the public address, or one for each of `addresses` in their order";
	struct config_nic *nic = object;
	bool paired;

	set_nets(reader, node, &nic->advertise, &nic->advertise_count);
	check_machine_addresses(reader, node, nic->advertise, nic->advertise_count, help);
	paired = nic->advertise_count > 1;
	if (nic->advertise_count == 2 && nic->advertise[0].addr.family != nic->advertise[1].addr.family)
		paired = nic->address_count == 2;
	if (paired && nic->advertise_count != nic->address_count)
		reader_wrong(reader, node, "has %zu addresses and `addresses` %zu: %s", nic->advertise_count,
			nic->address_count, help);
	for (size_t i = 0; paired && i < nic->advertise_count && i < nic->address_count; i++)
		if (nic->advertise[i].addr.family != nic->addresses[i].addr.family)
			reader_wrong(reader, node, "mixes IPv4 and IPv6 otherwise than `addresses`: %s", help);
}
