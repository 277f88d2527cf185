// SPDX-License-Identifier: BSD-3-Clause

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "nic_ports.h"
#include "xdp/kedge_xdp.h"

#define PORTS 65536

// One of our addresses, by its number in the maps.
struct place {
	struct kg_addr addr; // family 0: free
	bool listed;         // false: gone for now; its number is kept while ports of it are live
	uint32_t live_count;
	uint8_t live[PORTS / 8];
};

struct nic_ports {
	int addrs_map, live_map;
	struct place places[KEDGE_XDP_ADDRS];
};

struct nic_ports *nic_ports_create(int addrs_map, int live_map)
{
	struct nic_ports *ports = calloc(1, sizeof(*ports));

	if (!ports) {
		close(addrs_map);
		close(live_map);
		return NULL;
	}
	ports->addrs_map = addrs_map;
	ports->live_map = live_map;
	return ports;
}

void nic_ports_destroy(struct nic_ports *ports)
{
	if (!ports)
		return;
	close(ports->addrs_map);
	close(ports->live_map);
	free(ports);
}

static struct place *place_find(struct nic_ports *ports, const struct kg_addr *addr)
{
	for (unsigned i = 0; i < KEDGE_XDP_ADDRS; i++)
		if (ports->places[i].addr.family && kg_addr_same_ip(&ports->places[i].addr, addr))
			return &ports->places[i];
	return NULL;
}

static bool listed(const struct kg_addr *addr, const struct kg_addr *addrs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (kg_addr_same_ip(addr, &addrs[i]))
			return true;
	return false;
}

static int live_write(const struct nic_ports *ports, const struct place *place, unsigned port, bool on)
{
	uint32_t key = (uint32_t)(place - ports->places) * PORTS + port;
	uint8_t value = on;

	return bpf_map_update_elem(ports->live_map, &key, &value, BPF_ANY) == 0 ? 0 : -EIO;
}

// A number for one more address: a free one, else that of an address that is gone, whose ports are forgotten.
static struct place *place_get(struct nic_ports *ports)
{
	struct place *gone = NULL;

	for (unsigned i = 0; i < KEDGE_XDP_ADDRS; i++) {
		if (!ports->places[i].addr.family)
			return &ports->places[i];
		if (!ports->places[i].listed)
			gone = &ports->places[i];
	}
	for (unsigned port = 0; gone && port < PORTS; port++)
		if (gone->live[port / 8] & 1u << port % 8 && live_write(ports, gone, port, false) != 0)
			return NULL;
	if (gone)
		memset(gone, 0, sizeof(*gone));
	return gone;
}

static struct kedge_xdp_addr key_of(const struct kg_addr *addr)
{
	struct kedge_xdp_addr key = {{0, 0, htonl(0xffff), 0}};

	if (addr->family == 4)
		memcpy(&key.word[3], addr->ip, 4);
	else
		memcpy(&key, addr->ip, sizeof(key));
	return key;
}

static int place_list(struct nic_ports *ports, const struct kg_addr *addr)
{
	const struct kedge_xdp_addr key = key_of(addr);
	struct place *place = place_find(ports, addr);
	uint32_t number;

	if (!place)
		place = place_get(ports);
	if (!place)
		return -EIO;
	number = (uint32_t)(place - ports->places);
	place->addr = *addr;
	if (!place->listed && bpf_map_update_elem(ports->addrs_map, &key, &number, BPF_ANY) != 0)
		return -EIO;
	place->listed = true;
	return 0;
}

int nic_ports_addresses(struct nic_ports *ports, const struct kg_addr *addrs, unsigned count)
{
	int error = 0;

	if (count > KEDGE_XDP_ADDRS)
		return -E2BIG;
	for (unsigned i = 0; i < KEDGE_XDP_ADDRS; i++) {
		struct place *place = &ports->places[i];
		const struct kedge_xdp_addr key = key_of(&place->addr);

		if (!place->listed || listed(&place->addr, addrs, count))
			continue;
		bpf_map_delete_elem(ports->addrs_map, &key);
		place->listed = false;
		if (!place->live_count)
			memset(place, 0, sizeof(*place));
	}
	for (unsigned i = 0; i < count && !error; i++)
		error = place_list(ports, &addrs[i]);
	return error;
}

int nic_ports_live(struct nic_ports *ports, const struct kg_addr *local, bool on)
{
	struct place *place = place_find(ports, local);
	uint8_t bit = (uint8_t)(1u << local->port % 8);
	bool was = place && place->live[local->port / 8] & bit;
	int error;

	if (on && (!place || !place->listed))
		return -EADDRNOTAVAIL;
	if (was == on)
		return 0;
	error = live_write(ports, place, local->port, on);
	if (error)
		return error;
	place->live[local->port / 8] ^= bit;
	place->live_count += on ? 1 : (uint32_t)-1;
	if (!place->listed && !place->live_count)
		memset(place, 0, sizeof(*place));
	return 0;
}

uint32_t nic_ports_count(const struct nic_ports *ports)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < KEDGE_XDP_ADDRS; i++)
		count += ports->places[i].live_count;
	return count;
}
