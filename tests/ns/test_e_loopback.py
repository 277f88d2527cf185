# SPDX-License-Identifier: BSD-3-Clause
"""Softphones on the engine's own host: both parties on lo. Without the kernel's consent the engine says what to write."""

import contextlib
import re

import netns
import rtp
import sippeer
from engine import Engine, program
from run import Suite

A, B, OURS = "127.0.0.2", "127.0.0.3", "127.0.0.1"


class Ground:
    def __init__(self, bed):
        self.bed = bed
        self.inside = bed.engine

    def text(self, name, driver):
        bed = self.bed
        return f"""nics: [{{name: lo, device: "{driver}:lo"}}]
media: {{ports: 16384-16403}}
trunks:
  - {{name: a, target: "sip:{A}:5060"}}
  - {{name: b, target: "sip:{B}:5060"}}
routes: [{{match: {{trunk: a}}, to: ["trunk:b"]}}]
sip: {{listen: ["udp:{OURS}:5060"]}}
cdr: {{file: {bed.path(name)}-cdr.jsonl}}
api: {{socket: {bed.path(name)}.sock, listen: off}}
"""


def test_refused_with_the_lines_to_write(ground):
    bed, lines = ground.bed, set()
    bed.run(bed.engine, ["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"])
    for driver in ("af_packet", "af_xdp"):
        kedge = Engine(bed, text=ground.text("no-" + driver, driver), name="no-" + driver)
        done = bed.run(bed.engine, [program("kedged"), "-c", kedge.config])
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "write `sysctl -w " in said, said
        lines.add(re.search(r"`(sysctl -w [^`]*)`", said).group(1))
    assert len(lines) == 1, lines
    done = bed.run(bed.engine, lines.pop().split())  # and that is all that it takes
    assert done.returncode == 0, done.stderr


def call_on_lo(ground, driver):
    bed = ground.bed
    kedge = Engine(bed, text=ground.text(driver, driver), name=driver).start(30)
    with contextlib.ExitStack() as stack:
        stack.callback(kedge.kill)
        a, b = (stack.enter_context(sippeer.Peer(bed.engine, ip)) for ip in (A, B))
        one, two = rtp.End(bed.engine, A, 7000), rtp.End(bed.engine, B, 8000)
        stack.callback(one.close)
        stack.callback(two.close)
        call = a.invite((OURS, 5060), "bob", sippeer.sdp(A, 7000))
        other = b.wait_invite()
        other.reply(200, sippeer.sdp(B, 8000))
        call.progress(200)
        call.ack()
        other.take_ack()
        rtp.talk(one, two, call.answer.media(), other.invite.media(), count=25)
        call.bye()
        other.take_bye()
        a.expect(200, method="BYE")
        record = kedge.record_of(call.call_id)
        assert [leg["rx"]["packets"] for leg in record["legs"]] == [25, 25], record["legs"]
        kedge.stop()


def test_af_packet(ground):
    call_on_lo(ground, "af_packet")


def test_af_xdp(ground):
    call_on_lo(ground, "af_xdp")


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("loopback", ground, [test_refused_with_the_lines_to_write, test_af_packet, test_af_xdp])] \
    if netns.WORLD == "ip4" else []
