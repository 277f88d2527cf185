# SPDX-License-Identifier: BSD-3-Clause
"""SIP over TCP, TLS and WebSockets with foreign ends: SIPp, Kamailio, JsSIP, OpenSSL; users who must prove who they are."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import time

import engine
import netns
import sippeer
from jssip import JsSip, modules
from kamailio import Kamailio
from run import Suite
from sipp import Sipp

A = netns.host(netns.ENGINE_A)
FIRST = 30
PROXY = netns.at_callee(4)
ROUTING = """
request_route {
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (loose_route()) t_relay();
		else if (is_method("ACK") && t_check_trans()) t_relay();
		exit;
	}
	if (is_method("INVITE")) record_route();
	$du = "sip:CALLEE:5060;transport=udp";
	t_relay();
}
"""


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """A certificate authority of this test's, and what it signs."""

    def __init__(self, home, name="ca"):
        self.home, self.ca = home, os.path.join(home, name + ".pem")
        self.ca_key = os.path.join(home, name + ".key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", self.ca_key, "-out", self.ca)

    def sign(self, name, subjects, dates=("-days", "2")):
        """Returns: its certificate and key."""
        base = os.path.join(self.home, name)
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as file:
            file.write("subjectAltName=" + ",".join(subjects) + "\n")
        with open(base + ".cnf", "w") as file:  # `openssl ca` is what dates a certificate in every version
            file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
                       "new_certs_dir=%s\nunique_subject=no\n[p]\ncommonName=supplied\n" % (base + ".db", self.home))
        open(base + ".db", "w").close()
        openssl("ca", "-batch", "-config", base + ".cnf", "-cert", self.ca, "-keyfile", self.ca_key, "-in", base + ".csr",
                "-extfile", base + ".ext", "-notext", "-out", base + ".pem", *dates)
        return base + ".pem", base + ".key"


class Ground:
    def __init__(self, bed):
        self.bed = bed
        modules()
        self.home = bed.path("tls")
        os.mkdir(self.home)
        self.good, self.strange = Authority(self.home), Authority(self.home, "strange-ca")
        ours = self.good.sign("kedge", [f"IP:{A}", f"IP:{netns.host(netns.ENGINE_B)}", "DNS:kedge.test"])
        for name, path in zip(("current.pem", "current.key"), ours):
            os.symlink(path, os.path.join(self.home, name))
        self.trunks = []
        self.kamailio("tls", PROXY, self.good.sign("proxy", [f"IP:{PROXY}"]))
        self.trunks.append(("tcp", f'{{name: tcp, target: "sip:{PROXY}:5060;transport=tcp"}}'))
        # One with a certificate of nobody that we know, one with another's name, one whose time is over.
        self.kamailio("strange", netns.at_callee(5), self.strange.sign("strange", [f"IP:{netns.at_callee(5)}"]))
        self.kamailio("other", netns.at_callee(6), self.good.sign("other", ["DNS:other.test"]))
        self.kamailio("expired", netns.at_callee(7), self.good.sign("expired", [f"IP:{netns.at_callee(7)}"], (
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")))
        listen = [f"udp:{A}:5060", f"tcp:{A}:5060", f"tls:{A}:5061", f"ws:{A}:8080", f"wss:{A}:8443"]
        listen += [f"{kind}:{netns.host(netns.ENGINE_B)}:{port}" for kind, port in (("udp", 5060), ("tcp", 5060), ("tls", 5061))]
        other = "\n".join(["sip:", "  listen: [" + ", ".join(f'"{word}"' for word in listen) + "]",
                           f"  tls: {{certificate: {self.home}/current.pem, key: {self.home}/current.key, ca: {self.good.ca}}}",
                           "endpoints: [{user: alice, password: secret}]", ""])
        routes = ['{match: {endpoint: "*"}, to: ["trunk:callee"]}',
                  *(f'{{match: {{trunk: caller, to: "^{name}$"}}, to: ["trunk:{name}"]}}' for name, _ in self.trunks)]
        self.engine = engine.Engine(bed, [line for _, line in self.trunks], routes, other=other).start(30)

    def kamailio(self, name, address, pair):
        kamailio = Kamailio(self.bed, self.bed.callee, address, name, ROUTING.replace("CALLEE", netns.host(netns.CALLEE)),
                            tls=(*pair, self.good.ca))
        kamailio.start()
        self.trunks.append((name, f'{{name: {name}, target: "sip:{netns.host(address)}:5061;transport=tls"}}'))


def call_through(ground, trunk, port, status=200):
    """A call by way of that trunk to a party behind its proxy."""
    with sippeer.Peer(ground.bed.caller, netns.CALLER, port) as a, contextlib.ExitStack() as stack:
        call = a.invite((netns.ENGINE_A, 5060), trunk, sippeer.sdp(netns.CALLER, 7000))
        callee = stack.enter_context(sippeer.Peer(ground.bed.callee, netns.CALLEE))
        if status != 200:
            refused = call.progress(status, timeout_s=12)
            call.ack_failure(refused)
            callee.quiet(0)  # nothing was said to whom nobody believes
            return
        other = callee.wait_invite()
        route = other.invite.all("record-route")
        other.reply(200, sippeer.sdp(netns.CALLEE, 8000))
        call.progress(200)
        call.ack()
        other.take_ack()
        other.bye()
        call.take_bye()
        other.peer.expect(200, method="BYE")
        return route


def test_tls_through_a_proxy(ground):
    route = call_through(ground, "tls", 5071)
    assert any("transport=tls" in value for value in route), f"not by TLS: {route}"
    before = ground.engine.api.metrics()['kedge_sip_connections_total{what="opened"}']
    call_through(ground, "tls", 5071)
    assert ground.engine.api.metrics()['kedge_sip_connections_total{what="opened"}'] == before, "the connection is not reused"


def test_tcp_through_a_proxy(ground):
    route = call_through(ground, "tcp", 5075)
    assert any("transport=tcp" in value for value in route), f"not by TCP: {route}"


def log_has(ground, words, timeout_s=3):
    netns.wait_for(f"the log to say {words}", lambda: words in open(ground.bed.path(ground.engine.log)).read(), timeout_s)


def test_a_strange_authority(ground):
    call_through(ground, "strange", 5072, 408)
    log_has(ground, "is signed by no CA")


def test_anothers_name(ground):
    call_through(ground, "other", 5073, 408)
    log_has(ground, "does not name the address " + netns.at_callee(6))


def test_a_certificate_that_is_over(ground):
    call_through(ground, "expired", 5074, 408)
    log_has(ground, "expired")


def served(ground):
    """The common name and the serial number that the engine shows on its TLS port."""
    context = ssl.create_default_context(cafile=ground.good.ca)
    with netns.inside(ground.bed.caller):
        raw = socket.create_connection((netns.ENGINE_A, 5061), 5)
    return context.wrap_socket(raw, server_hostname=netns.ENGINE_A)


def options(sock, branch):
    sock.sendall(f"OPTIONS sip:{A} SIP/2.0\r\nVia: SIP/2.0/TLS {netns.CALLER}:5061;branch=z9hG4bK{branch}\r\n"
                 f"From: <sip:a@{netns.CALLER}>;tag=1\r\nTo: <sip:{A}>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
                 "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode())
    data = sock.recv(65536).decode()
    assert data.startswith("SIP/2.0 200 "), data
    return data


def test_a_renewed_certificate(ground):
    with served(ground) as before:
        old = before.getpeercert()["serialNumber"]
        options(before, "r1")
        renewed = ground.good.sign("renewed", [f"IP:{A}", f"IP:{netns.host(netns.ENGINE_B)}"])
        for name, path in zip(("current.pem", "current.key"), renewed):
            os.replace(os.symlink(path, os.path.join(ground.home, "next")) or os.path.join(ground.home, "next"),
                       os.path.join(ground.home, name))
        assert ground.engine.ctl("config", "reload").returncode == 0
        with served(ground) as after:
            assert after.getpeercert()["serialNumber"] != old, "the old certificate is still shown"
            options(after, "r2")
        options(before, "r3")  # it stands
        with open(os.path.join(ground.home, "broken.pem"), "w") as file:
            file.write("no certificate\n")
        os.replace(os.symlink(os.path.join(ground.home, "broken.pem"), os.path.join(ground.home, "next")) or
                   os.path.join(ground.home, "next"), os.path.join(ground.home, "current.pem"))
        said = ground.engine.ctl("config", "reload")
        assert "current.pem" in said.stdout + said.stderr and "stay in force" in said.stdout + said.stderr, said
        with served(ground) as still:
            options(still, "r4")


def test_tcp_keepalive_and_pipelining(ground):
    with netns.inside(ground.bed.caller):
        sock = socket.create_connection((netns.ENGINE_A, 5060), 5)
    with sock:
        sock.settimeout(5)
        sock.sendall(b"\r\n\r\n")
        assert sock.recv(16) == b"\r\n", "no pong"
        text = "".join(f"OPTIONS sip:{A} SIP/2.0\r\nVia: SIP/2.0/TCP {netns.CALLER}:5060;branch=z9hG4bKp{n}\r\n"
                       f"From: <sip:a@{netns.CALLER}>;tag=1\r\nTo: <sip:{A}>\r\nCall-ID: p{n}\r\nCSeq: 1 OPTIONS\r\n"
                       f"l: 0\r\n\r\n" for n in range(3)).encode()
        for n in range(0, len(text), 100):
            sock.sendall(text[n:n + 100])
            time.sleep(0.005)
        data = b""
        while data.count(b"SIP/2.0 200 ") < 3:
            more = sock.recv(65536)
            assert more, f"closed after {data!r}"
            data += more
        sock.sendall(b"NOT SIP\r\nContent-Length: nothing\r\n\r\n")
        while True:
            more = sock.recv(65536)
            if not more:
                break


def test_ten_thousand_options_make_no_dialog(ground):
    """R34, and what a connection carries."""
    with netns.inside(ground.bed.caller):
        sock = socket.create_connection((netns.ENGINE_A, 5060), 5)
    count, got = 10000, 0
    with sock:
        sock.settimeout(20)
        for n in range(0, count, 50):
            sock.sendall("".join(f"OPTIONS sip:{A} SIP/2.0\r\nVia: SIP/2.0/TCP {netns.CALLER}:5060;branch=z9hG4bKo{n + i}\r\n"
                                 f"From: <sip:a@{netns.CALLER}>;tag=1\r\nTo: <sip:{A}>\r\nCall-ID: o{n + i}\r\n"
                                 "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n" for i in range(50)).encode())
            while got < n + 50:
                more = sock.recv(1 << 20)
                assert more, f"closed after {got}"
                got += more.count(b"SIP/2.0 200 ")
    metrics = ground.engine.api.metrics()
    assert metrics["kedge_dialogs"] == 0 and metrics["kedge_calls"] == 0, metrics["kedge_dialogs"]


def browser(ground, kind, name, *options):
    url = f"{kind}://{A}:{8443 if kind == 'wss' else 8080}"
    more = ("--ca", ground.good.ca) if kind == "wss" else ()
    return JsSip(ground.bed, ground.bed.caller, name, url, "--media", f"{netns.host(netns.STRANGER)}:9000", "--from",
                 netns.STRANGER, *more, *options)  # an address of no trunk: it has to prove who it is


def browser_call(ground, kind, name):
    with sippeer.Peer(ground.bed.callee, netns.CALLEE) as callee:
        with browser(ground, kind, name, "--call", f"sip:bob@{A}", "--user", "alice", "--password", "secret") as page:
            page.expect("connected")
            other = callee.wait_invite(timeout_s=10)
            other.reply(180)
            assert page.expect("progress")["status"] == 180
            other.reply(200, sippeer.sdp(netns.CALLEE, 8000))
            page.expect("accepted")
            other.take_ack()
            page.expect("confirmed")
            other.bye()  # back over the WebSocket, the only way there
            callee.expect(200, method="BYE")
            assert page.expect("ended")["originator"] == "remote"


def challenges(ground):
    return ground.engine.api.metrics()["kedge_sip_challenges_total"]


def test_browser(ground):
    before = challenges(ground)
    browser_call(ground, "ws", "js-ws")
    assert challenges(ground) == before + 1
    record = ground.engine.records()[-1]
    assert record["legs"][0]["endpoint"] == "alice", record["legs"][0]


def test_browser_with_a_wrong_password(ground):
    before = ground.engine.api.metrics()["kedge_sip_auth_failures_total"]
    with browser(ground, "ws", "js-bad", "--call", f"sip:bob@{A}", "--user", "alice", "--password", "guess") as page:
        assert page.expect("failed")["status"] == 401
    assert ground.engine.api.metrics()["kedge_sip_auth_failures_total"] == before + 1


def test_browser_secure(ground):
    browser_call(ground, "wss", "js-wss")


TESTS = [test_tls_through_a_proxy, test_tcp_through_a_proxy, test_a_strange_authority, test_anothers_name, test_a_certificate_that_is_over,
         test_tcp_keepalive_and_pipelining,
         test_ten_thousand_options_make_no_dialog, test_browser, test_browser_with_a_wrong_password, test_browser_secure, test_a_renewed_certificate]


@contextlib.contextmanager
def ground():
    if ":" in netns.CALLER:
        from run import Skip
        raise Skip("written for IPv4")
    with netns.Bed(FIRST) as bed:
        yield Ground(bed)


def after_nothing_is_left(ground):
    ground.engine.no_leaks()


SUITES = [Suite("transports", ground, TESTS, after=[after_nothing_is_left])]
