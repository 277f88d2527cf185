// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "pcapng.h"

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, STATISTICS = 5, PACKET = 6 };
enum { OPTION_END = 0, SHB_USERAPPL = 4, IF_NAME = 2, IF_TSRESOL = 9, EPB_FLAGS = 2, ISB_IFRECV = 4, ISB_IFDROP = 5 };

struct writer {
	uint8_t *at;
	uint8_t *begin;
};

static void put32(struct writer *writer, uint32_t value)
{
	memcpy(writer->at, &value, 4);
	writer->at += 4;
}

static void put16(struct writer *writer, uint16_t value)
{
	memcpy(writer->at, &value, 2);
	writer->at += 2;
}

static void put_padded(struct writer *writer, const void *data, size_t length)
{
	memcpy(writer->at, data, length);
	writer->at += length;
	while ((writer->at - writer->begin) % 4)
		*writer->at++ = 0;
}

static void option(struct writer *writer, uint16_t code, const void *data, size_t length)
{
	put16(writer, code);
	put16(writer, (uint16_t)length);
	put_padded(writer, data, length);
}

static struct writer block_begin(uint8_t *out, uint32_t type)
{
	struct writer writer = {out, out};

	put32(&writer, type);
	put32(&writer, 0); // its length, once it is known
	return writer;
}

static size_t block_end(struct writer *writer)
{
	uint32_t length;

	option(writer, OPTION_END, "", 0);
	length = (uint32_t)(writer->at - writer->begin) + 4;
	put32(writer, length);
	memcpy(writer->begin + 4, &length, 4);
	return length;
}

static void put_time(struct writer *writer, uint64_t time_ns)
{
	put32(writer, (uint32_t)(time_ns >> 32));
	put32(writer, (uint32_t)time_ns);
}

size_t pcapng_begin(uint8_t out[2 * PCAPNG_ROOM], const char *program, const char *interface, uint32_t snap)
{
	struct writer writer = block_begin(out, SECTION);
	size_t length;

	put32(&writer, 0x1a2b3c4d);
	put16(&writer, 1); // version 1.0
	put16(&writer, 0);
	put32(&writer, UINT32_MAX); // the section's length is not known
	put32(&writer, UINT32_MAX);
	option(&writer, SHB_USERAPPL, program, strnlen(program, 64));
	length = block_end(&writer);
	writer = block_begin(out + length, INTERFACE);
	put16(&writer, 1); // Ethernet
	put16(&writer, 0);
	put32(&writer, snap);
	option(&writer, IF_NAME, interface, strnlen(interface, 64));
	option(&writer, IF_TSRESOL, "\x09", 1);
	return length + block_end(&writer);
}

size_t pcapng_packet(uint8_t *out, uint64_t time_ns, const void *data, uint32_t copied, uint32_t length, bool outgoing)
{
	struct writer writer = block_begin(out, PACKET);
	const uint32_t flags = outgoing ? 2 : 1;

	put32(&writer, 0); // the interface
	put_time(&writer, time_ns);
	put32(&writer, copied);
	put32(&writer, length);
	put_padded(&writer, data, copied);
	option(&writer, EPB_FLAGS, &flags, sizeof(flags));
	return block_end(&writer);
}

size_t pcapng_end(uint8_t out[PCAPNG_ROOM], uint64_t time_ns, uint64_t received, uint64_t lost)
{
	struct writer writer = block_begin(out, STATISTICS);

	put32(&writer, 0);
	put_time(&writer, time_ns);
	option(&writer, ISB_IFRECV, &received, sizeof(received));
	option(&writer, ISB_IFDROP, &lost, sizeof(lost));
	return block_end(&writer);
}
