/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATUS_DELAY_NS  300000000LL
#define STATUS_TEXT_SIZE 160

static enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER } colour_mode;

static struct {
    size_t total;
    size_t done;
    int64_t started_ns;
    bool visible; /* something of ours stands on the line */
} status_line;

void output_set_colour(const char *when)
{
    if (when) {
        colour_mode = strcmp(when, "always") == 0  ? COLOUR_ALWAYS
                      : strcmp(when, "never") == 0 ? COLOUR_NEVER
                                                   : COLOUR_AUTO;
    }
}

/* no-color.org: set and not empty. bixense.com/clicolors: set and not 0. The option beats both. */
static bool colour_wanted(FILE *stream)
{
    if (colour_mode != COLOUR_AUTO) {
        return colour_mode == COLOUR_ALWAYS;
    }
    const char *no = getenv("NO_COLOR");
    if (no && *no) {
        return false;
    }
    const char *force = getenv("CLICOLOR_FORCE");
    if (force && *force && strcmp(force, "0") != 0) {
        return true;
    }
    const char *terminal = getenv("TERM");
    return isatty(fileno(stream)) && !(terminal && strcmp(terminal, "dumb") == 0);
}

const char *colour(FILE *stream, enum colour colour)
{
    static const char *const sequences[] = {
        [COLOUR_NONE] = "\033[0m",   [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
        [COLOUR_RED] = "\033[1;31m", [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
        [COLOUR_BLUE] = "\033[34m",
    };
    return colour_wanted(stream) ? sequences[colour] : "";
}

json_t *json_root(const char *verb, unsigned version)
{
    return json_pack("{s:o}", "schema", json_sprintf("cellpack.%s/%u", verb, version));
}

int json_print(json_t *root)
{
    if (!root || json_dumpf(root, stdout, JSON_INDENT(2)) != 0) {
        json_decref(root);
        fprintf(stderr, "internal error: the JSON result could not be built\n");
        return EXIT_INTERNAL;
    }
    fputc('\n', stdout);
    json_decref(root);
    return EXIT_DONE;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void status_begin(size_t total)
{
    status_line.total = total;
    status_line.done = 0;
    status_line.started_ns = now_ns();
    status_line.visible = false;
}

static int digits_of(size_t number)
{
    int digits = 1;
    for (; number >= 10; number /= 10) {
        digits++;
    }
    return digits;
}

void status_step(const char *format, ...)
{
    status_line.done++;
    if (!isatty(STDERR_FILENO) || now_ns() - status_line.started_ns < STATUS_DELAY_NS) {
        return;
    }
    char text[STATUS_TEXT_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    fprintf(stderr, "\r\033[K[%*zu/%zu] %s", digits_of(status_line.total), status_line.done,
            status_line.total, text);
    fflush(stderr);
    status_line.visible = true;
}

void status_end(void)
{
    if (status_line.visible) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        status_line.visible = false;
    }
}

void status_report(size_t step, size_t total, const char *what)
{
    if (step == 1) {
        status_begin(total);
    }
    status_step("%s", what);
}

int output_finish(int code)
{
    status_end();
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return code;
    }
    struct problem problem = {0};
    problem_set_errno(&problem, PROBLEM_FILE_WRITE, "standard output");
    return report(&problem);
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Few, and needed until the program ends, for tables print late. */
static struct copy {
    struct copy *next;
    char text[];
} * copies;

const char *printable(const char *text)
{
    size_t controls = 0;
    for (const char *at = text; *at; at++) {
        controls += is_control(*at);
    }
    if (controls == 0) {
        return text;
    }
    struct copy *copy = allocate(sizeof(*copy) + strlen(text) + 3 * controls + 1);
    copy->next = copies;
    copies = copy;
    char *to = copy->text;
    for (const char *at = text; *at; at++) {
        if (is_control(*at)) {
            to += sprintf(to, "\\x%02x", (unsigned char)*at);
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return copy->text;
}
