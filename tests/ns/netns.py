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

KEDGE_WORLD changes the picture, so that the same tests run over other networks:
   ip4        as drawn, both interfaces by af_xdp
   af_packet  both interfaces by af_packet
   ip6        fd77:1::N and fd77:2::N instead
   mixed      the caller has IPv4, the callee IPv6
   lcores     as mixed, with two relay lcores and interfaces of two queues, over which the kernel spreads packets as it likes
   nat        the caller has 192.168.77.N and a NAT between it and the engine, which has 10.77.1.2 outside
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

WORLD = os.environ.get("KEDGE_WORLD", "ip4")
assert WORLD in ("ip4", "af_packet", "ip6", "mixed", "nat", "lcores"), f"KEDGE_WORLD={WORLD}: there is no such world"
DRIVER = "af_packet" if WORLD == "af_packet" else "af_xdp"
NAT = WORLD == "nat"
QUEUES = ("numtxqueues", "2", "numrxqueues", "2") if WORLD == "lcores" else ()
FAMILY = {"ip6": (6, 6), "mixed": (4, 6), "lcores": (4, 6)}.get(WORLD, (4, 4))  # of the caller's and of the callee's side


def at_caller(n):
    """The caller's address number n (1: the engine's)."""
    return f"fd77:1::{n:x}" if FAMILY[0] == 6 else f"192.168.77.{n}" if NAT and n > 1 else f"10.77.1.{n}"


def at_callee(n):
    return f"fd77:2::{n:x}" if FAMILY[1] == 6 else f"10.77.2.{n}"


def host(ip):
    """An address as a URI has it."""
    return f"[{ip}]" if ":" in ip else ip


def is_parties(text):
    """Does this text hold an address of the caller's or callee's networks (the engine's own are among them)?"""
    return any(net in text for net in ("10.77.", "fd77:", "192.168.77."))


CALLER, CALLEE, STRANGER = at_caller(2), at_callee(2), at_caller(99)
ENGINE_A, ENGINE_B = at_caller(1), at_callee(1)
CALLER_NET = "fd77:1::/122" if FAMILY[0] == 6 else "10.77.1.0/26"  # as the engine sees it, without the stranger
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
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
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
        self.nat = stem + "n"  # in the world of that name only
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
            for scope in ("all", "default"):
                key = "accept_dad=0" if 6 in FAMILY else "disable_ipv6=1"
                run("ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{scope}.{key}", check=False)
            self.ip(name, "link set lo up")
        self._join(self.engine, "vA", ENGINE_A, self.nat if NAT else self.caller, "eth0",
                   ["10.77.1.2"] if NAT else [at_caller(n) for n in range(2, addresses)] + [STRANGER])
        self._join(self.engine, "vB", ENGINE_B, self.callee, "eth0", [at_callee(n) for n in range(2, addresses)])
        if NAT:
            self._join(self.nat, "inside", "192.168.77.1", self.caller, "eth0",
                       [at_caller(n) for n in range(2, addresses)] + [STRANGER])
            run("ip", "netns", "exec", self.nat, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.nat_rules("oifname eth0 masquerade")

    def _join(self, near, name, address, far, far_name, addresses):
        """A veth between two namespaces; the far one's default route goes through it."""
        bits = 64 if ":" in address else 24
        run("ip", "link", "add", name, "netns", near, *QUEUES, "type", "veth", "peer", "name", far_name, "netns", far, *QUEUES)
        # up first: an IPv6 address that is there before its link waits up to a second until it answers
        batch = [f"addr add {ip}/{bits} dev {far_name}" for ip in addresses] + [f"route add default via {address}"]
        self.ip(far, f"link set {far_name} up")
        self.ip(near, f"link set {name} up")
        self.ip(near, f"addr add {address}/{bits} dev {name}")
        subprocess.run(["ip", "-n", far, "-batch", "-"], input="\n".join(batch), text=True, check=True)
        for namespace in (near, far):
            wait_for("IPv6 addresses to be free of duplicates", lambda: not self.ip(namespace, "addr show tentative"), 5)

    def nat_rules(self, postrouting, prerouting="accept", forward=""):
        """Make the NAT of the world "nat" another one: the rules of its hooks, nft's words. A set `asked` is there for
        addresses."""
        text = f"""flush ruleset
            table ip nat {{
              set asked {{ type ipv4_addr; flags dynamic; timeout 5m; }}
              chain forward {{ type filter hook forward priority filter; {forward or "accept"}; }}
              chain prerouting {{ type nat hook prerouting priority dstnat; {prerouting}; }}
              chain postrouting {{ type nat hook postrouting priority srcnat; {postrouting}; }}
            }}"""
        subprocess.run(["ip", "netns", "exec", self.nat, "nft", "-f", "-"], input=text, text=True, check=True)

    def names(self):
        return (self.caller, self.engine, self.callee) + ((self.nat,) if NAT else ())

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
