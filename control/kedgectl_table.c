// SPDX-License-Identifier: BSD-3-Clause

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kedgectl.h"

// --- reading --------------------------------------------------------------------------------------------------------

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value && *value ? value : "-";
}

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const json_t *items(const json_t *answer)
{
	return json_object_get(answer, "items");
}

// A user's part of "<sip:1001@192.0.2.1>", for narrow columns.
static const char *party(const json_t *leg, const char *key, char *out, size_t size)
{
	const char *value = text(leg, key), *at = strstr(value, "sip:");

	snprintf(out, size, "%s", at ? at + 4 : value);
	out[strcspn(out, "@>;")] = '\0';
	return out;
}

static const char *bytes(long long n, char *out, size_t size)
{
	if (n >= 10000000000)
		snprintf(out, size, "%.1f GB", (double)n / 1e9);
	else if (n >= 10000000)
		snprintf(out, size, "%.1f MB", (double)n / 1e6);
	else if (n >= 10000)
		snprintf(out, size, "%.1f kB", (double)n / 1e3);
	else
		snprintf(out, size, "%lld B", n);
	return out;
}

// A count that keeps to its column: 1234567 is "1234k" where that has room for five.
static const char *count_in(long long n, int width, char *out, size_t size)
{
	static const char *const units[] = {"", "k", "M", "G", NULL};

	for (unsigned i = 0; units[i]; i++, n /= 1000)
		if (snprintf(out, size, "%lld%s", n, units[i]) <= width)
			break;
	return out;
}

// "2026-11-23T01:02:03.456789Z" in microseconds since 1970; 0: not written.
static long long moment_us(const json_t *object, const char *key)
{
	struct tm tm = {0};
	int us = 0;

	if (sscanf(text(object, key), "%d-%d-%dT%d:%d:%d.%6d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
		    &tm.tm_min, &tm.tm_sec, &us) < 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (long long)timegm(&tm) * 1000000 + us;
}

// "7.3 s", "1:05", "2:01:05"
static const char *duration(long long us, char *out, size_t size)
{
	long long s = us / 1000000;

	if (s < 60)
		snprintf(out, size, "%.1f s", (double)us / 1e6);
	else if (s < 3600)
		snprintf(out, size, "%lld:%02lld", s / 60, s % 60);
	else
		snprintf(out, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return out;
}

// --- calls ----------------------------------------------------------------------------------------------------------

void table_calls(const json_t *answer)
{
	struct timespec now;
	size_t index;
	json_t *call;

	if (!json_array_size(items(answer))) {
		printf("no calls\n");
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	printf("%-36s %-11s %7s %-10s %-10s %-6s %6s %6s\n", "ID", "STATE", "AGE", "FROM", "TO", "CODEC", "RX A",
		"RX B");
	json_array_foreach(items(answer), index, call)
	{
		const json_t *legs = json_object_get(call, "legs"), *caller = json_array_get(legs, 0);
		const json_t *callee = json_array_get(legs, json_array_size(legs) - 1);
		char from[64], to[64], age[24], rx_a[24], rx_b[24];

		printf("%-36s %-11s %7s %-10.10s %-10.10s %-6.6s %6s %6s\n", text(call, "id"), text(call, "state"),
			duration((long long)now.tv_sec * 1000000 + now.tv_nsec / 1000 - moment_us(call, "created"), age,
				sizeof(age)),
			party(caller, "from", from, sizeof(from)), party(caller, "to", to, sizeof(to)),
			text(caller, "codec"),
			count_in(number(json_object_get(caller, "rx"), "packets"), 6, rx_a, sizeof(rx_a)),
			count_in(json_array_size(legs) > 1 ? number(json_object_get(callee, "rx"), "packets") : 0, 6,
				rx_b, sizeof(rx_b)));
	}
}

static void print_direction(const char *name, const json_t *side)
{
	char size[32];

	printf("    %-3s %8lld packets  %10s  %6lld RTCP\n", name, number(side, "packets"),
		bytes(number(side, "bytes"), size, sizeof(size)), number(side, "rtcp_packets"));
	if (json_object_get(side, "lost"))
		printf("        lost %lld  duplicate %lld  reordered %lld  jitter %.2f ms\n", number(side, "lost"),
			number(side, "duplicate"), number(side, "reordered"), (double)number(side, "jitter_us") / 1000);
}

// What an operator asks of a party that hears nothing: is it behind NAT, and who else sends to its port?
static void print_sources(const json_t *leg)
{
	const char *latching = text(leg, "latching");
	const json_t *refused = json_object_get(leg, "refused");

	if (strcmp(latching, "waiting") == 0)
		printf("    behind NAT: nothing is sent to it until three packets in sequence have come from it\n");
	else if (strcmp(latching, "latched") == 0 || strcmp(latching, "open") == 0)
		printf("    behind NAT: %s\n", strcmp(latching, "open") == 0
						       ? "at the port of its SDP"
						       : "at a port that was learned from its media");
	if (json_is_object(refused))
		printf("    refused %lld packets that are not from its remote, last from %s SSRC %llx\n",
			number(refused, "packets"), text(refused, "last_source"), number(refused, "last_ssrc"));
}

static void print_leg(const json_t *leg)
{
	const json_t *rx = json_object_get(leg, "rx");
	const char *reason;
	json_t *count;

	printf("  %s  %s  on %s\n", text(leg, "role"), text(leg, "id"), text(leg, "nic"));
	printf("    from %s  to %s\n", text(leg, "from"), text(leg, "to"));
	printf("    dialog %s  Call-ID %s\n", text(leg, "dialog"), text(leg, "sip_call_id"));
	printf("    media %s <-> %s  codec %s  dtmf %s  srtp %s\n", text(leg, "local"), text(leg, "remote"),
		text(leg, "codec"), text(leg, "dtmf"), text(leg, "srtp"));
	print_direction("rx", rx);
	print_direction("tx", json_object_get(leg, "tx"));
	json_object_foreach(json_object_get(rx, "drops"), reason, count)
		printf("    drop %-20s %lld\n", reason, (long long)json_integer_value(count));
	print_sources(leg);
}

static void print_moment(const json_t *call, const char *key)
{
	long long at = moment_us(call, key);
	char out[24];

	if (at)
		printf("  %s after %s", key, duration(at - moment_us(call, "created"), out, sizeof(out)));
}

void table_call(const json_t *answer)
{
	const json_t *cause = json_object_get(answer, "cause");
	size_t index;
	json_t *leg;

	printf("call %s  %s  (%s)\n", text(answer, "id"), text(answer, "state"), text(answer, "business"));
	printf("  created %s", text(answer, "created"));
	print_moment(answer, "answered");
	print_moment(answer, "ended");
	printf("\n");
	if (json_is_object(cause))
		printf("  cause %s (%s layer, %lld): %s\n", text(cause, "reason"), text(cause, "layer"),
			number(cause, "code"), text(cause, "message"));
	json_array_foreach(json_object_get(answer, "legs"), index, leg) print_leg(leg);
}

void table_hangup(const json_t *answer)
{
	printf("call %s is being ended\n", text(answer, "id"));
}

void table_legs(const json_t *answer)
{
	size_t index;
	json_t *leg;

	if (!json_array_size(items(answer))) {
		printf("no legs\n");
		return;
	}
	printf("%-38s %-6s %-21s %-21s %5s %4s\n", "ID", "ROLE", "LOCAL", "REMOTE", "RX", "LOST");
	json_array_foreach(items(answer), index, leg)
	{
		const json_t *rx = json_object_get(leg, "rx");
		char packets[24], lost[24];

		printf("%-38s %-6s %-21s %-21s %5s %4s\n", text(leg, "id"), text(leg, "role"), text(leg, "local"),
			text(leg, "remote"), count_in(number(rx, "packets"), 5, packets, sizeof(packets)),
			count_in(number(rx, "lost"), 4, lost, sizeof(lost)));
	}
}

void table_leg(const json_t *answer)
{
	printf("leg of call %s\n", text(answer, "call"));
	print_leg(answer);
}

// --- the engine -----------------------------------------------------------------------------------------------------

void table_health(const json_t *answer)
{
	size_t index;
	json_t *check;

	printf("%s\n", text(answer, "status"));
	json_array_foreach(json_object_get(answer, "checks"), index, check)
	{
		bool good = json_is_true(json_object_get(check, "ok"));

		printf("  %-4s  %-12s  %s\n", good ? "ok" : "FAIL", text(check, "what"),
			text(check, good ? "help" : "detail"));
	}
}

void table_nics(const json_t *answer)
{
	size_t index, i;
	json_t *nic, *address;

	json_array_foreach(items(answer), index, nic)
	{
		const json_t *rx = json_object_get(nic, "rx"), *tx = json_object_get(nic, "tx");
		char size[32];

		printf("nic %s  %s  %s  link %s  mac %s  mtu %lld\n", text(nic, "name"), text(nic, "device"),
			text(nic, "driver"), json_is_true(json_object_get(nic, "link_up")) ? "up" : "down",
			text(nic, "mac"), number(nic, "mtu"));
		printf("  addresses");
		json_array_foreach(json_object_get(nic, "addresses"), i, address)
			printf(" %s", json_string_value(address));
		printf("\n  queues %lld  rings %lld/%lld  steering %s  live ports %lld\n", number(nic, "queues"),
			number(nic, "rx_ring"), number(nic, "tx_ring"), text(nic, "steering"),
			number(nic, "live_ports"));
		if (json_is_object(json_object_get(nic, "tap"))) {
			const json_t *tap = json_object_get(nic, "tap");

			printf("  kernel's side %s  to it %lld  from it %lld  lost %lld frames\n",
				text(tap, "interface"), number(tap, "to_kernel"), number(tap, "from_kernel"),
				number(tap, "lost"));
		}
		printf("  rx %lld packets, %s, %lld missed, %lld errors\n", number(rx, "packets"),
			bytes(number(rx, "bytes"), size, sizeof(size)), number(rx, "missed"), number(rx, "errors"));
		printf("  tx %lld packets, %s, %lld errors\n", number(tx, "packets"),
			bytes(number(tx, "bytes"), size, sizeof(size)), number(tx, "errors"));
	}
}

void table_lcores(const json_t *answer)
{
	size_t index, i;
	json_t *lcore, *stage;

	json_array_foreach(items(answer), index, lcore)
	{
		long long bursts = number(lcore, "bursts"), packets = number(lcore, "packets");

		printf("lcore %lld  cpu %lld  %s  %s  legs %lld  busy %.1f %%  heartbeat %.1f ms ago\n",
			number(lcore, "lcore"), number(lcore, "cpu"), text(lcore, "role"), text(lcore, "idle"),
			number(lcore, "legs"), 100 * real(lcore, "busy_share"),
			(double)number(lcore, "heartbeat_age_us") / 1000);
		printf("  packets %lld in %lld bursts (%.1f each)  loops %lld  sleeps %lld  commands %lld\n", packets,
			bursts, bursts ? (double)packets / (double)bursts : 0, number(lcore, "loops"),
			number(lcore, "sleeps"), number(lcore, "commands"));
		printf("  load %.1f %%%s  worst turn %.1f ms  handed over %lld  cross lcore %lld  handed tx %lld\n",
			100 * real(lcore, "load"),
			json_is_true(json_object_get(lcore, "overloaded")) ? " OVERLOADED" : "",
			(double)number(lcore, "worst_turn_us") / 1000, number(lcore, "handed_over"),
			number(lcore, "cross_lcore"), number(lcore, "handed_tx"));
		printf("  %-10s %12s %14s\n", "STAGE", "PACKETS", "CYCLES/PACKET");
		json_array_foreach(json_object_get(lcore, "stages"), i, stage) printf("  %-10s %12lld %14.0f\n",
			text(stage, "name"), number(stage, "packets"), real(stage, "cycles_per_packet"));
	}
}

static void print_group(const char *title, const json_t *group)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)group, key, value)
	{
		if (json_is_integer(value))
			printf("%-10s %-22s %14lld\n", title, key, (long long)json_integer_value(value));
		else
			print_group(key, value);
	}
}

void table_stats(const json_t *answer)
{
	print_group("", answer);
}

void table_reload(const json_t *answer)
{
	printf("%s", text(answer, "report"));
}
