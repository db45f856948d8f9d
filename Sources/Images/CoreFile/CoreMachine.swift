/// A kind of processor that cores are made for, with the layouts that differ from one to the other.
///
/// A core has the layouts of the machine that it is made on, and that of the process is the same (`CoreProcess`).
public enum CoreMachine: Sendable, Hashable {
  /// x86-64.
  case x86
  /// 64-bit ARM.
  case arm

  /// The one that this program was built for.
  public static var current: CoreMachine {
    #if arch(arm64)
      .arm
    #else
      .x86
    #endif
  }

  /// As the ELF header has it (EM_X86_64 and EM_AARCH64 in elf(5)).
  var elfNumber: UInt16 {
    switch self {
    case .x86: 62
    case .arm: 183
    }
  }

  /// The bytes of the general registers: struct user_regs_struct, struct user_pt_regs.
  public var registerBytes: Int {
    switch self {
    case .x86: 27 * 8
    case .arm: 34 * 8
    }
  }
}
