# SPDX-License-Identifier: BSD-3-Clause
"""What strangers get, and what a trunk may ask for at most: each limit, each answer, silence, the line for fail2ban."""

import configparser
import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time

import engine
import netns
import sippeer
from calls import ENGINE, Parties
from run import Skip, Suite

PACKAGING = os.path.join(engine.ROOT, "packaging", "fail2ban")
METHODS = ("INVITE", "REGISTER", "OPTIONS", "BYE", "CANCEL", "SUBSCRIBE", "MESSAGE", "NONSENSE")


class Ground:
    """One caller, one callee and a stranger; each test starts an engine of its own kind."""

    def __init__(self, bed):
        self.bed, self.engine, self.api, self.count = bed, None, None, 0

    @contextlib.contextmanager
    def running(self, sip="", log="json", trunks=(), routes=(), media="ports: 16384-17407, timeout_s: 60"):
        self.count += 1
        self.engine = engine.Engine(self.bed, trunks, routes, media, f"sip: {{{sip}}}\n" if sip else "",
                                    name=f"limits{self.count}")
        if log != "json":
            with open(self.engine.config) as file:
                text = file.read().replace("log: {level: debug, format: json}", f"log: {{level: info, format: {log}}}")
            with open(self.engine.config, "w") as file:
                file.write(text)
        self.engine.start(30)
        self.api = self.engine.api
        try:
            yield self.engine
        finally:
            self.engine.kill()

    @contextlib.contextmanager
    def parties(self, user="bob", caller=netns.CALLER):
        with contextlib.ExitStack() as stack:
            yield Parties(self, stack, caller, netns.CALLEE, user)

    def stranger(self):
        if netns.NAT:
            raise Skip("behind the NAT all have one address")
        return sippeer.Peer(self.bed.caller, netns.STRANGER)

    def refused(self, reason):
        return self.api.metrics()[f'kedge_sip_refused_total{{reason="{reason}"}}']


def drain(peer, seconds=0.4):
    """All that comes until it is quiet for that long."""
    out = []
    while (got := peer.receive(seconds)):
        out.append(got)
    return out


def flood(peer, count, method="REGISTER", at_once=20, pause_s=0.01):
    for n in range(count):
        peer.request(method, ENGINE, user=str(100 + n))
        if n % at_once == at_once - 1:
            time.sleep(pause_s)


def refuse(call, status=503):
    """Wait for the refusal of an INVITE and acknowledge it. Returns: its Retry-After, checked."""
    got = call.progress(status)
    call.ack_failure(got)
    seconds = got.get("retry-after")
    assert status != 503 or (seconds and 5 <= int(seconds) <= 15), f"Retry-After is {seconds}:\n{got}"
    return seconds


def lines_about(kedge, words):
    """What the log says at more than debug level: (JSON) objects whose message has these words."""
    with open(kedge.bed.path(kedge.log)) as file:
        entries = [json.loads(line) for line in file if line.startswith("{")]
    return [e for e in entries if e["level"] != "debug" and words in e["msg"]]


# --- strangers


def test_strangers_are_told(ground):
    """403 to each request, no 100 before it, no transaction; an ACK gets nothing."""
    with ground.running() as kedge, ground.stranger() as stranger:
        for method in METHODS:
            stranger.request(method, ENGINE, body=sippeer.sdp(netns.STRANGER, 7000) if method == "INVITE" else "")
            got = stranger.expect(403)
            assert got.method == method
        stranger.request("ACK", ENGINE, to_tag="x")
        stranger.quiet(0.3)
        assert not stranger.received(100), "a stranger got a 100"
        assert ground.refused("stranger") == len(METHODS)
        metrics = ground.api.metrics()
        assert metrics["kedge_transactions"] == 0 and metrics["kedge_strangers_total"] == 1
        stats = ground.api.get("/v1/stats")
        assert stats["sip"]["refused"] == {"stranger": len(METHODS)}, stats["sip"]
        assert not kedge.records(), "a stranger has a call record"


def test_silence(ground):
    """Not one byte, whatever comes; the trunks see no difference. A reload turns it on and off."""
    with ground.running("strangers: silent") as kedge, ground.stranger() as stranger, ground.parties() as p:
        def all_sorts():
            for method in METHODS + ("ACK",):
                stranger.request(method, ENGINE)
                stranger.request(method, ENGINE, to_tag="x", headers=[("Require", "nothing")])
            for data in (b"\r\n\r\n", b"", b"INVITE", b"SIP/2.0 200 OK\r\n\r\n", b"OPTIONS sip:x SIP/3.0\r\n\r\n", os.urandom(300)):
                stranger.send_raw(data, ENGINE)
        all_sorts()
        stranger.quiet(1)
        assert ground.refused("stranger") >= 2 * len(METHODS)
        call, other = p.answered()
        all_sorts()
        p.talk(call, other)
        p.hang_up(call, other)
        stranger.quiet(0.5)
        with open(kedge.config) as file:
            text = file.read()
        with open(kedge.config, "w") as file:
            file.write(text.replace("strangers: silent", "strangers: reject"))
        kedge.process.send_signal(signal.SIGHUP)
        netns.wait_for("the reload", lambda: "read again" in kedge.last_log(200), 3)
        stranger.request("OPTIONS", ENGINE)
        stranger.expect(403)


def test_source_rate(ground):
    """One address is read so often a second; then nothing, until there is room again."""
    with ground.running("limits: {source_per_s: 5}"), ground.stranger() as stranger:
        began = time.monotonic()
        flood(stranger, 200, "OPTIONS", 200)
        answers = len(drain(stranger))
        room = 5 + 5 * (time.monotonic() - began)
        assert 5 <= answers <= room, f"{answers} answers, at most {room:.0f} may be"
        assert ground.refused("source_rate") + answers == 200
        time.sleep(1)
        stranger.request("OPTIONS", ENGINE)
        stranger.expect(403)


def test_strangers_rate(ground):
    """All strangers together have one bucket; trunks are not in it."""
    with ground.running("limits: {strangers_per_s: 10}"), ground.stranger() as stranger, ground.parties() as p:
        flood(stranger, 100, "OPTIONS", 100)
        drain(stranger)
        assert ground.refused("strangers_rate") >= 50
        for _ in range(50):
            p.a.request("OPTIONS", ENGINE)
            p.a.expect(200)


# --- scans, and their line


def fail2ban_reads(lines):
    """The addresses that the expression of our filter finds."""
    parser = configparser.ConfigParser()  # it turns %% into %, as fail2ban does
    parser.read(os.path.join(PACKAGING, "kedge.conf"))
    wanted = parser["Definition"]["failregex"].replace("<ADDR>", r"(?P<ip>[0-9a-f.:]+)")
    return [found["ip"] for found in (re.search(wanted, line) for line in lines) if found]


def fail2ban_finds(kedge):
    """The addresses that our filter finds in the log: by fail2ban-regex, where there is one, else by its expression."""
    log = kedge.bed.path(kedge.log)
    tool = os.environ.get("FAIL2BAN_REGEX") or shutil.which("fail2ban-regex")
    if tool:
        done = kedge.bed.run(kedge.bed.engine, [*tool.split(), "-o", "ip", log, os.path.join(PACKAGING, "kedge.conf")])
        assert done.returncode in (0, 1), f"fail2ban-regex: {done.stdout}{done.stderr}"
        return re.findall(r"^[0-9a-f.:]+$", done.stdout, re.M)
    with open(log) as file:
        return fail2ban_reads(file)


def test_filter(ground):
    """The filter's expression on lines as fail2ban hands them over: from a file without their date, from the journal
    with its own beginning."""
    said = "strangers: refused 57 requests from ADDRESS in 60 s (last: REGISTER sip:100@192.0.2.10)"
    stamp, middle = "2026-01-02T03:04:05.678901Z", '","level":"warn","area":"sip","msg":"'
    good = (" warn sip: " + said, middle + said + '"}', f"host kedged[7]: {stamp} warn sip: {said}",
            f'host kedged[7]: {{"time":"{stamp}{middle}{said}"}}')
    bad = (" warn sip: " + said.replace("57", "7"), " info sip: call starts: sip:x warn sip: " + said,
           " warn call: " + said, "x" + middle + said)
    for address in ("203.0.113.9", "2001:db8::9"):
        assert fail2ban_reads(line.replace("ADDRESS", address) for line in good) == [address] * len(good)
    assert not fail2ban_reads(line.replace("ADDRESS", "203.0.113.9") for line in bad)


def test_scan(ground):
    """Who is refused again and again is answered less and less, and has one line that fail2ban can read."""
    with ground.running() as kedge, ground.stranger() as stranger:
        began = time.monotonic()
        flood(stranger, 300)
        answers = len(drain(stranger))
        assert 30 <= answers <= 32 + time.monotonic() - began, f"{answers} of 300 were answered"
        assert ground.refused("stranger") == answers
        assert sum(ground.refused(r) for r in ("stranger", "scan", "source_rate", "strangers_rate")) == 300
        netns.wait_for("a line about the scan", lambda: lines_about(kedge, "strangers: refused"), 3, 0.1)
        flood(stranger, 100)
        time.sleep(2.5)
        said = lines_about(kedge, netns.STRANGER)
        assert len(said) == 1, f"{len(said)} lines about one address: {said}"
        assert re.fullmatch(rf"strangers: refused \d+ requests from {re.escape(netns.STRANGER)} in \d+ s "
                            r"\(last: REGISTER sip:\d+@.*\)", said[0]["msg"]), said[0]
        assert fail2ban_finds(kedge) == [netns.STRANGER]


def test_scan_in_text(ground):
    """The same line in the other format; an address that a stranger writes is not taken for its own."""
    with ground.running(log="text") as kedge, ground.stranger() as stranger:
        for n in range(60):
            stranger.request("REGISTER", ENGINE, user=("100", "from%20192.0.2.1%20in%201%20s", "x\"192.0.2.2")[n % 3])
        netns.wait_for("a line about the scan", lambda: "strangers: refused" in kedge.last_log(50), 3, 0.1)
        assert fail2ban_finds(kedge) == [netns.STRANGER]


def test_one_request_is_no_scan(ground):
    """It has its line, seconds later; fail2ban leaves it alone."""
    with ground.running() as kedge, ground.stranger() as stranger:
        stranger.request("OPTIONS", ENGINE)
        stranger.expect(403)
        said = netns.wait_for("a line", lambda: lines_about(kedge, "strangers: refused"), 10, 0.2)
        assert f"refused 1 request from {netns.STRANGER} in " in said[0]["msg"], said
        assert fail2ban_finds(kedge) == []


def test_flood_beside_a_call(ground):
    """2,000 requests of a stranger: the call's media is not touched, and the next call is as quick as ever."""
    with ground.running() as kedge, ground.stranger() as stranger, ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        before = ground.api.metrics()
        sender = threading.Thread(target=flood, args=(stranger, 2000, "REGISTER", 20, 0.01))
        sender.start()
        start = 10
        while sender.is_alive():
            p.talk(call, other, start=start)
            start += 10
        sender.join()
        p.talk(call, other, start=start)
        after = ground.api.metrics()
        refused = sum(value - before[name] for name, value in after.items() if name.startswith("kedge_sip_refused_total"))
        assert refused == 2000, f"{refused} of 2000 were counted"
        assert engine.total_drops(after) == engine.total_drops(before), "media was dropped"
        assert after["kedge_transactions"] <= before["kedge_transactions"], "strangers hold transactions"
        answers = drain(stranger)
        assert all(a.status == 403 for a in answers) and len(answers) < 100, f"{len(answers)} answers"
        second, its_other = p.answered()
        p.hang_up(second, its_other)
        p.hang_up(call, other)
        assert len(lines_about(kedge, netns.STRANGER)) <= 1
        kedge.no_leaks()


# --- trunks


def trunk_of(n, limit):
    """A trunk of the caller's address number n."""
    return f'{{name: limited, target: "sip:{netns.host(netns.at_caller(n))}:5060", {limit}}}'


LIMITED = '{match: {trunk: limited}, to: ["trunk:callee"]}'


def limited_or_skip():
    if netns.NAT:
        raise Skip("behind the NAT all have one address")
    return netns.at_caller(2)


def test_trunk_max_calls(ground):
    """The call over the limit gets 503; what belongs to calls that run is served, and there is room again after one."""
    caller = limited_or_skip()
    with ground.running(trunks=[trunk_of(2, "max_calls: 2")], routes=[LIMITED]), ground.parties(caller=caller) as p:
        calls = [p.answered() for _ in range(2)]
        refuse(p.a.invite(ENGINE, "bob", p.offer))
        late = p.a.invite(ENGINE, "bob", p.offer)
        refuse(late)
        p.ended(late, None, "failed", "overload", 503)
        p.b.quiet(0.3)
        assert ground.refused("trunk_calls") == 2
        for _ in range(20):
            p.a.request("OPTIONS", ENGINE)
            p.a.expect(200)
        p.talk(*calls[0])
        p.hang_up(*calls[0])
        netns.wait_for("the call's end", lambda: ground.api.metrics()["kedge_calls"] == 1, 3)
        calls[0] = p.answered()
        for call, other in calls:
            p.hang_up(call, other)


def test_engine_max_calls(ground):
    with ground.running(media="ports: 16384-17407, timeout_s: 60, max_calls: 1"), ground.parties() as p:
        call, other = p.answered()
        refuse(p.a.invite(ENGINE, "bob", p.offer))
        assert ground.refused("calls") == 1
        p.hang_up(call, other)


def test_full_trunk_is_passed_by(ground):
    """A target at its max_calls is not called: the route's next one is; then 503."""
    small = f'{{name: small, target: "sip:{netns.host(netns.CALLEE)}:5070", max_calls: 1}}'
    large = f'{{name: large, target: "sip:{netns.host(netns.CALLEE)}:5080", max_calls: 1}}'
    route = '{match: {trunk: caller, to: "^hunt$"}, to: ["trunk:small", "trunk:large"]}'
    with ground.running(trunks=[small, large], routes=[route]), ground.parties("hunt") as p, \
            sippeer.Peer(ground.bed.callee, netns.CALLEE, 5070) as first, \
            sippeer.Peer(ground.bed.callee, netns.CALLEE, 5080) as second:
        one = p.a.invite(ENGINE, "hunt", p.offer)
        its = first.wait_invite()
        its.reply(180)
        one.progress(180)
        two = p.a.invite(ENGINE, "hunt", p.offer)
        busy = second.wait_invite()
        assert ground.refused("trunk_calls") == 1
        refuse(p.a.invite(ENGINE, "hunt", p.offer))
        busy.reply(486)
        busy.take_ack()
        two.ack_failure(two.progress(486))
        its.reply(486)
        its.take_ack()
        one.ack_failure(one.progress(486))
        first.quiet(0.2)


def burst(p, count):
    """So many INVITEs at once. Returns: how many came through, and the refusals of the others."""
    calls = {c.call_id: c for c in (p.a.invite(ENGINE, "bob", p.offer) for _ in range(count))}
    refusals = {}
    for got in drain(p.a, 0.3):
        if got.status == 503:
            calls[got.call_id].ack_failure(got)
            refusals[got.call_id] = got
    through = {m.call_id: m for m in drain(p.b, 0.3) if m.is_request and m.method == "INVITE"}
    for invite in through.values():
        other = sippeer.Dialog.answering(p.b, invite)
        other.reply(486)
        other.take_ack()
    for got in drain(p.a, 0.3):
        if got.status == 486:
            calls[got.call_id].ack_failure(got)
    return len(through), list(refusals.values())


def check_burst(ground, p, reason, rate):
    """A burst is cut to a second's worth; the refused have no 100 and no call record."""
    began = time.monotonic()
    through, refusals = burst(p, 20)
    most = rate + rate * (time.monotonic() - began)
    assert through + len(refusals) == 20 and rate <= through <= most, f"{through} calls, {len(refusals)} refusals"
    assert ground.refused(reason) == len(refusals)
    early = {m.call_id for m in p.a.received(100)}
    assert all(5 <= int(r.get("retry-after")) <= 15 for r in refusals)
    assert not [r for r in refusals if r.call_id in early], "a refused call had a 100"
    netns.wait_for("the records", lambda: len(ground.engine.records()) == through, 3)
    assert len(lines_about(ground.engine, "refused with 503")) == 1
    p.a.request("OPTIONS", ENGINE)
    p.a.expect(200)


def test_trunk_cps(ground):
    caller = limited_or_skip()
    with ground.running(trunks=[trunk_of(2, "cps: 4")], routes=[LIMITED]), ground.parties(caller=caller) as p:
        check_burst(ground, p, "trunk_cps", 4)


def test_engine_cps(ground):
    with ground.running("limits: {cps: 4}"), ground.parties() as p:
        check_burst(ground, p, "cps", 4)


def test_sizes(ground):
    """Too long: 513. Too many headers: 400. What is just right passes."""
    with ground.running("limits: {message_bytes: 1500, headers: 32}"), ground.parties() as p:
        p.a.request("OPTIONS", ENGINE, headers=[("Subject", "x" * 1400)])
        p.a.expect(513)
        p.a.request("OPTIONS", ENGINE, headers=[(f"X-{n}", "1") for n in range(26)])  # and seven
        p.a.expect(400)
        p.a.request("OPTIONS", ENGINE, headers=[(f"X-{n}", "1") for n in range(25)])
        p.a.expect(200)
        assert ground.refused("message_bytes") == 1 and ground.refused("headers") == 1
        call, other = p.answered()
        p.hang_up(call, other)


def test_stopping(ground):
    """While the engine waits for its last BYE, a new call gets 503."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        kedge.process.send_signal(signal.SIGTERM)
        byes = [(peer, peer.expect("BYE")) for peer in (p.a, p.b)]
        refuse(p.a.invite(ENGINE, "bob", p.offer))
        assert ground.refused("shutdown") == 1
        for peer, bye in byes:
            sippeer.answer_to(peer, bye, 200)
        assert kedge.process.wait(10) == 0, kedge.last_log()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("limits", ground, [
    test_strangers_are_told, test_silence, test_source_rate, test_strangers_rate, test_filter, test_scan, test_scan_in_text,
    test_one_request_is_no_scan, test_flood_beside_a_call, test_trunk_max_calls, test_engine_max_calls,
    test_full_trunk_is_passed_by, test_trunk_cps, test_engine_cps, test_sizes, test_stopping])]
