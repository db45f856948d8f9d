/// Arguments as getopt_long(3) takes them for CRIU: options may come after what is none, their values attached or not,
/// and letters joined.
struct CriuArguments {
  /// An option that was given, in the order of the arguments.
  struct Given {
    let option: CriuOption
    let value: String?
    /// Whether it was taken back, by `--no-NAME`.
    var isTakenBack = false
  }

  /// What cannot be understood.
  struct Problem: Error {
    let message: String
  }

  private(set) var given: [Given] = []
  /// What is no option of CRIU's, as it was given.
  private(set) var others: [String] = []
  private let abbreviates: Bool

  /// - Parameter abbreviates: whether the beginning of a long name will do.
  init(_ arguments: [String], abbreviates: Bool) throws(Problem) {
    self.abbreviates = abbreviates
    var rest = arguments[...]
    while let first = rest.popFirst() {
      if first == "--" {
        others += [first] + rest
        return
      }
      if first.hasPrefix("--") {
        try takeLong(first, &rest)
      } else if first.hasPrefix("-"), first.count > 1 {
        try takeLetters(first, &rest)
      } else {
        others.append(first)
      }
    }
  }

  private mutating func takeLong(_ argument: String, _ rest: inout ArraySlice<String>) throws(Problem) {
    let sign = argument.firstIndex(of: "=")
    let name = String(argument[..<(sign ?? argument.endIndex)].dropFirst(2))
    let attached = sign.map { String(argument[argument.index(after: $0)...]) }
    guard let (option, isTakenBack) = CriuOption.named(name, abbreviated: abbreviates) else {
      others.append(argument)
      return
    }
    if isTakenBack || option.value == .none {
      guard attached == nil else { throw Problem(message: "--\(name) takes no value") }
      given.append(Given(option: option, value: nil, isTakenBack: isTakenBack))
    } else {
      try add(option, attached, &rest, as: "--\(name)")
    }
  }

  private mutating func takeLetters(_ argument: String, _ rest: inout ArraySlice<String>) throws(Problem) {
    var letters = argument.dropFirst()
    while let letter = letters.popFirst() {
      guard let option = CriuOption.letter(letter) else {
        others.append("-\(letter)\(letters)")
        return
      }
      if option.value == .none {
        given.append(Given(option: option, value: nil))
      } else {
        return try add(option, letters.isEmpty ? nil : String(letters), &rest, as: "-\(letter)")
      }
    }
  }

  private mutating func add(
    _ option: CriuOption, _ attached: String?, _ rest: inout ArraySlice<String>, as name: String
  ) throws(Problem) {
    if option.value == .optional || attached != nil {
      given.append(Given(option: option, value: attached))
    } else {
      guard let next = rest.popFirst() else { throw Problem(message: "\(name) takes a value") }
      given.append(Given(option: option, value: next))
    }
  }
}
