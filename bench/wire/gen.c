// SPDX-License-Identifier: BSD-3-Clause
// An RTP generator and sink for the two wires of a relay: N calls, both directions of each, sent open-loop at a given
// rate in small evenly spaced bursts, and read again at the other end.
//
//   bench_gen [--driver af_xdp|af_packet] [--xdp OBJECT] [--cpu N] [--burst N] --calls FILE IFACE-A IFACE-B
//
// FILE has one line a call: A's address and port, where A sends, B's address and port, where B sends, each as IP:PORT;
// its first line are two MAC addresses, where A's and where B's frames go. Then, on standard input:
//
//   run PACKETS-PER-S SECONDS    both directions together; answered by one line of JSON
//   quit
//
// The first answer is "ready". af_packet sends about half of what af_xdp does on a veth (290,000 against 580,000
// packets/s and more, each with its receiving end). One thread does it all: what it can send and receive at once is its
// ceiling.

#include <arpa/inet.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "latency.h"

#define RING 4096
#define READ 64             // packets of one receive
#define MOST_BURST 64       // packets of one transmission
#define MAGIC 0x6b656467u   // this generator's packets
#define QUIET_S 0.05        // a run is over when nothing came for so long
#define PTIME 160           // RTP time of a packet
#define POOL (8 * RING - 1) // the driver's rings hold 2 * RING of them

struct __attribute__((packed, aligned(2))) frame {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	struct __attribute__((packed)) {
		uint8_t version, type;
		rte_be16_t sequence;
		rte_be32_t timestamp, ssrc;
	} rtp;
	struct __attribute__((packed)) {
		uint64_t tsc;
		uint32_t magic, run, stream, count;
		uint8_t rest[160 - 24];
	} payload;
};
_Static_assert(sizeof(struct frame) == 14 + 20 + 8 + 172, "a G.711 packet of 20 ms");

// One direction of a call.
struct stream {
	struct frame frame;  // as it is sent next
	uint32_t sent, last; // packets of this run; the count of the last that arrived
};

struct side {
	uint16_t port_id;
	struct rte_mempool *pool;
	struct rte_ether_addr next_hop;
	struct stream *streams;
	uint32_t next; // whose turn it is
};

struct result {
	uint64_t sent, refused, received, reordered, strange, latest_cycles;
	double seconds;
};

static struct side sides[2];
static uint32_t calls, run_number;
static unsigned burst = 8;
static struct latency latency;

static void die(const char *what)
{
	fprintf(stderr, "bench_gen: %s\n", what);
	exit(1);
}

// --- calls ----------------------------------------------------------------------------------------------------------

static bool read_address(const char *text, rte_be32_t *ip, rte_be16_t *port)
{
	char host[32];
	unsigned number;

	if (sscanf(text, "%31[0-9.]:%u", host, &number) != 2 || number > 65535)
		return false;
	*port = htons((uint16_t)number);
	return inet_pton(AF_INET, host, ip) == 1;
}

static void prepare(struct side *side, uint32_t number, unsigned which, const char *from, const char *to)
{
	struct frame *frame = &side->streams[number].frame;
	struct rte_ether_addr mac;
	rte_be32_t ips[2];
	rte_be16_t ports[2];

	memset(frame, 0, sizeof(*frame));
	rte_eth_macaddr_get(side->port_id, &mac);
	frame->eth = (struct rte_ether_hdr){side->next_hop, mac, htons(RTE_ETHER_TYPE_IPV4)};
	frame->ip.version_ihl = RTE_IPV4_VHL_DEF;
	frame->ip.total_length = htons(sizeof(*frame) - sizeof(frame->eth));
	frame->ip.time_to_live = 64;
	frame->ip.next_proto_id = IPPROTO_UDP;
	if (!read_address(from, &ips[0], &ports[0]) || !read_address(to, &ips[1], &ports[1]))
		die("a line of the calls is not FROM-A TO-A FROM-B TO-B, each IP:PORT");
	frame->ip.src_addr = ips[0];
	frame->ip.dst_addr = ips[1];
	frame->udp.src_port = ports[0];
	frame->udp.dst_port = ports[1];
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
	frame->udp.dgram_len = htons(sizeof(*frame) - sizeof(frame->eth) - sizeof(frame->ip));
	frame->rtp.version = 0x80;
	frame->rtp.ssrc = htonl(0x10000000u + 2 * number + which);
	memset(frame->payload.rest, 0xd5, sizeof(frame->payload.rest));
	frame->payload.magic = MAGIC;
	frame->payload.stream = 2 * number + which;
}

static void read_calls(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256], word[4][64];
	uint32_t room = 0;

	if (!file || !fgets(line, sizeof(line), file) || sscanf(line, "%63s %63s", word[0], word[1]) != 2 ||
		rte_ether_unformat_addr(word[0], &sides[0].next_hop) != 0 ||
		rte_ether_unformat_addr(word[1], &sides[1].next_hop) != 0)
		die("the first line of the calls must be two MAC addresses");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %63s %63s %63s", word[0], word[1], word[2], word[3]) != 4)
			die("a line of the calls has not four words");
		if (calls == room) {
			room = room ? 2 * room : 1024;
			for (unsigned i = 0; i < 2; i++)
				sides[i].streams = realloc(sides[i].streams, room * sizeof(struct stream));
			if (!sides[0].streams || !sides[1].streams)
				die("no memory");
		}
		prepare(&sides[0], calls, 0, word[0], word[1]);
		prepare(&sides[1], calls, 1, word[2], word[3]);
		calls++;
	}
	fclose(file);
	if (!calls)
		die("there is no call in the file");
}

// --- sending --------------------------------------------------------------------------------------------------------

static void write_next(struct stream *stream, struct rte_mbuf *packet, uint64_t tsc)
{
	struct frame *frame = &stream->frame;

	frame->rtp.sequence = htons((uint16_t)(ntohs(frame->rtp.sequence) + 1));
	frame->rtp.timestamp = htonl(ntohl(frame->rtp.timestamp) + PTIME);
	frame->payload.count = ++stream->sent;
	frame->payload.run = run_number;
	frame->payload.tsc = tsc;
	frame->udp.dgram_cksum = 0;
	frame->udp.dgram_cksum = rte_ipv4_udptcp_cksum(&frame->ip, &frame->udp);
	memcpy(rte_pktmbuf_mtod(packet, void *), frame, sizeof(*frame));
	packet->data_len = sizeof(*frame);
	packet->pkt_len = sizeof(*frame);
}

static void send_burst(struct side *side, unsigned count, struct result *result)
{
	struct rte_mbuf *packets[MOST_BURST];
	unsigned sent;

	if (rte_pktmbuf_alloc_bulk(side->pool, packets, count) != 0) {
		result->refused += count;
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		write_next(&side->streams[side->next], packets[i], rte_rdtsc());
		side->next = side->next + 1 < calls ? side->next + 1 : 0;
	}
	sent = rte_eth_tx_burst(side->port_id, 0, packets, (uint16_t)count);
	result->sent += sent;
	result->refused += count - sent;
	rte_pktmbuf_free_bulk(packets + sent, count - sent);
}

// --- receiving ------------------------------------------------------------------------------------------------------

static void take(unsigned which, const struct rte_mbuf *packet, uint64_t now, struct result *result)
{
	const struct frame *frame = rte_pktmbuf_mtod(packet, const struct frame *);
	uint32_t index = frame->payload.stream;
	struct stream *stream;

	// What A sent arrives at B.
	if (packet->pkt_len != sizeof(*frame) || frame->payload.magic != MAGIC || frame->payload.run != run_number ||
		index / 2 >= calls || index % 2 == which ||
		frame->udp.dst_port != sides[which].streams[index / 2].frame.udp.src_port) {
		result->strange++;
		return;
	}
	stream = &sides[1 - which].streams[index / 2];
	if (frame->payload.count <= stream->last)
		result->reordered++;
	else
		stream->last = frame->payload.count;
	result->received++;
	latency_add(&latency, now - frame->payload.tsc);
}

static unsigned receive(unsigned which, struct result *result)
{
	struct rte_mbuf *packets[READ];
	unsigned count = rte_eth_rx_burst(sides[which].port_id, 0, packets, READ);
	uint64_t now = rte_rdtsc();

	for (unsigned i = 0; i < count; i++)
		take(which, packets[i], now, result);
	rte_pktmbuf_free_bulk(packets, count);
	return count;
}

// --- a run ----------------------------------------------------------------------------------------------------------

// Send a burst where one is due. Each burst has its moment; one that is late is sent at once.
static void send_due(uint64_t bursts, uint64_t due_tsc, struct result *result)
{
	uint64_t late = rte_rdtsc() - due_tsc;

	if (late > result->latest_cycles)
		result->latest_cycles = late;
	send_burst(&sides[bursts & 1], burst, result);
}

static void run(double rate, double seconds, struct result *result)
{
	const double hz = (double)rte_get_tsc_hz();
	const double gap = burst * hz / rate; // cycles between bursts
	uint64_t start, end, now, bursts = 0, heard;

	run_number++;
	memset(result, 0, sizeof(*result));
	latency_clear(&latency);
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t j = 0; j < calls; j++)
			sides[i].streams[j].sent = sides[i].streams[j].last = 0;
	start = heard = rte_rdtsc();
	end = start + (uint64_t)(seconds * hz);
	while ((now = rte_rdtsc()) < end) {
		uint64_t due = start + (uint64_t)((double)bursts * gap);

		if (now >= due)
			send_due(bursts++, due, result);
		receive(0, result);
		receive(1, result);
	}
	result->seconds = (double)(now - start) / hz;
	for (heard = now; (double)(rte_rdtsc() - heard) < QUIET_S * hz;) {
		if (receive(0, result) + receive(1, result))
			heard = rte_rdtsc();
		for (unsigned i = 0; i < 2; i++)
			rte_eth_tx_burst(sides[i].port_id, 0, NULL, 0);
	}
}

static void print(double rate, const struct result *result)
{
	const double us = 1e6 / (double)rte_get_tsc_hz(), sent = result->sent ? (double)result->sent : 1;

	printf("{\"asked_per_s\": %.0f, \"sent_per_s\": %.0f, \"received_per_s\": %.0f, \"sent\": %lu, \"received\": "
	       "%lu, "
	       "\"loss\": %.6f, \"refused\": %lu, \"reordered\": %lu, \"strange\": %lu, \"latest_us\": %.1f, "
	       "\"latency_p50_us\": %.2f, \"latency_p99_us\": %.2f, \"latency_p999_us\": %.2f, \"latency_max_us\": "
	       "%.2f}\n",
		rate, (double)result->sent / result->seconds, (double)result->received / result->seconds, result->sent,
		result->received, 1 - (double)result->received / sent, result->refused, result->reordered,
		result->strange, (double)result->latest_cycles * us, latency_at(&latency, 0.5) * us,
		latency_at(&latency, 0.99) * us, latency_at(&latency, 0.999) * us, latency_at(&latency, 1) * us);
	fflush(stdout);
}

static void obey_lines(void)
{
	char line[128];
	struct result result;
	double rate, seconds;

	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0) {
		if (sscanf(line, "run %lf %lf", &rate, &seconds) != 2 || rate <= 0 || seconds <= 0) {
			printf("{\"error\": \"write: run PACKETS-PER-S SECONDS\"}\n");
			fflush(stdout);
			continue;
		}
		run(rate, seconds, &result);
		print(rate, &result);
	}
}

// --- start ----------------------------------------------------------------------------------------------------------

static void start_eal(const char *cpu)
{
	char prefix[32], lcores[32];
	char *args[] = {"bench_gen", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--no-shconf",
		"--iova-mode=va", "--log-level=4", "--file-prefix", prefix, "--lcores", lcores, NULL};

	snprintf(prefix, sizeof(prefix), "bench-gen-%d", (int)getpid());
	snprintf(lcores, sizeof(lcores), "0@%s", cpu);
	if (rte_eal_init((int)(sizeof(args) / sizeof(*args)) - 1, args) < 0)
		die("DPDK does not start: see above");
}

static void open_side(unsigned which, const char *driver, const char *interface, const char *program)
{
	struct side *side = &sides[which];
	struct rte_eth_conf conf = {0};
	char name[32], devargs[512];

	snprintf(name, sizeof(name), "net_%s%u", driver, which);
	if (strcmp(driver, "af_xdp") == 0)
		snprintf(devargs, sizeof(devargs), "iface=%s,start_queue=0,queue_count=1,busy_budget=0%s%s", interface,
			program ? ",xdp_prog=" : "", program ? program : "");
	else
		snprintf(devargs, sizeof(devargs), "iface=%s,blocksz=65536,framesz=2048,framecnt=%u,qdisc_bypass=1",
			interface, RING);
	side->pool = rte_pktmbuf_pool_create(name, POOL, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!side->pool)
		die("no memory for packets");
	if (rte_vdev_init(name, devargs) != 0 || rte_eth_dev_get_port_by_name(name, &side->port_id) != 0 ||
		rte_eth_dev_configure(side->port_id, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(side->port_id, 0, RING, SOCKET_ID_ANY, NULL, side->pool) != 0 ||
		rte_eth_tx_queue_setup(side->port_id, 0, RING, SOCKET_ID_ANY, NULL) != 0 ||
		rte_eth_dev_start(side->port_id) != 0)
		die("an interface cannot be opened: is it there, is it up, and is this root?");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"driver", required_argument, NULL, 'd'},
		{"xdp", required_argument, NULL, 'x'}, {"cpu", required_argument, NULL, 'c'},
		{"burst", required_argument, NULL, 'b'}, {"calls", required_argument, NULL, 'f'}, {0}};
	const char *driver = "af_xdp", *program = NULL, *cpu = "0", *file = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			driver = optarg;
		else if (option == 'x')
			program = optarg;
		else if (option == 'c')
			cpu = optarg;
		else if (option == 'b')
			burst = (unsigned)atoi(optarg);
		else if (option == 'f')
			file = optarg;
		else
			return 2;
	}
	if (argc - optind != 2 || !file || burst < 1 || burst > MOST_BURST)
		die("usage: bench_gen [--driver af_xdp|af_packet] [--xdp OBJECT] [--cpu N] [--burst 1-64] --calls FILE "
		    "IFACE-A IFACE-B");
	start_eal(cpu);
	for (unsigned i = 0; i < 2; i++)
		open_side(i, driver, argv[optind + (int)i], program);
	read_calls(file);
	obey_lines();
	for (unsigned i = 0; i < 2; i++) {
		rte_eth_dev_stop(sides[i].port_id);
		rte_eth_dev_close(sides[i].port_id);
	}
	rte_eal_cleanup();
	return 0;
}
