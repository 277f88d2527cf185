// SPDX-License-Identifier: BSD-3-Clause
// The one table of what the media plane counts. Drop reasons, counters, metrics, trace words and test assertions are
// all made from it: add a row here and it exists everywhere.
#pragma once

enum kg_severity { KG_INFO, KG_WARN, KG_ERROR };

// Reasons for which a received packet ends here. X(id, severity, help); `id` is the word in metrics, API and traces.
#define KG_DROPS(X)                                                                                         \
	X(not_ip, KG_INFO, "a frame that is neither IPv4 nor IPv6 reached the media plane")                 \
	X(bad_ip, KG_WARN, "IP header malformed, truncated or with a wrong checksum")                       \
	X(ip_fragment, KG_WARN, "an IP fragment: media is never reassembled")                               \
	X(not_udp, KG_INFO, "an IP packet that is not UDP reached the media plane")                         \
	X(bad_udp, KG_WARN, "UDP length does not fit the packet")                                           \
	X(bad_checksum, KG_WARN, "UDP checksum is wrong")                                                   \
	X(not_local, KG_INFO, "the destination address is none of ours")                                    \
	X(no_leg, KG_INFO, "no live leg on this port (late packets after a call, scans)")                   \
	X(no_remote, KG_INFO, "the leg's remote address is not negotiated yet")                             \
	X(wrong_source, KG_WARN, "the sender is not the negotiated remote address")                         \
	X(latch_probation, KG_INFO, "from a new port of a party behind NAT, before it is believed")         \
	X(not_media, KG_WARN, "first byte says neither RTP nor RTCP nor another known protocol (RFC 7983)") \
	X(stun, KG_INFO, "STUN on a leg that does not use ICE")                                             \
	X(dtls, KG_INFO, "DTLS on a leg that does not use it")                                              \
	X(rtp_malformed, KG_WARN, "RTP header truncated, bad extension or padding")                         \
	X(rtp_payload_type, KG_WARN, "RTP payload type was not negotiated on this leg")                     \
	X(rtcp_malformed, KG_WARN, "RTCP compound packet malformed (RFC 3550 A.2)")                         \
	X(rtcp_no_peer, KG_INFO, "RTCP for a peer that has no RTCP address")                                \
	X(seq_probation, KG_INFO, "a new source's packets before it is believed (RFC 3550 A.1)")            \
	X(direction, KG_INFO, "media against the negotiated direction (hold, sendonly, inactive)")          \
	X(no_bridge, KG_INFO, "the leg has no peer to relay to yet")                                        \
	X(peer_gone, KG_INFO, "the peer leg was retired")                                                   \
	X(no_next_hop, KG_WARN, "the remote's next hop is not resolved by the kernel yet")                  \
	X(tx_full, KG_WARN, "the nic's transmit ring was full")                                             \
	X(too_long, KG_WARN, "the packet is longer than a media packet may be")                             \
	X(wrong_vlan, KG_INFO, "a frame without the nic's VLAN tag")                                        \
	X(lcore_full, KG_WARN, "the ring to the lcore that owns the leg or the transmit queue was full")

// Counters that are no drops. X(id, unit, severity, help)
#define KG_COUNTERS(X)                                                                         \
	X(rx_packets, "packets", KG_INFO, "frames taken from nics")                            \
	X(rx_bytes, "bytes", KG_INFO, "bytes of frames taken from nics")                       \
	X(tx_packets, "packets", KG_INFO, "frames given to nics")                              \
	X(tx_bytes, "bytes", KG_INFO, "bytes of frames given to nics")                         \
	X(rtp_relayed, "packets", KG_INFO, "RTP packets relayed to the other leg")             \
	X(rtcp_relayed, "packets", KG_INFO, "RTCP packets relayed to the other leg")           \
	X(loops, "turns", KG_INFO, "turns of the lcore loop")                                  \
	X(busy_loops, "turns", KG_INFO, "turns that found packets")                            \
	X(sleeps, "sleeps", KG_INFO, "times the adaptive idle policy slept")                   \
	X(bursts, "bursts", KG_INFO, "non-empty receive bursts")                               \
	X(commands, "commands", KG_INFO, "commands from control that were carried out")        \
	X(handed_over, "packets", KG_INFO, "received by another lcore than the leg's")         \
	X(cross_lcore, "packets", KG_INFO, "for a leg of another lcore than the sender's")     \
	X(to_rooms, "packets", KG_INFO, "of legs that are transcoded, given to the dsp lcore") \
	X(from_rooms, "packets", KG_INFO, "made by dsp lcores")                                \
	X(waited, "packets", KG_INFO, "waited for a next hop that was not resolved yet")       \
	X(handed_tx, "packets", KG_INFO, "sent through another lcore's transmit queue")        \
	X(to_kernel, "packets", KG_INFO, "frames that are no media, given to the nic's TAP")   \
	X(from_kernel, "packets", KG_INFO, "frames of the nic's TAP that were sent")           \
	X(events_lost, "events", KG_ERROR, "events to control lost because its ring was full")

#define KG_DROP_ENUM(id, severity, help) KG_DROP_##id,
enum kg_drop { KG_DROPS(KG_DROP_ENUM) KG_DROP_COUNT };
#define KG_COUNTER_ENUM(id, unit, severity, help) KG_CNT_##id,
enum kg_counter { KG_COUNTERS(KG_COUNTER_ENUM) KG_CNT_COUNT };

struct kg_counter_info {
	const char *id;
	const char *unit;
	enum kg_severity severity;
	const char *help;
};

extern const struct kg_counter_info kg_drop_info[KG_DROP_COUNT];
extern const struct kg_counter_info kg_counter_info[KG_CNT_COUNT];
