// SPDX-License-Identifier: BSD-3-Clause
// What stands below the API in its tests: calls, the stack and the media plane, as plain state that a test may set.
#pragma once

#include "calls.h"
#include "kg_media.h"

#define FAKE_CALL "c-1"
#define FAKE_LEG "l-1"

struct api_fakes {
	struct calls_counts calls;
	struct sip_counts sip;
	struct kg_media_totals media;
	struct kg_lcore_info lcore;
	struct kg_nic_info nic;
	unsigned hangups;
	int reload_error;
	bool capturing, capturing_leg; // somebody; of one leg
	bool capture_silent;           // no frame comes
	bool leg_gone;
	const char *reload_report;
};
extern struct api_fakes api_fakes;

void api_fakes_init(void); // one lcore that beats, one nic with its link, and a number of its own for each figure
int api_fakes_reload(void *arg, char **report);
