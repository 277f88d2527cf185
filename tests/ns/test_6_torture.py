# SPDX-License-Identifier: BSD-3-Clause
"""RFC 4475: what each of its 49 messages asks for, and what we do. All come over UDP from a trunk's address while a
call runs; a row is followed by a look at the answer, at the counters, at the engine and at the call."""

import collections
import contextlib
import os
import re
import select
import threading

import engine
import netns
from calls import ENGINE, Parties
from run import Skip, Suite

MESSAGES = os.path.join(engine.ROOT, "tests", "data", "rfc4475")
CALL = "call"  # it reaches the callee, who is busy: 486
SOURCE_PORT = 6060  # answers go to the Via's port (5060 where none is written), or here where it says rport
METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE"

# name; section of RFC 4475 and what it asks for; code: of our answer, CALL, or None: none; reason: under which it is
# counted in kedge_sip_drops_total; port: where the answer goes; headers: what it must have
Row = collections.namedtuple("Row", "name section asks code reason port headers", defaults=(None, 5060, ()))

ROWS = [
    Row("wsinv", "3.1.1.1", "valid, in odd form; its To tag names no dialog of ours", 481),
    Row("intmeth", "3.1.1.2", "valid, of an unknown method; we do not read NUL", 501, "nul"),
    Row("esc01", "3.1.1.3", "valid: escaped user is not a sips URI", CALL),
    Row("escnull", "3.1.1.4", "valid: %00 is a character; we are no registrar", 405, headers=(("allow", METHODS),)),
    Row("esc02", "3.1.1.5", "valid: RE%47IST%45R is not REGISTER", 501, headers=(("allow", METHODS),)),
    Row("lwsdisp", "3.1.1.6", "valid: no blank before <", 200),
    Row("longreq", "3.1.1.7", "valid: long values, 34 Via", CALL),
    Row("dblreq", "3.1.1.8", "valid: what follows the body is ignored", 405),
    Row("semiuri", "3.1.1.9", "valid: semicolons in the user part", 200),
    Row("transports", "3.1.1.10", "valid: unknown transports in Via", 200),
    Row("mpart01", "3.1.1.11", "valid: a MESSAGE of binary parts; we take none", 405, port=SOURCE_PORT),
    Row("unreason", "3.1.1.12", "valid response: UTF-8 in its phrase", None, "stray_response"),
    Row("noreason", "3.1.1.13", "valid response: an empty phrase", None, "stray_response"),
    Row("badinv01", "3.1.2.1", "400: separators without values", 400, "malformed"),
    Row("clerr", "3.1.2.2", "400: Content-Length is more than what came", 400, "short_body"),
    Row("ncl", "3.1.2.3", "400: Content-Length is negative", 400, "bad_content_length"),
    Row("scalar02", "3.1.2.4", "400: CSeq is too large", 400, "bad_cseq"),
    Row("scalarlg", "3.1.2.5", "response to be dropped: CSeq is too large", None, "bad_cseq"),
    Row("quotbal", "3.1.2.6", "400: a quote that does not end", 400, "bad_to", port=5050),
    Row("ltgtruri", "3.1.2.7", "400: brackets about the Request-URI", 400, "bad_uri"),
    Row("lwsruri", "3.1.2.8", "400: blanks in the Request-URI", 400, "bad_start_line"),
    Row("lwsstart", "3.1.2.9", "400: two blanks in the request line", 400, "bad_start_line"),
    Row("trws", "3.1.2.10", "400: blanks behind the request line", 400, "bad_start_line"),
    Row("escruri", "3.1.2.11", "400: headers in the Request-URI", 400, "bad_uri"),
    Row("baddate", "3.1.2.12", "400, or ignored: a Date that is not GMT", 400, "bad_date"),
    Row("regbadct", "3.1.2.13", "400: a Contact URI with headers and no brackets", 400, "bad_contact"),
    Row("badaspec", "3.1.2.14", "400, or accepted: blanks inside brackets", 400, "bad_to"),
    Row("baddn", "3.1.2.15", "400, or accepted: a comma in a name without quotes (here also: no end)", 400, "no_end"),
    Row("badvers", "3.1.2.16", "505: SIP/7.0", 505, "bad_version"),
    Row("mismatch01", "3.1.2.17", "400: CSeq has another method", 400, "method_mismatch"),
    Row("mismatch02", "3.1.2.18", "501, or 400: the same with an unknown method", 501, "method_mismatch"),
    Row("bigcode", "3.1.2.19", "response to be dropped: its code is too large", None, "bad_status"),
    Row("badbranch", "3.2.1", "to be matched as RFC 2543 does: nothing behind the branch's cookie", 200),
    Row("insuf", "3.3.1", "ideally 400; without a Call-ID nobody could match it", None, "no_call_id"),
    Row("unkscm", "3.3.2", "416: an unknown scheme", 416),
    Row("novelsc", "3.3.3", "416: a known scheme that is not SIP's", 416),
    Row("unksm2", "3.3.4", "other schemes in From, To and Contact do not hurt; we are no registrar", 405),
    Row("bext01", "3.3.5", "420 with Unsupported", 420,
        headers=(("unsupported", "nothingSupportsThis, nothingSupportsThisEither"),)),
    Row("invut", "3.3.6", "415 with Accept", 415, headers=(("accept", "application/sdp, multipart/mixed"),)),
    Row("regaut01", "3.3.7", "an unknown Authorization is as none; we are no registrar", 405),
    Row("multi01", "3.3.8", "400: headers that may be there once", 400, "duplicate_header"),
    Row("mcl01", "3.3.9", "400: two Content-Lengths", 400, "duplicate_header"),
    Row("bcast", "3.3.10", "response to be dropped: its Via is not ours", None, "stray_response"),
    Row("zeromf", "3.3.11", "no 483 from an endpoint: OPTIONS is for us", 200),
    Row("cparam01", "3.3.12", "valid; we are no registrar", 405),
    Row("cparam02", "3.3.13", "valid; we are no registrar", 405),
    Row("regescrt", "3.3.14", "valid; we are no registrar", 405),
    Row("sdp01", "3.3.15", "406: the answer would have to be of an unknown type", 406),
    Row("inv2543", "3.4.1", "valid by RFC 2543: no branch, no tag, no Max-Forwards", CALL),
]


# Each of these has the branch and sent-by of another one (escnull, unkscm, cparam01): sent within 64*T1 of that one it is
# its copy by RFC 3261 17.2.3. So these get a branch of their own; all else goes byte for byte.
SHARE_A_BRANCH = ("regescrt", "novelsc", "cparam02")


def load(name):
    with open(os.path.join(MESSAGES, name + ".dat"), "rb") as file:
        data = file.read()
    return data.replace(b"z9hG4bKkdjuw", b"z9hG4bK" + name.encode()) if name in SHARE_A_BRANCH else data


def headers_of(data):
    """[(long name in lower case, value)] of a message however it looks; blanks as one, controls as blanks."""
    compact = {"v": "via", "f": "from", "t": "to", "i": "call-id", "l": "content-length"}
    head = data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].decode(errors="replace")
    lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")[1:]
    out = []
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        out.append((compact.get(name, name), " ".join(re.sub(r"[\0-\x1f\x7f]", " ", value).split())))
    return out


def first(headers, name, default=""):
    return next((value for key, value in headers if key == name), default)


class Ends:
    """A trunk's side: sends from SOURCE_PORT, hears what comes there and at the ports of the messages' Vias."""

    def __init__(self, bed, address):
        self.socks = {port: netns.udp_socket(bed.caller, address, port, 1 << 20) for port in (SOURCE_PORT, 5050, 5060)}

    def send(self, data):
        self.socks[SOURCE_PORT].sendto(data, ENGINE)

    def receive(self, timeout_s):
        """The next (port, message), or None."""
        ready = select.select(list(self.socks.values()), [], [], timeout_s)[0]
        if not ready:
            return None
        port = next(port for port, sock in self.socks.items() if sock is ready[0])
        data, source = ready[0].recvfrom(65536)
        assert source[:2] == ENGINE, f"an answer from {source}"
        return port, data

    def close(self):
        for sock in self.socks.values():
            sock.close()


class Conversation(threading.Thread):
    """The running call: RTP and RTCP both ways until it is stopped; each packet must arrive once and as it was."""

    def __init__(self, parties, call, other):
        super().__init__()
        self.parties, self.call, self.other = parties, call, other
        self.ending, self.error, self.packets = threading.Event(), None, 0

    def run(self):
        try:
            while not self.ending.is_set():
                self.parties.talk(self.call, self.other, start=self.packets)
                self.packets += 10
        except BaseException as error:
            self.error = error

    def stop(self):
        self.ending.set()
        self.join()
        if self.error:
            raise self.error


class Ground:
    def __init__(self, bed, kedge):
        self.bed, self.engine, self.api = bed, kedge, kedge.api

    @contextlib.contextmanager
    def talking(self):
        """A call that runs all the while. Gives: its parties and the ends of another of the trunk's addresses."""
        with contextlib.ExitStack() as stack:
            p = Parties(self, stack, netns.CALLER, netns.CALLEE, "bob")
            ends = Ends(self.bed, netns.at_caller(3))
            stack.callback(ends.close)
            call, other = p.answered()
            conversation = Conversation(p, call, other)
            conversation.start()
            try:
                yield p, ends
            finally:
                conversation.stop()
            assert conversation.packets, "the running call said nothing"
            p.hang_up(call, other)
            p.ended(call, other, "disconnected", "caller_hangup")

    def drops(self):
        return {name: value for name, value in self.api.metrics().items() if name.startswith("kedge_sip_drops_total")}


def ack(data, answer):
    """The ACK of a refused INVITE, as far as one can be made of it."""
    sent = headers_of(data)
    uri = (data.split(b"\r\n")[0].split() + [b"", b"sip:x"])[1].decode(errors="replace")
    via = re.search(rb"^(?:via|v)[ \t]*:(.*?)\r\n(?![ \t])", data, re.M | re.S | re.I).group(1).decode()  # as it was folded
    lines = [f"ACK {uri} SIP/2.0", f"Via:{via}", f"From: {first(sent, 'from')}",
             f"To: {first(headers_of(answer), 'to')}", f"Call-ID: {first(sent, 'call-id')}",
             f"CSeq: {first(sent, 'cseq').split()[0]} ACK", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


def check_echo(row, data, answer):
    """Via, From, To, Call-ID and CSeq are the request's; the To has a tag, the top Via where the request came from."""
    sent, got = headers_of(data), headers_of(answer)
    for name in ("from", "call-id"):
        assert first(got, name) == first(sent, name), f"{row.name}: {name} is another:\n{answer.decode(errors='replace')}"
    number, method = first(sent, "cseq").split()
    assert first(got, "cseq").split() in ([number, method], [str(int(number)), method]), f"{row.name}: CSeq"
    to = re.sub(r"[;\s]+$", "", first(sent, "to"))
    assert first(got, "to").startswith(to) and re.search(r";\s*tag\s*=", first(got, "to")), \
        f"{row.name}: To: {first(got, 'to')}"
    vias = [[v.strip(" ;") for key, value in headers if key == "via" for v in value.split(",") if v.strip(" ;")]
            for headers in (sent, got)]
    assert len(vias[0]) == len(vias[1]) and vias[0][1:] == vias[1][1:], f"{row.name}: the lower Vias are others: {vias}"
    bare = re.sub(r"\s*;rport", "", vias[0][0])
    assert vias[1][0].startswith(bare + ";received="), f"{row.name}: Via: {vias[1][0]}"
    if not netns.NAT:
        assert f";received={netns.at_caller(3)}" in vias[1][0], f"{row.name}: Via: {vias[1][0]}"
    assert int(first(got, "content-length", "-1")) == 0 and answer.endswith(b"\r\n\r\n"), f"{row.name}: its end"
    assert not re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", answer), f"{row.name}: control characters came back"


def be_called(p, row):
    """The message reached the callee as a call: it is busy."""
    rung = p.b.wait_invite()
    assert rung.invite.call_id != first(headers_of(load(row.name)), "call-id"), f"{row.name} was not made anew"
    rung.reply(486)
    rung.take_ack()
    return rung


def check_row(ground, p, ends, row):
    data, before = load(row.name), ground.drops()
    ends.send(data)
    if row.code == CALL:
        be_called(p, row)
    wanted = 486 if row.code == CALL else row.code
    answers = []
    while wanted and (got := ends.receive(3)):
        answers.append(got)
        if got[1][8:11] != b"100":
            break
    final = answers[-1][1] if answers else b""
    assert (int(final[8:11]) if final else None) == wanted, \
        f"{row.name} ({row.section}, {row.asks}): {final.decode(errors='replace') or 'no answer'}"
    if final:
        port = SOURCE_PORT if netns.NAT else row.port
        assert answers[-1][0] == port, f"{row.name}: the answer came to port {answers[-1][0]} instead of {port}"
        check_echo(row, data, final)
        for name, value in row.headers:
            assert first(headers_of(final), name) == value, f"{row.name}: {name}: {first(headers_of(final), name)}"
    grown = {name: value - before.get(name, 0) for name, value in ground.drops().items() if value != before.get(name, 0)}
    counted = {f'kedge_sip_drops_total{{reason="{row.reason}"}}': 1} if row.reason else {}
    if not final:
        netns.wait_for(f"{row.name} to be counted as {row.reason}", lambda: ground.drops() != before, 3)
        grown = {n: v - before.get(n, 0) for n, v in ground.drops().items() if v != before.get(n, 0)}
        late = ends.receive(0.1)
        assert not late, f"{row.name} was answered:\n{late[1].decode(errors='replace')}"
    assert grown == counted, f"{row.name}: counted as {grown}, must be {counted}"
    if row.code == CALL:
        ground.engine.record_of(first(headers_of(data), "call-id"))
    if final and b"INVITE" in first(headers_of(data), "cseq").encode():
        ends.send(ack(data, final))
    assert ground.engine.alive(), f"kedged ended at {row.name}"


def test_each_message(ground):
    assert len({row.name for row in ROWS}) == len(ROWS) == len(os.listdir(MESSAGES)) == 49
    with ground.talking() as (p, ends):
        for row in ROWS:
            check_row(ground, p, ends, row)


def test_an_ack_is_never_answered(ground):
    """The same requests with ACK for their method."""
    with ground.talking() as (_, ends):
        count = 0
        for row in ROWS:
            data = load(row.name)
            method = data.split()[0]
            if data.startswith(b"SIP/"):
                continue
            ends.send(b"ACK" + data[len(method):].replace(b" " + first(headers_of(data), "cseq").split()[-1].encode() +
                                                         b"\r\n", b" ACK\r\n", 1))
            count += 1
            got = ends.receive(0.05)
            assert not got, f"{row.name} as an ACK was answered:\n{got[1].decode(errors='replace')}"
        assert count > 40 and ground.engine.alive()


def test_all_at_once(ground):
    """All but the calls three times, as fast as they go, in transactions of their own: each answer comes, and a copy's
    answer is a copy."""
    with ground.talking() as (_, ends):
        messages = {row: re.sub(rb"(branch\s*=\s*)(z9hG4bK)?", rb"\1\2again", load(row.name)) for row in ROWS if row.code != CALL}
        answered = {first(headers_of(data), "call-id"): row for row, data in messages.items() if row.code}
        for data in list(messages.values()) * 3:
            ends.send(data)
        heard = {}
        while (got := ends.receive(0.5)):
            headers = headers_of(got[1])
            row = answered[first(headers, "call-id")]
            assert int(got[1][8:11]) == row.code, f"{row.name}: {got[1].decode(errors='replace')}"
            heard.setdefault(row.name, set()).add(first(headers, "to"))
            if "INVITE" in first(headers, "cseq"):
                ends.send(ack(messages[row], got[1]))
        missing = {row.name for row in answered.values()} - set(heard)
        assert not missing, f"not answered when all came at once: {missing}"
        several = [name for name, tos in heard.items() if len(tos) != 1]
        assert not several, f"a copy of the same request got another To tag: {several}"
        assert ground.engine.alive()


def test_nothing_is_left(ground):
    ground.engine.no_leaks()


@contextlib.contextmanager
def ground():
    if netns.FAMILY[0] == 6:
        raise Skip("the messages' SDP has IPv4 addresses")
    with netns.Bed(4) as bed:
        via = "10.77.1.2" if netns.NAT else netns.CALLER
        bed.ip(bed.engine, f"route add 192.0.2.0/24 via {via}")  # where the messages' SDP wants its media
        kedge = engine.Engine(bed, name="torture").start(30)
        try:
            yield Ground(bed, kedge)
            kedge.stop()
        finally:
            kedge.kill()


SUITES = [Suite("torture", ground, [test_each_message, test_an_ack_is_never_answered, test_all_at_once],
                after=[test_nothing_is_left])]
