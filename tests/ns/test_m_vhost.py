# SPDX-License-Identifier: BSD-3-Clause
"""Nics that DPDK owns: a machine behind a virtual switch calls through them. Its kernel's SIP goes over the nic's TAP, media
goes by two queues to two relay lcores."""

import collections
import contextlib
import json
import os
import signal
import socket
import struct
import time

import engine
import netns
import speech
from capture import Capture, streams
from run import Suite
from sipp import Sipp
from test_d_addresses import given_back
from test_j_rights import NOBODY, threads

CALLS = 8
SPEECH_S = 0.4  # uac_media hangs up after 1.6 s
VLAN = 7


class VmBed(netns.Bed):
    """The bed of netns.py, but behind the caller's eth0 is no veth: a TAP that vswitch carries to the engine's nic. The
    veth of the callee has two queues."""

    machines = ("vA",)

    def _join(self, near, name, address, far, far_name, addresses):
        if name in self.machines:
            self.tap(far, far_name, addresses, address)
            return
        queues = "numtxqueues 2 numrxqueues 2"
        self.ip(near, f"link add {name} {queues} type veth peer name {far_name} netns {far} {queues}")
        self.ip(far, f"link set {far_name} up")
        self.ip(near, f"link set {name} up")
        self.ip(near, f"addr add {address}/24 dev {name}")
        for ip in addresses:
            self.ip(far, f"addr add {ip}/24 dev {far_name}")
        self.ip(far, f"route add default via {address}")

    def tap(self, namespace, name, addresses, gateway):
        self.ip(namespace, f"tuntap add dev {name} mode tap vnet_hdr")
        self.ip(namespace, f"link set {name} up")
        for ip in addresses:
            self.ip(namespace, f"addr add {ip}/24 dev {name}")
        self.ip(namespace, f"route add default via {gateway}")


class TwoVmBed(VmBed):
    """Both parties are machines behind a virtual switch."""

    machines = ("vA", "vB")


class Switch:
    """One vswitch: a port with a machine behind it."""

    def __init__(self, bed, namespace, tap, device, queues=2, vlan=0):
        self.bed, self.log = bed, f"vswitch-{len(bed.processes)}.log"
        self.process = bed.start(namespace, [engine.program("vswitch"), tap, device, str(queues), str(vlan)], log=self.log)

    def lines(self):
        with open(self.bed.path(self.log), errors="replace") as file:
            return [line for line in file if line.startswith("{")]

    def counts(self):
        """Frames and media of each queue so far."""
        before = len(self.lines())
        self.process.send_signal(signal.SIGUSR1)
        lines = netns.wait_for("vswitch's counts", lambda: self.lines()[before:], 3)
        return json.loads(lines[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bed.stop(self.process)


class Ground:
    def __init__(self, bed):
        self.bed, self.engine, self.api, self.number = bed, None, None, 0
        os.chmod(bed.dir, 0o755)
        self.own = bed.path("own")  # as /run/kedge is the engine's user's
        os.mkdir(self.own)
        os.chown(self.own, NOBODY, -1)

    @contextlib.contextmanager
    def running(self, name, device, nic_b="device: \"af_xdp:vB\"", keys=""):
        """An engine whose nic a is that device; it runs as nobody."""
        bed = self.bed
        text = "\n".join([
            "nics:", f'  - {{name: a, device: "{device}", addresses: [{netns.ENGINE_A}/24]{keys}}}', f"  - {{name: b, {nic_b}}}",
            "lcores: {relay: [0, 1]}", "media: {ports: 16384-17407, timeout_s: 60}", "trunks:",
            f'  - {{name: caller, target: "sip:{netns.CALLER}:5060", from: ["{netns.CALLER_NET}"]}}',
            f'  - {{name: callee, target: "sip:{netns.CALLEE}:5060"}}', "routes:",
            '  - {match: {trunk: caller}, to: ["trunk:callee"]}', '  - {match: {trunk: callee}, to: ["trunk:caller"]}',
            f"cdr: {{file: {self.own}/{name}-cdr.jsonl}}", f"api: {{socket: {self.own}/{name}.sock}}",
            "log: {level: debug, format: json}", "user: nobody", ""])
        self.engine = engine.Engine(bed, name="own/" + name, text=text)
        self.engine.log = name + ".log"  # where logs are kept from
        self.api = self.engine.api
        try:
            yield self.engine.start(30)
            if self.engine.alive():
                self.engine.stop()
        finally:
            self.engine.kill()

    def socket(self):
        self.number += 1
        return os.path.join(self.own, f"nic{self.number}.sock")

    @contextlib.contextmanager
    def switch(self, device, queues=2, vlan=0, serves=None, namespace=None):
        """A virtual switch between the caller's machine and that device; serves: the socket that it makes."""
        with Switch(self.bed, namespace or self.bed.caller, "eth0", device, queues, vlan) as switch:
            if serves:
                netns.wait_for("the switch's socket", lambda: os.path.exists(serves), 5)
            yield switch

    def lost(self):
        """What says where a packet ended."""
        counts = {name: n for name, n in self.api.metrics().items() if n and ("drops" in name or "rtp" in name)}
        return counts, [{key: nic[key] for key in ("rx", "tx", "tap")} for nic in (self.nic(0), self.nic(1))]

    def nic(self, number=0):
        return self.api.get("/v1/nics")["items"][number]

    def linked(self):
        netns.wait_for("the nic's link", lambda: self.nic()["link_up"], 10)
        netns.wait_for("an answer to ping", self.pings, 10)

    def pings(self):
        return ping(self.bed.caller, netns.ENGINE_A)


def ping(namespace, address, size=56):
    """One ICMP echo and its answer. Returns: was there a right one?"""
    with netns.inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with sock:
        sock.settimeout(0.5)
        data = bytes(i & 0xff for i in range(size + size % 2))
        words = struct.unpack(f"!{4 + len(data) // 2}H", struct.pack("!BBHHH", 8, 0, 0, 77, 1) + data)
        total = sum(words)
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        sock.sendto(struct.pack("!BBHHH", 8, 0, ~total & 0xffff, 77, 1) + data, (address, 0))
        with contextlib.suppress(TimeoutError):
            got, _ = sock.recvfrom(2048)
            return got[20] == 0 and got[24:] == struct.pack("!HH", 77, 1) + data
    return False


def sipp_calls(ground):
    """SIPp calls SIPp, both play. Returns: RTP packets that left the caller and the callee, and those that came to them."""
    bed, played = ground.bed, {}
    for name, prompt, ssrc in (("caller", "demo-congrats", 0x1111), ("callee", "demo-instruct", 0x2222)):
        packets = speech.stream(speech.prompt(prompt), SPEECH_S, "", ssrc)
        speech.write_pcap(bed.path(name + ".pcap"), packets)
        played[ssrc] = collections.Counter({data: CALLS for _, data in packets})
    ends = [Capture(bed, namespace, f"end{i}-{ground.number}") for i, namespace in enumerate((bed.caller, bed.callee))]
    stem, patient = f"media{ground.number}", ["-watchdog_interval", "0"]
    callee = Sipp(bed, bed.callee, "uas_media", netns.CALLEE, stem, calls=CALLS, more=patient)
    netns.wait_for("SIPp's socket", lambda: ":5060" in bed.run(bed.callee, ["ss", "-ulnH"]).stdout, 5)
    caller = Sipp(bed, bed.caller, "uac_media", netns.CALLER, stem, to=f"{netns.ENGINE_A}:5060", user="bob", calls=CALLS,
                  more=["-r", "40", *patient])
    caller.finish()
    callee.finish()
    at_caller, at_callee = (end.stop() for end in ends)
    assert [end.dropped for end in ends] == [0, 0], "tcpdump lost packets: nothing can be said"
    left = [packets_of(at_caller, 0x1111, source=netns.CALLER), packets_of(at_callee, 0x2222, source=netns.CALLEE)]
    came = [packets_of(at_caller, 0x2222, destination=netns.CALLER), packets_of(at_callee, 0x1111, destination=netns.CALLEE)]
    assert left == [played[0x1111], played[0x2222]], "SIPp did not send what it was to play"
    assert not came[1] - left[0] and not came[0] - left[1], "something came that was not sent"
    return [one.total() for one in left], [one.total() for one in came]


def packets_of(datagrams, ssrc, **where):
    return collections.Counter(streams(datagrams, **where).get(ssrc, []))


def records_are_right(kedge, arrived):
    netns.wait_for("the call records", lambda: len(kedge.records()) >= CALLS, 5)
    records = kedge.records()[-CALLS:]
    for record in records:
        assert (record["state"], record["cause"]["reason"]) == ("disconnected", "caller_hangup"), record
    heard = sum(leg["rx"]["packets"] for record in records for leg in record["legs"])
    assert heard == arrived, f"the call records say {heard} packets, {arrived} were relayed"


def both_ways(ground, switches, queues=2):
    """Calls of SIPp, spread over lcores and queues: both ends and all counts say the same. Returns: how metrics grew.
    Where the machine is so busy that SIPp still plays when it has hung up, those packets are `no_leg`."""
    api, before = ground.api, ground.api.metrics()
    then = [one["packets"] for one in api.lcores()]
    left, came = sipp_calls(ground)
    after = api.metrics()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    lost = {name: n for name, n in grown.items() if name.startswith("kedge_drops_total") and n}
    late = lost.pop('kedge_drops_total{reason="no_leg"}', 0)
    assert not lost and sum(left) == sum(came) + late, f"{left} RTP packets left, {came} came: {ground.lost()}"
    assert late < sum(left) / 2 and grown["kedge_rtp_relayed_total"] == sum(came), (late, left, came, ground.lost())
    records_are_right(ground.engine, sum(came))
    lcores = [one["packets"] - n for one, n in zip(api.lcores(), then)]
    assert all(lcores), f"a relay lcore had nothing: {lcores}"
    for switch, sent, got in zip(switches, left, came):
        counts = switch.counts()
        for way in ("media_to_engine", "media_from_engine"):
            assert len(counts[way]) == queues and all(counts[way]), f"a queue had no media: {counts}"
        assert (sum(counts["media_to_engine"]), sum(counts["media_from_engine"]), counts["lost"]) == (sent, got, 0), counts
    given_back(ground.engine)
    return grown


def test_vhost(ground):
    """kedge serves vhost; the switch chooses queues as it likes, so packets are handed over."""
    path = ground.socket()
    with ground.running("vhost", f"vhost:{path}"), ground.switch(f"virtio:{path}") as switch:
        ground.linked()
        nic = ground.nic()
        assert (nic["queues"], nic["steering"], nic["tap"]["interface"]) == (2, "software", "kdg-a"), nic
        assert ping(ground.bed.caller, netns.ENGINE_A, 1472), "a whole frame is not answered"
        grown = both_ways(ground, [switch])
        assert 0 < grown["kedge_handed_over_total"] < grown["kedge_rtp_relayed_total"], grown["kedge_handed_over_total"]
        assert grown["kedge_cross_lcore_total"] == 0 and grown["kedge_handed_tx_total"] == 0, grown
        tap = ground.nic()["tap"]
        assert tap["to_kernel"] >= 3 * CALLS and tap["from_kernel"] >= 3 * CALLS and not tap["lost"], tap
        main = ground.engine.process.pid
        strong = {t["Name"]: t["CapEff"] for task, t in threads(ground.engine).items() if task != main and int(t["CapEff"], 16)}
        assert not strong, f"threads with rights: {strong}"
    assert not [name for name in os.listdir(ground.own) if name.endswith(".sock")], os.listdir(ground.own)


def test_virtio(ground):
    """kedge is the client of a switch that serves vhost."""
    path = ground.socket()
    with ground.switch(f"vhost:{path}", serves=path) as switch, ground.running("virtio", f"virtio:{path}"):
        ground.linked()
        both_ways(ground, [switch])


def test_memif(ground):
    path = ground.socket()
    with ground.running("memif", f"memif:{path},server"), ground.switch(f"memif:{path}") as switch:
        ground.linked()
        both_ways(ground, [switch])


def test_peer_with_one_queue(ground):
    """What the other side cannot take on the second queue goes on the first, and it is said once."""
    path = ground.socket()
    with ground.running("one", f"vhost:{path}") as kedge:
        with ground.switch(f"virtio:{path}", queues=1) as switch:
            ground.linked()
            grown = both_ways(ground, [switch], queues=1)
            assert grown["kedge_handed_tx_total"] > 0, "the second lcore did not send through the first"
        warnings = [line for line in kedge.last_log(10000).splitlines() if '"level":"warn"' in line and "uses 1 of 2 queues" in line]
        assert len(warnings) == 1, warnings
        with ground.switch(f"virtio:{path}") as switch:  # another one, that has them all
            ground.linked()
            assert both_ways(ground, [switch])["kedge_handed_tx_total"] == 0


def test_killed(ground):
    """kill -9 takes the TAP away and leaves the socket; the next start takes both, and the switch comes back."""
    path = ground.socket()
    with ground.running("killed", f"vhost:{path}") as kedge:
        with ground.switch(f"virtio:{path}") as switch:
            ground.linked()
            kedge.kill()
            assert "kdg-a" not in ground.bed.ip(ground.bed.engine, "link show"), "the TAP was left"
            assert os.path.exists(path) and not ground.pings()
            kedge.start(30)
            assert "replaced the socket that a server that died had left" in kedge.last_log(10000)
            ground.linked()
            both_ways(ground, [switch])
            ground.bed.stop(switch.process, sig=signal.SIGKILL)  # the machine behind the switch goes
        netns.wait_for("the link to be down", lambda: not ground.nic()["link_up"], 5)
        assert ground.nic()["peer_queues"] == 0, "queues of a machine that has gone"
        with ground.switch(f"virtio:{path}", queues=1):  # and comes back, otherwise
            ground.linked()
            assert ground.nic()["peer_queues"] == 1, ground.nic()
        kedge.stop()
        assert not os.path.exists(path), "the socket was left"


def test_two_nics_and_a_vlan(ground):
    """Machine calls machine; the caller's nic is in a VLAN, whose tags the engine takes off and puts on."""
    bed, one, two = ground.bed, ground.socket(), ground.socket()
    nic_b = f'device: "vhost:{two}", addresses: [{netns.ENGINE_B}/24]'
    with ground.running("vlan", f"vhost:{one}", nic_b=nic_b, keys=f", vlan: {VLAN}"):
        with ground.switch(f"virtio:{one}", vlan=VLAN) as first, \
                ground.switch(f"virtio:{two}", namespace=bed.callee) as second:
            ground.linked()
            netns.wait_for("the callee's link", lambda: ground.nic(1)["link_up"], 10)
            assert ground.nic()["vlan"] == VLAN
            both_ways(ground, [first, second])
        with ground.switch(f"virtio:{one}", vlan=VLAN + 1):  # another VLAN's machine is not heard
            netns.wait_for("the link", lambda: ground.nic()["link_up"], 10)
            assert not ground.pings()
            assert engine.drops(ground.api.metrics(), "wrong_vlan") > 0


@contextlib.contextmanager
def ground():
    with VmBed() as bed:
        yield Ground(bed)


@contextlib.contextmanager
def two_machines():
    with TwoVmBed() as bed:
        yield Ground(bed)


SUITES = [Suite("vhost", ground, [test_vhost, test_virtio, test_memif, test_peer_with_one_queue, test_killed]),
          Suite("vhost-two", two_machines, [test_two_nics_and_a_vlan])] if netns.WORLD == "ip4" else []
