# SPDX-License-Identifier: BSD-3-Clause
"""What happens inside a call: hold in each spelling with its media, changes that are refused, glare, late offers, PRACK,
UPDATE, session timers, INFO. Two scripted parties, all tests at once on one engine."""

import contextlib
import re
import time

import netns
import rtp
import sippeer
from calls import ENGINE, Ground, check_body
from run import Suite

SDP = ("Content-Type", "application/sdp")


def changed(body, direction=None, address=None):
    """The same description with another direction or address, and the next version."""
    body = re.sub(r"(?m)^(o=\S+ \S+) (\d+)", lambda m: f"{m[1]} {int(m[2]) + 1}", body)
    if direction:
        body = re.sub(r"a=(sendrecv|sendonly|recvonly|inactive)", f"a={direction}", body)
    if address:
        body = re.sub(r"(?m)^(c=IN IP[46]) \S+", rf"\1 {address}", body)
    return body


def ask(dialog, method, body="", headers=()):
    """A request inside the dialog. Returns: it."""
    dialog.cseq += 1
    return dialog.send(method, dialog.cseq, body, headers=[("Contact", f"<sip:x@{dialog.peer.host}:{dialog.peer.port}>"),
                                                          *headers])


def answer(peer, request, status, body="", headers=()):
    """Answer a request of the engine, with a body."""
    base = [("Via", via) for via in request.all("via")]
    base += [(name, request.get(name.lower())) for name in ("From", "To", "Call-ID", "CSeq")]
    if status < 300:
        base.append(("Contact", f"<sip:x@{peer.host}:{peer.port}>"))
    return peer.send(f"SIP/2.0 {status} {sippeer.PHRASES.get(status, 'Whatever')}", base + list(headers), body, request.source)


def ack_of(dialog, request, body=""):
    return dialog.send("ACK", request.cseq, body)


def reinvite(asker, other, offer, reply):
    """A whole change by re-INVITE. Returns: what the other was asked, what the asker was answered."""
    request = ask(asker, "INVITE", offer)
    asked = other.peer.expect("INVITE")
    answer(other.peer, asked, 200, reply)
    other.peer.expect("ACK")
    granted = asker.peer.expect(200, method="INVITE")
    ack_of(asker, request)
    return asked, granted


def direction_of(message):
    return re.search(r"a=(sendrecv|sendonly|recvonly|inactive)", message.body.decode())[1]


def state_of(p, call):
    for item in p.ground.api.calls():
        if call.call_id in [leg["sip_call_id"] for leg in item["legs"]]:
            return item["state"]
    return None


def passes(sender, to, receiver, callee, start, wanted):
    """Ten packets more of the stream with which `talk` began; do they arrive, as they were sent?"""
    ssrc = (0x22220000 if callee else 0x11110000) + sender.port
    sent = [rtp.build(False, 0, 65530 + start + n, 4294967000 + 160 * (start + n), ssrc, rtp.noise(ssrc, start + n))
            for n in range(10)]
    receiver.drain(receiver.rtp)
    for packet in sent:
        sender.rtp.sendto(packet, to)
        time.sleep(0.01)
    got = [data for data, _ in receiver.until(receiver.rtp, 10 if wanted else 1, 2 if wanted else 0.3)]
    assert got == (sent if wanted else []), f"{len(got)} of ten packets came, wanted: {wanted}"


HOLDS = {  # spelling: what the holder says; what the other is asked, may answer; who is heard then
    "sendonly": ("sendonly", None, "sendonly", "recvonly", (True, False)),
    "inactive": ("inactive", None, "inactive", "inactive", (False, False)),
    "recvonly": ("recvonly", None, "recvonly", "sendonly", (False, True)),
    "zero": (None, "0.0.0.0", "sendonly", "recvonly", (False, False)),  # it names no address that could be checked
}


def hold(ground, test, spelling, by_callee=False):
    says, address, asked_as, replies, heard = HOLDS[spelling]
    with ground.parties(test) as p:
        call, other = p.answered()
        p.talk(call, other)
        holder, held = (other, call) if by_callee else (call, other)
        mine, theirs = (p.answer, p.offer) if by_callee else (p.offer, p.answer)
        one, two = (p.two, p.one) if by_callee else (p.one, p.two)
        to_one, to_two = (other.invite.media(), call.answer.media()) if by_callee else (call.answer.media(), other.invite.media())
        asked, granted = reinvite(holder, held, changed(mine, says, address), changed(theirs, replies))
        assert direction_of(asked) == asked_as, f"{spelling} was told as\n{asked}"
        assert b"0.0.0.0" not in asked.body, f"the old spelling went on:\n{asked}"
        assert direction_of(granted) == replies, granted
        assert state_of(p, call) == "held", state_of(p, call)
        passes(one, to_one, two, by_callee, 10, heard[0])
        passes(two, to_two, one, not by_callee, 10, heard[1])
        asked, granted = reinvite(holder, held, changed(changed(mine)), changed(changed(theirs)))
        assert direction_of(asked) == direction_of(granted) == "sendrecv"
        assert state_of(p, call) == "confirmed", state_of(p, call)
        passes(one, to_one, two, by_callee, 20, True)
        passes(two, to_two, one, not by_callee, 20, True)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_hold_sendonly(ground):
    hold(ground, test_hold_sendonly, "sendonly")


def test_hold_inactive(ground):
    hold(ground, test_hold_inactive, "inactive")


def test_hold_recvonly(ground):
    hold(ground, test_hold_recvonly, "recvonly")


def test_hold_zero_address(ground):
    hold(ground, test_hold_zero_address, "sendonly" if ":" in netns.CALLER else "zero")


def test_hold_by_the_callee(ground):
    hold(ground, test_hold_by_the_callee, "sendonly", by_callee=True)


def test_a_refused_change_is_rolled_back(ground):
    with ground.parties(test_a_refused_change_is_rolled_back) as p:
        call, other = p.answered()
        request = ask(call, "INVITE", changed(p.offer, "sendonly"))
        asked = p.b.expect("INVITE")
        answer(p.b, asked, 488, headers=[("Warning", '304 x "no"')])
        p.b.expect("ACK")
        refused = p.a.expect(488, method="INVITE")
        assert refused.get("warning") == '304 x "no"'
        call.send("ACK", request.cseq, branch=request.branch)
        assert state_of(p, call) == "confirmed"
        p.talk(call, other)
        # The same words again keep the session alive, and concern nobody else; their answer is what it was.
        request = ask(call, "INVITE", p.offer)
        granted = p.a.expect(200, method="INVITE")
        ack_of(call, request)
        assert granted.body == call.answer.body, f"another answer to the same offer:\n{granted}"
        p.b.quiet(0.3)
        p.hang_up(call, other)


def test_glare_is_491(ground):
    with ground.parties(test_glare_is_491) as p:
        call, other = p.answered()
        first = ask(call, "INVITE", changed(p.offer, "inactive"))
        asked = p.b.expect("INVITE")
        second = ask(other, "INVITE", changed(p.answer, "sendonly"))
        p.b.expect(491, method="INVITE")
        other.send("ACK", second.cseq, branch=second.branch)
        third = ask(call, "INVITE", changed(p.offer))  # before the first one is answered
        waits = p.a.expect(500, method="INVITE")
        assert 0 <= int(waits.get("retry-after")) <= 10, waits
        call.send("ACK", third.cseq, branch=third.branch)
        answer(p.b, asked, 200, changed(p.answer, "inactive"))
        p.b.expect("ACK")
        p.a.expect(200, method="INVITE")
        ack_of(call, first)
        p.hang_up(call, other)


def test_a_change_without_an_offer(ground):
    with ground.parties(test_a_change_without_an_offer) as p:
        call, other = p.answered()
        request = ask(call, "INVITE")
        asked = p.b.expect("INVITE")
        assert not asked.body, asked
        answer(p.b, asked, 200, changed(p.answer))
        offer = p.a.expect(200, method="INVITE")
        check_body(offer, netns.ENGINE_A)
        p.b.quiet(0.2, repeats=True)
        ack_of(call, request, changed(p.offer, "sendonly"))
        ack = p.b.expect("ACK")
        assert direction_of(ack) == "sendonly", ack
        assert state_of(p, call) == "held"
        p.hang_up(call, other)


def test_update_inside_a_call(ground):
    with ground.parties(test_update_inside_a_call) as p:
        call, other = p.invite()
        other.reply(200, p.answer, headers=[("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")])
        call.progress(200)
        call.ack()
        other.take_ack()
        ask(call, "UPDATE", changed(p.offer, "sendonly"))
        asked = p.b.expect("UPDATE")
        answer(p.b, asked, 200, changed(p.answer, "recvonly"))
        granted = p.a.expect(200, method="UPDATE")
        assert direction_of(granted) == "recvonly" and state_of(p, call) == "held"
        # Without SDP it is the engine's alone. The caller did not say that it takes UPDATE: it gets a re-INVITE.
        ask(other, "UPDATE")
        p.b.expect(200, method="UPDATE")
        p.a.quiet(0.2)
        ask(other, "UPDATE", changed(p.answer))
        asked = p.a.expect("INVITE")
        answer(p.a, asked, 200, changed(changed(p.offer)))
        p.a.expect("ACK")
        p.b.expect(200, method="UPDATE")
        assert state_of(p, call) == "confirmed"
        p.hang_up(call, other)


def prack(dialog, response, invite_cseq=1):
    return ask(dialog, "PRACK", headers=[("RAck", f"{response.get('rseq')} {invite_cseq} INVITE")])


def test_reliable_on_both_legs(ground):
    with ground.parties(test_reliable_on_both_legs) as p:
        call = p.a.invite(ENGINE, p.user, p.offer, [("Supported", "100rel")])
        other = p.b.wait_invite()
        assert "100rel" in other.invite.get("supported"), other.invite
        other.reply(183, p.answer, headers=[("Require", "100rel"), ("RSeq", "7")])
        own = p.b.expect("PRACK")  # the engine's own: reliability is each leg's
        assert own.get("rack") == "7 1 INVITE", own
        sippeer.answer_to(p.b, own, 200)
        early = call.progress(183)
        assert early.get("require") == "100rel" and int(early.get("rseq")) >= 1, early
        again = p.a.expect(183, method="INVITE", repeats=True)
        assert 0.3 < again.time - early.time < 0.9, again.time - early.time
        call.remote, call.remote_uri = early.get("to"), early.contact
        other.reply(200, p.answer)
        p.a.quiet(0.3)  # the answer waits for the PRACK
        prack(call, early)
        for _ in range(2):
            p.a.expect(200)
        call.answer = early
        final = [m for m in p.a.received(200, method="INVITE")]
        assert len(final) == 1 and not final[0].body, final
        call.ack()
        other.take_ack()
        p.talk(call, other)
        p.hang_up(call, other)


def test_update_crosses_before_the_answer(ground):
    with ground.parties(test_update_crosses_before_the_answer) as p:
        allow = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK")
        call = p.a.invite(ENGINE, p.user, p.offer, [("Supported", "100rel"), allow])
        other = p.b.wait_invite()
        other.reply(183, p.answer, headers=[("Require", "100rel"), ("RSeq", "1"), allow])
        got = p.b.expect("PRACK")
        sippeer.answer_to(p.b, got, 200)
        early = call.progress(183)
        call.remote, call.remote_uri = early.get("to"), early.contact
        ask(call, "UPDATE", changed(p.offer))  # the engine's own answer is not acknowledged yet
        waits = p.a.expect(500, method="UPDATE")
        assert waits.get("retry-after"), waits
        prack(call, early)
        p.a.expect(200, method="PRACK")
        ask(call, "UPDATE", changed(p.offer, "sendonly"))
        asked = p.b.expect("UPDATE")
        ask(other, "UPDATE", changed(p.answer))  # they cross
        p.b.expect(491, method="UPDATE")
        answer(p.b, asked, 200, changed(p.answer, "recvonly"))
        p.a.expect(200, method="UPDATE")
        other.reply(200)
        call.progress(200)
        call.ack()
        other.take_ack()
        p.hang_up(call, other)


def test_late_offer_by_prack(ground):
    with ground.parties(test_late_offer_by_prack) as p:
        call = p.a.invite(ENGINE, p.user, "", [("Supported", "100rel")])
        other = p.b.wait_invite()
        other.reply(183, p.answer, headers=[("Require", "100rel"), ("RSeq", "1")])
        early = call.progress(183)
        check_body(early, netns.ENGINE_A)
        p.b.quiet(0.2)  # its PRACK waits for the caller's answer
        call.remote, call.remote_uri = early.get("to"), early.contact
        call.cseq += 1
        call.send("PRACK", call.cseq, p.offer, headers=[("RAck", f"{early.get('rseq')} 1 INVITE")])
        got = p.b.expect("PRACK")
        check_body(got, netns.ENGINE_B)
        sippeer.answer_to(p.b, got, 200)
        p.a.expect(200, method="PRACK")
        other.reply(200)
        final = call.progress(200)
        assert not final.body, final
        call.ack()
        other.take_ack()
        call.answer, other.invite = early, got
        p.talk(call, other)
        p.hang_up(call, other)


def test_nobody_refreshes(ground):
    with ground.parties(test_nobody_refreshes) as p:
        call = p.a.invite(ENGINE, p.user, p.offer, [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
        other = p.b.wait_invite()
        assert other.invite.get("session-expires") == "1800" and "timer" in other.invite.get("supported")
        other.reply(200, p.answer, headers=[("Require", "timer"), ("Session-Expires", "90;refresher=uac"),
                                            ("Allow", "INVITE, ACK, BYE, UPDATE")])
        final = call.progress(200)
        assert final.get("session-expires") == "90;refresher=uac" and "timer" in final.get("require"), final
        call.ack()
        other.take_ack()
        began = time.monotonic()
        own = p.b.expect("UPDATE", timeout_s=55)  # on the callee's leg the engine refreshes, at half of it
        assert 40 < time.monotonic() - began < 55, time.monotonic() - began
        assert own.get("session-expires") == "90;refresher=uac" and not own.body, own
        answer(p.b, own, 200, headers=[("Require", "timer"), ("Session-Expires", "90;refresher=uac")])
        call.take_bye(timeout_s=30)  # the caller should have
        other.take_bye()
        p.ended(call, other, "timeout", "session_timeout", 408)


def test_too_short_a_session(ground):
    with ground.parties(test_too_short_a_session) as p:
        call = p.a.invite(ENGINE, p.user, p.offer, [("Supported", "timer"), ("Session-Expires", "60")])
        refused = call.progress(422)
        assert refused.get("min-se") == "90", refused
        call.ack_failure(refused)
        p.b.quiet(0.2)


def test_info_and_message_pass(ground):
    with ground.parties(test_info_and_message_pass) as p:
        call, other = p.answered()
        for asker, one, two, method, kind in ((call, p.a, p.b, "INFO", "application/dtmf-relay"),
                                              (other, p.b, p.a, "MESSAGE", "text/plain")):
            asker.cseq += 1
            one.send_raw("\r\n".join([f"{method} {asker.remote_uri} SIP/2.0",
                                      f"Via: SIP/2.0/UDP {one.host}:5060;rport;branch=z9hG4bK{sippeer.new_id()}",
                                      "Max-Forwards: 70", f"From: {asker.local}", f"To: {asker.remote}",
                                      f"Call-ID: {asker.call_id}", f"CSeq: {asker.cseq} {method}", f"Content-Type: {kind}",
                                      "Content-Length: 8", "", "Signal=5"]), asker.to)
            got = two.expect(method)
            assert got.body == b"Signal=5" and got.get("content-type") == kind, got
            sippeer.answer_to(two, got, 200)
            one.expect(200, method=method)
        for method, status, header in (("REFER", 405, "allow"), ("SUBSCRIBE", 405, "allow")):
            ask(call, method)
            assert p.a.expect(status, method=method).get(header), method
        p.b.quiet(0.2)
        p.hang_up(call, other)


def test_a_party_that_lost_the_call(ground):
    with ground.parties(test_a_party_that_lost_the_call) as p:
        call, other = p.answered()
        request = ask(call, "INVITE", changed(p.offer, "sendonly"))
        answer(p.b, p.b.expect("INVITE"), 481)
        p.b.expect("ACK")
        refused = p.a.expect(500, method="INVITE")
        assert refused
        call.send("ACK", request.cseq, branch=request.branch)
        call.take_bye()
        other.take_bye()
        p.ended(call, other, "timeout", "dialog_lost", 408)


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    with netns.Bed(3 + len(TESTS)) as bed:
        yield Ground(bed, TESTS, {})


def after_nothing_is_left(ground):
    ground.engine.no_leaks()


SUITES = [Suite("dialogs", ground, TESTS, parallel=True, after=[after_nothing_is_left])]
