/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "subject.h"
#include "image.h"

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the ISO image (needed)"},
    {.name = "nano-core",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "what GRUB starts (needed)"},
    {.name = "cells",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the archive of cells; without it the nano_core is alone"},
    {.name = "evolution",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "a manifest for the application evolve, with its bundle FILE.a"},
    {.name = "cmdline", .type = OPTION_TEXT, .value = "TEXT", .help = "options of the nano_core"},
    {.name = "unchecked", .help = "take --cells and --evolution whatever they are"},
    {.name = "grub",
     .type = OPTION_TEXT,
     .value = "DIR",
     .words = WORDS_FOLDER,
     .help = "GRUB's platforms, else " IMAGE_GRUB_FOLDER},
    {.name = NULL},
};

static int run(const struct arguments *arguments)
{
    static const char *const needed[] = {"output", "nano-core"};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (!argument_given(arguments, needed[i])) {
            return report_usage(arguments->verb, "image needs --%s", needed[i]);
        }
    }
    struct image_request request = {
        .progress = status_report,
        .output = argument_text(arguments, "output"),
        .nano_core = argument_text(arguments, "nano-core"),
        .cells = argument_text(arguments, "cells"),
        .evolution = argument_text(arguments, "evolution"),
        .unchecked = argument_given(arguments, "unchecked"),
        .command_line = argument_text(arguments, "cmdline"),
        .grub_folder = argument_text(arguments, "grub"),
    };
    struct image_result result;
    struct problem problem = {0};
    enum status status = image_make(&request, &result, &problem);
    status_end();
    if (status != OK) {
        return report(&problem);
    }
    if (arguments->format == FORMAT_JSON) {
        json_t *root = json_root("image", 1);
        json_object_set_new(root, "output", json_text(request.output));
        json_object_set_new(root, "size", json_integer((json_int_t)result.size));
        return json_print(root);
    }
    return EXIT_DONE;
}

const struct verb verb_image = {
    .name = "image",
    .summary = "nano_core and cells.a to a bootable ISO image, BIOS and UEFI",
    .synopsis = "-o FILE --nano-core FILE [--cells FILE] [OPTION]..",
    .examples =
        {"cellpack image -o theoris.iso --nano-core nano_core --cells cells.a",
         "cellpack image -o t.iso --nano-core nano_core --cells cells.a --cmdline app=hello"},
    .options = options,
    .run = run,
};
