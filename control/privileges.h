// SPDX-License-Identifier: BSD-3-Clause
// Giving up rights once everything is open, and telling systemd. All: Thread: control (the main thread).
#pragma once

// Become `user`, with CAP_NET_ADMIN only (the kernel's neighbours are asked for, and our XDP program is taken off at
// the end) and no way back. The files are given to the user first: what is reopened or removed later must be its own.
// Every thread changes its user; the lcores keep no capability at all. Returns: 0, or -errno with a sentence in err
// (256 bytes).
int privileges_drop(const char *user, const char *const *files, char *err);

// Send one line ("READY=1") to who supervises us (sd_notify(3)); nothing where nobody does.
void privileges_notify(const char *line);
