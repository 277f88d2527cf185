// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>
#include <unistd.h>

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "eal.h"
#include "kg_log.h"
#include "nic.h"
#include "nic_rig.h"

struct rte_mempool *pool, *pools[KG_MEDIA_LCORES];
char err[KG_MEDIA_ERR];
const uint8_t far_mac[6] = {2, 0, 0, 0, 0, 9};

const struct nic_tap_addr near_addrs[3] = {
	{{.family = 4, .ip = {198, 51, 100, 1}}, 24},
	{{.family = 4, .ip = {198, 51, 100, 3}}, 24},
	{{.family = 6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}, 64},
};

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	va_list args;

	if (level > KG_LOG_WARN && !getenv("KEDGE_TEST_LOG"))
		return;
	va_start(args, fmt);
	fprintf(stderr, "log %d %s: ", level, area);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
}

struct rte_mbuf *make(const void *data, unsigned length)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);

	assert_non_null(frame);
	memcpy(rte_pktmbuf_append(frame, (uint16_t)length), data, length);
	return frame;
}

void nothing_is_left(void)
{
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

struct rte_mbuf *tagged(struct rte_mbuf *frame, uint16_t vlan)
{
	frame->vlan_tci = vlan;
	if (vlan)
		assert_int_equal(rte_vlan_insert(&frame), 0);
	return frame;
}

struct rte_mbuf *arp_request(void)
{
	struct {
		struct rte_ether_hdr eth;
		struct rte_arp_hdr arp;
	} __attribute__((packed, aligned(2))) frame = {.eth = {.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP)},
		.arp = {.arp_hardware = RTE_BE16(1),
			.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4),
			.arp_hlen = 6,
			.arp_plen = 4,
			.arp_opcode = RTE_BE16(RTE_ARP_OP_REQUEST),
			.arp_data = {.arp_sip = RTE_BE32(0xc6336402), .arp_tip = RTE_BE32(0xc6336401)}}};

	memset(&frame.eth.dst_addr, 0xff, 6);
	memcpy(&frame.eth.src_addr, far_mac, 6);
	memcpy(&frame.arp.arp_data.arp_sha, far_mac, 6);
	return make(&frame, sizeof(frame));
}

int nic_rig_start(void)
{
	unsigned relays = 0; // chosen

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		printf("skipped: needs root and /dev/net/tun, for a network namespace and TAPs\n");
		return 77;
	}
	if (system("ip link set lo up") != 0 || eal_start(-1, NULL, &relays, 64, NULL, err) != 0) {
		printf("%s\n", err);
		return 1;
	}
	pool = rte_pktmbuf_pool_create("test", 8 * NIC_RING, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		pools[i] = pool;
	return pool ? 0 : 1;
}

void nic_rig_stop(void)
{
	rte_mempool_free(pool);
	eal_stop();
}
