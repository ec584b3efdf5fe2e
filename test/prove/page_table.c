/* SPDX-License-Identifier: MIT */
/*
 * What is proven of the page tables: their header of pure functions, and that steps make a run.
 */
#include "page_table_entries.h"

/*
 * How many of the steps of a run hold this page: the loop of page_table.c, counting. Exactly one
 * where the page is one of the run, none where it is not: steps cover the run, and do not overlap.
 */
/*@ requires upper_page(page) && 0 < count && page + count * PAGE_SIZE <= 0xffffffffffffffff;
  @ assigns \nothing;
  @ ensures page <= some < page + count * PAGE_SIZE ==> \result == 1;
  @ ensures !(page <= some < page + count * PAGE_SIZE) ==> \result == 0;
  @*/
unsigned steps_with_page(vaddr_t page, uint64_t count, vaddr_t some);

unsigned steps_with_page(vaddr_t page, uint64_t count, vaddr_t some)
{
    vaddr_t at = page;
    unsigned steps = 0;
    /*@ loop invariant 0 <= count <= \at(count, Pre) && at % PAGE_SIZE == 0;
      @ loop invariant at == page + (\at(count, Pre) - count) * PAGE_SIZE;
      @ loop invariant steps == (page <= some < at ? 1 : 0);
      @ loop assigns at, count, steps;
      @ loop variant count;
      @*/
    while (count > 0) {
        uint64_t step = step_of(at, count);
        vaddr_t next = at + step * PAGE_SIZE;
        //@ assert next == at + step * PAGE_SIZE && at < next && next % PAGE_SIZE == 0;
        if (at <= some && some < next) {
            steps++;
        }
        at = next;
        count -= step;
    }
    return steps;
}
