# SPDX-License-Identifier: BSD-3-Clause
"""20,000 calls (--long): memory is flat, everything is given back, every call has its record."""

import contextlib
import time

import netns
from calls import ENGINE
from engine import Engine
from run import Suite
from sipp import Sipp

CALLS, RATE, WARM_S = 20000, 100, 120  # what lives 32 s must have left its holes in the heap a few times


class Ground:
    def __init__(self, bed):
        self.bed = bed
        self.engine = Engine(bed, media="ports: 16384-32767, timeout_s: 60", name="soak").start(30)


def memory_kb(kedge):
    with open(f"/proc/{kedge.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_20000_calls(ground):
    bed, kedge = ground.bed, ground.engine
    limits = ["-l", "3000", "-timeout", "900s"]
    callee = Sipp(bed, bed.callee, "uas_bye", netns.CALLEE, "soak", calls=CALLS, more=limits)
    time.sleep(1)
    caller = Sipp(bed, bed.caller, "uac_bye", netns.CALLER, "soak", to=f"{netns.host(ENGINE[0])}:{ENGINE[1]}", user="bob",
                  calls=CALLS, more=["-r", str(RATE), *limits])
    began, level, highest = time.monotonic(), None, 0
    while caller.process.poll() is None:
        time.sleep(1)
        now = memory_kb(kedge)
        if time.monotonic() - began >= WARM_S:
            level = level or now
            highest = max(highest, now)
    caller.finish(60)
    callee.finish(60)
    assert level, "the calls were over before memory was level: nothing was shown"
    assert highest <= level * 1.01, f"memory grew from {level} kB to {highest} kB"
    kedge.no_leaks()
    records = kedge.records()
    assert len(records) == CALLS, f"{len(records)} records of {CALLS} calls"
    states = {record["state"] for record in records}
    assert states == {"disconnected"}, states
    assert len({record["id"] for record in records}) == CALLS, "two records have one id"
    print(f"      memory {level} kB after {WARM_S} s, at most {highest} kB until call {CALLS}", flush=True)
    kedge.stop()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("soak", ground, [test_20000_calls], long=True)] if netns.WORLD == "ip4" else []
