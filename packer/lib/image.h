/* SPDX-License-Identifier: MIT */
/*
 * image.h - makes a bootable ISO image of a nano_core and an archive of cells.
 *
 * Why: one file that boots with BIOS and with UEFI, from a CD and from a USB stick, and whose bytes
 * depend on its input alone.
 *
 * How: GRUB loads /boot/nano_core by Multiboot2 and /boot/cells.a as a module; likewise an
 * evolution that the system can carry out (docs/evolution-format.md), as the modules `evolution`
 * and `evolution.a`. There is one GRUB core for each firmware, with the few modules that this
 * takes. Both find the image by a volume id that is made of its content, so that another Theoris
 * image on another disk is never taken for it.
 *
 * Rules: needs grub-mkimage with its platforms, mtools and xorriso. Dates are SOURCE_DATE_EPOCH, or
 * IMAGE_EPOCH where that is not set.
 */
#pragma once

#include "bytes.h"
#include "progress.h"

#define IMAGE_EPOCH       "1767225600"    /* 2026-01-01: ISO 9660 and FAT cannot say 1970 */
#define IMAGE_GRUB_FOLDER "/usr/lib/grub" /* where Debian keeps the platforms */

struct image_request {
    const char *output;
    const char *nano_core;
    const char *cells;        /* NULL: none, the nano_core is alone */
    const char *evolution;    /* a manifest, whose bundle is this file with .a; NULL: none */
    bool unchecked;           /* `cells` need not be an archive, nor `evolution` an evolution */
    const char *command_line; /* for the nano_core; or NULL */
    const char *grub_folder;  /* NULL: IMAGE_GRUB_FOLDER */
    progress_report progress; /* or NULL */
};

struct image_result {
    size_t size; /* bytes */
};

/*
 * C0440: a GRUB platform is missing. C0441: GRUB would refuse this nano_core. C0442: the command
 * line holds a character that GRUB's script language would not pass on unchanged. C08xx: what
 * `evolution` names is no manifest, or its bundle is not the one that it names.
 */
MUST_CHECK enum status image_make(const struct image_request *request,
                                  struct image_result *out_result, struct problem *problem);
