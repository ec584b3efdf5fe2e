/* SPDX-License-Identifier: MIT */
/*
 * The nano_core's list of phases: what must happen, and in which order, until cells can be loaded.
 *
 * The last phase but one replaces the nano_core itself by loaded cells, this file included. It
 * comes back only where that was not wanted or not possible; else it goes on in nano_core_go_on(),
 * of the fresh nano_core, on an empty stack.
 *
 * A phase that fails ends the system with EXIT_BOOT_FAILED: there is nothing to fall back on yet.
 * The one exception is a missing or useless archive, EXIT_NO_ARCHIVE: the nano_core is well, but
 * alone.
 */
#include "boot_info.h"
#include "cell_namespace.h"
#include "console.h"
#include "cpu_local.h"
#include "diag.h"
#include "exceptions.h"
#include "freestanding.h"
#include "frame_allocator.h"
#include "loader.h"
#include "logger.h"
#include "mapped_pages.h"
#include "nano_core_image.h"
#include "page_allocator.h"
#include "page_table.h"
#include "power.h"
#include "serial.h"
#include "stack.h"
#include "x86.h"

CELL(core, "1.0.0");

#define EXIT_NO_ARCHIVE  2
#define EXIT_BOOT_FAILED 3
#define EXIT_EXCEPTION   4

#define ARCHIVE_MODULE "cells.a"
#define ENTRY_SYMBOL   "captain_start"
#define SWAP_SYMBOL    "nano_core_swap"
#define FINISH_SYMBOL  "nano_core_swap_finish"
#define DIAG_LINE_SIZE 400

/* Cells in the static image; about 35 today. Three regions each, the table, and the entries. */
#define IMAGE_CELL_LIMIT   64
#define IMAGE_REGION_LIMIT (IMAGE_CELL_LIMIT * REGION_COUNT + 2)

/* What boot.S found in registers. */
static struct {
    uint32_t magic;
    paddr_t information;
    uint64_t entry_tsc;
} handover;

static struct cpu_local boot_cpu;
static struct mapped_pages *archive_pages; /* owned, for good */
static struct span archive;                /* in them */
static uint64_t captain_address;

extern uint8_t nano_core_stack[]; /* boot.S */
extern uint8_t nano_core_stack_end[];
__attribute__((visibility("hidden")))
uint64_t nano_core_stack_top; /* of the stack that is in use */
/* boot.S: empties the boot stack and calls nano_core_finish(). */
CELL_API NORETURN void nano_core_go_on(void);
NORETURN void nano_core_finish(void);
NORETURN void nano_core_main(uint32_t magic, paddr_t information, uint64_t entry_tsc);

static void end_after_exception(void)
{
    power_off(EXIT_EXCEPTION);
}

/* ---- the phases, in order ---- */

static enum status start_serial(void)
{
    enum status status = serial_init();
    return status == ERR_NO_DEVICE ? OK : status; /* a machine without one is silent, not broken */
}

static enum status start_exceptions(void)
{
    exceptions_init();
    exceptions_set_last_action(end_after_exception);
    return OK;
}

static enum status read_boot_information(void)
{
    return boot_info_init(handover.magic, handover.information, handover.entry_tsc);
}

static enum status start_frames(void)
{
    const struct nano_core_image *image = &nano_core_image;
    if (image->magic != NANO_CORE_IMAGE_MAGIC) {
        return ERR_BAD_MAGIC;
    }
    return frame_allocator_init(boot_info_get(), image->physical, image->end - image->start);
}

/* Appends a region of the image; empty ones are left out. */
static size_t add_region(struct page_region *regions, size_t count, uint64_t start, uint64_t end,
                         unsigned flags)
{
    if (start == end) {
        return count;
    }
    regions[count] = (struct page_region){
        .start = start,
        .frame = start - nano_core_image.start + nano_core_image.physical,
        .page_count = page_count_of(end - start),
        .flags = flags,
    };
    return count + 1;
}

static enum status build_page_tables(void)
{
    static const unsigned flags[REGION_COUNT] = {
        [REGION_TEXT] = PAGE_EXECUTE,
        [REGION_RODATA] = PAGE_READ,
        [REGION_DATA] = PAGE_WRITE,
    };
    static struct page_region regions[IMAGE_REGION_LIMIT];
    const struct nano_core_image *image = &nano_core_image;
    size_t count = 0;

    if (image->cell_count > IMAGE_CELL_LIMIT) {
        return ERR_LIMIT;
    }
    count = add_region(regions, count, image->table_start, image->table_end, PAGE_READ);
    count = add_region(regions, count, image->entries_start, image->entries_end, PAGE_EXECUTE);
    for (uint64_t i = 0; i < image->cell_count; i++) {
        const struct nano_core_image_cell *cell = &image->cells[i];
        for (unsigned kind = 0; kind < REGION_COUNT; kind++) {
            count = add_region(regions, count, cell->addresses[kind],
                               cell->addresses[kind] + cell->sizes[kind], flags[kind]);
        }
    }
    enum status status = page_table_init(regions, count);
    memset(regions, 0, sizeof(regions)); /* addresses of text and constants, which will go */
    return status;
}

/* The frames of their guard pages stay unused. */
static enum status guard_stacks(void)
{
    size_t bytes = (size_t)(nano_core_stack_end - nano_core_stack);
    enum status status = stack_adopt((vaddr_t)nano_core_stack, bytes, "boot");
    return status == OK ? exceptions_guard_stacks() : status;
}

static enum status start_pages(void)
{
    return page_allocator_init();
}

static void log_diag(const struct diag *diag)
{
    char line[DIAG_LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    log_error("%s", line);
}

/* Ends the system where there is no usable archive. */
static NORETURN void give_up_without_archive(const struct diag *diag)
{
    log_diag(diag);
    console_print("help: give the boot loader the archive as a module named " ARCHIVE_MODULE
                  " (GRUB: module2 /boot/cells.a " ARCHIVE_MODULE ")\n");
    power_off(EXIT_NO_ARCHIVE);
}

static enum status map_archive(void)
{
    const struct boot_module *module = boot_info_find_module(ARCHIVE_MODULE);
    struct diag diag;
    if (!module || module->bytes == 0) {
        struct diag_site site = {.symbol = ARCHIVE_MODULE};
        (void)!diag_set(&diag, DIAG_ARCHIVE_ABSENT, &site);
        give_up_without_archive(&diag);
    }
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create_at(PAGE_ZONE_DATA, module->start, module->bytes,
                                                PAGE_READ, SLOT(pages));
    if (status != OK) {
        return status;
    }
    uint64_t offset = module->start % PAGE_SIZE;
    const uint8_t *bytes = MAPPED_PAGES_SLICE(uint8_t, REF(pages), offset, module->bytes);
    archive = span_of(bytes, module->bytes);
    STORE(archive_pages, pages);
    return OK;
}

static enum status open_archive(void)
{
    struct diag diag = {0};
    enum status status = loader_init(archive, &diag);
    if (status != OK) {
        give_up_without_archive(&diag);
    }
    if (diag.code != DIAG_NONE) {
        log_diag(&diag); /* a damaged member; what precedes it is usable */
    }
    return OK;
}

static enum status adopt_static_cells(void)
{
    struct diag diag = {0};
    enum status status = loader_adopt(cell_namespace_initial(), &nano_core_image, &diag);
    if (status != OK) {
        log_diag(&diag);
    }
    return status;
}

static enum status demand(const char *symbol, uint64_t *out_address)
{
    struct diag diag = {0};
    enum status status = loader_demand(cell_namespace_initial(), symbol, out_address, &diag);
    if (status != OK) {
        log_diag(&diag);
    }
    return status;
}

static enum status call(const char *symbol)
{
    uint64_t address;
    enum status status = demand(symbol, &address);
    if (status == OK) {
        ((void (*)(void))address)();
    }
    return status;
}

static enum status replace_static_cells(void)
{
    return call(SWAP_SYMBOL);
}

static enum status free_static_cells(void)
{
    return call(FINISH_SYMBOL);
}

static enum status load_captain(void)
{
    return demand(ENTRY_SYMBOL, &captain_address);
}

struct phase {
    const char *name;
    enum status (*run)(void);
};

static const struct phase phases[] = {
    {"console and serial line", start_serial},
    {"exceptions", start_exceptions},
    {"boot information", read_boot_information},
    {"frames", start_frames},
    {"page tables", build_page_tables},
    {"guards of stacks", guard_stacks},
    {"pages", start_pages},
    {"map the archive", map_archive},
    {"open the archive", open_archive},
    {"adopt the static cells", adopt_static_cells},
    {"replace the static cells", replace_static_cells},
    {"load the captain", load_captain},
};

/* In the fresh nano_core. */
static const struct phase last_phases[] = {
    {"free the static cells", free_static_cells},
    {"load the captain", load_captain},
};

static void run_phases(const struct phase *list, size_t count)
{
    uint64_t start = read_tsc();
    for (size_t i = 0; i < count; i++) {
        enum status status = list[i].run();
        uint64_t end = read_tsc();
        log_debug("%s: %llu ticks", list[i].name, (unsigned long long)(end - start));
        if (status != OK) {
            log_error("cannot start: %s: %s", list[i].name, status_text(status));
            power_off(EXIT_BOOT_FAILED);
        }
        start = end;
    }
}

static NORETURN void start_captain(void)
{
    void (*captain_start)(void) = (void (*)(void))captain_address;
    captain_start();
    power_off(EXIT_BOOT_FAILED); /* the captain does not come back */
}

void nano_core_finish(void)
{
    run_phases(last_phases, ARRAY_COUNT(last_phases));
    start_captain();
}

/* Called by boot.S, on the boot stack, with interrupts off. */
void nano_core_main(uint32_t magic, paddr_t information, uint64_t entry_tsc)
{
    cpu_local_init(&boot_cpu, 0);
    nano_core_stack_top = (uintptr_t)nano_core_stack_end;
    handover.magic = magic;
    handover.information = information;
    handover.entry_tsc = entry_tsc;
    run_phases(phases, ARRAY_COUNT(phases));
    start_captain();
}
