#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What one packet costs in the whole pipeline (bench/relay.c), in TSC cycles, the memory nic's own cost included; and
beside it DPDK's testpmd, which swaps two MAC addresses and looks at nothing else. One core, one process, hugepages where
the machine has memory for them.

    bench/run relay [--build DIR] [--json FILE] [--png FILE] [--pages huge|ordinary] [--case TEXT]"""

import argparse
import json
import os
import re
import subprocess
import sys
import time

import report
from hugepages import hugepages

WANTED_PAGES = 400  # 700 MB, and a little more
CASES = [("1 call", ["-l", "2"]), ("1k legs", ["-l", "1000"]), ("10k legs", ["-l", "10000"]), ("100k legs", ["-l", "100000"]),
         ("200k legs", ["-l", "200000"]), ("100k legs, rtcp", ["-l", "100000", "-k", "rtcp"]),
         ("100k legs, ipv6", ["-l", "100000", "-k", "ipv6"]), ("100k legs, rfc4733", ["-l", "100000", "-k", "rfc4733"]), ("100k legs, tap", ["-l", "100000", "-t"]),
         ("100k legs, cold packets", ["-l", "100000", "-c"])]
COLUMNS = [("system", "system"), ("case", "case"), ("cycles_per_packet", "cycles/packet"),
           ("best_cycles_per_packet", "best run"), ("nic_cycles_per_packet", "memory nic"), ("mpps", "Mpps")]


def floor(huge):
    """testpmd macswap between two null devices, whose frames are as long as ours. Returns: a row, or None without it."""
    memory = ["--in-memory"] if huge else ["--no-huge"]
    command = ["dpdk-testpmd", "--lcores", "0@0,1@1", "--no-pci", *memory, "-m", "512", "--file-prefix", f"bench{os.getpid()}",
               "--vdev", "net_null0,size=214", "--vdev", "net_null1,size=214", "--", "--forward-mode=macswap", "-i",
               "--record-core-cycles", "--burst=64", "--mbcache=512"]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except FileNotFoundError:
        print("no floor: dpdk-testpmd is not installed (apt-get install dpdk)")
        return None
    for words, wait_s in (("start\n", 3), ("show fwd stats all\n", 0.2), ("stop\n", 0.2), ("quit\n", 0)):
        process.stdin.write(words)
        process.stdin.flush()
        time.sleep(wait_s)
    said = process.communicate(timeout=20)[0]
    report.forget(f"bench{os.getpid()}")
    found = re.findall(r"CPU cycles/packet=([\d.]+)", said)
    return {"system": "testpmd", "case": "macswap, null devices", "cycles_per_packet": float(found[-1])} if found else None


def measure(build, case, options, huge):
    command = [os.path.join(build, "bench", "bench_relay"), *options, *(["-H"] if huge else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"bench: {case}: {' '.join(command)} failed, or packets did not leave: {done.stdout or 'see above'}")
    result = json.loads(done.stdout)
    return dict({"system": "kedge", "case": case}, **result)


def draw(rows, png):
    named = [row for row in rows if "cycles_per_packet" in row]
    data = "\n".join(f'"{row["system"] + chr(92) + "n" + row["case"].replace(", ", chr(92) + "n")}" {row["cycles_per_packet"]}' for row in named)
    report.plot(f'''set ylabel "TSC cycles a packet"
set yrange [0:*]
set offsets 0, 0, graph 0.08, 0
set bmargin 5
set key off
$rows << EOD
{data}
EOD
plot $rows using 0:2:xtic(1) with boxes, $rows using 0:2:(sprintf("%.0f", $2)) with labels offset 0,0.6
''', png, "1200,480")


def main():
    parser = argparse.ArgumentParser(prog="bench/run relay", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--pages", choices=("huge", "ordinary"), default="huge")
    parser.add_argument("--case", default="")
    args = parser.parse_args()
    if not any(args.case in case for case, _ in CASES):
        sys.exit(f"bench: no case has \"{args.case}\" in its name: " + "; ".join(case for case, _ in CASES))
    subprocess.run(["ninja", "-C", args.build, "bench/bench_relay"], check=True, stdout=subprocess.DEVNULL)
    rows = []
    with hugepages(WANTED_PAGES if args.pages == "huge" else 0) as huge:
        if not args.case:
            print("  testpmd ...", flush=True)
            rows += [row for row in [floor(huge)] if row]
        for case, options in CASES:
            if args.case in case:
                print(f"  {case} ...", flush=True)
                rows.append(measure(args.build, case, options, huge))
    report.table(rows, COLUMNS)
    if args.json:
        report.write_json(args.json, "relay", rows)
    draw(rows, args.png or os.path.join(args.build, "relay.png"))


if __name__ == "__main__":
    main()
