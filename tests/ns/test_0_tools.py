# SPDX-License-Identifier: BSD-3-Clause
"""The tools' own tests, without an engine: the parties understand each other over a plain router, and each check of the
other files fails on input that was broken on purpose."""

import contextlib
import io
import struct
import time

import capture
import engine
import load
import netns
import rtp
import sippeer
from calls import check_body, near
from run import Suite
from sipp import Sipp


class Router:
    def __init__(self, bed):
        self.bed = bed


@contextlib.contextmanager
def router():
    """The middle namespace only routes: whoever calls reaches the callee directly."""
    with netns.Bed(20) as bed:
        bed.run(bed.engine, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        yield Router(bed)


def fails(fn, *args):
    try:
        fn(*args)
    except AssertionError:
        return True
    return False


def pair(context, uac, uas, number):
    bed = context.bed
    a, b = f"10.77.1.{number}", f"10.77.2.{number}"
    callee = Sipp(bed, bed.callee, uas, b, f"tool{number}")
    time.sleep(0.4)
    caller = Sipp(bed, bed.caller, uac, a, f"tool{number}", to=f"{b}:5060", user="bob")
    caller.finish()
    callee.finish()


def test_sipp_caller_hangs_up(context):
    pair(context, "uac_bye", "uas_bye", 3)


def test_sipp_callee_hangs_up(context):
    pair(context, "uac_hung_up", "uas_hangs_up", 4)


def test_sipp_cancel(context):
    pair(context, "uac_cancel", "uas_cancelled", 5)


def test_sipp_busy(context):
    pair(context, "uac_busy", "uas_busy", 6)


def test_sipp_early_media(context):
    pair(context, "uac_early", "uas_early", 7)


def test_sipp_late_offer(context):
    pair(context, "uac_late_offer", "uas_late_offer", 8)


def test_sipp_sees_a_wrong_answer(context):
    assert fails(pair, context, "uac_bye", "uas_busy", 9), "SIPp took 486 for 200"


def test_peer_call(context):
    bed = context.bed
    with sippeer.Peer(bed.caller, "10.77.1.10") as a, sippeer.Peer(bed.callee, "10.77.2.10") as b:
        one, two = rtp.End(bed.caller, "10.77.1.10", 7000), rtp.End(bed.callee, "10.77.2.10", 8000)
        call = a.invite(("10.77.2.10", 5060), "bob", sippeer.sdp("10.77.1.10", 7000))
        other = b.wait_invite()
        other.reply(180)
        other.reply(200, sippeer.sdp("10.77.2.10", 8000))
        call.progress(180)
        answer = call.progress(200)
        call.ack()
        other.take_ack()
        rtp.talk(one, two, answer.media(), other.invite.media())
        assert fails(rtp.talk, one, two, answer.media(), (other.invite.media()[0], 7998), 2), "talk saw RTP where none was"
        call.bye()
        other.take_bye()
        assert a.expect(200).method == "BYE"
        two.rtp.sendto(rtp.build(1, 0, 1, 1, 1, b"x"), other.invite.media())
        a.quiet(0.1)
        other.reply(486)
        assert fails(a.quiet, 0.3), "quiet did not see a message"
        one.close()
        two.close()


def test_capture(context):
    bed = context.bed
    at_caller = capture.Capture(bed, bed.caller, "tool-a")
    at_callee = capture.Capture(bed, bed.callee, "tool-b")
    one, two = netns.udp_socket(bed.caller, "10.77.1.11", 7000), netns.udp_socket(bed.callee, "10.77.2.11", 8000)
    for n in range(20):
        one.sendto(rtp.build(n == 0, 0, n, 160 * n, 77, rtp.noise(77, n)), ("10.77.2.11", 8000))
    assert all(two.recv(2048) for _ in range(20))
    time.sleep(0.3)
    sent, got = capture.streams(at_caller.stop(), source="10.77.1.11"), capture.streams(at_callee.stop(), destination="10.77.2.11")
    assert capture.compare_streams(sent, got)["different"] == [] and len(sent[77]) == 20
    for breakage in (lambda p: p[1:], lambda p: p[:-1], lambda p: p + p[-1:], lambda p: [p[1], p[0]] + p[2:],
                     lambda p: [p[0][:-1] + b"\xff\x00"] + p[1:], lambda p: [bytes([p[0][0], p[0][1] ^ 0x80]) + p[0][2:]] + p[1:],
                     lambda p: [p[0][:3] + b"\x09" + p[0][4:]] + p[1:], lambda p: []):
        assert capture.compare_streams(sent, {77: breakage(got[77])})["different"] == [77], "a broken stream went unseen"
    assert capture.compare_streams(sent, {**got, 78: got[77]})["different"] == [78], "a stream from nowhere went unseen"
    one.close()
    two.close()


def test_gauges_and_metrics(_):
    good = "# HELP x y\n" + "".join(f"{name} 0\n" for name in engine.GAUGES)
    assert engine.leaks(engine.read_metrics(good)) == {}
    assert engine.leaks(engine.read_metrics(good.replace("kedge_legs 0", "kedge_legs 1"))) == {"kedge_legs": 1}
    assert engine.leaks(engine.read_metrics(good.replace("kedge_taps 0\n", ""))) == {"kedge_taps": "missing"}
    metrics = engine.read_metrics('kedge_drops_total{reason="no_leg"} 3\nkedge_drops_total{reason="stun"} 4\n')
    assert engine.drops(metrics, "no_leg") == 3 and engine.total_drops(metrics) == 7
    events = engine.read_events('id: 7\nevent: call.state\ndata: {"seq": 7}\n\n:ping\n\nid: 8\nevent: x\ndata: {}\n\n')
    assert [e["id"] for e in events] == [7, 8] and events[0]["event"] == "call.state"


def test_message_checks(_):
    good = ("INVITE sip:bob@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
            "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.2>\r\n"
            "Content-Length: 0\r\n\r\n")
    sippeer.Message(good.encode()).check()
    for line in good.split("\r\n")[1:9]:
        assert fails(lambda text: sippeer.Message(text.encode()).check(), good.replace(line + "\r\n", "")) or "CSeq" in line
    for old, new in (("Length: 0", "Length: 4"), (";tag=1", ""), ("z9hG4bK1", "1"), ("1 INVITE", "1 BYE")):
        assert fails(lambda text: sippeer.Message(text.encode()).check(), good.replace(old, new)), new


def test_rtp_measures(_):
    packets = [rtp.Packet(False, 0, (65534 + n) & 0xffff, 160 * n, 1, b"") for n in range(6)]
    assert rtp.lost_in_sequence(packets) == 0 and rtp.lost_in_sequence(packets[:2] + packets[3:]) == 1
    assert rtp.jitter_ms([(0.02 * n, p) for n, p in enumerate(packets)]) < 0.001
    assert rtp.jitter_ms([(0.02 * n + 0.005 * (n % 2), p) for n, p in enumerate(packets)]) > 1
    events = [rtp.Packet(m, 101, 0, start, 1, payload) for start, digit in ((100, "4"), (2000, "4"), (9000, "#"))
              for m, payload in rtp.digit_packets(digit)]
    assert rtp.digits_in(events, 101) == "44#" and rtp.digits_in(events, 96) == ""
    assert rtp.rtcp_types(rtp.sender_report(1, 2, 3, 4, "name")) == [200, 202]
    assert rtp.rtcp_types(rtp.sender_report(1, 2, 3, 4, "name")[:-4]) == []


def test_call_checks(_):
    near([.5, 1.52], [.5, 1.5], "good")
    for times in ([.5], [.5, 2.1], [.02, 1.5], [.5, 1.0]):
        assert fails(near, times, [.5, 1.5], "bad"), times
    ours = "v=0\r\nc=IN IP4 10.77.2.1\r\nm=audio 16386 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    head = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n"
    check_body(sippeer.Message((head + ours).encode()), "10.77.2.1")
    for old, new in (("16386", "16387"), ("16386", "9000"), ("10.77.2.1", "10.77.1.2"), ("a=rtpmap:101", "a=x:101"),
                     ("v=0", "v=0\r\no=- 1 1 IN IP4 10.77.1.2")):
        assert fails(check_body, sippeer.Message((head + ours.replace(old, new)).encode()), "10.77.2.1"), (old, new)


def test_load_judge(_):
    fine = dict.fromkeys(("bad_header", "bad_payload", "duplicate", "late", "strange_ssrc", "strange_source", "rtcp_bad",
                          "socket_drops"), 0)
    fine.update(call=0, sent=10, received=10, rtcp_sent=2, rtcp_received=2)
    load.judge([fine], [fine], 10, "good")
    for key, value in fine.items():
        if key not in ("call", "sent", "rtcp_sent"):
            assert fails(load.judge, [fine], [{**fine, key: value - 1 if value else 1}], 10, "bad"), key
    assert fails(load.judge, [{**fine, "sent": 9}], [fine], 10, "bad")
    assert fails(load.judge, [{**fine, "rtcp_sent": 0}], [{**fine, "rtcp_received": 0}], 10, "bad")


def test_pcap_reader(_):
    frame = bytes(12) + b"\x08\x00" + bytes([0x45, 0]) + struct.pack("!H", 33) + bytes(5) + bytes([17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    frame += struct.pack("!HHHH", 1000, 2000, 13, 0) + b"hello" + b"padding"
    file = struct.pack("=IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 2048, 1) + struct.pack("=IIII", 5, 500000, len(frame), len(frame)) + frame
    [got] = [capture.datagram(*f) for f in capture.pcap_frames(io.BytesIO(file + b"\0\0\0"))]
    assert got == capture.Datagram(5.5, ("1.2.3.4", 1000), ("5.6.7.8", 2000), b"hello")


SUITES = [Suite("tools", router, [test_sipp_caller_hangs_up, test_sipp_callee_hangs_up, test_sipp_cancel, test_sipp_busy,
                                  test_sipp_early_media, test_sipp_late_offer, test_sipp_sees_a_wrong_answer, test_peer_call,
                                  test_capture, test_gauges_and_metrics, test_message_checks, test_rtp_measures, test_call_checks, test_load_judge,
                                  test_pcap_reader], parallel=True)]
