// Damage to images, which must be noticed. Each prints the address of the page it is about.
#ifndef INTEROP_IMAGES_TAMPER_H
#define INTEROP_IMAGES_TAMPER_H

// One byte in the middle of the longest run of pages is another.
int flip(const char *directory, const char *pid);

// One page that the directory has, and that all of `uppers` leave to it, is left to its parent, which has an older one:
// as if the round had not seen that it was written.
int forget(const char *directory, const char *pid, char **uppers);

// One entry that leaves pages to the parent, and that all of `uppers` rely on, is gone.
int drop(const char *directory, const char *pid, char **uppers);

// The directory says nothing of this page any more, which it had or left to its parent.
int cut(const char *directory, const char *pid, const char *page);

#endif
