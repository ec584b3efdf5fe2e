# SPDX-License-Identifier: MIT
#
# tests.cmake - the rings of tests: unit (cmocka, native) and boot (QEMU).
#
# Why: a bug goes to the smallest ring that shows it. The ctest label names the ring.

include_guard(GLOBAL)

# add_unit_test(<name> SOURCES <file>... [DEPENDS <cell>...] [STUBS <cell>...] [LIBRARIES <target>...]
#               [DEFINITIONS <definition>...] [ARGUMENTS <argument>...] [LABELS <label>...]
#               [NEEDS <target>...] [TIMEOUT <seconds>])
#
# A native cmocka program test_<name>, run as unit.<name>, built only when THEORIS_HOST_TESTS is on.
# It may include the headers of DEPENDS, and is linked with these cells and all that they need
# except STUBS, whose symbols it defines itself. Of a dependency only the objects that the program
# refers to are linked. The cells may be defined later than this call. NEEDS are built before it, for
# a test that reads what the build makes.
function(add_unit_test name)
  set_property(GLOBAL APPEND PROPERTY UNIT_TESTS ${name})
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT"
                        "SOURCES;DEPENDS;STUBS;LIBRARIES;DEFINITIONS;ARGUMENTS;LABELS;NEEDS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unit test ${name}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(sources)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source)
    list(APPEND sources ${source})
  endforeach()
  set(arg_SOURCES ${sources})
  foreach(field SOURCES DEPENDS STUBS LIBRARIES DEFINITIONS ARGUMENTS LABELS NEEDS TIMEOUT)
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
  foreach(field SOURCES DEPENDS STUBS LIBRARIES DEFINITIONS ARGUMENTS LABELS NEEDS TIMEOUT)
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
    if(type STREQUAL "STATIC_LIBRARY")
      # The file, not the target: a target would bring its own dependencies, stubbed ones included.
      target_link_libraries(${target} PRIVATE $<TARGET_FILE:host_${cell}>)
      add_dependencies(${target} host_${cell})
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE cmocka)
  if(NEEDS)
    add_dependencies(${target} ${NEEDS})
  endif()
  if(NOT TIMEOUT)
    set(TIMEOUT 60)
  endif()
  add_test(NAME unit.${name} COMMAND ${target} ${ARGUMENTS})
  set_tests_properties(unit.${name} PROPERTIES LABELS "unit;${LABELS}" TIMEOUT ${TIMEOUT}
                       ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1")
endfunction()

# add_simulated_test(<name> SOURCES <file>... DEPENDS <cell>... [ACCESSES <cell>...]
#                    [ACCESS_SOURCES <file>...] [TIMEOUT <seconds>])
#
# A unit test of what tasks do to each other, with test/unit/support/simulated_tasks.h in place of a
# scheduler. The cells in ACCESSES, which are defined before this call, are compiled for it so that
# every access to memory is a point where another task may go on, or this one be killed; so are
# ACCESS_SOURCES, which are the test's own.
function(add_simulated_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPENDS;ACCESSES;ACCESS_SOURCES")
  set(support ${CMAKE_SOURCE_DIR}/test/unit/support)
  if(NOT TARGET simulated_tasks)
    add_library(simulated_tasks INTERFACE)
    target_compile_options(simulated_tasks INTERFACE -iquote${support})
  endif()
  list(APPEND arg_SOURCES ${support}/simulated_tasks.c)
  if(arg_ACCESSES)
    list(APPEND arg_SOURCES ${support}/simulated_accesses.c)
  endif()
  set(compiled)
  foreach(cell IN LISTS arg_ACCESSES)
    compile_with_accesses(${cell})
    list(APPEND compiled accesses_${cell})
  endforeach()
  if(arg_ACCESS_SOURCES)
    add_accesses(${name} FOLDERS ${support} SOURCES ${arg_ACCESS_SOURCES} 
                 DEPENDS ${arg_DEPENDS} ${arg_ACCESSES} status own cpu_local x86 preemption parking)
    list(APPEND compiled accesses_${name})
  endif()
  add_unit_test(${name} SOURCES ${arg_SOURCES}
                DEPENDS ${arg_DEPENDS} ${arg_ACCESSES} status own cpu_local x86 preemption parking
                LIBRARIES simulated_tasks ${compiled} TIMEOUT ${arg_TIMEOUT})
endfunction()

# accesses_<cell>: its objects, with a call before each access to memory (simulated_accesses.c).
function(compile_with_accesses cell)
  if(NOT TARGET accesses_${cell})
    cell_get(sources ${cell} SOURCES)
    cell_get(depends ${cell} DEPENDS)
    add_accesses(${cell} SOURCES ${sources} DEPENDS ${cell} ${depends})
  endif()
endfunction()

# add_accesses(<name> SOURCES <file>... [DEPENDS <cell>...] [FOLDERS <folder>...]): accesses_<name>
function(add_accesses name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;FOLDERS")
  cell_include_folders(folders ${arg_DEPENDS})
  list(APPEND folders ${arg_FOLDERS})
  list(TRANSFORM folders PREPEND -iquote)
  add_library(accesses_${name} OBJECT EXCLUDE_FROM_ALL ${arg_SOURCES})
  target_compile_options(accesses_${name} PRIVATE -std=gnu11 ${THEORIS_WARNINGS} -g -O1
                         -fno-omit-frame-pointer -fsanitize=thread ${folders})
  target_compile_definitions(accesses_${name} PRIVATE CELL_NAME="${name}"
                                                      CELL_SUMMARY="${name}, access by access")
endfunction()

# add_boot_test(<name> [UEFI] [SMP <n>] [MEMORY <MiB>] [CPU <model>] [MACHINE <type>] [THREADS single]
#               [APP <application and arguments>...] [OPTION <key>=<value>...] [CMDLINE <text>]
#               [ARCHIVE <file> | ARCHIVE_BY <script> <argument>... | NO_ARCHIVE]
#               [QEMU <argument>...] [TABLES_BY <script> <argument>] [MODULE_EVOLUTION]
#               [EXPECT <regex>...] [FORBID <regex>...] [STATUS <n> | END <off|reset>]
#               [TIMEOUT <seconds>])
#
# Boots the ISO in QEMU as boot.<name>, when THEORIS_BOOT_TESTS is on. The system must end with STATUS
# (default 0) within TIMEOUT (default 120). Each EXPECT, an extended regular expression, must match a
# line of the serial log; no FORBID may. With END there is no device that could pass on a status: the
# system must switch the machine off, or reset it, by itself, and QEMU must say that it did. CPU and
# MACHINE are what QEMU's -cpu and -machine take (default qemu64 and q35); THREADS is for tests whose CPUs
# wait for each other all the time (run-boot-test); QEMU gives it further
# arguments. APP and OPTION are handed over by fw_cfg; CMDLINE, in an ISO of its own, is the boot command line.
# ARCHIVE boots an ISO with this cells.a instead of ours, NO_ARCHIVE one without any; ARCHIVE_BY one
# that the script makes when the test runs. The script is called with the build folder, the file to
# write, and the arguments. The script of TABLES_BY prints further arguments of QEMU; it is called with
# its argument and a folder for files. With MODULE_EVOLUTION what it leaves there as `evolution` and
# `evolution.a` is handed over by GRUB.
# Regular expressions must not hold a semicolon.
function(add_boot_test name)
  if(NOT THEORIS_BOOT_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "UEFI;NO_ARCHIVE;MODULE_EVOLUTION"
                        "SMP;MEMORY;CPU;MACHINE;THREADS;CMDLINE;ARCHIVE;STATUS;END;TIMEOUT"
                        "APP;OPTION;ARCHIVE_BY;TABLES_BY;QEMU;EXPECT;FORBID")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "boot test ${name}: unknown argument: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set(options --timeout ${arg_TIMEOUT})
  foreach(flag UEFI NO_ARCHIVE MODULE_EVOLUTION)
    if(arg_${flag})
      string(TOLOWER "--${flag}" option)
      string(REPLACE "_" "-" option ${option})
      list(APPEND options ${option})
    endif()
  endforeach()
  if(arg_TABLES_BY)
    list(APPEND options --tables-by ${arg_TABLES_BY})
  endif()
  foreach(field SMP MEMORY CPU MACHINE THREADS CMDLINE ARCHIVE STATUS END APP OPTION QEMU EXPECT FORBID)
    string(TOLOWER "--${field}" option)
    foreach(value IN LISTS arg_${field})
      list(APPEND options ${option} "${value}")
    endforeach()
  endforeach()
  if(arg_ARCHIVE_BY)
    list(APPEND options --archive-by ${arg_ARCHIVE_BY})
  endif()
  add_test(NAME boot.${name}
           COMMAND ${CMAKE_SOURCE_DIR}/test/boot/run-boot-test --build ${CMAKE_BINARY_DIR}
                   --cellpack $<TARGET_FILE:cellpack> --scratch ${CMAKE_BINARY_DIR}/boot/${name}
                   ${options})
  math(EXPR limit "${arg_TIMEOUT} + 30")
  set_tests_properties(boot.${name} PROPERTIES LABELS boot TIMEOUT ${limit})
  if(arg_SMP)
    set_tests_properties(boot.${name} PROPERTIES PROCESSORS ${arg_SMP})
  endif()
endfunction()
