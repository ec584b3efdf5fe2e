/* SPDX-License-Identifier: MIT */
#include "status.h"

CELL(library, "1.0.0");

const char *status_name(enum status status)
{
    switch (status) {
#define NAME_CASE(name, number, text) \
    case name:                        \
        return #name;
        STATUS_TABLE(NAME_CASE)
    }
    return "ERR_?";
}

const char *status_text(enum status status)
{
    switch (status) {
#define TEXT_CASE(name, number, text) \
    case name:                        \
        return text;
        STATUS_TABLE(TEXT_CASE)
    }
    return "unknown status";
}
