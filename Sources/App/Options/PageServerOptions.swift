import ArgumentParser
import Sluice

/// The options of a pre-dump that sends its pages to a page server.
struct PageServerOptions: ParsableArguments {
  /// How many bytes the server's headers have.
  enum Layout: String, ExpressibleByArgument, CaseIterable {
    case auto
    case bytes24 = "24"
    case bytes32 = "32"

    var value: PageServerTarget.Layout {
      switch self {
      case .auto: .automatic
      case .bytes24: .bytes24
      case .bytes32: .bytes32
      }
    }
  }

  @Flag(
    help: ArgumentHelp(
      "Send the pages to a page server: CRIU's or 'sluice page-server'.",
      discussion: """
        The images directory then holds the list of pages, but not their contents: later rounds can build on it, but only \
        the server's directory can be restored from.
        """))
  var pageServer = false

  @Option(help: ArgumentHelp("The page server's name or address.", valueName: "host"))
  var address: String?

  @Option(help: ArgumentHelp("The page server's port.", valueName: "port"))
  var port: UInt16?

  @Option(
    help: ArgumentHelp(
      "A socket that is connected to the page server already, instead of an address.",
      valueName: "fd"))
  var psSocket: Int32?

  @Option(
    help: ArgumentHelp(
      "The size of the page server's headers in bytes: 24 (up to CRIU 4.1.1), 32 (from 4.2 on), or auto to find out.",
      valueName: "bytes"))
  var pageServerLayout = Layout.auto

  @OptionGroup
  var tlsOptions: TLSOptions

  @Flag(help: "With --page-server, also write the pages into the images directory.")
  var keepPages = false

  func validate() throws {
    guard pageServer else {
      let given = [
        ("--address", address != nil), ("--port", port != nil), ("--ps-socket", psSocket != nil),
        ("--keep-pages", keepPages), ("--page-server-layout", pageServerLayout != .auto),
        ("--tls", tlsOptions.tls),
      ]
      if let option = given.first(where: \.1)?.0 {
        throw ValidationError("\(option) needs --page-server")
      }
      return
    }
    guard !tlsOptions.tls || pageServerLayout != .auto else {
      throw ValidationError(
        "with --tls, --page-server-layout must be 24 (servers up to CRIU 4.1.1) or 32 (from 4.2 on; sluice accepts both): Sluice cannot find it out over TLS"
      )
    }
    if let psSocket {
      guard psSocket >= 0 else { throw ValidationError("--ps-socket must be a descriptor, from 0 up") }
      guard address == nil, port == nil else {
        throw ValidationError("--ps-socket is connected already: leave out --address and --port")
      }
      return
    }
    guard let port, port > 0 else {
      throw ValidationError("--page-server needs the server's port: --port, from 1 to 65535")
    }
    guard address?.isEmpty == false else {
      throw ValidationError("--page-server needs the server's name or address: --address")
    }
  }

  /// The server; nil where the pages go into the images directory.
  var target: PageServerTarget? {
    guard pageServer else { return nil }
    var target =
      if let psSocket {
        PageServerTarget(.connection(descriptor: psSocket))
      } else {
        PageServerTarget(.address(host: address ?? "", port: port ?? 0))
      }
    target.layout = pageServerLayout.value
    target.keepsPages = keepPages
    target.tls = tlsOptions.files
    return target
  }
}
