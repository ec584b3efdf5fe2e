# SPDX-License-Identifier: MIT
#
# fuzz.cmake - fuzz targets: readers of outside bytes.
#
# Why: what comes from outside must never crash its reader. Each target is built twice: by GCC with
# the driver of test/fuzz/support, for the short and repeatable run among the tests; and by clang
# with libFuzzer, which finds more in the same time, for scripts/fuzz.

include_guard(GLOBAL)

# add_fuzz_test(<name> SOURCES <file>... DEPENDS <cell>... [STUBS <cell>...])
#
# The first of SOURCES defines LLVMFuzzerTestOneInput(). They and the C sources of DEPENDS, with all
# that they need except STUBS, whose symbols SOURCES define, become two programs under ASan and UBSan:
# mutate_<name>, and fuzz_<name> in the target fuzz_programs. The test fuzz.<name> runs the first on
# test/fuzz/corpus/<name>, then searches for 3 seconds, or $THEORIS_FUZZ_SECONDS, from the seed 1, or
# $THEORIS_FUZZ_SEED. Finds are kept in <build>/fuzz/<name>.
function(add_fuzz_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;STUBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "fuzz test ${name}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  list(TRANSFORM arg_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY FUZZ_TESTS ${name})
  foreach(field SOURCES DEPENDS STUBS)
    set_property(GLOBAL PROPERTY FUZZ_TEST_${name}_${field} "${arg_${field}}")
  endforeach()
endfunction()

# Makes the targets of all add_fuzz_test() calls; part of cells_finalize().
function(generate_fuzz_tests)
  get_property(tests GLOBAL PROPERTY FUZZ_TESTS)
  if(NOT tests OR NOT THEORIS_HOST_TESTS)
    return()
  endif()
  find_program(CLANG clang)
  add_custom_target(fuzz_programs)
  foreach(test IN LISTS tests)
    generate_fuzz_test(${test})
  endforeach()
endfunction()

function(generate_fuzz_test name)
  foreach(field SOURCES DEPENDS STUBS)
    get_property(${field} GLOBAL PROPERTY FUZZ_TEST_${name}_${field})
  endforeach()
  set(support ${CMAKE_SOURCE_DIR}/test/fuzz/support)
  cell_include_folders(folders ${DEPENDS})
  list(REMOVE_ITEM DEPENDS ${STUBS})
  cell_closure(closure STUBS ${STUBS} OF ${DEPENDS})
  cell_include_folders(more ${closure})
  list(APPEND folders ${more})
  list(REMOVE_DUPLICATES folders)
  set(headers ${support}/mutate.h)
  foreach(cell IN LISTS closure)
    cell_get(cell_sources ${cell} SOURCES)
    list(FILTER cell_sources INCLUDE REGEX "\\.[cS]$")
    list(APPEND SOURCES ${cell_sources})
  endforeach()
  foreach(folder IN LISTS folders)
    file(GLOB cell_headers CONFIGURE_DEPENDS ${folder}/*.h)
    list(APPEND headers ${cell_headers})
  endforeach()
  list(TRANSFORM folders PREPEND -iquote)
  list(APPEND SOURCES ${support}/mutate.c)
  # Functions that nobody calls may need what a host has not.
  set(flags -std=gnu11 -D_GNU_SOURCE -ffunction-sections -Wl,--gc-sections -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all ${folders}
            "-DCELL_NAME=\"${name}\"" "-DCELL_SUMMARY=\"fuzz target\"")
  set(program ${CMAKE_BINARY_DIR}/fuzz/mutate_${name})
  add_custom_command(
    OUTPUT ${program}
    COMMAND ${CMAKE_C_COMPILER} ${flags} -Wall -Wextra -fsanitize=address,undefined
            -fsanitize-coverage=trace-pc -o ${program} ${SOURCES} ${support}/driver.c
    DEPENDS ${SOURCES} ${support}/driver.c ${headers}
    COMMENT "fuzz target ${name}"
    VERBATIM)
  add_custom_target(mutate_${name} ALL DEPENDS ${program})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz/${name})
  add_test(NAME fuzz.${name}
           COMMAND ${CMAKE_SOURCE_DIR}/test/fuzz/run-fuzz-test ${program}
                   ${CMAKE_BINARY_DIR}/fuzz/${name} ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
  # No TIMEOUT: the run bounds itself, and a long one is wanted at times.
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz)

  if(CLANG)
    set(program ${CMAKE_BINARY_DIR}/fuzz/fuzz_${name})
    add_custom_command(
      OUTPUT ${program}
      # What clang counts it keeps, called or not.
      COMMAND ${CLANG} ${flags} -Wl,--defsym=write_msr=abort -fsanitize=fuzzer,address,undefined -o ${program} ${SOURCES}
      DEPENDS ${SOURCES} ${headers}
      COMMENT "libFuzzer target ${name}"
      VERBATIM)
    add_custom_target(fuzz_${name} DEPENDS ${program})
    add_dependencies(fuzz_programs fuzz_${name})
  endif()
endfunction()
