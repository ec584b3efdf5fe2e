/* SPDX-License-Identifier: MIT */
/* What a generator would not think of, in C; corpus_assembly.S has what no compiler makes. */
#include "corpus.h"

long corpus_fuel;

long corpus_leaf(long a);
long corpus_chain(long depth);
long corpus_tail(long a);
long corpus_structure(long a);
long corpus_big_frame(long a);
long corpus_barrier(long a);
long corpus_shrink_wrapped(long a);
long corpus_nested_loops(long a);
long corpus_setjmp(long a);
long corpus_asm_pushes(long a);
long corpus_asm_frame(long a);
long corpus_asm_cfa_expression(long a);
long corpus_asm_rule_expression(long a);
long corpus_asm_register(long a);
long corpus_asm_switches_stack(long a);
long corpus_asm_remembers(long a);
long corpus_asm_interrupted(long a);
long corpus_from_assembly(long a);

NOINLINE corpus_call corpus_pointer(corpus_call function)
{
    __asm__ volatile("" : "+r"(function));
    return function;
}

NOINLINE void corpus_never(long value)
{
    for (;;) {
        __asm__ volatile("" : "+r"(value));
    }
}

NOINLINE long corpus_leaf(long a)
{
    return a * 3 + 1;
}

NOINLINE long corpus_chain(long depth)
{
    return depth <= 0 ? 1 : corpus_leaf(depth) + corpus_chain(depth - 1);
}

NOINLINE long corpus_tail(long a)
{
    return a & 1 ? corpus_chain(a & 3) : corpus_leaf(a);
}

struct large {
    long words[9];
};

static NOINLINE struct large make_large(long a)
{
    struct large large;
    for (long i = 0; i < 9; i++) {
        large.words[i] = corpus_leaf(a + i);
    }
    return large;
}

NOINLINE long corpus_structure(long a)
{
    struct large large = make_large(a);
    return large.words[a & 7] + make_large(large.words[8]).words[1];
}

NOINLINE long corpus_big_frame(long a)
{
    volatile char bytes[20000];
    bytes[0] = (char)a;
    bytes[19999] = (char)corpus_leaf(a);
    return bytes[0] + bytes[19999];
}

/* More that lives across a call than there are registers that calls preserve. */
NOINLINE long corpus_barrier(long a)
{
    long b = corpus_leaf(a);
    long c = corpus_leaf(b);
    long d = corpus_leaf(c);
    long e = corpus_leaf(d);
    long f = corpus_leaf(e);
    long g = corpus_leaf(f);
    long h = corpus_leaf(g);
    return a + b * c - d * e + f * g - h + corpus_chain(3) * (a ^ b ^ c ^ d ^ e ^ f ^ g ^ h);
}

/* Registers are saved on one of two paths only. */
NOINLINE long corpus_shrink_wrapped(long a)
{
    if ((a & 7) < 6) {
        return a + 1;
    }
    long b = corpus_leaf(a);
    long c = corpus_chain(2);
    return b * c + corpus_leaf(b ^ c) + a;
}

NOINLINE long corpus_nested_loops(long a)
{
    long sum = 0;
    for (long i = 0; i < 4; i++) {
        for (long k = 0; k < i; k++) {
            sum += corpus_shrink_wrapped(a + i * k);
        }
    }
    return sum;
}

NOINLINE long corpus_from_assembly(long a)
{
    return corpus_chain(a & 3) + corpus_leaf(a);
}

const struct corpus_function handwritten[] = {
    {"leaf", corpus_leaf},
    {"chain", corpus_chain},
    {"tail", corpus_tail},
    {"structure", corpus_structure},
    {"big_frame", corpus_big_frame},
    {"barrier", corpus_barrier},
    {"shrink_wrapped", corpus_shrink_wrapped},
    {"nested_loops", corpus_nested_loops},
    {"asm_pushes", corpus_asm_pushes},
    {"asm_frame", corpus_asm_frame},
    {"asm_cfa_expression", corpus_asm_cfa_expression},
    {"asm_rule_expression", corpus_asm_rule_expression},
    {"asm_register", corpus_asm_register},
    {"asm_remembers", corpus_asm_remembers},
    {"asm_switches_stack", corpus_asm_switches_stack},
    {"asm_interrupted", corpus_asm_interrupted},
    {0},
};
