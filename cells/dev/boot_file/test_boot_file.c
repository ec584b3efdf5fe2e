/* SPDX-License-Identifier: MIT */
/* A made-up device with one file, a made-up loader with one module, and pages that are an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot_file.h"
#include "boot_info.h"
#include "fw_cfg.h"
#include "mapped_pages.h"

#define MODULE_START 0x200010u /* not where its frame begins */

struct mapped_pages {
    char bytes[64];
    unsigned flags;
    bool is_used;
};

static struct mapped_pages memory[2];
static const char *file;   /* of fw_cfg; NULL: there is none */
static const char *module; /* likewise */
static uint64_t size;      /* of both */
static enum status device; /* what looking for a file gives where there is none */
static enum status reading;
static enum status mapping; /* of the module */

enum status fw_cfg_find(const char *name, struct fw_cfg_file *out)
{
    *out = (struct fw_cfg_file){.size = (uint32_t)size};
    return file && strcmp(name, "opt/org.theoris/evolution") == 0 ? OK : device;
}

enum status fw_cfg_read(const struct fw_cfg_file *found, void *buffer, size_t bytes)
{
    assert_int_equal(found->size, bytes);
    memcpy(buffer, file, bytes);
    return reading;
}

const struct boot_module *boot_info_find_module(const char *name)
{
    static struct boot_module found;
    found = (struct boot_module){.start = MODULE_START, .bytes = size};
    return module && strcmp(name, "evolution") == 0 ? &found : NULL;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    assert_int_equal(zone, PAGE_ZONE_DATA);
    assert_false(memory[0].is_used);
    if (bytes > sizeof(memory[0].bytes)) {
        return ERR_NO_MEMORY;
    }
    memory[0] = (struct mapped_pages){.is_used = true, .flags = flags};
    FILL(out, &memory[0]);
    return OK;
}

enum status mapped_pages_create_at(enum page_zone zone, paddr_t start, size_t bytes, unsigned flags,
                                   struct mapped_pages **out)
{
    assert_int_equal(zone, PAGE_ZONE_DATA);
    assert_int_equal(start, MODULE_START);
    assert_int_equal(flags, PAGE_READ);
    assert_false(memory[1].is_used);
    if (mapping != OK) {
        return mapping;
    }
    memory[1] = (struct mapped_pages){.is_used = true, .flags = flags};
    memcpy(memory[1].bytes + MODULE_START % PAGE_SIZE, module, bytes);
    FILL(out, &memory[1]);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        (*handle)->is_used = false;
    }
    EMPTY(handle);
}

enum status mapped_pages_remap(struct mapped_pages *pages, unsigned flags)
{
    pages->flags = flags;
    return OK;
}

void *mapped_pages_access(const struct mapped_pages *pages, uint64_t offset, uint64_t bytes,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    (void)alignment;
    (void)count;
    (void)bytes;
    assert_int_equal(pages->flags & needed, needed);
    return (void *)&pages->bytes[offset];
}

static int set_up(void **state)
{
    (void)state;
    file = NULL;
    module = NULL;
    size = 5;
    device = ERR_NOT_FOUND;
    reading = OK;
    mapping = OK;
    return 0;
}

static int nothing_is_kept(void **state)
{
    (void)state;
    return memory[0].is_used || memory[1].is_used;
}

/* Reads the file `evolution` and compares. */
static void expect(enum boot_file_door door, const char *content)
{
    struct boot_file found;
    OWNED(mapped_pages, pages);
    assert_int_equal(boot_file_read("evolution", 64, &found, SLOT(pages)), OK);
    assert_int_equal(found.door, door);
    assert_int_equal(found.size, strlen(content));
    assert_memory_equal(REF(pages)->bytes, content, strlen(content));
    assert_int_equal(REF(pages)->flags, PAGE_READ);
    assert_false(memory[1].is_used); /* the module is mapped no longer */
}

static enum status refusal(const char *name, enum boot_file_door door)
{
    struct boot_file found;
    OWNED(mapped_pages, pages);
    enum status status = boot_file_read(name, 64, &found, SLOT(pages));
    assert_null(REF(pages));
    assert_int_equal(found.door, door);
    return status;
}

static void test_boot_file_of_qemu_comes_before_the_module(void **state)
{
    (void)state;
    file = "qemu!";
    module = "grub!";
    expect(BOOT_FILE_FW_CFG, "qemu!");
    file = NULL;
    expect(BOOT_FILE_MODULE, "grub!");
    device = ERR_NO_DEVICE;
    expect(BOOT_FILE_MODULE, "grub!");
    expect(BOOT_FILE_MODULE, "grub!"); /* again */
}

static void test_boot_file_that_cannot_be_read_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(refusal("evolution", BOOT_FILE_NONE), ERR_NOT_FOUND);
    device = ERR_NO_DEVICE;
    assert_int_equal(refusal("evolution", BOOT_FILE_NONE), ERR_NOT_FOUND);
    module = "grub!";
    assert_int_equal(refusal("other", BOOT_FILE_NONE), ERR_NOT_FOUND);
    mapping = ERR_BUSY;
    assert_int_equal(refusal("evolution", BOOT_FILE_MODULE), ERR_BUSY);
    size = 0;
    assert_int_equal(refusal("evolution", BOOT_FILE_MODULE), ERR_LIMIT);
    file = "qemu!";
    size = 65;
    assert_int_equal(refusal("evolution", BOOT_FILE_FW_CFG), ERR_LIMIT);
    size = 5;
    reading = ERR_OUT_OF_BOUNDS;
    assert_int_equal(refusal("evolution", BOOT_FILE_FW_CFG), ERR_OUT_OF_BOUNDS);
    assert_int_equal(refusal("a_name_that_fw_cfg_has_no_room_for_at_all", BOOT_FILE_NONE),
                     ERR_LIMIT);
}

static void test_boot_file_without_memory_is_refused(void **state)
{
    (void)state;
    struct boot_file found;
    OWNED(mapped_pages, pages);
    module = "grub!";
    size = 65;
    assert_int_equal(boot_file_read("evolution", 100, &found, SLOT(pages)), ERR_NO_MEMORY);
}

static void test_boot_file_prefix_names_the_door(void **state)
{
    (void)state;
    assert_string_equal(boot_file_prefix(BOOT_FILE_FW_CFG), "fw_cfg file opt/org.theoris/");
    assert_string_equal(boot_file_prefix(BOOT_FILE_MODULE), "boot module ");
    assert_string_equal(boot_file_prefix(BOOT_FILE_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_boot_file_of_qemu_comes_before_the_module, set_up,
                                        nothing_is_kept),
        cmocka_unit_test_setup_teardown(test_boot_file_that_cannot_be_read_leaves_nothing, set_up,
                                        nothing_is_kept),
        cmocka_unit_test_setup_teardown(test_boot_file_without_memory_is_refused, set_up,
                                        nothing_is_kept),
        cmocka_unit_test_setup_teardown(test_boot_file_prefix_names_the_door, set_up,
                                        nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
