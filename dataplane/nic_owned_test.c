// SPDX-License-Identifier: BSD-3-Clause
// Nics that DPDK owns: vhost and virtio-user with two queues, memif, the TAP beside them, and what is said of sockets
// and PCI devices. Runs in a network namespace of its own (the TAP); needs root.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_arp.h>
#include <rte_ethdev.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_udp.h>

#include "nic.h"
#include "nic_owned.h"
#include "nic_rig.h"
#include "nic_tap.h"

#define QUEUES 2

static char dir[] = "/tmp/kedge-owned-XXXXXX";

// --- tools ----------------------------------------------------------------------------------------------------------

// A path in our directory; valid until the next call but three.
static const char *path(const char *name)
{
	static char texts[4][128];
	static unsigned next;
	char *text = texts[next++ % 4];

	snprintf(text, sizeof(texts[0]), "%s/%s", dir, name);
	return text;
}

static struct kg_media_nic_config config(const char *name, const char *kind, const char *file, const char *tail)
{
	struct kg_media_nic_config out = {.queues = QUEUES};

	snprintf(out.name, sizeof(out.name), "%s", name);
	snprintf(out.device, sizeof(out.device), "%s%s%s", kind, path(file), tail);
	return out;
}

static void open_nic(const struct kg_media_nic_config *what, struct nic *nic)
{
	int error = nic_open(what, pools, nic, err);

	if (error)
		fail_msg("%s: %s", what->device, err);
}

static void refused(const char *device, const char *why)
{
	struct kg_media_nic_config what = {.name = "x"};
	struct nic nic;

	snprintf(what.device, sizeof(what.device), "%s", device);
	err[0] = '\0';
	assert_int_not_equal(nic_open(&what, pools, &nic, err), 0);
	if (!strstr(err, why))
		fail_msg("\"%s\" does not say \"%s\"", err, why);
}

static bool link_up(const struct nic *nic)
{
	struct kg_nic_info info;

	nic_info(nic, &info);
	return info.link_up && info.peer_queues == nic->queues;
}

static void wait_for_links(const struct nic *a, const struct nic *b)
{
	for (unsigned i = 0; i < WAIT_MS && !(link_up(a) && link_up(b)); i++)
		usleep(1000);
	assert_true(link_up(a));
	assert_true(link_up(b));
}

static void send_on(const struct nic *nic, unsigned queue, struct rte_mbuf *frame)
{
	for (unsigned i = 0; i < WAIT_MS; i++) {
		if (rte_eth_tx_burst(nic->port_id, (uint16_t)queue, &frame, 1) == 1)
			return;
		usleep(1000);
	}
	fail_msg("queue %u of %s does not send", queue, nic->device);
}

// Returns: a frame, or NULL after long.
static struct rte_mbuf *receive(const struct nic *nic, unsigned queue)
{
	struct rte_mbuf *frame;

	for (unsigned i = 0; i < WAIT_MS; i++) {
		if (rte_eth_rx_burst(nic->port_id, (uint16_t)queue, &frame, 1) == 1)
			return frame;
		usleep(1000);
	}
	return NULL;
}

static unsigned udp_frame(uint8_t *out, uint16_t port)
{
	struct {
		struct rte_ether_hdr eth;
		struct rte_ipv4_hdr ip;
		struct rte_udp_hdr udp;
		uint8_t payload[172];
	} __attribute__((packed, aligned(2))) frame = {.eth = {.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4)},
		.ip = {.version_ihl = 0x45,
			.total_length = RTE_BE16(sizeof(frame) - 14),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_UDP,
			.src_addr = RTE_BE32(0xc6336402),
			.dst_addr = RTE_BE32(0xc6336401)},
		.udp = {.src_port = RTE_BE16(4000), .dst_port = rte_cpu_to_be_16(port), .dgram_len = RTE_BE16(180)}};

	frame.ip.hdr_checksum = rte_ipv4_cksum(&frame.ip);
	frame.udp.dgram_cksum = rte_ipv4_udptcp_cksum(&frame.ip, &frame.udp);
	memcpy(out, &frame, sizeof(frame));
	return sizeof(frame);
}

// Each queue of each side carries a frame to the queue of the same number of the other.
static void carry_both_ways(const struct nic *a, const struct nic *b)
{
	const struct nic *ends[2] = {a, b};
	uint8_t data[256];

	for (unsigned way = 0; way < 2; way++)
		for (unsigned queue = 0; queue < a->queues; queue++) {
			unsigned length = udp_frame(data, (uint16_t)(20000 + queue));
			struct rte_mbuf *frame;

			// memif's client offers buffers when it looks
			assert_int_equal(rte_eth_rx_burst(ends[!way]->port_id, (uint16_t)queue, &frame, 1), 0);
			send_on(ends[way], queue, make(data, length));
			frame = receive(ends[!way], queue);
			assert_non_null(frame);
			assert_int_equal(frame->pkt_len, length);
			assert_memory_equal(rte_pktmbuf_mtod(frame, void *), data, length);
			rte_pktmbuf_free(frame);
		}
}

// --- vhost, virtio-user, memif --------------------------------------------------------------------------------------

static void vhost_and_virtio_with_two_queues(void **state)
{
	struct kg_media_nic_config server = config("server", "vhost:", "v.sock", "");
	struct kg_media_nic_config client = config("client", "virtio:", "v.sock", "");
	struct kg_nic_info info;
	struct nic a, b;

	open_nic(&server, &a);
	assert_int_equal(a.queues, QUEUES);
	nic_info(&a, &info);
	assert_false(info.link_up);
	assert_int_equal(info.peer_queues, 0);
	open_nic(&client, &b);
	wait_for_links(&a, &b);
	nic_info(&b, &info);
	assert_string_equal(info.steering, "software");
	assert_string_equal(info.tap, "kdg-client");
	assert_int_equal(info.queues, QUEUES);
	assert_int_equal(nic_queue_of(&b, &(struct kg_addr){.port = 20000}), NIC_QUEUE_UNKNOWN);
	assert_memory_not_equal(a.mac, b.mac, 6);
	carry_both_ways(&a, &b);
	nic_close(&b);
	open_nic(&client, &b); // the server lives on
	wait_for_links(&a, &b);
	carry_both_ways(&a, &b);
	nic_close(&b);
	nic_close(&a);
	assert_int_equal(access(path("v.sock"), F_OK), -1);
	nothing_is_left();
}

// Returns: how many it has, when it has had so many or after long.
static unsigned peer_queues(const struct nic *nic, unsigned wanted)
{
	for (unsigned i = 0; i < WAIT_MS && nic_peer_queues(nic) != wanted; i++)
		usleep(1000);
	return nic_peer_queues(nic);
}

// A guest that uses fewer queues than we offer: what is sent on the others would go nowhere.
static void a_peer_with_one_queue_is_seen(void **state)
{
	struct kg_media_nic_config server = config("server", "vhost:", "v.sock", "");
	struct kg_media_nic_config client = config("client", "virtio:", "v.sock", "");
	struct kg_nic_info info;
	struct nic a, b;

	client.queues = 1;
	open_nic(&server, &a);
	open_nic(&client, &b);
	assert_string_equal(nic_steering(&b), "none");
	assert_int_equal(peer_queues(&a, 1), 1);
	nic_info(&a, &info);
	assert_int_equal(info.queues, QUEUES);
	assert_int_equal(info.peer_queues, 1);
	nic_close(&b);
	assert_int_equal(peer_queues(&a, 0), 0);
	client.queues = QUEUES; // another one comes
	open_nic(&client, &b);
	wait_for_links(&a, &b);
	nic_close(&b);
	nic_close(&a);
	nothing_is_left();
}

// In one process DPDK knows a socket by its spelling: the two sides spell it differently.
static void memif_with_two_queues(void **state)
{
	struct kg_media_nic_config server = config("server", "memif:", "m.sock", ",server");
	struct kg_media_nic_config client = config("client", "memif:", "/m.sock", "");
	struct nic a, b;

	refused(client.device, "nobody serves that socket: start its server first");
	open_nic(&server, &a);
	open_nic(&client, &b);
	assert_int_equal(a.queues, QUEUES);
	wait_for_links(&a, &b);
	carry_both_ways(&a, &b);
	nic_close(&b);
	nic_close(&a);
	nothing_is_left();
}

static void sockets_of_others_are_left_alone(void **state)
{
	struct kg_media_nic_config server = config("server", "vhost:", "s.sock", "");
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char device[128];
	struct nic nic;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path("s.sock"));
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 1), 0);
	refused(server.device, "another program serves that socket");
	snprintf(device, sizeof(device), "memif:%s,server", path("s.sock"));
	refused(device, "another program serves that socket");
	close(fd); // as a server that was killed leaves it
	snprintf(device, sizeof(device), "virtio:%s", path("s.sock"));
	refused(device, "nobody serves that socket: start its server first");
	open_nic(&server, &nic);
	nic_close(&nic);
	snprintf(device, sizeof(device), "vhost:%s", path("none/s.sock"));
	refused(device, "make that directory");
	fclose(fopen(path("file"), "w"));
	snprintf(device, sizeof(device), "vhost:%s", path("file"));
	refused(device, "there is a file that is no socket");
	unlink(path("file"));
	refused("vhost:a,b", "is no path of a socket");
	refused("memif:relative", "is no path of a socket");
	refused("eth0", "\"eth0\" is no device");
	nothing_is_left();
}

// --- the TAP --------------------------------------------------------------------------------------------------------

// As a lcore does it: what arrives goes to the kernel, what the kernel sends is transmitted.
static void turn(const struct nic *nic)
{
	struct rte_mbuf *frames[32];

	for (unsigned queue = 0; queue < nic->queues; queue++) {
		unsigned n = rte_eth_rx_burst(nic->port_id, (uint16_t)queue, frames, 32);

		assert_int_equal(rte_ring_enqueue_burst(nic_tap_to_kernel(nic->tap), (void **)frames, n, NULL), n);
	}
	for (unsigned n = rte_ring_dequeue_burst(nic_tap_from_kernel(nic->tap), (void **)frames, 32, NULL), i = 0;
		i < n; i++)
		send_on(nic, 0, frames[i]);
}

// The next frame of that type that the other side gets; those of others are dropped.
static struct rte_mbuf *answer(const struct nic *near, const struct nic *far, bool (*wanted)(const struct rte_mbuf *))
{
	struct rte_mbuf *frame;

	for (unsigned i = 0; i < WAIT_MS; i++) {
		turn(near);
		while (rte_eth_rx_burst(far->port_id, 0, &frame, 1) == 1) {
			if (wanted(frame))
				return frame;
			rte_pktmbuf_free(frame);
		}
		usleep(1000);
	}
	fail_msg("the kernel does not answer");
	return NULL;
}

static unsigned tag_of(const struct rte_mbuf *frame)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
	const struct rte_vlan_hdr *tag = (const void *)(eth + 1);

	return eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ? rte_be_to_cpu_16(tag->vlan_tci) : 0;
}

static const void *behind_tag(const struct rte_mbuf *frame, rte_be16_t type)
{
	const uint8_t *data = rte_pktmbuf_mtod(frame, const uint8_t *) + (tag_of(frame) ? 4 : 0);

	return *(const rte_be16_t *)(data + 12) == type ? data + 14 : NULL;
}

static bool is_arp_reply(const struct rte_mbuf *frame)
{
	const struct rte_arp_hdr *arp = behind_tag(frame, RTE_BE16(RTE_ETHER_TYPE_ARP));

	return arp && arp->arp_opcode == RTE_BE16(RTE_ARP_OP_REPLY);
}

static bool is_echo_reply(const struct rte_mbuf *frame)
{
	const struct rte_ipv4_hdr *ip = behind_tag(frame, RTE_BE16(RTE_ETHER_TYPE_IPV4));

	return ip && ip->next_proto_id == IPPROTO_ICMP && *(const uint8_t *)(ip + 1) == 0;
}

static struct rte_mbuf *ping(const uint8_t mac[6])
{
	struct {
		struct rte_ether_hdr eth;
		struct rte_ipv4_hdr ip;
		struct rte_icmp_hdr icmp;
		uint8_t payload[32];
	} __attribute__((packed, aligned(2))) frame = {.eth = {.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4)},
		.ip = {.version_ihl = 0x45,
			.total_length = RTE_BE16(sizeof(frame) - 14),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_ICMP,
			.src_addr = RTE_BE32(0xc6336402),
			.dst_addr = RTE_BE32(0xc6336401)},
		.icmp = {.icmp_type = RTE_IP_ICMP_ECHO_REQUEST, .icmp_seq_nb = RTE_BE16(7)}};

	memcpy(&frame.eth.dst_addr, mac, 6);
	memcpy(&frame.eth.src_addr, far_mac, 6);
	frame.ip.hdr_checksum = rte_ipv4_cksum(&frame.ip);
	frame.icmp.icmp_cksum = (uint16_t)~rte_raw_cksum(&frame.icmp, sizeof(frame) - 34);
	return make(&frame, sizeof(frame));
}

// ARP, ping and a UDP socket of the kernel, from the other end of the wire.
static void ask_the_kernel(const struct nic *near, const struct nic *far, uint16_t vlan)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(5060), .sin_addr.s_addr = htonl(0xc6336401)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct rte_mbuf *frame;
	uint8_t data[256], got[256];
	unsigned length = udp_frame(data, 5060);
	ssize_t size = -1;

	send_on(far, 0, tagged(arp_request(), vlan));
	frame = answer(near, far, is_arp_reply);
	assert_int_equal(tag_of(frame), vlan);
	assert_memory_equal(rte_pktmbuf_mtod(frame, uint8_t *) + 6, near->mac, 6);
	rte_pktmbuf_free(frame);
	send_on(far, near->queues - 1, tagged(ping(near->mac), vlan));
	frame = answer(near, far, is_echo_reply);
	assert_int_equal(tag_of(frame), vlan);
	rte_pktmbuf_free(frame);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	memcpy(data, near->mac, 6);
	memcpy(data + 6, far_mac, 6);
	send_on(far, 0, tagged(make(data, length), vlan));
	for (unsigned i = 0; i < WAIT_MS && size < 0; i++) {
		turn(near);
		size = recv(fd, got, sizeof(got), 0);
		usleep(1000);
	}
	assert_int_equal(size, 172);
	close(fd);
}

static void the_kernel_answers_through_the_tap(void **state)
{
	struct kg_media_nic_config server = config("server", "vhost:", "t.sock", "");
	struct kg_media_nic_config client = config("client", "virtio:", "t.sock", "");
	struct kg_nic_info info;
	struct nic near, far;

	server.vlan = *(const uint16_t *)*state;
	open_nic(&server, &near);
	open_nic(&client, &far);
	wait_for_links(&near, &far);
	assert_string_equal(near.interface, "kdg-server");
	assert_int_equal(near.vlan_strip, server.vlan != 0);
	assert_int_equal(nic_tap_addresses(near.tap, near_addrs, 3, err), 0);
	ask_the_kernel(&near, &far, server.vlan);
	nic_info(&near, &info);
	assert_string_equal(info.tap, "kdg-server");
	assert_true(info.tap_to_kernel >= 3);
	assert_true(info.tap_from_kernel >= 2);
	assert_int_equal(info.tap_lost, 0);
	nic_close(&far);
	nic_close(&near);
	nothing_is_left();
}

// --- PCI ------------------------------------------------------------------------------------------------------------

static void make_link(const char *device, const char *what, const char *target)
{
	char text[160];

	snprintf(text, sizeof(text), "%s/%s", path(device), what);
	unlink(text);
	assert_int_equal(symlink(target, text), 0);
}

static void pci(const char *address, int result, const char *said)
{
	char name[16];

	err[0] = '\0';
	assert_int_equal(nic_pci_check(dir, address, name, err), result);
	if (!strstr(err, said))
		fail_msg("\"%s\" does not say \"%s\"", err, said);
	if (!result)
		assert_string_equal(name, "0000:01:00.0");
}

static void pci_devices_are_explained(void **state)
{
	char text[160];

	pci("eth0", -EINVAL, "pci:eth0 is no PCI address");
	pci("0000:01:00.0x", -EINVAL, "is no PCI address");
	pci("01:40.0", -EINVAL, "is no PCI address");
	pci("0000:01:00.0", -ENODEV, "there is no PCI device 0000:01:00.0: `lspci -D`");
	mkdir(path("0000:01:00.0"), 0700);
	pci("0000:01:00.0", -EBUSY, "is with no driver: write `modprobe vfio-pci`");
	make_link("0000:01:00.0", "driver", "../../drivers/ixgbe");
	snprintf(text, sizeof(text), "%s/net", path("0000:01:00.0"));
	mkdir(text, 0700);
	strcat(text, "/eth3");
	mkdir(text, 0700);
	pci("01:00.0", -EBUSY,
		"with the kernel's driver ixgbe, interface eth3: write `modprobe vfio-pci` and "
		"`dpdk-devbind.py --bind=vfio-pci 0000:01:00.0`");
	make_link("0000:01:00.0", "driver", "../../drivers/vfio-pci");
	pci("01:00.0", -ENOTSUP, "stands behind no IOMMU");
	make_link("0000:01:00.0", "iommu_group", "../../iommu_groups/1");
	pci("0000:01:00.0", 0, "");
	make_link("0000:01:00.0", "driver", "../../drivers/mlx5_core");
	pci("01:00.0", 0, "");
}

static void dpdk_without_the_pci_device_says_so(void **state)
{
	uint16_t port;

	assert_int_not_equal(nic_pci_probe("0000:fe:1f.6", &port, err), 0);
	assert_non_null(strstr(err, "DPDK does not take PCI device 0000:fe:1f.6"));
	refused("pci:fe:1f.6", "there is no PCI device 0000:fe:1f.6");
}

static uint16_t no_vlan = 0, some_vlan = VLAN;

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vhost_and_virtio_with_two_queues),
		cmocka_unit_test(a_peer_with_one_queue_is_seen),
		cmocka_unit_test(memif_with_two_queues),
		cmocka_unit_test(sockets_of_others_are_left_alone),
		cmocka_unit_test_prestate(the_kernel_answers_through_the_tap, &no_vlan),
		cmocka_unit_test_prestate(the_kernel_answers_through_the_tap, &some_vlan),
		cmocka_unit_test(pci_devices_are_explained),
		cmocka_unit_test(dpdk_without_the_pci_device_says_so),
	};
	char command[64];
	int error = nic_rig_start();

	if (error)
		return error;
	error = mkdtemp(dir) ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	nic_rig_stop();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) != 0 || error;
}
