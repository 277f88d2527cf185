// SPDX-License-Identifier: BSD-3-Clause
// kedgectl's tables for people. Each prints one answer of the API.
#pragma once

#include <jansson.h>

void table_calls(const json_t *answer);
void table_call(const json_t *answer);
void table_hangup(const json_t *answer);
void table_legs(const json_t *answer);
void table_leg(const json_t *answer);
void table_health(const json_t *answer);
void table_nics(const json_t *answer);
void table_lcores(const json_t *answer);
void table_stats(const json_t *answer);
void table_reload(const json_t *answer);
