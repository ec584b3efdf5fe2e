/* SPDX-License-Identifier: MIT */
/*
 * verb_check.c - does a bundle keep the rules? Each rule is one function in lib/rules.c.
 */
#include "rules.h"
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CODES_MAX 1000u /* codes have three digits behind C0 */

static uint32_t count_of(const struct findings *findings, enum rule rule)
{
    uint32_t count = 0;
    for (size_t i = 0; i < findings->count; i++) {
        count += findings->list[i].rule == rule;
    }
    return count;
}

static void print_rule(const struct findings *findings, enum rule rule)
{
    const char *plain = colour(stdout, COLOUR_NONE);
    uint32_t count = count_of(findings, rule);
    printf("%s%s%s %-18s %s\n", colour(stdout, count ? COLOUR_RED : COLOUR_GREEN),
           count ? "!" : "+", plain, rule_id(rule), rule_text(rule));
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

static void print_table(const struct findings *findings, uint32_t cells)
{
    for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
        print_rule(findings, rule);
    }
    printf("%zu finding%s in %u cell%s\n", findings->count, findings->count == 1 ? "" : "s", cells,
           cells == 1 ? "" : "s");
    print_help_lines(findings);
}

static int print_json(const struct subject *subject, const struct findings *findings,
                      uint32_t cells)
{
    json_t *root = json_root("check", 1);
    json_t *rules = json_array();
    json_t *list = json_array();
    for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
        json_array_append_new(rules, json_pack("{s:s, s:s, s:I}", "rule", rule_id(rule), "text",
                                               rule_text(rule), "findings",
                                               (json_int_t)count_of(findings, rule)));
    }
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o, s:o}", "rule", rule_id(finding->rule), "code",
                            json_sprintf("C%04u", finding->code), "cell", json_text(finding->cell),
                            "where", json_text(finding->where), "what", json_text(finding->what)));
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cell_count", json_integer(cells));
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

static int answer(const struct arguments *arguments, const struct subject *subject)
{
    bool *chosen = allocate(subject->model->cell_count + 1);
    struct findings findings = {0};
    uint32_t count;
    int code = choose_cells(subject, chosen, &count);
    if (!code && rules_check(subject->model, chosen, &findings)) {
        internal_error("no memory for findings");
    }
    if (!code && arguments->format == FORMAT_JSON) {
        code = print_json(subject, &findings, count);
    } else if (!code) {
        print_table(&findings, count);
    }
    code = code ? code : findings.count ? EXIT_FAILED : EXIT_DONE;
    findings_fini(&findings);
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
