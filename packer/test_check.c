/* SPDX-License-Identifier: MIT */
/*
 * `cellpack check`: what it finds in instructions and their unwind tables, and what clang tells it
 * of ownership, where there is one and where there is none.
 */
#include "test_verbs.h"

#define ASSEMBLY(name, body)                                                             \
    ".text\n.globl " name "\n.type " name ",@function\n" name ":\n.cfi_startproc\n" body \
    "\n.cfi_endproc\n.size " name ",.-" name "\n.section .note.GNU-stack\n"
/* Every form that moves the stack pointer, among instructions of all lengths. */
static const char many_instructions[] =
    ".macro down n\n.cfi_adjust_cfa_offset \\n\n.endm\n"
    "pushq %rbx; down 8; pushq %r12; down 8; pushq $5; down 8; pushq $500; down 8;\n"
    "pushq 8(%rdi); down 8; pushq 0x1000(%rdi,%rsi,4); down 8; pushfq; down 8;\n"
    "subq $40, %rsp; down 40; subq $4000, %rsp; down 4000;\n"
    "movabsq $0x123456789abcdef0, %rax; movl $1, %ecx; movw $1, %cx; movb $1, %cl;\n"
    "movq %rax, (%rsp); movq %rax, 0x100(%rsp); movq symbol(%rip), %rax;\n"
    "movl symbol, %eax; testb $1, 3(%rdi); testq $100000, %rax; negq %rax; notl (%rdi);\n"
    "mulq %rcx; testw $7, %ax; imulq $3, %rax, %rcx; imulq $300, (%rdi), %rcx;\n"
    "imulq %rax, %rcx; cqto; idivq %rcx; shlq $3, %rax; shlq %rax; shrq %cl, %rax;\n"
    "shldq $3, %rax, %rcx; btq $3, %rax; btl %eax, %ecx; cmovneq %rax, %rcx; setne %al;\n"
    "movzbl %al, %eax; movslq %eax, %rcx; bswapq %rax; lock cmpxchgq %rax, (%rdi);\n"
    "xaddq %rax, (%rdi); xchgq %rax, %rcx; rep stosq; rep movsb; leaq 8(%rsp), %rax;\n"
    "leaq (,%rax,8), %rcx; movq %gs:8, %rax; movq %cr3, %rax; rdmsr; rdtsc;\n"
    "cmpq $8, %rsp; testq %rsp, %rsp; movq %rsp, %rax; movb $1, 0x7f(%rdi,%rax,8);\n"
    "bsfq %rax, %rcx; jne 1f; jmp 1f; nopl (%rax); 1: call symbol; call *%rax;\n"
    "call *8(%rax); cpuid; mfence; pause; inb $4, %al; outl %eax, %dx; lgdt (%rdi);\n"
    "invlpg (%rdi); sti; cld; fxsave (%rdi); crc32b %al, %ecx;\n"
    "addq $4000, %rsp; down -4000; addq $40, %rsp; down -40; popfq; down -8;\n"
    "popq 8(%rdi); down -8; popq (%rdi); down -8; popq %rcx; down -8;\n"
    "popq %rcx; down -8; popq %r12; down -8; popq %rbx; down -8;\n";

/* What `check` says of a cell with this function. */
static int check_assembly(const char *name, const char *assembly)
{
    char file[64];
    test_compile_good(
        &(struct test_cell){.name = name, .source = TEST_CELL_HEAD, .assembly = assembly});
    snprintf(file, sizeof(file), "%s.cell", name);
    return RUN("check", scratch_path(file));
}

static void test_check_unwind_compares_rows_with_instructions(void **state)
{
    (void)state;
    char text[8192];
    snprintf(text, sizeof(text), ".weak symbol\n" ASSEMBLY("said_run", "%sret"), many_instructions);
    assert_int_equal(check_assembly("said", text), EXIT_DONE);
    /* The same with one push more that nobody says: it is found, so all before was understood. */
    snprintf(text, sizeof(text),
             ".weak symbol\n" ASSEMBLY("stray_run", "%spushq %%rax\npopq %%rax\nret"),
             many_instructions);
    assert_int_equal(check_assembly("stray", text), EXIT_FAILED);
    assert_true(
        prints("out", "error[C0509]: an instruction takes 8 bytes of stack, the table says 0"));
    assert_int_equal(
        check_assembly("early", ASSEMBLY("early_run", "nop\n.cfi_adjust_cfa_offset 8\nret")),
        EXIT_FAILED);
    assert_true(prints("out", "takes 0 bytes of stack, the table says 8"));
    assert_true(prints("out", "early:.text+0x0"));
}

static void test_check_unwind_reads_every_entry(void **state)
{
    (void)state;
    assert_int_equal(
        check_assembly("strange", ASSEMBLY("strange_run", "nop\n.cfi_escape 0x3f\nret")),
        EXIT_FAILED);
    assert_true(prints("out", "error[C0508]: unknown operation"));
    assert_int_equal(RUN("unwind", scratch_path("strange.cell")), EXIT_FAILED);
    assert_true(prints("err", "error[C0508]"));
    assert_int_equal(
        check_assembly("aligned", ASSEMBLY("aligned_run", "nop\n.cfi_def_cfa r10, 0\nret")),
        EXIT_FAILED);
    assert_true(prints("out", "error[C0510]"));
}

static void test_check_reports_findings(void **state)
{
    (void)state;
    assert_int_equal(RUN("check"), EXIT_DONE);
    assert_true(prints("out", "0 findings in 3 cells"));
    assert_int_equal(RUN("check", "--cells", scratch_path("more.a"), "--json"), EXIT_FAILED);
    json_t *root = output_json("cellpack.check/1");
    assert_int_equal(number_in(root, "cell_count"), 4);
    assert_int_equal(json_array_size(json_object_get(root, "findings")), 1);
    assert_string_equal(string_in(item(root, "findings", 0), "rule"), "stateless");
    assert_string_equal(string_in(item(root, "findings", 0), "code"), "C0504");
    json_decref(root);
    assert_int_equal(RUN("check", "--cells", scratch_path("more.a"), "base"), EXIT_DONE);
}

/* A clang of some version that has a remark on each source in pass 1, one of them expected. */
static void write_clang(const char *version)
{
    char text[1024];
    int length =
        snprintf(text, sizeof(text),
                 "#!/bin/sh\n"
                 "case \"$*\" in\n"
                 "*-dumpversion*) echo %s ;;\n"
                 "*-DOWN_CONTRACTS=3*) echo 'x.h:9:1: warning: mutex not held [-Wx]' >&2 ;;\n"
                 "*) echo \"middle.c:3:7: warning: owned thing 'a_slot' is lost [-Wx]\n"
                 "middle.c:3:9: warning: calling function 'own_borrow' requires owned 'a_slot'\n"
                 "middle.c:3:9: note: see above\n"
                 "middle.c:4:1: warning: owned 'a_slot' is not held on every path through here\n"
                 "middle.c:5:1: warning: owned 'a' is not held on every path through here\" >&2\n"
                 "esac\n",
                 version);
    scratch_write("clang", text, (size_t)length);
    assert_int_equal(chmod(scratch_path("clang"), 0755), 0);
}

static void test_check_ownership_takes_findings_of_clang(void **state)
{
    (void)state;
    static const char list[] = "include /here\nsource middle.c\n";
    scratch_write("middle.sources", list, sizeof(list) - 1);
    write_clang("22.1.0");
    assert_int_equal(RUN("check", "--clang", scratch_path("clang"), "--json"), EXIT_FAILED);
    json_t *root = output_json("cellpack.check/1");
    assert_int_equal(json_array_size(json_object_get(root, "findings")), 3);
    const json_t *first = item(root, "findings", 0);
    assert_string_equal(string_in(first, "code"), "C0506");
    assert_string_equal(string_in(first, "cell"), "middle");
    assert_string_equal(string_in(first, "where"), "middle.c:3");
    assert_string_equal(string_in(first, "what"), "owned thing 'a' is lost");
    assert_string_equal(string_in(item(root, "findings", 1), "where"), "middle.c:5");
    assert_string_equal(string_in(item(root, "findings", 2), "code"), "C0507");
    json_decref(root);
    assert_int_equal(RUN("check", "--clang", scratch_path("clang"), "base"), EXIT_DONE);
    assert_true(prints("out", "not checked: no cell has a list of its sources"));
    unlink(scratch_path("middle.sources"));
}

/* A real clang of those that the rule takes; NULL: none is installed. */
static const char *installed_clang(void)
{
    static const char *const programs[] = {"/usr/bin/clang-19", "/usr/bin/clang-22"};
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        if (access(programs[i], X_OK) == 0) {
            return programs[i];
        }
    }
    return NULL;
}

/* Lines with `wrong` are findings, others are not. */
#define KEPT_SOURCE                                                                \
    "#include \"own.h\"\n"                                                         \
    "struct OWN_CAPABILITY(\"gem\") gem;\n"                                        \
    "OWN_DECLARE(gem);\n"                                                          \
    "enum status gem_find(struct gem **out) OWN_ACQUIRES(**out);\n"                \
    "struct box { struct gem *gem; };\n"                                           \
    "static struct gem *best;\n"                                                   \
    "enum status in_slot(void) {\n"                                                \
    "    OWNED(gem, gem);\n"                                                       \
    "    return gem_find(SLOT(gem));\n"                                            \
    "}\n"                                                                          \
    "enum status in_place(struct gem **out) OWN_ACQUIRES(**out);\n"                \
    "enum status in_place(struct gem **out) {\n"                                   \
    "    return *out ? ERR_STATE : gem_find(out);\n"                               \
    "}\n"                                                                          \
    "enum status in_field(struct box *box) {\n"                                    \
    "    return gem_find(&box->gem);\n"                                            \
    "}\n"                                                                          \
    "enum status in_variable(int number) {\n"                                      \
    "    struct gem *gem = NULL;\n"                                                \
    "    if (number && gem_find(&gem) != OK) { return ERR_FAILED; } /* wrong */\n" \
    "    gem_drop(&gem);\n"                                                        \
    "    return OK;\n"                                                             \
    "}\n"                                                                          \
    "enum status in_static(void) { return gem_find(&best); }\n"

static void test_check_handles_in_plain_variables_are_found(void **state)
{
    (void)state;
    const char *clang = installed_clang();
    if (!clang) {
        skip();
    }
    char list[1024];
    int length = snprintf(list, sizeof(list),
                          "include " TEST_CELL_FOLDER "/../own\n"
                          "include " TEST_CELL_FOLDER "/../status\n"
                          "include " TEST_CELL_FOLDER "\n"
                          "source %s\n",
                          scratch_path("kept.c"));
    scratch_write("middle.sources", list, (size_t)length);
    scratch_write("kept.c", KEPT_SOURCE, sizeof(KEPT_SOURCE) - 1);
    const char *marked = strstr(KEPT_SOURCE, "/* wrong */");
    unsigned line = 1;
    for (const char *at = KEPT_SOURCE; at < marked; at++) {
        line += *at == '\n';
    }
    char where[64];
    snprintf(where, sizeof(where), "kept.c:%u", line);
    assert_int_equal(RUN("check", "--clang", (char *)clang, "--json", "middle"), EXIT_FAILED);
    json_t *root = output_json("cellpack.check/1");
    unsigned count = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(root, "findings")); i++) {
        const json_t *finding = item(root, "findings", i);
        if (strcmp(string_in(finding, "rule"), "handles") == 0) {
            assert_string_equal(string_in(finding, "code"), "C0512");
            assert_non_null(strstr(string_in(finding, "where"), where));
            assert_non_null(strstr(string_in(finding, "what"), "'gem', which is no slot"));
            count++;
        }
    }
    assert_int_equal(count, 1);
    json_decref(root);
    unlink(scratch_path("middle.sources"));
}

static void test_check_ownership_without_clang_is_not_checked(void **state)
{
    (void)state;
    static const char list[] = "source middle.c\n";
    scratch_write("middle.sources", list, sizeof(list) - 1);
    assert_int_equal(RUN("check", "--clang", scratch_path("absent")), EXIT_DONE);
    assert_true(prints("out", "not checked: handles and locks: "));
    write_clang("14.0.6");
    assert_int_equal(RUN("check", "--clang", scratch_path("clang")), EXIT_DONE);
    assert_true(prints("out", "is not clang 19 or later"));
    write_clang("19.1.7");
    assert_int_equal(RUN("check", "--clang", scratch_path("clang")), EXIT_FAILED);
    assert_true(prints("out", "not checked: locks: "));
    assert_true(prints("out", "2 findings in 3 cells"));
    unlink(scratch_path("middle.sources"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_unwind_compares_rows_with_instructions),
        cmocka_unit_test(test_check_unwind_reads_every_entry),
        cmocka_unit_test(test_check_reports_findings),
        cmocka_unit_test(test_check_ownership_takes_findings_of_clang),
        cmocka_unit_test(test_check_handles_in_plain_variables_are_found),
        cmocka_unit_test(test_check_ownership_without_clang_is_not_checked),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
