#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Loss against delay of jitter buffers on eleven simulated lines (bench/jitter.c): ours, fixed ones, libspeexdsp's, spandsp's,
Asterisk's and NetEQ's published rules, and an oracle that knows what comes; each at the values of its knob, the mean of all
seeds. The lines have parameters and seeds that nothing was tuned on. R is G.107's for G.711, of delay and loss together:
"knobs within" counts the values of our knob at which no other buffer loses less at the same delay.

    bench/run jitter [--build DIR] [--json FILE] [--png FILE] [--minutes N] [--seeds N] [--line NAME]"""

import argparse
import collections
import json
import os
import subprocess

import report

COLUMNS = [("case", "line"), ("delay_ms", "delay ms"), ("loss_percent", "loss %"), ("r", "R"), ("best", "best other, usual knob"),
           ("best_r", "its R"), ("within", "knobs within")]


COLOURS = ["#000000", "#3366cc", "#dd8800", "#999900", "#009999", "#8833aa", "#444444"]


def on_hull(points, delay):
    """The loss that somebody gets at that delay by mixing two of its knobs; None: it is not that quick."""
    points, best = sorted(points), None
    for i, (d1, l1) in enumerate(points):
        if d1 <= delay:
            best = l1 if best is None else min(best, l1)
        for d2, l2 in points[i + 1:]:
            if d1 <= delay <= d2 and d2 > d1:
                mixed = l1 + (l2 - l1) * (delay - d1) / (d2 - d1)
                best = mixed if best is None else min(best, mixed)
    return best


def judge(rows):
    """One line for a case: ours beside the best of the others."""
    cases = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        cases[row["case"]][row["system"]].append(row)
    out = []
    for case, systems in cases.items():
        ours = next(row for row in systems["kedge"] if row["usual"])
        others = {name: rows for name, rows in systems.items() if name not in ("kedge", "oracle")}
        usual = max((row for rows in others.values() for row in rows if row["usual"]), key=lambda row: row["r"])
        within = 0
        for row in systems["kedge"]:
            losses = [on_hull([(one["delay_ms"], one["loss_percent"]) for one in rows], row["delay_ms"]) for rows in others.values()]
            within += all(loss is None or row["loss_percent"] <= loss * 1.01 + 0.005 for loss in losses)
        out.append({"case": case, "delay_ms": f"{ours['delay_ms']:.1f}", "loss_percent": f"{ours['loss_percent']:.3f}",
                    "r": f"{ours['r']:.2f}", "best": usual["system"], "best_r": f"{usual['r']:.2f}",
                    "within": f"{within} of {len(systems['kedge'])}"})
    return out


def picture(rows, png):
    cases = list(dict.fromkeys(row["case"] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    script = f'set multiplot layout 4,3\nset logscale y\nset yrange [0.01:20]\nset key bottom right font ",8" samplen 1 spacing 0.9\n' \
             'set xlabel "delay ms" font ",8"\nset ylabel "loss %" font ",8"\nset tics font ",7"\n'
    for n, case in enumerate(cases):
        lines, data = [], ""
        for i, system in enumerate(systems):
            points = sorted((row["delay_ms"], max(row["loss_percent"], 0.01)) for row in rows
                            if row["case"] == case and row["system"] == system)
            if not points:
                continue
            look = "lw 3 lc rgb '#cc2222'" if system == "kedge" else f"lw 1 lc rgb '{COLOURS[i % len(COLOURS)]}'"
            lines.append(f'"-" using 1:2 with linespoints pt 7 ps 0.4 {look} {"title" if n == 0 else "notitle"} '
                         + (f'"{system}"' if n == 0 else ""))
            data += "\n".join(f"{x} {y}" for x, y in points) + "\ne\n"
        script += f'set title "{case}" font ",9"\nplot {", ".join(lines)}\n{data}'
    report.plot(script, png, "1200,1200")


def main():
    parser = argparse.ArgumentParser(prog="bench/run jitter", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--minutes", type=int, default=2, help="of each line")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--line", help="this one only")
    args = parser.parse_args()
    subprocess.run(["ninja", "-C", args.build, "bench/bench_jitter"], check=True, stdout=subprocess.DEVNULL)
    command = [os.path.join(args.build, "bench", "bench_jitter"), "-m", str(args.minutes), "-n", str(args.seeds)]
    process = subprocess.Popen(command + (["-l", args.line] if args.line else []), stdout=subprocess.PIPE, text=True)
    rows, case = [], None
    for line in process.stdout:
        rows.append(json.loads(line))
        if rows[-1]["case"] != case:
            case = rows[-1]["case"]
            print(f"  {case} ...", flush=True)
    if process.wait() != 0:
        raise SystemExit(f"bench/run jitter: {command[0]} ended with {process.returncode}")
    print()
    report.table(judge(rows), COLUMNS)
    picture(rows, args.png or os.path.join(args.build, "jitter.png"))
    if args.json:
        report.write_json(args.json, "jitter", rows)


if __name__ == "__main__":
    main()
