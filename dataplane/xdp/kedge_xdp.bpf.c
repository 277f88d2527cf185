// SPDX-License-Identifier: BSD-3-Clause
// Which frames of an interface are media: UDP over IPv4 or IPv6 to one of our addresses on a live port. They go to the
// AF_XDP socket of their queue, everything else goes on to the kernel as if this program were not there: fragments and
// IPv6 with extension headers too.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
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

// Address -> its number among ours.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KEDGE_XDP_ADDRS);
	__type(key, struct kedge_xdp_addr);
	__type(value, __u32);
} kedge_addrs SEC(".maps");

// Number of the address times 65536, plus the port -> not 0: a leg lives there.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEDGE_XDP_ADDRS * 65536);
	__type(key, __u32);
	__type(value, __u8);
} kedge_live SEC(".maps");

// The UDP header of a frame and the address that it is for. Returns: NULL where it is no media.
static __always_inline struct udphdr *read_ip4(void *data, void *end, struct kedge_xdp_addr *to)
{
	struct iphdr *ip = data;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP ||
		ip->frag_off & bpf_htons(0x3fff))
		return 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = ip->daddr;
	return data + ip->ihl * 4;
}

static __always_inline struct udphdr *read_ip6(void *data, void *end, struct kedge_xdp_addr *to)
{
	struct ipv6hdr *ip = data;

	if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return 0;
	__builtin_memcpy(to, &ip->daddr, sizeof(*to));
	return (void *)(ip + 1);
}

SEC("xdp")
int kedge_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct kedge_xdp_addr to = {};
	struct ethhdr *eth = data;
	struct udphdr *udp = 0;
	__u32 *number, key;
	__u8 *live;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		udp = read_ip4(eth + 1, end, &to);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		udp = read_ip6(eth + 1, end, &to);
	if (!udp || (void *)(udp + 1) > end)
		return XDP_PASS;
	number = bpf_map_lookup_elem(&kedge_addrs, &to);
	if (!number)
		return XDP_PASS;
	key = *number * 65536 + bpf_ntohs(udp->dest);
	live = bpf_map_lookup_elem(&kedge_live, &key);
	if (!live || !*live)
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char kedge_license[] SEC("license") = "Dual BSD/GPL";
