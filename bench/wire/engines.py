# SPDX-License-Identifier: BSD-3-Clause
"""The relays that are compared, each in the engine's namespace and on the engine's CPU, with the same calls through it.
An engine has: system, case, pid, calls (for bench_gen), memory_per_call_kb, stop()."""

import os
import re
import shutil
import time

import wires

import engine  # tests/ns
import netns
import sippeer

BASE_PORT = 20000
WINDOW = 50  # INVITEs without an answer at a time


def rss_kb(pid):
    return int(re.search(r"^VmRSS:\s+(\d+)", wires.read(f"/proc/{pid}/status"), re.M).group(1))


def end(side, number):
    """Where one side's end of a call is, as IP:PORT."""
    return f"10.77.{side}.2:{BASE_PORT + 2 * number}"


def straight(count):
    """Calls from one end to the other with nobody between."""
    return [(end(1, i), end(2, i), end(2, i), end(1, i)) for i in range(count)]


def text(address):
    return f"{address[0]}:{address[1]}"


class Kedge:
    system = "kedge"

    def __init__(self, bed, count, idle="adaptive", alone=False):
        """alone: its relay lcore has the CPU to itself, and the control thread is elsewhere."""
        self.case = f"af_xdp {idle}"
        os.environ["KEDGE_BUILD"] = bed.build
        self.engine = engine.Engine(bed, media="ports: 16384-32767, timeout_s: 3600", other=(
            f"lcores: {{relay: [{wires.ENGINE_CPU}], idle: {idle}}}\n"))
        self._quiet_log()
        self.engine.start()
        self.pid = self.engine.process.pid
        before = rss_kb(self.pid)
        self.calls = call_by_sip(bed, count)
        self.memory_per_call_kb = (rss_kb(self.pid) - before) / count
        bed.pin(self.pid, (self.pid,) if alone else ())

    def _quiet_log(self):
        with open(self.engine.config) as file:
            config = file.read()
        with open(self.engine.config, "w") as file:
            file.write(config.replace("level: debug", "level: warn"))

    def drops(self):
        metrics = self.engine.api.metrics()
        return {name: value for name, value in metrics.items() if name.startswith("kedge_drops_total") and value}

    def stop(self):
        self.engine.bed.stop(self.engine.process)


def call_by_sip(bed, count):
    """Real calls through kedge, from A's SIP peer to B's. Returns: their ends and where they send."""
    ends, started, done = [[None, None] for _ in range(count)], 0, 0
    dialogs = {}
    with sippeer.Peer(bed.caller, netns.CALLER) as one, sippeer.Peer(bed.callee, netns.CALLEE) as two:
        limit = time.monotonic() + 20 + count / 100
        while done < count:
            while started < count and started - done < WINDOW:
                dialog = one.invite((netns.ENGINE_A, 5060), f"bench-{started}",
                                    sippeer.sdp(one.address, BASE_PORT + 2 * started, "0"))
                dialogs[dialog.call_id] = dialog, started
                started += 1
            done += take_caller(one, dialogs, ends) + take_callee(two, dialogs, ends)
            if time.monotonic() > limit:
                raise RuntimeError(f"only {done} of {count} calls were answered through kedge")
        time.sleep(0.2)  # the last ACK
    return [(end(1, i), text(ends[i][0]), end(2, i), text(ends[i][1])) for i in range(count)]


def take_caller(peer, dialogs, ends):
    answered = 0
    while (got := peer.receive(0)):
        dialog, number = dialogs[got.call_id]
        if got.status and 200 <= got.status < 300 and not ends[number][0]:
            dialog.answer, dialog.remote, dialog.remote_uri = got, got.get("to"), got.contact
            ends[number][0] = got.media()
            dialog.ack()
            answered += 1
        elif got.status and got.status >= 300:
            raise RuntimeError(f"kedge refused a call: {got.start}")
    peer.log.clear()
    return answered


def take_callee(peer, dialogs, ends):
    while (got := peer.receive(0.001)):
        if got.method != "INVITE" or got.call_id in dialogs:
            continue
        number = int(got.user.split("-")[1])
        dialogs[got.call_id] = None
        ends[number][1] = got.media()
        sippeer.Dialog.answering(peer, got).reply(200, sippeer.sdp(peer.address, BASE_PORT + 2 * number, "0"))
    peer.log.clear()
    return 0


class Rtpengine:
    system, case = "rtpengine", "userspace, 1 thread"

    def __init__(self, bed, count):
        program = shutil.which("rtpengine")
        if not program:
            raise FileNotFoundError("rtpengine is not installed: apt-get install rtpengine-daemon")
        self.bed = bed
        self.process = bed.start(bed.engine, [
            program, "--foreground", "--log-stderr", "--log-level=3", "--table=-1", "--interface=a/10.77.1.1",
            "--interface=b/10.77.2.1", "--listen-ng=127.0.0.1:2223", "--num-threads=1", "--timeout=3600",
            "--silent-timeout=3600", "--port-min=16384", "--port-max=32767", "--pidfile=" + bed.path("rtpengine.pid"),
            "--config-file=none"], log="rtpengine.log")
        self.pid = self.process.pid
        with netns.udp_socket(bed.engine, "127.0.0.1") as sock:
            ng = Ng(sock)
            ng.ask({"command": "ping"}, 30)  # its libraries are large
            before = rss_kb(self.pid)
            self.calls = [self._call(ng, i) for i in range(count)]
            self.memory_per_call_kb = (rss_kb(self.pid) - before) / count
        bed.pin(self.pid)

    def _call(self, ng, i):
        base = {"call-id": f"bench-{i}", "from-tag": f"a{i}", "replace": ["origin"], "ICE": "remove"}
        offer = ng.ask({**base, "command": "offer", "direction": ["a", "b"],
                        "sdp": sippeer.sdp(netns.CALLER, BASE_PORT + 2 * i, "0")})
        answer = ng.ask({**base, "command": "answer", "to-tag": f"b{i}",
                         "sdp": sippeer.sdp(netns.CALLEE, BASE_PORT + 2 * i, "0")})
        return end(1, i), text(media(answer["sdp"])), end(2, i), text(media(offer["sdp"]))

    def drops(self):
        return {}

    def stop(self):
        self.bed.stop(self.process)


def media(sdp):
    ip = re.search(r"^c=IN IP4 (\S+)", sdp, re.M).group(1)
    return ip, int(re.search(r"^m=audio (\d+) ", sdp, re.M).group(1))


class Ng:
    """rtpengine's control protocol over UDP."""

    def __init__(self, sock):
        self.sock, self.cookie = sock, 0

    def ask(self, request, timeout_s=2):
        self.cookie += 1
        cookie, limit = f"k{self.cookie}", time.monotonic() + timeout_s
        self.sock.settimeout(0.2)
        while time.monotonic() < limit:
            try:
                self.sock.sendto(f"{cookie} ".encode() + bencode(request), ("127.0.0.1", 2223))
                data = self.sock.recv(65536)
            except OSError:  # not there yet
                time.sleep(0.05)
                continue
            mine, _, body = data.partition(b" ")
            if mine.decode() != cookie:
                continue
            reply = bdecode(body, 0)[0]
            if reply.get("result") not in ("ok", "pong"):
                raise RuntimeError(f"rtpengine refused {request['command']}: {reply}")
            return reply
        raise RuntimeError(f"rtpengine did not answer {request['command']} within {timeout_s} s")


def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(k) + bencode(v) for k, v in value.items()) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    if isinstance(value, int):
        return b"i%de" % value
    return b"%d:%s" % (len(value.encode()), value.encode())


def bdecode(data, at):
    """Returns: (the value at this place, the place behind it)."""
    kind = data[at:at + 1]
    if kind == b"i":
        stop = data.index(b"e", at)
        return int(data[at + 1:stop]), stop + 1
    if kind in b"dl":
        items, at = [], at + 1
        while data[at:at + 1] not in (b"e", b""):
            item, at = bdecode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    stop = colon + 1 + int(data[at:colon])
    return data[colon + 1:stop].decode(errors="replace"), stop


class Testpmd:
    """DPDK's own forwarding of the same frames over the same wires: what they carry with nothing done in between."""
    system, case, memory_per_call_kb = "testpmd", "af_xdp io", None

    def __init__(self, bed, count):
        program = shutil.which("dpdk-testpmd")
        if not program:
            raise FileNotFoundError("dpdk-testpmd is not installed: apt-get install dpdk")
        self.bed = bed
        self.process = bed.start(bed.engine, [
            program, "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--no-shconf", "--iova-mode=va",
            "--file-prefix", f"bench-{os.getpid()}", "--lcores", f"0@{wires.ENGINE_CPU},1@{wires.ENGINE_CPU}",
            "--vdev", "net_af_xdp0,iface=vA,busy_budget=0", "--vdev", "net_af_xdp1,iface=vB,busy_budget=0", "--",
            "--auto-start", "--forward-mode=io", "--rxd=4096", "--txd=4096", "--total-num-mbufs=24000",
            "--stats-period=1000"], log="testpmd.log")
        self.pid = self.process.pid
        self.calls = straight(count)
        time.sleep(2)
        if self.process.poll() is not None:
            raise RuntimeError("testpmd did not start:\n" + wires.read(bed.path("testpmd.log"))[-2000:])
        bed.pin(self.pid)

    def drops(self):
        return {}

    def stop(self):
        self.bed.stop(self.process)
