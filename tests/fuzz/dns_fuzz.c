// SPDX-License-Identifier: BSD-3-Clause
// A DNS answer from the wire: it is read or refused, what was read is bounded and whole, and the decisions that
// sip_locate makes of it end. The input's first byte says what was asked for.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sip_locate_pick.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t draw(void *arg, uint32_t limit)
{
	const uint8_t **seed = arg;

	return *(*seed)++ % (limit + 1ull);
}

static void check_name(const char *name)
{
	assert(strnlen(name, DNS_NAME) < DNS_NAME);
	for (; *name; name++)
		assert(*name < 'A' || *name > 'Z');
}

static void check_record(const struct dns_record *record, enum dns_type type)
{
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		assert(record->addr.family == (type == DNS_A ? 4 : 6) && record->addr.port == 0);
		break;
	case DNS_SRV:
		check_name(record->srv.target);
		break;
	case DNS_NAPTR:
		check_name(record->naptr.replacement);
		assert(strnlen(record->naptr.flags, sizeof(record->naptr.flags)) < sizeof(record->naptr.flags));
		assert(strnlen(record->naptr.service, sizeof(record->naptr.service)) < sizeof(record->naptr.service));
		break;
	}
}

static void pick(const struct dns_answer *answer, enum dns_type type)
{
	struct pick_host host = {SIP_UDP, 5060, "a", {type == DNS_A ? answer : NULL, type == DNS_AAAA ? answer : NULL}};
	static const uint8_t seeds[DNS_RECORDS] = {7, 0, 255, 1, 80, 3};
	const uint8_t *seed = seeds;
	struct sip_target targets[SIP_LOCATE_TARGETS];
	struct pick_service services[PICK_SERVICES];
	unsigned order[DNS_RECORDS], count;
	bool foreign;

	if (type == DNS_NAPTR) {
		count = pick_naptr(answer, 1u << SIP_UDP | 1u << SIP_TLS, services, &foreign);
		assert(count <= PICK_SERVICES && (!foreign || count == 0));
		for (unsigned i = 1; i < count; i++)
			assert(services[i - 1].order <= services[i].order);
	} else if (type == DNS_SRV) {
		count = pick_srv(answer, draw, &seed, order);
		assert(count <= answer->count);
		for (unsigned i = 1; i < count; i++)
			assert(answer->records[order[i - 1]].srv.priority <= answer->records[order[i]].srv.priority);
	} else {
		assert(pick_targets(&host, 1, targets) <= SIP_LOCATE_TARGETS);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR};
	struct dns_answer *answer;
	enum dns_type type;
	int error;

	if (size == 0)
		return 0;
	type = types[data[0] % 4];
	error = dns_answer_parse(data + 1, size - 1, type, &answer);
	assert(error == 0 || error == -EBADMSG);
	if (error) {
		assert(!answer);
		return 0;
	}
	assert(answer->count <= DNS_RECORDS && answer->ttl_s >= 1 && answer->ttl_s <= DNS_TTL_MAX_S);
	assert((answer->count > 0) == (answer->error == 0));
	assert(answer->error == 0 || answer->error == -ENOENT || answer->error == -ENODATA);
	for (unsigned i = 0; i < answer->count; i++)
		check_record(&answer->records[i], type);
	pick(answer, type);
	dns_answer_unref(answer);
	return 0;
}
