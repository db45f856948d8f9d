internal import CSluiceImages

/// Makes of the registers in core-<tid>.img what the kernel gives of them (ptrace(2), PTRACE_GETREGSET).
enum CheckpointRegisters {
  /// The types of notes that are not named by `CoreProcess.RegisterSet` (include/uapi/linux/elf.h).
  private static let extendedState: UInt32 = 0x202
  private static let armThreadPointer: UInt32 = 0x401

  struct Registers {
    var general: [UInt8]
    var sets: [CoreProcess.RegisterSet]
  }

  /// struct user_regs_struct, struct user_i387_struct, and the area that XSAVE stores.
  ///
  /// - Returns: nil where the general registers are missing.
  static func x86(_ thread: Sluice__X86Thread) -> Registers? {
    guard let pointer = unsafe thread.registers else { return nil }
    let from = unsafe pointer.pointee
    let words = unsafe [
      from.r15, from.r14, from.r13, from.r12, from.bp, from.bx, from.r11, from.r10, from.r9, from.r8, from.ax,
      from.cx,
      from.dx, from.si, from.di, from.orig_ax, from.ip, from.cs, from.flags, from.sp, from.ss, from.fs_base,
      from.gs_base,
      from.ds, from.es, from.fs, from.gs,
    ]
    var registers = Registers(general: bytes(words), sets: [])
    guard let floating = unsafe thread.floating_point else { return registers }
    let legacy = unsafe legacyArea(floating.pointee)
    registers.sets.append(CoreProcess.RegisterSet(type: CoreProcess.RegisterSet.floatingPoint, bytes: legacy))
    if let extended = unsafe floating.pointee.extended {
      registers.sets.append(
        CoreProcess.RegisterSet(
          type: extendedState, bytes: unsafe extendedArea(extended.pointee, behind: legacy)))
    }
    return registers
  }

  /// Whether the thread runs a program of 32 bits.
  static func isNarrow(_ thread: Sluice__X86Thread) -> Bool {
    guard let registers = unsafe thread.registers else { return false }
    return unsafe registers.pointee.mode == 2
  }

  /// What FXSAVE stores: 512 bytes.
  private static func legacyArea(_ from: Sluice__X86FloatingPoint) -> [UInt8] {
    var area: [UInt8] = []
    for word in unsafe [from.control, from.status, from.tags, from.opcode] {
      area.append(number: UInt16(truncatingIfNeeded: word))
    }
    area.append(number: unsafe from.instruction)
    area.append(number: unsafe from.operand)
    area.append(number: unsafe from.vector_control)
    area.append(number: unsafe from.vector_control_mask)
    area += unsafe bytes(from.stack, from.n_stack, most: 128)
    area += unsafe bytes(from.vectors, from.n_vectors, most: 256)
    area.append(zeros: 512 - area.count)
    return area
  }

  /// A part of what XSAVE stores: its bits in XCR0, where it is, and how long.
  private struct Part {
    let bits: UInt64
    let offset: Int
    let bytes: [UInt8]
    var isEmpty: Bool { bytes.isEmpty }
  }

  /// What XSAVE stores, where processors of Intel's store it: debuggers know the places by the length of the whole, and from
  /// the word in which the kernel says which parts there are (include/uapi/asm/sigcontext.h, `sw_reserved`).
  private static func extendedArea(_ from: Sluice__X86Extended, behind legacy: [UInt8]) -> [UInt8] {
    let parts = unsafe [
      Part(bits: 1 << 2, offset: 576, bytes: bytes(from.ymm_high, from.n_ymm_high, most: 256)),
      Part(bits: 1 << 3, offset: 960, bytes: bytes(from.bound_registers, from.n_bound_registers, most: 64)),
      Part(
        bits: 1 << 4, offset: 1024,
        bytes: bytes(from.bound_configuration, from.n_bound_configuration, most: 64)),
      // These three are there together, or not at all.
      Part(bits: 7 << 5, offset: 1088, bytes: bytes(from.masks, from.n_masks, most: 64)),
      Part(bits: 7 << 5, offset: 1152, bytes: bytes(from.zmm_high, from.n_zmm_high, most: 512)),
      Part(bits: 7 << 5, offset: 1664, bytes: bytes(from.zmm_16_to_31, from.n_zmm_16_to_31, most: 1024)),
      Part(bits: 1 << 9, offset: 2688, bytes: bytes(from.protection_keys, from.n_protection_keys, most: 8)),
    ]
    // The first two, of FXSAVE's area, are always there.
    let there = parts.reduce(3 as UInt64) { $1.isEmpty ? $0 : $0 | $1.bits }
    var area = legacy
    area.append(
      zeros: (parts.filter { !$0.isEmpty }.map { $0.offset + $0.bytes.count }.max() ?? 576) - legacy.count)
    put(there, at: 464, in: &area)
    put(unsafe from.used & there, at: 512, in: &area)
    for part in parts where !part.isEmpty {
      area.replaceSubrange(part.offset..<part.offset + part.bytes.count, with: part.bytes)
    }
    return area
  }

  /// struct user_pt_regs, struct user_fpsimd_state, and the thread pointer.
  ///
  /// - Returns: nil where the general registers are missing.
  static func arm(_ thread: Sluice__ArmThread) -> Registers? {
    guard let pointer = unsafe thread.registers else { return nil }
    let from = unsafe pointer.pointee
    var general = unsafe bytes(from.general, from.n_general, most: 31 * 8)
    general.append(zeros: 31 * 8 - general.count)
    for word in unsafe [from.sp, from.pc, from.state] { general.append(number: word) }
    var registers = Registers(general: general, sets: [])
    if let floating = unsafe thread.floating_point {
      var set = unsafe bytes(floating.pointee.vectors, floating.pointee.n_vectors, most: 512)
      set.append(zeros: 512 - set.count)
      set.append(number: unsafe floating.pointee.status)
      set.append(number: unsafe floating.pointee.control)
      set.append(zeros: 8)
      registers.sets.append(CoreProcess.RegisterSet(type: CoreProcess.RegisterSet.floatingPoint, bytes: set))
    }
    var pointerSet: [UInt8] = []
    pointerSet.append(number: unsafe thread.tls)
    registers.sets.append(CoreProcess.RegisterSet(type: armThreadPointer, bytes: pointerSet))
    return registers
  }

  private static func bytes(_ words: [UInt64]) -> [UInt8] {
    var bytes: [UInt8] = []
    for word in words { bytes.append(number: word) }
    return bytes
  }

  /// The bytes of an array of a message, as many as there is a place for; filled up with zeros unless there are none.
  private static func bytes<Number: FixedWidthInteger>(
    _ words: UnsafeMutablePointer<Number>?, _ count: Int, most: Int
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    let fitting = min(count, most / (Number.bitWidth / 8))
    guard let words = unsafe words, fitting > 0 else { return bytes }
    for index in 0..<fitting { bytes.append(number: unsafe words[index]) }
    bytes.append(zeros: most - bytes.count)
    return bytes
  }

  private static func put(_ word: UInt64, at offset: Int, in area: inout [UInt8]) {
    var bytes: [UInt8] = []
    bytes.append(number: word)
    area.replaceSubrange(offset..<offset + 8, with: bytes)
  }
}
