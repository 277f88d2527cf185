// SPDX-License-Identifier: BSD-3-Clause
// Where DPDK puts its telemetry socket: DIR/dpdk/kedge-PID/dpdk_telemetry.v2, which DPDK makes and never takes away.

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "eal.h"

#define SOCKET "dpdk_telemetry.v2"

static char parent[64], own[128], own_socket[160]; // "": no telemetry

static void remove_directory(const char *directory)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/" SOCKET, directory);
	unlink(at.sun_path);
	rmdir(directory);
}

// Was it left by an engine that was killed? Nobody listens there any more.
static bool is_left(const char *directory)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool left;

	snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/" SOCKET, directory);
	left = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 && errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return left;
}

static void sweep(void)
{
	DIR *all = opendir(parent);
	const struct dirent *one;
	char path[128];

	while (all && (one = readdir(all))) {
		snprintf(path, sizeof(path), "%s/%.50s", parent, one->d_name);
		if (strncmp(one->d_name, "kedge-", 6) == 0 && is_left(path))
			remove_directory(path);
	}
	if (all)
		closedir(all);
}

int eal_telemetry_prepare(const char *directory, char err[KG_MEDIA_ERR])
{
	own[0] = '\0';
	if (!directory)
		return 0;
	if (strlen(directory) + sizeof("/dpdk/kedge-1234567/" SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path)) {
		snprintf(err, KG_MEDIA_ERR,
			"api.telemetry: the directory %.100s is too long for a socket's name: put "
			"api.socket into a shorter one",
			directory);
		return -ENAMETOOLONG;
	}
	snprintf(parent, sizeof(parent), "%.50s/dpdk", directory);
	sweep();
	return setenv("RUNTIME_DIRECTORY", directory, 1) == 0 ? 0 : -ENOMEM; // DPDK reads it
}

void eal_telemetry_started(bool with)
{
	if (!with) {
		rmdir(rte_eal_get_runtime_dir()); // it stays empty, and would stay for ever after kill -9
		return;
	}
	snprintf(own, sizeof(own), "%s", rte_eal_get_runtime_dir());
	snprintf(own_socket, sizeof(own_socket), "%s/" SOCKET, own);
}

void eal_telemetry_stop(void)
{
	if (!*own)
		return;
	remove_directory(own);
	rmdir(parent); // where it was the last engine
	own[0] = '\0';
}

unsigned eal_telemetry_files(const char *files[3])
{
	if (!*own)
		return 0;
	files[0] = parent;
	files[1] = own;
	files[2] = own_socket;
	return 3;
}
