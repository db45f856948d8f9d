extension Duration {
  /// As CSluiceTLS has it: nanoseconds, rounded up, so that what is not 0 does not become it.
  var inNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (whole, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, isStillTooLong) = whole.addingReportingOverflow((attoseconds + 999_999_999) / 1_000_000_000)
    return isTooLong || isStillTooLong ? .max : sum
  }
}

extension Duration? {
  /// The same; negative where there is no limit.
  var inNanoseconds: Int64 { self?.inNanoseconds ?? -1 }
}
