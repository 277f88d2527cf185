// SPDX-License-Identifier: BSD-3-Clause
// Reads DNS answers from their bytes: c-ares 1.18 has no TTL in its SRV and NAPTR structs.

#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include <ares.h>

#include "dns.h"

#define ALIASES 8 // CNAMEs that are followed
#define TTL_SIGN 0x80000000u

// A record: where its data stands in the message, and what the message has in front of it.
struct rr {
	char name[DNS_NAME];
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data, length;
};

struct reader {
	const uint8_t *data;
	size_t length, at;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

// The name at r->at, which moves behind it. One that does not fit reads as "?", which no host is called: its record is
// of no use, the next one may be. Returns: 0, -EBADMSG, -ENOMEM.
static int name_read(struct reader *r, char out[DNS_NAME])
{
	char *text = NULL;
	long taken = 0;
	int status;

	if (r->at >= r->length)
		return -EBADMSG;
	status = ares_expand_name(r->data + r->at, r->data, (int)r->length, &text, &taken);
	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EBADMSG;
	snprintf(out, DNS_NAME, "%s", strlen(text) < DNS_NAME ? text : "?");
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	ares_free_string(text);
	r->at += (size_t)taken;
	return 0;
}

// The record at r->at, which moves behind it.
static int rr_read(struct reader *r, struct rr *rr)
{
	int error = name_read(r, rr->name);

	if (error)
		return error;
	if (r->length < 10 || r->at > r->length - 10)
		return -EBADMSG;
	rr->type = get16(r->data + r->at);
	rr->class = get16(r->data + r->at + 2);
	rr->ttl_s = get32(r->data + r->at + 4);
	if (rr->ttl_s & TTL_SIGN) // RFC 2181 8
		rr->ttl_s = 0;
	rr->length = get16(r->data + r->at + 8);
	rr->data = r->at += 10;
	if (rr->length > r->length - r->at)
		return -EBADMSG;
	r->at += rr->length;
	return 0;
}

// The record's data alone, names in it may point to anywhere before. Returns: one that ends where the data does.
static struct reader data_reader(const struct reader *r, const struct rr *rr)
{
	return (struct reader){r->data, rr->data + rr->length, rr->data};
}

static int text_read(struct reader *r, char *out, size_t size)
{
	size_t length;

	if (r->at >= r->length)
		return -EBADMSG;
	length = r->data[r->at++];
	if (length > r->length - r->at)
		return -EBADMSG;
	// what is longer than ours is of no service that we know; a NUL ends what is compared
	snprintf(out, size, "%.*s", length < size ? (int)length : 0, (const char *)r->data + r->at);
	r->at += length;
	return 0;
}

static int srv_read(struct reader *r, struct dns_record *out)
{
	if (r->length - r->at < 6)
		return -EBADMSG;
	out->srv.priority = get16(r->data + r->at);
	out->srv.weight = get16(r->data + r->at + 2);
	out->srv.port = get16(r->data + r->at + 4);
	r->at += 6;
	return name_read(r, out->srv.target);
}

static int naptr_read(struct reader *r, struct dns_record *out)
{
	char regexp[2];
	int error;

	if (r->length - r->at < 4)
		return -EBADMSG;
	out->naptr.order = get16(r->data + r->at);
	out->naptr.preference = get16(r->data + r->at + 2);
	r->at += 4;
	error = text_read(r, out->naptr.flags, sizeof(out->naptr.flags));
	if (!error)
		error = text_read(r, out->naptr.service, sizeof(out->naptr.service));
	if (!error && r->at < r->length)
		out->naptr.regexp = r->data[r->at] != 0;
	if (!error)
		error = text_read(r, regexp, sizeof(regexp));
	return error ? error : name_read(r, out->naptr.replacement);
}

static int record_read(const struct reader *whole, const struct rr *rr, struct dns_record *out)
{
	struct reader r = data_reader(whole, rr);
	size_t size = rr->type == DNS_A ? 4 : 16;

	memset(out, 0, sizeof(*out));
	switch (rr->type) {
	case DNS_SRV:
		return srv_read(&r, out);
	case DNS_NAPTR:
		return naptr_read(&r, out);
	}
	if (rr->length != size)
		return -EBADMSG;
	out->addr.family = rr->type == DNS_A ? 4 : 6;
	memcpy(out->addr.ip, r.data + r.at, size);
	return 0;
}

// Does the alias of `name`, where it has one, lead to another name? Then `name` is that. Returns: 1: it does.
static int alias_follow(struct reader r, unsigned answers, char name[DNS_NAME], uint32_t *ttl_s)
{
	struct rr rr;
	int error;

	for (; answers > 0; answers--) {
		error = rr_read(&r, &rr);
		if (error)
			return error;
		if (rr.type == ns_t_cname && rr.class == ns_c_in && strcmp(rr.name, name) == 0) {
			struct reader data = data_reader(&r, &rr);

			*ttl_s = rr.ttl_s < *ttl_s ? rr.ttl_s : *ttl_s;
			error = name_read(&data, name);
			return error ? error : 1;
		}
	}
	return 0;
}

// Of a negative answer, by the SOA in its authority section (RFC 2308 5).
static uint32_t none_ttl(struct reader r, unsigned answers, unsigned authorities)
{
	struct rr rr;

	for (unsigned i = 0; i < answers + authorities; i++) {
		if (rr_read(&r, &rr) != 0)
			break;
		if (i >= answers && rr.type == ns_t_soa && rr.length >= 4) {
			uint32_t minimum_s = get32(r.data + rr.data + rr.length - 4);

			return minimum_s < rr.ttl_s ? minimum_s : rr.ttl_s;
		}
	}
	return DNS_NONE_TTL_S;
}

static int records_read(struct reader r, unsigned answers, const char *name, enum dns_type type, struct dns_answer *out)
{
	struct rr rr;
	int error;

	for (; answers > 0 && out->count < DNS_RECORDS; answers--) {
		error = rr_read(&r, &rr);
		if (error)
			return error;
		if (rr.type != type || rr.class != ns_c_in || strcmp(rr.name, name) != 0)
			continue;
		error = record_read(&r, &rr, &out->records[out->count]);
		if (error)
			return error;
		out->count++;
		out->ttl_s = rr.ttl_s < out->ttl_s ? rr.ttl_s : out->ttl_s;
	}
	return 0;
}

// From behind the question on.
static int sections_read(
	struct reader r, unsigned rcode, char name[DNS_NAME], enum dns_type type, struct dns_answer *out)
{
	unsigned answers = get16(r.data + 6), authorities = get16(r.data + 8);
	int error = 1;

	out->ttl_s = DNS_TTL_MAX_S;
	for (unsigned i = 0; i < ALIASES && error == 1; i++)
		error = alias_follow(r, answers, name, &out->ttl_s);
	if (error < 0)
		return error;
	error = rcode == ns_r_nxdomain ? 0 : records_read(r, answers, name, type, out);
	if (error)
		return error;
	if (out->count == 0) {
		out->error = rcode == ns_r_nxdomain ? -ENOENT : -ENODATA;
		out->ttl_s = none_ttl(r, answers, authorities);
	}
	if (out->ttl_s < 1)
		out->ttl_s = 1;
	if (out->ttl_s > DNS_TTL_MAX_S)
		out->ttl_s = DNS_TTL_MAX_S;
	return 0;
}

int dns_answer_parse(const uint8_t *data, size_t length, enum dns_type type, struct dns_answer **out)
{
	struct reader r = {data, length, HFIXEDSZ};
	struct dns_answer *answer, *shrunk;
	char name[DNS_NAME];
	unsigned rcode;
	int error;

	*out = NULL;
	if (length < HFIXEDSZ || length > UINT16_MAX || !(data[2] & 0x80) || get16(data + 4) != 1) // one question
		return -EBADMSG;
	rcode = data[3] & 0x0f;
	if (rcode != ns_r_noerror && rcode != ns_r_nxdomain)
		return -EBADMSG;
	error = name_read(&r, name);
	if (error)
		return error;
	if (length - r.at < QFIXEDSZ || get16(data + r.at) != type || get16(data + r.at + 2) != ns_c_in)
		return -EBADMSG;
	r.at += QFIXEDSZ;
	answer = calloc(1, sizeof(*answer) + DNS_RECORDS * sizeof(answer->records[0]));
	if (!answer)
		return -ENOMEM;
	answer->refs = 1;
	error = sections_read(r, rcode, name, type, answer);
	if (error) {
		free(answer);
		return error;
	}
	// it is kept for long, and most have one or two
	shrunk = realloc(answer, sizeof(*answer) + answer->count * sizeof(answer->records[0]));
	*out = shrunk ? shrunk : answer;
	return 0;
}

struct dns_answer *dns_answer_ref(const struct dns_answer *answer)
{
	struct dns_answer *counted = (struct dns_answer *)answer; // its count alone is not constant

	counted->refs++;
	return counted;
}

void dns_answer_unref(const struct dns_answer *answer)
{
	if (answer && --((struct dns_answer *)answer)->refs == 0)
		free((void *)answer);
}
