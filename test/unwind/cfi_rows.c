/* SPDX-License-Identifier: MIT */
/*
 * Prints the rows of a file's `.eh_frame`, for compare-decoders:
 *
 *   F <offset of the FDE> <start> <end>
 *   <address> <CFA> [<register>=<rule>]..      one line a row; rows that say the same are joined
 *
 * in the words of readelf: c-8 saved at CFA - 8, v+8 is CFA + 8, exp, vexp, s, u. Numbers are
 * hexadecimal, offsets decimal. Ends with failure if an FDE cannot be read.
 */
#include "elf_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_rule(const struct cfi_rules *rules, unsigned number)
{
    int value = rules->value[number];
    switch ((enum cfi_rule)rules->kind[number]) {
    case CFI_UNDEFINED:
        putchar('u');
        break;
    case CFI_SAME:
        putchar('s');
        break;
    case CFI_OFFSET:
        printf("c%+d", value);
        break;
    case CFI_VALUE_OFFSET:
        printf("v%+d", value);
        break;
    case CFI_REGISTER:
        fputs(cfi_register_name((unsigned)value), stdout);
        break;
    case CFI_EXPRESSION:
        fputs("exp", stdout);
        break;
    case CFI_VALUE_EXPRESSION:
        fputs("vexp", stdout);
        break;
    case CFI_UNSPECIFIED:
        break;
    }
}

static void print_row(const struct cfi_machine *machine)
{
    const struct cfi_rules *rules = &machine->rules;
    printf("%llx ", (unsigned long long)machine->start);
    if (rules->cfa_register == CFI_CFA_EXPRESSION) {
        fputs("exp", stdout);
    } else {
        printf("%s%+d", cfi_register_name(rules->cfa_register), rules->cfa_offset);
    }
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        if (rules->kind[i] != CFI_UNSPECIFIED) {
            printf(" %s=", cfi_register_name(i));
            print_rule(rules, i);
        }
    }
    putchar('\n');
}

static bool is_same(const struct cfi_rules *a, const struct cfi_rules *b)
{
    bool is_same = a->cfa_register == b->cfa_register && a->cfa_offset == b->cfa_offset;
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        is_same = is_same && a->kind[i] == b->kind[i] &&
                  (a->kind[i] < CFI_OFFSET || a->value[i] == b->value[i]);
    }
    return is_same;
}

static enum status print_fde(const struct cfi_fde *fde, struct cfi_fault *fault, uint32_t *deepest)
{
    struct cfi_machine machine;
    struct cfi_rules last = {0};
    printf("F %x %llx %llx\n", fde->offset, (unsigned long long)fde->start,
           (unsigned long long)fde->end);
    enum status status = cfi_begin(&machine, fde, fault);
    while (status == OK && (status = cfi_next_row(&machine, fault)) == OK) {
        *deepest = machine.depth > *deepest ? machine.depth : *deepest;
        if (machine.start == fde->start || !is_same(&last, &machine.rules)) {
            print_row(&machine);
            last = machine.rules;
        }
    }
    return status == ERR_NOT_FOUND ? OK : status;
}

int main(int argc, char **argv)
{
    struct elf_tables tables;
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    if (argc != 2 || !elf_tables_open(argv[1], &tables)) {
        fputs("usage: cfi_rows FILE\n", stderr);
        return 2;
    }
    struct cfi_fde fde;
    struct cfi_fault fault;
    enum status status;
    int code = EXIT_SUCCESS;
    uint32_t deepest = 0;
    for (uint64_t at = 0; (status = cfi_next(&tables.frame, &at, &fde, &fault)) != ERR_NOT_FOUND;) {
        status = status == OK ? print_fde(&fde, &fault, &deepest) : status;
        if (status != OK) {
            fprintf(stderr, "%s: .eh_frame+0x%llx: %s\n", argv[1], (unsigned long long)fault.offset,
                    cfi_fault_text(fault.code));
            code = EXIT_FAILURE;
        }
    }
    fprintf(stderr, "deepest nesting of remembered states: %u\n", deepest);
    elf_tables_close(&tables);
    return code;
}
