# SPDX-License-Identifier: BSD-3-Clause
"""The same calls through kedge and through rtpengine in userspace, over the same wires (wires.py), and beside them what
the generator sends over a plain wire and what DPDK's testpmd forwards without looking at it.

A ceiling is the highest rate with less than 0.1 % loss and a p99 under 20 ms, two of three times over 2 s; "disturbed" is
the time that generator or engine waited for a CPU that somebody else had: figures above 1 % need a quieter machine.

    python3 bench/wire/versus.py [--build DIR] [--json FILE] [--png FILE] [--calls N] [--receive sender|engine]"""

import argparse
import os

import engines
import wires

import netns  # tests/ns, by wires
import report  # bench, by wires

COLUMNS = [("system", "system"), ("case", "case"), ("packets_per_s", "packets/s"), ("cpu_us_per_packet", "CPU us/packet"),
           ("latency_p50_us", "p50 us"), ("latency_p99_us", "p99 us"), ("latency_p999_us", "p99.9 us"),
           ("memory_per_call_kb", "kB/call"), ("bound_by", "bound by"), ("disturbed_percent", "disturbed %")]


def row(system, case, result, **more):
    keys = ("cpu_us_per_packet", "latency_p50_us", "latency_p99_us", "latency_p999_us", "disturbed_percent")
    figures = {key: round(result[key], 2) for key in keys if key in result}
    return {"system": system, "case": case, "packets_per_s": round(result["received_per_s"]), **figures, **more}


def judge(generator, meter, system, case, common, more):
    """Its ceiling, half of that, and the rate that all have in common (None: half of this one's). Returns: (rows, the
    common rate)."""
    say = (lambda text: print(f"    {text}", flush=True)) if os.environ.get("BENCH_VERBOSE") else (lambda text: None)
    print(f"  {system}, {case} ...", flush=True)
    wires.measure(generator, 20000, seconds=1, times=1)  # everybody knows everybody from here on
    top, limited = wires.search(generator, say)
    rate = top["asked_per_s"]
    bound = "the generator" if limited else "itself"
    common = common or rate / 2
    if meter:  # which the search has not
        top["cpu_us_per_packet"] = wires.measure(generator, rate, meter, times=1)["cpu_us_per_packet"]
    rows = [row(system, f"{case}, ceiling", top, bound_by=bound, **more),
            row(system, f"{case}, half its ceiling", wires.measure(generator, rate / 2, meter)),
            row(system, f"{case}, common rate", wires.measure(generator, common, meter))]
    return rows, common


def run_engine(build, receive, make, common):
    with wires.Wires(build, receive) as bed:
        try:
            engine = make(bed)
            generator = wires.Generator(bed, engine.calls)
            more = {}
            if engine.memory_per_call_kb is not None:
                more["memory_per_call_kb"] = round(engine.memory_per_call_kb, 1)
            got = judge(generator, wires.Meter(engine.pid, bed), engine.system, engine.case, common, more)
            generator.close()
            if engine.drops():
                print(f"    dropped by name, mostly beyond its ceiling: {engine.drops()}")
            engine.stop()
            return got
        except BaseException:
            bed.keep_logs(os.path.join(build, "bench-logs"))
            raise


def run_wire(build, count, common):
    with wires.Wires(build, plain=True) as bed:
        generator = wires.Generator(bed, engines.straight(count))
        got = judge(generator, None, "generator", "plain wire", common, {})
        generator.close()
        return got[0]


def picture(rows, png):
    tops = [r for r in rows if r["case"].endswith("ceiling") and not r["case"].endswith("half its ceiling")]
    common = [r for r in rows if r["case"].endswith("common rate")]

    def data(rows, key):
        lines = [f'"{r["system"]}\\n{r["case"].split(",")[0]}" {r[key] / (1000 if key == "packets_per_s" else 1)}'
                 for r in rows if r.get(key) is not None]
        return "\n".join(lines) + "\ne\n"

    script = 'set multiplot layout 1,3\nunset key\nset yrange [0:*]\nset offsets 0,0,graph 0.1,0\n' \
             'set xtics rotate by -35 font ",8"\n'
    for title, chosen, key in (("thousand packets/s without loss", tops, "packets_per_s"),
                               ("CPU us a packet at the ceiling", tops, "cpu_us_per_packet"),
                               (f"latency p50 us at {common[0]['packets_per_s']} packets/s", common,
                                "latency_p50_us")):
        script += f'set title "{title}"\nplot "-" using 0:2:xtic(1) with boxes lc rgb "#3366aa", ' \
                  f'"-" using 0:2:(sprintf("%.3g", $2)) with labels offset 0,0.6\n{data(chosen, key) * 2}'
    report.plot(script, png)


def main(json_path=None, build=None, png=None, count=1000, receive="sender"):
    netns.clean_up_on_exit()
    build = wires.built(build or os.path.join(wires.ROOT, "build"))
    print(f"{count} calls, each engine on CPU {wires.ENGINE_CPU}, the generator on CPU {wires.GENERATOR_CPU}")
    rows, common = run_engine(build, receive, lambda bed: engines.Rtpengine(bed, count), None)
    for make in (lambda bed: engines.Kedge(bed, count), lambda bed: engines.Kedge(bed, count, "spin"),
                 lambda bed: engines.Testpmd(bed, count)):
        rows += run_engine(build, receive, make, common)[0]
    rows += run_wire(build, count, common)
    print()
    report.table(rows, COLUMNS)
    if json_path:
        report.write_json(json_path, "relay-versus", rows)
    picture(rows, png or os.path.join(build, "relay-versus.png"))


def call_main(entry, doc):
    """The command line that both benches have."""
    parser = argparse.ArgumentParser(description=doc.split("\n\n")[0])
    for name in ("--json", "--build", "--png"):
        parser.add_argument(name, metavar="DIR" if name == "--build" else "FILE")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--receive", choices=("sender", "engine"), default="sender")
    options = parser.parse_args()
    entry(options.json, options.build, options.png, options.calls, options.receive)


if __name__ == "__main__":
    call_main(main, __doc__)
