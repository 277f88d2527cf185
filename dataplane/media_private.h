// SPDX-License-Identifier: BSD-3-Clause
// What media.c, media_addrs.c and media_info.c share: control's side of the media plane.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capture.h"
#include "kg_media.h"
#include "lcore.h"
#include "leg.h"
#include "nic.h"
#include "relay.h"

struct rte_mempool;

// One local address's ports. The owner lcore writes `ports`; control keeps its own books, as its view of that table
// would be late: a port is taken from the create to the RETIRED event.
struct table {
	struct kg_addr ip; // its port is 0
	uint32_t *ports;   // relay: rw
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
	uint64_t heard;              // packets, when last looked at
	uint64_t heard_tsc;          // when that changed
};

struct kg_media {
	struct lcore *lcore;
	struct rte_mempool *pool;
	struct nic nics[KG_MEDIA_NICS];
	unsigned nic_count;
	struct slot *slots; // by leg index
	uint32_t leg_room;
	uint32_t *free; // ring of free indices, the longest free first
	uint32_t free_head, free_count;
	uint64_t live;
	struct lingering *lingers; // ring of leg_room, the oldest first
	uint32_t linger_head, linger_count;
	unsigned waiting;                      // retires that found the command ring full
	uint32_t silence_at;                   // the next slot to look at
	struct table *tables[2 * RELAY_ADDRS]; // of the nics' addresses, and of those that went away under live legs
	unsigned table_count;
	const struct relay_addrs *addrs;         // the list that was sent last; the lcore's
	unsigned addrs_sent;                     // lists that are not acknowledged yet
	bool addrs_wait;                         // the command ring was full
	struct capture *captures[KG_MEDIA_NICS]; // by nic; the lcore's from the command to its acknowledgement
	bool captures_end[KG_MEDIA_NICS], captures_told[KG_MEDIA_NICS];
	bool running;
};

// Send a command to the lcore. Returns: false where its ring is full.
bool media_push(struct kg_media *media, const struct lcore_command *command);

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
void media_capture_returned(struct kg_media *media, unsigned nic, void *old);

// Send the nics' addresses to the lcore; media_addrs_sent when that list's acknowledgement has come.
// Returns: 0, or -ENOMEM; a full ring is tried again by kg_media_poll.
int media_addrs_send(struct kg_media *media);
void media_addrs_sent(struct kg_media *media, void *old);
void media_addrs_fini(struct kg_media *media);
