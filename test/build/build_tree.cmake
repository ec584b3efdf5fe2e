# SPDX-License-Identifier: MIT
# Configures TREE in BUILD from nothing, with OPTIONS, and builds TARGET; with ERROR, expects a failure whose text
# matches.
file(REMOVE_RECURSE ${BUILD})
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${TREE} -B ${BUILD} -G Ninja -D CMAKE_C_COMPILER=${COMPILER}
          -D CELLPACK=${CELLPACK} ${OPTIONS}
  COMMAND_ECHO STDOUT RESULT_VARIABLE result OUTPUT_VARIABLE log ERROR_VARIABLE log)
if(result EQUAL 0)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target ${TARGET} COMMAND_ECHO STDOUT
                  RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(APPEND log "${text}")
endif()
message("${log}")
if(ERROR)
  if(result EQUAL 0)
    message(FATAL_ERROR "no failure, expected: ${ERROR}")
  elseif(NOT log MATCHES "${ERROR}")
    message(FATAL_ERROR "another failure, expected: ${ERROR}")
  endif()
elseif(NOT result EQUAL 0)
  message(FATAL_ERROR "failed")
endif()
