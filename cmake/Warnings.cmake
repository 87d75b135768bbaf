# Everything of ours is compiled with these; a warning is an error in every preset.
add_library(reapctl_warnings INTERFACE)
target_compile_options(reapctl_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual
  -Wno-missing-field-initializers  # designated initialisers name what matters, the rest has its default
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror)

if(REAPCTL_SANITIZE)
  add_compile_options(-fsanitize=${REAPCTL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${REAPCTL_SANITIZE})
endif()
