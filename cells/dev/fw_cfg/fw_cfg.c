/* SPDX-License-Identifier: MIT */
/*
 * A write to SELECTOR chooses an item and rewinds it; every read of DATA gives its next byte, zeros
 * behind the end. The directory is an item as well: a big-endian count, then entries of 64 bytes:
 *
 *      u32 size   u16 selector   u16 reserved   char name[56]
 */
#include "fw_cfg.h"
#include "freestanding.h"
#include "mutex.h"
#include "port_io.h"

CELL(driver, "1.0.0");

#define SELECTOR 0x510
#define DATA     0x511

#define ITEM_SIGNATURE 0x0000
#define ITEM_DIRECTORY 0x0019

static struct mutex position = {.name =
                                    "fw_cfg"}; /* what is selected, and how much of it was read */

static uint32_t read_big_endian(unsigned bytes)
{
    uint32_t value = 0;
    while (bytes--) {
        value = value << 8 | port_read8(DATA);
    }
    return value;
}

static bool is_present(void)
{
    port_write16(SELECTOR, ITEM_SIGNATURE);
    return read_big_endian(4) == 0x51454d55; /* "QEMU" */
}

static void read_entry(struct fw_cfg_file *out)
{
    out->size = read_big_endian(4);
    out->selector = (uint16_t)read_big_endian(2);
    read_big_endian(2);
    for (size_t i = 0; i < FW_CFG_NAME_SIZE; i++) {
        out->name[i] = (char)port_read8(DATA);
    }
    out->name[FW_CFG_NAME_SIZE - 1] = '\0';
}

enum status fw_cfg_list(bool (*visit)(const struct fw_cfg_file *file, void *context), void *context)
{
    GUARD(mutex, held, &position);
    if (!is_present()) {
        return ERR_NO_DEVICE;
    }
    port_write16(SELECTOR, ITEM_DIRECTORY);
    uint32_t count = read_big_endian(4);
    if (count > FW_CFG_FILE_MAX) {
        return ERR_LIMIT;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fw_cfg_file file;
        read_entry(&file);
        if (!visit(&file, context)) {
            break;
        }
    }
    return OK;
}

struct search {
    const char *name;
    struct fw_cfg_file *out;
    bool found;
};

static bool compare_name(const struct fw_cfg_file *file, void *context)
{
    struct search *search = context;
    search->found = strcmp(file->name, search->name) == 0;
    if (search->found) {
        *search->out = *file;
    }
    return !search->found;
}

enum status fw_cfg_find(const char *name, struct fw_cfg_file *out)
{
    struct search search = {.name = name, .out = out};
    enum status status = fw_cfg_list(compare_name, &search);
    if (status) {
        return status;
    }
    return search.found ? OK : ERR_NOT_FOUND;
}

enum status fw_cfg_read(const struct fw_cfg_file *file, void *buffer, size_t size)
{
    if (size > file->size) {
        return ERR_OUT_OF_BOUNDS;
    }
    uint8_t *bytes = buffer;
    GUARD(mutex, held, &position);
    port_write16(SELECTOR, file->selector);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = port_read8(DATA);
    }
    return OK;
}
