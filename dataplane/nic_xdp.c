// SPDX-License-Identifier: BSD-3-Clause

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>

#include "kg_log.h"
#include "nic_link.h"
#include "nic_ports.h"
#include "nic_xdp.h"
#include "xdp/kedge_xdp.h"

#define XDP_SOCKETS 1024            // of all nics
#define DISPATCHER "xdp_dispatcher" // libxdp's, in front of several programs

struct nic_xdp {
	char interface[IF_NAMESIZE];
	int ifindex;
	int lock; // an abstract socket: gone with the process, also after kill -9
	int file; // memfd, or a nameless file, with the ELF object
	unsigned queues;
	bool apart;      // DPDK sees one queue of them
	uint32_t our_id; // the program that hangs there by us; 0: none yet
	int our_fd;      // and a handle of it: to name it by its number takes rights that are dropped later
	int sockets;     // its map of sockets by queue
	struct nic_ports *ports;
	int sockets_before[XDP_SOCKETS]; // descriptors that were AF_XDP sockets before a port was opened
	unsigned before_count;
};

// What hangs on an interface.
struct hanging {
	uint32_t id;    // 0: nothing
	uint32_t flags; // how: XDP_FLAGS_*_MODE, which its removal has to name
	char name[BPF_OBJ_NAME_LEN];
};

static char kernel_said[128];

// --- libraries that print -------------------------------------------------------------------------------------------

static int bpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
	static const char kernel[] = "Kernel error message: ";
	char line[512], *said;

	if (level == LIBBPF_DEBUG)
		return 0; // each section and symbol of the program
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	said = strstr(line, kernel);
	if (said)
		snprintf(kernel_said, sizeof(kernel_said), "%.127s", said + strlen(kernel));
	kg_log(level == LIBBPF_WARN ? KG_LOG_WARN : KG_LOG_DEBUG, "xdp", "%s", line);
	return 0;
}

// Its warnings are of what we do without: a BPF file system, a dispatcher.
static int xdp_print(enum libxdp_print_level level, const char *format, va_list args)
{
	return level == LIBXDP_DEBUG ? 0 : bpf_print(LIBBPF_INFO, format, args);
}

const char *nic_xdp_reason(void)
{
	return kernel_said;
}

// --- who holds the interface ----------------------------------------------------------------------------------------

// The name is the interface's number in its network namespace: an interface has several names, and may change them.
static int lock_interface(struct nic_xdp *xdp, char *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "kedge-nic-%d", xdp->ifindex);
	int error = 0;

	xdp->lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (xdp->lock < 0 || bind(xdp->lock, (struct sockaddr *)&name,
				     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0)
		error = -errno;
	if (error == -EADDRINUSE)
		snprintf(err, KG_MEDIA_ERR,
			"another kedged that runs holds interface %s: stop it, or give this one another interface",
			xdp->interface);
	else if (error)
		snprintf(err, KG_MEDIA_ERR, "interface %s cannot be locked: %s", xdp->interface, strerror(-error));
	return error;
}

static void program_name(uint32_t id, char *name, size_t size)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	snprintf(name, size, "?");
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
		snprintf(name, size, "%s", info.name);
	close(fd);
}

// Returns: 0 or -errno.
static int attached(const struct nic_xdp *xdp, struct hanging *out)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int error = bpf_xdp_query(xdp->ifindex, 0, &query);

	memset(out, 0, sizeof(*out));
	if (error)
		return error;
	if (query.drv_prog_id)
		out->id = query.drv_prog_id, out->flags = XDP_FLAGS_DRV_MODE;
	else if (query.skb_prog_id)
		out->id = query.skb_prog_id, out->flags = XDP_FLAGS_SKB_MODE;
	else if (query.hw_prog_id)
		out->id = query.hw_prog_id, out->flags = XDP_FLAGS_HW_MODE;
	else
		out->id = query.prog_id; // a kernel that does not say how
	if (out->id)
		program_name(out->id, out->name, sizeof(out->name));
	return 0;
}

// The word of `ip link set dev IFACE WORD off` that takes it away: plain "xdp" leaves a generic program alone.
static const char *link_word(const struct hanging *hanging)
{
	if (hanging->flags == XDP_FLAGS_SKB_MODE)
		return "xdpgeneric";
	return hanging->flags == XDP_FLAGS_HW_MODE ? "xdpoffload" : "xdp";
}

// libxdp's dispatcher may stand in front of programs: is ours the only one behind it?
static bool dispatcher_is_ours(struct xdp_multiprog *dispatcher)
{
	struct xdp_program *program = NULL;
	bool any = false;

	while ((program = xdp_multiprog__next_prog(program, dispatcher))) {
		if (strcmp(xdp_program__name(program), KEDGE_XDP_NAME) != 0)
			return false;
		any = true;
	}
	return any;
}

// Detach what is ours by its name. Returns: 0, or -EBUSY where it is somebody else's, which is left alone, or -errno.
static int remove_ours(struct nic_xdp *xdp, const struct hanging *hanging)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, expected);
	struct xdp_multiprog *dispatcher;
	int error = -EBUSY;

	if (strcmp(hanging->name, KEDGE_XDP_NAME) == 0) {
		expected.old_prog_fd = bpf_prog_get_fd_by_id(hanging->id);
		error = bpf_xdp_detach(xdp->ifindex, XDP_FLAGS_REPLACE | hanging->flags, &expected);
		if (expected.old_prog_fd >= 0)
			close(expected.old_prog_fd);
	} else if (strcmp(hanging->name, DISPATCHER) == 0) {
		dispatcher = xdp_multiprog__get_from_ifindex(xdp->ifindex);
		if (libxdp_get_error(dispatcher))
			return -EBUSY; // what is behind it cannot be seen: then it is not known to be ours
		if (dispatcher_is_ours(dispatcher))
			error = xdp_multiprog__detach(dispatcher);
		xdp_multiprog__close(dispatcher);
	}
	return error;
}

static int clear_interface(struct nic_xdp *xdp, char *err)
{
	struct hanging hanging;
	int error = attached(xdp, &hanging);

	if (error) {
		snprintf(err, KG_MEDIA_ERR, "what is attached to interface %s cannot be read: %s", xdp->interface,
			strerror(-error));
		return error;
	}
	if (!hanging.id)
		return 0;
	error = remove_ours(xdp, &hanging);
	if (error == -EBUSY)
		snprintf(err, KG_MEDIA_ERR,
			"interface %s has an XDP program of somebody else: %s (id %u). It was left alone: take it away "
			"(`ip link set dev %s %s off`), or give kedged another interface",
			xdp->interface, hanging.name, hanging.id, xdp->interface, link_word(&hanging));
	else if (error)
		snprintf(err, KG_MEDIA_ERR,
			"interface %s has the XDP program of an engine that died (%s, id %u), and it cannot be "
			"detached (%s): try `ip link set dev %s %s off`",
			xdp->interface, hanging.name, hanging.id, strerror(-error), xdp->interface,
			link_word(&hanging));
	if (error)
		return error;
	kg_info("nic", "%s: replaced the XDP program that an engine that died had left (id %u)", xdp->interface,
		hanging.id);
	return 0;
}

// --- taking and giving ----------------------------------------------------------------------------------------------

static int write_program(struct nic_xdp *xdp, char *err)
{
	xdp->file = memfd_create("kedge_xdp", MFD_CLOEXEC);
	if (xdp->file < 0) // a container's system call filter may forbid them
		xdp->file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (xdp->file >= 0 &&
		write(xdp->file, nic_xdp_program, nic_xdp_program_bytes) == (ssize_t)nic_xdp_program_bytes)
		return 0;
	snprintf(err, KG_MEDIA_ERR, "the XDP program can be written neither to a memory file nor to /tmp: %s",
		strerror(errno));
	return -EIO;
}

int nic_xdp_take(const char *interface, unsigned *queues, struct nic_xdp **out, char err[KG_MEDIA_ERR])
{
	struct nic_xdp *xdp = calloc(1, sizeof(*xdp));
	int error;

	if (!xdp) {
		snprintf(err, KG_MEDIA_ERR, "no memory for interface %s", interface);
		return -ENOMEM;
	}
	xdp->lock = xdp->file = xdp->our_fd = xdp->sockets = -1;
	kernel_said[0] = '\0';
	libbpf_set_print(bpf_print);
	libxdp_set_print(xdp_print);
	snprintf(xdp->interface, sizeof(xdp->interface), "%.15s", interface);
	error = nic_link_check(interface, queues, &xdp->apart, &xdp->ifindex, err);
	if (!error)
		error = lock_interface(xdp, err);
	if (!error)
		error = clear_interface(xdp, err);
	if (!error)
		error = write_program(xdp, err);
	if (error) {
		xdp->ifindex = 0; // nothing of ours hangs there: detach nothing
		nic_xdp_give(xdp);
		return error;
	}
	xdp->queues = *queues;
	*out = xdp;
	return 0;
}

bool nic_xdp_apart(const struct nic_xdp *xdp)
{
	return xdp->apart;
}

void nic_xdp_devargs(const struct nic_xdp *xdp, unsigned queue, char *devargs, unsigned size)
{
	snprintf(devargs, size, "iface=%s,start_queue=%u,queue_count=%u,busy_budget=0,xdp_prog=/proc/self/fd/%d",
		xdp->interface, queue, xdp->apart ? 1 : xdp->queues, xdp->file);
}

static int find_map(const uint32_t *ids, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		struct bpf_map_info info = {0};
		uint32_t length = sizeof(info);
		int fd = bpf_map_get_fd_by_id(ids[i]);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && strcmp(info.name, name) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

int nic_xdp_find_maps(struct nic_xdp *xdp, char err[KG_MEDIA_ERR])
{
	uint32_t ids[16], length;
	int addrs = -1, live = -1;
	struct bpf_prog_info info = {.nr_map_ids = 16, .map_ids = (uintptr_t)ids};
	struct hanging hanging = {0};
	int fd = -1;

	length = sizeof(info);
	if (attached(xdp, &hanging) == 0 && strcmp(hanging.name, KEDGE_XDP_NAME) == 0)
		fd = bpf_prog_get_fd_by_id(hanging.id);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0) {
		xdp->our_id = hanging.id;
		addrs = find_map(ids, info.nr_map_ids, "kedge_addrs");
		live = find_map(ids, info.nr_map_ids, "kedge_live");
		xdp->sockets = find_map(ids, info.nr_map_ids, "xsks_map");
	}
	xdp->our_fd = fd;
	if (addrs >= 0 && live >= 0) {
		xdp->ports = nic_ports_create(addrs, live);
		if (xdp->ports)
			return 0;
		snprintf(err, KG_MEDIA_ERR, "no memory for the ports of %s", xdp->interface);
		return -ENOMEM;
	}
	if (addrs >= 0)
		close(addrs);
	if (live >= 0)
		close(live);
	snprintf(err, KG_MEDIA_ERR,
		"the XDP program on %s is not as expected (%s, id %u): does something else attach programs there?",
		xdp->interface, hanging.name, hanging.id);
	return -EIO;
}

// --- a port for each queue ------------------------------------------------------------------------------------------

// This process's AF_XDP sockets: DPDK's driver keeps them to itself. Returns: how many.
static unsigned list_sockets(int fds[XDP_SOCKETS])
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned count = 0;

	while (directory && count < XDP_SOCKETS && (entry = readdir(directory))) {
		int fd = atoi(entry->d_name), domain = 0;
		socklen_t length = sizeof(domain);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_XDP)
			fds[count++] = fd;
	}
	if (directory)
		closedir(directory);
	return count;
}

// The socket that was not there before, or -1.
static int new_socket(const struct nic_xdp *xdp)
{
	int fds[XDP_SOCKETS];
	unsigned count = list_sockets(fds);

	for (unsigned i = 0; i < count; i++) {
		unsigned j = 0;

		while (j < xdp->before_count && xdp->sockets_before[j] != fds[i])
			j++;
		if (j == xdp->before_count)
			return fds[i];
	}
	return -1;
}

static int refuse_queue(const struct nic_xdp *xdp, const char *what, int error, char *err)
{
	snprintf(err, KG_MEDIA_ERR,
		"interface %s: %s (%s): does something else attach programs there? `ethtool -L %s rx 1` makes do "
		"with one queue",
		xdp->interface, what, strerror(-error), xdp->interface);
	return error;
}

int nic_xdp_step_aside(struct nic_xdp *xdp, char err[KG_MEDIA_ERR])
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, expected, .old_prog_fd = xdp->our_fd);
	struct hanging hanging;
	int error = attached(xdp, &hanging);

	xdp->before_count = list_sockets(xdp->sockets_before);
	if (!error)
		error = bpf_xdp_detach(xdp->ifindex, XDP_FLAGS_REPLACE | hanging.flags, &expected);
	return error ? refuse_queue(xdp, "our XDP program cannot be taken off for a moment", error, err) : 0;
}

int nic_xdp_come_back(struct nic_xdp *xdp, unsigned queue, char err[KG_MEDIA_ERR])
{
	struct hanging hanging;
	int error = attached(xdp, &hanging), fd = new_socket(xdp);

	if (!error && strcmp(hanging.name, KEDGE_XDP_NAME) != 0)
		error = -EBUSY;
	if (!error) {
		LIBBPF_OPTS(bpf_xdp_attach_opts, expected, .old_prog_fd = bpf_prog_get_fd_by_id(hanging.id));

		error = bpf_xdp_attach(xdp->ifindex, xdp->our_fd, XDP_FLAGS_REPLACE | hanging.flags, &expected);
		if (expected.old_prog_fd >= 0)
			close(expected.old_prog_fd);
	}
	if (error)
		return refuse_queue(xdp, "our XDP program cannot be put in its place again", error, err);
	if (fd < 0 || bpf_map_update_elem(xdp->sockets, &queue, &fd, 0) != 0)
		return refuse_queue(
			xdp, "a queue's socket cannot be given to the XDP program", fd < 0 ? -ENOENT : -errno, err);
	return 0;
}

struct nic_ports *nic_xdp_ports(const struct nic_xdp *xdp)
{
	return xdp->ports;
}

bool nic_xdp_foreign(const struct nic_xdp *xdp)
{
	struct hanging hanging;

	int error = attached(xdp, &hanging);

	if (error) // an interface that is gone has nothing of anybody; what cannot be told is left alone
		return error != -ENODEV && error != -ENXIO;
	if (!hanging.id)
		return false;
	return xdp->our_id ? hanging.id != xdp->our_id : strcmp(hanging.name, KEDGE_XDP_NAME) != 0;
}

void nic_xdp_give(struct nic_xdp *xdp)
{
	struct hanging hanging;

	if (!xdp)
		return;
	if (xdp->ifindex && !nic_xdp_foreign(xdp) && attached(xdp, &hanging) == 0 && hanging.id) {
		LIBBPF_OPTS(bpf_xdp_attach_opts, expected, .old_prog_fd = xdp->our_fd);

		if (xdp->our_fd < 0 || hanging.id != xdp->our_id ||
			bpf_xdp_detach(xdp->ifindex, XDP_FLAGS_REPLACE | hanging.flags, &expected) != 0)
			remove_ours(xdp, &hanging);
	}
	if (xdp->our_fd >= 0)
		close(xdp->our_fd);
	if (xdp->sockets >= 0)
		close(xdp->sockets);
	nic_ports_destroy(xdp->ports);
	if (xdp->lock >= 0)
		close(xdp->lock);
	if (xdp->file >= 0)
		close(xdp->file);
	free(xdp);
}
