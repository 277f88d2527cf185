# SPDX-License-Identifier: BSD-3-Clause
"""Many calls at once: the signalling of both sides in two threads, their media in two processes of rtp_ends."""

import collections
import json
import subprocess
import threading
import time

import engine
import netns
import sippeer

BASE_PORT = 20000


class MediaEnds:
    """rtp_ends on one side."""

    def __init__(self, bed, namespace, address, count):
        self.lock, self.reports = threading.Lock(), {}
        self.process = bed.start(namespace, [engine.program("rtp_ends"), address, str(BASE_PORT), str(count)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("rtp_ends did not start")

    def tell(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def know(self, slot, to, peer_ssrc):
        self.tell(f"know {slot} {to[0]} {to[1]} {peer_ssrc}")

    def go(self, slot, ssrc, packets):
        self.tell(f"go {slot} {ssrc} {packets}")

    def report(self, slot):
        self.tell(f"end {slot}")
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


class Side(threading.Thread):
    """One SIP party of all calls; repeats nothing by itself: there is no loss on a veth."""

    def __init__(self, namespace, address):
        super().__init__(daemon=True)
        self.peer = sippeer.Peer(namespace, address)
        self.dialogs, self.errors, self.open = {}, [], True

    def run(self):
        while self.open:
            try:
                self.turn()
                got = self.peer.receive(0.01)
                if got:
                    self.take(got)
                self.peer.log.clear()
            except Exception as error:
                self.errors.append(repr(error))

    def turn(self):
        pass

    def take(self, message):
        raise NotImplementedError

    def close(self):
        self.open = False
        self.join()
        self.peer.close()


class Callee(Side):
    def __init__(self, namespace, address, media, packets):
        super().__init__(namespace, address)
        self.media, self.packets, self.acked, self.repeats = media, packets, set(), 0

    def take(self, message):
        if message.method == "INVITE":
            if message.call_id in self.dialogs:
                self.repeats += 1
                return
            dialog = sippeer.Dialog.answering(self.peer, message)
            dialog.slot = int(message.user.split("-")[1])
            self.dialogs[message.call_id] = dialog
            self.media.know(dialog.slot, message.media(), 1000 + dialog.slot)
            dialog.reply(180)
            dialog.reply(200, sippeer.sdp(self.peer.address, BASE_PORT + 2 * dialog.slot))
        elif message.method == "ACK":
            dialog = self.dialogs[message.call_id]
            if message.call_id not in self.acked:
                self.acked.add(message.call_id)
                self.media.go(dialog.slot, 2000 + dialog.slot, self.packets)
        elif message.method == "BYE":
            sippeer.answer_to(self.peer, message, 200)
        else:
            self.errors.append(f"unexpected {message.name()}")


class Caller(Side):
    """Starts `count` calls, one each interval_s; hangs up when both sides have sent everything."""

    def __init__(self, namespace, address, media, packets, count, interval_s, to):
        super().__init__(namespace, address)
        self.media, self.packets, self.count, self.interval_s, self.to = media, packets, count, interval_s, to
        self.started, self.done, self.next = 0, 0, time.monotonic()
        self.hang_up = collections.deque()

    def turn(self):
        now = time.monotonic()
        while self.started < self.count and now >= self.next:
            # before the INVITE: the engine's own ACK lets the callee send, whether or not this thread has its turn
            self.media.know(self.started, ("0.0.0.0", 0), 2000 + self.started)
            offer = sippeer.sdp(self.peer.address, BASE_PORT + 2 * self.started)
            dialog = self.peer.invite(self.to, f"load-{self.started}", offer)
            dialog.slot = self.started
            self.dialogs[dialog.call_id] = dialog
            self.started += 1
            self.next += self.interval_s
        while self.hang_up and now >= self.hang_up[0][0]:
            self.hang_up.popleft()[1].bye()

    def take(self, message):
        dialog = self.dialogs[message.call_id]
        if message.is_request:
            self.errors.append(f"unexpected {message.name()}")
        elif message.method == "BYE":
            self.done += 1
            if message.status != 200:
                self.errors.append(message.start)
        elif message.status == 200:
            first = dialog.answer is None
            dialog.answer, dialog.remote, dialog.remote_uri = message, message.get("to"), message.contact
            if first:
                self.media.know(dialog.slot, message.media(), 2000 + dialog.slot)
            dialog.ack()
            if first:
                self.media.go(dialog.slot, 1000 + dialog.slot, self.packets)
                self.hang_up.append((time.monotonic() + 0.02 * self.packets + 0.5, dialog))
        elif message.status > 200:
            self.errors.append(message.start)
            dialog.ack_failure(message)
            self.done += 1


def run_load(bed, to, callee_address, count, interval_s, packets, watch=None):
    """All calls from start to end. Returns: (caller reports, callee reports, errors)."""
    one = MediaEnds(bed, bed.caller, netns.CALLER, count)
    two = MediaEnds(bed, bed.callee, callee_address, count)
    callee = Callee(bed.callee, callee_address, two, packets)
    caller = Caller(bed.caller, netns.CALLER, one, packets, count, interval_s, to)
    callee.start()
    caller.start()
    try:
        end = time.monotonic() + count * interval_s + packets * 0.02 + 15
        while caller.done < count and time.monotonic() < end:
            time.sleep(0.2)
            if watch:
                watch()
        time.sleep(0.3)
        reports = [[side.report(slot) for slot in range(count)] for side in (one, two)]
    finally:
        caller.close()
        callee.close()
        one.close()
        two.close()
    errors = caller.errors + callee.errors
    if caller.done < count:
        errors.append(f"only {caller.done} of {count} calls ended")
    return reports[0], reports[1], errors


def judge(sent_side, received_side, packets, what):
    """Every packet of one direction, to the last bit. Fails with where they went missing."""
    sent = sum(r["sent"] for r in sent_side)
    assert sent == packets * len(sent_side), f"{what}: the tool sent only {sent} of {packets * len(sent_side)}"
    total = {key: sum(r[key] for r in received_side) for key in received_side[0] if key not in ("call", "sent")}
    wrong = {k: total[k] for k in ("bad_header", "bad_payload", "duplicate", "late", "strange_ssrc", "strange_source",
                                   "rtcp_bad", "socket_drops") if total[k]}
    assert not wrong, f"{what}: {wrong}" + (" (socket_drops is the test tool's own loss)" if "socket_drops" in wrong else "")
    short = {r["call"]: packets - r["received"] for r in received_side if r["received"] != packets}
    assert not short, f"{what}: {sent - total['received']} of {sent} packets lost, by call: {short}"
    reports = sum(r["rtcp_sent"] for r in sent_side)
    assert reports and total["rtcp_received"] == reports, f"{what}: {total['rtcp_received']} of {reports} RTCP reports"
