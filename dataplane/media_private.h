// SPDX-License-Identifier: BSD-3-Clause
// What media.c, media_addrs.c and media_info.c share: control's side of the media plane.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "capture.h"
#include "kg_media.h"
#include "lcore.h"
#include "leg.h"
#include "nic.h"
#include "relay.h"

struct dsp;
struct dsp_way;

struct rte_mempool;

// One local address's ports. A leg's owner clears them in `ports`; control keeps its own books, as its view of that
// table would be late: a port is taken from the create to the RETIRED event.
struct table {
	struct kg_addr ip; // its port is 0
	uint32_t *ports;   // control enters a leg's before it makes the leg, its owner clears them
	uint64_t taken[RELAY_PORTS / 64];
	unsigned count; // of taken
	uint64_t lingers[RELAY_PORTS / 64];
};

// Ports of a leg that is gone. They stay the relay's for a while, which drops what still comes: the kernel would answer
// each packet with ICMP.
struct lingering {
	uint8_t nic;
	bool rtcp_too;
	struct kg_addr local;
	uint64_t due_tsc;
};

// Control's half of a leg. control: rw
struct slot {
	kg_leg_id id; // 0: free
	uint16_t generation;
	bool ready, retiring, retire_waits, silent;
	bool own_rtcp_port; // local port + 1 is this leg's too
	uint32_t version;
	struct kg_leg_config config; // what was sent last
	struct leg_conf *conf;       // what the owner acknowledged last
	unsigned dsp;                // 1 + the one that its room is on; 0: none was chosen
	struct dsp_way *way;         // what arrives on the leg goes this way; the dsp's, to be looked at only
	struct kg_room_stats room;   // of earlier ones
	uint64_t heard;              // packets, when last looked at
	uint64_t heard_tsc;          // when that changed
};

// Legs of one lcore that are free, the longest free first.
struct free_legs {
	uint32_t *list; // ring of legs_each
	uint32_t head, count;
};

struct kg_media {
	struct owner owner; // control's thread
	struct lcore *lcores[KG_MEDIA_LCORES];
	unsigned lcore_count, running; // lcores that were launched
	uint32_t legs_each;            // room of each lcore: its indices are 1 + number * legs_each and up
	uint64_t tsc_hz;
	struct rte_mempool *pools[KG_MEDIA_LCORES]; // by lcore: those of one NUMA node share one
	struct nic nics[KG_MEDIA_NICS];
	unsigned nic_count;
	struct slot *slots; // by leg index
	uint32_t leg_room;  // indices, with 0
	uint64_t max_legs, live;
	struct free_legs free[KG_MEDIA_LCORES];
	struct lingering *lingers; // ring of leg_room, the oldest first
	uint32_t linger_head, linger_count;
	unsigned waiting;                      // retires that found the command ring full
	uint32_t silence_at;                   // the next slot to look at
	struct table *tables[2 * RELAY_ADDRS]; // of the nics' addresses, and of those that went away under live legs
	unsigned table_count;
	unsigned addrs_sent; // lists that are not acknowledged yet
	uint32_t addrs_wait; // bit per lcore that has not got the last list: its command ring was full
	struct media_load {
		uint64_t busy, packets, turns; // when last looked at
		double share;                  // busy, of the last second
		bool over;                     // it does not keep up
	} loads[KG_MEDIA_LCORES];
	uint64_t looked_tsc, nics_packets, nics_missed;
	bool looked;
	struct media_peer {
		unsigned queues;    // that it uses, when last looked at; 0: it is not there
		uint64_t since_tsc; // when that changed
		bool said;          // that they are too few
	} peers[KG_MEDIA_NICS];
	struct media_dsp {
		struct dsp *dsp;
		pthread_t thread;
		bool runs;
		unsigned ways, measured; // that it has; that it had when it was measured
		double share;            // of its time, of the last second
		uint64_t busy, looked_tsc, start_tsc;
	} dsps[KG_MEDIA_LCORES];
	unsigned dsp_count;
	uint64_t ways;
	struct media_capture {
		struct capture *rings[KG_MEDIA_LCORES]; // the lcore's from the command to its acknowledgement
		bool end;                               // the reader has gone
		uint32_t tell;                          // bit per lcore that is not told yet
	} captures[KG_MEDIA_NICS];
};

// Send a command to an lcore. Returns: false where its ring is full.
bool media_push(struct kg_media *media, unsigned lcore, const struct lcore_command *command);

// The lcore that owns a leg of that index, and what it keeps of it.
static inline unsigned media_lcore(const struct kg_media *media, uint32_t index)
{
	return (index - 1) / media->legs_each;
}

static inline const struct leg *media_leg(const struct kg_media *media, uint32_t index)
{
	return &media->lcores[media_lcore(media, index)]->relay.legs[index];
}

static inline const struct leg_cold *media_cold(const struct kg_media *media, uint32_t index)
{
	return &media->lcores[media_lcore(media, index)]->relay.cold[index];
}

// Look once a second whether the lcores keep up. Thread: control.
void media_load_look(struct kg_media *media, uint64_t now_tsc);

// Let lcores send through the queues that a nic's peer uses, where these are fewer than the nic has. Thread: control.
void media_peers_look(struct kg_media *media, uint64_t now_tsc);

// Units: microseconds for TSC ticks.
static inline uint64_t media_us(const struct kg_media *media, uint64_t tsc)
{
	return (uint64_t)((double)tsc * 1e6 / (double)media->tsc_hz);
}

// The table of a local address, NULL where none of the nics has (had) it.
struct table *media_table(struct kg_media *media, const struct kg_addr *local);
// Take a leg's ports, or give them back. Returns: false where one is taken already.
bool media_ports_take(struct table *table, uint16_t port, bool rtcp_too);
void media_ports_give(struct table *table, uint16_t port, bool rtcp_too);
// Give a leg's ports to DPDK. Returns: 0, or -errno and then none of them is.
int media_ports_live(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too);
// Give them back to the kernel: at once, where nothing came of the leg; later; those whose time has come (all: each).
void media_ports_dead(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too);
void media_ports_linger(struct kg_media *media, const struct kg_leg_config *config, bool rtcp_too);
void media_ports_expire(struct kg_media *media, bool all);

// media_capture.c: end what is to end; a ring came back.
void media_captures_poll(struct kg_media *media);
void media_capture_returned(struct kg_media *media, unsigned lcore, unsigned nic, void *old);
void media_captures_fini(struct kg_media *media); // once no lcore runs

// Send the nics' addresses to these lcores (a bit each); media_addrs_sent when a list's acknowledgement has come.
// Returns: 0, or -ENOMEM; a full ring is tried again by kg_media_poll.
int media_addrs_send(struct kg_media *media, uint32_t lcores);
void media_addrs_sent(struct kg_media *media, void *old);
void media_addrs_fini(struct kg_media *media);

// media_rooms.c: dsp lcores, made once there are relay lcores and pools; launched; stopped before the relay lcores;
// freed. Returns: 0, or -errno with a sentence in err.
int media_rooms_make(struct kg_media *media, const struct kg_media_config *config, char *err);
int media_rooms_launch(struct kg_media *media, char *err);
void media_rooms_stop(struct kg_media *media);
void media_rooms_free(struct kg_media *media);
bool media_dsp_full(const struct kg_media *media, unsigned index);
void media_rooms_poll(struct kg_media *media, uint64_t now_tsc);
// A leg gets that configuration: see to its room. Returns: 0, -EINVAL (no such codec), -EAGAIN, -ENOMEM.
int media_room_enter(struct kg_media *media, struct slot *slot, const struct kg_leg_config *config);
void media_room_leave(struct kg_media *media, struct slot *slot);
void media_room_conf(const struct slot *slot, struct leg_in *in);
void media_room_stats(const struct slot *slot, struct kg_room_stats *out);

// media_telemetry.c: /kedge/... of DPDK's telemetry socket, from open to close. Thread: control; answers come from
// DPDK's own threads.
void media_telemetry_open(struct kg_media *media);
void media_telemetry_close(void);

// media.c: is it the first of the lcores that share its pool?
bool media_pool_is_first(const struct kg_media *media, unsigned lcore);
