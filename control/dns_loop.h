// SPDX-License-Identifier: BSD-3-Clause
// A c-ares channel on libevent's loop, for dns.c alone: its sockets are watched, one timer is its clock.
#pragma once

#include <sys/queue.h>

#include <ares.h>

#include "dns.h"

struct event;

struct dns_loop {
	ares_channel channel;
	struct event_base *base;
	struct event *timer;
	LIST_HEAD(, dns_watched) watched;
	bool library;
	void (*turned)(void *arg); // c-ares had its turn, from the loop: now answers may be told
	void *arg;
};

// Returns: 0, or -errno with a sentence in err (256 bytes); dns_loop_close is wanted then too.
int dns_loop_open(struct dns_loop *loop, struct event_base *base, const struct dns_options *options,
	void (*turned)(void *arg), void *arg, char *err);
void dns_loop_close(struct dns_loop *loop); // c-ares ends each query: its callback is called from here
// Set the timer to what is due next, after any call to c-ares; `now`: `turned` is wanted in the next turn.
void dns_loop_schedule(struct dns_loop *loop, bool now);
