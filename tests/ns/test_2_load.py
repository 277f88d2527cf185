# SPDX-License-Identifier: BSD-3-Clause
"""100 calls at once, 20 new ones a second, RTP and RTCP both ways: every packet arrives, every byte is right. Told by the
receivers, by captures at both ends and by the engine's counters, so that it is known where a missing packet went."""

import contextlib
import time

import capture
import engine
import load
import netns
from calls import ENGINE
from run import Suite

CALLS, INTERVAL_S, PACKETS = 200, 0.05, 240  # 4.8 s of speech and 0.5 s of silence at 20 calls/s: 100 at once


class Load:
    def __init__(self, bed):
        self.bed, self.peak = bed, 0
        self.engine = engine.Engine(bed, media="ports: 16384-32767, timeout_s: 60").start()


@contextlib.contextmanager
def loaded():
    with netns.Bed() as bed:
        context = Load(bed)
        yield context
        context.engine.stop()


def test_100_calls(context):
    bed, api = context.bed, context.engine.api
    captures = [capture.Capture(bed, ns, f"load-{ns[-1]}", "udp and not port 5060", bulk=True) for ns in (bed.caller, bed.callee)]
    before = api.metrics()

    def watch():
        context.peak = max(context.peak, api.metrics()["kedge_calls"])

    ones, twos, errors = load.run_load(bed, ENGINE, netns.CALLEE, CALLS, INTERVAL_S, PACKETS, watch)
    context.wire = [c.stop() for c in captures]
    context.lost_by_captures = [c.dropped for c in captures]
    context.ones, context.twos, context.before, context.after = ones, twos, before, api.metrics()
    assert not errors, f"signalling: {errors[:5]} ({len(errors)})"
    assert context.peak >= 95, f"only {context.peak:g} calls at once"
    load.judge(ones, twos, PACKETS, "caller to callee")
    load.judge(twos, ones, PACKETS, "callee to caller")


def test_100_calls_on_the_wire(context):
    assert context.lost_by_captures == [0, 0], f"tcpdump itself lost {context.lost_by_captures}: nothing can be said"
    at_caller, at_callee = context.wire
    for source, sent, arrived, what in ((netns.CALLER, at_caller, at_callee, "caller to callee"),
                                        (netns.CALLEE, at_callee, at_caller, "callee to caller")):
        there = netns.CALLEE if source == netns.CALLER else netns.CALLER
        result = capture.compare_streams(capture.streams(sent, source=source), capture.streams(arrived, destination=there))
        assert result["streams"] == CALLS and not result["different"], f"{what}: {result}"


def test_100_calls_in_the_counters(context):
    def grown(name):
        return context.after.get(name, 0) - context.before.get(name, 0)

    relayed = next((n for n in context.after if n.startswith("kedge_rtp_relayed")), "kedge_rtp_relayed_total")
    assert grown(relayed) == 2 * CALLS * PACKETS, f"{relayed} grew by {grown(relayed)}, {2 * CALLS * PACKETS} were sent"
    lost = {n: context.after[n] - context.before.get(n, 0) for n in context.after if n.startswith("kedge_drops_total")}
    lost = {n: v for n, v in lost.items() if v}
    assert not lost, f"the engine dropped: {lost}"
    records = context.engine.records()
    assert len(records) == CALLS and all(r["state"] == "disconnected" for r in records), f"{len(records)} records"


def after_load_is_given_back(context):
    context.engine.no_leaks()


SUITES = [Suite("load", loaded, [test_100_calls, test_100_calls_on_the_wire, test_100_calls_in_the_counters],
                after=[after_load_is_given_back])]
