/* SPDX-License-Identifier: MIT */
/*
 * boot_file.h - files that whoever starts the system hands to it, by name.
 *
 * Why: QEMU hands files over by fw_cfg, GRUB as modules beside the archive of cells. Who wants the
 * file does not care, but people must be able to see which one was taken.
 *
 * How: a file NAME is `opt/org.theoris/NAME` of fw_cfg, or else the module NAME. Where both are
 * there QEMU's is taken: its command line is easier to change than what stands on a disk.
 *
 * Rules: every read gives a copy in pages of its own, so that a file can be read again, and a
 * module's frames stay as they are. Tasks only, nothing held. A slot is filled as the last step;
 * before that everything is the callee's, and released wherever it ends.
 */
#pragma once

#include "own.h"
#include "status.h"

struct mapped_pages;

enum boot_file_door {
    BOOT_FILE_NONE,
    BOOT_FILE_FW_CFG,
    BOOT_FILE_MODULE,
};

struct boot_file {
    enum boot_file_door door;
    uint64_t size; /* bytes, from the start of the pages; not 0 */
};

/* "fw_cfg file opt/org.theoris/", "boot module ": what to print in front of the name. */
CELL_API const char *boot_file_prefix(enum boot_file_door door);

/*
 * ERR_NOT_FOUND where nobody hands it over; ERR_LIMIT where it is empty or longer than `limit`
 * bytes, or its name too long for fw_cfg; ERR_NO_MEMORY and others of mapping. out_file->door says
 * which file it is about, also after a failure. The pages can be read only.
 */
CELL_API enum status boot_file_read(const char *name, uint64_t limit, struct boot_file *out_file,
                                    struct mapped_pages **out) OWN_ACQUIRES(**out);
