// SPDX-License-Identifier: BSD-3-Clause
// bench_transcode DIRECTORY [CALLS [CASE]]: what a two-way call costs a dsp lcore, packets in to packets out, on a clock of
// the bench's; and beside it, in turn, the codecs alone: the same descriptors, rates and number of states, nothing
// between them. Prints lines of JSON. DIRECTORY/RATE.raw is speech.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "dsp.h"
#include "hand.h"
#include "leg.h"
#include "rtp.h"

enum { FRAMES = 250, ROUNDS = 11, TICKS = 25, CALLS_MOST = 500, RING = 4096 };

static const struct pair {
	const char *name, *a, *b;
	uint8_t complexity; // Opus; 0: our default
} pairs[] = {
	{"PCMU-G722", "PCMU", "G722", 0},
	{"PCMU-GSM", "PCMU", "GSM", 0},
	{"PCMU-G726-32", "PCMU", "G726-32", 0},
	{"PCMU-L16", "PCMU", "L16", 0},
	{"PCMU-opus, complexity 5", "PCMU", "opus", 0},
	{"PCMU-opus, complexity 10", "PCMU", "opus", 10},
	{"PCMU-opus, complexity 0", "PCMU", "opus", CODEC_COMPLEXITY_LEAST},
	{"G722-opus, complexity 5", "G722", "opus", 0},
	{"PCMU-PCMA, ptimes of 20 and 40 ms", "PCMU", "PCMA", 0},
};

static struct dsp *dsp;
static struct rte_mempool *pool;
static unsigned calls = 200;
static const char *directory;

static void fail(const char *what)
{
	fprintf(stderr, "bench_transcode: %s\n", what);
	exit(1);
}

static const struct codec *find(const char *name)
{
	for (unsigned i = 0; codec_table[i]; i++)
		if (strcmp(codec_table[i]->name, name) == 0)
			return codec_table[i];
	fail(name);
	return NULL;
}

// --- speech
// -----------------------------------------------------------------------------------------------------------

struct coded {
	uint8_t payload[FRAMES][CODEC_PAYLOAD_MAX_BYTES];
	unsigned length[FRAMES];
};
static struct coded coded[2]; // as a and b send it
static int16_t speech[FRAMES * 960];

static void speech_read(uint32_t rate_hz)
{
	size_t count = FRAMES * rate_hz / 50;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%u.raw", directory, rate_hz);
	file = fopen(path, "rb");
	if (!file || fread(speech, sizeof(*speech), count, file) != count)
		fail("too little speech in its directory");
	fclose(file);
}

static void *state(uint32_t bytes)
{
	void *made = aligned_alloc(64, (bytes + 127) / 64 * 64);

	if (!made)
		fail("no memory");
	return memset(made, 0, (bytes + 127) / 64 * 64);
}

static void speech_code(const struct codec *codec, struct coded *out)
{
	const struct codec_options options = {.rate_hz = codec->rates_hz[0], .ptime_ms = 20};
	void *encoder = state(codec->encoder_bytes);
	uint32_t frame = options.rate_hz / 50;

	speech_read(options.rate_hz);
	if (codec->encoder_init(encoder, &options))
		fail("an encoder does not open");
	for (unsigned i = 0; i < FRAMES; i++) {
		int bytes = codec->encode(encoder, speech + i * frame, frame, out->payload[i], CODEC_PAYLOAD_MAX_BYTES);

		if (bytes <= 0)
			fail("an encoder does not encode");
		out->length[i] = (unsigned)bytes;
	}
	free(encoder);
}

// --- ways
// -------------------------------------------------------------------------------------------------------------

static void command(kg_leg_id leg, struct dsp_way *way, uint64_t now_us)
{
	struct dsp_command one = {.leg = leg, .way = way};

	if (rte_ring_sp_enqueue_elem(dsp->commands, &one, sizeof(one)) != 0)
		fail("the ring of commands is full");
	dsp_turn(dsp, now_us);
	if (rte_ring_sc_dequeue_elem(dsp->events, &one, sizeof(one)) != 0)
		fail("a command was not carried out");
	if (one.way) {
		transcode_fini(&one.way->transcode);
		free(one.way);
	}
}

static struct transcode_side side_of(const struct codec *codec, uint8_t complexity, uint8_t ptime_ms)
{
	return (struct transcode_side){.codec = codec,
		.payload_type = 96,
		.event_type = TRANSCODE_NO_TYPE,
		.options = {.complexity = complexity},
		.ptime_ms = ptime_ms};
}

static void way_make(const struct pair *pair, kg_leg_id from, kg_leg_id to, bool back, uint64_t now_us)
{
	uint8_t ptime = strstr(pair->name, "40") && !back ? 40 : 20;
	struct transcode_config config = {
		.in = side_of(find(back ? pair->b : pair->a), 0, 20),
		.out = side_of(find(back ? pair->a : pair->b), pair->complexity, ptime),
	};
	struct dsp_way *way = state((uint32_t)(sizeof(*way) + transcode_bytes(&config)));

	*way = (struct dsp_way){.from = from, .to = to, .ptime_ms = ptime};
	if (transcode_init(&way->transcode, &config))
		fail("a way does not open");
	command(from, way, now_us);
}

// --- the whole way
// ----------------------------------------------------------------------------------------------------

static uint64_t spent, made;

static void turn(uint64_t now_us)
{
	struct rte_mbuf *packets[DSP_BURST];
	uint64_t begin = rte_rdtsc();
	unsigned n;

	dsp_turn(dsp, now_us);
	spent += rte_rdtsc() - begin;
	while ((n = rte_ring_sc_dequeue_burst(dsp->out[0], (void **)packets, DSP_BURST, NULL)) > 0) {
		for (unsigned i = 0; i < n; i++)
			made += rte_pktmbuf_data_len(packets[i]) > 12 &&
				rtp_kind(rte_pktmbuf_mtod(packets[i], uint8_t *), rte_pktmbuf_data_len(packets[i])) ==
					RTP_KIND_RTP;
		rte_pktmbuf_free_bulk(packets, n);
	}
}

// A packet for each way, spread over the 20 ms as real ones are, and their ticks.
static void pass_20_ms(const struct pair *pair, uint64_t *now_us, uint64_t number)
{
	static const unsigned milliseconds = 20;
	const struct codec *codecs[2] = {find(pair->a), find(pair->b)};

	for (unsigned ms = 0; ms < milliseconds; ms++) {
		*now_us += 1000;
		for (unsigned way = ms; way < 2 * calls; way += milliseconds) {
			const struct coded *from = &coded[way & 1];
			unsigned frame = (unsigned)((number + way * 7) % FRAMES);
			struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
			uint8_t *rtp;

			if (!mbuf)
				fail("no packet buffers");
			rtp = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(12 + from->length[frame]));
			rtp[0] = 0x80;
			rtp[1] = 96;
			rtp_put16(rtp + 2, (uint16_t)number);
			rtp_put32(rtp + 4, (uint32_t)(number * codecs[way & 1]->clock_hz / 50));
			rtp_put32(rtp + 8, way);
			memcpy(rtp + 12, from->payload[frame], from->length[frame]);
			hand_write(mbuf, &(struct hand){.kind = HAND_OBSERVED, .from = way + 1});
			if (rte_ring_sp_enqueue(dsp->in[0], mbuf) != 0)
				fail("the ring is full");
		}
		turn(*now_us);
	}
}

// --- the codecs alone
// -------------------------------------------------------------------------------------------------

struct ends {
	const struct codec *in, *out;
	uint32_t in_frame, out_frame;
	void *decoder[CALLS_MOST], *encoder[CALLS_MOST];
};

static void ends_make(struct ends *ends, const struct codec *in, const struct codec *out, uint8_t complexity)
{
	struct codec_options decode = {0}, encode = {.complexity = complexity, .ptime_ms = 20};

	ends->in = in;
	ends->out = out;
	transcode_rates(in, out, 0, &decode.rate_hz, &encode.rate_hz);
	ends->in_frame = decode.rate_hz / 50;
	ends->out_frame = encode.rate_hz / 50;
	for (unsigned i = 0; i < calls; i++) {
		ends->decoder[i] = state(in->decoder_bytes);
		ends->encoder[i] = state(out->encoder_bytes);
		if (in->decoder_init(ends->decoder[i], &decode) || out->encoder_init(ends->encoder[i], &encode))
			fail("a codec does not open");
	}
}

static void ends_free(struct ends *ends)
{
	for (unsigned i = 0; i < calls; i++) {
		free(ends->decoder[i]);
		free(ends->encoder[i]);
	}
}

// Returns: cycles for 20 ms of all calls, one direction.
static uint64_t ends_run(struct ends *ends, const struct coded *from, uint64_t number)
{
	static int16_t heard[CODEC_FRAME_MAX_SAMPLES];
	static uint8_t out[CODEC_PAYLOAD_MAX_BYTES];
	uint64_t begin = rte_rdtsc();

	for (unsigned i = 0; i < calls; i++) {
		unsigned frame = (unsigned)((number + i * 14) % FRAMES);

		if (ends->in->decode(ends->decoder[i], from->payload[frame], from->length[frame], heard,
			    CODEC_FRAME_MAX_SAMPLES) != (int)ends->in_frame ||
			ends->out->encode(ends->encoder[i], heard, ends->out_frame, out, sizeof(out)) < 0)
			fail("a codec fails");
	}
	return rte_rdtsc() - begin;
}

// --- measuring
// --------------------------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct pair *pair)
{
	static struct ends there, back;
	static uint64_t now_us = 1000000000;
	const struct codec *a = find(pair->a), *b = find(pair->b);
	double whole[ROUNDS], alone[ROUNDS], hz = (double)rte_get_tsc_hz();
	uint64_t number = 1000, first;

	speech_code(a, &coded[0]);
	speech_code(b, &coded[1]);
	dsp->done_ms = now_us / 1000;
	for (unsigned i = 0; i < calls; i++) {
		way_make(pair, 2 * i + 1, 2 * i + 2, false, now_us);
		way_make(pair, 2 * i + 2, 2 * i + 1, true, now_us);
	}
	ends_make(&there, a, b, pair->complexity);
	ends_make(&back, b, a, pair->complexity);
	for (unsigned i = 0; i < 2 * TICKS; i++) // until all jitter buffers are settled
		pass_20_ms(pair, &now_us, number++);
	made = 0;
	first = number;
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t cycles = 0;

		spent = 0;
		for (unsigned i = 0; i < TICKS; i++)
			pass_20_ms(pair, &now_us, number++);
		for (unsigned i = 0; i < TICKS; i++)
			cycles += ends_run(&there, &coded[0], number + i) + ends_run(&back, &coded[1], number + i);
		whole[round] = (double)spent / TICKS / calls / hz * 1e6;
		alone[round] = (double)cycles / TICKS / calls / hz * 1e6;
	}
	qsort(whole, ROUNDS, sizeof(*whole), by_value);
	qsort(alone, ROUNDS, sizeof(*alone), by_value);
	printf("{\"case\": \"%s\", \"us_per_call\": %.2f, \"codecs_us_per_call\": %.2f, \"calls_per_core\": %.0f, "
	       "\"ceiling_calls\": "
	       "%.0f, \"percent_of_ceiling\": %.1f, \"packets_made\": %.3f}\n",
		pair->name, whole[ROUNDS / 2], alone[ROUNDS / 2], 20000 / whole[ROUNDS / 2], 20000 / alone[ROUNDS / 2],
		100 * alone[ROUNDS / 2] / whole[ROUNDS / 2], (double)made / (double)(number - first) / (2.0 * calls));
	fflush(stdout);
	for (unsigned i = 0; i < 2 * calls; i++)
		command(i + 1, NULL, now_us);
	ends_free(&there);
	ends_free(&back);
}

static struct rte_ring *ring(const char *name, unsigned element)
{
	struct rte_ring *one = rte_ring_create_elem(name, element, RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	if (!one)
		fail("no ring");
	return one;
}

int main(int argc, char **argv)
{
	char *eal[] = {"bench", "--no-pci", "--no-telemetry", "--no-shconf", "--lcores", "0@1", "--log-level", "1",
		"-m", "200", "--no-huge"};
	const char *failed = NULL;

	if (argc < 2)
		fail("DIRECTORY [CALLS [CASE]]");
	directory = argv[1];
	calls = argc > 2 ? (unsigned)atoi(argv[2]) : calls;
	if (calls < 1 || calls > CALLS_MOST)
		fail("1 to 500 calls");
	if (rte_eal_init(11, eal) < 0 || codecs_init(&failed) != 0)
		fail("EAL or a codec did not start");
	pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	dsp = state(sizeof(*dsp));
	dsp->lcores = 1;
	dsp->leg_room = 2 * CALLS_MOST + 1;
	dsp->ways = calloc(dsp->leg_room, sizeof(struct dsp_way *));
	dsp->commands = ring("commands", sizeof(struct dsp_command));
	dsp->events = ring("events", sizeof(struct dsp_command));
	dsp->in[0] = ring("in", sizeof(void *));
	dsp->out[0] = ring("out", sizeof(void *));
	dsp->pools[0] = pool;
	if (!pool || !dsp->ways)
		fail("no memory");
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (argc < 4 || strstr(pairs[i].name, argv[3]))
			measure(&pairs[i]);
	return 0;
}
