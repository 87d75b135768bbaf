# Turns every NAME.schema.json of a directory into an entry of report::schemas(), so that the files in the tree
# and what `reapctl schema NAME` prints are the same bytes.
function(reapctl_embed_schemas target directory)
  file(GLOB schemas CONFIGURE_DEPENDS ${directory}/*.schema.json)
  set(entries "")
  foreach(schema IN LISTS schemas)
    get_filename_component(name ${schema} NAME)
    string(REPLACE ".schema.json" "" name ${name})
    file(READ ${schema} text)
    # The first would end the raw string, the second would be replaced by file(CONFIGURE).
    if(text MATCHES "\\)__JSON__\"" OR text MATCHES "@[A-Za-z0-9_./+-]+@")
      message(FATAL_ERROR "${schema} holds text that cannot be embedded")
    endif()
    string(APPEND entries "    {\"${name}\", R\"__JSON__(${text})__JSON__\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${schema})
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/schemas.cpp CONTENT
"// Generated from ${directory}.
#include \"report/schema.hpp\"
namespace reapctl::report {
std::span<const Schema> schemas() {
  static constexpr Schema kSchemas[] = {
${entries}  };
  return kSchemas;
}
}  // namespace reapctl::report
" @ONLY)
  target_sources(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated/schemas.cpp)
endfunction()
