/* SPDX-License-Identifier: MIT */
/*
 * From files to cells. Files are mapped, not read: four thousand kernel modules are half a
 * gigabyte, of which the symbol tables and relocations are looked at.
 */
#include "model_priv.h"

#include "archive.h"
#include "cell_info.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A chain of what the model's pointers point into: mapped files and names. */
struct owned {
    struct owned *next;
    void *map; /* NULL: a name, which stands in `text` */
    size_t size;
    char text[];
};

struct reading {
    struct model *model;
    unsigned flags;
    const char *file; /* the input at hand */
    uint32_t cell_room;
    uint32_t reject_room;
    struct problem *problem;
};

static struct owned *own(struct model *model, size_t text_size)
{
    struct owned *owned = calloc(1, sizeof(*owned) + text_size);
    if (owned) {
        owned->next = model->owned;
        model->owned = owned;
    }
    return owned;
}

static const char *keep_text(struct model *model, const char *text, size_t length)
{
    struct owned *owned = own(model, length + 1);
    return owned ? memcpy(owned->text, text, length) : NULL;
}

static enum status no_memory(const struct reading *reading)
{
    return problem_set(reading->problem, PROBLEM_MEMORY, "no memory for the model");
}

/* Doubles an array that is full. */
static bool make_room(void **items, uint32_t *room, uint32_t count, size_t size)
{
    if (count < *room) {
        return true;
    }
    uint32_t larger = *room ? *room * 2 : 64;
    void *grown = realloc(*items, larger * size);
    if (grown) {
        *items = grown;
        *room = larger;
    }
    return grown != NULL;
}

/* "path/to/heap.cell" -> "heap". */
static const char *stem_of(struct model *model, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *start = slash ? slash + 1 : path;
    const char *dot = strrchr(start, '.');
    return keep_text(model, start, dot && dot > start ? (size_t)(dot - start) : strlen(start));
}

static enum status refuse(struct reading *reading, const char *name, struct diag *diag)
{
    struct model *model = reading->model;
    diag_name_cell(diag, name);
    if (!(reading->flags & MODEL_KEEP_REJECTS)) {
        return problem_set_diag(reading->problem, diag, reading->file);
    }
    void *rejects = model->rejects;
    if (!make_room(&rejects, &reading->reject_room, model->reject_count, sizeof(*model->rejects))) {
        return no_memory(reading);
    }
    model->rejects = rejects;
    model->rejects[model->reject_count++] = (struct model_reject){.name = name, .diag = *diag};
    return OK;
}

static enum status read_object(struct reading *reading, struct span bytes, const char *member)
{
    struct model *model = reading->model;
    struct model_cell cell = {
        .file = reading->file,
        .version = "",
        .kind = "object",
        .summary = "",
        .name = stem_of(model, member),
    };
    void *cells = model->cells;
    if (!cell.name ||
        !make_room(&cells, &reading->cell_room, model->cell_count, sizeof(*model->cells))) {
        return no_memory(reading);
    }
    model->cells = cells;
    struct diag diag = {0};
    if (elf_object_open(bytes, &cell.object, &diag)) {
        return refuse(reading, cell.name, &diag);
    }
    struct cell_info info;
    if (elf_object_find_section(&cell.object, ".cell.info")) {
        if (cell_info_read(&cell.object, &info, &diag)) {
            return refuse(reading, cell.name, &diag);
        }
        cell.has_note = true;
        cell.name = info.name;
        cell.version = info.version;
        cell.kind = info.kind;
        cell.summary = info.summary;
        cell.interface = info.interface;
    }
    model->cells[model->cell_count++] = cell;
    return OK;
}

static enum status read_archive(struct reading *reading, struct span bytes)
{
    struct archive archive;
    struct diag diag = {0};
    if (archive_open(bytes, &archive, &diag)) {
        return refuse(reading, reading->file, &diag);
    }
    uint64_t offset = archive.first_member;
    for (;;) {
        struct archive_member member;
        enum status status = archive_member_at(&archive, offset, &member, &diag);
        if (status == ERR_NOT_FOUND && diag.code == DIAG_NONE) {
            return OK;
        }
        if (status) {
            return refuse(reading, reading->file, &diag);
        }
        status = read_object(reading, member.data, member.name);
        if (status) {
            return status;
        }
        offset = member.next;
    }
}

/* An empty file cannot be mapped and becomes an empty span. */
static enum status map_file(struct reading *reading, struct span *out)
{
    int file = open(reading->file, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        problem_set_errno(reading->problem, PROBLEM_FILE_READ, reading->file);
        if (file >= 0) {
            close(file);
        }
        return ERR_IO;
    }
    void *map = NULL;
    size_t size = S_ISREG(status.st_mode) ? (size_t)status.st_size : 0;
    bool good = true;
    if (size) {
        map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        good = map != MAP_FAILED;
    }
    close(file);
    if (!good) {
        return problem_set_errno(reading->problem, PROBLEM_FILE_READ, reading->file);
    }
    struct owned *owned = own(reading->model, 0);
    if (!owned) {
        munmap(map, size);
        return no_memory(reading);
    }
    owned->map = map;
    owned->size = size;
    *out = span_of(map, size);
    return OK;
}

enum status model_read(struct model *model, const char *const *paths, size_t count, unsigned flags,
                       struct problem *problem)
{
    struct reading reading = {.model = model, .flags = flags, .problem = problem};
    for (size_t i = 0; i < count; i++) {
        reading.file = keep_text(model, paths[i], strlen(paths[i]));
        if (!reading.file) {
            return no_memory(&reading);
        }
        struct span bytes;
        enum status status = map_file(&reading, &bytes);
        if (status) {
            return status;
        }
        bool is_archive = bytes.size >= 8 && memcmp(bytes.base, "!<arch>\n", 8) == 0;
        status =
            is_archive ? read_archive(&reading, bytes) : read_object(&reading, bytes, reading.file);
        if (status) {
            return status;
        }
    }
    return OK;
}

void model_read_fini(struct model *model)
{
    for (struct owned *owned = model->owned; owned;) {
        struct owned *next = owned->next;
        if (owned->map) {
            munmap(owned->map, owned->size);
        }
        free(owned);
        owned = next;
    }
    model->owned = NULL;
}
