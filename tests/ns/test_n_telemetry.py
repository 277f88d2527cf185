# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's telemetry socket: /kedge/... says what /metrics says, and nothing of it is left on disk."""

import contextlib
import json
import os
import pwd
import re
import signal
import socket

import netns
from calls import Parties
from engine import Engine
from run import Suite


class Ground:
    def __init__(self, bed):
        self.bed, self.engine, self.api = bed, None, None
        os.chmod(bed.dir, 0o755)
        self.own = bed.path("own")
        os.mkdir(self.own)
        os.chown(self.own, pwd.getpwnam("nobody").pw_uid, -1)

    @contextlib.contextmanager
    def running(self, other="", more=", telemetry: true"):
        self.engine = Engine(self.bed, name="own/kedge", other=other)
        with open(self.engine.config) as file:
            text = file.read()
        with open(self.engine.config, "w") as file:
            file.write(re.sub(r"(api: \{socket: [^}]*)\}", rf"\1{more}}}", text))
        self.api = self.engine.api
        try:
            yield self.engine.start(30)
        finally:
            self.engine.kill()

    def directory(self, kedge):
        return os.path.join(self.own, "dpdk", f"kedge-{kedge.process.pid}")


class Client:
    """As dpdk-telemetry.py speaks it."""

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(3)
        self.sock.connect(os.path.join(directory, "dpdk_telemetry.v2"))
        self.hello = json.loads(self.sock.recv(16384))

    def ask(self, command):
        self.sock.send(command.encode())
        answer = json.loads(self.sock.recv(16384))
        return answer[command.split(",")[0]]


def test_telemetry_agrees_with_metrics(ground):
    with ground.running(other="user: nobody\n") as kedge, contextlib.ExitStack() as stack:
        p = Parties(ground, stack, netns.CALLER, netns.CALLEE, "bob")
        call, other = p.answered()
        p.talk(call, other)
        client = Client(ground.directory(kedge))
        stack.callback(client.sock.close)
        assert client.hello["pid"] == kedge.process.pid, client.hello
        metrics, totals = kedge.api.metrics(), client.ask("/kedge/totals")
        assert totals["rtp_relayed"] == metrics["kedge_rtp_relayed_total"] > 0, totals
        assert totals["legs"] == 2, totals
        assert client.ask("/kedge/lcores") == [1]
        lcore = client.ask("/kedge/lcore,1")
        assert lcore["legs"] == 2 and lcore["rtp_relayed"] == totals["rtp_relayed"], lcore
        assert lcore["stage_forward_packets"] == lcore["rtp_relayed"] + lcore["rtcp_relayed"], lcore
        assert "/kedge/lcores lists" in client.ask("/kedge/lcore,7") and "/kedge/lcores lists" in client.ask("/kedge/lcore")
        drops = client.ask("/kedge/drops")
        assert drops == {name: metrics[f'kedge_drops_total{{reason="{name}"}}'] for name in drops} and len(drops) > 20, drops
        nics = client.ask("/kedge/nics")
        assert set(nics) == {"a", "b"} and client.ask(f"/ethdev/info,{nics['a']}")["name"], nics
        p.hang_up(call, other)
        p.ended(call, other, "disconnected", "caller_hangup")
        kedge.stop()
        assert not os.path.exists(os.path.join(ground.own, "dpdk")), os.listdir(ground.own)


def test_telemetry_after_kill_9(ground):
    with ground.running() as kedge:
        left = ground.directory(kedge)
        kedge.process.send_signal(signal.SIGKILL)
        kedge.process.wait()
        assert os.path.exists(left)
    with ground.running() as kedge:
        assert os.listdir(os.path.join(ground.own, "dpdk")) == [os.path.basename(ground.directory(kedge))]
        Client(ground.directory(kedge)).sock.close()
        kedge.stop()


def test_telemetry_is_off_by_itself(ground):
    with ground.running(more="") as kedge:
        assert not os.path.exists(os.path.join(ground.own, "dpdk")), os.listdir(ground.own)
        kedge.stop()


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("telemetry", ground, [test_telemetry_agrees_with_metrics, test_telemetry_after_kill_9,
                                      test_telemetry_is_off_by_itself])] if netns.WORLD == "ip4" else []
