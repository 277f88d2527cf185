// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a configuration file: refused with lines of the promised shape, or taken and freed.

#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, void *arg)
{
	unsigned *lines = arg;

	++*lines;
	if (strncmp(line, "f.yaml:", 7) != 0 || strchr(line, '\n') || !strstr(line, ": "))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	unsigned lines = 0;
	char *text = malloc(size + 1);

	log_init(KG_LOG_ERROR, true);
	memcpy(text, data, size);
	text[size] = '\0';
	if (config_parse("f.yaml", text, size, &config, check_line, &lines) != 0) {
		if (config || !lines)
			abort();
	} else if (!config || lines) {
		abort();
	}
	config_destroy(config);
	free(text);
	return 0;
}
