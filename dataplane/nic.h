// SPDX-License-Identifier: BSD-3-Clause
// A nic: one ethdev port and the kernel's side of it. ethdev and XDP vocabulary stops in nic*.c.
// All functions: Thread: control, unless said. A relay lcore uses the pair of its number with
// rte_eth_rx_burst/tx_burst.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "kg_media.h"

#define NIC_RING 4096 // descriptors of a queue, where the driver has that many
#define NIC_QUEUES 64 // pairs of queues at most
#define NIC_RSS_KEY 64
#define NIC_QUEUE_UNKNOWN UINT_MAX

struct rte_flow;
struct rte_mempool;
struct nic_packet;
struct nic_tap;
struct nic_xdp;

// Who brings a packet to the queue of the lcore that owns its (address, port).
enum nic_steer {
	NIC_STEER_NONE,     // one queue
	NIC_STEER_SOFTWARE, // the lcores hand packets over
	NIC_STEER_RSS,      // the device, by a Toeplitz hash over the UDP destination port alone
	NIC_STEER_FLOW,     // the device, by rules on bits of the UDP destination port
};

// Where the lcore of this number receives and transmits.
struct nic_pair {
	uint16_t port, queue;
};

struct nic {
	char name[32];      // control: rw
	char device[64];    // control: rw
	char interface[32]; // control: rw; the kernel's interface, or the TAP; "" where the device has none
	int ifindex;        // control: rw; of the interface that the nic stands on; 0: none, or a TAP
	uint16_t port_id;   // control: rw before lcores start, then everyone: ro; the (first) ethdev port
	uint8_t mac[6];
	bool own_mac;                             // we chose it: the driver's is the same on each machine
	uint16_t mtu;                             // when it was opened
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS]; // control: rw
	unsigned addr_count;
	struct nic_xdp *xdp;       // control: rw; NULL for other drivers
	struct nic_packet *packet; // the same
	struct nic_tap *tap;       // the same; its rings are the lcores' too
	char pci[16];              // control: rw; DPDK's name of its PCI device, "" for others

	// Written when it is opened, then everyone: ro.
	unsigned queues; // pairs that it has
	struct nic_pair pairs[NIC_QUEUES];
	unsigned pair_count; // queues, once it is open
	uint16_t ports[NIC_QUEUES];
	unsigned port_count; // 1; of an interface whose queues DPDK takes for one (veth) as many as queues
	uint16_t rx_ring, tx_ring;
	uint16_t vlan; // 0: none. With vlan_strip and vlan_insert frames carry it in mbuf->vlan_tci
	bool rx_udp_checksum, tx_udp_checksum, tx_ip_checksum, vlan_insert, vlan_strip;
	enum nic_steer steer;
	unsigned slices;              // NIC_STEER_FLOW: a power of two, at least as many as queues
	uint8_t rss_key[NIC_RSS_KEY]; // NIC_STEER_RSS
	unsigned reta_size;           // entry i leads to queue i % queues
};

// Open a device:
//   af_xdp:IFACE, af_packet:IFACE   an interface of the kernel, which keeps all but media
//   pci:ADDR                        a device bound to vfio-pci
//   vhost:PATH                      the server of a vhost-user socket: a VM, or an engine's virtio:PATH
//   virtio:PATH                     its client: a switch, or an engine's vhost:PATH
//   memif:PATH[,server]             shared memory; without ",server" the client
//   null                            tests
// It has the wanted pairs of queues, or as many as the device can; each receive queue takes its buffers (rx_ring of
// them) from its lcore's pool, which has its number. Devices that DPDK owns get a TAP (see nic_tap.h). Stale
// attach state of a dead engine is replaced; a foreign XDP program or a living engine on the interface or socket is
// refused and left alone. Returns: 0, or -errno with a sentence in err that says what to do.
int nic_open(const struct kg_media_nic_config *config, struct rte_mempool *const pools[KG_MEDIA_LCORES],
	struct nic *out, char err[KG_MEDIA_ERR]);
// Stop the port and the TAP, detach our XDP program and nothing else. What waits in the TAP's rings is freed.
void nic_close(struct nic *nic);
// The lcore is stuck in the port: give back what is ours in the kernel (XDP program, the ports, the TAP) and leave the
// port open. An af_xdp interface can be opened anew once the process has ended.
void nic_abandon(struct nic *nic);
// Ports that were left open because closing them would have detached an XDP program that is not ours: as long as there
// is one, EAL must not be cleaned up either. The end of the process gives them back.
unsigned nic_left_open(void);
int nic_set_addresses(struct nic *nic, const struct kg_addr *addrs, unsigned count); // 0, -E2BIG, -EIO
// Send UDP to local (address and port) to DPDK (on) or leave it to the kernel (off). Returns: 0, -EADDRNOTAVAIL, -EIO;
// of af_packet also -EADDRINUSE (another program has the port), -EMFILE, -ENFILE.
int nic_set_live(struct nic *nic, const struct kg_addr *local, bool on);
void nic_info(const struct nic *nic, struct kg_nic_info *out);
// The pairs of queues that the other side uses: of vhost those that it has enabled from the first on (0: it is not
// there), of others all.
unsigned nic_peer_queues(const struct nic *nic);

// Which queue the device brings the packets of a local (address, port) to. Returns: its number, or NIC_QUEUE_UNKNOWN
// where nobody promises one ("none", "software"). Whatever is promised, the lcore that has a packet looks whose it is.
// Thread: any.
unsigned nic_queue_of(const struct nic *nic, const struct kg_addr *local);
const char *nic_steering(const struct nic *nic); // "none", "software", "rss", "flow"
