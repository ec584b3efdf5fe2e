# SPDX-License-Identifier: MIT
#
# tests.cmake - the rings of tests: unit (cmocka, native) and boot (QEMU).
#
# Why: a bug goes to the smallest ring that shows it. The ctest label names the ring.

include_guard(GLOBAL)

# Where tests put what they make.
set(TEST_SCRATCH ${CMAKE_BINARY_DIR}/scratch)

# add_unit_test(<name> SOURCES <file>... [DEPENDS <cell>...] [STUBS <cell>...] [LIBRARIES <target>...]
#               [DEFINITIONS <definition>...] [ARGUMENTS <argument>...] [LABELS <label>...]
#               [TIMEOUT <seconds>])
#
# A native cmocka program test_<name>, run as unit.<name>, built only when THEORIS_HOST_TESTS is on.
# It may include the headers of DEPENDS, and is linked with these cells and all that they need
# except STUBS, whose symbols it defines itself. Of a dependency only the objects that the program
# refers to are linked. The cells may be defined later than this call.
function(add_unit_test name)
  set_property(GLOBAL APPEND PROPERTY UNIT_TESTS ${name})
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT"
                        "SOURCES;DEPENDS;STUBS;LIBRARIES;DEFINITIONS;ARGUMENTS;LABELS")
  set(sources)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source)
    list(APPEND sources ${source})
  endforeach()
  set(arg_SOURCES ${sources})
  foreach(field SOURCES DEPENDS STUBS LIBRARIES DEFINITIONS ARGUMENTS LABELS TIMEOUT)
    set_property(GLOBAL PROPERTY UNIT_TEST_${name}_${field} "${arg_${field}}")
  endforeach()
endfunction()

# Makes the targets of all add_unit_test() calls; part of cells_finalize().
function(generate_unit_tests)
  get_property(tests GLOBAL PROPERTY UNIT_TESTS)
  if(NOT tests OR NOT THEORIS_HOST_TESTS)
    return()
  endif()
  find_package(cmocka REQUIRED)
  foreach(test IN LISTS tests)
    generate_unit_test(${test})
  endforeach()
endfunction()

function(generate_unit_test name)
  foreach(field SOURCES DEPENDS STUBS LIBRARIES DEFINITIONS ARGUMENTS LABELS TIMEOUT)
    get_property(${field} GLOBAL PROPERTY UNIT_TEST_${name}_${field})
  endforeach()
  foreach(depend IN LISTS DEPENDS STUBS)
    cell_get(type ${depend} TYPE)
    if(NOT type)
      message(FATAL_ERROR "unit test ${name}: unknown cell: ${depend}")
    endif()
  endforeach()
  set(target test_${name})
  add_executable(${target} ${SOURCES})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  cell_include_folders(folders ${DEPENDS})
  list(TRANSFORM folders PREPEND -iquote)
  target_compile_options(${target} PRIVATE ${folders} -Wno-unused-parameter)
  target_compile_definitions(${target} PRIVATE CELL_NAME="${name}" CELL_SUMMARY="unit test"
                                               ${DEFINITIONS})
  target_link_libraries(${target} PRIVATE host_options ${LIBRARIES})
  cell_closure(closure STUBS ${STUBS} OF ${DEPENDS})
  foreach(cell IN LISTS closure)
    get_target_property(type host_${cell} TYPE)
    if(type STREQUAL STATIC_LIBRARY)
      # The file, not the target: a target would bring its own dependencies, stubbed ones included.
      target_link_libraries(${target} PRIVATE $<TARGET_FILE:host_${cell}>)
      add_dependencies(${target} host_${cell})
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE cmocka)
  if(NOT TIMEOUT)
    set(TIMEOUT 60)
  endif()
  add_test(NAME unit.${name} COMMAND ${target} ${ARGUMENTS})
  set_tests_properties(unit.${name} PROPERTIES LABELS "unit;${LABELS}" TIMEOUT ${TIMEOUT}
                       ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
