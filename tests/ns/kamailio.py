# SPDX-License-Identifier: BSD-3-Clause
"""A Kamailio in a namespace, with a configuration that is made here around the routing that a test gives it."""

import os
import socket

import netns

MODULES = "kex corex tm tmx sl rr pv maxfwd siputils textops xlog"
SIZES = ("-m", "32", "-M", "4")  # megabytes: shared by all of its processes, private to each
HEAD = """#!KAMAILIO
debug=2
log_stderror=yes
log_prefix="{{$mt $rm $cs $ci}} "
children=2
tcp_children=2
dns=no
rev_dns=no
dns_try_ipv6=yes
use_dns_cache=off
auto_aliases=no
user_agent_header="User-Agent: kamailio"
tcp_accept_no_cl=yes
{listen}
{more}
{modules}
modparam("rr", "enable_full_lr", 1)
modparam("rr", "append_fromtag", 0)
modparam("tm", "fr_timer", 10000)
modparam("tm", "fr_inv_timer", 30000)
{parameters}
"""
TLS = """modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
modparam("tls", "ca_list", "{ca}")
modparam("tls", "verify_certificate", {verify})
modparam("tls", "require_certificate", {verify})
"""


def modules_path():
    for path in ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules"):
        if os.path.isdir(path):
            return path
    raise FileNotFoundError("kamailio's modules are not where Debian has them: install kamailio")


class Kamailio:
    """routing: its request_route and all others. modules, parameters (lines): more of them; listen: (protocol, port).
    tls: (certificate, key, ca) as files, for the port 5061; verify: it asks the other side for a certificate as well."""

    def __init__(self, bed, namespace, address, name, routing, modules="", parameters="", more="",
                 listen=(("udp", 5060), ("tcp", 5060)), tls=None, verify=False):
        self.bed, self.namespace, self.address, self.log = bed, namespace, address, f"kamailio-{name}.log"
        self.listen = list(listen) + ([("tls", 5061)] if tls else [])
        self.home = bed.path("kamailio-" + name)
        os.mkdir(self.home)
        if tls:
            modules, more = "tls " + modules, "enable_tls=yes\n" + more
            parameters += TLS.format(certificate=tls[0], key=tls[1], ca=tls[2], verify=int(verify))
        self.file = os.path.join(self.home, "kamailio.cfg")
        with open(self.file, "w") as file:
            file.write(HEAD.format(
                listen="\n".join(f"listen={kind}:{netns.host(address)}:{port}" for kind, port in self.listen), more=more,
                modules="\n".join(f'loadmodule "{m}.so"' for m in (MODULES + " " + modules).split()), parameters=parameters))
            file.write(routing)
        self.process = None

    def start(self, timeout_s=15):
        # -DD: its first process stays the one that we started, the others are its children and end with it
        self.process = self.bed.start(self.namespace, ["kamailio", "-f", self.file, "-L", modules_path(), "-DD", "-E",
                                                       "-Y", self.home, "-w", self.home, *SIZES], log=self.log)
        for kind, port in self.listen:
            netns.wait_for(f"kamailio to listen at {kind} {port}", lambda: self.listens(kind, port), timeout_s, 0.05)
        return self

    def listens(self, kind, port):
        if self.process.poll() is not None:
            raise AssertionError(f"kamailio ended at once with {self.process.returncode}:\n{self.last_log()}")
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with netns.inside(self.namespace):
            sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        with sock:
            try:
                if kind == "udp":
                    sock.bind((self.address, port))  # it is free as long as Kamailio does not have it
                    return False
                sock.connect((self.address, port))
            except OSError:
                return kind == "udp"
        return True

    def last_log(self, lines=25):
        with open(self.bed.path(self.log), errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def stop(self):
        """Returns: its exit status; it is 0 where it ended well."""
        return self.bed.stop(self.process, 10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
