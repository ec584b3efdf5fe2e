/* SPDX-License-Identifier: MIT */
/*
 * Four passes, as own.h describes them; a finding of two passes is one. Of clang's warnings one is
 * no finding: a slot that is full on one of two paths is released on both, so that it `is not held
 * on every path` is as it should be. The same about a plain pointer is a leak; own.h gives slots
 * names that end in _slot, to tell them apart.
 *
 * A fourth pass finds where handles are kept: nothing releases in it, so that clang reports each
 * variable by which a function owns something, at its end or where paths join, with its name. A
 * slot is where it ought to be. So is a field, an element or a static variable, which live on, and
 * the place that an out parameter points to; clang's text does not tell that from a plain pointer,
 * so the variable's declaration is looked up in the source.
 */
#include "ownership.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLANG_HANDLES 19 /* its analysis understands cleanup; 14 gives false reports */
#define CLANG_LOCKS   22 /* sees that a guard and its lock are one */
#define CLANG_NEWEST  40 /* where looking for a name ends */

#define SLOT_SUFFIX "_slot'"

struct pass {
    const char *contracts; /* the value of OWN_CONTRACTS */
    const char *const *warnings;
    enum rule rule;
    unsigned code;
};

static const char *const handle_warnings[] = {"-Wthread-safety", "-Wunused-result",
                                              "-Wincompatible-pointer-types", NULL};
static const char *const lock_warnings[] = {"-Wthread-safety", "-Wthread-safety-beta",
                                            "-Wthread-safety-pointer", NULL};
static const struct pass handle_passes[] = {
    {"1", handle_warnings, RULE_OWNERSHIP, PROBLEM_CHECK_OWNERSHIP},
    {"2", handle_warnings, RULE_OWNERSHIP, PROBLEM_CHECK_OWNERSHIP},
};
static const struct pass lock_pass = {"3", lock_warnings, RULE_OWNERSHIP, PROBLEM_CHECK_LOCKS};
static const char *const place_warnings[] = {"-Wthread-safety-analysis", NULL};
static const struct pass place_pass = {"4", place_warnings, RULE_HANDLES, PROBLEM_CHECK_PLAIN};

struct checking {
    const struct ownership_request *request;
    struct findings *findings;
    size_t first_finding; /* of the cell */
    const struct model_cell *cell;
    char *handles_clang; /* NULL: none */
    char *locks_clang;
    char *here; /* the current folder, which is left out of paths */
};

/* ---- which clang ---- */

static bool is_in_path(const char *program)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t length = strcspn(path, ":");
        char *file = NULL;
        bool found = length && asprintf(&file, "%.*s/%s", (int)length, path, program) >= 0 &&
                     access(file, X_OK) == 0;
        free(file);
        if (found) {
            return true;
        }
        path += length + (path[length] == ':');
    }
    return false;
}

/* The first of clang-FROM, clang-FROM+1...; NULL: none is installed. */
static char *find_clang(int from)
{
    for (int version = from; version <= CLANG_NEWEST; version++) {
        char *name = NULL;
        if (asprintf(&name, "clang-%d", version) >= 0 && is_in_path(name)) {
            return name;
        }
        free(name);
    }
    return NULL;
}

/* The major version; 0: it cannot be run or is no clang. */
static int version_of(const char *clang)
{
    const char *const arguments[] = {clang, "-dumpversion", NULL};
    const struct process process = {.arguments = arguments, .what = "ask for its version"};
    struct bytes output = {0};
    struct problem problem = {0};
    int version = 0;
    if (process_run(&process, &output, NULL, &problem) == OK) {
        bytes_append(&output, "", 1);
        version = output.failed ? 0 : atoi((const char *)output.data);
    }
    problem_fini(&problem);
    bytes_fini(&output);
    return version;
}

/* Writes what cannot be checked, and why, into the result. */
static void choose_clang(struct checking *checking, struct ownership_result *result)
{
    const char *wanted = checking->request->clang;
    int version = wanted ? version_of(wanted) : 0;
    if (wanted) {
        checking->handles_clang = version >= CLANG_HANDLES ? strdup(wanted) : NULL;
        checking->locks_clang = version >= CLANG_LOCKS ? strdup(wanted) : NULL;
    } else {
        checking->handles_clang = find_clang(CLANG_HANDLES);
        checking->locks_clang = find_clang(CLANG_LOCKS);
    }
    const char *what = checking->handles_clang ? "locks" : "handles and locks";
    int least = checking->handles_clang ? CLANG_LOCKS : CLANG_HANDLES;
    if (!checking->locks_clang && wanted) {
        snprintf(result->not_checked, sizeof(result->not_checked),
                 "%s: %.80s is not clang %d or later", what, wanted, least);
    } else if (!checking->locks_clang) {
        snprintf(result->not_checked, sizeof(result->not_checked),
                 "%s: clang %d or later is not installed (apt-get install clang-%d)", what, least,
                 least);
    }
}

/* ---- what clang says ---- */

static bool is_expected(const char *text)
{
    const char *slot = strstr(text, SLOT_SUFFIX " is not held on every path");
    const char *owned = strstr(text, "owned ");
    return slot && owned && owned < slot;
}

/* In the words of the source: the names of slots, and REF for what it expands to. */
static void translate(char *text)
{
    static const char call[] = "calling function 'own_borrow'";
    static const char macro[] = "REF";
    char *at = strstr(text, call);
    if (at) {
        memcpy(at, macro, strlen(macro));
        memmove(at + strlen(macro), at + strlen(call), strlen(at + strlen(call)) + 1);
    }
    while (strstr(text, "owned ") && (at = strstr(text, SLOT_SUFFIX))) {
        memmove(at, at + strlen(SLOT_SUFFIX) - 1, strlen(at + strlen(SLOT_SUFFIX) - 1) + 1);
    }
    if ((at = strstr(text, " [-W"))) {
        *at = '\0';
    }
}

/* Has the cell this finding already, or a better one at the same place than what REF says? */
static bool is_known(const struct checking *checking, const char *where, const char *text)
{
    for (size_t i = checking->first_finding; i < checking->findings->count; i++) {
        const struct finding *finding = &checking->findings->list[i];
        if (strcmp(finding->where, where) == 0 &&
            (strcmp(finding->what, text) == 0 || strncmp(text, "REF ", 4) == 0)) {
            return true;
        }
    }
    return false;
}

/* `FILE:LINE:COLUMN` without the column. */
static void cut_column(char *place)
{
    char *column = strrchr(place, ':');
    if (column) {
        *column = '\0';
    }
}

/* Without the current folder. */
static const char *short_place(const struct checking *checking, const char *place)
{
    size_t length = strlen(checking->here);
    bool is_below = strncmp(place, checking->here, length) == 0 && place[length] == '/';
    return is_below ? place + length + 1 : place;
}

/*
 * `FILE:LINE:COLUMN: warning: TEXT [-WFLAG]`, which is taken apart. False for other lines, which
 * are context.
 */
static bool take_line(const struct checking *checking, const struct pass *pass, char *line)
{
    static const char *const kinds[] = {": warning: ", ": error: ", ": fatal error: "};
    char *text = NULL;
    size_t skip = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kinds) && !text; i++) {
        text = strstr(line, kinds[i]);
        skip = strlen(kinds[i]);
    }
    if (!text || is_expected(text)) {
        return text != NULL;
    }
    *text = '\0';
    text += skip;
    translate(text);
    cut_column(line);
    const char *place = short_place(checking, line);
    if (!is_known(checking, place, text)) {
        findings_add(checking->findings, pass->rule, pass->code, checking->cell->name,
                     strdup(place), "%s", text);
    }
    return true;
}

/* ---- where handles are kept ---- */

#define NAME_SIZE 64

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/*
 * If a line declares the variable, `struct TYPE *NAME`: is it a plain pointer, and in a function?
 * Not if it is static, or a place, `struct TYPE **NAME`.
 */
static void look_for_declaration(const char *line, size_t length, const char *name, bool *is_plain)
{
    size_t name_length = strlen(name);
    const char *end = line + length;
    const char *at = line;
    while ((at = memmem(at, (size_t)(end - at), name, name_length))) {
        const char *behind = at + name_length;
        size_t before = (size_t)(at - line);
        if (before >= 2 && at[-1] == '*' && (behind == end || !is_letter(*behind)) &&
            memmem(line, before, "struct ", strlen("struct "))) {
            bool is_inner = line[0] == ' ' && !memmem(line, before, "static ", strlen("static "));
            *is_plain = at[-2] == ' ' && (is_inner || memchr(line, '(', before));
        }
        at = behind;
    }
}

/* The last declaration of the name in the source in front of a line, or in it, decides. */
static bool is_plain_variable(const struct bytes *source, unsigned line, const char *name)
{
    bool is_plain = false;
    const char *text = (const char *)source->data;
    const char *end = text + source->size;
    for (unsigned i = 1; i <= line && text < end; i++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = next ? (size_t)(next - text) : (size_t)(end - text);
        look_for_declaration(text, length, name, &is_plain);
        text += length + 1;
    }
    return is_plain;
}

/*
 * Of `owned TYPE 'NAME' is still held..`, and like it where paths join: the name, without an index.
 * Slots and fields are left out.
 */
static bool name_kept(const char *text, char name[NAME_SIZE])
{
    const char *begin = strchr(text, '\'');
    const char *end = begin ? strchr(begin + 1, '\'') : NULL;
    if (!end || !strstr(text, ": warning: ") || strstr(text, SLOT_SUFFIX) ||
        !(strstr(end, "is still held") || strstr(end, "is not held on every path") ||
          strstr(end, "at start of each loop"))) {
        return false;
    }
    begin++;
    size_t length = (size_t)(end - begin);
    size_t plain = strcspn(begin, "[.-'");
    if (length >= NAME_SIZE || (plain < length && begin[plain] != '[')) {
        return false;
    }
    memcpy(name, begin, plain);
    name[plain] = '\0';
    return true;
}

static void add_kept(const struct checking *checking, const struct pass *pass, char *place,
                     const char *name)
{
    cut_column(place);
    char *number = strrchr(place, ':');
    struct bytes source = {0};
    struct problem problem = {0};
    if (!number) {
        return;
    }
    *number = '\0';
    bool found = bytes_read_file(&source, place, &problem) == OK;
    *number = ':';
    if (found && is_plain_variable(&source, (unsigned)atoi(number + 1), name)) {
        const char *where = short_place(checking, place);
        char what[NAME_SIZE + 64];
        snprintf(what, sizeof(what), "'%s', which is no slot, owns what is acquired here", name);
        if (!is_known(checking, where, what)) {
            findings_add(checking->findings, pass->rule, pass->code, checking->cell->name,
                         strdup(where), "%s", what);
        }
    }
    problem_fini(&problem);
    bytes_fini(&source);
}

/* A warning tells the variable, and the note behind it where it is filled. */
static bool take_place(const struct checking *checking, const struct pass *pass, char *line,
                       char name[NAME_SIZE])
{
    char *note = strstr(line, ": note: ");
    if (note && name[0] && strstr(note, "acquired here")) {
        *note = '\0';
        add_kept(checking, pass, line, name);
        name[0] = '\0';
        return true;
    }
    if (!note && !name_kept(line, name)) {
        name[0] = '\0';
    }
    return true;
}

/* False: it said nothing about the sources. */
static bool take_output(const struct checking *checking, const struct pass *pass,
                        struct bytes *output)
{
    bool any = false;
    char kept[NAME_SIZE] = "";
    bytes_append(output, "", 1);
    checking->findings->failed |= output->failed;
    char *rest = output->failed ? NULL : (char *)output->data;
    while (rest && *rest) {
        char *line = rest;
        rest = strchr(line, '\n');
        if (rest) {
            *rest++ = '\0';
        }
        any |= pass == &place_pass ? take_place(checking, pass, line, kept)
                                   : take_line(checking, pass, line);
    }
    return any;
}

/* ---- one cell ---- */

static void run_pass(const struct checking *checking, const struct pass *pass, const char *clang,
                     const struct words_list *sources)
{
    static const char *const flags[] = {"-fsyntax-only",          "-std=gnu11",
                                        "-ffreestanding",         "-fno-caret-diagnostics",
                                        "-fno-color-diagnostics", "-Wno-everything"};
    struct words_list arguments = {0};
    words_add(&arguments, "%s", clang);
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        words_add(&arguments, "%s", flags[i]);
    }
    for (size_t i = 0; pass->warnings[i]; i++) {
        words_add(&arguments, "%s", pass->warnings[i]);
    }
    words_add(&arguments, "-DOWN_CONTRACTS=%s", pass->contracts);
    words_add(&arguments, "-DCELL_NAME=\"%s\"", checking->cell->name);
    words_add(&arguments, "-DCELL_SUMMARY=\"\"");
    for (size_t i = 0; i < sources->count; i++) {
        words_add(&arguments, "%s", sources->words[i]);
    }
    struct bytes remarks = {0};
    struct problem problem = {0};
    const struct process process = {.arguments = words_of(&arguments), .what = "check ownership"};
    if (arguments.failed) {
        checking->findings->failed = true;
    } else {
        enum status status = process_run(&process, NULL, &remarks, &problem);
        if (!take_output(checking, pass, &remarks) && status != OK) {
            findings_add(checking->findings, pass->rule, pass->code, checking->cell->name,
                         strdup(checking->cell->name), "%s: %s", problem.what, problem.because[0]);
        }
    }
    problem_fini(&problem);
    bytes_fini(&remarks);
    words_fini(&arguments);
}

/* The lines of the list as clang's arguments. False: there is no such file. */
static bool read_list(const char *path, struct words_list *sources)
{
    struct bytes bytes = {0};
    struct problem problem = {0};
    bool found = access(path, R_OK) == 0 && bytes_read_file(&bytes, path, &problem) == OK;
    bytes_append(&bytes, "", 1);
    char *rest = found && !bytes.failed ? (char *)bytes.data : NULL;
    while (rest && *rest) {
        char *line = rest;
        rest += strcspn(rest, "\n");
        if (*rest) {
            *rest++ = '\0';
        }
        if (strncmp(line, "include ", 8) == 0) {
            words_add(sources, "-I%s", line + 8);
        } else if (strncmp(line, "source ", 7) == 0) {
            words_add(sources, "%s", line + 7);
        }
    }
    problem_fini(&problem);
    bytes_fini(&bytes);
    return found;
}

static bool find_list(const struct checking *checking, struct words_list *sources)
{
    const char *file = checking->cell->file;
    const char *slash = strrchr(file, '/');
    int length = slash ? (int)(slash - file) : 1;
    const char *folder = slash ? file : ".";
    const char *name = checking->cell->name;
    const char *given = checking->request->sources;
    char *paths[2] = {NULL, NULL};
    if (!*name || strchr(name, '/')) {
        return false; /* not the name of a cell */
    }
    int good = given ? asprintf(&paths[0], "%s/%s.sources", given, name)
                     : asprintf(&paths[0], "%.*s/%s.sources", length, folder, name);
    paths[0] = good < 0 ? NULL : paths[0];
    if (!given && asprintf(&paths[1], "%.*s/../cells/%s.sources", length, folder, name) < 0) {
        paths[1] = NULL;
    }
    bool found =
        (paths[0] && read_list(paths[0], sources)) || (paths[1] && read_list(paths[1], sources));
    free(paths[0]);
    free(paths[1]);
    return found;
}

/* False: the cell has no list of sources. */
static bool check_cell(struct checking *checking)
{
    struct words_list sources = {0};
    bool found = find_list(checking, &sources);
    checking->findings->failed |= sources.failed;
    checking->first_finding = checking->findings->count;
    if (found && sources.count > 0 && !sources.failed) {
        for (size_t i = 0; i < ARRAY_COUNT(handle_passes); i++) {
            run_pass(checking, &handle_passes[i], checking->handles_clang, &sources);
        }
        run_pass(checking, &place_pass, checking->handles_clang, &sources);
        if (checking->locks_clang) {
            run_pass(checking, &lock_pass, checking->locks_clang, &sources);
        }
    }
    words_fini(&sources);
    return found;
}

enum status ownership_check(const struct model *model, const bool *chosen,
                            const struct ownership_request *request, struct findings *findings,
                            struct ownership_result *out_result)
{
    struct ownership_result result = {0};
    struct checking checking = {.request = request, .findings = findings};
    checking.here = getcwd(NULL, 0);
    choose_clang(&checking, &result);
    for (uint32_t i = 0; i < model->cell_count && checking.handles_clang && checking.here; i++) {
        checking.cell = &model->cells[i];
        if (chosen[i] && check_cell(&checking)) {
            result.cells++;
        }
    }
    if (checking.handles_clang && result.cells == 0) {
        snprintf(result.not_checked, sizeof(result.not_checked),
                 "no cell has a list of its sources (--sources)");
    }
    result.no_clang = result.cells == 0;
    enum status status = checking.here && !findings->failed ? OK : ERR_NO_MEMORY;
    free(checking.handles_clang);
    free(checking.locks_clang);
    free(checking.here);
    *out_result = result;
    return status;
}
