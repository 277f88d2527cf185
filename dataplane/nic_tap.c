// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "nic_tap.h"

#define BURST 64        // frames in each direction in one turn
#define SEGMENTS 8      // of a frame that spans mbufs
#define WAIT_NS 1000000 // to_kernel is looked at as often
#define OVERHEAD 22     // of a frame beyond the MTU: Ethernet's header, a tag, and a bit

struct nic_tap {
	char name[IF_NAMESIZE];
	int ifindex;
	int fd;
	uint16_t vlan;
	struct rte_mempool *pool;
	struct rte_ring *to_kernel;   // lcores: enqueue, thread: dequeue
	struct rte_ring *from_kernel; // thread: enqueue, lcore of queue 0: dequeue
	pthread_t thread;
	bool running;
	bool stop;                                       // control: w, thread: r
	uint64_t to_count, from_count, refused, crowded; // thread: rw, control: r
	uint64_t lost;                                   // lcores: rw, control: r
	struct nic_tap_addr addrs[NIC_TAP_ADDRS];
	unsigned addr_count;
};

// --- to the kernel --------------------------------------------------------------------------------------------------

// Is it of our VLAN? Takes its tag off.
static bool take_tag_off(const struct nic_tap *tap, struct rte_mbuf *frame)
{
	if (!tap->vlan)
		return true;
	if (!(frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && rte_vlan_strip(frame) != 0)
		return false;
	return (frame->vlan_tci & 0x0fff) == tap->vlan;
}

// Where the checksum of a UDP or TCP header stands in it; 0: neither.
static unsigned checksum_at(uint8_t protocol)
{
	return protocol == IPPROTO_UDP   ? offsetof(struct rte_udp_hdr, dgram_cksum)
	       : protocol == IPPROTO_TCP ? offsetof(struct rte_tcp_hdr, cksum)
					 : 0;
}

// A peer in this machine leaves checksums to whoever puts the frame on a wire: the kernel does not take them so.
static void complete_checksum(struct rte_mbuf *frame)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip4 = (const void *)(eth + 1);
	const struct rte_ipv6_hdr *ip6 = (const void *)(eth + 1);
	const bool v4 = eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	unsigned header, length, at;
	uint16_t checksum = 0;
	uint8_t *l4;

	if ((frame->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE || frame->nb_segs != 1 ||
		frame->data_len < sizeof(*eth) + (v4 ? sizeof(*ip4) : sizeof(*ip6)) ||
		(!v4 && eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)))
		return;
	header = v4 ? rte_ipv4_hdr_len(ip4) : sizeof(*ip6);
	length = v4 ? rte_be_to_cpu_16(ip4->total_length) : rte_be_to_cpu_16(ip6->payload_len) + header;
	at = checksum_at(v4 ? ip4->next_proto_id : ip6->proto);
	if (!at || length < header + at + sizeof(checksum) || sizeof(*eth) + length > frame->data_len)
		return;
	l4 = rte_pktmbuf_mtod_offset(frame, uint8_t *, sizeof(*eth) + header);
	memcpy(l4 + at, &checksum, sizeof(checksum));
	checksum = v4 ? rte_ipv4_udptcp_cksum(ip4, l4) : rte_ipv6_udptcp_cksum(ip6, l4);
	memcpy(l4 + at, &checksum, sizeof(checksum));
}

static bool write_frame(const struct nic_tap *tap, struct rte_mbuf *frame)
{
	struct iovec parts[SEGMENTS];
	int count = 0;

	if (!take_tag_off(tap, frame) || frame->nb_segs > SEGMENTS)
		return false;
	complete_checksum(frame);
	for (struct rte_mbuf *part = frame; part; part = part->next)
		parts[count++] = (struct iovec){rte_pktmbuf_mtod(part, void *), part->data_len};
	return writev(tap->fd, parts, count) == (ssize_t)frame->pkt_len;
}

static void carry_to_kernel(struct nic_tap *tap)
{
	struct rte_mbuf *frames[BURST];
	unsigned count = rte_ring_sc_dequeue_burst(tap->to_kernel, (void **)frames, BURST, NULL);

	for (unsigned i = 0; i < count; i++) {
		uint64_t *which = write_frame(tap, frames[i]) ? &tap->to_count : &tap->refused;

		__atomic_store_n(which, *which + 1, __ATOMIC_RELAXED);
		rte_pktmbuf_free(frames[i]);
	}
}

// --- from the kernel ------------------------------------------------------------------------------------------------

// Returns: a frame, or NULL where there is none (or no buffer: then the kernel keeps it for a while).
static struct rte_mbuf *read_frame(const struct nic_tap *tap)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(tap->pool);
	ssize_t length;

	if (!frame)
		return NULL;
	length = read(tap->fd, rte_pktmbuf_mtod(frame, void *), rte_pktmbuf_tailroom(frame));
	if (length > 0) {
		frame->data_len = (uint16_t)length;
		frame->pkt_len = (uint32_t)length;
		frame->vlan_tci = tap->vlan;
		if (!tap->vlan || rte_vlan_insert(&frame) == 0)
			return frame;
	}
	rte_pktmbuf_free(frame);
	return NULL;
}

static void carry_from_kernel(struct nic_tap *tap)
{
	struct rte_mbuf *frames[BURST];
	unsigned count = 0, taken;

	while (count < BURST && (frames[count] = read_frame(tap)))
		count++;
	taken = count ? rte_ring_sp_enqueue_burst(tap->from_kernel, (void **)frames, count, NULL) : 0;
	__atomic_store_n(&tap->from_count, tap->from_count + taken, __ATOMIC_RELAXED);
	if (taken == count)
		return;
	__atomic_store_n(&tap->crowded, tap->crowded + count - taken, __ATOMIC_RELAXED);
	rte_pktmbuf_free_bulk(&frames[taken], count - taken);
}

static void *run(void *arg)
{
	const struct timespec wait = {.tv_nsec = WAIT_NS};
	struct nic_tap *tap = arg;

	while (!__atomic_load_n(&tap->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd input = {.fd = tap->fd, .events = POLLIN};

		if (rte_ring_empty(tap->to_kernel) && ppoll(&input, 1, &wait, NULL) > 0 && !(input.revents & POLLIN))
			nanosleep(&wait, NULL); // somebody took the TAP away
		carry_to_kernel(tap);
		carry_from_kernel(tap);
	}
	return NULL;
}

// --- the interface --------------------------------------------------------------------------------------------------

static int configure(const struct nic_tap *tap, const struct nic_tap_config *config)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
	unsigned room = rte_pktmbuf_data_room_size(tap->pool) - RTE_PKTMBUF_HEADROOM - OVERHEAD;
	struct ifreq request = {0};

	memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, config->mac, sizeof(config->mac));
	if (fd < 0 || ioctl(fd, SIOCSIFHWADDR, &request) != 0)
		error = -errno;
	request.ifr_mtu = config->mtu < room ? config->mtu : (int)room;
	if (!error && ioctl(fd, SIOCSIFMTU, &request) != 0)
		error = -errno;
	request.ifr_mtu = 0;
	if (!error && ioctl(fd, SIOCGIFFLAGS, &request) != 0)
		error = -errno;
	request.ifr_flags |= IFF_UP;
	if (!error && ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

static int make_interface(struct nic_tap *tap, const struct nic_tap_config *config, char *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int error = 0;

	snprintf(tap->name, sizeof(tap->name), "kdg-%.11s", config->nic);
	if (if_nametoindex(tap->name)) { // else we would take over one that waits for its owner
		snprintf(err, KG_MEDIA_ERR,
			"%s: there is an interface %s: stop the engine that has it, take it away (`ip link del %s`), "
			"or name the nic otherwise (in the first 11 letters)",
			config->nic, tap->name, tap->name);
		return -EEXIST;
	}
	memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
	tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tap->fd < 0 || ioctl(tap->fd, TUNSETIFF, &request) != 0)
		error = -errno;
	if (!error)
		error = configure(tap, config);
	tap->ifindex = (int)if_nametoindex(tap->name);
	if (error)
		snprintf(err, KG_MEDIA_ERR,
			"%s: the TAP %s cannot be made (%s): the engine needs /dev/net/tun (`modprobe tun`) and "
			"CAP_NET_ADMIN, for what is no media goes through it to the kernel",
			config->nic, tap->name, strerror(-error));
	return error;
}

// Signals are for the control thread.
static int start_thread(struct nic_tap *tap)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = rte_ctrl_thread_create(&tap->thread, tap->name, NULL, run, tap);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	tap->running = error == 0;
	return error;
}

int nic_tap_open(const struct nic_tap_config *config, struct nic_tap **out, char err[KG_MEDIA_ERR])
{
	struct nic_tap *tap = calloc(1, sizeof(*tap));
	char to[48], from[48];
	int error;

	if (!tap) {
		snprintf(err, KG_MEDIA_ERR, "%s: no memory for its TAP", config->nic);
		return -ENOMEM;
	}
	tap->fd = -1;
	tap->vlan = config->vlan;
	tap->pool = config->pool;
	error = make_interface(tap, config, err);
	snprintf(to, sizeof(to), "to-%s", tap->name);
	snprintf(from, sizeof(from), "from-%s", tap->name);
	if (!error) {
		tap->to_kernel = rte_ring_create(to, NIC_TAP_RING, SOCKET_ID_ANY, RING_F_SC_DEQ);
		tap->from_kernel = rte_ring_create(from, NIC_TAP_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		error = tap->to_kernel && tap->from_kernel ? start_thread(tap) : -ENOMEM;
		if (error)
			snprintf(err, KG_MEDIA_ERR, "%s: the thread of the TAP %s cannot be started: %s", config->nic,
				tap->name, strerror(-error));
	}
	if (error) {
		nic_tap_close(tap);
		return error;
	}
	*out = tap;
	return 0;
}

static void end(struct nic_tap *tap)
{
	__atomic_store_n(&tap->stop, true, __ATOMIC_RELEASE);
	if (tap->running)
		pthread_join(tap->thread, NULL);
	tap->running = false;
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

static void free_ring(struct rte_ring *ring)
{
	struct rte_mbuf *frame;

	while (ring && rte_ring_sc_dequeue(ring, (void **)&frame) == 0)
		rte_pktmbuf_free(frame);
	rte_ring_free(ring);
}

void nic_tap_close(struct nic_tap *tap)
{
	if (!tap)
		return;
	end(tap);
	free_ring(tap->to_kernel);
	free_ring(tap->from_kernel);
	free(tap);
}

void nic_tap_abandon(struct nic_tap *tap)
{
	if (tap)
		end(tap);
}

// --- what it is -----------------------------------------------------------------------------------------------------

static bool has(const struct nic_tap_addr *addrs, unsigned count, const struct nic_tap_addr *one)
{
	for (unsigned i = 0; i < count; i++)
		if (kg_addr_same_ip(&addrs[i].addr, &one->addr) && addrs[i].prefix == one->prefix)
			return true;
	return false;
}

int nic_tap_addresses(struct nic_tap *tap, const struct nic_tap_addr *addrs, unsigned count, char err[KG_MEDIA_ERR])
{
	char text[KG_ADDR_STRLEN];
	int error = 0;

	if (count > NIC_TAP_ADDRS) {
		snprintf(err, KG_MEDIA_ERR, "%s: at most %d addresses", tap->name, NIC_TAP_ADDRS);
		return -E2BIG;
	}
	for (unsigned i = 0; i < tap->addr_count; i++)
		if (!has(addrs, count, &tap->addrs[i]))
			nic_tap_address(tap->ifindex, &tap->addrs[i], false); // it may have been taken away by others
	tap->addr_count = 0;
	for (unsigned i = 0; i < count && !error; i++) {
		error = nic_tap_address(tap->ifindex, &addrs[i], true);
		if (error)
			snprintf(err, KG_MEDIA_ERR, "%s does not take the address %s/%u: %s", tap->name,
				kg_addr_ip(&addrs[i].addr, text, sizeof(text)), addrs[i].prefix, strerror(-error));
		else
			tap->addrs[tap->addr_count++] = addrs[i];
	}
	return error;
}

struct rte_ring *nic_tap_to_kernel(const struct nic_tap *tap)
{
	return tap->to_kernel;
}

struct rte_ring *nic_tap_from_kernel(const struct nic_tap *tap)
{
	return tap->from_kernel;
}

void nic_tap_lost(struct nic_tap *tap, unsigned frames)
{
	__atomic_fetch_add(&tap->lost, frames, __ATOMIC_RELAXED);
}

const char *nic_tap_interface(const struct nic_tap *tap)
{
	return tap->name;
}

int nic_tap_ifindex(const struct nic_tap *tap)
{
	return tap->ifindex;
}

void nic_tap_counts(const struct nic_tap *tap, struct nic_tap_counts *out)
{
	out->to_kernel = __atomic_load_n(&tap->to_count, __ATOMIC_RELAXED);
	out->from_kernel = __atomic_load_n(&tap->from_count, __ATOMIC_RELAXED);
	out->lost = __atomic_load_n(&tap->refused, __ATOMIC_RELAXED) +
		    __atomic_load_n(&tap->crowded, __ATOMIC_RELAXED) + __atomic_load_n(&tap->lost, __ATOMIC_RELAXED);
}
