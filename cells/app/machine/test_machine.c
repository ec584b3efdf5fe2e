/* SPDX-License-Identifier: MIT */
/* The machine that is described is made up here. */
#include "application.h"
#include "boot_info.h"
#include "console_recorder.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "heap.h"
#include "page_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(machine);

static struct boot_info boot;

const struct boot_info *boot_info_get(void)
{
    return &boot;
}

struct frame_statistics frame_allocator_statistics(void)
{
    return (struct frame_statistics){.total = 32000, .free = 31000, .ranges = 3};
}

struct page_table_statistics page_table_statistics(void)
{
    return (struct page_table_statistics){.tables = 7, .spares = 2};
}

uint64_t descriptor_pool_in_use(void)
{
    return 100;
}

uint64_t descriptor_pool_available(void)
{
    return 412;
}

struct heap_statistics heap_statistics(void)
{
    return (struct heap_statistics){.blocks_in_use = 9, .bytes_in_use = 5120, .bytes_mapped = 8192};
}

static struct console_recorder said;

static int clear(void **state)
{
    (void)state;
    boot = (struct boot_info){0};
    console_recorder_clear(&said);
    return 0;
}

static void test_machine_by_bios_prints_every_part(void **state)
{
    (void)state;
    boot.memory[0] = (struct boot_memory){.bytes = 0x9fc00, .kind = BOOT_MEMORY_USABLE};
    boot.memory[1] = (struct boot_memory){.start = 0xfffc0000, .bytes = 0x40000, .kind = 77};
    boot.memory_count = 2;
    boot.modules[0] = (struct boot_module){.start = 0x200000, .bytes = 0x3000, .name = "cells.a"};
    boot.module_count = 1;
    boot.framebuffer = (struct boot_framebuffer){.start = 0xb8000,
                                                 .pitch = 160,
                                                 .width = 80,
                                                 .height = 25,
                                                 .bits_per_pixel = 16,
                                                 .kind = BOOT_FRAMEBUFFER_TEXT};
    boot.rsdp_size = 20;
    strcpy(boot.loader_name, "GRUB 2.06");
    strcpy(boot.command_line, "app=machine");
    assert_int_equal(machine_main(NULL), OK);
    assert_string_equal(
        said.text, "physical memory\n"
                   "  000000000000 - 00000009fbff        639 KiB  usable\n"
                   "  0000fffc0000 - 0000ffffffff        256 KiB  reserved\n"
                   "modules\n"
                   "  000000200000 - 000000202fff         12 KiB  cells.a\n"
                   "use\n"
                   "  frames      32000 managed, 1000 used, 31000 free in 3 runs\n"
                   "  tables          7 of pages, 2 spare; 100 descriptors used, 412 free\n"
                   "  heap            5 KiB in 9 blocks, 8 KiB mapped, 0 allocations, 0 failed\n"
                   "boot\n"
                   "  loader   GRUB 2.06\n"
                   "  options  app=machine\n"
                   "  screen   80 x 25 characters, 16 bits, 160 bytes a row, at 0000000b8000\n"
                   "  ACPI     1.0\n"
                   "  EFI      none: started by BIOS\n");
}

static void test_machine_without_anything_says_none(void **state)
{
    (void)state;
    boot.efi_system_table = 0x7e9ec018;
    boot.efi_bits = 64;
    boot.efi_memory_map_count = 101;
    assert_int_equal(machine_main(NULL), OK);
    assert_non_null(strstr(said.text, "  options  none\n  screen   none\n  ACPI     none\n"));
    assert_non_null(strstr(
        said.text, "  EFI      64 bit, system table at 00007e9ec018, 101 memory descriptors\n"));
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_machine_by_bios_prints_every_part, clear),
        cmocka_unit_test_setup(test_machine_without_anything_says_none, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
