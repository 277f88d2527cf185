// SPDX-License-Identifier: BSD-3-Clause
// /metrics: what is counted, as Prometheus reads it. Drops and counters come from the one table in kg_counters.h.

#include <event2/buffer.h>

#include "api_private.h"
#include "health.h"
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
	struct sip_counts sip;

	sip_stack_counts(api->options.stack, &sip);
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
	counter(out, "kedge_strangers_total", counts.strangers + sip.stranger_invites,
		"INVITEs from an address that is no trunk's");
	head(out, "kedge_sip_refused_total", "counter", "SIP messages and calls that were not served, by reason");
	for (unsigned i = 0; sip_refusal_name(i); i++)
		labelled(out, "kedge_sip_refused_total", "reason", sip_refusal_name(i),
			counts.refused[i] + sip.refused[i]);
}

static void write_sip_drop(const char *reason, uint64_t count, void *arg)
{
	labelled(arg, "kedge_sip_drops_total", "reason", reason, count);
}

static void write_final(bool sent, enum sip_method method, int status, uint64_t count, void *arg)
{
	evbuffer_add_printf(arg, "kedge_sip_finals_total{direction=\"%s\",method=\"%s\",code=\"%d\"} %llu\n",
		sent ? "out" : "in", method ? sip_method_text(method) : "other", status, (unsigned long long)count);
}

static void write_connections(struct api *api, struct evbuffer *out)
{
	struct sip_wires_counts counts = {.opened = 0};

	sip_stack_wires(api->options.stack, &counts);
	head(out, "kedge_sip_connections", "gauge", "SIP connections that stand, by transport");
	for (unsigned i = SIP_TCP; i < SIP_TRANSPORTS; i++)
		labelled(out, "kedge_sip_connections", "transport", sip_transport_name((enum sip_transport)i),
			counts.connections[i]);
	head(out, "kedge_sip_connections_total", "counter", "SIP connections and what became of them");
	labelled(out, "kedge_sip_connections_total", "what", "opened", counts.opened);
	labelled(out, "kedge_sip_connections_total", "what", "accepted", counts.accepted);
	labelled(out, "kedge_sip_connections_total", "what", "refused_limit", counts.refused_limit);
	labelled(out, "kedge_sip_connections_total", "what", "handshake_failed", counts.handshake_failed);
	labelled(out, "kedge_sip_connections_total", "what", "closed_slow", counts.closed_slow);
	labelled(out, "kedge_sip_connections_total", "what", "closed_garbage", counts.closed_garbage);
	labelled(out, "kedge_sip_connections_total", "what", "closed_idle", counts.closed_idle);
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
	counter(out, "kedge_sip_challenges_total", counts.challenges, "401 sent to who may be an endpoint");
	counter(out, "kedge_sip_auth_failures_total", counts.auth_failures,
		"credentials of endpoints that were not right");
	head(out, "kedge_sip_finals_total", "counter", "final SIP responses, copies too, by method and code");
	sip_stack_finals(api->options.stack, write_final, out);
	write_connections(api, out);
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
	gauge(out, "kedge_rooms", totals.rooms, "calls that are transcoded by dsp lcores");
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

// What each nic and each lcore counts. X(metric, type, field, help)
#define NIC_METRICS(X)                                                                              \
	X(kedge_nic_link_up, gauge, link_up, "1 where the link is up")                              \
	X(kedge_nic_live_ports, gauge, live_ports, "UDP ports whose packets come to us")            \
	X(kedge_nic_rx_packets_total, counter, rx_packets, "frames that a nic gave us")             \
	X(kedge_nic_rx_bytes_total, counter, rx_bytes, "bytes of frames that a nic gave us")        \
	X(kedge_nic_rx_missed_total, counter, rx_missed, "frames that a nic lost for want of room") \
	X(kedge_nic_rx_errors_total, counter, rx_errors, "frames that a nic received broken")       \
	X(kedge_nic_tx_packets_total, counter, tx_packets, "frames that a nic took from us")        \
	X(kedge_nic_tx_bytes_total, counter, tx_bytes, "bytes of frames that a nic took from us")   \
	X(kedge_nic_tx_errors_total, counter, tx_errors, "frames that a nic could not send")

#define LCORE_METRICS(X)                                                                                \
	X(kedge_lcore_legs, gauge, legs, "legs that an lcore owns")                                     \
	X(kedge_lcore_heartbeat_age_us, gauge, heartbeat_age_us, "time since an lcore last came round") \
	X(kedge_lcore_packets_total, counter, packets, "packets that an lcore took from its nics")      \
	X(kedge_lcore_bursts_total, counter, bursts, "non-empty bursts of an lcore")                    \
	X(kedge_lcore_loops_total, counter, loops, "turns of an lcore's loop")                          \
	X(kedge_lcore_busy_loops_total, counter, busy_loops, "turns of an lcore that found packets")    \
	X(kedge_lcore_sleeps_total, counter, sleeps, "times that an lcore slept")                       \
	X(kedge_lcore_commands_total, counter, commands, "commands from control that an lcore obeyed")

static void write_nics(struct api *api, struct evbuffer *out)
{
	struct kg_nic_info nic;

#define WRITE(metric, type, field, help)                                               \
	head(out, #metric, #type, help);                                               \
	for (unsigned i = 0; kg_media_nic_info(api->options.media, i, &nic) == 0; i++) \
		labelled(out, #metric, "nic", nic.name, nic.field);
	NIC_METRICS(WRITE)
#undef WRITE
}

static void write_lcores(struct api *api, struct evbuffer *out)
{
	struct kg_lcore_info lcore;
	char number[16];

#define WRITE(metric, type, field, help)                                                     \
	head(out, #metric, #type, help);                                                     \
	for (unsigned i = 0; kg_media_lcore_info(api->options.media, i, &lcore) == 0; i++) { \
		evutil_snprintf(number, sizeof(number), "%u", lcore.lcore);                  \
		labelled(out, #metric, "lcore", number, lcore.field);                        \
	}
	LCORE_METRICS(WRITE)
#undef WRITE
	head(out, "kedge_lcore_busy_ratio", "gauge", "share of its time that an lcore had work, 0 to 1");
	for (unsigned i = 0; kg_media_lcore_info(api->options.media, i, &lcore) == 0; i++)
		evbuffer_add_printf(out, "kedge_lcore_busy_ratio{lcore=\"%u\"} %.6f\n", lcore.lcore, lcore.busy_share);
}

static void write_stages(struct api *api, struct evbuffer *out, const char *name, const char *help, bool cycles)
{
	struct kg_lcore_info lcore;

	head(out, name, "counter", help);
	for (unsigned i = 0; kg_media_lcore_info(api->options.media, i, &lcore) == 0; i++)
		for (unsigned j = 0; j < lcore.stage_count; j++)
			evbuffer_add_printf(out, "%s{lcore=\"%u\",stage=\"%s\"} %llu\n", name, lcore.lcore,
				lcore.stages[j].name,
				(unsigned long long)(cycles ? lcore.stages[j].cycles : lcore.stages[j].packets));
}

static void write_health(struct api *api, struct evbuffer *out)
{
	head(out, "kedge_health", "gauge", "1 where a check is well, 0 where it is not");
	for (unsigned i = 0; health_name(i); i++)
		labelled(out, "kedge_health", "check", health_name(i), health_good(api->options.health, i));
	gauge(out, "kedge_control_lag_ms", health_lag_ms(api->options.health),
		"how late the control loop was at most in the last 10 to 20 s");
}

void metrics_write(struct api *api, struct evbuffer *out)
{
	write_health(api, out);
	write_calls(api, out);
	write_sip(api, out);
	write_media(api, out);
	write_nics(api, out);
	write_lcores(api, out);
	write_stages(api, out, "kedge_stage_packets_total", "packets that went through a stage", false);
	write_stages(api, out, "kedge_stage_cycles_total", "TSC cycles that a stage took", true);
	counter(out, "kedge_cdr_written_total", cdr_written(api->options.cdr), "call records written");
	counter(out, "kedge_cdr_lost_total", cdr_lost(api->options.cdr), "call records that could not be written");
}
