// SPDX-License-Identifier: BSD-3-Clause
// RFC 3263: its decisions by tables, the whole against a small DNS server on the loopback.

#include "dns_rig.h"
#include "sip_locate_pick.h"

#define UDP (1u << SIP_UDP)
#define TCP (1u << SIP_TCP)
#define TLS (1u << SIP_TLS)
#define ALL (UDP | TCP | TLS)

static const char *const transports[] = {"UDP", "TCP", "TLS"};

// What dns.c would tell of these records, separated by ';'.
static struct dns_answer *answer_of(enum dns_type type, const char *records)
{
	struct rig_message m = {.length = 0};
	struct dns_answer *answer;
	char copy[2048], *rest, *text;
	unsigned count = 0;

	snprintf(copy, sizeof(copy), "%s", records);
	put_question(&m, 1, 0x8180, "x", (int)type);
	for (text = strtok_r(copy, ";", &rest); text; text = strtok_r(NULL, ";", &rest), count++)
		put_record(&m, "x", (int)type, 60, text);
	m.data[7] = (uint8_t)count;
	assert_int_equal(dns_answer_parse(m.data, m.length, type, &answer), 0);
	return answer;
}

// --- SRV ------------------------------------------------------------------------------------------------------------

static const uint32_t *draws; // what chance gives, UINT32_MAX: more than is asked for

static uint32_t random_drawn(void *arg, uint32_t limit)
{
	uint32_t drawn = *draws++;

	return drawn;
}

static void srv_goes_by_priority_and_weight(void **state)
{
	static const struct {
		const char *records;
		uint32_t draws[8];
		const char *order; // their indices
	} cases[] = {
		{"", {0}, ""},
		{"0 0 5060 .", {0}, ""},
		{"0 0 0 a", {0}, ""},
		{"20 0 5060 a;10 0 5060 b;30 0 5060 c", {0}, "1 0 2 "},
		{"1 10 5060 a;1 20 5060 b;1 30 5060 c", {0, 0}, "0 1 2 "},
		{"1 10 5060 a;1 20 5060 b;1 30 5060 c", {10, 20}, "0 1 2 "},
		{"1 10 5060 a;1 20 5060 b;1 30 5060 c", {11, 11}, "1 2 0 "},
		{"1 10 5060 a;1 20 5060 b;1 30 5060 c", {60, 30}, "2 1 0 "},
		{"1 10 5060 a;1 20 5060 b;1 30 5060 c", {31, 10}, "2 0 1 "},
		{"1 5 5060 a;1 0 5060 b", {0}, "1 0 "}, // a weight of 0 has its small chance
		{"1 5 5060 a;1 0 5060 b", {1}, "0 1 "},
		{"1 0 5060 a;1 0 5060 b;1 0 5060 c", {0, 0}, "0 1 2 "},
		{"2 1 5060 a;1 9 5060 b;2 1 5060 c;1 1 5060 d", {10, 2}, "3 1 2 0 "},
		{"1 10 5060 a;1 20 5060 b", {UINT32_MAX}, "1 0 "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct dns_answer *answer = answer_of(DNS_SRV, cases[i].records);
		unsigned order[DNS_RECORDS], count;
		char text[256] = "";

		draws = cases[i].draws;
		count = pick_srv(answer, random_drawn, NULL, order);
		for (unsigned j = 0; j < count; j++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u ", order[j]);
		assert_string_equal(text, cases[i].order);
		dns_answer_unref(answer);
	}
}

static struct {
	uint32_t value, limit;
} chance;

static uint32_t random_swept(void *arg, uint32_t limit)
{
	if (chance.limit == 0)
		chance.limit = limit;
	return chance.value <= limit ? chance.value : 0;
}

// Every value that chance could give once: each is first as often as its weight says.
static void srv_is_first_as_often_as_its_weight_says(void **state)
{
	struct dns_answer *answer = answer_of(DNS_SRV, "1 60 5060 a;1 0 5060 b;1 30 5060 c;2 99 5060 d;1 10 5060 e");
	unsigned order[DNS_RECORDS], first[5] = {0};

	memset(&chance, 0, sizeof(chance));
	do {
		assert_int_equal(pick_srv(answer, random_swept, NULL, order), 5);
		assert_int_equal(order[4], 3);
		first[order[0]]++;
	} while (chance.value++ < chance.limit);
	assert_int_equal(chance.limit, 100);
	assert_int_equal(first[0], 60);
	assert_int_equal(first[1], 1);
	assert_int_equal(first[2], 30);
	assert_int_equal(first[4], 10);
	dns_answer_unref(answer);
}

// --- NAPTR and what is used without it ------------------------------------------------------------------------------

static void naptr_goes_by_order_and_preference(void **state)
{
	static const char three[] =
		"90 50 s SIP+D2T _sip._tcp.x;100 50 s SIP+D2U _sip._udp.x;50 50 s SIPS+D2T _sips._tcp.x";
	static const struct {
		const char *records;
		unsigned transports;
		const char *services;
		bool foreign;
	} cases[] = {
		{"", ALL, "", false},
		{three, ALL, "TLS 50 _sips._tcp.x;TCP 90 _sip._tcp.x;UDP 100 _sip._udp.x;", false},
		{three, UDP | TCP, "TCP 90 _sip._tcp.x;UDP 100 _sip._udp.x;", false},
		{three, UDP, "UDP 100 _sip._udp.x;", false},
		{"1 2 s SIP+D2U a.x;1 1 S sip+d2t b.x", ALL, "TCP 1 b.x;UDP 1 a.x;", false},
		{"1 1 s SIP+D2T t.x", UDP, "", true},
		{"1 1 s SIP+D2W w.x", ALL, "", true},
		{"1 1 s SIP+D2U .", ALL, "", true},
		{"1 1 u E2U+sip .", ALL, "", false},
		{"1 1 u SIP+D2U a.x;2 1 s SIP+D2U b.x", ALL, "UDP 2 b.x;", false}, // a regexp is not for us
		{"1 1 a SIP+D2U a.x", ALL, "UDP 1 a.x direct;", false},
		{"9 1 s SIP+D2U i.x;8 1 s SIP+D2U h.x;7 1 s SIP+D2U g.x;6 1 s SIP+D2U f.x;5 1 s SIP+D2U e.x;4 1 s "
		 "SIP+D2U d.x;3 1 s SIP+D2U c.x;2 1 s SIP+D2U b.x;1 1 s SIP+D2U a.x;10 1 s SIP+D2U j.x",
			ALL, "UDP 1 a.x;UDP 2 b.x;UDP 3 c.x;UDP 4 d.x;UDP 5 e.x;UDP 6 f.x;UDP 7 g.x;UDP 8 h.x;", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct dns_answer *answer = answer_of(DNS_NAPTR, cases[i].records);
		struct pick_service services[PICK_SERVICES];
		char text[1024] = "";
		bool foreign;
		unsigned count = pick_naptr(answer, cases[i].transports, services, &foreign);

		for (unsigned j = 0; j < count; j++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %u %s%s;",
				transports[services[j].transport], services[j].order, services[j].name,
				services[j].direct ? " direct" : "");
		assert_string_equal(text, cases[i].services);
		assert_int_equal(foreign, cases[i].foreign);
		dns_answer_unref(answer);
	}
}

// Which host to ask for would be the regular expression's to say.
static void naptr_with_a_regexp_is_not_for_us(void **state)
{
	struct dns_answer *answer = answer_of(DNS_NAPTR, "1 1 s SIP+D2U a.x;2 1 s SIP+D2U b.x");
	struct pick_service services[PICK_SERVICES];
	bool foreign;

	answer->records[0].naptr.regexp = true;
	assert_int_equal(pick_naptr(answer, ALL, services, &foreign), 1);
	assert_string_equal(services[0].name, "b.x");
	dns_answer_unref(answer);
}

static void a_transport_is_asked_for_or_chosen(void **state)
{
	static const struct {
		int asked;
		bool secure;
		unsigned enabled, left;
	} cases[] = {
		{-1, false, ALL, ALL},
		{-1, false, UDP | 1u << SIP_WS, UDP},
		{-1, true, ALL, TLS},
		{-1, true, UDP | TCP, 0},
		{SIP_TCP, false, ALL, TCP},
		{SIP_TCP, false, UDP, 0},
		{SIP_TCP, true, ALL, TLS},
		{SIP_TLS, false, ALL, TLS},
		{SIP_UDP, true, ALL, 0},
		{SIP_WS, false, ALL | 1u << SIP_WS, 0},
		{99, false, ALL, 0},
	};
	struct pick_service services[PICK_SERVICES];
	char longest[DNS_NAME];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_locate_ask ask = {
			.transport = cases[i].asked, .secure = cases[i].secure, .transports = cases[i].enabled};

		assert_int_equal(pick_transports(&ask), cases[i].left);
	}
	assert_int_equal(pick_transport(ALL), SIP_UDP);
	assert_int_equal(pick_transport(TLS | TCP), SIP_TCP);
	assert_int_equal(pick_default("x", ALL, services), 3);
	assert_string_equal(services[0].name, "_sip._udp.x");
	assert_string_equal(services[2].name, "_sips._tcp.x");
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(pick_default(longest, ALL, services), 0);
}

// --- targets --------------------------------------------------------------------------------------------------------

// "UDP 192.0.2.1:5060;...", or the error.
static const char *text_of(const struct sip_target *targets, unsigned count)
{
	static char text[2048];
	char addr[KG_ADDR_STRLEN];

	text[0] = '\0';
	for (unsigned i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s;", transports[targets[i].transport],
			kg_addr_text(&targets[i].addr, addr, sizeof(addr)));
	return text;
}

static void targets_are_every_hosts_addresses(void **state)
{
	struct dns_answer *two = answer_of(DNS_A, "192.0.2.1;192.0.2.2"), *none = answer_of(DNS_A, "");
	struct dns_answer *six = answer_of(DNS_AAAA, "2001:db8::1");
	struct pick_host hosts[] = {
		{SIP_TCP, 5062, "b", {two, six}},
		{SIP_UDP, 5060, "a", {two, NULL}},
		{SIP_UDP, 5060, "again", {two, none}}, // none twice
		{SIP_UDP, 5060, "c", {NULL, six}},
	};
	struct sip_target targets[SIP_LOCATE_TARGETS];

	assert_string_equal(text_of(targets, pick_targets(hosts, 4, targets)),
		"TCP 192.0.2.1:5062;TCP 192.0.2.2:5062;TCP [2001:db8::1]:5062;UDP 192.0.2.1:5060;UDP "
		"192.0.2.2:5060;UDP "
		"[2001:db8::1]:5060;");
	assert_int_equal(pick_targets(hosts, 0, targets), 0);
	dns_answer_unref(two);
	dns_answer_unref(none);
	dns_answer_unref(six);
}

static void targets_are_sixteen_at_most(void **state)
{
	char records[1024] = "";
	struct sip_target targets[SIP_LOCATE_TARGETS];
	struct dns_answer *many;

	for (unsigned i = 1; i <= 20; i++)
		snprintf(records + strlen(records), sizeof(records) - strlen(records), "192.0.2.%u;", i);
	many = answer_of(DNS_A, records);
	assert_int_equal(
		pick_targets(&(struct pick_host){SIP_UDP, 1, "a", {many, NULL}}, 1, targets), SIP_LOCATE_TARGETS);
	assert_int_equal(targets[15].addr.ip[3], 16);
	dns_answer_unref(many);
}

// --- the whole ------------------------------------------------------------------------------------------------------

static const struct rig_record zone[] = {
	// all there is
	{"full.test", DNS_NAPTR, 60, "50 50 s SIPS+D2T _sips._tcp.full.test"},
	{"full.test", DNS_NAPTR, 60, "90 50 s SIP+D2T _sip._tcp.full.test"},
	{"full.test", DNS_NAPTR, 60, "100 50 s SIP+D2U _sip._udp.full.test"},
	{"_sips._tcp.full.test", DNS_SRV, 60, "1 0 5061 a.test"},
	{"_sip._tcp.full.test", DNS_SRV, 60, "1 0 5060 a.test"},
	{"_sip._udp.full.test", DNS_SRV, 60, "2 0 5060 b.test"},
	{"_sip._udp.full.test", DNS_SRV, 60, "1 0 5062 a.test"},
	{"full.test", DNS_A, 60, "192.0.2.9"},
	{"a.test", DNS_A, 60, "192.0.2.1"},
	{"b.test", DNS_A, 60, "192.0.2.2"},
	{"b.test", DNS_AAAA, 60, "2001:db8::2"},
	// of equal order: all are used
	{"equal.test", DNS_NAPTR, 60, "1 2 s SIP+D2T _sip._tcp.full.test"},
	{"equal.test", DNS_NAPTR, 60, "1 1 s SIP+D2U _sip._udp.full.test"},
	// the first leads nowhere, nor does the second
	{"lost.test", DNS_NAPTR, 60, "1 1 s SIPS+D2T _sips._tcp.none.test"},
	{"lost.test", DNS_NAPTR, 60, "2 1 s SIP+D2T _sip._tcp.dangling.test"},
	{"lost.test", DNS_NAPTR, 60, "3 1 s SIP+D2U _sip._udp.full.test"},
	{"_sip._tcp.dangling.test", DNS_SRV, 60, "1 1 5060 none.test"},
	{"dangling.test", DNS_NAPTR, 60, "2 1 s SIP+D2T _sip._tcp.dangling.test"},
	{"nowhere.test", DNS_NAPTR, 60, "1 1 s SIPS+D2T _sips._tcp.none.test"},
	{"direct.test", DNS_NAPTR, 60, "1 1 a SIP+D2T a.test"},
	{"enum.test", DNS_NAPTR, 60, "1 1 u E2U+sip ."},
	{"enum.test", DNS_A, 60, "192.0.2.3"},
	{"udp-only.test", DNS_NAPTR, 60, "1 1 s SIP+D2U _sip._udp.full.test"},
	// no NAPTR
	{"_sip._udp.srv.test", DNS_SRV, 60, "1 0 5064 a.test"},
	{"_sips._tcp.srv.test", DNS_SRV, 60, "1 0 5065 b.test"},
	{"srv.test", DNS_A, 60, "192.0.2.9"},
	{"_sip._udp.not-here.test", DNS_SRV, 60, "0 0 0 ."},
	{"not-here.test", DNS_A, 60, "192.0.2.9"},
	{"_sip._udp.moved.test", DNS_SRV, 60, "0 0 0 ."},
	{"_sip._tcp.moved.test", DNS_SRV, 60, "0 0 5060 a.test"},
	// an address only
	{"plain.test", DNS_AAAA, 60, "2001:db8::4"},
	{"plain.test", DNS_A, 60, "192.0.2.4"},
	{"alias.test", RIG_CNAME, 60, "plain.test"},
	{"plain.test", DNS_A, 60, "192.0.2.4"},
	{"six.test", DNS_AAAA, 60, "2001:db8::6"},
	// part of it fails
	{"_sip._udp.half.test", DNS_SRV, 60, "1 0 5060 servfail.test"},
	{"_sip._udp.half.test", DNS_SRV, 60, "2 0 5060 a.test"},
	{"_sip._udp.broken.test", DNS_SRV, 60, "1 0 5060 servfail.test"},
	{"_sip._udp.silent-host.test", DNS_SRV, 60, "1 0 5060 silent.test"},
	{"_sip._udp.silent-host.test", DNS_SRV, 60, "2 0 5060 a.test"},
	{"_sip._udp.both-bad.test", DNS_SRV, 60, "1 0 5060 silent.test"},
	{"_sip._udp.both-bad.test", DNS_SRV, 60, "2 0 5060 servfail.test"},
	{"_sip._udp.no-name.test", DNS_SRV, 60, "1 0 5060 not!a!name"},
	{"old.test", DNS_A, 60, "192.0.2.5"},
	{"silent-srv.test", DNS_A, 60, "192.0.2.5"},
	{NULL},
};

static const struct rig_odd odd[] = {
	{"servfail.test", RIG_SERVFAIL},
	{"silent.test", RIG_SILENT},
	{"_sip._udp.old.test", RIG_REFUSED},
	{"_sip._tcp.old.test", RIG_GARBAGE},
	{"_sips._tcp.old.test", RIG_SERVFAIL},
	{"_sip._udp.silent-srv.test", RIG_SILENT},
	{NULL},
};

struct told {
	unsigned count;
	struct sip_located located;
};

static void on_located(void *arg, const struct sip_located *located)
{
	struct told *told = arg;

	told->located = *located;
	told->count++;
}

// Returns: the error, *at_once says whether it came without waiting.
static int locate(const struct sip_locate_ask *ask, struct sip_located *out, bool *at_once)
{
	struct told told = {0};
	struct sip_locate *handle;
	int result = sip_locate(rig.dns, ask, on_located, &told, out, &handle);

	*at_once = result != -EINPROGRESS;
	if (*at_once) {
		assert_null(handle);
		assert_int_equal(out->error, result);
	} else {
		assert_non_null(handle);
		until(&told.count, 1);
		*out = told.located;
	}
	assert_true((out->error == 0) == (out->count > 0));
	assert_true((out->error == 0) == (*out->why == '\0'));
	return out->error;
}

struct locate_case {
	const char *host;
	uint16_t port;
	int transport;
	bool secure;
	unsigned transports;
	const char *targets; // NULL: an error
	int error;
};

static void check_case(const struct locate_case *c, bool ip4, bool ip6)
{
	static const uint32_t zeros[64];
	struct sip_locate_ask ask = {.host = c->host,
		.port = c->port,
		.transport = c->transport,
		.secure = c->secure,
		.ip4 = ip4,
		.ip6 = ip6,
		.transports = c->transports,
		.random = random_drawn};
	struct sip_located located;
	bool at_once;
	unsigned asked;

	draws = zeros;
	if (locate(&ask, &located, &at_once) != c->error ||
		strcmp(text_of(located.targets, located.count), c->targets ? c->targets : "") != 0)
		fail_msg("%s:%u transport %d of %x: %d (%s) %s", c->host, c->port, c->transport, c->transports,
			located.error, located.why, text_of(located.targets, located.count));
	assert_false(at_once);
	if (!located.error)
		assert_string_equal(located.host, c->host);
	draws = zeros;
	asked = rig.asked_count;
	assert_int_equal(locate(&ask, &located, &at_once), c->error); // now the cache knows
	assert_true(at_once);
	assert_string_equal(text_of(located.targets, located.count), c->targets ? c->targets : "");
	assert_int_equal(rig.asked_count, asked);
	rig_dns_open(3000, 2);
}

static void a_name_leads_to_its_targets(void **state)
{
	static const struct locate_case cases[] = {
		// NAPTR: the lowest order that we can use, and no other
		{"full.test", 0, -1, false, ALL, "TLS 192.0.2.1:5061;", 0},
		{"full.test", 0, -1, false, UDP | TCP, "TCP 192.0.2.1:5060;", 0},
		{"full.test", 0, -1, false, UDP, "UDP 192.0.2.1:5062;UDP 192.0.2.2:5060;UDP [2001:db8::2]:5060;", 0},
		{"full.test", 0, -1, true, ALL, "TLS 192.0.2.1:5061;", 0},
		{"equal.test", 0, -1, false, ALL,
			"UDP 192.0.2.1:5062;UDP 192.0.2.2:5060;UDP [2001:db8::2]:5060;TCP 192.0.2.1:5060;", 0},
		{"lost.test", 0, -1, false, ALL, "UDP 192.0.2.1:5062;UDP 192.0.2.2:5060;UDP [2001:db8::2]:5060;", 0},
		{"direct.test", 0, -1, false, ALL, "TCP 192.0.2.1:5060;", 0},
		{"enum.test", 0, -1, false, ALL, "UDP 192.0.2.3:5060;", 0},
		{"udp-only.test", 0, -1, false, TCP, NULL, -EPROTONOSUPPORT},
		{"udp-only.test", 0, -1, true, ALL, NULL, -EPROTONOSUPPORT},
		{"dangling.test", 0, -1, false, ALL, NULL, -ENOENT}, {"nowhere.test", 0, -1, false, ALL, NULL, -ENOENT},
		// a transport that is asked for: SRV at once
		{"full.test", 0, SIP_TCP, false, ALL, "TCP 192.0.2.1:5060;", 0},
		{"full.test", 0, SIP_TCP, true, ALL, "TLS 192.0.2.1:5061;", 0},
		{"plain.test", 0, SIP_TLS, false, ALL, "TLS 192.0.2.4:5061;TLS [2001:db8::4]:5061;", 0},
		// no NAPTR: SRV for each transport
		{"srv.test", 0, -1, false, ALL, "UDP 192.0.2.1:5064;TLS 192.0.2.2:5065;TLS [2001:db8::2]:5065;", 0},
		{"srv.test", 0, -1, true, ALL, "TLS 192.0.2.2:5065;TLS [2001:db8::2]:5065;", 0},
		{"srv.test", 0, -1, false, TCP, "TCP 192.0.2.9:5060;", 0},
		{"not-here.test", 0, -1, false, ALL, NULL, -ENOENT},
		{"moved.test", 0, -1, false, ALL, "TCP 192.0.2.1:5060;", 0},
		{"no-name.test", 0, -1, false, ALL, NULL, -ENOENT},
		// neither: the address
		{"plain.test", 0, -1, false, ALL, "UDP 192.0.2.4:5060;UDP [2001:db8::4]:5060;", 0},
		{"plain.test", 0, -1, true, ALL, "TLS 192.0.2.4:5061;TLS [2001:db8::4]:5061;", 0},
		{"plain.test", 0, -1, false, TLS, "TLS 192.0.2.4:5061;TLS [2001:db8::4]:5061;", 0},
		{"alias.test", 0, -1, false, UDP, "UDP 192.0.2.4:5060;", 0},
		{"none.test", 0, -1, false, ALL, NULL, -ENOENT},
		// a port: no SRV
		{"srv.test", 5080, -1, false, ALL, "UDP 192.0.2.9:5080;", 0},
		{"srv.test", 5080, -1, true, ALL, "TLS 192.0.2.9:5080;", 0},
		{"srv.test", 5080, SIP_TCP, false, ALL, "TCP 192.0.2.9:5080;", 0},
		{"srv.test", 5080, -1, false, TCP | TLS, "TCP 192.0.2.9:5080;", 0},
		{"none.test", 5080, -1, false, ALL, NULL, -ENOENT},
		// a part that fails is left out
		{"half.test", 0, -1, false, UDP, "UDP 192.0.2.1:5060;", 0},
		{"broken.test", 0, -1, false, UDP, NULL, -EIO}, {"servfail.test", 0, -1, false, ALL, NULL, -EIO},
		{"servfail.test", 5060, -1, false, ALL, NULL, -EIO},
		{"old.test", 0, -1, false, ALL, "UDP 192.0.2.5:5060;", 0}, // a server that knows no SRV
	};

	rig.records = zone;
	rig.odd = odd;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		check_case(&cases[i], true, true);
}

static void only_our_families_are_asked_for(void **state)
{
	rig.records = zone;
	check_case(&(struct locate_case){"plain.test", 5060, -1, false, UDP, "UDP 192.0.2.4:5060;", 0}, true, false);
	assert_int_equal(rig_asked("plain.test", DNS_AAAA), 0);
	check_case(
		&(struct locate_case){"plain.test", 5060, -1, false, UDP, "UDP [2001:db8::4]:5060;", 0}, false, true);
	assert_int_equal(rig_asked("plain.test", DNS_A), 1);
	check_case(&(struct locate_case){"six.test", 0, -1, false, UDP, NULL, -ENOENT}, true, false);
}

// Both are -ENOENT; the log tells them apart.
static void a_name_without_address_is_told_from_no_name(void **state)
{
	static const struct {
		const char *host, *why;
	} cases[] = {{"none.test", "no such name"}, {"six.test", "the name has no address that we could use"},
		{"not-here.test", "the domain does not offer SIP by these transports"}};
	struct sip_located located;
	bool at_once;

	rig.records = zone;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_locate_ask ask = {.host = cases[i].host, .transport = -1, .ip4 = true, .transports = UDP};

		assert_int_equal(locate(&ask, &located, &at_once), -ENOENT);
		assert_string_equal(located.why, cases[i].why);
	}
}

static void silence_ends_by_its_name(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		uint32_t timeout_ms; // longer where others must answer meanwhile
		int error;
	} cases[] = {
		{"silent.test", 0, 50, -ETIMEDOUT},
		{"silent.test", 5060, 50, -ETIMEDOUT},
		{"silent-srv.test", 0, 1500, -ETIMEDOUT},
		{"both-bad.test", 0, 1500, -ETIMEDOUT},
		{"silent-host.test", 0, 1500, 0},
	};
	struct sip_located located;
	bool at_once;

	rig.records = zone;
	rig.odd = odd;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_locate_ask ask = {
			.host = cases[i].host, .port = cases[i].port, .transport = -1, .ip4 = true, .transports = UDP};

		rig_dns_open(cases[i].timeout_ms, 1);
		assert_int_equal(locate(&ask, &located, &at_once), cases[i].error);
		assert_false(at_once);
	}
	assert_string_equal(text_of(located.targets, located.count), "UDP 192.0.2.1:5060;");
	assert_int_equal(rig_asked("_sip._udp.silent.test", DNS_SRV), 0); // it would be as silent
}

// A slow DNS never blocks a call that needs none.
static void an_address_is_answered_at_once(void **state)
{
	static const struct {
		struct locate_case c;
		bool ip4, ip6;
	} cases[] = {
		{{"192.0.2.1", 0, -1, false, ALL, "UDP 192.0.2.1:5060;", 0}, true, true},
		{{"192.0.2.1", 5080, SIP_TCP, false, ALL, "TCP 192.0.2.1:5080;", 0}, true, false},
		{{"192.0.2.1", 0, -1, true, ALL, "TLS 192.0.2.1:5061;", 0}, true, false},
		{{"2001:db8::1", 0, -1, false, ALL, "UDP [2001:db8::1]:5060;", 0}, false, true},
		{{"2001:db8::1", 0, -1, false, ALL, NULL, -EAFNOSUPPORT}, true, false},
		{{"192.0.2.1", 0, -1, false, ALL, NULL, -EAFNOSUPPORT}, false, true},
		{{"192.0.2.1", 0, SIP_TCP, false, UDP, NULL, -EPROTONOSUPPORT}, true, true},
		{{"192.0.2.1", 0, -1, true, UDP | TCP, NULL, -EPROTONOSUPPORT}, true, true},
		{{"plain.test", 0, SIP_WS, false, ALL, NULL, -EPROTONOSUPPORT}, true, true},
		{{"plain.test", 0, -1, false, ALL, NULL, -EAFNOSUPPORT}, false, false},
		{{"not a name", 0, -1, false, ALL, NULL, -EINVAL}, true, true},
		{{"", 0, -1, false, ALL, NULL, -EINVAL}, true, true},
		{{"plain.test", 0, -1, false, ALL, NULL, -EIO}, true, true}, // without DNS
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct locate_case *c = &cases[i].c;
		struct sip_locate_ask ask = {.host = c->host,
			.port = c->port,
			.transport = c->transport,
			.secure = c->secure,
			.ip4 = cases[i].ip4,
			.ip6 = cases[i].ip6,
			.transports = c->transports};
		struct sip_located located;
		struct sip_locate *handle;

		assert_int_equal(sip_locate(NULL, &ask, on_located, NULL, &located, &handle), c->error);
		assert_null(handle);
		assert_string_equal(text_of(located.targets, located.count), c->targets ? c->targets : "");
		if (!c->error)
			assert_string_equal(located.host, "");
		else
			assert_true(*located.why);
	}
}

static void the_name_asked_for_is_what_is_verified(void **state)
{
	struct sip_locate_ask ask = {
		.host = "Full.Test.", .transport = -1, .secure = true, .ip4 = true, .transports = ALL};
	struct sip_located located;
	bool at_once;

	rig.records = zone;
	assert_int_equal(locate(&ask, &located, &at_once), 0);
	assert_string_equal(located.host, "Full.Test");
	assert_string_equal(text_of(located.targets, located.count), "TLS 192.0.2.1:5061;");
}

// At whatever step: no callback, nothing is left.
static void what_is_cancelled_is_not_told(void **state)
{
	struct sip_locate_ask ask = {.host = "full.test", .transport = -1, .ip4 = true, .ip6 = true, .transports = ALL};
	struct told told = {0};
	struct sip_located located;
	struct sip_locate *handle;

	rig.records = zone;
	sip_locate_cancel(NULL);
	for (unsigned asked = 0; asked <= 3; asked++) { // NAPTR; SRV; A and AAAA
		rig_dns_open(3000, 2);
		rig.asked_count = 0;
		assert_int_equal(sip_locate(rig.dns, &ask, on_located, &told, &located, &handle), -EINPROGRESS);
		until(&rig.asked_count, asked);
		sip_locate_cancel(handle);
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		assert_int_equal(told.count, 0);
	}
}

static void too_many_questions_are_an_error_by_name(void **state)
{
	struct sip_locate_ask ask = {.host = "full.test", .transport = -1, .ip4 = true, .transports = ALL};
	struct sip_locate *handles[DNS_IN_FLIGHT];
	struct sip_located located;
	struct sip_locate *handle;
	struct told told = {0};
	char host[64];

	for (unsigned i = 0; i < DNS_IN_FLIGHT; i++) {
		snprintf(host, sizeof(host), "n%u.test", i);
		ask.host = host;
		assert_int_equal(sip_locate(rig.dns, &ask, on_located, &told, &located, &handles[i]), -EINPROGRESS);
	}
	ask.host = "more.test";
	assert_int_equal(sip_locate(rig.dns, &ask, on_located, &told, &located, &handle), -EAGAIN);
	ask.port = 5060;
	assert_int_equal(sip_locate(rig.dns, &ask, on_located, &told, &located, &handle), -EAGAIN);
	ask.port = 0;
	ask.transport = SIP_TCP;
	assert_int_equal(sip_locate(rig.dns, &ask, on_located, &told, &located, &handle), -EAGAIN);
	assert_null(handle);
	for (unsigned i = 0; i < DNS_IN_FLIGHT; i++)
		sip_locate_cancel(handles[i]);
	assert_int_equal(told.count, 0);
}

#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(srv_goes_by_priority_and_weight),
		cmocka_unit_test(srv_is_first_as_often_as_its_weight_says),
		cmocka_unit_test(naptr_goes_by_order_and_preference),
		cmocka_unit_test(naptr_with_a_regexp_is_not_for_us),
		cmocka_unit_test(a_transport_is_asked_for_or_chosen),
		cmocka_unit_test(targets_are_every_hosts_addresses),
		cmocka_unit_test(targets_are_sixteen_at_most),
		RIG_TEST(a_name_leads_to_its_targets),
		RIG_TEST(only_our_families_are_asked_for),
		RIG_TEST(a_name_without_address_is_told_from_no_name),
		RIG_TEST(silence_ends_by_its_name),
		RIG_TEST(an_address_is_answered_at_once),
		RIG_TEST(the_name_asked_for_is_what_is_verified),
		RIG_TEST(what_is_cancelled_is_not_told),
		RIG_TEST(too_many_questions_are_an_error_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
