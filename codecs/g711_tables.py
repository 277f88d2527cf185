#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the tables of G.711 (g711_tables.h) as C: g711_tables.py FILE."""

import sys

# Decoder value numbers of tables 3 and 4 of G.711: mu-law's 0-127 to A-law's 1-128, and A-law's 1-128 to mu-law's 0-127.
ULAW_ALAW = """
    1   1   2   2   3   3   4   4   5   5   6   6   7   7   8   8   9  10  11  12  13  14  15  16  17  18  19  20  21  22  23  24
   25  27  29  31  33  34  35  36  37  38  39  40  41  42  43  44  46  48  49  50  51  52  53  54  55  56  57  58  59  60  61  62
   64  65  66  67  68  69  70  71  72  73  74  75  76  77  78  79  80  82  83  84  85  86  87  88  89  90  91  92  93  94  95  96
   97  98  99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128"""
ALAW_ULAW = """
    1   3   5   7   9  11  13  15  16  17  18  19  20  21  22  23  24  25  26  27  28  29  30  31  32  32  33  33  34  34  35  35
   36  37  38  39  40  41  42  43  44  45  46  47  48  48  49  49  50  51  52  53  54  55  56  57  58  59  60  61  62  63  64  64
   65  66  67  68  69  70  71  72  73  74  75  76  77  78  79  80  80  81  82  83  84  85  86  87  88  89  90  91  92  93  94  95
   96  97  98  99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127"""


def ulaw_magnitude(value):
    """Number 0-127 of the interval that a magnitude of 14 bits without sign falls into."""
    value = min(value + 33, 0x1fff)
    segment = value.bit_length() - 6
    return segment << 4 | value >> (segment + 1) & 15


def alaw_magnitude(value):
    segment = max(value.bit_length() - 5, 0)
    return (segment << 4) + (value >> segment)


def ulaw_sample(code):
    value = (((~code & 15) << 3) + 132 << (~code >> 4 & 7)) - 132
    return value if code & 128 else -value


def alaw_sample(code):
    number = (code ^ 0x55) & 127
    segment, step = number >> 4, number & 15
    value = (step << 4) + 8 if segment == 0 else (step << 4) + 264 << segment - 1
    return value if code & 128 else -value


def codes(bits, magnitude, positive):
    half = 1 << bits - 1
    return [magnitude(i) ^ positive for i in range(half)] + [magnitude(half - 1 - i) ^ positive ^ 128 for i in range(half)]


def halves(sample):
    return [sample(code) & 255 for code in range(128)] + [sample(code) >> 8 & 255 for code in range(128)]


def main():
    ulaw_alaw = [int(word) - 1 for word in ULAW_ALAW.split()]
    alaw_ulaw = [int(word) for word in ALAW_ULAW.split()]
    tables = [
        ("uint8_t g711_ulaw_codes", codes(14, ulaw_magnitude, 0xff)),
        ("uint8_t g711_alaw_codes", codes(12, alaw_magnitude, 0xd5)),
        ("int16_t g711_ulaw_samples", [ulaw_sample(code) for code in range(256)]),
        ("int16_t g711_alaw_samples", [alaw_sample(code) for code in range(256)]),
        ("uint8_t g711_ulaw_halves", halves(ulaw_sample)),
        ("uint8_t g711_alaw_halves", halves(alaw_sample)),
        ("uint8_t g711_ulaw_alaw", [ulaw_alaw[~code & 127] ^ 0x55 | code & 128 for code in range(256)]),
        ("uint8_t g711_alaw_ulaw", [alaw_ulaw[(code ^ 0x55) & 127] ^ 127 | code & 128 for code in range(256)]),
    ]
    with open(sys.argv[1], "w") as out:
        out.write('// Written by g711_tables.py.\n#include "g711_tables.h"\n')
        for name, values in tables:
            out.write(f"\nconst {name}[{len(values)}] = {{")
            for i, value in enumerate(values):
                out.write(f"{value}," if i % 16 else f"\n\t{value},")
            out.write("\n};\n")


if __name__ == "__main__":
    main()
