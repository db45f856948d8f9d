// swift-tools-version: 6.2
import PackageDescription

/// Programs that embed Sluice, as anybody would: by its public API alone. `make test` builds and runs them.
let package = Package(
  name: "sluice-examples",
  dependencies: [
    .package(name: "sluice", path: ".."),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
  ],
  targets: [
    .executableTarget(name: "FirstHour", dependencies: [.product(name: "Sluice", package: "sluice")]),
    .executableTarget(name: "HashSink", dependencies: [.product(name: "Sluice", package: "sluice")]),
    // Those of the documentation.
    .executableTarget(
      name: "Samples",
      dependencies: [
        .product(name: "Sluice", package: "sluice"), .product(name: "SluiceFoundation", package: "sluice"),
        .product(name: "Logging", package: "swift-log"),
      ]),
    .executableTarget(name: "Watch", dependencies: [.product(name: "Sluice", package: "sluice")]),
  ]
)
