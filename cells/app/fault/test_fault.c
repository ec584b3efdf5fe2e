/* SPDX-License-Identifier: MIT */
/*
 * What raises an exception in the kernel ends a process by the signal that belongs to it. Mapped
 * pages and stacks are the host's own here.
 */
#include "application.h"
#include "console_recorder.h"
#include "mapped_pages.h"
#include "stack.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

APPLICATION(fault);

static struct console_recorder said;

/* One mapping, of one page after split(), and one stack between pages that cannot be touched. */
struct mapped_pages {
    uint8_t *start;
};
struct stack {
    uint8_t *bottom;
};

static uint8_t *reserve(size_t bytes)
{
    uint8_t *start =
        mmap(NULL, bytes + 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(start, MAP_FAILED);
    assert_int_equal(mprotect(start + PAGE_SIZE, bytes, PROT_READ | PROT_WRITE), 0);
    return start + PAGE_SIZE;
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    static struct mapped_pages mapped;
    assert_int_equal(zone, PAGE_ZONE_DATA);
    assert_int_equal(flags, PAGE_WRITE);
    mapped.start = reserve(bytes);
    FILL(out, &mapped);
    return OK;
}

enum status mapped_pages_split(struct mapped_pages *mapped, uint64_t first_count,
                               struct mapped_pages **out_rest)
{
    static struct mapped_pages rest;
    rest.start = mapped->start + first_count * PAGE_SIZE;
    FILL(out_rest, &rest);
    return OK;
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        assert_int_equal(munmap((*handle)->start, PAGE_SIZE), 0);
        *handle = NULL;
    }
}

vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return (vaddr_t)mapped->start;
}

void *mapped_pages_access(const struct mapped_pages *mapped, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    (void)alignment;
    (void)needed;
    return offset + size * count <= PAGE_SIZE ? mapped->start + offset : NULL;
}

enum status stack_create(size_t bytes, const char *name, struct stack **out)
{
    static struct stack stack;
    assert_string_equal(name, "small");
    stack.bottom = reserve(bytes);
    FILL(out, &stack);
    return OK;
}

void stack_drop(struct stack **handle)
{
    *handle = NULL;
}

vaddr_t stack_bottom(const struct stack *stack)
{
    return (vaddr_t)stack->bottom;
}

vaddr_t stack_top(const struct stack *stack)
{
    return (vaddr_t)stack->bottom + 2 * PAGE_SIZE;
}

/* On the process's own stack, which ends too. */
void stack_call(vaddr_t top, void (*function)(void *argument), void *argument)
{
    (void)top;
    function(argument);
}

static enum status run_fault(const char *kind)
{
    const char *values[] = {"fault", kind, NULL};
    return fault_main(&(struct app_arguments){.count = 2, .values = values});
}

/* The signal that ended a child which ran `fault kind`; 0 if it survived. */
static int signal_of(const char *kind)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const int caught[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS};
        for (size_t i = 0; i < ARRAY_COUNT(caught); i++) {
            signal(caught[i], SIG_DFL);
        }
        _exit(run_fault(kind) == ERR_FAILED ? 0 : 1);
    }
    int state;
    assert_int_equal(waitpid(child, &state, 0), child);
    return WIFSIGNALED(state) ? WTERMSIG(state) : 0;
}

static void test_fault_each_kind_raises_its_exception(void **state)
{
    (void)state;
    assert_int_equal(signal_of("page"), SIGSEGV);
    assert_int_equal(signal_of("null"), SIGSEGV);
    assert_int_equal(signal_of("gp"), SIGSEGV);
    assert_int_equal(signal_of("ud"), SIGILL);
    assert_int_equal(signal_of("de"), SIGFPE);
    assert_int_equal(signal_of("panic"), SIGILL);
    assert_int_equal(signal_of("assert"), SIGILL);
    assert_int_equal(signal_of("write-text"), SIGSEGV);
    assert_int_equal(signal_of("write-const"), SIGSEGV);
    assert_int_equal(signal_of("exec-data"), SIGSEGV);
    assert_int_equal(signal_of("exec-stack"), SIGSEGV);
    assert_int_equal(signal_of("beyond"), SIGSEGV);
    assert_int_equal(signal_of("dropped"), SIGSEGV);
    assert_int_equal(signal_of("stack"), SIGSEGV);
    assert_int_equal(signal_of("small-stack"), SIGSEGV);
    assert_int_equal(signal_of("underflow"), SIGSEGV);
    assert_int_equal(signal_of("guard"), SIGSEGV);
}

static void test_fault_unknown_kind_lists_all(void **state)
{
    (void)state;
    console_recorder_clear(&said);
    assert_int_equal(run_fault("tea"), ERR_INVALID_ARGUMENT);
    assert_int_equal(strncmp(said.text, "usage: fault KIND\n  page        reads", 37), 0);
    assert_non_null(strstr(said.text, "\n  stack       uses up the stack\n"));
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_each_kind_raises_its_exception),
        cmocka_unit_test(test_fault_unknown_kind_lists_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
