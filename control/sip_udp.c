// SPDX-License-Identifier: BSD-3-Clause
// SIP over UDP: one socket a listener, read in batches, ICMP errors taken from the socket's error queue with the bytes
// that they belong to. What a batch sets off is collected and leaves in as few system calls.

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/errqueue.h>

#include <event2/event.h>

#include "sip_msg.h"
#include "sip_wire_addr.h"

#define BATCH 8
#define BATCHES_A_WAKE 1 // then others have their turn: a next hop that is found must be known before the ACK is
#define ERRORS_A_WAKE 64
#define SOCKET_BUFFER (4 << 20)
#define OUT 32          // datagrams that are collected
#define OUT_BYTES 65536 // theirs together; a larger one leaves at once

struct listener {
	struct udp *udp;
	struct kg_addr local;
	int fd;
	struct event *event;
};

// A datagram that waits for the end of the batch in hand.
struct waiting {
	struct listener *listener;
	struct sockaddr_storage to;
	socklen_t to_length;
	size_t at, length; // in udp.out_bytes
};

struct udp {
	struct sip_wire wire; // first
	struct sip_wire_events events;
	struct listener listeners[16];
	unsigned count;
	char (*buffers)[SIP_MAX_MESSAGE + 1]; // BATCH of them
	bool collecting;
	struct waiting out[OUT];
	unsigned out_count;
	size_t out_used;
	char *out_bytes;
};

static int error_of(const struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR((struct msghdr *)header, c))
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
			(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
			struct sock_extended_err err;

			memcpy(&err, CMSG_DATA(c), sizeof(err));
			// EMSGSIZE only teaches the kernel a path MTU.
			return err.ee_errno == EMSGSIZE ? 0 : (int)err.ee_errno;
		}
	return 0;
}

static void errors_drain(struct listener *listener)
{
	struct sip_wire_events *events = &listener->udp->events;

	for (unsigned i = 0; i < ERRORS_A_WAKE; i++) {
		char data[576], control[512];
		struct iovec iov = {data, sizeof(data)};
		struct msghdr header = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
		ssize_t length = recvmsg(listener->fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
		int error;

		if (length < 0)
			return;
		error = error_of(&header);
		if (error)
			events->refused(events->arg, data, (size_t)length, -error);
	}
}

// --- sending ------------------------------------------------------------------------------------------------------

// An error that may be the word on an earlier datagram to somebody else, which is told where it belongs.
static bool error_is_old(struct listener *listener, int error)
{
	if (error != ECONNREFUSED && error != EHOSTUNREACH && error != ENETUNREACH && error != EPROTO)
		return false;
	errors_drain(listener);
	return true;
}

static int send_now(struct listener *listener, const struct waiting *what, const char *data)
{
	int error = 0;

	for (int i = 0; i < 3; i++) {
		if (sendto(listener->fd, data, what->length, MSG_DONTWAIT, (const struct sockaddr *)&what->to,
			    what->to_length) >= 0)
			return 0;
		error = errno;
		if (!error_is_old(listener, error))
			break;
	}
	return -error;
}

// How many of the first waiting ones leave by the same socket.
static unsigned run_length(const struct udp *udp, unsigned first)
{
	unsigned n = first;

	while (n < udp->out_count && udp->out[n].listener == udp->out[first].listener)
		n++;
	return n - first;
}

static int run_send(struct udp *udp, unsigned first, unsigned count)
{
	struct mmsghdr headers[OUT];
	struct iovec iov[OUT];

	memset(headers, 0, count * sizeof(*headers));
	for (unsigned i = 0; i < count; i++) {
		struct waiting *what = &udp->out[first + i];

		iov[i] = (struct iovec){udp->out_bytes + what->at, what->length};
		headers[i].msg_hdr = (struct msghdr){
			.msg_name = &what->to, .msg_namelen = what->to_length, .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	return sendmmsg(udp->out[first].listener->fd, headers, count, MSG_DONTWAIT);
}

static void out_flush(struct udp *udp)
{
	unsigned at = 0;

	udp->collecting = false;
	while (at < udp->out_count) {
		const struct waiting *what = &udp->out[at];
		const char *data = udp->out_bytes + what->at;
		int sent = run_send(udp, at, run_length(udp, at)), error;

		if (sent > 0) {
			at += (unsigned)sent;
			continue;
		}
		// The kernel names the first that it does not take: that one goes, or comes back, by itself.
		error = send_now(what->listener, what, data);
		if (error && error != -EAGAIN && error != -ENOBUFS) // a full socket heals by timer
			udp->events.refused(udp->events.arg, data, what->length, error);
		at++;
	}
	udp->out_count = 0;
	udp->out_used = 0;
}

// --- receiving ----------------------------------------------------------------------------------------------------

static int batch_read(struct listener *listener)
{
	struct udp *udp = listener->udp;
	struct sockaddr_storage from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr headers[BATCH];
	int count;

	memset(headers, 0, sizeof(headers));
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){udp->buffers[i], SIP_MAX_MESSAGE};
		headers[i].msg_hdr = (struct msghdr){
			.msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	count = recvmmsg(listener->fd, headers, BATCH, MSG_DONTWAIT, NULL);
	udp->collecting = count > 0;
	for (int i = 0; i < count; i++) {
		struct sip_flow flow = {.transport = SIP_UDP, .local = listener->local};

		wire_sockaddr_read(&from[i], &flow.remote);
		udp->buffers[i][headers[i].msg_len] = '\0';
		if (flow.remote.family && flow.remote.port)
			udp->events.message(udp->events.arg, &flow, udp->buffers[i], headers[i].msg_len);
	}
	if (count < 0)
		return -errno;
	out_flush(udp);
	return count;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	for (unsigned i = 0; i < BATCHES_A_WAKE; i++) {
		int count = batch_read(listener);

		if (count < 0) // also EAGAIN: what woke us may have been the error queue
			errors_drain(listener);
		if (count < BATCH && (count >= 0 || count == -EAGAIN))
			break;
	}
}

static struct listener *listener_find(struct udp *udp, const struct kg_addr *local)
{
	for (unsigned i = 0; i < udp->count; i++)
		if (kg_addr_same(&udp->listeners[i].local, local))
			return &udp->listeners[i];
	for (unsigned i = 0; i < udp->count; i++)
		if (udp->listeners[i].local.family == local->family && udp->listeners[i].local.port == local->port &&
			wire_addr_is_any(&udp->listeners[i].local))
			return &udp->listeners[i];
	return NULL;
}

static int udp_send(struct sip_wire *wire, struct sip_flow *flow, const char *data, size_t length)
{
	struct udp *udp = (struct udp *)wire;
	struct listener *listener = listener_find(udp, &flow->local);
	struct waiting what = {.listener = listener, .length = length};

	what.to_length = wire_sockaddr_write(&flow->remote, &what.to);
	if (!listener || flow->local.family != flow->remote.family)
		return -EADDRNOTAVAIL;
	if (!udp->collecting || length > OUT_BYTES)
		return send_now(listener, &what, data);
	if (udp->out_count == OUT || udp->out_used + length > OUT_BYTES) {
		out_flush(udp);
		udp->collecting = true;
	}
	what.at = udp->out_used;
	memcpy(udp->out_bytes + what.at, data, length);
	udp->out_used += length;
	udp->out[udp->out_count++] = what;
	return 0;
}

static void udp_close(struct sip_wire *wire)
{
	struct udp *udp = (struct udp *)wire;

	for (unsigned i = 0; i < udp->count; i++) {
		if (udp->listeners[i].event)
			event_free(udp->listeners[i].event);
		if (udp->listeners[i].fd >= 0)
			close(udp->listeners[i].fd);
	}
	free(udp->out_bytes);
	free(udp->buffers);
	free(udp);
}

static int listener_open(struct listener *listener, struct event_base *base)
{
	bool v6 = listener->local.family == 6;
	int one = 1, size = SOCKET_BUFFER;
	struct sockaddr_storage addr;
	socklen_t length = wire_sockaddr_write(&listener->local, &addr);

	listener->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return -errno;
	if (v6 && setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
		return -errno;
	if (setsockopt(listener->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &one,
		    sizeof(one)) != 0)
		return -errno;
	setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); // as much as the kernel allows
	setsockopt(listener->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(listener->fd, (struct sockaddr *)&addr, length) != 0)
		return -errno;
	listener->event = event_new(base, listener->fd, EV_READ | EV_PERSIST, on_readable, listener);
	return listener->event && event_add(listener->event, NULL) == 0 ? 0 : -ENOMEM;
}

int sip_udp_open(struct event_base *base, const struct kg_addr *listen, unsigned count,
	const struct sip_wire_events *events, struct sip_wire **out, char *err)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	int error = -ENOMEM;

	snprintf(err, 256, "no memory for the SIP sockets");
	if (!udp)
		return -ENOMEM;
	udp->wire = (struct sip_wire){udp_send, udp_close};
	udp->events = *events;
	udp->buffers = malloc(BATCH * sizeof(*udp->buffers));
	udp->out_bytes = malloc(OUT_BYTES);
	if (!udp->buffers || !udp->out_bytes)
		goto fail;
	for (; udp->count < count && udp->count < sizeof(udp->listeners) / sizeof(*udp->listeners); udp->count++) {
		struct listener *listener = &udp->listeners[udp->count];

		*listener = (struct listener){.udp = udp, .local = listen[udp->count], .fd = -1};
		error = listener_open(listener, base);
		if (error) {
			wire_listen_explain(error, SIP_UDP, &listener->local, err);
			udp->count++; // to be closed too
			goto fail;
		}
	}
	*out = &udp->wire;
	return 0;
fail:
	udp_close(&udp->wire);
	return error;
}
