// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>

#include "kg_log.h"
#include "nic_owned.h"

#define VHOST "vhost:"
#define VIRTIO "virtio:"
#define MEMIF "memif:"
#define MEMIF_SERVER ",server"
#define MEMIF_RING 12    // 2 to its power: NIC_RING
#define VIRTIO_RING 1024 // the most that QEMU has too

static uint64_t enabled[RTE_MAX_ETHPORTS]; // by port, a bit for each transmit queue; vhost's thread: rw, control: r

bool nic_vdev_is(const char *device)
{
	return strncmp(device, VHOST, strlen(VHOST)) == 0 || strncmp(device, VIRTIO, strlen(VIRTIO)) == 0 ||
	       strncmp(device, MEMIF, strlen(MEMIF)) == 0;
}

// --- the socket -----------------------------------------------------------------------------------------------------

enum found { NOTHING, STALE, SERVED, OTHER_FILE };

// Asks by a datagram socket: a server of another type is not disturbed by it.
static enum found look_at(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct stat file;
	int fd, error = 0;

	if (lstat(path, &file) != 0)
		return NOTHING;
	if (!S_ISSOCK(file.st_mode))
		return OTHER_FILE;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error == ECONNREFUSED ? STALE : SERVED;
}

static int check_path(const char *device, const char *path, char *err)
{
	if (path[0] == '/' && !strpbrk(path, ",[]= "))
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"%s: \"%s\" is no path of a socket: write a whole path without commas and blanks, for example "
		"/run/kedge/vhost.sock",
		device, path);
	return -EINVAL;
}

// We shall make the socket.
static int check_server(const char *device, const char *path, char *err)
{
	char directory[128];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	slash[slash == directory] = '\0';
	if (access(directory, W_OK | X_OK) != 0) {
		snprintf(err, KG_MEDIA_ERR,
			"%s: the socket cannot be made in %s (%s): make that directory, writable for this process",
			device, directory, strerror(errno));
		return -ENOENT;
	}
	switch (look_at(path)) {
	case NOTHING:
		return 0;
	case STALE:
		kg_info("nic", "%s: replaced the socket that a server that died had left", device);
		return unlink(path) == 0 ? 0 : -errno;
	case SERVED:
		snprintf(err, KG_MEDIA_ERR,
			"%s: another program serves that socket: stop it, or give this nic another path", device);
		return -EADDRINUSE;
	default:
		snprintf(err, KG_MEDIA_ERR, "%s: there is a file that is no socket: write another path", device);
		return -EEXIST;
	}
}

// The drivers connect once, now.
static int check_client(const char *device, const char *path, char *err)
{
	if (look_at(path) == SERVED)
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"%s: nobody serves that socket: start its server first (a switch, a VM's host, or an engine with "
		"%s)",
		device, strncmp(device, MEMIF, strlen(MEMIF)) == 0 ? "memif:SOCKET,server" : "vhost:SOCKET");
	return -ECONNREFUSED;
}

// --- the device -----------------------------------------------------------------------------------------------------

static int choose_memif(const char *device, unsigned number, const uint8_t mac[6], struct nic_vdev *out, char *err)
{
	char path[64];
	size_t length = strlen(device), tail = strlen(MEMIF_SERVER);
	bool server = length > tail && strcmp(device + length - tail, MEMIF_SERVER) == 0;
	int error;

	snprintf(path, sizeof(path), "%.*s", (int)(length - strlen(MEMIF) - (server ? tail : 0)),
		device + strlen(MEMIF));
	error = check_path(device, path, err);
	if (!error)
		error = (server ? check_server : check_client)(device, path, err);
	snprintf(out->driver, sizeof(out->driver), "net_memif%u", number);
	snprintf(out->devargs, sizeof(out->devargs),
		"role=%s,socket=%s,socket-abstract=no,rsize=%d,mac=%02x:%02x:%02x:%02x:%02x:%02x",
		server ? "server" : "client", path, MEMIF_RING, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return error;
}

int nic_vdev_choose(const char *device, unsigned number, unsigned queues, const uint8_t mac[6], struct nic_vdev *out,
	char err[KG_MEDIA_ERR])
{
	const char *path = strchr(device, ':') + 1;
	int error;

	if (strncmp(device, MEMIF, strlen(MEMIF)) == 0)
		return choose_memif(device, number, mac, out, err);
	error = check_path(device, path, err);
	if (error)
		return error;
	if (strncmp(device, VHOST, strlen(VHOST)) == 0) {
		snprintf(out->driver, sizeof(out->driver), "net_vhost%u", number);
		snprintf(out->devargs, sizeof(out->devargs), "iface=%s,queues=%u", path, queues);
		return check_server(device, path, err);
	}
	snprintf(out->driver, sizeof(out->driver), "virtio_user%u", number);
	snprintf(out->devargs, sizeof(out->devargs),
		"path=%s,queues=%u,queue_size=%d,mac=%02x:%02x:%02x:%02x:%02x:%02x", path, queues, VIRTIO_RING, mac[0],
		mac[1], mac[2], mac[3], mac[4], mac[5]);
	return check_client(device, path, err);
}

static int queue_changed(uint16_t port_id, enum rte_eth_event_type type, void *arg, void *unused)
{
	struct rte_eth_vhost_queue_event event;

	while (rte_eth_vhost_get_queue_event(port_id, &event) == 0) {
		if (event.rx || event.queue_id >= 64)
			continue;
		if (event.enable)
			__atomic_or_fetch(&enabled[port_id], UINT64_C(1) << event.queue_id, __ATOMIC_RELAXED);
		else
			__atomic_and_fetch(&enabled[port_id], ~(UINT64_C(1) << event.queue_id), __ATOMIC_RELAXED);
	}
	return 0;
}

// A peer that goes does not disable its queues first.
static int link_changed(uint16_t port_id, enum rte_eth_event_type type, void *arg, void *unused)
{
	struct rte_eth_link link;

	if (rte_eth_link_get_nowait(port_id, &link) == 0 && !link.link_status)
		__atomic_store_n(&enabled[port_id], 0, __ATOMIC_RELAXED);
	return 0;
}

int nic_vdev_watch(uint16_t port_id)
{
	int error;

	__atomic_store_n(&enabled[port_id], 0, __ATOMIC_RELAXED);
	error = rte_eth_dev_callback_register(port_id, RTE_ETH_EVENT_QUEUE_STATE, queue_changed, NULL);
	return error ? error : rte_eth_dev_callback_register(port_id, RTE_ETH_EVENT_INTR_LSC, link_changed, NULL);
}

unsigned nic_vdev_peer_queues(uint16_t port_id)
{
	uint64_t first_off = ~__atomic_load_n(&enabled[port_id], __ATOMIC_RELAXED);

	return first_off ? (unsigned)__builtin_ctzll(first_off) : 64;
}

void nic_vdev_mac(const char *device, uint8_t mac[6])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); // FNV-1a
	FILE *file = fopen("/etc/machine-id", "r");
	char text[192] = "";

	if (!file || !fgets(text, 64, file))
		gethostname(text, 64);
	if (file)
		fclose(file);
	strncat(text, device, 64);
	for (const char *c = text; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2); // one station's, given locally
}
