# SPDX-License-Identifier: BSD-3-Clause
"""What a bench leaves: a table on the terminal, JSON in the project's form, a picture by gnuplot."""

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def cpuinfo():
    with open("/proc/cpuinfo") as file:
        return file.read()


def machine():
    model = re.search(r"^model name\s*: (.*)", cpuinfo(), re.M)
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write_json(path, bench, rows):
    with open(path, "w") as file:
        json.dump({"bench": bench, "commit": commit(), "machine": machine(), "rows": rows}, file, indent=1)
        file.write("\n")


def forget(prefix):
    """Take away the empty directory that a DPDK process with that --file-prefix leaves."""
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join("/var/run/dpdk", prefix))


def cell(value):
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def table(rows, columns):
    """columns: [(key, heading)]."""
    lines = [[heading for _, heading in columns]] + [[cell(row.get(key)) for key, _ in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(width) if i < 2 else text.rjust(width)
                        for i, (text, width) in enumerate(zip(line, widths))))


def plot(script, png, size="1000,460"):
    """Have gnuplot draw; without it there is no picture, and a line that says so."""
    if not shutil.which("gnuplot"):
        print("no picture: gnuplot is not installed (apt-get install gnuplot-nox)")
        return
    head = f'set terminal pngcairo noenhanced size {size} font "sans,10"\nset output "{png}"\nset style fill solid 0.8\n' \
           "set boxwidth 0.8\nset grid ytics\nset key top left\n"
    subprocess.run(["gnuplot"], input=head + script, text=True, check=True)
    print(f"picture: {png}")
