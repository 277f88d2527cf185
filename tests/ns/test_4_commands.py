# SPDX-License-Identifier: BSD-3-Clause
"""What users type: kedged -C on wrong files, kedgectl's words and exit codes, the picture of the pipeline."""

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import sys

import engine
import netns
from run import Suite
from test_3_robust import Ground

WRONG = os.path.join(engine.ROOT, "tests", "config")


def check_file(path):
    return subprocess.run([engine.program("kedged"), "-C", "-c", os.path.basename(path)], cwd=os.path.dirname(path),
                          capture_output=True, text=True, timeout=10)


def test_wrong_configurations(_):
    """tests/config/NAME.yaml gives exactly NAME.err on stderr, and exit 1."""
    files = sorted(glob.glob(os.path.join(WRONG, "*.yaml")))
    wrong = [f for f in files if not os.path.basename(f).startswith("good")]
    assert len(wrong) >= 12, f"only {len(wrong)} wrong configurations in {WRONG}"
    for path in wrong:
        done = check_file(path)
        with open(path[:-5] + ".err") as file:
            expected = file.read()
        assert done.returncode == 1, f"{path}: exit {done.returncode}"
        assert done.stderr == expected, f"{path} says\n{done.stderr}instead of\n{expected}"


def test_good_configurations(ground):
    for path in sorted(glob.glob(os.path.join(WRONG, "good*.yaml"))):
        done = check_file(path)
        assert done.returncode == 0 and not done.stderr, f"{path}: {done.returncode} {done.stderr}"
    readme = open(os.path.join(engine.ROOT, "README.md")).read()
    example = ground.bed.path("readme.yaml")
    with open(example, "w") as file:
        file.write(re.search(r"```yaml\n(.*?)```", readme, re.S).group(1))
    done = check_file(example)
    assert done.returncode == 0, f"README's example: {done.stderr}"


def test_no_file(ground):
    done = subprocess.run([engine.program("kedged"), "-c", ground.bed.path("absent.yaml")], capture_output=True, text=True,
                          timeout=10)
    assert done.returncode == 1 and "absent.yaml" in done.stderr, done.stderr


def test_kedgectl(ground):
    """Exit 0 ok, 1 refused or not found, 2 usage, 3 no engine; -j is JSON; an unknown word shows what exists."""
    with ground.running() as kedge, ground.parties() as p:
        call, other = p.answered()
        p.talk(call, other)
        for words in (("call", "list"), ("leg", "list"), ("nic", "show"), ("lcore", "show"), ("stats", "show")):
            done = kedge.ctl(*words)
            assert done.returncode == 0 and done.stdout.strip() and not done.stderr, (words, done)
            done = kedge.ctl("-j", *words)
            assert done.returncode == 0, (words, done)
            json.loads(done.stdout)
        mine = json.loads(kedge.ctl("-j", "call", "list").stdout)["items"][0]["id"]
        assert mine in kedge.ctl("call", "list").stdout
        shown = kedge.ctl("-j", "call", "show", mine)
        assert shown.returncode == 0 and json.loads(shown.stdout)["id"] == mine, shown
        leg = json.loads(shown.stdout)["legs"][0]["id"]
        assert json.loads(kedge.ctl("-j", "leg", "show", str(leg)).stdout)["role"] == "caller"
        for words, status in ((("call", "show", "nobody"), 1), (("call", "hangup", "nobody"), 1), (("leg", "show", "99"), 1),
                              (("frob", "list"), 2), (("call", "frob"), 2), (("call",), 2), ((), 2), (("call", "show"), 2)):
            done = kedge.ctl(*words)
            assert done.returncode == status and done.stderr.strip(), (words, status, done)
        assert all(word in kedge.ctl("frob", "list").stderr for word in ("call", "leg", "nic", "lcore", "stats"))
        assert all(word in kedge.ctl("call", "frob").stderr for word in ("list", "show", "hangup"))
        done = kedge.ctl("call", "hangup", mine)
        assert done.returncode == 0, done
        call.take_bye()
        other.take_bye()
        p.ended(call, other, "disconnected", "api_hangup")
        kedge.stop()
        done = kedge.ctl("call", "list")
        assert done.returncode == 3 and done.stderr.strip(), done


def test_picture(ground):
    """`kedgectl lcore show --graph` is what docs and README show."""
    with ground.running() as kedge:
        done = kedge.ctl("lcore", "show", "--graph")
        assert done.returncode == 0 and "rx" in done.stdout, done
        with open(os.path.join(engine.ROOT, "docs", "pipeline.txt")) as file:
            assert done.stdout == file.read(), "docs/pipeline.txt is old: kedgectl lcore show --graph > docs/pipeline.txt"
        readme = open(os.path.join(engine.ROOT, "README.md")).read()
        block = re.search(r"<!-- pipeline.*?-->\n```\w*\n(.*?)```\n<!-- /pipeline -->", readme, re.S).group(1)
        assert block == done.stdout, "README's picture is old: put docs/pipeline.txt between its pipeline marks"


def left_of(pid):
    """What a demo of that process id has left on this machine."""
    return [line for line in netns.run("ip", "netns", "list").splitlines() if f"-{pid}" in line]


def start_demo(*words):
    return subprocess.Popen([sys.executable, os.path.join(engine.ROOT, "tests", "ns", "demo.py"), *words], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=engine.ROOT)


def test_demo(_):
    demo = start_demo()
    said = demo.communicate(timeout=90)[0]
    assert demo.returncode == 0, said
    exact = re.findall(r"^  (caller to callee|callee to caller) .* yes +(\S+) +(\S+)$", said, re.M)
    assert len(exact) == 2 and all(sent == got for _, sent, got in exact), said
    for word in ("INVITE (SDP)", "100 Trying", "180 Ringing", "200 OK (SDP)", "ACK", "BYE", "digit 1", "digit *"):
        assert word in said, f"no {word} in the ladder:\n{said}"
    assert not left_of(demo.pid), f"left behind: {left_of(demo.pid)}"


def test_demo_interrupted(_):
    demo = start_demo("--stay")
    while "INVITE" not in demo.stdout.readline():
        assert demo.poll() is None, "the demo ended by itself"
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=20)
    assert demo.returncode == 130, f"exit {demo.returncode}"
    assert not left_of(demo.pid), f"left behind: {left_of(demo.pid)}"


@contextlib.contextmanager
def ground():
    with netns.Bed() as bed:
        yield Ground(bed)


SUITES = [Suite("commands", ground, [test_wrong_configurations, test_good_configurations, test_no_file, test_kedgectl, test_picture,
                                     test_demo, test_demo_interrupted])]
