/* SPDX-License-Identifier: MIT */
#include "boot_file.h"
#include "boot_info.h"
#include "freestanding.h"
#include "fw_cfg.h"
#include "mapped_pages.h"

CELL(library, "1.0.0");

#define FOLDER "opt/org.theoris/"

const char *boot_file_prefix(enum boot_file_door door)
{
    return door == BOOT_FILE_FW_CFG   ? "fw_cfg file " FOLDER
           : door == BOOT_FILE_MODULE ? "boot module "
                                      : "";
}

/* What a name stands for; one of both, as the door says. */
struct source {
    struct fw_cfg_file file;
    const struct boot_module *module;
};

/* Outside QEMU, and where its directory is damaged, there is no such file either. */
static enum status find(const char *name, struct source *source, struct boot_file *out)
{
    char path[FW_CFG_NAME_SIZE] = FOLDER;
    size_t length = strlen(name);
    *out = (struct boot_file){.door = BOOT_FILE_NONE};
    if (length >= sizeof(path) - strlen(FOLDER)) {
        return ERR_LIMIT;
    }
    memcpy(path + strlen(FOLDER), name, length + 1);
    if (fw_cfg_find(path, &source->file) == OK) {
        *out = (struct boot_file){.door = BOOT_FILE_FW_CFG, .size = source->file.size};
        return OK;
    }
    source->module = boot_info_find_module(name);
    if (!source->module) {
        return ERR_NOT_FOUND;
    }
    *out = (struct boot_file){.door = BOOT_FILE_MODULE, .size = source->module->bytes};
    return OK;
}

static enum status copy_module(const struct boot_module *module, uint8_t *to)
{
    OWNED(mapped_pages, pages);
    enum status status = mapped_pages_create_at(PAGE_ZONE_DATA, module->start, module->bytes,
                                                PAGE_READ, SLOT(pages));
    if (status != OK) {
        return status;
    }
    uint64_t offset = module->start % PAGE_SIZE;
    const uint8_t *from = MAPPED_PAGES_SLICE(uint8_t, REF(pages), offset, module->bytes);
    if (!from) {
        return ERR_OUT_OF_BOUNDS;
    }
    memcpy(to, from, module->bytes);
    return OK;
}

enum status boot_file_read(const char *name, uint64_t limit, struct boot_file *out_file,
                           struct mapped_pages **out)
{
    struct source source = {0};
    enum status status = find(name, &source, out_file);
    if (status != OK) {
        return status;
    }
    uint64_t size = out_file->size;
    if (size == 0 || size > limit) {
        return ERR_LIMIT;
    }
    OWNED(mapped_pages, pages);
    status = mapped_pages_create(PAGE_ZONE_DATA, size, PAGE_READ | PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return status;
    }
    uint8_t *bytes = MAPPED_PAGES_SLICE_MUTABLE(uint8_t, REF(pages), 0, size);
    status =
        source.module ? copy_module(source.module, bytes) : fw_cfg_read(&source.file, bytes, size);
    status = status ? status : mapped_pages_remap(REF(pages), PAGE_READ);
    if (status != OK) {
        return status;
    }
    MOVE(*out, pages);
    return OK;
}
