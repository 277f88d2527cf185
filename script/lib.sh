# SPDX-License-Identifier: BSD-3-Clause
# What the scripts share. Sourced: . "$(dirname "$0")/lib.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

PACKAGES_BUILD="gcc g++ libc6-dev clang llvm meson ninja-build pkg-config python3
	libdpdk-dev libosip2-dev libevent-dev libssl-dev libfyaml-dev libc-ares-dev libjansson-dev libjemalloc-dev libmnl-dev libbpf-dev libxdp-dev libcmocka-dev libspandsp-dev libopus-dev
	libspeexdsp-dev linux-libc-dev"
PACKAGES_DEMO="iproute2 procps tcpdump sip-tester asterisk-core-sounds-en-wav"
PACKAGES_TEST="$PACKAGES_DEMO baresip-core libclang-rt-14-dev nftables conntrack tshark
	asterisk-core-sounds-en-gsm asterisk-core-sounds-en-g722 ffmpeg kamailio kamailio-tls-modules kamailio-websocket-modules"
# Node of another origin than Debian's brings its npm along, and Debian's would not go with it.
command -v node >/dev/null && command -v npm >/dev/null || PACKAGES_TEST="$PACKAGES_TEST nodejs npm"
PACKAGES_BENCH="dpdk libspeexdsp-dev libspandsp-dev gnuplot-nox rtpengine-daemon sip-tester iproute2 procps ffmpeg asterisk-core-sounds-en-wav"

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# Start again through sudo where we are not root: namespaces, XDP and apt-get need it.
need_root() {
	[ "$(id -u)" = 0 ] && return
	command -v sudo >/dev/null || die "this needs root (network namespaces, XDP) and sudo is not here: run it as root"
	exec sudo --preserve-env=CI "$0" "$@"
}

# Install what is missing of these packages, in one line of progress.
need_packages() {
	local missing="" package log
	for package in "$@"; do
		case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
		ii*) ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "these packages are missing and there is no apt-get here, install them:$missing"
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "these packages are missing, install them as root:$missing"
	echo "installing:$missing"
	log=$(mktemp)
	if ! { apt_get install $missing || { apt_get update && apt_get install $missing; }; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "apt-get could not install them: see above. Is the network up, and does 'apt-get update' work?"
	fi
	rm -f "$log"
}

apt_get() {
	local as_root=""
	[ "$(id -u)" = 0 ] || as_root=sudo
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}

# Release build with gcc in build/. The log is shown only where it fails.
build_release() {
	local log="$ROOT/build/build.log"
	mkdir -p "$ROOT/build"
	if ! { setup_release && ninja -C "$ROOT/build"; } >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		die "the build failed: see above, and $log"
	fi
	local name
	for name in kedged kedgectl; do
		[ ! -e "$ROOT/build/control/$name" ] || ln -sf "control/$name" "$ROOT/build/$name"
		[ -x "$ROOT/build/$name" ] || die "the build did not leave build/$name: see $log"
	done
}

setup_release() {
	[ -f "$ROOT/build/build.ninja" ] || CC=gcc meson setup "$ROOT/build" "$ROOT" --buildtype=release --werror
}
