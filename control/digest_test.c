// SPDX-License-Identifier: BSD-3-Clause
// Digest: the RFCs' own examples, each verdict of the side that asks, replays, and what guessing costs.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "digest.h"

#define NOW 1000000

static struct digest_server *server;

static int set_up(void **state)
{
	static const uint8_t secret[32] = {1, 2, 3};

	server = digest_server_create("kedge", secret);
	return server ? 0 : -1;
}

static int tear_down(void **state)
{
	digest_server_destroy(server);
	return 0;
}

static const char *password_of(void *arg, const char *user)
{
	return strcmp(user, "alice") == 0 ? "secret" : NULL;
}

// --- reading ------------------------------------------------------------------------------------------------------

static void parameters_are_read(void **state)
{
	struct digest_fields f;

	assert_int_equal(
		digest_parse("digest  realm=\"a \\\"b\\\", c\" , nonce = n1,qop=\"auth,auth-int\", x=\"y\"", &f), 0);
	assert_string_equal(f.realm, "a \"b\", c");
	assert_string_equal(f.nonce, "n1");
	assert_string_equal(f.qop, "auth,auth-int");
	assert_string_equal(f.opaque, "");
}

static void broken_ones_are_refused(void **state)
{
	static const char *const rows[] = {"", "Digest", "Basic QQ==", "Digest realm", "Digest =x",
		"Digest realm=\"open", "Digest realm=a realm=b", "Digest realm=a, realm=b",
		"Digest nc=0000000000000000000000000000001", "Digestrealm=a", "Digest realm=\"a\"x"};
	struct digest_fields f;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (digest_parse(rows[i], &f) != -EINVAL)
			fail_msg("taken: %s", rows[i]);
}

// --- we are challenged --------------------------------------------------------------------------------------------

static void the_rfcs_examples_come_out(void **state)
{
#define RFC7616                                                            \
	"Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", " \
	"nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "         \
	"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
	static const struct {
		const char *challenge, *password, *cnonce, *response, *also;
	} rows[] = {
		{RFC7616 ", algorithm=MD5", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			"8ca523f5e9506fed4657c9700eebdbec", "algorithm=MD5"},
		{RFC7616 ", algorithm=SHA-256", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", "nc=00000001"},
		{"Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", "
		 "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
		 "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
			"Circle Of Life", "0a4f113b", "6629fae49393a05397450978507c4ef1",
			"opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""},
		// RFC 2069, as its errata have it
		{"Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"", "CircleOfLife",
			"x", "1949323746fe6a43ef61f9606e7febea", "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct digest_ask ask = {
			"Mufasa", rows[i].password, "GET", "/dir/index.html", NULL, 0, 1, rows[i].cnonce};
		char *text = digest_answer(rows[i].challenge, &ask);
		struct digest_fields f;

		assert_non_null(text);
		assert_int_equal(digest_parse(text, &f), 0);
		assert_string_equal(f.response, rows[i].response);
		assert_non_null(strstr(text, rows[i].also));
		free(text);
	}
}

static void the_strongest_is_answered(void **state)
{
	static const char *const list[] = {"Basic realm=x", "Digest realm=x, nonce=n, algorithm=MD5",
		"Digest realm=x, nonce=n, algorithm=SHA-999", "Digest realm=x, nonce=n, algorithm=SHA-256",
		"Digest realm=y, nonce=n, algorithm=SHA-256",
		"Digest realm=x, nonce=n, qop=strange, algorithm=SHA-512-256"};
	const struct digest_ask ask = {"u", "p", "INVITE", "sip:a@b", "v=0", 3, 1, "c"};
	char *text;

	assert_int_equal(digest_choose(list, 6), 3);
	assert_int_equal(digest_choose(list, 2), 1);
	assert_int_equal(digest_choose(list, 1), -1);
	assert_null(digest_answer(list[5], &ask));
	text = digest_answer("Digest realm=x, nonce=n, qop=\"auth-int\", algorithm=SHA-256-sess", &ask);
	assert_non_null(strstr(text, "qop=auth-int"));
	free(text);
}

// --- we challenge -------------------------------------------------------------------------------------------------

// What a peer with that password makes of our challenge.
static char *credentials(const char *challenge, const char *user, const char *password, uint32_t nc)
{
	const struct digest_ask ask = {user, password, "INVITE", "sip:bob@192.0.2.1", NULL, 0, nc, "noise"};
	char *text = digest_answer(challenge, &ask);

	assert_non_null(text);
	return text;
}

static enum digest_verdict check(uint64_t now_ms, const char *text, const char *uri)
{
	char user[DIGEST_FIELD];

	return digest_server_check(server, now_ms, text, "INVITE", uri, password_of, NULL, user);
}

static enum digest_verdict tries(
	const char *challenge, const char *user, const char *password, uint32_t nc, uint64_t now_ms)
{
	char *text = credentials(challenge, user, password, nc);
	enum digest_verdict verdict = check(now_ms, text, "sip:bob@192.0.2.1");

	free(text);
	return verdict;
}

static void each_verdict(void **state)
{
	char sha256[DIGEST_CHALLENGE], md5[DIGEST_CHALLENGE], *text, *cut;

	digest_server_challenge(server, NOW, false, sha256, md5);
	assert_non_null(strstr(sha256, "algorithm=SHA-256, qop=\"auth\""));
	assert_null(strstr(sha256, "stale"));
	assert_int_equal(tries(sha256, "alice", "secret", 1, NOW), DIGEST_GOOD);
	assert_int_equal(tries(md5, "alice", "secret", 2, NOW), DIGEST_GOOD); // the same nonce
	assert_int_equal(tries(md5, "alice", "secret", 2, NOW), DIGEST_REPLAYED);
	assert_int_equal(tries(md5, "alice", "guess", 3, NOW), DIGEST_WRONG);
	assert_int_equal(tries(md5, "mallory", "secret", 3, NOW), DIGEST_UNKNOWN_USER);
	assert_int_equal(tries(md5, "alice", "secret", 3, NOW + 300000), DIGEST_STALE);
	assert_int_equal(tries(md5, "alice", "secret", 3, NOW - 1), DIGEST_STALE); // made later than now: not by us
	assert_int_equal(tries("Digest realm=\"kedge\", nonce=\"invented\", qop=\"auth\"", "alice", "secret", 1, NOW),
		DIGEST_STALE);
	assert_int_equal(
		tries("Digest realm=\"other\", nonce=\"n\", qop=\"auth\"", "alice", "secret", 1, NOW), DIGEST_NONE);
	assert_int_equal(tries("Digest realm=\"kedge\", nonce=\"n\"", "alice", "secret", 1, NOW), DIGEST_MALFORMED);
	assert_int_equal(tries("Digest realm=\"kedge\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess", "alice",
				 "secret", 1, NOW),
		DIGEST_MALFORMED);
	assert_int_equal(check(NOW, NULL, "sip:x"), DIGEST_NONE);
	assert_int_equal(check(NOW, "Digest nonsense", "sip:x"), DIGEST_MALFORMED);
	text = credentials(sha256, "alice", "secret", 9);
	assert_int_equal(check(NOW, text, "sip:carol@192.0.2.1"), DIGEST_MALFORMED);       // meant for another call
	assert_int_equal(check(NOW, text, "sip:bob@192.0.2.1;transport=ws"), DIGEST_GOOD); // a proxy added that
	cut = strstr(text, "response=\"");
	cut[10] = cut[10] == 'a' ? 'b' : 'a';
	assert_int_equal(check(NOW, text, "sip:bob@192.0.2.1"), DIGEST_WRONG);
	free(text);
	digest_server_challenge(server, NOW, true, sha256, md5);
	assert_non_null(strstr(md5, "stale=true"));
}

static void counts_may_overtake_but_not_return(void **state)
{
	static const struct {
		uint32_t nc;
		enum digest_verdict verdict;
	} rows[] = {{1, DIGEST_GOOD}, {3, DIGEST_GOOD}, {2, DIGEST_GOOD}, {2, DIGEST_REPLAYED}, {3, DIGEST_REPLAYED},
		{70, DIGEST_GOOD}, {7, DIGEST_GOOD}, {6, DIGEST_REPLAYED}, {7, DIGEST_REPLAYED}, {500, DIGEST_GOOD},
		{436, DIGEST_REPLAYED}, {437, DIGEST_GOOD}, {1, DIGEST_REPLAYED}};
	char sha256[DIGEST_CHALLENGE], md5[DIGEST_CHALLENGE];

	digest_server_challenge(server, NOW, false, sha256, md5);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(tries(md5, "alice", "secret", rows[i].nc, NOW), rows[i].verdict);
}

// More nonces in use than places: whose place is gone is asked again, and no used one comes back.
static void no_nonce_is_taken_twice_however_many_there_are(void **state)
{
	enum { NONCES = 12000 };
	char(*challenges)[DIGEST_CHALLENGE] = malloc(NONCES * sizeof(*challenges));
	char sha256[DIGEST_CHALLENGE];
	unsigned good = 0, again = 0;

	for (unsigned i = 0; i < NONCES; i++) {
		digest_server_challenge(server, NOW + i, false, sha256, challenges[i]);
		good += tries(challenges[i], "alice", "secret", 1, NOW + i) == DIGEST_GOOD;
	}
	for (unsigned i = 0; i < NONCES; i++)
		again += tries(challenges[i], "alice", "secret", 1, NOW + NONCES) == DIGEST_GOOD;
	assert_int_equal(again, 0);
	assert_in_range(good, NONCES - 2, NONCES);
	free(challenges);
}

// --- who guesses --------------------------------------------------------------------------------------------------

static void each_failure_doubles_the_pause(void **state)
{
	struct digest_guess *guess = digest_guess_create(42);
	uint64_t now = NOW, pause = 1000;
	struct kg_addr source;

	assert_non_null(guess);
	kg_addr_parse(&source, "192.0.2.9", 5060);
	for (unsigned i = 0; i < DIGEST_FREE; i++) {
		assert_true(digest_guess_admits(guess, &source, "alice", now));
		digest_guess_failed(guess, &source, "alice", now);
	}
	for (unsigned i = 0; i < 10; i++) {
		assert_false(digest_guess_admits(guess, &source, "alice", now + pause - 1));
		assert_false(digest_guess_admits(guess, &source, "bob", now + pause - 1)); // the source pays
		assert_true(digest_guess_admits(guess, &source, "alice", now + pause));
		now += pause;
		digest_guess_failed(guess, &source, "alice", now);
		pause = pause * 2 > DIGEST_PAUSE_MAX_MS ? DIGEST_PAUSE_MAX_MS : pause * 2;
	}
	assert_true(digest_guess_admits(guess, &source, "alice", now + DIGEST_FORGET_MS));
	digest_guess_succeeded(guess, &source, "alice", now);
	assert_true(digest_guess_admits(guess, &source, "alice", now));
	digest_guess_destroy(guess);
}

static void many_addresses_guess_one_name(void **state)
{
	struct digest_guess *guess = digest_guess_create(42);
	struct kg_addr source, home;

	assert_non_null(guess);

	kg_addr_parse(&home, "198.51.100.1", 0);
	digest_guess_succeeded(guess, &home, "alice", NOW);
	kg_addr_parse(&source, "2001:db8::1", 0);
	for (unsigned i = 0; i < 8; i++) {
		source.ip[3] = (uint8_t)i;
		digest_guess_failed(guess, &source, "alice", NOW);
	}
	source.ip[3] = 77;
	assert_false(digest_guess_admits(guess, &source, "alice", NOW));
	assert_true(digest_guess_admits(guess, &source, "bob", NOW));
	assert_true(digest_guess_admits(guess, &home, "alice", NOW)); // who proved itself is not kept out
	digest_guess_destroy(guess);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(parameters_are_read),
		TEST(broken_ones_are_refused),
		TEST(the_rfcs_examples_come_out),
		TEST(the_strongest_is_answered),
		TEST(each_verdict),
		TEST(counts_may_overtake_but_not_return),
		TEST(no_nonce_is_taken_twice_however_many_there_are),
		TEST(each_failure_doubles_the_pause),
		TEST(many_addresses_guess_one_name),
	};

	digest_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
