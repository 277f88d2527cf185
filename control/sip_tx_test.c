// SPDX-License-Identifier: BSD-3-Clause
// Each timer of RFC 3261 and RFC 6026 at its due time, by an injected clock and a captured wire.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_tx.h"

#define SENT_MAX 64

static struct {
	struct wheel *wheel;
	struct sip_txs *txs;
	struct sip_flow flow;
	struct {
		uint64_t ms;
		char *data;
	} sent[SENT_MAX];
	unsigned sent_count;
	int send_error;
	// what was reported
	unsigned responses, gone, acks, requests, strays;
	int last_status, error;
	uint64_t error_ms, gone_ms;
	bool end_in_response;
	struct sip_tx *server;
} t;

static int on_send(void *arg, struct sip_flow *flow, const char *data, size_t length)
{
	assert_true(t.sent_count < SENT_MAX);
	t.sent[t.sent_count].ms = wheel_now_ms(t.wheel);
	t.sent[t.sent_count++].data = strndup(data, length);
	return t.send_error;
}

static void on_response(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
	t.responses++;
	t.last_status = sip_msg_status(msg);
	if (t.end_in_response)
		sip_tx_end(tx);
}

static void on_failed(void *user, struct sip_tx *tx, int error)
{
	t.error = error;
	t.error_ms = wheel_now_ms(t.wheel);
}

static void on_gone(void *user, struct sip_tx *tx)
{
	t.gone++;
	t.gone_ms = wheel_now_ms(t.wheel);
}

static const struct sip_tx_ops ops = {on_response, on_failed, on_gone};

static void on_request(void *arg, struct sip_msg *msg)
{
	t.requests++;
	t.server = sip_tx_serve(t.txs, msg, &ops, NULL);
}

static void on_ack(void *arg, const struct sip_msg *msg)
{
	t.acks++;
}

static void on_stray(void *arg, const struct sip_msg *msg)
{
	t.strays++;
}

static int set_up(void **state)
{
	struct sip_txs_options options = {.send = on_send, .request = on_request, .ack = on_ack, .stray = on_stray};

	memset(&t, 0, sizeof(t));
	sip_msg_init();
	t.wheel = options.wheel = wheel_create(0);
	assert_non_null(t.wheel);
	kg_addr_parse(&t.flow.local, "192.0.2.1", 5060);
	kg_addr_parse(&t.flow.remote, "192.0.2.2", 5070);
	return sip_txs_create(&options, &t.txs);
}

static int tear_down(void **state)
{
	sip_txs_destroy(t.txs);
	wheel_destroy(t.wheel);
	for (unsigned i = 0; i < t.sent_count; i++)
		free(t.sent[i].data);
	return 0;
}

static void receive(const char *text)
{
	struct sip_msg *msg;
	const char *why = "";

	if (sip_msg_parse(text, strlen(text), &msg, &why) != 0)
		fail_msg("%s in: %s", why, text);
	sip_msg_set_flow(msg, &t.flow);
	sip_txs_receive(t.txs, msg);
	sip_msg_unref(msg);
}

static void receive_request(const char *method, const char *branch, const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"%s sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP Peer.example:5070%s%s;rport\r\n"
		"From: <sip:b@192.0.2.2>;tag=b\r\nTo: <sip:a@192.0.2.1>%s\r\nCall-ID: c\r\nCSeq: 1 %s\r\n\r\n",
		method, *branch ? ";branch=" : "", branch, more, method);
	receive(text);
}

// A response to what we sent first, made of its own Via.
static void receive_response(int status, const char *method)
{
	struct sip_msg *request, *response;
	const char *why;
	char *bytes;
	size_t length;

	assert_int_equal(sip_msg_parse(t.sent[0].data, strlen(t.sent[0].data), &request, &why), 0);
	response = sip_msg_response(request, status, NULL, status > 100 ? "peer" : NULL);
	assert_non_null(response);
	bytes = sip_msg_build(response, &length);
	assert_non_null(bytes);
	receive(bytes);
	free(bytes);
	sip_msg_unref(response);
	sip_msg_unref(request);
}

static struct sip_tx *client(const char *method)
{
	struct sip_msg *msg = sip_msg_request(method, "sip:b@192.0.2.2:5070");
	struct sip_tx *tx;

	assert_non_null(msg);
	sip_msg_add(msg, "From", "<sip:a@192.0.2.1>;tag=a");
	sip_msg_add(msg, "To", "<sip:b@192.0.2.2>");
	sip_msg_add(msg, "Call-ID", "c1");
	sip_msg_addf(msg, "CSeq", "7 %s", method);
	sip_msg_add(msg, "Route", "<sip:192.0.2.2:5070;lr>");
	tx = sip_tx_send(t.txs, msg, &t.flow, &ops, NULL);
	sip_msg_unref(msg);
	assert_non_null(tx);
	return tx;
}

static void respond(int status)
{
	struct sip_msg *msg = t.server ? sip_msg_response(sip_tx_request(t.server), status, NULL, "us") : NULL;

	assert_non_null(msg);
	assert_int_equal(sip_tx_respond(t.server, msg), 0);
	sip_msg_unref(msg);
}

static void expect_times(unsigned from, const uint64_t *times, unsigned count)
{
	assert_int_equal(t.sent_count - from, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(t.sent[from + i].ms, times[i]);
}

#define TIMES(from, ...)                                                      \
	do {                                                                  \
		static const uint64_t times_[] = {__VA_ARGS__};               \
		expect_times(from, times_, sizeof(times_) / sizeof(*times_)); \
	} while (0)

static void expect_none_live(void)
{
	for (unsigned i = 0; i < SIP_TX_KINDS; i++)
		assert_int_equal(sip_txs_counts(t.txs)->live[i], 0);
}

static bool sent_is(unsigned index, const char *start)
{
	return index < t.sent_count && strncmp(t.sent[index].data, start, strlen(start)) == 0;
}

// --- INVITE client ------------------------------------------------------------------------------------------------

static void timers_a_and_b(void **state)
{
	client("INVITE");
	wheel_advance(t.wheel, 31999);
	assert_int_equal(t.error, 0);
	wheel_advance(t.wheel, 100000);
	TIMES(0, 0, 500, 1500, 3500, 7500, 15500, 31500);
	assert_int_equal(t.error, -ETIMEDOUT);
	assert_int_equal(t.error_ms, 32000);
	assert_int_equal(t.gone, 1);
	assert_int_equal(sip_txs_counts(t.txs)->retransmits_out, 6);
	assert_int_equal(sip_txs_counts(t.txs)->timeouts, 1);
	expect_none_live();
}

static void a_provisional_stops_a_and_b(void **state)
{
	client("INVITE");
	wheel_advance(t.wheel, 600);
	receive_response(180, "INVITE");
	wheel_advance(t.wheel, 600000);
	TIMES(0, 0, 500);
	assert_int_equal(t.responses, 1);
	assert_int_equal(sip_txs_counts(t.txs)->live[SIP_ICT], 1);
}

static void timer_d_and_ack_of_a_failure(void **state)
{
	struct sip_msg *invite, *ack;
	const char *why;

	client("INVITE");
	wheel_advance(t.wheel, 100);
	receive_response(486, "INVITE");
	assert_true(sent_is(1, "ACK sip:b@192.0.2.2:5070 SIP/2.0\r\n"));
	assert_int_equal(sip_msg_parse(t.sent[0].data, strlen(t.sent[0].data), &invite, &why), 0);
	assert_int_equal(sip_msg_parse(t.sent[1].data, strlen(t.sent[1].data), &ack, &why), 0);
	assert_string_equal(sip_msg_branch(ack), sip_msg_branch(invite));
	assert_string_equal(sip_msg_to_tag(ack), "peer");
	assert_string_equal(sip_msg_header(ack, "Route", 0), "<sip:192.0.2.2:5070;lr>");
	assert_string_equal(sip_msg_header(ack, "CSeq", 0), "7 ACK");
	assert_string_equal(sip_msg_from(ack), sip_msg_from(invite));
	sip_msg_unref(invite);
	sip_msg_unref(ack);
	wheel_advance(t.wheel, 32000);
	receive_response(486, "INVITE"); // its ACK was lost
	assert_true(sent_is(2, "ACK "));
	assert_int_equal(t.responses, 1);
	wheel_advance(t.wheel, 32099);
	assert_int_equal(t.gone, 0);
	wheel_advance(t.wheel, 32100);
	assert_int_equal(t.gone, 1);
	TIMES(0, 0, 100, 32000);
	receive_response(486, "INVITE");
	assert_int_equal(t.strays, 1);
	expect_none_live();
}

static void timer_m_passes_each_2xx_up(void **state)
{
	client("INVITE");
	receive_response(180, "INVITE");
	wheel_advance(t.wheel, 2000);
	receive_response(200, "INVITE");
	receive_response(200, "INVITE");
	receive_response(486, "INVITE"); // not after a 2xx
	receive_response(180, "INVITE");
	wheel_advance(t.wheel, 33999);
	receive_response(200, "INVITE");
	assert_int_equal(t.responses, 4);
	assert_int_equal(t.gone, 0);
	wheel_advance(t.wheel, 34000);
	assert_int_equal(t.gone, 1);
	TIMES(0, 0); // the ACK is the user's
	receive_response(200, "INVITE");
	assert_int_equal(t.strays, 1);
	expect_none_live();
}

// --- other clients ------------------------------------------------------------------------------------------------

static void timers_e_and_f(void **state)
{
	client("OPTIONS");
	wheel_advance(t.wheel, 100000);
	TIMES(0, 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
	assert_int_equal(t.error, -ETIMEDOUT);
	assert_int_equal(t.error_ms, 32000);
	expect_none_live();
}

static void in_proceeding_e_is_t2_and_f_runs_on(void **state)
{
	client("BYE");
	wheel_advance(t.wheel, 100);
	receive_response(100, "BYE");
	wheel_advance(t.wheel, 100000);
	TIMES(0, 0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500);
	assert_int_equal(t.error, -ETIMEDOUT);
	assert_int_equal(t.error_ms, 32000);
	expect_none_live();
}

static void timer_k(void **state)
{
	client("BYE");
	wheel_advance(t.wheel, 300);
	receive_response(200, "BYE");
	receive_response(200, "BYE");
	wheel_advance(t.wheel, 5299);
	assert_int_equal(t.gone, 0);
	wheel_advance(t.wheel, 5300);
	assert_int_equal(t.gone, 1);
	assert_int_equal(t.responses, 1);
	TIMES(0, 0);
	expect_none_live();
}

// --- servers ------------------------------------------------------------------------------------------------------

static void timers_g_and_h(void **state)
{
	receive_request("INVITE", "z9hG4bKa", "");
	wheel_advance(t.wheel, 10000);
	respond(486);
	wheel_advance(t.wheel, 100000);
	TIMES(0, 10000, 10500, 11500, 13500, 17500, 21500, 25500, 29500, 33500, 37500, 41500);
	assert_int_equal(t.gone, 1);
	assert_int_equal(t.gone_ms, 42000);
	assert_int_equal(sip_txs_counts(t.txs)->timeouts, 1);
	expect_none_live();
}

static void timer_i_after_the_ack(void **state)
{
	receive_request("INVITE", "z9hG4bKa", "");
	respond(100);
	receive_request("INVITE", "z9hG4bKa", ""); // again: the last provisional
	assert_int_equal(t.sent_count, 2);
	respond(404);
	wheel_advance(t.wheel, 600);
	receive_request("ACK", "z9hG4bKa", ";tag=us");
	receive_request("ACK", "z9hG4bKa", ";tag=us");
	receive_request("INVITE", "z9hG4bKa", ""); // Confirmed: nothing to say
	wheel_advance(t.wheel, 5599);
	assert_int_equal(t.gone, 0);
	wheel_advance(t.wheel, 5600);
	assert_int_equal(t.gone, 1);
	TIMES(0, 0, 0, 0, 500);
	assert_int_equal(t.requests, 1);
	assert_int_equal(t.acks, 0);
	expect_none_live();
}

static void timer_l_absorbs_invites_and_passes_acks(void **state)
{
	receive_request("INVITE", "z9hG4bKa", "");
	respond(200);
	wheel_advance(t.wheel, 31999);
	receive_request("INVITE", "z9hG4bKa", "");
	receive_request("ACK", "z9hG4bKa", ";tag=us");
	assert_int_equal(t.requests, 1);
	assert_int_equal(t.acks, 1);
	assert_int_equal(t.gone, 0);
	sip_tx_resend(t.server);
	wheel_advance(t.wheel, 32000);
	assert_int_equal(t.gone, 1);
	TIMES(0, 0, 31999);
	receive_request("ACK", "z9hG4bKother", ";tag=us");
	assert_int_equal(t.acks, 2);
	expect_none_live();
}

static void timer_j(void **state)
{
	struct sip_msg *late;

	receive_request("OPTIONS", "z9hG4bKa", "");
	receive_request("OPTIONS", "z9hG4bKa", ""); // Trying: absorbed
	assert_int_equal(t.sent_count, 0);
	assert_non_null(t.server);
	late = sip_msg_response(sip_tx_request(t.server), 500, NULL, "us");
	assert_non_null(late);
	respond(200);
	assert_int_equal(sip_tx_respond(t.server, late), -EALREADY);
	sip_msg_unref(late);
	assert_null(sip_tx_request(t.server));
	receive_request("OPTIONS", "z9hG4bKa", "");
	wheel_advance(t.wheel, 31999);
	receive_request("OPTIONS", "z9hG4bKa", "");
	assert_int_equal(t.gone, 0);
	wheel_advance(t.wheel, 32000);
	assert_int_equal(t.gone, 1);
	TIMES(0, 0, 0, 31999);
	assert_int_equal(t.requests, 1);
	assert_int_equal(sip_txs_counts(t.txs)->retransmits_in, 3);
	expect_none_live();
}

// --- matching -----------------------------------------------------------------------------------------------------

static void method_sent_by_and_branch_all_count(void **state)
{
	receive_request("OPTIONS", "z9hG4bKa", "");
	receive_request("INFO", "z9hG4bKa", "");
	receive_request("OPTIONS", "z9hG4bKb", "");
	receive("OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP peer.EXAMPLE:5071;branch=z9hG4bKa\r\n"
		"From: <sip:b@192.0.2.2>;tag=b\r\nTo: <sip:a@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n");
	assert_int_equal(t.requests, 4);
	receive("OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP peer.EXAMPLE:5070;branch=z9hG4bKa\r\n"
		"From: <sip:b@192.0.2.2>;tag=b\r\nTo: <sip:a@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n");
	assert_int_equal(t.requests, 4);
}

static void old_peers_without_a_branch(void **state)
{
	static const char *const branches[] = {"", "1", "z9hG4bK"};

	for (unsigned i = 0; i < 3; i++) {
		struct sip_tx *invite;

		receive_request("INVITE", branches[i], "");
		invite = t.server;
		receive_request("INVITE", branches[i], "");
		receive_request("CANCEL", branches[i], "");
		assert_non_null(t.server);
		assert_ptr_not_equal(invite, t.server); // CANCEL has one of its own
		assert_ptr_equal(sip_txs_find_invite(t.txs, sip_tx_request(t.server)), invite);
		t.server = invite;
		respond(487);
		receive_request("ACK", branches[i], ";tag=us");
		assert_int_equal(t.acks, 0);
		wheel_advance(t.wheel, wheel_now_ms(t.wheel) + 400);
	}
	assert_int_equal(t.sent_count, 3);
}

static void a_lower_case_method_is_another_method(void **state)
{
	receive_request("invite", "z9hG4bKa", "");
	receive_request("CANCEL", "z9hG4bKa", "");
	assert_non_null(t.server);
	assert_null(sip_txs_find_invite(t.txs, sip_tx_request(t.server)));
	receive_request("ACK", "z9hG4bKa", "");
	assert_int_equal(t.acks, 1);
}

static void a_foreign_sent_by_is_not_for_us(void **state)
{
	char text[1024], *via;

	client("OPTIONS");
	via = strstr(t.sent[0].data, "Via: SIP/2.0/UDP 192.0.2.1:5060;");
	assert_non_null(via);
	snprintf(text, sizeof(text),
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;%.*s\r\nFrom: <sip:a@192.0.2.1>;tag=a\r\n"
		"To: <sip:b@192.0.2.2>;tag=x\r\nCall-ID: c1\r\nCSeq: 7 OPTIONS\r\n\r\n",
		(int)strcspn(via + 32, "\r"), via + 32);
	receive(text);
	assert_int_equal(t.strays, 1);
	assert_int_equal(t.responses, 0);
}

static void cancel_shares_the_branch(void **state)
{
	static const char *const reason[] = {"Reason", "Q.850;cause=16", NULL};
	struct sip_tx *invite = client("INVITE");

	assert_null(sip_tx_cancel(invite, NULL, &ops, NULL));
	assert_int_equal(errno, EINVAL);
	receive_response(100, "INVITE");
	assert_non_null(sip_tx_cancel(invite, reason, &ops, NULL));
	assert_true(sent_is(1, "CANCEL sip:b@192.0.2.2:5070 SIP/2.0\r\n"));
	assert_non_null(strstr(t.sent[1].data, "CSeq: 7 CANCEL\r\n"));
	assert_non_null(strstr(t.sent[1].data, "Reason: Q.850;cause=16\r\n"));
	assert_string_equal(strndupa(strstr(t.sent[0].data, "Via:"), 60), strndupa(strstr(t.sent[1].data, "Via:"), 60));
	wheel_advance(t.wheel, 40000);
	assert_int_equal(t.error, -ETIMEDOUT); // of the CANCEL; the INVITE waits on
	assert_int_equal(t.gone, 1);
	assert_int_equal(sip_txs_counts(t.txs)->live[SIP_ICT], 1);
	receive_response(487, "INVITE");
	wheel_advance(t.wheel, 80000);
	expect_none_live();
}

// --- the transport says no ----------------------------------------------------------------------------------------

static void a_refused_send_is_told_by_the_wheel(void **state)
{
	t.send_error = -ENETUNREACH;
	client("INVITE");
	assert_int_equal(t.error, 0);
	wheel_advance(t.wheel, 1);
	assert_int_equal(t.error, -ENETUNREACH);
	assert_int_equal(t.gone, 1);
	expect_none_live();
}

static void icmp_ends_what_it_names(void **state)
{
	char head[200];

	client("OPTIONS");
	snprintf(head, sizeof(head), "%s", t.sent[0].data); // the kernel brings back the first bytes
	client("INVITE");
	sip_txs_refused(t.txs, "garbage", 7, -ECONNREFUSED);
	sip_txs_refused(t.txs, head, strlen(head), -ECONNREFUSED);
	assert_int_equal(t.error, 0);
	wheel_advance(t.wheel, 1);
	assert_int_equal(t.error, -ECONNREFUSED);
	assert_int_equal(sip_txs_counts(t.txs)->live[SIP_NICT], 0);
	assert_int_equal(sip_txs_counts(t.txs)->live[SIP_ICT], 1);
}

static void an_answer_beats_icmp(void **state)
{
	client("BYE");
	sip_txs_refused(t.txs, t.sent[0].data, strlen(t.sent[0].data), -ECONNREFUSED);
	receive_response(100, "BYE");
	wheel_advance(t.wheel, 1000);
	assert_int_equal(t.error, 0);
	receive_response(200, "BYE");
	wheel_advance(t.wheel, 10000);
	assert_int_equal(t.error, 0);
	assert_int_equal(t.responses, 2);
	expect_none_live();
}

static void icmp_after_the_answer_says_nothing(void **state)
{
	client("INVITE");
	receive_response(180, "INVITE");
	sip_txs_refused(t.txs, t.sent[0].data, strlen(t.sent[0].data), -ECONNREFUSED);
	wheel_advance(t.wheel, 1000);
	assert_int_equal(t.error, 0);
	assert_int_equal(sip_txs_counts(t.txs)->live[SIP_ICT], 1);
}

static void its_user_may_end_it_at_any_word(void **state)
{
	t.end_in_response = true;
	client("INVITE");
	receive_response(200, "INVITE");
	assert_int_equal(t.gone, 0);
	expect_none_live();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(timers_a_and_b),
		TEST(a_provisional_stops_a_and_b),
		TEST(timer_d_and_ack_of_a_failure),
		TEST(timer_m_passes_each_2xx_up),
		TEST(timers_e_and_f),
		TEST(in_proceeding_e_is_t2_and_f_runs_on),
		TEST(timer_k),
		TEST(timers_g_and_h),
		TEST(timer_i_after_the_ack),
		TEST(timer_l_absorbs_invites_and_passes_acks),
		TEST(timer_j),
		TEST(method_sent_by_and_branch_all_count),
		TEST(old_peers_without_a_branch),
		TEST(a_lower_case_method_is_another_method),
		TEST(a_foreign_sent_by_is_not_for_us),
		TEST(cancel_shares_the_branch),
		TEST(a_refused_send_is_told_by_the_wheel),
		TEST(icmp_ends_what_it_names),
		TEST(an_answer_beats_icmp),
		TEST(icmp_after_the_answer_says_nothing),
		TEST(its_user_may_end_it_at_any_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
