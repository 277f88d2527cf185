// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "dns_loop.h"

#define EDNS_BYTES 1232 // no fragments on any path

struct dns_watched {
	LIST_ENTRY(dns_watched) next;
	struct dns_loop *loop;
	struct event *event;
	int fd;
};

void dns_loop_schedule(struct dns_loop *loop, bool now)
{
	struct timeval delay = {0};

	if (now || ares_timeout(loop->channel, NULL, &delay))
		event_add(loop->timer, &delay);
	else
		event_del(loop->timer);
}

static void turn(struct dns_loop *loop, ares_socket_t readable, ares_socket_t writable)
{
	ares_process_fd(loop->channel, readable, writable);
	loop->turned(loop->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	turn(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns_watched *watched = arg; // may be gone when c-ares returns

	turn(watched->loop, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static void unwatch(struct dns_watched *watched)
{
	LIST_REMOVE(watched, next);
	if (watched->event)
		event_free(watched->event);
	free(watched);
}

static void watch(struct dns_loop *loop, int fd, short what)
{
	struct dns_watched *watched = calloc(1, sizeof(*watched));

	if (!watched)
		return; // the question ends by its timeout
	watched->loop = loop;
	watched->fd = fd;
	LIST_INSERT_HEAD(&loop->watched, watched, next);
	watched->event = event_new(loop->base, fd, what, on_socket, watched);
	if (!watched->event || event_add(watched->event, NULL) != 0)
		unwatch(watched);
}

// c-ares has opened a socket, closes it, or waits for something else on it.
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_loop *loop = arg;
	struct dns_watched *watched = LIST_FIRST(&loop->watched);

	while (watched && watched->fd != fd)
		watched = LIST_NEXT(watched, next);
	if (watched)
		unwatch(watched);
	if (readable || writable)
		watch(loop, fd, (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST));
}

static int channel_open(struct dns_loop *loop, const struct dns_options *options, char *err)
{
	struct ares_options ares = {
		.flags = ARES_FLAG_EDNS,
		.ednspsz = EDNS_BYTES,
		.timeout = (int)(options->timeout_ms ? options->timeout_ms : DNS_TIMEOUT_MS),
		.tries = (int)(options->tries ? options->tries : DNS_TRIES),
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = loop,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	loop->library = status == ARES_SUCCESS;
	if (status == ARES_SUCCESS)
		status = ares_init_options(&loop->channel, &ares, mask);
	if (status != ARES_SUCCESS) {
		loop->channel = NULL;
		snprintf(err, 256, "DNS cannot be set up from /etc/resolv.conf: %s", ares_strerror(status));
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	if (!options->servers || !*options->servers)
		return 0;
	status = ares_set_servers_ports_csv(loop->channel, options->servers);
	if (status == ARES_SUCCESS)
		return 0;
	snprintf(err, 256, "DNS servers \"%s\": write them as ip or ip:port, separated by commas", options->servers);
	return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int dns_loop_open(struct dns_loop *loop, struct event_base *base, const struct dns_options *options,
	void (*turned)(void *arg), void *arg, char *err)
{
	*loop = (struct dns_loop){.base = base, .turned = turned, .arg = arg};
	LIST_INIT(&loop->watched);
	loop->timer = evtimer_new(base, on_timer, loop);
	if (!loop->timer) {
		snprintf(err, 256, "no memory for DNS");
		return -ENOMEM;
	}
	return channel_open(loop, options, err);
}

void dns_loop_close(struct dns_loop *loop)
{
	if (loop->channel)
		ares_destroy(loop->channel);
	if (loop->library)
		ares_library_cleanup();
	while (!LIST_EMPTY(&loop->watched))
		unwatch(LIST_FIRST(&loop->watched));
	if (loop->timer)
		event_free(loop->timer);
}
