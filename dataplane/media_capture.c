// SPDX-License-Identifier: BSD-3-Clause
// The facade's captures: one for a nic at a time. The ring is given to the lcore by a command and comes back by its
// acknowledgement.

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>

#include "media_private.h"

int kg_media_capture_start(struct kg_media *media, unsigned nic)
{
	struct capture *capture;

	if (nic >= media->nic_count)
		return -ENOENT;
	if (media->captures[nic] && !media->captures_end[nic])
		return -EBUSY;
	capture = aligned_alloc(64, sizeof(*capture));
	if (!capture)
		return -ENOMEM;
	capture->head = capture->tail = capture->lost = 0;
	if (!media_push(media, &(struct lcore_command){.type = LCORE_CAPTURE, .leg = nic, .block = capture})) {
		free(capture);
		return -EAGAIN;
	}
	media->captures[nic] = capture; // one that ends comes back by this command, or by its own before
	media->captures_end[nic] = media->captures_told[nic] = false;
	return 0;
}

bool kg_media_capture_read(struct kg_media *media, unsigned nic, struct kg_captured *out, uint8_t data[KG_CAPTURE_SNAP])
{
	struct capture *capture = nic < media->nic_count ? media->captures[nic] : NULL;
	struct capture_frame frame;
	struct timespec now;
	uint64_t age;

	if (!capture || !capture_next(capture, &frame, data))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	age = (uint64_t)((double)(rte_rdtsc() - frame.tsc) * 1e9 / (double)media->lcore->relay.tsc_hz);
	*out = (struct kg_captured){.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - age,
		.length = frame.length,
		.copied = frame.copied,
		.outgoing = frame.outgoing};
	return true;
}

uint64_t kg_media_capture_lost(struct kg_media *media, unsigned nic)
{
	const struct capture *capture = nic < media->nic_count ? media->captures[nic] : NULL;

	return capture ? __atomic_load_n(&capture->lost, __ATOMIC_RELAXED) : 0;
}

void kg_media_capture_stop(struct kg_media *media, unsigned nic)
{
	if (nic >= media->nic_count || !media->captures[nic] || media->captures_end[nic])
		return;
	media->captures_end[nic] = true;
	media_captures_poll(media);
}

void media_captures_poll(struct kg_media *media)
{
	for (unsigned nic = 0; nic < media->nic_count; nic++)
		if (media->captures_end[nic] && !media->captures_told[nic])
			media->captures_told[nic] =
				media_push(media, &(struct lcore_command){.type = LCORE_CAPTURE, .leg = nic});
}

void media_capture_returned(struct kg_media *media, unsigned nic, void *old)
{
	if (!old)
		return; // the beginning is acknowledged too
	free(old);
	if (media->captures[nic] != old)
		return; // another has begun meanwhile
	media->captures[nic] = NULL;
	media->captures_end[nic] = media->captures_told[nic] = false;
}
