/* SPDX-License-Identifier: MIT */
/*
 * host_symbols.h - a namespace whose symbols are functions of the test program.
 *
 * Why: a loaded cell that needs the heap or pages must get those of the host. With this namespace
 * as parent, its calls bind to the test's functions as they would bind to another cell.
 *
 * Rules: the program may lie out of reach of 32-bit relocations; each symbol is therefore a short
 * jump in the code arena (host_memory.h). At most HOST_SYMBOLS_MAX.
 */
#pragma once

#include "cell_namespace.h"
#include "mapped_pages.h"

#define HOST_SYMBOLS_MAX 16

struct host_symbols {
    struct cell_namespace namespace;
    struct mapped_pages *jumps; /* owned */
    struct symbol symbols[HOST_SYMBOLS_MAX];
};

struct host_symbol {
    const char *name;
    void *function;
};

/* Both end the test when they fail. */
void host_symbols_init(struct host_symbols *host, const struct host_symbol *list, size_t count);
void host_symbols_fini(struct host_symbols *host);
