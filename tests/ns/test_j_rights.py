# SPDX-License-Identifier: BSD-3-Clause
"""The rights of a running engine, what systemd hears of it, and what a core dump would hold."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess

import netns
from calls import Parties
from engine import Engine, program
from run import Suite

NET_ADMIN = 1 << 12
NOBODY = pwd.getpwnam("nobody").pw_uid


class Ground:
    def __init__(self, bed):
        self.bed, self.engine, self.api = bed, None, None

    @contextlib.contextmanager
    def running(self, **options):
        self.engine = Engine(self.bed, **options)
        self.api = self.engine.api
        try:
            yield self.engine.start(30)
        finally:
            self.engine.kill()


def threads(kedge):
    """{name of the thread, its id: {key: value}} of /proc."""
    out = {}
    for task in os.listdir(f"/proc/{kedge.process.pid}/task"):
        with open(f"/proc/{kedge.process.pid}/task/{task}/status") as file:
            out[int(task)] = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return out


def dumpable(kedge):
    """Would a crash leave a core? Of a process that leaves none root owns /proc/PID."""
    return os.stat(f"/proc/{kedge.process.pid}/environ").st_uid == int(threads(kedge)[kedge.process.pid]["Uid"].split()[0])


def test_rights_are_dropped(ground):
    """As nobody, with CAP_NET_ADMIN in the control thread only: calls, reload and the XDP program's end all work."""
    bed = ground.bed
    os.chmod(bed.dir, 0o755)
    own = bed.path("own")
    os.mkdir(own)
    os.chown(own, NOBODY, -1)
    victim = bed.path("victim")
    open(victim, "w").close()
    os.symlink(victim, bed.path("own/kedge-cdr.jsonl"))  # whoever owns the directory may do that
    with ground.running(other="user: nobody\n", name="own/kedge") as kedge, contextlib.ExitStack() as stack:
        pid = kedge.process.pid
        for task, status in threads(kedge).items():
            assert set(status["Uid"].split()) == {str(NOBODY)}, f"thread {status['Name']}: uid {status['Uid']}"
            wanted = NET_ADMIN if task == pid else 0
            for key in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                want = wanted if key in ("CapEff", "CapPrm") else 0
                assert int(status[key], 16) == want, f"thread {status['Name']}: {key} is {status[key]}"
        main = threads(kedge)[pid]
        assert main["NoNewPrivs"] == "1" and int(main["CapBnd"], 16) == 0, main
        p = Parties(ground, stack, netns.CALLER, netns.CALLEE, "bob")
        call, other = p.answered()
        p.talk(call, other)
        kedge.process.send_signal(signal.SIGHUP)
        netns.wait_for("the reload", lambda: "read again" in kedge.last_log(200), 3)
        bed.ip(bed.engine, "neigh flush dev vB")  # what was known of the callee is asked for again
        netns.wait_for("media after the neighbours were forgotten", lambda: talks(p, call, other), 10, 0.5)
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        assert os.stat(victim).st_uid == 0, "a link's target was given away"
        assert dumpable(kedge)
        kedge.ctl("nic", "capture", "a", "--count", "1", "--file", "/nothing/there")  # media may come into the heap
        assert not dumpable(kedge), "a core would be written, with what was captured"
        kedge.stop()
        assert "xdp" not in bed.ip(bed.engine, "link show"), bed.ip(bed.engine, "link show")
        assert not os.path.exists(kedge.socket), "the API's socket was left"


def test_install(ground):
    """meson install puts everything in its place; the example is good; systemd takes the unit."""
    root = ground.bed.path("root")
    build = os.path.dirname(os.path.dirname(program("kedged"))) if "control" in program("kedged") else \
        os.path.dirname(program("kedged"))
    netns.run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
    there = {os.path.relpath(os.path.join(where, name), root) for where, _, names in os.walk(root) for name in names}
    wanted = {"usr/local/" + name for name in (
        "bin/kedged", "bin/kedgectl", "lib/systemd/system/kedge.service", "lib/sysusers.d/kedge.conf",
        "lib/tmpfiles.d/kedge.conf", "share/doc/kedge/kedge.yaml", "share/doc/kedge/README.md", "share/doc/kedge/LICENSE",
        "share/doc/kedge/architecture.md", "share/doc/kedge/security.md", "share/doc/kedge/fail2ban/kedge.conf",
        "share/doc/kedge/fail2ban/jail-kedge.conf")}
    assert there == wanted, f"missing {wanted - there}, too much {there - wanted}"
    done = ground.bed.run(ground.bed.engine, [f"{root}/usr/local/bin/kedged", "-C", "-c",
                                              f"{root}/usr/local/share/doc/kedge/kedge.yaml"])
    assert done.returncode == 0, done.stdout + done.stderr
    unit = f"{root}/usr/local/lib/systemd/system/kedge.service"
    with open(unit) as file:
        text = file.read()
    assert "ExecStart=/usr/local/bin/kedged -c /etc/kedge/kedge.yaml" in text and "@" not in text, text
    if shutil.which("systemd-analyze"):
        with open(unit, "w") as file:
            file.write(text.replace("/usr/local/bin/kedged", f"{root}/usr/local/bin/kedged"))
        done = subprocess.run(["systemd-analyze", "verify", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        words = [line for line in done.stdout.splitlines() if "kedge.service" in line and "not writable" not in line]
        assert not words, words


def talks(p, call, other):
    talks.start = getattr(talks, "start", 100) + 50
    try:
        p.talk(call, other, start=talks.start)
        return True
    except AssertionError:
        return False


def test_unknown_user(ground):
    kedge = Engine(ground.bed, other="user: nobody-of-that-name\n", name="unknown")
    with contextlib.suppress(AssertionError):
        kedge.start(10)
    assert kedge.process.wait(10) == 1
    assert "there is no system user nobody-of-that-name: `useradd --system" in kedge.last_log(), kedge.last_log()
    assert "xdp" not in ground.bed.ip(ground.bed.engine, "link show")


def test_core_has_no_media(ground):
    """Every mapping that holds packets or legs is marked to be left out of core dumps; the rest is there for a trace."""
    with ground.running(name="core") as kedge:
        with open(f"/proc/{kedge.process.pid}/smaps") as file:
            mappings = re.findall(r"^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+ *(\S*)(.*?)^VmFlags: ([^\n]*)", file.read(), re.M | re.S)
        packets = [(name, flags.split()) for access, name, rest, flags in mappings
                   if ("nohuge" in name or "hugepages" in name or "socket:" in name) and access.startswith("rw")]
        assert len(packets) >= 2, mappings
        shown = [name for name, flags in packets if "dd" not in flags and int(re.search(r"Rss: +(\d+)", next(
            rest for _, n, rest, _ in mappings if n == name)).group(1))]
        assert not shown, f"in a core dump would be {shown}"
        assert any(name in ("", "[heap]") and access.startswith("rw") and "dd" not in flags.split()
                   for access, name, _, flags in mappings), "the heap is left out: nobody could find the fault"
        kedge.stop()


def test_systemd_is_told(ground):
    """sd_notify(3): READY once, WATCHDOG each second while all is well, STOPPING at the end."""
    path = ground.bed.path("notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    listener.settimeout(5)
    os.environ["NOTIFY_SOCKET"] = path
    try:
        with ground.running(name="notify") as kedge:
            heard = [listener.recv(64).decode() for _ in range(4)]
            kedge.stop()
            listener.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:
                    heard.append(listener.recv(64).decode())
    finally:
        del os.environ["NOTIFY_SOCKET"]
        listener.close()
    assert heard[0] == "READY=1" and heard[-1] == "STOPPING=1" and set(heard[1:-1]) == {"WATCHDOG=1"}, heard


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("rights", ground, [test_rights_are_dropped, test_unknown_user, test_core_has_no_media, test_systemd_is_told,
                                   test_install])] \
    if netns.WORLD in ("ip4", "af_packet") else []
