# SPDX-License-Identifier: BSD-3-Clause
"""2 MB pages for as long as a bench runs."""

import contextlib

PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


def read():
    with open(PAGES) as file:
        return int(file.read())


def write(count):
    with open(PAGES, "w") as file:
        file.write(str(count))


@contextlib.contextmanager
def hugepages(wanted):
    """At least as many as `wanted` (0: leave them alone), given back afterwards. Gives: are they there? Says which pages
    the figures are of."""
    try:
        before = read()
        if wanted > before:
            write(wanted)
    except OSError:  # no such pages here, or we may not
        before = None
    try:
        there = bool(wanted) and before is not None and read() >= wanted
        print("packet buffers and tables in " + (f"{wanted} hugepages of 2 MB" if there else "ordinary pages"))
        yield there
    finally:
        if before is not None and wanted > before:
            write(before)
