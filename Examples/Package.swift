// swift-tools-version: 6.2
import PackageDescription

/// Programs that embed Sluice, as anybody would: by its public API alone. `make test` builds and runs them.
let package = Package(
  name: "sluice-examples",
  dependencies: [.package(name: "sluice", path: "..")],
  targets: [
    .executableTarget(name: "HashSink", dependencies: [.product(name: "Sluice", package: "sluice")]),
    .executableTarget(name: "Watch", dependencies: [.product(name: "Sluice", package: "sluice")]),
  ]
)
