import ArgumentParser
import Sluice

/// `--io`
enum IOOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case direct
  case buffered
  case cached
  /// For benchmarks: nothing is written, and no images are made.
  case discard

  static var allValueStrings: [String] { ["auto", "direct", "buffered", "cached"] }

  var value: PreDump.Configuration.IO {
    switch self {
    case .auto: .automatic
    case .direct: .direct
    case .buffered: .buffered
    case .cached: .cached
    case .discard: .discard
    }
  }
}

/// `--tracker`
enum TrackerOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case softDirty = "soft-dirty"
  case writeProtect = "write-protect"
  case both
  case content
  case none

  var value: PreDump.Configuration.Tracker {
    switch self {
    case .auto: .automatic
    case .softDirty: .softDirty
    case .writeProtect: .writeProtect
    case .both: .both
    case .content: .content
    case .none: .none
    }
  }
}

/// `--swapped`
enum SwappedOption: String, ExpressibleByArgument, CaseIterable {
  case read
  case skip

  var value: PreDump.Configuration.Swapped {
    switch self {
    case .read: .read
    case .skip: .skip
    }
  }
}

/// `--progress`
enum ProgressOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case json
  case none

  /// - Parameter descriptor: where JSON lines go.
  func style(writingJSONTo descriptor: Int32) -> ProgressDisplay.Style {
    switch self {
    case .auto: .forTerminal
    case .json: .json(descriptor)
    case .none: .none
    }
  }
}

/// The hidden option `--page-states`.
enum PageStatesOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case scan
  case pagemap

  var value: PreDump.Configuration.PageStates {
    switch self {
    case .auto: .automatic
    case .scan: .pagemapScan
    case .pagemap: .pagemap
    }
  }
}

/// The hidden option `--write-engine`.
enum WriteEngineOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case pwrite

  var value: PreDump.Configuration.WriteEngine {
    switch self {
    case .auto: .automatic
    case .pwrite: .threads
    }
  }
}

/// `--stop-readers`
enum StopReadersOption: ExpressibleByArgument, Hashable {
  /// As many as this program has processors.
  case auto
  case number(Int)

  init?(argument: String) {
    if argument == "auto" {
      self = .auto
    } else if let number = Int(argument) {
      self = .number(number)
    } else {
      return nil
    }
  }

  var defaultValueDescription: String {
    switch self {
    case .auto: "auto"
    case .number(let number): "\(number)"
    }
  }

  /// Nil for auto.
  var count: Int? {
    switch self {
    case .auto: nil
    case .number(let number): number
    }
  }
}
