# Everything of ours is compiled with these; a warning is an error in every preset.
add_library(reapctl_warnings INTERFACE)
target_compile_options(reapctl_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  # Members that a designated initialiser leaves out are value-initialised, which is what is meant by leaving them out.
  -Wno-missing-field-initializers)

if(REAPCTL_SANITIZE)
  add_compile_options(-fsanitize=${REAPCTL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${REAPCTL_SANITIZE})
endif()
