/* SPDX-License-Identifier: MIT */
/*
 * abi_debug.h - an object's DWARF, relocated.
 *
 * Why: libdw leaves the relocations of a relocatable object to libdwfl, which wants a file, and
 * makes addresses up. Here an address tells what it is of: section index in the upper half, offset
 * in the lower.
 */
#pragma once

#include "elf_object.h"

#include <elfutils/libdw.h>

struct abi_debug {
    uint8_t *file; /* a copy, relocated */
    Elf *elf;
    Dwarf *dwarf; /* NULL: there is none */
};

/* False for lack of memory. */
MUST_CHECK bool abi_debug_open(const struct elf_object *object, struct abi_debug *out_debug);
void abi_debug_close(struct abi_debug *debug);

static inline uint64_t abi_debug_address(uint32_t section, uint64_t offset)
{
    return (uint64_t)section << 32 | (uint32_t)offset;
}
