// SPDX-License-Identifier: BSD-3-Clause
// TLS between two wires of ours: whose certificate is believed, and what is said of one that is not. Certificates are
// made here.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sip_stream_rig.h"

#define NAME "sip.example.com"

static char place[] = "/tmp/kedge-tls-XXXXXX";
static EVP_PKEY *ca_key, *other_ca_key;
static X509 *ca, *other_ca;

// --- certificates -------------------------------------------------------------------------------------------------

static const char *path(const char *name)
{
	static char paths[8][64];
	static unsigned next;
	char *out = paths[next++ % 8];

	snprintf(out, sizeof(paths[0]), "%s/%s", place, name);
	return out;
}

static void extend(X509 *cert, int what, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, value);

	assert_non_null(extension);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

// issuer NULL: itself. Days from now.
static X509 *certify(EVP_PKEY *key, const char *name, const char *alternatives, long from, long to, X509 *issuer,
	EVP_PKEY *issuer_key)
{
	static long serial = 1;
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), from * 86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), to * 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
	if (!issuer)
		extend(cert, NID_basic_constraints, "critical,CA:TRUE");
	if (alternatives)
		extend(cert, NID_subject_alt_name, alternatives);
	assert_true(X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
	return cert;
}

static void write_cert(const char *name, X509 *cert)
{
	FILE *out = fopen(path(name), "w");

	PEM_write_X509(out, cert);
	fclose(out);
}

// A key and its certificate, into NAME.pem and NAME.key.
static void issue(const char *name, const char *alternatives, long from, long to, X509 *issuer, EVP_PKEY *issuer_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = certify(key, name, alternatives, from, to, issuer, issuer_key);
	char file[40];
	FILE *out;

	snprintf(file, sizeof(file), "%s.pem", name);
	write_cert(file, cert);
	snprintf(file, sizeof(file), "%s.key", name);
	out = fopen(path(file), "w");
	PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int certificates_make(void **state)
{
	FILE *out;

	if (!mkdtemp(place))
		return -1;
	ca_key = EVP_EC_gen("P-256");
	other_ca_key = EVP_EC_gen("P-256");
	ca = certify(ca_key, "Test CA", NULL, -1, 10, NULL, NULL);
	other_ca = certify(other_ca_key, "Other CA", NULL, -1, 10, NULL, NULL);
	write_cert("ca", ca);
	write_cert("other-ca", other_ca);
	issue("good", "DNS:" NAME ",IP:127.0.0.1", -1, 10, ca, ca_key);
	issue("uri", "URI:sip:" NAME ",DNS:other.example.com", -1, 10, ca, ca_key);
	issue("user", "URI:sip:bob@" NAME, -1, 10, ca, ca_key);
	issue("wild", "DNS:*.example.com", -1, 10, ca, ca_key);
	issue("nameless", NULL, -1, 10, ca, ca_key);
	issue("wrong", "DNS:other.example.com,DNS:third.example.com", -1, 10, ca, ca_key);
	issue("expired", "DNS:" NAME, -10, -1, ca, ca_key);
	issue("early", "DNS:" NAME, 5, 10, ca, ca_key);
	issue("foreign", "DNS:" NAME, -1, 10, other_ca, other_ca_key);
	issue("alone", "DNS:" NAME, -1, 10, NULL, NULL);
	issue("client", "DNS:client.example.com", -1, 10, ca, ca_key);
	out = fopen(path("empty"), "w");
	fclose(out);
	return 0;
}

static int certificates_remove(void **state)
{
	char command[80];

	X509_free(ca);
	X509_free(other_ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_ca_key);
	snprintf(command, sizeof(command), "rm -r %s", place);
	return system(command);
}

static struct sip_tls_files files(const char *name, const char *trusted, bool verify)
{
	char certificate[40], key[40];

	snprintf(certificate, sizeof(certificate), "%s.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	return (struct sip_tls_files){
		*name ? path(certificate) : "", *name ? path(key) : "", *trusted ? path(trusted) : "", verify};
}

// --- a wire that serves (the rig's) and one that calls --------------------------------------------------------------

static struct {
	struct sip_wire *wire;
	unsigned messages, broken;
	struct sip_flow flow;
	int error;
	char why[256];
} c;

static void on_answer(void *arg, const struct sip_flow *flow, const char *data, size_t length)
{
	c.messages++;
}

static void on_end(void *arg, const struct sip_flow *flow, int error, const char *why)
{
	c.broken++;
	c.error = error;
	snprintf(c.why, sizeof(c.why), "%s", why);
}

static const struct sip_wire_events client_events = {.message = on_answer, .broken = on_end};

static void client_open(const char *name, const char *trusted)
{
	struct sip_tls_files own = files(name, trusted, false);
	char err[256] = "";

	if (c.wire)
		c.wire->close(c.wire);
	memset(&c, 0, sizeof(c));
	assert_int_equal(sip_wires_open(t.base, NULL, 0, &own, NULL, &client_events, &c.wire, err), 0);
}

static int client_send(const char *host)
{
	struct kg_addr local;
	int error;

	kg_addr_parse(&local, "127.0.0.1", 0);
	c.flow = (struct sip_flow){.transport = SIP_TLS,
		.local = local,
		.remote = t.at[SIP_TLS],
		.host = host ? sip_wire_name(c.wire, host) : NULL};
	error = c.wire->send(c.wire, &c.flow, OPTIONS("0"), strlen(OPTIONS("0")));
	return error;
}

static void serve(const char *name, const char *trusted, bool verify)
{
	struct sip_tls_files own = files(name, trusted, verify);

	assert_int_equal(rig_open(1u << SIP_TLS, &own, NULL), 0);
}

static int tear_down(void **state)
{
	if (c.wire)
		c.wire->close(c.wire);
	c.wire = NULL;
	return rig_close(state);
}

static void answer(const struct sip_flow *flow)
{
	struct sip_flow back = *flow;

	assert_int_equal(rig_send(&back, "SIP/2.0 200 OK\r\nl: 0\r\n\r\n"), 0);
}

static void works(const char *host)
{
	unsigned before = c.messages;

	t.on_message = answer;
	assert_int_equal(client_send(host), 0);
	UNTIL(c.messages > before || c.broken);
	if (c.broken)
		fail_msg("%s", c.why);
}

static void fails(const char *host, const char *why)
{
	assert_int_equal(client_send(host), 0);
	UNTIL(c.broken && t.broken);
	assert_int_equal(c.error, -EPROTO);
	if (!strstr(c.why, why))
		fail_msg("\"%s\" lacks \"%s\"", c.why, why);
	assert_int_equal(t.messages, 0);
}

static void refused(const char *server, const char *host, const char *why)
{
	serve(server, "", false);
	client_open("", "ca");
	fails(host, why);
	tear_down(NULL);
}

static void a_name_is_proved(void **state)
{
	serve("good", "ca", false);
	client_open("", "ca");
	works(NAME);
	works("SIP.Example.COM");
	works(NULL); // 127.0.0.1: it is in the certificate too, on a connection of its own
	assert_int_equal(rig_counts().accepted, 2);
	assert_int_equal(rig_counts().connections[SIP_TLS], 2);
	tear_down(NULL);
	serve("uri", "ca", false);
	client_open("", "ca");
	works(NAME);
}

static void wrong_certificates_are_told_apart(void **state)
{
	refused("foreign", NAME, "TLS: the peer's certificate /CN=foreign is signed by no CA in /tmp/kedge-tls-");
	refused("alone", NAME, "/CN=alone is signed by no CA in");
	refused("expired", NAME, "/CN=expired expired on 20");
	refused("early", NAME, "/CN=early is not valid before 20");
	refused("wrong", NAME,
		"the peer's certificate is not for " NAME ", but for other.example.com, third.example.com");
	refused("uri", "other.example.com", "is not for other.example.com, but for " NAME);
	refused("user", NAME, "but for no DNS name or SIP URI");
	refused("wild", NAME, "but for *.example.com");
	refused("nameless", "nameless", "but for no DNS name or SIP URI"); // CN is no name
	refused("wrong", NULL, "the peer's certificate does not name the address 127.0.0.1");
	serve("good", "ca", false); // so that there is something to tear down
}

static void clients_prove_themselves_where_they_must(void **state)
{
	serve("good", "ca", true);
	client_open("client", "ca");
	works(NAME);
	// RFC 5923: by its name the connection that it opened is used
	struct sip_flow back = rig_flow(SIP_TLS, &t.message[0].flow.remote, "client.example.com");
	assert_int_equal(rig_send(&back, OPTIONS("0")), 0);
	assert_int_equal(back.connection, t.message[0].flow.connection);
	back = rig_flow(SIP_TLS, &t.message[0].flow.remote, "elsewhere.example.com");
	assert_int_equal(rig_send(&back, OPTIONS("0")), 0);
	assert_int_not_equal(back.connection, t.message[0].flow.connection);
	tear_down(NULL);
	serve("good", "ca", true);
	client_open("", "ca");
	fails(NAME, "the peer refused us");
	assert_non_null(strstr(t.end[0].text, "TLS: peer did not return a certificate"));
	tear_down(NULL);
	serve("good", "ca", true);
	client_open("foreign", "ca");
	fails(NAME, "the peer refused us");
	assert_non_null(strstr(t.end[0].text, "/CN=foreign is signed by no CA in"));
}

static void a_renewed_certificate_drops_nobody(void **state)
{
	struct sip_tls_files renewed, wrong;
	char err[256] = "";

	serve("good", "", false);
	client_open("", "ca");
	works(NAME);
	renewed = files("foreign", "", false);
	assert_int_equal(sip_wires_reload(t.wire, &renewed, err), 0);
	works(NAME); // the connection stands
	assert_int_equal(rig_counts().accepted, 1);
	assert_int_equal(t.broken + c.broken, 0);
	t.messages = 0;
	client_open("", "ca");
	assert_int_equal(client_send(NAME), 0); // a new one sees the new certificate
	UNTIL(c.broken);
	assert_non_null(strstr(c.why, "/CN=foreign is signed by no CA"));
	client_open("", "other-ca");
	works(NAME);
	wrong = (struct sip_tls_files){path("good.pem"), path("foreign.key"), "", false};
	assert_int_equal(sip_wires_reload(t.wire, &wrong, err), -EINVAL);
	client_open("", "other-ca"); // nothing has changed
	works(NAME);
}

static void wrong_files_are_named(void **state)
{
	static const struct {
		const char *certificate, *key, *ca, *file, *what;
	} cases[] = {
		{"none.pem", "good.key", "ca", "none.pem", "cannot be read: No such file or directory"},
		{"good.pem", "none.key", "ca", "none.key", "cannot be read: No such file or directory"},
		{"good.pem", "good.key", "none", "none", "cannot be read: No such file or directory"},
		{"empty", "good.key", "ca", "empty", "holds no certificate in PEM"},
		{"good.pem", "good.pem", "ca", "good.pem", "holds no private key in PEM"},
		{"good.pem", "uri.key", "ca", "uri.key", "is not the certificate's key"},
		{"good.pem", "good.key", "empty", "empty", "holds no CA certificate in PEM"},
	};
	char err[256], wanted[120];

	serve("good", "ca", false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_tls_files wrong = {path(cases[i].certificate), path(cases[i].key), path(cases[i].ca), true};

		assert_int_equal(sip_wires_reload(t.wire, &wrong, err), -EINVAL);
		snprintf(wanted, sizeof(wanted), "%s/%s %s", place, cases[i].file, cases[i].what);
		if (strncmp(err, wanted, strlen(wanted)) != 0)
			fail_msg("\"%s\" is not \"%s\"", err, wanted);
	}
	struct sip_tls_files half = {path("good.pem"), "", "", false};
	assert_int_equal(sip_wires_reload(t.wire, &half, err), -EINVAL);
}

static void a_handshake_has_an_end(void **state)
{
	static const struct sip_wires_limits quick = {.handshake_ms = 30};
	struct sip_tls_files own = files("good", "ca", false);
	int fd;

	assert_int_equal(rig_open(1u << SIP_TLS, &own, &quick), 0);
	fd = peer_connect(SIP_TLS, 1);
	UNTIL(t.broken == 1);
	assert_int_equal(t.end[0].error, -ETIMEDOUT);
	assert_string_equal(t.end[0].text, "TLS: no end of the handshake in 30 ms");
	assert_int_equal(rig_counts().handshake_failed, 1);
	close(fd);
	fd = peer_connect(SIP_TLS, 1); // speaks something else
	peer_send(fd, OPTIONS("0"));
	UNTIL(t.broken == 2);
	assert_int_equal(t.end[1].error, -EPROTO);
	close(fd);
	fd = peer_connect(SIP_TLS, 1);
	close(fd);
	UNTIL(t.broken == 3);
	assert_int_equal(t.end[2].error, -EPROTO);
	assert_non_null(strstr(t.end[2].text, "closed the connection during the handshake"));
	assert_int_equal(t.messages, 0);
}

static void nobody_listens_for_tls(void **state)
{
	serve("good", "ca", false);
	client_open("", "ca");
	t.at[SIP_TLS] = rig_free_port("127.0.0.1");
	assert_int_equal(client_send(NAME), 0);
	UNTIL(c.broken);
	assert_int_equal(c.error, -ECONNREFUSED);
}

// More than a TLS record, both ways, many times: nothing is lost where writes are partial.
static void much_goes_through(void **state)
{
	static char text[60000];
	int head = snprintf(text, sizeof(text), OPTIONS("59000"));

	serve("good", "ca", false);
	client_open("", "ca");
	memset(text + head, 'x', 59000);
	works(NAME);
	for (int i = 0; i < 10; i++)
		assert_int_equal(c.wire->send(c.wire, &c.flow, text, (size_t)head + 59000), 0);
	UNTIL(t.messages == 11);
	for (int i = 1; i < 11; i++)
		assert_int_equal(t.message[i].length, head + 59000);
	UNTIL(c.messages == 11);
}

// --- a browser ----------------------------------------------------------------------------------------------------

static void browser_read(SSL *ssl, const char *wanted, size_t length)
{
	char got[512];
	int count = 0, error;

	for (size_t at = 0; at < length; at += (size_t)count) {
		UNTIL((count = SSL_read(ssl, got + at, (int)(length - at))) > 0 ||
			((error = SSL_get_error(ssl, count)) != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE));
		assert_true(count > 0);
	}
	assert_memory_equal(got, wanted, length);
}

static void websockets_go_over_tls(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Protocol: sip\r\n\r\n";
	static const char answered[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
	struct sip_tls_files own = files("good", "ca", false);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int fd;

	assert_int_equal(rig_open(1u << SIP_WSS, &own, NULL), 0);
	t.on_message = answer;
	fd = peer_connect(SIP_WSS, 1);
	SSL_set_fd(ssl, fd);
	UNTIL(SSL_connect(ssl) == 1);
	assert_int_equal(SSL_write(ssl, request, sizeof(request) - 1), sizeof(request) - 1);
	browser_read(ssl, answered, sizeof(answered) - 1);
	assert_int_equal(SSL_write(ssl, "\x81\x84\0\0\0\0data", 10), 10);
	UNTIL(t.messages == 1);
	assert_int_equal(t.message[0].flow.transport, SIP_WSS);
	assert_string_equal(t.message[0].text, "data");
	browser_read(ssl, "\x81\x18SIP/2.0 200 OK\r\nl: 0\r\n\r\n", 26);
	assert_int_equal(SSL_write(ssl, "\x81\x04", 2), 2); // not masked: a close of 1002, and TLS's own
	browser_read(ssl, "\x88\x02\x03\xea", 4);
	UNTIL(SSL_read(ssl, &(char){0}, 1) == 0 || SSL_get_shutdown(ssl));
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	UNTIL(t.broken == 1);
	assert_string_equal(t.word, "ws_unmasked");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_proved),
		TEST(wrong_certificates_are_told_apart),
		TEST(clients_prove_themselves_where_they_must),
		TEST(a_renewed_certificate_drops_nobody),
		TEST(wrong_files_are_named),
		TEST(a_handshake_has_an_end),
		TEST(nobody_listens_for_tls),
		TEST(much_goes_through),
		TEST(websockets_go_over_tls),
	};

	return cmocka_run_group_tests(tests, certificates_make, certificates_remove);
}
