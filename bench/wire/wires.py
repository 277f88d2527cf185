# SPDX-License-Identifier: BSD-3-Clause
"""The wires of the benches: two veth pairs between a generator and an engine, each on a CPU of its own.

    generator's namespace, CPU 0             engine's namespace, CPU 1
   +----------------------------+           +--------------------------+
   | bench_gen   A  10.77.1.2   |-----------| vA 10.77.1.1             |
   | SIP peers   B  10.77.2.2   |-----------| vB 10.77.2.1     engine  |
   +----------------------------+           +--------------------------+

A veth has no interrupt: whoever sends runs the receiving of the other end, up to its socket, in his own system call. So
the engine's CPU bears one sending and one receiving for each packet that it relays, as behind a real nic, only that the
receiving is that of the generator's end, and the cheap one of XDP for every engine. RECEIVE "engine" has the kernel's
NAPI threads on the engine's CPU receive for the engine instead, like an interrupt: its own receiving is then counted
too, and its CPU bears two of them."""

import contextlib
import ctypes
import fcntl
import json
import os
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "ns"), os.path.join(ROOT, "bench")]

import netns  # noqa: E402

GENERATOR_CPU, ENGINE_CPU = 0, 1
LOSS = 0.001  # a rate with less is one without loss ...
QUEUE_US = 20000  # ... unless it queues longer than a packet's 20 ms
SIOCETHTOOL, ETHTOOL_SGRO = 0x8946, 0x2c


def read(path):
    """A file's text; "" where it is gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def built(build):
    """Build what the benches need in this build directory. Returns: its path."""
    names = ("control/kedged", "bench/wire/bench_gen", "bench/wire/gen_xdp.bpf.o")
    subprocess.run(["ninja", "-C", build, *names], check=True, stdout=subprocess.DEVNULL)
    return os.path.abspath(build)


class Wires(netns.Bed):
    """The picture above. receive: "sender" or "engine". plain: one veth pair from A to B instead, and no engine."""

    def __init__(self, build, receive="sender", plain=False):
        self.build, self.receive, self.plain = build, receive, plain
        stem = f"kw{os.getpid()}"
        super().__init__(names=(stem + "g", stem + "e", stem + "g"))

    def names(self):
        return self.caller, self.engine

    def _up(self, _):
        for name in self.names():
            netns.run("ip", "netns", "add", name)
            netns.run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                      "net.ipv6.conf.default.disable_ipv6=1", check=False)
            self.ip(name, "link set lo up")
        if self.plain:
            self.ip(self.caller, "link add name A type veth peer name B")
            for end in "AB":
                self.ip(self.caller, f"link set {end} up")
            return
        for number, end in ((1, "A"), (2, "B")):
            self._join(self.engine, "v" + end, f"10.77.{number}.1", self.caller, end, [f"10.77.{number}.2"])
            if self.receive == "engine":
                self._receive_by_threads("v" + end)

    def _join(self, near, name, address, far, far_name, addresses):
        netns.run("ip", "link", "add", "name", name, "netns", near, "type", "veth", "peer", "name", far_name, "netns",
                  far)
        self.ip(far, f"link set {far_name} up")
        self.ip(near, f"link set {name} up")
        self.ip(near, f"addr add {address}/24 dev {name}")
        self.ip(far, f"addr add {addresses[0]}/24 dev {far_name}")

    def _receive_by_threads(self, interface):
        value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGRO, 1))  # makes a veth use NAPI without XDP too
        with netns.udp_socket(self.engine, "0.0.0.0") as sock:
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), ctypes.addressof(value)))
        self.sys(self.engine, f"/sys/class/net/{interface}/threaded", "1")

    def receivers(self):
        """The kernel's threads that receive for the engine; they are on its CPU from here on."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and read(f"/proc/{entry}/comm").startswith(("napi/vA-", "napi/vB-")):
                os.sched_setaffinity(int(entry), {ENGINE_CPU})
                os.sched_setscheduler(int(entry), os.SCHED_FIFO, os.sched_param(1))
                found.append(int(entry))
        return found

    def sys(self, namespace, path, value=None):
        """Read or write a file of sysfs as that namespace has it."""
        command = f"echo {value} > {path}" if value else f"cat {path}"
        return netns.run("ip", "netns", "exec", namespace, "sh", "-c", command).strip()

    def start(self, namespace, command, **options):
        """What starts here goes before everything else on the machine: others would be measured too."""
        process = super().start(namespace, ["nice", "-n", "-20", *command], start_new_session=True, **options)
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/autogroup", "w") as file:
            file.write("-20")  # niceness counts inside a session only, where the kernel groups by session
        return process

    def pin(self, pid, spare=()):
        """All threads of the engine, and the kernel's that receive for it, on its CPU from here on; spare: but for
        those of these numbers, which go to the generator's."""
        for task in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setaffinity(task, {GENERATOR_CPU if task in spare else ENGINE_CPU})
        self.receivers()

    def mac(self, namespace, interface):
        return self.sys(namespace, f"/sys/class/net/{interface}/address")

    def next_hops(self):
        """Where A's and B's frames go: two MAC addresses."""
        if self.plain:
            return self.mac(self.caller, "B"), self.mac(self.caller, "A")
        return self.mac(self.engine, "vA"), self.mac(self.engine, "vB")


class Generator:
    """bench_gen on both ends of the wires. calls: [(from A, to A's next, from B, to B's next)], each "IP:PORT"."""

    def __init__(self, wires, calls, driver="af_xdp", burst=8):
        file = wires.path("calls")
        with open(file, "w") as out:
            out.write(" ".join(wires.next_hops()) + "\n")
            out.writelines(" ".join(call) + "\n" for call in calls)
        folder = os.path.join(wires.build, "bench", "wire")
        program = ["--xdp", os.path.join(folder, "gen_xdp.bpf.o")] if driver == "af_xdp" else []
        self.wires, self.calls = wires, len(calls)
        self.process = wires.start(wires.caller, [
            os.path.join(folder, "bench_gen"), "--driver", driver, *program, "--cpu", str(GENERATOR_CPU),
            "--burst", str(burst), "--calls", file, "A", "B"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("bench_gen did not start: see what it said above")

    def run(self, rate, seconds):
        """One run at so many packets a second, both directions together. Returns: what bench_gen says, and what share
        of the time it waited for its CPU, which others had."""
        task, start = f"/proc/{self.process.pid}", time.monotonic()
        before = schedstat(task)[1]
        self.process.stdin.write(f"run {rate:.0f} {seconds}\n")
        self.process.stdin.flush()
        result = json.loads(self.process.stdout.readline())
        result["disturbed_percent"] = 100e-9 * (schedstat(task)[1] - before) / (time.monotonic() - start)
        return result

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def good(result):
    """Was this rate sent, and did it go through without loss and without a queue that grows?"""
    return (sent(result) and result["loss"] < LOSS and result["latency_p99_us"] < QUEUE_US)


def sent(result):
    """Did the generator itself manage what it was asked?"""
    return result["sent_per_s"] > 0.985 * result["asked_per_s"] and result["refused"] <= LOSS * result["sent"]


def search(generator, say=lambda text: None, start=50000):
    """The highest rate without loss: double, then bisect to 4 %, then the median of three runs of 2 s.
    Returns: (the three runs' median, whether it was the generator that could not send more)."""
    low, high, limited = 0, None, False

    def probe(rate):
        result = generator.run(rate, 1)
        if not good(result):
            result = generator.run(rate, 1)  # somebody else had the CPU, perhaps
        say(f"{rate:8.0f}/s: sent {result['sent_per_s']:.0f}, loss {100 * result['loss']:.3f} %, "
            f"p99 {result['latency_p99_us']:.0f} us, {'good' if good(result) else 'bad'}")
        return result

    rate = start
    while high is None or high > 1.04 * low:
        result = probe(rate)
        if good(result):
            low = rate
        else:
            high, limited = rate, not sent(result)
        rate = 2 * low if high is None else (low + high) / 2
        if high is not None and high < 1000:
            raise RuntimeError(f"not even {high:.0f} packets a second go through: {result}")
    while True:
        runs = []
        while len(runs) < 3 and len(runs) - sum(map(good, runs)) < 2:
            runs.append(generator.run(low, 2))
        if sum(map(good, runs)) >= 2:
            return sorted(runs, key=lambda run: run["loss"])[len(runs) // 2], limited
        say(f"{low:8.0f}/s: not for 2 s: {[round(100 * run['loss'], 3) for run in runs]} % lost, "
            f"p99 {[round(run['latency_p99_us']) for run in runs]} us")
        limited = not all(map(sent, runs))
        low *= 0.94


def schedstat(task):
    """A thread's nanoseconds (on a CPU, waiting for one); 0 where it is gone."""
    words = read(f"{task}/schedstat").split() or ("0", "0")
    return int(words[0]), int(words[1])


class Meter:
    """CPU time of the engine: all threads of its process and the kernel's that receive for it. What softirqs run in
    their context counts as theirs (this kernel does not account for it apart)."""

    def __init__(self, pid, wires):
        self.pid, self.wires = pid, wires

    def _threads(self):
        return [f"/proc/{self.pid}/task/{task}" for task in os.listdir(f"/proc/{self.pid}/task")]

    def read(self):
        """Nanoseconds: (CPU time of all, the time that its busiest thread waited for the CPU)."""
        stats = [schedstat(task) for task in self._threads()]
        kernel = [schedstat(f"/proc/{pid}") for pid in self.wires.receivers()]
        return sum(on for on, _ in stats + kernel), max(stats)[1]


def measure(generator, rate, meter=None, seconds=1, times=5):
    """Some runs at one rate. Returns: the one that was disturbed least, with cpu_us_per_packet where there is a meter."""
    runs = []
    for _ in range(times):
        before, start = meter.read() if meter else (0, 0), time.monotonic()
        run = generator.run(rate, seconds)
        if meter:
            used, waited = (now - then for now, then in zip(meter.read(), before))
            run["cpu_us_per_packet"] = used / 1000 / max(run["received"], 1)
            if meter.wires.receive == "sender":  # else it waits for its own receiving too
                run["disturbed_percent"] = max(run["disturbed_percent"], 100e-9 * waited / (time.monotonic() - start))
        runs.append(run)
    return min(runs, key=lambda run: run["disturbed_percent"])
