# SPDX-License-Identifier: BSD-3-Clause
"""Calls between phones: two baresips with packaged speech and digits, and SIPp with both from a file."""

import contextlib
import time

import capture
import engine
import netns
import rtp
import speech
from baresip import Baresip
from run import Suite
from sipp import Sipp


class Phones:
    def __init__(self, bed):
        self.bed, self.engine = bed, engine.Engine(bed).start()


@contextlib.contextmanager
def phones():
    with netns.Bed() as bed:
        context = Phones(bed)
        yield context
        context.engine.stop()


def both_ways(bed, talk):
    """Capture at both ends while talk() runs; every RTP packet that left one end before a BYE reached the other as it was.
    Returns: the streams of the two directions, as they arrived."""
    captures = [capture.Capture(bed, namespace, f"phones-{namespace[-1]}") for namespace in (bed.caller, bed.callee)]
    talk()
    at_caller, at_callee = [c.stop() for c in captures]
    assert [c.dropped for c in captures] == [0, 0], "tcpdump itself lost packets: nothing can be said"
    bye = min((d.time for d in at_caller + at_callee if d.data.startswith(b"BYE ")), default=float("inf"))
    out = []
    for source, there, sent, arrived in ((netns.CALLER, netns.CALLEE, at_caller, at_callee),
                                         (netns.CALLEE, netns.CALLER, at_callee, at_caller)):
        late = {d.data for d in sent if d.time >= bye}  # may arrive, or come too late
        sent = capture.streams((d for d in sent if d.time < bye), source=source)
        arrived = capture.streams((d for d in arrived if d.data not in late), destination=there)
        assert sent, f"{source} sent no RTP"
        result = capture.compare_streams(sent, arrived)
        assert not result["different"], f"from {source}: {result}"
        out.append(arrived)
    return out


def digits_of(streams):
    return "".join(rtp.digits_in([rtp.read(data) for data in packets], 101) for packets in streams.values())


def baresip_call(bed, to, hang_up):
    with contextlib.ExitStack() as stack:
        caller = stack.enter_context(contextlib.closing(
            Baresip(bed, bed.caller, netns.CALLER, "alice", speech.prompt("demo-congrats"))))
        callee = stack.enter_context(contextlib.closing(
            Baresip(bed, bed.callee, netns.CALLEE, "bob", speech.prompt("demo-instruct"), answer=True)))
        there, back = talk_of(bed, caller, callee, to, hang_up)
    for name, streams in (("caller", there), ("callee", back)):
        count = sum(len(packets) for packets in streams.values())
        assert count > 100, f"only {count} RTP packets from the {name}"
        spoken = {rtp.read(data).payload for packets in streams.values() for data in packets}
        assert len(spoken) > 50, f"the {name}'s speech is only {len(spoken)} different packets: silence?"
    assert (digits_of(there), digits_of(back)) == ("15", "9"), (digits_of(there), digits_of(back))


def talk_of(bed, caller, callee, to, hang_up):
    def talk():
        caller.command("dial", f"sip:bob@{to}")
        caller.wait_event("CALL_ESTABLISHED")
        callee.wait_event("CALL_ESTABLISHED")
        time.sleep(1)
        for phone, digits in ((caller, "15"), (callee, "9")):
            for digit in digits:
                phone.command("sndcode", digit)
                time.sleep(0.4)
        time.sleep(1.5)
        (caller if hang_up == "caller" else callee).command("hangup")
        (callee if hang_up == "caller" else caller).wait_event("CALL_CLOSED")
        time.sleep(0.3)

    return both_ways(bed, talk)


def test_baresip(context):
    baresip_call(context.bed, netns.ENGINE_A, "caller")
    record = context.engine.records()[-1]
    assert record["state"] == "disconnected", record


def test_sipp_speech_and_digits(context):
    bed = context.bed
    sent = {}
    for name, prompt, digits, ssrc in (("caller", "demo-congrats", "123#", 0x1111), ("callee", "demo-instruct", "987*", 0x2222)):
        packets = speech.stream(speech.prompt(prompt), 8, digits, ssrc)
        speech.write_pcap(bed.path(name + ".pcap"), packets)
        sent[ssrc] = [data for _, data in packets]

    def talk():
        callee = Sipp(bed, bed.callee, "uas_speech", netns.CALLEE, "speech")
        time.sleep(0.5)
        caller = Sipp(bed, bed.caller, "uac_speech", netns.CALLER, "speech", to=f"{netns.ENGINE_A}:5060", user="bob")
        caller.finish()
        callee.finish()

    there, back = both_ways(bed, talk)
    for ssrc, streams, digits in ((0x1111, there, "123#"), (0x2222, back, "987*")):
        assert list(streams) == [ssrc], f"strange streams: {list(streams)}"
        result = rtp.compare(sent[ssrc], streams[ssrc])
        assert result["same"], f"what arrived is not what was recorded: {result}"
        assert digits_of(streams) == digits


def after_phones_are_gone(context):
    context.engine.no_leaks()


SUITES = [Suite("phones", phones, [test_baresip, test_sipp_speech_and_digits], after=[after_phones_are_gone])]
