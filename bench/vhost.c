// SPDX-License-Identifier: BSD-3-Clause
// Both ends of a vhost-user port. The engine's pipeline on one of them:
//
//   bench_vhost engine SOCKET LEGS [huge]
//
// relays what arrives until SIGTERM, and then says what became of it. On the other, as a VM would be, the generator:
//
//   bench_vhost generator SOCKET LEGS [huge]
//
// sends for the same legs as much as the port takes, and says how much came back, time and again. Each writes a line of
// JSON.

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include "world.h"

#define RING 1024 // the most that QEMU has too
#define MBUFS 8191
#define CACHED 512
#define WARM_UP_S 1
#define SAMPLES 12
#define SAMPLE_S 0.25

static volatile sig_atomic_t over;

static void on_signal(int number)
{
	over = 1;
}

static void start_eal(const char *cpu, bool huge)
{
	char prefix[32], lcores[16];
	char *args[] = {"bench", "--no-pci", "--no-telemetry", "--no-shconf", "--log-level", "1", "--iova-mode=va",
		"--file-prefix", prefix, "--lcores", lcores, "-m", "300", huge ? "--in-memory" : "--no-huge",
		"--single-file-segments"};

	snprintf(prefix, sizeof(prefix), "bench%d", (int)getpid());
	snprintf(lcores, sizeof(lcores), "0@%s", cpu);
	if (rte_eal_init(huge ? 15 : 14, args) < 0)
		world_fail("DPDK does not start");
	rmdir(rte_eal_get_runtime_dir());
}

static uint16_t start_port(struct rte_mempool *pool, const char *driver, const char *devargs)
{
	struct rte_eth_conf conf = {0};
	uint16_t port = 0;

	if (rte_vdev_init(driver, devargs) != 0 || rte_eth_dev_get_port_by_name(driver, &port) != 0 ||
		rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL, pool) != 0 ||
		rte_eth_tx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL) != 0 || rte_eth_dev_start(port) != 0)
		world_fail("the port does not start");
	return port;
}

// --- the engine -----------------------------------------------------------------------------------------------------

static void relay_turn(struct world *world, uint16_t port)
{
	struct relay_tx *tx = &world->relay.tx[0];
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned n = rte_eth_rx_burst(port, 0, packets, RELAY_BURST);

	if (n == 0)
		return;
	relay_process(&world->relay, packets, n, rte_rdtsc());
	relay_sent(&world->relay, 0, rte_eth_tx_burst(port, 0, tx->packets, (uint16_t)tx->count));
}

static void run_engine(struct world *world, const char *socket)
{
	struct relay *relay = &world->relay;
	uint64_t dropped = 0;
	char devargs[160];
	uint16_t port;

	snprintf(devargs, sizeof(devargs), "iface=%s,queues=1", socket);
	port = start_port(world->pool, "net_vhost0", devargs);
	while (!over)
		relay_turn(world, port);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		dropped += i == KG_DROP_tx_full ? 0 : relay->drops[i];
	printf("{\"taken\": %" PRIu64 ", \"relayed\": %" PRIu64 ", \"ring_full\": %" PRIu64 ", \"dropped\": %" PRIu64
	       "}\n",
		relay->taken, relay->counters[KG_CNT_rtp_relayed], relay->drops[KG_DROP_tx_full], dropped);
	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
}

// --- the generator --------------------------------------------------------------------------------------------------

struct got {
	uint64_t received, foreign; // foreign: of those received, neither relayed nor sent back as they were
};

// Was it relayed to a party, or is it a party's own, sent back?
static bool is_ours(const struct rte_mbuf *mbuf)
{
	const uint8_t *ports = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, 34);

	return rtp_get16(ports) == REMOTE_PORT || rtp_get16(ports + 2) == REMOTE_PORT;
}

static void generate_turn(struct world *world, uint16_t port, struct got *got)
{
	struct rte_mbuf *packets[RELAY_BURST];
	unsigned n = rte_eth_rx_burst(port, 0, packets, RELAY_BURST), taken;

	if (n) {
		got->received += n;
		got->foreign += !is_ours(packets[0]);
		rte_pktmbuf_free_bulk(packets, n);
	}
	if (rte_mempool_get_bulk(world->pool, (void **)packets, RELAY_BURST) != 0)
		return;
	world_receive_burst(world, packets, RELAY_BURST);
	taken = rte_eth_tx_burst(port, 0, packets, RELAY_BURST);
	if (taken < RELAY_BURST)
		rte_mempool_put_bulk(world->pool, (void **)&packets[taken], RELAY_BURST - taken);
}

static struct got generate(struct world *world, uint16_t port, double seconds)
{
	uint64_t end = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz());
	struct got got = {0};

	while (rte_rdtsc() < end && !over)
		generate_turn(world, port, &got);
	return got;
}

static void run_generator(struct world *world, const char *socket)
{
	struct got got;
	char devargs[160];
	uint16_t port;

	snprintf(devargs, sizeof(devargs), "path=%s,queues=1,queue_size=%d", socket, RING);
	port = start_port(world->pool, "virtio_user0", devargs);
	generate(world, port, WARM_UP_S);
	printf("{\"received_per_s\": [");
	for (unsigned i = 0; i < SAMPLES; i++) {
		got = generate(world, port, SAMPLE_S);
		if (got.foreign)
			world_fail("what came back was not relayed");
		printf("%s%.0f", i ? ", " : "", (double)got.received / SAMPLE_S);
	}
	printf("]}\n");
	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
}

int main(int count, char **args)
{
	struct sigaction action = {.sa_handler = on_signal};
	bool engine = count > 3 && strcmp(args[1], "engine") == 0;
	struct world *world;
	uint32_t legs;

	if (count < 4) {
		fprintf(stderr, "usage: bench_vhost engine|generator SOCKET LEGS [huge]\n");
		return 2;
	}
	legs = (uint32_t)atoi(args[3]) / 2 * 2;
	start_eal(engine ? "1" : "0", count > 4);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	world = world_create(KIND_RTP, MBUFS, CACHED);
	if (engine)
		world_make_legs(world, legs);
	else
		world_make_traffic(world, legs);
	if (engine)
		run_engine(world, args[2]);
	else
		run_generator(world, args[2]);
	fflush(stdout);
	return rte_eal_cleanup() == 0 ? 0 : 1;
}
