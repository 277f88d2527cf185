// SPDX-License-Identifier: BSD-3-Clause
// The configuration file as C structs, filled by one schema table (config_schema.c) over libfyaml (config.c).
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"
#include "kg_media.h"
#include "kg_log.h"
#include "sip_limits.h"
#include "sip_wire.h"
#include "offer_codecs.h"

#define CONFIG_NAME 64

struct config_net {
	struct kg_addr addr; // port unused
	uint8_t prefix;      // bits
};

struct config_nic {
	char name[CONFIG_NAME];
	char device[CONFIG_NAME];     // "af_xdp:eth0"
	char interface[CONFIG_NAME];  // "eth0": what stands behind the colon
	struct config_net *addresses; // empty: what the interface has
	size_t address_count;
	struct config_net *advertise; // what SDP and Contact say instead, see config_advertised
	size_t advertise_count;
	bool owned;    // DPDK has the device, the kernel a TAP: `interface` is that, `addresses` are given to it
	unsigned vlan; // 0: none
};

struct config_listen {
	enum sip_transport transport;
	struct kg_addr addr;
};

struct config_trunk {
	char name[CONFIG_NAME];
	char *target_uri;        // "sip:192.0.2.20:5060"
	struct kg_addr target;   // its address; the transport's port where none is written. None: it is a name
	char target_host[128];   // the name; "": an address
	uint16_t target_port;    // of the name; 0: as DNS says
	int transport;           // 1 + enum sip_transport; 0: UDP, and TCP for what is too large for a datagram
	int uri_transport;       // the same, as `target` says it
	struct config_net *from; // calls from here are this trunk's; filled with target/32 where not written
	size_t from_count;
	char nic[CONFIG_NAME];   // "": by the kernel's route
	bool behind_nat;         // its parties: media is latched, requests in a dialog go to where theirs come from
	uint32_t ring_timeout_s; // no answer after this: CANCEL, 408 to the caller (default 180)
	char username[CONFIG_NAME], password[CONFIG_NAME]; // who we are where it asks; "": nobody
	bool trusted;                 // it may know, and is believed, who callers are (default true)
	bool refer;                   // REFER passes (default false)
	uint32_t session_expires_s;   // RFC 4028; 0: off (default 1800)
	uint32_t prack;               // enum sip_prack
	char (*headers)[CONFIG_NAME]; // that pass to it beside the usual ones
	size_t header_count;
	struct offer_policy codecs; // its parties' codecs
	uint32_t max_calls, cps;    // both directions together, at once and a second; 0: no limit (default)
};

enum config_target_kind { CONFIG_TO_TRUNK, CONFIG_TO_NEXT_HOP };

struct config_target {
	enum config_target_kind kind;
	unsigned trunk; // index into trunks
};

// A user who must authenticate.
struct config_endpoint {
	char user[CONFIG_NAME], password[CONFIG_NAME];
	char (*groups)[CONFIG_NAME];
	size_t group_count;
	bool trusts_sdp; // behind_nat: false
	struct offer_policy codecs;
	uint32_t max_calls; // at once; 0: no limit (default)
};

struct config_route {
	char match_endpoint[CONFIG_NAME]; // a user, "*": any; "": calls of endpoints are not asked for
	int match_trunk;                  // index into trunks, -1: any
	bool has_to, has_from;
	regex_t to, from;          // POSIX extended, on the user part
	struct config_net *source; // NULL: any
	struct config_target *targets;
	size_t target_count;
	uint32_t strip;
	char prefix[CONFIG_NAME];
	bool has_codecs; // of whom is called, instead of the trunk's
	struct offer_policy codecs;
};

struct config {
	char *file;
	struct config_nic *nics;
	size_t nic_count;
	int relay_cpus[KG_MEDIA_LCORES]; // lcores.relay: [N, ...]
	unsigned relay_count;            // 0: chosen from the machine
	int dsp_cpus[KG_MEDIA_LCORES];   // lcores.dsp: [N, ...]
	unsigned dsp_count;              // 0: as many as relay lcores, on any CPU
	bool spin;                       // lcores.idle: spin | adaptive (default)
	uint16_t port_first, port_last;  // media.ports
	struct config_net *media_deny;   // media.deny: networks that no media is sent to
	size_t media_deny_count;
	uint32_t timeout_s, hold_timeout_s;
	uint32_t max_calls;            // media.max_calls, default 4096
	struct config_listen *listens; // empty: udp 5060 on every nic's address
	size_t listen_count;
	char *tls_certificate, *tls_key, *tls_ca; // sip.tls: PEM files; "": none
	bool tls_verify_clients;
	char realm[CONFIG_NAME];                      // sip.realm, default "kedge"
	char *dns_servers;                            // sip.dns.servers: "IP:PORT,..."; "": the system's
	uint32_t connections, connections_per_source; // sip.limits
	struct config_endpoint *endpoints;            // by user
	size_t endpoint_count;
	struct sip_limits_config limits; // sip.strangers: reject (default) | silent; sip.limits
	uint32_t cps;                    // sip.limits.cps: calls a second of all trunks together; 0: no limit (default)
	struct config_trunk *trunks;
	size_t trunk_count;
	struct config_route *routes;
	size_t route_count;
	char user[CONFIG_NAME];    // "": keep the rights that it was started with
	char *cdr_file;            // "/var/log/kedge/cdr.jsonl"
	struct kg_addr api_listen; // 127.0.0.1:8080; none where "off"
	char *api_socket;          // "/run/kedge/kedge.sock"
	bool api_telemetry;        // DPDK's telemetry socket, beside it
	enum kg_log_level log_level;
	bool log_json;
};

// Read and check a file. Every error is reported (not only the first), a line each, as
// "FILE:LINE: KEY: what is wrong and what to write", through `report`.
// Owns: *out is the caller's, to be freed by config_destroy.
// Returns: 0, or -EINVAL (errors were reported), -ENOENT, -EACCES (reported too).
typedef void (*config_report_fn)(const char *line, void *arg);
int config_load(const char *file, struct config **out, config_report_fn report, void *arg);

// The same from memory; `name` stands for FILE. For tests and fuzzing.
int config_parse(
	const char *name, const char *text, size_t length, struct config **out, config_report_fn report, void *arg);

void config_destroy(struct config *config);

const struct config_endpoint *config_endpoint(const struct config *config, const char *user); // NULL: none

// Does `addr` lie in `net`?
bool config_net_has(const struct config_net *net, const struct kg_addr *addr);

// What SDP, Via and Contact say for a local address of the nic: its advertised one, else itself. The port is local's.
void config_advertised(const struct config_nic *nic, const struct kg_addr *local, struct kg_addr *out);

// What of `next` cannot be applied by a reload to an engine that runs `now` (nics, lcores, listen, media.ports, api):
// reports "FILE: KEY: ..." a line for each. Returns: number of such keys.
unsigned config_frozen(const struct config *now, const struct config *next, config_report_fn report, void *arg);

// Does a trunk of `next` name a nic that the engine that runs `now` does not have? Each is reported, a line each.
bool config_lacks_nic(const struct config *now, const struct config *next, config_report_fn report, void *arg);

// Keep in `next` what config_frozen names as it is in `now`; `now` gets next's in exchange and is to be destroyed.
void config_keep_frozen(struct config *now, struct config *next);
