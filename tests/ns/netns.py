# SPDX-License-Identifier: BSD-3-Clause
"""Three network namespaces on one machine, and what runs in them.

    caller namespace          engine namespace            callee namespace
   +----------------+       +--------------------+       +----------------+
   | eth0 10.77.1.2 |-------| vA        kedged   |-------| eth0 10.77.2.2 |
   |      .3 - .99  | veth  | 10.77.1.1     vB   | veth  |      .3 - .62  |
   +----------------+       |       10.77.2.1    |       +----------------+
                            +--------------------+
   Each scenario has an address of its own at the callee, so that many run at once on one engine. In the caller's
   namespace 10.77.1.99 belongs to no trunk: the stranger.
"""

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

CALLER, CALLEE, STRANGER = "10.77.1.2", "10.77.2.2", "10.77.1.99"
ENGINE_A, ENGINE_B = "10.77.1.1", "10.77.2.1"
CLONE_NEWNET = 0x40000000
SO_TIMESTAMPNS = 35

_libc = ctypes.CDLL(None, use_errno=True)
_beds = []
_count = 0


def run(*command, check=True):
    """Run a command to its end. Returns its output; a failure names the command and what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def wait_for(what, fn, timeout_s, step_s=0.02):
    """Call fn until it gives something true; AssertionError after timeout_s. Returns that something."""
    end = time.monotonic() + timeout_s
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(step_s)


@contextlib.contextmanager
def inside(namespace):
    """The calling thread stands in that network namespace; sockets that it makes stay there."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as after:
        if _libc.setns(after.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter network namespace {namespace}: run as root")
        try:
            yield
        finally:
            _libc.setns(before.fileno(), CLONE_NEWNET)


def udp_socket(namespace, address, port=0, buffer_bytes=0):
    with inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, 33, buffer_bytes)  # SO_RCVBUFFORCE
    sock.bind((address, port))
    return sock


class Bed:
    """The namespaces of the picture above, a temporary directory and every process that was started in them."""

    def __init__(self, addresses=3, names=None):
        global _count
        _count += 1
        stem = f"kt{os.getpid()}-{_count}"
        self.caller, self.engine, self.callee = names or (stem + "a", stem + "e", stem + "b")
        self.dir = tempfile.mkdtemp(prefix="kedge-")
        self.processes = []
        self.lock = threading.Lock()
        _beds.append(self)
        try:
            self._up(addresses)
        except BaseException:
            self.down()
            raise

    def _up(self, addresses):
        for name in self.names():
            run("ip", "netns", "add", name)
            for key in ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"):
                run("ip", "netns", "exec", name, "sysctl", "-qw", key, check=False)
            self.ip(name, "link set lo up")
        for ours, theirs, net, local in (("vA", self.caller, "10.77.1", ENGINE_A), ("vB", self.callee, "10.77.2", ENGINE_B)):
            run("ip", "link", "add", ours, "netns", self.engine, "type", "veth", "peer", "name", "eth0", "netns", theirs)
            self.ip(self.engine, f"addr add {local}/24 dev {ours}")
            self.ip(theirs, f"addr add {net}.2/24 dev eth0")
            for i in range(3, addresses):
                self.ip(theirs, f"addr add {net}.{i}/24 dev eth0")
            self.ip(self.engine, f"link set {ours} up")
            self.ip(theirs, "link set eth0 up")
            self.ip(theirs, f"route add default via {local}")
        self.ip(self.caller, f"addr add {STRANGER}/24 dev eth0")

    def names(self):
        return self.caller, self.engine, self.callee

    def ip(self, namespace, words):
        return run("ip", "-n", namespace, *words.split())

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, namespace, command, log=None, **options):
        """Start a program in a namespace; it ends at the latest with the bed. log: file name in the bed's directory."""
        out = open(self.path(log), "ab") if log else None
        if out:
            options.update(stdout=out, stderr=subprocess.STDOUT)
        try:
            options.setdefault("stdin", subprocess.DEVNULL)
            process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], **options)
        finally:
            if out:
                out.close()
        with self.lock:
            self.processes.append(process)
        return process

    def run(self, namespace, command, timeout_s=20):
        return subprocess.run(["ip", "netns", "exec", namespace, *command], timeout=timeout_s, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self, process, timeout_s=10, sig=signal.SIGTERM):
        """Ask a process to end, make it end when it does not. Returns its exit status."""
        if process.poll() is None:
            process.send_signal(sig)
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def down(self):
        if self in _beds:
            _beds.remove(self)
        for process in self.processes:
            self.stop(process, 3)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
        for name in self.names():
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def keep_logs(self, where):
        """Copy what the bed's programs wrote (not the captures) for whoever reads a failure."""
        os.makedirs(where, exist_ok=True)
        for name in sorted(os.listdir(self.dir)):
            source = self.path(name)
            if os.path.isfile(source) and not name.endswith(".pcap"):
                shutil.copy(source, where)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()


def everything_down():
    for bed in list(_beds):
        bed.down()


def _on_signal(number, _):
    raise SystemExit(128 + number)


def clean_up_on_exit():
    """Give namespaces, processes and files back however this process ends (short of SIGKILL)."""
    atexit.register(everything_down)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _on_signal)
