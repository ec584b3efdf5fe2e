/* SPDX-License-Identifier: MIT */
/* What raises an exception in the kernel ends a process by the signal that belongs to it. */
#include "application.h"
#include "console_recorder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

APPLICATION(fault);

static struct console_recorder said;

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
    assert_int_equal(signal_of("write-text"), SIGSEGV);
    assert_int_equal(signal_of("exec-data"), SIGSEGV);
    assert_int_equal(signal_of("stack"), SIGSEGV);
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
