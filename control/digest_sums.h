// SPDX-License-Identifier: BSD-3-Clause
// What the two sides of a digest share, for digest*.c alone.
#pragma once

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "digest.h"

#define DIGEST_HEX (2 * EVP_MAX_MD_SIZE + 1)

// Returns: false for a name that is not ours ("": MD5).
bool digest_algorithm(const char *name, enum digest_algorithm *out, bool *session);
// The sum of parts (NULL-terminated) with colons between, in hex. lengths NULL: they are strings. Returns: 0, -ENOMEM.
int digest_sum(enum digest_algorithm algorithm, char out[DIGEST_HEX], const char *const *parts, const size_t *lengths);
// RFC 7616 3.4.1 for what `f` says. Returns: 0, -EINVAL, -ENOMEM.
int digest_response(const struct digest_fields *f, const char *username, const char *password, const char *method,
	const char *body, size_t length, char out[DIGEST_HEX]);
