// SPDX-License-Identifier: BSD-3-Clause
// The way from a name to targets: NAPTR, SRV, addresses. All questions of a step are asked at once; the next step
// begins when the last of them is answered, at once where the cache knows them all.

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "sip_locate_pick.h"

struct slot { // a question
	struct sip_locate *locate;
	struct dns_query *query;         // NULL: does not wait
	const struct dns_answer *answer; // NULL: none yet, or it could not be asked
};

struct sip_locate {
	struct dns *dns;
	struct sip_locate_ask ask;
	unsigned transports; // pick_transports
	sip_locate_fn *fn;
	void *arg;
	struct sip_located located;

	void (*next)(struct sip_locate *locate); // the step when all is answered; NULL: done
	unsigned pending;
	int failure; // of DNS on the way; it tells "none" from "not known"
	bool by_naptr, has_srv;

	struct slot naptr, srv[PICK_SERVICES], addrs[SIP_LOCATE_TARGETS][2];
	struct pick_service services[PICK_SERVICES];
	unsigned service_count, first, end; // of the services: those of equal order, which are asked for together
	struct pick_host hosts[SIP_LOCATE_TARGETS];
	unsigned host_count;
};

static void naptr_done(struct sip_locate *locate);
static void srv_done(struct sip_locate *locate);
static void hosts_done(struct sip_locate *locate);

static const char *why_of(int error)
{
	switch (error) {
	case -ENOENT:
		return "no such name";
	case -ENODATA:
		return "the name has no address that we could use";
	case -EPROTONOSUPPORT:
		return "no transport that we send by";
	case -EAFNOSUPPORT:
		return "no listener of that address family";
	case -ETIMEDOUT:
		return "DNS does not answer";
	case -EAGAIN:
		return "too many DNS questions wait";
	case -EINVAL:
		return "not a host's name";
	case -ENOMEM:
		return "no memory";
	}
	return "DNS fails";
}

static int located_fail(struct sip_located *located, int error, const char *why)
{
	located->error = error == -ENODATA ? -ENOENT : error;
	located->why = why ? why : why_of(error);
	located->count = 0;
	return located->error;
}

static uint32_t random_default(void *arg, uint32_t limit)
{
	uint64_t value;

	while (getrandom(&value, sizeof(value), 0) != sizeof(value))
		;
	return (uint32_t)(value % (limit + 1ull));
}

// --- questions ------------------------------------------------------------------------------------------------------

// Silence tells more than any other failure.
static void failure_note(struct sip_locate *locate, int error)
{
	if (error == 0 || error == -ENOENT || error == -ENODATA) // an answer
		return;
	if (locate->failure != -ETIMEDOUT)
		locate->failure = error;
}

static void slot_clear(struct slot *slot)
{
	dns_cancel(slot->query);
	dns_answer_unref(slot->answer);
	*slot = (struct slot){0};
}

static void slots_clear(struct sip_locate *locate)
{
	slot_clear(&locate->naptr);
	for (unsigned i = 0; i < PICK_SERVICES; i++)
		slot_clear(&locate->srv[i]);
	for (unsigned i = 0; i < SIP_LOCATE_TARGETS; i++)
		for (unsigned family = 0; family < 2; family++)
			slot_clear(&locate->addrs[i][family]);
}

// Go on as far as answers are there. Returns: is it done?
static bool run(struct sip_locate *locate)
{
	while (locate->pending == 0 && locate->next) {
		void (*step)(struct sip_locate *) = locate->next;

		locate->next = NULL;
		step(locate);
	}
	return !locate->next;
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct slot *slot = arg;
	struct sip_locate *locate = slot->locate;

	slot->query = NULL;
	slot->answer = dns_answer_ref(answer);
	locate->pending--;
	if (run(locate)) {
		struct sip_located located = locate->located;
		sip_locate_fn *fn = locate->fn;
		void *fn_arg = locate->arg;

		sip_locate_cancel(locate);
		fn(fn_arg, &located);
	}
}

static void slot_ask(struct sip_locate *locate, struct slot *slot, const char *name, enum dns_type type)
{
	int result;

	slot->locate = locate;
	result = dns_query(locate->dns, name, type, on_answer, slot, &slot->answer, &slot->query);
	if (result == -EINPROGRESS)
		locate->pending++;
	else if (result != 0 && result != -EINVAL) // a name in a record that is none is of no use
		failure_note(locate, result);
}

// --- steps ----------------------------------------------------------------------------------------------------------

static void host_add(struct sip_locate *locate, const char *name, uint16_t port, enum sip_transport transport)
{
	if (locate->host_count < SIP_LOCATE_TARGETS)
		locate->hosts[locate->host_count++] =
			(struct pick_host){.transport = transport, .port = port, .name = name};
}

static void hosts_ask(struct sip_locate *locate)
{
	locate->next = hosts_done;
	for (unsigned i = 0; i < locate->host_count; i++) {
		if (locate->ask.ip4)
			slot_ask(locate, &locate->addrs[i][0], locate->hosts[i].name, DNS_A);
		if (locate->ask.ip6)
			slot_ask(locate, &locate->addrs[i][1], locate->hosts[i].name, DNS_AAAA);
	}
}

// The host itself, which no SRV record speaks of.
static void host_ask(struct sip_locate *locate)
{
	enum sip_transport transport = pick_transport(locate->transports);

	host_add(locate, locate->located.host, locate->ask.port ? locate->ask.port : pick_port(transport), transport);
	hosts_ask(locate);
}

static void naptr_ask(struct sip_locate *locate)
{
	locate->next = naptr_done;
	slot_ask(locate, &locate->naptr, locate->located.host, DNS_NAPTR);
}

// Ask for the next services of equal order. Those behind are better than nothing where these lead nowhere, but no
// fallback where a target of these does not answer: the domain may not want that (RFC 3403 4.1, order).
static void srv_ask(struct sip_locate *locate)
{
	slots_clear(locate);
	locate->host_count = 0;
	locate->first = locate->end;
	while (locate->end < locate->service_count &&
		locate->services[locate->end].order == locate->services[locate->first].order)
		locate->end++;
	locate->next = srv_done;
	for (unsigned i = locate->first; i < locate->end; i++)
		if (!locate->services[i].direct)
			slot_ask(locate, &locate->srv[i], locate->services[i].name, DNS_SRV);
}

static void naptr_done(struct sip_locate *locate)
{
	const struct dns_answer *answer = locate->naptr.answer;
	bool foreign = false;

	if (!answer || answer->error == -ETIMEDOUT) { // the other questions would be as long without an answer
		located_fail(&locate->located, answer ? -ETIMEDOUT : locate->failure, NULL);
		return;
	}
	failure_note(locate, answer->error); // no more than that: there are servers that know of no NAPTR
	locate->service_count = pick_naptr(answer, locate->transports, locate->services, &foreign);
	locate->by_naptr = locate->service_count > 0;
	if (foreign) {
		located_fail(&locate->located, -EPROTONOSUPPORT, "the domain has no transport that we send by");
		return;
	}
	if (!locate->by_naptr)
		locate->service_count = pick_default(locate->located.host, locate->transports, locate->services);
	srv_ask(locate);
}

static void srv_hosts(struct sip_locate *locate, const struct pick_service *service, const struct dns_answer *answer)
{
	unsigned order[DNS_RECORDS];
	unsigned count = pick_srv(answer, locate->ask.random, locate->ask.random_arg, order);

	locate->has_srv = locate->has_srv || answer->count > 0;
	for (unsigned i = 0; i < count; i++)
		host_add(locate, answer->records[order[i]].srv.target, answer->records[order[i]].srv.port,
			service->transport);
}

static void srv_done(struct sip_locate *locate)
{
	for (unsigned i = locate->first; i < locate->end; i++) {
		const struct pick_service *service = &locate->services[i];
		const struct dns_answer *answer = locate->srv[i].answer;

		if (service->direct)
			host_add(locate, service->name, pick_port(service->transport), service->transport);
		if (!answer)
			continue;
		failure_note(locate, answer->error);
		srv_hosts(locate, service, answer);
	}
	if (locate->host_count > 0)
		hosts_ask(locate);
	else if (locate->end < locate->service_count)
		srv_ask(locate);
	else if (locate->has_srv)
		located_fail(&locate->located, -ENOENT, "the domain does not offer SIP by these transports");
	else if (locate->failure == -ETIMEDOUT)
		located_fail(&locate->located, -ETIMEDOUT, NULL);
	else if (locate->by_naptr)
		located_fail(&locate->located, locate->failure ? locate->failure : -ENOENT,
			locate->failure ? NULL : "the domain's NAPTR records lead to no SRV records");
	else
		host_ask(locate);
}

// Returns: -ENOENT: none of the names exists; -ENODATA: they have no address; else why that is not known.
static int hosts_error(struct sip_locate *locate)
{
	bool none = true;

	for (unsigned i = 0; i < locate->host_count; i++)
		for (unsigned family = 0; family < 2; family++) {
			const struct slot *slot = &locate->addrs[i][family];

			if (slot->answer)
				failure_note(locate, slot->answer->error);
			if (slot->locate) // was asked
				none = none && slot->answer && slot->answer->error == -ENOENT;
		}
	if (none)
		return -ENOENT;
	return locate->failure ? locate->failure : -ENODATA;
}

static void hosts_done(struct sip_locate *locate)
{
	struct sip_located *located = &locate->located;

	for (unsigned i = 0; i < locate->host_count; i++)
		for (unsigned family = 0; family < 2; family++)
			locate->hosts[i].answers[family] = locate->addrs[i][family].answer;
	located->count = pick_targets(locate->hosts, locate->host_count, located->targets);
	if (located->count > 0)
		return;
	if (locate->end < locate->service_count)
		srv_ask(locate);
	else
		located_fail(located, hosts_error(locate), NULL);
}

// --- begin and end --------------------------------------------------------------------------------------------------

// Without a dot at the end, which no certificate has.
static int host_copy(const char *host, char *out, size_t size)
{
	size_t length = strlen(host);

	if (length > 0 && host[length - 1] == '.')
		length--;
	if (length == 0 || length >= size)
		return -EINVAL;
	memcpy(out, host, length);
	out[length] = '\0';
	return 0;
}

// What needs no DNS. Returns: 0 or the error; -EINPROGRESS: the rest does.
static int locate_at_once(const struct sip_locate_ask *ask, unsigned transports, struct sip_located *out)
{
	enum sip_transport transport = pick_transport(transports);
	struct kg_addr addr;

	if (host_copy(ask->host, out->host, sizeof(out->host)) != 0)
		return located_fail(out, -EINVAL, NULL);
	if (!transports)
		return located_fail(out, -EPROTONOSUPPORT, NULL);
	if (kg_addr_parse(&addr, out->host, ask->port ? ask->port : pick_port(transport)) != 0) {
		if (!dns_is_name(out->host))
			return located_fail(out, -EINVAL, NULL);
		return ask->ip4 || ask->ip6 ? -EINPROGRESS : located_fail(out, -EAFNOSUPPORT, NULL);
	}
	if (!(addr.family == 4 ? ask->ip4 : ask->ip6))
		return located_fail(out, -EAFNOSUPPORT, NULL);
	out->host[0] = '\0';
	out->targets[0] = (struct sip_target){transport, addr};
	out->count = 1;
	return 0;
}

static void locate_begin(struct sip_locate *locate)
{
	if (locate->ask.port) {
		host_ask(locate);
	} else if (locate->ask.transport >= 0) { // nothing is left to choose (RFC 3263 4.1)
		locate->service_count = pick_default(locate->located.host, locate->transports, locate->services);
		srv_ask(locate);
	} else {
		naptr_ask(locate);
	}
}

int sip_locate(struct dns *dns, const struct sip_locate_ask *ask, sip_locate_fn *fn, void *arg, struct sip_located *out,
	struct sip_locate **handle)
{
	unsigned transports = pick_transports(ask);
	struct sip_locate *locate;
	int error;

	*handle = NULL;
	*out = (struct sip_located){.why = ""};
	error = locate_at_once(ask, transports, out);
	if (error != -EINPROGRESS)
		return error;
	if (!dns)
		return located_fail(out, -EIO, "names are not looked up without DNS");
	locate = calloc(1, sizeof(*locate));
	if (!locate)
		return located_fail(out, -ENOMEM, NULL);
	locate->dns = dns;
	locate->ask = *ask;
	locate->ask.host = NULL; // the caller's
	if (!ask->random)
		locate->ask.random = random_default;
	locate->transports = transports;
	locate->fn = fn;
	locate->arg = arg;
	locate->located = *out;
	locate_begin(locate);
	if (!run(locate)) {
		*handle = locate;
		return -EINPROGRESS;
	}
	*out = locate->located;
	sip_locate_cancel(locate);
	return out->error;
}

void sip_locate_cancel(struct sip_locate *locate)
{
	if (!locate)
		return;
	slots_clear(locate);
	free(locate);
}
