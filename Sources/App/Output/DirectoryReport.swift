/// A report of the library's as JSON (in snake_case), and which images it is about.
struct DirectoryReport<Report: Encodable>: Encodable {
  let imagesDir: String
  let report: Report

  private enum CodingKeys: CodingKey {
    case imagesDir
  }

  func encode(to encoder: any Encoder) throws {
    try report.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(imagesDir, forKey: .imagesDir)
  }
}
