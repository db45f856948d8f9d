/// Which images a report is about, as JSON (in snake_case).
struct ImagesPaths: Encodable {
  /// The images directory, as it was named.
  let imagesDir: String
  /// Where other images were made of them; nil where none were.
  var output: String?
}
