#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a transcoded two-way call costs a core, from packets in to packets out (jitter buffers, codecs, resamplers, RTP), beside
the codecs alone at the same rates and with as many states (bench/transcode.c), in turn; medians of eleven runs of half a second.
"calls a core" is 20 ms by that. PCMU-PCMA is the relay's own (bench/relay.c), beside the same packets relayed as they are.

    bench/run transcode [--build DIR] [--json FILE] [--calls N]"""

import argparse
import json
import os
import subprocess
import tempfile

import codec
import report

COLUMNS = [("case", "case"), ("us_per_call", "us a call"), ("codecs_us_per_call", "codecs alone"), ("calls_per_core", "calls a core"),
           ("ceiling_calls", "ceiling"), ("percent_of_ceiling", "% of it")]
LAW_CALLS = 60000


def rows_of(build, calls):
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as directory:
        codec.write_speech(directory)
        done = subprocess.run([os.path.join(build, "bench", "bench_transcode"), directory, str(calls)], check=True,
                              stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def law_row(build):
    """A call is a hundred packets a second."""
    figures = []
    for more in ([], ["-a"]):
        done = subprocess.run([os.path.join(build, "bench", "bench_relay"), "-l", str(2 * LAW_CALLS), "-c", *more], check=True,
                              stdout=subprocess.PIPE, text=True)
        figures.append(json.loads(done.stdout))
    plain, law = (one["mpps"] * 1e6 / 100 for one in figures)
    return {"case": f"PCMU-PCMA, by the relay, {LAW_CALLS} calls", "us_per_call": 20000 / law, "codecs_us_per_call": 20000 / plain,
            "calls_per_core": round(law), "ceiling_calls": round(plain), "percent_of_ceiling": round(100 * law / plain, 1)}


def main():
    parser = argparse.ArgumentParser(prog="bench/run transcode", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--calls", type=int, default=200, help="at once, of each pair")
    args = parser.parse_args()
    subprocess.run(["ninja", "-C", args.build, "bench/bench_transcode", "bench/bench_relay"], check=True, stdout=subprocess.DEVNULL)
    rows = rows_of(args.build, args.calls) + [law_row(args.build)]
    report.table([{key: value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".") for key, value in row.items()}
                  for row in rows], COLUMNS)
    if args.json:
        report.write_json(args.json, "transcode", rows)


if __name__ == "__main__":
    main()
