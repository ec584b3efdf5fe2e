/* SPDX-License-Identifier: MIT */
/*
 * module_files.h - the kernel modules that are linked, and who exports what.
 *
 * Why: reading files is not linking; it is done here, before the clock runs.
 *
 * Rules: a failure prints what is wrong and ends the program. Nothing is ever released.
 */
#pragma once

#include "span.h"
#include "symbol_map.h"

struct module_file {
    const char *path; /* below the folder of modules, without ".ko": as Module.symvers has it */
    struct span bytes;
};

struct module_files {
    struct module_file *files; /* in the order of their paths */
    uint32_t count;
    uint64_t bytes;
};

/* All *.ko below `folder`, in memory. */
void module_files_read(const char *folder, struct module_files *out_files);

/* Who exports a name, from Module.symvers. */
struct exporter {
    struct symbol_key key;
    const char *module; /* a path as above; "vmlinux" for the kernel itself */
};

struct exporters {
    struct exporter *rows;
    uint32_t count;
    struct symbol_map by_name;
};

void exporters_read(const char *file, struct exporters *out_exporters);

/* NULL when nobody exports it. */
const struct exporter *exporters_find(const struct exporters *exporters, const char *name,
                                      uint32_t hash);
