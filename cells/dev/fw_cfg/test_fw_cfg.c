/* SPDX-License-Identifier: MIT */
#include "fw_cfg.h"
#include "port_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* The fake device: items by selector, each read from its start after it was selected. */
static struct {
    bool absent;
    uint16_t selector;
    size_t position;
    size_t reads;
    uint8_t directory[4 + 64 * 4];
} device;

static const char signature[] = "QEMU";
static const char option[] = "hello; cells";

static uint8_t item_byte(void)
{
    size_t at = device.position++;
    switch (device.selector) {
    case 0x00:
        return at < 4 ? (uint8_t)signature[at] : 0;
    case 0x19:
        return at < sizeof(device.directory) ? device.directory[at] : 0;
    case 0x2a:
        return at < strlen(option) ? (uint8_t)option[at] : 0;
    default:
        return 0;
    }
}

uint8_t port_read8(uint16_t port)
{
    assert_int_equal(port, 0x511);
    device.reads++;
    return device.absent ? 0xff : item_byte();
}

void port_write16(uint16_t port, uint16_t value)
{
    assert_int_equal(port, 0x510);
    device.selector = value;
    device.position = 0;
}

static void put_entry(unsigned index, uint32_t size, uint16_t selector, const char *name)
{
    uint8_t *at = device.directory + 4 + 64 * index;
    const uint8_t head[8] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16),    (uint8_t)(size >> 8),
                             (uint8_t)size,         (uint8_t)(selector >> 8), (uint8_t)selector};
    memcpy(at, head, sizeof(head));
    memcpy(at + 8, name, strlen(name));
    device.directory[3] = (uint8_t)(index + 1);
}

static int plug_in(void **state)
{
    (void)state;
    memset(&device, 0, sizeof(device));
    put_entry(0, 0x01020304, 0x20, "etc/table-loader");
    put_entry(1, sizeof(option) - 1, 0x2a, "opt/theoris/app");
    put_entry(2, 1, 0x2b, "opt/theoris/a-name-that-fills-all-of-its-fifty-six-bytes");
    return 0;
}

static void test_fw_cfg_other_machine_has_no_device(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    device.absent = true;
    assert_int_equal(fw_cfg_find("opt/theoris/app", &file), ERR_NO_DEVICE);
    assert_int_equal(device.reads, 4);
}

static void test_fw_cfg_find_gives_size_and_content(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    char content[32] = "";
    assert_int_equal(fw_cfg_find("opt/theoris/app", &file), OK);
    assert_int_equal(file.size, strlen(option));
    assert_string_equal(file.name, "opt/theoris/app");
    assert_int_equal(fw_cfg_read(&file, content, file.size), OK);
    assert_string_equal(content, option);
    assert_int_equal(fw_cfg_find("etc/table-loader", &file), OK);
    assert_int_equal(file.size, 0x01020304);
    assert_int_equal(file.selector, 0x20);
}

static void test_fw_cfg_read_part_gives_the_first_bytes(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    char content[6] = "......";
    assert_int_equal(fw_cfg_find("opt/theoris/app", &file), OK);
    assert_int_equal(fw_cfg_read(&file, content, 5), OK);
    assert_memory_equal(content, "hello.", 6);
}

static void test_fw_cfg_read_beyond_the_end_is_refused(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    char content[64] = "untouched";
    assert_int_equal(fw_cfg_find("opt/theoris/app", &file), OK);
    assert_int_equal(fw_cfg_read(&file, content, file.size + 1), ERR_OUT_OF_BOUNDS);
    assert_string_equal(content, "untouched");
}

static void test_fw_cfg_absent_file_is_not_found(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    assert_int_equal(fw_cfg_find("opt/theoris/ap", &file), ERR_NOT_FOUND);
    assert_int_equal(fw_cfg_find("", &file), ERR_NOT_FOUND);
}

static void test_fw_cfg_name_without_end_is_cut(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    const char *cut = "opt/theoris/a-name-that-fills-all-of-its-fifty-six-byte";
    assert_int_equal(strlen(cut), FW_CFG_NAME_SIZE - 1);
    assert_int_equal(fw_cfg_find(cut, &file), OK);
}

static void test_fw_cfg_monstrous_directory_is_refused(void **state)
{
    (void)state;
    struct fw_cfg_file file;
    memset(device.directory, 0xff, 4);
    assert_int_equal(fw_cfg_find("opt/theoris/none", &file), ERR_LIMIT);
    assert_in_range(device.reads, 8, 8);
}

static bool count_two(const struct fw_cfg_file *file, void *context)
{
    (void)file;
    int *count = context;
    return ++*count < 2;
}

static void test_fw_cfg_list_stops_when_told_to(void **state)
{
    (void)state;
    int count = 0;
    assert_int_equal(fw_cfg_list(count_two, &count), OK);
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fw_cfg_other_machine_has_no_device, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_find_gives_size_and_content, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_read_part_gives_the_first_bytes, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_read_beyond_the_end_is_refused, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_absent_file_is_not_found, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_name_without_end_is_cut, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_monstrous_directory_is_refused, plug_in),
        cmocka_unit_test_setup(test_fw_cfg_list_stops_when_told_to, plug_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
