# SPDX-License-Identifier: BSD-3-Clause
"""Parties behind NAT (KEDGE_WORLD=nat): four kinds of it as nf_nat can make them (R109), and a NAT that forgets."""

import contextlib
import time

import netns
import rtp
from calls import ENGINE, Ground
from run import Suite

INSIDE = netns.at_caller(3)  # the address of the first test, see calls.Ground
KINDS = {  # RFC 3489's words: (postrouting, prerouting, forward)
    "full cone": ("oifname eth0 snat to 10.77.1.2", "iifname eth0 dnat to {ip}", ""),
    "address restricted": ("oifname eth0 snat to 10.77.1.2", "iifname eth0 dnat to {ip}",
                           "iifname inside update @asked {{ ip daddr }} accept; ip saddr @asked accept; drop"),
    "port restricted": ("oifname eth0 masquerade", "accept", ""),
    "symmetric": ("oifname eth0 masquerade fully-random", "accept", ""),
}


def set_nat(bed, kind, inside):
    post, pre, forward = (rule.format(ip=inside) for rule in KINDS[kind])
    bed.nat_rules(post, pre, forward)
    bed.run(bed.nat, ["conntrack", "-F"])


def caller_leg(ground, call):
    mine = next(c for c in ground.api.calls() if any(leg["sip_call_id"] == call.call_id for leg in c["legs"]))
    return next(leg for leg in mine["legs"] if leg["role"] == "caller")


def through(ground, test, kind):
    """A call from inside: media both ways, hung up from outside, all to and from the NAT's address."""
    with ground.parties(test) as p:
        set_nat(ground.bed, kind, p.a.address)
        call, other = p.answered()
        before = caller_leg(ground, call)
        assert (before["latching"], before["remote"]) == ("waiting", None), f"a private address was believed: {before}"
        p.talk(call, other)
        leg = caller_leg(ground, call)
        ip, port = leg["remote"].rsplit(":", 1)
        assert leg["latching"] == "latched" and ip == "10.77.1.2", leg
        assert (int(port) != 7000) == (kind == "symmetric"), f"{kind}: not the NAT that it should be: {leg['remote']}"
        p.hang_up_callee(call, other)  # the BYE finds its way in
        p.ended(call, other, "disconnected", "callee_hangup")


def test_full_cone(ground):
    through(ground, test_full_cone, "full cone")


def test_address_restricted(ground):
    through(ground, test_address_restricted, "address restricted")


def test_port_restricted(ground):
    through(ground, test_port_restricted, "port restricted")


def test_symmetric(ground):
    through(ground, test_symmetric, "symmetric")


def test_answers_without_rport(ground):
    """A party that does not ask for it (RFC 3581) is answered where it can be reached all the same."""
    with ground.parties(test_answers_without_rport) as p:
        set_nat(ground.bed, "symmetric", p.a.address)
        data = p.a.request("OPTIONS", ENGINE).data
        p.a.expect(200, method="OPTIONS")
        p.a.send_raw(data.replace(b";rport", b"").replace(b"z9hG4bK", b"z9hG4bKno-rport"), ENGINE)
        p.a.expect(200, method="OPTIONS")


def test_nat_forgets(ground):
    """In mid-call the NAT loses its table and gives the party other ports: media and signalling follow."""
    with ground.parties(test_nat_forgets) as p:
        set_nat(ground.bed, "symmetric", p.a.address)
        call, other = p.answered()
        p.talk(call, other)
        before = caller_leg(ground, call)["remote"]
        set_nat(ground.bed, "symmetric", p.a.address)
        time.sleep(0.3)  # a port in use is given up once it is quiet
        p.one.known = False
        p.talk(call, other, start=15)
        leg = caller_leg(ground, call)
        assert leg["remote"] != before, "the NAT did not change its port: nothing was shown"
        assert leg["rx"]["drops"].get("latch_probation") == 4, leg["rx"]
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_another_source_does_not_follow(ground):
    """From the same NAT, to the same port, with the same codec, but as another source: it gets nothing, also while the
    true party is quiet."""
    with ground.parties(test_another_source_does_not_follow) as p:
        set_nat(ground.bed, "symmetric", p.a.address)
        call, other = p.answered()
        p.talk(call, other)
        time.sleep(0.3)
        thief = netns.udp_socket(ground.bed.caller, netns.CALLER, 7300)
        for n in range(20):
            thief.sendto(rtp.build(False, 0, 1000 + n, 160 * n, 0x666, rtp.noise(6, n)), call.answer.media())
            time.sleep(0.005)
        for n in range(5):
            p.two.rtp.sendto(rtp.build(False, 0, 6000 + n, 160 * n, 0x22220000 + 8000, b"x" * 160), other.invite.media())
        assert not p.two.until(p.two.rtp, 1, 0.5), "injected media went through"
        assert len(p.one.until(p.one.rtp, 5, 2)) == 5, "the true party hears nothing any more"
        thief.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            raise AssertionError(f"the thief got {thief.recv(2048)!r}")
        refused = caller_leg(ground, call)["refused"]
        assert refused["packets"] == 20 and refused["last_ssrc"] == 0x666, refused
        thief.close()
        p.talk(call, other, start=10)
        p.hang_up(call, other)


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    with netns.Bed(len(TESTS) + 3) as bed:
        context = Ground(bed, TESTS, {})
        yield context
        context.engine.stop()


SUITES = [Suite("nat", ground, TESTS)] if netns.NAT else []
