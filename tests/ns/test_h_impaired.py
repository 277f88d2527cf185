# SPDX-License-Identifier: BSD-3-Clause
"""Calls over a bad network (R21): 10 % loss, 5 % duplicates, 100 +- 50 ms each way on both sides, reordering. Every call
ends in a defined state, none is doubled, everything is given back after 64*T1 + T4. 1,000 calls with --long."""

import contextlib
import re
import time

import netns
from calls import ENGINE
from engine import Engine
from impair import Line, Relay
from run import Suite
from sipp import Sipp

KINDS = {"uac_bye": "uas_bye", "uac_hung_up": "uas_hangs_up", "uac_cancel": "uas_cancelled", "uac_busy": "uas_busy",
         "uac_late_offer": "uas_late_offer"}
STATES = {"disconnected", "failed", "timeout"}


class Ground:
    """For each kind of call: a caller and a callee with a line each, a trunk, a route."""

    def __init__(self, bed):
        self.bed, self.places, lines, trunks, routes = bed, {}, [], [], []
        for n, kind in enumerate(KINDS, start=3):
            a, b, near, far = netns.at_caller(n), netns.at_callee(n), netns.at_caller(n + 20), netns.at_callee(n + 20)
            lines += [Line(bed.caller, near, ENGINE, (a, 5060)), Line(bed.callee, far, (netns.ENGINE_B, 5060), (b, 5060))]
            trunks.append(f'{{name: t{n}, target: "sip:{far}:5060", behind_nat: true, ring_timeout_s: 15}}')
            trunks.append(f'{{name: c{n}, target: "sip:{near}:5060", behind_nat: true}}')
            routes.append(f'{{match: {{trunk: c{n}}}, to: ["trunk:t{n}"]}}')
            self.places[kind] = (a, b, near)
        self.relay = Relay(lines, seed=4711)
        self.engine = Engine(bed, trunks, routes, media="ports: 16384-32767, timeout_s: 15", name="impaired").start(30)
        self.relay.start()


def invites_at(sipp):
    """The INVITEs that a SIPp callee got, by Call-ID, without their copies."""
    with open(sipp.message, errors="replace") as file:
        text = file.read()
    return {found for found in re.findall(r"received \[\d+\] bytes :\s+INVITE .*?^Call-ID: (\S+)", text, re.M | re.S)}


def invites_by(sipp):
    with open(sipp.message, errors="replace") as file:
        text = file.read()
    return {found for found in re.findall(r"message sent \(\d+ bytes\):\s+INVITE .*?^Call-ID: (\S+)", text, re.M | re.S)}


def run_impaired(ground, calls, rate):
    bed, kedge, each = ground.bed, ground.engine, calls // len(KINDS)
    more = ["-timeout", f"{calls / rate + 120:.0f}s", "-recv_timeout", "45000", "-l", "2000", "-nd"]
    callees = {kind: Sipp(bed, bed.callee, KINDS[kind], b, kind, calls=10 * each, more=more)
               for kind, (_, b, _) in ground.places.items()}
    time.sleep(1)
    callers = {kind: Sipp(bed, bed.caller, kind, a, kind, to=f"{near}:5060", user="bob", calls=each,
                          more=["-r", f"{rate / len(KINDS):g}", *more]) for kind, (a, _, near) in ground.places.items()}
    for sipp in callers.values():
        sipp.process.wait(calls / rate + 150)
    kedge.no_leaks(15 + 64 * 0.5 + 64 * 0.5 + 5)  # SIPp gives up without CANCEL or BYE
    for sipp in callees.values():
        bed.stop(sipp.process)
    ground.relay.stop()
    seen = ground.relay.seen
    for what, share in (("lost", 0.10), ("doubled", 0.045)):
        assert 0.7 * share < seen[what] / seen["in"] < 1.3 * share, f"the relay was not as bad as it should be: {seen}"
    assert seen["overtook"] > seen["in"] / 50, f"nothing was reordered: {seen}"
    records = kedge.records()
    wanted = sorted(call_id for sipp in callers.values() for call_id in invites_by(sipp))
    got = sorted(leg["sip_call_id"] for r in records for leg in r["legs"] if leg["role"] == "caller")
    lost = set(wanted) - set(got)  # an INVITE of which no copy arrived: SIPp sends it eight times
    assert len(got) == len(set(got)), "a call has two records: a repeated INVITE was taken for a new one"
    assert set(got) <= set(wanted) and len(lost) <= len(wanted) // 100, f"calls without a record: {sorted(lost)[:5]}"
    states = {}
    for r in records:
        states[r["state"]] = states.get(r["state"], 0) + 1
        assert r["state"] in STATES and r["cause"]["reason"], r
    assert states.get("disconnected", 0) > 0.3 * len(records), f"hardly a call came through: {states}"
    for kind, sipp in callees.items():
        legs = [leg["sip_call_id"] for r in records for leg in r["legs"] if leg["role"] == "callee"]
        strange = invites_at(sipp) - set(legs)
        assert not strange, f"{kind}: the callee was called by calls that have no record: {sorted(strange)[:5]}"
    assert len(legs) == len(set(legs)) <= len(records), "a callee was called twice in one call"
    print(f"      {len(records)} calls: {states}; of {seen['in']} datagrams {seen['lost']} were lost, {seen['doubled']} doubled, "
          f"{seen['overtook']} overtook another", flush=True)


def test_100_calls(ground):
    run_impaired(ground, 100, 10)


def test_1000_calls(ground):
    run_impaired(ground, 1000, 25)


@contextlib.contextmanager
def ground():
    with netns.Bed(30) as bed:
        context = Ground(bed)
        yield context
        context.engine.stop()


SUITES = [Suite("impaired", ground, [test_100_calls]), Suite("impaired-long", ground, [test_1000_calls], long=True)] \
    if netns.WORLD == "ip4" else []
