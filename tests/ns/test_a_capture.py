# SPDX-License-Identifier: BSD-3-Clause
"""kedgectl nic capture and leg trace: media that tcpdump no longer sees, as tshark reads it; a slow or vanishing reader hurts
nobody."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import netns
import rtp
from calls import ENGINE, Parties
from engine import Engine, program
from run import Suite
from test_d_addresses import answered, hang_up


class Ground:
    def __init__(self, bed):
        self.bed = bed
        self.engine = Engine(bed, name="capture").start(30)
        self.api = self.engine.api

    @contextlib.contextmanager
    def call(self):
        with contextlib.ExitStack() as stack:
            p = Parties(self, stack, netns.CALLER, netns.CALLEE, "bob")
            call, other = p.answered()
            yield p, call, other
            p.hang_up(call, other)

    def capture(self, *words, what=("nic", "capture"), **options):
        return self.bed.start(self.bed.engine, [program("kedgectl"), "-s", self.engine.socket, *what, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def trace(self, *words):
        return self.capture(*words, what=("leg", "trace"))


def fields(file, what):
    done = subprocess.run(["tshark", "-r", file, "-T", "fields", *(w for f in what for w in ("-e", f))], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_media_both_ways(ground):
    file = ground.bed.path("media.pcapng")
    with ground.call() as (p, call, other):
        taking = ground.capture("a", "--count", "42", "--file", file)
        netns.wait_for("the file to begin", lambda: os.path.exists(file) and os.path.getsize(file) > 0, 5)
        p.talk(call, other, count=20)  # 20 RTP and one RTCP each way
        out, err = taking.communicate(timeout=10)
        assert taking.returncode == 0 and "42 frames" in err.decode(), err
        assert os.stat(file).st_mode & 0o777 == 0o600, "media lies open to everybody"
        ours, theirs = call.answer.media(), (p.one.address, 7000)
        family = "ipv6" if netns.FAMILY[0] == 6 else "ip"
        rows = fields(file, ["frame.packet_flags_direction", f"{family}.src", "udp.srcport", f"{family}.dst", "udp.dstport",
                             "udp.payload", "frame.interface_name"])
        assert len(rows) == 42 and {row[6] for row in rows} == {"a"}, rows[:2]
        ways = {"in": [], "out": []}
        for _, source, source_port, target, target_port, payload, _ in rows:
            port = (int(source_port), int(target_port))
            if source == theirs[0]:
                assert target == ours[0] and port in ((7000, ours[1]), (7001, ours[1] + 1)), (source, target, port)
                ways["in"].append(payload)
            else:
                assert (source, target) == (ours[0], theirs[0]), (source, target)
                ways["out"].append(payload)
        assert len(ways["in"]) == len(ways["out"]) == 21, {way: len(p) for way, p in ways.items()}
        for way, ssrc in (("in", 0x11110000 + 7000), ("out", 0x22220000 + 8000)):
            wanted = [rtp.build(n == 0, 0, 65530 + n, 4294967000 + 160 * n, ssrc, rtp.noise(ssrc, n)).hex() for n in range(20)]
            assert [p for p in ways[way] if len(p) == len(wanted[0])] == wanted, f"{way}: not the packets of the call"
        interfaces = subprocess.run(["capinfos", file], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert "Number of packets:   42" in interfaces and "kedge" in interfaces, interfaces


def test_one_leg(ground):
    """Of two calls over the same nic one leg's frames, both ways, those of a stranger too; until the leg ends."""
    file, family = ground.bed.path("leg.pcapng"), "ipv6" if netns.FAMILY[0] == 6 else "ip"
    with ground.call() as (p, call, other):
        with contextlib.ExitStack() as stack:
            call2, other2 = answered(p.a, p.b, ENGINE, 7100, 8100)
            ends = [rtp.End(ground.bed.caller, p.a.address, 7100), rtp.End(ground.bed.callee, p.b.address, 8100)]
            for end in ends:
                stack.callback(end.close)
            ours = call2.answer.media()
            leg = next(leg for leg in ground.api.get("/v1/legs")["items"] if leg["local"].endswith(f":{ours[1]}"))
            taking = ground.trace(leg["id"], "--count", "1000", "--file", file)
            netns.wait_for("the file to begin", lambda: os.path.exists(file) and os.path.getsize(file) > 0, 5)
            second = ground.trace(leg["id"], "--count", "1", "--file", "/dev/null")
            assert "somebody captures on this nic already" in second.communicate(timeout=5)[1].decode()
            p.talk(call, other, count=10)
            rtp.talk(*ends, call2.answer.media(), other2.invite.media(), count=10)  # and one RTCP each way
            sock = netns.udp_socket(ground.bed.caller, netns.STRANGER, 7999)
            sock.sendto(rtp.build(False, 0, 1, 160, 9, bytes(160)), ours)
            sock.close()
            time.sleep(0.2)
            hang_up(p.a, call2, other2)
            err = taking.communicate(timeout=10)[1].decode()
            assert taking.returncode == 0 and "23 frames: the leg ended" in err, err
        rows = fields(file, ["frame.packet_flags_direction", f"{family}.src", "udp.srcport", f"{family}.dst", "udp.dstport"])
        ports = {str(ours[1]), str(ours[1] + 1)}
        assert len(rows) == 23, rows
        assert sum(row[3] == ours[0] and row[4] in ports for row in rows) == 12, rows
        assert sum(row[1] == ours[0] and row[2] in ports for row in rows) == 11, rows
        assert [row[2] for row in rows].count("7999") == 1, rows
    gone = ground.trace(leg["id"], "--count", "1", "--file", "/dev/null")
    err = gone.communicate(timeout=5)[1].decode()
    assert gone.returncode == 1 and "No such leg" in err and "/v1/legs" in err, err


def test_refusals(ground):
    bed = ground.bed
    for words, status, said in ((("x", "--count", "1", "--file", "/dev/null"), 1, "No such nic"),
                                (("a", "--count", "0", "--file", "/dev/null"), 1, "No count"),
                                (("a", "--count", "1"), 2, "--file"), (("--count",), 2, "does not fit"),
                                (("a", "--count", "1", "--file", "/nothing/here"), 1, "cannot be written")):
        done = ground.capture(*words)
        out, err = done.communicate(timeout=10)
        assert done.returncode == status and said in err.decode(), (words, done.returncode, err)
    first = begin(ground, 5, bed.path("first"))  # after the one without a file
    second = ground.capture("a", "--count", "5", "--file", "/dev/null")
    assert second.wait(5) == 1 and "one at a time" in second.stderr.read().decode()
    stop(first)  # a valid file, ended here
    assert fields(bed.path("first"), ["frame.number"]) == []


def test_on_the_socket_only(ground):
    """What people say is not for every user and browser of the host: not over TCP, loopback or not."""
    with netns.inside(ground.bed.engine):
        sock = socket.create_connection(("127.0.0.1", 8080), 5)
    with sock:
        sock.sendall(b"GET /v1/captures/a?count=1 HTTP/1.0\r\nHost: evil.example\r\n\r\n")
        answer = sock.recv(4096).decode()
    assert " 403 " in answer.split("\r\n")[0] and "api.socket only" in answer, answer


def test_one_after_the_other(ground):
    with ground.call() as (p, call, other):
        for turn in range(5):
            file = ground.bed.path(f"turn{turn}")
            taking = ground.capture("a", "--count", "1", "--file", file) if turn else begin(ground, 1, file)
            for n in range(50):
                p.one.rtp.sendto(rtp.build(False, 0, 100 * turn + n, n, 0x11110000 + 7000, b"x"), call.answer.media())
                if taking.poll() is not None:
                    break
                time.sleep(0.02)
            out, err = taking.communicate(timeout=5)
            assert taking.returncode == 0, (turn, err)


def begin(ground, count, file):
    """A capture, as soon as the one before has ended (the engine learns of that a moment after its reader went)."""
    def start():
        taking = ground.capture("a", "--count", str(count), "--file", file)
        end = time.monotonic() + 5
        while taking.poll() is None and not (os.path.exists(file) and os.path.getsize(file)) and time.monotonic() < end:
            time.sleep(0.02)
        return taking if taking.poll() is None else None
    return netns.wait_for("the capture before to have ended", start, 10, 0.1)


def stop(taking):
    taking.send_signal(signal.SIGINT)
    out, err = taking.communicate(timeout=5)
    assert taking.returncode == 0 and "stopped here" in err.decode(), err


def test_slow_reader(ground):
    """Who does not read, and who is killed, costs the call nothing; a frame that finds no room is counted: capture_test.c."""
    bed = ground.bed
    with ground.call() as (p, call, other):
        taking = ground.capture("a", "--count", "100000", "--file", "-")  # nobody reads the pipe
        time.sleep(0.3)
        for turn in range(3):
            p.talk(call, other, count=50, start=50 * turn, interval_s=0.002)
        taking.kill()
        taking.communicate()
    stop(begin(ground, 5, bed.path("next")))  # the capture of who is gone has ended
    assert ground.engine.alive()


def after_all_is_given_back(ground):
    ground.engine.stop()


TESTS = [test_media_both_ways, test_one_leg, test_refusals, test_on_the_socket_only, test_one_after_the_other, test_slow_reader]


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [] if netns.NAT else [Suite("capture", ground, TESTS, after=[after_all_is_given_back])]
