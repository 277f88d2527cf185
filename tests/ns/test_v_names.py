# SPDX-License-Identifier: BSD-3-Clause
"""Trunks that are names (RFC 3263), against a DNS server of this test's: order, failover with a new branch, and a server that
says nothing, which holds up nobody else."""

import contextlib
import ipaddress
import socket
import struct
import threading
import time

import engine
import netns
import sippeer
from run import Suite

SERVER, FIRST = netns.at_callee(4), 12
A, SRV = 1, 33


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


class Dns(threading.Thread):
    """records: {(name, type): [data]}; a name that ends in .silent gets no answer, one that is not there gets NXDOMAIN."""

    def __init__(self, namespace, address, records):
        super().__init__(daemon=True)
        self.sock, self.records, self.asked = netns.udp_socket(namespace, address, 53), records, []
        self.start()

    def run(self):
        while True:
            try:
                data, source = self.sock.recvfrom(4096)[:2]
            except OSError:
                return
            at, parts = 12, []
            while data[at]:
                parts.append(data[at + 1:at + 1 + data[at]].decode().lower())
                at += 1 + data[at]
            name, kind = ".".join(parts), struct.unpack("!H", data[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            if name.endswith(".silent"):
                continue
            found = self.records.get((name, kind), [])
            known = any(n == name or n.endswith("." + name) for n, _ in self.records)
            head = data[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, len(found), 0, 0)
            body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(d)) + d for d in found)
            self.sock.sendto(head + data[12:at + 5] + body, source)

    def close(self):
        self.sock.close()


def srv(priority, name, port=5060):
    return struct.pack("!HHH", priority, 1, port) + labels(name)


class Ground:
    def __init__(self, bed):
        self.bed = bed
        records = {("_sip._udp.carrier.test", SRV): [srv(30, "c.test"), srv(10, "a.test"), srv(20, "b.test")]}
        for n, name in enumerate(("a.test", "b.test", "c.test")):
            records[name, A] = [ipaddress.ip_address(netns.at_callee(6 + n)).packed]
        self.dns = Dns(bed.callee, SERVER, records)
        net = netns.CALLEE.rsplit(".", 1)[0] + ".0/24"
        trunks = [f'{{name: carrier, target: "sip:carrier.test", from: ["{net}"]}}',
                  f'{{name: mute, target: "sip:nobody.silent", from: ["{net}"]}}',
                  f'{{name: gone, target: "sip:nowhere.example", from: ["{net}"]}}']
        routes = [f'{{match: {{trunk: caller, to: "^{name}$"}}, to: ["trunk:{name}"]}}' for name in ("carrier", "mute", "gone")]
        self.engine = engine.Engine(bed, trunks, routes, other=f'sip: {{dns: {{servers: "{SERVER}:53"}}}}\n').start(30)

    def call(self, stack, user, port=5060):
        peer = stack.enter_context(sippeer.Peer(self.bed.caller, netns.CALLER, port))
        return peer.invite((netns.ENGINE_A, 5060), user, sippeer.sdp(netns.CALLER, 7000))


def test_the_next_target_has_a_new_branch(ground):
    with contextlib.ExitStack() as stack:
        b, c = (stack.enter_context(sippeer.Peer(ground.bed.callee, netns.at_callee(n))) for n in (7, 8))
        call = ground.call(stack, "carrier")
        first = b.wait_invite()  # at a.test nobody is: its ICMP is the word on that
        first.reply(503)
        first.take_ack()
        second = c.wait_invite()
        assert first.invite.branch != second.invite.branch and first.invite.call_id == second.invite.call_id
        second.reply(200, sippeer.sdp(c.address, 8000))
        call.progress(200)
        call.ack()
        second.take_ack()
        call.bye()
        second.take_bye()
        call.peer.expect(200, method="BYE")
    assert ("_sip._udp.carrier.test", SRV) in ground.dns.asked


def test_answers_are_kept(ground):
    before = len(ground.dns.asked)
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(sippeer.Peer(ground.bed.callee, netns.at_callee(7)))
        call = ground.call(stack, "carrier")
        other = b.wait_invite()
        other.reply(486)
        other.take_ack()
        call.ack_failure(call.progress(486))
    assert len(ground.dns.asked) == before, ground.dns.asked[before:]


def test_a_silent_server_holds_up_nobody(ground):
    with contextlib.ExitStack() as stack:
        waits = ground.call(stack, "mute", 5071)
        callee = stack.enter_context(sippeer.Peer(ground.bed.callee, netns.CALLEE))
        began = time.monotonic()
        call = ground.call(stack, "bob", 5072)  # an address: needs no DNS
        other = callee.wait_invite()
        other.reply(486)
        other.take_ack()
        call.ack_failure(call.progress(486))
        took = time.monotonic() - began
        refused = waits.progress(408, 500, timeout_s=20)
        assert refused.time - began > took, "the silent one was over first"
        waits.ack_failure(refused)


def test_a_name_that_is_not(ground):
    with contextlib.ExitStack() as stack:
        call = ground.call(stack, "gone", 5073)
        call.ack_failure(call.progress(408, 500, timeout_s=5))


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    if ":" in netns.CALLER or ":" in netns.CALLEE:
        from run import Skip
        raise Skip("written for IPv4")
    with netns.Bed(FIRST) as bed:
        made = Ground(bed)
        try:
            yield made
        finally:
            made.dns.close()


def after_nothing_is_left(ground):
    ground.engine.no_leaks()


SUITES = [Suite("names", ground, TESTS, after=[after_nothing_is_left])]
