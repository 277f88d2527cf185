// SPDX-License-Identifier: BSD-3-Clause

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "nic_owned.h"

// Where a link in the device's directory points to: the last part of it. Returns: false where there is none.
static bool link_name(const char *devices, const char *name, const char *what, char *out, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "%s/%s/%s", devices, name, what);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	snprintf(out, size, "%s", basename(target));
	return true;
}

// The kernel's interface on the device, or "".
static void interface_of(const char *devices, const char *name, char *out, size_t size)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	out[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s/net", devices, name);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			snprintf(out, size, ", interface %.32s", entry->d_name);
	if (directory)
		closedir(directory);
}

// These share the device with the kernel's driver and would not work without it.
static bool shares(const char *driver)
{
	return strcmp(driver, "mlx5_core") == 0 || strcmp(driver, "mlx4_core") == 0;
}

static int check_driver(const char *devices, const char *name, char *err)
{
	char driver[32] = "", group[32], interface[64];

	if (link_name(devices, name, "driver", driver, sizeof(driver)) && shares(driver))
		return 0;
	if (strcmp(driver, "vfio-pci") != 0) {
		interface_of(devices, name, interface, sizeof(interface));
		snprintf(err, KG_MEDIA_ERR,
			"PCI device %s is %s%s%s: write `modprobe vfio-pci` and `dpdk-devbind.py --bind=vfio-pci %s` "
			"(its interface goes away), or use the interface as af_xdp:",
			name, *driver ? "with the kernel's driver " : "with no driver", driver, interface, name);
		return -EBUSY;
	}
	if (!link_name(devices, name, "iommu_group", group, sizeof(group))) {
		snprintf(err, KG_MEDIA_ERR,
			"PCI device %s stands behind no IOMMU: switch it on in the firmware and on the kernel's "
			"command line (intel_iommu=on or amd_iommu=on)",
			name);
		return -ENOTSUP;
	}
	return 0;
}

int nic_pci_check(const char *devices, const char *address, char name[16], char err[KG_MEDIA_ERR])
{
	unsigned domain = 0, bus, device, function;
	char path[PATH_MAX], rest;

	if (sscanf(address, "%4x:%2x:%2x.%1u%c", &domain, &bus, &device, &function, &rest) != 4) {
		domain = 0;
		if (sscanf(address, "%2x:%2x.%1u%c", &bus, &device, &function, &rest) != 3 || device > 31) {
			snprintf(err, KG_MEDIA_ERR,
				"pci:%s is no PCI address: write it as `lspci -D` shows it, for example "
				"pci:0000:01:00.0",
				address);
			return -EINVAL;
		}
	}
	snprintf(name, 16, "%04x:%02x:%02x.%u", domain & 0xffff, bus & 0xff, device & 0x1f, function & 7);
	snprintf(path, sizeof(path), "%s/%s", devices, name);
	if (access(path, F_OK) != 0) {
		snprintf(err, KG_MEDIA_ERR, "there is no PCI device %s: `lspci -D` lists those that there are", name);
		return -ENODEV;
	}
	return check_driver(devices, name, err);
}

int nic_pci_probe(const char *name, uint16_t *port_id, char err[KG_MEDIA_ERR])
{
	struct rte_dev_iterator iterator;
	int error = rte_eal_hotplug_add("pci", name, "");
	uint16_t port = RTE_MAX_ETHPORTS;

	if (!error && rte_eth_iterator_init(&iterator, name) == 0) {
		port = rte_eth_iterator_next(&iterator);
		if (port != RTE_MAX_ETHPORTS)
			rte_eth_iterator_cleanup(&iterator);
	}
	*port_id = port;
	if (port != RTE_MAX_ETHPORTS)
		return 0;
	if (!error)
		nic_pci_remove(name);
	snprintf(err, KG_MEDIA_ERR,
		"DPDK does not take PCI device %s (%s): is it a network card, does another program have it "
		"(/dev/vfio), may this process lock memory? The log lines of area dpdk above say more",
		name, error ? strerror(-error) : "no driver of it makes a port");
	return error ? error : -ENODEV;
}

void nic_pci_remove(const char *name)
{
	rte_eal_hotplug_remove("pci", name);
}
