/* SPDX-License-Identifier: MIT */
#include "test_support.h"

#include "cell_info.h"
#include "cell_transfer.h"
#include "cell_writer.h"
#include "elf_object.h"
#include "unwind_index.h"

#include <unistd.h>

static struct bytes file;
static struct elf_object object;

static void open_file(const char *name)
{
    struct diag diag;
    file = scratch_read(name);
    assert_int_equal(elf_object_open(bytes_span(&file), &object, &diag), OK);
}

static void close_file(void)
{
    bytes_fini(&file);
}

static const struct elf64_sym *symbol_named(const char *name)
{
    for (uint32_t i = 1; i < object.symbol_count; i++) {
        if (strcmp(elf_object_symbol_name(&object, i), name) == 0) {
            return &object.symbols[i];
        }
    }
    return NULL;
}

static bool has_section(const char *name)
{
    return elf_object_find_section(&object, name) != 0;
}

static const char two_functions[] = TEST_CELL_HEAD "CELL_API int shown(int x);\n"
                                                   "int hidden(int x);\n"
                                                   "const char *text(void);\n"
                                                   "static int state;\n"
                                                   "int hidden(int x) { return x + ++state; }\n"
                                                   "const char *text(void) { return \"text\"; }\n"
                                                   "int shown(int x) { return hidden(x) * x; }\n";

static void test_compile_hidden_globals_become_local(void **state)
{
    test_compile_good(&(struct test_cell){.name = "visibility", .source = two_functions});
    open_file("visibility.cell");
    assert_int_equal(elf_symbol_binding(symbol_named("shown")), STB_GLOBAL);
    assert_int_equal(elf_symbol_binding(symbol_named("hidden")), STB_LOCAL);
    assert_int_equal(elf_symbol_visibility(symbol_named("hidden")), STV_DEFAULT);
    close_file();
}

static void test_compile_sections_are_those_of_a_cell(void **state)
{
    test_compile_good(&(struct test_cell){.name = "sections", .source = two_functions});
    open_file("sections.cell");
    for (uint32_t i = 1; i < object.section_count; i++) {
        const char *name = elf_object_section_name(&object, i);
        assert_null(strstr(name, "debug"));
        assert_string_not_equal(name, ".comment");
        assert_string_not_equal(name, ".note.GNU-stack");
        assert_string_not_equal(name, ".note.gnu.property");
        assert_string_not_equal(name, ".data"); /* empty */
        assert_int_equal(object.sections[i].sh_flags & (SHF_MERGE | SHF_STRINGS), 0);
    }
    assert_true(has_section(".text.shown"));
    assert_true(has_section(".bss.state"));
    uint32_t info = elf_object_find_section(&object, ".cell.info");
    uint32_t unwind = elf_object_find_section(&object, ".cell.unwind");
    assert_false(elf_object_section_is_loaded(&object, info));
    assert_false(elf_object_section_is_loaded(&object, unwind));
    close_file();
}

static void test_compile_note_says_what_was_asked_for(void **state)
{
    test_compile_good(
        &(struct test_cell){.name = "noted", .interface = "something", .source = TEST_CELL_HEAD});
    open_file("noted.cell");
    struct cell_info info;
    assert_int_equal(cell_info_read(&object, &info, NULL), OK);
    assert_string_equal(info.name, "noted");
    assert_string_equal(info.version, "1.2.3");
    assert_string_equal(info.kind, "library");
    assert_string_equal(info.summary, "made by a \"test\"");
    assert_string_equal(info.interface, "something");
    close_file();
}

static void test_compile_debug_file_has_the_same_sections(void **state)
{
    test_compile_good(&(struct test_cell){.name = "sided", .source = two_functions});
    open_file("sided.debug");
    uint32_t text = elf_object_find_section(&object, ".text.shown");
    assert_int_not_equal(text, 0);
    assert_int_equal(object.sections[text].sh_type, SHT_NOBITS);
    assert_true(has_section(".debug_info"));
    assert_true(has_section(".rela.debug_info"));
    assert_non_null(symbol_named("shown"));
    uint64_t size = object.sections[text].sh_size;
    close_file();
    open_file("sided.cell");
    text = elf_object_find_section(&object, ".text.shown");
    assert_int_equal(object.sections[text].sh_size, size);
    close_file();
}

static const struct unwind_index_entry *unwind_entries(uint32_t *out_count)
{
    uint32_t section = elf_object_find_section(&object, ".cell.unwind");
    struct span bytes = elf_object_section_bytes(&object, section);
    const struct unwind_index_header *header = span_at(bytes, 0, sizeof(*header));
    assert_non_null(header);
    assert_memory_equal(header->magic, "CUNW", 4);
    assert_int_equal(header->version, 1);
    assert_int_equal(header->entry_size, 16);
    assert_int_equal(bytes.size, sizeof(*header) + header->count * 16);
    assert_int_equal(header->eh_frame, elf_object_find_section(&object, ".eh_frame"));
    *out_count = header->count;
    return (const struct unwind_index_entry *)(header + 1);
}

/* Each function has exactly one entry, of its size. */
static void test_compile_unwind_index_covers_each_function(void **state)
{
    test_compile_good(&(struct test_cell){
        .name = "unwound",
        .source = two_functions,
        .assembly = ".section .text.raw, \"ax\"\n.globl raw\n.type raw, @function\n"
                    "raw:\n.cfi_startproc\nret\n.cfi_endproc\n.size raw, . - raw\n"
                    ".globl raw2\n.type raw2, @function\n"
                    "raw2:\n.cfi_startproc\nnop\nret\n.cfi_endproc\n.size raw2, . - raw2\n"});
    open_file("unwound.cell");
    uint32_t count;
    const struct unwind_index_entry *entries = unwind_entries(&count);
    uint32_t functions = 0;
    for (uint32_t i = 1; i < object.symbol_count; i++) {
        const struct elf64_sym *symbol = &object.symbols[i];
        if (elf_symbol_type(symbol) != STT_FUNC) {
            continue;
        }
        functions++;
        uint32_t found = 0;
        for (uint32_t k = 0; k < count; k++) {
            found += entries[k].section == symbol->st_shndx &&
                     entries[k].offset == symbol->st_value && entries[k].size == symbol->st_size;
        }
        assert_int_equal(found, 1);
    }
    assert_int_equal(functions, 5);
    assert_int_equal(count, functions);
    for (uint32_t k = 1; k < count; k++) {
        bool sorted = entries[k - 1].section < entries[k].section ||
                      (entries[k - 1].section == entries[k].section &&
                       entries[k - 1].offset < entries[k].offset);
        assert_true(sorted);
    }
    close_file();
}

static void test_compile_two_sources_keep_equal_static_names_apart(void **state)
{
    test_compile_good(&(struct test_cell){
        .name = "joined",
        .source = TEST_CELL_HEAD "int other(int x);\nCELL_API int first(int x);\n"
                                 "static NOINLINE int same(int x) { return x * 3; }\n"
                                 "int first(int x) { return same(x) + other(x); }\n",
        .more = "int other(int x);\n"
                "static __attribute__((noinline)) int same(int x) { return x * 5; }\n"
                "int other(int x) { return same(x); }\n"});
    open_file("joined.cell");
    unsigned named = 0;
    for (uint32_t i = 1; i < object.section_count; i++) {
        named += strcmp(elf_object_section_name(&object, i), ".text.same") == 0;
    }
    assert_int_equal(named, 2);
    assert_int_equal(elf_symbol_binding(symbol_named("other")), STB_LOCAL);
    close_file();
}

static void test_compile_symbols_that_nothing_uses_are_gone(void **state)
{
    test_compile_good(&(struct test_cell){.name = "lean",
                                          .source = TEST_CELL_HEAD
                                          "extern int used_variable;\nextern int unused_variable;\n"
                                          "CELL_API int *get(void);\n"
                                          "int *get(void) { return &used_variable; }\n"});
    open_file("lean.cell");
    assert_non_null(symbol_named("used_variable"));
    assert_null(symbol_named("unused_variable"));
    assert_null(symbol_named("cell_info_note_"));
    close_file();
}

/* The same source in two folders, each the current one in its turn. */
/* Two sources: their records make one array, and the function that only the note names is kept. */
static void test_compile_lines_about_transfer_become_records(void **state)
{
    static const char one[] =
        TEST_CELL_HEAD "enum status { OK };\n"
                       "CELL_API int count(void);\n"
                       "static long queue[2];\n"
                       "int count(void) { return (int)++queue[1]; }\n"
                       "static enum status widen(const void *old, size_t old_bytes, void *new,\n"
                       "                         size_t new_bytes)\n"
                       "{ *(long *)new = *(const int *)old + (long)(old_bytes + new_bytes);\n"
                       "  return OK; }\n"
                       "CELL_TRANSFER(old_queue, queue, widen);\n";
    static const char other[] = "#include \"cell.h\"\n"
                                "CELL_API int more(void);\n"
                                "static char seen;\n"
                                "int more(void) { return ++seen; }\n"
                                "CELL_FRESH(seen);\n";
    test_compile_good(&(struct test_cell){.name = "transfer", .source = one, .more = other});
    open_file("transfer.cell");
    assert_int_equal(cell_transfer_count(&object), 2);
    bool seen[3] = {false};
    for (uint32_t i = 0; i < 2; i++) {
        struct cell_transfer transfer;
        assert_int_equal(cell_transfer_read(&object, i, &transfer, NULL), OK);
        assert_false(seen[transfer.kind]);
        seen[transfer.kind] = true;
        bool fresh = transfer.kind == CELL_TRANSFER_FRESH;
        assert_string_equal(transfer.new, fresh ? "seen" : "queue");
        assert_string_equal(transfer.old, fresh ? "" : "old_queue");
        assert_string_equal(transfer.function, fresh ? "" : "widen");
        assert_ptr_equal(&object.symbols[transfer.new_symbol], symbol_named(transfer.new));
    }
    close_file();
}

static void test_compile_bytes_do_not_depend_on_the_folder(void **state)
{
    char *here = getcwd(NULL, 0);
    char *outer = scratch;
    struct bytes files[2][2];
    for (size_t i = 0; i < 2; i++) {
        struct problem problem = {0};
        scratch = temporary_folder_create(&problem);
        assert_int_equal(chdir(scratch), 0);
        test_compile_good(&(struct test_cell){.name = "moved", .source = two_functions});
        files[i][0] = scratch_read("moved.cell");
        files[i][1] = scratch_read("moved.debug");
        assert_int_equal(chdir(here), 0);
        temporary_folder_destroy(scratch);
    }
    scratch = outer;
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(files[0][k].size, files[1][k].size);
        assert_memory_equal(files[0][k].data, files[1][k].data, files[0][k].size);
        bytes_fini(&files[0][k]);
        bytes_fini(&files[1][k]);
    }
    free(here);
}

static void test_compile_depfile_names_the_headers(void **state)
{
    test_compile_good(&(struct test_cell){.name = "depending", .source = TEST_CELL_HEAD});
    struct bytes rule = scratch_read("depending.d");
    bytes_append(&rule, "", 1);
    const char *text = (const char *)rule.data;
    assert_memory_equal(text, scratch_path("depending.cell: "), strlen(scratch) + 17);
    assert_non_null(strstr(text, "depending_0.c"));
    assert_non_null(strstr(text, TEST_CELL_FOLDER "/cell.h"));
    assert_int_equal(rule.data[rule.size - 2], '\n');
    bytes_fini(&rule);
}

static void test_compile_refused_sources_have_a_code(void **state)
{
    static const struct {
        unsigned code;
        struct test_cell cell;
    } cases[] = {
        {PROBLEM_CELL_NOTE_COUNT, {.name = "no_note", .source = "int x;\n"}},
        {PROBLEM_CELL_NOTE_COUNT,
         {.name = "two_notes", .source = TEST_CELL_HEAD, .more = TEST_CELL_HEAD}},
        {PROBLEM_CELL_NOTE_FIELD,
         {.name = "kind", .source = "#include \"cell.h\"\nCELL(nonsense, \"1\");\n"}},
        {PROBLEM_CELL_NOTE_NAME,
         {.name = "liar", .source = "#undef CELL_NAME\n#define CELL_NAME \"x\"\n" TEST_CELL_HEAD}},
        {PROBLEM_CELL_NOTE_NAME,
         {.name = "interface", .source = "#define CELL_INTERFACE \"other\"\n" TEST_CELL_HEAD}},
        {PROBLEM_CELL_BAD_NAME, {.name = "Upper", .source = TEST_CELL_HEAD}},
        {PROBLEM_CELL_BAD_NAME, {.name = "", .source = TEST_CELL_HEAD}},
        {PROBLEM_CELL_BAD_NAME,
         {.name = "a234567890123456789012345678901234567890", .source = TEST_CELL_HEAD}},
        {PROBLEM_TOOL_FAILED, {.name = "syntax", .source = "int x\n"}},
        {PROBLEM_TOOL_FAILED, {.name = "warned", .source = TEST_CELL_HEAD "static int unused;\n"}},
        {PROBLEM_TOOL_FAILED, {.name = "hosted", .source = "#include <stdio.h>\n" TEST_CELL_HEAD}},
        {PROBLEM_OBJECT_HIDDEN,
         {.name = "hiding",
          .source =
              TEST_CELL_HEAD "extern __attribute__((visibility(\"hidden\"))) int absent;\n"
                             "CELL_API int *get(void);\nint *get(void) { return &absent; }\n"}},
        {DIAG_ELF_TLS,
         {.name = "threads",
          .source = TEST_CELL_HEAD "CELL_API __thread int depth;\n__thread int depth;\n"}},
        {DIAG_ELF_COMMON,
         {.name = "common", .source = TEST_CELL_HEAD, .assembly = ".comm shared, 8, 8\n"}},
        {DIAG_ELF_WRITE_EXEC,
         {.name = "writable",
          .source = TEST_CELL_HEAD,
          .assembly = ".section .text.w, \"awx\"\nret\n"}},
        {PROBLEM_OBJECT_SECTION,
         {.name = "grouped",
          .source = TEST_CELL_HEAD,
          .assembly = ".section .text.g, \"axG\", @progbits, g, comdat\nret\n"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned code = test_compile_code(&cases[i].cell);
        if (code != cases[i].code) {
            fail_msg("%s: C%04u instead of C%04u", cases[i].cell.name, code, cases[i].code);
        }
    }
}

static void test_compile_failure_leaves_no_cell(void **state)
{
    test_compile_good(&(struct test_cell){.name = "kept", .source = TEST_CELL_HEAD});
    struct bytes before = scratch_read("kept.cell");
    struct problem problem = {0};
    assert_int_equal(
        test_compile(&(struct test_cell){.name = "kept", .source = "int x\n"}, &problem),
        ERR_FAILED);
    assert_non_null(strstr(problem.transcript, "error"));
    problem_fini(&problem);
    struct bytes after = scratch_read("kept.cell");
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    bytes_fini(&before);
    bytes_fini(&after);
    assert_int_not_equal(access(scratch_path("syntax.cell"), F_OK), 0);
}

/* What gcc writes, with noise in it: refused, or written, but the writer must not trip. */
static void test_compile_damaged_object_does_no_harm(void **state)
{
    scratch_write("raw.c", two_functions, strlen(two_functions));
    const char *const arguments[] = {"gcc",
                                     "-c",
                                     "-g",
                                     "-ffunction-sections",
                                     "-fdata-sections",
                                     "-fno-pic",
                                     "-DCELL_NAME=\"raw\"",
                                     "-DCELL_SUMMARY=\"\"",
                                     "-I",
                                     TEST_CELL_FOLDER,
                                     "-o",
                                     scratch_path("raw.o"),
                                     scratch_path("raw.c"),
                                     NULL};
    struct process process = {.arguments = arguments, .what = "compile"};
    struct problem problem = {0};
    assert_int_equal(process_run(&process, NULL, NULL, &problem), OK);
    struct bytes original = scratch_read("raw.o");
    uint32_t noise = 1;
    unsigned outcomes[2] = {0};
    for (unsigned run = 0; run < 3000; run++) {
        struct bytes copy = {0};
        struct bytes cell = {0};
        struct bytes debug = {0};
        bytes_append(&copy, original.data, original.size);
        noise = noise * 1664525u + 1013904223u;
        copy.data[(noise >> 4) % copy.size] ^= (uint8_t)(1u << (noise >> 29));
        if (elf_object_open(bytes_span(&copy), &object, NULL) == OK) {
            outcomes[cell_write(&object, &cell, &debug, &problem) == OK]++;
            problem_fini(&problem);
        }
        bytes_fini(&copy);
        bytes_fini(&cell);
        bytes_fini(&debug);
    }
    assert_true(outcomes[0] > 0 && outcomes[1] > 0);
    bytes_fini(&original);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile_hidden_globals_become_local),
        cmocka_unit_test(test_compile_sections_are_those_of_a_cell),
        cmocka_unit_test(test_compile_note_says_what_was_asked_for),
        cmocka_unit_test(test_compile_debug_file_has_the_same_sections),
        cmocka_unit_test(test_compile_unwind_index_covers_each_function),
        cmocka_unit_test(test_compile_two_sources_keep_equal_static_names_apart),
        cmocka_unit_test(test_compile_symbols_that_nothing_uses_are_gone),
        cmocka_unit_test(test_compile_lines_about_transfer_become_records),
        cmocka_unit_test(test_compile_bytes_do_not_depend_on_the_folder),
        cmocka_unit_test(test_compile_depfile_names_the_headers),
        cmocka_unit_test(test_compile_refused_sources_have_a_code),
        cmocka_unit_test(test_compile_failure_leaves_no_cell),
        cmocka_unit_test(test_compile_damaged_object_does_no_harm),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_destroy);
}
