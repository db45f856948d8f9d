// The way out of a cgroup that others kill or freeze as a whole.
#ifndef FIRST_CGROUPS_H
#define FIRST_CGROUPS_H

#pragma GCC visibility push(hidden)

/// More than there are hierarchies to leave.
enum { FIRST_CGROUPS_MOST = 4 };

/// Opens cgroup.procs of the first cgroup of each hierarchy in which we are not in that already: version 2's, and of
/// version 1 the freezer's and systemd's own. Whatever writes "0" to them moves there. Those that may not be opened are
/// left out. Returns how many there are.
///
/// It is the first of what can be seen here, as in a container; always one that ours is below, so that nobody can freeze
/// it and not us.
unsigned open_first_cgroups(int files[FIRST_CGROUPS_MOST]);

#pragma GCC visibility pop

#endif
