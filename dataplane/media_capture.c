// SPDX-License-Identifier: BSD-3-Clause
// The facade's captures: one for a nic at a time, with a ring from each lcore. A ring is given to the lcore by a
// command and comes back by its acknowledgement.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "media_private.h"

static bool is_open(const struct media_capture *capture)
{
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		if (capture->rings[i])
			return true;
	return false;
}

static struct capture_filter filter_of(const struct kg_capture_only *only)
{
	struct capture_filter filter = {.ports = 0};

	if (!only)
		return filter;
	memcpy(filter.ip, only->local.ip, sizeof(filter.ip));
	filter.family = only->local.family;
	filter.port = only->local.port;
	filter.ports = only->rtcp_mux ? 1 : 2;
	return filter;
}

static bool start_one(struct kg_media *media, unsigned nic, const struct kg_capture_only *only, unsigned lcore)
{
	struct capture *ring = aligned_alloc(64, sizeof(*ring));

	if (!ring)
		return false;
	ring->head = ring->tail = ring->lost = 0;
	ring->filter = filter_of(only);
	if (!media_push(media, lcore, &(struct lcore_command){.type = LCORE_CAPTURE, .leg = nic, .block = ring})) {
		free(ring);
		return false;
	}
	media->captures[nic].rings[lcore] = ring; // one that ends comes back by this command, or by its own before
	return true;
}

int kg_media_capture_start(struct kg_media *media, unsigned nic, const struct kg_capture_only *only)
{
	struct media_capture *capture;

	if (nic >= media->nic_count)
		return -ENOENT;
	capture = &media->captures[nic];
	if (is_open(capture) && !capture->end)
		return -EBUSY;
	capture->end = false;
	capture->tell = 0;
	for (unsigned i = 0; i < media->lcore_count; i++) {
		if (start_one(media, nic, only, i))
			continue;
		kg_media_capture_stop(media, nic);
		return -EAGAIN;
	}
	return 0;
}

// The ring whose next frame is the oldest. Returns: NULL where there is none.
static struct capture *oldest(const struct kg_media *media, unsigned nic)
{
	struct capture *found = NULL;
	uint64_t least = UINT64_MAX, tsc;

	for (unsigned i = 0; i < media->lcore_count; i++) {
		struct capture *ring = media->captures[nic].rings[i];

		if (ring && capture_peek(ring, &tsc) && tsc < least) {
			least = tsc;
			found = ring;
		}
	}
	return found;
}

bool kg_media_capture_read(struct kg_media *media, unsigned nic, struct kg_captured *out, uint8_t data[KG_CAPTURE_SNAP])
{
	struct capture *ring = nic < media->nic_count ? oldest(media, nic) : NULL;
	struct capture_frame frame;
	struct timespec now;
	uint64_t age;

	if (!ring || !capture_next(ring, &frame, data))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	age = (uint64_t)((double)(rte_rdtsc() - frame.tsc) * 1e9 / (double)media->tsc_hz);
	*out = (struct kg_captured){.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - age,
		.length = frame.length,
		.copied = frame.copied,
		.outgoing = frame.outgoing};
	return true;
}

uint64_t kg_media_capture_lost(struct kg_media *media, unsigned nic)
{
	uint64_t lost = 0;

	for (unsigned i = 0; nic < media->nic_count && i < media->lcore_count; i++)
		if (media->captures[nic].rings[i])
			lost += __atomic_load_n(&media->captures[nic].rings[i]->lost, __ATOMIC_RELAXED);
	return lost;
}

void kg_media_capture_stop(struct kg_media *media, unsigned nic)
{
	struct media_capture *capture = &media->captures[nic];

	if (nic >= media->nic_count || !is_open(capture) || capture->end)
		return;
	capture->end = true;
	for (unsigned i = 0; i < media->lcore_count; i++)
		if (capture->rings[i])
			capture->tell |= 1u << i;
	media_captures_poll(media);
}

void media_captures_poll(struct kg_media *media)
{
	for (unsigned nic = 0; nic < media->nic_count; nic++)
		for (unsigned i = 0; media->captures[nic].tell && i < media->lcore_count; i++)
			if (media->captures[nic].tell >> i & 1 &&
				media_push(media, i, &(struct lcore_command){.type = LCORE_CAPTURE, .leg = nic}))
				media->captures[nic].tell &= ~(1u << i);
}

void media_capture_returned(struct kg_media *media, unsigned lcore, unsigned nic, void *old)
{
	struct media_capture *capture = &media->captures[nic];

	free(old);
	if (old && capture->rings[lcore] == old) // else another has begun meanwhile
		capture->rings[lcore] = NULL;
	if (!is_open(capture))
		capture->end = false;
}

// An lcore may have a ring that ended beside the one that was to be its next.
void media_captures_fini(struct kg_media *media)
{
	for (unsigned nic = 0; nic < KG_MEDIA_NICS; nic++)
		for (unsigned i = 0; i < media->lcore_count; i++) {
			struct capture *ring = media->captures[nic].rings[i];

			if (media->lcores[i] && media->lcores[i]->nics[nic].capture != ring)
				free(media->lcores[i]->nics[nic].capture);
			free(ring);
		}
}
