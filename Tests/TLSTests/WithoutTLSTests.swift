import SluiceTLS
import SluiceTestSupport
import Testing

/// `swift test --disable-default-traits` runs it.
@Suite(.needsNoTLS) struct WithoutTLSTests {
  @Test func `a build without TLS says so`() throws {
    do throws(TLSError) {
      _ = try TLSCredentials(TLSConfiguration())
      Issue.record("there are credentials")
    } catch {
      #expect(error.code == .unavailable)
      #expect("\(error)" == "this build of sluice has no TLS")
    }
  }
}
