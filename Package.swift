// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
//
// One target a room; the arrows go one way only, so the order below is the order to read in:
// LibPQ and ChangeModel know nothing of the others, Commands knows them all.
import PackageDescription

/// Language rules that hold for every target, tests included.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

func tests(
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    exclude: [String] = []
) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: [.byName(name: name)] + dependencies,
        exclude: exclude,
        swiftSettings: house
    )
}

let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(
    name: "UnixSignals", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// What only a build with the kafka sink needs: `swift build --disable-default-traits` has neither
/// the sink nor librdkafka.
let kafka = TargetDependencyCondition.when(traits: ["Kafka"])

let package = Package(
    name: "walrelay",
    products: [.executable(name: "walrelay", targets: ["walrelay"])],
    traits: [
        .trait(name: "Kafka", description: "The kafka sink; needs librdkafka."),
        .default(enabledTraits: ["Kafka"]),
    ],
    // Exact, since Package.resolved is in no commit: docs/dependencies.md lists what is built.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(
            name: "CRDKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        room("Certificates", ["COpenSSL", "ChangeModel"]),
        room("LibPQ", ["CLibPQ", "Certificates", "ChangeModel"]),
        room("LibRDKafka", [.target(name: "CRDKafka", condition: kafka), logging]),
        room("ChangeModel"),
        room("PgOutput", ["ChangeModel"]),
        room("Replication", ["LibPQ", "ChangeModel", "PgOutput", logging]),
        room("Sink", ["ChangeModel"]),
        room("Snapshot", ["LibPQ", "ChangeModel", "PgOutput", "Replication", "Sink"]),
        room("NDJSONSink", ["ChangeModel", "Sink", logging]),
        room("PostgresSink", ["LibPQ", "ChangeModel", "Sink", logging]),
        room("KafkaSink", ["ChangeModel", "LibRDKafka", "Sink", logging]),
        room(
            "Pipeline",
            [
                "Certificates", "LibPQ", "ChangeModel", "Replication", "Snapshot", "Sink", logging,
            ]),
        room(
            "Verify",
            [
                "LibPQ", "ChangeModel", "PgOutput", "Replication", "Snapshot", "PostgresSink",
                logging,
            ]),
        room("Settings", ["ChangeModel", yams]),
        room("BatchJobs", ["LibPQ", "ChangeModel", "Settings", logging]),
        room("Operations", ["LibPQ", "ChangeModel", "Pipeline", logging, lifecycle]),
        room(
            "Commands",
            [
                "LibPQ", "ChangeModel", "Replication", "Snapshot", "Sink", "NDJSONSink",
                "PostgresSink", .target(name: "KafkaSink", condition: kafka), "Verify",
                "Pipeline", "Settings", "BatchJobs", "Operations", argumentParser, logging, lifecycle,
                unixSignals,
            ]),
        .executableTarget(name: "walrelay", dependencies: ["Commands"], swiftSettings: house),

        .target(
            name: "Support",
            dependencies: [.target(name: "CRDKafka", condition: kafka)],
            path: "Tests/Support",
            swiftSettings: house
        ),
        tests("Certificates", ["ChangeModel", "Support"]),
        tests("LibPQ", ["Certificates", "Support"]),
        tests("LibRDKafka", ["Support", logging]),
        tests("ChangeModel"),
        tests("PgOutput", ["ChangeModel", "Support"], exclude: ["Corpus"]),
        tests("Replication", ["ChangeModel", "PgOutput", "LibPQ", "Support", logging]),
        tests("Snapshot", ["ChangeModel", "LibPQ", "Replication", "Sink", "Support"]),
        tests("Sink", ["ChangeModel", "Support"]),
        tests("NDJSONSink", ["ChangeModel", "Sink", "Support"]),
        tests(
            "PostgresSink",
            ["ChangeModel", "LibPQ", "Replication", "Sink", "Snapshot", "Support", logging]),
        tests(
            "KafkaSink",
            [
                "ChangeModel", .target(name: "CRDKafka", condition: kafka), "LibRDKafka", "Sink",
                "Support", logging,
            ]),
        tests("Verify", ["ChangeModel", "LibPQ", "Replication", "Support", logging]),
        tests(
            "Pipeline",
            ["Certificates", "ChangeModel", "LibPQ", "Replication", "Sink", "Support", logging]),
        tests("Settings", ["ChangeModel", "Support"], exclude: ["Jobs"]),
        tests("BatchJobs", ["ChangeModel", "LibPQ", "Settings", "Support", logging]),
        tests("Operations", ["ChangeModel", "Pipeline", "Support", logging, lifecycle]),
        tests(
            "Commands",
            [
                "BatchJobs", "ChangeModel", "LibPQ", "Pipeline", "Replication", "Settings",
                "Support", argumentParser,
            ],
            exclude: ["Snapshots"]
        ),
        .testTarget(
            name: "Integration",
            dependencies: ["ChangeModel", "LibPQ", "Sink", "Support", "walrelay"],
            path: "Tests/Integration",
            exclude: ["Consumers"],
            swiftSettings: house
        ),
    ]
)
