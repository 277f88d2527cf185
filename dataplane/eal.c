// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "eal.h"
#include "kg_log.h"

#define BASE_MB 512    // packet buffers, rings, drivers
#define LEG_BYTES 2048 // more than a leg takes
#define RELAY_LCORE 1

static int relay_cpu_chosen;

// --- the log --------------------------------------------------------------------------------------------------------

static enum kg_log_level level_of(int rte_level)
{
	if (rte_level <= 0 || rte_level > (int)RTE_LOG_NOTICE)
		return KG_LOG_DEBUG;
	if (rte_level <= (int)RTE_LOG_ERR)
		return KG_LOG_ERROR;
	return rte_level == (int)RTE_LOG_WARNING ? KG_LOG_WARN : KG_LOG_DEBUG;
}

static ssize_t log_write(void *cookie, const char *data, size_t size)
{
	size_t length = size;

	while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r'))
		length--;
	if (length)
		kg_log(level_of(rte_log_cur_msg_loglevel()), "dpdk", "%.*s", (int)length, data);
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

// Write the allowed CPUs as "0,1,5". Returns: the last one, or -1.
static int allowed_cpus(char *out, size_t size)
{
	cpu_set_t set;
	int last = -1;

	out[0] = '\0';
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		size_t length = strlen(out);

		if (!CPU_ISSET(cpu, &set))
			continue;
		snprintf(out + length, size - length, "%s%d", length ? "," : "", cpu);
		last = cpu;
	}
	return last;
}

static int choose_cpus(int control_cpu, int relay_cpu, char *lcores, size_t size, char *err)
{
	char all[2048], control[16];
	int last = allowed_cpus(all, sizeof(all));
	cpu_set_t set;

	if (last < 0) {
		snprintf(err, KG_MEDIA_ERR, "the CPUs of this process cannot be read: %s", strerror(errno));
		return -EIO;
	}
	relay_cpu_chosen = relay_cpu >= 0 ? relay_cpu : last;
	sched_getaffinity(0, sizeof(set), &set);
	if (relay_cpu_chosen >= CPU_SETSIZE || !CPU_ISSET(relay_cpu_chosen, &set)) {
		snprintf(err, KG_MEDIA_ERR,
			"lcores.relay: CPU %d is not one that this process may use: write one of %.100s",
			relay_cpu_chosen, all);
		return -EINVAL;
	}
	snprintf(control, sizeof(control), "%d", control_cpu);
	snprintf(lcores, size, "0@(%s),%d@%d", control_cpu >= 0 ? control : all, RELAY_LCORE, relay_cpu_chosen);
	return 0;
}

// --- start and stop -------------------------------------------------------------------------------------------------

int eal_start(int control_cpu, int relay_cpu, uint32_t max_legs, char err[KG_MEDIA_ERR])
{
	char prefix[64], lcores[2200], memory[16];
	unsigned long need_mb = BASE_MB + (unsigned long)max_legs * LEG_BYTES / (1024 * 1024);
	bool huge = free_huge_mb() >= need_mb;
	char *args[16];
	int n = 0, error = choose_cpus(control_cpu, relay_cpu, lcores, sizeof(lcores), err);
	FILE *stream;

	if (error)
		return error;
	stream = log_stream();
	if (stream)
		rte_openlog_stream(stream);
	snprintf(prefix, sizeof(prefix), "kedge-%d", (int)getpid());
	snprintf(memory, sizeof(memory), "%lu", need_mb);
	args[n++] = "kedged";
	args[n++] = "--file-prefix";
	args[n++] = prefix;
	args[n++] = "--no-pci";
	args[n++] = "--no-telemetry";
	args[n++] = "--no-shconf";
	args[n++] = "--lcores";
	args[n++] = lcores;
	args[n++] = "-m";
	args[n++] = memory;
	if (huge) {
		args[n++] = "--in-memory";
	} else {
		args[n++] = "--no-huge";
		args[n++] = "--iova-mode=va";
	}
	args[n] = NULL;
	if (rte_eal_init(n, args) < 0) {
		snprintf(err, KG_MEDIA_ERR,
			"DPDK did not start (%s); the log lines of area dpdk above say why. kedged needs root and %lu "
			"MB of memory",
			rte_strerror(rte_errno), need_mb);
		return -EIO;
	}
	kg_info("media", "relay lcore on CPU %d, %lu MB of %s", relay_cpu_chosen, need_mb,
		huge ? "hugepages" : "ordinary pages (hugepages are faster: see docs/architecture.md)");
	return 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

unsigned eal_relay_lcore(void)
{
	return RELAY_LCORE;
}

int eal_relay_cpu(void)
{
	return relay_cpu_chosen;
}
