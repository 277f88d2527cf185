#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the namespace tests: run.py [PATTERN] [--long] [--counts FILE] [--logs DIRECTORY] [--prefix TEXT] [--list]

Each test_*.py beside this file has SUITES: a suite starts its surroundings once (namespaces, an engine) and runs its
tests in them, all at once where it says parallel. PATTERN is looked for in "suite/test"."""

import argparse
import concurrent.futures
import contextlib
import importlib
import os
import re
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import netns  # noqa: E402

_print = threading.Lock()


class Skip(Exception):
    """A test cannot say anything here; its text says why."""


class Suite:
    """name; setup: a context manager that gives what each test gets; tests: functions; parallel: all at once;
    after: tests that run when the others are done; long: only with --long."""

    def __init__(self, name, setup, tests, parallel=False, after=(), long=False):
        self.name, self.setup, self.tests, self.parallel = name, setup, tests, parallel
        self.after, self.long = after, long

    prefix = ""

    def shown(self, test):
        return self.prefix + self.title(test)

    def title(self, test):
        return f"{self.name}/{re.sub('^test_', '', test.__name__)}"


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0


def say(line):
    with _print:
        print(line, flush=True)


def run_one(suite, test, context, counts, logs):
    title, began = suite.shown(test), time.monotonic()
    try:
        test(context)
        counts.passed += 1
        say(f"ok    {title:<52} {time.monotonic() - began:6.1f} s")
    except Skip as why:
        counts.skipped += 1
        say(f"skip  {title:<52} {why}")
    except Exception as error:
        counts.failed += 1
        text = str(error) if isinstance(error, AssertionError) and str(error) else traceback.format_exc()
        where = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(where) if os.path.basename(f.filename).startswith("test_")), where[-1])
        say(f"FAIL  {title:<52} {time.monotonic() - began:6.1f} s\n"
            f"      {os.path.basename(place.filename)}:{place.lineno}: {place.line}\n"
            + "\n".join("      " + line for line in text.splitlines()[:60]) + keep(suite, context, logs))


def keep(suite, context, logs):
    bed = getattr(context, "bed", None)
    if not bed or not logs:
        return ""
    where = os.path.join(logs, suite.name)
    if getattr(context, "api", None):
        for path in ("/metrics", "/v1/legs", "/v1/nics", "/v1/lcores"):  # what the engine says now
            with contextlib.suppress(Exception), open(bed.path("api-" + path.rpartition("/")[2]), "w") as file:
                file.write(context.api.ask("GET", path)[2])
    bed.keep_logs(where)
    return f"\n      logs: {where}"


def run_suite(suite, selected, after, counts, logs):
    tests = selected + after
    try:
        with suite.setup() as context:
            if suite.parallel and len(selected) > 1:
                with concurrent.futures.ThreadPoolExecutor(len(selected)) as pool:
                    list(pool.map(lambda test: run_one(suite, test, context, counts, logs), selected))
            else:
                for test in selected:
                    run_one(suite, test, context, counts, logs)
            for test in after:
                run_one(suite, test, context, counts, logs)
            tests = []
    except Skip as why:
        for test in tests:
            counts.skipped += 1
            say(f"skip  {suite.shown(test):<52} {why}")
    except Exception:
        counts.failed += len(tests) or 1
        say(f"FAIL  {suite.prefix}{suite.name}: its surroundings\n" + "".join("      " + line + "\n" for line in
                                                              traceback.format_exc().splitlines()[-30:]))


def suites():
    here = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(here)):
        if re.fullmatch(r"test_\w+\.py", name):
            yield from importlib.import_module(name[:-3]).SUITES


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--counts")
    parser.add_argument("--logs")
    parser.add_argument("--prefix", default="", help="before each name that is printed")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    counts = Counts()
    Suite.prefix = args.prefix
    netns.clean_up_on_exit()
    for suite in suites():
        wanted = [t for t in suite.tests if re.search(args.pattern, suite.title(t))]
        after = [t for t in suite.after if wanted or re.search(args.pattern, suite.title(t))]
        if (suite.long and not args.long) or not wanted + after:
            continue
        if args.list:
            for test in wanted + after:
                print(suite.title(test))
            continue
        run_suite(suite, wanted, after, counts, args.logs)
    if args.counts:
        with open(args.counts, "w") as file:
            file.write(f"{counts.passed} {counts.failed} {counts.skipped}\n")
    elif not args.list:
        say(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]  # tests import Suite and Skip from here: one module, not two
    sys.exit(main())
