#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The control plane's unit tests with one allocation failing, each in turn.

Each cmocka test is first run to see its allocations (tests/tools/alloc_fail.c), then again for each place that asks for memory,
where it gets none. The test may then fail by its own assertions: it may not crash, hang, or leak where it still passes. Wants
the sanitizers' build. PATTERN picks tests by "BINARY/NAME". --long: every way to each place. --leaks: also lists what leaks
in tests that failed, where it was taken by the very call that met the failure: to be judged by a reader."""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOOKED_AT, LOOKED_AT_LONG = 20000, 400000  # allocations of each test; what comes later is taken for more of the same
FIRST, EVEN = 100, 50  # of each test in the long run, whatever their place: the first ones, and so many evenly over the rest
TIMEOUT_S, AT_ONCE = 120, 2
SAMPLE = 600  # in the normal run, of other ways to a place
TESTS_OF_A_PLACE = 1  # in the normal run, so many of a binary's tests fail where they come to the same place
BUDGET_S = {False: 45, True: 2400}  # for all; what is not reached is left out, and counted
SLOW_S, SLOW_BUDGET_S = 0.15, {False: 1.5, True: 60}  # a test whose runs are longer than this has so much of it
TEST_SOURCE = re.compile(r"_test\.c|_rig\.h|_world\.c|_fakes\.c|api_client\.c|sip_fake\.h|_check\.h")
FRAME = re.compile(r"^\s+#\d+ 0x\w+ in (\S+) (\S+)", re.M)
OURS_BELOW = ("__sanitizer_print_stack_trace", "report", "fails", "malloc", "calloc", "realloc", "strdup", "strndup", "aligned_alloc",
              "posix_memalign", "get", "get_aligned")
OFFSET = re.compile(r"\(([^()]*\+0x\w+)\)")
# Libraries that where one of their own allocations fails crash or leak inside themselves: what stands in the frames between our
# call and the fault, and why no caller can mend it. Their other faults are found.
EXCEPTIONS = {
    "libfyaml.so": "reads the configuration, at start and reload only",
    "regcomp": "glibc's: takes the configuration's patterns, at start and reload only",
    "libcrypto.so": "makes itself ready for hashes, at start only (digest_init)",
    "libosipparser2.so": "loses the header that it had no memory to hang up: some hundred bytes",
}


class Run:
    """One test binary's one test, once."""

    def __init__(self, binary, test, number=None, sites=None, stack=False):
        self.binary, self.test, self.number, self.slow = binary, test, number, False
        with tempfile.TemporaryDirectory(prefix="kedge-alloc-") as place:
            self.log, reports = os.path.join(place, "log"), os.path.join(place, "report")
            environment = dict(os.environ, TMPDIR=place, KEDGE_ALLOC_LOG=self.log,
                ASAN_OPTIONS="detect_leaks=1:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2:handle_abort=2:"
                f"exitcode=86:log_path={reports}:symbolize=0:fast_unwind_on_malloc={int(not stack)}:"
                f"allocator_may_return_null=1:detect_stack_use_after_return=0",
                LSAN_OPTIONS="print_suppressions=0",
                UBSAN_OPTIONS=f"print_stacktrace=1:halt_on_error=1:log_path={reports}:symbolize=0")
            environment.update({name: value for name, value in {
                "KEDGE_ALLOC_TEST": test, "KEDGE_FAIL_ALLOC": None if number is None else str(number),
                "KEDGE_ALLOC_SITES": sites and str(sites), "KEDGE_ALLOC_STACK": "1"}.items() if value})
            self.start(environment, place)
            self.failed_one = self.read("log").find("failed") >= 0
            self.report = "".join(self.read(name) for name in sorted(os.listdir(place)) if name.startswith("report"))

    def start(self, environment, place):
        self.place = place
        process = subprocess.Popen(["setarch", "-R", self.binary], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   cwd=place, env=environment)
        try:
            self.output = process.communicate(timeout=TIMEOUT_S)[0].decode(errors="replace")
            self.hung = False
        except subprocess.TimeoutExpired:
            process.kill()
            self.output, self.hung = process.communicate()[0].decode(errors="replace"), True
        self.status = process.returncode
        self.counts = [int(n) for n in re.findall(r"^count (\d+)$", self.read("log"), re.M)]
        self.sites = {} if self.test else {number: number for number in range(max(self.counts, default=0))}
        for number, near in re.findall(r"^site (\d+) (\w+)$", self.read("log"), re.M):
            self.sites.setdefault(int(number), near)

    def read(self, name):
        try:
            with open(os.path.join(self.place, name), errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def asserted(self):
        return "[  FAILED  ]" in self.output

    def alike(self, kind):
        """Returns: what is equal in two runs that have the same to tell."""
        stacks = re.split(r"\n\s*\n|ERROR:|runtime error", self.report)
        stacks = [tuple(OFFSET.findall(stack)[:8]) for stack in stacks[1 if kind == "crash" else 0:]]
        return tuple(sorted(set(stacks))) if kind == "leak" else tuple(stacks[:2])

    def what(self):
        """Returns: "" where all is well, else "hang", "crash" or "leak"."""
        if self.hung:
            return "hang"
        if self.status < 0 or "ERROR: AddressSanitizer" in self.report or "runtime error" in self.report or \
                "Test failed with exception" in self.output:
            return "crash"
        return "leak" if "LeakSanitizer" in self.report else ""


class Symbolizer:
    """llvm-symbolizer, which is slow to read a binary, kept."""

    def __init__(self):
        self.lock, self.known = threading.Lock(), {}
        self.process = subprocess.Popen(["llvm-symbolizer", "--inlines", "--demangle"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, module, offset):
        """Returns: [(function, file:line:column)], what was inlined first."""
        with self.lock:
            if (module, offset) not in self.known:
                self.process.stdin.write(f'"{module}" {offset}\n')
                lines = []
                while (line := self.process.stdout.readline().strip()):
                    lines.append(line)
                self.known[module, offset] = list(zip(lines[::2], lines[1::2]))
            return self.known[module, offset]


symbolizer = Symbolizer()


def with_names(report):
    """Returns: the report with functions and lines in its frames, the module where the line is not known."""
    def name(match):
        module, offset = match.group(2).rsplit("+", 1)
        return "\n".join(f"    #0 0x0 in {function} {module if place.startswith('?') else place}"
                         for function, place in symbolizer.ask(module, offset))
    return re.sub(r"^\s+#\d+ (0x\w+)\s+\(([^()]+\+0x\w+)\).*$", name, report, flags=re.M)


def frames(text):
    """Returns: [(function, file:line)] of the stack at the start of text."""
    return [(name, os.path.normpath(place).removeprefix(ROOT + "/")) for name, place in FRAME.findall(text)]


def ours(stack):
    return [(name, place) for name, place in stack if re.match(r"(control|dataplane)/", place)]


def short(stack, own_frames=3):
    """The library function that we called, and our innermost ones up to the test."""
    own = ours(stack)
    inner = [name for name, _ in stack[:stack.index(own[0])]] if own else [name for name, _ in stack[:3]]
    inner = [name for name in inner if name not in OURS_BELOW]
    tested = [f"{name} {place}" for name, place in own if not TEST_SOURCE.search(place)]
    return " < ".join(inner[-1:] + (tested or [f"{name} {place}" for name, place in own])[:own_frames]) or "(no stack)"


def stacks_after(text, mark):
    """Returns: the stacks that follow each line with this mark."""
    found = []
    for part in re.split(mark, text)[1:]:
        found.append(frames(part.split("\n\n", 1)[0]))
    return found


def is_tests(stack):
    """Returns: is it the test's own doing?"""
    own = ours(stack)
    return bool(own) and TEST_SOURCE.search(own[0][1]) is not None


def caller(stack):
    """The line of the test that called what we test."""
    return next((place for name, place in stack if TEST_SOURCE.search(place)), None)


seen, seen_lock = {}, threading.Lock()


def findings(one, leaks):
    """Look closer at a run that was not well, where there was none like it. Returns: [(kind, what, where none was got)]."""
    kind = one.what()
    if kind == "leak" and one.asserted() and not leaks:
        return []
    like = (kind, one.asserted(), one.alike(kind))
    with seen_lock:
        known = seen.get(like)
    if known is None or kind == "hang":
        known = look_closer(one, kind)
        with seen_lock:
            seen[like] = known
    return known


def look_closer(one, kind):
    """Returns: as findings()."""
    report = one.report if kind != "leak" else Run(one.binary, one.test, one.number, stack=True).report
    report = with_names(report)
    met = frames(report.split("\n\n", 1)[0])
    where = short(met, 5)
    if kind == "hang":
        return [("hang", f"{os.path.basename(one.binary)}/{one.test}", where)]
    if kind == "crash":
        stack = (stacks_after(report, r"ERROR: AddressSanitizer|runtime error") + [[]])[0]
        return [("test" if is_tests(stack) else known(kind, stack, met) or "crash", short(stack), where)]
    blocks = stacks_after(report, r"Direct leak of [^\n]*") or stacks_after(report, r"Indirect leak of [^\n]*")
    place, found = caller(met), []
    for stack in blocks:
        name = "test" if is_tests(stack) else known(kind, stack, met) or ("maybe" if one.asserted() else "leak")
        if name != "maybe" or (place and caller(stack) == place):
            found.append((name, re.sub(r":[\d:]+", "", short(stack, 1)) if name == "maybe" else short(stack), where))
    return found


def below(stack):
    """Returns: the frames between our call and the innermost one, as text."""
    own = ours(stack)
    return " ".join(f"{name} {place}" for name, place in (stack[:stack.index(own[0])] if own else stack))


def known(kind, stack, met):
    """Returns: is it a library's own fault, "known" or None?"""
    for library in EXCEPTIONS:
        if library in below(stack) and library in below(met) and (kind == "leak" or "osip" not in library):
            return "known"
    return None


def pick(looked, long):
    """looked: Runs of one binary's tests. Returns: [(binary, test, number)], which allocations shall fail; and the other ones."""
    jobs, others, often = [], [], collections.Counter()
    for one in looked:
        count = max(one.counts, default=0)
        chosen = sorted(one.sites)
        if long:
            chosen = sorted(set(chosen) | set(range(min(FIRST, count))) | set(range(0, count, max(1, count // EVEN))))
        else:  # each place from its nearest callers, in the first tests that come there
            first = {}
            for number in chosen:
                first.setdefault(one.sites[number], number)
            chosen = sorted(number for near, number in first.items() if often[near] < TESTS_OF_A_PLACE)
            others += [(one.binary, one.test, number) for number in one.sites if number not in chosen]
            often.update(one.sites[number] for number in chosen)
        jobs += [(one.binary, one.test, number) for number in chosen]
    return jobs, others


def tests_of(build, pattern):
    """Returns: [(binary, test)], test "" where the binary is run as a whole: kedgectl's, whose allocations are in its children."""
    listed = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
    found = []
    for one in sorted(listed, key=lambda one: one["name"]):
        if not any("control" in suite for suite in one["suite"]):
            continue
        binary = one["cmd"][0]
        names = [""]
        if one["name"] != "kedgectl":
            names = subprocess.check_output([binary], env=dict(os.environ, KEDGE_ALLOC_LIST="1"), text=True).split()
        found += [(binary, name) for name in names if re.search(pattern, one["name"] + "/" + name)]
    return found


def look(binary, test, long):
    """Run it well, to learn of its allocations. Returns: Run."""
    return Run(binary, test, sites=LOOKED_AT_LONG if long else LOOKED_AT)


spent, tried = collections.Counter(), collections.Counter()  # seconds and runs of each test


def try_one(binary, test, number, args, until):
    """Returns: (Run, findings), or None where there is no time left for it."""
    key = binary, test
    if time.monotonic() > until or spent[key] > max(SLOW_BUDGET_S[args.long], tried[key] * SLOW_S):
        return None
    began = time.monotonic()
    one = Run(binary, test, number)
    spent[key] += time.monotonic() - began
    tried[key] += 1
    return one, findings(one, args.leaks) if one.what() else []


def main():
    parser = argparse.ArgumentParser(usage="tests/alloc.py [PATTERN] [--long] [--leaks] [--build DIR]", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--leaks", action="store_true")
    parser.add_argument("--build", default=os.path.join(ROOT, "build-asan"))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    began, said, runs, met, failed, left_out = time.monotonic(), {}, 0, 0, 0, 0

    def say(binary, test, number, kind, what, where):
        said.setdefault((kind, what), []).append(f"{os.path.basename(binary)}/{test} {number}, where none was got: {where}")

    tests = tests_of(args.build, args.pattern)
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    try:
        jobs, others, looked = [], [], {}
        for one in pool.map(lambda one: look(*one, args.long), tests):
            if one.what() or one.status or not one.counts:
                text = (one.output + one.report)[-800:]
                say(one.binary, one.test, "-", "bad", f"{one.test} fails though all allocations are good: {text}", "")
            else:
                looked.setdefault(one.binary, []).append(one)
        for some in looked.values():
            some_jobs, some_others = pick(some, args.long)
            jobs, others = jobs + some_jobs, others + some_others
        for some in (jobs, others):
            random.Random(1).shuffle(some)  # so that what there is time for lies evenly
        jobs += others[:SAMPLE]
        until = time.monotonic() + BUDGET_S[args.long]
        for job, done in zip(jobs, pool.map(lambda one: try_one(*one, args, until), jobs)):
            if not done:
                left_out += 1
                continue
            one, found = done
            runs, met, failed = runs + 1, met + one.failed_one, failed + one.asserted()
            for finding in found:
                say(*job, *finding)
    finally:
        pool.shutdown(cancel_futures=True)
    for (kind, what), places in sorted(said.items()):
        if args.leaks or kind not in ("test", "known"):
            print(f"{kind:<6} {what}\n       {len(places)} times, first in {places[0]}")
    bad = sum(kind not in ("test", "known", "maybe") for kind, _ in said)
    print(f"{len(tests)} tests, {runs} runs, {met} met a failing allocation, {failed} then failed by assertion, {bad} faults, "
          f"{left_out} left out, {time.monotonic() - began:.0f} s")
    return 1 if bad or not met else 0


if __name__ == "__main__":
    sys.exit(main())
