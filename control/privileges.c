// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/capability.h>

#include "kg_log.h"
#include "privileges.h"

// Before 5.19 a kernel with unprivileged_bpf_disabled wants CAP_BPF for each write to a map: the live ports.
static bool bpf_needs_capability(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major < 5 || (major == 5 && minor < 19));
}

static void keep(struct __user_cap_data_struct *data, int capability)
{
	data[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
	data[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
}

static int keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	keep(data, CAP_NET_ADMIN);
	if (bpf_needs_capability())
		keep(data, CAP_BPF);
	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

// Nothing that is executed gets rights, whatever its file says.
static void close_the_way_back(void)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); // fails without CAP_SETPCAP: no_new_privs does too
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int privileges_drop(const char *user, const char *const *files, char *err)
{
	const struct passwd *entry;
	int error = 0;

	errno = 0;
	entry = getpwnam(user);
	if (!entry) {
		snprintf(err, 256, "user: there is no system user %s: `useradd --system --no-create-home %s` makes one",
			user, user);
		return -ENOENT;
	}
	for (unsigned i = 0; files[i]; i++) {
		struct stat is;

		// A link or a device is not ours to give: whoever owns the directory may have put it there.
		if (lstat(files[i], &is) == 0 && !S_ISREG(is.st_mode) && !S_ISSOCK(is.st_mode) && !S_ISDIR(is.st_mode))
			continue;
		if (lchown(files[i], entry->pw_uid, entry->pw_gid) != 0 && errno != ENOENT &&
			entry->pw_uid != geteuid()) {
			error = -errno;
			snprintf(err, 256, "%s cannot be given to user %s: %s", files[i], user, strerror(errno));
			return error;
		}
	}
	close_the_way_back();
	if (entry->pw_uid != geteuid()) { // else it was started as that user already
		prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
		if (setgroups(0, NULL) != 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
			setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0)
			error = -errno; // glibc changes all threads
	}
	if (!error)
		error = keep_capabilities();
	if (error) {
		snprintf(err, 256,
			"the rights of user %s cannot be taken on: %s: start as root, or as that user with "
			"CAP_NET_ADMIN",
			user, strerror(-error));
		return error;
	}
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); // media is not in it, until somebody captures
	kg_info("main", "runs as %s (uid %d) with CAP_NET_ADMIN%s only", user, (int)entry->pw_uid,
		bpf_needs_capability() ? " and CAP_BPF" : "");
	return 0;
}

void privileges_notify(const char *line)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (!length || length >= sizeof(to.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(to.sun_path, path, length);
	if (*path == '@') // an abstract one
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}
