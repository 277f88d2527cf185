// SPDX-License-Identifier: BSD-3-Clause
// Time-scale by whole pitch periods: one period of 2.5 to 15 ms is taken out of a frame, or put in once more, where the
// two pieces that then meet are alike (WSOLA's idea), and they are faded into each other with the power that their
// likeness calls for. Nothing but the frame is needed, its first and last sample stay what they were, and where nothing
// is alike it declines, unless the frame is quiet: then any cut will do.
#pragma once

#include <stdint.h>

struct stretch {
	uint32_t rate_hz;
	float loud; // mean square of what is loud here, falling slowly
};

void stretch_init(struct stretch *stretch, uint32_t rate_hz);

// Take a period out of the frame, in place; never more than `most`.
// Units: samples.
// Returns: how many are left; count where it declined.
uint32_t stretch_shorten(struct stretch *stretch, int16_t *samples, uint32_t count, uint32_t most);

// Put a period in, in place; room is the memory's, of which 15 ms over count are enough.
// Returns: how many there are now; count where it declined.
uint32_t stretch_lengthen(struct stretch *stretch, int16_t *samples, uint32_t count, uint32_t room);
