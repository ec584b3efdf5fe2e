/* SPDX-License-Identifier: MIT */
/*
 * source_lines.h - the source line of a place in a cell, from its debug information.
 *
 * Why: `why --precise` names the line that causes a dependency. DWARF of a relocatable object must
 * be read through libdwfl, which lays the sections out and applies the relocations of .debug_*.
 *
 * Rules: debug information is found in <folder>/<cell>.debug, where the folder is the one given,
 * that of the archive or object, or cells/ beside or above it; else in the object itself. What is
 * missing or broken gives no line and is no error.
 */
#pragma once

#include "model/model.h"

struct source_lines;

/* `folder` may be NULL. NULL when memory is short. */
struct source_lines *source_lines_create(const char *folder);
void source_lines_destroy(struct source_lines *lines);

/* "cells/mem/heap/heap.c:77" for the bytes at `offset` of a section, or NULL. The caller's to free.
 */
char *source_lines_find(struct source_lines *lines, const struct model *model, uint32_t section,
                        uint64_t offset);

/*
 * The shelf on which a cell's source stands: "mem" where that is cells/mem/heap/heap.c, "kernel"
 * for kernel/main.c; NULL where it is not known. The caller's to free.
 */
char *source_lines_shelf(struct source_lines *lines, const struct model *model, uint32_t cell);
