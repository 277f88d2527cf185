// SPDX-License-Identifier: BSD-3-Clause
// A port of a virtual switch with a machine behind it: carries frames between a TAP (in whose namespace SIPp runs) and
// the other end of an engine's vhost:, virtio: or memif: nic.
//
//   vswitch TAP DEVICE [QUEUES [VLAN]]
//
// DEVICE is virtio:SOCKET, vhost:SOCKET or memif:SOCKET[,server]. A flow keeps to one queue, by a hash of its addresses
// and ports. With VLAN it is an access port: the machine sees no tags, the engine sees nothing else. The TAP is there
// already (`ip tuntap add TAP mode tap vnet_hdr`), so that its addresses outlive us. Checksums that the machine leaves
// partial stay partial where the device can say so. Where the other side goes away it is looked for again. Writes a
// line of JSON at SIGUSR1 and at its end: frames of each queue, and how many of them are RTP or RTCP.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define BURST 32
#define QUEUES 8
#define RING 1024
#define BUFFERS 8191
#define IDLE_MIN_US 50 // the first wait, where nothing came
#define IDLE_MAX_US 1000
#define LOOK_TURNS 200 // idle turns between two looks at the link

struct counts {
	uint64_t frames, media;
};

static struct {
	int tap;
	const char *device;
	unsigned queues;
	uint16_t vlan, port;
	struct rte_mempool *pool;
	bool partial; // the device takes partial checksums
	struct counts to_engine[QUEUES], from_engine[QUEUES];
	uint64_t lost;
} port;

static volatile sig_atomic_t over, asked;

static void on_signal(int number)
{
	*(number == SIGUSR1 ? &asked : &over) = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "vswitch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void print_counts(const char *name, const struct counts *counts, bool media)
{
	printf("\"%s\": [", name);
	for (unsigned i = 0; i < port.queues; i++)
		printf("%s%lu", i ? ", " : "", (unsigned long)(media ? counts[i].media : counts[i].frames));
	printf("], ");
}

static void report(void)
{
	printf("{");
	print_counts("to_engine", port.to_engine, false);
	print_counts("from_engine", port.from_engine, false);
	print_counts("media_to_engine", port.to_engine, true);
	print_counts("media_from_engine", port.from_engine, true);
	printf("\"lost\": %lu}\n", (unsigned long)port.lost);
	fflush(stdout);
}

// --- what a frame is ------------------------------------------------------------------------------------------------

struct flow {
	unsigned l3_length;
	uint8_t protocol; // 0: neither UDP nor TCP
	uint32_t hash;
	bool media;
};

// Sum up by FNV-1a.
static uint32_t mix(uint32_t hash, const uint8_t *data, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		hash = (hash ^ data[i]) * 0x01000193u;
	return hash;
}

static struct flow flow_of(const struct rte_mbuf *frame)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip4 = (const void *)(eth + 1);
	const struct rte_ipv6_hdr *ip6 = (const void *)(eth + 1);
	bool v4 = eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4),
	     v6 = eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
	unsigned before = sizeof(*eth) + (v4 ? sizeof(*ip4) : sizeof(*ip6));
	struct flow flow = {0};
	const uint8_t *l4;

	if (!(v4 || v6) || frame->data_len < before + sizeof(struct rte_udp_hdr) + 2)
		return flow;
	flow.l3_length = v4 ? rte_ipv4_hdr_len(ip4) : sizeof(*ip6);
	flow.protocol = v4 ? ip4->next_proto_id : ip6->proto;
	if (flow.protocol != IPPROTO_UDP && flow.protocol != IPPROTO_TCP)
		flow.protocol = 0;
	l4 = (const uint8_t *)(eth + 1) + flow.l3_length;
	flow.hash = v4 ? mix(0x811c9dc5u, (const uint8_t *)&ip4->src_addr, 8) : mix(0x811c9dc5u, ip6->src_addr, 32);
	if (flow.protocol)
		flow.hash = mix(flow.hash, l4, 4);
	flow.hash ^= flow.hash >> 16;
	flow.media = flow.protocol == IPPROTO_UDP && l4[sizeof(struct rte_udp_hdr)] >> 6 == 2;
	return flow;
}

static unsigned checksum_at(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? offsetof(struct rte_udp_hdr, dgram_cksum)
				       : offsetof(struct rte_tcp_hdr, cksum);
}

// The kernel left the checksum of this frame to whoever sends it.
static void leave_or_complete(struct rte_mbuf *frame, const struct flow *flow)
{
	void *ip = rte_pktmbuf_mtod_offset(frame, void *, sizeof(struct rte_ether_hdr));
	uint8_t *at = (uint8_t *)ip + flow->l3_length + checksum_at(flow->protocol);
	bool v4 = *(const uint8_t *)ip >> 4 == 4;
	uint16_t sum = 0;

	if (port.partial) {
		frame->l2_len = sizeof(struct rte_ether_hdr);
		frame->l3_len = (uint64_t)flow->l3_length & 0x1ff;
		frame->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
		frame->ol_flags |= flow->protocol == IPPROTO_UDP ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
		return;
	}
	memcpy(at, &sum, sizeof(sum));
	sum = v4 ? rte_ipv4_udptcp_cksum(ip, (uint8_t *)ip + flow->l3_length)
		 : rte_ipv6_udptcp_cksum(ip, (uint8_t *)ip + flow->l3_length);
	memcpy(at, &sum, sizeof(sum));
}

// --- the machine to the engine --------------------------------------------------------------------------------------

static struct rte_mbuf *read_frame(unsigned *queue, bool *media)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(port.pool);
	struct virtio_net_hdr head;
	struct iovec parts[2] = {{&head, sizeof(head)}};
	struct flow flow;
	ssize_t length;

	if (!frame)
		return NULL;
	parts[1] = (struct iovec){rte_pktmbuf_mtod(frame, void *), rte_pktmbuf_tailroom(frame)};
	length = readv(port.tap, parts, 2) - (ssize_t)sizeof(head);
	if (length <= 0)
		goto nothing;
	frame->data_len = (uint16_t)length;
	frame->pkt_len = (uint32_t)length;
	flow = flow_of(frame);
	*queue = flow.hash % port.queues;
	*media = flow.media;
	if (head.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && flow.protocol)
		leave_or_complete(frame, &flow);
	frame->vlan_tci = port.vlan;
	if (!port.vlan || rte_vlan_insert(&frame) == 0)
		return frame;
nothing:
	rte_pktmbuf_free(frame);
	return NULL;
}

static unsigned carry_to_engine(void)
{
	struct rte_mbuf *frame;
	unsigned n, queue;
	bool media;

	for (n = 0; n < BURST && (frame = read_frame(&queue, &media)); n++) {
		if (rte_eth_tx_burst(port.port, (uint16_t)queue, &frame, 1) != 1) {
			rte_pktmbuf_free(frame);
			port.lost++;
			continue;
		}
		port.to_engine[queue].frames++;
		port.to_engine[queue].media += media;
	}
	return n;
}

// --- the engine to the machine --------------------------------------------------------------------------------------

static void write_frame(struct rte_mbuf *frame, struct counts *counts)
{
	struct virtio_net_hdr head = {0};
	struct iovec parts[2] = {{&head, sizeof(head)}};
	struct flow flow;

	counts->frames++;
	if (frame->nb_segs != 1 ||
		(port.vlan && (rte_vlan_strip(frame) != 0 || (frame->vlan_tci & 0xfff) != port.vlan))) {
		port.lost++;
		return;
	}
	flow = flow_of(frame);
	counts->media += flow.media;
	if (flow.protocol && (frame->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE) {
		head.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		head.csum_start = (uint16_t)(sizeof(struct rte_ether_hdr) + flow.l3_length);
		head.csum_offset = (uint16_t)checksum_at(flow.protocol);
	}
	parts[1] = (struct iovec){rte_pktmbuf_mtod(frame, void *), frame->data_len};
	if (writev(port.tap, parts, 2) != (ssize_t)(sizeof(head) + frame->data_len))
		port.lost++;
}

static unsigned carry_from_engine(void)
{
	struct rte_mbuf *frames[BURST];
	unsigned total = 0;

	for (unsigned queue = 0; queue < port.queues; queue++) {
		unsigned n = rte_eth_rx_burst(port.port, (uint16_t)queue, frames, BURST);

		for (unsigned i = 0; i < n; i++) {
			write_frame(frames[i], &port.from_engine[queue]);
			rte_pktmbuf_free(frames[i]);
		}
		total += n;
	}
	return total;
}

// --- both ends ------------------------------------------------------------------------------------------------------

static void open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	port.tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (port.tap < 0 || ioctl(port.tap, TUNSETIFF, &request) != 0)
		die(name);
	if (ioctl(port.tap, TUNSETOFFLOAD, TUN_F_CSUM) != 0)
		die("the TAP does not leave checksums to us");
}

static void describe(char *driver, char *devargs, size_t size)
{
	const char *path = strchr(port.device, ':');
	char socket[108];
	bool server;

	if (!path++) {
		errno = EINVAL;
		die(port.device);
	}
	server = strstr(path, ",server");
	snprintf(socket, sizeof(socket), "%.*s", (int)strcspn(path, ","), path);
	if (strncmp(port.device, "memif:", 6) == 0) {
		strcpy(driver, "net_memif0");
		snprintf(devargs, size, "role=%s,socket=%s,socket-abstract=no,rsize=10", server ? "server" : "client",
			socket);
	} else if (strncmp(port.device, "vhost:", 6) == 0) {
		strcpy(driver, "net_vhost0");
		snprintf(devargs, size, "iface=%s,queues=%u", socket, port.queues);
	} else {
		strcpy(driver, "virtio_user0");
		snprintf(devargs, size, "path=%s,queues=%u,queue_size=%d", socket, port.queues, RING);
	}
}

static bool start_device(void)
{
	const uint64_t checksums = RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int error = rte_eth_dev_info_get(port.port, &info);

	conf.txmode.offloads = info.tx_offload_capa & checksums;
	conf.rxmode.offloads = info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
	port.partial = conf.txmode.offloads == checksums;
	if (!error)
		error = rte_eth_dev_configure(port.port, (uint16_t)port.queues, (uint16_t)port.queues, &conf);
	for (uint16_t i = 0; i < port.queues && !error; i++) {
		error = rte_eth_rx_queue_setup(port.port, i, RING, SOCKET_ID_ANY, NULL, port.pool);
		if (!error)
			error = rte_eth_tx_queue_setup(port.port, i, RING, SOCKET_ID_ANY, NULL);
	}
	return !error && rte_eth_dev_start(port.port) == 0;
}

static bool link_up(void)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(port.port, &link) == 0 && link.link_status;
}

// Carries frames. Returns: false where the other side of the socket has gone.
static bool carry(bool client)
{
	unsigned idle_us = IDLE_MIN_US, idle_turns = 0;

	while (!over) {
		struct timespec wait = {.tv_nsec = (long)idle_us * 1000};
		struct pollfd input = {.fd = port.tap, .events = POLLIN};

		if (asked) {
			asked = 0;
			report();
		}
		if (carry_to_engine() + carry_from_engine()) {
			idle_us = IDLE_MIN_US;
			continue;
		}
		if (client && ++idle_turns % LOOK_TURNS == 0 && !link_up())
			return false;
		ppoll(&input, 1, &wait, NULL);
		idle_us = idle_us * 2 < IDLE_MAX_US ? idle_us * 2 : IDLE_MAX_US;
	}
	return true;
}

// The drivers connect once: to look for the server anew is to start anew.
static void again(char **args)
{
	usleep(50000);
	execv("/proc/self/exe", args);
	die("cannot start again");
}

int main(int count, char **args)
{
	char prefix[32], driver[32], devargs[256];
	char *eal[] = {"vswitch", "--file-prefix", prefix, "-a", "pci:ffff:ff:1f.7", "--no-telemetry", "--no-shconf",
		"--lcores", "0@(0-1)", "--iova-mode=va", "-m", "64", "--no-huge", "--log-level=error", NULL};
	struct sigaction action = {.sa_handler = on_signal};
	bool virtio;

	if (count < 3) {
		fprintf(stderr, "usage: vswitch TAP DEVICE [QUEUES [VLAN]]\n");
		return 2;
	}
	port.device = args[2];
	port.queues = count > 3 ? (unsigned)atoi(args[3]) : 1;
	port.vlan = count > 4 ? (uint16_t)atoi(args[4]) : 0;
	virtio = strncmp(port.device, "virtio:", 7) == 0;
	snprintf(prefix, sizeof(prefix), "vswitch-%d", (int)getpid());
	describe(driver, devargs, sizeof(devargs));
	open_tap(args[1]);
	if (rte_eal_init((int)(sizeof(eal) / sizeof(*eal)) - 1, eal) < 0)
		die("DPDK does not start");
	rmdir(rte_eal_get_runtime_dir());
	port.pool = rte_pktmbuf_pool_create("frames", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!port.pool)
		die("no memory");
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	while (virtio && !over && access(strchr(port.device, ':') + 1, F_OK) != 0)
		usleep(IDLE_MAX_US);
	if (!over && (rte_vdev_init(driver, devargs) != 0 || rte_eth_dev_get_port_by_name(driver, &port.port) != 0 ||
			     !start_device()))
		again(args);
	if (!carry(virtio))
		again(args);
	report();
	return rte_eal_cleanup() == 0 ? 0 : 1;
}
