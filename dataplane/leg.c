// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "leg.h"

static uint32_t sum16(const uint8_t *data, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2) {
		uint16_t word;

		memcpy(&word, data + i, sizeof(word)); // in network order, as the checksum wants it
		sum += word;
	}
	return sum;
}

static void put_ip(const struct kg_addr *addr, uint32_t *ip)
{
	memcpy(ip, addr->ip, sizeof(*ip));
}

static void build_header(struct leg_out *out, const struct kg_leg_config *config)
{
	uint8_t *eth = out->header, *ip = eth + 14, *udp = ip + 20;

	memcpy(eth, config->hop.target_mac, 6);
	memcpy(eth + 6, config->hop.source_mac, 6);
	rtp_put16(eth + 12, 0x0800);
	ip[0] = 0x45;
	ip[1] = (uint8_t)(config->dscp << 2);
	rtp_put16(ip + 6, 0x4000); // don't fragment: so the identification may be 0 (RFC 6864)
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, config->local.ip, 4);
	memcpy(ip + 16, config->remote.ip, 4);
	rtp_put16(udp, config->local.port);
	rtp_put16(udp + 2, config->remote.port);
	out->ip_sum = sum16(ip, 20);
	out->udp_sum = sum16(ip + 12, 8) + sum16(udp, 4) + htons(17);
	out->rtcp_local_port = htons((uint16_t)(config->local.port + (config->rtcp_mux ? 0 : 1)));
	out->rtcp_remote_port = htons(config->remote_rtcp.port);
	put_ip(&config->remote_rtcp, &out->rtcp_ip);
	out->mtu = config->hop.mtu;
}

static int build_formats(struct leg_conf *conf, const struct kg_leg_config *config)
{
	uint32_t first = config->format_count ? config->formats[0].clock_hz : 0;

	if (config->format_count > KG_MEDIA_FORMATS)
		return -EINVAL;
	if (config->format_count == 0)
		conf->in.formats[0] = conf->in.formats[1] = UINT64_MAX;
	conf->in.clock_hz = first;
	for (unsigned i = 0; i < config->format_count; i++) {
		const struct kg_media_format *format = &config->formats[i];

		if (format->payload_type > 127)
			return -EINVAL;
		conf->in.formats[format->payload_type >> 6] |= (uint64_t)1 << (format->payload_type & 63);
		conf->clocks[format->payload_type] = format->clock_hz;
		if (format->clock_hz != first)
			conf->in.clock_hz = 0;
	}
	return 0;
}

static bool good_address(const struct kg_addr *addr)
{
	return addr->family == 0 || (addr->family == 4 && addr->port != 0);
}

struct leg_conf *leg_conf_create(const struct kg_leg_config *config, kg_leg_id id, uint32_t *ports)
{
	struct leg_conf *conf;

	if (config->local.family != 4 || config->local.port == 0 || config->local.port == 65535 ||
		!good_address(&config->remote) || !good_address(&config->remote_rtcp)) {
		errno = EINVAL;
		return NULL;
	}
	conf = aligned_alloc(64, sizeof(*conf));
	if (!conf)
		return NULL;
	memset(conf, 0, sizeof(*conf));
	conf->config = *config;
	conf->ports = ports;
	if (build_formats(conf, config) != 0) {
		free(conf);
		errno = EINVAL;
		return NULL;
	}
	conf->in.id = id;
	conf->in.peer = config->peer;
	conf->in.nic = config->nic;
	conf->in.local_port = config->local.port;
	put_ip(&config->remote, &conf->in.remote_ip);
	put_ip(&config->remote_rtcp, &conf->in.rtcp_ip);
	conf->in.remote_port = htons(config->remote.port);
	conf->in.rtcp_port = htons(config->remote_rtcp.port);
	conf->in.flags =
		(uint8_t)((config->rtcp_mux ? LEG_MUX : 0) | (config->may_receive ? LEG_MAY_RECEIVE : 0) |
			  (config->may_send ? LEG_MAY_SEND : 0) | (config->remote.family ? LEG_REMOTE : 0) |
			  (config->remote_rtcp.family ? LEG_REMOTE_RTCP : 0) | (config->hop.resolved ? LEG_HOP : 0));
	build_header(&conf->out, config);
	return conf;
}

static uint64_t read64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

void leg_stats(const struct leg *leg, struct kg_leg_stats *out)
{
	struct rtp_source source = leg->stream.source;

	memset(out, 0, sizeof(*out));
	out->rx_packets = read64(&leg->rx.packets);
	out->rx_bytes = read64(&leg->rx.bytes);
	out->rx_duplicate = read64(&leg->rx.duplicate);
	out->rx_reordered = read64(&leg->rx.reordered);
	out->rx_lost = read64(&leg->rx.lost_before) + rtp_source_lost(&source);
	out->rx_rtcp_packets = read64(&leg->rx.rtcp_packets);
	if (source.clock_hz) // a sixteenth of 1,000,000
		out->rx_jitter_us = (uint32_t)((uint64_t)source.jitter_q4 * 62500 / source.clock_hz);
	out->rx_ssrc = source.ssrc;
	out->rx_sources = __atomic_load_n(&leg->rx.sources, __ATOMIC_RELAXED);
	out->tx_packets = read64(&leg->tx.packets);
	out->tx_bytes = read64(&leg->tx.bytes);
	out->tx_rtcp_packets = read64(&leg->tx.rtcp_packets);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		out->drops[i] = read64(&leg->cold.drops[i]);
}
