// SPDX-License-Identifier: BSD-3-Clause
// A leg as the relay lcore sees it, in cache lines by what a packet needs of it: what is checked when one arrives, what
// is written when one leaves, the stream that arrives, the line that leaves, and the cold rest.
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
	uint8_t nic;
} LEG_LINE;

// What a leaving packet is made from. IPv4's part is one line; IPv6's address and what only RTCP needs are in the next.
struct leg_out {
	uint32_t ip_sum;                            // of the IPv4 header without its length
	uint32_t udp_sum;                           // of the pseudo header and the ports without the length
	uint16_t mtu;                               // of the way to the remote; 0: not known
	uint8_t length;                             // of the header: LEG_HEADER_4 or _6
	uint8_t header[LEG_HEADER_6];               // lengths and checksums zero
	uint16_t rtcp_remote_port, rtcp_local_port; // network order
	struct leg_ip rtcp_ip;
} LEG_LINE;

// How the port of a party behind NAT is learned (RFC 7362, STANDARDS "latching"). The address is bound by signalling.
struct leg_latch {
	uint32_t window; // kg_leg_config.latch: another number opens it anew
	uint32_t ssrc;   // of the candidate
	uint16_t port;   // network order; whose packets are counted
	uint16_t next;   // its next sequence number
	uint8_t run;     // packets in sequence so far
	bool proved;     // RTP came from in.remote_port
	bool moved;      // in.remote_port was learned, it is not the configured one
	bool rtcp_moved;
};

// A leg's configuration, immutable once built. Control builds and frees it, the owner copies it into the leg.
struct leg_conf {
	struct leg_in in;
	struct leg_out out;
	uint32_t clocks[128]; // by payload type, 0: not measured
	uint32_t *ports; // the port table of the local address: lives longer than the leg, the owner writes its ports
	struct kg_leg_config config;
};

struct leg {
	struct leg_in in;   // relay: rw by command
	struct leg_out out; // relay: rw by command

	// The stream that arrives. relay: rw, control: ro
	struct leg_stream {
		struct rtp_source source;
		uint64_t last_tsc; // the last packet of this source; 0: a new one is believed at once
	} LEG_LINE stream;
	struct leg_rx {
		uint64_t packets, bytes;
		uint64_t duplicate, reordered, lost_before;
		uint64_t rtcp_packets;
		uint32_t candidate_ssrc; // wants to replace the source
		uint16_t candidate_seq;  // its next
		uint32_t sources;
	} LEG_LINE rx;

	// The line that leaves. relay: rw, control: ro
	struct leg_tx {
		struct rtp_map map;
		uint32_t from; // the leg that the mapped source is on
		bool started;
		uint32_t last_seq; // extended from the line's first
		uint32_t last_ts;
		uint64_t last_tsc;
		uint64_t packets, bytes, rtcp_packets;
	} LEG_LINE tx;

	struct leg_cold {
		uint64_t drops[KG_DROP_COUNT]; // relay: rw, control: ro
		uint32_t clocks[128];          // relay: rw by command
		struct leg_latch latch;        // relay: rw
		struct leg_refused {
			struct leg_ip ip;
			uint16_t port; // network order
			uint32_t ssrc; // 0: it was no RTP
		} refused;             // relay: rw, control: ro; the last wrong_source
	} LEG_LINE cold;
} LEG_LINE;

static inline uint32_t leg_index(kg_leg_id id)
{
	return id & ((1u << LEG_INDEX_BITS) - 1);
}

// Build a configuration block from what the driver gave.
// Thread: control. Owns: the caller frees. Returns: NULL with errno EINVAL (families that differ, no port, a payload
// type above 127) or ENOMEM.
struct leg_conf *leg_conf_create(const struct kg_leg_config *config, kg_leg_id id, uint32_t *ports);

struct leg_ip leg_ip_of(const struct kg_addr *addr);

// Take a new configuration into the leg. What was learned of the remote's ports stays as long as the latching window is
// the same. Thread: the owner. Returns: did signalling name another remote?
bool leg_configure(struct leg *leg, const struct leg_conf *conf);

// Read a leg's counters. Thread: control; exact once the owner has retired the leg.
void leg_stats(const struct leg *leg, struct kg_leg_stats *out);
