// SPDX-License-Identifier: BSD-3-Clause
// Any frame through the whole packet path, with two bridged legs, one IPv4 and behind NAT, one IPv6; and any payload
// through the RTP and RTCP checks and the translation of what they let through. The first byte chooses: 1 the second
// leg, 2 the RTCP port, 4 a whole frame, 8 the checks alone, 16 from another port than known.

#include <stdlib.h>
#include <string.h>

#include "relay_rig.h"

static struct rig *rig;
static struct kg_leg_config legs[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_up(void)
{
	rig = rig_create(4);
	for (unsigned i = 0; i < 2; i++) {
		legs[i] = (struct kg_leg_config){.nic = (uint8_t)i,
			.may_receive = true,
			.may_send = true,
			.hop = {.resolved = true},
			.peer = (1u << LEG_INDEX_BITS) + 2 - i,
			.rtcp_mux = i,
			.latch = !i};
		kg_addr_parse(&legs[i].local, i ? "2001:db8::1" : "10.0.0.1", 20000);
		kg_addr_parse(&legs[i].remote, i ? "2001:db8::9" : "10.0.0.9", 4000);
		legs[i].remote_rtcp = legs[i].remote;
		legs[i].remote_rtcp.port = (uint16_t)(4001 - i);
		rig_leg_create(rig, (1u << LEG_INDEX_BITS) + 1 + i, &legs[i]);
	}
}

// The payload in a frame that reaches the leg, so that the fuzzer need not guess checksums.
static void as_payload(const uint8_t *data, size_t size, bool second, bool rtcp, bool moved)
{
	static struct rig_out out[RELAY_BURST];
	uint8_t frame[RELAY_MAX_FRAME];
	struct kg_addr from = legs[second].remote, to = legs[second].local;

	if (size > RELAY_MAX_FRAME - 62)
		size = RELAY_MAX_FRAME - 62;
	from.port = (uint16_t)(from.port + rtcp + (moved ? 100 : 0));
	rig->now_tsc += moved ? rig->relay->tsc_hz : 0; // a port in use is given up once it is quiet
	to.port = (uint16_t)(to.port + rtcp);
	if (rig_one(rig, frame, rig_frame(frame, &from, &to, data, (unsigned)size, RIG_WHOLE), out) &&
		!rig_sound(&out[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig_out out[RELAY_BURST];
	uint8_t copy[2048];

	if (!rig)
		set_up();
	if (size < 1 || size > sizeof(copy) - 1)
		return 0;
	memcpy(copy, data + 1, size - 1); // exact bounds: the sanitizer sees each byte too many
	if (data[0] & 8) {
		uint8_t *exact = malloc(size);
		const struct rtp_map map = {
			.in_ssrc = rtp_get32((uint8_t[]){1, 2, 3, 4}), .out_ssrc = 5, .ts_add = 6, .seq_add = 7};

		memcpy(exact, data + 1, size - 1);
		rtp_sound(exact, size - 1);
		if (rtcp_sound(exact, size - 1)) {
			rtcp_translate(exact, size - 1, &map, &map);
			if (!rtcp_sound(exact, size - 1))
				abort();
		}
		free(exact);
	} else if (data[0] & 4) {
		rig_one(rig, copy, (unsigned)(size - 1), out);
	} else {
		as_payload(copy, size - 1, data[0] & 1, data[0] & 2, data[0] & 16);
	}
	return 0;
}
