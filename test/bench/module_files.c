/* SPDX-License-Identifier: MIT */
#include "module_files.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".ko"

/* A copy of the file, in memory of its own and followed by a NUL. */
static struct span read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        err(1, "%s", path);
    }
    size_t size = (size_t)status.st_size;
    char *bytes = malloc(size + 1);
    if (!bytes) {
        err(1, "%s", path);
    }
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got <= 0) {
            errx(1, "%s: %s", path, got < 0 ? strerror(errno) : "ends too early");
        }
        done += (size_t)got;
    }
    bytes[size] = '\0';
    close(fd);
    return span_of(bytes, size);
}

/* DIR/lib/modules/6.1.0-1-amd64/kernel/net/dns.ko is net/dns below .../kernel. */
static const char *name_of(const char *folder, const char *path, size_t length)
{
    size_t prefix = strlen(folder);
    while (path[prefix] == '/') {
        prefix++;
    }
    char *name = strndup(path + prefix, length - prefix - strlen(SUFFIX));
    if (!name) {
        err(1, "%s", path);
    }
    return name;
}

static int by_path(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

void module_files_read(const char *folder, struct module_files *out_files)
{
    char *roots[] = {strdup(folder), NULL};
    FTS *tree = roots[0] ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_path) : NULL;
    if (!tree) {
        err(1, "%s", folder);
    }
    struct module_files files = {0};
    uint32_t capacity = 0;
    for (FTSENT *entry; (entry = fts_read(tree));) {
        size_t length = entry->fts_pathlen;
        if (entry->fts_info != FTS_F || length <= strlen(SUFFIX) ||
            strcmp(entry->fts_path + length - strlen(SUFFIX), SUFFIX) != 0) {
            continue;
        }
        if (files.count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            files.files = reallocarray(files.files, capacity, sizeof(files.files[0]));
            if (!files.files) {
                err(1, "%s", folder);
            }
        }
        struct module_file *file = &files.files[files.count++];
        file->path = name_of(folder, entry->fts_path, length);
        file->bytes = read_file(entry->fts_path);
        files.bytes += file->bytes.size;
    }
    fts_close(tree);
    free(roots[0]);
    if (files.count == 0) {
        errx(1, "%s: no modules (*.ko) in there", folder);
    }
    *out_files = files;
}

/* A line is: checksum, name, module, type of export, namespace, with tabs between. */
static bool parse_line(char *line, struct exporter *out)
{
    strtok(line, "\t");
    char *name = strtok(NULL, "\t");
    char *module = strtok(NULL, "\t");
    if (!name || !module) {
        return false;
    }
    *out = (struct exporter){
        .key = {.name = name, .hash = symbol_map_hash(name)},
        .module = module,
    };
    return true;
}

void exporters_read(const char *path, struct exporters *out_exporters)
{
    struct span file = read_file(path);
    char *text = (char *)file.base;
    uint32_t lines = 0;
    for (size_t i = 0; i < file.size; i++) {
        lines += text[i] == '\n';
    }
    struct exporters exporters = {.rows = calloc(lines + 1, sizeof(exporters.rows[0]))};
    uint32_t capacity = symbol_map_capacity(lines);
    const struct symbol_key **slots = calloc(capacity, sizeof(*slots));
    if (!exporters.rows || !slots) {
        err(1, "%s", path);
    }
    symbol_map_init(&exporters.by_name, slots, capacity, NULL);
    while (*text) {
        char *end = strchrnul(text, '\n');
        char *next = *end ? end + 1 : end;
        *end = '\0';
        struct exporter *row = &exporters.rows[exporters.count];
        if (!parse_line(text, row) || symbol_map_insert(&exporters.by_name, &row->key)) {
            errx(1, "%s: line %u is malformed or names a symbol twice", path, exporters.count + 1);
        }
        exporters.count++;
        text = next;
    }
    *out_exporters = exporters;
}

const struct exporter *exporters_find(const struct exporters *exporters, const char *name,
                                      uint32_t hash)
{
    const struct symbol_key *key = symbol_map_find(&exporters->by_name, name, hash);
    return key ? CONTAINER_OF(key, const struct exporter, key) : NULL;
}
