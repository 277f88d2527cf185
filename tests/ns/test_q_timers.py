# SPDX-License-Identifier: BSD-3-Clause
"""RFC 3261's timers as they show on the wire: silent and half silent parties, all at once, three calls of each kind.

Times are the kernel's, as tcpdump noted them at kedged's interfaces. A heartbeat of a datagram each 100 ms goes through one
of them: what falls beside a stall of the heartbeat is the machine's and is not judged. Of the three calls' intervals the
median counts, so that one late turn of kedged's loop among others' work does not make a failure."""

import concurrent.futures
import contextlib
import statistics
import sys
import time
import types

import capture
import calls
import netns
import sippeer
from calls import ENGINE, Parties
from run import Skip, Suite

CALLS, APART_S = 3, 0.7  # of each kind, begun so far apart
BEAT_S, STALL_S = 0.1, 0.03  # a beat that is later than this is a stall
T1, T2, T4 = 0.5, 4, 5
DOUBLING = [T1, 2 * T1, 4 * T1, 8 * T1, 16 * T1, 32 * T1]  # A
CAPPED = [T1, 2 * T1, 4 * T1] + 7 * [T2]  # E, G and the 2xx: up to T2; the next one would be at 35.5 s
TIMEOUT = 64 * T1
HEARTBEAT = """
import socket, sys, time
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
start = time.monotonic()
for n in range(100000):
    time.sleep(max(0, start + n * %g - time.monotonic()))
    sock.sendto(b"beat", (sys.argv[1], 9))
"""


class Ground(calls.Ground):
    """Each test has CALLS addresses on either side."""

    def __init__(self, bed):
        names = [test.__name__ + f"-{k}" for test in TESTS for k in range(CALLS)]
        kinds = [types.SimpleNamespace(__name__=name) for name in names]
        super().__init__(bed, kinds, {name: 5 for name in names if name.startswith("test_c_")})
        self.captures = [capture.Capture(bed, bed.engine, "timers-" + interface, "udp port 5060 or udp port 9",
                                         interface=interface) for interface in ("vA", "vB")]
        bed.start(bed.engine, [sys.executable, "-c", HEARTBEAT % BEAT_S, netns.CALLEE])

    def wire(self):
        """(what passed so far, in order of time; when the heartbeat stalled: [(from, to)])."""
        found = []
        for one in self.captures:
            with open(one.file, "rb") as file:
                found += [d for d in (capture.datagram(*frame) for frame in capture.pcap_frames(file)) if d]
        found.sort(key=lambda d: d.time)
        beats = [d.time for d in found if d.destination[1] == 9]
        assert len(beats) > 10, f"only {len(beats)} heartbeats were captured"
        stalls = [(a, b) for a, b in zip(beats, beats[1:]) if b - a > BEAT_S + STALL_S]
        return found, stalls + [(beats[-1] + BEAT_S + STALL_S, float("inf"))]


def each(ground, test, play):
    """play(p) for CALLS calls, begun APART_S after each other. Returns: what it gave for each."""
    def one(k):
        time.sleep(k * APART_S)
        n = ground.numbers[f"{test.__name__}-{k}"]
        with contextlib.ExitStack() as stack:
            return play(Parties(ground, stack, netns.at_caller(n), netns.at_callee(n), f"s{n}"))

    with concurrent.futures.ThreadPoolExecutor(CALLS) as pool:
        return list(pool.map(one, range(CALLS)))


class Sent:
    """What kedged sent to one address: the datagrams that begin with one of the words, e.g. "INVITE", "SIP/2.0 486"."""

    def __init__(self, peer, *words):
        self.to, self.words = (peer.address, peer.port), tuple(word.encode() + b" " for word in words)

    def among(self, wire):
        return [d for d in wire if d.destination == self.to and d.data.startswith(self.words)]


def judge(ground, what, chosen, gaps, same=True):
    """chosen: a Sent for each call. The intervals between its datagrams must be `gaps`, +-10 %, and there must be no more
    of them; the datagrams must be copies where `same`."""
    wire, stalls = ground.wire()
    measured = [[] for _ in gaps]
    for sent in chosen:
        found = sent.among(wire)
        times = [d.time for d in found]
        whole = calm(stalls, times[0] - T1, times[-1] + T1) if times else True
        shown = [round(t - times[0], 3) for t in times]
        assert not whole or len(times) == len(gaps) + 1, f"{what}: {len(times)} instead of {len(gaps) + 1}, at {shown}"
        assert not same or len({d.data for d in found}) == 1, f"{what}: the copies differ"
        for k, (begin, end) in enumerate(zip(times, times[1:])):
            if k < len(gaps) and calm(stalls, begin, end):
                measured[k].append(end - begin)
    if not all(measured):
        raise Skip("this machine stalled in all calls at once")
    for k, (gap, got) in enumerate(zip(gaps, measured)):
        middle = statistics.median(got)
        assert abs(middle - gap) <= 0.1 * gap, f"{what}: interval {k + 1} is {middle:.3f} s instead of {gap} s: {got}"


def calm(stalls, begin, end):
    """Did the heartbeat go on at both ends of an interval? In between a timer does not care."""
    return not any(a - BEAT_S <= t <= b + BEAT_S for t in (begin, end) for a, b in stalls)


def last_word(ground, what, pairs, gap):
    """pairs: (what began it, what ended it) for each call, as datagrams are found: that takes `gap` seconds."""
    wire, stalls = ground.wire()
    got = []
    for begin, end in pairs:
        first, last = begin.among(wire)[0].time, end.among(wire)[0].time
        if calm(stalls, first, last):
            got.append(last - first)
    if not got:
        raise Skip("this machine stalled in all calls at once")
    assert abs(statistics.median(got) - gap) <= 0.1 * gap, f"{what}: after {[round(g, 3) for g in got]} s instead of {gap} s"


def still(peer, seconds):
    """Whatever comes is only noted: it is judged by the capture."""
    end = time.monotonic() + seconds
    while peer.receive(end - time.monotonic()):
        pass


# --- clients


def test_a_b_invite(ground):
    """Nobody answers the INVITE: A doubles, B gives up, and the caller gets 408."""
    def play(p):
        call, _ = p.invite()
        call.ack_failure(call.progress(408, timeout_s=TIMEOUT + 6))
        return Sent(p.b, "INVITE"), Sent(p.a, "SIP/2.0 408")

    pairs = each(ground, test_a_b_invite, play)
    judge(ground, "timer A", [invite for invite, _ in pairs], DOUBLING)
    last_word(ground, "timer B", pairs, TIMEOUT)


def test_a_stops(ground):
    """One 100 and the INVITE is not sent again."""
    def play(p):
        call, other = p.invite()
        other.reply(100)
        still(p.b, 3)
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        sippeer.answer_to(p.b, p.b.expect("CANCEL"), 200)
        other.reply(487)
        other.take_ack()
        return Sent(p.b, "INVITE")

    judge(ground, "INVITE after 100", each(ground, test_a_stops, play), [])


def test_c_ringing(ground):
    """ring_timeout_s is a B2BUA's timer C: CANCEL that long after it began to ring."""
    def play(p):
        call, other = p.ring()
        cancel = p.b.expect("CANCEL", timeout_s=10)
        sippeer.answer_to(p.b, cancel, 200)
        other.reply(487)
        other.take_ack()
        call.ack_failure(call.progress(408))
        return Sent(p.a, "SIP/2.0 180"), Sent(p.b, "CANCEL")

    last_word(ground, "the ring timer", each(ground, test_c_ringing, play), 5)


def test_d_absorbs(ground):
    """Copies of a 486 are acknowledged by copies of the ACK until D ends, and the caller hears nothing of them."""
    def play(p):
        call, other = p.invite()
        other.reply(486)
        ack = other.take_ack()
        call.ack_failure(call.progress(486))
        for pause in (0.5, 4, 24):
            time.sleep(pause)
            other.reply(486)
            assert p.b.expect("ACK", repeats=True).data == ack.data, "not the same ACK"
        p.a.quiet(0.3, repeats=False)

    each(ground, test_d_absorbs, play)


def hung_up(p, answer=None):
    """The callee hangs up and the caller does not hear it, or only says `answer`."""
    call, other = p.answered()
    other.bye()
    bye = p.a.expect("BYE")
    if answer:
        sippeer.answer_to(p.a, bye, answer)
    p.b.expect(200, method="BYE")
    still(p.a, TIMEOUT + 4)
    return Sent(p.a, "BYE")


def test_e_f_bye(ground):
    """Nobody answers the BYE: E doubles up to T2, F ends it."""
    judge(ground, "timer E", each(ground, test_e_f_bye, hung_up), CAPPED)


def test_e_proceeding(ground):
    """After a 100 the next one is T2 later, and so on."""
    sent = each(ground, test_e_proceeding, lambda p: hung_up(p, 100))
    judge(ground, "timer E in Proceeding", sent, [T1] + 7 * [T2])


def test_e_cancel(ground):
    """A CANCEL is a transaction of its own, and nobody answers it either."""
    def play(p):
        call, _ = p.ring()
        call.cancel()
        p.a.expect(200, method="CANCEL")
        call.ack_failure(call.progress(487))
        still(p.b, TIMEOUT + 4)
        return Sent(p.b, "CANCEL")

    judge(ground, "timer E of a CANCEL", each(ground, test_e_cancel, play), CAPPED)


def test_k_absorbs(ground):
    """Copies of the 200 to a BYE set nothing off."""
    def play(p):
        call, other = p.answered()
        other.bye()
        bye = call.take_bye()
        p.b.expect(200, method="BYE")
        for pause in (0.1, 1, 3):
            time.sleep(pause)
            sippeer.answer_to(p.a, bye, 200)
        p.a.quiet(0.5, repeats=False)
        p.b.quiet(0.1, repeats=False)

    each(ground, test_k_absorbs, play)


# --- servers


def refused(p):
    call, other = p.invite()
    other.reply(486)
    other.take_ack()
    return call, call.progress(486)


def test_g_h_no_ack(ground):
    """Nobody acknowledges the 486: G doubles up to T2, H ends it."""
    def play(p):
        refused(p)
        still(p.a, TIMEOUT + 4)
        return Sent(p.a, "SIP/2.0 486")

    judge(ground, "timer G", each(ground, test_g_h_no_ack, play), CAPPED)


def test_g_answers_copies(ground):
    """A copy of the INVITE gets the 486 at once, beside timer G's; a copy of the ACK nothing."""
    def play(p):
        call, first = refused(p)
        p.a.send_raw(call.invite.data, ENGINE)
        assert p.a.expect(486, repeats=True, timeout_s=0.4).data == first.data
        ack = call.ack_failure(first)
        for _ in range(2):
            p.a.send_raw(ack.data, ENGINE)
        p.a.quiet(2, repeats=False)

    each(ground, test_g_answers_copies, play)


def test_i_absorbs(ground):
    """For T4 after the ACK the INVITE's copies end here; then it would be a call anew."""
    def play(p):
        call, first = refused(p)
        call.ack_failure(first)
        time.sleep(T4 - 1.5)
        p.a.send_raw(call.invite.data, ENGINE)
        p.a.quiet(0.3, repeats=False)
        p.b.quiet(0.1, repeats=False)
        time.sleep(2.5)
        p.a.send_raw(call.invite.data, ENGINE)
        other = p.b.wait_invite()
        other.reply(486)
        other.take_ack()
        call.ack_failure(call.progress(486))

    each(ground, test_i_absorbs, play)


def test_j_absorbs(ground):
    """A copy of a BYE gets a copy of its 200, to the byte, as long as J runs: else it would be 481."""
    def play(p):
        call, other = p.answered()
        sent = call.bye()
        other.take_bye()
        first = p.a.expect(200, method="BYE")
        for pause in (0.5, 27):
            time.sleep(pause)
            p.a.send_raw(sent.data, ENGINE)
            assert p.a.expect(200, method="BYE", repeats=True).data == first.data, "another answer than the first"
        p.b.quiet(0.1, repeats=False)

    each(ground, test_j_absorbs, play)


def test_l_absorbs(ground):
    """Copies of an INVITE that was answered end here, also when its call is long over (RFC 6026)."""
    def play(p):
        call, other = p.answered()
        for pause in (0.2, 27):
            time.sleep(pause)
            p.a.send_raw(call.invite.data, ENGINE)
            p.a.quiet(0.3, repeats=False)
            if pause < 1:
                p.hang_up(call, other)
        p.b.quiet(0.1, repeats=False)

    each(ground, test_l_absorbs, play)


def test_m_passes(ground):
    """Each copy of the 200 gets its ACK, also long after the first."""
    def play(p):
        call, other = p.answered()
        acks = p.b.received("ACK")
        for pause in (0.5, 4, 24):
            time.sleep(pause)
            other.reply(200, p.answer)
            assert p.b.expect("ACK", repeats=True).data == acks[0].data
        p.a.quiet(0.1, repeats=False)
        mine = next(c for c in ground.api.calls() if any(leg["sip_call_id"] == call.call_id for leg in c["legs"]))
        ground.api.ask("DELETE", f"/v1/calls/{mine['id']}")  # a BYE of ours would keep J running after the other tests
        call.take_bye()
        other.take_bye()

    each(ground, test_m_passes, play)


def test_2xx_no_ack(ground):
    """No ACK ever: the 200 again at T1, doubling up to T2, and BYE to both sides at 64*T1 (13.3.1.4)."""
    def play(p):
        call, other = p.ring()
        other.reply(200, p.answer)
        call.progress(200)
        sippeer.answer_to(p.a, p.a.expect("BYE", timeout_s=TIMEOUT + 6), 200)
        while (got := p.b.expect("ACK", "BYE")).method != "BYE":
            pass
        sippeer.answer_to(p.b, got, 200)
        return Sent(p.a, "SIP/2.0 200"), Sent(p.a, "BYE"), Sent(p.b, "BYE")

    found = each(ground, test_2xx_no_ack, play)
    judge(ground, "copies of the 200", [ok for ok, _, _ in found], CAPPED)
    last_word(ground, "BYE to the caller", [(ok, bye) for ok, bye, _ in found], TIMEOUT)
    last_word(ground, "BYE to the callee", [(ok, bye) for ok, _, bye in found], TIMEOUT)


def after_all_is_given_back(ground):
    assert ground.engine.alive(), f"kedged died:\n{ground.engine.last_log()}"
    lost = [one.stop() and one.dropped for one in ground.captures]
    assert lost == [0, 0], f"tcpdump itself lost packets: {lost}"
    ground.engine.no_leaks()
    ground.engine.stop()


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    if netns.NAT:
        raise Skip("the NAT forgets a party that says nothing for 30 s")
    with netns.Bed(calls.FIRST + CALLS * len(TESTS)) as bed:
        yield Ground(bed)


SUITES = [Suite("timers", ground, TESTS, parallel=True, after=[after_all_is_given_back])]
