// SPDX-License-Identifier: BSD-3-Clause
// What the XDP program and nic_xdp.c agree on.
#pragma once

#define KEDGE_XDP_ADDRS 8 // KG_MEDIA_NIC_ADDRS
#define KEDGE_XDP_NAME "kedge_xdp"

// In network order; IPv4 as ::ffff:a.b.c.d.
struct kedge_xdp_addr {
	unsigned word[4];
};
