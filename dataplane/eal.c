// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_memory.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_malloc.h>

#include "eal.h"
#include "kg_log.h"
#include "nic.h"

#define LEG_BYTES 2048 // more than a leg takes
#define BASE_MB 64     // rings, drivers
#define NIC_MB 48      // packet buffers of one nic's queue where each takes a page of 4 kB
#define HUGE_NIC_MB 32 // the same in hugepages
#define FEW_NICS 3     // with hugepages what more nics need is taken when they need it
#define MOST_CHOSEN 4  // relay lcores, where the configuration names none

static int relay_cpus_chosen[KG_MEDIA_LCORES];
static FILE *own_stderr;

// --- the log --------------------------------------------------------------------------------------------------------

static enum kg_log_level level_of(int rte_level)
{
	if (rte_level <= 0 || rte_level > (int)RTE_LOG_NOTICE)
		return KG_LOG_DEBUG;
	if (rte_level <= (int)RTE_LOG_ERR)
		return KG_LOG_ERROR;
	return rte_level == (int)RTE_LOG_WARNING ? KG_LOG_WARN : KG_LOG_DEBUG;
}

// Warnings that warn of nothing: we chose the pages that there are, and have no second process.
static bool is_noise(const char *data, size_t length)
{
	static const char *const noise[] = {
		"EAL: No free ", "EAL: No available ", "rte_pmd_memif_probe(): Failed to register mp action"};

	for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++)
		if (length > strlen(noise[i]) && strncmp(data, noise[i], strlen(noise[i])) == 0)
			return true;
	return false;
}

static ssize_t log_write(void *cookie, const char *data, size_t size)
{
	enum kg_log_level level = level_of(rte_log_cur_msg_loglevel());
	FILE *now = stderr;
	size_t length = size;

	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	if (own_stderr)
		stderr = own_stderr;
	if (length)
		kg_log(level == KG_LOG_WARN && is_noise(data, length) ? KG_LOG_DEBUG : level, "dpdk", "%.*s",
			(int)length, data);
	stderr = now;
	return (ssize_t)size;
}

static FILE *log_stream(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});

	if (stream)
		setvbuf(stream, NULL, _IOLBF, 1024);
	return stream;
}

// --- the machine ----------------------------------------------------------------------------------------------------

static unsigned long free_huge_mb(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned long pages = 0;

	if (file) {
		if (fscanf(file, "%lu", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages * 2;
}

// Ordinary pages are reserved once and for all, and cost nothing until they are used: enough for every nic that there
// may be, on a small machine for a few.
static unsigned long ordinary_mb(unsigned queues)
{
	unsigned long half = (unsigned long)sysconf(_SC_PHYS_PAGES) / 2 * (unsigned long)sysconf(_SC_PAGESIZE) >> 20;
	unsigned long most = BASE_MB + (KG_MEDIA_NICS * queues + 1) * NIC_MB;
	unsigned long least = BASE_MB + (FEW_NICS * queues + 1) * NIC_MB;

	if (half < least)
		return least;
	return half < most ? half : most;
}

// Write CPUs as "0-3,5" (of any length: an EAL list of ranges is short). Returns: the last one, or -1.
static int list_cpus(const cpu_set_t *set, char *out, size_t size)
{
	int last = -1;

	out[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		size_t length = strlen(out);
		int first = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		snprintf(out + length, size - length, first == cpu ? "%s%d" : "%s%d-%d", length ? "," : "", first, cpu);
		last = cpu;
	}
	return last;
}

static int check_cpu(const cpu_set_t *set, const char *what, int cpu, const char *all, char *err)
{
	if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, set))
		return 0;
	snprintf(
		err, KG_MEDIA_ERR, "%s: CPU %d is none that this process may use: write one of %.100s", what, cpu, all);
	return -EINVAL;
}

// One relay lcore for eight CPUs, from the last one downwards: a relay lcore carries tens of thousands of calls, and an
// interface must have as many queues.
static void choose_relays(const cpu_set_t *set, int last, unsigned *count)
{
	unsigned wanted = (unsigned)CPU_COUNT(set) / 8;

	wanted = wanted < 1 ? 1 : wanted > MOST_CHOSEN ? MOST_CHOSEN : wanted;
	for (*count = 0; *count < wanted && last >= 0; last--)
		if (CPU_ISSET(last, set))
			relay_cpus_chosen[(*count)++] = last;
}

// lcore 0 is the calling thread, on every CPU that it may use unless it is given one: EAL binds it to what it is told
// here, and so gives back what it had.
static int choose_cpus(
	int control_cpu, const int *relay_cpus, unsigned *relay_count, char *lcores, size_t size, char *err)
{
	char all[2048], control[16];
	cpu_set_t set;
	int last, error = 0;
	size_t length;

	if (sched_getaffinity(0, sizeof(set), &set) != 0) {
		snprintf(err, KG_MEDIA_ERR, "the CPUs of this process cannot be read: %s", strerror(errno));
		return -EIO;
	}
	last = list_cpus(&set, all, sizeof(all));
	if (*relay_count == 0)
		choose_relays(&set, last, relay_count);
	else
		memcpy(relay_cpus_chosen, relay_cpus, *relay_count * sizeof(*relay_cpus));
	for (unsigned i = 0; i < *relay_count && !error; i++)
		error = check_cpu(&set, "lcores.relay", relay_cpus_chosen[i], all, err);
	if (!error && control_cpu >= 0)
		error = check_cpu(&set, "the control thread", control_cpu, all, err);
	snprintf(control, sizeof(control), "%d", control_cpu);
	snprintf(lcores, size, "0@(%s)", control_cpu >= 0 ? control : all);
	for (unsigned i = 0; i < *relay_count; i++) {
		length = strlen(lcores);
		snprintf(lcores + length, size - length, ",%u@%d", eal_relay_lcore(i), relay_cpus_chosen[i]);
	}
	return error;
}

// --- start and stop -------------------------------------------------------------------------------------------------

static const char *cpus_text(unsigned count, char *out, size_t size)
{
	*out = '\0';
	for (unsigned i = 0; i < count; i++) {
		size_t length = strlen(out);

		snprintf(out + length, size - length, "%s%d", i ? ", " : "", relay_cpus_chosen[i]);
	}
	return out;
}

// EAL writes to stderr too where it despairs: that becomes ours as well, but for what our own log writes there.
static int init_quietly(int count, char **args)
{
	FILE *stream = log_stream();
	int got;

	if (!stream)
		return rte_eal_init(count, args);
	rte_openlog_stream(stream);
	own_stderr = stderr;
	stderr = stream;
	got = rte_eal_init(count, args);
	stderr = own_stderr;
	return got;
}

int eal_start(int control_cpu, const int *relay_cpus, unsigned *relay_count, uint32_t max_legs,
	const char *telemetry_dir, char err[KG_MEDIA_ERR])
{
	char prefix[64], lcores[2400], memory[16], cpus[128];
	unsigned long legs_mb = (unsigned long)max_legs * LEG_BYTES / (1024 * 1024);
	unsigned long huge_mb, need_mb;
	char *args[20];
	int n = 0, error = choose_cpus(control_cpu, relay_cpus, relay_count, lcores, sizeof(lcores), err);
	bool huge;

	if (!error)
		error = eal_telemetry_prepare(telemetry_dir, err);
	if (error)
		return error;
	huge_mb = BASE_MB + FEW_NICS * *relay_count * HUGE_NIC_MB + legs_mb;
	huge = free_huge_mb() >= huge_mb;
	need_mb = huge ? huge_mb : ordinary_mb(*relay_count);
	snprintf(prefix, sizeof(prefix), "kedge-%d", (int)getpid());
	snprintf(memory, sizeof(memory), "%lu", need_mb);
	args[n++] = "kedged";
	args[n++] = "--file-prefix";
	args[n++] = prefix;
	args[n++] = "-a"; // of the PCI devices none, but those that nic_open asks for
	args[n++] = "pci:ffff:ff:1f.7";
	if (!telemetry_dir)
		args[n++] = "--no-telemetry";
	args[n++] = "--no-shconf";
	args[n++] = "--lcores";
	args[n++] = lcores;
	args[n++] = "--iova-mode=va"; // nobody does DMA, and AF_XDP wants packet buffers in one piece
	args[n++] = "-m";
	args[n++] = memory;
	args[n++] = huge ? "--in-memory" : "--no-huge";
	if (huge)
		args[n++] = "--single-file-segments"; // virtio-user shares at most eight files
	args[n] = NULL;
	if (init_quietly(n, args) < 0) {
		snprintf(err, KG_MEDIA_ERR,
			"DPDK did not start (%s): the log lines of area dpdk above say why. It was to reserve %lu MB "
			"of %s: give the machine that much, or lower media.max_calls",
			rte_strerror(rte_errno), need_mb, huge ? "hugepages" : "memory");
		return -EIO;
	}
	eal_telemetry_started(telemetry_dir != NULL);
	if (huge)
		kg_info("media", "relay lcore%s on CPU %s, packet buffers in hugepages", *relay_count > 1 ? "s" : "",
			cpus_text(*relay_count, cpus, sizeof(cpus)));
	else
		kg_info("media",
			"relay lcore%s on CPU %s, packet buffers in ordinary pages; with hugepages it is faster: "
			"`sysctl "
			"vm.nr_hugepages=%lu`",
			*relay_count > 1 ? "s" : "", cpus_text(*relay_count, cpus, sizeof(cpus)), huge_mb / 2 + 1);
	return 0;
}

void eal_stop(void)
{
	if (nic_left_open() == 0)
		rte_eal_cleanup();
	eal_telemetry_stop();
}

unsigned eal_relay_lcore(unsigned number)
{
	return 1 + number; // 0 is the control thread
}

int eal_relay_cpu(unsigned number)
{
	return relay_cpus_chosen[number];
}

// --- tables ---------------------------------------------------------------------------------------------------------

// EAL's own ordinary pages are 4 kB ones for ever: of what is read in random order each read would cost a page walk
// too.
static void *map_large(size_t bytes)
{
	const size_t large = 2u << 20;
	size_t room = (bytes + large - 1) / large * large + large;
	uint8_t *all = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before = all == MAP_FAILED ? 0 : (large - (uintptr_t)all % large) % large;

	if (all == MAP_FAILED)
		return NULL;
	if (before)
		munmap(all, before);
	munmap(all + before + room - large, large - before);
	madvise(all + before, room - large, MADV_HUGEPAGE);
	madvise(all + before, room - large, MADV_DONTDUMP);
	return all + before;
}

void *eal_table_create(size_t bytes, int socket)
{
	if (rte_eal_has_hugepages())
		return rte_zmalloc_socket("table", bytes, 64, socket);
	return map_large(bytes); // on the node of whoever touches it first: its lcore, by the first packet
}

void eal_table_destroy(void *table, size_t bytes)
{
	const size_t large = 2u << 20;

	if (rte_eal_has_hugepages())
		rte_free(table);
	else if (table)
		munmap(table, (bytes + large - 1) / large * large);
}

// --- core dumps -----------------------------------------------------------------------------------------------------

static int leave_out(const struct rte_memseg_list *list, const struct rte_memseg *segment, void *arg)
{
	madvise(segment->addr, segment->len, MADV_DONTDUMP);
	return 0;
}

// The drivers' rings are mapped sockets.
static void leave_out_rings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "socket:[") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			madvise((void *)from, to - from, MADV_DONTDUMP);
	if (maps)
		fclose(maps);
}

void kg_media_keep_out_of_cores(void)
{
	rte_memseg_walk(leave_out, NULL);
	leave_out_rings();
}
