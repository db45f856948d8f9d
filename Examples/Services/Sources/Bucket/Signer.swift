import Crypto
import Glibc

/// Signs requests as AWS has it (Signature Version 4), which all S3-compatible servers know.
public struct Signer: Sendable {
  /// The name of the key.
  public let accessKey: String
  let secretKey: String
  /// Where the bucket is; "us-east-1" for servers that have none.
  public let region: String
  let service = "s3"

  /// Signs with a key.
  public init(accessKey: String, secretKey: String, region: String) {
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.region = region
  }

  /// The headers of a request with those that sign it.
  ///
  /// - Parameters:
  ///   - path: as the server gets it, encoded.
  ///   - query: names and values, not encoded.
  ///   - headers: those to be sent and signed, `host` among them.
  ///   - payloadHash: the SHA-256 of the body, in hexadecimal digits.
  ///   - time: seconds since 1970.
  public func sign(
    _ method: String, path: String, query: [(String, String)], headers: [(String, String)],
    payloadHash: String, at time: Int
  ) -> [(String, String)] {
    let moment = Self.text(of: time)
    let day = String(moment.prefix(8))
    var signed = headers.map { ($0.0.lowercased(), $0.1) }
    signed += [("x-amz-content-sha256", payloadHash), ("x-amz-date", moment)]
    signed.sort { $0.0 < $1.0 }
    let names = signed.map(\.0).joined(separator: ";")
    let request =
      [method, path, Self.encode(query)]
      .joined(separator: "\n") + "\n" + signed.map { "\($0.0):\($0.1)\n" }.joined()
      + "\n\(names)\n\(payloadHash)"
    let scope = "\(day)/\(region)/\(service)/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(moment)\n\(scope)\n\(Self.digits(SHA256.hash(data: Array(request.utf8))))"
    var key = SymmetricKey(data: Array("AWS4\(secretKey)".utf8))
    for part in [day, region, service, "aws4_request"] {
      key = SymmetricKey(data: Self.code(part, by: key))
    }
    let signature = Self.digits(Self.code(text, by: key))
    let credential = "Credential=\(accessKey)/\(scope)"
    return signed + [
      ("authorization", "AWS4-HMAC-SHA256 \(credential),SignedHeaders=\(names),Signature=\(signature)")
    ]
  }

  private static func code(_ text: String, by key: SymmetricKey) -> HMAC<SHA256>.MAC {
    HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
  }

  /// A query as it is signed and sent: sorted, and encoded.
  public static func encode(_ query: [(String, String)]) -> String {
    query.map { (encode($0.0), encode($0.1)) }.sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }
      .joined(separator: "&")
  }

  /// Encodes all but unreserved characters; slashes, too, unless they part a path.
  public static func encode(_ text: String, isPath: Bool = false) -> String {
    var encoded = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        encoded.append(Character(UnicodeScalar(byte)))
      case UInt8(ascii: "/") where isPath: encoded.append("/")
      default: encoded += "%" + digits([byte]).uppercased()
      }
    }
    return encoded
  }

  /// Bytes in hexadecimal digits.
  public static func digits(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private static func text(of time: Int) -> String {
    var (seconds, parts) = (time_t(time), tm())
    gmtime_r(&seconds, &parts)
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let day = "\(parts.tm_year + 1900)\(padded(parts.tm_mon + 1))\(padded(parts.tm_mday))"
    return "\(day)T\(padded(parts.tm_hour))\(padded(parts.tm_min))\(padded(parts.tm_sec))Z"
  }
}
