// SPDX-License-Identifier: BSD-3-Clause
// The one way to steer the media plane. It knows neither SIP nor DPDK: drivers are the SIP call layer, later
// rtpengine's control protocol, and the tests' fake.
//
// All functions: Thread: control (the thread that opened it). Blocks: never, unless said. Nothing here is reentrant.
// A change is a command to the lcore that owns the leg; the call returns at once and an event says when the owner has
// done it. What control handed over is copied: the caller keeps its structs.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "kg_counters.h"

#define KG_MEDIA_NICS 16
#define KG_MEDIA_NIC_ADDRS 8
#define KG_MEDIA_LCORES 16
#define KG_MEDIA_FORMATS 16
#define KG_MEDIA_ERR 256

struct kg_media;

typedef uint32_t kg_leg_id; // never 0; never reused while its leg lives, and late (a generation is part of it)

enum kg_idle { KG_IDLE_ADAPTIVE, KG_IDLE_SPIN };

struct kg_media_nic_config {
	char name[32];
	char device[64]; // "af_xdp:eth0", "pci:0000:01:00.0", "vhost:/run/x.sock", ...: see dataplane/nic.h
	unsigned queues; // pairs of a receive and a transmit queue wanted, one per relay lcore; 0: 1
	uint16_t vlan;   // media is tagged with it; 0: none
	struct kg_media_prefix {
		struct kg_addr addr; // the port does not count
		uint8_t prefix;
	} addrs[KG_MEDIA_NIC_ADDRS]; // of a device that DPDK owns: the kernel's side of it gets them
	unsigned addr_count;
};

struct kg_media_config {
	struct kg_media_nic_config nics[KG_MEDIA_NICS];
	unsigned nic_count;
	int relay_cpus[KG_MEDIA_LCORES]; // CPUs of the relay lcores
	unsigned relay_count;            // 0: chosen from the machine
	int dsp_cpus[KG_MEDIA_LCORES];   // CPUs of the dsp lcores
	unsigned dsp_count;              // 0: one beside each relay lcore, on any CPU
	int control_cpu;                 // CPU of the calling thread; -1: left to the kernel
	enum kg_idle idle;
	uint32_t max_legs;         // 0: 16384
	const char *telemetry_dir; // DPDK's telemetry socket: DIR/dpdk/kedge-PID/dpdk_telemetry.v2; NULL: none
	uint16_t port_first;       // media port range, for sizing and for checks
	uint16_t port_last;
};

// What a payload type means, so that jitter can be measured in time.
struct kg_media_format {
	uint8_t payload_type; // 0-127
	uint32_t clock_hz;
};

enum kg_jitter { KG_JITTER_ADAPTIVE, KG_JITTER_FIXED, KG_JITTER_OFF }; // as enum jbuf_mode

// What a party of a call speaks that is not what the other one speaks, and how its line is played.
struct kg_media_codec {
	uint8_t row; // 1 + the place in codec_table; 0: none
	uint8_t payload_type;
	uint8_t event_type;                    // of telephone-event; KG_MEDIA_NO_TYPE: none
	uint8_t ptime_ms;                      // that the party wants; 0: 20
	uint16_t event_hz;                     // telephone-event's clock
	uint8_t jitter;                        // enum kg_jitter
	bool fec, dtx, cbr;                    // Opus: as its fmtp allows
	uint32_t rate_hz;                      // Opus: the highest that it plays; 0: the codec's
	uint32_t bitrate_bps;                  // Opus: 0: the codec's own choice
	uint16_t jitter_min_ms, jitter_max_ms; // 0: the jitter buffer's own
};
#define KG_MEDIA_NO_TYPE 255

// The next hop towards an address: what the kernel's routes and neighbours say (see control/netlink.c).
struct kg_media_hop {
	bool resolved;
	uint8_t source_mac[6];
	uint8_t target_mac[6];
	uint16_t mtu;
};

// One party's media end. Immutable once given: to change it give a whole new one.
struct kg_leg_config {
	uint8_t nic;                // index into kg_media_config.nics
	struct kg_addr local;       // RTP address and port; RTCP is on port + 1 unless rtcp_mux
	struct kg_addr remote;      // RTP; none: nothing is sent, and what arrives is dropped as no_remote
	struct kg_addr remote_rtcp; // none: RTCP is not sent there
	struct kg_media_hop hop;    // towards remote (and remote_rtcp)
	bool rtcp_mux;
	uint32_t latch;   // not 0: the party is behind NAT, its port is learned from its packets (remote.port 0: not
			  // known yet), its address is bound to remote.ip. Another number forgets what was learned
	bool may_receive; // the party may send to us (its direction allows it)
	bool may_send;    // we may send to the party
	uint8_t dscp;     // 46 = EF
	kg_leg_id peer;   // the leg that gets what arrives here; 0: none yet
	struct kg_media_format formats[KG_MEDIA_FORMATS]; // payload types the party may send; empty: any
	unsigned format_count;
	struct kg_media_codec codec, peer_codec; // both there: what arrives is transcoded, in place or by a room (not
						 // for kg_media_leg_create)
	uint32_t silent_ms;                      // KG_EVENT_SILENT after this long without RTP or RTCP; 0: never
};

// What a room made of what arrived on a leg, since it has been one's.
struct kg_room_stats {
	bool runs;
	uint64_t played, late, concealed, recovered; // packets; the last two: pulls of the jitter buffer
	uint64_t discarded;                          // duplicates, strays, and what there was no room for
	uint64_t undecodable, events, encoded;       // packets
	int32_t depth_us, target_us;                 // of the jitter buffer
};

struct kg_leg_stats {
	unsigned lcore;                // that owns it, as kg_lcore_info names it
	uint64_t rx_packets, rx_bytes; // RTP: admitted packets, bytes of the RTP packet (header and payload)
	uint64_t rx_lost, rx_duplicate, rx_reordered; // RFC 3550 A.3, and what arrived twice or late
	uint64_t rx_rtcp_packets;
	uint32_t rx_jitter_us; // RFC 3550 6.4.1
	uint32_t rx_ssrc;      // the current source
	uint32_t rx_sources;   // how many SSRCs were believed
	uint64_t tx_packets, tx_bytes, tx_rtcp_packets;
	uint64_t drops[KG_DROP_COUNT]; // of packets that arrived for this leg
	uint16_t latched_port;         // learned (kg_leg_config.latch); 0: what was negotiated is used
	uint8_t refused_ip[16];        // who sent the last packet that was dropped as wrong_source; all 0: nobody
	uint16_t refused_port;
	uint32_t refused_ssrc; // 0: it was no RTP
	struct kg_room_stats room;
	uint64_t silent_us; // since the last packet of any kind, creation, or a change of remote or silent_ms
};

enum kg_event_type {
	KG_EVENT_READY,        // created: the owner takes its packets
	KG_EVENT_CHANGED,      // the owner uses the new configuration (version says which change)
	KG_EVENT_RETIRED,      // gone; stats are final; the id and the ports are free
	KG_EVENT_FIRST_PACKET, // first admitted RTP packet
	KG_EVENT_LATCHED,      // media goes to another port than negotiated from here on (ssrc, port)
	KG_EVENT_SILENT,       // silent_ms is over (sent once; again after media came back)
};

struct kg_media_event {
	enum kg_event_type type;
	kg_leg_id leg;
	uint32_t version;                 // KG_EVENT_CHANGED: the number that kg_media_leg_change returned
	uint32_t ssrc;                    // KG_EVENT_FIRST_PACKET, KG_EVENT_LATCHED
	uint16_t port;                    // KG_EVENT_LATCHED: the remote's
	uint64_t time_us;                 // CLOCK_REALTIME of the happening
	const struct kg_leg_stats *stats; // KG_EVENT_RETIRED, valid in the callback only
};

typedef void (*kg_media_event_fn)(const struct kg_media_event *event, void *arg);

// Start EAL, nics and lcores.
// Blocks: up to a few seconds. Returns: 0, or -errno with a sentence in `err` that says what to do.
int kg_media_open(const struct kg_media_config *config, struct kg_media **out, char err[KG_MEDIA_ERR]);

// Leave packet buffers, legs and the nics' rings out of core dumps from now on: a crash may be looked at without
// hearing what was said. Blocks: no.
void kg_media_keep_out_of_cores(void);

// What it keeps on disk, to be given to the user whose rights the process takes on. Returns: how many.
unsigned kg_media_files(const char *files[3]);

// Stop lcores, give nics and memory back. Legs that still live are dropped. Blocks: up to a second.
void kg_media_close(struct kg_media *media);

// Say which addresses a nic has (from the kernel, followed live). At most KG_MEDIA_NIC_ADDRS.
// Returns: 0, or -E2BIG, -EINVAL.
int kg_media_nic_addresses(struct kg_media *media, unsigned nic, const struct kg_addr *addrs, unsigned count);

// Relay lcores, and which of them owns what is sent to a local (address, port): the nic's steering decides. The legs of
// a call are given ports of one lcore where there are some left, so that both directions meet without a ring.
unsigned kg_media_lcores(const struct kg_media *media);
unsigned kg_media_lcore_of(const struct kg_media *media, unsigned nic, const struct kg_addr *local);

// The lcore for a new call: of those that keep up the one with the fewest legs. Returns: -1 where none keeps up.
int kg_media_lcore_choose(const struct kg_media *media);

// Make a leg; its ports are live when KG_EVENT_READY arrives.
// Returns: 0 and the id, or -ENOSPC (no leg free), -EADDRINUSE, -EADDRNOTAVAIL (not an address of that nic), -EAGAIN
// (command ring full), -EINVAL.
int kg_media_leg_create(struct kg_media *media, const struct kg_leg_config *config, kg_leg_id *id);

// Replace a leg's configuration. nic, local and rtcp port layout (rtcp_mux may be switched on) cannot change.
// Returns: the version (> 0) that KG_EVENT_CHANGED will carry, or -ENOENT, -EAGAIN, -EINVAL.
int kg_media_leg_change(struct kg_media *media, kg_leg_id id, const struct kg_leg_config *config);

// Take a leg away. Its packets are dropped from when the owner has it; KG_EVENT_RETIRED ends it.
// Returns: 0, or -ENOENT. It never fails for want of room: a full ring is retried by kg_media_poll.
int kg_media_leg_retire(struct kg_media *media, kg_leg_id id);

// May a call be transcoded? Where the dsp lcores have too much to do it is better refused than heard in pieces.
bool kg_media_room_free(const struct kg_media *media);

// Read a leg's counters. Returns: 0, or -ENOENT.
int kg_media_leg_stats(struct kg_media *media, kg_leg_id id, struct kg_leg_stats *out);

// Carry events from the lcores to `fn`, check silent legs, retry what waited. Call it every 10 ms or so.
// Returns: number of events.
int kg_media_poll(struct kg_media *media, kg_media_event_fn fn, void *arg);

// Captures: copies of what a nic receives and sends for the media plane (tcpdump no longer sees it), or of what comes
// to and leaves from one leg's ports there. One for a nic at a time.
struct kg_capture_only {
	struct kg_addr local; // the leg's, and its port + 1
	bool rtcp_mux;        // not the port + 1
};
#define KG_CAPTURE_SNAP 2048
struct kg_captured {
	uint64_t time_ns; // CLOCK_REALTIME
	uint32_t length, copied;
	bool outgoing;
};
// only: NULL takes every frame. Returns: 0, or -ENOENT, -EBUSY (somebody looks, or the last one has not ended),
// -ENOMEM, -EAGAIN.
int kg_media_capture_start(struct kg_media *media, unsigned nic, const struct kg_capture_only *only);
// The next frame. Returns: false where there is none now.
bool kg_media_capture_read(
	struct kg_media *media, unsigned nic, struct kg_captured *out, uint8_t data[KG_CAPTURE_SNAP]);
uint64_t kg_media_capture_lost(struct kg_media *media, unsigned nic); // frames that were not read in time
void kg_media_capture_stop(struct kg_media *media, unsigned nic);

// Totals, for metrics. The gauges are zero when nothing runs.
struct kg_media_totals {
	uint64_t drops[KG_DROP_COUNT];
	uint64_t counters[KG_CNT_COUNT];
	uint64_t legs;         // live, including those on their way out
	uint64_t rooms;        // calls that are transcoded
	uint64_t mbufs_in_use; // beyond what the nics' rings hold at rest
	uint64_t mbufs_total;
};
void kg_media_totals(struct kg_media *media, struct kg_media_totals *out);

struct kg_nic_info {
	char name[32], device[64], driver[32], steering[16]; // steering: "software" | "rss" | "flow" | "none"
	uint8_t mac[6];
	bool link_up;
	uint16_t mtu, rx_ring, tx_ring, queues, vlan;
	uint16_t peer_queues; // pairs that the other side uses; vhost: 0 where it is not there, else as queues
	bool rx_udp_checksum, tx_udp_checksum, tx_ip_checksum, vlan_insert, vlan_strip; // done by the device
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];
	unsigned addr_count;
	uint64_t rx_packets, rx_bytes, rx_missed, rx_errors, tx_packets, tx_bytes, tx_errors;
	uint32_t live_ports; // in the live-port map
	char tap[16];        // the kernel's side of a device that DPDK owns; "": the device has its own
	uint64_t tap_to_kernel, tap_from_kernel, tap_lost; // frames
};
// Returns: 0, or -ENOENT past the last one.
int kg_media_nic_info(struct kg_media *media, unsigned nic, struct kg_nic_info *out);

struct kg_stage_info {
	const char *name;
	uint64_t packets, cycles;
};

struct kg_lcore_info {
	unsigned lcore;
	int cpu;
	char role[16]; // "relay" | "dsp"
	char idle[16]; // "adaptive" | "spin"
	uint64_t legs, loops, busy_loops, sleeps, bursts, commands, packets;
	uint64_t heartbeat_age_us;
	double busy_share; // 0-1 of the time since start
	double load;       // the same of the last second
	bool overloaded;   // it does not keep up: no new calls for it
	uint64_t worst_turn_us;
	uint64_t handed_over, cross_lcore, handed_tx; // packets, see kg_counters.h
	struct kg_stage_info stages[12];
	unsigned stage_count;
};
// Returns: 0, or -ENOENT past the last one.
int kg_media_lcore_info(struct kg_media *media, unsigned index, struct kg_lcore_info *out);

// The picture of the pipeline's stages and their drop exits, made from the tables that the code runs on.
const char *kg_media_graph(void);
