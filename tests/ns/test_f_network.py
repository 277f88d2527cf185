# SPDX-License-Identifier: BSD-3-Clause
"""What happens to a network and to a host while calls run: links, addresses, neighbours, MTU, descriptors, memory. Each
has a name, and calls that can live go on."""

import contextlib
import os
import re
import time

import engine
import netns
import rtp
from calls import Parties
from run import Skip, Suite


class Ground:
    def __init__(self, bed):
        self.bed, self.engine, self.api, self.count = bed, None, None, 0

    @contextlib.contextmanager
    def call(self, **options):
        """An engine with one call whose media flows. Gives: (engine, parties, the two dialogs)."""
        self.count += 1
        self.engine = engine.Engine(self.bed, name=f"network{self.count}", **options).start(30)
        self.api = self.engine.api
        try:
            with contextlib.ExitStack() as stack:
                p = Parties(self, stack, netns.CALLER, netns.CALLEE, "bob")
                call, other = p.answered()
                p.talk(call, other)
                yield self.engine, p, call, other
                p.hang_up(call, other)
                p.ended(call, other, "disconnected", "caller_hangup")
            self.engine.stop()
        finally:
            self.engine.kill()


def log_says(kedge, words):
    return lambda: words in kedge.last_log(400)


def flows_again(p, call, other, start):
    """Media both ways, once what stood in its way is over."""
    end = time.monotonic() + 10
    while True:
        try:
            p.talk(call, other, start=start, count=5)
            break
        except AssertionError:
            if time.monotonic() > end:
                raise
            start += 5
    p.talk(call, other, start=start + 5, count=25)


def test_link_down_and_up(ground):
    with ground.call() as (kedge, p, call, other):
        ground.bed.ip(ground.bed.engine, "link set vA down")
        netns.wait_for("the nic's link to be told as down",
                       lambda: not ground.api.get("/v1/nics")["items"][0]["link_up"], 5)
        ground.bed.ip(ground.bed.engine, "link set vA up")
        netns.wait_for("the nic's link to be told as up", lambda: ground.api.get("/v1/nics")["items"][0]["link_up"], 5)
        if netns.FAMILY[0] == 6:  # IPv6 addresses go with the link
            ground.bed.ip(ground.bed.engine, f"addr add {netns.ENGINE_A}/64 dev vA")
        flows_again(p, call, other, 100)


def test_address_goes_and_comes(ground):
    bits = 64 if netns.FAMILY[0] == 6 else 24
    with ground.call() as (kedge, p, call, other):
        ground.bed.ip(ground.bed.engine, f"addr del {netns.ENGINE_A}/{bits} dev vA")
        netns.wait_for("the nic to be without address", lambda: not ground.api.get("/v1/nics")["items"][0]["addresses"], 5)
        ground.bed.ip(ground.bed.engine, f"addr add {netns.ENGINE_A}/{bits} dev vA")
        netns.wait_for("its address", lambda: ground.api.get("/v1/nics")["items"][0]["addresses"], 5)
        flows_again(p, call, other, 100)


def test_neighbour_changes(ground):
    """The peer has another MAC from now on, and says so, as a standby that takes over does."""
    bed = ground.bed
    bed.run(bed.caller, ["sysctl", "-qw", "net.ipv4.conf.eth0.arp_notify=1", "net.ipv6.conf.eth0.ndisc_notify=1"])
    with ground.call() as (kedge, p, call, other):
        bed.ip(bed.caller, "link set eth0 address 02:00:00:00:77:77")
        flows_again(p, call, other, 100)


def test_mtu(ground):
    """What fits goes on; what does not is dropped by name."""
    bed = ground.bed
    with ground.call() as (kedge, p, call, other):
        bed.ip(bed.engine, "link set vB mtu 1400")
        netns.wait_for("the new MTU", lambda: ground.api.get("/v1/nics")["items"][1]["mtu"] == 1400, 5)
        flows_again(p, call, other, 100)
        before = engine.drops(ground.api.metrics(), "too_long")
        fits = 1400 - (48 if netns.FAMILY[1] == 6 else 28) - 12
        for n, size in enumerate((fits, fits + 1, fits)):
            p.one.rtp.sendto(rtp.build(False, 0, 700 + n, n, 0x11110000 + 7000, b"x" * size), call.answer.media())
            time.sleep(0.02)
        sizes = [len(data) - 12 for data, _ in p.two.until(p.two.rtp, 2, 2)]
        assert sizes == [fits, fits], f"MTU 1400: payloads of {sizes} bytes went through, {fits} fit"
        assert engine.drops(ground.api.metrics(), "too_long") == before + 1
        bed.ip(bed.engine, "link set vB mtu 1500")


def test_out_of_descriptors(ground):
    """No descriptor is left for anybody: the call goes on, and so does the API once there are some again."""
    with ground.call() as (kedge, p, call, other):
        pid = kedge.process.pid
        highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
        ground.bed.run(ground.bed.engine, ["prlimit", "--pid", str(pid), f"--nofile={highest + 1}:4096"])
        for _ in range(3):
            with contextlib.suppress(OSError):
                ground.api.ask("GET", "/metrics", timeout_s=0.3)
        p.talk(call, other, start=100)
        second = p.a.invite((netns.ENGINE_A, 5060), "bob", p.offer)  # a whole call needs none, but of af_packet
        if netns.DRIVER == "af_xdp":
            p.b.expect("INVITE").check()
            second.cancel()
        ground.bed.run(ground.bed.engine, ["prlimit", "--pid", str(pid), "--nofile=4096:4096"])
        netns.wait_for("the API to answer again", lambda: kedge.healthy(), 5)
        p.a.log.clear()
        while p.a.receive(1.0) or p.b.receive(0.2):
            pass
        p.talk(call, other, start=120)


def test_too_little_memory(ground):
    """The start says what is missing."""
    bed = ground.bed
    kedge = engine.Engine(bed, name="memory", media="ports: 16384-17407, max_calls: 250000")
    done = bed.run(bed.engine, ["prlimit", "--as=1500000000", engine.program("kedged"), "-c", kedge.config], timeout_s=30)
    said = done.stdout + done.stderr
    # DPDK's own memory is what is missing where it is reserved first: with hugepages, or with more lcores.
    wanted = r"give the machine (more memory|that much), or lower media\.max_calls"
    assert done.returncode == 1 and re.search(wanted, said), f"{done.returncode}: {said[-2000:]}"


def test_out_of_hugepages(ground):
    """Some hugepages are free, but fewer than are needed: ordinary pages are taken, and the log says how many it wants."""
    file = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    with open(file) as had:
        before = had.read()
    if int(before):
        raise Skip(f"the machine has {before.strip()} hugepages: they are left alone")
    try:
        with open(file, "w") as pages:
            pages.write("4")
        with ground.call() as (kedge, p, call, other):
            p.talk(call, other, start=40)
            said = kedge.last_log(400)
            assert "packet buffers in ordinary pages" in said and "vm.nr_hugepages=" in said, said
    finally:
        with open(file, "w") as pages:
            pages.write(before)


TESTS = [test_link_down_and_up, test_address_goes_and_comes, test_neighbour_changes, test_mtu, test_out_of_descriptors,
         test_too_little_memory, test_out_of_hugepages]


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [] if netns.NAT else [Suite("network", ground, TESTS)]
