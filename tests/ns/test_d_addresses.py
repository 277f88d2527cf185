# SPDX-License-Identifier: BSD-3-Clause
"""Addresses of a nic: a public one in front of it (1:1 NAT), and several of its own."""

import contextlib
import subprocess

import netns
import rtp
import sippeer
from calls import ENGINE
from engine import Engine
from run import Suite

PUBLIC, SECOND = "203.0.113.5", "10.77.1.101"


class Ground:
    def __init__(self, bed):
        self.bed = bed

    @contextlib.contextmanager
    def running(self, **options):
        kedge = Engine(self.bed, **options).start(30)
        try:
            yield kedge
            kedge.stop()
        finally:
            kedge.kill()


def answered(a, b, to, offer_port=7000, answer_port=8000):
    call = a.invite(to, "bob", sippeer.sdp(a.address, offer_port))
    other = b.wait_invite()
    other.reply(200, sippeer.sdp(b.address, answer_port))
    call.progress(200)
    call.ack()
    other.take_ack()
    return call, other


def given_back(kedge):
    def left():
        metrics = kedge.api.metrics()
        return metrics["kedge_legs"] + metrics["kedge_ports_in_use"]
    netns.wait_for("legs and ports to be given back", lambda: left() == 0, 5)


def hang_up(a, call, other):
    call.bye()
    other.take_bye()
    a.expect(200, method="BYE")


def test_advertise(ground):
    """The caller knows the engine by its public address only; a NAT in front of the engine has one for one."""
    bed = ground.bed
    rules = f"""table ip nat {{
                  chain output {{ type nat hook output priority -100; ip daddr {PUBLIC} dnat to {netns.ENGINE_A}; }}
                  chain input {{ type nat hook input priority 100; }}
                }}"""
    subprocess.run(["ip", "netns", "exec", bed.caller, "nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        with ground.running(nic_a=f", advertise: {PUBLIC}", name="advertise") as kedge, contextlib.ExitStack() as stack:
            a = stack.enter_context(sippeer.Peer(bed.caller, netns.CALLER))
            b = stack.enter_context(sippeer.Peer(bed.callee, netns.CALLEE))
            one, two = rtp.End(bed.caller, netns.CALLER, 7000), rtp.End(bed.callee, netns.CALLEE, 8000)
            stack.callback(one.close)
            stack.callback(two.close)
            call, other = answered(a, b, (PUBLIC, 5060))
            assert call.answer.media()[0] == PUBLIC, call.answer
            assert PUBLIC in call.answer.contact and netns.ENGINE_A not in str(call.answer), call.answer
            said = [other.invite.get("via"), other.invite.contact, other.invite.body.decode()]
            assert other.invite.media()[0] == netns.ENGINE_B and PUBLIC not in " ".join(said), other.invite
            rtp.talk(one, two, call.answer.media(), other.invite.media())
            other.bye()  # kedge's own request to the caller: its Via says the public address
            bye = a.expect("BYE")
            assert f"UDP {PUBLIC}:5060" in bye.get("via"), bye
            sippeer.answer_to(a, bye, 200)
            b.expect(200, method="BYE")
            # A Route to ourselves under the public name is ours, and popped
            first = a.invite((PUBLIC, 5060), "bob", sippeer.sdp(a.address, 7000), [("Route", f"<sip:{PUBLIC};lr>")])
            refused = b.wait_invite()
            refused.reply(486)
            refused.take_ack()
            first.ack_failure(first.progress(486))
            assert refused.invite.get("route") is None, refused.invite
            given_back(kedge)
    finally:
        bed.run(bed.caller, ["nft", "flush ruleset"])


def test_second_address_when_ports_are_out(ground):
    """Capacity is addresses times ports: the third call has its media on the nic's second address."""
    bed = ground.bed
    bed.ip(bed.engine, f"addr add {SECOND}/24 dev vA")
    try:
        with ground.running(media="ports: 16384-16387", name="second") as kedge, contextlib.ExitStack() as stack:
            # two callees, so that the other side's ports do not run out first
            a = stack.enter_context(sippeer.Peer(bed.caller, netns.CALLER))
            b = stack.enter_context(sippeer.Peer(bed.callee, netns.CALLEE))
            bed.ip(bed.engine, "addr add 10.77.2.101/24 dev vB")
            netns.wait_for("the new address", lambda: len(kedge.api.get("/v1/nics")["items"][1]["addresses"]) == 2, 3)
            calls = [answered(a, b, ENGINE, 7000 + 10 * n, 8000 + 10 * n) for n in range(4)]
            places = [call.answer.media() for call, _ in calls]
            assert len(set(places)) == 4, f"a port was given twice: {places}"
            assert [ip for ip, _ in places] == [netns.ENGINE_A] * 2 + [SECOND] * 2, places
            for n, (call, other) in enumerate(calls):
                one, two = rtp.End(bed.caller, a.address, 7000 + 10 * n), rtp.End(bed.callee, b.address, 8000 + 10 * n)
                rtp.talk(one, two, call.answer.media(), other.invite.media(), count=5)
                one.close()
                two.close()
            late = a.invite(ENGINE, "bob", sippeer.sdp(a.address, 7100))
            late.ack_failure(late.progress(503))
            for call, other in calls:
                hang_up(a, call, other)
            given_back(kedge)
    finally:
        bed.ip(bed.engine, f"addr del {SECOND}/24 dev vA")
        bed.ip(bed.engine, "addr del 10.77.2.101/24 dev vB")


def test_denied_media(ground):
    """No media to what the operator denies: in the caller's offer, in the callee's answer."""
    bed = ground.bed
    with ground.running(media="ports: 16384-17407, deny: [192.0.2.0/24, 10.77.2.50]", name="deny") as kedge, \
            sippeer.Peer(bed.caller, netns.CALLER) as a, sippeer.Peer(bed.callee, netns.CALLEE) as b:
        call = a.invite(ENGINE, "bob", sippeer.sdp("192.0.2.7", 7000))
        final = call.progress(*range(400, 600))
        call.ack_failure(final)
        cause = kedge.record_of(call.call_id)["cause"]
        assert "192.0.2.7 is denied by media.deny" in cause["message"], cause
        b.quiet(0.2)
        call = a.invite(ENGINE, "bob", sippeer.sdp(a.address, 7000))
        other = b.wait_invite()
        other.reply(200, sippeer.sdp("10.77.2.50", 8000))
        other.take_ack()
        other.take_bye()
        call.ack_failure(call.progress(*range(400, 600)))
        cause = kedge.record_of(call.call_id)["cause"]
        assert "10.77.2.50 is denied by media.deny" in cause["message"], cause
        given_back(kedge)


def test_denied_rtcp(ground):
    """a=rtcp may name another address behind the same router, but none that is denied."""
    bed = ground.bed
    for net in ("198.51.100.0/24", "192.0.2.0/24"):
        bed.ip(bed.engine, f"route add {net} via {netns.CALLER}")
    for address in ("198.51.100.7", "198.51.100.8", "192.0.2.7"):
        bed.ip(bed.caller, f"addr add {address}/32 dev lo")
    with ground.running(media="ports: 16384-17407, deny: [192.0.2.0/24]", name="denyrtcp") as kedge, contextlib.ExitStack() as stack:
        a = stack.enter_context(sippeer.Peer(bed.caller, netns.CALLER))
        b = stack.enter_context(sippeer.Peer(bed.callee, netns.CALLEE))
        two = rtp.End(bed.callee, netns.CALLEE, 8000)
        stack.callback(two.close)
        for address, arrives in (("198.51.100.8", True), ("192.0.2.7", False)):
            end = rtp.End(bed.caller, address, 7050)
            stack.callback(end.close)
            call = a.invite(ENGINE, "bob", sippeer.sdp("198.51.100.7", 7000) + f"a=rtcp:7051 IN IP4 {address}\r\n")
            other = b.wait_invite()
            other.reply(200, sippeer.sdp(b.address, 8000))
            call.progress(200)
            call.ack()
            other.take_ack()
            ip, port = other.invite.media()
            for n in range(5):
                two.rtcp.sendto(rtp.sender_report(9, 0, n, 160, "party"), (ip, port + 1))
            assert len(end.until(end.rtcp, 5, 5 if arrives else 0.7)) == 5 * arrives, address
            hang_up(a, call, other)
        given_back(kedge)
    for address in ("198.51.100.7", "198.51.100.8", "192.0.2.7"):
        bed.ip(bed.caller, f"addr del {address}/32 dev lo")


def test_two_behind_one_advertised(ground):
    """Two addresses of a nic are said as one public one: a port is said once all the same."""
    bed = ground.bed
    bed.ip(bed.engine, f"addr add {SECOND}/24 dev vA")
    bed.ip(bed.engine, "addr add 10.77.2.101/24 dev vB")  # there are ports enough on the other side
    try:
        with ground.running(nic_a=f", advertise: {PUBLIC}", media="ports: 16384-16387", name="one") as kedge, \
                sippeer.Peer(bed.caller, netns.CALLER) as a, sippeer.Peer(bed.callee, netns.CALLEE) as b:
            netns.wait_for("the addresses", lambda: [len(n["addresses"]) for n in kedge.api.get("/v1/nics")["items"]] == [2, 2], 3)
            calls = [answered(a, b, ENGINE, 7000 + 10 * n, 8000 + 10 * n) for n in range(2)]
            said = [call.answer.media() for call, _ in calls]
            assert sorted(said) == [(PUBLIC, 16384), (PUBLIC, 16386)], said
            late = a.invite(ENGINE, "bob", sippeer.sdp(a.address, 7100))
            late.ack_failure(late.progress(503))
            for call, other in calls:
                hang_up(a, call, other)
            given_back(kedge)
    finally:
        bed.ip(bed.engine, f"addr del {SECOND}/24 dev vA")
        bed.ip(bed.engine, "addr del 10.77.2.101/24 dev vB")


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("addresses", ground, [test_advertise, test_second_address_when_ports_are_out,
                                      test_denied_media, test_denied_rtcp, test_two_behind_one_advertised])] \
    if netns.WORLD in ("ip4", "af_packet") else []
