# SPDX-License-Identifier: BSD-3-Clause
"""Packets as they passed an interface: tcpdump writes them, this reads them. tcpdump tells how many it lost itself, so
that its loss is never taken for the engine's."""

import collections
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import rtp

Datagram = collections.namedtuple("Datagram", "time source destination data")  # (ip, port), UDP payload


def pcap_frames(file):
    """(time_s, frame) of each record of a pcap stream (microseconds or nanoseconds, Ethernet, this machine's order)."""
    head = file.read(24)
    if len(head) < 24:
        return
    magic = struct.unpack("=I", head[:4])[0]
    if magic not in (0xa1b2c3d4, 0xa1b23c4d):
        raise ValueError(f"not a pcap stream of this machine: magic {magic:#x}")
    unit = 1e-6 if magic == 0xa1b2c3d4 else 1e-9
    while True:
        record = file.read(16)
        if len(record) < 16:
            return
        seconds, part, length, _ = struct.unpack("=IIII", record)
        frame = file.read(length)
        if len(frame) < length:
            return
        yield seconds + part * unit, frame


def datagram(time_s, frame):
    """The UDP datagram in an Ethernet frame, or None."""
    if len(frame) >= 62 and frame[12:14] == b"\x86\xdd" and frame[20] == 17:
        source_port, port, length = struct.unpack_from("!HHH", frame, 54)
        ips = [socket.inet_ntop(socket.AF_INET6, frame[at:at + 16]) for at in (22, 38)]
        return Datagram(time_s, (ips[0], source_port), (ips[1], port), frame[62:54 + length])
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    at = 14 + 4 * (frame[14] & 15)
    if struct.unpack_from("!H", frame, 20)[0] & 0x3fff:
        return None
    source_port, port, length = struct.unpack_from("!HHH", frame, at)
    source = ".".join(map(str, frame[26:30])), source_port
    return Datagram(time_s, source, (".".join(map(str, frame[30:34])), port), frame[at + 8:at + length])


class Capture:
    """Everything that passes one interface, from the call until stop(). live: called for each datagram as it passes.
    bulk: for many packets; cheaper, but stop() must wait until the kernel has handed over its last block."""

    def __init__(self, bed, namespace, name, filter_text="udp", live=None, interface="eth0", bulk=False):
        self.bulk = bulk
        self.bed, self.file, self.live, self.found = bed, bed.path(name + ".pcap"), live, None
        command = ["tcpdump", "-i", interface, "-n", "-p", "-s", "2048", "-B", "65536", "-Z", "root"]
        command += ([] if bulk else ["--immediate-mode", "-U"]) + ["-w", "-" if live else self.file]
        self.process = bed.start(namespace, command + [filter_text], stdout=subprocess.PIPE if live else None,
                                 stderr=subprocess.PIPE)
        self.said = b""
        while b"listening on" not in self.said:
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError(f"tcpdump did not start: {self.said.decode()}")
            self.said += line
        if live:
            self.thread = threading.Thread(target=self._read_live, daemon=True)
            self.thread.start()

    def _read_live(self):
        self.found = []
        for time_s, frame in pcap_frames(self.process.stdout):
            got = datagram(time_s, frame)
            if got:
                self.found.append(got)
                self.live(got)

    def stop(self):
        """Returns: all datagrams. Fails where tcpdump itself lost one: then nothing can be said about anyone else."""
        time.sleep(1.5 if self.bulk else 0.1)
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.stderr.read()
        self.process.wait(10)
        if self.live:
            self.thread.join(5)
        else:
            with open(self.file, "rb") as file:
                self.found = [d for d in (datagram(*frame) for frame in pcap_frames(file)) if d]
        self.dropped = int(re.search(rb"(\d+) packets? dropped by kernel", self.said).group(1))
        return self.found


def streams(datagrams, source=None, destination=None):
    """RTP as {ssrc: [UDP payload]}, only from or to that address where one is given."""
    out = collections.OrderedDict()
    for got in datagrams:
        if (source and got.source[0] != source) or (destination and got.destination[0] != destination):
            continue
        if got.source[1] == 5060 or got.destination[1] == 5060:
            continue
        packet = rtp.read(got.data)
        if packet:
            out.setdefault(packet.ssrc, []).append(got.data)
    return out


def compare_streams(sent, received):
    """Hold all streams that were sent beside all that arrived ({ssrc: [bytes]}).
    Returns: {streams, sent, received, lost, extra, reordered, different: [ssrc]}."""
    total = {"streams": len(sent), "sent": 0, "received": 0, "lost": 0, "extra": 0, "reordered": 0, "different": []}
    for ssrc in list(sent) + [s for s in received if s not in sent]:
        result = rtp.compare(sent.get(ssrc, []), received.get(ssrc, []))
        for key in ("sent", "received", "lost", "extra", "reordered"):
            total[key] += int(result[key])
        if not result["same"]:
            total["different"].append(ssrc)
    return total
