# SPDX-License-Identifier: BSD-3-Clause
"""A call as a ladder, drawn while it happens: caller | kedge | callee, an arrow for each message, a row for each digit."""

import threading
import time

import rtp
import sippeer

WIDTH = 30  # between two columns
LATE_S = 0.15  # two captures tell of one call: rows wait that long to be put in order
BLANK = " " * WIDTH


def arrow(text, to_right, line="-"):
    """`text` in an arrow of WIDTH characters."""
    text = f" {text[:WIDTH - 6]} "
    left = (WIDTH - 1 - len(text)) // 2
    body = line * left + text + line * (WIDTH - 1 - len(text) - left)
    return body + ">" if to_right else "<" + body


def label(message):
    text = message.method if message.is_request else message.start.split(" ", 1)[1]
    return text + " (SDP)" if message.body else text


class Ladder:
    """Datagrams seen at the caller's and at the callee's end go in by caller() and callee(); rows come out on show()."""

    def __init__(self, caller_ip, callee_ip, event_type=101):
        self.ips, self.event_type = (caller_ip, callee_ip), event_type
        self.lock, self.rows, self.began, self.seen = threading.Lock(), [], None, set()
        self.messages = self.digits = 0

    def caller(self, datagram):
        self.take(datagram, 0)

    def callee(self, datagram):
        self.take(datagram, 1)

    def take(self, datagram, side):
        outward = datagram.source[0] == self.ips[side]  # from the party to kedge
        to_right = outward == (side == 0)
        if 5060 in (datagram.source[1], datagram.destination[1]):
            try:
                text = label(sippeer.Message(datagram.data))
            except (AssertionError, ValueError):
                text = f"{len(datagram.data)} bytes that are no SIP"
            self.messages += 1
            cells = [BLANK, BLANK]
            cells[side] = arrow(text, to_right)
            self.add(datagram.time, cells)
        elif not outward:
            self.take_media(datagram, to_right)

    def take_media(self, datagram, to_right):
        """Media is told once it has passed kedge: the first speech of a stream, and each digit."""
        packet = rtp.read(datagram.data)
        if not packet:
            return
        if packet.payload_type == self.event_type and packet.payload:
            key, text = (packet.ssrc, packet.timestamp), f"digit {rtp.DIGITS[packet.payload[0] & 15]}"
        else:
            key, text = (packet.ssrc, "speech"), "speech (RTP)"
        if key not in self.seen:
            self.seen.add(key)
            self.digits += text.startswith("digit")
            self.add(datagram.time, [arrow(text, to_right, "~")] * 2)

    def add(self, time_s, cells):
        with self.lock:
            self.rows.append((time_s, cells))

    def head(self):
        names = f"{'caller':<{WIDTH - 1}}{'kedge':^5}{'callee':>{WIDTH - 1}}"
        ips = f"{self.ips[0]:<{WIDTH - 2}}{'':^7}{self.ips[1]:>{WIDTH - 2}}"
        return f"  seconds    {names}\n             {ips}"

    def show(self, everything=False):
        """Print the rows that can be put in order by now."""
        with self.lock:
            until = time.time() + (3600 if everything else -LATE_S)
            ready = sorted((row for row in self.rows if row[0] <= until), key=lambda row: row[0])
            self.rows = [row for row in self.rows if row[0] > until]
        for time_s, cells in ready:
            self.began = self.began or time_s
            print(f"  {time_s - self.began:7.3f}    |{cells[0]}|{cells[1]}|", flush=True)
