# SPDX-License-Identifier: BSD-3-Clause
"""Signalling: complete calls through the B2BUA (INVITE, 180, 200, ACK, BYE, 200 on both legs, each with its media leg made
and retired) between two SIPp, at rising rates until a message is sent a second time; what a call costs of CPU and memory;
and what a message costs the stack alone with 1,000 to 100,000 transactions live (bench/sip_messages.c).

    bench/run sip [--build DIR] [--json FILE] [--rates N,N,...] [--held N]"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "ns"))

import report  # noqa: E402

UAC = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="uac">
<send retrans="500"><![CDATA[

INVITE sip:bob@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]a[call_number]
To: <sip:bob@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:alice@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[local_ip_type] [local_ip]
t=0 0
m=audio 6000 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a=ptime:20

]]></send>
<recv response="100" optional="true"/><recv response="180" optional="true"/><recv response="200"/>
<send><![CDATA[

ACK sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]a[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<pause milliseconds="{talk}"/>
<send retrans="500"><![CDATA[

BYE sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]a[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""
REPLY = """<send{retrans}><![CDATA[

SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:bob@[local_ip]:[local_port]>
{body}]]></send>
"""
SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[local_ip_type] [local_ip]
t=0 0
m=audio 8000 RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000

"""
NONE = "Content-Length: 0\n\n"
UAS = ('<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="uas">'
       '<recv request="INVITE"/>' + REPLY.format(retrans="", status="180 Ringing", tag=";tag=[pid]b[call_number]", body=NONE)
       + REPLY.format(retrans=' retrans="500"', status="200 OK", tag=";tag=[pid]b[call_number]", body=SDP)
       + '<recv request="ACK"/><recv request="BYE"/>' + REPLY.format(retrans="", status="200 OK", tag="", body=NONE)
       + "</scenario>")
MESSAGES = 13  # that the engine takes and gives on both legs of such a call, 100 left out


def cpu_s(pid):
    """CPU of the control thread alone: the process's first."""
    with open(f"/proc/{pid}/task/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


class Rig:
    def __init__(self, bed, netns, engine, directory):
        self.bed, self.netns = bed, netns
        for name, text in (("uas.xml", UAS), ("uac.xml", UAC.replace("{talk}", "0")), ("held.xml", UAC.replace("{talk}", "50000"))):
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        self.directory = directory
        self.engine = engine.Engine(bed, media="ports: 16384-32767, timeout_s: 600, max_calls: 8000")
        with open(self.engine.config) as file:
            text = file.read().replace("level: debug", "level: info")  # as operators have it
        with open(self.engine.config, "w") as file:
            file.write(text)
        self.engine.start(30)
        self.pid = self.engine.process.pid
        self.callee = bed.start(bed.callee, ["sipp", "-sf", os.path.join(directory, "uas.xml"), "-i", netns.CALLEE, "-p",
                                             "5060", "-nostdin", "-rtcheck", "loose"], log="uas.log")
        time.sleep(1)

    def metric(self, name):
        return self.engine.api.metrics().get(name, 0)

    def calls(self, scenario, rate, count):
        """Run them. Returns: seconds, of SIPp's own."""
        began = time.monotonic()
        done = self.bed.run(self.bed.caller, ["sipp", f"{self.netns.ENGINE_A}:5060", "-sf", os.path.join(self.directory, scenario),
                                              "-i", self.netns.CALLER, "-p", "5060", "-r", str(rate), "-m", str(count), "-l",
                                              str(max(count, 100)), "-nostdin", "-timeout", "120", "-s", "bob"], timeout_s=150)
        return time.monotonic() - began, done.returncode

    def rate(self, rate, seconds=6):
        count = int(rate * seconds)
        names = ("kedge_sip_retransmits_in_total", "kedge_sip_retransmits_out_total")
        before = [self.metric(name) for name in names]
        cpu, total = cpu_s(self.pid), self.metric("kedge_calls_total")
        took, status = self.calls("uac.xml", rate, count)
        cpu = cpu_s(self.pid) - cpu
        again = sum(self.metric(name) for name in names) - sum(before)
        return {"case": f"{rate} calls/s asked", "calls_per_s": round(count / took, 1), "retransmissions": int(again),
                "failed": status != 0, "cpu_us_per_call": round(cpu / count * 1e6, 1),
                "cpu_us_per_message": round(cpu / count / MESSAGES * 1e6, 1), "control_core_percent": round(100 * cpu / took, 1),
                "started": int(self.metric("kedge_calls_total") - total)}

    def hold(self, count):
        """Hold that many calls. Returns: (how many stood at once, the process's memory then), their transactions over."""
        thread = threading.Thread(target=self.calls, args=("held.xml", max(count / 8, 50), count))
        thread.start()
        time.sleep(8 + 34)  # after 32 s the INVITEs' transactions are gone
        got = self.metric("kedge_calls"), rss_kb(self.pid)
        thread.join()
        time.sleep(35)
        return got

    def memory(self, held):
        """Of a call that stands: what more of them cost more, so that what is made once does not count."""
        few, few_kb = self.hold(held // 4)
        many, many_kb = self.hold(held)
        return {"case": f"{int(many)} calls held", "kb_per_call": round((many_kb - few_kb) / max(many - few, 1), 2)}


def messages(build):
    out = subprocess.run([os.path.join(build, "bench", "bench_sip_messages")], capture_output=True, text=True, check=True).stdout
    rows = []
    for line in out.splitlines():
        got = json.loads(line)
        rows.append({"system": "kedge", "case": f"{got['live']} live transactions", "cpu_us_per_message": got["options_us"],
                     "cpu_us_per_invite": got["invite_us"], "bytes_per_transaction": got["bytes_per_transaction"]})
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json")
    parser.add_argument("--rates", default="200,400,600,800,1000,1200,1500,1800,2100")
    parser.add_argument("--held", type=int, default=4000)
    args = parser.parse_args()
    subprocess.run(["ninja", "-C", args.build, "bench/bench_sip_messages"], check=True, stdout=subprocess.DEVNULL)
    os.environ["KEDGE_BUILD"] = args.build
    os.environ.setdefault("KEDGE_WORLD", "ip4")
    import engine
    import netns
    rows = messages(args.build)
    report.table(rows, [("case", "case"), ("system", "system"), ("cpu_us_per_message", "us/OPTIONS"),
                        ("cpu_us_per_invite", "us/INVITE+100+486"), ("bytes_per_transaction", "bytes/transaction")])
    print(flush=True)
    with netns.Bed(3) as bed:
        rig = Rig(bed, netns, engine, bed.path(""))
        first = None
        calls = []
        for rate in (int(word) for word in args.rates.split(",")):
            row = rig.rate(rate)
            calls.append({"system": "kedge", **row})
            print(f"  {row['case']}: {row['calls_per_s']} done a second, {row['retransmissions']} retransmissions, "
                  f"{row['cpu_us_per_call']} us a call", flush=True)
            if row["retransmissions"] and not first:
                first = rate
            if row["failed"] or row["retransmissions"] > row["started"]:
                break
    with netns.Bed(3) as bed:  # a process that has not grown yet
        calls.append({"system": "kedge", **Rig(bed, netns, engine, bed.path("")).memory(args.held)})
    print()
    report.table(calls, [("case", "case"), ("system", "system"), ("calls_per_s", "calls/s"), ("retransmissions", "sent again"),
                         ("cpu_us_per_call", "us/call"), ("cpu_us_per_message", "us/message"),
                         ("control_core_percent", "% of a core"), ("kb_per_call", "kB/call")])
    print(f"the first retransmission appears at {first or 'none of these'} calls/s; SIPp at both ends, the relay lcore and the "
          f"control thread share {os.cpu_count()} CPUs")
    if args.json:
        report.write_json(args.json, "sip", rows + calls)


if __name__ == "__main__":
    main()
