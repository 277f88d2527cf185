# SPDX-License-Identifier: BSD-3-Clause
"""Health that means something: each check made to fail on a running engine, told by /healthz, kedgectl, a metric and an
alarm; and well again when its cause is gone. (A late control loop and a stuck lcore: control/health_test.c.)"""

import contextlib
import json
import os

import netns
from calls import Parties
from engine import Engine
from run import Suite


class Ground:
    def __init__(self, bed):
        self.bed, self.engine = bed, None

    @contextlib.contextmanager
    def running(self, **options):
        self.engine = Engine(self.bed, **options)
        try:
            yield self.engine.start(30)
            self.engine.stop()
        finally:
            self.engine.kill()


def checks_of(kedge):
    status, _, text = kedge.api.ask("GET", "/healthz")
    checks = {check["what"]: check for check in json.loads(text)["checks"]}
    bad = {name for name, check in checks.items() if not check["ok"]}
    assert (status == 200) == (not bad), f"{status}: {text}"
    return checks, bad


def failing(kedge):
    """The checks that fail now, by all who tell of it."""
    while True:
        checks, bad = checks_of(kedge)
        metrics, shown = kedge.api.metrics(), kedge.ctl("health", "show")
        again, still = checks_of(kedge)
        if still == bad and all(again[name] == checks[name] for name in bad):  # else it changed while we asked around
            break
    assert bad == {name for name in checks if metrics[f'kedge_health{{check="{name}"}}'] == 0}, (bad, metrics)
    assert shown.returncode == (1 if bad else 0), shown
    for name in bad:
        assert "FAIL  " + name in shown.stdout and checks[name]["detail"] in shown.stdout, shown.stdout
    return bad - {"control_loop"}  # the machine may have stalled: that says nothing of the others


def fails_and_heals(kedge, check, mend):
    netns.wait_for(f"the check {check} to fail", lambda: failing(kedge) == {check}, 10, 0.2)
    mend()
    netns.wait_for(f"the check {check} to be well again", lambda: not failing(kedge), 10, 0.2)
    alarms = [(e["data"]["name"], e["data"]["active"]) for e in kedge.api.events(1, last=0) 
              if e["event"] == "alarm" and e["data"]["name"] != "control_loop"]
    assert alarms == [(check, True), (check, False)], alarms


def test_link(ground):
    with ground.running(name="link") as kedge:
        assert not failing(kedge)
        ground.bed.ip(ground.bed.engine, "link set vB down")
        fails_and_heals(kedge, "nic", lambda: ground.bed.ip(ground.bed.engine, "link set vB up"))


def test_ports(ground):
    with ground.running(media="ports: 16384-16387", name="ports") as kedge, contextlib.ExitStack() as stack:
        ground.api = kedge.api
        p = Parties(ground, stack, netns.CALLER, netns.CALLEE, "bob")
        calls = [p.answered() for _ in range(2)]
        fails_and_heals(kedge, "ports", lambda: [p.hang_up(*call) for call in calls])


def test_disk(ground):
    small = ground.bed.path("small")
    os.mkdir(small)
    netns.run("mount", "-t", "tmpfs", "-o", "size=200m", "none", small)
    try:
        with ground.running(name="small/disk") as kedge:
            netns.run("mount", "-o", "remount,size=1m", small)
            fails_and_heals(kedge, "disk", lambda: netns.run("mount", "-o", "remount,size=200m", small))
    finally:
        netns.run("umount", small)


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("health", ground, [test_link, test_ports, test_disk])] if netns.WORLD == "ip4" else []
