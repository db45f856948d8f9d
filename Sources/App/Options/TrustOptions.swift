import ArgumentParser

/// The option of all commands that follow the links of a chain.
struct TrustOptions: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Follow 'parent' links, and free space in the files of parents, whoever they belong to.",
      discussion: """
        Without this option, a link is followed only to a directory that nobody else may write, and that belongs to root, to \
        you, or to the owner of the directory with the link. Use it if you trust everybody who may write there.
        """))
  var trustParent = false
}
