/* SPDX-License-Identifier: MIT */
#include "problem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status status_of(unsigned code)
{
    switch (code) {
#define STATUS_CASE(name, number, status, text) \
    case number:                                \
        return status;
        PROBLEM_TABLE(STATUS_CASE)
        DIAG_TABLE(STATUS_CASE)
    }
    return ERR_FAILED;
}

/* False when an earlier problem stands: the first one is the cause, later ones are consequences. */
static bool begin(struct problem *problem, unsigned code)
{
    if (problem->code != PROBLEM_NONE) {
        return false;
    }
    problem->code = code;
    problem->status = status_of(code);
    return true;
}

enum status problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
{
    if (begin(problem, code)) {
        va_list list;
        va_start(list, format);
        vsnprintf(problem->what, sizeof(problem->what), format, list);
        va_end(list);
    }
    return problem->status;
}

enum status problem_set_errno(struct problem *problem, enum problem_code code, const char *path)
{
    int error = errno;
    if (begin(problem, code)) {
        snprintf(problem->what, sizeof(problem->what), "cannot %s %s",
                 code == PROBLEM_FILE_WRITE ? "write" : "read", path);
        problem_because(problem, "%s", strerror(error));
    }
    return problem->status;
}

enum status problem_set_diag(struct problem *problem, const struct diag *diag, const char *file)
{
    if (!begin(problem, (unsigned)diag->code)) {
        return problem->status;
    }
    snprintf(problem->what, sizeof(problem->what), "%s%s%s", diag_rule(diag->code),
             diag->symbol[0] ? ": " : "", diag->symbol);
    const char *name = diag->cell[0] ? diag->cell : file ? file : "?";
    if (diag->section[0]) {
        problem_where(problem, "%s:%s+0x%" PRIx64, name, diag->section, diag->offset);
    } else if (diag->offset) {
        problem_where(problem, "%s+0x%" PRIx64, name, diag->offset);
    } else {
        problem_where(problem, "%s", name);
    }
    if (file && diag->cell[0] && strcmp(file, diag->cell) != 0) {
        problem_because(problem, "while reading %s", file);
    }
    if (diag->expected != diag->found) {
        problem_because(problem, "expected 0x%" PRIx64 ", found 0x%" PRIx64, diag->expected,
                        diag->found);
    }
    problem_help(problem, "cellpack explain C%04u", problem->code);
    return problem->status;
}

void problem_where(struct problem *problem, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(problem->where, sizeof(problem->where), format, list);
    va_end(list);
}

void problem_because(struct problem *problem, const char *format, ...)
{
    for (size_t i = 0; i < PROBLEM_BECAUSE_LIMIT; i++) {
        if (!problem->because[i][0]) {
            va_list list;
            va_start(list, format);
            vsnprintf(problem->because[i], sizeof(problem->because[i]), format, list);
            va_end(list);
            return;
        }
    }
}

void problem_help(struct problem *problem, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(problem->help, sizeof(problem->help), format, list);
    va_end(list);
}

const char *problem_rule(unsigned code)
{
    switch (code) {
#define RULE_CASE(name, number, status, text) \
    case number:                              \
        return text;
        PROBLEM_TABLE(RULE_CASE)
        DIAG_TABLE(RULE_CASE)
    }
    return NULL;
}

void problem_fini(struct problem *problem)
{
    free(problem->transcript);
    *problem = (struct problem){0};
}
