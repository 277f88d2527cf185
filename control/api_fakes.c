// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api_fakes.h"

struct api_fakes api_fakes;

void api_fakes_init(void)
{
	struct api_fakes *f = &api_fakes;

	memset(f, 0, sizeof(*f));
	f->calls = (struct calls_counts){.calls = 11, .total = 12, .answered = 13, .failed = 14, .strangers = 15};
	f->calls.refused[SIP_REFUSED_trunk_cps] = 61;
	f->calls.by_state[0] = 16;
	f->calls.ended_by_cause[0] = 17;
	f->sip = (struct sip_counts){.ict = 1, .ist = 2, .nict = 4, .nist = 8, .dialogs = 21, .sessions = 22};
	f->sip.refused[SIP_REFUSED_stranger] = 62;
	f->sip.stranger_invites = 63;
	f->media.legs = 31;
	f->media.mbufs_in_use = 32;
	f->media.mbufs_total = 33;
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		f->media.drops[i] = 1000 + i;
	for (unsigned i = 0; i < KG_CNT_COUNT; i++)
		f->media.counters[i] = 2000 + i;
	f->lcore = (struct kg_lcore_info){.lcore = 1,
		.cpu = 3,
		.role = "relay",
		.idle = "adaptive",
		.busy_share = 0.25,
		.heartbeat_age_us = 999999,
		.stages = {{"rx", 10, 1000}, {"tx", 0, 0}},
		.stage_count = 2};
	f->nic = (struct kg_nic_info){.name = "lan",
		.device = "null",
		.driver = "net_null",
		.steering = "none",
		.mac = {2, 0, 0, 0, 0, 10},
		.link_up = true,
		.mtu = 1500,
		.addr_count = 1,
		.rx_packets = 41,
		.rx_missed = 42,
		.tx_packets = 43};
	kg_addr_parse(&f->nic.addrs[0], "192.0.2.10", 0);
}

int api_fakes_reload(void *arg, char **report)
{
	*report = api_fakes.reload_report ? strdup(api_fakes.reload_report) : NULL;
	return api_fakes.reload_error;
}

// --- calls ----------------------------------------------------------------------------------------------------------

json_t *calls_list_json(struct calls *calls)
{
	return json_pack("{s:[{s:s,s:s}]}", "items", "id", FAKE_CALL, "state", "talking");
}

json_t *calls_show_json(struct calls *calls, const char *id)
{
	return strcmp(id, FAKE_CALL) == 0 ? json_pack("{s:s,s:s}", "id", id, "state", "talking") : NULL;
}

json_t *calls_legs_json(struct calls *calls)
{
	return json_pack("{s:[{s:s,s:s}]}", "items", "id", FAKE_LEG, "call", FAKE_CALL);
}

json_t *calls_leg_json(struct calls *calls, const char *id)
{
	return strcmp(id, FAKE_LEG) == 0 ? json_pack("{s:s,s:s}", "id", id, "call", FAKE_CALL) : NULL;
}

int calls_hangup(struct calls *calls, const char *id)
{
	if (strcmp(id, FAKE_CALL) != 0)
		return -ENOENT;
	api_fakes.hangups++;
	return 0;
}

void calls_counts(const struct calls *calls, struct calls_counts *out)
{
	*out = api_fakes.calls;
}

const char *calls_state_name(unsigned state)
{
	static const char *const names[CALLS_STATES] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"};

	return state < CALLS_STATES ? names[state] : NULL;
}

const char *calls_cause_name(unsigned cause)
{
	return cause == 0 ? "none" : cause == 1 ? "hangup" : NULL;
}

// --- the stack ------------------------------------------------------------------------------------------------------

void sip_stack_counts(const struct sip_stack *stack, struct sip_counts *out)
{
	*out = api_fakes.sip;
}

void sip_stack_wires(const struct sip_stack *stack, struct sip_wires_counts *out)
{
	out->connections[SIP_TCP] = 61;
	out->accepted = 62;
}

void sip_stack_finals(const struct sip_stack *stack,
	void (*fn)(bool sent, enum sip_method method, int status, uint64_t count, void *arg), void *arg)
{
	fn(true, SIP_INVITE, 486, 63, arg);
}

void sip_stack_drops(
	const struct sip_stack *stack, void (*fn)(const char *reason, uint64_t count, void *arg), void *arg)
{
	fn("no_via", 51, arg);
	fn("no_cseq", 0, arg);
}

// --- the media plane ------------------------------------------------------------------------------------------------

#define DROP_INFO(word, level, text) {#word, "packets", level, text},
const struct kg_counter_info kg_drop_info[KG_DROP_COUNT] = {KG_DROPS(DROP_INFO)};
#define COUNTER_INFO(word, unit, level, text) {#word, unit, level, text},
const struct kg_counter_info kg_counter_info[KG_CNT_COUNT] = {KG_COUNTERS(COUNTER_INFO)};

void kg_media_totals(struct kg_media *media, struct kg_media_totals *out)
{
	*out = api_fakes.media;
}

bool kg_media_room_free(const struct kg_media *media)
{
	return true;
}

int kg_media_nic_info(struct kg_media *media, unsigned nic, struct kg_nic_info *out)
{
	*out = api_fakes.nic;
	return nic ? -ENOENT : 0;
}

int kg_media_lcore_info(struct kg_media *media, unsigned index, struct kg_lcore_info *out)
{
	*out = api_fakes.lcore;
	return index ? -ENOENT : 0;
}

const char *kg_media_graph(void)
{
	return "rx -> classify -> tx\n";
}

bool calls_leg_place(struct calls *calls, const char *id, struct calls_leg_place *out)
{
	*out = (struct calls_leg_place){.ports = {.rtcp_mux = true}};
	return strcmp(id, FAKE_LEG) == 0 && !api_fakes.leg_gone;
}

int kg_media_capture_start(struct kg_media *media, unsigned nic, const struct kg_capture_only *only)
{
	api_fakes.capturing_leg = only != NULL;
	if (api_fakes.capturing)
		return -EBUSY;
	api_fakes.capturing = true;
	return 0;
}

bool kg_media_capture_read(struct kg_media *media, unsigned nic, struct kg_captured *out, uint8_t data[KG_CAPTURE_SNAP])
{
	if (api_fakes.capture_silent)
		return false;
	*out = (struct kg_captured){.time_ns = 1000000001, .length = 3000, .copied = 100, .outgoing = true};
	memset(data, 0xab, 100);
	return true;
}

uint64_t kg_media_capture_lost(struct kg_media *media, unsigned nic)
{
	return 7;
}

void kg_media_capture_stop(struct kg_media *media, unsigned nic)
{
	api_fakes.capturing = false;
}
