# SPDX-License-Identifier: BSD-3-Clause
"""The browser of tests/js held against Kamailio's WebSocket, so that what it does later with kedged is kedged's: calls to
and from a SIP party on UDP, registration with a password."""

import contextlib
import re

import netns
import sippeer
from jssip import JsSip, modules
from kamailio import Kamailio
from run import Suite

PROXY, FIRST = netns.at_caller(4), 16
URL = f"ws://{netns.host(PROXY)}:8080"
MODULES = "xhttp websocket nathelper usrloc registrar auth"
ROUTING = """
event_route[xhttp:request] {
	if ($hdr(Upgrade) =~ "websocket" && ws_handle_handshake()) exit;
	xhttp_reply("404", "Not Found", "", "");
}

request_route {
	force_rport();
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (loose_route()) {
			handle_ruri_alias();
			t_relay();
		} else if (is_method("ACK") && t_check_trans()) {
			t_relay();
		}
		exit;
	}
	if (proto == WS) add_contact_alias();
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("$td", "secret", "0")) {
			www_challenge("$td", "1");
			exit;
		}
		fix_nated_register();
		save("location");
		exit;
	}
	record_route_preset("PROXY:5060"); # one for both sides: Kamailio does not know its own transport=ws again
	if ($rU =~ "^u[0-9a-f]+$") {
		$ru = "sip:" + $rU + "@PARTIES" + $(rU{s.strip,1}) + "END:5060";
	} else if (!lookup("location")) {
		sl_send_reply("404", "Not Found");
		exit;
	}
	t_relay();
}

onreply_route {
	if (proto == WS) add_contact_alias();
}
"""


def digits(n):
    """A party's number as its address has it."""
    return re.search(r"\w+$", netns.at_caller(n)).group()


class Ground:
    def __init__(self, bed):
        modules()  # once, not in the time of the tests
        self.bed, self.numbers = bed, {test.__name__: FIRST + i for i, test in enumerate(TESTS)}
        before, after = netns.host(netns.at_caller(FIRST)).rsplit(digits(FIRST), 1)
        routing = ROUTING.replace("PARTIES", before).replace("END", after)
        routing = routing.replace("PROXY", netns.host(PROXY))
        Kamailio(bed, bed.caller, PROXY, "ws", routing, MODULES, 'modparam("nathelper", "received_avp", "$avp(received)")\n'
                 'modparam("registrar", "received_avp", "$avp(received)")', listen=(("udp", 5060), ("tcp", 8080))).start()

    @contextlib.contextmanager
    def parties(self, test, *options):
        """A browser and a party on UDP, whose user is uN."""
        n = self.numbers[test.__name__]
        address = netns.at_caller(n)
        with sippeer.Peer(self.bed.caller, address) as peer:
            with JsSip(self.bed, self.bed.caller, f"js{n}", URL, "--media", f"{netns.host(address)}:9000",
                       *(word.format(n=digits(n)) for word in options)) as browser:
                yield browser, peer


def test_calls(ground):
    with ground.parties(test_calls, "--call", f"sip:u{{n}}@{netns.host(PROXY)}") as (browser, peer):
        browser.expect("connected")
        other = peer.wait_invite(timeout_s=10)
        assert other.invite.media() == (peer.address, 9000), f"not the SDP that it was given:\n{other.invite}"
        assert ";transport=ws" in other.invite.get("contact"), other.invite.get("contact")
        other.reply(180)
        assert browser.expect("progress")["status"] == 180
        answer = sippeer.sdp(peer.address, 9100)
        other.reply(200, answer)
        assert browser.expect("accepted")["sdp"] == answer
        other.take_ack()
        browser.expect("confirmed")
        other.bye()
        peer.expect(200, method="BYE")
        assert browser.expect("ended")["originator"] == "remote"


def test_is_called(ground):
    with ground.parties(test_is_called, "--register", "--password", "secret", "--answer") as (browser, peer):
        assert browser.expect("registered")["status"] == 200
        offer = sippeer.sdp(peer.address, 9100)
        call = peer.invite((PROXY, 5060), browser.name, offer)
        assert browser.expect("incoming")["sdp"] == offer
        peer.expect(180)
        assert call.progress(200).media() == (peer.address, 9000)
        call.ack()
        browser.expect("confirmed")
        browser.tell("hangup")
        call.take_bye()
        assert browser.expect("ended")["originator"] == "local"


def test_is_refused(ground):
    with ground.parties(test_is_refused, "--register", "--password", "wrong") as (browser, peer):
        assert browser.expect("registration_failed")["status"] == 401
        call = peer.invite((PROXY, 5060), browser.name, sippeer.sdp(peer.address, 9100))
        call.ack_failure(call.progress(404))


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    with netns.Bed(FIRST + len(TESTS)) as bed:
        yield Ground(bed)


SUITES = [Suite("browser", ground, TESTS, parallel=True)]
