# The extension for the released ITK wheels: see docs/design/binary-compatibility.md.

find_package(Python REQUIRED COMPONENTS Interpreter Development.SABIModule)
find_package(SWIG 4.3 REQUIRED COMPONENTS python)
include(UseSWIG)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# ITK's headers: given, installed, or fetched from the machine's own Debian or Ubuntu mirror.
if(NOT ITK_INCLUDE_DIR AND DEFINED ENV{ITK_INCLUDE_DIR})
  set(ITK_INCLUDE_DIR "$ENV{ITK_INCLUDE_DIR}")
endif()
if(NOT ITK_INCLUDE_DIR)
  set(fetched_dir "${CMAKE_CURRENT_SOURCE_DIR}/build/itk-headers")
  find_path(ITK_INCLUDE_DIR itkTransform.h
    HINTS "${fetched_dir}/usr/include"
    PATH_SUFFIXES ITK-5.4
  )
  if(NOT ITK_INCLUDE_DIR)
    execute_process(
      COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/scripts/fetch_package.sh" libinsighttoolkit5-dev "5.4.*" "${fetched_dir}"
      ERROR_VARIABLE fetch_error
    )
    find_path(ITK_INCLUDE_DIR itkTransform.h HINTS "${fetched_dir}/usr/include" PATH_SUFFIXES ITK-5.4)
  endif()
endif()

set(itk_version "none")
if(EXISTS "${ITK_INCLUDE_DIR}/itkConfigure.h")
  file(STRINGS "${ITK_INCLUDE_DIR}/itkConfigure.h" version_lines REGEX "#define ITK_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
  string(REGEX REPLACE "[^;0-9]" "" itk_version "${version_lines}")
  list(JOIN itk_version "." itk_version)
endif()
if(itk_version VERSION_LESS 5.4.2 OR itk_version VERSION_GREATER_EQUAL 5.5)
  message(FATAL_ERROR
    "Expected the headers of ITK 5.4.2 or a later 5.4, got ${itk_version} at '${ITK_INCLUDE_DIR}'. "
    "Set ITK_INCLUDE_DIR, as CMake or environment variable, to the folder of itkTransform.h of an ITK 5.4 "
    "installation, often .../include/ITK-5.4. ${fetch_error}"
  )
endif()
message(STATUS "ITK ${itk_version} headers: ${ITK_INCLUDE_DIR}")

# The extension shares factories and singletons with the ITK wheels by linking to their own modules.
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c "import itkConfig; print(itkConfig.path)"
  OUTPUT_VARIABLE itk_package_dir
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY
)

set_property(SOURCE wrapping/NePhi.i PROPERTY CPLUSPLUS ON)
# As in ITK's own modules, the classes have a module of their own, which is imported once.
set_property(SOURCE wrapping/NePhi.i PROPERTY SWIG_MODULE_NAME itkNePhiPython)
set_property(SOURCE wrapping/NePhi.i PROPERTY COMPILE_OPTIONS -interface _NePhiPython)
set_property(SOURCE wrapping/NePhi.i PROPERTY INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/src")
set_property(SOURCE wrapping/NePhi.i PROPERTY DEPENDS
  "${CMAKE_CURRENT_SOURCE_DIR}/src/itkNePhiCalls.h"
  "${CMAKE_CURRENT_SOURCE_DIR}/wrapping/ITKCommonBasePython.i"
  "${CMAKE_CURRENT_SOURCE_DIR}/wrapping/NePhiCalls.i"
  "${CMAKE_CURRENT_SOURCE_DIR}/wrapping/NePhiRegistrationMethod.i"
  "${CMAKE_CURRENT_SOURCE_DIR}/wrapping/itkImagePython.i"
  "${CMAKE_CURRENT_SOURCE_DIR}/wrapping/itkTransformBasePython.i"
)
swig_add_library(NePhiPython TYPE MODULE LANGUAGE python
  SOURCES
  wrapping/NePhi.i
  src/itkNePhiAlignment.cxx
  src/itkNePhiFieldEvaluator.cxx
  src/itkNePhiFieldTraining.cxx
  src/itkNePhiLattice.cxx
  wrapping/itkNePhiVNL.cxx
)
set_target_properties(NePhiPython PROPERTIES
  CXX_STANDARD 17
  CXX_STANDARD_REQUIRED ON
  SUFFIX ".abi3.so"
  BUILD_WITH_INSTALL_RPATH ON
  INSTALL_RPATH "$ORIGIN:$ORIGIN/../itk_core.libs"
)
# The ITK wheels are built without legacy methods: leaving them in would shift the virtual tables.
target_compile_definitions(NePhiPython PRIVATE Py_LIMITED_API=0x030B0000 ITK_LEGACY_REMOVE=)
# Source files are named as seen from here, and no path of the build is kept: every folder builds the same module.
target_compile_options(NePhiPython PRIVATE
  -Wall -Wextra -fno-math-errno -fno-trapping-math "-ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/="
)
target_include_directories(NePhiPython PRIVATE include src wrapping)
target_include_directories(NePhiPython SYSTEM PRIVATE "${ITK_INCLUDE_DIR}" "${ITK_INCLUDE_DIR}/itkeigen")
target_link_directories(NePhiPython PRIVATE "${itk_package_dir}")
target_link_options(NePhiPython PRIVATE "-Wl,-rpath-link,${itk_package_dir}/../itk_core.libs")
target_link_libraries(NePhiPython PRIVATE
  Python::SABIModule
  ${CMAKE_DL_LIBS}
  -l:_ITKCommonPython.abi3.so
  -l:_ITKTransformPython.abi3.so
  -l:_ITKIOTransformBasePython.abi3.so
)

get_property(swig_support_files TARGET NePhiPython PROPERTY SWIG_SUPPORT_FILES)
install(TARGETS NePhiPython LIBRARY DESTINATION itk)
install(FILES ${swig_support_files} wrapping/NePhiPython.py DESTINATION itk)
install(FILES wrapping/NePhiConfig.py wrapping/NePhi_snake_case.py DESTINATION itk/Configuration)
