# SPDX-License-Identifier: BSD-3-Clause
"""kedged between a proxy and the same proxy, as a B2BUA that a proxy sends its calls through:

   caller's namespace                    engine's
  +--------------------------+          +--------+
  | callers   Kamailio  eth0 |----------| kedged |
  |          10.77.1.4       |          |        |
  |          10.77.3.1  side |--+    +--|        |
  +--------------------------+  |    |  +--------+
  | callees             side |--+    |
  |                     eth0 |-------+
  +--------------------------+  callee's

Kamailio record-routes. It knows by the source where an INVITE goes: what a caller sends goes to kedged, with a Route that
brings it back at the other side; what kedged sends goes to the callee that the user names (u17: address number 17)."""

import contextlib
import re
import time

import capture
import engine
import netns
import sippeer
import speech
from calls import Parties
from kamailio import Kamailio
from run import Skip, Suite
from sipp import Sipp

PROXY, PROXY_2 = (4, 1), (5, 2)  # the numbers of their addresses on the two sides; the second one starts anew in mid-call
FIRST = 16  # number of the first test's address; each test has three on either side. Two digits, also as IPv6 has them
ENGINE_HOST, ENGINE_HOST_B = netns.host(netns.ENGINE_A), netns.host(netns.ENGINE_B)
PROXY_HOST = netns.host(netns.at_caller(PROXY[0]))
ENGINES = (netns.ENGINE_A, netns.ENGINE_B)

ROUTING = """
request_route {
	if (!mf_process_maxfwd_header("70")) {
		sl_send_reply("483", "Too Many Hops");
		exit;
	}
	if (src_ip == ENGINE_B && $rU =~ "^v[0-9a-f]+$") { # without state: a 503 stays one, of which tm would make a 500
		remove_hf("Route");
		$ru = "sip:" + $rU + "@CALLEES" + $(rU{s.strip,1}) + "END:5060";
		forward();
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (loose_route()) t_relay();
		else if (!is_method("ACK")) sl_send_reply("404", "Not Here");
		else if (t_check_trans()) t_relay();
		exit;
	}
	if (!t_newtran()) exit;
	remove_hf("Route");
	record_route();
	$avp(list) = $null;
	if (src_ip != ENGINE_B) {
		route(TOWARDS);
	} else if ($rU =~ "^loop") {
		append_hf("Route: <sip:ENGINE_B;lr>, <sip:BACK;lr>\\r\\n", "Call-ID");
		$du = "sip:ENGINE_B:5060";
		t_relay();
	} else {
		$ru = "sip:" + $rU + "@CALLEES" + $(rU{s.strip,1}) + "END:5060";
		t_relay();
	}
}

# To kedged: fork-u17-u18 both at once, hunt-u17-u18 the next one after a 486, bench-2-u17 by the dispatcher's set 2.
route[TOWARDS] {
	$var(who) = $rU;
	if ($var(who) =~ "^fork-") {
		$rU = $(var(who){s.select,1,-});
		$du = "sip:ENGINE:5060";
		append_branch();
		$rU = $(var(who){s.select,2,-});
	} else if ($var(who) =~ "^hunt-") {
		$avp(list) = $(var(who){s.strip,5});
		route(NEXT);
		exit;
	} else if ($var(who) =~ "^bench-") {
		$rU = $(var(who){s.select,2,-});
		if (!ds_select_dst("$(var(who){s.select,1,-}{s.int})", "4")) {
			t_reply("480", "All Benched");
			exit;
		}
		append_hf("Route: <sip:ENGINE;lr>, <sip:BACK;lr>\\r\\n", "Call-ID");
		t_on_failure("BENCH");
		t_relay();
		exit;
	}
	append_hf("Route: <sip:ENGINE;lr>, <sip:BACK;lr>\\r\\n", "Call-ID");
	$du = "sip:ENGINE:5060";
	t_relay();
}

route[NEXT] {
	$rU = $(avp(list){s.select,0,-});
	if ($avp(list) =~ "-") $avp(list) = $(avp(list){s.strip,4});
	else $avp(list) = $null;
	append_hf("Route: <sip:ENGINE;lr>, <sip:BACK;lr>\\r\\n", "Call-ID");
	$du = "sip:ENGINE:5060";
	t_on_failure("HUNT");
	t_relay();
}

failure_route[HUNT] {
	if (t_is_canceled()) exit;
	if (t_check_status("486") && $avp(list) != $null) route(NEXT);
}

failure_route[BENCH] {
	if (t_check_status("503")) ds_mark_dst("i");
}
"""


def at_side(n):
    return f"fd77:3::{n:x}" if netns.FAMILY[0] == 6 else f"10.77.3.{n}"


def second_way(bed):
    """The proxy's namespace has a way of its own to the callees; kedged reaches the addresses there by the callees'."""
    bits, router = 64 if netns.FAMILY[0] == 6 else 24, netns.at_callee(2)
    netns.run("ip", "link", "add", "side", "netns", bed.caller, "type", "veth", "peer", "name", "side", "netns", bed.callee)
    for namespace, numbers in ((bed.caller, (1, 2)), (bed.callee, (9,))):
        bed.ip(namespace, "link set side up")
        for n in numbers:
            bed.ip(namespace, f"addr add {at_side(n)}/{bits} dev side" + (" nodad" if bits == 64 else ""))
    bed.ip(bed.caller, f"route add {netns.at_callee(0)}/{bits} via {at_side(9)}")
    bed.ip(bed.engine, f"route add {at_side(0)}/{bits} via {router}")
    key = "net.ipv6.conf.all.forwarding" if bits == 64 else "net.ipv4.ip_forward"
    bed.run(bed.callee, ["sysctl", "-qw", f"{key}=1"])


def digits(n):
    """A party's number as its address has it."""
    return re.search(r"\w+$", netns.at_callee(n)).group()


def proxy(bed, numbers, name, other_set):
    """The dispatcher's set 1 is kedged, 2 what the test puts at other_set."""
    address, back = netns.at_caller(numbers[0]), at_side(numbers[1])
    routing = re.sub("(src_ip ..) ENGINE_B", rf"\1 {netns.ENGINE_B}", ROUTING).replace("ENGINE_B", ENGINE_HOST_B)
    routing = routing.replace("ENGINE", ENGINE_HOST).replace("BACK", netns.host(back))
    before, after = netns.host(netns.at_callee(FIRST)).rsplit(digits(FIRST), 1)
    routing = routing.replace("CALLEES", before).replace("END", after)
    sets = bed.path(f"dispatcher-{name}.list")
    with open(sets, "w") as file:
        file.write(f"1 sip:{ENGINE_HOST}:5060\n2 sip:{netns.host(other_set)}:5060\n")
    parameters = f'modparam("dispatcher", "list_file", "{sets}")\nmodparam("dispatcher", "flags", 2)'
    return Kamailio(bed, bed.caller, address, name, routing, "dispatcher", parameters, f"listen=udp:{netns.host(back)}:5060")


CONFIG = """nics:
  - {{name: a, device: "{driver}:vA"}}
  - {{name: b, device: "{driver}:vB"}}
media: {{ports: 16384-17407, timeout_s: 60}}
trunks:
{trunks}
routes:
{routes}
cdr: {{file: {cdr}}}
api: {{socket: {socket}}}
log: {{level: debug, format: json}}
"""


def trunks():
    for name, numbers in (("one", PROXY), ("two", PROXY_2)):
        for nic, address in (("a", netns.at_caller(numbers[0])), ("b", at_side(numbers[1]))):
            yield f'  - {{name: {name}_{nic}, target: "sip:{netns.host(address)}:5060", from: ["{address}"]}}'


def routes():
    """Each one by name: only then may a call go back to where it came from."""
    for name in ("one_a", "one_b", "two_a", "two_b"):
        yield f"  - {{match: {{trunk: {name}}}, to: [next_hop]}}"


class Ground:
    def __init__(self, bed):
        self.bed, self.numbers = bed, {test.__name__: FIRST + 3 * i for i, test in enumerate(TESTS)}
        text = CONFIG.format(driver=netns.DRIVER, cdr=bed.path("kedge-cdr.jsonl"), socket=bed.path("kedge.sock"),
                             trunks="\n".join(trunks()), routes="\n".join(routes()))
        self.engine = engine.Engine(bed, text=text).start(30)
        self.api = self.engine.api
        self.proxy = proxy(bed, PROXY, "one", netns.at_caller(self.numbers["test_a_503_benches_nobody"] + 1)).start()

    @contextlib.contextmanager
    def parties(self, test, user="u{n}", via=PROXY):
        """A caller and a callee as of calls.py, the caller's requests go to the proxy. user: {n}, {m}, {o} are the test's
        three addresses."""
        n = self.numbers[test.__name__]
        with contextlib.ExitStack() as stack:
            user = user.format(n=digits(n), m=digits(n + 1), o=digits(n + 2))
            p = Parties(self, stack, netns.at_caller(n), netns.at_callee(n), user)
            p.more = lambda k: stack.enter_context(sippeer.Peer(self.bed.callee, netns.at_callee(n + k)))
            p.proxy = (netns.at_caller(via[0]), 5060)
            yield p

    @contextlib.contextmanager
    def caught(self, test, interface="vA"):
        """SIP at one of kedged's interfaces while it lasts; `found` has [(time, from kedged?, Message)] then."""
        shot = capture.Capture(self.bed, self.bed.engine, test.__name__, "udp port 5060", interface=interface)
        caught = Caught()
        try:
            yield caught
        finally:
            for d in shot.stop():
                if d.data[:1].isalpha():
                    caught.found.append((d.time, d.source[0] in ENGINES, sippeer.Message(d.data)))


class Caught:
    def __init__(self):
        self.found = []

    def to_engine(self, *what, call_id):
        return [(t, m) for t, ours, m in self.found if not ours and m.call_id == call_id and
                (m.method if m.is_request else m.status) in what]

    def from_engine(self, *what, call_id):
        return [(t, m) for t, ours, m in self.found if ours and m.call_id == call_id and
                (m.method if m.is_request else m.status) in what]


def through(p, call, other):
    """Answer, acknowledge, talk: all by the ways that the record routes name."""
    other.reply(200, p.answer)
    call.progress(200)
    assert len(call.routes) == len(other.routes) == 1, f"record routes {call.routes}, {other.routes}"
    call.ack()
    other.take_ack()
    p.talk(call, other)


def hang_up(p, call, other):
    call.bye()
    other.take_bye()
    p.a.expect(200, method="BYE")


def hang_up_callee(p, call, other):
    other.bye()
    call.take_bye()
    other.peer.expect(200, method="BYE")


# --- plain calls


def sipp_pair(ground, test, uac, uas):
    n = ground.numbers[test.__name__]
    callee = Sipp(ground.bed, ground.bed.callee, uas, netns.at_callee(n), test.__name__)
    time.sleep(1)
    caller = Sipp(ground.bed, ground.bed.caller, uac, netns.at_caller(n), test.__name__, to=f"{PROXY_HOST}:5060",
                  user="u" + digits(n))
    caller.finish()
    callee.finish()
    return netns.wait_for("the call's record", lambda: [
        r for r in ground.engine.records() if any((leg.get("remote") or "").startswith(netns.host(netns.at_callee(n)) + ":")
                                                  for leg in r["legs"])], 3)


def test_sipp_caller_hangs_up(ground):
    for name, prompt, ssrc in (("caller", "demo-congrats", 0x1111), ("callee", "demo-instruct", 0x2222)):
        speech.write_pcap(ground.bed.path(name + ".pcap"), speech.stream(speech.prompt(prompt), 1, "", ssrc))
    [record] = sipp_pair(ground, test_sipp_caller_hangs_up, "uac_media", "uas_media")
    assert (record["state"], record["cause"]["reason"]) == ("disconnected", "caller_hangup"), record
    counted = {leg["role"]: (leg["rx"]["packets"], leg["tx"]["packets"]) for leg in record["legs"]}
    assert counted == {"caller": (50, 50), "callee": (50, 50)}, f"RTP packets by leg: {counted}"


def test_sipp_callee_hangs_up(ground):
    [record] = sipp_pair(ground, test_sipp_callee_hangs_up, "uac_hung_up", "uas_hangs_up")
    assert (record["state"], record["cause"]["reason"]) == ("disconnected", "callee_hangup"), record


def test_callee_hangs_up(ground):
    with ground.parties(test_callee_hangs_up) as p:
        call = p.a.invite(p.proxy, p.user, p.offer)
        other = p.b.wait_invite()
        other.reply(180)
        call.progress(180)
        through(p, call, other)
        assert other.call_id != call.call_id and other.invite.user == p.user
        assert other.invite.get("max-forwards") == "67", "three hops, each takes one"
        hang_up_callee(p, call, other)
        p.ended(call, other, "disconnected", "callee_hangup")


def test_cancelled(ground):
    """The proxy's CANCEL reaches the callee as kedge's own, by the same way as its INVITE."""
    with ground.parties(test_cancelled) as p:
        call = p.a.invite(p.proxy, p.user, p.offer)
        other = p.b.wait_invite()
        other.reply(180)
        call.progress(180)
        call.cancel()
        cancelled(p.b, other)
        got = {m.method: m for m in [p.a.expect(200, 487) for _ in range(2)]}  # from two of the proxy's processes
        assert got["CANCEL"].status == 200
        call.ack_failure(got["INVITE"])
        p.ended(call, other, "failed", "cancelled", 487)


def cancelled(peer, other):
    cancel = peer.expect("CANCEL")
    assert cancel.call_id == other.call_id and cancel.branch == other.invite.branch
    sippeer.answer_to(peer, cancel, 200)
    other.reply(487)
    other.take_ack()


# --- forks and hunts


def test_parallel_fork(ground):
    """Two branches of one INVITE at once, other Request-URIs: two calls of kedge's. One answers, the other one is cancelled."""
    with ground.parties(test_parallel_fork, "fork-u{n}-u{m}") as p, ground.caught(test_parallel_fork) as caught:
        second = p.more(1)
        call = p.a.invite(p.proxy, p.user, p.offer)
        other, loser = p.b.wait_invite(), second.wait_invite()
        assert other.call_id != loser.call_id
        other.reply(180)
        loser.reply(180)
        assert call.progress(180).to_tag != call.progress(180).to_tag
        through(p, call, other)
        cancelled(second, loser)
        hang_up(p, call, other)
        second.quiet(0.3)
    invites = [m for _, m in caught.to_engine("INVITE", call_id=call.call_id)]
    assert len({m.branch for m in invites}) == len({m.uri for m in invites}) == 2, [m.start for m in invites]
    assert len({(m.from_tag, m.cseq) for m in invites}) == 1
    refused = {m.status for _, ours, m in caught.found
               if ours and not m.is_request and m.status >= 300 and m.call_id == call.call_id}
    assert refused == {487}, f"kedge refused a branch: {refused}"
    check_records(ground, call.call_id, ["disconnected", "failed"])


def check_records(ground, call_id, states):
    def records():
        found = [r["state"] for r in ground.engine.records() if any(leg.get("sip_call_id") == call_id for leg in r["legs"])]
        return sorted(found) if len(found) == len(states) else None
    found = netns.wait_for(f"{len(states)} call records", records, 3)
    assert found == states, f"call records: {found}"


def test_serial_hunt(ground):
    """After a 486 the proxy tries the next at once, in the same dialog to be and with the same CSeq: kedge's transaction of
    the first try still lives, and the new one is no copy of it."""
    with ground.parties(test_serial_hunt, "hunt-u{n}-u{m}-u{o}") as p, ground.caught(test_serial_hunt) as caught:
        peers = [p.b, p.more(1), p.more(2)]
        call = p.a.invite(p.proxy, p.user, p.offer)
        for peer in peers[:2]:
            busy = peer.wait_invite()
            busy.reply(486)
            busy.take_ack()
        other = peers[2].wait_invite()
        p.answer = sippeer.sdp(p.two.address, p.two.port)
        through(p, call, other)
        hang_up_callee(p, call, other)
        for peer in peers:
            peer.quiet(0.2)
    invites = caught.to_engine("INVITE", call_id=call.call_id)
    n = ground.numbers["test_serial_hunt"]
    assert [m.user for _, m in invites] == ["u" + digits(n + k) for k in range(3)], [m.start for _, m in invites]
    busy = caught.from_engine(486, call_id=call.call_id)
    assert len(busy) == 2 and len(caught.from_engine(200, call_id=call.call_id)) >= 1
    gaps = [invite[0] - refusal[0] for refusal, invite in zip(busy, invites[1:])]
    assert all(0 < gap < 1 for gap in gaps), f"from a 486 to the next INVITE: {gaps} s"
    check_records(ground, call.call_id, ["disconnected", "failed", "failed"])


# --- what a proxy makes of kedge's answers


def test_a_503_benches_nobody(ground):
    """The callee's 503 is not kedge's: the proxy goes on to use it. A next hop that says 503 itself is benched."""
    n = ground.numbers["test_a_503_benches_nobody"]
    with ground.parties(test_a_503_benches_nobody, "bench-1-v{n}") as p:
        for status, upstream in ((503, 500), (486, 486)):
            call = p.a.invite(p.proxy, p.user, p.offer)
            other = p.b.wait_invite()
            other.reply(status)
            other.take_ack()
            call.ack_failure(call.progress(upstream))
        with sippeer.Peer(ground.bed.caller, netns.at_caller(n + 1)) as fragile:
            for upstream in (503, 480):
                call = p.a.invite(p.proxy, "bench-2-v" + digits(n), p.offer)
                if upstream == 503:
                    busy = fragile.wait_invite()
                    busy.reply(503)
                    busy.take_ack()
                call.ack_failure(call.progress(upstream, 500))
            fragile.quiet(0.2)


def loop(ground, test, hops, by):
    """The proxy sends all that kedge sends back to it. by: who has to end it. From its second
    pass on the offer is kedge's own media address."""
    with ground.parties(test, "loop{n}") as p, ground.caught(test, "vB") as caught:
        call = sippeer.Dialog(p.a)
        call.to, call.user, call.call_id = p.proxy, p.user, sippeer.new_id(20)
        call.branch, call.request_uri = "z9hG4bK" + sippeer.new_id(), f"sip:{p.user}@{PROXY_HOST}"
        call.remote_uri, call.remote = call.request_uri, f"<{call.request_uri}>"
        call.local = f"<sip:alice@{p.a.host}>;tag={call.tag}"
        head = [("Via", f"SIP/2.0/UDP {p.a.host}:5060;rport;branch={call.branch}"), ("Max-Forwards", str(hops)),
                ("From", call.local), ("To", call.remote), ("Call-ID", call.call_id), ("CSeq", "1 INVITE"),
                ("Contact", f"<sip:alice@{p.a.host}:5060>")]
        call.invite = p.a.send(f"INVITE {call.request_uri} SIP/2.0", head, p.offer, p.proxy)
        call.ack_failure(call.progress(483, timeout_s=10))
        p.ended(call, None, "failed", "rejected", 483)
    mine = [(t, ours, m) for t, ours, m in caught.found if m.is_request and m.method == "INVITE" and m.user == p.user]
    left = [int(m.get("max-forwards")) for _, ours, m in mine if not ours]
    assert left == list(range(hops - 3, -1, -2)), f"Max-Forwards of the INVITEs that came back to kedge: {left}"
    assert min(left) == (0 if by == "kedge" else 1), f"{by} did not end it: {left}"


def test_loop_that_the_engine_ends(ground):
    loop(ground, test_loop_that_the_engine_ends, 41, "kedge")


def test_loop_that_the_proxy_ends(ground):
    loop(ground, test_loop_that_the_proxy_ends, 40, "the proxy")


# --- a proxy that was not there all the time


def restarted(ground, test, hang_up_by):
    with ground.parties(test, via=PROXY_2) as p:
        with proxy(ground.bed, PROXY_2, f"two-{hang_up_by.__name__}", netns.STRANGER) as kamailio:
            call = p.a.invite(p.proxy, p.user, p.offer)
            other = p.b.wait_invite()
            through(p, call, other)
            kamailio.stop()
            p.talk(call, other, start=10)
            kamailio.start()
            hang_up_by(p, call, other)
        return p.ended(call, other, "disconnected", "caller_hangup/callee_hangup")


def test_proxy_restarts(ground):
    """The record routes are all that a proxy needs to find the call again (R31), from either side."""
    assert restarted(ground, test_proxy_restarts, hang_up)["cause"]["reason"] == "caller_hangup"
    assert restarted(ground, test_proxy_restarts, hang_up_callee)["cause"]["reason"] == "callee_hangup"


def after_all_is_given_back(ground):
    assert ground.engine.alive(), f"kedged died:\n{ground.engine.last_log()}"
    ground.engine.no_leaks()
    ground.engine.stop()
    assert ground.proxy.stop() == 0, f"Kamailio ended badly:\n{ground.proxy.last_log()}"


TESTS = [fn for name, fn in list(globals().items()) if name.startswith("test_")]


@contextlib.contextmanager
def ground():
    if netns.NAT or netns.FAMILY[0] != netns.FAMILY[1]:
        raise Skip("the proxy has one address for both sides")
    with netns.Bed(FIRST + 3 * len(TESTS)) as bed:
        second_way(bed)
        yield Ground(bed)


SUITES = [Suite("proxy", ground, TESTS, parallel=True, after=[after_all_is_given_back])]
