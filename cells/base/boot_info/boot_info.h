/* SPDX-License-Identifier: MIT */
/*
 * boot_info.h - what the boot loader said, copied out and checked.
 *
 * Why: the Multiboot2 information lies somewhere in memory that is about to be given away. It is
 * read once, before anything is allocated, and nothing points into it afterwards.
 *
 * Rules: boot_info_init() is called once, by the nano_core, while low memory is mapped identically;
 * boot_info_get() is valid ever after, in any context, on any CPU: nothing changes it. What the
 * loader did not say is zero. Tags that are not listed here are skipped.
 */
#pragma once

#include "memory.h"
#include "span.h"
#include "status.h"

#define MULTIBOOT2_MAGIC 0x36d76289u /* in EAX at entry */

#define BOOT_INFO_TOTAL_LIMIT       (1u << 20) /* bytes of information; GRUB passes a few KiB */
#define BOOT_INFO_MEMORY_LIMIT      512        /* ranges; UEFI firmware reports up to about 200 */
#define BOOT_INFO_MODULE_LIMIT      8
#define BOOT_INFO_MODULE_NAME_SIZE  64
#define BOOT_INFO_COMMAND_LINE_SIZE 1024
#define BOOT_INFO_LOADER_NAME_SIZE  64 /* longer names are cut: they only inform */
#define BOOT_INFO_RSDP_SIZE         36 /* ACPI 2.0 and later; 20 bytes before that */

/* Multiboot2 numbers; any other is to be treated as reserved. */
enum boot_memory_kind {
    BOOT_MEMORY_USABLE = 1,
    BOOT_MEMORY_RESERVED = 2,
    BOOT_MEMORY_ACPI_RECLAIMABLE = 3,
    BOOT_MEMORY_ACPI_NVS = 4,
    BOOT_MEMORY_BAD = 5,
};

struct boot_memory {
    paddr_t start;
    uint64_t bytes; /* not 0, and start + bytes does not wrap */
    uint32_t kind;
};

struct boot_module {
    paddr_t start;
    uint64_t bytes;
    char name[BOOT_INFO_MODULE_NAME_SIZE]; /* first word of the module's command line */
};

enum boot_framebuffer_kind {
    BOOT_FRAMEBUFFER_INDEXED = 0,
    BOOT_FRAMEBUFFER_RGB = 1,
    BOOT_FRAMEBUFFER_TEXT = 2,
};

struct boot_framebuffer {
    paddr_t start;  /* 0: there is none */
    uint32_t pitch; /* bytes a row */
    uint32_t width; /* pixels, or characters when `kind` is text */
    uint32_t height;
    uint8_t bits_per_pixel;
    uint8_t kind;
    uint8_t red_shift, red_bits; /* these six for RGB only */
    uint8_t green_shift, green_bits;
    uint8_t blue_shift, blue_bits;
};

struct boot_info {
    uint64_t entry_tsc; /* time stamp counter at the first instruction of the kernel */
    paddr_t information_start;
    uint64_t information_bytes;

    struct boot_memory memory[BOOT_INFO_MEMORY_LIMIT]; /* in the loader's order; may overlap */
    size_t memory_count;
    struct boot_module modules[BOOT_INFO_MODULE_LIMIT];
    size_t module_count;

    char command_line[BOOT_INFO_COMMAND_LINE_SIZE];
    char loader_name[BOOT_INFO_LOADER_NAME_SIZE];
    struct boot_framebuffer framebuffer;

    uint8_t rsdp[BOOT_INFO_RSDP_SIZE]; /* a copy, not verified; the newer if there are two */
    uint32_t rsdp_size;                /* 0: none, 20: ACPI 1.0, 36: later */

    paddr_t efi_system_table;      /* 0 when not started by EFI */
    uint8_t efi_bits;              /* 32 or 64, of the system table; 0 without */
    uint32_t efi_memory_map_count; /* descriptors in the EFI memory map; 0: not passed on */
};

/*
 * Reads the Multiboot2 information (Multiboot2 Specification 2.0, section 3.6) in `bytes`, which
 * may be longer than it. On failure *out is partly written and not to be used:
 *   ERR_TRUNCATED      the total size, a tag or the end tag is missing or reaches outside
 *   ERR_BAD_FORMAT     a tag is too small for its kind, a table has an impossible entry size, a string
 *                      has no end
 *   ERR_OUT_OF_BOUNDS  a range of memory wraps, or a module ends before it starts
 *   ERR_EXISTS         a tag that must be unique is there twice
 *   ERR_LIMIT          more, or longer, than the limits above
 *   ERR_NOT_FOUND      there is no memory map
 */
MUST_CHECK CELL_API enum status boot_info_parse(struct span bytes, struct boot_info *out);

/*
 * Fills the one boot_info of the system from what the loader left in registers. ERR_BAD_MAGIC when
 * `magic` is not Multiboot2's, ERR_MISALIGNED when `information` is not 8-aligned, ERR_LIMIT when
 * it is larger than BOOT_INFO_TOTAL_LIMIT, ERR_STATE when called twice; else as boot_info_parse().
 */
MUST_CHECK CELL_API enum status boot_info_init(uint32_t magic, paddr_t information,
                                               uint64_t entry_tsc);

CELL_API const struct boot_info *boot_info_get(void);

/* The module whose command line begins with the word `name`, or NULL. */
CELL_API const struct boot_module *boot_info_find_module(const char *name);
