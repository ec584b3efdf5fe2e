# SPDX-License-Identifier: MIT
#
# fuzz.cmake - fuzz targets: readers of outside bytes under libFuzzer.
#
# Why: libFuzzer comes with clang, and everything else here is GCC's; so a target is one command.

include_guard(GLOBAL)

# add_fuzz_test(<name> SOURCE <file>... DEPENDS <cell>... [STUBS <cell>...] [CORPUS <folder>])
#
# SOURCE defines LLVMFuzzerTestOneInput(). It and the C sources of DEPENDS, with all that they need
# except STUBS, whose symbols it defines itself, become the program fuzz_<name>, under ASan and UBSan. The test fuzz.<name> first replays CORPUS,
# then searches for 5 seconds, or $THEORIS_FUZZ_SECONDS. Finds are kept in <build>/fuzz/<name>.
function(add_fuzz_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS" "SOURCE;DEPENDS;STUBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "fuzz test ${name}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  list(TRANSFORM arg_SOURCE PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  if(arg_CORPUS)
    cmake_path(ABSOLUTE_PATH arg_CORPUS)
  endif()
  set_property(GLOBAL APPEND PROPERTY FUZZ_TESTS ${name})
  foreach(field SOURCE CORPUS DEPENDS STUBS)
    set_property(GLOBAL PROPERTY FUZZ_TEST_${name}_${field} "${arg_${field}}")
  endforeach()
endfunction()

# Makes the targets of all add_fuzz_test() calls; part of cells_finalize().
function(generate_fuzz_tests)
  get_property(tests GLOBAL PROPERTY FUZZ_TESTS)
  if(NOT tests OR NOT THEORIS_HOST_TESTS)
    return()
  endif()
  find_program(CLANG clang REQUIRED)
  foreach(test IN LISTS tests)
    generate_fuzz_test(${test})
  endforeach()
endfunction()

function(generate_fuzz_test name)
  foreach(field SOURCE CORPUS DEPENDS STUBS)
    get_property(${field} GLOBAL PROPERTY FUZZ_TEST_${name}_${field})
  endforeach()
  cell_closure(closure STUBS ${STUBS} OF ${DEPENDS})
  cell_include_folders(folders ${closure} ${STUBS})
  list(TRANSFORM folders PREPEND -iquote)
  set(sources ${SOURCE})
  set(headers)
  foreach(cell IN LISTS closure)
    cell_get(cell_sources ${cell} SOURCES)
    list(FILTER cell_sources INCLUDE REGEX "\\.c$")
    list(APPEND sources ${cell_sources})
    cell_get(folder ${cell} FOLDER)
    file(GLOB cell_headers CONFIGURE_DEPENDS ${folder}/*.h)
    list(APPEND headers ${cell_headers})
  endforeach()
  set(program ${CMAKE_BINARY_DIR}/fuzz/fuzz_${name})
  add_custom_command(
    OUTPUT ${program}
    COMMAND ${CLANG} -std=gnu11 -g -O1 -fno-sanitize-recover=all
            -fsanitize=fuzzer,address,undefined ${folders} "-DCELL_NAME=\"${name}\""
            "-DCELL_SUMMARY=\"fuzz target\"" -o ${program} ${sources}
    DEPENDS ${sources} ${headers}
    COMMENT "fuzz target ${name}"
    VERBATIM)
  add_custom_target(fuzz_${name} ALL DEPENDS ${program})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz/${name})
  add_test(NAME fuzz.${name}
           COMMAND ${CMAKE_SOURCE_DIR}/test/fuzz/run-fuzz-test ${program}
                   ${CMAKE_BINARY_DIR}/fuzz/${name} ${CORPUS})
  # No TIMEOUT: the run bounds itself, and a long one is wanted at times.
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz)
endfunction()
