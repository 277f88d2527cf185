#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Proves that the tests can fail: each seeded fault changes one place of a copy of the tree, builds it, and runs the tests that
guard it. A fault that no test notices is a failure. faults.py [PATTERN]"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from faults_table import FAULTS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(command, cwd, env=None, timeout=600):
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ, **(env or {})), timeout=timeout, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def must(command, cwd):
    status, text = run(command, cwd)
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}:\n{text[-3000:]}")


def notices(test, tree, build):
    """Run one test, "unit:NAME", "ns:PATTERN" or "nat:PATTERN". Returns: does it fail?"""
    kind, name = test.split(":", 1)
    if kind == "unit":
        status, text = run(["meson", "test", "-C", build, "--no-rebuild", name], tree)
    else:
        world = "nat" if kind == "nat" else "ip4"
        status, text = run([sys.executable, "tests/ns/run.py", name], tree, {"KEDGE_BUILD": build, "KEDGE_WORLD": world})
    return status != 0


def try_fault(fault, tree, build):
    """Returns: "" where a test noticed the fault, else what is wrong."""
    path = os.path.join(tree, fault["file"])
    with open(path) as file:
        good = file.read()
    if good.count(fault["old"]) != 1:
        return f"its place stands {good.count(fault['old'])} times in {fault['file']}: mend tests/faults_table.py"
    try:
        with open(path, "w") as file:
            file.write(good.replace(fault["old"], fault["new"]))
        status, text = run(["ninja", "-C", build], tree)
        if status:
            return "does not build:\n" + text[-1500:]
        return "" if notices(fault["test"], tree, build) else f"{fault['test']} did not notice it"
    finally:
        with open(path, "w") as file:
            file.write(good)


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    faults = [f for f in FAULTS if re.search(pattern, f["name"])]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="kedge-faults-") as directory:
        tree, build = os.path.join(directory, "tree"), os.path.join(directory, "build")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build*", ".git"))
        must(["meson", "setup", build, tree], tree)
        must(["ninja", "-C", build], tree)
        for test in sorted({f["test"] for f in faults}):
            if notices(test, tree, build):
                sys.exit(f"{test} fails without any fault: run it by itself first")
        for fault in faults:
            began = time.monotonic()
            wrong = try_fault(fault, tree, build)
            failed += bool(wrong)
            print(f"{'FAIL' if wrong else 'ok  '}  {fault['name']:<44} {fault['test']:<40} "
                  f"{time.monotonic() - began:5.1f} s" + (f"\n      {wrong}" if wrong else ""), flush=True)
    print(f"{len(faults) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
