# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 at random moments under load: the next start works at once, nothing of others is touched, nothing of ours is
left. Three times in script/test, fifty with --long."""

import contextlib
import os
import random
import subprocess
import time

import netns
from calls import ENGINE, Parties
from engine import Engine
from run import Suite
from sipp import Sipp

FOREIGN = '__attribute__((section("xdp"), used)) int foreign(void *ctx) { return 2; }\n' \
          'char _license[] __attribute__((section("license"), used)) = "GPL";\n'


class Ground:
    def __init__(self, bed):
        self.bed, self.engine, self.api = bed, None, None


def foreign_program(bed):
    """Somebody else's XDP program on an interface of its own. Returns: what `ip` shows of it."""
    source, program = bed.path("foreign.c"), bed.path("foreign.o")
    with open(source, "w") as file:
        file.write(FOREIGN)
    subprocess.run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", program], check=True)
    bed.ip(bed.engine, "link add w0 type veth peer name w1")
    bed.ip(bed.engine, "link set w0 up")
    bed.ip(bed.engine, f"link set dev w0 xdp obj {program} sec xdp")
    return shown(bed)


def shown(bed):
    return [line.strip() for line in bed.ip(bed.engine, "link show dev w0").splitlines() if "prog/xdp" in line]


def ours(bed):
    """XDP programs on our nics, and sockets of a dead engine."""
    links = "".join(bed.ip(bed.engine, f"link show dev {name}") for name in ("vA", "vB"))
    return [line.strip() for line in links.splitlines() if "prog/xdp" in line]


def kill_under_load(ground, times, seed):
    bed, chance = ground.bed, random.Random(seed)
    foreign = foreign_program(bed)
    assert foreign, "the foreign program does not hang there: nothing would be shown"
    hosts = netns.udp_socket(bed.engine, netns.ENGINE_A, 20000, 0)  # somebody's own socket in the engine's namespace
    rest = ["-timeout", "900s", "-recv_timeout", "5000", "-l", "200", "-nd"]
    callee = Sipp(bed, bed.callee, "uas_bye", netns.at_callee(3), "load", calls=100000, more=rest)
    caller = Sipp(bed, bed.caller, "uac_bye", netns.at_caller(3), "load", to=f"{ENGINE[0]}:5060", user="load", calls=100000,
                  more=["-r", "20", *rest])
    try:
        for turn in range(times):
            ground.engine = Engine(bed, [f'{{name: t3, target: "sip:{netns.at_callee(3)}:5060"}}'],
                                   ['{match: {trunk: caller, to: "^load$"}, to: ["trunk:t3"]}'], name="killed").start(30)
            ground.api = ground.engine.api
            with contextlib.ExitStack() as stack:
                stack.callback(ground.engine.kill)  # in the midst of it all
                p = Parties(ground, stack, netns.CALLER, netns.CALLEE, "bob")
                call, other = p.answered()
                p.talk(call, other, count=5, interval_s=0.005)
                time.sleep(chance.uniform(0, 1.0))
            assert shown(bed) == foreign, f"kill {turn + 1}: the foreign program was touched: {shown(bed)}"
        ground.engine.start(30)
        netns.wait_for("calls of the load again", lambda: ground.api.metrics()["kedge_calls"] > 2, 20, 0.2)
        ground.engine.stop()
    finally:
        for sipp in (caller, callee):
            bed.stop(sipp.process)
        ground.engine.kill()
    assert not ours(bed), f"an XDP program of ours was left: {ours(bed)}"
    assert shown(bed) == foreign, f"the foreign program was touched: {shown(bed)}"
    assert not os.path.exists(ground.engine.socket), "the API's socket was left"
    there = netns.run("ip", "netns", "list").split()
    assert set(bed.names()) <= set(there), f"a namespace of others is gone: {there}"
    assert hosts.fileno() >= 0 and ":20000" in bed.run(bed.engine, ["ss", "-ulnH"]).stdout, "a socket of others is gone"
    hosts.close()


def test_3_kills(ground):
    kill_under_load(ground, 3, seed=3)


def test_50_kills(ground):
    kill_under_load(ground, 50, seed=50)


@contextlib.contextmanager
def ground():
    with netns.Bed(6) as bed:
        yield Ground(bed)


SUITES = [Suite("kills", ground, [test_3_kills]), Suite("kills-long", ground, [test_50_kills], long=True)] \
    if netns.WORLD == "ip4" else []
