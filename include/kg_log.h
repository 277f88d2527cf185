// SPDX-License-Identifier: BSD-3-Clause
// The engine's log: one JSON object a line (or text for people), written by control threads only.
#pragma once

#include <stdint.h>

enum kg_log_level { KG_LOG_ERROR, KG_LOG_WARN, KG_LOG_INFO, KG_LOG_DEBUG };

// Write one log line. Lcores never call it: they count and send events.
// Thread: control (and start-up, before lcores run). Blocks: on stderr.
void kg_log(enum kg_log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define kg_error(area, ...) kg_log(KG_LOG_ERROR, area, __VA_ARGS__)
#define kg_warn(area, ...) kg_log(KG_LOG_WARN, area, __VA_ARGS__)
#define kg_info(area, ...) kg_log(KG_LOG_INFO, area, __VA_ARGS__)
#define kg_debug(area, ...) kg_log(KG_LOG_DEBUG, area, __VA_ARGS__)
