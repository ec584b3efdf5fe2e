/* SPDX-License-Identifier: MIT */
#include "compile.h"
#include "cell_gate.h"
#include "cell_writer.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const flags[] = {
    "-std=gnu11",
    "-g",
    "-gz=none", /* the cell's reader takes no compressed sections */
    /* no host: its headers, its library, its start-up code */
    "-ffreestanding",
    "-nostdinc",
    /* code that runs in the top 2 GiB, without a red zone below the stack, without vector registers
     */
    "-fno-pic",
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mgeneral-regs-only",
    "-fcf-protection=none",
    "-fno-stack-protector",
    /* a frame larger than a page touches each page: it cannot step over the guard of a stack */
    "-fstack-clash-protection",
    /* unwind tables that are right at each instruction, one piece of code a function */
    "-fasynchronous-unwind-tables",
    "-fno-exceptions",
    "-fno-reorder-blocks-and-partition",
    /* each function and variable is a section: the unit of linking and swapping */
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-fno-merge-constants",
    "-fvisibility=hidden",
    /* objects are viewed as bytes, and address 0 is an address */
    "-fno-strict-aliasing",
    "-fno-delete-null-pointer-checks",
    "-fno-ident",
    "-Wa,--noexecstack",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wundef",
    "-Wvla",
    "-Werror",
    "-Werror=vla",
    NULL,
};

const char *const *compile_flags(void)
{
    return flags;
}

struct build {
    const struct compile_request *request;
    struct compile_result *result;
    struct problem *problem;
    char *folder; /* temporary */
    char *here;
    char *compiler_headers;
    size_t source_count;
};

static enum status no_memory(struct build *build)
{
    return problem_set(build->problem, PROBLEM_MEMORY, "out of memory");
}

/* Where gcc keeps stddef.h and stdint.h; -nostdinc hides them together with the host's headers. */
static enum status find_compiler_headers(struct build *build)
{
    const char *const arguments[] = {"gcc", "-print-file-name=include", NULL};
    struct process process = {
        .arguments = arguments, .package = "gcc", .what = "find the compiler's headers"};
    struct bytes output = {0};
    enum status status = process_run(&process, &output, NULL, build->problem);
    bytes_append(&output, "", 1);
    if (status == OK && !output.failed) {
        build->compiler_headers = strdup((const char *)output.data);
    }
    bytes_fini(&output);
    if (status == OK && !build->compiler_headers) {
        return no_memory(build);
    }
    if (status == OK) {
        build->compiler_headers[strcspn(build->compiler_headers, "\n")] = '\0';
    }
    return status;
}

/* -D with the value as a C string literal. */
static void add_text_define(struct words_list *arguments, const char *name, const char *value)
{
    struct bytes literal = {0};
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            bytes_append(&literal, "\\", 1);
        }
        bytes_append(&literal, value, 1);
    }
    bytes_append(&literal, "", 1);
    words_add(arguments, "-D%s=\"%s\"", name, literal.failed ? "" : (const char *)literal.data);
    arguments->failed |= literal.failed;
    bytes_fini(&literal);
}

static void add_flags(const struct build *build, struct words_list *arguments)
{
    const struct compile_request *request = build->request;
    for (size_t i = 0; flags[i]; i++) {
        words_add(arguments, "%s", flags[i]);
    }
    words_add(arguments, request->debug_profile ? "-Og" : "-O2");
    if (request->debug_profile) {
        words_add(arguments, "-DPROFILE_DEBUG");
    }
    words_add(arguments, "-ffile-prefix-map=%s/=", build->here);
    words_add(arguments, "-ffile-prefix-map=%s=.", build->here);
    words_add(arguments, "-fdiagnostics-color=%s", request->colour ? "always" : "never");
    words_add(arguments, "-isystem");
    words_add(arguments, "%s", build->compiler_headers);
    for (size_t i = 0; request->includes && request->includes[i]; i++) {
        words_add(arguments, "-I");
        words_add(arguments, "%s", request->includes[i]);
    }
    add_text_define(arguments, "CELL_NAME", request->name);
    add_text_define(arguments, "CELL_SUMMARY", request->summary);
    if (request->interface) {
        add_text_define(arguments, "CELL_INTERFACE", request->interface);
    }
    for (size_t i = 0; request->defines && request->defines[i]; i++) {
        words_add(arguments, "-D%s", request->defines[i]);
    }
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Makes <folder>/<number>.o and, for the dependencies, <number>.d. */
static enum status compile_source(struct build *build, size_t number, const char *what)
{
    const char *source = build->request->sources[number];
    struct words_list arguments = {0};
    words_add(&arguments, "gcc");
    add_flags(build, &arguments);
    words_add(&arguments, "-MD");
    words_add(&arguments, "-MF");
    words_add(&arguments, "%s/%zu.d", build->folder, number);
    words_add(&arguments, "-MT");
    words_add(&arguments, "cell");
    words_add(&arguments, "-c");
    words_add(&arguments, "-o");
    words_add(&arguments, "%s/%zu.o", build->folder, number);
    words_add(&arguments, "%s", source);
    struct process process = {.arguments = words_of(&arguments), .package = "gcc", .what = what};
    enum status status = arguments.failed
                             ? no_memory(build)
                             : process_run(&process, NULL, &build->result->remarks, build->problem);
    words_fini(&arguments);
    return status;
}

/*
 * Joins the objects. ld would merge sections of one name; static functions of two sources may share
 * a name and still are two sections, which --unique keeps apart.
 */
static enum status join_objects(struct build *build)
{
    static const char *const kept_apart[] = {".text.*", ".rodata.*", ".data.*", ".bss.*"};
    struct words_list arguments = {0};
    words_add(&arguments, "ld");
    words_add(&arguments, "-r");
    for (size_t i = 0; i < ARRAY_COUNT(kept_apart); i++) {
        words_add(&arguments, "--unique=%s", kept_apart[i]);
    }
    words_add(&arguments, "-o");
    words_add(&arguments, "%s/cell.o", build->folder);
    for (size_t i = 0; i < build->source_count; i++) {
        words_add(&arguments, "%s/%zu.o", build->folder, i);
    }
    struct process process = {
        .arguments = words_of(&arguments), .package = "binutils", .what = "join the objects"};
    enum status status = arguments.failed
                             ? no_memory(build)
                             : process_run(&process, NULL, &build->result->remarks, build->problem);
    words_fini(&arguments);
    return status;
}

/* As make and Ninja read it back. */
static void append_target(struct bytes *rule, const char *path)
{
    for (; *path; path++) {
        if (*path == ' ' || *path == '#') {
            bytes_append(rule, "\\", 1);
        } else if (*path == '$') {
            bytes_append(rule, "$", 1);
        }
        bytes_append(rule, path, 1);
    }
    bytes_append(rule, ":", 1);
}

/* One make rule of all sources' dependencies: what follows "cell:" of each file. */
static enum status write_depfile(struct build *build)
{
    struct bytes rule = {0};
    append_target(&rule, build->request->output);
    enum status status = OK;
    for (size_t i = 0; status == OK && i < build->source_count; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%zu.d", build->folder, i);
        struct bytes part = {0};
        status = bytes_read_file(&part, path, build->problem);
        size_t skip = strlen("cell:");
        size_t end = part.size;
        while (end > skip && part.data[end - 1] == '\n') {
            end--;
        }
        if (end > skip) {
            bytes_append(&rule, part.data + skip, end - skip);
        }
        bytes_fini(&part);
    }
    bytes_append(&rule, "\n", 1);
    if (status == OK) {
        status = bytes_write_file(&rule, build->request->depfile, build->problem);
    }
    bytes_fini(&rule);
    return status;
}

static enum status write_outputs(struct build *build, const struct bytes *cell,
                                 const struct bytes *debug)
{
    const struct compile_request *request = build->request;
    if (request->debug && bytes_write_file(debug, request->debug, build->problem) != OK) {
        return build->problem->status;
    }
    if (request->depfile && write_depfile(build) != OK) {
        return build->problem->status;
    }
    return bytes_write_file(cell, request->output, build->problem);
}

static enum status make_cell(struct build *build, const struct bytes *file, struct bytes *cell,
                             struct bytes *debug)
{
    struct elf_object object;
    struct diag diag;
    if (elf_object_open(bytes_span(file), &object, &diag) != OK) {
        diag_name_cell(&diag, build->request->name);
        return problem_set_diag(build->problem, &diag, NULL);
    }
    if (cell_write(&object, cell, build->request->debug ? debug : NULL, build->problem) != OK) {
        return build->problem->status;
    }
    struct cell_gate gate = {.name = build->request->name, .interface = build->request->interface};
    return cell_gate_check(&gate, bytes_span(cell), build->problem);
}

static enum status finish(struct build *build)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.o", build->folder, build->source_count > 1 ? "cell" : "0");
    struct bytes file = {0};
    struct bytes cell = {0};
    struct bytes debug = {0};
    enum status status = bytes_read_file(&file, path, build->problem);
    status = status == OK ? make_cell(build, &file, &cell, &debug) : status;
    status = status == OK ? write_outputs(build, &cell, &debug) : status;
    build->result->object_size = file.size;
    build->result->cell_size = cell.size;
    bytes_fini(&file);
    bytes_fini(&cell);
    bytes_fini(&debug);
    return status;
}

static enum status run(struct build *build)
{
    if (!build->here || find_compiler_headers(build) != OK) {
        return build->here ? build->problem->status : no_memory(build);
    }
    build->folder = temporary_folder_create(build->problem);
    if (!build->folder) {
        return build->problem->status;
    }
    const char *const *sources = build->request->sources;
    while (sources[build->source_count]) {
        build->source_count++;
    }
    for (size_t i = 0; i < build->source_count; i++) {
        char what[PROBLEM_TEXT_SIZE];
        snprintf(what, sizeof(what), "compile %s", file_name(sources[i]));
        progress_step(build->request->progress, i + 1, build->source_count, what);
        if (compile_source(build, i, what) != OK) {
            return build->problem->status;
        }
    }
    if (build->source_count > 1 && join_objects(build) != OK) {
        return build->problem->status;
    }
    return finish(build);
}

enum status compile_cell(const struct compile_request *request, struct compile_result *out_result,
                         struct problem *problem)
{
    struct compile_result result = {0};
    struct build build = {.request = request, .result = &result, .problem = problem};
    enum status status = cell_gate_check_name(request->name, problem);
    if (status == OK) {
        build.here = getcwd(NULL, 0);
        status = run(&build);
    }
    temporary_folder_destroy(build.folder);
    free(build.here);
    free(build.compiler_headers);
    if (status == OK) {
        *out_result = result;
    } else {
        bytes_fini(&result.remarks);
        if (!problem->where[0]) {
            problem_where(problem, "%s", request->name);
        }
    }
    return status;
}
