// SPDX-License-Identifier: BSD-3-Clause
// kedgectl as it is typed: the program itself, its exit status and both outputs, against an engine that answers by
// script.

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
	char dir[64], socket[108];
	int listener;
	char asked[4096], out[16384], err[16384];
	int status;
} t;

static int prepare(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	memset(&t, 0, sizeof(t));
	alarm(60); // the tests wait for the program: it must not wait for them
	snprintf(t.dir, sizeof(t.dir), "%s/kedge-ctl-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.socket, sizeof(t.socket), "%s/s", t.dir);
	strcpy(name.sun_path, t.socket);
	t.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(t.listener, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(t.listener, 4), 0);
	return 0;
}

static int clean(void **state)
{
	close(t.listener);
	unlink(t.socket);
	rmdir(t.dir);
	return 0;
}

static void read_back(FILE *file, char *out, size_t size)
{
	rewind(file);
	out[fread(out, 1, size - 1, file)] = '\0';
	fclose(file);
}

// Run it with these words, up to NULL. answer: what the engine sends back, NULL where it is not asked.
static void run(const char *answer, ...)
{
	char *words[16] = {(char *)"kedgectl"};
	FILE *out = tmpfile(), *err = tmpfile();
	int count = 1, status, fd;
	ssize_t got;
	va_list args;
	pid_t pid;

	va_start(args, answer);
	while (count < 15 && (words[count] = va_arg(args, char *)))
		count++;
	va_end(args);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		execv(KEDGECTL, words);
		_exit(99);
	}
	t.asked[0] = '\0';
	if (answer) {
		fd = accept(t.listener, NULL, NULL);
		assert_true(fd >= 0);
		got = read(fd, t.asked, sizeof(t.asked) - 1);
		t.asked[got > 0 ? got : 0] = '\0';
		assert_int_equal(write(fd, answer, strlen(answer)), strlen(answer));
		close(fd);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	t.status = WEXITSTATUS(status);
	read_back(out, t.out, sizeof(t.out));
	read_back(err, t.err, sizeof(t.err));
}

static const char *answer(int status, const char *body)
{
	static char text[16384];

	snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Type: x\r\ncontent-length: %zu\r\n\r\n%s", status,
		strlen(body), body);
	return text;
}

static void assert_fits(const char *text)
{
	for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
		assert_in_range(strcspn(at, "\n"), 0, 100);
}

#define CALL_ID "11111111-2222-4333-8444-555555555555"
#define FIGURES                                                                                                     \
	"\"rx\":{\"packets\":1999999,\"bytes\":171999828,\"lost\":3,\"duplicate\":1,\"reordered\":2,\"jitter_us\":" \
	"1250,\"rtcp_packets\":7,\"drops\":{\"wrong_source\":4}},"                                                  \
	"\"tx\":{\"packets\":12,\"bytes\":2064,\"rtcp_packets\":1}"
#define LEG(n, role)                                                                                            \
	"{\"id\":\"" CALL_ID "-" n "\",\"role\":\"" role "\",\"call\":\"" CALL_ID "\",\"sip_call_id\":\"a@b\"," \
	"\"dialog\":\"confirmed\",\"from\":\"<sip:1001@192.0.2.1>\",\"to\":\"\\\"Bob\\\" "                      \
	"<sip:+4989123456789@192.0.2.2>\","                                                                     \
	"\"nic\":\"lan\",\"codec\":\"PCMA\",\"dtmf\":\"rfc4733\",\"srtp\":\"none\","                            \
	"\"local\":\"192.168.100.100:32766\",\"remote\":\"192.168.200.200:65534\",\"latching\":\"latched\","    \
	"\"refused\":{\"packets\":4,\"last_source\":\"203.0.113.9:40000\",\"last_ssrc\":48879}," FIGURES "}"
#define CALL(created)                                                                                             \
	"{\"id\":\"" CALL_ID "\",\"state\":\"early_media\",\"business\":\"ringing\",\"created\":\"" created "\"," \
	"\"answered\":null,\"ended\":null,\"cause\":null,\"legs\":[" LEG("0", "caller") "," LEG("1", "callee") "]}"

static void calls_are_listed(void **state)
{
	run(answer(200, "{\"items\":[" CALL("2026-11-23T01:02:03.456789Z") "]}"), "-s", t.socket, "call", "list", NULL);
	assert_int_equal(t.status, 0);
	assert_memory_equal(t.asked, "GET /v1/calls HTTP/1.1\r\n", 24);
	assert_string_equal(t.err, "");
	assert_fits(t.out);
	assert_non_null(strstr(t.out, "\n" CALL_ID " early_media "));
	assert_non_null(strstr(t.out, " 1001       +498912345 PCMA    1999k  1999k\n"));
	run(answer(200, "{\"items\":[]}"), "-s", t.socket, "call", "list", NULL);
	assert_string_equal(t.out, "no calls\n");
}

static void an_age_is_in_units_for_people(void **state)
{
	static const struct {
		int seconds;
		const char *early, *late; // the second may turn meanwhile
	} cases[] = {{65, " 1:05 ", " 1:06 "}, {3725, " 1:02:05 ", " 1:02:06 "}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		time_t then = time(NULL) - cases[i].seconds;
		char stamp[32], body[512];
		struct tm tm;

		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", gmtime_r(&then, &tm));
		snprintf(body, sizeof(body),
			"{\"items\":[{\"id\":\"x\",\"state\":\"held\",\"created\":\"%s.000000Z\"}]}", stamp);
		run(answer(200, body), "-s", t.socket, "call", "list", NULL);
		assert_true(strstr(t.out, cases[i].early) || strstr(t.out, cases[i].late));
	}
}

static void a_call_is_shown(void **state)
{
	run(answer(200,
		    "{\"id\":\"c\",\"state\":\"disconnected\",\"business\":\"released\",\"created\":"
		    "\"2026-11-23T01:02:03.000000Z\",\"answered\":\"2026-11-23T01:02:04.500000Z\",\"ended\":"
		    "\"2026-11-23T01:04:08.000000Z\",\"cause\":{\"layer\":\"call\",\"code\":200,\"reason\":\"normal\","
		    "\"message\":\"hung up\"},\"legs\":[" LEG("0", "caller") "]}"),
		"-s", t.socket, "call", "show", "c", NULL);
	assert_int_equal(t.status, 0);
	assert_memory_equal(t.asked, "GET /v1/calls/c HTTP/1.1\r\n", 26);
	assert_fits(t.out);
	assert_string_equal(t.out,
		"call c  disconnected  (released)\n"
		"  created 2026-11-23T01:02:03.000000Z  answered after 1.5 s  ended after 2:05\n"
		"  cause normal (call layer, 200): hung up\n"
		"  caller  " CALL_ID "-0  on lan\n"
		"    from <sip:1001@192.0.2.1>  to \"Bob\" <sip:+4989123456789@192.0.2.2>\n"
		"    dialog confirmed  Call-ID a@b\n"
		"    media 192.168.100.100:32766 <-> 192.168.200.200:65534  codec PCMA  dtmf rfc4733  srtp none\n"
		"    rx   1999999 packets    172.0 MB       7 RTCP\n"
		"        lost 3  duplicate 1  reordered 2  jitter 1.25 ms\n"
		"    tx        12 packets      2064 B       1 RTCP\n"
		"    drop wrong_source         4\n"
		"    behind NAT: at a port that was learned from its media\n"
		"    refused 4 packets that are not from its remote, last from 203.0.113.9:40000 SSRC beef\n");
}

static void a_call_is_hung_up(void **state)
{
	run(answer(202, CALL("2026-11-23T01:02:03Z")), "-s", t.socket, "call", "hangup", CALL_ID, NULL);
	assert_int_equal(t.status, 0);
	assert_memory_equal(t.asked, "DELETE /v1/calls/" CALL_ID " HTTP/1.1\r\n", 64);
	assert_string_equal(t.out, "call " CALL_ID " is being ended\n");
}

static void legs_are_listed_and_shown(void **state)
{
	run(answer(200, "{\"items\":[" LEG("0", "caller") "]}"), "-s", t.socket, "leg", "list", NULL);
	assert_int_equal(t.status, 0);
	assert_fits(t.out);
	assert_non_null(
		strstr(t.out, "\n" CALL_ID "-0 caller 192.168.100.100:32766 192.168.200.200:65534 1999k    3\n"));
	run(answer(200, LEG("0", "caller")), "-s", t.socket, "leg", "show", CALL_ID "-0", NULL);
	assert_memory_equal(t.asked, "GET /v1/legs/" CALL_ID "-0 ", 52);
	assert_memory_equal(t.out, "leg of call " CALL_ID "\n", 49);
	assert_fits(t.out);
}

static void the_engine_is_shown(void **state)
{
	run(answer(200,
		    "{\"items\":[{\"name\":\"lan\",\"device\":\"af_xdp:eth0\",\"driver\":\"net_af_xdp\",\"link_up\":"
		    "true,"
		    "\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,\"addresses\":[\"192.0.2.10\"],\"rx\":{\"packets\":5,"
		    "\"bytes\":20000,\"missed\":1,\"errors\":2},\"tx\":{\"packets\":6,\"bytes\":12345678901}}]}"),
		"-s", t.socket, "nic", "show", NULL);
	assert_memory_equal(t.asked, "GET /v1/nics ", 13);
	assert_fits(t.out);
	assert_non_null(
		strstr(t.out, "\n  rx 5 packets, 20.0 kB, 1 missed, 2 errors\n  tx 6 packets, 12.3 GB, 0 errors\n"));
	run(answer(200,
		    "{\"items\":[{\"lcore\":1,\"cpu\":1,\"role\":\"relay\",\"idle\":\"adaptive\",\"legs\":2,"
		    "\"busy_share\":0.125,\"heartbeat_age_us\":1500,\"packets\":10,\"bursts\":4,\"stages\":[{\"name\":"
		    "\"rx\",\"packets\":10,\"cycles_per_packet\":41.6}]}]}"),
		"-s", t.socket, "lcore", "show", NULL);
	assert_fits(t.out);
	assert_memory_equal(t.out, "lcore 1  cpu 1  relay  adaptive  legs 2  busy 12.5 %  heartbeat 1.5 ms ago\n", 75);
	assert_non_null(strstr(t.out, "  rx                   10             42\n"));
	run(answer(200, "+--+\n|rx|\n"), "-s", t.socket, "lcore", "show", "--graph", NULL);
	assert_memory_equal(t.asked, "GET /v1/lcores/graph ", 21);
	assert_string_equal(t.out, "+--+\n|rx|\n");
	run(answer(200, "{\"calls\":{\"live\":2},\"media\":{\"drops\":{\"no_leg\":3}}}"), "-s", t.socket, "stats",
		"show", NULL);
	assert_string_equal(t.out,
		"calls      live                                2\ndrops      no_leg                              3\n");
	run(answer(200, "{\"report\":\"trunks and routes are in force\\n\"}"), "-s", t.socket, "config", "reload",
		NULL);
	assert_memory_equal(t.asked, "POST /v1/config/reload ", 23);
	assert_string_equal(t.out, "trunks and routes are in force\n");
	assert_int_equal(t.status, 0);
}

static void raw_is_what_the_engine_sent(void **state)
{
	run(answer(200, "{\"items\":[ ]}"), "-s", t.socket, "-j", "call", "list", NULL);
	assert_string_equal(t.out, "{\"items\":[ ]}\n");
	run(answer(200, "{\"items\":[]}"), "-s", t.socket, "leg", "list", "-j", NULL);
	assert_string_equal(t.out, "{\"items\":[]}\n");
	setenv("KEDGE_SOCKET", t.socket, 1);
	run(answer(200, "{\"a\":1}"), "-j", "stats", "show", NULL);
	unsetenv("KEDGE_SOCKET");
	assert_string_equal(t.out, "{\"a\":1}\n");
}

static void a_refusal_ends_with_1(void **state)
{
	const char *problem = "{\"title\":\"No such call\",\"status\":404,\"detail\":\"see the list\"}";

	run(answer(404, problem), "-s", t.socket, "call", "show", "x", NULL);
	assert_int_equal(t.status, 1);
	assert_string_equal(t.out, "");
	assert_string_equal(t.err, "kedgectl: No such call: see the list\n");
	run(answer(409, problem), "-s", t.socket, "-j", "config", "reload", NULL);
	assert_int_equal(t.status, 1);
	assert_string_equal(t.out, "{\"title\":\"No such call\",\"status\":404,\"detail\":\"see the list\"}\n");
}

static void wrong_words_show_what_exists(void **state)
{
	static const struct {
		const char *words[4], *said, *shown, *not_shown;
	} cases[] = {
		{{NULL}, "usage: kedgectl [-s SOCKET]", "config reload", NULL},
		{{"frob", "list"}, "kedgectl: there is no \"frob\"; there are:\n", "nic show", NULL},
		{{"call"}, "kedgectl: call needs a verb; there are:\n", "call hangup ID", "nic show"},
		{{"call", "frob"}, "kedgectl: call has no \"frob\"; there are:\n", "call hangup ID", "nic show"},
		{{"call", "show"}, "kedgectl: call show needs an id: `kedgectl call list` shows them\n", "", NULL},
		{{"call", "show", "../stats"}, "kedgectl: \"../stats\" does not fit here:\n", "call show", "nic show"},
		{{"call", "list", "x"}, "kedgectl: \"x\" does not fit here:\n", "call list", "nic show"},
		{{"lcore", "show", "--grap"}, "kedgectl: \"--grap\" does not fit here:\n", "[--graph]", "nic show"},
		{{"-x"}, "", "usage: kedgectl", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		run(NULL, cases[i].words[0], cases[i].words[1], cases[i].words[2], cases[i].words[3], NULL);
		assert_int_equal(t.status, 2);
		assert_string_equal(t.out, "");
		assert_int_equal(strncmp(t.err, cases[i].said, strlen(cases[i].said)), 0);
		assert_non_null(strstr(t.err, cases[i].shown));
		if (cases[i].not_shown)
			assert_null(strstr(t.err, cases[i].not_shown));
		assert_fits(t.err);
	}
	run(NULL, "-h", NULL);
	assert_int_equal(t.status, 0);
	assert_non_null(strstr(t.out, "call hangup ID"));
}

static void no_engine_ends_with_3(void **state)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/absent", t.dir);
	run(NULL, "-s", path, "call", "list", NULL);
	assert_int_equal(t.status, 3);
	assert_string_equal(t.out, "");
	assert_non_null(strstr(t.err, path));
	assert_non_null(strstr(t.err, "No such file or directory"));
	assert_non_null(strstr(t.err, "kedged -c FILE"));
	memset(path, 'x', 150);
	path[150] = '\0';
	run(NULL, "-s", path, "call", "list", NULL);
	assert_int_equal(t.status, 3);
	assert_non_null(strstr(t.err, "too long"));
}

static void half_an_answer_is_none(void **state)
{
	static const char *const halves[] = {
		"",
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"items\":[]}",
		"nonsense\r\n\r\n{}",
	};

	for (size_t i = 0; i < sizeof(halves) / sizeof(*halves); i++) {
		run(halves[i], "-s", t.socket, "-j", "call", "list", NULL);
		assert_int_equal(t.status, 3);
		assert_string_equal(t.out, "");
		assert_non_null(strstr(t.err, "no whole answer"));
	}
	run("HTTP/1.1 200 OK\r\n\r\n<html>", "-s", t.socket, "call", "list", NULL);
	assert_int_equal(t.status, 3);
	assert_non_null(strstr(t.err, "is no kedge engine"));
}

// A peer chooses its name; it must not steer the operator's terminal with it.
static void peers_names_do_not_steer_the_terminal(void **state)
{
	run(answer(200, "{\"items\":[{\"id\":\"x\",\"legs\":[{\"from\":\"sip:a\\u001b[2J\\n\\\\\\\"b\\u007f\\u00E9\","
			"\"to\":"
			"\"sip:\xc2\x9bz\xc3\xa9\"}]}]}"),
		"-s", t.socket, "call", "list", NULL);
	assert_int_equal(t.status, 0);
	assert_non_null(strstr(t.out, " a?[2J?\\\"b"));
	assert_non_null(strstr(t.out, " ?z\xc3\xa9"));
	for (const char *at = t.out; *at; at++)
		assert_true((unsigned char)*at >= 0x20 || *at == '\n');
	assert_null(strchr(t.out, '\x7f'));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_are_listed),
		TEST(an_age_is_in_units_for_people),
		TEST(a_call_is_shown),
		TEST(a_call_is_hung_up),
		TEST(legs_are_listed_and_shown),
		TEST(the_engine_is_shown),
		TEST(raw_is_what_the_engine_sent),
		TEST(a_refusal_ends_with_1),
		TEST(wrong_words_show_what_exists),
		TEST(no_engine_ends_with_3),
		TEST(half_an_answer_is_none),
		TEST(peers_names_do_not_steer_the_terminal),
	};

	signal(SIGPIPE, SIG_IGN); // it may well end before it has read its answer
	return cmocka_run_group_tests(tests, NULL, NULL);
}
