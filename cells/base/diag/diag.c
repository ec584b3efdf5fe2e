/* SPDX-License-Identifier: MIT */
#include "diag.h"
#include "format.h"

CELL(library, "1.0.0");

static void copy_name(char *to, size_t size, const char *from)
{
    size_t i = 0;
    while (from && from[i] && i + 1 < size) {
        to[i] = from[i];
        i++;
    }
    to[i] = '\0';
}

static enum status status_of(enum diag_code code)
{
    switch (code) {
    case DIAG_NONE:
        return OK;
#define STATUS_CASE(name, number, status, text) \
    case DIAG_##name:                           \
        return status;
        DIAG_TABLE(STATUS_CASE)
    }
    return ERR_FAILED;
}

enum status diag_set(struct diag *diag, enum diag_code code, const struct diag_site *site)
{
    enum status status = status_of(code);
    if (diag) {
        *diag = (struct diag){
            .code = code,
            .status = status,
            .offset = site->offset,
            .expected = site->expected,
            .found = site->found,
        };
        copy_name(diag->cell, sizeof(diag->cell), site->cell);
        copy_name(diag->section, sizeof(diag->section), site->section);
        copy_name(diag->symbol, sizeof(diag->symbol), site->symbol);
    }
    return status;
}

void diag_name_cell(struct diag *diag, const char *cell)
{
    if (diag && !diag->cell[0]) {
        copy_name(diag->cell, sizeof(diag->cell), cell);
    }
}

const char *diag_rule(enum diag_code code)
{
    switch (code) {
    case DIAG_NONE:
        return "no error";
#define RULE_CASE(name, number, status, text) \
    case DIAG_##name:                         \
        return text;
        DIAG_TABLE(RULE_CASE)
    }
    return "unknown error";
}

size_t diag_format(const struct diag *diag, char *buffer, size_t size)
{
    struct format_buffer line = format_buffer_of(buffer, size);
    format_append(&line, "C%04u", (unsigned)diag->code);
    if (diag->cell[0] || diag->section[0]) {
        format_append(&line, " %s", diag->cell[0] ? diag->cell : "?");
    }
    if (diag->section[0]) {
        format_append(&line, ":%s", diag->section);
    }
    if (diag->section[0] || diag->offset) {
        format_append(&line, "+0x%lx", (unsigned long)diag->offset);
    }
    format_append(&line, ": %s", diag_rule(diag->code));
    if (diag->symbol[0]) {
        format_append(&line, ": %s", diag->symbol);
    }
    if (diag->expected != diag->found) {
        format_append(&line, " (expected 0x%lx, found 0x%lx)", (unsigned long)diag->expected,
                      (unsigned long)diag->found);
    }
    return line.length;
}
