#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Everything that script/test runs: builds, unit tests, fuzz targets, namespace tests. One line for each test."""

import argparse
import atexit
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
FUZZ = ("sip", "sdp", "rtp", "config", "dns", "frame", "ws", "digest", "codec")
BUILDS = {  # name: (directory, compiler, options)
    "gcc": ("build", "gcc", ["--buildtype=release", "--werror"]),
    "asan": ("build-asan", "clang", ["--buildtype=debugoptimized", "--werror", "-Db_sanitize=address,undefined",
                                     "-Db_lundef=false", "-Dfuzz=true"]),
    # What several threads share; with C11 atomics in DPDK's rings, which the sanitizer understands.
    "tsan": ("build-tsan", "clang", ["--buildtype=debugoptimized", "--werror", "-Db_sanitize=thread", "-Db_lundef=false",
                                     "-Dc_args=-DRTE_USE_C11_MEM_MODEL"]),
}
ONLY = {"tsan": ["dataplane/lifecycle_test"]}  # what is built of it
GROUPS = ("calls", "limits|health|rights|soak", "impaired|kills|capture|inject", "robust|torture",
          "proxy|timers|routes|browser", "dialogs|transports|names", "codecs|phones")  # and one of all others
WORLDS = ("af_packet", "ip6", "mixed", "nat", "lcores")
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
              "TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp:halt_on_error=1:exitcode=66"}

children, lock = set(), threading.Lock()


class Results:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, title, good, seconds, log=None):
        with lock:
            if good:
                self.passed += 1
                print(f"ok    {title:<52} {seconds:6.1f} s", flush=True)
                return
            self.failed += 1
            print(f"FAIL  {title:<52} {seconds:6.1f} s   {log}", flush=True)
            with open(log, errors="replace") as file:
                print("".join("      " + line for line in file.readlines()[-40:]), flush=True)

    def skip(self, title, why):
        self.skipped += 1
        print(f"skip  {title:<52} {why}", flush=True)


def run(command, log, timeout_s, environment=None, cwd=ROOT):
    """Run to the end with its output in a log. Returns: True where it ended well and in time."""
    with open(log, "ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd,
                                   env=dict(os.environ, **(environment or {})), start_new_session=True)
        children.add(process)
        try:
            return process.wait(timeout_s) == 0
        except subprocess.TimeoutExpired:
            out.write(f"\nnot ready after {timeout_s} s: ended\n".encode())
            end(process)
            return False
        finally:
            children.discard(process)


def end(process):
    """End a child and what it started: it leads a session of its own."""
    for number, wait_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(wait_s)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def test(results, title, command, timeout_s, environment=None, log=None):
    log = log or os.path.join(LOGS, title.replace("/", "-") + ".log")
    began = time.monotonic()
    good = run(command, log, timeout_s, environment)
    results.add(title, good, time.monotonic() - began, log)
    return good


def build(results, name):
    directory, compiler, options = BUILDS[name]
    path, began = os.path.join(ROOT, directory), time.monotonic()
    log = os.path.join(LOGS, f"build-{name}.log")
    good = os.path.exists(os.path.join(path, "build.ninja")) or \
        run(["meson", "setup", path, ROOT, *options], log, 120, {"CC": compiler})
    good = good and run(["ninja", "-C", path, *ONLY.get(name, [])], log, 600)
    if good:
        for program in ("kedged", "kedgectl"):
            if os.path.exists(os.path.join(path, "control", program)):
                link = os.path.join(path, program)
                if not os.path.lexists(link):
                    os.symlink(os.path.join("control", program), link)
    results.add(f"build/{name}", good, time.monotonic() - began, log)
    return good


def unit_tests(results, name, wanted):
    directory = os.path.join(ROOT, BUILDS[name][0])
    listed = json.loads(subprocess.check_output(["meson", "introspect", "--tests", directory]))
    kind = "unit" if name == "gcc" else f"unit-{name}"
    listed = [one for one in listed if wanted(f"{kind}/{one['name']}")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # two at once: the longest of them wait for a kernel
        list(pool.map(lambda one: test(results, f"{kind}/{one['name']}", one["cmd"], 120, SANITIZERS), listed))


def fuzz(results, name, seconds):
    title, log = f"fuzz/{name}", os.path.join(LOGS, f"fuzz-{name}.log")
    program = os.path.join(ROOT, "build-asan", "tests", name + "_fuzz")
    corpus = os.path.join(ROOT, "tests", "corpus", name)
    began = time.monotonic()
    if not os.path.exists(program) or not os.path.isdir(corpus) or not os.listdir(corpus):
        with open(log, "w") as file:
            file.write(f"needs {program} (tests/fuzz/{name}_fuzz.c) and files in {corpus}\n")
        results.add(title, False, 0, log)
        return
    with tempfile.TemporaryDirectory(prefix="kedge-fuzz-") as found:
        common = ["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1", f"-artifact_prefix={LOGS}/{name}-"]
        environment = dict(SANITIZERS, LSAN_OPTIONS=f"suppressions={ROOT}/tests/fuzz/lsan.supp:print_suppressions=0")
        good = run([program, "-runs=0", *common, corpus], log, 120, environment)
        good = good and run([program, f"-max_total_time={seconds}", *common, found, corpus], log, seconds + 60,
                            environment)
    results.add(title, good, time.monotonic() - began, log)


def fuzz_and_alloc(results, args, wanted):
    """One thread each, on both cores."""
    jobs = []
    if wanted("alloc"):
        command = [sys.executable, os.path.join(ROOT, "tests", "alloc.py")] + (["--long"] if args.long else [])
        jobs.append(lambda: test(results, "alloc", command, 3000))
    jobs += [lambda name=name: fuzz(results, name, 600 if args.long else 10) for name in FUZZ if wanted(f"fuzz/{name}")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: job(), jobs))


def namespaces(results, args, build_name, prefix, pattern, world="ip4"):
    """tests/ns/run.py prints its own lines; here only its counts are added. world: see tests/ns/netns.py."""
    counts = os.path.join(LOGS, "counts-" + re.sub(r"\W+", "-", prefix + pattern))
    command = [sys.executable, os.path.join(ROOT, "tests", "ns", "run.py"), pattern, "--counts", counts, "--logs",
               os.path.join(LOGS, prefix + "ns"), "--prefix", prefix] + (["--long"] if args.long else [])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                               env=dict(os.environ, KEDGE_WORLD=world,
                                        KEDGE_BUILD=os.path.join(ROOT, BUILDS[build_name][0])))
    children.add(process)
    try:
        process.wait(3600 if args.long else 600)
    except subprocess.TimeoutExpired:
        end(process)
    children.discard(process)
    try:
        with open(counts) as file:
            passed, failed, skipped = map(int, file.read().split())
    except (OSError, ValueError):
        passed, failed, skipped = 0, 1, 0
        print(f"FAIL  {prefix}namespaces: run.py did not reach its end", flush=True)
    with lock:
        results.passed += passed
        results.failed += failed
        results.skipped += skipped


def everywhere(results, args, built):
    """All suites in namespaces, three runs at once: their time is timers'. Only the load has the machine to itself."""
    if built.get("gcc") and args.pattern:
        namespaces(results, args, "gcc", "", args.pattern)
    elif built.get("gcc"):
        namespaces(results, args, "gcc", "", "^load/")
    jobs = []
    if built.get("gcc") and not args.pattern:
        jobs += [("gcc", "", f"^({suites})/") for suites in GROUPS]
        jobs.append(("gcc", "", f"^(?!({'|'.join(('load', *GROUPS))})/)"))
    if built.get("asan") and (not args.pattern or args.pattern.startswith("asan-")):
        jobs.append(("asan", "asan-", args.pattern.removeprefix("asan-") or "^(calls|robust)/"))
    if built.get("gcc"):
        jobs += [("gcc", world + "-", "^(calls|nat|lcores)/" if args.pattern in ("", world) else args.pattern.removeprefix(world + "-"), world)
                 for world in WORLDS if args.pattern in ("", world) or args.pattern.startswith(world + "-")]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda job: namespaces(results, args, *job), jobs))


def main():
    parser = argparse.ArgumentParser(usage="script/test [PATTERN] [--long]", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--long", action="store_true", help="soaks, long fuzzing, many kills: up to an hour")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    atexit.register(lambda: [end(process) for process in list(children)])
    shutil.rmtree(LOGS, ignore_errors=True)
    os.makedirs(LOGS)

    def wanted(title):
        return re.search(args.pattern, title) is not None

    results, began = Results(), time.monotonic()
    all_of_it = args.pattern == ""
    built = {name: build(results, name) for name in BUILDS
             if all_of_it or name == "gcc" or wanted(f"build/{name}") or (name == "asan" and re.search("asan|fuzz|alloc", args.pattern)) or
             (name == "tsan" and wanted("unit-tsan/lifecycle"))}
    for name in ("gcc", "asan"):
        if built.get(name):
            unit_tests(results, name, wanted)
    if built.get("gcc") and wanted("codecs_foreign"):
        if shutil.which("ffmpeg"):
            test(results, "codecs_foreign", [sys.executable, os.path.join(ROOT, "tests", "codecs_foreign.py"),
                                             os.path.join(ROOT, BUILDS["gcc"][0], "tests", "codec_file")], 120)
        else:
            results.skip("codecs_foreign", "ffmpeg is not installed")
    if built.get("tsan") and wanted("unit-tsan/lifecycle"):
        test(results, "unit-tsan/lifecycle", [os.path.join(ROOT, "build-tsan", ONLY["tsan"][0])], 120, SANITIZERS)
    if built.get("asan"):
        fuzz_and_alloc(results, args, wanted)
    everywhere(results, args, built)
    if args.long and wanted("faults"):
        test(results, "faults", [sys.executable, os.path.join(ROOT, "tests", "faults.py")], 2400)
    print(f"\n{time.monotonic() - began:.0f} s" + (f", logs of what failed: {LOGS}" if results.failed else ""))
    print(f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped", flush=True)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
