// SPDX-License-Identifier: BSD-3-Clause
// The pipeline's picture, drawn from relay_stages: what the code counts is what the picture shows.

#include <stdio.h>
#include <string.h>

#include "relay.h"

#define WIDTH 100

static void line(char *out, size_t size, const char *text)
{
	size_t length = strlen(out);

	snprintf(out + length, size - length, "%s\n", text);
}

// One row of exits, wrapped to the picture's width. Returns: the index of the next exit.
static unsigned exits_row(const struct relay_stage_info *stage, unsigned first, char *row, size_t size)
{
	unsigned i = first;

	for (; stage->exits[i] >= 0; i++) {
		const char *word = kg_drop_info[stage->exits[i]].id;
		size_t length = strlen(row);

		if (i > first && length + 1 + strlen(word) > WIDTH - 1)
			break;
		snprintf(row + length, size - length, " %s", word);
	}
	return i;
}

const char *kg_media_graph(void)
{
	static char picture[8192];
	char row[256];

	picture[0] = '\0';
	for (unsigned i = 0; i < RELAY_STAGES; i++) {
		const struct relay_stage_info *stage = &relay_stages[i];
		unsigned next = 0;

		if (i > 0)
			line(picture, sizeof(picture), "            |");
		line(picture, sizeof(picture), i > 0 ? "+-----------v-----------+" : "+-----------------------+");
		snprintf(row, sizeof(row), "| %-21s |", stage->name);
		if (stage->exits[0] >= 0) {
			strcat(row, " ---> drop:");
			next = exits_row(stage, 0, row, sizeof(row));
		}
		line(picture, sizeof(picture), row);
		snprintf(row, sizeof(row), "| %-21s |", stage->help);
		for (;;) {
			if (stage->exits[0] >= 0 && stage->exits[next] >= 0) {
				strcat(row, "           ");
				next = exits_row(stage, next, row, sizeof(row));
			}
			line(picture, sizeof(picture), row);
			if (stage->exits[0] < 0 || stage->exits[next] < 0)
				break;
			snprintf(row, sizeof(row), "|%23s|", "");
		}
		line(picture, sizeof(picture),
			i + 1 < RELAY_STAGES ? "+-----------+-----------+" : "+-----------------------+");
	}
	return picture;
}
