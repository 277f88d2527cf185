// SPDX-License-Identifier: BSD-3-Clause
// Which frames of an interface are media: UDP over IPv4 to one of our addresses on a live port. They go to the AF_XDP
// socket of their queue, everything else goes on to the kernel as if this program were not there.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kedge_xdp.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps"); // the name that DPDK's driver looks for

// IPv4 address in network order -> its number among our addresses.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KEDGE_XDP_ADDRS);
	__type(key, __u32);
	__type(value, __u32);
} kedge_addrs SEC(".maps");

// Number of the address times 65536, plus the port -> not 0: a leg lives there.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEDGE_XDP_ADDRS * 65536);
	__type(key, __u32);
	__type(value, __u8);
} kedge_live SEC(".maps");

SEC("xdp")
int kedge_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp;
	__u32 *number, key;
	__u8 *live;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	number = bpf_map_lookup_elem(&kedge_addrs, &ip->daddr);
	if (!number)
		return XDP_PASS;
	key = *number * 65536 + bpf_ntohs(udp->dest);
	live = bpf_map_lookup_elem(&kedge_live, &key);
	if (!live || !*live)
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char kedge_license[] SEC("license") = "Dual BSD/GPL";
