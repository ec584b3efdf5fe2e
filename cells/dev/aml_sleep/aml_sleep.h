/* SPDX-License-Identifier: MIT */
/*
 * aml_sleep.h - finds the values that put the machine to sleep, in AML.
 *
 * Why: to switch a PC off one writes a number to a register, and the number stands in a package
 * named
 * \_S5_ of the DSDT or an SSDT (ACPI Specification 6.5, 7.4.2), which are programs in AML. Running
 * AML takes an interpreter of some 50,000 lines. The package is a constant in nearly every machine,
 * and a constant can be recognised: this cell looks for its encoding and checks all of it.
 *
 * Rules: pure; any bytes; nothing outside of the span is read; O(size). It is a search, not a
 * parse: it cannot see whether the code around would be reached, nor be fooled into an invalid
 * value. So if there are several good packages they must agree. Wrong is possible (text that looks
 * like a package, and no real one), and then the value is a number from 0 to 7 in a register that
 * only means sleep.
 */
#pragma once

#include "diag.h"
#include "span.h"

#define AML_SLEEP_OFF       5u /* \_S5_: soft off */
#define AML_SLEEP_STATE_MAX 5u
#define AML_SLEEP_TYPE_MAX  7u /* SLP_TYP is three bits wide */

struct aml_sleep {
    uint8_t type_a; /* SLP_TYP for PM1a control */
    uint8_t type_b; /* for PM1b control, where there is one */
};

/*
 * The package of sleep state `state`, \_S0_ .. \_S5_, in the AML of one table (without the table's
 * header). Encodings are those of section 20.2:
 *
 *   NameOp ['\'] '_S5_' PackageOp PkgLength NumElements Integer Integer ...
 *   NameOp ['\'] '_S5_' PackageOp PkgLength 1 Integer        both types in one, as old firmware has it
 *
 * C0621 there is none (ERR_NOT_FOUND), C0622 the only ones are malformed (ERR_BAD_FORMAT), C0623 or
 * hold something else than small constants (ERR_UNSUPPORTED), C0624 two good ones differ
 * (ERR_MISMATCH); `offset` counts from the start of `aml`. ERR_INVALID_ARGUMENT for another state.
 */
CELL_API MUST_CHECK enum status aml_sleep_find(struct span aml, unsigned state,
                                               struct aml_sleep *out, struct diag *diag);
