/* SPDX-License-Identifier: MIT */
/*
 * verb_type.c - the layout of a named type: fields, holes, and which cells hard-code it.
 *
 * Sizes are not in the text of a field: they follow from its type, whose named parts the same cell
 * knows.
 */
#include "subject.h"

#include "abi/abi_build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A cell that mentions the type. */
struct mention {
    const struct model_cell *cell;
    struct bytes storage;
    struct cell_abi abi;
    const struct cell_abi_type *row;
};

struct answer {
    struct mention *mentions;
    size_t count;
    struct suggestion near;
};

static const char *const keywords[] = {"", "struct ", "union ", "enum "};

/* ---- sizes ---- */

static const char *behind_brackets(const char *at)
{
    size_t depth = 0;
    do {
        depth += *at == '{' || *at == '(' || *at == '[';
        depth -= *at == '}' || *at == ')' || *at == ']';
        at++;
    } while (depth && *at);
    return at;
}

/* Behind the layout's closing brace: its size, or an enumeration's base. */
static uint64_t size_behind_brace(const char *text)
{
    const char *at = strchr(text, '{');
    if (!at) {
        return 0;
    }
    at = behind_brackets(at);
    return *at == 's' || *at == 'u' ? strtoull(at + 1, NULL, 10) / 8 : strtoull(at, NULL, 10);
}

/* The size of the type that stands at `at`, whose text ends at `end`; 0 where it is not known. */
static uint64_t size_of(const struct cell_abi *abi, const char *at, const char *end)
{
    uint64_t size = 0;
    const char *brace = at + strcspn(at, "{ (*[");
    size_t length = 0;
    for (size_t i = 1; i < ARRAY_COUNT(keywords); i++) {
        if (strncmp(at, keywords[i], strlen(keywords[i])) == 0) {
            length = strlen(keywords[i]);
        }
    }
    if (length) {
        length +=
            strspn(at + length, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        const struct cell_abi_type *type = cell_abi_find_type(abi, at, length);
        size = type && type->layout ? size_behind_brace(cell_abi_text(abi, type->text)) : 0;
        at += length;
    } else if (*brace == '{') {
        size = size_behind_brace(at);
        at = behind_brackets(brace);
        at += strspn(at, "su0123456789");
    } else if (strncmp(at, "bool", 4) == 0) {
        size = 1;
        at += 4;
    } else {
        size = strtoull(at + 1, NULL, 10) / 8;
        at = brace;
    }
    while (at < end) {
        if (*at == '*') {
            size = 8;
            at++;
        } else if (*at == '[') {
            size *= strtoull(at + 1, NULL, 10);
            at = behind_brackets(at);
        } else {
            at = *at == '(' ? behind_brackets(at) : at + 1;
        }
    }
    return size;
}

/* ---- fields ---- */

struct field {
    struct span type;
    struct span name;
    uint64_t start; /* bits */
    uint64_t width;
};

/* `u64 id@16`, `u32 flag@0.3:1` */
static struct field read_field(const struct cell_abi *abi, struct span part)
{
    const char *start = (const char *)part.base;
    const char *end = start + part.size;
    const char *at = end;
    while (at > start && at[-1] != '@') {
        at--;
    }
    const char *name = at > start ? at - 1 : at;
    while (name > start && name[-1] != ' ') {
        name--;
    }
    const char *type_end = name > start ? name - 1 : name;
    char *rest = NULL;
    struct field field = {
        .type = span_of(start, (size_t)(type_end - start)),
        .name = span_of(name, at > name ? (size_t)(at - 1 - name) : 0),
        .start = strtoull(at, &rest, 10) * 8,
        .width = size_of(abi, start, type_end) * 8,
    };
    if (rest < end && *rest == '.') {
        field.start += strtoull(rest + 1, &rest, 10);
        field.width = rest < end && *rest == ':' ? strtoull(rest + 1, NULL, 10) : 0;
    }
    return field;
}

static void print_place(struct table *table, uint64_t bits)
{
    if (bits % 8) {
        table_cell(table, "%" PRIu64 ".%" PRIu64, bits / 8, bits % 8);
    } else {
        table_cell(table, "%" PRIu64, bits / 8);
    }
}

struct layout_print {
    struct table *table;
    json_t *parts;
    uint64_t hole_bits;
    uint64_t holes;
    bool with_holes;
};

static void add_hole(struct layout_print *print, uint64_t start, uint64_t end)
{
    if (end <= start) {
        return;
    }
    print->hole_bits += end - start;
    print->holes++;
    if (print->with_holes) {
        print_place(print->table, start);
        print_place(print->table, end - start);
        table_cell_coloured(print->table, COLOUR_YELLOW, "%s", "(hole)");
        table_cell(print->table, "%s", "");
    }
    json_array_append_new(print->parts,
                          json_pack("{s:s, s:I, s:I}", "kind", "hole", "offset_bits",
                                    (json_int_t)start, "size_bits", (json_int_t)(end - start)));
}

static void add_field(struct layout_print *print, const struct field *field)
{
    char *name = format_text("%.*s", (int)field->name.size, (const char *)field->name.base);
    char *type = format_text("%.*s", (int)field->type.size, (const char *)field->type.base);
    print_place(print->table, field->start);
    print_place(print->table, field->width);
    table_cell(print->table, "%s", *name ? name : "(anonymous)");
    table_cell(print->table, "%s", type);
    json_array_append_new(print->parts, json_pack("{s:s, s:o, s:o, s:I, s:I}", "kind", "field",
                                                  "name", json_text(name), "type", json_text(type),
                                                  "offset_bits", (json_int_t)field->start,
                                                  "size_bits", (json_int_t)field->width));
    free(name);
    free(type);
}

static void add_enumerators(struct layout_print *print, const char *text)
{
    uint64_t cursor = 0;
    struct span part;
    while (cell_abi_next_part(text, &cursor, &part)) {
        const char *start = (const char *)part.base;
        size_t length = 0;
        while (length < part.size && start[length] != '=') {
            length++;
        }
        char *name = format_text("%.*s", (int)length, start);
        char *value = length < part.size
                          ? format_text("%.*s", (int)(part.size - length - 1), start + length + 1)
                          : format_text("%s", "?");
        table_cell(print->table, "%s", value);
        table_cell(print->table, "%s", name);
        json_array_append_new(print->parts,
                              json_pack("{s:s, s:o, s:o}", "kind", "enumerator", "name",
                                        json_text(name), "value", json_text(value)));
        free(name);
        free(value);
    }
}

/* In a union every field starts at 0: only what is behind the longest is a hole. */
static void add_fields(struct layout_print *print, const struct mention *mention, const char *text)
{
    bool is_union = text[0] == 'u';
    uint64_t cursor = 0;
    uint64_t end = 0;
    struct span part;
    while (cell_abi_next_part(text, &cursor, &part)) {
        struct field field = read_field(&mention->abi, part);
        if (!is_union) {
            add_hole(print, end, field.start);
        }
        add_field(print, &field);
        uint64_t field_end = field.start + field.width;
        end = field_end > end ? field_end : end;
    }
    add_hole(print, end, size_behind_brace(text) * 8);
}

static struct layout_print print_begin(const char *text, bool with_holes)
{
    struct layout_print print = {
        .table = table_create(), .parts = json_array(), .with_holes = with_holes};
    if (text[0] == 'e') {
        table_column(print.table, "value", ALIGN_RIGHT);
        table_column(print.table, "enumerator", ALIGN_LEFT);
        return print;
    }
    table_column(print.table, "offset", ALIGN_RIGHT);
    table_column(print.table, "bytes", ALIGN_RIGHT);
    table_column(print.table, "field", ALIGN_LEFT);
    table_column(print.table, "type", ALIGN_LEFT);
    return print;
}

static struct layout_print print_layout(const struct mention *mention, const char *text,
                                        bool with_holes)
{
    struct layout_print print = print_begin(text, with_holes);
    if (text[0] == 'e') {
        add_enumerators(&print, text);
    } else {
        add_fields(&print, mention, text);
    }
    return print;
}

/* ---- the answer ---- */

static const char *text_of(const struct mention *mention)
{
    return cell_abi_text(&mention->abi, mention->row->text);
}

/* Is it the first that knows this layout? */
static bool is_first(const struct answer *answer, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (answer->mentions[i].row->layout == answer->mentions[index].row->layout) {
            return false;
        }
    }
    return answer->mentions[index].row->layout != 0;
}

static json_t *json_known_by(const struct answer *answer, uint64_t layout)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer->count; i++) {
        if (answer->mentions[i].row->layout == layout) {
            json_array_append_new(list, json_text(answer->mentions[i].cell->name));
        }
    }
    return list;
}

static void print_known_by(const struct answer *answer, uint64_t layout, const char *heading)
{
    size_t count = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (answer->mentions[i].row->layout == layout) {
            printf("%s%s", count++ ? " " : heading, printable(answer->mentions[i].cell->name));
        }
    }
    printf("%s", count ? "\n" : "");
}

static void print_one(const struct answer *answer, const struct mention *mention,
                      struct layout_print *print, bool known_by)
{
    const char *text = text_of(mention);
    struct span span = cell_abi_type_name(text);
    char *name = format_text("%.*s", (int)span.size, (const char *)span.base);
    printf("%s%s%s  %" PRIu64 " bytes  %016" PRIx64, colour(stdout, COLOUR_BOLD), printable(name),
           colour(stdout, COLOUR_NONE), size_behind_brace(text), mention->row->layout);
    free(name);
    if (print->holes) {
        printf("  %" PRIu64 " %s, %" PRIu64, print->holes, print->holes == 1 ? "hole" : "holes",
               print->hole_bits / 8);
        printf(print->hole_bits % 8 ? " bytes and %" PRIu64 " bits" : " bytes",
               print->hole_bits % 8);
    }
    printf("\n");
    table_print(print->table, stdout);
    if (known_by) {
        print_known_by(answer, mention->row->layout, "known by: ");
    }
}

static int print_answer(const struct arguments *arguments, const struct answer *answer)
{
    bool is_json = arguments->format == FORMAT_JSON;
    bool known_by = argument_given(arguments, "known-by");
    json_t *layouts = json_array();
    size_t count = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (!is_first(answer, i)) {
            continue;
        }
        const struct mention *mention = &answer->mentions[i];
        struct layout_print print =
            print_layout(mention, text_of(mention), argument_given(arguments, "holes"));
        if (!is_json) {
            printf("%s", count ? "\n" : "");
            print_one(answer, mention, &print, known_by);
        }
        char hash[24];
        snprintf(hash, sizeof(hash), "%016" PRIx64, mention->row->layout);
        struct span name = cell_abi_type_name(text_of(mention));
        char *copy = format_text("%.*s", (int)name.size, (const char *)name.base);
        json_array_append_new(
            layouts, json_pack("{s:o, s:s, s:I, s:I, s:O, s:o}", "name", json_text(copy), "hash",
                               hash, "size", (json_int_t)size_behind_brace(text_of(mention)),
                               "hole_bits", (json_int_t)print.hole_bits, "parts", print.parts,
                               "known_by", json_known_by(answer, mention->row->layout)));
        free(copy);
        json_decref(print.parts);
        table_destroy(print.table);
        count++;
    }
    if (!is_json) {
        if (count == 0) {
            printf("no cell knows its layout\n");
        }
        if (known_by || count == 0) {
            print_known_by(answer, 0, "known by name: ");
        }
        json_decref(layouts);
        return EXIT_DONE;
    }
    json_t *root = json_root("type", 1);
    json_object_set_new(root, "layouts", layouts);
    json_object_set_new(root, "known_by_name", json_known_by(answer, 0));
    return json_print(root);
}

/* The row of `name`, with a keyword or without. */
static const struct cell_abi_type *find_type(const struct cell_abi *abi, const char *name)
{
    const struct cell_abi_type *found = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(keywords) && !found; i++) {
        char *full = format_text("%s%s", keywords[i], name);
        found = cell_abi_find_type(abi, full, strlen(full));
        free(full);
    }
    return found;
}

static void suggest(struct answer *answer, const struct cell_abi *abi)
{
    for (uint32_t i = 0; i < abi->type_count; i++) {
        struct span name = cell_abi_type_name(cell_abi_text(abi, abi->types[i].text));
        const char *bare = memchr(name.base, ' ', name.size);
        if (bare) {
            size_t length = name.size - (size_t)(bare + 1 - (const char *)name.base);
            suggestion_offer(&answer->near, format_text("%.*s", (int)length, bare + 1));
        }
    }
}

static int report_unknown(const struct answer *answer, const char *name, const char *input)
{
    struct problem problem = {0};
    enum status ignored = problem_set(&problem, PROBLEM_UNKNOWN_TYPE,
                                      "no cell in %s mentions a type %s", input, name);
    (void)ignored;
    if (answer->near.best) {
        problem_help(&problem, "is %s meant?", answer->near.best);
    }
    return report(&problem);
}

static int find(const struct arguments *arguments, const struct subject *subject,
                struct answer *answer)
{
    const struct model *model = subject->model;
    const char *name = subject->words[0];
    answer->near.word = name;
    answer->mentions = allocate((model->cell_count + 1) * sizeof(*answer->mentions));
    for (uint32_t i = 0; i < model->cell_count; i++) {
        struct mention *mention = &answer->mentions[answer->count];
        struct problem problem = {0};
        *mention = (struct mention){.cell = &model->cells[i]};
        if (abi_open(&mention->cell->object, &mention->storage, &mention->abi, &problem) != OK) {
            bytes_fini(&mention->storage);
            return report(&problem);
        }
        mention->row = find_type(&mention->abi, name);
        if (mention->row) {
            answer->count++;
        } else {
            suggest(answer, &mention->abi);
            bytes_fini(&mention->storage);
        }
    }
    return answer->count ? print_answer(arguments, answer)
                         : report_unknown(answer, name, subject->input);
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    if (subject.word_count != 1) {
        code = report_usage(arguments->verb, "type: the name of one type is wanted");
    } else {
        struct answer answer = {0};
        code = find(arguments, &subject, &answer);
        for (size_t i = 0; i < answer.count; i++) {
            bytes_fini(&answer.mentions[i].storage);
        }
        free(answer.mentions);
    }
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    OPTION_CELLS,
    {.name = "known-by", .type = OPTION_FLAG, .help = "the cells that hard-code the layout"},
    {.name = "holes", .type = OPTION_FLAG, .help = "show the bytes that no field uses"},
    {.name = NULL},
};

const struct verb verb_type = {
    .name = "type",
    .summary = "how is a type laid out, and who relies on that?",
    .synopsis = "[OPTION].. NAME [FILE]..",
    .examples = {"cellpack type task --holes", "cellpack type 'struct task' --known-by"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .run = run,
};
