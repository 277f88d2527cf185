# SPDX-License-Identifier: BSD-3-Clause
"""What must not hurt: garbage, strangers, the host's own traffic on media ports, kill -9, a peer that vanishes, a stop
and a reload in the middle of calls."""

import contextlib
import os
import random
import select
import signal
import time

import engine
import netns
import rtp
import sippeer
from calls import ENGINE, Parties
from run import Suite

SMALL = "ports: 16384-16447, timeout_s: 2, hold_timeout_s: 4"


class Ground:
    """One caller and one callee; the engine is started by whoever needs it."""

    def __init__(self, bed):
        self.bed, self.engine, self.api, self.count = bed, None, None, 0

    def begin(self, **options):
        self.count += 1
        options.setdefault("name", f"kedge{self.count}")
        self.engine = engine.Engine(self.bed, **options)
        self.engine.start(30)
        self.api = self.engine.api
        return self.engine

    @contextlib.contextmanager
    def running(self, **options):
        """An engine from here to there; whatever happens, it is gone afterwards."""
        self.begin(**options)
        try:
            yield self.engine
        finally:
            self.engine.kill()

    @contextlib.contextmanager
    def parties(self, user="bob"):
        with contextlib.ExitStack() as stack:
            yield Parties(self, stack, netns.CALLER, netns.CALLEE, user)


def garbage(generator):
    """Packets that are no SIP and no RTP, and some that nearly are."""
    kinds = [b"", b"\0", b"\r\n\r\n", b"\xff" * 1400, b"INVITE", b"INVITE sip:x SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n",
             b"\x80\x00", b"\x80\xc8\x00\x06short", b"\x80" + bytes(300), bytes([0x90, 0, 0, 1]) + bytes(8) + b"\xbe\xde\xff\xff",
             bytes([0x00, 0x01, 0, 8, 0x21, 0x12, 0xa4, 0x42]) + bytes(20), bytes([22, 254, 253]) + bytes(40)]
    return generator.choice(kinds) if generator.random() < 0.5 else generator.randbytes(generator.randrange(1, 1400))


def test_garbage_while_a_call_runs(ground):
    """From a party's own address, from a stranger's and from a fresh port, on SIP and on media ports."""
    generator = random.Random(4711)
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        before = ground.api.metrics()
        senders = [netns.udp_socket(ground.bed.caller, address) for address in (netns.CALLER, netns.STRANGER)]
        media = call.answer.media()
        count = 0
        for turn in range(6):
            for _ in range(50):
                for sock in senders:
                    sock.sendto(garbage(generator), ENGINE)
                    sock.sendto(garbage(generator), media)
                    sock.sendto(garbage(generator), (media[0], media[1] + 1))
                    count += 2
            p.one.rtp.sendto(b"\x00" * 40, media)
            p.one.rtp.sendto(b"\x80\x00\x00", media)
            p.one.rtp.sendto(rtp.build(0, 77, 1, 1, 1, b"not negotiated"), media)
            p.one.rtcp.sendto(b"\x80\xc8\x00\x30" + bytes(8), (media[0], media[1] + 1))
            p.talk(call, other, start=10 * turn)
        after = ground.api.metrics()
        grown = {name: after[name] - before.get(name, 0) for name in after
                 if name.startswith("kedge_drops_total") and after[name] > before.get(name, 0)}
        for reason, least in (("wrong_source", count * 0.9), ("rtp_payload_type", 6)):
            assert grown.get(f'kedge_drops_total{{reason="{reason}"}}', 0) >= least, f"{reason} was not counted: {grown}"
        for words in (("rtp_malformed", "not_media"), ("rtcp_malformed",), ("stun", "not_media")):
            assert any(f'kedge_drops_total{{reason="{w}"}}' in grown for w in words), f"{words} was not counted: {grown}"
        sip = {n: v for n, v in after.items() if "sip" in n and ("drop" in n or "malformed" in n) and v}
        assert sip or sum(v for n, v in grown.items() if "sip" in n), f"garbage on SIP was not counted by name: {after}"
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        assert kedge.alive()
        for sock in senders:
            sock.close()


def test_host_keeps_its_answers(ground):
    """A program of the engine's host has a port in the media range (as a resolver does): its answers still arrive."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        taken = {call.answer.media()[1], call.answer.media()[1] + 1}
        port = next(n for n in range(17000, 17400) if n not in taken)
        host = netns.udp_socket(ground.bed.engine, netns.ENGINE_A, port)
        server = netns.udp_socket(ground.bed.caller, netns.CALLER, 53)
        for n in range(50):
            host.sendto(b"question %d" % n, (netns.CALLER, 53))
            assert select.select([server], [], [], 2)[0], "a question of the host was lost"
            question, source = server.recvfrom(100)
            server.sendto(question.replace(b"question", b"answer"), source)
            assert select.select([host], [], [], 2)[0], f"answer {n} to the host's port {port} was lost"
            assert host.recv(100) == b"answer %d" % n
        p.talk(call, other)
        p.hang_up(call, other)
        host.close()
        server.close()
        assert kedge.alive()


def xdp_links(bed):
    return [line for line in bed.ip(bed.engine, "link show").splitlines() if "xdp" in line]


def kill_and_start(ground, times):
    for turn in range(times):
        with ground.parties() as p:
            ground.begin(name="killed")
            try:
                call, other = p.answered()
                p.talk(call, other)
                ground.engine.kill()
            except BaseException:
                ground.engine.kill()
                raise
    with ground.running(name="killed"), ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        ground.engine.stop()
    assert not xdp_links(ground.bed), f"an XDP program was left: {xdp_links(ground.bed)}"


def test_kill_9_and_start_again(ground):
    kill_and_start(ground, 2)


def test_many_kills(ground):
    kill_and_start(ground, 100)


def test_second_engine_is_refused(ground):
    """A living engine's nic is not taken from it, and its calls go on."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        second = engine.Engine(ground.bed, name="second")
        done = ground.bed.run(ground.bed.engine, [engine.program("kedged"), "-c", second.config], 30)
        assert done.returncode == 1, f"a second engine on the same nic: exit {done.returncode}"
        said = done.stdout + done.stderr
        assert "vA" in said, f"it does not say which interface is taken:\n{said}"
        p.talk(call, other, count=20)
        p.hang_up(call, other)
        assert kedge.alive()


def test_peer_vanishes(ground):
    """Silence on one leg for media.timeout_s ends the call: BYE to both, cause, record (R79, R110)."""
    with ground.running(media=SMALL) as kedge, ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        began, n = time.monotonic(), 100
        while not select.select([p.a.sock], [], [], 0.02)[0]:  # the caller goes on, the callee says nothing more
            p.one.rtp.sendto(rtp.build(0, 0, n, 160 * n, 5, rtp.noise(5, n)), call.answer.media())
            n += 1
            assert time.monotonic() - began < 8, "the call goes on though one leg is silent"
        call.take_bye()
        other.take_bye()
        assert 1.5 < time.monotonic() - began < 5, f"ended after {time.monotonic() - began:.1f} s, must be 2 s"
        p.ended(call, other, "timeout", "media_timeout")
        kedge.no_leaks()


def test_rtcp_keeps_a_call_alive(ground):
    with ground.running(media=SMALL), ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        for n in range(20):
            for end, to, ssrc in ((p.one, call.answer.media(), 1), (p.two, other.invite.media(), 2)):
                end.rtcp.sendto(rtp.sender_report(ssrc, 0, n, n, "party"), (to[0], to[1] + 1))
            time.sleep(0.2)
        p.a.quiet(0.1)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_ports_run_out(ground):
    """A full pool refuses the call with 503, nothing is lost, and later calls work."""
    with ground.running(media="ports: 16384-16391, timeout_s: 60") as kedge, ground.parties() as p:
        calls = [p.answered() for _ in range(4)]
        late = p.a.invite(ENGINE, "bob", p.offer)
        late.ack_failure(late.progress(503))
        p.ended(late, None, "failed", "overload", 503)
        for call, other in calls:
            p.hang_up(call, other)
        time.sleep(2.5)  # a port rests for 2 s
        call, other = p.answered()
        p.talk(call, other)
        p.hang_up(call, other)
        assert kedge.alive()


def test_stop_ends_calls(ground):
    """SIGTERM: BYE to both of what talks, CANCEL and 5xx to what rings; records; no XDP program, no socket left."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        ringing = p.a.invite(ENGINE, "bob", p.offer)
        rung = p.b.wait_invite()
        rung.reply(180)
        ringing.progress(180)
        kedge.process.send_signal(signal.SIGTERM)
        wanted = {"a": {"BYE", "final"}, "b": {"BYE", "CANCEL"}}
        for peer, name in ((p.a, "a"), (p.b, "b")):
            while wanted[name]:
                got = peer.expect("BYE", "CANCEL", "ACK", 480, 487, 500, 503)
                if not got.is_request:
                    ringing.ack_failure(got)
                    wanted[name].discard("final")
                elif got.method != "ACK":
                    sippeer.answer_to(peer, got, 200)
                    wanted[name].discard(got.method)
                    if got.method == "CANCEL":
                        rung.reply(487)
        assert kedge.process.wait(10) == 0, kedge.last_log()
        assert not xdp_links(ground.bed), f"an XDP program was left: {xdp_links(ground.bed)}"
        assert not os.path.exists(kedge.socket), "the API's socket was left"
        ends = {(r["state"], r["cause"]["reason"]) for r in kedge.records()}
        assert ends == {("disconnected", "shutdown"), ("failed", "shutdown")}, ends


def test_reload(ground):
    """SIGHUP: new trunks and routes are in force, the running call goes on; a wrong file changes nothing."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        with open(kedge.config, "a") as file:
            file.write("nonsense: 1\n")
        kedge.process.send_signal(signal.SIGHUP)
        netns.wait_for("the log's word on the wrong file", lambda: "nonsense" in kedge.last_log(200), 3)
        p.talk(call, other)
        trunks = ['{name: other, target: "sip:10.77.2.2:5070"}']
        kedge.write(trunks, ['{match: {trunk: caller, to: "^new$"}, to: ["trunk:other"]}'])
        with sippeer.Peer(ground.bed.callee, netns.CALLEE, 5070) as new:
            kedge.process.send_signal(signal.SIGHUP)
            netns.wait_for("the reload", lambda: "read again" in kedge.last_log(200), 3)
            second = p.a.invite(ENGINE, "new", p.offer)
            busy = new.wait_invite()
            busy.reply(486)
            busy.take_ack()
            second.ack_failure(second.progress(486))
        p.talk(call, other, start=10)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")


def test_late_packets_get_no_icmp(ground):
    """What a party still sends when its call is over is dropped, counted, and not answered by the kernel."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        p.hang_up(call, other)
        before = engine.drops(ground.api.metrics(), "no_leg")
        p.one.rtp.connect(call.answer.media())
        for n in range(30):
            p.one.rtp.send(rtp.build(False, 0, 900 + n, 160 * n, 5, rtp.noise(5, n)))  # fails after an ICMP error
            time.sleep(0.02)
        counted = engine.drops(ground.api.metrics(), "no_leg") - before
        assert counted == 30, f"{counted} of 30 late packets were counted as no_leg"
        assert kedge.alive()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [
    Suite("robust", ground, [test_garbage_while_a_call_runs, test_host_keeps_its_answers, test_kill_9_and_start_again,
                             test_second_engine_is_refused, test_peer_vanishes, test_rtcp_keeps_a_call_alive,
                             test_ports_run_out, test_stop_ends_calls, test_reload,
                             test_late_packets_get_no_icmp]),
    Suite("soak", ground, [test_many_kills], long=True),
]
