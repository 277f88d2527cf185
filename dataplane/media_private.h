// SPDX-License-Identifier: BSD-3-Clause
// What media.c and media_info.c share: control's side of the media plane.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"
#include "lcore.h"
#include "leg.h"
#include "nic.h"
#include "relay.h"

struct rte_mempool;

// Control's half of a leg. control: rw
struct slot {
	kg_leg_id id; // 0: free
	uint16_t generation;
	bool ready, retiring, retire_waits, silent;
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
	unsigned waiting;    // retires that found the command ring full
	uint32_t silence_at; // the next slot to look at
	struct {
		uint32_t ip;
		uint32_t *ports;
	} tables[RELAY_ADDRS];
	unsigned table_count;
	bool running;
};
