/* SPDX-License-Identifier: MIT */
/* Builds Multiboot2 tag lists as GRUB does, then breaks them in one place each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "boot_info.h"

struct list {
    _Alignas(8) uint8_t bytes[32768];
    uint32_t size;
};

static struct boot_info info; /* too large for a stack */

static void put(struct list *list, const void *bytes, size_t size)
{
    assert_true(list->size + size <= sizeof(list->bytes));
    memcpy(list->bytes + list->size, bytes, size);
    list->size += (uint32_t)size;
}

static void put32(struct list *list, uint32_t value)
{
    put(list, &value, sizeof(value));
}

static void put64(struct list *list, uint64_t value)
{
    put(list, &value, sizeof(value));
}

static void set32(struct list *list, uint32_t at, uint32_t value)
{
    memcpy(list->bytes + at, &value, sizeof(value));
}

static void begin(struct list *list)
{
    memset(list, 0, sizeof(*list));
    list->size = 8;
}

/* Returns where the tag begins; its size is set by end_tag(). */
static uint32_t begin_tag(struct list *list, uint32_t type)
{
    uint32_t at = list->size;
    put32(list, type);
    put32(list, 0);
    return at;
}

static void end_tag(struct list *list, uint32_t at)
{
    set32(list, at + 4, list->size - at);
    list->size = (list->size + 7) & ~7u;
}

static void put_tag(struct list *list, uint32_t type, const void *content, size_t size)
{
    uint32_t at = begin_tag(list, type);
    put(list, content, size);
    end_tag(list, at);
}

static void put_string_tag(struct list *list, uint32_t type, const char *text)
{
    put_tag(list, type, text, strlen(text) + 1);
}

static uint32_t put_memory_map(struct list *list, unsigned entries)
{
    uint32_t at = begin_tag(list, 6);
    put32(list, 24);
    put32(list, 0);
    for (unsigned i = 0; i < entries; i++) {
        put64(list, i * 0x100000ull);
        put64(list, 0x80000);
        put32(list, i % 2 ? BOOT_MEMORY_RESERVED : BOOT_MEMORY_USABLE);
        put32(list, 0);
    }
    end_tag(list, at);
    return at;
}

static void put_module(struct list *list, uint32_t start, uint32_t end, const char *line)
{
    uint32_t at = begin_tag(list, 3);
    put32(list, start);
    put32(list, end);
    put(list, line, strlen(line) + 1);
    end_tag(list, at);
}

static enum status finish(struct list *list)
{
    uint32_t at = begin_tag(list, 0);
    end_tag(list, at);
    set32(list, 0, list->size);
    return boot_info_parse(span_of(list->bytes, list->size), &info);
}

static void test_parse_full_list_copies_everything(void **state)
{
    (void)state;
    struct list list;
    uint8_t rsdp[36] = "RSD PTR ";
    rsdp[35] = 0x5a;
    begin(&list);
    put_string_tag(&list, 1, "app=hello level=debug");
    put_string_tag(&list, 2, "GRUB 2.06");
    put_module(&list, 0x200000, 0x212345, "cells.a and more");
    put_module(&list, 0x300000, 0x300000, "");
    put_memory_map(&list, 3);
    uint32_t at = begin_tag(&list, 8);
    put64(&list, 0xfd000000);
    put32(&list, 4096);
    put32(&list, 1024);
    put32(&list, 768);
    put(&list, "\x20\x01\x00\x00\x10\x08\x08\x08\x00\x08", 10);
    end_tag(&list, at);
    put_tag(&list, 12, "\x18\xe0\xfe\x07\x00\x00\x00\x00", 8);
    put_tag(&list, 15, rsdp, 36);
    put_tag(&list, 14, rsdp, 20);
    put_tag(&list, 99, "unknown", 7);
    assert_int_equal(finish(&list), OK);

    assert_string_equal(info.command_line, "app=hello level=debug");
    assert_string_equal(info.loader_name, "GRUB 2.06");
    assert_int_equal(info.module_count, 2);
    assert_string_equal(info.modules[0].name, "cells.a");
    assert_int_equal(info.modules[0].start, 0x200000);
    assert_int_equal(info.modules[0].bytes, 0x12345);
    assert_string_equal(info.modules[1].name, "");
    assert_int_equal(info.memory_count, 3);
    assert_int_equal(info.memory[2].start, 0x200000);
    assert_int_equal(info.memory[1].kind, BOOT_MEMORY_RESERVED);
    assert_int_equal(info.framebuffer.start, 0xfd000000);
    assert_int_equal(info.framebuffer.width, 1024);
    assert_int_equal(info.framebuffer.bits_per_pixel, 32);
    assert_int_equal(info.framebuffer.red_shift, 16);
    assert_int_equal(info.framebuffer.blue_bits, 8);
    assert_int_equal(info.efi_system_table, 0x7fee018);
    assert_int_equal(info.efi_bits, 64);
    assert_int_equal(info.rsdp_size, 36);
    assert_int_equal(info.rsdp[35], 0x5a);
}

static void test_parse_least_list_leaves_the_rest_zero(void **state)
{
    (void)state;
    struct list list;
    memset(&info, 0xff, sizeof(info));
    begin(&list);
    put_memory_map(&list, 1);
    assert_int_equal(finish(&list), OK);
    assert_string_equal(info.command_line, "");
    assert_int_equal(info.module_count, 0);
    assert_int_equal(info.framebuffer.start, 0);
    assert_int_equal(info.rsdp_size, 0);
    assert_int_equal(info.efi_bits, 0);
}

static void test_parse_efi32_and_efi_memory_map_are_noted(void **state)
{
    (void)state;
    struct list list;
    uint8_t zeros[96] = {0};
    begin(&list);
    put_memory_map(&list, 1);
    put_tag(&list, 11, "\x10\x20\x30\x40", 4);
    uint32_t at = begin_tag(&list, 17);
    put32(&list, 48);
    put32(&list, 1);
    put(&list, zeros, 96);
    end_tag(&list, at);
    assert_int_equal(finish(&list), OK);
    assert_int_equal(info.efi_system_table, 0x40302010);
    assert_int_equal(info.efi_bits, 32);
    assert_int_equal(info.efi_memory_map_count, 2);
}

static void test_parse_old_rsdp_alone_is_kept(void **state)
{
    (void)state;
    struct list list;
    begin(&list);
    put_memory_map(&list, 1);
    put_tag(&list, 14, "RSD PTR 123456789ab", 20);
    assert_int_equal(finish(&list), OK);
    assert_int_equal(info.rsdp_size, 20);
    assert_memory_equal(info.rsdp, "RSD PTR 123456789ab", 20);
}

static void test_parse_fragmented_uefi_map_fits(void **state)
{
    (void)state;
    struct list list;
    begin(&list);
    put_memory_map(&list, BOOT_INFO_MEMORY_LIMIT);
    assert_int_equal(finish(&list), OK);
    assert_int_equal(info.memory_count, BOOT_INFO_MEMORY_LIMIT);
}

static void test_parse_empty_ranges_are_left_out(void **state)
{
    (void)state;
    struct list list;
    begin(&list);
    uint32_t at = put_memory_map(&list, 2);
    memset(list.bytes + at + 16 + 8, 0, 8);
    assert_int_equal(finish(&list), OK);
    assert_int_equal(info.memory_count, 1);
    assert_int_equal(info.memory[0].start, 0x100000);
}

static void test_parse_long_loader_name_is_cut(void **state)
{
    (void)state;
    struct list list;
    char name[200];
    memset(name, 'g', sizeof(name));
    name[199] = '\0';
    begin(&list);
    put_memory_map(&list, 1);
    put_string_tag(&list, 2, name);
    assert_int_equal(finish(&list), OK);
    assert_int_equal(strlen(info.loader_name), BOOT_INFO_LOADER_NAME_SIZE - 1);
}

/* One row a defect: `build` adds to a list that has nothing but its header. */
static void no_memory_map(struct list *list)
{
    put_string_tag(list, 1, "quiet");
}

static void empty_memory_map(struct list *list)
{
    put_memory_map(list, 0);
}

static void tag_without_room_for_its_header(struct list *list)
{
    uint32_t at = put_memory_map(list, 1);
    set32(list, at + 4, 7);
}

static void tag_beyond_the_end(struct list *list)
{
    uint32_t at = put_memory_map(list, 1);
    set32(list, at + 4, 0x7fffffff);
}

static void entry_size_zero(struct list *list)
{
    uint32_t at = put_memory_map(list, 1);
    set32(list, at + 8, 0);
}

static void entry_size_odd(struct list *list)
{
    uint32_t at = put_memory_map(list, 1);
    set32(list, at + 8, 28);
}

static void entries_do_not_fill_the_table(struct list *list)
{
    uint32_t at = put_memory_map(list, 2);
    set32(list, at + 4, 16 + 24 + 8);
}

static void memory_map_without_its_header(struct list *list)
{
    put_tag(list, 6, "\x18\0\0\0", 4);
}

static void memory_wraps(struct list *list)
{
    uint32_t at = put_memory_map(list, 1);
    memset(list->bytes + at + 16, 0xff, 8);
}

static void memory_map_too_long(struct list *list)
{
    put_memory_map(list, BOOT_INFO_MEMORY_LIMIT + 1);
}

static void memory_map_twice(struct list *list)
{
    put_memory_map(list, 1);
    put_memory_map(list, 1);
}

static void command_line_without_end(struct list *list)
{
    put_tag(list, 1, "abc", 3);
}

static void command_line_too_long(struct list *list)
{
    char line[BOOT_INFO_COMMAND_LINE_SIZE + 1];
    memset(line, 'x', sizeof(line));
    line[BOOT_INFO_COMMAND_LINE_SIZE] = '\0';
    put_string_tag(list, 1, line);
}

static void loader_name_without_end(struct list *list)
{
    put_tag(list, 2, "GRUB", 4);
}

static void module_without_addresses(struct list *list)
{
    put_tag(list, 3, "\0\0\0\0", 4);
}

static void module_without_string(struct list *list)
{
    put_tag(list, 3, "\0\0\0\0\0\0\0\0", 8);
}

static void module_ends_before_it_starts(struct list *list)
{
    put_module(list, 0x2000, 0x1fff, "cells.a");
}

static void module_name_too_long(struct list *list)
{
    char name[BOOT_INFO_MODULE_NAME_SIZE + 1];
    memset(name, 'm', sizeof(name));
    name[BOOT_INFO_MODULE_NAME_SIZE] = '\0';
    put_module(list, 0, 0, name);
}

static void too_many_modules(struct list *list)
{
    for (int i = 0; i <= BOOT_INFO_MODULE_LIMIT; i++) {
        put_module(list, 0, 0, "m");
    }
}

static void framebuffer_too_short(struct list *list)
{
    put_tag(list, 8, "\0\0\0\0\0\0\0\0", 8);
}

static void framebuffer_without_colours(struct list *list)
{
    uint8_t content[24] = {[21] = BOOT_FRAMEBUFFER_RGB};
    put_tag(list, 8, content, sizeof(content));
}

static void efi32_too_short(struct list *list)
{
    put_tag(list, 11, "\0\0", 2);
}

static void efi64_too_short(struct list *list)
{
    put_tag(list, 12, "\0\0\0\0", 4);
}

static void efi_memory_map_entry_too_small(struct list *list)
{
    put_tag(list, 17, "\x18\0\0\0\x01\0\0\0", 8);
}

static void rsdp_old_too_short(struct list *list)
{
    put_tag(list, 14, "RSD PTR ", 8);
}

static void rsdp_new_too_short(struct list *list)
{
    put_tag(list, 15, "RSD PTR 123456789ab", 20);
}

static void test_parse_one_defect_is_refused(void **state)
{
    static const struct {
        const char *name;
        void (*build)(struct list *);
        enum status expected;
    } defects[] = {
#define DEFECT(function, status) {#function, function, status}
        DEFECT(no_memory_map, ERR_NOT_FOUND),
        DEFECT(empty_memory_map, ERR_NOT_FOUND),
        DEFECT(tag_without_room_for_its_header, ERR_BAD_FORMAT),
        DEFECT(tag_beyond_the_end, ERR_TRUNCATED),
        DEFECT(entry_size_zero, ERR_BAD_FORMAT),
        DEFECT(entry_size_odd, ERR_BAD_FORMAT),
        DEFECT(entries_do_not_fill_the_table, ERR_BAD_FORMAT),
        DEFECT(memory_map_without_its_header, ERR_BAD_FORMAT),
        DEFECT(memory_wraps, ERR_OUT_OF_BOUNDS),
        DEFECT(memory_map_too_long, ERR_LIMIT),
        DEFECT(memory_map_twice, ERR_EXISTS),
        DEFECT(command_line_without_end, ERR_BAD_FORMAT),
        DEFECT(command_line_too_long, ERR_LIMIT),
        DEFECT(loader_name_without_end, ERR_BAD_FORMAT),
        DEFECT(module_without_addresses, ERR_BAD_FORMAT),
        DEFECT(module_without_string, ERR_BAD_FORMAT),
        DEFECT(module_ends_before_it_starts, ERR_OUT_OF_BOUNDS),
        DEFECT(module_name_too_long, ERR_LIMIT),
        DEFECT(too_many_modules, ERR_LIMIT),
        DEFECT(framebuffer_too_short, ERR_BAD_FORMAT),
        DEFECT(framebuffer_without_colours, ERR_BAD_FORMAT),
        DEFECT(efi32_too_short, ERR_BAD_FORMAT),
        DEFECT(efi64_too_short, ERR_BAD_FORMAT),
        DEFECT(efi_memory_map_entry_too_small, ERR_BAD_FORMAT),
        DEFECT(rsdp_old_too_short, ERR_BAD_FORMAT),
        DEFECT(rsdp_new_too_short, ERR_BAD_FORMAT),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(defects); i++) {
        struct list list;
        begin(&list);
        defects[i].build(&list);
        enum status status = finish(&list);
        if (status != defects[i].expected) {
            fail_msg("%s: expected %d, got %d", defects[i].name, defects[i].expected, status);
        }
    }
}

static void test_parse_every_truncation_is_refused(void **state)
{
    (void)state;
    struct list list;
    begin(&list);
    put_string_tag(&list, 1, "app=hello");
    put_memory_map(&list, 2);
    assert_int_equal(finish(&list), OK);
    for (uint32_t size = 0; size < list.size; size++) {
        /* An exact copy, so that the sanitizer sees each byte read beyond it. */
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, list.bytes, size);
        assert_int_equal(boot_info_parse(span_of(exact, size), &info), ERR_TRUNCATED);
        if (size >= 4) {
            memcpy(exact, &size, 4); /* the total size says so, too */
            assert_int_equal(boot_info_parse(span_of(exact, size), &info), ERR_TRUNCATED);
        }
        free(exact);
    }
}

static void test_init_checks_registers_then_fills_the_one_info(void **state)
{
    (void)state;
    static struct list list;
    begin(&list);
    put_memory_map(&list, 1);
    put_module(&list, 0x1000, 0x2000, "cells.a");
    assert_int_equal(finish(&list), OK);
    paddr_t address = (paddr_t)(uintptr_t)list.bytes;

    assert_int_equal(boot_info_init(0x2badb002, address, 1), ERR_BAD_MAGIC);
    assert_int_equal(boot_info_init(MULTIBOOT2_MAGIC, address + 4, 1), ERR_MISALIGNED);
    set32(&list, 0, BOOT_INFO_TOTAL_LIMIT + 1);
    assert_int_equal(boot_info_init(MULTIBOOT2_MAGIC, address, 1), ERR_LIMIT);
    set32(&list, 0, 4);
    assert_int_equal(boot_info_init(MULTIBOOT2_MAGIC, address, 1), ERR_TRUNCATED);
    set32(&list, 0, list.size);
    assert_null(boot_info_find_module("cells.a"));
    assert_int_equal(boot_info_init(MULTIBOOT2_MAGIC, address, 123), OK);
    assert_int_equal(boot_info_get()->entry_tsc, 123);
    assert_int_equal(boot_info_get()->information_start, address);
    assert_int_equal(boot_info_get()->information_bytes, list.size);
    assert_int_equal(boot_info_find_module("cells.a")->start, 0x1000);
    assert_null(boot_info_find_module("cells"));
    assert_int_equal(boot_info_init(MULTIBOOT2_MAGIC, address, 123), ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_full_list_copies_everything),
        cmocka_unit_test(test_parse_least_list_leaves_the_rest_zero),
        cmocka_unit_test(test_parse_efi32_and_efi_memory_map_are_noted),
        cmocka_unit_test(test_parse_old_rsdp_alone_is_kept),
        cmocka_unit_test(test_parse_fragmented_uefi_map_fits),
        cmocka_unit_test(test_parse_empty_ranges_are_left_out),
        cmocka_unit_test(test_parse_long_loader_name_is_cut),
        cmocka_unit_test(test_parse_one_defect_is_refused),
        cmocka_unit_test(test_parse_every_truncation_is_refused),
        cmocka_unit_test(test_init_checks_registers_then_fills_the_one_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
