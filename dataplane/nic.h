// SPDX-License-Identifier: BSD-3-Clause
// A nic: one ethdev port and the kernel's side of it. ethdev and XDP vocabulary stops in nic*.c.
// All functions: Thread: control. The lcore uses port_id with rte_eth_rx_burst/tx_burst, queue 0.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

#define NIC_RING 4096

struct rte_mempool;
struct nic_packet;
struct nic_xdp;

struct nic {
	char name[32];      // control: rw
	char device[64];    // control: rw
	char interface[32]; // control: rw; "" where the device has none
	int ifindex;        // control: rw; the same, 0
	uint16_t port_id;   // control: rw before lcores start, then everyone: ro
	uint8_t mac[6];
	uint16_t mtu;                             // when it was opened
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS]; // control: rw
	unsigned addr_count;
	struct nic_xdp *xdp;       // control: rw; NULL for other drivers
	struct nic_packet *packet; // the same
};

// Open "af_xdp:IFACE", "af_packet:IFACE" or "null". Stale attach state of a dead engine is replaced; a foreign XDP
// program or a living engine on the interface is refused and left alone. Returns: 0, or -errno with a sentence in err
// that says what to do.
int nic_open(
	const struct kg_media_nic_config *config, struct rte_mempool *pool, struct nic *out, char err[KG_MEDIA_ERR]);
// Stop the port, detach our XDP program and nothing else.
void nic_close(struct nic *nic);
// The lcore is stuck in the port: give back what is ours in the kernel (XDP program, the ports) and leave the port
// open. An af_xdp interface can be opened anew once the process has ended.
void nic_abandon(struct nic *nic);
// Ports that were left open because closing them would have detached an XDP program that is not ours: as long as there
// is one, EAL must not be cleaned up either. The end of the process gives them back.
unsigned nic_left_open(void);
int nic_set_addresses(struct nic *nic, const struct kg_addr *addrs, unsigned count); // 0, -E2BIG, -EIO
// Send UDP to local (address and port) to DPDK (on) or leave it to the kernel (off). Returns: 0, -EADDRNOTAVAIL, -EIO;
// of af_packet also -EADDRINUSE (another program has the port), -EMFILE, -ENFILE.
int nic_set_live(struct nic *nic, const struct kg_addr *local, bool on);
void nic_info(const struct nic *nic, struct kg_nic_info *out);
