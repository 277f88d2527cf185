// SPDX-License-Identifier: BSD-3-Clause
// Starting DPDK's EAL so that nobody has to know it: hugepages where there are some, else --no-huge; own file prefix;
// its log lines become ours.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_media.h"

// control_cpu (-1: not pinned), relay_cpus and *relay_count as in kg_media_config; a count of 0 is chosen and written.
// telemetry_dir: see below. Starts lcore 0 (the caller) and one for each relay. Blocks: up to a second. Returns: 0, or
// -errno with a sentence in err.
int eal_start(int control_cpu, const int *relay_cpus, unsigned *relay_count, uint32_t max_legs,
	const char *telemetry_dir, char err[KG_MEDIA_ERR]);
void eal_stop(void);

// DPDK's telemetry socket under `directory` (NULL: none): prepare before EAL starts (removes what killed engines left
// there), started and stop around its life; files: what there is on disk, for the user whose rights the process takes
// on. Thread: control.
int eal_telemetry_prepare(const char *directory, char err[KG_MEDIA_ERR]);
void eal_telemetry_started(bool with);
void eal_telemetry_stop(void);
unsigned eal_telemetry_files(const char *files[3]);

// A large table on a NUMA node, zero, aligned to a cache line: in hugepages, or in ordinary ones that the kernel may
// make large. It is never part of a core dump. Owns: the caller gives it back with the same size. Returns: NULL where
// there is no memory.
void *eal_table_create(size_t bytes, int socket);
void eal_table_destroy(void *table, size_t bytes);
unsigned eal_relay_lcore(unsigned number); // DPDK's lcore id
int eal_relay_cpu(unsigned number);
