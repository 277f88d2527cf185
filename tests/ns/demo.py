#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration behind script/demo: a real call with speech and digits through kedged, and what became of it."""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import capture  # noqa: E402
import engine  # noqa: E402
import netns  # noqa: E402
import rtp  # noqa: E402
import speech  # noqa: E402
from ladder import Ladder  # noqa: E402
from sipp import Sipp  # noqa: E402

SECONDS, TALK = 8, {"caller": ("demo-congrats", "123#", 0x0ca11e12), "callee": ("demo-instruct", "789*", 0x0ca11ee0)}

CONFIG = """nics:
  - {{name: left, device: "af_xdp:vA"}}
  - {{name: right, device: "af_xdp:vB"}}
trunks:
  - {{name: caller, target: "sip:{caller}:5060"}}   # calls are accepted from these two addresses,
  - {{name: callee, target: "sip:{callee}:5060"}}   # everybody else gets 403
routes:
  - {{match: {{trunk: caller}}, to: ["trunk:callee"]}}
  - {{match: {{trunk: callee}}, to: ["trunk:caller"]}}
cdr: {{file: {cdr}}}
api: {{socket: {socket}}}
"""

PICTURE = """
   namespace {0:<22} namespace {1:<22} namespace {2}
   +--------------------+           +--------------------+           +--------------------+
   |  SIPp, the caller  |   veth    | vA    kedged    vB |   veth    |  SIPp, the callee  |
   |      10.77.1.2     |-----------| 10.77.1.1          |-----------|      10.77.2.2     |
   |                    |           |          10.77.2.1 |           |                    |
   +--------------------+           +--------------------+           +--------------------+"""


class Trouble(Exception):
    """Something that the user can do something about: the text says what."""


def heading(text):
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_engine(bed):
    text = CONFIG.format(caller=netns.CALLER, callee=netns.CALLEE, cdr=bed.path("kedge-cdr.jsonl"),
                         socket=bed.path("kedge.sock"))
    kedge = engine.Engine(bed, text=text)
    heading("The configuration")
    print("".join("  " + line for line in text.splitlines(True)), end="")
    heading("kedged starts on af_xdp")
    began = time.monotonic()
    try:
        kedge.start()
    except AssertionError as error:
        raise Trouble(f"kedged did not start. It says:\n\n{error}\n\n"
                      "What it asks for stands in its last lines. AF_XDP needs Linux 5.10 or newer and root; in a container "
                      "it needs --privileged.") from None
    print(f"  ready after {time.monotonic() - began:.1f} s, pid {kedge.process.pid}")
    return kedge


def write_speech(bed):
    """Returns: {side: RTP packets as SIPp will send them}."""
    sent = {}
    for side, (prompt, digits, ssrc) in TALK.items():
        packets = speech.stream(speech.prompt(prompt), SECONDS, digits, ssrc)
        speech.write_pcap(bed.path(side + ".pcap"), packets)
        sent[side] = [data for _, data in packets]
    return sent


def place_call(bed, name, while_it_runs):
    callee = Sipp(bed, bed.callee, "uas_speech", netns.CALLEE, name)
    time.sleep(0.5)
    caller = Sipp(bed, bed.caller, "uac_speech", netns.CALLER, name, to=f"{netns.ENGINE_A}:5060", user="bob")
    end = time.monotonic() + 40
    while (caller.process.poll() is None or callee.process.poll() is None) and time.monotonic() < end:
        while_it_runs()
        time.sleep(0.05)
    try:
        caller.finish(1)
        callee.finish(1)
    except AssertionError as error:
        raise Trouble(f"the call did not go as it should. SIPp says:\n\n{error}") from None


def show_call(bed, kedge):
    """Place the call and draw it. Returns: what was captured at the caller and at the callee, and the CPU it took."""
    heading("The call, as it happens")
    ladder = Ladder(netns.CALLER, netns.CALLEE)
    captures = [capture.Capture(bed, bed.caller, "caller", live=ladder.caller),
                capture.Capture(bed, bed.callee, "callee", live=ladder.callee)]
    print(ladder.head())
    cpu, began = cpu_seconds(kedge.process.pid), time.monotonic()
    place_call(bed, "demo", ladder.show)
    cpu, took = cpu_seconds(kedge.process.pid) - cpu, time.monotonic() - began
    found = [c.stop() for c in captures]
    ladder.show(everything=True)
    if any(c.dropped for c in captures):
        print("  (tcpdump could not follow: what it lost is missing below too)")
    return found, cpu, took


def row(*cells):
    return "  " + "".join(f"{cell:>12}" if i else f"{cell:<22}" for i, cell in enumerate(cells))


def show_legs(kedge):
    heading("What kedge counted, leg by leg")
    record = netns.wait_for("the call's record", kedge.records, 3)[-1]
    print(row("", "codec", "received", "lost", "duplicate", "reordered", "jitter", "sent"))
    for leg in record["legs"]:
        rx = leg["rx"]
        print(row(f"{leg['role']} {leg['remote']}", leg["codec"] or "-", rx["packets"], rx["lost"], rx["duplicate"],
                  rx["reordered"], f"{rx['jitter_us'] / 1000:.2f} ms", leg["tx"]["packets"]))
    cause = record["cause"]
    print(f"\n  the call: {record['state']}, cause {cause['layer']}/{cause['reason']}: {cause['message']}")


def show_media(sent, found):
    """What was recorded, what left its sender, what arrived: bit by bit. Returns: is all the same?"""
    heading("What arrived, held beside what was sent (captured on both wires)")
    print(row("", "to be sent", "left", "arrived", "lost", "bit-exact", "digits sent", "digits got"))
    at_caller, at_callee = found
    good = True
    for name, there, here, arrived in (("caller", netns.CALLEE, at_caller, at_callee), ("callee", netns.CALLER, at_callee, at_caller)):
        _, digits, ssrc = TALK[name]
        other = "callee" if name == "caller" else "caller"
        ours = netns.CALLER if name == "caller" else netns.CALLEE
        left = capture.streams(here, source=ours).get(ssrc, [])
        streams = capture.streams(arrived, destination=there)
        came = streams.get(ssrc, [])
        result = rtp.compare(left, came)
        same = result["same"] and left == sent[name] and list(streams) == [ssrc]
        heard = rtp.digits_in([rtp.read(data) for data in came], 101)
        good = good and same and heard == digits
        print(row(f"{name} to {other}", len(sent[name]), len(left), len(came), result["lost"], "yes" if same else "NO",
                  digits, heard))
    return good


def stay(bed, kedge):
    ctl, sock = os.path.relpath(engine.program("kedgectl")), kedge.socket
    heading("It stays up: a new call every 12 seconds, until Ctrl-C")
    for what, command in (("calls now", f"{ctl} -s {sock} call list"),
                          ("legs, loss, jitter", f"{ctl} -s {sock} leg list"),
                          ("the pipeline", f"{ctl} -s {sock} lcore show --graph"),
                          ("all counters", f"{ctl} -s {sock} stats show"),
                          ("metrics", f"curl --unix-socket {sock} http://kedge/metrics"),
                          ("events as they come", f"curl -N --unix-socket {sock} http://kedge/v1/events"),
                          ("the log", f"tail -f {bed.path(kedge.log)}"),
                          ("records of calls", f"tail -f {kedge.cdr_file}"),
                          ("a shell beside kedged", f"ip netns exec {bed.engine} bash"),
                          ("SIP on the wire", f"ip netns exec {bed.caller} tcpdump -Anni eth0 port 5060")):
        print(f"  {what:<24} {command}")
    print(flush=True)
    number = 0
    while kedge.alive():
        number += 1
        place_call(bed, f"stay{number}", lambda: None)
        for side in ("uac", "uas"):
            for end in ("msg", "err", "out", "xml"):
                path = bed.path(f"sipp-stay{number}-{side}_speech.{end}")
                if os.path.exists(path):
                    os.unlink(path)
    raise Trouble(f"kedged ended by itself. Its last words:\n\n{kedge.last_log()}")


def demonstrate(staying):
    names = [f"kedge-{word}-{os.getpid()}" for word in ("caller", "engine", "callee")]
    with netns.Bed(names=names) as bed:
        heading("Three network namespaces on this machine")
        print(PICTURE.format(*names))
        sent = write_speech(bed)
        kedge = start_engine(bed)
        found, cpu, took = show_call(bed, kedge)
        show_legs(kedge)
        good = show_media(sent, found)
        print(f"\n  kedged used {cpu:.2f} s of CPU in {took:.1f} s: {100 * cpu / took:.1f} % of one core "
              "(its relay lcore polls, and sleeps while nothing comes)", flush=True)
        if staying:
            stay(bed, kedge)
        kedge.stop()
    heading("All is given back: namespaces, processes, files")
    if not good:
        raise Trouble("what arrived is not what was sent: see the table above. That is a fault in kedge: please tell us.")
    print("  Next: script/demo --stay to look around in it, script/test to see everything tested.")


def main():
    parser = argparse.ArgumentParser(usage="script/demo [--stay]", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep it up, and say how to look at it")
    args = parser.parse_args()
    netns.clean_up_on_exit()
    try:
        demonstrate(args.stay)
    except Trouble as trouble:
        print(f"\nscript/demo: {trouble}", file=sys.stderr)
        return 1
    except (RuntimeError, FileNotFoundError, AssertionError) as error:
        print(f"\nscript/demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
