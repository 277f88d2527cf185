# SPDX-License-Identifier: BSD-3-Clause
"""kedged under test: its configuration, its start and stop, its API, its metrics, its call records."""

import http.client
import json
import os
import re
import signal
import socket
import time

import netns

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GAUGES = ("kedge_calls", "kedge_dialogs", "kedge_transactions", "kedge_legs", "kedge_ports_in_use",
          "kedge_mbufs_in_use", "kedge_rooms", "kedge_taps")
LONGEST_S = 40  # 64*T1 + T4, and a little: the longest that a transaction may live after its call


def program(name):
    """A built program: the one in the build directory under test (KEDGE_BUILD, default build)."""
    build = os.environ.get("KEDGE_BUILD", os.path.join(ROOT, "build"))
    for path in (os.path.join(build, name), os.path.join(build, "control", name), os.path.join(build, "tests", name)):
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{name} is not built in {build}: run script/build")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout_s):
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    def __init__(self, path):
        self.path = path

    def ask(self, method, path, timeout_s=5):
        """Returns: (status, content type, body text)."""
        connection = UnixConnection(self.path, timeout_s)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
        finally:
            connection.close()

    def get(self, path):
        status, _, text = self.ask("GET", path)
        assert status == 200, f"GET {path}: {status} {text}"
        return json.loads(text)

    def calls(self):
        return self.get("/v1/calls")["items"]

    def lcores(self, role="relay"):
        return [one for one in self.get("/v1/lcores")["items"] if one["role"] == role]

    def metrics(self):
        status, _, text = self.ask("GET", "/metrics")
        assert status == 200, f"/metrics: {status}"
        return read_metrics(text)

    def events(self, seconds, last=None):
        """Listen to /v1/events for that long. Returns: [{id, event, data}]."""
        connection = UnixConnection(self.path, 0.3)
        connection.request("GET", "/v1/events", headers={"Last-Event-ID": str(last)} if last is not None else {})
        text, end = b"", time.monotonic() + seconds
        sock = connection.sock
        while time.monotonic() < end:
            try:
                part = sock.recv(65536)
            except TimeoutError:
                continue
            if not part:
                break
            text += part
        connection.close()
        return read_events(text.decode())


def read_metrics(text):
    """Prometheus text as {name or name{labels}: value}."""
    out = {}
    for line in text.splitlines():
        found = re.match(r"([a-zA-Z_:][\w:]*(?:\{[^}]*\})?)\s+(\S+)", line)
        if found:
            out[found.group(1)] = float(found.group(2))
    return out


def read_events(text):
    out = []
    for block in re.split(r"\r?\n\r?\n", text):
        fields = dict(re.findall(r"^(id|event|data): ?(.*?)\r?$", block, re.M))
        if "data" in fields:
            out.append({"id": int(fields.get("id", 0)), "event": fields.get("event"), "data": json.loads(fields["data"])})
    return out


def leaks(metrics):
    """The gauges that are not 0; one that is missing counts as not 0."""
    return {name: metrics.get(name, "missing") for name in GAUGES if metrics.get(name) != 0}


def drops(metrics, reason):
    return metrics.get(f'kedge_drops_total{{reason="{reason}"}}', 0)


def total_drops(metrics):
    return sum(value for name, value in metrics.items() if name.startswith("kedge_drops_total"))


class Engine:
    """kedged in the middle namespace of a bed. trunks, routes: lines of YAML; other: whole further sections;
    text: the whole file instead."""

    def __init__(self, bed, trunks=(), routes=(), media="ports: 16384-17407, timeout_s: 60", other="", name="kedge",
                 ring_timeout_s=180, text=None, nic_a=""):
        self.bed, self.name = bed, name
        self.socket, self.cdr_file = bed.path(name + ".sock"), bed.path(name + "-cdr.jsonl")
        self.config, self.log = bed.path(name + ".yaml"), name + ".log"
        self.api, self.process = Api(self.socket), None
        if text:
            with open(self.config, "w") as file:
                file.write(text)
        else:
            self.write(trunks, routes, media, other, ring_timeout_s, nic_a)

    def write(self, trunks=(), routes=(), media="ports: 16384-17407, timeout_s: 60", other="", ring_timeout_s=180,
              nic_a=""):
        """nic_a: more keys for the nic on the caller's side."""
        lines = ["nics:", f'  - {{name: a, device: "{netns.DRIVER}:vA"{nic_a}}}', f'  - {{name: b, device: "{netns.DRIVER}:vB"}}',
                 f"media: {{{media}}}", "trunks:",
                 f'  - {{name: caller, target: "sip:{netns.host(netns.CALLER)}:5060", from: ["{netns.CALLER_NET}"], '
                 f'behind_nat: {str(netns.NAT).lower()}}}',
                 f'  - {{name: callee, target: "sip:{netns.host(netns.CALLEE)}:5060", ring_timeout_s: {ring_timeout_s}}}',
                 *(f"  - {trunk}" for trunk in trunks), "routes:", *(f"  - {route}" for route in routes),
                 '  - {match: {trunk: caller}, to: ["trunk:callee"]}', '  - {match: {trunk: callee}, to: ["trunk:caller"]}',
                 f"cdr: {{file: {self.cdr_file}}}", f"api: {{socket: {self.socket}}}", "log: {level: debug, format: json}"]
        if netns.QUEUES:
            lines.append("lcores: {relay: [0, 1]}")
        with open(self.config, "w") as file:
            file.write("\n".join(lines) + "\n" + other)

    def start(self, timeout_s=15):
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99",
                           LSAN_OPTIONS=f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0",
                           UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
        self.process = self.bed.start(self.bed.engine, [program("kedged"), "-c", self.config], log=self.log,
                                      env=environment)
        try:
            netns.wait_for("kedged's /healthz", self.healthy, timeout_s, 0.05)
        except AssertionError:
            self.kill()  # it would hold the interfaces against the next
            raise
        return self

    def healthy(self):
        if self.process.poll() is not None:
            raise AssertionError(f"kedged ended at once with {self.process.returncode}:\n{self.last_log()}")
        try:
            return self.api.ask("GET", "/healthz")[0] in (200, 503)  # how well it is: test_i_health.py
        except OSError:
            return False

    def last_log(self, lines=25):
        with open(self.bed.path(self.log), errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def alive(self):
        return self.process.poll() is None

    def stop(self, timeout_s=12):
        """SIGTERM. Fails where kedged does not end well and in time."""
        status = self.bed.stop(self.process, timeout_s)
        assert status == 0, f"kedged ended with {status} at SIGTERM:\n{self.last_log()}"

    def kill(self):
        self.bed.stop(self.process, 5, signal.SIGKILL)

    def ctl(self, *words):
        return self.bed.run(self.bed.engine, [program("kedgectl"), "-s", self.socket, *words])

    def records(self):
        """The call records so far."""
        try:
            with open(self.cdr_file) as file:
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []

    def record_of(self, call_id, timeout_s=3):
        """The call record of the call that has this SIP Call-ID on one of its legs. Fails where there are two."""
        def find():
            return [r for r in self.records() if any(leg.get("sip_call_id") == call_id for leg in r["legs"])]
        found = netns.wait_for(f"a call record for {call_id}", find, timeout_s, 0.1)
        assert len(found) == 1, f"{len(found)} call records for one call"
        return found[0]

    def no_leaks(self, timeout_s=LONGEST_S):
        """Every gauge is 0 again, at the latest when the last transaction is over."""
        end = time.monotonic() + timeout_s
        while True:
            left = leaks(self.api.metrics())
            if not left:
                return
            assert time.monotonic() < end, f"not given back {timeout_s} s after the calls: {left}"
            time.sleep(0.25)
