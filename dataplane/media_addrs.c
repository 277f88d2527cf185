// SPDX-License-Identifier: BSD-3-Clause
// The local addresses and their port tables, control's side.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "media_private.h"

#define LINGER_MS 1500 // less than control lets a port rest

// --- port tables ----------------------------------------------------------------------------------------------------

struct table *media_table(struct kg_media *media, const struct kg_addr *local)
{
	for (unsigned i = 0; i < media->table_count; i++)
		if (kg_addr_same_ip(&media->tables[i]->ip, local))
			return media->tables[i];
	return NULL;
}

// Find an address's table or make one. It outlives the address while legs are on it: one that comes back finds them.
static struct table *table_get(struct kg_media *media, const struct kg_addr *local)
{
	struct table *table = media_table(media, local);

	if (table || media->table_count == 2 * RELAY_ADDRS)
		return table;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->ip = *local;
	table->ip.port = 0;
	table->ports = calloc(RELAY_PORTS, sizeof(*table->ports));
	if (!table->ports) {
		free(table);
		return NULL;
	}
	return media->tables[media->table_count++] = table;
}

static void table_destroy(struct table *table)
{
	free(table->ports);
	free(table);
}

// Every lcore has the last list now: is the address in it?
static bool listed(const struct kg_media *media, const struct table *table)
{
	for (unsigned i = 0; i < media->nic_count; i++)
		for (unsigned j = 0; j < media->nics[i].addr_count; j++)
			if (kg_addr_same_ip(&media->nics[i].addrs[j], &table->ip))
				return true;
	return false;
}

// Free the tables that neither an lcore nor a leg can reach any more.
static void tables_sweep(struct kg_media *media)
{
	unsigned left = 0;

	for (unsigned i = 0; i < media->table_count; i++) {
		struct table *table = media->tables[i];

		if (table->count || listed(media, table))
			media->tables[left++] = table;
		else
			table_destroy(table);
	}
	media->table_count = left;
}

static bool is_taken(const struct table *table, unsigned port)
{
	return table->taken[port / 64] >> port % 64 & 1;
}

bool media_ports_take(struct table *table, uint16_t port, bool rtcp_too)
{
	if (is_taken(table, port) || (rtcp_too && is_taken(table, port + 1u)))
		return false;
	for (unsigned i = port; i <= (unsigned)port + rtcp_too; i++)
		table->taken[i / 64] |= (uint64_t)1 << i % 64;
	table->count += 1 + rtcp_too;
	return true;
}

void media_ports_give(struct table *table, uint16_t port, bool rtcp_too)
{
	for (unsigned i = port; i <= (unsigned)port + rtcp_too; i++)
		table->taken[i / 64] &= ~((uint64_t)1 << i % 64);
	table->count -= 1 + rtcp_too;
}

// --- live ports -----------------------------------------------------------------------------------------------------

static void port_dead(struct kg_media *media, const struct lingering *of, uint16_t port)
{
	struct table *table = media_table(media, &of->local);
	struct kg_addr at = of->local;

	at.port = port;
	if (table && !(table->lingers[port / 64] >> port % 64 & 1))
		return; // it has a leg again
	if (table)
		table->lingers[port / 64] &= ~((uint64_t)1 << port % 64);
	nic_set_live(&media->nics[of->nic], &at, false);
}

static void linger_oldest(struct kg_media *media)
{
	const struct lingering *one = &media->lingers[media->linger_head];

	for (unsigned port = one->local.port; port <= (unsigned)one->local.port + one->rtcp_too; port++)
		port_dead(media, one, (uint16_t)port);
	media->linger_head = (media->linger_head + 1) % media->leg_room;
	media->linger_count--;
}

// A port is wanted again before its time: seldom, as control lets them rest for longer.
static void linger_end(struct kg_media *media, const struct table *table, uint16_t port)
{
	if (!(table->lingers[port / 64] >> port % 64 & 1))
		return;
	for (uint32_t i = 0; i < media->linger_count; i++) {
		const struct lingering *one = &media->lingers[(media->linger_head + i) % media->leg_room];

		if (kg_addr_same_ip(&one->local, &table->ip) && port >= one->local.port &&
			port <= one->local.port + one->rtcp_too)
			port_dead(media, one, port);
	}
}

int media_ports_live(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too)
{
	const struct table *table = media_table(media, &config->local);
	struct nic *nic = &media->nics[config->nic];
	struct kg_addr rtcp = config->local;
	int error;

	rtcp.port++;
	linger_end(media, table, config->local.port);
	if (rtcp_too)
		linger_end(media, table, rtcp.port);
	error = nic_set_live(nic, &config->local, true);
	if (!error && rtcp_too) {
		error = nic_set_live(nic, &rtcp, true);
		if (error)
			nic_set_live(nic, &config->local, false);
	}
	return error;
}

void media_ports_dead(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too)
{
	struct kg_addr at = config->local;

	for (unsigned i = 0; i <= rtcp_too; i++, at.port++)
		nic_set_live(&media->nics[config->nic], &at, false);
}

void media_ports_linger(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too)
{
	struct table *table = media_table(media, &config->local);
	struct lingering one = {.nic = config->nic,
		.rtcp_too = rtcp_too,
		.local = config->local,
		.due_tsc = rte_rdtsc() + media->tsc_hz * LINGER_MS / 1000};

	for (unsigned port = one.local.port; port <= (unsigned)one.local.port + rtcp_too; port++)
		table->lingers[port / 64] |= (uint64_t)1 << port % 64;
	if (media->linger_count == media->leg_room)
		linger_oldest(media);
	media->lingers[(media->linger_head + media->linger_count++) % media->leg_room] = one;
}

void media_ports_expire(struct kg_media *media, bool all)
{
	uint64_t now = media->linger_count ? rte_rdtsc() : 0;

	while (media->linger_count && (all || media->lingers[media->linger_head].due_tsc <= now))
		linger_oldest(media);
}

// --- the lcores' lists ----------------------------------------------------------------------------------------------

static struct relay_addrs *list_create(struct kg_media *media)
{
	struct relay_addrs *list = calloc(1, sizeof(*list));

	for (unsigned i = 0; i < media->nic_count && list; i++) {
		const struct nic *from = &media->nics[i];

		for (unsigned j = 0; j < from->addr_count; j++) {
			struct table *table = table_get(media, &from->addrs[j]);

			if (!table) {
				free(list);
				return NULL;
			}
			relay_addrs_add(list, &table->ip, table->ports);
		}
	}
	return list;
}

int media_addrs_send(struct kg_media *media, uint32_t lcores)
{
	for (unsigned i = 0; i < media->lcore_count; i++) {
		struct relay_addrs *list;

		if (!(lcores >> i & 1))
			continue;
		media->addrs_wait |= 1u << i; // until it is told
		list = list_create(media);
		if (!list)
			return -ENOMEM;
		if (!media_push(media, i, &(struct lcore_command){.type = LCORE_ADDRS, .block = list})) {
			free(list);
			continue;
		}
		media->addrs_wait &= ~(1u << i);
		media->addrs_sent++;
	}
	return 0;
}

void media_addrs_sent(struct kg_media *media, void *old)
{
	free(old);
	if (--media->addrs_sent == 0 && !media->addrs_wait)
		tables_sweep(media);
}

int kg_media_nic_addresses(struct kg_media *media, unsigned nic, const struct kg_addr *addrs, unsigned count)
{
	int error;

	if (nic >= media->nic_count)
		return -EINVAL;
	if (count > KG_MEDIA_NIC_ADDRS)
		return -E2BIG;
	error = nic_set_addresses(&media->nics[nic], addrs, count);
	return error ? error : media_addrs_send(media, (1u << media->lcore_count) - 1);
}

void media_addrs_fini(struct kg_media *media)
{
	for (unsigned i = 0; i < media->table_count; i++)
		table_destroy(media->tables[i]);
	media->table_count = 0;
}
