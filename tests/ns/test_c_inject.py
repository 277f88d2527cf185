# SPDX-License-Identifier: BSD-3-Clause
"""RTP bleed: someone who sprays valid RTP at every media port before, during and after a call, knows the codec and has
guessed SSRC and sequence, from another host and from the caller's own. Not one byte of it is forwarded, no media goes
to it, and the true party is heard from its first packet on (R76)."""

import contextlib
import threading

import netns
import rtp
from calls import Ground
from engine import drops
from run import Suite

PORTS = range(16384, 17408)


class Sprayer(threading.Thread):
    """Sends to all media ports over and over, until stop()."""

    def __init__(self, bed, sources, ssrc):
        super().__init__(daemon=True)
        self.ssrc, self.going, self.rounds, self.sent = ssrc, True, 0, 0
        self.sockets = [netns.udp_socket(bed.caller, address, port, 1 << 20) for address, port in sources]
        for sock in self.sockets:
            sock.setblocking(False)

    def run(self):
        while self.going:
            for sock in self.sockets:
                for n, port in enumerate(PORTS):
                    data = rtp.build(False, 0, 65528 + self.rounds % 20, 160 * n, self.ssrc, b"injected" * 20)
                    with contextlib.suppress(OSError):  # what the kernel says of ports that are not live
                        sock.sendto(data, (netns.ENGINE_A, port))
                        self.sent += 1
            self.rounds += 1

    def stop(self):
        """Returns: what came back to it."""
        self.going = False
        self.join()
        got = []
        for sock in self.sockets:
            for _ in range(10000):
                try:
                    got.append(sock.recv(2048))
                except BlockingIOError:
                    break
                except OSError:
                    continue
            sock.close()
        return got


def test_spray(ground):
    with ground.parties(test_spray) as p:
        before = ground.api.metrics()
        sprayer = Sprayer(ground.bed, ((netns.STRANGER, 7000), (p.a.address, 7100)), 0x11110000 + 7000)
        sprayer.start()
        netns.wait_for("a round before the call", lambda: sprayer.rounds >= 1, 20)
        call, other = p.answered()
        p.talk(call, other, count=50)
        rounds = sprayer.rounds
        netns.wait_for("rounds during the call", lambda: sprayer.rounds >= rounds + 2, 20)
        p.talk(call, other, count=50, start=50)
        assert not p.two.drain(p.two.rtp) and not p.two.drain(p.two.rtcp), "the callee heard more than the caller said"
        p.hang_up(call, other)
        rounds = sprayer.rounds
        netns.wait_for("a round after the call", lambda: sprayer.rounds >= rounds + 1, 20)
        came_back = sprayer.stop()
        assert not came_back, f"media for the injector: {len(came_back)} datagrams, first {came_back[0][:40]!r}"
        assert not p.two.drain(p.two.rtp), "the callee heard something after the call"
        record = p.ended(call, other, "disconnected", "caller_hangup")
        legs = {leg["role"]: leg for leg in record["legs"]}
        assert legs["caller"]["rx"]["packets"] == 100 and legs["caller"]["rx"]["lost"] == 0, legs["caller"]["rx"]
        refused = legs["caller"]["refused"]
        assert refused and refused["packets"] >= 4 and refused["last_ssrc"] == 0x11110000 + 7000, refused
        assert drops(ground.api.metrics(), "wrong_source") - drops(before, "wrong_source") >= refused["packets"]


TESTS = [test_spray]


@contextlib.contextmanager
def ground():
    with netns.Bed(len(TESTS) + 3) as bed:
        context = Ground(bed, TESTS, {})
        yield context
        context.engine.stop()


SUITES = [] if netns.NAT else [Suite("inject", ground, TESTS)]
