# What a build against ROS 2 wheels in a virtual environment needs. Passed as CMAKE_PROJECT_INCLUDE.
#
# - The wheels' imported targets name include directories of the machine that built them; CMake
#   refuses directories that do not exist.
# - An environment inside the checkout puts numpy's headers inside the source tree; CMake refuses to
#   export targets with such directories (nothing compiles against the exported message targets).
function(stmem_keep_usable_include_directories)
  get_directory_property(imported IMPORTED_TARGETS)
  get_directory_property(own BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS imported own)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(kept "")
    foreach(directory IN LISTS directories)
      cmake_path(IS_PREFIX CMAKE_SOURCE_DIR "${directory}" in_source)
      if(target IN_LIST own AND in_source)
        list(APPEND kept "$<BUILD_INTERFACE:${directory}>")
      elseif(NOT IS_ABSOLUTE "${directory}" OR EXISTS "${directory}")
        list(APPEND kept "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
  endforeach()
endfunction()
cmake_language(DEFER CALL stmem_keep_usable_include_directories)
