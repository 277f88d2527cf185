// SPDX-License-Identifier: BSD-3-Clause
// SDP from the wire: it is read or refused, and what is told of it to the other party can be read again, names our
// address and port, and nothing else of an end.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "offer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_told(const char *text, const struct offer_local *local, bool audio)
{
	struct offer_media media;
	struct sdp *again;
	char err[OFFER_ERR];

	assert(sdp_parse_text(text, strlen(text), &again, err) == 0);
	sdp_media(again, &media);
	assert(media.present == audio);
	if (audio) {
		assert(kg_addr_same(&media.remote, &local->rtp));
		assert(kg_addr_same_ip(&media.remote_rtcp, &local->rtp));
		assert(media.rtcp_mux == local->mux && media.format_count > 0);
	}
	assert(!strstr(text, "\na=candidate") && !strstr(text, "\na=crypto") && !strstr(text, "\na=rtcp:"));
	sdp_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct offer_local local = {.session_id = 1, .version = 1, .mux = size & 1};
	struct offer_media media;
	char err[OFFER_ERR], *text;
	struct sdp *sdp;

	kg_addr_parse(&local.rtp, "192.0.2.10", 16384);
	if (sdp_parse_text((const char *)data, size, &sdp, err) != 0) {
		assert(*err && !sdp);
		return 0;
	}
	sdp_media(sdp, &media);
	assert(!media.present || (media.format_count > 0 && media.format_count <= OFFER_FORMATS));
	text = sdp_relay_text(sdp, NULL, NULL, &local, err);
	assert((text != NULL) == media.present);
	if (text)
		check_told(text, &local, true);
	free(text);
	text = sdp_relay_text(sdp, sdp, NULL, &local, err); // as an answer to itself
	if (text)
		check_told(text, &local, true);
	free(text);
	text = sdp_refusal_text(sdp, &local);
	check_told(text, &local, false);
	free(text);
	sdp_free(sdp);
	return 0;
}
