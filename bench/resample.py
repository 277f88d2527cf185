#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What 20 ms of sound cost to resample beside speexdsp, to code by G.711 beside spandsp, and to mix at 8 kHz
(bench/resample.c): every kernel that this machine can run, the median and the best of 101 runs, all of them in turn.

    bench/run resample [--build DIR] [--json FILE]"""

import argparse
import json
import os
import subprocess

import report

COLUMNS = [("case", "case"), ("system", "system"), ("us_per_frame", "us a frame"), ("best_us_per_frame", "best run")]


def main():
    parser = argparse.ArgumentParser(prog="bench/run resample", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    args = parser.parse_args()
    subprocess.run(["ninja", "-C", args.build, "bench/bench_resample"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([os.path.join(args.build, "bench", "bench_resample")], stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    report.table([{key: value if isinstance(value, str) else f"{value:.3f}" for key, value in row.items()} for row in rows], COLUMNS)
    if args.json:
        report.write_json(args.json, "resample", rows)


if __name__ == "__main__":
    main()
