internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Finds an instruction that calls the kernel in the memory of a process: in its vdso, which the kernel itself maps
/// into every program.
enum SyscallInstruction {
  /// - Throws: `TargetError` with `notTrackable` when the process has none, as when it has unmapped its vdso.
  static func address(in process: TargetProcess) throws(TargetError) -> UInt64 {
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      guard vma.name == "[vdso]" else { continue }
      if let offset = offset(of: instruction, in: try bytes(of: vma, process)) {
        return vma.start + UInt64(offset)
      }
    }
    throw TargetError(
      .notTrackable, "process \(process.pid) has no vdso, where Sluice looks for a system call instruction")
  }

  private static func bytes(of vma: VMA, _ process: TargetProcess) throws(TargetError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(vma.byteCount))
    let descriptor = process.memory.descriptor
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress, $0.count, vma.start)
    }
    guard count >= 0 else {
      throw process.failure(of: "reading the vdso", errno: SystemErrno(returned: count))
    }
    return Array(bytes[..<count])
  }

  private static var instruction: [UInt8] {
    var instruction = [UInt8](repeating: 0, count: 4)
    let length = unsafe instruction.withUnsafeMutableBufferPointer {
      unsafe sluice_call_instruction($0.baseAddress)
    }
    return Array(instruction[..<Int(length)])
  }

  /// Where the instruction is. One of four bytes is of a processor all of whose instructions are, and which begins none
  /// in the middle of another (arm64): the process would be killed.
  static func offset(of instruction: [UInt8], in bytes: [UInt8]) -> Int? {
    let step = instruction.count == 4 ? 4 : 1
    return stride(from: 0, to: bytes.count, by: step).first { bytes[$0...].starts(with: instruction) }
  }
}
