import CSluiceLinux
import Glibc
import SluicePipeline
import SluiceTestSupport

/// Makes system calls of this process fail, come short or take their time, and keeps count of them.
///
/// One plan at a time, for the whole process: so runs with faults have a process to themselves.
enum Faults {
  /// A call that failed because it was told to.
  struct Strike: Hashable, Sendable, CustomStringConvertible {
    let site: Site
    /// The number of the call at this site, from 0.
    let call: Int
    let errno: Int32

    var description: String {
      "\(site) call \(call): \(unsafe String(cString: SystemErrno(code: errno).cName))"
    }
  }

  /// What happened since `start`.
  struct Record: Sendable {
    var calls = [Int](repeating: 0, count: Site.allCases.count)
    var strikes: [Strike] = []
    /// The sites of all calls, in the order of the calls.
    var order: [Site] = []
    /// The place in `order` of the first call after the interruption had come to its end; other threads go on
    /// meanwhile.
    var interrupted: Int?
  }

  private static let state = Locked(State())

  private struct State: Sendable {
    var plan = FaultPlan.none
    var interruption: Interruption?
    var record = Record()
    var mappedBuffers = 0

    mutating func note(_ fault: Fault, at site: Site, call: Int) {
      if case .error(let errno) = fault {
        record.strikes.append(Strike(site: site, call: call, errno: errno))
        return
      }
      switch site {
      case .mapBuffers: mappedBuffers += 1
      case .unmapBuffers: mappedBuffers -= 1
      default: break
      }
    }
  }

  /// From now on calls go by the plan, and the interruption comes when its time has come.
  static func start(_ plan: FaultPlan, _ interruption: Interruption? = nil) {
    state.withLock { state in
      state.plan = plan
      state.interruption = interruption
      state.record = Record()
    }
    unsafe sluice_set_fault_handler { site, count in unsafe Faults.decide(site, count) }
  }

  /// From now on calls are only counted.
  static func stop() -> Record {
    state.withLock { state in
      state.plan = .none
      state.interruption = nil
      return state.record
    }
  }

  /// Rings whose memory has not been given back. One that has lost a buffer never gives it back, for each
  /// buffer keeps its ring alive.
  static var mappedBuffers: Int { state.withLock { $0.mappedBuffers } }

  private static func decide(_ number: sluice_fault_site, _ count: UnsafeMutablePointer<Int>?) -> Int32 {
    guard let site = Site(rawValue: number.rawValue) else {
      preconditionFailure("site \(number) has no name")
    }
    let asked = unsafe count?.pointee
    let (fault, interruption) = state.withLock { state in
      let call = state.record.calls[Int(site.rawValue)]
      let interruption =
        state.interruption?.isDue(at: site, call: call, after: state.record) == true
        ? state.interruption.take() : nil
      state.record.note(site)
      let fault = state.plan.fault(at: site, call: call, count: asked)
      state.note(fault, at: site, call: call)
      return (fault, interruption)
    }
    if let interruption {
      interruption.action()
      state.withLock { $0.record.interrupted = $0.record.order.count }
    }
    switch fault {
    case .none: return 0
    case .error(let errno): return errno
    case .short(let bytes):
      unsafe count?.pointee = bytes
      return 0
    case .delay(let microseconds):
      usleep(microseconds)
      return 0
    }
  }
}

extension Faults.Record {
  /// Whether a run may go on and succeed although a call has failed.
  func hasAnotherWay(than strike: Faults.Strike) -> Bool {
    // The writes that are in flight fail with the ring. Where there are none, nothing is lost.
    strike.site == .ringEnter ? writesInFlight(at: strike) == 0 : strike.site.hasAnotherWay
  }

  /// How many writes of an io_uring had begun and not completed when a call was made.
  private func writesInFlight(at strike: Faults.Strike) -> Int {
    var (inFlight, call) = (0, 0)
    for site in order {
      if site == strike.site {
        if call == strike.call { break }
        call += 1
      }
      switch site {
      case .ringWrite: inFlight += 1
      case .ringCompletion: inFlight -= 1
      default: break
      }
    }
    return inFlight
  }

  fileprivate mutating func note(_ site: Faults.Site) {
    calls[Int(site.rawValue)] += 1
    order.append(site)
  }
}

/// Something that is done just before a call, on the thread that makes it, once.
struct Interruption: Sendable {
  let site: Faults.Site
  /// The number of the call at this site, from 0; nil for the first that comes after one at `earlier`.
  var call: Int?
  var earlier: Faults.Site?
  let action: @Sendable () -> Void

  fileprivate func isDue(at site: Faults.Site, call: Int, after record: Faults.Record) -> Bool {
    guard site == self.site else { return false }
    if let wanted = self.call { return call == wanted }
    return earlier.map { record.calls[Int($0.rawValue)] > 0 } ?? true
  }
}

/// What becomes of one call.
enum Fault: Hashable, Sendable {
  case none
  /// It does not happen, and gives this error.
  case error(Int32)
  /// It is asked for no more than so many bytes.
  case short(Int)
  /// It happens after so many microseconds.
  case delay(UInt32)
}

/// Which calls get which faults.
enum FaultPlan: Sendable {
  case none
  /// Exactly this call fails.
  case one(Faults.Strike)
  /// This call fails, and so do all at its site that come after.
  case from(Faults.Strike)
  /// All calls at this site take so many microseconds more at least.
  case delay(Faults.Site, microseconds: UInt32)
  case random(RandomFaults)

  func fault(at site: Faults.Site, call: Int, count: Int?) -> Fault {
    switch self {
    case .none: .none
    case .one(let strike): strike.site == site && strike.call == call ? .error(strike.errno) : .none
    case .from(let strike): strike.site == site && strike.call <= call ? .error(strike.errno) : .none
    case .delay(let delayed, let microseconds): site == delayed ? .delay(microseconds) : .none
    case .random(let random): random.fault(at: site, call: call, count: count)
    }
  }
}

/// Faults by chance. What becomes of a call depends on the seed, the site and the call's number there alone,
/// and not on what other threads do: so a run can be had again from its seed, as far as threads allow.
struct RandomFaults: Sendable {
  var seed: UInt64
  /// Of so many calls one fails for good; 0 for none.
  var errors: UInt64
  /// Of so many calls one is interrupted, comes short or is to be tried again.
  var passing: UInt64
  /// Of so many calls one takes its time.
  var delays: UInt64

  func fault(at site: Faults.Site, call: Int, count: Int?) -> Fault {
    var random = SplitMix(seed: seed ^ UInt64(site.rawValue) << 48 ^ UInt64(call) << 16)
    if isTurn(&random, oneIn: errors), let errno = site.lastingErrors.randomElement(using: &random) {
      return .error(errno)
    }
    if isTurn(&random, oneIn: passing) {
      if Bool.random(using: &random), let errno = site.passingErrors.randomElement(using: &random) {
        return .error(errno)
      }
      if let count, let short = site.shortCount(of: count, using: &random) { return .short(short) }
    }
    return isTurn(&random, oneIn: delays) ? .delay(UInt32.random(in: 1...2000, using: &random)) : .none
  }

  private func isTurn(_ random: inout SplitMix, oneIn share: UInt64) -> Bool {
    share > 0 && UInt64.random(in: 0..<share, using: &random) == 0
  }
}
