// SPDX-License-Identifier: BSD-3-Clause
// The engine's own state as JSON: nics, lcores, counters, health.

#include <stdio.h>

#include "api_private.h"
#include "cdr.h"
#include "ports.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

// What the device does itself.
static json_t *offloads_json(const struct kg_nic_info *nic)
{
	const struct {
		bool has;
		const char *name;
	} all[] = {{nic->rx_udp_checksum, "rx_udp_checksum"}, {nic->tx_udp_checksum, "tx_udp_checksum"},
		{nic->tx_ip_checksum, "tx_ip_checksum"}, {nic->vlan_insert, "vlan_insert"},
		{nic->vlan_strip, "vlan_strip"}};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i].has)
			json_array_append_new(list, json_string(all[i].name));
	return list;
}

// The kernel's side of a device that DPDK owns.
static json_t *tap_json(const struct kg_nic_info *nic)
{
	if (!*nic->tap)
		return json_null();
	return json_pack("{s:s,s:I,s:I,s:I}", "interface", nic->tap, "to_kernel", (json_int_t)nic->tap_to_kernel,
		"from_kernel", (json_int_t)nic->tap_from_kernel, "lost", (json_int_t)nic->tap_lost);
}

static json_t *nic_json(const struct kg_nic_info *nic)
{
	char mac[18];
	json_t *addresses = json_array();

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3],
		nic->mac[4], nic->mac[5]);
	for (unsigned i = 0; i < nic->addr_count; i++) {
		char ip[KG_ADDR_STRLEN];

		json_array_append_new(addresses, json_string(kg_addr_ip(&nic->addrs[i], ip, sizeof(ip))));
	}
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:b,s:s,s:i,s:i,s:i,s:i,s:i,s:o,s:I,s:{s:I,s:I,s:I,s:I},s:{s:I,s:I,s:I},s:i,s:o,"
		"s:o}",
		"name", nic->name, "device", nic->device, "driver", nic->driver, "mac", mac, "link_up", nic->link_up,
		"steering", nic->steering, "mtu", nic->mtu, "rx_ring", nic->rx_ring, "tx_ring", nic->tx_ring, "queues",
		nic->queues, "peer_queues", nic->peer_queues, "addresses", addresses, "live_ports",
		(json_int_t)nic->live_ports, "rx", "packets", (json_int_t)nic->rx_packets, "bytes",
		(json_int_t)nic->rx_bytes, "missed", (json_int_t)nic->rx_missed, "errors", (json_int_t)nic->rx_errors,
		"tx", "packets", (json_int_t)nic->tx_packets, "bytes", (json_int_t)nic->tx_bytes, "errors",
		(json_int_t)nic->tx_errors, "vlan", nic->vlan, "offloads", offloads_json(nic), "tap", tap_json(nic));
}

json_t *api_nics_json(struct api *api)
{
	json_t *items = json_array();
	struct kg_nic_info nic;

	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++)
		json_array_append_new(items, nic_json(&nic));
	return json_pack("{s:o}", "items", items);
}

json_t *api_lcores_json(struct api *api)
{
	json_t *items = json_array();
	struct kg_lcore_info lcore;

	for (unsigned i = 0; kg_media_lcore_info(api->options.media, i, &lcore) == 0; i++) {
		json_t *stages = json_array();

		for (unsigned j = 0; j < lcore.stage_count; j++)
			json_array_append_new(stages,
				json_pack("{s:s,s:I,s:f}", "name", lcore.stages[j].name, "packets",
					(json_int_t)lcore.stages[j].packets, "cycles_per_packet",
					lcore.stages[j].packets
						? (double)lcore.stages[j].cycles / (double)lcore.stages[j].packets
						: 0.0));
		json_array_append_new(items,
			json_pack("{s:i,s:i,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:b,s:I,s:I,s:I,s:I,s:o}",
				"lcore", lcore.lcore, "cpu", lcore.cpu, "role", lcore.role, "idle", lcore.idle, "legs",
				(json_int_t)lcore.legs, "packets", (json_int_t)lcore.packets, "bursts",
				(json_int_t)lcore.bursts, "loops", (json_int_t)lcore.loops, "busy_loops",
				(json_int_t)lcore.busy_loops, "sleeps", (json_int_t)lcore.sleeps, "commands",
				(json_int_t)lcore.commands, "heartbeat_age_us", (json_int_t)lcore.heartbeat_age_us,
				"busy_share", lcore.busy_share, "load", lcore.load, "overloaded", lcore.overloaded,
				"worst_turn_us", (json_int_t)lcore.worst_turn_us, "handed_over",
				(json_int_t)lcore.handed_over, "cross_lcore", (json_int_t)lcore.cross_lcore,
				"handed_tx", (json_int_t)lcore.handed_tx, "stages", stages));
	}
	return json_pack("{s:o}", "items", items);
}

static void add_sip_drop(const char *reason, uint64_t count, void *arg)
{
	if (count)
		json_object_set_new(arg, reason, number(count));
}

json_t *api_stats_json(struct api *api)
{
	struct kg_media_totals media;
	struct calls_counts calls;
	struct sip_counts sip;
	json_t *drops = json_object(), *counters = json_object(), *malformed = json_object(), *refused = json_object();

	kg_media_totals(api->options.media, &media);
	calls_counts(api->options.calls, &calls);
	sip_stack_counts(api->options.stack, &sip);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		if (media.drops[i])
			json_object_set_new(drops, kg_drop_info[i].id, number(media.drops[i]));
	for (unsigned i = 0; i < KG_CNT_COUNT; i++)
		json_object_set_new(counters, kg_counter_info[i].id, number(media.counters[i]));
	sip_stack_drops(api->options.stack, add_sip_drop, malformed);
	for (unsigned i = 0; sip_refusal_name(i); i++)
		add_sip_drop(sip_refusal_name(i), calls.refused[i] + sip.refused[i], refused);
	return json_pack(
		"{s:{s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o},s:{s:I,s:I,s:I,s:o,s:o},s:{s:I,s:I}}",
		"calls", "live", (json_int_t)calls.calls, "total", (json_int_t)calls.total, "answered",
		(json_int_t)calls.answered, "failed", (json_int_t)calls.failed, "strangers",
		(json_int_t)(calls.strangers + sip.stranger_invites), "sip", "dialogs", (json_int_t)sip.dialogs,
		"transactions", (json_int_t)(sip.ict + sip.ist + sip.nict + sip.nist), "retransmits_in",
		(json_int_t)sip.retransmits_in, "retransmits_out", (json_int_t)sip.retransmits_out, "timeouts",
		(json_int_t)sip.timeouts, "extra_2xx", (json_int_t)sip.extra_2xx, "drops", malformed, "refused",
		refused, "media", "legs", (json_int_t)media.legs, "ports_in_use",
		(json_int_t)ports_in_use(api->options.ports), "mbufs_in_use", (json_int_t)media.mbufs_in_use, "drops",
		drops, "counters", counters, "cdr", "written", (json_int_t)cdr_written(api->options.cdr), "lost",
		(json_int_t)cdr_lost(api->options.cdr));
}
