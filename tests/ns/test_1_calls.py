# SPDX-License-Identifier: BSD-3-Clause
"""Calls through kedged on af_xdp, each from its INVITE to its record; all at once on one engine, so that the slow ones
(32 s timers) cost no time."""

import contextlib
import time

import netns
import rtp
import sippeer
from calls import ENGINE, Ground, check_body, near
from run import Skip, Suite
from sipp import Sipp


def sipp_pair(ground, test, uac, uas):
    a, b, user = ground.place(test)
    callee = Sipp(ground.bed, ground.bed.callee, uas, b, test.__name__)
    time.sleep(1)
    caller = Sipp(ground.bed, ground.bed.caller, uac, a, test.__name__, to=f"{netns.host(ENGINE[0])}:{ENGINE[1]}", user=user)
    caller.finish()
    callee.finish()


# --- SIPp's view of the plain ones


def test_sipp_caller_hangs_up(ground):
    sipp_pair(ground, test_sipp_caller_hangs_up, "uac_bye", "uas_bye")


def test_sipp_callee_hangs_up(ground):
    sipp_pair(ground, test_sipp_callee_hangs_up, "uac_hung_up", "uas_hangs_up")


def test_sipp_cancelled(ground):
    sipp_pair(ground, test_sipp_cancelled, "uac_cancel", "uas_cancelled")


def test_sipp_busy(ground):
    sipp_pair(ground, test_sipp_busy, "uac_busy", "uas_busy")


def test_sipp_no_answer(ground):
    sipp_pair(ground, test_sipp_no_answer, "uac_no_answer", "uas_cancelled")


def test_sipp_early_media(ground):
    sipp_pair(ground, test_sipp_early_media, "uac_early", "uas_early")


def test_sipp_late_offer(ground):
    sipp_pair(ground, test_sipp_late_offer, "uac_late_offer", "uas_late_offer")


# --- the plain ones with media, causes and records


def test_caller_hangs_up(ground):
    with ground.parties(test_caller_hangs_up) as p:
        call, other = p.answered()
        p.talk(call, other, count=25)
        p.hang_up(call, other)
        record = p.ended(call, other, "disconnected", "caller_hangup")
        assert record["business"] == "released" and record["answered"], record
        by_role = {leg["role"]: leg for leg in record["legs"]}
        assert set(by_role) == {"caller", "callee"}, f"roles {list(by_role)}"
        for leg in by_role.values():
            more = {"rx": 3 * netns.NAT, "tx": 0}  # three of the five by which it was introduced
            if leg["role"] == "callee":
                more = {"rx": 0, "tx": more["rx"]}
            got = {way: leg[way]["packets"] - more[way] for way in more}
            assert got == {"rx": 25, "tx": 25}, f"counted wrong: {leg}"
            assert leg["rx"]["lost"] == leg["rx"]["duplicate"] == leg["rx"]["reordered"] == 0, f"counted wrong: {leg}"


def test_callee_hangs_up(ground):
    with ground.parties(test_callee_hangs_up) as p:
        call, other = p.answered()
        p.talk(call, other)
        p.hang_up_callee(call, other)
        p.ended(call, other, "disconnected", "callee_hangup")


def test_loss_and_order_are_counted(ground):
    with ground.parties(test_loss_and_order_are_counted) as p:
        call, other = p.answered()
        sent = [rtp.build(n == 0, 0, 100 + n, 160 * n, 9, rtp.noise(9, n)) for n in range(20)]
        order = [0, 1, 2, 3, 6, 7, 8, 8, 9, 11, 10] + list(range(12, 20))  # 4 and 5 are lost, 8 twice, 10 late
        p.introduce(call, 9, 100)
        for n in order:
            p.one.rtp.sendto(sent[n], call.answer.media())
            time.sleep(0.005)
        got = [data for data, _ in p.two.until(p.two.rtp, len(order), 2)]
        assert got == [sent[n] for n in order], "a relay must pass loss, copies and order on as they are"
        p.hang_up(call, other)
        rx = {leg["role"]: leg["rx"] for leg in p.ended(call, other, "disconnected", "caller_hangup")["legs"]}["caller"]
        assert (rx["lost"], rx["duplicate"], rx["reordered"]) == (2, 1, 1), f"counted wrong: {rx}"


def test_rtcp_mux(ground):
    with ground.parties(test_rtcp_mux) as p:
        p.offer += "a=rtcp-mux\r\n"
        p.answer += "a=rtcp-mux\r\n"
        call, other = p.answered()
        has = [b"a=rtcp-mux" in m.body for m in (other.invite, call.answer)]
        assert has == [True, True], f"rtcp-mux was lost: {has}"
        report = rtp.sender_report(5, 0, 1, 160, "party")
        p.introduce(call, 5, 1)
        p.one.rtp.sendto(report, call.answer.media())
        p.two.rtp.sendto(report, other.invite.media())
        for end in (p.two, p.one):
            got = end.until(end.rtp, 1, 2)
            assert got and 200 in rtp.rtcp_types(got[0][0]), f"no RTCP at {end.address} on its RTP port"
        p.hang_up(call, other)


def test_digits_pass(ground):
    with ground.parties(test_digits_pass) as p:
        call, other = p.answered()
        sequence = 0
        p.introduce(call, 3, 1)
        for start, digit in ((1000, "7"), (4000, "#")):
            for marker, payload in rtp.digit_packets(digit):
                sequence += 1
                p.one.rtp.sendto(rtp.build(marker, 101, sequence, start, 3, payload), call.answer.media())
                time.sleep(0.005)
        got = [rtp.read(data) for data, _ in p.two.until(p.two.rtp, sequence, 2)]
        assert len(got) == sequence and rtp.digits_in(got, 101) == "7#"
        p.hang_up(call, other)


def test_early_media(ground):
    with ground.parties(test_early_media) as p:
        call, other = p.invite()
        other.reply(183, p.answer)
        early = call.progress(183)
        check_body(early, netns.ENGINE_A)
        netns.wait_for("state early_media", lambda: state_of(ground, call) == "early_media", 2)
        rtp.talk(p.one, p.two, early.media(), other.invite.media())
        other.reply(200, p.answer)
        final = call.progress(200)
        assert final.to_tag == early.to_tag and final.media() == early.media(), "the answer is another dialog than the 183"
        call.ack()
        other.take_ack()
        p.talk(call, other, start=10)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_late_offer(ground):
    with ground.parties(test_late_offer) as p:
        call, other = p.invite(body="")
        other.reply(180)
        call.progress(180)
        other.reply(200, p.answer)
        offer = call.progress(200)
        check_body(offer, netns.ENGINE_A)
        call.ack(p.offer)
        ack = other.take_ack()
        check_body(ack, netns.ENGINE_B)
        rtp.talk(p.one, p.two, offer.media(), ack.media())
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_busy(ground):
    with ground.parties(test_busy) as p:
        call, other = p.invite()
        other.reply(486)
        other.take_ack()
        call.ack_failure(call.progress(486))
        p.ended(call, other, "failed", "rejected", 486)
        p.a.quiet(0.3)


def test_callee_overload_is_500(ground):
    with ground.parties(test_callee_overload_is_500) as p:
        call, other = p.invite()
        other.reply(503)
        other.take_ack()
        call.ack_failure(call.progress(500))
        p.ended(call, other, "failed", "rejected", 503)


def test_no_answer(ground):
    with ground.parties(test_no_answer) as p:
        call, other = p.ring()
        refuse_after_cancel(p, other, 6)
        call.ack_failure(call.progress(408))
        p.ended(call, other, "timeout", "no_answer")


def refuse_after_cancel(p, other, timeout_s=6):
    cancel = p.b.expect("CANCEL", timeout_s=timeout_s)
    assert cancel.branch == other.invite.branch and cancel.cseq == other.invite.cseq, f"CANCEL of no INVITE:\n{cancel}"
    sippeer.answer_to(p.b, cancel, 200)
    other.reply(487)
    other.take_ack()


# --- giving up


def test_cancelled(ground):
    with ground.parties(test_cancelled) as p:
        call, other = p.ring()
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        refuse_after_cancel(p, other)
        p.ended(call, other, "failed", "cancelled", 487)


def test_cancelled_before_ringing(ground):
    """CANCEL waits for the callee's first word (RFC 3261 9.1)."""
    with ground.parties(test_cancelled_before_ringing) as p:
        call, other = p.invite()
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        p.b.quiet(1.2)
        other.reply(180)
        refuse_after_cancel(p, other)
        p.ended(call, other, "failed", "cancelled", 487)


def test_cancel_crosses_answer(ground):
    with ground.parties(test_cancel_crosses_answer) as p:
        call, other = p.ring()
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        cancel = p.b.expect("CANCEL")
        other.reply(200, p.answer)
        sippeer.answer_to(p.b, cancel, 200)
        other.take_ack()
        other.take_bye()
        p.a.quiet(0.5)
        p.ended(call, other, "failed", "cancelled", 487)


# --- forks


def test_two_answers(ground):
    """Two 2xx: the first is the call, the second gets ACK and BYE (R33)."""
    with ground.parties(test_two_answers) as p:
        call, other = p.ring()
        other.reply(200, p.answer)
        call.progress(200)
        call.ack()
        other.take_ack()
        other.reply(200, sippeer.sdp(p.b.address, 8100), tag="second")
        ack = p.b.expect("ACK")
        assert ack.to_tag == "second", f"ACK for the wrong fork:\n{ack}"
        bye = p.b.expect("BYE")
        assert bye.to_tag == "second", f"BYE for the wrong fork:\n{bye}"
        sippeer.answer_to(p.b, bye, 200)
        p.a.quiet(0.3)
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_forks_that_ring(ground):
    """One To-tag upstream for each fork downstream; the answer comes in the dialog of the fork that answered (R32)."""
    with ground.parties(test_forks_that_ring) as p:
        call, other = p.invite()
        tags = {}
        for fork in ("one", "two", "three"):
            other.reply(180, tag=fork)
            tags[fork] = call.progress(180).to_tag
        assert len(set(tags.values())) == 3, f"forks were merged: {tags}"
        other.reply(200, p.answer, tag="two")
        assert call.progress(200).to_tag == tags["two"], "the answer came in another fork's dialog"
        call.ack()
        other.take_ack()
        other.tag = "two"
        other.local = other.invite.get("to") + ";tag=two"
        p.talk(call, other)
        p.hang_up_callee(call, other)
        p.ended(call, other, "disconnected", "callee_hangup")


# --- lost and repeated messages


def test_lost_ack(ground):
    """No ACK ever: the 200 again at T1, doubling to T2, and BYE to both after 64*T1."""
    with ground.parties(test_lost_ack) as p:
        call, other = p.ring()
        other.reply(200, p.answer)
        first = call.progress(200)
        bye = p.a.expect("BYE", timeout_s=40)
        sippeer.answer_to(p.a, bye, 200)
        copies = [m.time - first.time for m in p.a.received(200, method="INVITE")[1:]]
        near(copies, [.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5], "copies of the 200")
        near([bye.time - first.time], [32], "BYE")
        if p.b.expect("ACK", "BYE").method == "ACK":
            bye = p.b.expect("BYE")
            sippeer.answer_to(p.b, bye, 200)
        p.ended(call, other, "timeout", "ack_timeout")


def test_lost_200(ground):
    """The caller misses the first two 200s: the third is ACKed, and there is no fourth."""
    with ground.parties(test_lost_200) as p:
        call, other = p.ring()
        other.reply(200, p.answer)
        call.progress(200)
        p.a.expect(200, method="INVITE", repeats=True)
        p.a.expect(200, method="INVITE", repeats=True)
        call.ack()
        p.a.quiet(3, repeats=False)
        p.b.expect("ACK")
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_answer_repeated(ground):
    """The callee missed the ACK and sends its 200 again: it gets the same ACK again."""
    with ground.parties(test_answer_repeated) as p:
        call, other = p.answered()
        other.reply(200, p.answer)
        again = p.b.expect("ACK", repeats=True)
        assert again.data == p.b.received("ACK")[0].data, "the second ACK is another one"
        p.a.quiet(0.3)
        p.hang_up(call, other)


def test_invite_repeated_after_answer(ground):
    """RFC 6026: copies of the INVITE that arrive after the 200 are absorbed."""
    with ground.parties(test_invite_repeated_after_answer) as p:
        call, other = p.ring()
        other.reply(200, p.answer)
        call.progress(200)
        p.a.send_raw(call.invite.data, ENGINE)
        p.a.quiet(0.3)
        call.ack()
        other.take_ack()
        p.a.send_raw(call.invite.data, ENGINE)
        p.b.quiet(0.5)
        p.a.quiet(0.3)
        assert len([c for c in ground.api.calls() if has_leg(c, call.call_id)]) == 1, "a second call was made"
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_failure_repeated_until_ack(ground):
    with ground.parties(test_failure_repeated_until_ack) as p:
        call, other = p.invite()
        other.reply(486)
        other.take_ack()
        first = call.progress(486)
        times = [p.a.expect(486, repeats=True).time - first.time for _ in range(2)]
        near(times, [.5, 1.5], "copies of the 486")
        call.ack_failure(first)
        p.a.quiet(2.5, repeats=False)


def test_bye_repeated(ground):
    """A BYE that comes again gets the same 200; one of another transaction gets 481 (R35)."""
    with ground.parties(test_bye_repeated) as p:
        call, other = p.answered()
        bye = call.bye()
        other.take_bye()
        ok = p.a.expect(200, method="BYE")
        p.a.send_raw(bye.data, ENGINE)
        assert p.a.expect(200, method="BYE", repeats=True).data == ok.data
        call.bye()
        p.a.expect(481, method="BYE")


def test_byes_cross(ground):
    with ground.parties(test_byes_cross) as p:
        call, other = p.answered()
        call.bye()
        other.bye()
        answered = []
        for peer in (p.a, p.b, p.a):  # a BYE of kedge's own may come to either, or to both
            while (got := peer.receive(0.5)):
                if got.is_request:
                    assert got.method == "BYE", f"unexpected {got.name()}"
                    sippeer.answer_to(peer, got, 200)
                else:
                    assert got.method == "BYE" and got.status in (200, 481), f"unexpected {got.name()}"
                    answered.append(peer.address)
        assert sorted(answered) == sorted([p.a.address, p.b.address]), f"BYE was answered to {answered}"
        p.ended(call, other, "disconnected", "caller_hangup/callee_hangup")


def test_dead_callee(ground):
    """Timer A: the INVITE again at T1, doubling; timer B: 408 upstream after 64*T1."""
    if netns.NAT:
        raise Skip("the NAT forgets a party that says nothing for 30 s")
    with ground.parties(test_dead_callee) as p:
        call, other = p.invite()
        final = call.progress(408, timeout_s=40)
        call.ack_failure(final)
        trying = p.a.received(100)[0]
        assert trying.time - call.invite.time < 0.5, "100 came too late"
        times = []
        while (got := p.b.receive(0)):
            assert got.method == "INVITE", f"unexpected {got.name()}"
            times.append(got.time - other.invite.time)
        near(times, [.5, 1.5, 3.5, 7.5, 15.5, 31.5], "copies of the INVITE")
        assert len(times) == 6, f"{len(times)} copies of the INVITE"
        near([final.time - other.invite.time], [32], "408")
        p.ended(call, other, "timeout", "no_response")


# --- requests that are no call


def test_unknown_method(ground):
    with ground.parties(test_unknown_method) as p:
        p.a.request("FROBNICATE", ENGINE)
        p.a.expect(501)
        p.a.request("MESSAGE", ENGINE)
        allow = p.a.expect(405).get("allow", "")
        assert all(word in allow for word in ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS")), f"Allow: {allow}"


def test_unknown_method_in_call(ground):
    with ground.parties(test_unknown_method_in_call) as p:
        call, other = p.answered()
        call.cseq += 1
        call.send("FROBNICATE", call.cseq)
        p.a.expect(501)
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_options(ground):
    with ground.parties(test_options) as p:
        p.a.request("OPTIONS", ENGINE)
        got = p.a.expect(200)
        assert "INVITE" in got.get("allow", ""), f"no Allow in\n{got}"


def test_nothing_to_end(ground):
    with ground.parties(test_nothing_to_end) as p:
        p.a.request("BYE", ENGINE, to_tag="nobody")
        p.a.expect(481)
        p.a.request("CANCEL", ENGINE)
        p.a.expect(481)
        p.a.request("ACK", ENGINE, to_tag="nobody")
        p.a.quiet(0.5)


def test_stranger(ground):
    """An address of no trunk gets 403, and nothing of it reaches anybody (R: who may call)."""
    if netns.NAT:
        raise Skip("behind the NAT all have one address")
    _, b, user = ground.place(test_stranger)
    with sippeer.Peer(ground.bed.caller, netns.STRANGER) as stranger, sippeer.Peer(ground.bed.callee, b) as callee:
        call = stranger.invite(ENGINE, user, sippeer.sdp(netns.STRANGER, 7000))
        call.ack_failure(call.progress(403))
        stranger.request("OPTIONS", ENGINE)
        stranger.expect(403)
        callee.quiet(0.5)


# --- the engine's own view


def has_leg(call, call_id):
    return any(leg["sip_call_id"] == call_id for leg in call["legs"])


def state_of(ground, call):
    return next((c["state"] for c in ground.api.calls() if has_leg(c, call.call_id)), None)


def test_api_shows_and_hangs_up(ground):
    with ground.parties(test_api_shows_and_hangs_up) as p:
        call, other = p.ring()
        assert state_of(ground, call) == "ringing"
        other.reply(200, p.answer)
        call.progress(200)
        call.ack()
        other.take_ack()
        p.talk(call, other)
        netns.wait_for("state confirmed", lambda: state_of(ground, call) == "confirmed", 2)
        mine = next(c for c in ground.api.calls() if has_leg(c, call.call_id))
        shown = ground.api.get(f"/v1/calls/{mine['id']}")
        assert shown["business"] == "answered" and shown["id"] == mine["id"], shown
        legs = {leg["role"]: leg for leg in shown["legs"]}
        assert legs["caller"]["sip_call_id"] == call.call_id and legs["callee"]["sip_call_id"] == other.call_id
        seen = "10.77.1.2" if netns.NAT else netns.host(p.one.address)
        assert legs["caller"]["remote"].startswith(seen + ":"), legs["caller"]
        assert netns.NAT or legs["caller"]["remote"] == f"{seen}:7000", legs["caller"]
        assert legs["callee"]["remote"] == f"{netns.host(p.two.address)}:8000", legs["callee"]
        assert legs["caller"]["local"] == "{}:{}".format(netns.host(netns.ENGINE_A), call.answer.media()[1]), legs["caller"]
        assert (legs["caller"]["nic"], legs["callee"]["nic"]) == ("a", "b"), legs
        assert "PCMU" in legs["caller"]["codec"], legs["caller"]["codec"]
        assert ground.api.get(f"/v1/legs/{legs['caller']['id']}")["sip_call_id"] == call.call_id
        status, _, text = ground.api.ask("DELETE", f"/v1/calls/{mine['id']}")
        assert status in (200, 202, 204), f"{status} {text}"
        call.take_bye()
        other.take_bye()
        p.ended(call, other, "disconnected", "api_hangup")
        status, kind, _ = ground.api.ask("DELETE", "/v1/calls/nobody")
        assert (status, kind) == (404, "application/problem+json"), (status, kind)


def test_api_hangs_up_what_rings(ground):
    with ground.parties(test_api_hangs_up_what_rings) as p:
        call, other = p.ring()
        mine = next(c for c in ground.api.calls() if has_leg(c, call.call_id))
        ground.api.ask("DELETE", f"/v1/calls/{mine['id']}")
        refuse_after_cancel(p, other)
        final = call.progress(480, 487, 486, 500, 503, 603)
        call.ack_failure(final)
        p.ended(call, other, "failed", "api_hangup")


def test_events_of_a_call(ground):
    with ground.parties(test_events_of_a_call) as p:
        call, other = p.answered()
        mine = next(c for c in ground.api.calls() if has_leg(c, call.call_id))["id"]
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        events = ground.api.events(1.5, last=0)
        ids = [e["id"] for e in events]
        assert ids == list(range(ids[0], ids[0] + len(ids))), f"event numbers have gaps: {ids}"
        states = [e["data"]["state"] for e in events if e["event"] == "call.state" and e["data"]["call"] == mine]
        assert states == ["calling", "ringing", "confirmed", "disconnected"], states
        firsts = [e for e in events if e["event"] == "leg.media" and e["data"].get("call") == mine]
        assert len(firsts) >= 2, f"no first_packet of both legs: {firsts}"


# --- after all of them


def after_all_is_given_back(ground):
    assert ground.engine.alive(), f"kedged died:\n{ground.engine.last_log()}"
    ground.engine.no_leaks()


def after_all_metrics_agree(ground):
    metrics = ground.api.metrics()
    illegal = [name for name in metrics if "illegal" in name]
    assert illegal and all(metrics[name] == 0 for name in illegal), f"illegal transitions: {illegal}"
    assert metrics.get("kedge_events_lost_total", 0) == 0


def after_all_stops_well(ground):
    ground.engine.stop()
    shown = ground.bed.ip(ground.bed.engine, "link show")
    assert "xdp" not in shown, f"an XDP program was left:\n{shown}"


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]
RING_TIMEOUTS = {"test_no_answer": 2, "test_sipp_no_answer": 2}


@contextlib.contextmanager
def ground():
    with netns.Bed(len(TESTS) + 3) as bed:
        yield Ground(bed, TESTS, RING_TIMEOUTS)


SUITES = [Suite("calls", ground, TESTS, parallel=True,
                after=[after_all_is_given_back, after_all_metrics_agree, after_all_stops_well])]
