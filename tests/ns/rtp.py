# SPDX-License-Identifier: BSD-3-Clause
"""RTP and RTCP packets: build, read, compare. A stream is what one SSRC sent, in order of arrival."""

import collections
import hashlib
import select
import struct
import time

from netns import NAT, SO_TIMESTAMPNS, udp_socket

Packet = collections.namedtuple("Packet", "marker payload_type sequence timestamp ssrc payload")
DIGITS = "0123456789*#ABCD"


def build(marker, payload_type, sequence, timestamp, ssrc, payload):
    return struct.pack("!BBHII", 0x80, (0x80 if marker else 0) | payload_type, sequence & 0xffff,
                       timestamp & 0xffffffff, ssrc) + payload


def is_rtcp(data):
    return len(data) >= 8 and data[0] >> 6 == 2 and 192 <= data[1] <= 223


def read(data):
    """The RTP packet in a UDP payload, or None where there is none."""
    if len(data) < 12 or data[0] >> 6 != 2 or is_rtcp(data):
        return None
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    at = 12 + 4 * (first & 15)
    if first & 0x10 and len(data) >= at + 4:
        at += 4 + 4 * struct.unpack_from("!H", data, at + 2)[0]
    return Packet(bool(second & 0x80), second & 0x7f, sequence, timestamp, ssrc, data[at:])


def rtcp_types(data):
    """The packet types of a compound RTCP packet, e.g. [200, 202]."""
    types, at = [], 0
    while at + 4 <= len(data):
        types.append(data[at + 1])
        at += 4 + 4 * struct.unpack_from("!H", data, at + 2)[0]
    return types if at == len(data) else []


def sender_report(ssrc, timestamp, packets, octets, name):
    """SR and SDES in one compound packet (RFC 3550 6.1)."""
    now = time.time() + 2208988800
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, int(now), int(now % 1 * 2**32), timestamp & 0xffffffff,
                         packets, octets)
    item = struct.pack("!IBB", ssrc, 1, len(name)) + name.encode() + b"\0"
    item += b"\0" * (-len(item) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(item) // 4) + item


def receiver_report(ssrc, about, highest, name):
    report = struct.pack("!BBHIIIIIII", 0x81, 201, 7, ssrc, about, 0, highest, 0, 0, 0)
    item = struct.pack("!IBB", ssrc, 1, len(name)) + name.encode() + b"\0"
    item += b"\0" * (-len(item) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(item) // 4) + item


def compare(sent, received):
    """Hold what was received beside what was sent: two lists of RTP packets as bytes. Every byte counts.
    Returns: {sent, received, lost, extra, reordered, same}; same is true only where nothing is lost, added or moved."""
    missing = collections.Counter(sent)
    missing.subtract(collections.Counter(received))
    lost = sum(n for n in missing.values() if n > 0)
    extra = -sum(n for n in missing.values() if n < 0)
    return {"sent": len(sent), "received": len(received), "lost": lost, "extra": extra,
            "reordered": lost == extra == 0 and sent != received, "same": len(sent) > 0 and sent == received}


def jitter_ms(packets, clock_hz=8000):
    """RFC 3550 6.4.1 over (arrival_s, Packet) of one stream."""
    jitter, before = 0.0, None
    for arrival, packet in packets:
        transit = arrival * clock_hz - packet.timestamp
        if before is not None:
            jitter += (min(abs(transit - before), clock_hz) - jitter) / 16
        before = transit
    return jitter * 1000 / clock_hz


def lost_in_sequence(packets):
    """Packets that are missing between the first and the last sequence number."""
    if not packets:
        return 0
    extended, high = [], packets[0].sequence
    for packet in packets:
        high += (packet.sequence - high + 0x8000) % 0x10000 - 0x8000
        extended.append(high)
    return max(extended) - min(extended) + 1 - len(set(extended))


def digits_in(packets, payload_type):
    """The digits of a stream by RFC 4733: an event is known by its timestamp."""
    seen, digits = set(), ""
    for packet in packets:
        if packet.payload_type == payload_type and len(packet.payload) >= 4 and packet.timestamp not in seen:
            seen.add(packet.timestamp)
            digits += DIGITS[packet.payload[0]] if packet.payload[0] < 16 else "?"
    return digits


def digit_packets(digit, duration=800, step=160, volume=10):
    """(marker, payload) of one digit by RFC 4733, the end three times; one packet each `step` of the clock."""
    event = DIGITS.index(digit)
    out = [(n == step, struct.pack("!BBH", event, volume, n)) for n in range(step, duration, step)]
    return out + [(False, struct.pack("!BBH", event, 0x80 | volume, duration))] * 3


def noise(ssrc, n, size=160):
    """Payload number n of a stream: looks random, is known."""
    return hashlib.shake_128(struct.pack("!II", ssrc, n)).digest(size)


class End:
    """One party's media end on real sockets: RTP on an even port, RTCP above it."""

    def __init__(self, namespace, address, port):
        self.address, self.port, self.known = address, port, not (NAT and address.startswith("192.168."))
        self.rtp = udp_socket(namespace, address, port, 1 << 20)
        self.rtcp = udp_socket(namespace, address, port + 1, 1 << 20)

    def close(self):
        self.rtp.close()
        self.rtcp.close()

    def drain(self, sock):
        out = []
        while select.select([sock], [], [], 0)[0]:
            data, source = sock.recvfrom(2048)
            out.append((data, source[:2]))
        return out

    def until(self, sock, count, timeout_s):
        """Datagrams as (data, source) until there are `count`."""
        out, end = [], time.monotonic() + timeout_s
        while len(out) < count:
            left = end - time.monotonic()
            if left <= 0 or not select.select([sock], [], [], left)[0]:
                break
            data, source = sock.recvfrom(2048)
            out.append((data, source[:2]))
        return out


def introduce(sender, to, ssrc, sequence, timestamp=0):
    """A party behind NAT is heard only from its third packet on, and is sent to only from then on: before what is
    counted (from `sequence` on) it says something that is not."""
    if sender.known:
        return
    for n in range(-5, 0):
        sender.rtp.sendto(build(False, 0, sequence + n, timestamp + 160 * n, ssrc, b"hello" * 32), to)
        time.sleep(0.02)
    sender.rtcp.sendto(sender_report(ssrc, 0, 5, 800, "party"), (to[0], to[1] + 1))
    time.sleep(0.1)
    sender.known = True


def talk(one, two, to_one, to_two, count=10, payload_type=0, interval_s=0.02, start=0):
    """Both ends send `count` RTP packets and one RTCP compound to each other through whatever lies between.
    to_one, to_two: (ip, port) where one's and two's packets go. Fails where a byte, a packet or a source is not right."""
    ends = ((one, two, to_one, 0x11110000 + one.port), (two, one, to_two, 0x22220000 + two.port))
    sent = {}
    for sender, _, to, ssrc in ends:
        introduce(sender, to, ssrc, 65530 + start, 4294967000 + 160 * start)
    for end in (one, two):
        end.drain(end.rtp)
        end.drain(end.rtcp)
    for sender, _, _, ssrc in ends:
        sent[ssrc] = [build(n == 0 and start == 0, payload_type, 65530 + start + n, 4294967000 + 160 * (start + n), ssrc,
                            noise(ssrc, start + n)) for n in range(count)]
    for n in range(count):
        for sender, _, to, ssrc in ends:
            sender.rtp.sendto(sent[ssrc][n], to)
        time.sleep(interval_s)
    for sender, _, (ip, port), ssrc in ends:
        sender.rtcp.sendto(sender_report(ssrc, 0, count, 160 * count, "party"), (ip, port + 1))
    for sender, receiver, to, ssrc in ends:
        arrived = receiver.until(receiver.rtp, count, 2)
        result = compare(sent[ssrc], [data for data, _ in arrived])
        assert result["same"], f"RTP from {sender.address}:{sender.port} did not arrive bit-exact: {result}"
        back = to_two if receiver is two else to_one
        for _, source in arrived:
            assert source == back, f"RTP for {receiver.address} came from {source}, its SDP said {back}"
        reports = receiver.until(receiver.rtcp, 1, 2)
        assert reports, f"no RTCP from {sender.address} reached {receiver.address}"
        assert 200 in rtcp_types(reports[0][0]), f"RTCP arrived without its sender report: {reports[0][0].hex()}"
