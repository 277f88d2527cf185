// SPDX-License-Identifier: BSD-3-Clause
// The tables of G.711, written by g711_tables.py when kedge is built.
#pragma once

#include <stdint.h>

extern const uint8_t g711_ulaw_codes[16384]; // by the upper 14 bits of the sample
extern const uint8_t g711_alaw_codes[4096];  // by its upper 12
extern const int16_t g711_ulaw_samples[256]; // by code; [128 + i] is -[i], for both laws
extern const int16_t g711_alaw_samples[256];
extern const uint8_t g711_ulaw_halves[256]; // of the 128 negative codes: the lower bytes of the samples, then the upper
extern const uint8_t g711_alaw_halves[256];
extern const uint8_t g711_ulaw_alaw[256]; // by code; [128 + i] is [i] | 128, in both directions
extern const uint8_t g711_alaw_ulaw[256];
