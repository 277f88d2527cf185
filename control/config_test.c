// SPDX-License-Identifier: BSD-3-Clause
// Wrong files and what is said of them, word for word; good ones field by field.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

#define NICS "nics: [{name: lan, device: \"af_xdp:eth0\"}]\n"
#define TRUNKS "trunks: [{name: carrier, target: \"sip:192.0.2.20\"}]\n"
#define ROUTES "routes: [{to: [\"trunk:carrier\"]}]\n"
#define TARGET_HELP "write sip:IP:PORT, for example sip:192.0.2.20:5060, or sip:NAME with `from`\n"
#define LISTEN_HELP "write udp:IP:PORT (or tcp:, tls:, ws:, wss:), for example udp:192.0.2.10:5060\n"
#define GOOD NICS TRUNKS ROUTES

static char said[4096];

static void hear(const char *line, void *arg)
{
	size_t length = strlen(said);

	if (length < sizeof(said) - 1)
		snprintf(said + length, sizeof(said) - length, "%s\n", line);
}

static struct config *parse(const char *text, int result)
{
	struct config *config = NULL;

	said[0] = '\0';
	assert_int_equal(config_parse("k.yaml", text, strlen(text), &config, hear, NULL), result);
	return config;
}

static void wrong_files_get_helpful_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "k.yaml:1: file: is empty: write nics, trunks and routes\n"},
		{"a: 1\n%\253\n", "k.yaml:2: file: has a directive (%): take the line out\n"},
		{"nics: []\n?  vn: a\n", "k.yaml:2: file: holds a key that is no word: write KEY: VALUE\n"},
		{"nics: [{? a: b}]\n", "k.yaml:1: file: holds a key that is no word: write KEY: VALUE\n"},
		{"a: \253\n", "k.yaml:1: file: has a byte that is no text: save it as UTF-8\n"},
		{"- 1\n", "k.yaml:1: file: is no list of keys: write nics, trunks and routes\n"},
		{"nics: [\n", "k.yaml:2: file: is no YAML: flow sequence without a closing bracket (column 1): mind "
			      "indentation, quotes and brackets\n"},
		{NICS NICS TRUNKS ROUTES, "k.yaml:2: nics: is written twice: take one out\n"},
		{GOOD "media: {timeout_s: 5, timeout_s: 6, timeout_s: 7}\n",
			"k.yaml:4: media.timeout_s: is written twice: take one out\n"
			"k.yaml:4: media.timeout_s: is written twice: take one out\n"},
		{GOOD "---\nnics: []\n", "k.yaml:5: file: begins a second document: take its --- out\n"},
		{GOOD "media:\n", "k.yaml:4: media: is empty: write {ports: FIRST-LAST, timeout_s: SECONDS}\n"},
		{GOOD "? [a]\n: b\n", "k.yaml:4: file: holds a key that is no word: write KEY: VALUE\n"},
		{"\xed\xa0\x80: 1\n", "k.yaml:1: file: has a byte that is no text: save it as UTF-8\n"},
		{TRUNKS ROUTES, "k.yaml:1: nics: is missing: write [{name: lan, device: \"af_xdp:eth0\"}] with your "
				"interface\n"},
		{"nics: []\n" TRUNKS ROUTES,
			"k.yaml:1: nics: is empty: write [{name: lan, device: \"af_xdp:eth0\"}] with your interface\n"},
		{"nics:\n  - {name: lan, device: eth0}\n" TRUNKS ROUTES,
			"k.yaml:2: nics[0].device: \"eth0\" is no device: write af_xdp:INTERFACE, for example "
			"af_xdp:eth0\n"},
		{GOOD "trunk: []\n", "k.yaml:4: trunk: is no key: did you mean trunks?\n"},
		{GOOD "media: {port: 1-2}\n", "k.yaml:4: media.port: is no key: did you mean ports?\n"},
		{GOOD "media: {ports: 1023-2000}\n", "k.yaml:4: media.ports: \"1023-2000\" is no port range between "
						     "1024 and 65534: write FIRST-LAST, for example 16384-32767\n"},
		{GOOD "media: {ports: 2000-65535}\n", "k.yaml:4: media.ports: \"2000-65535\" is no port range between "
						      "1024 and 65534: write FIRST-LAST, for example 16384-32767\n"},
		{GOOD "media: {ports: 9-2}\n", "k.yaml:4: media.ports: \"9-2\" is no port range between 1024 and "
					       "65534: write FIRST-LAST, for example 16384-32767\n"},
		{GOOD "media:\n  timeout_s: -1\n",
			"k.yaml:5: media.timeout_s: \"-1\" does not fit: write a number from 1 to 86400\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2\"}]\n",
			"k.yaml:3: trunks[0].target: \"sip:192.0.2\" is no SIP address: " TARGET_HELP},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:proxy.example.com\"}]\n",
			"k.yaml:3: trunks: target is a name, so calls from it cannot be known by it: write from: "
			"[NETWORK] with its addresses\n"},
		{NICS TRUNKS "routes:\n  - to: [\"trunk:carier\"]\n",
			"k.yaml:4: routes[0].to[0]: there is no trunk \"carier\": write one of carrier\n"},
		{NICS TRUNKS "routes:\n  - {match: {to: \"(\"}, to: [next_hop]}\n",
			"k.yaml:4: routes[0].match.to: \"(\" is no pattern (Unmatched ( or \\(): write an extended "
			"regular expression, "
			"for example ^9\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2.20\", from: [1.2.3.4/40]}]\n",
			"k.yaml:3: trunks[0].from[0]: \"1.2.3.4/40\" is no network: write ADDRESS/BITS, for "
			"example 192.0.2.0/24\n"},
		{GOOD "recording: {calls: all}\n",
			"k.yaml:4: recording.calls: \"all\": recording is not in this version: write none\n"},
		{GOOD "endpoints: [{user: a}]\n", "k.yaml:4: endpoints[0].password: is missing: write the user's "
						  "password\n"},
		{GOOD "endpoints: [{user: a, password: x}, {user: b, password: x}, {user: a, password: y}]\n",
			"k.yaml:4: endpoints: two endpoints are user \"a\": take one out\n"},
		{GOOD "sip: {listen: [\"sctp:192.0.2.1:5060\"]}\n",
			"k.yaml:4: sip.listen[0]: \"sctp:192.0.2.1:5060\" is no listener: " LISTEN_HELP},
		{GOOD "sip: {listen: [\"udp:192.0.2.1:5060\", \"tcp:192.0.2.1:5060\", \"ws:192.0.2.1:5060\"]}\n",
			"k.yaml:4: sip.listen[2]: \"ws:192.0.2.1:5060\" is sip.listen[1] once more: take one out\n"},
		{GOOD "sip: {listen: [\"wss:192.0.2.1:443\"], tls: {certificate: /c}}\n",
			"k.yaml:4: sip.tls: sip.listen[0] is wss: write tls: {certificate: FILE, key: FILE} (PEM) "
			"beside "
			"it\n"},
		{NICS ROUTES
			"trunks: [{name: carrier, target: \"sips:192.0.2.20\", transport: tcp, username: me, headers: "
			"[X-Ok, Via, \"a b\"]}]\n",
			"k.yaml:3: trunks[0].headers[1]: \"Via\" is written by the engine itself: take it out\n"
			"k.yaml:3: trunks[0].headers[2]: \"a b\" is no header's name: write [NAME, ...], for example "
			"[X-Customer]\n"
			"k.yaml:3: trunks: transport is tcp, but target says tls: take one out\n"
			"k.yaml:3: trunks: username and password belong together: write both, or none\n"},
		{GOOD "api: {listen: \"0.0.0.0:80\"}\n", "k.yaml:4: api.listen: \"0.0.0.0:80\" is no loopback address: "
							 "write 127.0.0.1:PORT or off (the API has no tokens "
							 "in this version)\n"},
		{GOOD "log: {level: loud}\n",
			"k.yaml:4: log.level: \"loud\" is not known here: write error, warn, info or debug\n"},
		{"nics: &a [{name: lan, device: \"af_xdp:eth0\"}]\ntrunks: *a\n" ROUTES,
			"k.yaml:2: trunks: is an alias (this file knows none): write [{name: carrier, target: "
			"\"sip:192.0.2.20:5060\"}] with your peer's address\n"
			"k.yaml:3: routes[0].to[0]: there is no trunk \"carrier\": none is written under trunks\n"},
		{"nics: [{name: &n lan, device: \"af_xdp:eth0\"}, {name: *n, device: \"af_xdp:eth1\"}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics[1].name: is an alias (this file knows none): write a short name, for example "
			"lan\n"},
		{"nics: [{name: lan, device: \"pci:0000:01:00.0\"}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics: pci:0000:01:00.0 has no addresses: write addresses: [192.0.2.10/24], the "
			"kernel's "
			"side of the device gets them\n"},
		{"nics: [{name: lan, device: \"vhost:\"}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics[0].device: \"vhost:\" is no device: write af_xdp:INTERFACE, for example "
			"af_xdp:eth0\n"},
		{"nics: [{name: lan, device: \"af_xdp:a\", vlan: 4}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics: af_xdp:a takes no vlan: make a VLAN interface (ip link add link IFACE name "
			"IFACE.4 type vlan id 4) and write that\n"},
		{"nics: [{name: lan, device: \"af_xdp:a-name-much-too-long\"}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics[0].device: \"af_xdp:a-name-much-too-long\" is no device: write "
			"af_xdp:INTERFACE, "
			"for example af_xdp:eth0\n"},
		{"nics: [{name: lan, device: \"af_xdp:a\"}, {name: wan, device: \"af_xdp:a\"}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics: two nics have the device af_xdp:a: write it once\n"},
		{"nics: [{name: \"l a\\\"n\", device: \"af_xdp:a\", vlan: 5000, advertise: 224.0.0.1}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics[0].name: \"l a\"n\" is no name: write letters, digits, - _ . only\n"
			"k.yaml:1: nics[0].advertise: holds what no machine can have as its address: write the public "
			"address, or one for each of `addresses` in their order\n"
			"k.yaml:1: nics[0].vlan: \"5000\" does not fit: write a number from 1 to 4094\n"},
		{"nics: [{name: lan, device: \"af_xdp:a\", addresses: [\"2001:db8::1/64\", \"fe80::1\"]}]\n" TRUNKS
				ROUTES,
			"k.yaml:1: nics[0].addresses: holds what no machine can have as its address: write those of "
			"the interface\n"},
		{"nics: [{name: lan, device: \"af_xdp:a\", addresses: [10.0.0.1, 10.0.0.2, \"2001:db8::1\"], "
		 "advertise: [192.0.2.1, 192.0.2.2]}]\n" TRUNKS ROUTES,
			"k.yaml:1: nics[0].advertise: has 2 addresses and `addresses` 3: write the public address, or "
			"one for each of `addresses` in their order\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:2001:db8::1:5060\", behind_nat: maybe}]\n",
			"k.yaml:3: trunks[0].target: \"sip:2001:db8::1:5060\" is no SIP address: " TARGET_HELP
			"k.yaml:3: trunks[0].behind_nat: \"maybe\" is not known here: write true or false\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2.20\", nic: wan, max_calls: 250001, cps: "
			     "-1, codecs: [PCMU], srtp: on, "
			     "transport: sctp}]\n",
			"k.yaml:3: trunks[0].nic: there is no nic \"wan\": write one of lan\n"
			"k.yaml:3: trunks[0].transport: \"sctp\" is no transport of a trunk: write udp, tcp or tls\n"
			"k.yaml:3: trunks[0].max_calls: \"250001\" does not fit: write a number from 0 to 250000\n"
			"k.yaml:3: trunks[0].cps: \"-1\" does not fit: write a number from 0 to 100000\n"
			"k.yaml:3: trunks[0].codecs: holds no keys: write {offer: [NAME, ...], prefer: [NAME, ...], "
			"strip: [NAME, ...], transcode: true}\n"
			"k.yaml:3: trunks[0].srtp: is not in this version: leave it out; media is plain RTP\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2.20\", codecs: {offer: [G722, MP3], "
			     "prefer: g722, "
			     "strip: [opus, G722], transcode: no, jitter_buffer: {mode: slow, min_ms: 400}}}]\n",
			"k.yaml:3: trunks[0].codecs.offer[1]: \"MP3\" is no codec of this engine: write one of opus, "
			"G722, PCMU, "
			"PCMA, G726-32, G726-40, G726-24, G726-16, AAL2-G726-32, AAL2-G726-40, AAL2-G726-24, "
			"AAL2-G726-16, GSM, "
			"L16\n"
			"k.yaml:3: trunks[0].codecs.transcode: \"no\" is not known here: write true or false\n"
			"k.yaml:3: trunks[0].codecs.jitter_buffer.mode: \"slow\" is not known here: write adaptive, "
			"fixed or off\n"
			"k.yaml:3: trunks[0].codecs.jitter_buffer: min_ms is above max_ms (300): raise max_ms\n"
			"k.yaml:3: trunks[0].codecs: G722 is offered and stripped: take one out\n"},
		{NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2.20\", codecs: {offer: [G722], transcode: "
			     "false}}]\n",
			"k.yaml:3: trunks[0].codecs: offers codecs that transcode: false cannot serve: take one out\n"},
		{NICS TRUNKS "routes: [{match: {to: \"((a{255}){255}){255}\"}, to: [next_hop]}]\n",
			"k.yaml:3: routes[0].match.to: \"((a{255}){255}){255}\" is too large: write at most 1000 "
			"characters, repeats written out\n"},
		{NICS TRUNKS "routes: [{match: {to: \"(((a{255})+){255})+\"}, to: [next_hop]}]\n",
			"k.yaml:3: routes[0].match.to: \"(((a{255})+){255})+\" is too large: write at most 1000 "
			"characters, repeats written out\n"},
		{NICS TRUNKS "routes: [{match: {to: \"(a{200,}){9}\"}, to: [next_hop]}]\n",
			"k.yaml:3: routes[0].match.to: \"(a{200,}){9}\" is too large: write at most 1000 "
			"characters, repeats written out\n"},
		{NICS TRUNKS "routes: [{match: {to: \"la???????+{127}\"}, to: [next_hop]}]\n",
			"k.yaml:3: routes[0].match.to: \"la???????+{127}\" repeats a repeat: write one of * + ? {n,m} "
			"behind an atom\n"},
		{NICS TRUNKS "routes: [{match: {from: '(.*)x\\1'}, to: [next_hop]}]\n",
			"k.yaml:3: routes[0].match.from: \"(.*)x\\1\" refers back to a group (\\1): write an extended "
			"regular expression, for example ^9\n"},
		{GOOD "media: {ports: 5000-6000}\n", "k.yaml:4: media.ports: 5000-6000 holds 5060, where SIP listens: "
						     "write a range without it, or sip.listen\n"},
		{GOOD "media: {ports: 20001-20002}\n",
			"k.yaml:4: media.ports: \"20001-20002\" has no even port with "
			"an odd one above it: write FIRST-LAST, for example 16384-32767\n"},
		{GOOD "sip: {listen: [\"udp:192.0.2.1:20000\", \"udp:0.0.0.0\", \"udp:192.0.2.1\", "
		      "\"udp:192.0.2.1:5060\"]}\n",
			"k.yaml:4: sip.listen[0]: \"udp:192.0.2.1:20000\" lies in media.ports 16384-32767: write a "
			"port "
			"outside of it\n"
			"k.yaml:4: sip.listen[1]: \"udp:0.0.0.0\" is no listener: " LISTEN_HELP
			"k.yaml:4: sip.listen[3]: \"udp:192.0.2.1:5060\" is sip.listen[0] once more: take one out\n"},
		{GOOD "sip: {strangers: ignore, limits: {message_bytes: 1499, headers: 129, source_per_s: 0, "
		      "strangers_per_s: 0, cps: many, calls: 1}}\n",
			"k.yaml:4: sip.strangers: \"ignore\" is not known here: write reject or silent\n"
			"k.yaml:4: sip.limits.calls: is no key: write one of message_bytes, headers, source_per_s, "
			"strangers_per_s, cps, connections, "
			"connections_per_source\n"
			"k.yaml:4: sip.limits.message_bytes: \"1499\" does not fit: write a number from 1500 to 65535\n"
			"k.yaml:4: sip.limits.headers: \"129\" does not fit: write a number from 32 to 128\n"
			"k.yaml:4: sip.limits.source_per_s: \"0\" does not fit: write a number from 1 to 100000\n"
			"k.yaml:4: sip.limits.strangers_per_s: \"0\" does not fit: write a number from 1 to 1000000\n"
			"k.yaml:4: sip.limits.cps: \"many\" does not fit: write a number from 0 to 100000\n"},
		{GOOD "sip: {limits: 5}\n", "k.yaml:4: sip.limits: is one value: write {source_per_s: REQUESTS, "
					    "strangers_per_s: REQUESTS, cps: CALLS}\n"},
		{GOOD "lcores: {relay: [1, 2, 1], dsp: [1, x]}\n",
			"k.yaml:4: lcores.relay: names CPU 1 twice: write each once\n"
			"k.yaml:4: lcores.dsp: \"x\" does not fit: write a number from 0 to 1023\n"},
		{GOOD "recording: {calls: none, format: opus}\n", "k.yaml:4: recording.format: \"opus\": recording is "
								  "not in this version: write wav, or leave it "
								  "out\n"},
		{GOOD "api: {token_file: /x}\n", "k.yaml:4: api.token_file: is not in this version: leave it out; the "
						 "API answers on the loopback "
						 "only\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config *config = NULL;

		said[0] = '\0';
		if (config_parse("k.yaml", cases[i].text, strlen(cases[i].text), &config, hear, NULL) != -EINVAL)
			fail_msg("was taken: %s", cases[i].text);
		assert_string_equal(said, cases[i].error);
	}
}

static void every_error_is_reported_at_once(void **state)
{
	assert_null(parse("nics:\n  - device: eth0\n" TRUNKS "routes: [{to: [x], strip: many}]\n", -EINVAL));
	assert_string_equal(said,
		"k.yaml:2: nics[0].name: is missing: write a short name, for example lan\n"
		"k.yaml:2: nics[0].device: \"eth0\" is no device: write af_xdp:INTERFACE, for example af_xdp:eth0\n"
		"k.yaml:4: routes[0].to[0]: \"x\" is no target: write next_hop or trunk:NAME\n"
		"k.yaml:4: routes[0].strip: \"many\" does not fit: write a number from 0 to 64\n");
}

static void the_shortest_file_has_the_defaults(void **state)
{
	struct config *config = parse(GOOD, 0);

	assert_string_equal(said, "");
	assert_int_equal(config->nic_count, 1);
	assert_string_equal(config->nics[0].interface, "eth0");
	assert_int_equal(config->relay_count, 0);
	assert_false(config->spin);
	assert_int_equal(config->port_first, 16384);
	assert_int_equal(config->port_last, 32767);
	assert_int_equal(config->timeout_s, 60);
	assert_int_equal(config->hold_timeout_s, 1800);
	assert_int_equal(config->max_calls, 4096);
	assert_int_equal(config->listen_count, 0);
	assert_false(config->limits.silent);
	assert_int_equal(config->limits.message_bytes, 65535);
	assert_int_equal(config->limits.headers, 128);
	assert_int_equal(config->limits.source_per_s, 100);
	assert_int_equal(config->limits.strangers_per_s, 500);
	assert_int_equal(config->cps, 0);
	assert_int_equal(config->trunks[0].max_calls, 0);
	assert_int_equal(config->trunks[0].cps, 0);
	assert_int_equal(config->trunks[0].target.port, 5060);
	assert_int_equal(config->trunks[0].from_count, 1);
	assert_int_equal(config->trunks[0].from[0].prefix, 32);
	assert_int_equal(config->trunks[0].ring_timeout_s, 180);
	assert_int_equal(config->routes[0].match_trunk, -1);
	assert_string_equal(config->cdr_file, "/var/log/kedge/cdr.jsonl");
	assert_string_equal(config->api_socket, "/run/kedge/kedge.sock");
	assert_false(config->api_telemetry);
	assert_int_equal(config->api_listen.port, 8080);
	assert_int_equal(config->log_level, KG_LOG_INFO);
	assert_true(config->log_json);
	config_destroy(config);
}

static void a_full_file_is_read_field_by_field(void **state)
{
	static const char text[] =
		"routes:\n  - {match: {trunk: b, to: \"^9\", from: x, source: 192.0.2.0/24}, to: [next_hop, "
		"\"trunk:a\"], strip: 1, "
		"prefix: \"00\", record: false}\n"
		"nics: [{name: n, device: \"af_xdp:e\", addresses: [192.0.2.10/24, 192.0.2.11]}]\n"
		"trunks:\n  - {name: a, target: \"sip:192.0.2.1:5070\", nic: n, ring_timeout_s: 7, max_calls: 30, cps: "
		"4, transport: udp}\n"
		"  - {name: b, target: \"sips:b.example.com\", from: [192.0.2.2/32, 198.51.100.0/24], trusted: false, "
		"refer: true, prack: required, session_expires_s: 600, username: u, password: \"p w\", headers: [X-A, "
		"X-B]}\n"
		"lcores: {relay: [1, 3], idle: spin}\nmedia: {ports: 20000-20999, timeout_s: 5, hold_timeout_s: 6, "
		"max_calls: 7, deny: [10.0.0.0/8, \"fd00::/8\"]}\n"
		"sip: {listen: [\"udp:192.0.2.10:5060\", \"udp:192.0.2.11:5061\", \"tls:192.0.2.10\"], realm: r, "
		"tls: {certificate: /c, key: /k, ca: /a, verify_clients: true}, dns: {servers: \"192.0.2.9:53\"}, "
		"strangers: silent, limits: "
		"{message_bytes: 4000, headers: 64, source_per_s: 11, strangers_per_s: 12, cps: 13, connections: 14, "
		"connections_per_source: 15}}\nendpoints: [{user: z, password: s}, {user: a, password: t, groups: [g, "
		"h], "
		"behind_nat: false, max_calls: 2}]\n"
		"recording: {calls: none, directory: /x, format: wav}\ncdr: {file: /a/b}\n"
		"api: {listen: off, socket: /c}\nlog: {level: debug, format: text}\n";
	struct config *config = parse(text, 0);

	assert_int_equal(config->nics[0].address_count, 2);
	assert_int_equal(config->relay_count, 2);
	assert_int_equal(config->relay_cpus[0], 1);
	assert_int_equal(config->relay_cpus[1], 3);
	assert_true(config->spin);
	assert_int_equal(config->port_first, 20000);
	assert_int_equal(config->port_last, 20999);
	assert_int_equal(config->max_calls, 7);
	assert_int_equal(config->media_deny_count, 2);
	assert_int_equal(config->media_deny[1].prefix, 8);
	assert_int_equal(config->listens[1].addr.port, 5061);
	assert_string_equal(config->trunks[0].nic, "n");
	assert_int_equal(config->trunks[0].ring_timeout_s, 7);
	assert_int_equal(config->trunks[0].max_calls, 30);
	assert_int_equal(config->trunks[0].cps, 4);
	assert_int_equal(config->trunks[1].max_calls, 0);
	assert_true(config->limits.silent);
	assert_int_equal(config->limits.message_bytes, 4000);
	assert_int_equal(config->limits.headers, 64);
	assert_int_equal(config->limits.source_per_s, 11);
	assert_int_equal(config->limits.strangers_per_s, 12);
	assert_int_equal(config->cps, 13);
	assert_int_equal(config->connections, 14);
	assert_int_equal(config->connections_per_source, 15);
	assert_int_equal(config->listens[2].transport, SIP_TLS);
	assert_int_equal(config->listens[2].addr.port, 5061);
	assert_string_equal(config->tls_key, "/k");
	assert_true(config->tls_verify_clients);
	assert_string_equal(config->dns_servers, "192.0.2.9:53");
	assert_int_equal(config->trunks[0].transport, SIP_UDP + 1);
	assert_true(config->trunks[0].trusted && !config->trunks[0].refer);
	assert_int_equal(config->trunks[0].session_expires_s, 1800);
	assert_string_equal(config->trunks[1].target_host, "b.example.com");
	assert_int_equal(config->trunks[1].target.family, 0);
	assert_int_equal(config->trunks[1].transport, SIP_TLS + 1);
	assert_true(!config->trunks[1].trusted && config->trunks[1].refer);
	assert_int_equal(config->trunks[1].session_expires_s, 600);
	assert_int_equal(config->trunks[1].prack, 2);
	assert_string_equal(config->trunks[1].password, "p w");
	assert_int_equal(config->trunks[1].header_count, 2);
	assert_string_equal(config->trunks[1].headers[1], "X-B");
	assert_string_equal(config_endpoint(config, "a")->password, "t");
	assert_int_equal(config_endpoint(config, "a")->group_count, 2);
	assert_true(config_endpoint(config, "a")->trusts_sdp && !config_endpoint(config, "z")->trusts_sdp);
	assert_null(config_endpoint(config, "b"));
	assert_int_equal(config->trunks[1].from_count, 2);
	assert_int_equal(config->routes[0].match_trunk, 1);
	assert_true(config->routes[0].has_to && config->routes[0].has_from && config->routes[0].source);
	assert_int_equal(config->routes[0].targets[0].kind, CONFIG_TO_NEXT_HOP);
	assert_int_equal(config->routes[0].targets[1].trunk, 0);
	assert_int_equal(config->routes[0].strip, 1);
	assert_string_equal(config->routes[0].prefix, "00");
	assert_int_equal(config->api_listen.family, 0);
	assert_false(config->log_json);
	config_destroy(config);
}

static struct kg_addr address(const char *text)
{
	struct kg_addr addr;

	assert_int_equal(kg_addr_parse(&addr, text, 7), 0);
	return addr;
}

static void ipv6_is_written_as_in_a_uri(void **state)
{
	static const char text[] = "nics: [{name: n, device: \"af_packet:e\", addresses: [\"2001:db8::10/64\"]}]\n"
				   "trunks:\n  - {name: a, target: \"sip:[2001:db8::20]:5070\", behind_nat: true}\n"
				   "  - {name: b, target: \"sip:[2001:db8::21]\", from: [\"2001:db8:1::/48\"]}\n"
				   "routes: [{match: {source: \"2001:db8::/32\"}, to: [\"trunk:a\"]}]\n"
				   "sip: {listen: [\"udp:[2001:db8::10]:5062\"]}\napi: {listen: \"[::1]:8081\"}\n";
	struct config *config = parse(text, 0);
	struct kg_addr inside = address("2001:db8:1:2::3"), outside = address("2001:db8:2::3");

	assert_string_equal(said, "");
	assert_string_equal(config->nics[0].interface, "e");
	assert_int_equal(config->trunks[0].target.port, 5070);
	assert_true(config->trunks[0].behind_nat);
	assert_false(config->trunks[1].behind_nat);
	assert_int_equal(config->trunks[0].from[0].prefix, 128);
	assert_true(config_net_has(&config->trunks[1].from[0], &inside));
	assert_false(config_net_has(&config->trunks[1].from[0], &outside));
	assert_int_equal(config->listens[0].addr.family, 6);
	assert_int_equal(config->api_listen.port, 8081);
	config_destroy(config);
}

static void an_advertised_address_stands_for_its_own(void **state)
{
	static const struct {
		const char *nic, *local, *said;
	} cases[] = {
		{"", "10.0.0.1", "10.0.0.1"},
		{", advertise: 192.0.2.1", "10.0.0.1", "192.0.2.1"},
		{", advertise: 192.0.2.1", "2001:db8::1", "2001:db8::1"},
		{", advertise: [192.0.2.1, \"2001:db8::2\"]", "2001:db8::1", "2001:db8::2"},
		{", addresses: [10.0.0.1, 10.0.0.2], advertise: [192.0.2.1, 192.0.2.2]", "10.0.0.2", "192.0.2.2"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kg_addr local = address(cases[i].local), want = address(cases[i].said), got;
		char text[512];
		struct config *config;

		snprintf(text, sizeof(text), "nics: [{name: lan, device: \"af_xdp:e\"%s}]\n" TRUNKS ROUTES,
			cases[i].nic);
		config = parse(text, 0);
		config_advertised(&config->nics[0], &local, &got);
		assert_true(kg_addr_same(&got, &want)); // and the port is local's
		config_destroy(config);
	}
}

static void patterns_of_every_day_are_taken(void **state)
{
	static const char *const patterns[] = {"^\\\\+?[0-9]{6,15}$", "^(00|\\\\+)49", "[[:digit:]]{3}", "[]x]{2}",
		"[^]x]", "^(9|1[0-9]{2,4}){1,3}#?$", "^$", "a{,5}", ".*", "\\\\{", "(a?)?b", "[*+?]+", "\\\\++"};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		char text[512];
		struct config *config;

		snprintf(text, sizeof(text), NICS TRUNKS "routes: [{match: {to: \"%s\"}, to: [next_hop]}]\n",
			patterns[i]);
		config = parse(text, 0);
		assert_string_equal(said, "");
		config_destroy(config);
	}
}

// A megabyte of anything is answered at once: nothing here grows with the square of what is written.
static void large_files_are_bounded(void **state)
{
	size_t length = 0, size = 1024 * 1024;
	char *text = malloc(size), *deep = malloc(size);
	struct config *config;

	for (unsigned i = 0; length < size - 32; i++)
		length += (size_t)snprintf(text + length, 32, "k%u: 1\n", i);
	said[0] = '\0';
	assert_int_equal(config_parse("k.yaml", text, length, &config, hear, NULL), -EINVAL);
	assert_memory_equal(said, "k.yaml:1: k0: is no key: write one of nics,", 43);
	memset(deep, '[', size);
	said[0] = '\0';
	assert_int_equal(config_parse("k.yaml", deep, size, &config, hear, NULL), -EINVAL);
	assert_string_equal(said,
		"k.yaml:1: file: is no YAML: Max depth (64) exceeded (column 64): mind indentation, quotes "
		"and brackets\n");
	free(text);
	free(deep);
}

static void networks_hold_what_their_bits_say(void **state)
{
	struct config_net net = {.prefix = 26};
	struct kg_addr addr;

	kg_addr_parse(&net.addr, "192.0.2.64", 0);
	kg_addr_parse(&addr, "192.0.2.127", 0);
	assert_true(config_net_has(&net, &addr));
	kg_addr_parse(&addr, "192.0.2.128", 0);
	assert_false(config_net_has(&net, &addr));
	net.prefix = 0;
	assert_true(config_net_has(&net, &addr));
	kg_addr_parse(&addr, "2001:db8::1", 0);
	assert_false(config_net_has(&net, &addr));
}

static void a_reload_says_what_it_cannot_change(void **state)
{
	static const struct {
		const char *text, *key; // key NULL: it can
	} cases[] = {
		{"nics: [{name: wan, device: \"af_xdp:eth0\"}]\n" TRUNKS ROUTES, "nics"},
		{"nics: [{name: lan, device: \"af_xdp:eth1\"}]\n" TRUNKS ROUTES, "nics"},
		{"nics: [{name: lan, device: \"af_xdp:eth0\", addresses: [192.0.2.1]}]\n" TRUNKS ROUTES, "nics"},
		{"nics: [{name: lan, device: \"af_xdp:eth0\", advertise: 192.0.2.1}]\n" TRUNKS ROUTES, "nics"},
		{GOOD "lcores: {relay: [1]}\n", "lcores"},
		{GOOD "lcores: {idle: spin}\n", "lcores"},
		{GOOD "api: {telemetry: true}\n", "api"},
		{GOOD "media: {ports: 16386-32767}\n", "media.ports"},
		{GOOD "media: {ports: 16384-32765}\n", "media.ports"},
		{GOOD "media: {max_calls: 5}\n", "media.max_calls"},
		{GOOD "sip: {listen: [\"udp:192.0.2.1\"]}\n", "sip.listen"},
		{GOOD "user: kedge\n", "user"},
		{GOOD "cdr: {file: /x}\n", "cdr.file"},
		{GOOD "api: {listen: off}\n", "api"},
		{GOOD "api: {socket: /x}\n", "api"},
		{GOOD "media: {timeout_s: 7, hold_timeout_s: 8}\nlog: {level: debug}\n", NULL},
		{GOOD "sip: {strangers: silent, limits: {source_per_s: 5, cps: 9}}\n", NULL},
		{NICS "trunks: [{name: other, target: \"sip:192.0.2.21\", nic: lan}]\nroutes: []\n", NULL},
	};
	struct config *now = parse(GOOD, 0), *next;
	char line[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		next = parse(cases[i].text, 0);
		assert_int_equal(config_frozen(now, next, hear, NULL), cases[i].key ? 1 : 0);
		snprintf(line, sizeof(line),
			"k.yaml: %s: a running engine cannot change it: restart kedged to apply it\n", cases[i].key);
		assert_string_equal(said, cases[i].key ? line : "");
		config_destroy(next);
	}
	config_destroy(now);
}

static void a_reload_keeps_the_nics_that_there_are(void **state)
{
	struct config *now = parse(GOOD, 0);
	struct config *next =
		parse("nics: [{name: other, device: \"af_xdp:eth1\"}]\n" ROUTES
		      "trunks: [{name: carrier, target: \"sip:192.0.2.20\", nic: other}]\nmedia: {timeout_s: 7}\n",
			0);

	assert_true(config_lacks_nic(now, next, hear, NULL));
	assert_string_equal(
		said, "k.yaml: trunks[0].nic: the running engine has no nic \"other\": restart kedged to apply it\n");
	assert_false(config_lacks_nic(next, next, hear, NULL));
	config_keep_frozen(now, next);
	config_destroy(now);
	assert_string_equal(next->nics[0].name, "lan");
	assert_int_equal(next->timeout_s, 7);
	config_destroy(next);
}

static void passwords_are_never_said(void **state)
{
	static const char *const files[] = {
		GOOD "endpoints: [{user: a, password:hunter2}]\n",
		GOOD "endpoints: [{user: a, password=hunter2}]\n",
		GOOD "endpoints: [{user: a, hunter2}]\n",
		GOOD "endpoints: [{user: a, hunter2: }]\n",
		GOOD "endpoints: [{user: a, pasword: hunter2}]\n",
		GOOD "endpoints: [{user: a, password: [hunter2]}]\n",
		GOOD "endpoints: [{user: a, password: {hunter2: x}}]\n",
		GOOD "endpoints: [{user: a, password: *hunter2}]\n",
		GOOD "endpoints: [{user: a, password: \"hunter2}]\n",
		GOOD "endpoints: [{user: a, password: \"\\hunter2\"}]\n",
		GOOD "endpoints: [{user: a, password: hunter2, password: hunter2}]\n",
		GOOD "endpoints: [a:hunter2]\n",
		GOOD "endpoints: a:hunter2\n",
		GOOD "endpoints:\n  - user: a\n    password: hunter2: x\n",
		GOOD "endpoints:\n  - user: a\n   password: hunter2\n",
		GOOD "endpoints:\n  - user: a\n    password: "
		     "hunter2-and-much-more-than-sixty-three-characters-have-room-for-it\n",
		NICS ROUTES "trunks: [{name: carrier, target: \"sip:a:hunter2@192.0.2.20\"}]\n",
		NICS ROUTES "trunks: [{name: carrier, target: \"sip:192.0.2.20\", password: hunter2}]\n",
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		assert_null(parse(files[i], -EINVAL));
		if (strstr(said, "hunter2") || !*said)
			fail_msg("%s%s", files[i], said);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_are_never_said),
		cmocka_unit_test(wrong_files_get_helpful_errors),
		cmocka_unit_test(every_error_is_reported_at_once),
		cmocka_unit_test(the_shortest_file_has_the_defaults),
		cmocka_unit_test(a_full_file_is_read_field_by_field),
		cmocka_unit_test(ipv6_is_written_as_in_a_uri),
		cmocka_unit_test(an_advertised_address_stands_for_its_own),
		cmocka_unit_test(patterns_of_every_day_are_taken),
		cmocka_unit_test(large_files_are_bounded),
		cmocka_unit_test(networks_hold_what_their_bits_say),
		cmocka_unit_test(a_reload_says_what_it_cannot_change),
		cmocka_unit_test(a_reload_keeps_the_nics_that_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
