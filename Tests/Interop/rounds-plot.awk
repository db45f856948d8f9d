# Draws the rounds of a chain, of the first target that guest/side-by-side has printed: for each way, how many pages each
# round wrote, and for how long it stopped the process. An SVG; medians over the repetitions.

/^INTEROP-ROUND / {
  sub(/\r$/, "")
  if (subject == "") subject = $2
  if ($2 != subject) next
  if (!($4 in known)) {
    known[$4] = 1
    way[++ways] = $4
  }
  if ($5 > rounds) rounds = $5
  number = ++count[$4, $5]
  pages[$4, $5, number] = $6
  stopped[$4, $5, number] = $7
}

function median(values, way, round,    at, other, number, sorted, swap) {
  number = count[way, round]
  for (at = 1; at <= number; at++) sorted[at] = values[way, round, at]
  for (at = 2; at <= number; at++)
    for (other = at; other > 1 && sorted[other] < sorted[other - 1]; other--) {
      swap = sorted[other]; sorted[other] = sorted[other - 1]; sorted[other - 1] = swap
    }
  return number % 2 ? sorted[(number + 1) / 2] : (sorted[number / 2] + sorted[number / 2 + 1]) / 2
}

# A power of ten.
function power(exponent) { return exp(exponent * log(10)) }

function x_of(round) { return left + (rounds > 1 ? (round - 1) * width / (rounds - 1) : width / 2) }

# The scale is logarithmic, and begins at 1: less is at its foot.
function y_of(value) {
  if (value < 1) value = 1
  return top + height - height * log(value) / log(10) / decades
}

function text(x, y, anchor, content) {
  printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, content
}

# One of the two diagrams.
function draw(values, unit, heading,    most, w, round, value, at, points) {
  most = 1
  for (w = 1; w <= ways; w++) for (round = 1; round <= rounds; round++) {
    value = median(values, way[w], round) / unit
    if (value > most) most = value
  }
  decades = 1
  while (power(decades) < most) decades++
  text(left, top - 14, "start", heading)
  for (at = 0; at <= decades; at++) {
    printf "<path d=\"M%d %.1fh%d\" stroke=\"#ddd\"/>\n", left, y_of(power(at)), width
    text(left - 6, y_of(power(at)) + 4, "end", at == 0 ? "≤ 1" : sprintf("%d", power(at) + 0.5))
  }
  for (round = 1; round <= rounds; round++) text(x_of(round), top + height + 18, "middle", round)
  text(left + width / 2, top + height + 36, "middle", "round")
  for (w = 1; w <= ways; w++) {
    points = ""
    for (round = 1; round <= rounds; round++)
      points = points sprintf("%.1f,%.1f ", x_of(round), y_of(median(values, way[w], round) / unit))
    printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", points, colour[w], way[w] ~ /^criu-/ ? " stroke-dasharray=\"6 3\"" : ""
  }
}

# As in side-by-side.awk, but short.
function title(way) {
  if (way ~ /^criu-/) return "CRIU, " substr(way, 6) " mode"
  return "Sluice, " way
}

END {
  split("#b2182b #ef8a62 #2166ac #4d9221 #762a83 #666666", colour, " ")
  width = 300; height = 240; top = 50
  print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 380\" font-family=\"sans-serif\" font-size=\"12\">"
  print "<rect width=\"800\" height=\"380\" fill=\"white\"/>"
  left = 70
  draw(pages, 1, "pages written (" subject ")")
  left = 470
  draw(stopped, 1000, "milliseconds stopped")
  for (w = 1; w <= ways; w++) {
    x = 20 + (w - 1) * 160
    printf "<path d=\"M%d 358h24\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", x, colour[w], way[w] ~ /^criu-/ ? " stroke-dasharray=\"6 3\"" : ""
    text(x + 30, 362, "start", title(way[w]))
  }
  print "</svg>"
}
