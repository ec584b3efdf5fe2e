/* SPDX-License-Identifier: MIT */
#include "cell.h"

CELL(library, "1.0.0");
