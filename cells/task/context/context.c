/* SPDX-License-Identifier: MIT */
#include "context.h"

CELL(library, "1.0.0");

/* In the order in which context_switch.S pops. Behind it lies `top`, aligned as before a call. */
struct first_context {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t return_address;
};

__attribute__((visibility("hidden"))) void context_first(void); /* context_switch.S */

uint64_t context_prepare(vaddr_t top, void (*entry)(void *argument), void *argument)
{
    struct first_context *context = (struct first_context *)(uintptr_t)top - 1;
    *context = (struct first_context){
        .r12 = (uintptr_t)entry,
        .r13 = (uintptr_t)argument,
        .return_address = (uintptr_t)context_first,
    };
    return (uintptr_t)context;
}
