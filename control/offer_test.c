// SPDX-License-Identifier: BSD-3-Clause
// SDP by tables: what is read of a description, and what the other party is told of it, word for word.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "offer.h"

#define HEAD "v=0\r\no=alice 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"

static struct sdp *read_sdp(const char *text)
{
	char err[OFFER_ERR];
	struct sdp *sdp;

	if (sdp_parse_text(text, strlen(text), &sdp, err) != 0)
		fail_msg("\"%s\" was refused: %s", text, err);
	return sdp;
}

// --- reading ------------------------------------------------------------------------------------------------------

struct read_case {
	const char *name, *text;
	bool present;
	const char *remote, *rtcp;
	enum offer_direction direction;
	bool mux;
	uint32_t ptime;
	const char *formats; // "PT:ENCODING/CLOCK" with spaces between
};

static const struct read_case reads[] = {
	{"static types", HEAD "m=audio 4000 RTP/AVP 0 3 8 9 13 18\r\n", true, "203.0.113.9:4000", "203.0.113.9:4001",
		OFFER_SENDRECV, false, 0, "0:PCMU/8000 3:GSM/8000 8:PCMA/8000 9:G722/8000 13:CN/8000 18:G729/8000"},
	{"dynamic types, ptime, direction",
		HEAD "m=audio 4000 RTP/AVP 97 101\r\na=rtpmap:97 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"
		     "a=ptime:40\r\na=sendonly\r\n",
		true, "203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDONLY, false, 40,
		"97:opus/48000 101:telephone-event/8000"},
	{"a static number with a map of its own", HEAD "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 L16/16000\r\n", true,
		"203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDRECV, false, 0, "0:L16/16000"},
	{"LF only, no s=, no t=, unknown and blank lines",
		"v=0\no=- 1 1 IN IP4 10.0.0.1\nz=what\n\n?\nm=audio 4000 RTP/AVP 0\n"
		"c=IN IP4 203.0.113.9\na=strange:thing\n",
		true, "203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"empty s=", "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=\r\nc=IN IP4 203.0.113.9\r\nm=audio 4000 RTP/AVP 0", true,
		"203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"the media's c= and direction beat the session's",
		HEAD "a=inactive\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 203.0.113.10/127\r\na=recvonly\r\n", true,
		"203.0.113.10:4000", "203.0.113.10:4001", OFFER_RECVONLY, false, 0, "0:PCMU/8000"},
	{"the session's direction is inherited", HEAD "a=inactive\r\nm=audio 4000 RTP/AVP 0\r\n", true,
		"203.0.113.9:4000", "203.0.113.9:4001", OFFER_INACTIVE, false, 0, "0:PCMU/8000"},
	{"a=rtcp with a port", HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:5001\r\n", true, "203.0.113.9:4000",
		"203.0.113.9:5001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"a=rtcp with an address", HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp:5001 IN IP4 203.0.113.77\r\n", true,
		"203.0.113.9:4000", "203.0.113.77:5001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"rtcp-mux", HEAD "m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\na=rtcp:4000\r\n", true, "203.0.113.9:4000",
		"203.0.113.9:4000", OFFER_SENDRECV, true, 0, "0:PCMU/8000"},
	{"old hold", "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n", true, "", "", OFFER_SENDONLY, false, 0,
		"0:PCMU/8000"},
	{"old hold of one who did not send", "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\na=recvonly\r\n",
		true, "", "", OFFER_INACTIVE, false, 0, "0:PCMU/8000"},
	{"IPv6", "v=0\r\nc=IN IP6 2001:db8::1\r\nm=audio 4000 RTP/AVP 8\r\n", true, "[2001:db8::1]:4000",
		"[2001:db8::1]:4001", OFFER_SENDRECV, false, 0, "8:PCMA/8000"},
	{"AVPF", HEAD "m=audio 4000 RTP/AVPF 0\r\n", true, "203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDRECV,
		false, 0, "0:PCMU/8000"},
	{"the second audio, where the first is refused", HEAD "m=audio 0 RTP/AVP 0\r\nm=audio 4002/1 RTP/AVP 8\r\n",
		true, "203.0.113.9:4002", "203.0.113.9:4003", OFFER_SENDRECV, false, 0, "8:PCMA/8000"},
	{"a dynamic type without map is passed over", HEAD "m=audio 4000 RTP/AVP 98 0\r\n", true, "203.0.113.9:4000",
		"203.0.113.9:4001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"RTCP's own numbers are no formats", HEAD "m=audio 4000 RTP/AVP 72 0\r\na=rtpmap:72 x/8000\r\n", true,
		"203.0.113.9:4000", "203.0.113.9:4001", OFFER_SENDRECV, false, 0, "0:PCMU/8000"},
	{"SAVP only", HEAD "m=audio 4000 RTP/SAVP 0\r\n", false, NULL, NULL, 0, false, 0, NULL},
	{"video only", HEAD "m=video 4000 RTP/AVP 31\r\n", false, NULL, NULL, 0, false, 0, NULL},
	{"no media", HEAD, false, NULL, NULL, 0, false, 0, NULL},
	{"port 0", HEAD "m=audio 0 RTP/AVP 0\r\n", false, NULL, NULL, 0, false, 0, NULL},
	{"a name for an address", "v=0\r\nc=IN IP4 media.example.com\r\nm=audio 4000 RTP/AVP 0\r\n", false, NULL, NULL,
		0, false, 0, NULL},
	{"multicast", "v=0\r\nc=IN IP4 224.2.1.1/127\r\nm=audio 4000 RTP/AVP 0\r\n", false, NULL, NULL, 0, false, 0,
		NULL},
	{"no format that means anything", HEAD "m=audio 4000 RTP/AVP 98\r\n", false, NULL, NULL, 0, false, 0, NULL},
};

static void formats_text(const struct offer_media *media, char *out, size_t size)
{
	out[0] = '\0';
	for (unsigned i = 0; i < media->format_count; i++)
		snprintf(out + strlen(out), size - strlen(out), "%s%u:%s/%u", i ? " " : "",
			media->formats[i].payload_type, media->formats[i].encoding, media->formats[i].clock_hz);
}

static void reads_what_the_media_plane_needs(void **state)
{
	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++) {
		const struct read_case *c = &reads[i];
		char remote[KG_ADDR_STRLEN], rtcp[KG_ADDR_STRLEN], formats[1024];
		struct offer_media media;
		struct sdp *sdp;

		sdp = read_sdp(c->text);
		sdp_media(sdp, &media);
		if (media.present != c->present)
			fail_msg("%s: present %d", c->name, media.present);
		if (c->present) {
			kg_addr_text(&media.remote, remote, sizeof(remote));
			kg_addr_text(&media.remote_rtcp, rtcp, sizeof(rtcp));
			formats_text(&media, formats, sizeof(formats));
			if (strcmp(remote, c->remote) || strcmp(rtcp, c->rtcp) || strcmp(formats, c->formats) ||
				media.direction != c->direction || media.rtcp_mux != c->mux ||
				media.ptime_ms != c->ptime)
				fail_msg("%s: %s %s %d %d %u %s", c->name, remote, rtcp, media.direction,
					media.rtcp_mux, media.ptime_ms, formats);
		}
		sdp_free(sdp);
	}
}

static void refuses_what_is_broken(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "v=0"},
		{"hello", "v=0"},
		{"v=1\r\n", "v=0"},
		{"s=-\r\nv=0\r\n", "v=0"},
		{HEAD "m=audio\r\n", "m= line"},
		{HEAD "m=audio 4000 RTP/AVP\r\n", "m= line"},
		{HEAD "m=audio 65536 RTP/AVP 0\r\n", "port"},
		{HEAD "m=audio -1 RTP/AVP 0\r\n", "port"},
		{HEAD "m=audio 99999999999999999999 RTP/AVP 0\r\n", "port"},
		{HEAD "m=audio 4000x RTP/AVP 0\r\n", "port"},
		{HEAD "m=audio 4000 RTP/AVP 128\r\n", "payload type"},
		{HEAD "m=audio 4000 RTP/AVP 0 x\r\n", "payload type"},
		{"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", "c= line"},
		{"v=0\r\nc=IN\r\nm=audio 4000 RTP/AVP 0\r\n", "c= is not"},
		{"v=0\r\ns=\x01\r\n", "control character"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char err[OFFER_ERR] = "";
		struct sdp *sdp;

		assert_int_equal(sdp_parse_text(cases[i].text, strlen(cases[i].text), &sdp, err), -EBADMSG);
		assert_null(sdp);
		if (!strstr(err, cases[i].says))
			fail_msg("\"%s\": \"%s\" does not speak of %s", cases[i].text, err, cases[i].says);
	}
}

static void limits_hold(void **state)
{
	char err[OFFER_ERR], *text = malloc(40000);
	struct offer_media media;
	struct sdp *sdp;

	assert_int_equal(sdp_parse_text("v=0\0x", 5, &sdp, err), -EBADMSG);
	memset(text, 'a', 40000);
	memcpy(text, "v=0\n", 4);
	assert_int_equal(sdp_parse_text(text, 40000, &sdp, err), -EBADMSG);
	strcpy(text, "v=0\n");
	for (int i = 0; i < 600; i++)
		strcat(text, "a=x\n");
	assert_int_equal(sdp_parse_text(text, strlen(text), &sdp, err), -EBADMSG);
	strcpy(text, "v=0\nc=IN IP4 192.0.2.1\n");
	for (int i = 0; i < 17; i++)
		strcat(text, "m=audio 4000 RTP/AVP 0\n");
	assert_int_equal(sdp_parse_text(text, strlen(text), &sdp, err), -EBADMSG);
	strcpy(text, "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP");
	for (int i = 100; i < 127; i++)
		sprintf(text + strlen(text), " %d", i);
	for (int i = 100; i < 127; i++)
		sprintf(text + strlen(text), "\na=rtpmap:%d c%d/8000", i, i);
	sdp = read_sdp(text);
	sdp_media(sdp, &media);
	assert_int_equal(media.format_count, OFFER_FORMATS);
	sdp_free(sdp);
	free(text);
}

// --- telling the other party --------------------------------------------------------------------------------------

static struct offer_local ours(bool mux)
{
	struct offer_local local = {.mux = mux, .session_id = 7, .version = 3};

	assert_int_equal(kg_addr_parse(&local.rtp, "192.0.2.10", 16384), 0);
	return local;
}

#define OURS "v=0\r\no=- 7 3 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"

struct relay_case {
	const char *name, *from, *answers; // answers: the offer, or NULL
	bool mux;
	const char *told; // NULL: it cannot be told
};

static const struct relay_case relays[] = {
	{"an offer keeps numbers, maps, fmtp, ptime and direction",
		HEAD
		"m=audio 4000 RTP/AVP 97 0 101\r\na=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1\r\n"
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:60\r\na=sendonly\r\n",
		NULL, false,
		OURS
		"m=audio 16384 RTP/AVP 97 0 101\r\na=rtpmap:97 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"
		"a=fmtp:97 useinbandfec=1\r\na=fmtp:101 0-16\r\na=maxptime:60\r\na=ptime:20\r\na=sendonly\r\n"},
	{"what is the other party's own stays behind",
		"v=0\r\no=alice 1 1 IN IP4 203.0.113.9\r\ns=Alice's phone\r\ni=x\r\ne=alice@example.com\r\n"
		"c=IN IP4 203.0.113.9\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=group:BUNDLE 0\r\n"
		"m=audio 4000 RTP/AVP 0\r\nc=IN IP4 203.0.113.10\r\na=rtcp:4009 IN IP4 203.0.113.11\r\na=mid:0\r\n"
		"a=candidate:1 1 UDP 1 203.0.113.12 4000 typ host\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
		"inline:secret\r\n"
		"a=ssrc:1 cname:203.0.113.9\r\na=fingerprint:sha-256 AA\r\na=label:1\r\n",
		NULL, false, OURS "m=audio 16384 RTP/AVP 0\r\na=sendrecv\r\n"},
	{"other media is refused in its place",
		HEAD "m=video 5000 RTP/AVP 31 96\r\na=rtpmap:96 VP8/90000\r\nm=audio 4000 RTP/AVP 0\r\n"
		     "m=audio 4010 RTP/AVP 8\r\nm=image 4020 udptl t38\r\n",
		NULL, false,
		OURS "m=video 0 RTP/AVP 31 96\r\nm=audio 16384 RTP/AVP 0\r\na=sendrecv\r\nm=audio 0 RTP/AVP 8\r\n"
		     "m=image 0 udptl t38\r\n"},
	{"mux and feedback",
		HEAD "m=audio 4000 RTP/AVPF 0\r\nb=AS:80\r\na=rtcp-fb:0 nack\r\na=rtcp-fb:* ccm fir\r\n"
		     "a=rtcp-fb:98 nack\r\na=rtcp-mux\r\n",
		NULL, true,
		OURS "m=audio 16384 RTP/AVPF 0\r\nb=AS:80\r\na=rtcp-fb:0 nack\r\na=rtcp-fb:* ccm fir\r\na=rtcp-mux\r\n"
		     "a=sendrecv\r\n"},
	{"old hold is told in the new words, never as 0.0.0.0", "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n",
		NULL, false, OURS "m=audio 16384 RTP/AVP 0\r\na=sendonly\r\n"},
	{"an answer has the offer's m-lines", HEAD "m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n",
		HEAD "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0 8\r\nm=image 1 udptl t38\r\n", false,
		OURS "m=video 0 RTP/AVP 31\r\nm=audio 16384 RTP/AVP 8\r\na=sendrecv\r\nm=image 0 udptl t38\r\n"},
	{"an answer with too few m-lines too", HEAD "m=audio 4000 RTP/AVP 8\r\n",
		HEAD "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0 8\r\n", false,
		OURS "m=video 0 RTP/AVP 31\r\nm=audio 16384 RTP/AVP 8\r\na=sendrecv\r\n"},
	{"an answer tells no codec that was not offered", HEAD "m=audio 4000 RTP/AVP 0 18 8\r\n",
		HEAD "m=audio 4000 RTP/AVP 8 0\r\n", false, OURS "m=audio 16384 RTP/AVP 0 8\r\na=sendrecv\r\n"},
	{"an answer may number a codec its own way", HEAD "m=audio 4000 RTP/AVP 100\r\na=rtpmap:100 OPUS/48000/2\r\n",
		HEAD "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n", false,
		OURS "m=audio 16384 RTP/AVP 100\r\na=rtpmap:100 OPUS/48000/2\r\na=sendrecv\r\n"},
	{"an answer keeps to the offered direction", HEAD "m=audio 4000 RTP/AVP 0\r\n",
		HEAD "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n", false,
		OURS "m=audio 16384 RTP/AVP 0\r\na=recvonly\r\n"},
	{"sendonly to inactive is inactive", HEAD "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n",
		HEAD "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n", false,
		OURS "m=audio 16384 RTP/AVP 0\r\na=inactive\r\n"},
	{"no codec in common", HEAD "m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n",
		HEAD "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n", false, NULL},
	{"the audio was refused", HEAD "m=audio 0 RTP/AVP 0\r\n", HEAD "m=audio 4000 RTP/AVP 0\r\n", false, NULL},
	{"digits alone are no call", HEAD "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", NULL,
		false, NULL},
};

static void tells_the_other_party(void **state)
{
	for (size_t i = 0; i < sizeof(relays) / sizeof(*relays); i++) {
		const struct relay_case *c = &relays[i];
		struct sdp *from = read_sdp(c->from), *asked = c->answers ? read_sdp(c->answers) : NULL;
		const struct offer_local local = ours(c->mux);
		char err[OFFER_ERR] = "";
		char *told = sdp_relay_text(from, asked, NULL, &local, err);

		if ((told == NULL) != (c->told == NULL) || (told && strcmp(told, c->told) != 0))
			fail_msg("%s:\n%s\nexpected:\n%s\n%s", c->name, told ? told : "(nothing)",
				c->told ? c->told : "(nothing)", err);
		assert_int_equal(told == NULL, *err != '\0');
		assert_true(!told || !strstr(told, "203.0.113."));
		free(told);
		sdp_free(from);
		sdp_free(asked);
	}
}

static void a_refusal_has_every_m_line(void **state)
{
	struct sdp *offer = read_sdp(HEAD "m=audio 4000 RTP/AVP 0 8\r\na=ptime:20\r\nm=video 5000 RTP/AVP 31\r\n");
	const struct offer_local local = ours(false);
	char *text = sdp_refusal_text(offer, &local);

	assert_string_equal(text, OURS "m=audio 0 RTP/AVP 0 8\r\nm=video 0 RTP/AVP 31\r\n");
	free(text);
	sdp_free(offer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_media_plane_needs),
		cmocka_unit_test(refuses_what_is_broken),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(tells_the_other_party),
		cmocka_unit_test(a_refusal_has_every_m_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
