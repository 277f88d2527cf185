// SPDX-License-Identifier: BSD-3-Clause

#include "kg_counters.h"

#define DROP_INFO(id, severity, help) [KG_DROP_##id] = {#id, "packets", severity, help},
const struct kg_counter_info kg_drop_info[KG_DROP_COUNT] = {KG_DROPS(DROP_INFO)};

#define COUNTER_INFO(id, unit, severity, help) [KG_CNT_##id] = {#id, unit, severity, help},
const struct kg_counter_info kg_counter_info[KG_CNT_COUNT] = {KG_COUNTERS(COUNTER_INFO)};
