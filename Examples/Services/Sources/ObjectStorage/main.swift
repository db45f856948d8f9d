// Copies a process into an S3-compatible bucket while it runs, round by round, in a fixed budget of memory; and makes images of
// what is there, which CRIU takes as a parent.
//
//   ObjectStorage put PID --bucket NAME --prefix NAME [--endpoint URL] [--budget MiB] [--rounds N] [--stay-stopped]
//   ObjectStorage get DIRECTORY --bucket NAME --prefix NAME [--endpoint URL] [--budget MiB]
//
// The key comes from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION. The last round of several stops the process, for
// what is left; --stay-stopped leaves it so. --tries and --seconds bound each request.
import Bucket
import Foundation
import NIOCore
import Sluice

struct Usage: Error, CustomStringConvertible {
  let description: String
}

struct Arguments {
  let command: String
  let subject: String
  private var values: [String: String] = [:]
  private static let names = ["bucket", "prefix", "endpoint", "budget", "rounds", "tries", "seconds"]

  init(_ words: [String]) throws {
    guard words.count >= 2, ["put", "get"].contains(words[0]) else {
      throw Usage(description: "usage: ObjectStorage put PID|get DIRECTORY --bucket NAME --prefix NAME ...")
    }
    (command, subject) = (words[0], words[1])
    var rest = words.dropFirst(2)
    while let word = rest.popFirst() {
      let name = String(word.drop { $0 == "-" })
      if name == "stay-stopped" {
        values[name] = ""
      } else if Self.names.contains(name), let value = rest.popFirst() {
        values[name] = value
      } else {
        throw Usage(description: "\(word) is no option, or has no value")
      }
    }
  }

  func text(_ name: String, _ usual: String? = nil) throws -> String {
    guard let value = values[name] ?? usual else { throw Usage(description: "--\(name) is missing") }
    return value
  }

  func number(_ name: String, _ usual: Int) throws -> Int {
    guard let text = values[name] else { return usual }
    guard let number = Int(text), number > 0 else { throw Usage(description: "--\(name) takes a number") }
    return number
  }

  func has(_ name: String) -> Bool { values[name] != nil }
}

/// What processes have in memory and in swap, in bytes: what a first round may come to.
func expectedBytes(of pid: Int32) throws -> UInt64 {
  let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
  return status.split(separator: "\n").reduce(0) { sum, line in
    guard line.hasPrefix("VmRSS:") || line.hasPrefix("VmSwap:") else { return sum }
    return sum + (line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) } ?? 0) << 10
  }
}

func put(_ arguments: Arguments, _ bucket: Bucket, _ prefix: String) async throws {
  guard let pid = Int32(arguments.subject) else { throw Usage(description: "\(arguments.subject) is no pid") }
  let division = try Division(
    budget: try arguments.number("budget", 64) << 20, expecting: try expectedBytes(of: pid))
  var policy = RoundPolicy()
  policy.rounds = try arguments.number("rounds", 3)
  let runtime = SluiceRuntime(memoryBudget: division.ringBytes)
  let last: PreDumpRounds.LastRound = arguments.has("stay-stopped") ? .leavesStopped : .resumes
  try await withPreDumpRounds(
    .init(pid: pid),
    into: { BucketSink(bucket, prefix: prefix, round: $0, division) },
    policy: policy, lastRound: policy.rounds > 1 || last == .leavesStopped ? last : nil, in: runtime
  ) { rounds in
    for try await report in rounds {
      print(
        "round \(rounds.number): \(report.pagesWritten) pages, \(report.pagesSkippedParent) left to earlier rounds, "
          + "stopped for \(report.stopped), \(report.duration)")
    }
  }
  let peak = SluiceRuntime.peakMemoryBytes.map { "\($0 >> 20) MiB" } ?? "unknown"
  print("parts of \(division.partBytes >> 20) MiB, \(division.concurrency) at once; peak memory \(peak)")
}

func get(_ arguments: Arguments, _ bucket: Bucket, _ prefix: String) async throws {
  let source = try await BucketSource(bucket, prefix: prefix)
  var images = MakeImages(from: source, directory: arguments.subject)
  images.readers = 4
  // Of each plan there is a copy, and what is on its way.
  images.memoryBudget = max(4 << 20, try arguments.number("budget", 64) << 20 - images.readers * (4 << 20))
  images.trackedSince = source.rounds[0].trackedSince
  let report = try await images.run()
  let peak = SluiceRuntime.peakMemoryBytes.map { "\($0 >> 20) MiB" } ?? "unknown"
  print("\(report.pages) pages of \(source.rounds.count) rounds; peak memory \(peak)")
}

do {
  let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
  let environment = ProcessInfo.processInfo.environment
  guard let key = environment["AWS_ACCESS_KEY_ID"], let secret = environment["AWS_SECRET_ACCESS_KEY"] else {
    throw Usage(description: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
  }
  let region = environment["AWS_REGION"] ?? "us-east-1"
  let seconds = try arguments.number("seconds", 60)
  let client = Bucket.makeClient(connections: 32, readTimeLimit: .seconds(Int64(seconds)))
  let bucket = Bucket(
    endpoint: try arguments.text("endpoint", "https://s3.\(region).amazonaws.com"),
    name: try arguments.text("bucket"),
    signer: Signer(accessKey: key, secretKey: secret, region: region), client: client,
    tries: try arguments.number("tries", 8), timeLimit: .seconds(Int64(seconds)))
  let prefix = try arguments.text("prefix")
  do {
    if arguments.command == "put" {
      try await put(arguments, bucket, prefix)
    } else {
      try await get(arguments, bucket, prefix)
    }
  } catch {
    try? await Bucket.end(client)
    throw error
  }
  try await Bucket.end(client)
} catch {
  FileHandle.standardError.write(Data("ObjectStorage: \(error)\n".utf8))
  exit(1)
}
