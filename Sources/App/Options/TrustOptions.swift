import ArgumentParser

/// The option of all commands that follow the links of a chain.
struct TrustOptions: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Follow 'parent' links, and give back space in the files of parents, whoever they belong to.",
      discussion: """
        Without it a link is followed to directories that nobody else may write: of root, of the one who runs this, or of \
        the owner of the directory with the link, to nobody else's. Use it where all who may write there are trusted.
        """))
  var trustParent = false
}
