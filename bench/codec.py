# SPDX-License-Identifier: BSD-3-Clause
"""What 20 ms of speech cost in each codec, beside the bare library (bench/codec.c). The speech is a prompt of Asterisk's, an
8 kHz recording that ffmpeg brings to the other rates.

    bench/run codec [--build DIR] [--json FILE] [--rounds N]"""

import argparse
import glob
import json
import os
import subprocess
import tempfile

import report


PROMPTS = "/usr/share/asterisk/sounds/en*"


def write_speech(directory):
    """The longest prompt, from its second second on."""
    longest = max(glob.glob(os.path.join(PROMPTS, "*.wav")), key=os.path.getsize)
    for rate in (8000, 16000, 48000):
        subprocess.run(["ffmpeg", "-loglevel", "error", "-ss", "1", "-i", longest, "-t", "6", "-f", "s16le", "-ac", "1",
                        "-ar", str(rate), os.path.join(directory, f"{rate}.raw")], check=True)


def rows_of(build, rounds):
    subprocess.run(["ninja", "-C", build, "bench/bench_codec"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="kedge-bench-") as directory:
        write_speech(directory)
        done = subprocess.run([os.path.join(build, "bench", "bench_codec"), directory, str(rounds)], check=True,
                              stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def side_by_side(rows):
    """One line for a case and an operation: ours, theirs."""
    lines = {}
    for row in rows:
        line = lines.setdefault((row["case"], row["operation"]), {"case": row["case"], "operation": row["operation"]})
        side = "ours" if row["system"] == "kedge" else "theirs"
        if side == "theirs":
            line["library"] = row["system"]
        line[side] = f"{row['us_per_frame']:.3f}"
        line[side + "_best"] = f"{row['best_us_per_frame']:.3f}"
    return list(lines.values())


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--rounds", type=int, default=51, help="of five seconds of speech each; Opus has an eighth of them")
    args = parser.parse_args()
    rows = rows_of(args.build, args.rounds)
    print("us for 20 ms, median and best")
    report.table(side_by_side(rows), [("case", "codec"), ("operation", ""), ("ours", "kedge"), ("ours_best", "best"),
                                      ("theirs", "library"), ("theirs_best", "best"), ("library", "")])
    if args.json:
        report.write_json(args.json, "codec", rows)


if __name__ == "__main__":
    main()
