/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int report(struct problem *problem)
{
    const char *plain = colour(stderr, COLOUR_NONE);
    const char *dim = colour(stderr, COLOUR_BLUE);
    int code = problem->code == PROBLEM_USAGE ? EXIT_USAGE : EXIT_FAILED;
    status_end();
    fflush(stdout);
    if (problem->transcript) {
        fputs(problem->transcript, stderr);
    }
    fprintf(stderr, "%serror[C%04u]:%s %s\n", colour(stderr, COLOUR_RED), problem->code, plain,
            printable(problem->what));
    if (problem->where[0]) {
        fprintf(stderr, "  %s-->%s %s\n", dim, plain, printable(problem->where));
    }
    for (size_t i = 0; i < PROBLEM_BECAUSE_LIMIT && problem->because[i][0]; i++) {
        fprintf(stderr, "  %sbecause:%s %s\n", dim, plain, printable(problem->because[i]));
    }
    if (problem->help[0]) {
        fprintf(stderr, "  %shelp:%s %s\n", dim, plain, problem->help);
    }
    problem_fini(problem);
    return code;
}

void report_warning(const char *format, ...)
{
    status_end();
    fflush(stdout);
    fprintf(stderr, "%swarning:%s ", colour(stderr, COLOUR_YELLOW), colour(stderr, COLOUR_NONE));
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

int report_usage(const struct verb *verb, const char *format, ...)
{
    struct problem problem = {.code = PROBLEM_USAGE};
    va_list list;
    va_start(list, format);
    vsnprintf(problem.what, sizeof(problem.what), format, list);
    va_end(list);
    if (verb) {
        problem_help(&problem, "cellpack %s --help", verb->name);
    } else {
        problem_help(&problem, "cellpack --help");
    }
    return report(&problem);
}

void internal_error(const char *format, ...)
{
    fflush(stdout);
    fputs("internal error: ", stderr);
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs("\nThis is a defect of cellpack, not of your cells.\n", stderr);
    exit(EXIT_INTERNAL);
}

void *reallocate(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory) {
        internal_error("no memory for %zu bytes", bytes);
    }
    return memory;
}

void *allocate(size_t bytes)
{
    return reallocate(NULL, bytes);
}

char *duplicate_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(allocate(size), text, size);
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int length = vasprintf(&text, format, list);
    va_end(list);
    if (length < 0) {
        internal_error("no memory for a text");
    }
    return text;
}
