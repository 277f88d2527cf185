# SPDX-License-Identifier: BSD-3-Clause
"""A browser's SIP in a namespace: tests/js/client.js, which is JsSIP over a WebSocket in Node. It sends no media: whoever
starts it has the media ends that its SDP names."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time

from engine import ROOT

SOURCE = os.path.join(ROOT, "tests", "js")


def modules():
    """The directory of node_modules that package-lock.json asks for, installed where it is not there yet."""
    with open(os.path.join(SOURCE, "package-lock.json"), "rb") as file:
        name = "js-" + hashlib.sha256(file.read()).hexdigest()[:12]
    home = os.path.join(ROOT, "build", name)
    done, installed = os.path.join(home, "installed"), os.path.join(home, "node_modules")
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of suites may come here at once
        if not os.path.exists(done):
            if not shutil.which("npm"):
                raise FileNotFoundError("npm is not here: install nodejs and npm")
            for file in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(SOURCE, file), home)
            got = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=home, text=True, timeout=180,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if got.returncode:
                raise RuntimeError(f"npm ci in {home}: exit {got.returncode}: {got.stdout.strip()}")
            with open(done, "w"):
                pass
    return installed


class JsSip:
    """options: words of client.js's command line."""

    def __init__(self, bed, namespace, name, url, *options):
        self.bed, self.name, self.events, self.taken = bed, name, [], 0
        self.process = bed.start(namespace, ["node", os.path.join(SOURCE, "client.js"), "--ws", url, "--user", name, *options],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 stderr=open(bed.path(f"jssip-{name}.err"), "ab"), env=dict(os.environ, NODE_PATH=modules()))
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with open(self.bed.path(f"jssip-{self.name}.out"), "a") as log:
            for line in self.process.stdout:
                log.write(line)
                with self.changed:
                    self.events.append(json.loads(line))
                    self.changed.notify_all()

    def expect(self, event, timeout_s=10):
        """Wait for the next event of that name; others in between are passed over. Returns: it."""
        end = time.monotonic() + timeout_s
        with self.changed:
            while True:
                while self.taken < len(self.events):
                    self.taken += 1
                    if self.events[self.taken - 1]["event"] == event:
                        return self.events[self.taken - 1]
                left = end - time.monotonic()
                assert left > 0 and self.process.poll() is None, f"{self.name}: no {event} within {timeout_s} s: {self.story()}"
                self.changed.wait(min(left, 0.2))

    def story(self):
        with open(self.bed.path(f"jssip-{self.name}.err"), errors="replace") as file:
            return ", ".join(e["event"] for e in self.events) + "\n" + file.read()[-2000:]

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def close(self):
        """Fails where it did not end by itself."""
        self.process.stdin.close()
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            status = self.bed.stop(self.process)
        self.reader.join(2)
        assert status == 0, f"{self.name}: client.js ended with {status}: {self.story()}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.bed.stop(self.process)
