// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/libxdp.h>

#include "kg_log.h"
#include "nic_xdp.h"
#include "xdp/kedge_xdp.h"

struct nic_xdp {
	char interface[IF_NAMESIZE];
	int ifindex;
	int lock;    // an abstract socket: gone with the process, also after kill -9
	int program; // memfd with the ELF object
	int addrs_map, live_map;
	struct kg_addr addrs[KEDGE_XDP_ADDRS]; // by number; family 0: free
};

// --- libraries that print -------------------------------------------------------------------------------------------

static int bpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	kg_debug("xdp", "%s", line);
	return 0;
}

static int xdp_print(enum libxdp_print_level level, const char *format, va_list args)
{
	return bpf_print(LIBBPF_DEBUG, format, args);
}

// --- who holds the interface ----------------------------------------------------------------------------------------

static int check_interface(struct nic_xdp *xdp, char *err)
{
	struct ifreq request = {0};
	int fd;

	xdp->ifindex = (int)if_nametoindex(xdp->interface);
	if (!xdp->ifindex) {
		snprintf(err, KG_MEDIA_ERR, "there is no interface %s: `ip link` lists those that there are",
			xdp->interface);
		return -ENODEV;
	}
	if (geteuid() != 0) {
		snprintf(err, KG_MEDIA_ERR, "af_xdp:%s needs root: start kedged with sudo", xdp->interface);
		return -EPERM;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", xdp->interface);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
		snprintf(err, KG_MEDIA_ERR, "interface %s cannot be looked at: %s", xdp->interface, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	close(fd);
	if (!(request.ifr_flags & IFF_UP)) {
		snprintf(err, KG_MEDIA_ERR, "interface %s is down: write `ip link set dev %s up`", xdp->interface,
			xdp->interface);
		return -ENETDOWN;
	}
	return 0;
}

static int lock_interface(struct nic_xdp *xdp, char *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "kedge-nic-%s", xdp->interface);

	xdp->lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (xdp->lock >= 0 && bind(xdp->lock, (struct sockaddr *)&name,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"another kedged that runs holds interface %s: stop it, or give this one another interface",
		xdp->interface);
	return errno ? -errno : -EADDRINUSE;
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

// What hangs on the interface: *id 0 for nothing. Returns: 0 or -errno.
static int attached(const struct nic_xdp *xdp, uint32_t *id, char *name, size_t size)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int error = bpf_xdp_query(xdp->ifindex, 0, &query);

	if (error)
		return error;
	*id = query.prog_id ? query.prog_id : query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
	name[0] = '\0';
	if (*id)
		program_name(*id, name, size);
	return 0;
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

static int remove_stale(struct nic_xdp *xdp, uint32_t id, const char *name)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, expected);
	struct xdp_multiprog *dispatcher;
	int error = -EBUSY;

	if (strcmp(name, KEDGE_XDP_NAME) == 0) {
		expected.old_prog_fd = bpf_prog_get_fd_by_id(id);
		error = bpf_xdp_detach(xdp->ifindex, XDP_FLAGS_REPLACE, &expected);
		if (expected.old_prog_fd >= 0)
			close(expected.old_prog_fd);
	} else if (strcmp(name, "xdp_dispatcher") == 0) {
		dispatcher = xdp_multiprog__get_from_ifindex(xdp->ifindex);
		if (libxdp_get_error(dispatcher))
			return -EIO;
		if (dispatcher_is_ours(dispatcher))
			error = xdp_multiprog__detach(dispatcher);
		xdp_multiprog__close(dispatcher);
	}
	return error;
}

static int clear_interface(struct nic_xdp *xdp, char *err)
{
	uint32_t id = 0;
	char name[BPF_OBJ_NAME_LEN];
	int error = attached(xdp, &id, name, sizeof(name));

	if (error) {
		snprintf(err, KG_MEDIA_ERR, "what is attached to interface %s cannot be read: %s", xdp->interface,
			strerror(-error));
		return error;
	}
	if (!id)
		return 0;
	if (remove_stale(xdp, id, name) != 0) {
		snprintf(err, KG_MEDIA_ERR,
			"interface %s has an XDP program of somebody else: %s (id %u). It was left alone. Take it away "
			"with "
			"`ip link set dev %s xdp off`, or give kedged another interface",
			xdp->interface, name, id, xdp->interface);
		return -EBUSY;
	}
	kg_info("nic", "%s: replaced the XDP program that an engine that died had left (id %u)", xdp->interface, id);
	return 0;
}

// --- taking and giving ----------------------------------------------------------------------------------------------

static int write_program(struct nic_xdp *xdp, char *err)
{
	xdp->program = memfd_create("kedge_xdp", MFD_CLOEXEC);
	if (xdp->program >= 0 &&
		write(xdp->program, nic_xdp_program, nic_xdp_program_bytes) == (ssize_t)nic_xdp_program_bytes)
		return 0;
	snprintf(err, KG_MEDIA_ERR, "no memory file for the XDP program: %s", strerror(errno));
	return -errno;
}

int nic_xdp_take(const char *interface, struct nic_xdp **out, char *devargs, unsigned size, char err[KG_MEDIA_ERR])
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct nic_xdp *xdp = calloc(1, sizeof(*xdp));
	int error;

	if (!xdp)
		return -ENOMEM;
	xdp->lock = xdp->program = xdp->addrs_map = xdp->live_map = -1;
	libbpf_set_print(bpf_print);
	libxdp_set_print(xdp_print);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	snprintf(xdp->interface, sizeof(xdp->interface), "%s", interface);
	error = check_interface(xdp, err);
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
	snprintf(devargs, size, "iface=%s,start_queue=0,queue_count=1,busy_budget=0,xdp_prog=/proc/self/fd/%d",
		interface, xdp->program);
	*out = xdp;
	return 0;
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
	uint32_t ids[16], id = 0, length;
	struct bpf_prog_info info = {.nr_map_ids = 16, .map_ids = (uintptr_t)ids};
	char name[BPF_OBJ_NAME_LEN];
	int fd = -1;

	length = sizeof(info);
	if (attached(xdp, &id, name, sizeof(name)) == 0 && id && strcmp(name, KEDGE_XDP_NAME) == 0)
		fd = bpf_prog_get_fd_by_id(id);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0) {
		xdp->addrs_map = find_map(ids, info.nr_map_ids, "kedge_addrs");
		xdp->live_map = find_map(ids, info.nr_map_ids, "kedge_live");
	}
	if (fd >= 0)
		close(fd);
	if (xdp->addrs_map >= 0 && xdp->live_map >= 0)
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"the XDP program on %s is not as expected (%s, id %u): does the kernel support XDP there?",
		xdp->interface, name, id);
	return -EIO;
}

void nic_xdp_give(struct nic_xdp *xdp)
{
	char name[BPF_OBJ_NAME_LEN];
	uint32_t id = 0;

	if (!xdp)
		return;
	if (xdp->ifindex && attached(xdp, &id, name, sizeof(name)) == 0 && id)
		remove_stale(xdp, id, name);
	for (unsigned i = 0; i < 4; i++) {
		int fd = (int[]){xdp->lock, xdp->program, xdp->addrs_map, xdp->live_map}[i];

		if (fd >= 0)
			close(fd);
	}
	free(xdp);
}

// --- addresses and ports --------------------------------------------------------------------------------------------

static int number_of(const struct nic_xdp *xdp, const struct kg_addr *addr)
{
	for (int i = 0; i < KEDGE_XDP_ADDRS; i++)
		if (xdp->addrs[i].family && kg_addr_same_ip(&xdp->addrs[i], addr))
			return i;
	return -1;
}

static bool listed(const struct kg_addr *addr, const struct kg_addr *addrs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (kg_addr_same_ip(addr, &addrs[i]))
			return true;
	return false;
}

int nic_xdp_addresses(struct nic_xdp *xdp, const struct kg_addr *addrs, unsigned count)
{
	if (count > KEDGE_XDP_ADDRS)
		return -E2BIG;
	for (int i = 0; i < KEDGE_XDP_ADDRS; i++) {
		if (!xdp->addrs[i].family || listed(&xdp->addrs[i], addrs, count))
			continue;
		bpf_map_delete_elem(xdp->addrs_map, xdp->addrs[i].ip);
		xdp->addrs[i].family = 0;
	}
	for (unsigned i = 0; i < count; i++) {
		uint32_t number = 0;

		if (addrs[i].family != 4 || number_of(xdp, &addrs[i]) >= 0)
			continue;
		while (xdp->addrs[number].family)
			number++; // there is room: at most as many as fit are listed
		if (bpf_map_update_elem(xdp->addrs_map, addrs[i].ip, &number, BPF_ANY) != 0)
			return -EIO;
		xdp->addrs[number] = addrs[i];
	}
	return 0;
}

int nic_xdp_live(struct nic_xdp *xdp, const struct kg_addr *local, bool on)
{
	int number = number_of(xdp, local);
	uint32_t key = (uint32_t)number * 65536 + local->port;
	uint8_t was = 0, is = on;

	if (number < 0)
		return -EADDRNOTAVAIL;
	if (bpf_map_lookup_elem(xdp->live_map, &key, &was) != 0 ||
		bpf_map_update_elem(xdp->live_map, &key, &is, BPF_ANY) != 0)
		return -EIO;
	return was != is;
}
