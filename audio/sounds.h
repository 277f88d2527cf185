// SPDX-License-Identifier: BSD-3-Clause
// Sounds for tests and benches of audio, each the same every time.
#pragma once

#include <stdint.h>

void sounds_tone(int16_t *out, uint32_t count, uint32_t rate_hz, double hz, double amplitude);

// White, even in [-amplitude, amplitude].
void sounds_noise(int16_t *out, uint32_t count, uint32_t seed, double amplitude);

// What resembles speech: pulses whose pitch glides by a fifth around pitch_hz, through two formants, in syllables of
// 150 to 350 ms with pauses between them and a little hiss.
void sounds_speech(int16_t *out, uint32_t count, uint32_t rate_hz, uint32_t seed, double pitch_hz);

// A vowel that goes on for ever, of the same making.
void sounds_vowel(int16_t *out, uint32_t count, uint32_t rate_hz, double pitch_hz);
