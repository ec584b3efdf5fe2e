/* SPDX-License-Identifier: MIT */
/* Ten frames with an object each, and an exception through them; see release.c. */
#include "release.h"

extern "C" {
unsigned long bench_destroyed;
void bench_throw(void);
void bench_return(void);
}

namespace
{

struct Thing {
    int number;
    explicit Thing(int n) : number(n)
    {
        asm volatile("" : : "r"(this) : "memory");
    }
    __attribute__((noinline)) ~Thing()
    {
        bench_destroyed++;
    }
};

__attribute__((noinline)) void own_and_call(int depth, bool throws)
{
    Thing thing(depth);
    if (depth + 1 == RELEASE_DEPTH) {
        if (throws) {
            throw depth;
        }
        return;
    }
    own_and_call(depth + 1, throws);
    asm volatile("" : : "r"(&thing) : "memory");
}

} // namespace

void bench_throw(void)
{
    try {
        own_and_call(0, true);
    } catch (int) {
    }
}

void bench_return(void)
{
    own_and_call(0, false);
}
