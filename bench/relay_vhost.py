# SPDX-License-Identifier: BSD-3-Clause
"""The pipeline behind a vhost-user port (bench/vhost.c): a generator on another core sends through virtio-user, as a VM
would, as much as the port takes, and counts what comes back. Beside it DPDK's testpmd on the same pair, which swaps two
MAC addresses and looks at nothing else. Both in turns, so that both have the machine as it is: the ratio counts, of the
medians, and of the best quarters of a second, which others on the machine disturbed least.

    bench/run relay-vhost [--build DIR] [--json FILE] [--png FILE] [--pages huge|ordinary] [--rounds N]"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import report
from hugepages import hugepages

WANTED_PAGES = 400  # 300 MB for either end
CASES = [("1k legs", 1000), ("10k legs", 10000), ("100k legs", 100000)]
COLUMNS = [("system", "system"), ("case", "case"), ("packets_per_s", "packets/s"), ("ratio_percent", "% of macswap"),
           ("best_packets_per_s", "its best"), ("best_ratio_percent", "% of macswap's")]


def wait_for(path, process):
    for _ in range(200):
        if os.path.exists(path):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"bench: {' '.join(process.args)} did not make its socket")


@contextlib.contextmanager
def engine(program, socket, legs, huge):
    """Our pipeline on CPU 1. What it has to say of lost packets is looked at when it ends."""
    process = subprocess.Popen([program, "engine", socket, str(legs), *huge], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(socket, process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    counts = json.loads(said)
    if counts["dropped"] or not counts["relayed"]:
        sys.exit(f"bench: the pipeline dropped packets, the figure would mean nothing: {said}")


@contextlib.contextmanager
def testpmd(_program, socket, _legs, huge):
    """macswap on CPU 1; its console waits on CPU 0."""
    memory = ["--in-memory"] if huge else ["--no-huge"]
    command = ["dpdk-testpmd", "--lcores", "0@0,1@1", "--no-pci", *memory, "-m", "300", "--file-prefix", f"bench{os.getpid()}",
               "--vdev", f"net_vhost0,iface={socket},queues=1", "--", "--forward-mode=macswap", "--burst=64", "--mbcache=512",
               "--rxd=1024", "--txd=1024", "--total-num-mbufs=8192", "--port-topology=loop"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(socket, process)
        yield
    finally:
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait(timeout=30)
        report.forget(f"bench{os.getpid()}")


SYSTEMS = {"kedge": engine, "testpmd macswap": testpmd}


def measure(build, system, legs, huge):
    """Returns: packets a second that came back, in each quarter of one."""
    program, more = os.path.join(build, "bench", "bench_vhost"), ["huge"] if huge else []
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        socket = os.path.join(directory, "vhost.sock")
        with SYSTEMS[system](program, socket, legs, more):
            done = subprocess.run([program, "generator", socket, str(legs), *more], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"bench: the generator ended with {done.returncode}")
    return json.loads(done.stdout)["received_per_s"]


def compare(build, case, legs, huge, rounds):
    samples = {system: [] for system in SYSTEMS}
    for number in range(rounds):
        print(f"  {case}, round {number + 1} of {rounds} ...", flush=True)
        for system, got in samples.items():
            got += measure(build, system, legs, huge)
    floor = samples["testpmd macswap"]
    return [{"system": system, "case": case, "packets_per_s": round(statistics.median(got)), "best_packets_per_s": max(got),
             "ratio_percent": round(100 * statistics.median(got) / statistics.median(floor), 1),
             "best_ratio_percent": round(100 * max(got) / max(floor), 1), "samples": got} for system, got in samples.items()]


def draw(rows, png):
    data = "\n".join(f'"{row["system"]}\\n{row["case"]}" {row["packets_per_s"] / 1e6}' for row in rows)
    report.plot(f'''set ylabel "million packets a second there and back"
set yrange [0:*]
set offsets 0, 0, graph 0.08, 0
set bmargin 5
set key off
$rows << EOD
{data}
EOD
plot $rows using 0:2:xtic(1) with boxes, $rows using 0:2:(sprintf("%.2f", $2)) with labels offset 0,0.6
''', png, "900,480")


def main():
    parser = argparse.ArgumentParser(prog="bench/run relay-vhost", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--pages", choices=("huge", "ordinary"), default="huge")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if not shutil.which("dpdk-testpmd"):
        sys.exit("bench: dpdk-testpmd is missing: apt-get install dpdk")
    if os.cpu_count() < 2:
        sys.exit("bench: the two ends of the port need a CPU each, and this machine has one")
    subprocess.run(["ninja", "-C", args.build, "bench/bench_vhost"], check=True, stdout=subprocess.DEVNULL)
    rows = []
    with hugepages(WANTED_PAGES if args.pages == "huge" else 0) as huge:
        for case, legs in CASES:
            rows += compare(args.build, case, legs, huge, args.rounds)
    report.table(rows, COLUMNS)
    if args.json:
        report.write_json(args.json, "relay-vhost", rows)
    draw(rows, args.png or os.path.join(args.build, "relay-vhost.png"))


if __name__ == "__main__":
    main()
