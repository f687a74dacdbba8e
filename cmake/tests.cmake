# The tests. A file's place decides what it becomes:
#
#   tests/unit/**/x_test.c          Criterion, one program each; may include internal headers
#   tests/integration/**/x_test.c   the same with more time; by habit the public headers only
#   tests/{faults,golden}/x_test.c  the same, together with the other C files of that folder; golden/make.c is
#                                   the program that makes golden files
#   tests/stress/x.c tests/crash/x.c  programs with a main(); stress runs bare as a test, crash is driven by its *.sh
#   tests/power/x.c                 the same, on a disk that loses its power; with the helpers of tests/crash too
#   tests/fuzz/x_fuzz.c             a libFuzzer program (fuzz preset), elsewhere a replay of the corpus;
#                                   tool_x_fuzz.c may call the parsers of tools/firn
#   tests/**/x_test.sh              scripts; also tests/crash/*.sh and tests/headers/check.sh
#   tests/sim/*.c                   bin/firn-sim; with tests/sim/history/*.c in place of its runs: firn-histories
#   tests/compat/x/                 what an old release looked like, frozen
#   tests/conformance/*.c           bin/firn-conformance; its scripts run it over one store each
#
# Any other C file below tests/unit, tests/integration or tests/support is a helper that all may call;
# one below tests/stress, tests/crash or tests/power that has no main() helps the programs of its folder.

set(FIRN_TESTS_DIR ${PROJECT_SOURCE_DIR}/tests)
set(FIRN_SLOWDOWN 1)
if(FIRN_SANITIZE)
  set(FIRN_SLOWDOWN 4)
endif()

set(FIRN_TEST_ENV
  FIRN_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
  FIRN_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  FIRN_BUILD_DIR=${CMAKE_BINARY_DIR}
  CC=${CMAKE_C_COMPILER}
  CXX=${CMAKE_CXX_COMPILER}
  UBSAN_OPTIONS=print_stacktrace=1
  # No test asks this machine for credentials: neither its files nor its metadata endpoint.
  AWS_EC2_METADATA_DISABLED=true
  AWS_SHARED_CREDENTIALS_FILE=/dev/null
  AWS_CONFIG_FILE=/dev/null)

function(firn_test_properties name label seconds)
  math(EXPR seconds "${seconds} * ${FIRN_SLOWDOWN}")
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${seconds}
    ENVIRONMENT "${FIRN_TEST_ENV}")
endfunction()

# tests/unit/wal/decode_test.c -> unit/wal/decode_test (the test) and unit-wal-decode_test (the target)
function(firn_test_name file out_test out_target)
  file(RELATIVE_PATH test ${FIRN_TESTS_DIR} ${file})
  string(REGEX REPLACE "\\.(c|sh)$" "" test ${test})
  string(REPLACE "/" "-" target ${test})
  set(${out_test} ${test} PARENT_SCOPE)
  set(${out_target} ${target} PARENT_SCOPE)
endfunction()

function(firn_test_program target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE firn_build firn_static m)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# ---- Criterion (its sandbox does not live with ThreadSanitizer: there the stress programs do the work)

if(NOT FIRN_FUZZ AND NOT FIRN_SANITIZE MATCHES "thread")
  pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)

  file(GLOB_RECURSE helpers CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/support/*.c
    ${FIRN_TESTS_DIR}/unit/*.c ${FIRN_TESTS_DIR}/integration/*.c)
  list(FILTER helpers EXCLUDE REGEX "_test\\.c$")
  if(helpers)
    add_library(firn_test_support STATIC ${helpers})
    target_link_libraries(firn_test_support PRIVATE firn_build PkgConfig::CRITERION)
  endif()

  foreach(label unit integration faults golden)
    file(GLOB_RECURSE files CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/${label}/*_test.c)
    if(NOT FIRN_S3)
      list(FILTER files EXCLUDE REGEX "/unit/s3/")
    endif()
    set(beside)
    if(label MATCHES "faults|golden") # those of faults stand before libc's functions: not for other programs
      file(GLOB beside CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/${label}/*.c)
      list(FILTER beside EXCLUDE REGEX "(_test|/make)\\.c$")
    endif()
    foreach(file ${files})
      firn_test_name(${file} test target)
      firn_test_program(${target} ${file} ${beside})
      if(helpers)
        target_link_libraries(${target} PRIVATE firn_test_support firn_static)
      endif()
      target_link_libraries(${target} PRIVATE PkgConfig::CRITERION)
      add_test(NAME ${test} COMMAND ${target})
      if(label STREQUAL "unit")
        firn_test_properties(${test} unit 180)
      elseif(label STREQUAL "faults")
        firn_test_properties(${test} faults 1200)
        set_tests_properties(${test} PROPERTIES COST 1000) # the longest begins first
        set_tests_properties(${test} PROPERTIES PROCESSORS 2)
      else()
        firn_test_properties(${test} integration 240)
      endif()
    endforeach()
  endforeach()

  firn_test_program(golden-make ${FIRN_TESTS_DIR}/golden/make.c ${FIRN_TESTS_DIR}/golden/golden.c
    ${FIRN_TESTS_DIR}/golden/world.c)
  target_link_libraries(golden-make PRIVATE firn_test_support firn_static PkgConfig::CRITERION)
endif()

# ---- programs with a main() of their own

if(NOT FIRN_FUZZ)
  set(folders stress crash)
  # Says nothing new under a sanitizer.
  if(NOT FIRN_SANITIZE)
    list(APPEND folders power)
    pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
    find_path(ROCKSDB_INCLUDE_DIR rocksdb/c.h)
    find_library(ROCKSDB_LIBRARY rocksdb)
  endif()
  foreach(label ${folders})
    file(GLOB files CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/${label}/*.c)
    set(programs)
    if(NOT label STREQUAL "power")
      set(helpers) # power comes behind crash
    endif()
    foreach(file ${files})
      file(STRINGS ${file} has_main REGEX "^(int )?main\\(")
      if(has_main)
        list(APPEND programs ${file})
      else()
        list(APPEND helpers ${file})
      endif()
    endforeach()
    foreach(file ${programs})
      firn_test_name(${file} test target)
      firn_test_program(${target} ${file} ${helpers})
      if(label STREQUAL "stress")
        add_test(NAME ${test} COMMAND ${target})
        firn_test_properties(${test} stress 240)
        set_tests_properties(${test} PROPERTIES PROCESSORS 2)
      elseif(label STREQUAL "power")
        target_link_libraries(${target} PRIVATE PkgConfig::FUSE3)
        if(ROCKSDB_INCLUDE_DIR AND ROCKSDB_LIBRARY)
          target_compile_definitions(${target} PRIVATE FIRN_HAVE_ROCKSDB=1)
          target_include_directories(${target} SYSTEM PRIVATE ${ROCKSDB_INCLUDE_DIR})
          target_link_libraries(${target} PRIVATE ${ROCKSDB_LIBRARY})
        endif()
      endif()
    endforeach()
  endforeach()
endif()

# ---- fuzzers

set(tool_parsers fields.c source.c text.c)
file(GLOB files CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/fuzz/*_fuzz.c)
foreach(file ${files})
  firn_test_name(${file} test target)
  string(REGEX REPLACE "^.*/(.*)_fuzz$" "\\1" name ${test})
  set(beside)
  if(name MATCHES "^tool_")
    list(TRANSFORM tool_parsers PREPEND ${PROJECT_SOURCE_DIR}/tools/firn/ OUTPUT_VARIABLE beside)
  endif()
  if(FIRN_FUZZ)
    firn_test_program(${target} ${file} ${beside})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz
      OUTPUT_NAME ${name}_fuzz)
  else()
    firn_test_program(${target} ${file} ${beside} ${FIRN_TESTS_DIR}/fuzz/replay_main.c)
    add_test(NAME ${test} COMMAND ${target} ${FIRN_TESTS_DIR}/fuzz/corpus/${name})
    firn_test_properties(${test} fuzz 60)
  endif()
endforeach()

# ---- scripts

if(NOT FIRN_FUZZ)
  file(GLOB_RECURSE scripts CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/*_test.sh)
  file(GLOB more CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/crash/*.sh ${FIRN_TESTS_DIR}/headers/check.sh)
  list(APPEND scripts ${more})
  list(REMOVE_DUPLICATES scripts)
  foreach(file ${scripts})
    firn_test_name(${file} test target)
    string(REGEX REPLACE "/.*" "" label ${test})
    if(label MATCHES "^(conformance|compat)$")
      set(label integration)
    endif()
    if(test STREQUAL "integration/bench_test" AND NOT FIRN_BENCH)
      continue()
    endif()
    # What is about packaging and headers says nothing new under a sanitizer.
    if(FIRN_SANITIZE AND (label STREQUAL "headers" OR test STREQUAL "integration/install_test"))
      continue()
    endif()
    if(FIRN_SANITIZE AND label STREQUAL "power")
      continue()
    endif()
    # Seeds say nothing new under a sanitizer that cannot follow a stack from thread to thread.
    if(FIRN_SANITIZE MATCHES "thread" AND label STREQUAL "sim")
      continue()
    endif()
    add_test(NAME ${test} COMMAND bash ${file})
    firn_test_properties(${test} ${label} 240)
    # The back end itself runs under sanitizers in the conformance tests.
    if(FIRN_SANITIZE AND test MATCHES "integration/(mem|minio)_test|crash/minio_test")
      continue()
    endif()
    if(test MATCHES "/(minio|versitygw|libs3|secure)_test") # may have to build its server first
      if(NOT FIRN_S3)
        set_tests_properties(${test} PROPERTIES DISABLED TRUE)
      endif()
      firn_test_properties(${test} ${label} 1200)
      set_tests_properties(${test} PROPERTIES SKIP_RETURN_CODE 77) # no server to be had: "did not run"
    endif()
    if(test STREQUAL "crash/takeover_test") # thousands on demand
      firn_test_properties(${test} ${label} 7200)
    endif()
    if(label STREQUAL "power")
      firn_test_properties(${test} ${label} 600)
      set_tests_properties(${test} PROPERTIES SKIP_RETURN_CODE 77) # no root, no loop devices: "did not run"
    endif()
  endforeach()
endif()

# ---- the simulation: real code, with the threads, sleeps and clocks of one thread

if(NOT FIRN_FUZZ AND NOT FIRN_SANITIZE MATCHES "thread")
  set(FIRN_SIM_WRAP)
  foreach(name pthread_mutex_init pthread_mutex_destroy pthread_mutex_lock pthread_mutex_trylock
      pthread_mutex_unlock pthread_cond_init pthread_cond_destroy pthread_cond_wait
      pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast pthread_rwlock_init
      pthread_rwlock_destroy pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_unlock
      pthread_create pthread_join pthread_sigmask usleep nanosleep sched_yield clock_gettime poll write
      syscall mem_store_entry)
    list(APPEND FIRN_SIM_WRAP -Wl,--wrap=${name})
  endforeach()
  file(GLOB files CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/sim/*.c)
  add_executable(firn-sim ${files})
  target_link_libraries(firn-sim PRIVATE firn_build firn_static)
  target_link_options(firn-sim PRIVATE ${FIRN_SIM_WRAP})

  list(FILTER files EXCLUDE REGEX "/(main|run|chaos|site|term|make|write|look|cut|follow|whatif|check|model)\\.c$")
  file(GLOB histories CONFIGURE_DEPENDS ${FIRN_TESTS_DIR}/sim/history/*.c)
  firn_test_program(firn-histories ${files} ${histories})
  target_link_options(firn-histories PRIVATE ${FIRN_SIM_WRAP})
  add_test(NAME sim/histories COMMAND firn-histories)
  firn_test_properties(sim/histories sim 240)
endif()
