# SPDX-License-Identifier: BSD-3-Clause
"""Calls whose parties have no codec in common: real speech through the engine's rooms, coded and decoded by ffmpeg; what
is negotiated and why; a call that is relayed, transcoded and relayed again."""

import contextlib
import itertools
import random
import re
import select
import shutil
import subprocess
import time
import wave

import calls
import capture
import ends
import engine
import netns
import rtp
import sippeer
import speech
from baresip import Baresip
from ends import ALL, G722, GSM, OPUS, PCMA, PCMU
from run import Suite
from sipp import Sipp

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
  - {{name: phone, target: "sip:{netns.at_callee(3)}:5060", codecs: {{offer: [{NAMES}], {PATIENT}}}}}
  - {{name: wide, target: "sip:{b}:5060", codecs: {{offer: [G722, opus], prefer: [opus], strip: [PCMA]}}}}
  - {{name: pass, target: "sip:{b}:5060", codecs: {{transcode: false}}}}
routes:
  - {{match: {{trunk: caller, to: "^bob"}}, to: ["trunk:phone"]}}
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
    with netns.Bed(6) as bed:
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


def ten_of(line, sender, receiver, to, payload_type, start, payload):
    """Ten packets of 20 ms more, and what comes of them."""
    for n in range(10):
        sender.rtp.sendto(rtp.build(False, payload_type, line["seq"] + n, line["ts"] + 160 * n, line["ssrc"], payload), to)
        time.sleep(0.02)
    line["seq"] += 10
    line["ts"] += 1600
    time.sleep(0.5)
    return [rtp.read(data) for data, _ in receiver.drain(receiver.rtp)]


def test_what_both_have_passes(ground):
    """Bit for bit, in the answerer's order."""
    with parties(ground) as p:
        call = Call(p, "all", [PCMU, G722], [G722, PCMU])
        legs = call.item()
        assert call.answered == {"G722/8000": 9, "PCMU/8000": 0, "telephone-event/8000": 101}, call.answered
        for leg in legs.values():
            assert (leg["codec"], leg["transcoded"], leg["room"]) == ("G722", False, None), leg
            assert leg["codec_why"] == "both have G722", leg
        rtp.talk(call.one, call.two, call.to_two, call.to_one, payload_type=9)
        call.hang_up()


def test_offers_are_ordered(ground):
    """prefer, offer and strip of the trunk that is called."""
    with parties(ground) as p:
        call = Call(p, "wide", [PCMU, PCMA, GSM], [G722])
        assert list(call.offered) == ["opus/48000/2", "PCMU/8000", "GSM/8000", "G722/8000", "telephone-event/8000",
                                      "telephone-event/48000"], call.offered
        assert call.answered == {"PCMU/8000": 0, "telephone-event/8000": 101}, call.answered
        legs = call.item()
        assert "G722" in legs["caller"]["codec_why"] and "PCMU" in legs["caller"]["codec_why"], legs["caller"]
        call.hang_up()


def test_a_route_has_its_own(ground):
    """Its codecs stand instead of its trunk's, which passes on only."""
    with parties(ground) as p:
        call = Call(p, "own", [PCMU], [G722])
        assert call.item()["callee"]["transcoded"]
        call.hang_up()


def test_nothing_fits(ground):
    """488 to the caller, with its reason; the callee is let go."""
    with parties(ground) as p:
        one, two = p.end(True), p.end(False)
        call = p.a.invite(calls.ENGINE, "pass", ends.sdp(netns.CALLER, one.port, [PCMU]))
        other = p.b.wait_invite()
        assert list(formats_of(other.invite)) == ["PCMU/8000", "telephone-event/8000"], formats_of(other.invite)
        other.reply(200, ends.sdp(netns.CALLEE, two.port, [PCMA]))
        p.b.expect("ACK")
        refused = call.progress(488)
        call.ack_failure(refused)
        bye = p.b.expect("BYE")
        sippeer.answer_to(p.b, bye, 200)
        record = ground.engine.record_of(call.call_id)
        assert record["cause"]["reason"] == "sdp_refused" and "codec" in record["cause"]["message"], record["cause"]


def test_early_media(ground):
    """A 183 with another codec: what the callee plays is heard before anybody answers."""
    said = spoken()[:2 * ends.RATE]
    with parties(ground) as p:
        one, two = p.end(True), p.end(False)
        call = p.a.invite(calls.ENGINE, "all", ends.sdp(netns.CALLER, one.port, [PCMU]))
        other = p.b.wait_invite()
        answer = ends.sdp(netns.CALLEE, two.port, [G722], [formats_of(other.invite)["G722/8000"]])
        other.reply(183, answer)
        early = call.progress(183)
        line = Line(two, other.invite.media(), one, G722.encode(said), 9, 8000)
        run_lines([line])
        check_line(line, 0, 8000)
        assert len(line.got) > 25, f"{len(line.got)} packets of early media"
        other.reply(200, answer)
        final = call.progress(200)
        assert final.media() == early.media()
        call.ack()
        other.take_ack()
        call.bye()
        other.take_bye()
        p.a.expect(200, method="BYE")


def test_ptimes(ground):
    """Each side gets packets as long as it said."""
    said = spoken()
    with parties(ground) as p:
        call = Call(p, "all", [PCMU], [G722], {"ptime": 30}, {"ptime": 60})
        lines = [Line(call.one, call.to_two, call.two, PCMU.encode(said, 30), 0, 8000, 30),
                 Line(call.two, call.to_one, call.one, G722.encode(said, 60), 9, 8000, 60)]
        run_lines(lines)
        call.hang_up()
    check_line(lines[0], 9, 8000, 60)
    check_line(lines[1], 0, 8000, 30)
    for line, codec in ((lines[0], G722), (lines[1], PCMU)):
        result = ends.compare(ground.bed, f"ptime-{codec}", said, codec.decode([packet.payload for packet in line.got]))
        assert result["gaps"] == 0 and abs(result["level_db"]) < 1, result


def test_digits_beside(ground):
    """telephone-event at 48000 beside Opus and at 8000 beside G.711: the same digits, as long as they were."""
    digits = "15*#9"
    with parties(ground) as p:
        call = Call(p, "all", [OPUS], [PCMU], {"events": ((110, 48000), (101, 8000))}, {"events": ((96, 8000),)})
        assert "telephone-event/48000" in call.answered and "telephone-event/8000" not in call.answered, call.answered
        ways = [(call.one, call.to_two, call.two, 110, 48000, 96, 8000), (call.two, call.to_one, call.one, 96, 8000, 110, 48000)]
        for sender, to, receiver, number, clock, heard_as, heard_clock in ways:
            seq, ts = 1, 1000
            for digit in digits:
                for marker, payload in rtp.digit_packets(digit, clock // 10, clock // 50):
                    sender.rtp.sendto(rtp.build(marker, number, seq, ts, 0x9999, payload), to)
                    seq += 1
                    time.sleep(0.02)
                ts += clock // 5
            got = [rtp.read(data) for data, _ in receiver.until(receiver.rtp, 5 * 7, 1)]
            assert {packet.payload_type for packet in got} == {heard_as}, got[0]
            assert rtp.digits_in(got, heard_as) == digits, rtp.digits_in(got, heard_as)
            ends_of = [packet.payload for packet in got if packet.payload[1] & 0x80]
            assert len(ends_of) == 3 * len(digits)
            assert {payload[2] << 8 | payload[3] for payload in ends_of} == {heard_clock // 10}
        call.hang_up()


def test_a_running_call_changes(ground):
    """Relayed, transcoded after a re-INVITE, relayed again: the callee hears one line, without a jump in sequence or SSRC,
    and its timestamps go on by the time that passed."""
    with parties(ground) as p:
        call = Call(p, "all", [PCMU, G722], [PCMU])
        line = {"seq": 65530, "ts": 4294960000, "ssrc": 0x4444}
        speech_ulaw = speech.frames(speech.prompt("demo-congrats"), 2)[60]
        heard = ten_of(line, call.one, call.two, call.to_two, 0, 0, speech_ulaw)
        assert len(heard) == 10 and not call.item()["caller"]["transcoded"]
        for codec, number in ((G722, 9), (PCMU, 0)):
            request = call.call.send("INVITE", 2 if codec is G722 else 3,
                                     ends.sdp(netns.CALLER, call.one.port, [codec], session=1000 + call.one.port).replace(
                                         " 1 IN IP4", f" {2 if codec is G722 else 3} IN IP4"))
            asked = p.b.expect("INVITE")
            assert "PCMU/8000" in formats_of(asked), f"what it has is not offered any more:\n{asked}"
            reply_to(p.b, asked, ends.sdp(netns.CALLEE, call.two.port, [PCMU]))
            p.b.expect("ACK")
            granted = p.a.expect(200, method="INVITE")
            assert list(formats_of(granted))[0] == codec.rtpmap, granted
            call.call.send("ACK", request.cseq)
            call.call.cseq = request.cseq
            time.sleep(0.2)
            assert call.item()["caller"]["transcoded"] == (codec is G722)
            payload = G722.encode(spoken())[40] if codec is G722 else speech_ulaw
            more = ten_of(line, call.one, call.two, call.to_two, number, 0, payload)
            assert len(more) >= (6 if codec is G722 else 10), f"{len(more)} packets after the change to {codec}"
            heard += more
        call.hang_up()
    assert len({packet.ssrc for packet in heard}) == 1, "the SSRC changed"
    assert {packet.payload_type for packet in heard} == {0}
    for before, after in zip(heard, heard[1:]):
        assert (after.sequence - before.sequence) & 0xffff == 1, f"{before.sequence}, then {after.sequence}"
        assert 0 < (after.timestamp - before.timestamp) & 0xffffffff < 60 * 8000, f"{before.timestamp}, then {after.timestamp}"


def reply_to(peer, request, body):
    base = [("Via", via) for via in request.all("via")]
    base += [(name, request.get(name.lower())) for name in ("From", "To", "Call-ID", "CSeq")]
    return peer.send("SIP/2.0 200 OK", base + [("Contact", f"<sip:bob@{peer.host}:{peer.port}>")], body, request.source)


def test_losses_and_jitter(ground):
    """One packet in twenty lost, each up to 60 ms late: each is accounted for, and what leaves has no hole."""
    chance, said = random.Random(6), spoken()
    with parties(ground) as p:
        call = Call(p, "own", [PCMU], [G722])
        line = Line(call.one, call.to_two, call.two, PCMU.encode(said), 0, 8000)
        due = sorted((n * 0.02 + chance.uniform(0, 0.06), n) for n in range(len(line.payloads)) if n < 5 or chance.random() > 0.05)
        began = time.monotonic()
        for when, n in due:
            time.sleep(max(0, began + when - time.monotonic()))
            line.sender.rtp.sendto(rtp.build(n == 0, 0, n, 160 * n, 5, line.payloads[n]), line.to)
            line.take()
        time.sleep(0.6)
        line.take()
        leg = call.item()["caller"]
        room = leg["room"]
        call.hang_up()
    check_line(line, 9, 8000)
    assert leg["rx"]["packets"] == len(due), f"{leg['rx']} of {len(due)} sent"
    assert room["played"] + room["late"] + room["discarded"] == len(due), f"{room} of {len(due)} sent"
    assert room["concealed"] > 0 and room["depth_us"] > 0, room
    heard = G722.decode([packet.payload for packet in line.got])
    assert ends.compare(ground.bed, "losses", said, heard)["gaps"] == 0


def test_opus_party_reports(ground):
    """Both parties get RTCP that speaks of what they sent and were sent."""
    said = spoken()
    with parties(ground) as p:
        call = Call(p, "all", [OPUS], [PCMU])
        lines = [Line(call.one, call.to_two, call.two, OPUS.encode(said), OPUS.type, 48000),
                 Line(call.two, call.to_one, call.one, PCMU.encode(said), 0, 8000)]
        run_lines(lines, 0.3)
        for end, line, back in ((call.one, lines[0], lines[1]), (call.two, lines[1], lines[0])):
            reports = end.until(end.rtcp, 1, 8)
            assert reports, f"no RTCP for {end.address}"
            data, source = reports[0]
            assert rtp.rtcp_types(data) == [200, 202], rtp.rtcp_types(data)
            ours, about = int.from_bytes(data[4:8], "big"), int.from_bytes(data[28:32], "big")
            assert about == line.ssrc, f"a report about {about:#x}, not {line.ssrc:#x}"
            assert {packet.ssrc for packet in back.got} == {ours}, "the SR is not about the line that came"
            assert data[32] == 0, "it says that packets were lost"
        call.hang_up()


def phone_call(ground, name, module, codec, rate):
    """baresip calls baresip: one speaks PCMU, the other one another codec. What each was sent is what the other said."""
    bed, wide = ground.bed, ground.bed.path(f"{name}.wav")
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", speech.prompt("demo-instruct"), "-ar", str(rate), "-ac", str(codec.channels), wide], check=True)
    captures = [capture.Capture(bed, bed.caller, f"{name}-a", "udp portrange 10000-10100"),
                capture.Capture(bed, bed.callee, f"{name}-b", "udp portrange 10000-10100")]
    with contextlib.ExitStack() as stack:
        alice = stack.enter_context(contextlib.closing(Baresip(
            bed, bed.caller, netns.at_caller(3), name + "-alice", speech.prompt("demo-congrats"))))
        stack.callback(shutil.rmtree, bed.path("baresip-bob"), ignore_errors=True)
        bob = stack.enter_context(contextlib.closing(Baresip(
            bed, bed.callee, netns.at_callee(3), "bob", wide, answer=True, module=module, codec=codec.rtpmap, rate=rate)))
        alice.command("dial", f"sip:bob@{netns.ENGINE_A}")
        alice.wait_event("CALL_ESTABLISHED")
        bob.wait_event("CALL_ESTABLISHED")
        time.sleep(SECONDS + 1)
        alice.command("hangup")
        bob.wait_event("CALL_CLOSED")
    at_alice, at_bob = [c.stop() for c in captures]
    assert [c.dropped for c in captures] == [0, 0], "tcpdump itself lost packets: nothing can be said"
    for sent, heard, one, two in ((at_alice, at_bob, PCMU, codec), (at_bob, at_alice, codec, PCMU)):
        near, far = (netns.ENGINE_A, netns.ENGINE_B) if one is PCMU else (netns.ENGINE_B, netns.ENGINE_A)
        sent, heard = capture.streams(sent, destination=near), capture.streams(heard, source=far)
        assert (len(sent), len(heard)) == (1, 1), f"{len(sent)} and {len(heard)} streams"
        said, got = [[rtp.read(data).payload for data in next(iter(streams.values()))] for streams in (sent, heard)]
        result = ends.compare(bed, f"{name}-{one}", one.decode(said), two.decode(got))
        assert result["gaps"] == 0 and abs(result["level_db"]) < 1 and result["distance_db"] < 4 and result["seconds"] > 1, \
            f"{one} to {two}: {result}"


def test_baresip_opus(ground):
    phone_call(ground, "opus", "opus", OPUS, 48000)


def test_baresip_g722(ground):
    phone_call(ground, "g722", "g722", G722, 16000)


def test_sipp(ground):
    """SIPp plays speech and digits as PCMU with RFC 4733; GSM and the same digits arrive."""
    bed, digits = ground.bed, "12#"
    packets = speech.stream(speech.prompt("demo-congrats"), 7, digits, 0x1111, first_digit_s=4)
    speech.write_pcap(bed.path("caller.pcap"), packets)
    sent = [rtp.read(data) for _, data in packets]
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(sippeer.Peer(bed.callee, netns.CALLEE))
        two = rtp.End(bed.callee, netns.CALLEE, next(ground.ports))
        stack.callback(two.close)
        caller = Sipp(bed, bed.caller, "uac_speech", netns.at_caller(4), "codecs", to=f"{netns.ENGINE_A}:5060", user="all")
        other = b.wait_invite()
        other.reply(200, ends.sdp(netns.CALLEE, two.port, [GSM], [formats_of(other.invite)["GSM/8000"]]))
        other.take_ack()
        got = [rtp.read(data) for data, _ in two.until(two.rtp, 1000, 9)]
        bye = b.expect("BYE", timeout_s=12)
        sippeer.answer_to(b, bye, 200)
        caller.finish()
    assert rtp.digits_in(got, 101) == digits, rtp.digits_in(got, 101)
    said = PCMU.decode([packet.payload for packet in sent if packet.payload_type == 0][:195])
    heard = GSM.decode([packet.payload for packet in got if packet.payload_type == 3][:195])
    result = ends.compare(bed, "sipp", said, heard)
    alone = ends.compare(bed, "sipp-alone", said, GSM.decode(GSM.encode(said)))
    assert result["gaps"] == 0 and result["seconds"] > 1 and abs(result["level_db"] - alone["level_db"]) < 1 and \
        result["distance_db"] < alone["distance_db"] + 1, f"{result}, and without an engine {alone}"


def after_all_is_given_back(ground):
    ground.engine.no_leaks()


SUITES = [Suite("codecs", ground, [
    test_every_pair, test_what_both_have_passes, test_offers_are_ordered, test_a_route_has_its_own, test_nothing_fits,
    test_early_media, test_ptimes, test_digits_beside, test_a_running_call_changes, test_losses_and_jitter,
    test_opus_party_reports, test_baresip_opus, test_baresip_g722, test_sipp], after=[after_all_is_given_back])]
