/* SPDX-License-Identifier: MIT */
/*
 * machine - prints the memory map, how much memory is in use, and what else the boot loader found.
 */
#include "application.h"
#include "boot_info.h"
#include "console.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "heap.h"
#include "page_table.h"

CELL(application, "1.0.0");

APPLICATION(machine);

#define KIB 1024u

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
    case BOOT_MEMORY_USABLE:
        return "usable";
    case BOOT_MEMORY_ACPI_RECLAIMABLE:
        return "ACPI tables";
    case BOOT_MEMORY_ACPI_NVS:
        return "ACPI NVS";
    case BOOT_MEMORY_BAD:
        return "bad";
    default:
        return "reserved";
    }
}

static void print_range(uint64_t start, uint64_t bytes, const char *what)
{
    console_print("  %012lx - %012lx %10lu KiB  %s\n", (unsigned long)start,
                  (unsigned long)(start + bytes - 1), (unsigned long)(bytes / KIB), what);
}

static void print_map(const struct boot_info *boot)
{
    console_print("physical memory\n");
    for (size_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *range = &boot->memory[i];
        print_range(range->start, range->bytes, kind_name(range->kind));
    }
    console_print("modules\n");
    for (size_t i = 0; i < boot->module_count; i++) {
        const struct boot_module *module = &boot->modules[i];
        print_range(module->start, module->bytes, module->name);
    }
}

static void print_tables(void)
{
    struct page_table_statistics tables = page_table_statistics();
    console_print("  tables   %8lu of pages, %lu spare; %lu descriptors used, %lu free\n",
                  (unsigned long)tables.tables, (unsigned long)tables.spares,
                  (unsigned long)descriptor_pool_in_use(),
                  (unsigned long)descriptor_pool_available());
}

static void print_use(void)
{
    struct frame_statistics frames = frame_allocator_statistics();
    struct heap_statistics heap = heap_statistics();
    console_print("use\n");
    console_print("  frames   %8lu managed, %lu used, %lu free in %lu runs\n",
                  (unsigned long)frames.total, (unsigned long)(frames.total - frames.free),
                  (unsigned long)frames.free, (unsigned long)frames.ranges);
    print_tables();
    console_print(
        "  heap     %8lu KiB in %lu blocks, %lu KiB mapped, %lu allocations, %lu failed\n",
        (unsigned long)(heap.bytes_in_use / KIB), (unsigned long)heap.blocks_in_use,
        (unsigned long)(heap.bytes_mapped / KIB), (unsigned long)heap.allocations,
        (unsigned long)heap.failures);
}

static void print_framebuffer(const struct boot_framebuffer *screen)
{
    if (!screen->start) {
        console_print("  screen   none\n");
        return;
    }
    const char *unit = screen->kind == BOOT_FRAMEBUFFER_TEXT ? "characters" : "pixels";
    console_print("  screen   %u x %u %s, %u bits, %u bytes a row, at %012lx\n",
                  (unsigned)screen->width, (unsigned)screen->height, unit,
                  (unsigned)screen->bits_per_pixel, (unsigned)screen->pitch,
                  (unsigned long)screen->start);
}

static void print_firmware(const struct boot_info *boot)
{
    if (boot->rsdp_size) {
        const char *version = boot->rsdp_size > 20 ? "2.0 or later" : "1.0";
        console_print("  ACPI     %s\n", version);
    } else {
        console_print("  ACPI     none\n");
    }
    if (boot->efi_system_table) {
        console_print("  EFI      %u bit, system table at %012lx, %u memory descriptors\n",
                      (unsigned)boot->efi_bits, (unsigned long)boot->efi_system_table,
                      (unsigned)boot->efi_memory_map_count);
    } else {
        console_print("  EFI      none: started by BIOS\n");
    }
}

enum status machine_main(const struct app_arguments *arguments)
{
    (void)arguments;
    const struct boot_info *boot = boot_info_get();
    print_map(boot);
    print_use();
    console_print("boot\n");
    console_print("  loader   %s\n", boot->loader_name);
    console_print("  options  %s\n", boot->command_line[0] ? boot->command_line : "none");
    print_framebuffer(&boot->framebuffer);
    print_firmware(boot);
    return OK;
}
