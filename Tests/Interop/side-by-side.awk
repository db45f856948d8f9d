# Makes a table in Markdown of what guest/side-by-side has printed: medians over the repetitions. A share of what read mode
# stops is the median over the repetitions' own shares, with its quartiles; read mode's share is that of its run before. At
# the end a line for each bound that is missed: Sluice may stop a process for a fifth at most of what CRIU's read mode does,
# as far as read mode's runs tell (they differ from each other), and not at all where writes are noticed by write protection.

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

# Sorts numbers[1] to numbers[count].
function sort(numbers, count,    at, other, swap) {
  for (at = 2; at <= count; at++)
    for (other = at; other > 1 && numbers[other] < numbers[other - 1]; other--) {
      swap = numbers[other]; numbers[other] = numbers[other - 1]; numbers[other - 1] = swap
    }
}

# What a part of the sorted numbers is below, such as 0.5: between two of them as far as it is.
function quantile(sorted, count, part,    place, whole) {
  place = 1 + (count - 1) * part
  whole = int(place)
  if (whole >= count) return sorted[count]
  return sorted[whole] + (place - whole) * (sorted[whole + 1] - sorted[whole])
}

function median(subject, way, what,    at, number, sorted) {
  number = count[subject, way]
  for (at = 1; at <= number; at++) sorted[at] = value[subject, way, what, at]
  sort(sorted, number)
  return quantile(sorted, number, 0.5)
}

# Sets low, middle and high: quartiles of how the times stopped compare with read mode's in the same repetition; read
# mode's own with those of the one before.
function compare(subject, way,    at, number, shares) {
  number = 0
  for (at = 1; at <= count[subject, way]; at++) {
    if (way != "criu-read") shares[++number] = value[subject, way, "frozen_us", at] / value[subject, "criu-read", "frozen_us", at]
    else if (at > 1) shares[++number] = value[subject, way, "frozen_us", at] / value[subject, way, "frozen_us", at - 1]
  }
  sort(shares, number)
  low = quantile(shares, number, 0.25); middle = quantile(shares, number, 0.5); high = quantile(shares, number, 0.75)
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
    compare(subject, "criu-read")
    trust = high > 1 ? high : 1
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
      compare(subject, way)
      print line " | " milliseconds(frozen) " | " (frozen > 0 ? sprintf("%.2f [%.2f %.2f]", middle, low, high) : "0") " | " \
        sprintf("%.2f", median(subject, way, "wall_us") / 1000000) " | " median(subject, way, "pages") " | " \
        mebibytes(median(subject, way, "peak_kib")) " | " mebibytes(median(subject, way, "pipes_kib")) " | " \
        mebibytes(median(subject, way, "slab_kib")) " |"
      most = way == "soft-dirty" ? 0.2 : 0
      if (way !~ /^criu-/ && middle > most * trust)
        missed = missed "MISSED: " subject ", " title(way) ": stops " sprintf("%.3f", middle) " of read mode's, more than " most "\n"
    }
  }
  printf "%s", missed
  exit missed != ""
}
