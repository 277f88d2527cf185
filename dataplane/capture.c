// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include <rte_mbuf.h>

#include "capture.h"
#include "relay.h"
#include "rtp.h"

static void put(struct capture *capture, uint64_t at, const void *from, uint32_t length)
{
	uint32_t begin = (uint32_t)(at & (CAPTURE_BYTES - 1));
	uint32_t first = length < CAPTURE_BYTES - begin ? length : CAPTURE_BYTES - begin;

	memcpy(capture->data + begin, from, first);
	memcpy(capture->data, (const uint8_t *)from + first, length - first);
}

static void get(const struct capture *capture, uint64_t at, void *to, uint32_t length)
{
	uint32_t begin = (uint32_t)(at & (CAPTURE_BYTES - 1));
	uint32_t first = length < CAPTURE_BYTES - begin ? length : CAPTURE_BYTES - begin;

	memcpy(to, capture->data + begin, first);
	memcpy((uint8_t *)to + first, capture->data, length - first);
}

bool capture_wants(const struct capture_filter *filter, const uint8_t *frame, size_t size, bool outgoing)
{
	size_t ip = size >= 16 && rtp_get16(frame + 12) == 0x8100 ? 18 : 14, udp, at;
	uint8_t family = size > ip ? frame[ip] >> 4 : 0;
	unsigned port;

	if (family != filter->family)
		return false;
	udp = ip + (family == 4 ? (frame[ip] & 15u) * 4 : 40);
	at = family == 4 ? ip + (outgoing ? 12 : 16) : ip + (outgoing ? 8 : 24);
	if (size < udp + 8 || size < ip + 40 - (family == 4 ? 20 : 0) || frame[ip + (family == 4 ? 9 : 6)] != 17)
		return false;
	port = rtp_get16(frame + udp + (outgoing ? 0 : 2));
	return port - filter->port < filter->ports && memcmp(frame + at, filter->ip, family == 4 ? 4 : 16) == 0;
}

void capture_burst(struct capture *capture, struct rte_mbuf **packets, unsigned n, uint64_t tsc, bool outgoing)
{
	uint64_t head = capture->head, tail = __atomic_load_n(&capture->tail, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < n; i++) {
		uint32_t size = rte_pktmbuf_data_len(packets[i]);
		struct capture_frame frame = {.tsc = tsc,
			.length = rte_pktmbuf_pkt_len(packets[i]),
			.copied = size < CAPTURE_SNAP ? size : CAPTURE_SNAP,
			.outgoing = outgoing};

		if (capture->filter.ports &&
			!capture_wants(&capture->filter, rte_pktmbuf_mtod(packets[i], const uint8_t *), size, outgoing))
			continue;
		if (head + sizeof(frame) + frame.copied - tail > CAPTURE_BYTES) {
			relay_add(&capture->lost, 1);
			continue;
		}
		put(capture, head, &frame, sizeof(frame));
		put(capture, head + sizeof(frame), rte_pktmbuf_mtod(packets[i], const void *), frame.copied);
		head += sizeof(frame) + frame.copied;
	}
	__atomic_store_n(&capture->head, head, __ATOMIC_RELEASE);
}

bool capture_peek(const struct capture *capture, uint64_t *tsc)
{
	struct capture_frame frame;

	if (capture->tail == __atomic_load_n(&capture->head, __ATOMIC_ACQUIRE))
		return false;
	get(capture, capture->tail, &frame, sizeof(frame));
	*tsc = frame.tsc;
	return true;
}

bool capture_next(struct capture *capture, struct capture_frame *frame, uint8_t data[CAPTURE_SNAP])
{
	uint64_t tail = capture->tail;

	if (tail == __atomic_load_n(&capture->head, __ATOMIC_ACQUIRE))
		return false;
	get(capture, tail, frame, sizeof(*frame));
	get(capture, tail + sizeof(*frame), data, frame->copied);
	__atomic_store_n(&capture->tail, tail + sizeof(*frame) + frame->copied, __ATOMIC_RELEASE);
	return true;
}
