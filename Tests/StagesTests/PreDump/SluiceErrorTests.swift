import CSluiceLinux
import Testing

@testable import Sluice
@testable import SluiceImages
@testable import SluiceTarget

extension StagesTests {
  @Suite("Pre-dump error")
  struct SluiceErrorTests {
    @Test(arguments: [
      (TargetError.Code.noSuchProcess, SluiceError.Code.notFound),
      (.invalidPid, .invalidArgument),
      (.gone, .targetGone),
      (.notPermitted, .notPermitted),
      (.unreadable, .io),
      (.systemCall, .system),
    ])
    func keepsTheKindOfATargetError(from: TargetError.Code, to: SluiceError.Code) {
      let error = SluiceError(TargetError(from, "reading it", errno: .init(code: 5)))
      #expect(error.code == to)
      #expect(error.description == "reading it: EIO (Input/output error)")
      #expect(error.errno?.code == 5)
    }

    @Test(arguments: [
      (ImagesError.Code.noSuchDirectory, SluiceError.Code.notFound),
      (.cannotCreate, .cannotCreate),
      (.io, .io),
      (.malformed, .malformedImages),
    ])
    func keepsTheKindOfAnImagesError(from: ImagesError.Code, to: SluiceError.Code) {
      let error = SluiceError(ImagesError(from, "writing it"))
      #expect(error.code == to)
      #expect(error.description == "writing it")
      #expect(error.errno == nil)
    }
  }
}
