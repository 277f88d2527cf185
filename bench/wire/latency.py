# SPDX-License-Identifier: BSD-3-Clause
"""What kedge adds to a packet's way, at 10, 50 and 80 % of what it can carry: the time from generator to generator less
that over a plain wire at the same rate (wires.py). A difference of percentiles, so near the tail an estimate. The relay
lcore has its CPU to itself; kedge's control thread is on the generator's.

    python3 bench/wire/latency.py [--build DIR] [--json FILE] [--png FILE] [--calls N] [--receive sender|engine]"""

import argparse
import os

import engines
import versus
import wires

import netns  # tests/ns, by wires
import report  # bench, by wires

SHARES = (10, 50, 80)
FIGURES = ("p50", "p99", "p999")
COLUMNS = [("system", "system"), ("case", "case"), ("packets_per_s", "packets/s")] + [
    (f"{prefix}latency_{figure}_us", heading + figure.replace("999", "99.9") + " us")
    for prefix, heading in (("added_", "added "), ("", "")) for figure in FIGURES] + [
    ("disturbed_percent", "disturbed %")]


def run_kedge(build, receive, count, idle):
    """Returns: [(share of the ceiling in percent, medians)], and the ceiling."""
    with wires.Wires(build, receive) as bed:
        try:
            engine = engines.Kedge(bed, count, idle, alone=True)
            generator = wires.Generator(bed, engine.calls)
            meter = wires.Meter(engine.pid, bed)
            print(f"  kedge, {idle} ...", flush=True)
            wires.measure(generator, 20000, seconds=1, times=1)
            ceiling = wires.search(generator)[0]["asked_per_s"]
            got = [(share, wires.measure(generator, ceiling * share / 100, meter)) for share in SHARES]
            generator.close()
            engine.stop()
            return got, ceiling
        except BaseException:
            bed.keep_logs(os.path.join(build, "bench-logs"))
            raise


def run_wire(build, count, rates):
    with wires.Wires(build, plain=True) as bed:
        generator = wires.Generator(bed, engines.straight(count))
        print("  plain wire ...", flush=True)
        got = [wires.measure(generator, rate) for rate in rates]
        generator.close()
        return got


def rows_of(runs, plain, idle):
    rows = []
    for (share, through), wire in zip(runs, plain):
        row = versus.row("kedge", f"af_xdp {idle}, {share} %", through)
        for figure in FIGURES:
            key = f"latency_{figure}_us"
            row["added_" + key] = round(through[key] - wire[key], 2)
        rows += [row, versus.row("generator", f"plain wire, as {idle}, {share} %", wire)]
    return rows


def picture(rows, png):
    kedge = [row for row in rows if row["system"] == "kedge"]
    lines = ['case p50 p99 p99.9'] + [
        " ".join([f'"{row["case"]}"'] + [str(max(row[f"added_latency_{figure}_us"], 0.1)) for figure in FIGURES])
        for row in kedge]
    script = ('$rows << end\n' + "\n".join(lines) + '\nend\nset title "latency that kedge adds, by share of its ceiling"\n'
              'set ylabel "us"\nset logscale y\nset style data histogram\nset style histogram clustered gap 1\n'
              'set xtics rotate by -20\nset yrange [1:*]\nset offsets 0,0,graph 0.1,0\n'
              'plot for [i=2:4] $rows using i:xtic(1) title columnheader(i)')
    report.plot(script, png, "800,460")


def main(json_path=None, build=None, png=None, count=1000, receive="sender"):
    netns.clean_up_on_exit()
    build = wires.built(build or os.path.join(wires.ROOT, "build"))
    print(f"{count} calls, kedge on CPU {wires.ENGINE_CPU}, the generator on CPU {wires.GENERATOR_CPU}")
    rows = []
    for idle in ("adaptive", "spin"):
        runs, ceiling = run_kedge(build, receive, count, idle)
        print(f"    its ceiling: {ceiling:.0f} packets/s")
        rows += rows_of(runs, run_wire(build, count, [ceiling * share / 100 for share in SHARES]), idle)
    print()
    report.table(rows, COLUMNS)
    if json_path:
        report.write_json(json_path, "relay-latency", rows)
    picture(rows, png or os.path.join(build, "relay-latency.png"))


if __name__ == "__main__":
    versus.call_main(main, __doc__)
