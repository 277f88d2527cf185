// SPDX-License-Identifier: BSD-3-Clause
// Message bodies of several parts (RFC 2046 5.1, RFC 5621): finds the session description in one, and puts another in
// its place without touching a byte of the rest. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Where the application/sdp is in a body of that Content-Type value (whole, or a part of a multipart). Returns: false
// where there is none, or the parts cannot be told from each other.
bool sip_body_sdp(const char *type, const char *body, size_t length, const char **sdp, size_t *sdp_length);

// The body with `sdp` in place of its session description. Owns: the caller frees; a NUL follows it. Returns: NULL
// where it has none, or for want of memory.
char *sip_body_replace(const char *type, const char *body, size_t length, const char *sdp, size_t *out_length);
