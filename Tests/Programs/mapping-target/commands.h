// A line of the command language: its words, and the answer to it.
#ifndef MAPPING_TARGET_COMMANDS_H
#define MAPPING_TARGET_COMMANDS_H

#include <stddef.h>
#include <stdint.h>

struct words {
  char **word; // those after the command's name
  size_t count;
};

void *address_in(const struct words *words, size_t at);
size_t number_in(const struct words *words, size_t at);

// One of these ends every command.
void answer_done(void);
void answer_address(const void *address);
void answer_number(long number);
void answer_errno(void); // what errno says went wrong
void answer_result(int result); // done if 0, else what errno says
void answer_mapping(void *start); // its address, or what errno says if it is MAP_FAILED

// Obeys what comes on standard input until its end.
void serve(void);

struct command {
  const char *name;
  size_t words;
  void (*run)(const struct words *words);
};

// Lists of commands, each with an end that has no name.
extern const struct command memory_commands[], kind_commands[], process_commands[];

#endif
