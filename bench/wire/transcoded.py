#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same transcoded calls through kedge and through Debian's rtpengine, over the same wires, in real time: CPU of the whole
engine (control, relay and dsp alike) for a two-way call of speech.
What an engine takes
to be there at all is in it: of kedge's adaptive lcores that is most at so few calls, so no number of calls a core follows. Codecs' settings are each engine's own: kedge codes Opus at 8 kHz, complexity
5 and 16 kbit/s for a narrowband peer, rtpengine at 48 kHz by ffmpeg's defaults.

    bench/run transcode-versus [--build DIR] [--json FILE] [--calls N]"""

import argparse
import contextlib
import os
import re
import time
import wave

import engines
import wires

import engine  # tests/ns, by wires
import ends
import netns
import report  # bench, by wires
import rtp
import sippeer
import speech

CASES = [(ends.PCMU, ends.G722), (ends.PCMU, ends.OPUS), (ends.PCMU, ends.GSM), (ends.G722, ends.OPUS)]
COLUMNS = [("system", "system"), ("case", "case"), ("cpu_us_per_call_second", "CPU us a call's second"),
           ("came_percent", "packets that came, %")]
SECONDS = 6
PORT = 20000


def cpu_s(pid):
    fields = wires.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bed(netns.Bed):
    """Ordinary sockets at both ends, each in a namespace of its own. Nothing is pinned to a CPU."""

    def __init__(self, build):
        self.build = build
        super().__init__()

    def pin(self, *_):
        pass


class Flow:
    """One direction: coded speech from a socket to where the engine wants it, and what comes to the other end."""

    def __init__(self, sock, to, codec, payload_type, payloads):
        self.sock, self.to, self.codec, self.type, self.payloads, self.n = sock, to, codec, payload_type, payloads, 0

    def send(self):
        n, step = self.n, self.codec.clock // 50
        self.sock.sendto(rtp.build(n == 0, self.type, n, n * step, id(self) & 0xffffffff, self.payloads[n % len(self.payloads)]), self.to)
        self.n += 1


def drain(socks):
    count = 0
    for sock in socks:
        with contextlib.suppress(BlockingIOError):
            while True:
                count += rtp.read(sock.recv(2048)) is not None
    return count


def run_flows(flows, seconds, socks):
    """Every flow a packet each 20 ms, spread over the 20 ms. Returns: packets that came meanwhile."""
    began, total, came = time.monotonic(), int(seconds * 50) * len(flows), 0
    for i in range(total):
        if i % (10 * len(flows)) == 0:
            came += drain(socks)  # the kernel keeps few of them
        wait = began + i * 0.02 / len(flows) - time.monotonic()
        if wait > 0.001:
            time.sleep(wait)
        flows[i % len(flows)].send()
    return came


def measure(pid, flows, socks):
    """Returns: (CPU us a call's second, share of packets that came)."""
    run_flows(flows, 1, socks)
    drain(socks)
    before, began = cpu_s(pid), time.monotonic()
    came = run_flows(flows, SECONDS, socks)
    passed, used = time.monotonic() - began, cpu_s(pid) - before
    time.sleep(0.3)
    return 1e6 * used / passed / (len(flows) / 2), (came + drain(socks)) / (SECONDS * 50 * len(flows))


def open_socks(bed, i):
    pair = [netns.udp_socket(namespace, f"10.77.{side}.2", PORT + 2 * i, 1 << 19)
            for side, namespace in ((1, bed.caller), (2, bed.callee))]
    for sock in pair:
        sock.setblocking(False)
    return pair


def rtpengine_calls(bed, count, one, two):
    relay = engines.Rtpengine(bed, 1)  # with a call of its own, in which nobody speaks
    flows = []
    with netns.udp_socket(bed.engine, "127.0.0.1") as sock:
        ng = engines.Ng(sock)
        ng.cookie = 1000  # it answers a cookie that it knows with what it said then
        for i in range(count):
            base = {"call-id": f"t-{i}", "from-tag": f"a{i}", "replace": ["origin"], "ICE": "remove"}
            offer = ng.ask({**base, "command": "offer", "direction": ["a", "b"], "codec": {"transcode": [two.name]},
                            "sdp": ends.sdp("10.77.1.2", PORT + 2 * i, [one], events=())})["sdp"]
            types = types_of(offer)
            answer = ng.ask({**base, "command": "answer", "to-tag": f"b{i}",
                             "sdp": ends.sdp("10.77.2.2", PORT + 2 * i, [two], [types[two.rtpmap]], events=())})["sdp"]
            flows.append((engines.media(answer), types_of(answer)[one.rtpmap], engines.media(offer), types[two.rtpmap]))
    return relay.pid, flows, relay.stop


def types_of(sdp):
    return {name: int(number) for number, name in re.findall(r"^a=rtpmap:(\d+) (\S+?)\r?$", sdp, re.M)}


def kedge_calls(bed, count, one, two):
    os.environ["KEDGE_BUILD"] = bed.build
    kedged = engine.Engine(bed, trunks=[f'{{name: other, target: "sip:10.77.2.2:5060", codecs: {{offer: [{two.name}]}}}}'],
                           routes=['{match: {trunk: caller}, to: ["trunk:other"]}'],
                           media="ports: 16384-32767, timeout_s: 3600", other=f"lcores: {{relay: [{wires.ENGINE_CPU}]}}\n")
    with open(kedged.config) as file:
        text = file.read()
    with open(kedged.config, "w") as file:
        file.write(text.replace("level: debug", "level: warn"))
    kedged.start()
    flows = []
    with sippeer.Peer(bed.caller, "10.77.1.2") as a, sippeer.Peer(bed.callee, "10.77.2.2") as b:
        for i in range(count):
            call = a.invite((netns.ENGINE_A, 5060), f"t{i}", ends.sdp("10.77.1.2", PORT + 2 * i, [one], events=()))
            other = b.wait_invite()
            types = types_of(other.invite.body.decode())
            other.reply(200, ends.sdp("10.77.2.2", PORT + 2 * i, [two], [types[two.rtpmap]], events=()))
            answer = call.progress(200)
            call.ack()
            other.take_ack()
            flows.append((answer.media(), types_of(answer.body.decode())[one.rtpmap], other.invite.media(), types[two.rtpmap]))
    return kedged.process.pid, flows, lambda: bed.stop(kedged.process)


def run_case(build, system, make, count, one, two):
    print(f"  {system}, {one}-{two} ...", flush=True)
    with Bed(build) as bed:
        said = speech_of()
        pid, calls, stop = make(bed, count, one, two)
        socks, flows = [], []
        coded = {codec: codec.encode(said, bandwidth=8000) for codec in (one, two)}
        for i, (to_a, type_a, to_b, type_b) in enumerate(calls):
            pair = open_socks(bed, i)
            socks += pair
            flows += [Flow(pair[0], to_a, one, type_a, coded[one]), Flow(pair[1], to_b, two, type_b, coded[two])]
        us, came = measure(pid, flows, socks)
        for sock in socks:
            sock.close()
        stop()
    return {"system": system, "case": f"{one}-{two}", "cpu_us_per_call_second": us, "came_percent": 100 * came}


def speech_of():
    with wave.open(speech.prompt("demo-instruct")) as file:
        return file.readframes(8000 * 10)


def main():
    parser = argparse.ArgumentParser(prog="bench/run transcode-versus", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(report.ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--calls", type=int, default=40)
    args = parser.parse_args()
    netns.clean_up_on_exit()
    build, rows = wires.built(args.build), []
    for one, two in CASES:
        for system, make in (("rtpengine", rtpengine_calls), ("kedge", kedge_calls)):
            rows.append(run_case(build, system, make, args.calls, one, two))
    print()
    report.table(rows, COLUMNS)
    if args.json:
        report.write_json(args.json, "transcode-versus", rows)


if __name__ == "__main__":
    main()
