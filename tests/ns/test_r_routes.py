# SPDX-License-Identifier: BSD-3-Clause
"""Route sets, forks and what belongs to which dialog, message by message. Proxies are sockets beside a party: what kedged
sends has to arrive at the right one. What test_1_calls.py and test_6_torture.py have is not repeated here."""

import contextlib
import re

import engine
import netns
import sippeer
from calls import ENGINE, Parties
from run import Skip, Suite

FIRST = 3  # number of the first test's address; each test has three on either side: the party's, two proxies'
ENGINE_URI = f"sip:{netns.host(ENGINE[0])}"


class Ground:
    def __init__(self, bed):
        self.bed, self.numbers = bed, {test.__name__: FIRST + 3 * i for i, test in enumerate(TESTS)}
        trunks = [f'{{name: t{n}, target: "sip:{netns.host(netns.at_callee(n))}:5060"}}'
                  for first in self.numbers.values() for n in range(first, first + 3)]
        routes = [f'{{match: {{trunk: caller, to: "^s{n}$"}}, to: ["trunk:t{n}"]}}' for n in self.numbers.values()]
        routes.append('{match: {trunk: caller, to: "^x"}, to: [next_hop]}')
        self.engine = engine.Engine(bed, trunks, routes).start(30)
        self.api = self.engine.api

    @contextlib.contextmanager
    def parties(self, test):
        """Two parties as of calls.py, and their proxies: p.at_a and p.at_b, the one that is next to kedged first."""
        n = self.numbers[test.__name__]
        with contextlib.ExitStack() as stack:
            p = Parties(self, stack, netns.at_caller(n), netns.at_callee(n), f"s{n}")
            p.at_a = [stack.enter_context(sippeer.Peer(self.bed.caller, netns.at_caller(n + k))) for k in (1, 2)]
            p.at_b = [stack.enter_context(sippeer.Peer(self.bed.callee, netns.at_callee(n + k))) for k in (1, 2)]
            yield p


def uri(proxy, more=";lr"):
    return f"<sip:{proxy.host}{more}>"


def recorded(*routes):
    return [("Record-Route", route) for route in routes]


def answer(p, call, other, routes, tag=None):
    """The callee answers with these record routes (topmost first); the caller acknowledges."""
    other.reply(200, p.answer, headers=recorded(*routes), tag=tag)
    call.progress(200)
    call.ack()


def check(message, request_uri, routes):
    assert message.uri == request_uri, f"Request-URI must be {request_uri}:\n{message}"
    assert message.all("route") == routes, f"Route must be {routes}:\n{message}"


def take_bye(proxy, request_uri, routes):
    bye = proxy.expect("BYE")
    check(bye, request_uri, routes)
    sippeer.answer_to(proxy, bye, 200)
    return bye


def contact(peer, user):
    return f"sip:{user}@{peer.host}:{peer.port}"


# --- route sets


def test_callee_behind_two_proxies(ground):
    """A 2xx's record routes are followed from the last to the first (RFC 3261 12.1.2), each as it was written."""
    with ground.parties(test_callee_behind_two_proxies) as p:
        call, other = p.ring()
        near, far = uri(p.at_b[0], ";lr=on;ftag=x%20y"), uri(p.at_b[1], ":5060;LR;r2=on")
        answer(p, call, other, [f"{far}, {near}"])  # as one header
        check(p.at_b[0].expect("ACK"), contact(p.b, "bob"), [near, far])
        p.talk(call, other)
        call.bye()
        take_bye(p.at_b[0], contact(p.b, "bob"), [near, far])
        p.a.expect(200, method="BYE")
        for peer in (p.b, p.at_b[1]):
            peer.quiet(0.2)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_caller_behind_two_proxies(ground):
    """An INVITE's record routes are followed from the first to the last (12.1.1), and come back in each of its responses
    that makes a dialog."""
    with ground.parties(test_caller_behind_two_proxies) as p:
        near, far = uri(p.at_a[0]), uri(p.at_a[1], ";lr;did=1.2")
        call = p.a.invite(ENGINE, p.user, p.offer, recorded(near, far))
        other = p.b.wait_invite()
        assert not other.invite.all("record-route"), f"the caller's record routes went through:\n{other.invite}"
        other.reply(180)
        assert call.progress(180).all("record-route") == [near, far]
        other.reply(200, p.answer)
        assert call.progress(200).all("record-route") == [near, far]
        call.ack()
        other.take_ack()
        other.bye()
        take_bye(p.at_a[0], contact(p.a, "alice"), [near, far])
        p.b.expect(200, method="BYE")
        for peer in (p.a, p.at_a[1]):
            peer.quiet(0.2)
        p.ended(call, other, "disconnected", "callee_hangup")


def test_strict_router_before_the_callee(ground):
    """RFC 3261 16.12.1.2 as the caller's side has it: a first hop without lr wants to be the Request-URI, and the remote
    target comes last in Route."""
    with ground.parties(test_strict_router_before_the_callee) as p:
        call, other = p.ring()
        strict, loose = uri(p.at_b[0], ":5060;transport=udp"), uri(p.at_b[1])
        answer(p, call, other, [loose, strict])
        wanted = strict.strip("<>"), [loose, f"<{contact(p.b, 'bob')}>"]
        check(p.at_b[0].expect("ACK"), *wanted)
        call.bye()
        take_bye(p.at_b[0], *wanted)
        p.a.expect(200, method="BYE")
        p.ended(call, other, "disconnected", "caller_hangup")


def test_strict_routers_before_the_caller(ground):
    with ground.parties(test_strict_routers_before_the_caller) as p:
        near, far = uri(p.at_a[0], ""), uri(p.at_a[1], "")
        call = p.a.invite(ENGINE, p.user, p.offer, recorded(near, far))
        other = p.b.wait_invite()
        other.reply(200, p.answer)
        call.progress(200)
        call.ack()
        other.take_ack()
        other.bye()
        take_bye(p.at_a[0], near.strip("<>"), [far, f"<{contact(p.a, 'alice')}>"])
        p.b.expect(200, method="BYE")
        p.ended(call, other, "disconnected", "callee_hangup")


def test_2xx_replaces_the_early_route(ground):
    """The route set of an early dialog is made anew from its 2xx (13.2.2.4)."""
    with ground.parties(test_2xx_replaces_the_early_route) as p:
        call, other = p.invite()
        other.reply(180, headers=recorded(uri(p.at_b[0])))
        call.progress(180)
        answer(p, call, other, [uri(p.at_b[1])])
        check(p.at_b[1].expect("ACK"), contact(p.b, "bob"), [uri(p.at_b[1])])
        call.bye()
        take_bye(p.at_b[1], contact(p.b, "bob"), [uri(p.at_b[1])])
        p.a.expect(200, method="BYE")
        p.at_b[0].quiet(0.2)


def test_route_is_followed(ground):
    """next_hop: kedge's own Route is popped, the next one followed, the Request-URI kept; CANCEL and the ACK of a failure
    go the INVITE's way with the INVITE's Route (9.1, 17.1.1.3)."""
    with ground.parties(test_route_is_followed) as p:
        near, far = uri(p.at_b[0]), uri(p.at_b[1])
        first = p.at_b[0]
        call = p.a.invite(ENGINE, "x1", p.offer, [("Route", f"<{ENGINE_URI};lr>, {near}, {far}")])
        other = first.wait_invite()
        check(other.invite, call.request_uri, [near, far])
        other.reply(180)
        call.progress(180)
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        cancel = first.expect("CANCEL")
        check(cancel, call.request_uri, [near, far])
        assert cancel.branch == other.invite.branch
        sippeer.answer_to(first, cancel, 200)
        other.reply(487)
        check(other.take_ack(), call.request_uri, [near, far])


def test_strict_route_is_followed(ground):
    """The same where the next hop routes strictly: it is the Request-URI, and the Request-URI comes last (16.6 step 6)."""
    with ground.parties(test_strict_route_is_followed) as p:
        strict, far = uri(p.at_b[0], ""), uri(p.at_b[1])
        call = p.a.invite(ENGINE, "x2", p.offer, [("Route", f"<{ENGINE_URI};lr>, {strict}, {far}")])
        other = p.at_b[0].wait_invite()
        other.reply(486)
        ack = other.take_ack()
        call.ack_failure(call.progress(486))
        for message in (other.invite, ack):
            check(message, strict.strip("<>"), [far, f"<{call.request_uri}>"])


# --- forks


def test_extra_answer_has_a_way_of_its_own(ground):
    """The second 2xx is acknowledged and hung up by its own record routes, not by the first one's (R33)."""
    with ground.parties(test_extra_answer_has_a_way_of_its_own) as p:
        call, other = p.invite()
        tags = {}
        for k, tag in enumerate(("one", "two")):
            other.reply(180, tag=tag, headers=recorded(uri(p.at_b[k])))
            tags[tag] = call.progress(180).to_tag
        answer(p, call, other, [uri(p.at_b[0])], "one")
        assert call.remote_tag == tags["one"] != tags["two"]
        p.at_b[0].expect("ACK")
        other.reply(200, sippeer.sdp(p.b.address, 8100), tag="two", headers=recorded(uri(p.at_b[1])))
        assert p.at_b[1].expect("ACK").to_tag == "two"
        assert take_bye(p.at_b[1], contact(p.b, "bob"), [uri(p.at_b[1])]).to_tag == "two"
        p.a.quiet(0.2)
        p.talk(call, other)
        call.bye()
        assert take_bye(p.at_b[0], contact(p.b, "bob"), [uri(p.at_b[0])]).to_tag == "one"
        p.a.expect(200, method="BYE")


def test_bye_of_an_early_dialog(ground):
    """A caller may end an early dialog by BYE; its INVITE is answered all the same (15, 15.1.2)."""
    with ground.parties(test_bye_of_an_early_dialog) as p:
        call, other = p.ring()
        call.remote = p.a.received(180)[0].get("to")
        call.remote_uri = p.a.received(180)[0].contact
        call.bye()
        got = {m.method: m for m in [p.a.expect(200, 487) for _ in range(2)]}
        assert got["BYE"].status == 200 and got["INVITE"].status == 487, [m.name() for m in got.values()]
        call.ack_failure(got["INVITE"])
        sippeer.answer_to(p.b, p.b.expect("CANCEL"), 200)
        other.reply(487)
        other.take_ack()


def test_more_forks_than_any(ground):
    """Forks beyond those that are told apart: the one that answers has the call all the same."""
    with ground.parties(test_more_forks_than_any) as p:
        call, other = p.invite()
        for n in range(12):
            other.reply(180, tag=f"fork{n}")
        tags = [call.progress(180).to_tag for _ in range(7)]
        assert len(set(tags)) == 7, f"forks were merged: {tags}"
        p.a.quiet(0.2)
        answer(p, call, other, [], "fork11")
        assert p.b.expect("ACK").to_tag == "fork11"
        other.tag, other.local = "fork11", other.invite.get("to") + ";tag=fork11"
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_answer_of_a_fork_that_never_rang(ground):
    with ground.parties(test_answer_of_a_fork_that_never_rang) as p:
        call, other = p.invite()
        other.reply(183, p.answer, tag="one")
        early = call.progress(183)
        answer(p, call, other, [], "two")
        assert call.remote_tag != early.to_tag
        assert p.b.expect("ACK").to_tag == "two"
        other.local = other.invite.get("to") + ";tag=two"
        p.talk(call, other)
        p.hang_up_callee(call, other)
        p.ended(call, other, "disconnected", "callee_hangup")


def dialogs(ground):
    return ground.api.metrics()["kedge_dialogs"]


def after_early_dialogs_are_gone(ground):
    """Three forks ring, then the caller gives up: one CANCEL, and no early dialog is left on either side (R32). Alone, as
    it counts what all calls share."""
    netns.wait_for("the other tests' dialogs to end", lambda: dialogs(ground) == 0, 5)
    with ground.parties(test_cancel_after_answer) as p:
        call, other = p.invite()
        for fork in ("one", "two", "three"):
            other.reply(180, tag=fork)
            call.progress(180)
        assert dialogs(ground) == 6, f"{dialogs(ground)} early dialogs instead of three on each side"
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        sippeer.answer_to(p.b, p.b.expect("CANCEL"), 200)
        other.reply(487, tag="one")
        other.take_ack()
        p.b.quiet(0.2)
        netns.wait_for("the early dialogs to be gone", lambda: dialogs(ground) == 0, 2)


# --- CANCEL


def test_cancel_after_answer(ground):
    """The 200 won: CANCEL is answered and has no effect; the caller's ACK and BYE end it (R14)."""
    with ground.parties(test_cancel_after_answer) as p:
        call, other = p.ring()
        other.reply(200, p.answer)
        p.b.expect("ACK")
        call.cancel()
        got = [p.a.expect(200) for _ in range(2)]
        assert sorted(m.method for m in got) == ["CANCEL", "INVITE"], [m.name() for m in got]
        final = next(m for m in got if m.method == "INVITE")
        call.answer, call.remote, call.remote_uri = final, final.get("to"), final.contact
        call.ack()
        p.a.quiet(0.3)
        p.b.quiet(0.2)
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_cancel_of_another_branch(ground):
    """All is the INVITE's but the branch: 481, and the call goes on."""
    with ground.parties(test_cancel_of_another_branch) as p:
        call, other = p.ring()
        branch, call.branch = call.branch, "z9hG4bK" + sippeer.new_id()
        call.cancel()
        p.a.expect(481, method="CANCEL")
        call.branch = branch
        p.b.quiet(0.2)
        answer(p, call, other, [])
        other.take_ack()
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_cancel_twice(ground):
    """A copy of the CANCEL gets a copy of its 200, and the callee one CANCEL."""
    with ground.parties(test_cancel_twice) as p:
        call, other = p.ring()
        cancel = call.cancel()
        first = p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        p.a.send_raw(cancel.data, ENGINE)
        assert p.a.expect(200, method="CANCEL", repeats=True).data == first.data
        sippeer.answer_to(p.b, p.b.expect("CANCEL"), 200)
        other.reply(487)
        other.take_ack()
        p.b.quiet(0.7, repeats=False)


# --- what belongs to which dialog


def test_lower_cseq(ground):
    """500, and the call goes on: also for a BYE."""
    with ground.parties(test_lower_cseq) as p:
        call, other = p.answered()
        call.send("OPTIONS", 20)
        p.a.expect(200, method="OPTIONS")
        for method in ("OPTIONS", "BYE"):
            call.send(method, 19)
            p.a.expect(500, method=method)
        other.send("BYE", 0)  # the callee's own numbers: its first one may be any
        assert p.b.expect(200, 500, method="BYE").status == 200
        call.take_bye()
        p.ended(call, other, "disconnected", "callee_hangup")


def test_wrong_tags(ground):
    with ground.parties(test_wrong_tags) as p:
        call, other = p.answered()
        right = call.local, call.remote
        for local, remote in ((right[0], right[1] + "x"), (right[0] + "x", right[1]), (right[1], right[0])):
            call.local, call.remote = local, remote
            for method in ("BYE", "OPTIONS", "INFO"):
                call.cseq += 1
                call.send(method, call.cseq)
                p.a.expect(481, method=method)
        call.local, call.remote = right
        p.b.quiet(0.2)
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_after_bye(ground):
    """Whatever comes in a dialog that is over gets 481; an ACK gets nothing (R35)."""
    with ground.parties(test_after_bye) as p:
        call, other = p.answered()
        p.hang_up(call, other)
        for dialog, peer in ((call, p.a), (other, p.b)):
            for method in ("INFO", "OPTIONS", "UPDATE", "INVITE", "BYE"):
                dialog.cseq += 1
                sent = dialog.send(method, dialog.cseq, headers=[("Contact", f"<sip:x@{peer.host}>")])
                refused = peer.expect(481, method=method)
                if method == "INVITE":
                    dialog.send("ACK", dialog.cseq, branch=sent.branch)
            dialog.send("ACK", dialog.cseq + 1)
            peer.quiet(0.2)
            assert refused.to_tag


# --- RFC 2543


def old(data):
    """A request as RFC 2543 has it: no branch, no From tag."""
    return re.sub(rb"(From: [^\r]*>);tag=[^\r]+", rb"\1", re.sub(rb";rport;branch=[^\r]+", b"", data))


def raw_until(peer, start):
    """The next datagram that begins so: a response to a request of RFC 2543 has no branch that could be checked."""
    peer.sock.settimeout(6)
    while True:
        data = peer.sock.recv(65536)
        if data.startswith(start):
            return data
        assert data.startswith(b"SIP/2.0 1"), f"instead of {start}:\n{data.decode()}"


def test_caller_of_rfc_2543(ground):
    """Its copies, its ACK and its BYE are known by Call-ID, CSeq, From, To and Request-URI (17.2.3)."""
    with ground.parties(test_caller_of_rfc_2543) as p:
        lines = [f"Via: SIP/2.0/UDP {p.a.host}", f"From: <sip:alice@{p.a.host}>", f"To: <sip:{p.user}@{netns.host(ENGINE[0])}>",
                 "Call-ID: " + sippeer.new_id(), f"Contact: <sip:alice@{p.a.host}>"]

        def old(method, cseq, body="", to=""):
            kind = ["Content-Type: application/sdp"] if body else []
            head = [f"{method} sip:{p.user}@{netns.host(ENGINE[0])} SIP/2.0", *lines, f"CSeq: {cseq} {method}", *kind]
            text = "\r\n".join(head + [f"Content-Length: {len(body)}", "", body])
            return re.sub("(To: .*>)", rf"\1{to}", text).encode()

        invite = old("INVITE", 1, p.offer)
        p.a.send_raw(invite, ENGINE)
        other = p.b.wait_invite()
        p.a.send_raw(invite, ENGINE)
        other.reply(200, p.answer)
        ok = raw_until(p.a, b"SIP/2.0 200")
        p.a.send_raw(invite, ENGINE)
        to = ";tag=" + re.search(rb"\nTo: .*;tag=(\S+)", ok).group(1).decode()
        p.a.send_raw(old("ACK", 1, to=to), ENGINE)
        other.take_ack()
        p.b.quiet(0.3)
        p.a.send_raw(old("BYE", 2, to=to), ENGINE)
        bye_ok = raw_until(p.a, b"SIP/2.0 200")
        assert b"CSeq: 2 BYE" in bye_ok, bye_ok.decode()
        other.take_bye()
        p.a.send_raw(old("BYE", 2, to=to), ENGINE)
        assert raw_until(p.a, b"SIP/2.0 200") == bye_ok


def after_all_is_given_back(ground):
    assert ground.engine.alive(), f"kedged died:\n{ground.engine.last_log()}"
    metrics = ground.api.metrics()
    assert all(value == 0 for name, value in metrics.items() if "illegal" in name)
    ground.engine.no_leaks()
    ground.engine.stop()


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    if netns.NAT:
        raise Skip("the proxies of a party behind NAT are not behind it")
    with netns.Bed(FIRST + 3 * len(TESTS)) as bed:
        yield Ground(bed)


SUITES = [Suite("routes", ground, TESTS, parallel=True, after=[after_early_dialogs_are_gone, after_all_is_given_back])]
