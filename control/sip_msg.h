// SPDX-License-Identifier: BSD-3-Clause
// SIP messages: parse, check, read, build. The only file family (sip_msg*.c) that knows osip2's types; everyone else
// holds an opaque struct sip_msg.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "sip_wire.h"

#define SIP_MAX_MESSAGE 65535
#define SIP_MAX_HEADERS 128
#define SIP_MAX_VIAS 70 // no request passes more proxies than its Max-Forwards
#define SIP_MAX_LINE 4096

enum sip_method {
	SIP_UNKNOWN,
	SIP_INVITE,
	SIP_ACK,
	SIP_BYE,
	SIP_CANCEL,
	SIP_OPTIONS,
	SIP_REGISTER,
	SIP_INFO,
	SIP_PRACK,
	SIP_UPDATE,
	SIP_REFER,
	SIP_NOTIFY,
	SIP_SUBSCRIBE,
	SIP_MESSAGE,
	SIP_METHOD_COUNT
};

struct sip_msg;

int sip_msg_init(void); // once at start-up (sip_stack_open does it too): silences osip_trace, builds its tables

// Parse and check one datagram. Limits above are checked before osip2 sees it; so are negative or huge Content-Length,
// NUL bytes, version, CSeq range and CSeq/request-line method agreement.
// Owns: *out is the caller's (sip_msg_unref). Returns: 0, or -EBADMSG with a counter word in `why` ("bad_version",
// "too_many_headers", "no_via", "bad_cseq", ...), -ENOMEM.
int sip_msg_parse(const char *data, size_t length, struct sip_msg **out, const char **why);
// The answer to a request that was refused before it could be read (`why`: sip_msg_parse's word, or sip_limits.h's),
// made of what can be found in its bytes: 505, 513, 501 or 400. It holds no control characters, its headers are at
// most SIP_SALVAGE_MAX bytes of the request's. *to: where it goes, by the rules of sip_msg_reply_to; to_source: to the
// request's source whatever its Via says.
// Owns: the caller frees. Returns: NULL where nothing can be answered: a response, an ACK, no Via, Call-ID or CSeq, too
// much of them, no memory.
#define SIP_SALVAGE_MAX 8192
char *sip_msg_salvage(const char *data, size_t length, const char *why, const struct kg_addr *source, bool to_source,
	struct kg_addr *to, size_t *out_length);
struct sip_msg *sip_msg_ref(struct sip_msg *msg);
void sip_msg_unref(struct sip_msg *msg); // NULL is fine

// Reading. Strings live as long as the message. A message that was built reads like one that was parsed (what it lacks
// reads as "" or NULL).
bool sip_msg_is_request(const struct sip_msg *msg);
enum sip_method sip_msg_method(const struct sip_msg *msg); // of a response: its CSeq's
const char *sip_msg_method_name(const struct sip_msg *msg);
int sip_msg_status(const struct sip_msg *msg); // 0 for a request
const char *sip_msg_reason(const struct sip_msg *msg);
const char *sip_msg_request_uri(const struct sip_msg *msg); // as it was written
const char *sip_msg_call_id(const struct sip_msg *msg);
uint32_t sip_msg_cseq(const struct sip_msg *msg);
const char *sip_msg_from_tag(const struct sip_msg *msg); // NULL: none
const char *sip_msg_to_tag(const struct sip_msg *msg);   // NULL: none
const char *sip_msg_from(const struct sip_msg *msg);     // whole header value
const char *sip_msg_to(const struct sip_msg *msg);
const char *sip_msg_branch(const struct sip_msg *msg);   // topmost Via; NULL: none
const char *sip_msg_via_host(const struct sip_msg *msg); // sent-by; IPv6 without brackets
// Where the first sender of a request sits as the proxies on its way saw it: `received` of its own (the last) Via, else
// that Via's sent-by; with one Via only it is the source. Returns: false where it is no address.
bool sip_msg_origin(const struct sip_msg *msg, struct kg_addr *out);
uint16_t sip_msg_via_port(const struct sip_msg *msg);       // 5060 where none is written
const char *sip_msg_contact_uri(const struct sip_msg *msg); // first Contact's URI; NULL: none
// The index-th header of that name (any case, compact form too), its value as one string, byte for byte but for folded
// lines, which come as one; NULL past the last. Comma lists of Route, Record-Route and Via count as several.
const char *sip_msg_header(const struct sip_msg *msg, const char *name, unsigned index);
const char *sip_msg_body(const struct sip_msg *msg, size_t *length); // NULL: none; a NUL follows it
// The session description in it, also as a part of a multipart body. No NUL follows it. NULL: none.
const char *sip_msg_sdp(const struct sip_msg *msg, size_t *length);
static inline bool sip_msg_has_sdp(const struct sip_msg *msg)
{
	size_t length;

	return sip_msg_sdp(msg, &length) != NULL;
}
const char *sip_msg_content_type(const struct sip_msg *msg); // "application/sdp", lower case; NULL: none
const char *sip_msg_start_line(const struct sip_msg *msg);   // for ladders

// A URI taken apart (of sip:, sips: and tel:, whose number is `user`; host without brackets).
// Returns: 0, -EINVAL where it is none or a field does not fit, -EPROTONOSUPPORT for another scheme.
struct sip_uri {
	char scheme[8], user[128], host[128];
	char transport[8]; // the parameter in lower case; "": none
	uint16_t port;     // 0: none written
	bool lr;
};
int sip_uri_parse(const char *text, struct sip_uri *out); // also from a name-addr ("A" <sip:..>;tag=..)
// The transport that a sip: or sips: URI asks for (UDP where it says nothing). Returns: false for one that is not ours.
bool sip_uri_transport(const struct sip_uri *uri, enum sip_transport *out);
// The URI inside a name-addr or addr-spec, as it was written. Owns: the caller frees. Returns: NULL: none.
char *sip_uri_extract(const char *text);

// Building. Names and values are copied; values with CR, LF or NUL are refused (-EINVAL).
struct sip_msg *sip_msg_request(const char *method, const char *uri); // NULL with errno
// A response with Via (rport/received as the request's source says), From, To, Call-ID, CSeq and Record-Route copied
// (Timestamp too in a 100). to_tag is added where the request had none (NULL: none, for 100). reason NULL: the standard
// phrase. NULL with errno.
struct sip_msg *sip_msg_response(const struct sip_msg *request, int status, const char *reason, const char *to_tag);
// The ACK of a non-2xx or the CANCEL that belongs to an INVITE (same Request-URI, topmost Via, From, Call-ID, CSeq
// number and Route). `to`: its To value; NULL: the INVITE's. NULL with errno.
struct sip_msg *sip_msg_derive(const struct sip_msg *invite, enum sip_method method, const char *to);
int sip_msg_add(struct sip_msg *msg, const char *name, const char *value);
int sip_msg_addf(struct sip_msg *msg, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int sip_msg_add_list(struct sip_msg *msg, const char *const *headers);         // name, value, …, NULL; NULL: none
int sip_msg_prepend(struct sip_msg *msg, const char *name, const char *value); // Via, Route
void sip_msg_remove(struct sip_msg *msg, const char *name);                    // all of that name
size_t sip_msg_length(const struct sip_msg *msg);                              // of what sip_msg_build will make, about
int sip_msg_set_body(struct sip_msg *msg, const char *type, const char *body, size_t length);
// Serialise with a right Content-Length. Owns: the caller frees. Returns: NULL for want of memory.
char *sip_msg_build(struct sip_msg *msg, size_t *length);

// Note by which way a message came: received/rport go into its topmost Via (RFC 3261 18.2.1, RFC 3581).
void sip_msg_set_flow(struct sip_msg *msg, const struct sip_flow *flow);
void sip_msg_set_source(
	struct sip_msg *msg, const struct kg_addr *source); // the same for UDP, where only that is known
const struct sip_flow *sip_msg_flow(const struct sip_msg *msg);
const struct kg_addr *sip_msg_source(const struct sip_msg *msg); // its remote end
// Answer to where the request came from even where its Via has no rport: its sender is behind NAT.
void sip_msg_reply_to_source(struct sip_msg *msg);
// Where responses to it go: its source; the port is the source's with rport, else the sent-by's (RFC 3581,
// 3261 18.2.2).
struct kg_addr sip_msg_reply_to(const struct sip_msg *msg);
// The whole way back: on a stream the connection that it came by.
struct sip_flow sip_msg_reply_flow(const struct sip_msg *msg);

const char *sip_reason_phrase(int status);
const char *sip_method_text(enum sip_method method);
enum sip_method sip_method_find(const char *name, size_t length); // SIP_UNKNOWN where it is none of ours
