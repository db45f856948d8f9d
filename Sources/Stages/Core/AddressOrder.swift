extension Array {
  /// The first place, of ranges in address order that do not overlap, whose range ends behind an address; `count` where none
  /// does.
  func firstIndex(endingBehind address: UInt64, _ end: (Element) -> UInt64) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if end(self[middle]) <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
