# SPDX-License-Identifier: BSD-3-Clause
"""A baresip in a namespace: its configuration, its commands (ctrl_tcp's netstrings of JSON), its events."""

import json
import os
import select
import socket
import time

import netns

MODULES = "{codec}.so account.so aubridge.so aufile.so ctrl_tcp.so menu.so"  # codecs before accounts that name them
CONFIG = """poll_method epoll
sip_listen {address}:5060
audio_source aufile,{speech}
audio_player aubridge,sink
audio_alert aubridge,sink
ausrc_srate {rate}
auplay_srate {rate}
rtp_ports 10000-10100
rtcp_mux no
jitter_buffer_delay 1-5
module_path {modules}
{module_lines}
ctrl_tcp_listen {address}:4444
"""


def modules_path():
    for path in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"):
        if os.path.isdir(path):
            return path
    raise FileNotFoundError("baresip's modules are not where Debian has them: install baresip-core")


class Baresip:
    def __init__(self, bed, namespace, address, user, speech, answer=False, module="g711", codec="PCMU", rate=8000):
        """speech: a file at `rate`, which the codec has."""
        self.bed, self.events = bed, []
        home = bed.path("baresip-" + user)
        os.mkdir(home)
        lines = "\n".join("module " + name for name in MODULES.format(codec=module).split())
        self.write(home, "config", CONFIG.format(address=address, speech=speech, rate=rate, modules=modules_path(), module_lines=lines))
        mode = ";answermode=auto" if answer else ""
        self.write(home, "accounts", f"<sip:{user}@{address}>;regint=0;audio_codecs={codec}{mode}\n")
        self.write(home, "contacts", "")
        self.process = bed.start(namespace, ["baresip", "-4", "-f", home], log=f"baresip-{user}.log")
        with netns.inside(namespace):
            self.sock = netns.wait_for(f"baresip {user}'s control port", lambda: self.connect(address), 10, 0.1)
        self.text = b""

    @staticmethod
    def write(home, name, text):
        with open(os.path.join(home, name), "w") as file:
            file.write(text)

    @staticmethod
    def connect(address):
        sock = socket.socket()
        try:
            sock.connect((address, 4444))
            return sock
        except OSError:
            sock.close()
            return None

    def command(self, name, params=""):
        body = json.dumps({"command": name, "params": params}).encode()
        self.sock.sendall(b"%d:%s," % (len(body), body))

    def read(self, wait_s):
        """Take in what it said."""
        if select.select([self.sock], [], [], wait_s)[0]:
            self.text += self.sock.recv(65536)
        while b":" in self.text:
            size, _, rest = self.text.partition(b":")
            if len(rest) <= int(size):
                return
            self.events.append(json.loads(rest[:int(size)]))
            self.text = rest[int(size) + 1:]

    def wait_event(self, kind, timeout_s=10):
        end = time.monotonic() + timeout_s
        while True:
            for event in self.events:
                if event.get("type") == kind:
                    return event
            assert time.monotonic() < end, f"baresip: no {kind} within {timeout_s} s: {self.events[-5:]}"
            self.read(0.1)

    def close(self):
        self.sock.close()
        self.bed.stop(self.process, 5)
