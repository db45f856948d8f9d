@testable import SluicePipeline

// What tests make of threads. That there are some is not theirs to try, but for ThreadLimitTests.

func makeExecutor(name: String, cpus: [UInt32]? = nil) -> ThreadExecutor {
  do throws(NoThread) {
    return try ThreadExecutor(name: name, cpus: cpus)
  } catch {
    preconditionFailure("\(error)")
  }
}

func makeThreadEngine(name: String, workers: Int, cpus: [UInt32]? = nil) -> ThreadWriteEngine {
  do throws(NoThread) {
    return try ThreadWriteEngine(name: name, workers: workers, cpus: cpus)
  } catch {
    preconditionFailure("\(error)")
  }
}

extension NamedThread {
  func begin(_ body: @escaping @Sendable () -> Void) {
    do throws(NoThread) { try start(body) } catch { preconditionFailure("\(error)") }
  }
}
