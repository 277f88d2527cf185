// SPDX-License-Identifier: BSD-3-Clause
// The log's control side: SIP ids on every line (kg_log.h is what the other rooms see).
#pragma once

#include <stdbool.h>

#include "kg_log.h"

// The four layers' names for what a line is about; NULL where a layer has no part in it.
struct log_ids {
	const char *method;      // "INVITE", or "200" for a response
	const char *transaction; // branch
	const char *dialog;      // Call-ID;local-tag;remote-tag
	const char *call;        // call id
};

// Thread: start-up.
void log_init(enum kg_log_level level, bool json);
bool log_enabled(enum kg_log_level level);

// One line with ids: JSON {"time","level","area","msg","method","transaction","dialog","call"}, control characters of
// peers' strings escaped.
void log_sip(enum kg_log_level level, const struct log_ids *ids, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
