// SPDX-License-Identifier: BSD-3-Clause
// A small engine around a nic, steered by lines on its standard input; tests/nic_test.sh drives it. What reaches DPDK
// is sent back to whoever sent it, with a checksum that is computed anew.
//
//   nic_test [-q QUEUES] DEVICE ADDRESS...
//   on|off ADDRESS PORT    a port is live, or the kernel's again
//   addresses ADDRESS...   the nic's addresses from now on
//   info                   one line of what nic_info says
//   repeat COUNT           send the last echo so many times more; how many the driver took
//   abandon                give back what is the kernel's, and leave the port open
//   queues                 how many packets each queue received
//   cpus                   what the calling thread may run on
//   quit
//
// Each line is answered by one line; the first answer is "ready" or "refused: SENTENCE".

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "eal.h"
#include "kg_log.h"
#include "nic.h"

#define BURST 32
#define LEGS 64

static struct nic nic;
static struct rte_mempool *pool, *pools[KG_MEDIA_LCORES];
static struct rte_mbuf *last; // a copy of the last echo
static uint64_t received[NIC_QUEUES];
static uint64_t echoed, odd; // odd: frames that should never have come here

void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "log %d %s: ", level, area);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
}

// --- the echo -------------------------------------------------------------------------------------------------------

static void turn_ports(struct rte_udp_hdr *udp)
{
	rte_be16_t port = udp->dst_port;

	udp->dst_port = udp->src_port;
	udp->src_port = port;
	udp->dgram_cksum = 0; // the peer's may have been partial
}

static bool turn_ip4(struct rte_ipv4_hdr *ip)
{
	struct rte_udp_hdr *udp = (void *)((uint8_t *)ip + rte_ipv4_hdr_len(ip));
	rte_be32_t address = ip->dst_addr;

	if (ip->next_proto_id != IPPROTO_UDP)
		return false;
	ip->dst_addr = ip->src_addr;
	ip->src_addr = address;
	turn_ports(udp);
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
	return true;
}

static bool turn_ip6(struct rte_ipv6_hdr *ip)
{
	struct rte_udp_hdr *udp = (void *)(ip + 1);
	uint8_t address[16];

	if (ip->proto != IPPROTO_UDP)
		return false;
	memcpy(address, ip->dst_addr, sizeof(address));
	memcpy(ip->dst_addr, ip->src_addr, sizeof(address));
	memcpy(ip->src_addr, address, sizeof(address));
	turn_ports(udp);
	udp->dgram_cksum = rte_ipv6_udptcp_cksum(ip, udp);
	return true;
}

static bool turn_round(struct rte_mbuf *packet)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
	struct rte_ether_addr mac = eth->dst_addr;

	eth->dst_addr = eth->src_addr;
	eth->src_addr = mac;
	if (eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return turn_ip4((void *)(eth + 1));
	return eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6) && turn_ip6((void *)(eth + 1));
}

static void echo(uint16_t queue)
{
	struct rte_mbuf *packets[BURST];
	const struct nic_pair at = nic.pairs[queue];
	uint16_t count = rte_eth_rx_burst(at.port, at.queue, packets, BURST);

	received[queue] += count;
	for (uint16_t i = 0; i < count; i++) {
		bool good = turn_round(packets[i]);

		if (good) {
			rte_pktmbuf_free(last);
			last = rte_pktmbuf_copy(packets[i], pool, 0, UINT32_MAX);
		}
		if (!good)
			odd++;
		else if (rte_eth_tx_burst(at.port, at.queue, &packets[i], 1) == 1) {
			echoed++;
			continue;
		}
		rte_pktmbuf_free(packets[i]);
	}
	if (!count) // the driver sends when it is called
		rte_eth_tx_burst(at.port, at.queue, packets, 0);
}

static unsigned repeat(unsigned count)
{
	unsigned taken = 0;

	for (unsigned i = 0; last && i < count; i++) {
		struct rte_mbuf *packet = rte_pktmbuf_copy(last, pool, 0, UINT32_MAX);

		if (packet && rte_eth_tx_burst(nic.port_id, 0, &packet, 1) == 1)
			taken++;
		else
			rte_pktmbuf_free(packet);
	}
	return taken;
}

// --- the lines ------------------------------------------------------------------------------------------------------

static void answer_info(void)
{
	struct kg_nic_info info;

	nic_info(&nic, &info);
	printf("driver=%s steering=%s mtu=%u link=%d ring=%u live=%u addresses=%u rx=%lu missed=%lu echoed=%lu odd=%lu "
	       "mac=%02x:%02x:%02x:%02x:%02x:%02x\n",
		info.driver, info.steering, info.mtu, info.link_up, info.rx_ring, info.live_ports, info.addr_count,
		info.rx_packets, info.rx_missed, echoed, odd, info.mac[0], info.mac[1], info.mac[2], info.mac[3],
		info.mac[4], info.mac[5]);
}

static void answer_queues(void)
{
	printf("%u:", nic.queues);
	for (unsigned i = 0; i < nic.queues; i++)
		printf(" %lu", received[i]);
	printf("\n");
}

static void answer_cpus(void)
{
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	printf("%d\n", CPU_COUNT(&set));
}

static void answer(char *line)
{
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS + 1];
	char *rest = line, *word = strsep(&rest, " ");
	unsigned count = 0;

	if (strcmp(word, "info") == 0) {
		answer_info();
	} else if (strcmp(word, "queues") == 0) {
		answer_queues();
	} else if (strcmp(word, "cpus") == 0) {
		answer_cpus();
	} else if (strcmp(word, "repeat") == 0) {
		printf("%u\n", repeat((unsigned)atoi(rest)));
	} else if (strcmp(word, "abandon") == 0) {
		nic_abandon(&nic);
		printf("%u\n", nic_left_open());
	} else if (strcmp(word, "addresses") == 0) {
		for (char *text; (text = strsep(&rest, " ")) && count <= KG_MEDIA_NIC_ADDRS;)
			kg_addr_parse(&addrs[count++], text, 0);
		printf("%d\n", nic_set_addresses(&nic, addrs, count));
	} else {
		char *ip = strsep(&rest, " ");

		kg_addr_parse(&addrs[0], ip, (uint16_t)atoi(rest));
		printf("%d\n", nic_set_live(&nic, &addrs[0], strcmp(word, "on") == 0));
	}
}

// Returns: false at the end.
static bool take_lines(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[512];
	ssize_t got;
	char *rest = line;

	if (poll(&input, 1, 1) <= 0)
		return true;
	got = read(STDIN_FILENO, line, sizeof(line) - 1);
	if (got <= 0)
		return false;
	line[got] = '\0';
	for (char *one; (one = strsep(&rest, "\n")) && *one;) {
		if (strcmp(one, "quit") == 0)
			return false;
		answer(one);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct kg_media_nic_config config = {.name = "test"};
	char err[KG_MEDIA_ERR] = "";
	unsigned relays = 0; // chosen
	int error = eal_start(-1, NULL, &relays, LEGS, NULL, err);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3 && strcmp(argv[1], "-q") == 0) {
		config.queues = (unsigned)atoi(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (error) {
		printf("refused: %s\n", err);
		return 1;
	}
	snprintf(config.device, sizeof(config.device), "%s", argv[1]);
	pool = rte_pktmbuf_pool_create("test", 8 * NIC_RING, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++)
		pools[i] = pool;
	error = pool ? nic_open(&config, pools, &nic, err) : -ENOMEM;
	if (error) {
		printf("refused: %s\n", err);
		eal_stop();
		return 1;
	}
	for (int i = 2; i < argc; i++)
		kg_addr_parse(&nic.addrs[nic.addr_count++], argv[i], 0);
	nic_set_addresses(&nic, nic.addrs, nic.addr_count);
	printf("ready\n");
	while (take_lines())
		for (unsigned i = 0; i < nic.queues; i++)
			echo((uint16_t)i);
	rte_pktmbuf_free(last);
	if (nic_left_open()) // abandoned: all of it goes with the process
		return 0;
	nic_close(&nic);
	rte_mempool_free(pool);
	eal_stop();
	return 0;
}
