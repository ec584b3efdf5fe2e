/* SPDX-License-Identifier: MIT */
#include "context.h"

CELL(library, "1.0.0");

/* What context_first pops. Behind it lies `top`, aligned as before a call. */
struct first_context {
    uint64_t argument;
    uint64_t entry;
};

__attribute__((visibility("hidden"))) void context_first(void); /* context_switch.S */

void context_prepare(vaddr_t top, void (*entry)(void *argument), void *argument, uint64_t *out)
{
    struct first_context *first = (struct first_context *)(uintptr_t)top - 1;
    *first = (struct first_context){
        .argument = (uintptr_t)argument,
        .entry = (uintptr_t)entry,
    };
    out[CONTEXT_RESUME] = (uintptr_t)context_first;
    out[CONTEXT_STACK] = (uintptr_t)first;
}

bool context_is_unused(const uint64_t *context)
{
    return context[CONTEXT_RESUME] == (uintptr_t)context_first;
}
