/// What the writer must know of a task.
protocol OutputTask: Sendable {
  /// Its place among the tasks that are written.
  var index: Int { get }
  /// The name of its pagemap.
  var pagemapName: String { get }
  /// The number in the name of its pages file.
  var pagesID: UInt32 { get }
  /// Whether its images are given up.
  var hasFailed: Bool { get }
}
