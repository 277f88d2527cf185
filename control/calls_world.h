// SPDX-License-Identifier: BSD-3-Clause
// A world for tests of calls: a configuration, calls over the fakes, and words for what peers say.
#pragma once

#include "calls_fakes.h"

#define SDP_OF(ip, port, formats)                                                                                     \
	"v=0\r\no=- 1 1 IN IP4 " ip "\r\ns=-\r\nc=IN IP4 " ip "\r\nt=0 0\r\nm=audio " port " RTP/AVP " formats "\r\n" \
	"a=rtpmap:101 telephone-event/8000\r\n"
#define OFFER SDP_OF("192.0.2.20", "4000", "0 8 101")
#define ANSWER SDP_OF("198.51.100.20", "6000", "8 101")

extern struct world {
	struct config *config;
	struct wheel *wheel;
	struct ports *ports;
	struct calls *calls;
	uint64_t now_ms;
} w;

struct kg_addr addr_of(const char *ip, uint16_t port);
int world_open(void **state);
int world_close(void **state);
void pass_ms(uint64_t ms);
void assert_nothing_left(void);
struct sip_session *invites(const char *source, const char *uri, const char *extra, const char *sdp);
struct sip_session *calls_bob(void);
void answers(struct sip_session *session, unsigned fork, const char *first, const char *extra, const char *sdp);
void requests(struct sip_session *session, const char *method, const char *extra, const char *sdp,
	void (*op)(void *user, struct sip_session *session, const struct sip_msg *msg));
void acks(struct sip_session *session, const char *sdp);
void hangs_up(struct sip_session *session, const char *extra);
struct fake_leg *leg_on(unsigned nic);
const char *text_at(json_t *json, const char *key);
json_t *last_cdr(void);
void assert_cause(const char *state, const char *layer, const char *reason, int code);
void assert_addr(const struct kg_addr *addr, const char *expected);
struct config *config_make(void);
void config_unmake(struct config *config);
