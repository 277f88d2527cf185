# SPDX-License-Identifier: BSD-3-Clause
"""A SIP party for tests: it does what its test says, step by step, also what no sane phone would do. It never answers,
acknowledges or repeats anything by itself. Every message that it gets is checked for what RFC 3261 asks of all."""

import re
import select
import socket
import struct
import time
import uuid

import netns

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "k": "supported"}
PHRASES = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily",
           404: "Not Found", 486: "Busy Here", 487: "Request Terminated", 503: "Service Unavailable",
           481: "Call/Transaction Does Not Exist", 603: "Decline"}


def new_id(length=12):
    return uuid.uuid4().hex[:length]


class Message:
    def __init__(self, data, time_s=0.0, source=None):
        self.data, self.time, self.source = data, time_s, source
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon, f"no header: {line!r} in\n{data.decode(errors='replace')}"
            self.headers.append((COMPACT.get(name.strip().lower(), name.strip().lower()), value.strip()))
        words = self.start.split(" ", 2)
        self.is_request = words[0] != "SIP/2.0"
        self.status = None if self.is_request else int(words[1])
        self.uri = words[1] if self.is_request else None
        self.cseq, self.method = self.get("cseq", "0 ?").split(None, 1)
        self.cseq = int(self.cseq)
        if self.is_request:
            assert self.method == words[0], f"CSeq says {self.method}, request line {words[0]}"
        self.call_id = self.get("call-id")

    def all(self, name):
        out = []
        for key, value in self.headers:
            if key == name:
                out += re.split(r",\s*(?=<|SIP/2\.0)", value) if name in ("via", "route", "record-route") else [value]
        return out

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def tag(self, name):
        found = re.search(r";tag=([^;>\s]+)", self.get(name, ""))
        return found.group(1) if found else None

    @property
    def from_tag(self):
        return self.tag("from")

    @property
    def to_tag(self):
        return self.tag("to")

    @property
    def branch(self):
        found = re.search(r";branch=([^;\s]+)", self.get("via", ""))
        return found.group(1) if found else None

    @property
    def contact(self):
        found = re.search(r"<(sips?:[^>\s]+)>|^(sips?:[^;\s]+)", self.get("contact", ""))
        return found.group(1) or found.group(2) if found else None

    @property
    def user(self):
        found = re.match(r"sips?:([^@;]+)@", self.uri or "")
        return found.group(1) if found else ""

    def name(self):
        return self.method if self.is_request else f"{self.status} ({self.method})"

    def __str__(self):
        return self.data.decode(errors="replace")

    def media(self):
        """Where this message's SDP wants its audio: (ip, port)."""
        text = self.body.decode()
        assert "m=audio" in text, f"no audio in the SDP of\n{self}"
        ip = re.search(r"^c=IN IP[46] (\S+)", text, re.M).group(1)
        return ip, int(re.search(r"^m=audio (\d+) ", text, re.M).group(1))

    def check(self):
        """What every message on the wire must have."""
        for name in ("via", "from", "to", "call-id", "cseq", "content-length"):
            assert self.get(name) is not None, f"no {name} in\n{self}"
        assert int(self.get("content-length")) == len(self.body), f"wrong Content-Length in\n{self}"
        assert self.branch and self.branch.startswith("z9hG4bK"), f"no RFC 3261 branch in\n{self}"
        assert self.from_tag, f"no From-tag in\n{self}"
        if self.is_request:
            assert self.get("max-forwards") is not None, f"no Max-Forwards in\n{self}"
        elif self.status > 100:
            assert self.to_tag, f"no To-tag in\n{self}"
        if self.method == "INVITE" and (self.is_request or 200 <= self.status < 300):
            assert self.contact, f"no Contact in\n{self}"
        if self.body and self.method in ("INVITE", "ACK", "PRACK", "UPDATE"):
            assert self.get("content-type") == "application/sdp", f"a body without its type in\n{self}"


def sdp(ip, port, formats="0 8 101", direction="sendrecv", session=None, extra=""):
    family = "IP6" if ":" in ip else "IP4"
    lines = ["v=0", f"o=- {session or 1000 + port} 1 IN {family} {ip}", "s=-", f"c=IN {family} {ip}", "t=0 0",
             f"m=audio {port} RTP/AVP {formats}"]
    names = {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000"}
    lines += [f"a=rtpmap:{f} {names[f]}" for f in formats.split() if f in names]
    if "101" in formats:
        lines.append("a=fmtp:101 0-16")
    return "\r\n".join(lines + ["a=ptime:20", f"a={direction}"]) + "\r\n" + extra


class Peer:
    """A UDP socket that speaks SIP. What was sent and received is kept in `log` as (sent?, Message)."""

    def __init__(self, namespace, address, port=5060):
        self.address, self.port, self.host = address, port, netns.host(address)
        self.sock = netns.udp_socket(namespace, address, port, 1 << 20)
        self.log, self.seen, self.repeats = [], set(), []

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data, to):
        self.sock.sendto(data if isinstance(data, bytes) else data.encode(), to)

    def send(self, start, headers, body, to):
        lines = [start] + [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append("Content-Type: application/sdp")
        data = "\r\n".join(lines + [f"Content-Length: {len(body.encode())}", "", body]).encode()
        message = Message(data, time.time(), (self.address, self.port))
        self.log.append((True, message))
        self.sock.sendto(data, to)
        return message

    def receive(self, timeout_s):
        """The next datagram as a checked Message, or None. Its time is the kernel's. Repeats are noted in `repeats`."""
        if not select.select([self.sock], [], [], max(timeout_s, 0))[0]:
            return None
        data, extra, _, source = self.sock.recvmsg(65536, 64)
        source = source[:2]  # IPv6 has more
        when = time.time()
        for level, kind, value in extra:
            if level == socket.SOL_SOCKET and kind == netns.SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("ll", value[:16])
                when = seconds + nanoseconds * 1e-9
        message = Message(data, when, source)
        message.check()
        self.log.append((False, message))
        if data in self.seen:
            self.repeats.append(message)
        self.seen.add(data)
        return message

    def expect(self, *what, timeout_s=6, method=None, repeats=False):
        """Wait for one of `what` (method names, status numbers). Repeats of older messages and 100 are passed over;
        anything else fails the test. repeats: a repeat counts too."""
        end = time.monotonic() + timeout_s
        names = "/".join(map(str, what)) + (f" ({method})" if method else "")
        while True:
            count = len(self.repeats)
            got = self.receive(end - time.monotonic())
            assert got, f"{self.address}: no {names} within {timeout_s:g} s; it had {self.story()}"
            if len(self.repeats) > count and not repeats:
                continue
            fits = (got.method if got.is_request else got.status) in what
            if fits and (method is None or got.method == method):
                return got
            assert got.status == 100, f"{self.address}: unexpected {got.name()} instead of {names}:\n{got}"

    def quiet(self, seconds=0.5, repeats=True):
        """Nothing new may come for that long (nor repeats, where they are not allowed)."""
        end = time.monotonic() + seconds
        while True:
            count = len(self.repeats)
            got = self.receive(end - time.monotonic())
            if not got:
                return
            if not (repeats and len(self.repeats) > count):
                raise AssertionError(f"{self.address}: unexpected {got.name()}:\n{got}")

    def story(self):
        return ", ".join(("> " if sent else "< ") + m.name() for sent, m in self.log) or "nothing"

    def received(self, *what, method=None):
        """All that came so far and fits, repeats too."""
        return [m for sent, m in self.log if not sent and (m.method if m.is_request else m.status) in what and
                (method is None or m.method == method)]

    def request(self, method, to, user="nobody", headers=(), body="", cseq=1, call_id=None, to_tag=None, branch=None,
                tag=None):
        """A request outside every dialog."""
        tail = f";tag={to_tag}" if to_tag else ""
        base = [("Via", f"SIP/2.0/UDP {self.host}:{self.port};rport;branch={branch or 'z9hG4bK' + new_id()}"),
                ("Max-Forwards", "70"), ("From", f"<sip:test@{self.host}>;tag={tag or new_id()}"),
                ("To", f"<sip:{user}@{netns.host(to[0])}>{tail}"), ("Call-ID", call_id or new_id(20)), ("CSeq", f"{cseq} {method}")]
        return self.send(f"{method} sip:{user}@{netns.host(to[0])}:{to[1]} SIP/2.0", base + list(headers), body, to)

    def invite(self, to, user, body, headers=()):
        return Dialog.call(self, to, user, body, headers)

    def wait_invite(self, timeout_s=6):
        return Dialog.answering(self, self.expect("INVITE", timeout_s=timeout_s))


class Dialog:
    """One side of a call. caller: it sent the INVITE."""

    def __init__(self, peer):
        self.peer, self.invite, self.answer = peer, None, None
        self.tag, self.remote_tag, self.remote_uri = new_id(), None, None
        self.cseq, self.caller, self.ack_sent, self.routes = 1, False, None, []

    # --- the side that calls

    @classmethod
    def call(cls, peer, to, user, body, headers=()):
        self = cls(peer)
        self.caller, self.to, self.user = True, to, user
        self.call_id, self.branch = new_id(20) + "@" + peer.address, "z9hG4bK" + new_id()
        self.request_uri = self.remote_uri = f"sip:{user}@{netns.host(to[0])}:{to[1]}"
        self.local = f"<sip:alice@{peer.host}>;tag={self.tag}"
        self.remote = f"<sip:{user}@{netns.host(to[0])}>"
        self.invite = self.send("INVITE", 1, body, self.branch, [("Contact", f"<sip:alice@{peer.host}:{peer.port}>"),
                                                                ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS"), *headers])
        return self

    def progress(self, *what, timeout_s=6):
        """Wait for one of these responses to the INVITE; a final 2xx sets the dialog."""
        got = self.peer.expect(*what, timeout_s=timeout_s, method="INVITE")
        assert got.call_id == self.call_id and got.from_tag == self.tag and got.branch == self.branch, \
            f"a response that fits no request of ours:\n{got}"
        if 200 <= got.status < 300:
            self.answer, self.remote_tag, self.remote_uri = got, got.to_tag, got.contact
            self.remote, self.routes = got.get("to"), got.all("record-route")[::-1]
        return got

    def ack(self, body=""):
        """ACK the 2xx (a transaction of its own); sent again when called again."""
        self.ack_sent = self.ack_sent or "z9hG4bK" + new_id()
        return self.send("ACK", self.invite.cseq, body, self.ack_sent)

    def ack_failure(self, response):
        """ACK a 3xx-6xx: the INVITE's branch and Request-URI."""
        self.remote, self.remote_uri = response.get("to"), self.request_uri
        return self.send("ACK", self.invite.cseq, "", self.branch)

    def cancel(self):
        self.remote_uri = self.request_uri
        return self.send("CANCEL", self.invite.cseq, "", self.branch)

    # --- the side that is called

    @classmethod
    def answering(cls, peer, invite):
        self = cls(peer)
        self.invite, self.call_id, self.to = invite, invite.call_id, invite.source
        self.remote_tag, self.remote_uri = invite.from_tag, invite.contact
        self.remote, self.routes = invite.get("from"), invite.all("record-route")
        self.local = invite.get("to") + f";tag={self.tag}"
        self.cseq = 100
        return self

    def reply(self, status, body="", tag=None, headers=()):
        tag = tag or self.tag
        base = [("Via", via) for via in self.invite.all("via")]
        base += [("Record-Route", route) for route in self.invite.all("record-route")]
        base += [("From", self.invite.get("from")),
                 ("To", self.invite.get("to") + (f";tag={tag}" if status > 100 else "")),
                 ("Call-ID", self.call_id), ("CSeq", self.invite.get("cseq"))]
        if status < 300:
            base.append(("Contact", f"<sip:bob@{self.peer.host}:{self.peer.port}>"))
        return self.peer.send(f"SIP/2.0 {status} {PHRASES.get(status, 'Whatever')}", base + list(headers), body, self.to)

    # --- both sides

    def send(self, method, cseq, body="", branch=None, headers=()):
        peer = self.peer
        base = [("Via", f"SIP/2.0/UDP {peer.host}:{peer.port};rport;branch={branch or 'z9hG4bK' + new_id()}"),
                ("Max-Forwards", "70"), *(("Route", route) for route in self.routes), ("From", self.local),
                ("To", self.remote), ("Call-ID", self.call_id), ("CSeq", f"{cseq} {method}")]
        return peer.send(f"{method} {self.remote_uri} SIP/2.0", base + list(headers), body, self.to)

    def bye(self):
        self.cseq += 1
        return self.send("BYE", self.cseq)

    def bye_ok(self):
        """Hang up and wait until that is confirmed."""
        self.bye()
        return self.peer.expect(200, method="BYE")

    def take_bye(self, timeout_s=6):
        """Wait for the other side's BYE and confirm it."""
        got = self.peer.expect("BYE", timeout_s=timeout_s)
        assert got.call_id == self.call_id, f"BYE for another call:\n{got}"
        answer_to(self.peer, got, 200)
        return got

    def take_ack(self, timeout_s=6):
        got = self.peer.expect("ACK", timeout_s=timeout_s)
        assert got.call_id == self.call_id and got.cseq == self.invite.cseq, f"ACK that fits no INVITE:\n{got}"
        return got


def answer_to(peer, request, status, headers=()):
    """Answer any request inside or outside a dialog."""
    to = request.get("to") + ("" if request.to_tag else f";tag={new_id()}")
    base = [("Via", via) for via in request.all("via")]
    base += [("From", request.get("from")), ("To", to), ("Call-ID", request.call_id), ("CSeq", request.get("cseq"))]
    return peer.send(f"SIP/2.0 {status} {PHRASES.get(status, 'Whatever')}", base + list(headers), "", request.source)
