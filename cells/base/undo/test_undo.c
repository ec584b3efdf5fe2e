/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "undo.h"

static struct undo_note notes[3];
static struct undo changes = UNDO_INIT(notes);

static void test_undo_without_commit_takes_back_newest_first(void **state)
{
    (void)state;
    uint64_t word = 1;
    struct {
        uint32_t low;
        uint16_t high;
        uint8_t last;
    } parts = {.low = 2, .high = 3, .last = 4};
    {
        GUARD(undo, noted, &changes);
        UNDO_SET(&changes, word, 5);
        UNDO_SET(&changes, word, 6);
        UNDO_SET(&changes, parts.high, 7);
        assert_int_equal(changes.count, 3);
    }
    assert_int_equal(word, 1);
    assert_int_equal(parts.low, 2);
    assert_int_equal(parts.high, 3);
    assert_int_equal(parts.last, 4);
    assert_int_equal(changes.count, 0);
}

static void test_undo_commit_keeps_changes(void **state)
{
    (void)state;
    uint64_t word = 1;
    {
        GUARD(undo, noted, &changes);
        UNDO_SET(&changes, word, 5);
        undo_commit(&changes);
    }
    assert_int_equal(word, 5);
}

static void test_undo_beyond_the_limit_traps(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        signal(SIGILL, SIG_DFL);
        uint64_t word = 1;
        GUARD(undo, noted, &changes);
        for (int i = 0; i < 4; i++) {
            UNDO_SET(&changes, word, 5);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undo_without_commit_takes_back_newest_first),
        cmocka_unit_test(test_undo_commit_keeps_changes),
        cmocka_unit_test(test_undo_beyond_the_limit_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
