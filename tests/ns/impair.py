# SPDX-License-Identifier: BSD-3-Clause
"""A bad network for SIP over UDP: a relay that loses, doubles, delays and reorders, by a seed that makes it the same
each time. It stands between one party and the engine, each of which knows only the relay's address."""

import heapq
import random
import select
import threading
import time

import netns


class Line:
    """One party's way to the engine: what comes from either goes to the other."""

    def __init__(self, namespace, address, engine, party):
        self.sock = netns.udp_socket(namespace, address, 5060, 4 << 20)
        self.sock.setblocking(False)
        self.engine, self.party = engine, party


class Relay(threading.Thread):
    """loss, duplicates: shares; delay_s +- jitter_s each way: what is delayed less overtakes what was sent before it."""

    def __init__(self, lines, seed, loss=0.10, duplicates=0.05, delay_s=0.100, jitter_s=0.050):
        super().__init__(daemon=True)
        self.lines, self.random, self.going = lines, random.Random(seed), True
        self.loss, self.duplicates, self.delay_s, self.jitter_s = loss, duplicates, delay_s, jitter_s
        self.waiting, self.count = [], 0
        self.seen = {"in": 0, "lost": 0, "doubled": 0, "overtook": 0, "out": 0}
        self.last = {}  # when the datagram that came last on each way is due

    def run(self):
        by_socket = {line.sock: line for line in self.lines}
        while self.going:
            wait = max(0, min(0.05, self.waiting[0][0] - time.monotonic())) if self.waiting else 0.05
            for sock in select.select(list(by_socket), [], [], wait)[0]:
                self.take(by_socket[sock])
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, _, line, data, to = heapq.heappop(self.waiting)
                self.seen["out"] += 1
                try:
                    line.sock.sendto(data, to)
                except OSError:
                    pass  # what ICMP said of somebody who has ended

    def take(self, line):
        for _ in range(64):
            try:
                data, source = line.sock.recvfrom(65536)
            except OSError:
                return
            to = line.party if source[0] == line.engine[0] else line.engine
            self.seen["in"] += 1
            if self.random.random() < self.loss:
                self.seen["lost"] += 1
                continue
            copies = 2 if self.random.random() < self.duplicates else 1
            self.seen["doubled"] += copies - 1
            for _ in range(copies):
                due = time.monotonic() + self.delay_s + self.random.uniform(-self.jitter_s, self.jitter_s)
                self.seen["overtook"] += due < self.last.get((line, to), 0)
                self.last[line, to] = max(due, self.last.get((line, to), 0))
                self.count += 1
                heapq.heappush(self.waiting, (due, self.count, line, data, to))

    def stop(self):
        self.going = False
        self.join()
        for line in self.lines:
            line.sock.close()
