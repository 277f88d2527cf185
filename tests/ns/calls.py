# SPDX-License-Identifier: BSD-3-Clause
"""What the call tests share: one engine, an address and a trunk for each test, and the usual steps of a call."""

import contextlib

import engine
import netns
import rtp
import sippeer

ENGINE = (netns.ENGINE_A, 5060)
FIRST = 3  # the first test's address is 10.77.x.3


class Ground:
    """An engine in a bed; each test has the address 10.77.1.N at the caller, 10.77.2.N at the callee, the trunk tN and
    the user sN that is routed to it."""

    def __init__(self, bed, tests, ring_timeouts):
        self.bed, self.numbers = bed, {test.__name__: FIRST + i for i, test in enumerate(tests)}
        trunks = [f'{{name: t{n}, target: "sip:{netns.host(netns.at_callee(n))}:5060", ring_timeout_s: {ring_timeouts.get(name, 180)}}}'
                  for name, n in self.numbers.items()]
        routes = [f'{{match: {{trunk: caller, to: "^s{n}$"}}, to: ["trunk:t{n}"]}}' for n in self.numbers.values()]
        self.engine = engine.Engine(bed, trunks, routes).start(30)
        self.api = self.engine.api

    def place(self, test):
        n = self.numbers[test.__name__]
        return netns.at_caller(n), netns.at_callee(n), f"s{n}"

    @contextlib.contextmanager
    def parties(self, test):
        """Two SIP parties and their media ends, for one test."""
        a, b, user = self.place(test)
        with contextlib.ExitStack() as stack:
            out = Parties(self, stack, a, b, user)
            yield out


class Parties:
    def __init__(self, ground, stack, a, b, user):
        bed = ground.bed
        self.ground, self.user = ground, user
        self.a = stack.enter_context(sippeer.Peer(bed.caller, a))
        self.b = stack.enter_context(sippeer.Peer(bed.callee, b))
        self.one, self.two = rtp.End(bed.caller, a, 7000), rtp.End(bed.callee, b, 8000)
        stack.callback(self.one.close)
        stack.callback(self.two.close)
        self.offer, self.answer = sippeer.sdp(a, 7000), sippeer.sdp(b, 8000)

    def invite(self, body=None):
        """The caller calls; the callee has the INVITE. Returns: both dialogs."""
        call = self.a.invite(ENGINE, self.user, self.offer if body is None else body)
        other = self.b.wait_invite()
        check_invite(call, other.invite)
        return call, other

    def ring(self):
        call, other = self.invite()
        other.reply(180)
        ringing = call.progress(180)
        assert not ringing.body, f"an SDP in the 180 that the callee did not send:\n{ringing}"
        return call, other

    def answered(self):
        call, other = self.ring()
        other.reply(200, self.answer)
        check_body(call.progress(200), netns.ENGINE_A)
        call.ack()
        other.take_ack()
        return call, other

    def introduce(self, call, ssrc, sequence):
        """Where the caller is behind NAT: let it be heard, and forget what the callee heard of that."""
        rtp.introduce(self.one, call.answer.media(), ssrc, sequence)
        self.two.drain(self.two.rtp)
        self.two.drain(self.two.rtcp)

    def talk(self, call, other, **options):
        """RTP and RTCP both ways by what the two SDPs say."""
        rtp.talk(self.one, self.two, call.answer.media(), other.invite.media(), **options)

    def hang_up(self, call, other):
        call.bye()
        other.take_bye()
        self.a.expect(200, method="BYE")

    def hang_up_callee(self, call, other):
        other.bye()
        call.take_bye()
        self.b.expect(200, method="BYE")

    def ended(self, call, other, state, reason, code=None):
        """The call's record: one, with both legs, this state, this cause and (where it matters) its SIP code."""
        record = self.ground.engine.record_of(call.call_id)
        cause = record.get("cause") or {}
        assert record["state"] == state, f"state {record['state']} instead of {state}, cause {cause}"
        assert {"layer", "code", "reason", "message"} <= set(cause), f"a cause without its parts: {cause}"
        assert cause["reason"] in reason.split("/"), f"cause {cause} instead of {reason}"
        assert code is None or cause["code"] == code, f"cause {cause} instead of code {code}"
        ids = [leg["sip_call_id"] for leg in record["legs"]]
        assert other is None or other.call_id in ids, f"the callee's leg is not in the record: {ids}"
        return record


def check_invite(call, invite):
    """What a B2BUA's own INVITE must be (R01, R78)."""
    assert invite.call_id != call.call_id and invite.from_tag != call.tag, f"the caller's dialog went through:\n{invite}"
    assert invite.get("max-forwards") == "69", f"Max-Forwards is not one less:\n{invite}"
    assert invite.user == call.user, f"the Request-URI is for another user:\n{invite}"
    assert len(invite.all("via")) == 1, f"the caller's Via went through:\n{invite}"
    if call.invite.body:
        check_body(invite, netns.ENGINE_B)
    else:
        assert not invite.body, f"an offer that nobody made:\n{invite}"


def check_body(message, ours):
    """The SDP has our address and nobody else's."""
    ip, port = message.media()
    assert ip == ours and port % 2 == 0 and 16384 <= port <= 17406, f"not our media address:\n{message}"
    text = message.body.decode()
    strange = [line for line in text.splitlines() if netns.is_parties(line) and ours not in line]
    assert not strange, f"a party's address went through: {strange}"
    assert "a=rtpmap:101 telephone-event/8000" in text, f"telephone-event is lost:\n{message}"


def near(times, wanted, what):
    """Moments beside what the standard says: less than a half of T1 is a busy machine's."""
    assert len(times) >= len(wanted), f"{what}: only {len(times)} of {len(wanted)}: {[round(t, 2) for t in times]}"
    for got, want in zip(times, wanted):
        assert abs(got - want) <= max(0.1 * want, 0.45), \
            f"{what}: at {[round(t, 2) for t in times]} s, must be {wanted}"
