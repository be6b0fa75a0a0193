# Writes TO, from git_commit.hpp.in, when the commit of SOURCE_DIR is another one than it says.
execute_process(
  COMMAND git -C ${SOURCE_DIR} describe --always --exclude=* --abbrev=12 --dirty
  OUTPUT_VARIABLE git_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT git_commit)
  set(git_commit unknown)
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/git_commit.hpp.in ${TO} @ONLY)
