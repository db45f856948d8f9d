import ArgumentParser
import Sluice

/// `--readers`: a number, or numbers by nodes, such as 0=2,1=4.
enum ReadersOption: ExpressibleByArgument, Hashable {
  /// So many, on each node where there are several.
  case each(Int)
  /// So many on each of these nodes.
  case onNodes([Int: Int])

  init?(argument: String) {
    if let number = Int(argument) {
      self = .each(number)
      return
    }
    var counts: [Int: Int] = [:]
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", omittingEmptySubsequences: false).map { Int($0) }
      guard sides.count == 2, let node = sides[0], let count = sides[1], node >= 0, count >= 0,
        counts.updateValue(count, forKey: node) == nil
      else { return nil }
    }
    self = .onNodes(counts)
  }

  var defaultValueDescription: String {
    switch self {
    case .each(let number): "\(number)"
    case .onNodes(let counts):
      counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }
  }

  /// All of the readers, on one node where it is so many on each; more than can be where that is no number.
  var total: Int {
    switch self {
    case .each(let number): number
    case .onNodes(let counts):
      counts.values.reduce(0) { $0.addingReportingOverflow($1).overflow ? .max : $0 + $1 }
    }
  }
}

/// `--numa`
enum NUMAOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case off

  var value: PreDump.Configuration.NUMA {
    switch self {
    case .auto: .automatic
    case .off: .off
    }
  }
}
