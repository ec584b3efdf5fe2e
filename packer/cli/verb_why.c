/* SPDX-License-Identifier: MIT */
/*
 * verb_why.c - why one cell needs another: the chains between them, and the relocations that cause
 * each link. The first relocation of a link stands for it; JSON has all of them.
 */
#include "subject.h"

#include "model/model_graph.h"
#include "relocation.h"
#include "source_lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHAINS_MAX 100u /* that --all lists: more are not read */

struct asking {
    const struct arguments *arguments;
    const struct subject *subject;
    const struct model *model;
    struct model_chains chains;
    struct source_lines *lines; /* NULL without --precise */
};

/* The relocations of a link, one after the other: start with i = 0, ends with NULL. */
static const struct model_edge *next_edge(const struct model *model, uint32_t from, uint32_t to,
                                          uint32_t *i)
{
    const struct model_cell *cell = &model->cells[from];
    while (*i < cell->edge_count) {
        const struct model_edge *edge = &model->edges[cell->first_edge + (*i)++];
        if (model_edge_is_bound(edge) && model->sections[edge->target].cell == to) {
            return edge;
        }
    }
    return NULL;
}

/* Prefers a reference by code: it says more than one from a table of pointers or unwind data. */
static const struct model_edge *best_edge(const struct model *model, uint32_t from, uint32_t to)
{
    uint32_t i = 0;
    const struct model_edge *best = next_edge(model, from, to, &i);
    for (const struct model_edge *edge = best; edge; edge = next_edge(model, from, to, &i)) {
        if (model->sections[edge->source].kind == MODEL_TEXT) {
            return edge;
        }
    }
    return best;
}

static char *line_of(const struct asking *asking, const struct model_edge *edge)
{
    return asking->lines
               ? source_lines_find(asking->lines, asking->model, edge->source, edge->offset)
               : NULL;
}

/* ---- text ---- */

static void print_head(const struct asking *asking, const uint32_t *chain, uint32_t length,
                       uint32_t number)
{
    for (uint32_t i = 0; i < length; i++) {
        printf("%s%s%s%s", i ? " -> " : "", colour(stdout, COLOUR_BOLD),
               printable(asking->model->cells[chain[i]].name), colour(stdout, COLOUR_NONE));
    }
    printf("%s    %u of ", colour(stdout, COLOUR_DIM), number);
    if (asking->chains.total == MODEL_CHAINS_UNKNOWN) {
        printf("many chains (there are cycles)");
    } else {
        printf("%" PRIu64 " chain%s", asking->chains.total, asking->chains.total == 1 ? "" : "s");
    }
    bool more =
        number == 1 && asking->chains.total > 1 && !argument_given(asking->arguments, "all");
    printf("%s%s\n", more ? " (--all)" : "", colour(stdout, COLOUR_NONE));
}

static void add_link_row(const struct asking *asking, struct table *table, uint32_t from,
                         uint32_t to)
{
    const struct model_edge *edge = best_edge(asking->model, from, to);
    const struct model_link *link = model_find_link(asking->model, from, to);
    char *place = place_text(asking->model, edge->source, edge->offset);
    char *target = target_text(asking->model, edge);
    char *line = line_of(asking, edge);
    table_cell(table, "  %s", place);
    table_cell(table, "%s -> %s", relocation_name(edge->type), target);
    if (link->relocations > 1) {
        table_cell_coloured(table, COLOUR_DIM, "+%u", link->relocations - 1);
    } else {
        table_cell(table, "%s", "");
    }
    if (asking->lines) {
        table_cell(table, "%s", line ? line : "?");
    }
    free(line);
    free(target);
    free(place);
}

static void print_chain(const struct asking *asking, const uint32_t *chain, uint32_t length,
                        uint32_t number)
{
    print_head(asking, chain, length, number);
    struct table *table = table_create();
    table_column(table, "  from", ALIGN_LEFT);
    table_column(table, "to", ALIGN_LEFT);
    table_column(table, "more", ALIGN_RIGHT);
    if (asking->lines) {
        table_column(table, "source", ALIGN_LEFT);
    }
    for (uint32_t i = 0; i + 1 < length; i++) {
        add_link_row(asking, table, chain[i], chain[i + 1]);
    }
    table_print(table, stdout);
    table_destroy(table);
}

static void print_chains(const struct asking *asking)
{
    const uint32_t *chain = asking->chains.cells;
    for (uint32_t i = 0; i < asking->chains.count; i++) {
        printf("%s", i ? "\n" : "");
        print_chain(asking, chain, asking->chains.lengths[i], i + 1);
        chain += asking->chains.lengths[i];
    }
    if (argument_given(asking->arguments, "all") && asking->chains.count < asking->chains.total &&
        asking->chains.count == CHAINS_MAX) {
        fprintf(stderr, "showing %u of %" PRIu64 " chains, the shortest first\n",
                asking->chains.count, asking->chains.total);
    }
}

/* ---- JSON ---- */

static json_t *json_link(const struct asking *asking, uint32_t from, uint32_t to)
{
    json_t *relocations = json_array();
    uint32_t i = 0;
    const struct model_edge *edge;
    while ((edge = next_edge(asking->model, from, to, &i)) != NULL) {
        json_t *json = json_edge(asking->model, edge);
        char *line = line_of(asking, edge);
        if (asking->lines) {
            json_object_set_new(json, "source", json_text_or_null(line));
        }
        free(line);
        json_array_append_new(relocations, json);
    }
    return json_pack("{s:o, s:o, s:o}", "from", json_text(asking->model->cells[from].name), "to",
                     json_text(asking->model->cells[to].name), "relocations", relocations);
}

static int print_json(const struct asking *asking, uint32_t from, uint32_t to)
{
    json_t *root = json_root("why", 1);
    json_t *chains = json_array();
    const uint32_t *chain = asking->chains.cells;
    for (uint32_t i = 0; i < asking->chains.count; i++) {
        json_t *links = json_array();
        for (uint32_t k = 0; k + 1 < asking->chains.lengths[i]; k++) {
            json_array_append_new(links, json_link(asking, chain[k], chain[k + 1]));
        }
        json_array_append_new(chains, links);
        chain += asking->chains.lengths[i];
    }
    bool known = asking->chains.total != MODEL_CHAINS_UNKNOWN;
    json_object_set_new(root, "input", json_text(asking->subject->input));
    json_object_set_new(root, "from", json_text(asking->model->cells[from].name));
    json_object_set_new(root, "to", json_text(asking->model->cells[to].name));
    json_object_set_new(root, "chain_count",
                        known ? json_integer((json_int_t)asking->chains.total) : json_null());
    json_object_set_new(root, "chains", chains);
    return json_print(root);
}

/* ---- answering ---- */

/* "A does not need B" is an answer, not an error; it says so when the reverse holds. */
static void print_none(const struct model *model, uint32_t from, uint32_t to)
{
    const char *a = printable(model->cells[from].name);
    const char *b = printable(model->cells[to].name);
    struct model_chains reverse = {0};
    if (from == to) {
        printf("%s is %s\n", a, b);
        return;
    }
    printf("%s does not need %s\n", a, b);
    if (model_chains_find(model, to, from, 1, &reverse) == OK && reverse.count) {
        printf("but %s needs %s: cellpack why %s %s\n", b, a, b, a);
    }
    model_chains_fini(&reverse);
}

static int answer(struct asking *asking, uint32_t from, uint32_t to)
{
    uint32_t limit = argument_given(asking->arguments, "all") ? CHAINS_MAX : 1;
    if (model_chains_find(asking->model, from, to, limit, &asking->chains)) {
        internal_error("no memory for chains");
    }
    if (argument_given(asking->arguments, "precise")) {
        asking->lines = source_lines_create(argument_text(asking->arguments, "debug-dir"));
    }
    int code = EXIT_DONE;
    if (asking->arguments->format == FORMAT_JSON) {
        code = print_json(asking, from, to);
    } else if (asking->chains.count == 0) {
        print_none(asking->model, from, to);
    } else {
        print_chains(asking);
    }
    source_lines_destroy(asking->lines);
    model_chains_fini(&asking->chains);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    uint32_t from;
    uint32_t to;
    if (subject.word_count != 2) {
        code = report_usage(arguments->verb, "why: two cells are needed");
    } else {
        code = subject_cell(&subject, subject.words[0], &from);
        code = code ? code : subject_cell(&subject, subject.words[1], &to);
        if (!code) {
            struct asking asking = {
                .arguments = arguments, .subject = &subject, .model = subject.model};
            code = answer(&asking, from, to);
        }
    }
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "all", .letter = 'a', .type = OPTION_FLAG, .help = "all chains, not the shortest"},
    {.name = "precise", .letter = 'p', .type = OPTION_FLAG, .help = "with source lines"},
    {.name = "debug-dir",
     .type = OPTION_TEXT,
     .value = "FOLDER",
     .words = WORDS_FOLDER,
     .help = "where the .debug files are"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_why = {
    .name = "why",
    .summary = "why does one cell need another?",
    .synopsis = "[OPTION].. CELL CELL",
    .examples = {"cellpack why hello heap", "cellpack why vfs heap --precise --all"},
    .options = options,
    .least_nouns = 2,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
