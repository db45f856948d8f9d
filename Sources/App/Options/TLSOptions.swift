import ArgumentParser
import Sluice

/// The options that encrypt the connection with a page server, as CRIU has them.
struct TLSOptions: ParsableArguments {
  @Flag(
    help:
      "Encrypt the connection to the page server. Each side needs a certificate, and checks the other's."
  )
  var tls = false

  @Option(
    help: ArgumentHelp(
      "The authorities that may have signed the other side's certificate.",
      discussion: "The default is those that the system trusts, and /etc/pki/CA/cacert.pem.",
      valueName: "file"),
    completion: .file())
  var tlsCacert: String?

  @Option(
    help: ArgumentHelp(
      "The list of revoked certificates.", discussion: "The default is /etc/pki/CA/cacrl.pem.",
      valueName: "file"),
    completion: .file())
  var tlsCacrl: String?

  @Option(
    help: ArgumentHelp(
      "The certificate of this side.", discussion: "The default is /etc/pki/criu/cert.pem.", valueName: "file"
    ),
    completion: .file())
  var tlsCert: String?

  @Option(
    help: ArgumentHelp(
      "The private key of that certificate.", discussion: "The default is /etc/pki/criu/private/key.pem.",
      valueName: "file"),
    completion: .file())
  var tlsKey: String?

  @Flag(help: "Accept a certificate for any name, not only for the other side's.")
  var tlsNoCnVerify = false

  func validate() throws {
    guard !tls else { return }
    let given = [
      ("--tls-cacert", tlsCacert != nil), ("--tls-cacrl", tlsCacrl != nil), ("--tls-cert", tlsCert != nil),
      ("--tls-key", tlsKey != nil), ("--tls-no-cn-verify", tlsNoCnVerify),
    ]
    if let option = given.first(where: \.1)?.0 { throw ValidationError("\(option) needs --tls") }
  }

  /// The files; nil where nothing is encrypted.
  var files: PageServerTLS? {
    guard tls else { return nil }
    var files = PageServerTLS()
    files.authorities = tlsCacert
    files.revoked = tlsCacrl
    files.certificate = tlsCert
    files.key = tlsKey
    files.verifiesName = !tlsNoCnVerify
    return files
  }
}
