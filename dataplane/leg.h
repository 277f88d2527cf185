// SPDX-License-Identifier: BSD-3-Clause
// A leg as the relay lcore sees it, in cache lines by what a packet needs of it. A packet that is relayed touches two
// lines of its own leg (in: what it is checked against, stream: what is learned of it) and two of its peer (out: what
// it is made from, tx: the line that it leaves on). All else is in leg_cold, in an array of its own: so 100,000 legs
// are 25 MB for the path, and not 60.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"
#include "rtp.h"

#define LEG_INDEX_BITS 20
#define LEG_HEADER_4 42 // Ethernet, IPv4, UDP
#define LEG_HEADER_6 62 // Ethernet, IPv6, UDP
#define LEG_LINE __attribute__((aligned(64)))

enum leg_flag {
	LEG_MUX = 1, // RTCP on the RTP port
	LEG_MAY_RECEIVE = 2,
	LEG_MAY_SEND = 4,
	LEG_REMOTE = 8,       // the remote address is known
	LEG_REMOTE_RTCP = 16, // and the one for RTCP
	LEG_HOP = 32,         // the next hop is known
	LEG_LATCH = 64,       // the remote's port may be learned (leg_latch)
	LEG_PROVED = 128,     // and RTP came from in.remote_port
};

// An address as the relay compares it: network order, IPv4 in the first four bytes and the rest zero. Of which family
// is known from the leg, which has only packets of its local address's.
struct leg_ip {
	uint64_t word[2];
};

static inline bool leg_ip_same(const struct leg_ip *a, const struct leg_ip *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

enum leg_law { LEG_LAW_NONE, LEG_LAW_ULAW_TO_ALAW, LEG_LAW_ALAW_TO_ULAW };

// What an arriving packet is checked against.
struct leg_in {
	struct leg_ip remote_ip;
	uint64_t formats[2]; // bit per payload type
	uint32_t id;         // 0: no leg
	uint32_t peer;
	uint32_t clock_hz;    // of all payload types; 0: they differ, see leg_cold
	uint16_t remote_port; // network order
	uint16_t local_port;  // RTP's, host order
	uint8_t flags;        // enum leg_flag
	uint8_t room;         // 1 + the dsp that what arrives goes to; 0: it is relayed. peer is 0 then
	uint8_t law;          // enum leg_law: what becomes of its payload_type on the way to the peer
	uint8_t law_type, law_to;
	uint8_t event_type, event_to; // and the number of telephone-event, where law is set; 255: none
} LEG_LINE;

// What a leaving packet is made from. What only IPv6 and RTCP need is in leg_more.
struct leg_out {
	uint8_t header[LEG_HEADER_4]; // lengths and checksums zero; of IPv6 its first part
	uint16_t ip_sum;              // of the IPv4 header without its length
	uint16_t udp_sum;             // of the pseudo header and the ports without the length
	uint16_t room;                // the longest payload that the way to the remote takes whole
	uint32_t id;                  // as leg_in's: a packet for another leg ends here
	uint8_t length;               // of the header: LEG_HEADER_4 or _6
	uint8_t flags;                // as leg_in's
	uint8_t nic;
} LEG_LINE;

struct leg_more {
	uint8_t header[LEG_HEADER_6 - LEG_HEADER_4];
	uint16_t rtcp_remote_port, rtcp_local_port; // network order
	struct leg_ip rtcp_ip;
} LEG_LINE;

// What a payload type's timestamps count.
struct leg_clock {
	uint8_t payload_type;
	uint32_t hz;
};

// How the port of a party behind NAT is learned (RFC 7362, STANDARDS "latching"). The address is bound by signalling.
struct leg_latch {
	uint32_t window; // kg_leg_config.latch: another number opens it anew
	uint32_t ssrc;   // of the candidate
	uint16_t port;   // network order; whose packets are counted
	uint16_t next;   // its next sequence number
	uint8_t run;     // packets in sequence so far
	bool moved;      // in.remote_port was learned, it is not the configured one
	bool rtcp_moved;
};

// A leg's configuration, immutable once built. Control builds and frees it, the owner copies it into the leg.
struct leg_conf {
	struct leg_in in;
	struct leg_out out;
	struct leg_more more;
	uint32_t *ports; // the port table of the local address: lives longer than the leg; the owner clears its ports
			 // there
	struct kg_leg_config config;
};

// The stream that arrives: its source, and what was admitted of all sources.
struct leg_stream {
	struct rtp_source source;
	uint64_t packets, bytes;
} LEG_LINE;

// The one line towards the party, for the leg's whole life: SSRC, sequence with its rollovers, timestamp. `map` is how
// the source that is on it now is put there.
struct leg_tx {
	struct rtp_map map;
	uint32_t from;     // the leg that the mapped source is on; 0: nothing has left yet
	uint32_t last_seq; // of the newest packet, extended: the upper half is SRTP's rollover counter (RFC 3711 3.3.1)
	uint32_t last_ts;
	uint32_t pad;
	uint64_t last_tsc;
	uint64_t packets, bytes;
} LEG_LINE;

struct leg {
	struct leg_in in;         // relay: rw by command
	struct leg_stream stream; // relay: rw, control: ro
	struct leg_out out;       // relay: rw by command
	struct leg_tx tx;         // relay: rw, control: ro
};

struct leg_cold {
	struct leg_more more;                      // relay: rw by command
	struct leg_clock clocks[KG_MEDIA_FORMATS]; // relay: rw by command
	unsigned clock_count;
	uint64_t drops[KG_DROP_COUNT]; // relay: rw, control: ro; all of what follows is
	uint64_t duplicate, reordered, lost_before;
	uint64_t rx_rtcp_packets, tx_rtcp_packets;
	uint32_t candidate_ssrc; // wants to replace the source
	uint16_t candidate_seq;  // its next
	uint32_t sources;
	struct leg_latch latch;
	struct leg_refused {
		struct leg_ip ip;
		uint16_t port; // network order
		uint32_t ssrc; // 0: it was no RTP
	} refused;             // the last wrong_source
} LEG_LINE;

static inline uint32_t leg_index(kg_leg_id id)
{
	return id & ((1u << LEG_INDEX_BITS) - 1);
}

// Build a configuration block from what the driver gave.
// Thread: control. Owns: the caller frees. Returns: NULL with errno EINVAL (families that differ, no port, a payload
// type above 127) or ENOMEM.
struct leg_conf *leg_conf_create(const struct kg_leg_config *config, kg_leg_id id, uint32_t *ports);

// Between the laws of G.711 each byte has its counterpart, and the relay puts it there, where the ptimes are alike.
enum leg_law leg_law(const struct kg_leg_config *config);

struct leg_ip leg_ip_of(const struct kg_addr *addr);

// Take a new configuration into the leg. What was learned of the remote's ports stays as long as the latching window is
// the same. Thread: the owner. Returns: did signalling name another remote?
bool leg_configure(struct leg *leg, struct leg_cold *cold, const struct leg_conf *conf);

// Enter a leg's RTP and RTCP port into the table of its address, before anybody is told of them: whichever lcore
// receives the peer's first packet then knows whose it is. `lcore` is the owner's number. Thread: control.
void leg_ports_set(uint32_t *ports, const struct kg_leg_config *config, kg_leg_id id, unsigned lcore);

// Take them out, where they are this leg's. Thread: the owner, or control where the leg was never made.
void leg_ports_clear(uint32_t *ports, const struct kg_leg_config *config, kg_leg_id id, unsigned lcore);

// The clock of a payload type. Units: Hz; 0: not known. Thread: the owner.
uint32_t leg_clock_hz(const struct leg_cold *cold, uint8_t payload_type);

// Read a leg's counters. Thread: control; exact once the owner has retired the leg.
void leg_stats(const struct leg *leg, const struct leg_cold *cold, struct kg_leg_stats *out);
