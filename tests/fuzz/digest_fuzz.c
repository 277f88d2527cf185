// SPDX-License-Identifier: BSD-3-Clause
// Digest values from the wire: the input as a challenge that we answer, whose answer must be read again as it was
// meant, and as credentials that are checked.

#include <stdlib.h>
#include <string.h>

#include "digest.h"

static const char *password_of(void *arg, const char *user)
{
	return *user == 'a' ? "secret" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[32] = {7};
	static struct digest_server *server;
	const struct digest_ask ask = {"u\"s\\er", "pass", "INVITE", "sip:a@b", "body", 4, 1, "noise"};
	struct digest_fields fields;
	char user[DIGEST_FIELD], *text = malloc(size + 1), *answer;
	const char *list[] = {text};

	if (!server && digest_init() == 0)
		server = digest_server_create("kedge", secret);
	if (!text || !server)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	digest_choose(list, 1);
	answer = digest_answer(text, &ask);
	if (answer && (digest_parse(answer, &fields) != 0 || strcmp(fields.username, ask.username) != 0 ||
			      strcmp(fields.uri, ask.uri) != 0 || !*fields.response))
		abort();
	free(answer);
	if (digest_server_check(server, 1000, text, "INVITE", "sip:a@b", password_of, NULL, user) == DIGEST_GOOD)
		abort(); // nobody guesses a nonce of ours
	free(text);
	return 0;
}
