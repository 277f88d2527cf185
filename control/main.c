// SPDX-License-Identifier: BSD-3-Clause
// kedged: starts the rooms in the order of one table, turns the loop, and stops them in the opposite order.

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "api.h"
#include "calls.h"
#include "cdr.h"
#include "config.h"
#include "dns.h"
#include "events.h"
#include "health.h"
#include "log.h"
#include "netlink.h"
#include "ports.h"
#include "privileges.h"
#include "router.h"
#include "sip_session.h"
#include "wheel.h"

#define DEFAULT_FILE "/etc/kedge/kedge.yaml"
#define TICK_MS 10         // of the wheel and of the media plane's events
#define PORT_GUARD_MS 2000 // how long a media port rests after a call
#define DRAIN_MS 5000      // how long a stop waits for peers to answer BYE
#define EVENTS_KEPT 4096
#define WATCHDOG_MS 1000

static const char no_file[] =
	"kedged: " DEFAULT_FILE " is not there. Write it (or give -c FILE); three lines are enough:\n"
	"\n"
	"  nics: [{name: lan, device: \"af_xdp:eth0\"}]\n"
	"  trunks: [{name: proxy, target: \"sip:192.0.2.20:5060\"}]\n"
	"  routes: [{match: {trunk: proxy}, to: [next_hop]}]\n"
	"\n"
	"with your interface for eth0 and your SIP proxy's address for 192.0.2.20. `kedged -C -c FILE` checks a "
	"file.\n";

static struct engine {
	const char *file;
	struct config *config;
	struct event_base *base;
	struct event *tick, *signals[3];
	struct wheel *wheel;
	struct netlink *netlink;
	struct kg_media *media;
	struct ports *ports;
	struct events *events;
	struct cdr *cdr;
	struct calls *calls;
	struct dns *dns;
	struct sip_stack *stack;
	struct health *health;
	struct api *api;
	uint64_t stop_at_ms; // 0: not stopping
	char err[256];
} engine;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void report_line(const char *line, void *arg)
{
	fprintf(arg, "%s\n", line);
}

// --- nics and their addresses -------------------------------------------------------------------------------------

static unsigned nic_addresses(const struct config_nic *nic, struct kg_addr *out)
{
	int count;

	if (!nic->address_count) {
		count = netlink_addresses(engine.netlink, nic->interface, out, KG_MEDIA_NIC_ADDRS);
		return count > 0 ? (unsigned)count : 0;
	}
	count = (int)(nic->address_count < KG_MEDIA_NIC_ADDRS ? nic->address_count : KG_MEDIA_NIC_ADDRS);
	for (int i = 0; i < count; i++)
		out[i] = nic->addresses[i].addr;
	return (unsigned)count;
}

static void addresses_changed(void *arg)
{
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];

	for (size_t i = 0; i < engine.config->nic_count; i++) {
		unsigned count = nic_addresses(&engine.config->nics[i], addrs);
		int error = kg_media_nic_addresses(engine.media, (unsigned)i, addrs, count);

		if (error)
			kg_error("nic", "%s: its addresses could not be given to the media plane: %s",
				engine.config->nics[i].name, strerror(-error));
	}
}

// --- the rooms, in the order in which they start ------------------------------------------------------------------

static int start_loop(void)
{
	engine.base = event_base_new();
	if (engine.base) // 0: the clock and the kernel's news, 1: everything else
		event_base_priority_init(engine.base, 2);
	engine.wheel = wheel_create(now_ms());
	return engine.base && engine.wheel ? 0 : -ENOMEM;
}

static void stop_loop(void)
{
	if (engine.wheel)
		wheel_destroy(engine.wheel);
	if (engine.base)
		event_base_free(engine.base);
}

static int start_netlink(void)
{
	return netlink_open(engine.base, &engine.netlink, engine.err);
}

static void stop_netlink(void)
{
	netlink_close(engine.netlink);
}

// The relay lcore that will have the packets of a pair of ports.
static unsigned lcore_of(void *arg, const struct kg_addr *pair)
{
	struct kg_nic_info nic;

	for (unsigned i = 0; kg_media_nic_info(engine.media, i, &nic) == 0; i++)
		for (unsigned j = 0; j < nic.addr_count; j++)
			if (kg_addr_same_ip(&nic.addrs[j], pair))
				return kg_media_lcore_of(engine.media, i, pair);
	return 0;
}

static int start_media(void)
{
	const struct config *config = engine.config;
	struct kg_media_config media = {
		.relay_count = config->relay_count,
		.dsp_count = config->dsp_count,
		.control_cpu = -1,
		.idle = config->spin ? KG_IDLE_SPIN : KG_IDLE_ADAPTIVE,
		.max_legs = 2 * config->max_calls,
		.port_first = config->port_first,
		.port_last = config->port_last,
		.nic_count = (unsigned)config->nic_count,
	};
	char socket[128];
	int error;

	snprintf(socket, sizeof(socket), "%s", config->api_socket);
	if (config->api_telemetry)
		media.telemetry_dir = dirname(socket);
	for (size_t i = 0; i < config->nic_count; i++) {
		snprintf(media.nics[i].name, sizeof(media.nics[i].name), "%.31s", config->nics[i].name);
		snprintf(media.nics[i].device, sizeof(media.nics[i].device), "%.63s", config->nics[i].device);
		media.nics[i].vlan = (uint16_t)config->nics[i].vlan;
		for (size_t j = 0; j < config->nics[i].address_count && j < KG_MEDIA_NIC_ADDRS; j++)
			media.nics[i].addrs[media.nics[i].addr_count++] = (struct kg_media_prefix){
				config->nics[i].addresses[j].addr, config->nics[i].addresses[j].prefix};
	}
	memcpy(media.relay_cpus, config->relay_cpus, sizeof(media.relay_cpus));
	memcpy(media.dsp_cpus, config->dsp_cpus, sizeof(media.dsp_cpus));
	error = kg_media_open(&media, &engine.media, engine.err);
	if (error)
		return error;
	addresses_changed(NULL);
	netlink_on_change(engine.netlink, addresses_changed, NULL);
	return 0;
}

static void stop_media(void)
{
	netlink_on_change(engine.netlink, NULL, NULL);
	kg_media_close(engine.media);
}

static int start_books(void)
{
	engine.ports = ports_create(engine.config->port_first, engine.config->port_last, PORT_GUARD_MS);
	engine.events = events_create(EVENTS_KEPT);
	if (!engine.ports || !engine.events)
		return -ENOMEM;
	ports_set_kinds(engine.ports, kg_media_lcores(engine.media), lcore_of, NULL);
	kg_info("main", "media ports %u-%u: room for %u legs on each address", engine.config->port_first,
		engine.config->port_last, ports_capacity(engine.ports));
	return cdr_open(engine.config->cdr_file, engine.events, &engine.cdr, engine.err);
}

static void stop_books(void)
{
	if (engine.cdr)
		cdr_close(engine.cdr);
	if (engine.events)
		events_destroy(engine.events);
	ports_destroy(engine.ports);
}

static int start_calls(void)
{
	const struct calls_options options = {
		.config = engine.config,
		.media = engine.media,
		.netlink = engine.netlink,
		.ports = engine.ports,
		.events = engine.events,
		.cdr = engine.cdr,
		.wheel = engine.wheel,
	};

	engine.calls = calls_create(&options);
	return engine.calls ? 0 : -ENOMEM;
}

static void stop_calls(void)
{
	calls_destroy(engine.calls);
}

static int source_for(void *arg, const struct kg_addr *target, struct kg_addr *source)
{
	struct netlink_route route;
	int error = netlink_route(engine.netlink, target, NULL, &route);

	if (!error)
		*source = route.source;
	return error;
}

// In Via and Contact: the nic's advertised address for ours.
static void advertised(void *arg, const struct kg_addr *local, struct kg_addr *out)
{
	struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];

	for (size_t i = 0; i < engine.config->nic_count; i++) {
		const struct config_nic *nic = &engine.config->nics[i];
		unsigned count = nic->advertise_count ? nic_addresses(nic, addrs) : 0;

		for (unsigned j = 0; j < count; j++)
			if (kg_addr_same_ip(&addrs[j], local))
				config_advertised(nic, local, out);
	}
}

static bool behind_nat(void *arg, const struct kg_addr *peer)
{
	int trunk = router_trunk(engine.config, peer);

	// Whom no trunk knows is an endpoint, and may sit anywhere.
	return trunk < 0 ? engine.config->endpoint_count > 0 : engine.config->trunks[trunk].behind_nat;
}

// The name that the certificate of a trunk at this address must prove.
static const char *peer_name(void *arg, const struct kg_addr *peer)
{
	int trunk = router_trunk(engine.config, peer);

	return trunk >= 0 && *engine.config->trunks[trunk].target_host
		       ? sip_stack_name(engine.stack, engine.config->trunks[trunk].target_host)
		       : NULL;
}

static bool has_endpoints(void *arg)
{
	return engine.config->endpoint_count > 0;
}

static const char *password_of(void *arg, const char *user)
{
	const struct config_endpoint *endpoint = config_endpoint(engine.config, user);

	return endpoint ? endpoint->password : NULL;
}

static struct sip_tls_files tls_files(const struct config *config)
{
	return (struct sip_tls_files){
		config->tls_certificate, config->tls_key, config->tls_ca, config->tls_verify_clients};
}

static int start_dns(void)
{
	const struct dns_options options = {.servers = *engine.config->dns_servers ? engine.config->dns_servers : NULL};

	return dns_open(engine.base, &options, &engine.dns, engine.err);
}

static void stop_dns(void)
{
	dns_close(engine.dns);
}

static int start_sip(void)
{
	struct sip_stack_options options = {
		.base = engine.base,
		.wheel = engine.wheel,
		.ops = &calls_session_ops,
		.arg = engine.calls,
		.source_for = source_for,
		.advertised = advertised,
		.behind_nat = behind_nat,
		.peer_name = peer_name,
		.has_endpoints = has_endpoints,
		.password_of = password_of,
		.realm = engine.config->realm,
		.dns = engine.dns,
		.tls = tls_files(engine.config),
		.wires = {.connections = engine.config->connections,
			.per_source = engine.config->connections_per_source},
		.user_agent = "kedge/" KEDGE_VERSION,
		.limits = engine.config->limits,
	};
	const unsigned room = sizeof(options.listen) / sizeof(*options.listen);
	int error;

	for (size_t i = 0; i < engine.config->listen_count && options.listen_count < room; i++)
		options.listen[options.listen_count++] =
			(struct sip_listen){engine.config->listens[i].transport, engine.config->listens[i].addr};
	for (size_t i = 0; i < engine.config->nic_count && !engine.config->listen_count; i++) {
		struct kg_addr addrs[KG_MEDIA_NIC_ADDRS];
		unsigned count = nic_addresses(&engine.config->nics[i], addrs);

		for (unsigned j = 0; j < count && options.listen_count + 1 < room; j++) {
			addrs[j].port = SIP_DEFAULT_PORT;
			options.listen[options.listen_count++] = (struct sip_listen){SIP_UDP, addrs[j]};
			options.listen[options.listen_count++] = (struct sip_listen){SIP_TCP, addrs[j]};
		}
	}
	if (!options.listen_count) {
		snprintf(engine.err, sizeof(engine.err),
			"no nic has an IPv4 address to listen on: give its interface one (ip address add ADDRESS/24 "
			"dev %s), or "
			"write sip.listen",
			engine.config->nics[0].interface);
		return -EADDRNOTAVAIL;
	}
	error = sip_stack_open(&options, &engine.stack, engine.err);
	if (!error)
		calls_attach(engine.calls, engine.stack);
	return error;
}

static void stop_sip(void)
{
	sip_stack_close(engine.stack);
}

static int start_health(void)
{
	const struct health_options options = {
		.media = engine.media,
		.ports = engine.ports,
		.cdr = engine.cdr,
		.events = engine.events,
		.cdr_file = engine.config->cdr_file,
	};

	engine.health = health_create(&options);
	return engine.health ? 0 : -ENOMEM;
}

static void stop_health(void)
{
	health_destroy(engine.health);
}

static int reload(void *arg, char **report);

static int start_api(void)
{
	const struct api_options options = {
		.base = engine.base,
		.config = engine.config,
		.calls = engine.calls,
		.stack = engine.stack,
		.media = engine.media,
		.ports = engine.ports,
		.events = engine.events,
		.cdr = engine.cdr,
		.health = engine.health,
		.reload = reload,
	};

	return api_open(&options, &engine.api, engine.err);
}

static void stop_api(void)
{
	api_close(engine.api);
}

static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_signal(evutil_socket_t signal, short what, void *arg);

static int start_turning(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	const struct timeval tick = {0, TICK_MS * 1000};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		engine.signals[i] = evsignal_new(engine.base, signals[i], on_signal, NULL);
		if (!engine.signals[i] || event_add(engine.signals[i], NULL))
			return -ENOMEM;
	}
	engine.tick = event_new(engine.base, -1, EV_PERSIST, on_tick, NULL);
	if (engine.tick) // first of what is due: who starts a timer after a stall must not count from before it
		event_priority_set(engine.tick, 0);
	return engine.tick && event_add(engine.tick, &tick) == 0 ? 0 : -ENOMEM;
}

static void stop_turning(void)
{
	for (size_t i = 0; i < sizeof(engine.signals) / sizeof(*engine.signals); i++)
		if (engine.signals[i])
			event_free(engine.signals[i]);
	if (engine.tick)
		event_free(engine.tick);
}

// All that takes rights is open: what comes from a network from now on is met by a process that has hardly any.
static int start_guard(void)
{
	const char *files[6] = {engine.config->cdr_file, engine.config->api_socket};

	kg_media_files(files + 2);
	kg_media_keep_out_of_cores();
	if (!*engine.config->user) {
		kg_info("main", "it keeps the rights that it was started with: write `user: NAME` to drop them");
		return 0;
	}
	return privileges_drop(engine.config->user, files, engine.err);
}

static void stop_guard(void)
{
	privileges_notify("STOPPING=1");
}

// A room that fails to start has given back what it had taken.
static const struct room {
	const char *name;
	int (*start)(void);
	void (*stop)(void);
} rooms[] = {
	{"loop", start_loop, stop_loop},
	{"netlink", start_netlink, stop_netlink},
	{"media", start_media, stop_media},
	{"books", start_books, stop_books},
	{"calls", start_calls, stop_calls},
	{"dns", start_dns, stop_dns},
	{"sip", start_sip, stop_sip},
	{"health", start_health, stop_health},
	{"api", start_api, stop_api},
	{"main", start_turning, stop_turning},
	{"privileges", start_guard, stop_guard},
};
#define ROOMS (sizeof(rooms) / sizeof(*rooms))

// --- turning ------------------------------------------------------------------------------------------------------

// systemd hears from us only while media flows too: an engine whose lcore is stuck is one to be started again.
static void feed_watchdog(uint64_t now)
{
	static uint64_t fed_ms;

	if (now - fed_ms < WATCHDOG_MS || !health_good(engine.health, HEALTH_lcore))
		return;
	fed_ms = now;
	privileges_notify("WATCHDOG=1");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now = now_ms();

	wheel_advance(engine.wheel, now);
	kg_media_poll(engine.media, calls_media_event, engine.calls);
	health_turn(engine.health, now, TICK_MS);
	feed_watchdog(now);
	if (engine.stop_at_ms && (now >= engine.stop_at_ms || calls_idle(engine.calls)))
		event_base_loopbreak(engine.base);
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	if (signal == SIGHUP) {
		char *report = NULL;

		reload(NULL, &report);
		free(report);
	} else if (engine.stop_at_ms) {
		kg_warn("main", "asked to stop twice: stopping without waiting for peers");
		event_base_loopbreak(engine.base);
	} else {
		kg_info("main", "stopping: calls are ended, at most %d s", DRAIN_MS / 1000);
		engine.stop_at_ms = now_ms() + DRAIN_MS;
		calls_shutdown(engine.calls);
	}
}

// --- reload -------------------------------------------------------------------------------------------------------

static void reload_line(const char *line, void *arg)
{
	kg_warn("config", "%s", line);
	fprintf(arg, "%s\n", line);
}

// Connections that stand stay; wrong files leave the old ones in force.
static void reload_tls(const struct config *config, FILE *out)
{
	const struct sip_tls_files files = tls_files(config);
	char err[256], line[512];

	if (sip_stack_reload_tls(engine.stack, &files, err) == 0)
		return;
	snprintf(line, sizeof(line), "%s: sip.tls: %s; the old files stay in force", config->file, err);
	reload_line(line, out);
}

// Read the file again. A wrong file changes nothing. Returns: 0 or -errno, and what there is to say in *report.
static int reload(void *arg, char **report)
{
	size_t length;
	FILE *out = open_memstream(report, &length);
	struct config *next = NULL, *now = engine.config;
	int error;

	if (!out)
		return -ENOMEM;
	error = config_load(engine.file, &next, reload_line, out);
	if (!error && config_lacks_nic(now, next, reload_line, out))
		error = -EINVAL;
	if (error) {
		config_destroy(next);
		reload_line("the file was not applied: the engine goes on with what it has", out);
		goto out;
	}
	config_frozen(now, next, reload_line, out);
	config_keep_frozen(now, next);
	engine.config = next;
	log_init(next->log_level, next->log_json);
	calls_reload(engine.calls, next);
	sip_stack_set_limits(engine.stack, &next->limits);
	reload_tls(next, out);
	api_set_config(engine.api, next);
	cdr_reopen(engine.cdr);
	config_destroy(now);
	kg_info("config", "%s was read again: trunks and routes are in force", engine.file);
	fprintf(out, "trunks and routes are in force\n");
out:
	fclose(out);
	return error;
}

// --- main ---------------------------------------------------------------------------------------------------------

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: kedged [-C] [-c FILE]\n"
		     "  -c FILE  configuration (default " DEFAULT_FILE ")\n"
		     "  -C       check the configuration and exit: 0 good, 1 not\n"
		     "  -V       print the version\n");
	return status;
}

static int run(void)
{
	size_t started = 0;
	int error = 0;

	while (started < ROOMS && !error) {
		engine.err[0] = '\0';
		error = rooms[started].start();
		if (!error)
			started++;
	}
	if (error) {
		kg_error(rooms[started].name, "%s", engine.err[0] ? engine.err : strerror(-error));
	} else {
		kg_info("main", "kedge " KEDGE_VERSION " is ready (pid %d)", (int)getpid());
		privileges_notify("READY=1");
		event_base_dispatch(engine.base);
	}
	while (started-- > 0)
		rooms[started].stop();
	if (!error)
		kg_info("main", "stopped");
	return error ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool check = false;
	int option, status;

	engine.file = DEFAULT_FILE;
	while ((option = getopt(argc, argv, "c:ChV")) != -1) {
		switch (option) {
		case 'c':
			engine.file = optarg;
			break;
		case 'C':
			check = true;
			break;
		case 'V':
			printf("kedged " KEDGE_VERSION "\n");
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	if (strcmp(engine.file, DEFAULT_FILE) == 0 && access(engine.file, F_OK) != 0) {
		fputs(no_file, stderr);
		return 1;
	}
	if (config_load(engine.file, &engine.config, report_line, stderr) != 0)
		return 1;
	if (check) {
		config_destroy(engine.config);
		printf("%s: good\n", engine.file);
		return 0;
	}
	log_init(engine.config->log_level, engine.config->log_json);
	status = run();
	config_destroy(engine.config);
	return status;
}
