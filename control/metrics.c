// SPDX-License-Identifier: BSD-3-Clause
// /metrics: what is counted, as Prometheus reads it. Drops and counters come from the one table in kg_counters.h.

#include <event2/buffer.h>

#include "api_private.h"
#include "cdr.h"
#include "ports.h"

static void head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
	evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct evbuffer *out, const char *name, uint64_t value, const char *help)
{
	head(out, name, "gauge", help);
	evbuffer_add_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void counter(struct evbuffer *out, const char *name, uint64_t value, const char *help)
{
	head(out, name, "counter", help);
	evbuffer_add_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void labelled(struct evbuffer *out, const char *name, const char *label, const char *value, uint64_t count)
{
	evbuffer_add_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)count);
}

static void write_calls(struct api *api, struct evbuffer *out)
{
	struct calls_counts counts;

	calls_counts(api->options.calls, &counts);
	gauge(out, "kedge_calls", counts.calls, "calls that live");
	head(out, "kedge_calls_by_state", "gauge", "calls that live, by state");
	for (unsigned i = 0; i < CALLS_STATES; i++)
		labelled(out, "kedge_calls_by_state", "state", calls_state_name(i), counts.by_state[i]);
	counter(out, "kedge_calls_total", counts.total, "calls since start");
	counter(out, "kedge_calls_answered_total", counts.answered, "calls that were answered");
	counter(out, "kedge_calls_failed_total", counts.failed, "calls that were not");
	head(out, "kedge_calls_ended_total", "counter", "ended calls by cause");
	for (unsigned i = 0; i < CALLS_CAUSES && calls_cause_name(i); i++)
		labelled(out, "kedge_calls_ended_total", "cause", calls_cause_name(i), counts.ended_by_cause[i]);
	counter(out, "kedge_illegal_transitions_total", counts.illegal_transitions,
		"state changes refused: a bug where not 0");
	counter(out, "kedge_strangers_total", counts.strangers, "INVITEs from an address that is no trunk's");
}

static void write_sip_drop(const char *reason, uint64_t count, void *arg)
{
	labelled(arg, "kedge_sip_drops_total", "reason", reason, count);
}

static void write_sip(struct api *api, struct evbuffer *out)
{
	static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx", "6xx"};
	struct sip_counts counts;

	sip_stack_counts(api->options.stack, &counts);
	gauge(out, "kedge_dialogs", counts.dialogs, "SIP dialogs, early and confirmed");
	gauge(out, "kedge_transactions", counts.ict + counts.ist + counts.nict + counts.nist, "live SIP transactions");
	head(out, "kedge_transactions_by_machine", "gauge", "live SIP transactions by machine");
	labelled(out, "kedge_transactions_by_machine", "machine", "ict", counts.ict);
	labelled(out, "kedge_transactions_by_machine", "machine", "ist", counts.ist);
	labelled(out, "kedge_transactions_by_machine", "machine", "nict", counts.nict);
	labelled(out, "kedge_transactions_by_machine", "machine", "nist", counts.nist);
	gauge(out, "kedge_sip_sessions", counts.sessions, "INVITE sessions, with those that only absorb late copies");
	head(out, "kedge_sip_requests_in_total", "counter", "SIP requests received");
	for (unsigned i = 0; i < SIP_METHOD_COUNT; i++)
		labelled(out, "kedge_sip_requests_in_total", "method", i ? sip_method_text(i) : "other",
			counts.requests_in[i]);
	head(out, "kedge_sip_requests_out_total", "counter", "SIP requests sent");
	for (unsigned i = 1; i < SIP_METHOD_COUNT; i++)
		labelled(out, "kedge_sip_requests_out_total", "method", sip_method_text(i), counts.requests_out[i]);
	head(out, "kedge_sip_responses_in_total", "counter", "SIP responses received");
	for (unsigned i = 1; i < 7; i++)
		labelled(out, "kedge_sip_responses_in_total", "class", classes[i], counts.responses_in[i]);
	head(out, "kedge_sip_responses_out_total", "counter", "SIP responses sent");
	for (unsigned i = 1; i < 7; i++)
		labelled(out, "kedge_sip_responses_out_total", "class", classes[i], counts.responses_out[i]);
	counter(out, "kedge_sip_retransmits_in_total", counts.retransmits_in, "copies that were absorbed");
	counter(out, "kedge_sip_retransmits_out_total", counts.retransmits_out, "copies that were sent");
	counter(out, "kedge_sip_timeouts_total", counts.timeouts, "transactions that ended by a timer");
	counter(out, "kedge_sip_extra_2xx_total", counts.extra_2xx, "2xx of further forks, ended by ACK and BYE");
	counter(out, "kedge_sip_refused_sources_total", counts.refused_sources, "requests refused for their source");
	head(out, "kedge_sip_drops_total", "counter", "SIP input that was not used, by reason");
	sip_stack_drops(api->options.stack, write_sip_drop, out);
}

static void write_media(struct api *api, struct evbuffer *out)
{
	struct kg_media_totals totals;

	kg_media_totals(api->options.media, &totals);
	gauge(out, "kedge_legs", totals.legs, "media legs that live");
	gauge(out, "kedge_ports_in_use", ports_in_use(api->options.ports), "UDP ports of media legs");
	gauge(out, "kedge_mbufs_in_use", totals.mbufs_in_use, "packets between receiving and sending");
	gauge(out, "kedge_mbufs_total", totals.mbufs_total, "packet buffers that there are");
	gauge(out, "kedge_rooms", 0, "rooms that convert or mix (none in this version)");
	gauge(out, "kedge_taps", 0, "taps that copy media (none in this version)");
	head(out, "kedge_drops_total", "counter", "media packets that ended here, by reason");
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		labelled(out, "kedge_drops_total", "reason", kg_drop_info[i].id, totals.drops[i]);
	for (unsigned i = 0; i < KG_CNT_COUNT; i++) {
		char name[64];

		evutil_snprintf(name, sizeof(name), "kedge_%s_total", kg_counter_info[i].id);
		counter(out, name, totals.counters[i], kg_counter_info[i].help);
	}
}

static void write_nics(struct api *api, struct evbuffer *out)
{
	struct kg_nic_info nic;

	head(out, "kedge_nic_rx_packets_total", "counter", "frames that a nic gave us");
	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++)
		labelled(out, "kedge_nic_rx_packets_total", "nic", nic.name, nic.rx_packets);
	head(out, "kedge_nic_rx_missed_total", "counter", "frames that a nic lost for want of room");
	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++)
		labelled(out, "kedge_nic_rx_missed_total", "nic", nic.name, nic.rx_missed);
	head(out, "kedge_nic_tx_packets_total", "counter", "frames that a nic took from us");
	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++)
		labelled(out, "kedge_nic_tx_packets_total", "nic", nic.name, nic.tx_packets);
	head(out, "kedge_nic_link_up", "gauge", "1 where the link is up");
	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++)
		labelled(out, "kedge_nic_link_up", "nic", nic.name, nic.link_up);
}

void metrics_write(struct api *api, struct evbuffer *out)
{
	write_calls(api, out);
	write_sip(api, out);
	write_media(api, out);
	write_nics(api, out);
	counter(out, "kedge_cdr_written_total", cdr_written(api->options.cdr), "call records written");
	counter(out, "kedge_cdr_lost_total", cdr_lost(api->options.cdr), "call records that could not be written");
}
