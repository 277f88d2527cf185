// SPDX-License-Identifier: BSD-3-Clause

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/filter.h>
#include <linux/if_packet.h>

#include "kg_log.h"
#include "nic_link.h"
#include "nic_packet.h"
#include "nic_ports.h"

#define PORTS 65536
#define DRIVER_SOCKETS 4

// The sockets that hold one address's ports.
struct held {
	struct kg_addr addr; // family 0: free
	unsigned count;
	int *fds; // by port; 0: none
};

struct nic_packet {
	char interface[IF_NAMESIZE];
	int ifindex;
	struct bpf_object *object;
	int program;
	int sockets[DRIVER_SOCKETS]; // the driver's own, open as long as its port
	unsigned socket_count;
	uint64_t missed;
	bool told; // that ports cannot be held
	struct nic_ports *ports;
	struct held held[2 * KG_MEDIA_NIC_ADDRS]; // of those too that went away under live ports
};

// --- opening --------------------------------------------------------------------------------------------------------

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	kg_debug("nic", "%s", line);
	return 0;
}

static int load_filter(struct nic_packet *packet)
{
	struct bpf_program *program;
	int addrs, live;

	libbpf_set_print(print);
	packet->object = bpf_object__open_mem(nic_packet_program, nic_packet_program_bytes, NULL);
	if (!packet->object)
		return -errno;
	if (bpf_object__load(packet->object) != 0)
		return -errno;
	program = bpf_object__find_program_by_name(packet->object, "kedge_packet");
	packet->program = program ? bpf_program__fd(program) : -1;
	addrs = dup(bpf_object__find_map_fd_by_name(packet->object, "kedge_addrs"));
	live = dup(bpf_object__find_map_fd_by_name(packet->object, "kedge_live"));
	packet->ports = nic_ports_create(addrs, live);
	return packet->program >= 0 && packet->ports ? 0 : -ENOMEM;
}

// A descriptor for each port of each call: as many as we may have.
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int nic_packet_take(
	const char *interface, struct nic_packet **out, char *devargs, unsigned size, char err[KG_MEDIA_ERR])
{
	struct nic_packet *packet = calloc(1, sizeof(*packet));
	unsigned queues = 1;
	bool apart;
	int error;

	if (!packet) {
		snprintf(err, KG_MEDIA_ERR, "no memory for interface %s", interface);
		return -ENOMEM;
	}
	snprintf(packet->interface, sizeof(packet->interface), "%.15s", interface);
	error = nic_link_check(interface, &queues, &apart, &packet->ifindex, err);
	if (!error) {
		error = load_filter(packet);
		if (error)
			snprintf(err, KG_MEDIA_ERR, "af_packet:%s: the kernel does not take the packet filter: %s",
				interface, strerror(-error));
	}
	if (error) {
		nic_packet_give(packet);
		return error;
	}
	raise_descriptors();
	snprintf(devargs, size, "iface=%s,blocksz=65536,framesz=2048,framecnt=4096", interface);
	*out = packet;
	return 0;
}

// Is this descriptor a packet socket on our interface?
static bool is_drivers(const struct nic_packet *packet, int fd)
{
	struct sockaddr_ll bound = {0};
	socklen_t length = sizeof(bound);

	return getsockname(fd, (struct sockaddr *)&bound, &length) == 0 && bound.sll_family == AF_PACKET &&
	       bound.sll_ifindex == packet->ifindex;
}

// The driver keeps its sockets to itself; they are among this process's descriptors.
int nic_packet_attach(struct nic_packet *packet, char err[KG_MEDIA_ERR])
{
	DIR *directory = opendir("/proc/self/fd");
	int error = 0;

	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		int fd = atoi(entry->d_name);

		if (packet->socket_count == DRIVER_SOCKETS || !is_drivers(packet, fd))
			continue;
		packet->sockets[packet->socket_count++] = fd;
		if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &packet->program, sizeof(packet->program)) != 0)
			error = -errno;
	}
	if (directory)
		closedir(directory);
	if (packet->socket_count && !error)
		return 0;
	snprintf(err, KG_MEDIA_ERR, "af_packet:%s: the packet filter cannot be put on the driver's socket: %s",
		packet->interface, error ? strerror(-error) : "/proc/self/fd does not show it: is /proc mounted?");
	return error ? error : -EIO;
}

uint64_t nic_packet_missed(struct nic_packet *packet)
{
	struct tpacket_stats stats;

	for (unsigned i = 0; i < packet->socket_count; i++) {
		socklen_t length = sizeof(stats);

		if (getsockopt(packet->sockets[i], SOL_PACKET, PACKET_STATISTICS, &stats, &length) == 0)
			packet->missed += stats.tp_drops; // since it was last asked
	}
	return packet->missed;
}

void nic_packet_give(struct nic_packet *packet)
{
	if (!packet)
		return;
	for (unsigned i = 0; i < sizeof(packet->held) / sizeof(*packet->held); i++) {
		for (unsigned port = 0; packet->held[i].count && port < PORTS; port++)
			if (packet->held[i].fds[port])
				close(packet->held[i].fds[port]);
		free(packet->held[i].fds);
	}
	nic_ports_destroy(packet->ports);
	if (packet->object)
		bpf_object__close(packet->object);
	free(packet);
}

struct nic_ports *nic_packet_ports(const struct nic_packet *packet)
{
	return packet->ports;
}

// --- holding ports --------------------------------------------------------------------------------------------------

static struct held *held_find(struct nic_packet *packet, const struct kg_addr *local, bool make)
{
	struct held *free_one = NULL;

	for (unsigned i = 0; i < sizeof(packet->held) / sizeof(*packet->held); i++) {
		struct held *held = &packet->held[i];

		if (held->addr.family && kg_addr_same_ip(&held->addr, local))
			return held;
		if (!held->count)
			free_one = held;
	}
	if (!make || !free_one)
		return NULL;
	if (!free_one->fds)
		free_one->fds = calloc(PORTS, sizeof(*free_one->fds));
	if (!free_one->fds)
		return NULL;
	free_one->addr = *local;
	return free_one;
}

static int bind_to(int fd, const struct kg_addr *local)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(local->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(local->port)};

	memcpy(&in.sin_addr, local->ip, 4);
	memcpy(&in6.sin6_addr, local->ip, 16);
	if (local->family == 4)
		return bind(fd, (struct sockaddr *)&in, sizeof(in));
	return bind(fd, (struct sockaddr *)&in6, sizeof(in6));
}

// Returns: a socket that takes the port's packets from the kernel and drops them, or -errno.
static int hold(const struct kg_addr *local)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = {1, &nothing};
	int fd = socket(local->family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0 && bind_to(fd, local) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

// One sentence for a run of failures; a port that another program has is told by its error alone.
static void complain(struct nic_packet *packet, const struct kg_addr *local, int error)
{
	const char *what = "calls fail until it can";
	char text[KG_ADDR_STRLEN];

	if (error == -EADDRINUSE || packet->told)
		return;
	packet->told = true;
	if (error == -EMFILE)
		what = "raise the limit of open files (LimitNOFILE= in a systemd unit, ulimit -n in a shell): each "
		       "media "
		       "port of an af_packet nic needs one";
	else if (error == -ENFILE)
		what = "raise the system's limit of open files (`sysctl -w fs.file-max=N`): each media port of an "
		       "af_packet nic needs one";
	else if (error == -EADDRNOTAVAIL)
		what = "the address is not the host's (yet)";
	kg_error("nic", "af_packet:%s: port %s cannot be held (%s): %s", packet->interface,
		kg_addr_text(local, text, sizeof(text)), strerror(-error), what);
}

int nic_packet_hold(struct nic_packet *packet, const struct kg_addr *local, bool on)
{
	struct held *held = held_find(packet, local, on);
	int fd;

	if (!held)
		return on ? -ENOMEM : 0;
	if (on == (held->fds[local->port] != 0))
		return 0;
	if (!on) {
		close(held->fds[local->port]);
		held->fds[local->port] = 0;
		held->count--;
		return 0;
	}
	fd = hold(local);
	if (fd < 0) {
		complain(packet, local, fd);
		return fd;
	}
	packet->told = false;
	held->fds[local->port] = fd;
	held->count++;
	return 0;
}
