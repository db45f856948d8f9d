# Makes a table in Markdown of what guest/side-by-side has printed: medians over the repetitions. At the end a line for each
# bound that is missed: Sluice may stop a process for a fifth at most of what CRIU's read mode does, and not at all where
# writes are noticed by write protection.

# In the order of the table.
function row(subject, way) {
  if (!((subject, way) in known)) {
    known[subject, way] = 1
  }
  if (!(subject in seen)) {
    seen[subject] = 1
    subjects = subjects " " subject
  }
}

/^INTEROP-CHAIN / {
  sub(/\r$/, "")
  row($2, $4)
  count[$2, $4]++
  for (at = 5; at < NF; at += 2) value[$2, $4, $at, count[$2, $4]] = $(at + 1)
}

function median(subject, way, what,    at, other, number, sorted, swap) {
  number = count[subject, way]
  for (at = 1; at <= number; at++) sorted[at] = value[subject, way, what, at]
  for (at = 2; at <= number; at++)
    for (other = at; other > 1 && sorted[other] < sorted[other - 1]; other--) {
      swap = sorted[other]; sorted[other] = sorted[other - 1]; sorted[other - 1] = swap
    }
  return number % 2 ? sorted[(number + 1) / 2] : (sorted[number / 2] + sorted[number / 2 + 1]) / 2
}

function milliseconds(us) { return us == 0 ? "0" : sprintf("%.1f", us / 1000) }

function mebibytes(kib) { return sprintf("%.1f", kib / 1024) }

# By how its rounds are made.
function title(way) {
  if (way == "criu-splice") return "CRIU, splice mode"
  if (way == "criu-read") return "CRIU, read mode"
  if (way == "undisturbed") return "nothing"
  return "Sluice, " way
}

END {
  print "| target | pre-dumped by | longest stall, ms | stopped in all, ms | share of read mode's | took, s | pages written | peak memory, MiB | in pipes, MiB | slab, MiB |"
  print "|---|---|---|---|---|---|---|---|---|---|"
  many = split(subjects, subject_of, " ")
  for (s = 1; s <= many; s++) {
    subject = subject_of[s]
    of_read = median(subject, "criu-read", "frozen_us")
    number = split("undisturbed criu-splice criu-read soft-dirty both write-protect", way_of, " ")
    for (w = 1; w <= number; w++) {
      way = way_of[w]
      if (!((subject, way) in known)) continue
      stall = median(subject, way, "stall_us")
      frozen = median(subject, way, "frozen_us")
      line = "| " subject " | " title(way) " | " (stall > 0 ? milliseconds(stall) : "-")
      if (way == "undisturbed") {
        print line " | | | | | | | |"
        continue
      }
      share = of_read > 0 ? frozen / of_read : 0
      print line " | " milliseconds(frozen) " | " sprintf("%.2f", share) " | " \
        sprintf("%.2f", median(subject, way, "wall_us") / 1000000) " | " median(subject, way, "pages") " | " \
        mebibytes(median(subject, way, "peak_kib")) " | " mebibytes(median(subject, way, "pipes_kib")) " | " \
        mebibytes(median(subject, way, "slab_kib")) " |"
      most = way == "soft-dirty" ? 0.2 : 0
      if (way !~ /^criu-/ && share > most)
        missed = missed "MISSED: " subject ", " title(way) ": stops " sprintf("%.3f", share) " of read mode's, more than " most "\n"
    }
  }
  printf "%s", missed
  exit missed != ""
}
