// SPDX-License-Identifier: BSD-3-Clause
// Which queue a device brings a port to: its hash and its rules, with a device made up by the linker (no machine of
// ours has one that hashes or takes rules).

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include <rte_byteorder.h>
#include <rte_flow.h>

#include "nic_steer.h"

#define UDP (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define BY_PORT (UDP | RTE_ETH_RSS_L4_DST_ONLY)
#define RETA 128

int __wrap_rte_flow_validate(uint16_t port_id, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
	const struct rte_flow_action actions[], struct rte_flow_error *error);
struct rte_flow *__wrap_rte_flow_create(uint16_t port_id, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[], struct rte_flow_error *error);
int __wrap_rte_flow_flush(uint16_t port_id, struct rte_flow_error *error);
int __wrap_rte_eth_dev_info_get(uint16_t port_id, struct rte_eth_dev_info *info);
int __wrap_rte_eth_dev_rss_hash_conf_get(uint16_t port_id, struct rte_eth_rss_conf *conf);
int __wrap_rte_eth_dev_rss_reta_update(uint16_t port_id, struct rte_eth_rss_reta_entry64 *table, uint16_t size);

// Microsoft's key, which drivers begin with.
static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
	0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static struct device {
	bool validates, vlan;
	unsigned creates; // so many rules, then no more
	unsigned created;
	bool flushed;
	struct {
		enum rte_flow_item_type ip;
		uint16_t port, mask, queue;
	} rules[32];
	uint64_t hashes;
	uint16_t reta[RETA];
} device;

static bool is_ip(enum rte_flow_item_type type)
{
	return type == RTE_FLOW_ITEM_TYPE_IPV4 || type == RTE_FLOW_ITEM_TYPE_IPV6;
}

int __wrap_rte_flow_validate(uint16_t port_id, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
	const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	assert_true(attr->ingress);
	return device.validates ? 0 : -ENOTSUP;
}

struct rte_flow *__wrap_rte_flow_create(uint16_t port_id, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	const struct rte_flow_item_udp *spec, *mask;
	unsigned at = device.created, item = 1;

	if (at == device.creates)
		return NULL;
	assert_int_equal(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
	if (pattern[1].type == RTE_FLOW_ITEM_TYPE_VLAN) {
		device.vlan = ((const struct rte_flow_item_vlan *)pattern[1].spec)->tci == RTE_BE16(7);
		item++;
	}
	assert_true(is_ip(pattern[item].type));
	assert_int_equal(pattern[item + 1].type, RTE_FLOW_ITEM_TYPE_UDP);
	assert_int_equal(pattern[item + 2].type, RTE_FLOW_ITEM_TYPE_END);
	spec = pattern[item + 1].spec;
	mask = pattern[item + 1].mask;
	assert_int_equal(mask->hdr.src_port, 0);
	device.rules[at].ip = pattern[item].type;
	device.rules[at].port = rte_be_to_cpu_16(spec->hdr.dst_port);
	device.rules[at].mask = rte_be_to_cpu_16(mask->hdr.dst_port);
	device.rules[at].queue = ((const struct rte_flow_action_queue *)actions[0].conf)->index;
	device.created++;
	return (struct rte_flow *)&device.rules[at];
}

int __wrap_rte_flow_flush(uint16_t port_id, struct rte_flow_error *error)
{
	device.flushed = true;
	return 0;
}

int __wrap_rte_eth_dev_info_get(uint16_t port_id, struct rte_eth_dev_info *info)
{
	memset(info, 0, sizeof(*info));
	info->hash_key_size = sizeof(key);
	info->reta_size = RETA;
	return 0;
}

int __wrap_rte_eth_dev_rss_hash_conf_get(uint16_t port_id, struct rte_eth_rss_conf *conf)
{
	assert_int_equal(conf->rss_key_len, sizeof(key));
	memcpy(conf->rss_key, key, sizeof(key));
	conf->rss_hf = device.hashes;
	return 0;
}

int __wrap_rte_eth_dev_rss_reta_update(uint16_t port_id, struct rte_eth_rss_reta_entry64 *table, uint16_t size)
{
	assert_int_equal(size, RETA);
	for (unsigned i = 0; i < size; i++) {
		assert_true(table[i / 64].mask >> i % 64 & 1);
		device.reta[i] = table[i / 64].reta[i % 64];
	}
	return 0;
}

static struct nic start(unsigned queues, uint64_t types)
{
	struct nic nic = {.queues = queues, .pair_count = queues};
	struct rte_eth_dev_info info = {.flow_type_rss_offloads = types};
	struct rte_eth_conf conf = {0};

	nic_steer_plan(&info, queues, &conf);
	device.hashes = conf.rx_adv_conf.rss_conf.rss_hf;
	assert_int_equal(conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS, device.hashes != 0);
	nic_steer_start(&nic, &conf);
	return nic;
}

static unsigned queue_of(const struct nic *nic, unsigned port)
{
	return nic_queue_of(nic, &(struct kg_addr){.family = 4, .ip = {192, 0, 2, 1}, .port = (uint16_t)port});
}

static int set_up(void **state)
{
	memset(&device, 0, sizeof(device));
	return 0;
}

// The Toeplitz hash as its definition has it: the key's 32 bits from bit i on for each bit i of the input.
static uint32_t toeplitz(uint16_t port)
{
	uint32_t hash = 0;

	for (unsigned bit = 0; bit < 16; bit++)
		for (unsigned i = 0; i < 32 && port >> (15 - bit) & 1; i++)
			hash ^= (uint32_t)(key[(bit + i) / 8] >> (7 - (bit + i) % 8) & 1) << (31 - i);
	return hash;
}

static void the_hash_is_the_devices(void **state)
{
	for (unsigned queues = 2; queues <= 5; queues++) {
		struct nic nic = start(queues, BY_PORT | RTE_ETH_RSS_IPV4);

		assert_string_equal(nic_steering(&nic), "rss");
		assert_int_equal(device.hashes, BY_PORT);
		for (unsigned port = 0; port < 65536; port++)
			assert_int_equal(queue_of(&nic, port), device.reta[toeplitz((uint16_t)port) % RETA]);
	}
}

static void rules_give_each_port_one_queue(void **state)
{
	for (unsigned queues = 2; queues <= 5; queues++) {
		unsigned seen = 0;
		struct nic nic;

		memset(&device, 0, sizeof(device));
		device.validates = true;
		device.creates = 32;
		nic = start(queues, BY_PORT);
		assert_string_equal(nic_steering(&nic), "flow");
		assert_int_equal(device.created, 2 * nic.slices);
		assert_false(device.vlan);
		for (unsigned port = 20000; port < 20064; port++) {
			unsigned queue = queue_of(&nic, port), hits[2] = {0};

			assert_int_equal(queue, queue_of(&nic, port ^ 1)); // RTP and RTCP
			seen |= 1u << queue;
			for (unsigned i = 0; i < device.created; i++) {
				if ((port & device.rules[i].mask) != device.rules[i].port)
					continue;
				hits[device.rules[i].ip == RTE_FLOW_ITEM_TYPE_IPV6]++;
				assert_int_equal(device.rules[i].queue, queue);
			}
			assert_int_equal(hits[0], 1);
			assert_int_equal(hits[1], 1);
		}
		assert_int_equal(seen, (1u << queues) - 1);
	}
}

static void rules_look_behind_the_tag(void **state)
{
	struct nic nic = {.queues = 2, .pair_count = 2, .vlan = 7};
	struct rte_eth_conf conf = {0};

	device.validates = true;
	device.creates = 32;
	nic_steer_start(&nic, &conf);
	assert_true(device.vlan);
}

static void promises_that_do_not_hold_are_taken_back(void **state)
{
	struct nic nic;

	device.validates = true;
	device.creates = 3;
	nic = start(2, BY_PORT);
	assert_true(device.flushed);
	assert_string_equal(nic_steering(&nic), "rss");
}

static void without_either_the_lcores_hand_over(void **state)
{
	struct nic nic = start(2, UDP); // by addresses and ports: not known beforehand

	assert_int_equal(device.hashes, UDP);
	assert_string_equal(nic_steering(&nic), "software");
	assert_int_equal(queue_of(&nic, 20000), NIC_QUEUE_UNKNOWN);
	nic = start(2, 0);
	assert_string_equal(nic_steering(&nic), "software");
	device.validates = true;
	nic = start(1, BY_PORT);
	assert_int_equal(device.hashes, 0);
	assert_string_equal(nic_steering(&nic), "none");
	assert_int_equal(queue_of(&nic, 20000), NIC_QUEUE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_hash_is_the_devices, set_up),
		cmocka_unit_test_setup(rules_give_each_port_one_queue, set_up),
		cmocka_unit_test_setup(rules_look_behind_the_tag, set_up),
		cmocka_unit_test_setup(promises_that_do_not_hold_are_taken_back, set_up),
		cmocka_unit_test_setup(without_either_the_lcores_hand_over, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
