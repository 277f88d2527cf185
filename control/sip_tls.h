// SPDX-License-Identifier: BSD-3-Clause
// TLS for SIP: what we show, whom we believe. The only file that knows OpenSSL's contexts and verification. All:
// Thread: control.
#pragma once

#include <openssl/ssl.h>

#include "sip_wire.h"

struct sip_tls;

// files NULL: none. serves: a certificate of ours is needed, as peers connect.
// Returns: 0, -EINVAL, -ENOMEM with a sentence in err (256 bytes) that names the file.
int sip_tls_load(const struct sip_tls_files *files, bool serves, struct sip_tls **out, char *err);
void sip_tls_free(struct sip_tls *tls); // NULL is fine; connections that stand keep what they need

// One connection's. On one that we open the peer's certificate must prove flow->host, or flow->remote where that is
// NULL. `flow` lives until sip_tls_end. Owns: the caller frees. Returns: NULL for want of memory.
SSL *sip_tls_new(struct sip_tls *tls, const struct sip_flow *flow, bool accepted);
void sip_tls_end(SSL *ssl); // say goodbye to the peer, before it is freed
// What went wrong, in words: `error` is OpenSSL's.
void sip_tls_why(SSL *ssl, unsigned long error, char *out, size_t size);
// Did the peer show a certificate that we believe and that is for `host`?
bool sip_tls_proves(SSL *ssl, const char *host);
