// SPDX-License-Identifier: BSD-3-Clause
// Names are proved as RFC 5922 7 says: by URI SIP or DNS in the certificate's subjectAltName, whole, without wildcards.

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "sip_tls.h"

#define WHY 160

struct sip_tls {
	SSL_CTX *client, *server; // server NULL: nobody connects by TLS
	char *ca;                 // for words only
};

// What is known of the peer while and after it proves itself; freed with its SSL.
struct peer {
	const struct sip_flow *flow; // NULL: it connected, and may have any name
	char why[WHY];               // why it is not believed
	char ca[WHY / 2];
};

static int peer_index = -1;

static void peer_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	free(ptr);
}

static struct peer *peer_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, peer_index);
}

// --- names --------------------------------------------------------------------------------------------------------

// Bytes of a certificate, for the log.
static void text_clean(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

// The host of a "sip:" URI without user part, else false.
static bool uri_host(const char *uri, size_t length, const char **host, size_t *host_length)
{
	size_t skip = length > 4 && strncasecmp(uri, "sip:", 4) == 0    ? 4
		      : length > 5 && strncasecmp(uri, "sips:", 5) == 0 ? 5
									: 0;

	if (!skip || memchr(uri, '@', length))
		return false;
	*host = uri + skip;
	for (*host_length = 0; *host_length < length - skip; (*host_length)++)
		if (strchr(":;?", (*host)[*host_length]))
			break;
	return *host_length > 0;
}

static bool same_name(const char *name, size_t length, const char *host)
{
	size_t host_length = strlen(host);

	if (host_length && host[host_length - 1] == '.')
		host_length--;
	if (length && name[length - 1] == '.')
		length--;
	return length && length == host_length && strncasecmp(name, host, length) == 0;
}

// Is the index-th name one of that kind (GEN_URI: SIP's)?
static bool name_read(const GENERAL_NAMES *names, int index, int kind, const char **name, size_t *length)
{
	const GENERAL_NAME *general = sk_GENERAL_NAME_value(names, index);
	const ASN1_IA5STRING *text = general->d.ia5;

	if (general->type != kind)
		return false;
	*name = (const char *)ASN1_STRING_get0_data(text);
	*length = (size_t)ASN1_STRING_length(text);
	return kind == GEN_DNS || uri_host(*name, *length, name, length);
}

// Where there are SIP URIs, DNS names say nothing (7.1). `said`: all that it is for.
static bool is_for_host(X509 *cert, const char *host, char *said, size_t size)
{
	static const int kinds[] = {GEN_URI, GEN_DNS};
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false, any = false;
	size_t at = 0;

	for (unsigned k = 0; k < 2 && !any; k++)
		for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
			const char *name;
			size_t length;

			if (!name_read(names, i, kinds[k], &name, &length))
				continue;
			found = found || same_name(name, length, host);
			if (at < size)
				at += (size_t)snprintf(
					said + at, size - at, "%s%.*s", any ? ", " : "", (int)length, name);
			any = true;
		}
	GENERAL_NAMES_free(names);
	if (!any)
		snprintf(said, size, "no DNS name or SIP URI");
	text_clean(said);
	return found;
}

static bool is_for_address(X509 *cert, const struct kg_addr *addr)
{
	return X509_check_ip(cert, addr->ip, addr->family == 6 ? 16 : 4, 0) == 1;
}

bool sip_tls_proves(SSL *ssl, const char *host)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	char said[WHY];
	bool proved = cert && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) == X509_V_OK &&
		      is_for_host(cert, host, said, sizeof(said));

	ERR_clear_error();
	return proved;
}

// --- whom we believe ----------------------------------------------------------------------------------------------

static void date_text(const ASN1_TIME *date, char *out, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(date, &tm) != 1 || !strftime(out, size, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(out, size, "?");
}

static void chain_why(struct peer *peer, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	int error = X509_STORE_CTX_get_error(store);
	char name[80] = "?", date[32] = "?";

	if (cert)
		X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof(name));
	text_clean(name);
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		date_text(X509_get0_notAfter(cert), date, sizeof(date));
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate %s expired on %s", name, date);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		date_text(X509_get0_notBefore(cert), date, sizeof(date));
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate %s is not valid before %s", name, date);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate %s is signed by no CA in %s", name,
			peer->ca);
		break;
	default:
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate %s: %s", name,
			X509_verify_cert_error_string(error));
	}
}

static bool name_is_proved(struct peer *peer, X509 *cert)
{
	const struct sip_flow *flow = peer->flow;
	char said[WHY / 2], ip[KG_ADDR_STRLEN];

	if (!flow ||
		(flow->host ? is_for_host(cert, flow->host, said, sizeof(said)) : is_for_address(cert, &flow->remote)))
		return true;
	if (flow->host)
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate is not for %s, but for %s", flow->host,
			said);
	else
		snprintf(peer->why, sizeof(peer->why), "the peer's certificate does not name the address %s",
			kg_addr_ip(&flow->remote, ip, sizeof(ip)));
	return false;
}

// The names are weighed here too, so that a wrong one ends the handshake, before anything is said to the peer.
static int on_verify(X509_STORE_CTX *store, void *arg)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct peer *peer = peer_of(ssl);
	bool proved;

	if (X509_verify_cert(store) <= 0) {
		if (X509_STORE_CTX_get_error(store) == X509_V_OK)
			X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
		chain_why(peer, store);
		return 0;
	}
	ERR_set_mark(); // a name that cannot be read is no error of the connection
	proved = name_is_proved(peer, X509_STORE_CTX_get0_cert(store));
	ERR_pop_to_mark();
	if (proved)
		return 1;
	X509_STORE_CTX_set_error(
		store, peer->flow->host ? X509_V_ERR_HOSTNAME_MISMATCH : X509_V_ERR_IP_ADDRESS_MISMATCH);
	return 0;
}

void sip_tls_why(SSL *ssl, unsigned long error, char *out, size_t size)
{
	const char *text = ERR_reason_error_string(error);
	struct peer *peer = peer_of(ssl);

	if (peer->why[0])
		snprintf(out, size, "%s", peer->why);
	else if (ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET) // an alert
		snprintf(out, size, "the peer refused us: %s", text ? text : "?");
	else
		snprintf(out, size, "%s", text ? text : "an error without a name");
}

// --- one connection -----------------------------------------------------------------------------------------------

SSL *sip_tls_new(struct sip_tls *tls, const struct sip_flow *flow, bool accepted)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	SSL *ssl = SSL_new(accepted ? tls->server : tls->client);

	if (!peer || !ssl || SSL_set_ex_data(ssl, peer_index, peer) != 1) {
		free(peer);
		goto fail;
	}
	peer->flow = accepted ? NULL : flow;
	snprintf(peer->ca, sizeof(peer->ca), "%s", tls->ca);
	if (!accepted && flow->host && SSL_set_tlsext_host_name(ssl, flow->host) != 1)
		goto fail;
	return ssl;
fail:
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

void sip_tls_end(SSL *ssl)
{
	peer_of(ssl)->flow = NULL;
	if (SSL_is_init_finished(ssl)) {
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN); // we do not wait for its goodbye
		SSL_shutdown(ssl);
	}
	ERR_clear_error(); // else the next one's error would seem to be this one's
}

// --- files --------------------------------------------------------------------------------------------------------

static int refuse(char *err, const char *file, const char *what)
{
	snprintf(err, 256, "%.170s %s", file, what);
	ERR_clear_error();
	return -EINVAL;
}

static int readable(const char *file, char *err)
{
	FILE *in = fopen(file, "re");
	char what[80];

	if (in) {
		fclose(in);
		return 0;
	}
	snprintf(what, sizeof(what), "cannot be read: %s", strerror(errno));
	return refuse(err, file, what);
}

// No question at the terminal.
static int on_password(char *buffer, int size, int writing, void *arg)
{
	return -1;
}

static int own_load(SSL_CTX *ctx, const struct sip_tls_files *files, char *err)
{
	if (readable(files->certificate, err) != 0 || readable(files->key, err) != 0)
		return -EINVAL;
	if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1)
		return refuse(err, files->certificate, "holds no certificate in PEM (its chain belongs behind it)");
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1) {
		unsigned long error = ERR_peek_last_error();

		return refuse(err, files->key,
			ERR_GET_LIB(error) == ERR_LIB_X509 ? "is not the certificate's key"
							   : "holds no private key in PEM, or one with a password");
	}
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refuse(err, files->key, "is not the certificate's key");
	return 0;
}

static int ca_load(SSL_CTX *ctx, const char *ca, bool ask, char *err)
{
	if (!*ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return refuse(err, "the system's CAs", "cannot be read");
	if (!*ca)
		return 0;
	if (readable(ca, err) != 0)
		return -EINVAL;
	if (SSL_CTX_load_verify_file(ctx, ca) != 1)
		return refuse(err, ca, "holds no CA certificate in PEM");
	if (ask)
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(ca));
	return 0;
}

static SSL_CTX *context_new(const struct sip_tls_files *files, bool server, int *error, char *err)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	bool asks = !server || files->verify_clients;

	*error = -ENOMEM;
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		goto fail;
	// No sessions to resume: who was believed under old files is not believed by memory under new ones.
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); // thousands of connections are quiet
	SSL_CTX_set_default_passwd_cb(ctx, on_password);
	SSL_CTX_set_verify(ctx, asks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
	if (server) // public CAs no longer sign for clients; SIP's peers are both
		SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
	*error = *files->certificate || *files->key || server ? own_load(ctx, files, err) : 0;
	if (!*error && asks)
		*error = ca_load(ctx, files->ca, server, err);
	if (!*error)
		return ctx;
fail:
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}

static int names_check(const struct sip_tls_files *files, bool serves, char *err)
{
	if (serves && (!*files->certificate || !*files->key)) {
		snprintf(err, 256, "TLS and WSS listeners need a certificate and its key: name the files in sip.tls");
		return -EINVAL;
	}
	if (!*files->certificate != !*files->key) {
		snprintf(err, 256, "%.180s needs a %s beside it in sip.tls",
			*files->key ? files->key : files->certificate, *files->key ? "certificate" : "key");
		return -EINVAL;
	}
	return 0;
}

int sip_tls_load(const struct sip_tls_files *given, bool serves, struct sip_tls **out, char *err)
{
	struct sip_tls_files files = given ? *given : (struct sip_tls_files){0};
	struct sip_tls *tls;
	int error;

	files.certificate = files.certificate ? files.certificate : "";
	files.key = files.key ? files.key : "";
	files.ca = files.ca ? files.ca : "";
	error = names_check(&files, serves, err);
	if (error)
		return error;
	snprintf(err, 256, "no memory for TLS");
	if (peer_index < 0)
		peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, peer_free);
	tls = calloc(1, sizeof(*tls));
	if (!tls || peer_index < 0) {
		free(tls);
		return -ENOMEM;
	}
	tls->ca = strdup(*files.ca ? files.ca : "the system's store");
	error = tls->ca ? 0 : -ENOMEM;
	if (!error)
		tls->client = context_new(&files, false, &error, err);
	if (!error && serves)
		tls->server = context_new(&files, true, &error, err);
	if (error) {
		sip_tls_free(tls);
		return error;
	}
	*out = tls;
	return 0;
}

void sip_tls_free(struct sip_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->client);
	SSL_CTX_free(tls->server);
	free(tls->ca);
	free(tls);
}
