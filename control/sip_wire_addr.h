// SPDX-License-Identifier: BSD-3-Clause
// Addresses between us and the kernel, for sip_udp.c and sip_stream*.c. All: Thread: control.
#pragma once

#include <sys/socket.h>

#include "sip_wire.h"

socklen_t wire_sockaddr_write(const struct kg_addr *addr, struct sockaddr_storage *out);
void wire_sockaddr_read(const struct sockaddr_storage *from, struct kg_addr *out); // family 0: neither IPv4 nor IPv6
bool wire_addr_is_any(const struct kg_addr *addr);
// Why a listener could not be opened, and what to do, into err (256 bytes).
void wire_listen_explain(int error, enum sip_transport transport, const struct kg_addr *local, char *err);
