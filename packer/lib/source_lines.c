/* SPDX-License-Identifier: MIT */
#include "source_lines.h"

#include <elfutils/libdwfl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* The debug information of one cell, opened when it is first asked for. */
struct cell_lines {
    bool tried;
    Dwfl *dwfl;
    Dwfl_Module *module; /* NULL: there is none */
};

struct source_lines {
    char *folder;
    struct cell_lines *cells; /* by cell of the one model */
    uint32_t cell_count;
};

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

struct source_lines *source_lines_create(const char *folder)
{
    struct source_lines *lines = calloc(1, sizeof(*lines));
    if (lines && folder) {
        lines->folder = strdup(folder);
    }
    return lines;
}

void source_lines_destroy(struct source_lines *lines)
{
    if (!lines) {
        return;
    }
    for (uint32_t i = 0; i < lines->cell_count; i++) {
        if (lines->cells[i].dwfl) {
            dwfl_end(lines->cells[i].dwfl);
        }
    }
    free(lines->cells);
    free(lines->folder);
    free(lines);
}

static bool open_file(struct cell_lines *cell, const char *path)
{
    if (access(path, R_OK) != 0) {
        return false;
    }
    cell->dwfl = dwfl_begin(&callbacks);
    if (!cell->dwfl) {
        return false;
    }
    dwfl_report_begin(cell->dwfl);
    cell->module = dwfl_report_offline(cell->dwfl, "cell", path, -1);
    dwfl_report_end(cell->dwfl, NULL, NULL);
    Dwarf_Addr bias;
    if (cell->module && dwfl_module_getdwarf(cell->module, &bias)) {
        return true;
    }
    dwfl_end(cell->dwfl);
    *cell = (struct cell_lines){.tried = true};
    return false;
}

static void open_cell(const struct source_lines *lines, struct cell_lines *cell,
                      const struct model_cell *of)
{
    cell->tried = true;
    char path[PATH_SIZE];
    const char *slash = strrchr(of->file, '/');
    int length = slash ? (int)(slash - of->file) : 1;
    const char *beside = slash ? of->file : ".";
    static const char *const folders[] = {"", "/cells", "/../cells"};
    if (lines->folder) {
        snprintf(path, sizeof(path), "%s/%s.debug", lines->folder, of->name);
        if (open_file(cell, path)) {
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        snprintf(path, sizeof(path), "%.*s%s/%s.debug", length, beside, folders[i], of->name);
        if (open_file(cell, path)) {
            return;
        }
    }
    open_file(cell, of->file);
}

/* Several sections may have one name: the n-th of that name in the cell is the n-th here. */
static bool section_address(const struct model *model, uint32_t section, Dwfl_Module *module,
                            GElf_Addr *out)
{
    const struct model_section *wanted = &model->sections[section];
    const struct model_cell *cell = &model->cells[wanted->cell];
    uint32_t skip = 0;
    for (uint32_t i = 1; i < wanted->index; i++) {
        skip += strcmp(elf_object_section_name(&cell->object, i), wanted->name) == 0;
    }
    GElf_Addr bias;
    Elf *elf = dwfl_module_getelf(module, &bias);
    size_t names;
    if (!elf || elf_getshdrstrndx(elf, &names) != 0) {
        return false;
    }
    for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn; scn = elf_nextscn(elf, scn)) {
        GElf_Shdr header;
        const char *name =
            gelf_getshdr(scn, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (name && strcmp(name, wanted->name) == 0 && skip-- == 0) {
            *out = header.sh_addr + bias;
            return true;
        }
    }
    return false;
}

/* The debug information of a cell, opened if need be; its module is NULL if there is none. */
static struct cell_lines *lines_of(struct source_lines *lines, const struct model *model,
                                   uint32_t index)
{
    if (!lines->cells) {
        lines->cells = calloc(model->cell_count + 1, sizeof(*lines->cells));
        lines->cell_count = lines->cells ? model->cell_count : 0;
    }
    if (index >= lines->cell_count) {
        return NULL;
    }
    if (!lines->cells[index].tried) {
        open_cell(lines, &lines->cells[index], &model->cells[index]);
    }
    return lines->cells[index].module ? &lines->cells[index] : NULL;
}

char *source_lines_find(struct source_lines *lines, const struct model *model, uint32_t section,
                        uint64_t offset)
{
    struct cell_lines *cell = lines_of(lines, model, model->sections[section].cell);
    GElf_Addr address;
    if (!cell || !section_address(model, section, cell->module, &address)) {
        return NULL;
    }
    Dwfl_Line *line = dwfl_module_getsrc(cell->module, address + offset);
    int number = 0;
    const char *file = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    char *text = NULL;
    file = file && strncmp(file, "./", 2) == 0 ? file + 2 : file;
    if (!file || asprintf(&text, "%s:%d", file, number) < 0) {
        return NULL;
    }
    return text;
}

char *source_lines_shelf(struct source_lines *lines, const struct model *model, uint32_t cell)
{
    struct cell_lines *found = lines_of(lines, model, cell);
    Dwarf_Addr bias;
    Dwarf_Die *unit = found ? dwfl_module_nextcu(found->module, NULL, &bias) : NULL;
    const char *path = unit ? dwarf_diename(unit) : NULL;
    if (!path) {
        return NULL;
    }
    path = strncmp(path, "./", 2) == 0 ? path + 2 : path;
    path = strncmp(path, "cells/", 6) == 0 ? path + 6 : path;
    const char *slash = strchr(path, '/');
    return path[0] != '/' && slash ? strndup(path, (size_t)(slash - path)) : NULL;
}
