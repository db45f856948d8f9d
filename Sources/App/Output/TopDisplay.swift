import Glibc
import Sluice
import Synchronization

/// Draws pictures on the terminal's other screen, and gives back the one that was there.
final class TopDisplay: Sendable {
  private struct State {
    var view: TopView
    var isOpen = false
  }

  private let state: Mutex<State>

  init(_ view: TopView) { state = Mutex(State(view: view)) }

  /// Changes to the other screen, without a cursor.
  func open(saying text: String) {
    state.withLock { state in
      state.isOpen = true
      _ = Terminal.raw("\u{1B}[?1049h\u{1B}[?25l" + Self.picture([text]), to: STDOUT_FILENO)
    }
  }

  /// - Returns: whether there is anybody to see it.
  func show(_ report: DirtyRate.Report) -> Bool {
    let size = Terminal.size(of: STDOUT_FILENO)
    return state.withLock { state in
      guard state.isOpen else { return false }
      let lines = state.view.lines(adding: report, width: size.columns, height: size.rows)
      return Terminal.raw(Self.picture(lines), to: STDOUT_FILENO)
    }
  }

  /// The terminal is as it was.
  func close() {
    state.withLock { state in
      guard state.isOpen else { return }
      state.isOpen = false
      _ = Terminal.raw("\u{1B}[?25h\u{1B}[?1049l", to: STDOUT_FILENO)
    }
  }

  /// Written over the last one, so that nothing flickers.
  private static func picture(_ lines: [String]) -> String {
    "\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J"
  }
}
