# SPDX-License-Identifier: BSD-3-Clause
"""bench/run NAME [--json FILE] [more options of that bench], bench/run --list: every figure the project claims."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BENCHES = {
    "relay": ("relay.py", "the whole pipeline fed from memory, 2 to 200,000 legs, beside testpmd macswap (3 minutes)"),
    "relay-vhost": ("relay_vhost.py", "the pipeline behind a vhost-user port, beside testpmd macswap there (3 minutes)"),
    "relay-latency": ("wire/latency.py", "what kedge adds to a packet's way, at 10, 50 and 80 % of its ceiling (3 minutes)"),
    "sip": ("sip.py", "complete calls a second, CPU and memory of a call, cost of a message with 100,000 live (4 minutes)"),
    "resample": ("resample.py", "20 ms resampled beside speexdsp, coded by G.711 beside spandsp, kernel by kernel (10 seconds)"),
    "codec": ("codec.py", "20 ms of speech in each codec, rate and complexity, beside spandsp and libopus alone (1 minute)"),
    "jitter": ("jitter.py", "jitter buffers beside each other on eleven lines: loss against delay, with a plot (3 minutes)"),
    "transcode": ("transcode.py", "transcoded calls a core, beside the codecs alone (1 minute)"),
    "transcode-versus": ("wire/transcoded.py", "the same transcoded calls through kedge and rtpengine over the same wires (2 minutes)"),
    "relay-versus": ("wire/versus.py", "the same calls through kedge and rtpengine over the same wires (5 minutes)"),
}


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("--list", "-h", "--help"):
        for name, (_, what) in BENCHES.items():
            print(f"{name:<16} {what}")
        return 0
    if sys.argv[1] not in BENCHES:
        print(f"bench/run: there is no bench \"{sys.argv[1]}\": bench/run --list names them", file=sys.stderr)
        return 2
    program = os.path.join(HERE, BENCHES[sys.argv[1]][0])
    os.execv(sys.executable, [sys.executable, program, *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
