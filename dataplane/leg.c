// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "latch.h"
#include "leg.h"

#define RTP_PCMU 0
#define RTP_PCMA 8

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

static uint16_t fold16(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

struct leg_ip leg_ip_of(const struct kg_addr *addr)
{
	struct leg_ip ip;

	memcpy(&ip, addr->ip, sizeof(ip));
	return ip;
}

static void build_ip4(uint8_t *header, struct leg_out *out, const struct kg_leg_config *config)
{
	uint8_t *ip = header + 14;

	rtp_put16(header + 12, 0x0800);
	ip[0] = 0x45;
	ip[1] = (uint8_t)(config->dscp << 2);
	rtp_put16(ip + 6, 0x4000); // don't fragment: so the identification may be 0 (RFC 6864)
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, config->local.ip, 4);
	memcpy(ip + 16, config->remote.ip, 4);
	out->ip_sum = fold16(sum16(ip, 20));
	out->length = LEG_HEADER_4;
}

static void build_ip6(uint8_t *header, struct leg_out *out, const struct kg_leg_config *config)
{
	uint8_t *ip = header + 14;

	rtp_put16(header + 12, 0x86dd);
	rtp_put16(ip, (uint16_t)(0x6000 | config->dscp << 6));
	ip[6] = 17;
	ip[7] = 64;
	memcpy(ip + 8, config->local.ip, 16);
	memcpy(ip + 24, config->remote.ip, 16);
	out->length = LEG_HEADER_6;
}

// What of a packet the way to the remote leaves for UDP's payload. An MTU of 0: not known.
static uint16_t payload_room(uint16_t mtu, unsigned header)
{
	unsigned ip_udp = header - 14;

	if (mtu == 0)
		return UINT16_MAX;
	return (uint16_t)(mtu > ip_udp ? mtu - ip_udp : 0);
}

static void build_header(struct leg_conf *conf, const struct kg_leg_config *config)
{
	struct leg_out *out = &conf->out;
	uint8_t header[LEG_HEADER_6] = {0}, *udp;

	memcpy(header, config->hop.target_mac, 6);
	memcpy(header + 6, config->hop.source_mac, 6);
	if (config->local.family == 4)
		build_ip4(header, out, config);
	else
		build_ip6(header, out, config);
	udp = header + out->length - 8;
	rtp_put16(udp, config->local.port);
	rtp_put16(udp + 2, config->remote.port);
	out->udp_sum = fold16(sum16(config->local.ip, 16) + sum16(config->remote.ip, 16) + sum16(udp, 4) + htons(17));
	memcpy(out->header, header, sizeof(out->header));
	memcpy(conf->more.header, header + sizeof(out->header), sizeof(conf->more.header));
	out->room = payload_room(config->hop.mtu, out->length);
	conf->more.rtcp_local_port = htons((uint16_t)(config->local.port + (config->rtcp_mux ? 0 : 1)));
	conf->more.rtcp_remote_port = htons(config->remote_rtcp.port);
	conf->more.rtcp_ip = leg_ip_of(&config->remote_rtcp);
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
		if (format->clock_hz != first)
			conf->in.clock_hz = 0;
	}
	return 0;
}

// None, or of the leg's family; without a port only where it is to be learned.
static bool good_address(const struct kg_addr *addr, const struct kg_leg_config *config)
{
	return addr->family == 0 || (addr->family == config->local.family && (addr->port != 0 || config->latch != 0));
}

static uint8_t build_flags(const struct kg_leg_config *config)
{
	return (uint8_t)((config->rtcp_mux ? LEG_MUX : 0) | (config->may_receive ? LEG_MAY_RECEIVE : 0) |
			 (config->may_send ? LEG_MAY_SEND : 0) |
			 (config->remote.family && config->remote.port ? LEG_REMOTE : 0) |
			 (config->remote_rtcp.family && config->remote_rtcp.port ? LEG_REMOTE_RTCP : 0) |
			 (config->hop.resolved ? LEG_HOP : 0) |
			 (config->latch && config->remote.family ? LEG_LATCH : 0));
}

static const struct codec *codec_of(const struct kg_media_codec *codec)
{
	return codec->row ? codec_table[codec->row - 1] : NULL;
}

static unsigned ptime_of(const struct kg_media_codec *codec)
{
	return codec->ptime_ms ? codec->ptime_ms : 20;
}

enum leg_law leg_law(const struct kg_leg_config *config)
{
	const struct codec *in = codec_of(&config->codec), *out = codec_of(&config->peer_codec);

	if (!in || !out || ptime_of(&config->codec) != ptime_of(&config->peer_codec))
		return LEG_LAW_NONE;
	if (in->payload_type == RTP_PCMU && out->payload_type == RTP_PCMA)
		return LEG_LAW_ULAW_TO_ALAW;
	return in->payload_type == RTP_PCMA && out->payload_type == RTP_PCMU ? LEG_LAW_ALAW_TO_ULAW : LEG_LAW_NONE;
}

static void build_law(struct leg_in *in, const struct kg_leg_config *config)
{
	bool events = config->peer_codec.event_type != KG_MEDIA_NO_TYPE;

	in->law = config->peer ? (uint8_t)leg_law(config) : LEG_LAW_NONE;
	in->law_type = config->codec.payload_type;
	in->law_to = config->peer_codec.payload_type;
	in->event_type = events ? config->codec.event_type : KG_MEDIA_NO_TYPE;
	in->event_to = config->peer_codec.event_type;
}

struct leg_conf *leg_conf_create(const struct kg_leg_config *config, kg_leg_id id, uint32_t *ports)
{
	struct leg_conf *conf;

	if ((config->local.family != 4 && config->local.family != 6) || config->local.port == 0 ||
		config->local.port == 65535 || !good_address(&config->remote, config) ||
		!good_address(&config->remote_rtcp, config)) {
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
	build_law(&conf->in, config);
	conf->out.id = id;
	conf->out.nic = config->nic;
	conf->in.local_port = config->local.port;
	conf->in.remote_ip = leg_ip_of(&config->remote);
	conf->in.remote_port = htons(config->remote.port);
	conf->in.flags = conf->out.flags = build_flags(config);
	build_header(conf, config);
	return conf;
}

void leg_ports_set(uint32_t *ports, const struct kg_leg_config *config, kg_leg_id id, unsigned lcore)
{
	uint32_t entry = (uint32_t)lcore << LEG_INDEX_BITS | leg_index(id);

	__atomic_store_n(&ports[config->local.port], entry, __ATOMIC_RELAXED);
	if (!config->rtcp_mux)
		__atomic_store_n(&ports[config->local.port + 1], entry, __ATOMIC_RELAXED);
}

void leg_ports_clear(uint32_t *ports, const struct kg_leg_config *config, kg_leg_id id, unsigned lcore)
{
	uint32_t entry = (uint32_t)lcore << LEG_INDEX_BITS | leg_index(id);

	for (unsigned i = 0; i < 2; i++) // the RTCP port may have been entered before rtcp-mux was agreed
		if (__atomic_load_n(&ports[config->local.port + i], __ATOMIC_RELAXED) == entry)
			__atomic_store_n(&ports[config->local.port + i], 0, __ATOMIC_RELAXED);
}

uint32_t leg_clock_hz(const struct leg_cold *cold, uint8_t payload_type)
{
	for (unsigned i = 0; i < cold->clock_count; i++)
		if (cold->clocks[i].payload_type == payload_type)
			return cold->clocks[i].hz;
	return 0;
}

bool leg_configure(struct leg *leg, struct leg_cold *cold, const struct leg_conf *conf)
{
	struct leg_latch *latch = &cold->latch, old = *latch;
	uint8_t proved = leg->in.flags & LEG_PROVED;
	bool same = leg_ip_same(&leg->in.remote_ip, &conf->in.remote_ip) && old.window == conf->config.latch &&
		    (old.window || leg->in.remote_port == conf->in.remote_port);
	uint16_t port = leg->in.remote_port, rtcp_port = cold->more.rtcp_remote_port;

	leg->in = conf->in;
	leg->out = conf->out;
	cold->more = conf->more;
	cold->clock_count = conf->config.format_count;
	for (unsigned i = 0; i < cold->clock_count; i++)
		cold->clocks[i] =
			(struct leg_clock){conf->config.formats[i].payload_type, conf->config.formats[i].clock_hz};
	if (!same)
		*latch = (struct leg_latch){.window = conf->config.latch};
	else
		leg->in.flags |= proved;
	if (same && old.moved)
		latch_follow(leg, cold, port);
	if (same && old.rtcp_moved)
		latch_follow_rtcp(leg, cold, rtcp_port);
	return !same;
}

static uint64_t read64(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

void leg_stats(const struct leg *leg, const struct leg_cold *cold, struct kg_leg_stats *out)
{
	struct rtp_source source = leg->stream.source;

	memset(out, 0, sizeof(*out));
	out->rx_packets = read64(&leg->stream.packets);
	out->rx_bytes = read64(&leg->stream.bytes);
	out->rx_duplicate = read64(&cold->duplicate);
	out->rx_reordered = read64(&cold->reordered);
	out->rx_lost = read64(&cold->lost_before) + rtp_source_lost(&source);
	out->rx_rtcp_packets = read64(&cold->rx_rtcp_packets);
	if (source.clock_hz) // a sixteenth of 1,000,000
		out->rx_jitter_us = (uint32_t)((uint64_t)source.jitter_q4 * 62500 / source.clock_hz);
	out->rx_ssrc = source.ssrc;
	out->rx_sources = __atomic_load_n(&cold->sources, __ATOMIC_RELAXED);
	out->tx_packets = read64(&leg->tx.packets);
	out->tx_bytes = read64(&leg->tx.bytes);
	out->tx_rtcp_packets = read64(&cold->tx_rtcp_packets);
	for (unsigned i = 0; i < KG_DROP_COUNT; i++)
		out->drops[i] = read64(&cold->drops[i]);
	out->latched_port = cold->latch.moved ? ntohs(__atomic_load_n(&leg->in.remote_port, __ATOMIC_RELAXED)) : 0;
	memcpy(out->refused_ip, &cold->refused.ip, sizeof(out->refused_ip));
	out->refused_port = ntohs(cold->refused.port);
	out->refused_ssrc = cold->refused.ssrc;
}
