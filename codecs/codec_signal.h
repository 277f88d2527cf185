// SPDX-License-Identifier: BSD-3-Clause
// What every known answer is made of: a vowel, 60 ms long at 8 kHz, whose end joins its beginning.
#pragma once

#include <stdint.h>

enum { CODEC_SIGNAL_SAMPLES = 480 };

extern const int16_t codec_signal[CODEC_SIGNAL_SAMPLES];
