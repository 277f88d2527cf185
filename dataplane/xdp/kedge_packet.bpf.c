// SPDX-License-Identifier: BSD-3-Clause
// The filter of an af_packet nic's socket: only what is media comes through, as the XDP program has it, so that the
// relay need not look at the host's other traffic. What the host itself sends out is not received, nor what is another
// host's (to another MAC address, of another VLAN).

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kedge_xdp.h"

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

// Where UDP begins in the frame, and whom it is for. Returns: 0 where it is no media.
static __always_inline __u32 read_ip4(struct __sk_buff *skb, struct kedge_xdp_addr *to)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5 ||
		ip.protocol != IPPROTO_UDP || ip.frag_off & bpf_htons(0x3fff))
		return 0;
	to->word[2] = bpf_htonl(0xffff);
	to->word[3] = ip.daddr;
	return ETH_HLEN + ip.ihl * 4;
}

static __always_inline __u32 read_ip6(struct __sk_buff *skb, struct kedge_xdp_addr *to)
{
	__u8 next;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &next, 1) < 0 ||
		next != IPPROTO_UDP ||
		bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, daddr), to, sizeof(*to)) < 0)
		return 0;
	return ETH_HLEN + sizeof(struct ipv6hdr);
}

SEC("socket")
int kedge_packet(struct __sk_buff *skb)
{
	struct kedge_xdp_addr to = {};
	__u32 udp = 0, *number, key;
	__u16 port;
	__u8 *live;

	if (skb->pkt_type == PACKET_OUTGOING || skb->pkt_type == PACKET_OTHERHOST || skb->vlan_present)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		udp = read_ip4(skb, &to);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		udp = read_ip6(skb, &to);
	if (!udp || bpf_skb_load_bytes(skb, udp + 2, &port, sizeof(port)) < 0)
		return 0;
	number = bpf_map_lookup_elem(&kedge_addrs, &to);
	if (!number)
		return 0;
	key = *number * 65536 + bpf_ntohs(port);
	live = bpf_map_lookup_elem(&kedge_live, &key);
	return live && *live ? -1 : 0;
}

char kedge_license[] SEC("license") = "Dual BSD/GPL";
