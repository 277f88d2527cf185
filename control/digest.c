// SPDX-License-Identifier: BSD-3-Clause
// What both sides of a digest need: its parameters and its sums; and the side that is challenged.

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "digest_sums.h"

// --- parameters ---------------------------------------------------------------------------------------------------

static char *field_of(struct digest_fields *fields, const char *name, size_t length, size_t *size)
{
	const struct {
		const char *name;
		char *at;
		size_t size;
	} rows[] = {
		{"username", fields->username, sizeof(fields->username)},
		{"realm", fields->realm, sizeof(fields->realm)},
		{"nonce", fields->nonce, sizeof(fields->nonce)},
		{"uri", fields->uri, sizeof(fields->uri)},
		{"response", fields->response, sizeof(fields->response)},
		{"algorithm", fields->algorithm, sizeof(fields->algorithm)},
		{"cnonce", fields->cnonce, sizeof(fields->cnonce)},
		{"opaque", fields->opaque, sizeof(fields->opaque)},
		{"qop", fields->qop, sizeof(fields->qop)},
		{"nc", fields->nc, sizeof(fields->nc)},
		{"stale", fields->stale, sizeof(fields->stale)},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strlen(rows[i].name) == length && strncasecmp(rows[i].name, name, length) == 0) {
			*size = rows[i].size;
			return rows[i].at;
		}
	return NULL;
}

// A token or quoted string from *at on into out (NULL: passed over). Returns: 0, -EINVAL.
static int value_read(const char **at, char *out, size_t size)
{
	bool quoted = **at == '"';
	size_t used = 0;

	for (*at += quoted; **at; (*at)++) {
		if (quoted ? **at == '"' : **at == ',' || **at == ' ' || **at == '\t')
			break;
		if (quoted && **at == '\\' && (*at)[1])
			(*at)++;
		if (out && used + 1 >= size)
			return -EINVAL;
		if (out)
			out[used++] = **at;
	}
	if (out)
		out[used] = '\0';
	if (!quoted)
		return used || !out ? 0 : -EINVAL;
	if (**at != '"')
		return -EINVAL;
	(*at)++;
	return 0;
}

int digest_parse(const char *value, struct digest_fields *out)
{
	memset(out, 0, sizeof(*out));
	value += strspn(value, " \t");
	if (strncasecmp(value, "Digest", 6) != 0 || !strchr(" \t", value[6]) || !value[6])
		return -EINVAL;
	for (value += 6; *value;) {
		size_t length, size = 0;
		const char *name;
		char *field;

		value += strspn(value, ", \t");
		if (!*value)
			break;
		name = value;
		length = strcspn(value, "= \t,");
		value += length;
		value += strspn(value, " \t");
		if (!length || *value++ != '=')
			return -EINVAL;
		value += strspn(value, " \t");
		field = field_of(out, name, length, &size);
		if ((field && *field) || value_read(&value, field, size) != 0)
			return -EINVAL;
		value += strspn(value, " \t");
		if (*value && *value != ',')
			return -EINVAL;
	}
	return 0;
}

// --- sums -----------------------------------------------------------------------------------------------------------

static const struct {
	const char *name;
	const char *evp;
} algorithms[DIGEST_ALGORITHMS] = {
	[DIGEST_MD5] = {"MD5", "MD5"},
	[DIGEST_SHA256] = {"SHA-256", "SHA256"},
	[DIGEST_SHA512_256] = {"SHA-512-256", "SHA512-256"},
};

static const EVP_MD *hashes[DIGEST_ALGORITHMS];

int digest_init(void)
{
	char unused[DIGEST_HEX];
	const char *const parts[] = {"", NULL};
	int error = 0;

	for (unsigned i = 0; i < DIGEST_ALGORITHMS; i++) {
		if (!hashes[i]) // held for good
			hashes[i] = EVP_MD_fetch(NULL, algorithms[i].evp, NULL);
		// The first use of each makes more ready in there, which must not happen when there is no memory.
		if (!hashes[i] || digest_sum((enum digest_algorithm)i, unused, parts, NULL) != 0)
			error = -EIO;
	}
	return error;
}

bool digest_algorithm(const char *name, enum digest_algorithm *out, bool *session)
{
	if (!*name)
		name = "MD5"; // RFC 7616 3.3
	for (unsigned i = 0; i < DIGEST_ALGORITHMS; i++) {
		size_t length = strlen(algorithms[i].name);

		if (strncasecmp(name, algorithms[i].name, length) != 0)
			continue;
		*session = strcasecmp(name + length, "-sess") == 0;
		*out = (enum digest_algorithm)i;
		if (!name[length] || *session)
			return true;
	}
	return false;
}

int digest_sum(enum digest_algorithm algorithm, char out[DIGEST_HEX], const char *const *parts, const size_t *lengths)
{
	const EVP_MD *md = hashes[algorithm];
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	EVP_MD_CTX *ctx = md ? EVP_MD_CTX_new() : NULL;
	bool good = ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1;

	for (unsigned i = 0; good && parts[i]; i++) {
		good = !i || EVP_DigestUpdate(ctx, ":", 1) == 1;
		if (good)
			good = EVP_DigestUpdate(ctx, parts[i], lengths ? lengths[i] : strlen(parts[i])) == 1;
	}
	if (good)
		good = EVP_DigestFinal_ex(ctx, sum, &length) == 1;
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; good && i < length; i++)
		sprintf(out + 2 * i, "%02x", sum[i]);
	return good ? 0 : -ENOMEM;
}

int digest_response(const struct digest_fields *f, const char *username, const char *password, const char *method,
	const char *body, size_t length, char out[DIGEST_HEX])
{
	char a1[DIGEST_HEX], a2[DIGEST_HEX], entity[DIGEST_HEX];
	const char *first[] = {username, f->realm, password, NULL}, *again[] = {a1, f->nonce, f->cnonce, NULL};
	const char *second[] = {method, f->uri, NULL, NULL};
	const char *with_qop[] = {a1, f->nonce, f->nc, f->cnonce, f->qop, a2, NULL};
	const char *without[] = {a1, f->nonce, a2, NULL};
	const char *whole[] = {body ? body : "", NULL};
	enum digest_algorithm algorithm;
	bool session;
	int error;

	if (!digest_algorithm(f->algorithm, &algorithm, &session))
		return -EINVAL;
	error = digest_sum(algorithm, a1, first, NULL);
	if (!error && session)
		error = digest_sum(algorithm, a1, again, NULL);
	if (!error && strcasecmp(f->qop, "auth-int") == 0) {
		error = digest_sum(algorithm, entity, whole, &length);
		second[2] = entity;
	}
	if (!error)
		error = digest_sum(algorithm, a2, second, NULL);
	return error ? error : digest_sum(algorithm, out, *f->qop ? with_qop : without, NULL);
}

// --- we are challenged --------------------------------------------------------------------------------------------

static bool qop_has(const char *list, const char *wanted)
{
	size_t length;

	for (; *list; list += length) {
		list += strspn(list, ", \t");
		length = strcspn(list, ", \t");
		if (length == strlen(wanted) && strncasecmp(list, wanted, length) == 0)
			return true;
	}
	return false;
}

static bool challenge_read(const char *challenge, struct digest_fields *out, enum digest_algorithm *algorithm)
{
	bool session;

	return digest_parse(challenge, out) == 0 && *out->nonce &&
	       digest_algorithm(out->algorithm, algorithm, &session) &&
	       (!*out->qop || qop_has(out->qop, "auth") || qop_has(out->qop, "auth-int"));
}

int digest_choose(const char *const *challenges, unsigned count)
{
	enum digest_algorithm algorithm;
	struct digest_fields fields;
	int best = -1, rank = -1;

	for (unsigned i = 0; i < count; i++)
		if (challenge_read(challenges[i], &fields, &algorithm) && (int)algorithm > rank) {
			best = (int)i;
			rank = (int)algorithm;
		}
	return best;
}

// A quoted string; what would end it early is escaped.
static void quoted_write(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		if (*value != '\r' && *value != '\n')
			fputc(*value, out);
	}
	fputc('"', out);
}

char *digest_answer(const char *challenge, const struct digest_ask *ask)
{
	enum digest_algorithm algorithm;
	char response[DIGEST_HEX], *text = NULL;
	struct digest_fields f;
	size_t length;
	int error;
	FILE *out;

	errno = EINVAL;
	if (!challenge_read(challenge, &f, &algorithm) || strlen(ask->uri) >= sizeof(f.uri) ||
		strlen(ask->cnonce) >= sizeof(f.cnonce))
		return NULL;
	if (*f.qop) {
		strcpy(f.qop, qop_has(f.qop, "auth") ? "auth" : "auth-int");
		snprintf(f.nc, sizeof(f.nc), "%08x", ask->nc);
	}
	strcpy(f.cnonce, ask->cnonce);
	strcpy(f.uri, ask->uri);
	error = digest_response(&f, ask->username, ask->password, ask->method, ask->body, ask->length, response);
	out = error ? NULL : open_memstream(&text, &length);
	errno = ENOMEM;
	if (!out)
		return NULL;
	fputs("Digest ", out);
	quoted_write(out, "username", ask->username);
	quoted_write(out, ", realm", f.realm);
	quoted_write(out, ", nonce", f.nonce);
	quoted_write(out, ", uri", f.uri);
	quoted_write(out, ", response", response);
	if (*f.algorithm)
		fprintf(out, ", algorithm=%s", f.algorithm);
	if (*f.qop)
		fprintf(out, ", cnonce=\"%s\", qop=%s, nc=%s", f.cnonce, f.qop, f.nc);
	if (*f.opaque)
		quoted_write(out, ", opaque", f.opaque);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
