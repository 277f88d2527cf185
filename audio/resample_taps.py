#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Design the filters of resample.c and write them as C: resample_taps.py FILE.

Windowed sinc, Kaiser's window, 32 taps for each sample of the lower rate (more where the count must be a multiple of 16).
The stopband lies 70 dB down; the edge is put so that 0.425 of the lower rate loses about 0.15 dB."""

import math
import sys

RATES_HZ = (8000, 12000, 16000, 24000, 32000, 44100, 48000)
TAPS = 32
STOP_DB = 70
PASS = 0.425  # of the lower rate
EDGE = 0.38  # where -6 dB lies, between the end of the passband and that of the transition
LANES = 8


def bessel(x):
    """Modified, of the first kind and order 0."""
    total = term = 1.0
    k = 1
    while term > total * 1e-12:
        term *= (x / (2 * k)) ** 2
        total += term
        k += 1
    return total


def phases(up, down):
    """Taps in floating point, phase by phase, the oldest first; each phase's sum is 1."""
    low = max(1, down / up)  # samples that come in for one of the lower rate
    taps = math.ceil(TAPS * low / 16) * 16
    transition = (STOP_DB - 8) / (2.285 * 2 * math.pi * taps / low)
    cutoff = (PASS + EDGE * transition) / low
    beta = 0.1102 * (STOP_DB - 8.7)
    rows = []
    for phase in range(up):
        row = []
        for i in range(taps):
            t = taps / 2 - 1 - i + phase / up  # from the middle of the filter
            window = bessel(beta * math.sqrt(max(0.0, 1 - (2 * t / taps) ** 2)))
            row.append(window * (math.sin(2 * math.pi * cutoff * t) / t if t else 2 * math.pi * cutoff))
        total = sum(row)
        rows.append([value / total for value in row])
    return rows


def rounded(row, bits):
    """Integers whose sum is exactly 1 << bits, so that no phase has a level of its own: those that rounding moved most
    are rounded the other way."""
    scaled = [value * (1 << bits) for value in row]
    result = [round(value) for value in scaled]
    short = (1 << bits) - sum(result)
    sign = 1 if short > 0 else -1
    for i in sorted(range(len(row)), key=lambda i: sign * (result[i] - scaled[i]))[:abs(short)]:
        result[i] += sign
    return result


def fits(rows):
    """Can no signal overflow the sum of 32 bits, rounding included, nor a tap 16?"""
    return all(max(map(abs, row)) < 32768 and sum(map(abs, row)) < 65535 for row in rows)


def lanes_of(up, down, phase):
    """(samples from the window's beginning, phase) of eight outputs in a row."""
    return [divmod(phase + lane * down, up) for lane in range(LANES)]


def by_lanes(up, down):
    """May a vector hold one sum for each of eight outputs? "row": their pairs of samples lie side by side. "pattern": they
    are within eight samples."""
    if (up, down) == (1, 2):
        return "row"
    return "pattern" if up <= 8 and max(lanes_of(up, down, up - 1))[0] <= 6 else None


def array(kind, name, values):
    lines = [f"static const {kind} {name}[] = {{"]
    for i in range(0, len(values), 16):
        lines.append("\t" + ", ".join(map(str, values[i:i + 16])) + ",")
    return "\n".join(lines + ["};", ""])


def ratio(out, up, down):
    """Write one ratio's arrays. Returns: its row of the table."""
    name, way = f"{up}_{down}", by_lanes(up, down)
    floats = phases(up, down)
    bits, rows = next(((bits, rows) for bits in (15, 14) if fits(rows := [rounded(row, bits) for row in floats])), (0, None))
    if rows is None:
        sys.exit(f"{up}/{down} overflows")
    taps = len(rows[0])
    out.write(array("int16_t", f"phases_{name}", [tap for row in rows for tap in row]))
    text = f".up = {up}, .down = {down}, .taps = {taps}, .bits = {bits}, .phases = phases_{name}"
    if way:
        starts = [lanes_of(up, down, phase) for phase in range(up)]
        out.write(array("int16_t", f"lanes_{name}", [rows[phase][i + half] for lanes in starts for i in range(0, taps, 2)
                                                     for _, phase in lanes for half in (0, 1)]))
        text += f", .period = {up // math.gcd(up, LANES)}, .lanes = lanes_{name}"
    if way == "pattern":
        out.write(f"static const uint8_t pattern_{name}[][32] = {{\n")
        for lanes in starts:
            out.write("\t{" + ", ".join(str(2 * at + byte) for at, _ in lanes for byte in range(4)) + "},\n")
        out.write("};\n")
        text += f", .pattern = pattern_{name}"
    return f"\t{{{text}}},\n"


def main():
    pairs = {}
    for in_hz in RATES_HZ:
        for out_hz in RATES_HZ:
            common = math.gcd(in_hz, out_hz)
            pairs[out_hz // common, in_hz // common] = None
    with open(sys.argv[1], "w") as out:
        out.write('// Written by resample_taps.py.\n#include "resample_kernel.h"\n\n')
        rows = ["\t{.up = 1, .down = 1},\n"] + [ratio(out, up, down) for up, down in pairs if up != down]
        out.write("const struct resample_ratio resample_ratios[] = {\n" + "".join(rows) + "\t{0},\n};\n")


if __name__ == "__main__":
    main()
