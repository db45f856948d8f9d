// Shows what a process writes, and what rounds and the last stop would be now, until it is interrupted.
//
//   Watch PID [WINDOWS]
//
// With a number of windows it ends after so many. Two system calls are injected into one thread of each process, once.
import Glibc
import Sluice

guard let pid = CommandLine.arguments.dropFirst().first.flatMap({ Int32($0) }) else {
  fatalError("usage: Watch PID [WINDOWS]")
}
let windows = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? .max
let isTerminal = isatty(STDOUT_FILENO) == 1

extension Double {
  /// A number of bytes, as people read it.
  var asBytes: String {
    let units = ["B", "KB", "MB", "GB", "TB"]
    let unit = units.indices.last { self >= pow(1000, Double($0)) } ?? 0
    return "\((self / pow(1000, Double(unit)) * 10).rounded() / 10) \(units[unit])"
  }
}

extension DirtyRate.Report {
  /// What is shown of a window.
  var picture: [String] {
    // Of a disk or a network, in bytes a second.
    let copyRate = 1e9
    var policy = RoundPolicy()
    policy.rounds = 8
    let size = Double(pageSize)
    var lines = [
      "process \(pid), \(processes - 1) descendants: \((Double(totalPages) * size).asBytes)",
      "writes \(bytesPerSecond.asBytes)/s, \(Int(pagesPerSecond)) different pages a second",
    ]
    if let forecast = try? model.forecast(copyRate: copyRate / size, policy: policy) {
      lines.append(
        "at \(copyRate.asBytes)/s: \(forecast.rounds.count) rounds (\(forecast.end.rawValue)), then stopped for "
          + "\(forecast.finalDuration) and \((Double(forecast.finalPages) * size).asBytes)")
      lines += forecast.rounds.enumerated().map { number, round in
        "  round \(number + 1): \((Double(round.pages) * size).asBytes) in \(round.duration)"
      }
    }
    return lines
      + mappings.prefix(5).map { mapping in
        let name = mapping.name.isEmpty ? "anonymous" : mapping.name
        return "  \((mapping.pagesPerSecond * size).asBytes)/s  0x\(String(mapping.start, radix: 16)) \(name)"
      }
  }
}

/// Counts windows, whichever thread they come from.
actor Counter {
  private var count = 0

  func next() -> Int {
    count += 1
    return count
  }
}

do {
  let (total, redraws) = (windows, isTerminal)
  let count = Counter()
  try await DirtyRate(pid: pid).watch(every: 1) { report in
    if redraws { print("\u{1B}[H\u{1B}[J", terminator: "") }
    print(report.picture.joined(separator: "\n"))
    fflush(nil)
    return await count.next() < total
  }
} catch {
  print("Watch: \(error)")
  exit(1)
}
