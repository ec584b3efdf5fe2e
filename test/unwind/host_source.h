/* SPDX-License-Identifier: MIT */
/*
 * host_source.h - what the unwinder is told about a process: tables of all its files, its stacks.
 */
#pragma once

#include "unwind.h"

/* Reads the tables of all files of this process, once; rows sorted as in a cell. */
const struct unwind_source *host_source(void);

/* Memory that counts as a stack. */
void host_source_add_stack(uint64_t low, uint64_t high);
