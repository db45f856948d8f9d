import Foundation
import SluiceTestSupport
import Testing

/// A program in the place of the real CRIU, which the kernels that tests run on may not let start: it notes how it was
/// called and what it was asked, and says that all was done.
struct StandInCriu {
  let path: String
  private let notes: String

  /// What it noted of one call.
  struct Call: Decodable {
    let arguments: [String]
    let pid: Int32
    /// At the other end of its socket.
    let peer: Int32?
    let packet: String?
    /// The masks of its signals, by their names in /proc/PID/status.
    let signals: [String: String]
    let descriptors: Int
  }

  private static let text = #"""
    #!/usr/bin/python3
    import json, os, resource, socket, struct, sys
    notes = {"arguments": sys.argv[1:], "pid": os.getpid(),
             "signals": dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines()
                             if line.startswith("Sig") and "Q" not in line),
             "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
    def note():
        with open(sys.argv[0] + ".notes", "a") as file:
            file.write(json.dumps(notes) + "\n")
    if sys.argv[1] == "swrk":
        engine = socket.socket(fileno=int(sys.argv[2]))
        notes["peer"] = struct.unpack("3i", engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        packet = engine.recv(65536)
        notes["packet"] = packet.hex()
        note()
        if not packet:
            sys.exit(1)
        # The type, success; lazy pages are there; version 3.17.
        engine.send(packet[:2] + bytes.fromhex("1001" "42021001" "520408031011"))
    else:
        note()
        print("Version: 3.17.1")
        sys.exit(7)
    """#

  static func with<Result>(_ body: (StandInCriu) async throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { directory in
      let criu = StandInCriu(path: "\(directory)/criu", notes: "\(directory)/criu.notes")
      try text.write(toFile: "\(directory)/text", atomically: true, encoding: .utf8)
      // By another process: a program that a test starts meanwhile would inherit the descriptor it is written by, and
      // while that is open nobody can execute it (ETXTBSY).
      let copy = try Command(installed: "install", ["-m", "755", "\(directory)/text", criu.path])
      try #require(try await copy.run().end == .exited(0))
      return try await body(criu)
    }
  }

  /// Its calls so far.
  func calls() throws -> [Call] {
    guard let text = try? String(contentsOfFile: notes, encoding: .utf8) else { return [] }
    return try text.split(separator: "\n").map { try JSONDecoder().decode(Call.self, from: Data($0.utf8)) }
  }
}
