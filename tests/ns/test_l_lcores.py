# SPDX-License-Identifier: BSD-3-Clause
"""Two relay lcores and two queues: each call's legs are one lcore's, both lcores have calls, what the kernel brings to the
other queue is handed over, and every packet arrives."""

import contextlib

import engine
import netns
import rtp
import sippeer
from calls import ENGINE
from run import Suite
from test_d_addresses import answered, given_back, hang_up

CALLS, PACKETS = 8, 50


class Ground:
    def __init__(self, bed):
        self.bed, self.engine = bed, engine.Engine(bed, name="lcores").start(30)
        self.api = self.engine.api


def test_calls_are_spread(ground):
    bed, api = ground.bed, ground.api
    nics = api.get("/v1/nics")["items"]
    assert [nic["queues"] for nic in nics] == [2, 2] and {nic["steering"] for nic in nics} == {"software"}, nics
    before = api.metrics()
    with contextlib.ExitStack() as stack:
        a = stack.enter_context(sippeer.Peer(bed.caller, netns.CALLER))
        b = stack.enter_context(sippeer.Peer(bed.callee, netns.CALLEE))
        calls = [answered(a, b, ENGINE, 7000 + 10 * n, 8000 + 10 * n) for n in range(CALLS)]
        legs = {call["id"]: [leg["lcore"] for leg in call["legs"]] for call in (
            api.get("/v1/calls/" + item["id"]) for item in api.calls())}
        assert len(legs) == CALLS and all(one == two for one, two in legs.values()), f"a call's legs are apart: {legs}"
        owners = [one for one, _ in legs.values()]
        assert sorted(set(owners)) == [1, 2] and owners.count(1) == owners.count(2), f"not spread: {owners}"
        for n, (call, other) in enumerate(calls):
            one, two = rtp.End(bed.caller, a.address, 7000 + 10 * n), rtp.End(bed.callee, b.address, 8000 + 10 * n)
            rtp.talk(one, two, call.answer.media(), other.invite.media(), count=PACKETS, interval_s=0.002)
            one.close()
            two.close()
        after = api.metrics()

        def grown(name):
            return after[name] - before[name]
        assert grown("kedge_rtp_relayed_total") == 2 * CALLS * PACKETS, grown("kedge_rtp_relayed_total")
        assert grown("kedge_cross_lcore_total") == 0, "a bridge was made across lcores"
        # The kernel chose the queue without knowing whose the port is: about half are brought to the wrong lcore.
        assert 0 < grown("kedge_handed_over_total") < 2 * CALLS * (PACKETS + 1), grown("kedge_handed_over_total")
        lcores = api.lcores()
        assert [one["legs"] for one in lcores] == [CALLS, CALLS] and all(one["packets"] for one in lcores), lcores
        for call, other in calls:
            hang_up(a, call, other)
        given_back(ground.engine)


def after_all_is_given_back(ground):
    ground.engine.stop()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("lcores", ground, [test_calls_are_spread], after=[after_all_is_given_back])] if netns.QUEUES else []
