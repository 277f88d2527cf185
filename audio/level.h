// SPDX-License-Identifier: BSD-3-Clause
// How loud samples are, as RFC 6464 says it: -dBov, 0 for the loudest square wave that 16 bits hold (a sine reaches 3),
// 127 for silence and all that lies below.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LEVEL_SILENCE = 127 };

// The level of n samples' root mean square, from the sum of their squares (mix_kernel's energy). Returns: -dBov, 0-127.
uint8_t level_rms(uint64_t energy, size_t n);

// The level of the sample farthest from zero. Returns: -dBov, 0-127.
uint8_t level_peak(const int16_t *samples, size_t n);

// The gain of so many dB for mix_kernel's gain. More than +24 dB is +24 dB.
int16_t level_gain_q11(double db);
