/* SPDX-License-Identifier: MIT */
/*
 * verb_check.c - does a bundle keep the rules? Each rule is one function in lib/rules.c; what needs
 * the sources and clang is lib/ownership.c.
 */
#include "ownership.h"
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CODES_MAX 1000u /* codes have three digits behind C0 */

struct outcome {
    struct findings findings;
    struct ownership_result ownership;
    uint32_t cells;
};

/* What of a rule could not be checked, and why; NULL: nothing. */
static const char *not_checked(const struct outcome *outcome, enum rule rule)
{
    const struct ownership_result *result = &outcome->ownership;
    if (rule == RULE_HANDLES && result->no_clang) {
        return "variables: clang, as for the rule ownership, or the sources are missing";
    }
    return rule == RULE_OWNERSHIP && result->not_checked[0] ? result->not_checked : NULL;
}

static uint32_t count_of(const struct findings *findings, enum rule rule)
{
    uint32_t count = 0;
    for (size_t i = 0; i < findings->count; i++) {
        count += findings->list[i].rule == rule;
    }
    return count;
}

static void print_rule(const struct outcome *outcome, enum rule rule)
{
    const struct findings *findings = &outcome->findings;
    const char *plain = colour(stdout, COLOUR_NONE);
    const char *missing = not_checked(outcome, rule);
    uint32_t count = count_of(findings, rule);
    enum colour light = count ? COLOUR_RED : missing ? COLOUR_YELLOW : COLOUR_GREEN;
    printf("%s%s%s %-18s %s\n", colour(stdout, light),
           count     ? "!"
           : missing ? "-"
                     : "+",
           plain, rule_id(rule), rule_text(rule));
    if (missing) {
        printf("  %snot checked:%s %s\n", colour(stdout, COLOUR_YELLOW), plain, missing);
    }
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        if (finding->rule == rule) {
            printf("  %serror[C%04u]:%s %s\n", colour(stdout, COLOUR_RED), finding->code, plain,
                   printable(finding->what));
            printf("    %s-->%s %s\n", colour(stdout, COLOUR_BLUE), plain,
                   printable(finding->where));
        }
    }
}

static void print_help_lines(const struct findings *findings)
{
    bool seen[CODES_MAX] = {false};
    for (size_t i = 0; i < findings->count; i++) {
        unsigned code = findings->list[i].code;
        if (code < CODES_MAX && !seen[code]) {
            seen[code] = true;
            printf("help: cellpack explain C%04u\n", code);
        }
    }
}

static void print_table(const struct outcome *outcome)
{
    const struct findings *findings = &outcome->findings;
    for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
        print_rule(outcome, rule);
    }
    printf("%zu finding%s in %u cell%s\n", findings->count, findings->count == 1 ? "" : "s",
           outcome->cells, outcome->cells == 1 ? "" : "s");
    print_help_lines(findings);
}

static int print_json(const struct subject *subject, const struct outcome *outcome)
{
    const struct findings *findings = &outcome->findings;
    json_t *root = json_root("check", 1);
    json_t *rules = json_array();
    json_t *list = json_array();
    for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
        json_array_append_new(rules, json_pack("{s:s, s:s, s:I, s:o}", "rule", rule_id(rule),
                                               "text", rule_text(rule), "findings",
                                               (json_int_t)count_of(findings, rule), "not_checked",
                                               json_text_or_null(not_checked(outcome, rule))));
    }
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o, s:o}", "rule", rule_id(finding->rule), "code",
                            json_sprintf("C%04u", finding->code), "cell", json_text(finding->cell),
                            "where", json_text(finding->where), "what", json_text(finding->what)));
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cell_count", json_integer(outcome->cells));
    json_object_set_new(root, "rules", rules);
    json_object_set_new(root, "findings", list);
    return json_print(root);
}

/* Marks the cells named; all when none is. */
static int choose_cells(const struct subject *subject, bool *chosen, uint32_t *count)
{
    uint32_t all = subject->model->cell_count;
    memset(chosen, !subject->has_words, all + 1);
    *count = subject->has_words ? 0 : all + subject->model->reject_count;
    for (size_t i = 0; i < subject->word_count && subject->has_words; i++) {
        uint32_t cell;
        int code = subject_cell(subject, subject->words[i], &cell);
        if (code) {
            return code;
        }
        *count += !chosen[cell];
        chosen[cell] = true;
    }
    return EXIT_DONE;
}

static const char *clang_of(const struct arguments *arguments)
{
    const char *clang = argument_text(arguments, "clang");
    clang = clang ? clang : getenv("CELLPACK_CLANG");
    return clang && *clang ? clang : NULL;
}

static int answer(const struct arguments *arguments, const struct subject *subject)
{
    bool *chosen = allocate(subject->model->cell_count + 1);
    struct outcome outcome = {0};
    const struct ownership_request request = {.clang = clang_of(arguments),
                                              .sources = argument_text(arguments, "sources")};
    int code = choose_cells(subject, chosen, &outcome.cells);
    if (!code && (rules_check(subject->model, chosen, &outcome.findings) ||
                  ownership_check(subject->model, chosen, &request, &outcome.findings,
                                  &outcome.ownership))) {
        internal_error("no memory for findings");
    }
    if (!code && arguments->format == FORMAT_JSON) {
        code = print_json(subject, &outcome);
    } else if (!code) {
        print_table(&outcome);
    }
    code = code ? code : outcome.findings.count ? EXIT_FAILED : EXIT_DONE;
    findings_fini(&outcome.findings);
    free(chosen);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_KEEP_REJECTS, &subject);
    if (code) {
        return code;
    }
    code = answer(arguments, &subject);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    OPTION_CELLS,
    {.name = "sources",
     .type = OPTION_TEXT,
     .value = "FOLDER",
     .words = WORDS_FOLDER,
     .help = "with CELL.sources (else beside the cells)"},
    {.name = "clang",
     .type = OPTION_TEXT,
     .value = "PROGRAM",
     .words = WORDS_FILE,
     .help = "for ownership (else $CELLPACK_CLANG, clang-19..)"},
    {.name = NULL},
};

const struct verb verb_check = {
    .name = "check",
    .summary = "does it keep the rules?",
    .synopsis = "[OPTION].. [CELL|FILE..]",
    .examples = {"cellpack check", "cellpack check heap --json"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
