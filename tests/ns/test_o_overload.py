# SPDX-License-Identifier: BSD-3-Clause
"""An engine that is flooded while it cannot run loses packets in its nic's rings: it says so and takes no new calls until it
keeps up again; the call that it has goes on."""

import contextlib
import os
import signal
import threading
import time

import netns
import rtp
from calls import ENGINE, Parties
from engine import Engine
from run import Suite
from test_7_limits import lines_about, refuse

BURST = 6000  # more than a ring holds


class Ground:
    def __init__(self, bed):
        self.bed, self.engine = bed, Engine(bed, name="overload").start(30)
        self.api = self.engine.api


class Flood(threading.Thread):
    """Sound RTP from a stranger to a live port, while the engine stands still; over and over, until stop()."""

    def __init__(self, ground, to):
        super().__init__(daemon=True)
        self.pid, self.to, self.going = ground.engine.process.pid, to, True
        self.sock = netns.udp_socket(ground.bed.caller, netns.STRANGER, 7000)
        self.packet = rtp.build(False, 0, 1, 160, 9, bytes(160))
        self.start()

    def once(self):
        os.kill(self.pid, signal.SIGSTOP)
        try:
            for _ in range(BURST):
                self.sock.sendto(self.packet, self.to)
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def run(self):
        while self.going:
            self.once()
            time.sleep(0.3)

    def stop(self):
        self.going = False
        self.join()
        self.sock.close()


def overloaded(api):
    return any(lcore["overloaded"] for lcore in api.lcores())


def test_new_calls_wait(ground):
    kedge, api = ground.engine, ground.api
    with contextlib.ExitStack() as stack:
        p = Parties(ground, stack, netns.CALLER, netns.CALLEE, "bob")
        call, other = p.answered()
        p.talk(call, other)
        before, flood = api.metrics(), Flood(ground, call.answer.media())
        stack.callback(flood.stop)
        netns.wait_for("an lcore that does not keep up", lambda: overloaded(api), 30, 0.1)
        refuse(p.a.invite(ENGINE, "bob", p.offer))
        flood.stop()
        p.talk(call, other, start=100)
        netns.wait_for("an lcore that keeps up", lambda: not overloaded(api), 10, 0.1)
        after = api.metrics()

        def grown(name):
            return after[name] - before[name]
        assert grown('kedge_sip_refused_total{reason="overload"}') == 1, "the refusal is counted"
        assert grown('kedge_drops_total{reason="wrong_source"}') > 0
        assert sum(nic["rx"]["missed"] for nic in api.get("/v1/nics")["items"]) > 0
        assert lines_about(kedge, "does not keep up") and lines_about(kedge, "keeps up again")
        p.talk(call, other, start=150)
        call2, other2 = p.answered()
        p.hang_up(call2, other2)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        kedge.stop()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("overload", ground, [test_new_calls_wait])] if netns.WORLD == "ip4" else []
