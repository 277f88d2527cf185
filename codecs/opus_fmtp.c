// SPDX-License-Identifier: BSD-3-Clause

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "opus_fmtp.h"

enum kind { NUMBER, FLAG, BYTE };

// One row for each parameter; the order is that of building.
static const struct param {
	const char *name;
	enum kind kind;
	size_t offset;
	uint32_t least, most, otherwise; // otherwise: the default
} params[] = {
	{"maxplaybackrate", NUMBER, offsetof(struct fmtp_opus, max_playback_rate_hz), 8000, 48000, 48000},
	{"sprop-maxcapturerate", NUMBER, offsetof(struct fmtp_opus, sprop_max_capture_rate_hz), 8000, 48000, 48000},
	{"maxaveragebitrate", NUMBER, offsetof(struct fmtp_opus, max_average_bitrate_bps), 6000, 510000, 0},
	{"minptime", BYTE, offsetof(struct fmtp_opus, min_ptime_ms), 3, 120, 3},
	{"stereo", FLAG, offsetof(struct fmtp_opus, stereo), 0, 1, 0},
	{"sprop-stereo", FLAG, offsetof(struct fmtp_opus, sprop_stereo), 0, 1, 0},
	{"cbr", FLAG, offsetof(struct fmtp_opus, cbr), 0, 1, 0},
	{"useinbandfec", FLAG, offsetof(struct fmtp_opus, use_inband_fec), 0, 1, 0},
	{"usedtx", FLAG, offsetof(struct fmtp_opus, use_dtx), 0, 1, 0},
};

enum { PARAMS = sizeof(params) / sizeof(*params) };

static uint32_t get(const struct fmtp_opus *fmtp, const struct param *param)
{
	const char *field = (const char *)fmtp + param->offset;

	switch (param->kind) {
	case NUMBER:
		return *(const uint32_t *)field;
	case BYTE:
		return *(const uint8_t *)field;
	default:
		return *(const bool *)field;
	}
}

static void set(struct fmtp_opus *fmtp, const struct param *param, uint32_t value)
{
	char *field = (char *)fmtp + param->offset;

	switch (param->kind) {
	case NUMBER:
		*(uint32_t *)field = value;
		break;
	case BYTE:
		*(uint8_t *)field = (uint8_t)value;
		break;
	default:
		*(bool *)field = value;
	}
}

void fmtp_opus_init(struct fmtp_opus *fmtp)
{
	memset(fmtp, 0, sizeof(*fmtp));
	for (const struct param *param = params; param < params + PARAMS; param++)
		set(fmtp, param, param->otherwise);
}

// A piece of the text, without the blanks around it.
struct piece {
	const char *at;
	size_t length;
};

static struct piece trim(const char *at, const char *end)
{
	while (at < end && isspace((unsigned char)*at))
		at++;
	while (at < end && isspace((unsigned char)end[-1]))
		end--;
	return (struct piece){at, (size_t)(end - at)};
}

// Digits alone, and not so many that they overflow. Returns: UINT32_MAX: something else.
static uint32_t number(struct piece text)
{
	uint32_t value = 0;

	if (text.length == 0 || text.length > 9)
		return UINT32_MAX;
	for (size_t i = 0; i < text.length; i++) {
		if (!isdigit((unsigned char)text.at[i]))
			return UINT32_MAX;
		value = value * 10 + (uint32_t)(text.at[i] - '0');
	}
	return value;
}

static const struct param *find(struct piece name)
{
	for (const struct param *param = params; param < params + PARAMS; param++)
		if (strlen(param->name) == name.length && !strncasecmp(param->name, name.at, name.length))
			return param;
	return NULL;
}

int fmtp_opus_parse(struct fmtp_opus *fmtp, const char *text, const char **bad)
{
	fmtp_opus_init(fmtp);
	*bad = NULL;
	while (text && *text) {
		const char *end = text + strcspn(text, ";"), *equals = memchr(text, '=', (size_t)(end - text));
		const struct param *param = find(trim(text, equals ? equals : end));

		if (param) {
			uint32_t value = number(equals ? trim(equals + 1, end) : (struct piece){0});

			if (value >= param->least && value <= param->most)
				set(fmtp, param, value);
			else
				*bad = param->name;
		}
		text = *end ? end + 1 : end;
	}
	return *bad ? -EBADMSG : 0;
}

int fmtp_opus_build(const struct fmtp_opus *fmtp, char *text, size_t room)
{
	size_t at = 0;

	if (room == 0)
		return -ENOSPC;
	*text = 0;
	for (const struct param *param = params; param < params + PARAMS; param++) {
		uint32_t value = get(fmtp, param);
		int length;

		if (value == param->otherwise)
			continue;
		length = snprintf(text + at, room - at, "%s%s=%u", at ? ";" : "", param->name, value);
		if ((size_t)length >= room - at)
			return -ENOSPC;
		at += (size_t)length;
	}
	return (int)at;
}

// The highest of the codec's rates that the far end plays and policy allows.
static uint32_t rate_below(uint32_t limit_hz)
{
	static const uint32_t rates_hz[] = {48000, 24000, 16000, 12000};

	for (unsigned i = 0; i < sizeof(rates_hz) / sizeof(*rates_hz); i++)
		if (rates_hz[i] <= limit_hz)
			return rates_hz[i];
	return 8000;
}

static uint32_t least_said(uint32_t one, uint32_t other) // 0: nothing is said
{
	return one && (!other || one < other) ? one : other;
}

// What RFC 7587 section 3.1.1 recommends for speech, its upper ends and a little more, as some music passes, too.
uint32_t fmtp_opus_bitrate(uint32_t rate_hz)
{
	return rate_hz <= 8000 ? 16000 : rate_hz <= 16000 ? 24000 : 32000;
}

void fmtp_opus_options(
	const struct fmtp_opus *far, const struct fmtp_opus_policy *policy, struct codec_options *options)
{
	uint32_t bitrate_bps = policy->bitrate_bps;

	memset(options, 0, sizeof(*options));
	options->rate_hz = rate_below(least_said(far->max_playback_rate_hz, policy->rate_hz));
	if (!bitrate_bps)
		bitrate_bps = fmtp_opus_bitrate(options->rate_hz);
	options->bitrate_bps = least_said(bitrate_bps, far->max_average_bitrate_bps);
	options->complexity = policy->complexity;
	options->fec = policy->fec && far->use_inband_fec;
	options->dtx = policy->dtx && far->use_dtx;
	options->cbr = far->cbr;
	options->loss_percent = options->fec ? policy->loss_percent : 0;
}
