// SPDX-License-Identifier: BSD-3-Clause
// The router by a table: which trunk a source is, and where an INVITE goes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "router.h"

static const char yaml[] = "nics: [{name: lan, device: \"af_xdp:eth0\"}]\n"
			   "trunks:\n"
			   "  - {name: proxy, target: \"sip:192.0.2.20:5060\", from: [192.0.2.20/32, 192.0.2.21/32]}\n"
			   "  - {name: carrier, target: \"sip:198.51.100.20:5070\", from: [198.51.100.0/24]}\n"
			   "  - {name: gateway, target: \"sip:198.51.100.30\"}\n"
			   "routes:\n"
			   "  - {match: {trunk: proxy, to: \"^9\", from: \"^10\"}, to: [\"trunk:carrier\", "
			   "\"trunk:gateway\"], strip: 1, prefix: \"+49\"}\n"
			   "  - {match: {trunk: proxy}, to: [next_hop]}\n"
			   "  - {match: {trunk: gateway, source: 198.51.100.30/32}, to: [\"trunk:gateway\"]}\n"
			   "  - {match: {to: \"^back$\"}, to: [\"trunk:carrier\"]}\n"
			   "  - {match: {to: \"^first$\"}, to: [\"trunk:carrier\", \"trunk:proxy\"]}\n";

static struct config *config;

static void report(const char *line, void *arg)
{
	fprintf(stderr, "%s\n", line);
}

static int open_config(void **state)
{
	return config_parse("test.yaml", yaml, sizeof(yaml) - 1, &config, report, NULL);
}

static int close_config(void **state)
{
	config_destroy(config);
	return 0;
}

static bool is_ours(void *arg, const char *host, uint16_t port)
{
	return strcmp(host, "192.0.2.10") == 0 && (port == 0 || port == 5060);
}

static struct kg_addr source_of(const char *ip)
{
	struct kg_addr addr;

	assert_int_equal(kg_addr_parse(&addr, ip, 5060), 0);
	return addr;
}

static void a_source_belongs_to_the_closest_trunk(void **state)
{
	static const struct {
		const char *source;
		int trunk;
	} cases[] = {
		{"192.0.2.20", 0},
		{"192.0.2.21", 0},
		{"192.0.2.22", -1},
		{"198.51.100.7", 1},
		{"198.51.100.30", 2}, // /32 of its own target beats the carrier's /24
		{"203.0.113.1", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kg_addr source = source_of(cases[i].source);

		assert_int_equal(router_trunk(config, &source), cases[i].trunk);
	}
}

struct route_case {
	const char *source, *uri, *from, *routes; // routes: header lines
	int result;
	const char *request_uri, *target, *left; // of the first hop; left: its Route headers, joined
};

static void an_invite_goes_where_its_route_says(void **state)
{
	static const struct route_case cases[] = {
		{"192.0.2.20", "sip:9555@192.0.2.10", "<sip:1001@a>", "", 2, "sip:+49555@198.51.100.20:5070",
			"198.51.100.20:5070", ""},
		{"192.0.2.20", "sip:9555@198.51.100.30:5080", "<sip:2001@a>", "", 1, "sip:9555@198.51.100.30:5080",
			"198.51.100.30:5080", ""},
		{"192.0.2.20", "sip:bob@203.0.113.9", "<sip:2001@a>", "", -403, NULL, NULL, NULL},
		{"192.0.2.20", "sip:bob@example.com", "<sip:2001@a>",
			"Route: <sip:192.0.2.10;lr>, <sip:192.0.2.20:5061;lr>\r\nRoute: <sip:203.0.113.5;lr>\r\n", 1,
			"sip:bob@example.com", "192.0.2.20:5061", "<sip:192.0.2.20:5061;lr>|<sip:203.0.113.5;lr>|"},
		{"192.0.2.20", "sip:bob@example.com", "<sip:2001@a>", "Route: <sip:203.0.113.5;lr>\r\n", -403, NULL,
			NULL, NULL},
		{"198.51.100.30", "sip:x@192.0.2.10", "<sip:1@a>", "", 1, "sip:x@198.51.100.30", "198.51.100.30:5060",
			""},
		{"198.51.100.7", "sip:back@192.0.2.10", "<sip:1@a>", "", -482, NULL, NULL, NULL},
		{"198.51.100.7", "sip:first@192.0.2.10", "<sip:1@a>", "", 1, "sip:first@192.0.2.20", "192.0.2.20:5060",
			""},
		{"198.51.100.7", "sip:nobody@192.0.2.10", "<sip:1@a>", "", -404, NULL, NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct route_case *c = &cases[i];
		struct kg_addr source = source_of(c->source);
		struct router_hop hops[4];
		char text[1024], target[KG_ADDR_STRLEN], left[1024] = "";
		struct sip_msg *msg = NULL;
		const char *why = "";
		int result;

		snprintf(text, sizeof(text),
			"INVITE %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: %s;tag=1\r\nTo: "
			"<%s>\r\n"
			"Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n%sContact: <sip:192.0.2.20>\r\n"
			"Content-Length: 0\r\n\r\n",
			c->uri, c->from, c->uri, c->routes);
		assert_int_equal(sip_msg_parse(text, strlen(text), &msg, &why), 0);
		result = router_resolve(
			config, router_trunk(config, &source), NULL, msg, &source, is_ours, NULL, hops, 4);
		assert_int_equal(result, c->result);
		if (result > 0) {
			assert_string_equal(hops[0].request_uri, c->request_uri);
			assert_string_equal(kg_addr_text(&hops[0].target, target, sizeof(target)), c->target);
			for (unsigned j = 0; j < hops[0].route_count; j++) {
				strcat(left, hops[0].routes[j]);
				strcat(left, "|");
			}
			assert_string_equal(left, c->left);
		}
		sip_msg_unref(msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_belongs_to_the_closest_trunk),
		cmocka_unit_test(an_invite_goes_where_its_route_says),
	};

	sip_msg_init();
	return cmocka_run_group_tests(tests, open_config, close_config);
}
