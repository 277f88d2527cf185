# SPDX-License-Identifier: BSD-3-Clause
"""SIPp with the scenarios of tests/sipp. It ends with 0 only where every message came as its scenario says."""

import os
import shutil
import subprocess

from engine import ROOT

SCENARIOS = os.path.join(ROOT, "tests", "sipp")


class Sipp:
    def __init__(self, bed, namespace, scenario, address, name, to=None, user="", calls=1, more=(), media_port=6000):
        self.bed, self.name = bed, f"sipp-{name}-{scenario}"
        self.error, self.message = bed.path(self.name + ".err"), bed.path(self.name + ".msg")
        file = shutil.copy(os.path.join(SCENARIOS, scenario + ".xml"), bed.path(self.name + ".xml"))
        command = ["sipp", "-sf", file, "-i", address, "-p", "5060", "-m", str(calls),
                   "-nostdin", "-trace_err", "-error_file", self.error, "-trace_msg", "-message_file", self.message,
                   "-timeout", "60s", "-timeout_error", "-mi", address, "-mp", str(media_port), *more]
        if to:
            command += ["-s", user, to]
        self.process = bed.start(namespace, command, log=self.name + ".out", cwd=bed.dir,
                                 env=dict(os.environ, TERM="dumb"))

    def finish(self, timeout_s=70):
        """Wait for its end. AssertionError with SIPp's own words where something was not as the scenario says."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.bed.stop(self.process)
            raise AssertionError(f"{self.name}: SIPp did not end in {timeout_s} s\n{self.words()}") from None
        assert status == 0, f"{self.name}: SIPp ended with {status}\n{self.words()}"
        assert not os.path.exists(self.error) or os.path.getsize(self.error) == 0, f"{self.name}:\n{self.words()}"

    def words(self):
        out = ""
        for path, most in ((self.error, 3000), (self.message, 3000)):
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    out += file.read()[-most:]
        return out
