/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg.h - named files that QEMU hands to its guest.
 *
 * Why: `qemu -fw_cfg name=opt/theoris/app,string=hello` sets an option without rebuilding an ISO.
 *
 * Rules: the register interface by port I/O of QEMU's docs/specs/fw_cfg; no DMA, no state here but
 * the device has one read position, which a mutex guards. Tasks only, and the system before there
 * are any; nothing held. All sizes come from outside and are bounded by the caller's buffer and by
 * FW_CFG_FILE_MAX.
 */
#pragma once

#include "status.h"

#define FW_CFG_NAME_SIZE 56   /* the specification's, terminator included */
#define FW_CFG_FILE_MAX  4096 /* directory entries; QEMU itself has under 50 */

struct fw_cfg_file {
    uint32_t size; /* bytes */
    uint16_t selector;
    char name[FW_CFG_NAME_SIZE]; /* terminated */
};

/*
 * Visits the directory until `visit` returns false; `visit` must not use the device. ERR_NO_DEVICE
 * outside QEMU, ERR_LIMIT when the directory claims more than FW_CFG_FILE_MAX files.
 */
CELL_API MUST_CHECK enum status fw_cfg_list(bool (*visit)(const struct fw_cfg_file *file,
                                                          void *context),
                                            void *context);

/* ERR_NOT_FOUND when there is no such file; else as fw_cfg_list(). */
CELL_API MUST_CHECK enum status fw_cfg_find(const char *name, struct fw_cfg_file *out);

/* Reads the first `size` bytes of a file; ERR_OUT_OF_BOUNDS, and nothing read, if it is shorter. */
CELL_API MUST_CHECK enum status fw_cfg_read(const struct fw_cfg_file *file, void *buffer,
                                            size_t size);
