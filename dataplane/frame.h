// SPDX-License-Identifier: BSD-3-Clause
// A received Ethernet frame down to its UDP payload, IPv4 or IPv6. Part of the packet path: it is inlined into the
// relay's classify stage. Nothing here writes to the frame.
#pragma once

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ip.h>

#include "kg_counters.h"
#include "leg.h"

#define FRAME_ETHERNET 14
#define FRAME_UDP 8

struct frame {
	struct leg_ip target;
	const uint8_t *source; // address
	const uint8_t *udp;
	uint64_t addresses_sum; // of both, in 32-bit words
	uint16_t length;        // of the UDP payload
	uint16_t source_port;   // network order
	uint16_t port;          // destination, host order
	bool v6;
};

// One's complement sums (RFC 1071): wide ones are folded once, at the end. Adding the halves to each other leaves their
// sum in the upper half, its carry already added. A sum is zero only where all that went in was.
static inline uint32_t frame_fold32(uint64_t sum)
{
	return (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
}

static inline uint16_t frame_fold16(uint32_t sum)
{
	return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
}

static inline uint16_t frame_fold(uint64_t sum)
{
	return frame_fold16(frame_fold32(sum));
}

static inline uint64_t frame_sum(const uint8_t *data, unsigned length)
{
	uint64_t sum = 0;
	uint16_t word;

	for (unsigned i = 0; i < length; i += 2) {
		memcpy(&word, data + i, 2);
		sum += word;
	}
	return sum;
}

static inline uint64_t frame_get64(const uint8_t *data)
{
	uint64_t word;

	memcpy(&word, data, 8);
	return word;
}

// Of an IPv4 header without options: three reads, and the carries.
static inline uint64_t frame_sum20(const uint8_t *ip)
{
	uint64_t first = frame_get64(ip), sum = first + frame_get64(ip + 8);
	uint32_t last;

	memcpy(&last, ip + 16, 4);
	sum += sum < first;
	sum += last;
	return sum + (sum < last);
}

static inline int frame_ip4(const uint8_t *ip, uint32_t size, struct frame *out, uint32_t *udp_room)
{
	unsigned header = 20;
	uint32_t total, source, target;
	uint64_t sum;

	if (size < 20)
		return KG_DROP_bad_ip;
	if (unlikely(ip[0] != 0x45)) {
		header = 4u * (ip[0] & 15);
		if (ip[0] >> 4 != 4 || header < 20 || size < header)
			return KG_DROP_bad_ip;
	}
	total = rtp_get16(ip + 2);
	sum = likely(header == 20) ? frame_sum20(ip) : frame_sum(ip, header);
	if (total < header || total > size || frame_fold(sum) != 0xffff)
		return KG_DROP_bad_ip;
	if (rtp_get16(ip + 6) & 0x3fff)
		return KG_DROP_ip_fragment;
	if (ip[9] != 17)
		return KG_DROP_not_udp;
	memcpy(&source, ip + 12, 4);
	memcpy(&target, ip + 16, 4);
	out->target = (struct leg_ip){{target, 0}};
	out->source = ip + 12;
	out->addresses_sum = (uint64_t)source + target;
	out->udp = ip + header;
	out->v6 = false;
	*udp_room = total - header;
	return -1;
}

// Extension headers are not followed: media has none, and the XDP program leaves such packets to the kernel.
static inline int frame_ip6(const uint8_t *ip, uint32_t size, struct frame *out, uint32_t *udp_room)
{
	if (size < 40 || ip[0] >> 4 != 6 || rtp_get16(ip + 4) > size - 40)
		return KG_DROP_bad_ip;
	if (ip[6] == 44)
		return KG_DROP_ip_fragment;
	if (ip[6] != 17)
		return KG_DROP_not_udp;
	memcpy(&out->target.word[0], ip + 24, 8);
	memcpy(&out->target.word[1], ip + 32, 8);
	out->source = ip + 8;
	out->addresses_sum = frame_sum(ip + 8, 32);
	out->udp = ip + 40;
	out->v6 = true;
	*udp_room = rtp_get16(ip + 4);
	return -1;
}

// Returns: -1 and *out, or why the frame is no UDP datagram (enum kg_drop).
static inline int frame_read(const uint8_t *data, uint32_t size, struct frame *out)
{
	uint16_t type = size >= FRAME_ETHERNET ? rtp_get16(data + 12) : 0;
	uint32_t room, length;
	int reason;

	if (likely(type == 0x0800))
		reason = frame_ip4(data + FRAME_ETHERNET, size - FRAME_ETHERNET, out, &room);
	else if (type == 0x86dd)
		reason = frame_ip6(data + FRAME_ETHERNET, size - FRAME_ETHERNET, out, &room);
	else
		return KG_DROP_not_ip;
	if (reason >= 0)
		return reason;
	if (room < FRAME_UDP)
		return KG_DROP_bad_udp;
	length = rtp_get16(out->udp + 4) - FRAME_UDP; // of the header alone: wraps, and is too long
	if (length > room - FRAME_UDP)
		return KG_DROP_bad_udp;
	memcpy(&out->source_port, out->udp, 2);
	out->port = rtp_get16(out->udp + 2);
	out->length = (uint16_t)length;
	return -1;
}
