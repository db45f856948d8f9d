# Combines the lines of two files, machines and guest/cases; see plan.
# A way to run a case is six values: kernel, CRIU, tracker, form, rounds, case. Each two of them are a pair; a way is
# worth as many pairs as no chosen way has yet.

/^[[:space:]]*(#|$)/ { next }

FILENAME ~ /machines$/ { machines++; machine[machines] = $0; next }

{ number++; case_line[number] = $0 }

function wanted(choice, value) { return choice == "" || choice == value }

function among(list, value) { return index(" " list " ", " " value " ") > 0 }

# Whether a case's restrictions, such as criu=4.2 or kernel!=newest, allow these. Those behind ~ save time, and count for
# nothing where that is no matter, or the case was asked for.
function allowed(where, way,    part, parts, at, pair, place, unequal) {
  parts = split(where, part, ",")
  for (at = 1; at <= parts; at++) {
    if (part[at] == "any" || (sub(/^~/, "", part[at]) && (full == "yes" || cases != ""))) continue
    unequal = sub(/!=/, "=", part[at])
    split(part[at], pair, "=")
    place = pair[1] == "kernel" ? 1 : pair[1] == "criu" ? 2 : pair[1] == "tracker" ? 3 : 0
    if ((way[place] == pair[2]) == unequal) return 0
  }
  return 1
}

# All ways to run the case, in ways[1], ways[2] and so on.
function list_ways(line,    field, forms, f, counts, r, m, about, versions, c, trackers, t, way, names, form_of, count_of, version_of, tracker_of) {
  split(line, field, /[[:space:]]+/)
  delete ways
  total = 0
  if (cases != "" && !among(cases, field[1])) return
  forms = split(field[4], form_of, ",")
  counts = split(field[5], count_of, ",")
  for (m = 1; m <= machines; m++) {
    split(machine[m], about, /[[:space:]]+/)
    versions = split(about[2], version_of, ",")
    trackers = split(about[3], tracker_of, ",")
    for (c = 1; c <= versions; c++) for (t = 1; t <= trackers; t++)
      for (f = 1; f <= forms; f++) for (r = 1; r <= counts; r++) {
        way[1] = about[1]; way[2] = version_of[c]; way[3] = tracker_of[t]; way[4] = form_of[f]; way[5] = count_of[r]
        # What a machine is special for is of no use to those that do not ask for it.
        if (way[1] ~ /-/ && index("," field[6] ",", ",kernel=" way[1] ",") == 0) continue
        if (!allowed(field[6], way) || !wanted(kernel, way[1]) || !wanted(criu, way[2]) || !wanted(tracker, way[3]) ||
            !wanted(form, way[4]) || !wanted(rounds, way[5])) continue
        ways[++total] = way[1] " " way[2] " " way[3] " " way[4] " " way[5] " " field[1]
      }
  }
}

# How many of a way's pairs are new. With `own_only` those with the case alone, and with "none" all others; with `take`
# they are new no longer.
function worth(line, own_only, take,    value, a, b, key, new) {
  split(line, value, " ")
  new = 0
  for (a = 1; a < 6; a++) for (b = a + 1; b <= 6; b++) {
    if (own_only == 1 && b != 6 || own_only == "none" && b == 6) continue
    key = a "=" value[a] " " b "=" value[b]
    if (!(key in seen)) new++
    if (take) seen[key] = 1
  }
  return new
}

# The way that is worth most; among equals the one like which fewest have been chosen.
function best_way(    at, gain, best, best_gain, like, least) {
  best = 0; best_gain = 0
  for (at = 1; at <= total; at++) {
    if (worth(ways[at], 1, 0) == 0) continue
    gain = worth(ways[at], 0, 0) + worth(ways[at], 1, 0)
    like = chosen[machine_of(ways[at])] + chosen[manner_of(ways[at])]
    if (gain > best_gain || (gain == best_gain && like < least)) {
      best = at; best_gain = gain; least = like
    }
  }
  return best
}

# A way's kernel and CRIU.
function machine_of(way,    value) {
  split(way, value, " ")
  return value[1] " " value[2]
}

# All of a way but the case.
function manner_of(way) {
  sub(/ [^ ]*$/, "", way)
  return way
}

function choose(way) {
  worth(way, 0, 1)
  chosen[machine_of(way)]++
  chosen[manner_of(way)]++
  print way
}

END {
  for (n = 1; n <= number; n++) {
    list_ways(case_line[n])
    if (full == "yes") { for (at = 1; at <= total; at++) print ways[at]; continue }
    while (best = best_way()) {
      choose(ways[best])
      if (once == "yes") break
    }
  }
  # Pairs that no case brought with it.
  for (n = 1; n <= number && full == "no"; n++) {
    list_ways(case_line[n])
    for (at = 1; at <= total; at++) if (worth(ways[at], once == "yes" ? "none" : 0, 0) > 0) choose(ways[at])
  }
}
