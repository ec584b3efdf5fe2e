/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli.h"
#include "static_link.h"

#define DEFAULT_BASE     0xffffffff80100000u
#define DEFAULT_PHYSICAL 0x100000u

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the image (needed)"},
    {.name = "base",
     .type = OPTION_NUMBER,
     .value = "ADDRESS",
     .help = "where it runs (0xffffffff80100000)"},
    {.name = "physical",
     .type = OPTION_NUMBER,
     .value = "ADDRESS",
     .help = "where it is loaded (0x100000)"},
    {.name = "entry",
     .type = OPTION_TEXT,
     .value = "SYMBOL",
     .help = "where it starts (nano_core_start)"},
    {.name = "map",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "write the addresses of all sections as JSON"},
    {.name = NULL},
};

static json_t *section_list(const struct cell *cell)
{
    json_t *list = json_array();
    for (uint32_t k = 0; k < cell->region_first[REGION_COUNT]; k++) {
        const struct section *section = &cell->sections[cell->by_address[k]];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", section->name, "address",
                                              (json_int_t)section->address, "size",
                                              (json_int_t)section->size));
    }
    return list;
}

static json_t *describe(const struct static_image *image, const char *output)
{
    json_t *root = json_root("link", 1);
    json_t *cells = json_array();
    for (size_t i = 0; i < static_image_cell_count(image); i++) {
        const struct cell *cell = static_image_cell(image, i);
        json_array_append_new(
            cells, json_pack("{s:s, s:I, s:o}", "name", cell->name, "relocation_count",
                             (json_int_t)cell->relocation_count, "sections", section_list(cell)));
    }
    json_object_set_new(root, "output", json_string(output));
    json_object_set_new(root, "end", json_integer((json_int_t)static_image_end(image)));
    json_object_set_new(root, "size", json_integer((json_int_t)static_image_file_size(image)));
    json_object_set_new(root, "cells", cells);
    return root;
}

static int write_map(const json_t *root, const char *path)
{
    struct problem problem = {0};
    struct bytes bytes = {0};
    char *text = json_dumps(root, JSON_INDENT(1));
    if (text) {
        bytes_append_text(&bytes, "%s\n", text);
    }
    bytes.failed |= !text;
    enum status status = bytes_check(&bytes, &problem);
    if (status == OK) {
        status = bytes_write_file(&bytes, path, &problem);
    }
    free(text);
    bytes_fini(&bytes);
    return status == OK ? EXIT_DONE : report(&problem);
}

static int run(const struct arguments *arguments)
{
    struct static_link_request request = {
        .output = argument_text(arguments, "output"),
        .cells = arguments->nouns,
        .base = argument_number(arguments, "base", DEFAULT_BASE),
        .physical = argument_number(arguments, "physical", DEFAULT_PHYSICAL),
        .entry = argument_text(arguments, "entry"),
    };
    if (!request.output) {
        return report_usage(arguments->verb, "link needs --output");
    }
    request.entry = request.entry ? request.entry : "nano_core_start";
    struct problem problem = {0};
    struct static_image *image;
    if (static_link(&request, &image, &problem) != OK) {
        return report(&problem);
    }
    json_t *root = describe(image, request.output);
    const char *map = argument_text(arguments, "map");
    int code = map ? write_map(root, map) : EXIT_DONE;
    if (code == EXIT_DONE && arguments->format == FORMAT_JSON) {
        code = json_print(root);
    } else {
        json_decref(root);
    }
    static_image_destroy(image);
    return code;
}

const struct verb verb_link = {
    .name = "link",
    .summary = "cells to a static image with fixed addresses, the nano_core",
    .synopsis = "-o FILE [OPTION..] CELL..",
    .examples = {"cellpack link -o nano_core --map nano_core.map.json nano_core.cell heap.cell",
                 "cellpack link -o nano_core --json *.cell"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_FILE,
    .run = run,
};
