# cmake --install: headers, both libraries, firn.pc, the CMake package, the command, its man page and
# firn-conformance.
# Everything installed is relocatable: paths are relative to where the file itself lies.

include(CMakePackageConfigHelpers)

set(FIRN_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/firn)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/firn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(TARGETS firn firn_static EXPORT firnTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
set_target_properties(firn_static PROPERTIES EXPORT_NAME static)
set_target_properties(firn PROPERTIES EXPORT_NAME firn)
install(EXPORT firnTargets NAMESPACE firn:: DESTINATION ${FIRN_CMAKE_DIR})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/firnConfig.cmake.in
  ${CMAKE_BINARY_DIR}/firnConfig.cmake INSTALL_DESTINATION ${FIRN_CMAKE_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/firnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/firnConfig.cmake ${CMAKE_BINARY_DIR}/firnConfigVersion.cmake
  DESTINATION ${FIRN_CMAKE_DIR})

set(FIRN_PC_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH FIRN_PC_PREFIX ${FIRN_PC_DIR} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" FIRN_PC_PREFIX "${FIRN_PC_PREFIX}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/firn.pc.in ${CMAKE_BINARY_DIR}/firn.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/firn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET firn_libs3)
  install(TARGETS firn_libs3 LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/firn)
endif()
if(TARGET firn_command)
  install(TARGETS firn_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET firn_conformance)
  install(TARGETS firn_conformance RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
file(GLOB FIRN_MAN_PAGES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tools/firn/*.1)
if(FIRN_MAN_PAGES)
  install(FILES ${FIRN_MAN_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
