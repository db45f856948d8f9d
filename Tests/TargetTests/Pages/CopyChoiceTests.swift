import Testing

@testable import SluiceTarget

@Suite("Choice of what is copied")
struct CopyChoiceTests {
  /// A member: its memory is a number here, its name its pid in its namespace.
  private struct Made {
    var pid: Int32
    var memory = 0
    var name: Int32?
    var start: UInt64 = 0
    var isCopied = false
    var isKnown = false
  }

  private func choice(_ made: [Made], isTold: Bool = true) -> CopyChoice {
    CopyChoice(
      of: made.map {
        CopyChoice.Member(
          pid: $0.pid, namespacePid: $0.name ?? $0.pid, startTime: $0.start, stackStart: UInt64($0.memory),
          isCopied: $0.isCopied, isKnown: $0.isKnown)
      }
    ) { one, other in
      let memories = [one, other].map { pid in made.first { $0.pid == pid }?.memory ?? -1 }
      if !isTold { return .untold }
      return memories[0] == memories[1] ? .same : memories[0] < memories[1] ? .before : .after
    }
  }

  @Test func copiesOneOfAllThatShareAMemoryAndTheFirstProcessInAnyCase() {
    let choice = choice([
      Made(pid: 10, memory: 1, start: 9), Made(pid: 11, memory: 1, start: 1, isCopied: true, isKnown: true),
      Made(pid: 12, memory: 2, start: 5), Made(pid: 13, memory: 2, start: 4),
    ])
    #expect(choice.verdicts == [.isCopied, .sharesMemory(of: 10), .sharesMemory(of: 13), .isCopied])
    #expect(choice.unclear.isEmpty)
  }

  @Test func copiesWhatWasCopiedBeforeRatherThanWhatIsOlderOrNearer() {
    let choice = choice([
      Made(pid: 1, memory: 1), Made(pid: 20, memory: 2, name: 5, start: 1),
      Made(pid: 21, memory: 3, name: 5, start: 9, isKnown: true),
      Made(pid: 22, memory: 4, name: 6, start: 1, isKnown: true),
      Made(pid: 23, memory: 5, name: 6, start: 9, isCopied: true),
    ])
    #expect(
      choice.verdicts == [.isCopied, .sharesName(of: 21), .isCopied, .sharesName(of: 23), .isCopied])
  }

  @Test func givesANameToTheOneThatWasThereFirst() {
    let choice = choice([
      Made(pid: 1, memory: 1, start: 1), Made(pid: 30, memory: 2, name: 7, start: 8),
      Made(pid: 31, memory: 3, name: 7, start: 5), Made(pid: 32, memory: 4, name: 1, start: 9),
    ])
    #expect(choice.verdicts == [.isCopied, .sharesName(of: 31), .isCopied, .sharesName(of: 1)])
  }

  /// One that is left out for its memory has no images, and so needs no name.
  @Test func givesNoNameToOneThatSharesAMemory() {
    let choice = choice([
      Made(pid: 1, memory: 1, start: 1), Made(pid: 2, memory: 1, name: 9, start: 2),
      Made(pid: 3, memory: 3, name: 9, start: 3),
    ])
    #expect(choice.verdicts == [.isCopied, .sharesMemory(of: 1), .isCopied])
  }

  /// Where the kernel does not tell, those may share a memory that have begun with the same program.
  @Test func copiesAllWhereTheKernelDoesNotTellAndSaysOfWhichItIsUnclear() {
    let choice = choice(
      [
        Made(pid: 1, memory: 1, start: 1), Made(pid: 2, memory: 1, start: 2),
        Made(pid: 3, memory: 3, start: 3),
      ], isTold: false)
    #expect(choice.verdicts == [.isCopied, .isCopied, .isCopied])
    #expect(choice.unclear == [2: 1])
  }
}
