import Bucket
import Testing

/// The examples that AWS has published of signatures in the Authorization header ("Examples: Signature Calculations in AWS
/// Signature Version 4" of the API reference of Amazon S3).
@Suite struct SignerTests {
  private static let signer = Signer(
    accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "us-east-1")
  private static let host = ("host", "examplebucket.s3.amazonaws.com")
  private static let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  /// 2013-05-24T00:00:00Z
  private static let time = 1_369_353_600

  private static func signature(
    _ method: String, _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [],
    payload: String = empty
  ) -> String? {
    let signed = signer.sign(
      method, path: path, query: query, headers: [host] + headers, payloadHash: payload, at: time)
    return signed.last.map { $0.1.split(separator: "=").last.map(String.init) ?? "" }
  }

  @Test func `a range of an object is read`() {
    #expect(
      Self.signature("GET", "/test.txt", headers: [("range", "bytes=0-9")])
        == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
  }

  @Test func `an object is written`() {
    #expect(
      Self.signature(
        "PUT", "/\(Signer.encode("test$file.text", isPath: true))",
        headers: [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
        payload: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
        == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
  }

  @Test func `a query has no value`() {
    #expect(
      Self.signature("GET", "/", query: [("lifecycle", "")])
        == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
  }

  @Test func `a query has values`() {
    #expect(
      Self.signature("GET", "/", query: [("prefix", "J"), ("max-keys", "2")])
        == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
  }

  @Test func `parts are as many as may be`() {
    #expect(ObjectWriter.partBytes(expecting: 0) == 8 << 20)
    #expect(ObjectWriter.partBytes(expecting: 1 << 30) == 8 << 20)
    for expected: UInt64 in [50 << 30, 1 << 40, 10 << 40] {
      let part = UInt64(ObjectWriter.partBytes(expecting: expected))
      #expect(part % (1 << 20) == 0 && part * UInt64(ObjectWriter.mostParts) >= 2 * expected)
    }
  }
}
