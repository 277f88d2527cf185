// SPDX-License-Identifier: BSD-3-Clause
// Codecs of two parties by tables: what the callee is offered, what the choice is, and what the caller is answered.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "codec.h"
#include "offer_codecs.h"
#include "sdp.h"

#define TEXT 2048

// "0 8 97:opus/48000/2 101:telephone-event/8000" as a description; then whole attribute lines behind "|".
static struct sdp *said(const char *formats)
{
	char text[TEXT], list[256] = "", lines[1024] = "", copy[512], *rest = NULL, err[OFFER_ERR];
	struct sdp *sdp;
	char *extra;

	snprintf(copy, sizeof(copy), "%s", formats);
	extra = strchr(copy, '|');
	if (extra)
		*extra++ = '\0';
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *name = strchr(word, ':');
		size_t at = strlen(lines);

		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %d", atoi(word));
		if (name)
			snprintf(lines + at, sizeof(lines) - at, "a=rtpmap:%d %s\r\n", atoi(word), name + 1);
	}
	snprintf(text, sizeof(text),
		"v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 "
		"RTP/AVP%s\r\n%s%s%s",
		list, lines, extra ? extra : "", extra ? "\r\n" : "");
	assert_int_equal(sdp_parse_text(text, strlen(text), &sdp, err), 0);
	return sdp;
}

// The m-line's numbers and what rtpmap says of each.
static void told(const char *text, char out[512])
{
	char *copy = strdup(text), *line, *rest = NULL;

	out[0] = '\0';
	for (line = strtok_r(copy, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
		size_t at = strlen(out);

		if (strncmp(line, "m=audio", 7) == 0)
			snprintf(out + at, 512 - at, "%s", strstr(line, "AVP") + 4);
		else if (strncmp(line, "a=rtpmap:", 9) == 0)
			snprintf(out + at, 512 - at, " %s", line + 9);
		else if (strncmp(line, "a=fmtp:", 7) == 0 || strncmp(line, "a=ptime:", 8) == 0)
			snprintf(out + at, 512 - at, " %s", line + 2);
	}
	free(copy);
}

// "offer G722 opus; prefer opus; strip PCMA; only" as a policy.
static void policy_of(const char *text, struct offer_policy *out)
{
	char copy[256], *rest = NULL;
	uint8_t *list = NULL;
	unsigned at = 0;

	memset(out, 0, sizeof(*out));
	snprintf(copy, sizeof(copy), "%s", text ? text : "");
	for (char *word = strtok_r(copy, " ;", &rest); word; word = strtok_r(NULL, " ;", &rest)) {
		unsigned place = 1;

		if (strcmp(word, "offer") == 0 || strcmp(word, "prefer") == 0) {
			list = *word == 'o' ? out->offer : out->prefer;
			at = 0;
		} else if (strcmp(word, "strip") == 0) {
			list = NULL;
		} else if (strcmp(word, "only") == 0) {
			out->pass_only = true;
		} else {
			while (strcasecmp(codec_table[place - 1]->name, word) != 0)
				place++;
			if (list)
				list[at++] = (uint8_t)place;
			else
				out->strip |= 1u << (place - 1);
		}
	}
}

static const struct offer_local local = {
	.rtp = {.family = 4, .ip = {192, 0, 2, 10}, .port = 20000}, .session_id = 1, .version = 1};

static const struct {
	const char *name, *from, *to_policy, *from_policy, *known;
	bool full;
	const char *told; // NULL: nothing can be told
} offers[] = {
	{"as it is", "0 8 101:telephone-event/8000", NULL, NULL, NULL, false, "0 8 101 101 telephone-event/8000"},
	{"ours beside it", "0", "offer G722 opus", NULL, NULL, false,
		"0 9 96 9 G722/8000 96 opus/48000/2 fmtp:96 useinbandfec=1"},
	{"digits go along at the new clock", "0 101:telephone-event/8000", "offer opus", NULL, NULL, false,
		"0 96 101 97 101 telephone-event/8000 96 opus/48000/2 fmtp:96 useinbandfec=1 97 telephone-event/48000 "
		"fmtp:97 0-16"},
	{"what is there is not offered twice", "0 9", "offer G722 PCMU", NULL, NULL, false, "0 9"},
	{"a number that is taken", "0 96:GSM/8000 9:L16/16000", "offer G722 opus", NULL, NULL, false,
		"0 96 9 97 98 96 GSM/8000 9 L16/16000 97 G722/8000 98 opus/48000/2 fmtp:98 useinbandfec=1"},
	{"stripped by who is told", "0 8 9", "strip PCMA G722", NULL, NULL, false, "0"},
	{"stripped by who says it", "0 8 9", NULL, "strip PCMU", NULL, false, "8 9"},
	{"preferred first", "0 8 9 101:telephone-event/8000", "prefer G722 PCMA", NULL, NULL, false,
		"9 8 0 101 101 telephone-event/8000"},
	{"ours preferred", "0 8", "offer opus; prefer opus", NULL, NULL, false,
		"96 0 8 96 opus/48000/2 fmtp:96 useinbandfec=1"},
	{"nothing of ours where it may not be transcoded", "0", "offer G722", "only", NULL, false, "0"},
	{"nothing of ours for what we cannot decode", "97:EVRC/8000", "offer PCMU", NULL, NULL, false,
		"97 97 EVRC/8000"},
	{"what the party has already, by its number", "8", NULL, NULL, "100:opus/48000/2 0", false,
		"8 100 0 100 opus/48000/2 fmtp:100 useinbandfec=1 0 PCMU/8000"},
	{"nothing of ours without time for it", "0", "offer G722", NULL, NULL, true, "0"},
	{"but the relay's two laws", "0", "offer G722 PCMA", NULL, NULL, true, "0 8 8 PCMA/8000"},
	{"all stripped", "0 8", "strip PCMU PCMA", NULL, NULL, false, NULL},
};

static void what_is_offered(void **state)
{
	for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
		struct offer_policy to, from;
		struct sdp *sdp = said(offers[i].from), *known = offers[i].known ? said(offers[i].known) : NULL;
		struct offer_terms terms = {&to, &from, known, offers[i].full};
		char err[OFFER_ERR], line[512], *text;

		policy_of(offers[i].to_policy, &to);
		policy_of(offers[i].from_policy, &from);
		text = sdp_relay_text(sdp, NULL, &terms, &local, err);
		if (text)
			told(text, line);
		if ((text != NULL) != (offers[i].told != NULL) || (text && strcmp(line, offers[i].told) != 0))
			fail_msg("%s: \"%s\", expected \"%s\"", offers[i].name, text ? line : err, offers[i].told);
		free(text);
		sdp_free(sdp);
		if (known)
			sdp_free(known);
	}
}

static const struct {
	const char *name, *offer, *answer, *offerer, *answerer;
	bool full;
	enum offer_way way;
	const char *codecs; // the offerer's and the answerer's, with their telephone-events' numbers
	const char *told;   // the answer
} choices[] = {
	{"both have it", "0 8", "8", NULL, NULL, false, OFFER_PASS, "PCMA PCMA", "8"},
	{"all in common pass", "0 8 101:telephone-event/8000", "8 0 101:telephone-event/8000", NULL, NULL, false,
		OFFER_PASS, "PCMA/101 PCMA/101", "8 0 101 101 telephone-event/8000"},
	{"the answerer's first one rules", "0 8", "9 0", NULL, NULL, false, OFFER_TRANSCODE, "PCMU G722",
		"0 0 PCMU/8000"},
	{"one side each", "0", "9", NULL, NULL, false, OFFER_TRANSCODE, "PCMU G722", "0 0 PCMU/8000"},
	{"the offerer's own number", "111:opus/48000/2", "0", NULL, NULL, false, OFFER_TRANSCODE, "opus PCMU",
		"111 111 opus/48000/2 fmtp:111 useinbandfec=1"},
	{"digits, each at its clock", "111:opus/48000/2 110:telephone-event/48000 126:telephone-event/8000",
		"0 101:telephone-event/8000", NULL, NULL, false, OFFER_TRANSCODE, "opus/110 PCMU/101",
		"111 110 111 opus/48000/2 fmtp:111 useinbandfec=1 110 telephone-event/48000 fmtp:110 0-16"},
	{"digits at another clock than the codec's, where there is no other",
		"111:opus/48000/2 126:telephone-event/8000", "0 101:telephone-event/8000", NULL, NULL, false,
		OFFER_TRANSCODE, "opus/126 PCMU/101",
		"111 126 111 opus/48000/2 fmtp:111 useinbandfec=1 126 telephone-event/8000 fmtp:126 0-16"},
	{"digits that only one has", "111:opus/48000/2", "0 101:telephone-event/8000", NULL, NULL, false,
		OFFER_TRANSCODE, "opus PCMU", "111 111 opus/48000/2 fmtp:111 useinbandfec=1"},
	{"the offerer's preference where it must be transcoded", "3 0 9", "8", "prefer G722", NULL, false,
		OFFER_TRANSCODE, "G722 PCMA", "9 9 G722/8000"},
	{"what is stripped is not chosen", "0 9", "8", "strip PCMU", NULL, false, OFFER_TRANSCODE, "G722 PCMA",
		"9 9 G722/8000"},
	{"never", "0", "8", "only", NULL, false, OFFER_NOTHING, NULL, NULL},
	{"never, by the other one", "0", "8", NULL, "only", false, OFFER_NOTHING, NULL, NULL},
	{"rather common than nothing", "0 8", "9 8", "only", NULL, false, OFFER_PASS, "PCMA PCMA", "8"},
	{"what nobody can decode", "97:EVRC/8000", "8", NULL, NULL, false, OFFER_NOTHING, NULL, NULL},
	{"no time", "9", "0", NULL, NULL, true, OFFER_FULL, NULL, NULL},
	{"no time, but the relay can", "8", "0", NULL, NULL, true, OFFER_TRANSCODE, "PCMA PCMU", "8 8 PCMA/8000"},
	{"no time for other packets", "8|a=ptime:40", "0", NULL, NULL, true, OFFER_FULL, NULL, NULL},
	{"no time, and a common one", "9 0", "8 0", NULL, NULL, true, OFFER_PASS, "PCMU PCMU", "0"},
	{"its ptime comes back", "9|a=ptime:40", "0|a=ptime:30", NULL, NULL, false, OFFER_TRANSCODE, "G722 PCMU",
		"9 9 G722/8000 ptime:40"},
};

static void side_text(const struct offer_side *side, char *out, size_t size)
{
	if (side->event.clock_hz)
		snprintf(out, size, "%s/%u", side->codec.encoding, side->event.payload_type);
	else
		snprintf(out, size, "%s", side->codec.encoding);
}

static void what_is_chosen(void **state)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
		struct offer_policy offerer, answerer;
		struct offer_terms terms = {&offerer, &answerer, NULL, choices[i].full};
		struct sdp *offer = said(choices[i].offer), *answer = said(choices[i].answer);
		char one[64], two[64], both[130] = "", line[512] = "", err[OFFER_ERR], *text;
		struct offer_choice choice;

		policy_of(choices[i].offerer, &offerer);
		policy_of(choices[i].answerer, &answerer);
		offer_choose(offer, answer, &terms, &choice);
		if (choice.way == OFFER_PASS || choice.way == OFFER_TRANSCODE) {
			side_text(&choice.offerer, one, sizeof(one));
			side_text(&choice.answerer, two, sizeof(two));
			snprintf(both, sizeof(both), "%s %s", one, two);
		}
		text = sdp_relay_text(answer, offer, &terms, &local, err);
		if (text)
			told(text, line);
		if (choice.way != choices[i].way || strcmp(both, choices[i].codecs ? choices[i].codecs : "") != 0 ||
			strcmp(line, choices[i].told ? choices[i].told : "") != 0)
			fail_msg("%s: way %d, %s, told \"%s\" (%s)", choices[i].name, choice.way, both,
				text ? line : err, choice.why);
		assert_true(*choice.why);
		free(text);
		sdp_free(offer);
		sdp_free(answer);
	}
}

static void fmtp_is_found(void **state)
{
	struct sdp *sdp = said(
		"97:opus/48000/2 9:G722/8000|a=fmtp:9  mode=1\r\na=fmtp:970 no\r\na=fmtp:97 useinbandfec=1; usedtx=1");

	assert_string_equal(sdp_fmtp(sdp, 97), "useinbandfec=1; usedtx=1");
	assert_string_equal(sdp_fmtp(sdp, 9), "mode=1");
	assert_null(sdp_fmtp(sdp, 0));
	sdp_free(sdp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(what_is_chosen),
		cmocka_unit_test(fmtp_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
