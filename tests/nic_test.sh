#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nic_test.sh BUILD_DIR: the af_xdp nic in two network namespaces. Needs root. Prints a PASS or FAIL line for each case;
# exit status 1 where one failed.
#
#   peer namespace               engine namespace
#  +----------------+   veth   +---------------------------------------+
#  | vb 192.0.2.2   |----------| va 192.0.2.1, .3   nic_test (DPDK)    |
#  | 2001:db8::2    |          | 2001:db8::1, ::3                      |
#  +----------------+          |                    sockets (kernel)   |
#                              +---------------------------------------+
set -u
PROGRAM=$(realpath "${1:?usage: nic_test.sh BUILD_DIR}")/dataplane/nic_test
[ "$(id -u)" = 0 ] || { echo "skipped: needs root, for network namespaces and XDP"; exit 77; }
[ -x "$PROGRAM" ] || { echo "FAIL $PROGRAM is not built"; exit 1; }

E=kn$$-e P=kn$$-p
DIR=$(mktemp -d -t kedge-nic-XXXXXX)
failed=0 all=""
declare -A pid to from
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # what DPDK keeps until the end

cleanup() {
	local one
	for one in "${!pid[@]}"; do kill -9 "${pid[$one]}" 2>/dev/null; done
	wait 2>/dev/null
	ip netns del "$E" 2>/dev/null
	ip netns del "$P" 2>/dev/null
	rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# --- tools ------------------------------------------------------------------------------------------------------------

# check TITLE GOT WANTED (a pattern)
check() {
	if [[ $2 == $3 ]]; then
		echo "PASS $1"
	else
		echo "FAIL $1: got \"$2\", wanted \"$3\""
		failed=1
	fi
}

# engine NAME DEVICE ADDRESS...: start one; its first answer is in $answer
engine() {
	local name=$1
	shift
	mkfifo "$DIR/$name.in" "$DIR/$name.out"
	ip netns exec "$E" ${WRAP:-} "$PROGRAM" "$@" <"$DIR/$name.in" >"$DIR/$name.out" 2>>"$DIR/$name.log" &
	pid[$name]=$!
	all="$all $!"
	exec {to[$name]}>"$DIR/$name.in" {from[$name]}<"$DIR/$name.out"
	read -r -t 30 answer <&"${from[$name]}" || answer="no answer: $(tail -n 5 "$DIR/$name.log")"
}

# say NAME LINE: its answer is in $answer
say() {
	echo "$2" >&"${to[$1]}"
	read -r -t 10 answer <&"${from[$1]}" || answer="no answer"
}

# gone NAME [SIGNAL]: end it (quit, or by signal); its status is in $status
gone() {
	if [ -n "${2:-}" ]; then kill "-$2" "${pid[$1]}"; else echo quit >&"${to[$1]}"; fi 2>/dev/null
	wait "${pid[$1]}" 2>/dev/null
	status=$?
	exec {to[$1]}>&- {from[$1]}<&-
	rm -f "$DIR/$1.in" "$DIR/$1.out"
	unset "pid[$1]" "to[$1]" "from[$1]"
}

attached() { ip -n "$E" -d link show dev va | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p'; }

# ask ADDRESS PORT COUNT [SIZE [HOW]]: send from the peer; prints who answered. HOW: gso, options, silent (no waiting)
ask() { ip netns exec "$P" python3 "$DIR/ask.py" "$@"; }
ask_self() { ip netns exec "$E" python3 "$DIR/ask.py" "$@"; } # the same from the engine's host

cat >"$DIR/ask.py" <<'PYTHON'
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
size, how = int(sys.argv[4]) if len(sys.argv) > 4 else 172, sys.argv[5] if len(sys.argv) > 5 else ""
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
sock.settimeout(1)
if how == "options" and family == socket.AF_INET6:
    sock.setsockopt(socket.IPPROTO_IPV6, 59, b"\0\0\1\4\0\0\0\0")  # IPV6_DSTOPTS: one of padding
elif how == "options":
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\x00\x00")
bodies = [(b"%06d" % i) * (size // 6) for i in range(count)]
if how == "gso":
    sock.setsockopt(socket.IPPROTO_UDP, 103, size // 6 * 6)  # UDP_SEGMENT
    sock.sendto(b"".join(bodies), (address, port))
else:
    for body in bodies:
        sock.sendto(body, (address, port))
if how == "silent":
    sys.exit()
missing, by = set(bodies), {"dpdk": 0, "kernel": 0}
try:
    while missing:
        got, source = sock.recvfrom(65536)
        who = "kernel" if got.startswith(b"kernel") else "dpdk"
        got = got.removeprefix(b"kernel")
        if got in missing and source[:2] == (address, port):
            missing.discard(got)
            by[who] += 1
except OSError:  # no answer, or nobody there
    pass
print(f"dpdk {by['dpdk']} kernel {by['kernel']}")
PYTHON
cat >"$DIR/kernel.py" <<'PYTHON'
import select, socket, sys
socks = []
for address in sys.argv[1].split(","):
    for port in sys.argv[2].split(","):
        socks.append(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM))
        socks[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        socks[-1].bind((address, int(port)))
print("ready", flush=True)
while True:
    for sock in select.select(socks, [], [])[0]:
        data, source = sock.recvfrom(65536)
        sock.sendto(b"kernel" + data, source)
PYTHON
cat >"$DIR/frame.py" <<'PYTHON'
import socket, struct, sys
address, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[4]
mac = bytes.fromhex(sys.argv[3].replace(":", "")) if how == "tagged" else b"\x02\0\0\0\0\x99"
tag = b"\x81\0\0\x05" if how == "tagged" else b""
udp = struct.pack("!HHHH", 9, port, 18, 0) + b"0123456789"
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 38, 0, 0, 64, 17, 0, socket.inet_aton("192.0.2.2"), socket.inet_aton(address))
total = sum(struct.unpack("!10H", ip))
ip = ip[:10] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + ip[12:]
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("vb", 0))
sock.send(mac + b"\x02\0\0\0\0\x01" + tag + b"\x08\0" + ip + udp)
PYTHON
cat >"$DIR/foreign.c" <<'C'
#include <linux/bpf.h>
__attribute__((section("xdp"), used)) int foreign(struct xdp_md *ctx) { return XDP_PASS; }
char foreign_license[] __attribute__((section("license"), used)) = "GPL";
C
sed 's/int foreign/int xdp_dispatcher/' "$DIR/foreign.c" >"$DIR/dispatcher.c"
for name in foreign dispatcher; do
	clang -O2 -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c "$DIR/$name.c" -o "$DIR/$name.o" || exit 1
done

# --- the two namespaces -----------------------------------------------------------------------------------------------

set -e
for name in $E $P; do
	ip netns add "$name"
	ip -n "$name" link set lo up
done
ip link add va netns "$E" type veth peer name vb netns "$P"
ip -n "$E" addr add 192.0.2.1/24 dev va
ip -n "$E" addr add 192.0.2.3/24 dev va
ip netns exec "$E" sysctl -qw net.ipv6.conf.va.keep_addr_on_down=1
ip -n "$E" addr add 2001:db8::1/64 dev va nodad
ip -n "$E" addr add 2001:db8::3/64 dev va nodad
ip -n "$P" addr add 192.0.2.2/24 dev vb
ip -n "$P" addr add 2001:db8::2/64 dev vb nodad
ip -n "$E" link set va up
ip -n "$P" link set vb up
touch "$DIR/kernel.out"
ip netns exec "$E" python3 "$DIR/kernel.py" 192.0.2.1,192.0.2.3,2001:db8::1,2001:db8::3 20000,20002,53 >"$DIR/kernel.out" &
pid[kernel]=$!
until grep -q ready "$DIR/kernel.out"; do sleep 0.05; done
set +e

# new_pair: one more veth between the namespaces
new_pair() {
	ip link add xa netns "$E" type veth peer name xb netns "$P"
	ip -n "$E" addr add 198.51.100.1/24 dev xa
	ip -n "$P" addr add 198.51.100.2/24 dev xb
	ip -n "$E" link set xa up
	ip -n "$P" link set xb up
}

# until_link_up NAME: the kernel tells the carrier a while after the interface is up; the last info is in $answer
until_link_up() {
	for ((tries = 0; tries < 100; tries++)); do
		say "$1" info
		[[ $answer == *" link=1 "* ]] && return
		sleep 0.05
	done
}

# foreign_frame ADDRESS PORT [tagged]: to a MAC address that is not ours, or with a VLAN tag
foreign_frame() {
	ip netns exec "$P" python3 "$DIR/frame.py" "$1" "$2" "$(ip netns exec "$E" cat /sys/class/net/va/address)" "${3:-}"
}

# sum_of INFO: what came and what was lost
sum_of() { [[ $1 =~ \ rx=([0-9]+)\ missed=([0-9]+)\  ]] && echo $((BASH_REMATCH[1] + BASH_REMATCH[2])); }

# on_lo DRIVER: softphones on the engine's own host
on_lo() {
	say one "on 127.0.0.1 20020"
	check "$1:lo reaches DPDK, both ways" "$answer/$(ask_self 127.0.0.1 20020 200)" "0/dpdk 200 kernel 0"
	say one "addresses 127.0.0.1 ::1 192.0.2.1"
	say one "on ::1 20020"
	check "$1:lo IPv6 too" "$answer/$(ask_self ::1 20020 200)" "0/dpdk 200 kernel 0"
	say one "on 192.0.2.1 20020"
	check "$1:lo to another address of the host" "$answer/$(ask_self 192.0.2.1 20020 200)" "0/dpdk 200 kernel 0"
	check "$1:lo leaves the kernel's ports alone" "$(ask_self 192.0.2.1 20002 5)" "dpdk 0 kernel 5"
	say one info
	check "$1:lo receives nothing twice" "$answer" "* rx=600 missed=0 echoed=600 odd=0 *"
}

udp6_errors() { ip netns exec "$P" awk '$1 == "Udp6InCsumErrors" {print $2}' /proc/net/snmp6; }

# --- cases ------------------------------------------------------------------------------------------------------------

engine one af_xdp:va 192.0.2.1 192.0.2.3
check "starts on a veth" "$answer" ready
say one cpus
check "the calling thread keeps its CPUs" "$answer" "$(nproc)"
say one info
check "says what it is" "$answer" "driver=net_af_xdp steering=none mtu=1500 link=1 ring=4096 live=0 addresses=2 *"
check "no port is live at first" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
say one "on 192.0.2.1 20000"
check "a port becomes live" "$answer" 0
check "a live port reaches DPDK, both ways with right checksums" "$(ask 192.0.2.1 20000 500)" "dpdk 500 kernel 0"
check "another port is the kernel's" "$(ask 192.0.2.1 20002 5)" "dpdk 0 kernel 5"
check "so is a DNS answer's" "$(ask 192.0.2.1 53 5)" "dpdk 0 kernel 5"
check "the same port of another address is the kernel's" "$(ask 192.0.2.3 20000 5)" "dpdk 0 kernel 5"
check "odd sizes too" "$(ask 192.0.2.1 20000 50 1434)" "dpdk 50 kernel 0"
check "datagrams that the peer's kernel sends as one (GSO)" "$(ask 192.0.2.1 20000 20 600 gso)" "dpdk 20 kernel 0"
check "IP options are stepped over" "$(ask 192.0.2.1 20000 5 172 options)" "dpdk 5 kernel 0"
check "fragments are the kernel's" "$(ask 192.0.2.1 20000 3 3000)" "dpdk 0 kernel 3"
check "so is what is no UDP" "$(ip netns exec "$P" python3 -c 'import socket
print(socket.socket().connect_ex(("192.0.2.1", 20000)))')" 111 # TCP: refused by the kernel
check "no wrong checksum at the peer" "$(ip netns exec "$P" awk '/^Udp:/ && $8 ~ /^[0-9]/ {print $8}' /proc/net/snmp)" 0
say one info
check "nothing else came to DPDK" "$answer" "* live=1 * odd=0 *"
say one "off 192.0.2.1 20000"
check "a port that was live is the kernel's again" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
say one "off 192.0.2.1 20000"
check "off twice is off" "$answer" 0

say one "on 192.0.2.1 20000"
say one "addresses 192.0.2.3"
check "ports of an address that went are the kernel's" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
say one "addresses 192.0.2.3 192.0.2.7 192.0.2.8"
say one "on 192.0.2.7 20002"
check "and not those of the address that came" "$(ask 192.0.2.3 20000 5)" "dpdk 0 kernel 5"
say one "on 192.0.2.1 20002"
check "an address that is not there can have none" "$answer" -99
say one "addresses 192.0.2.1 192.0.2.3"
check "an address that comes back has its ports" "$(ask 192.0.2.1 20000 5)" "dpdk 5 kernel 0"
say one "addresses 192.0.2.3"
say one "addresses 192.0.2.3 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 192.0.2.16 192.0.2.17"
check "eight others take its place" "$answer" 0
say one "addresses 192.0.2.3 192.0.2.1"
check "then its ports are forgotten" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
say one "addresses 1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 1.0.0.6 1.0.0.7 1.0.0.8 1.0.0.9"
check "nine addresses are too many" "$answer" -7
say one "addresses 192.0.2.1 192.0.2.3"

say one "addresses 192.0.2.1 2001:db8::1 2001:db8::3 192.0.2.3"
check "addresses of both families" "$answer" 0
say one "on 2001:db8::1 20000"
check "IPv6: a live port reaches DPDK, both ways with right checksums" "$(ask 2001:db8::1 20000 500)" "dpdk 500 kernel 0"
check "IPv6: odd sizes too" "$(ask 2001:db8::1 20000 50 1416)" "dpdk 50 kernel 0"
check "IPv6: another port is the kernel's" "$(ask 2001:db8::1 20002 5)" "dpdk 0 kernel 5"
check "IPv6: the same port of another address is the kernel's" "$(ask 2001:db8::3 20000 5)" "dpdk 0 kernel 5"
check "and the same port of an IPv4 address" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
check "IPv6: fragments are the kernel's" "$(ask 2001:db8::1 20000 3 3000)" "dpdk 0 kernel 3"
say one "on 2001:db8::1 260" # the third and fourth byte of that header
check "IPv6: so are extension headers" "$(ask 2001:db8::1 20000 3 172 options)" "dpdk 0 kernel 3"
check "IPv6: no wrong checksum at the peer" "$(udp6_errors)" 0
say one "off 2001:db8::1 260"
say one "off 2001:db8::1 20000"
check "IPv6: a port that was live is the kernel's again" "$(ask 2001:db8::1 20000 5)" "dpdk 0 kernel 5"

say one "on 192.0.2.1 20000"
id=$(attached)
engine two af_xdp:va 192.0.2.1
check "a second engine is refused" "$answer" "refused: another kedged that runs holds interface va: *"
gone two
check "and touches nothing" "$(attached)" "$id"
ip -n "$E" link set va down; ip -n "$E" link set va name vx; ip -n "$E" link set vx up
engine two af_xdp:vx 192.0.2.1
check "also under another name" "$answer" "refused: another kedged that runs holds interface vx: *"
gone two
ip -n "$E" link set vx down; ip -n "$E" link set vx name va; ip -n "$E" link set va up
check "the first one goes on" "$(ask 192.0.2.1 20000 50)" "dpdk 50 kernel 0"

gone one 9
check "killed, its program stays" "$(attached)" "$id"
check "and its ports are the kernel's" "$(ask 192.0.2.1 20000 5)" "dpdk 0 kernel 5"
engine one af_xdp:va 192.0.2.1 192.0.2.3
check "the next one replaces it" "$answer" ready
check "and says so once" "$(grep -c 'replaced the XDP program' "$DIR/one.log")" 1
say one "on 192.0.2.1 20002"
check "and works" "$(ask 192.0.2.1 20002 50) $(ask 192.0.2.1 20000 5)" "dpdk 50 kernel 0 dpdk 0 kernel 5"
gone one
check "it ends well" "$status" 0
check "nothing is attached afterwards" "$(attached)" ""
check "no directory of DPDK is left" "$(for one in $all; do ls -d "/var/run/dpdk/kedge-$one"; done 2>/dev/null)" ""

ip -n "$E" link set dev va xdp obj "$DIR/foreign.o" sec xdp
id=$(attached)
engine one af_xdp:va 192.0.2.1
check "a foreign program: refused, and named" "$answer" \
	"refused: interface va has an XDP program of somebody else: foreign (id $id)*ip link set dev va xdp off*"
gone one
check "and still attached" "$(attached)" "$id"
ip -n "$E" link set dev va xdp off
engine one af_xdp:va 192.0.2.1
check "with it gone the engine starts" "$answer" ready
ip -n "$E" -force link set dev va xdp obj "$DIR/foreign.o" sec xdp
id=$(attached)
gone one
check "a program that replaced ours while we ran stays" "$(attached)/$status" "$id/0"
ip -n "$E" link set dev va xdp off

ip -n "$E" link set dev va xdpgeneric obj "$DIR/foreign.o" sec xdp
engine one af_xdp:va 192.0.2.1
gone one
advice=$(sed -n 's/.*`ip \(link [^`]*\)`.*/\1/p' <<<"$answer")
ip -n "$E" $advice
check "a foreign generic program: the advice takes it away" "$advice/$(ip -n "$E" -d link show dev va | grep -c 'xdp id')" \
	"link set dev va xdpgeneric off/0"
ip -n "$E" link set dev va xdpgeneric off
OURS=$(find "$(dirname "$PROGRAM")" -name kedge_xdp.bpf.o | head -n 1)
ip -n "$E" link set dev va xdpgeneric obj "$OURS" sec xdp
engine one af_xdp:va 192.0.2.1
gone one
check "ours that hangs there generic is replaced" "$answer/$(ip -n "$E" -d link show dev va | grep -c 'xdp id')" "ready/0"
ip -n "$E" link set dev va xdpgeneric off
ip -n "$E" link set dev va xdp obj "$DIR/dispatcher.o" sec xdp
id=$(attached)
engine one af_xdp:va 192.0.2.1
gone one
check "a dispatcher that cannot be looked into is somebody else's" "$answer/$(attached)" \
	"refused: interface va has an XDP program of somebody else: xdp_dispatcher (id $id)*/$id"
ip -n "$E" link set dev va xdp off
engine one af_xdp:lo 127.0.0.1
check "the loopback as it comes" "$answer" "refused: the kernel drops what the engine would send on lo: write \`sysctl -w *"
gone one
ip netns exec "$E" sysctl -qw net.ipv4.conf.{lo.accept_local,lo.route_localnet}=1 net.ipv4.conf.{lo,all}.rp_filter=0
for start in 1 2; do
	engine one af_xdp:lo 127.0.0.1
	check "generic XDP, start $start around a kill -9" "$answer" ready
	on_lo af_xdp
	gone one $((start == 1 ? 9 : 15))
done
ip -n "$E" link set dev lo xdp off

ip -n "$E" -d link show dev lo | grep -c "xdp id" | { read -r left; check "nothing is left on lo" "$left" 0; }

unreachable() {
	ip netns exec "$E" awk '/^Icmp:/ && !n {for (i = 2; i <= NF; i++) if ($i == "OutDestUnreachs") n = i; next}
		/^Icmp:/ {print $n}' /proc/net/snmp
}
engine one af_packet:lo 127.0.0.1
on_lo af_packet
gone one
engine one af_packet:va 192.0.2.1 192.0.2.3
check "af_packet starts" "$answer" ready
say one info
check "and says what it is" "$answer" "driver=net_af_packet steering=none mtu=1500 link=1 ring=4096 live=0 addresses=2 *"
say one "on 192.0.2.1 20000"
check "a port that another program has" "$answer" -98
say one "on 192.0.2.1 20010"
check "a free one becomes live" "$answer" 0
before=$(unreachable)
check "af_packet: a live port reaches DPDK, both ways" "$(ask 192.0.2.1 20010 500)" "dpdk 500 kernel 0"
check "and the kernel says nothing to it by ICMP" "$(unreachable)" "$before"
check "the kernel's own ports stay its own" "$(ask 192.0.2.1 20002 5)" "dpdk 0 kernel 5"
say one info
check "nothing else came through the filter" "$answer" "* live=1 *rx=500 missed=0 echoed=500 odd=0 *"
foreign_frame 192.0.2.1 20010
foreign_frame 192.0.2.1 20010 tagged
check "a frame to another host's MAC or of a VLAN is not media" "$(ask 192.0.2.1 20010 1)" "dpdk 1 kernel 0"
say one info
check "and did not come" "$answer" "* rx=501 *"
say one "addresses 192.0.2.1 2001:db8::1"
say one "on 2001:db8::1 20002"
check "IPv6: a port that another program has" "$answer" -98
say one "on 2001:db8::1 20010"
check "IPv6: af_packet reaches DPDK, both ways" "$(ask 2001:db8::1 20010 500)" "dpdk 500 kernel 0"
check "IPv6: another port is the kernel's" "$(ask 2001:db8::1 20002 5)" "dpdk 0 kernel 5"
check "IPv6: extension headers are no media" "$(ask 2001:db8::1 20010 2 172 options)" "dpdk 0 kernel 0"
check "no wrong checksum at the peer here either" "$(udp6_errors)" 0
kill -STOP "${pid[one]}"
ask 192.0.2.1 20010 6000 172 silent
kill -CONT "${pid[one]}"
check "af_packet goes on after its ring was full" "$(ask 192.0.2.1 20010 50)" "dpdk 50 kernel 0"
say one info
check "and counts what was lost" "$(sum_of "$answer")" 7051
ip -n "$E" link set va mtu 1400
say one info
check "an MTU that changes is told" "$answer" "* mtu=1400 *"
ip -n "$E" link set va mtu 1500
ip -n "$E" link set va down
say one info
check "a link that goes down is told" "$answer" "* link=0 *"
say one "repeat 10000"
check "sending to a link that is down comes back" "$answer" "[0-9]*"
ip -n "$E" link set va up
ask 192.0.2.1 20010 5 >/dev/null # behind what the driver's ring kept meanwhile
check "af_packet goes on after down and up" "$(ask 192.0.2.1 20010 50)" "dpdk 50 kernel 0"
say one "off 192.0.2.1 20010"
check "af_packet: a port that was live is the kernel's again" "$(ask 192.0.2.1 20010 5)" "dpdk 0 kernel 0"
check "which says so" "$(($(unreachable) > before))" 1
gone one
WRAP="prlimit --nofile=40:40" engine one af_packet:va 192.0.2.1
check "starts with few descriptors" "$answer" ready
for port in $(seq 20010 2 20100); do
	say one "on 192.0.2.1 $port"
	[ "$answer" = 0 ] || break
done
say one "on 192.0.2.1 20402"
check "descriptors that are out: said once" "$answer/$(grep -c "raise the limit of open files" "$DIR/one.log")" -24/1
say one "off 192.0.2.1 20010"
say one "on 192.0.2.1 20400"
check "one given back is one to have" "$answer" 0
gone one

for driver in af_xdp af_packet; do
	new_pair
	engine one $driver:xa 198.51.100.1
	say one "on 198.51.100.1 20010"
	check "$driver: a pair of its own" "$(ask 198.51.100.1 20010 20)" "dpdk 20 kernel 0"
	[ $driver = af_xdp ] && ip -n "$E" link set xa down
	say one "repeat 10000"
	check "$driver: sends more than its ring" "$answer" "[0-9]*"
	ip -n "$E" link set xa up
	ask 198.51.100.1 20010 5 >/dev/null
	check "$driver: and goes on" "$(ask 198.51.100.1 20010 20)" "dpdk 20 kernel 0"
	ip -n "$E" link set xa down && ip -n "$E" link set xa name xn && ip -n "$E" link set xn up
	until_link_up one
	check "$driver: another name is no loss" "$answer" "* link=1 *"
	check "$driver: it goes on under that" "$(ask 198.51.100.1 20010 20)" "dpdk 20 kernel 0"
	ip -n "$E" link del xn
	say one "repeat 10000"
	check "$driver: sending to an interface that is gone comes back" "$answer" "[0-9]*"
	say one info
	check "$driver: and it is told" "$answer" "* link=0 *"
	new_pair
	say one info
	check "$driver: one that comes under its name is another" "$answer" "* link=0 *"
	say one "off 198.51.100.1 20010"
	gone one
	check "$driver: it ends well without its interface" "$answer/$status" 0/0

	engine one $driver:xa 198.51.100.1
	say one "on 198.51.100.1 20010"
	check "$driver: before it is abandoned" "$(ask 198.51.100.1 20010 20)" "dpdk 20 kernel 0"
	say one abandon
	check "$driver: abandoned, its port stays" "$answer" 1
	before=$(unreachable)
	check "$driver: and its ports are the kernel's" "$(ask 198.51.100.1 20010 5)" "dpdk 0 kernel 0"
	check "$driver: which says so" "$(($(unreachable) > before))" 1
	check "$driver: no program is left" "$(ip -n "$E" -d link show dev xa | grep -c 'xdp id')" 0
	gone one
	check "$driver: the abandoned one ends well" "$status" 0
	ip -n "$E" link del xa
done

engine null null
check "the null device" "$answer" ready
say null info
check "says what it is" "$answer" "driver=net_null steering=none *"
gone null
engine one vhost:"$DIR/v.sock"
check "vhost starts without its guest" "$answer" ready
say one info
check "says what it is" "$answer" "driver=net_vhost steering=none mtu=1500 link=0 *"
check "and has a TAP with its address" "$(ip -n "$E" -br link show dev kdg-test)" "kdg-test *${answer##*mac=} *UP*"
engine two vhost:"$DIR/v.sock"
check "a socket that is served" "$answer" "refused: vhost:*/v.sock: another program serves that socket: *"
gone two
engine two memif:"$DIR/m.sock,server"
check "a second nic of that name" "$answer" "refused: test: there is an interface kdg-test: *"
gone two
gone one 9
check "killed, its TAP is gone and its socket stays" "$(ip -n "$E" link show dev kdg-test 2>&1)/$(ls "$DIR/v.sock")" \
	"*does not exist*/$DIR/v.sock"
engine one -q 2 vhost:"$DIR/v.sock"
check "the next one replaces it" "$answer" ready
gone one
check "vhost ends well, and takes its socket with it" "$status/$(ls "$DIR"/*.sock 2>/dev/null)" 0/
engine one af_xdp:nothing 192.0.2.1
check "no such interface" "$answer" "refused: there is no interface nothing: *"
gone one
ip -n "$E" link add w0 type veth peer name w1
engine one af_xdp:w0 192.0.2.1
check "an interface that is down" "$answer" "refused: interface w0 is down: write \`ip link set dev w0 up\`"
gone one
ip -n "$E" link set w0 mtu 9000; ip -n "$E" link set w1 mtu 9000; ip -n "$E" link set w0 up
engine one af_xdp:w0 192.0.2.1
check "what the kernel refuses is told in its words" "$answer" "refused: *Peer MTU is too large to set XDP*"
gone one
ip -n "$E" link add q0 numrxqueues 2 type veth peer name q1 && ip -n "$E" link set q0 up
engine one af_xdp:q0 192.0.2.1
check "several receive queues" "$answer" "refused: interface q0 spreads * over 2 queues*ethtool -L q0 rx 1*"
gone one
engine one -q 2 af_xdp:q0 192.0.2.1
check "more of them than it sends on" "$answer" "refused: interface q0 receives on 2 queues and sends on 1: *-L q0 tx 2*"
gone one

ip link add d0 numrxqueues 2 numtxqueues 2 netns "$E" type veth peer name d1 numrxqueues 2 numtxqueues 2 netns "$P"
ip -n "$E" addr add 203.0.113.1/24 dev d0
ip -n "$P" addr add 203.0.113.2/24 dev d1
ip -n "$E" link set d0 up
ip -n "$P" link set d1 up
engine one af_xdp:d0 203.0.113.1
check "two queues, and one is read" "$answer" "refused: interface d0 spreads * over 2 queues, and media is read from 1: *"
gone one
engine one -q 3 af_xdp:d0 203.0.113.1
check "two queues, and three could be read" "$answer" ready
say one info
check "says how it steers" "$answer" "driver=net_af_xdp steering=software *"
say one "on 203.0.113.1 20000"
sum=0
for ((i = 0; i < 16; i++)); do # each socket's flow has a queue of its own
	[ "$(ask 203.0.113.1 20000 25)" = "dpdk 25 kernel 0" ] && sum=$((sum + 25))
done
check "both ways on two queues" "$sum" 400
say one queues
check "both queues receive" "$answer" "2: [1-9]* [1-9]*"
say one info
check "and nothing else" "$answer" "* rx=400 missed=0 echoed=400 odd=0 *"
gone one
check "two queues end well" "$status" 0
check "and leave no program" "$(ip -n "$E" -d link show dev d0 | grep -c 'xdp id')" 0
WRAP="setpriv --bounding-set=-sys_admin" engine one af_xdp:va 192.0.2.1
check "rights that are missing" "$answer" "refused: *lacks CAP_SYS_ADMIN: run as root, or give it CAP_NET_ADMIN, *"
gone one
WRAP="setpriv --bounding-set=-ipc_lock,-sys_resource prlimit --memlock=1048576:1048576" engine one af_xdp:va 192.0.2.1
check "memory that may not be locked" "$answer" "refused: 1024 kB of memory may be locked and packet buffers need *"
gone one
engine one af_xdp:lo 127.0.0.1
check "an interface without native XDP" "$answer" ready
gone one
check "an engine's log is the log's" "$(grep -hv '^log [0-3] [a-z]*: ' "$DIR"/*.log | head -n 30)" ""

exit $failed
