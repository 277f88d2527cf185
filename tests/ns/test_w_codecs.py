# SPDX-License-Identifier: BSD-3-Clause
"""Calls whose parties have no codec in common: real speech through the engine's rooms, coded and decoded by ffmpeg; what
is negotiated and why; a call that is relayed, transcoded and relayed again."""

import contextlib
import itertools
import re
import select
import time
import wave

import calls
import ends
import engine
import netns
import rtp
import sippeer
import speech
from ends import ALL, G722, GSM, OPUS, PCMA, PCMU
from run import Suite

NAMES = ", ".join(codec.name for codec in ALL)
# Where the test itself stands still for a moment the jitter buffer shall not notice.
PATIENT = "jitter_buffer: {mode: fixed, min_ms: 240, max_ms: 400}"
SECONDS = 3


class Ground:
    def __init__(self, bed):
        self.bed = bed
        a, b = netns.CALLER, netns.CALLEE
        text = f"""nics:
  - {{name: a, device: "{netns.DRIVER}:vA"}}
  - {{name: b, device: "{netns.DRIVER}:vB"}}
media: {{ports: 16384-17407, timeout_s: 60}}
trunks:
  - {{name: caller, target: "sip:{a}:5060", from: ["{netns.CALLER_NET}"], codecs: {{{PATIENT}}}}}
  - {{name: all, target: "sip:{b}:5060", codecs: {{offer: [{NAMES}], {PATIENT}}}}}
  - {{name: wide, target: "sip:{b}:5060", codecs: {{offer: [G722, opus], prefer: [opus], strip: [PCMA]}}}}
  - {{name: pass, target: "sip:{b}:5060", codecs: {{transcode: false}}}}
routes:
  - {{match: {{trunk: caller, to: "^all"}}, to: ["trunk:all"]}}
  - {{match: {{trunk: caller, to: "^wide"}}, to: ["trunk:wide"]}}
  - {{match: {{trunk: caller, to: "^pass"}}, to: ["trunk:pass"]}}
  - {{match: {{trunk: caller, to: "^own"}}, to: ["trunk:pass"], codecs: {{offer: [G722], {PATIENT}}}}}
cdr: {{file: {bed.path("cdr.jsonl")}}}
api: {{socket: {bed.path("kedge.sock")}}}
log: {{level: debug, format: json}}
"""
        self.engine = engine.Engine(bed, text=text)
        self.engine.cdr_file = bed.path("cdr.jsonl")
        self.engine.start(30)
        self.api = self.engine.api
        self.ports = itertools.count(7000, 4)


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        context = Ground(bed)
        yield context
        context.engine.stop()


class Parties:
    def __init__(self, ground, stack):
        self.ground = ground
        self.a = stack.enter_context(sippeer.Peer(ground.bed.caller, netns.CALLER))
        self.b = stack.enter_context(sippeer.Peer(ground.bed.callee, netns.CALLEE))
        self.stack = stack

    def end(self, caller):
        bed = self.ground.bed
        out = rtp.End(bed.caller if caller else bed.callee, netns.CALLER if caller else netns.CALLEE, next(self.ground.ports))
        self.stack.callback(out.close)
        return out


@contextlib.contextmanager
def parties(ground):
    with contextlib.ExitStack() as stack:
        yield Parties(ground, stack)


def formats_of(message):
    """What an SDP offers: {"PCMU/8000": 0}, in its order."""
    text = message.body.decode()
    maps = dict(re.findall(r"^a=rtpmap:(\d+) (\S+?)\r?$", text, re.M))
    return {maps.get(n, n): int(n) for n in re.search(r"^m=audio \d+ \S+ (.*?)\r?$", text, re.M)[1].split()}


class Call:
    """A call between an end that has one list of codecs and one that answers with another."""

    def __init__(self, parties, user, offers, answers, offer_options=None, answer_options=None):
        self.parties, self.one, self.two = parties, parties.end(True), parties.end(False)
        self.call = parties.a.invite(calls.ENGINE, user, ends.sdp(netns.CALLER, self.one.port, offers, **(offer_options or {})))
        self.other = parties.b.wait_invite()
        self.offered = formats_of(self.other.invite)
        types = [self.offered[codec.rtpmap] for codec in answers]
        self.other.reply(200, ends.sdp(netns.CALLEE, self.two.port, answers, types, **(answer_options or {})))
        self.answer = self.call.progress(200)
        self.answered = formats_of(self.answer)
        self.call.ack()
        self.other.take_ack()
        self.to_one, self.to_two = self.other.invite.media(), self.answer.media()  # where each one's packets go: two's, one's

    def item(self):
        for item in self.parties.ground.api.calls():
            if self.call.call_id in [leg["sip_call_id"] for leg in item["legs"]]:
                return {leg["role"]: leg for leg in item["legs"]}
        raise AssertionError("the call is not in /v1/calls")

    def hang_up(self):
        self.call.bye()
        self.other.take_bye()
        self.parties.a.expect(200, method="BYE")


class Line:
    """Speech on its way from one end to the other; arrivals are kept."""

    def __init__(self, sender, to, receiver, payloads, payload_type, clock, ptime=20):
        self.sender, self.to, self.receiver, self.payloads = sender, to, receiver, payloads
        self.type, self.step, self.ptime = payload_type, clock * ptime // 1000, ptime
        self.ssrc, self.got, self.sent = 0x33330000 + sender.port, [], 0

    def send(self, elapsed_ms):
        while self.sent < len(self.payloads) and self.sent * self.ptime <= elapsed_ms:
            n = self.sent
            self.sender.rtp.sendto(rtp.build(n == 0, self.type, 65500 + n, 4294900000 + n * self.step, self.ssrc,
                                             self.payloads[n]), self.to)
            self.sent += 1

    def take(self):
        self.got += [rtp.read(data) for data, _ in self.receiver.drain(self.receiver.rtp)]


def run_lines(lines, after_s=0.6):
    """All of them at once, in real time."""
    began, last = time.monotonic(), max(len(line.payloads) * line.ptime for line in lines) / 1000 + after_s
    while time.monotonic() - began < last:
        for line in lines:
            line.send((time.monotonic() - began) * 1000)
        ready, _, _ = select.select([line.receiver.rtp for line in lines], [], [], 0.005)
        for line in lines:
            if line.receiver.rtp in ready:
                line.take()


def check_line(line, payload_type, clock, ptime=20):
    """One unbroken line: one SSRC, sequence and timestamp step by step, the marker at its beginning only."""
    got = line.got
    assert got, "nothing arrived"
    assert {p.payload_type for p in got} == {payload_type}, f"payload types {[p.payload_type for p in got]}"
    assert len({p.ssrc for p in got}) == 1, "the SSRC changed"
    assert got[0].marker and sum(p.marker for p in got) == 1, f"{sum(p.marker for p in got)} markers"
    step = clock * ptime // 1000
    for before, after in zip(got, got[1:]):
        assert (after.sequence - before.sequence) & 0xffff == 1, f"sequence {before.sequence}, then {after.sequence}"
        assert (after.timestamp - before.timestamp) & 0xffffffff == step, f"timestamp steps {after.timestamp - before.timestamp}"


def spoken():
    with wave.open(speech.prompt("demo-congrats")) as file:
        return file.readframes((SECONDS + 1) * ends.RATE)[2 * ends.RATE:]


def test_every_pair(ground):
    """Each pair of codecs, both ways at once: as loud as it was, no gap, and as far from the original as coding twice
    without an engine in between takes it, within 1 dB."""
    said = spoken()
    coded = {codec: codec.encode(said) for codec in ALL}
    plain = {codec: codec.decode(coded[codec]) for codec in ALL}
    pairs = list(itertools.combinations(ALL, 2))
    with parties(ground) as p:
        made, lines = [], []
        for n, (a, b) in enumerate(pairs):
            call = Call(p, f"all{n}", [a], [b])
            made.append(call)
            legs = call.item()
            assert (legs["caller"]["codec"], legs["callee"]["codec"]) == (a.name, b.name), legs
            assert legs["caller"]["transcoded"] and legs["callee"]["transcoded"], legs
            types = call.answered[a.rtpmap], call.offered[b.rtpmap]
            lines += [(Line(call.one, call.to_two, call.two, coded[a], types[0], a.clock), a, b, types[1]),
                      (Line(call.two, call.to_one, call.one, coded[b], types[1], b.clock), b, a, types[0])]
        run_lines([line[0] for line in lines])
        for call in made:
            call.hang_up()
        wrong = []
        for line, a, b, heard_as in lines:
            title = f"{a}-{b}"
            law = {a, b} == {PCMU, PCMA}
            check_line(line, heard_as, b.clock)
            assert law or len(line.got) >= SECONDS * 50 - 20, f"{title}: only {len(line.got)} packets"
            result = ends.compare(ground.bed, title, said, b.decode([packet.payload for packet in line.got]))
            alone = ends.compare(ground.bed, title + "-alone", said, b.decode(b.encode(plain[a], bandwidth=a.rate)))
            if abs(result["level_db"] - alone["level_db"]) > 1 or result["gaps"] or \
                    result["distance_db"] > alone["distance_db"] + 1 or result["seconds"] < 1:
                wrong.append(f"{title}: {result}, and without an engine {alone}")
        assert not wrong, "\n".join(wrong)


def after_all_is_given_back(ground):
    ground.engine.no_leaks()


SUITES = [Suite("codecs", ground, [test_every_pair], after=[after_all_is_given_back])]
