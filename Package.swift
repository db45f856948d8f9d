// swift-tools-version: 6.2
import PackageDescription

/// What programs that embed the library by the older rule for asynchronous functions are compiled with.
let embedderSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  // Unsafe code is marked where it stands, so that a reader can find all of it (SE-0458).
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0335-existential-any.md
  .enableUpcomingFeature("ExistentialAny"),
  // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0409-access-level-on-imports.md
  .enableUpcomingFeature("InternalImportsByDefault"),
  // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0444-member-import-visibility.md
  .enableUpcomingFeature("MemberImportVisibility"),
  // Spans that are held by a type of ours: SE-0446 and what came of it.
  .enableExperimentalFeature("Lifetimes"),
]

/// What every Swift target of this package is compiled with.
let swiftSettings =
  embedderSettings + [
    // https://github.com/swiftlang/swift-evolution/blob/main/proposals/0461-async-function-isolation.md
    .enableUpcomingFeature("NonisolatedNonsendingByDefault")
  ]

let package = Package(
  name: "sluice",
  products: [
    .library(name: "Sluice", targets: ["Sluice"]),
    // What of the library needs Foundation, for those who have it anyway.
    .library(name: "SluiceFoundation", targets: ["SluiceFoundation"]),
    .executable(name: "sluice", targets: ["sluice"]),
  ],
  traits: [
    .trait(name: "TLS", description: "TLS by the system's GnuTLS, for connections of page servers"),
    .trait(name: "Zstd", description: "Compressed cores by the system's libzstd"),
    .trait(name: "Metrics", description: "MetricsObserver, by swift-metrics"),
    .trait(name: "Tracing", description: "TracingObserver, by swift-distributed-tracing"),
    .trait(
      name: "ServiceLifecycle", description: "Page servers and rounds as services of swift-service-lifecycle"),
    .default(enabledTraits: ["TLS", "Zstd"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    // Of these, a package that enables none of the traits fetches and builds nothing.
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .target(
      name: "CSluiceLinux", path: "Sources/CLinux",
      // Lets tests make system calls fail: Sources/CLinux/include/sluice_faults.h.
      cSettings: [.define("SLUICE_FAULTS", .when(configuration: .debug))],
      linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("xxhash")]),
    .target(
      name: "CSluiceImages", path: "Sources/CImages", exclude: ["proto"],
      linkerSettings: [.linkedLibrary("protobuf-c")]),
    .target(
      name: "CSluiceTLS", path: "Sources/CTLS",
      cSettings: [.define("SLUICE_TLS", .when(traits: ["TLS"]))]),
    .target(
      name: "CSluiceZstd", path: "Sources/CZstd",
      cSettings: [.define("SLUICE_ZSTD", .when(traits: ["Zstd"]))]),
    .target(
      name: "SluiceSystem", dependencies: ["CSluiceLinux"], path: "Sources/System",
      swiftSettings: swiftSettings),
    .target(
      name: "SluicePipeline", dependencies: ["CSluiceLinux", "SluiceSystem"], path: "Sources/Pipeline",
      swiftSettings: swiftSettings),
    .target(
      name: "SluiceWire", dependencies: ["CSluiceImages"], path: "Sources/Wire", swiftSettings: swiftSettings),
    .target(
      name: "SluiceTLS", dependencies: ["CSluiceLinux", "CSluiceTLS", "SluiceSystem"], path: "Sources/TLS",
      swiftSettings: swiftSettings),
    .target(
      name: "SluiceImages", dependencies: ["CSluiceImages", "CSluiceLinux", "SluiceSystem", "SluiceWire"],
      path: "Sources/Images",
      swiftSettings: swiftSettings),
    .target(
      name: "SluiceTarget", dependencies: ["CSluiceLinux", "SluiceSystem"], path: "Sources/Target",
      swiftSettings: swiftSettings),
    .target(
      name: "Sluice",
      dependencies: [
        "CSluiceZstd", "SluicePipeline", "SluiceImages", "SluiceSystem", "SluiceTarget", "SluiceTLS",
        "SluiceWire",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
        .product(
          name: "Tracing", package: "swift-distributed-tracing", condition: .when(traits: ["Tracing"])),
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["ServiceLifecycle"])),
      ],
      path: "Sources/Stages", swiftSettings: swiftSettings),
    .target(
      name: "SluiceFoundation", dependencies: ["Sluice"], path: "Sources/Foundation",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "sluice",
      dependencies: [
        "Sluice", "SluiceWire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Sources/App", swiftSettings: swiftSettings),

    // Tests of System, Pipeline, TLS, Wire and Images.
    .testTarget(
      name: "SluiceSystemTests", dependencies: ["SluiceSystem", "CSluiceLinux", "SluiceTestSupport"],
      path: "Tests/SystemTests", swiftSettings: swiftSettings),
    .testTarget(
      name: "SluicePipelineTests",
      dependencies: ["SluicePipeline", "SluiceSystem", "CSluiceLinux", "SluiceTestSupport"],
      path: "Tests/PipelineTests", swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceTLSTests", dependencies: ["SluiceTLS", "CSluiceLinux", "SluiceTestSupport"],
      path: "Tests/TLSTests", swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceWireTests", dependencies: ["SluiceWire"], path: "Tests/WireTests",
      swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceImagesTests", dependencies: ["SluiceImages", "SluiceSystem", "SluiceTestSupport"],
      path: "Tests/ImagesTests", swiftSettings: swiftSettings),
    // Programs that the tests run, and their tests of Target, Stages and App.
    .executableTarget(
      name: "memory-target", path: "Tests/Programs/memory-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    .executableTarget(name: "image-compare", path: "Tests/Programs/image-compare"),
    .executableTarget(name: "core-compare", path: "Tests/Programs/core-compare"),
    .executableTarget(
      name: "mapping-target", path: "Tests/Programs/mapping-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    .executableTarget(name: "doubt-target", path: "Tests/Programs/doubt-target"),
    .executableTarget(
      name: "layout-target", path: "Tests/Programs/layout-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    .executableTarget(
      name: "thread-target", path: "Tests/Programs/thread-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    .executableTarget(name: "slow-disk", path: "Tests/Programs/slow-disk"),
    .executableTarget(name: "ring-target", path: "Tests/Programs/ring-target"),
    .executableTarget(
      name: "core-target", path: "Tests/Programs/core-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    .executableTarget(name: "relation-target", path: "Tests/Programs/relation-target"),
    .executableTarget(
      name: "trial-target", path: "Tests/Programs/trial-target",
      linkerSettings: [.linkedLibrary("pthread")]),
    // One program that embeds the library, by both rules for where asynchronous functions run.
    .executableTarget(
      name: "embedder", dependencies: ["Sluice"], path: "Tests/Programs/embedder",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "embedder-concurrent", dependencies: ["Sluice"], path: "Tests/Programs/embedder-concurrent",
      swiftSettings: embedderSettings),
    // One that does to itself what hosts do: forks, reaps, ignores signals, has few descriptors and threads.
    .executableTarget(
      name: "host", dependencies: ["Sluice"], path: "Tests/Programs/host", swiftSettings: swiftSettings),
    .target(
      name: "SluiceTestSupport", dependencies: ["CSluiceLinux"], path: "Tests/Support",
      swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceTargetTests", dependencies: ["SluiceTarget", "CSluiceLinux", "SluiceTestSupport"],
      path: "Tests/TargetTests", swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceStagesTests",
      dependencies: [
        "Sluice", "SluiceFoundation", "SluiceImages", "SluicePipeline", "SluiceSystem", "SluiceTarget",
        "SluiceWire", "CSluiceLinux", "SluiceTestSupport",
      ],
      path: "Tests/StagesTests", swiftSettings: swiftSettings),
    .testTarget(
      name: "SluiceAppTests",
      dependencies: [
        "sluice", "Sluice", "SluiceWire", "SluiceTestSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Tests/AppTests", swiftSettings: swiftSettings),
  ]
)
