/* SPDX-License-Identifier: MIT */
/* What one other CPU forgets; that it is asked at all is seen in the boot tests. */
#include "tlb_shootdown.h"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <cmocka.h>

#include "page_table.h"
#include "remote_call.h"
#include "x86.h"

static page_table_shootdown_t hook;
static enum status answer;
static uint64_t first; /* page that was forgotten by itself */
static uint64_t last;
static unsigned singles;
static unsigned wholes;

void page_table_set_shootdown(page_table_shootdown_t shootdown)
{
    hook = shootdown;
}

enum status remote_call_others(remote_function_t function, void *argument)
{
    function(argument);
    return answer;
}

uint64_t read_cr3(void)
{
    return 0x1000;
}

void write_cr3(uint64_t value)
{
    assert_int_equal(value, 0x1000);
    wholes++;
}

void invlpg(uint64_t address)
{
    first = singles == 0 ? address : first;
    last = address;
    singles++;
}

static int start(void **state)
{
    (void)state;
    tlb_shootdown_init();
    answer = OK;
    singles = 0;
    wholes = 0;
    return 0;
}

static void test_shootdown_of_few_pages_forgets_each(void **state)
{
    (void)state;
    struct tlb_shootdown_statistics before = tlb_shootdown_statistics();
    hook(DATA_ZONE_START, TLB_SHOOTDOWN_PAGES);
    assert_int_equal(singles, TLB_SHOOTDOWN_PAGES);
    assert_int_equal(first, DATA_ZONE_START);
    assert_int_equal(last, DATA_ZONE_START + (TLB_SHOOTDOWN_PAGES - 1) * PAGE_SIZE);
    assert_int_equal(wholes, 0);
    assert_int_equal(tlb_shootdown_statistics().calls, before.calls + 1);
    assert_int_equal(tlb_shootdown_statistics().whole, before.whole);
}

static void test_shootdown_of_many_pages_forgets_all(void **state)
{
    (void)state;
    struct tlb_shootdown_statistics before = tlb_shootdown_statistics();
    hook(DATA_ZONE_START, TLB_SHOOTDOWN_PAGES + 1);
    hook(DATA_ZONE_START, UINT64_MAX);
    assert_int_equal(singles, 0);
    assert_int_equal(wholes, 2);
    assert_int_equal(tlb_shootdown_statistics().whole, before.whole + 2);
}

static jmp_buf trapped;

static void note_trap(int signal)
{
    (void)signal;
    longjmp(trapped, 1);
}

static void test_shootdown_without_answer_ends_in_an_exception(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = note_trap, .sa_flags = SA_NODEFER};
    struct sigaction old;
    assert_int_equal(sigaction(SIGILL, &action, &old), 0);
    answer = ERR_TIMEOUT;
    volatile bool came_back = false;
    if (setjmp(trapped) == 0) {
        hook(DATA_ZONE_START, 1);
        came_back = true;
    }
    assert_int_equal(sigaction(SIGILL, &old, NULL), 0);
    assert_false(came_back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_shootdown_of_few_pages_forgets_each, start),
        cmocka_unit_test_setup(test_shootdown_of_many_pages_forgets_all, start),
        cmocka_unit_test_setup(test_shootdown_without_answer_ends_in_an_exception, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
