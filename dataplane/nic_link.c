// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "nic_link.h"

// --- what this process may do ---------------------------------------------------------------------------------------

static bool capable(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, data) != 0)
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static int check_rights(const char *interface, char *err)
{
	static const struct {
		unsigned capability;
		const char *name;
	} needs[] = {
		{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{CAP_NET_RAW, "CAP_NET_RAW"},
		{CAP_BPF, "CAP_BPF"},
		{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	};

	for (unsigned i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		if (capable(needs[i].capability))
			continue;
		snprintf(err, KG_MEDIA_ERR,
			"%s: this process lacks %s: run as root, or give it CAP_NET_ADMIN, CAP_NET_RAW, "
			"CAP_BPF and CAP_SYS_ADMIN",
			interface, needs[i].name);
		return -EPERM;
	}
	return 0;
}

int nic_link_lockable(uint64_t bytes, char err[KG_MEDIA_ERR])
{
	struct rlimit limit;

	if (capable(CAP_IPC_LOCK) || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= bytes)
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"%llu kB of memory may be locked and packet buffers need %llu kB: run as root, give CAP_IPC_LOCK, or "
		"raise the limit (ulimit -l unlimited; LimitMEMLOCK=infinity in a systemd unit)",
		(unsigned long long)limit.rlim_cur / 1024, (unsigned long long)bytes / 1024);
	return -EPERM;
}

static void raise_limits(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max; // as far as we may
	setrlimit(RLIMIT_MEMLOCK, &limit);
}

// --- what the interface is ------------------------------------------------------------------------------------------

// Ask the interface something by ioctl. Returns: 0 or -errno.
static int ask(const char *interface, unsigned long what, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	snprintf(request->ifr_name, sizeof(request->ifr_name), "%.15s", interface);
	if (fd < 0 || ioctl(fd, what, request) != 0)
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

// The media plane reads *queues receive queues; with more of them part of the media would go to the kernel. It sends on
// the queue of the same number.
static int check_queues(const char *interface, unsigned *queues, bool *apart, char *err)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq request = {.ifr_data = (void *)&channels};
	const unsigned wanted = *queues;
	unsigned receive, send;

	*queues = 1;
	*apart = false;
	if (ask(interface, SIOCETHTOOL, &request) != 0)
		return 0; // it has none to speak of
	receive = channels.combined_count + channels.rx_count;
	send = channels.combined_count + channels.tx_count;
	if (receive <= 1)
		return 0;
	*queues = receive;
	*apart = channels.combined_count < receive;
	if (receive <= wanted && receive <= send)
		return 0;
	if (receive > wanted)
		snprintf(err, KG_MEDIA_ERR,
			"interface %s spreads what it receives over %u queues, and media is read from %u: write "
			"`ethtool -L %s %s %u`, or configure %u relay lcores (an af_packet nic has one queue)",
			interface, receive, wanted, interface, channels.combined_count ? "combined" : "rx", wanted,
			receive);
	else
		snprintf(err, KG_MEDIA_ERR,
			"interface %s receives on %u queues and sends on %u: write `ethtool -L %s tx %u`", interface,
			receive, send, interface, receive);
	return -ENOTSUP;
}

int nic_link_check(const char *interface, unsigned *queues, bool *apart, int *ifindex, char err[KG_MEDIA_ERR])
{
	struct ifreq request = {0};
	int error;

	*ifindex = strlen(interface) < IF_NAMESIZE ? (int)if_nametoindex(interface) : 0;
	if (!*ifindex) {
		snprintf(
			err, KG_MEDIA_ERR, "there is no interface %s: `ip link` lists those that there are", interface);
		return -ENODEV;
	}
	error = check_rights(interface, err);
	if (error)
		return error;
	raise_limits();
	error = ask(interface, SIOCGIFFLAGS, &request);
	if (error) {
		snprintf(err, KG_MEDIA_ERR, "interface %s cannot be read: %s", interface, strerror(-error));
		return error;
	}
	if (!(request.ifr_flags & IFF_UP)) {
		snprintf(
			err, KG_MEDIA_ERR, "interface %s is down: write `ip link set dev %s up`", interface, interface);
		return -ENETDOWN;
	}
	return check_queues(interface, queues, apart, err);
}

static int read_sysctl(const char *scope, const char *key)
{
	char path[128];
	FILE *file;
	int value = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", scope, key);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

int nic_link_loopback(const char *interface, char err[KG_MEDIA_ERR])
{
	const bool local = read_sysctl("all", "accept_local") || read_sysctl("lo", "accept_local");
	const bool routed = read_sysctl("all", "route_localnet") || read_sysctl("lo", "route_localnet");
	const bool filtered = read_sysctl("all", "rp_filter") || read_sysctl("lo", "rp_filter");

	if (strcmp(interface, "lo") != 0 || (local && routed && !filtered))
		return 0;
	snprintf(err, KG_MEDIA_ERR,
		"the kernel drops what the engine would send on lo: write `sysctl -w net.ipv4.conf.lo.accept_local=1 "
		"net.ipv4.conf.lo.route_localnet=1 net.ipv4.conf.lo.rp_filter=0 net.ipv4.conf.all.rp_filter=0`");
	return -ENOTSUP;
}

int nic_link_read(int ifindex, uint16_t *mtu, bool *running)
{
	struct ifreq flags = {0}, request = {0};
	char interface[IF_NAMESIZE];
	int error;

	if (!if_indextoname((unsigned)ifindex, interface))
		return -errno;
	error = ask(interface, SIOCGIFFLAGS, &flags);
	if (!error)
		error = ask(interface, SIOCGIFMTU, &request);
	if (error)
		return error;
	*mtu = request.ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)request.ifr_mtu;
	*running = flags.ifr_flags & IFF_RUNNING;
	return 0;
}
