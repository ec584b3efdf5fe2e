# SPDX-License-Identifier: MIT
#
# host.cmake - how native code (cellpack, libraries, tests) is compiled: the target host_options.
#
# Why: the same sources run in the kernel; natively they run with every check that we can turn on.

include_guard(GLOBAL)

set(THEORIS_WARNINGS
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Werror)

# Link to it privately: C dialect, warnings as errors, and the sanitizers when THEORIS_SANITIZE is on.
add_library(host_options INTERFACE)
target_compile_options(host_options INTERFACE
  -std=gnu11 ${THEORIS_WARNINGS} -g -fno-omit-frame-pointer
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(THEORIS_SANITIZE)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_compile_options(host_options INTERFACE ${sanitizers})
  target_link_options(host_options INTERFACE ${sanitizers})
endif()
