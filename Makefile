# What a person or CI does with this repository; `make help` lists it. Every target installs what it needs.

.DEFAULT_GOAL := help
.PHONY: help build demo test examples docs fuzz sanitize lint interop interop-once interop-full soak soak-short bench bench-plots install deb deb-check dist dist-check \
  clean \
  build-packages test-packages examples-packages soak-packages bench-packages lint-packages install-needs package-needs swift-found

PREFIX ?= /usr/local
DESTDIR ?=

# A redirection makes sure that a shell reads this: `command` is no program.
SWIFT ?= $(firstword $(shell command -v swift 2>/dev/null) \
  $(wildcard /opt/swift/usr/bin/swift /usr/bin/swift))
# The scripts and the compiler's own tools find each other by the path.
swift_path := $(realpath $(shell command -v $(SWIFT) 2>/dev/null))
ifneq ($(swift_path),)
export PATH := $(PATH):$(dir $(swift_path))
endif

# The Swift libraries go into the program, which then needs none where it runs, and starts faster.
# lld, because the system's linker warns of functions that those libraries name and nothing calls.
# No search for libraries beside the program: in /usr/bin there are none.
release_flags := -c release --static-swift-stdlib --disable-local-rpath -Xswiftc -use-ld=lld
program := .build/release/sluice
# The same with nothing left outside of it, the C library included; in a place of its own, for all is compiled anew.
# Without TLS: GnuTLS needs p11-kit, of which Debian has no static library, as it loads others when it runs. Without zstd,
# which is itself loaded when it is needed.
static_build := .build/static
static_flags := $(release_flags) --disable-default-traits -Xswiftc -static-executable
packages := .build/packages
programs := .build/programs
bench_programs := $(addprefix $(programs)/,memory-target bare-read bare-stop bare-copy bare-pipe bare-wire watch-target process-tree slow-disk)
soak_programs := $(addprefix $(programs)/,trial-target memory-target image-compare images)

# What a bare toolchain lacks on Debian 12: the libraries of its own programs, and the C and C++ headers and start
# files that it takes from the system (g++).
packages_toolchain := binutils g++ git libc6-dev libcurl4 libncurses6 libsqlite3-0 libxml2
packages_build := $(packages_toolchain) libgnutls28-dev libprotobuf-c-dev liburing-dev libxxhash-dev libzstd-dev
# criu brings crit, which decodes our images in the tests.
# groff-base lays out the manual pages; bsdutils has script, a terminal for the progress bar; openssl makes certificates,
# and is at the other end of TLS; gdb, with its gcore, and elfutils read our cores, zstd expands them.
packages_test := $(packages_build) bsdutils criu elfutils gdb groff-base openssl python3 strace zstd
# Servers of storage come from PyPI.
packages_examples := $(packages_build) python3 python3-venv
# The manual is made from what the program says of itself.
packages_install := python3
packages_package := $(packages_install) binutils dpkg-dev
packages_deb_check := $(packages_package) lintian
# Other libraries and shells than those that the program is made beside.
packages_dist_check := $(packages_package) busybox-static musl-tools
# Two big programs that everybody runs; a compiler for the Java that the second one runs.
packages_soak := $(packages_build) default-jdk-headless python3 redis-server
# openssl makes the certificates of the rows with TLS; iproute2 the network between two namespaces. Forecasts are tried on
# redis and a Java virtual machine.
packages_bench := $(packages_build) default-jdk-headless fio iproute2 openssl python3 redis-server redis-tools util-linux
packages_lint := $(packages_build) diffutils gcc-aarch64-linux-gnu libc6-dev-arm64-cross mandoc protobuf-c-compiler protobuf-compiler python3 shellcheck

# The rows that show how cost grows.
bench_plots := $(addprefix scale-,size memory mappings processes threads)

# As a part of the tests: enough to run the corpus, and to find what is broken badly.
fuzz_seconds := 5
# By themselves: each shape in many places, and swapped with what was there.
shapes_seconds := 600

# Enough for each kind of process once or twice; on a slow machine what does not fit into the limit is left out.
soak_seconds := 150
soak_limit := 600
# Sluice, its helpers or its whole cgroup are killed so often: each takes about a second.
soak_kills := 1000
soak_short_kills := 60
# Sessions of bad clients, each of some milliseconds or of a second that the server waits for it.
soak_sessions := 10000
soak_short_sessions := 300

# Each in a process of its own: those of one stop, burden and count what those of another wait for.
test_modules := $(addprefix Sluice,$(notdir $(wildcard Tests/*Tests)))
# Beside tests that have a sanitizer in them; the others bring their own.
# Those in C: what embeds the library is built with it.
test_programs := $(addprefix $(programs)/,$(notdir $(filter-out %/embedder %/embedder-concurrent %/host,$(wildcard Tests/Programs/*))))

help: ## List these targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: build-packages swift-found ## Build the program: .build/release/sluice
	$(SWIFT) build $(release_flags) --product sluice

demo: build $(programs)/memory-target $(programs)/image-compare ## Copy a process that runs, and see that the copy is right
	@scripts/demo

test: test-packages swift-found ## Run the tests
	$(SWIFT) build --build-tests
	@for module in $(test_modules); do echo "$$module:"; $(SWIFT) test --skip-build --filter $$module || exit 1; done
	@echo "fuzz:"; Tests/Fuzz/run --seconds $(fuzz_seconds)
	@echo "shapes:"; Tests/Shapes/run --seconds $(fuzz_seconds)
	@echo "digests:"; Tests/Digests/run
	@echo "cores:"; Tests/Cores/check
	@SWIFT=$(SWIFT) scripts/make-docs --check
	@SWIFT=$(SWIFT) Examples/run
	@SWIFT=$(SWIFT) Examples/fresh

docs: build-packages swift-found ## Make the library's documentation, a web site: .build/docs
	@SWIFT=$(SWIFT) scripts/make-docs

examples: examples-packages swift-found ## Build and run the examples that are services, too: object storage and a daemon
	@SWIFT=$(SWIFT) Examples/run Traits ObjectStorage Agent

fuzz: test-packages swift-found ## Fuzz the readers of images and the page server (FUZZ="--seconds 600"), and directories that are not what they seem
	@Tests/Fuzz/run $(FUZZ)
	$(SWIFT) build --product sluice
	@Tests/Shapes/run --seconds $(shapes_seconds)

sanitize: test-packages swift-found $(test_programs) ## Run the tests of threads and pre-dumps under ThreadSanitizer and AddressSanitizer
	@SWIFT=$(SWIFT) scripts/sanitize

lint: lint-packages swift-found ## Check style, generated code and scripts
	@scripts/lint

interop: build ## Let the real CRIU dump and restore upon our images, in virtual machines
	@Tests/Interop/run

interop-once: build ## The same, each case in one way: what the gate runs
	@Tests/Interop/run --once

interop-full: build ## The same in all ways that there are; takes hours
	@Tests/Interop/run --full

soak: soak-packages build $(soak_programs) ## Copy busy processes for an hour, compare every byte (SLUICE_SOAK_SECONDS), kill Sluice, and send it bad clients
	@Tests/Soak/run $(SOAK)
	@Tests/Soak/kill --kills $(soak_kills)
	@Tests/Soak/peers --sessions $(soak_sessions)

soak-short: soak-packages build $(soak_programs) ## The same for some minutes, each kind of process once at least
	@Tests/Soak/run --seconds $(soak_seconds) --at-most $(soak_limit)
	@Tests/Soak/kill --kills $(soak_short_kills) --a-life 3
	@Tests/Soak/peers --sessions $(soak_short_sessions) --flood 1000

bench: bench-packages build $(bench_programs) ## Measure against limits and peers (BENCH=--quick)
	@Benchmarks/run $(BENCH)

bench-plots: bench-packages build $(bench_programs) ## Measure how cost grows, and draw it in docs/performance.md
	@Benchmarks/run --plots docs $(bench_plots) $(BENCH)

install: install-needs $(program) ## Install the program, its manual, completions and units (PREFIX=/usr/local, DESTDIR=)
	@scripts/install-files $(program) "$(DESTDIR)$(PREFIX)"

deb: build package-needs ## Make a Debian package of the program, in .build/packages
	@scripts/make-deb $(program) .build/checkouts $(packages)

deb-check: deb ## Make the Debian package, and have Debian's checker look at it
	@scripts/install-packages $(packages_deb_check)
	@scripts/check-deb $(packages)

dist-check: dist ## Make the tarball, and try it where nothing else is, as root
	@scripts/install-packages $(packages_dist_check)
	@scripts/check-dist $(packages)

dist: build-packages package-needs swift-found ## Make a tarball of the program that runs on any Linux, in .build/packages
	$(SWIFT) build $(static_flags) --scratch-path $(static_build) --product sluice
	@scripts/make-dist $(static_build)/release/sluice $(static_build)/checkouts $(packages)

clean: ## Remove what was built and fetched
	rm -rf .build .cache

# Only where there is none: an installation as root should not build, with other rights, what is there already.
$(program):
	$(MAKE) build

$(programs)/bare-read: program_source := Benchmarks/peers/bare-read
$(programs)/bare-stop: program_source := Benchmarks/peers/bare-stop
$(programs)/bare-stop: program_more := Benchmarks/peers/bare-read/runs.c Benchmarks/peers/bare-read/copy.c
$(programs)/bare-copy: program_source := Benchmarks/peers/bare-copy
# It finds the pages as bare-read does.
$(programs)/bare-copy: program_more := Benchmarks/peers/bare-read/runs.c -luring
# It reads as bare-read does.
$(programs)/bare-pipe: program_source := Benchmarks/peers/bare-pipe
$(programs)/bare-pipe: program_more := Benchmarks/peers/bare-read/runs.c Benchmarks/peers/bare-read/copy.c
$(programs)/bare-wire: program_source := Benchmarks/peers/bare-wire
$(programs)/bare-wire: program_more := -lgnutls
$(programs)/watch-target: program_source := Benchmarks/peers/watch-target
$(programs)/process-tree: program_source := Benchmarks/peers/process-tree
$(programs)/images: program_source := Tests/Interop/tools/images

$(programs)/%: program_source = Tests/Programs/$*
$(programs)/%: build-packages
	@mkdir -p $(programs)
	cc -std=gnu11 -O2 -Wall -Wextra -pthread -o $@ $(program_source)/*.c $(program_more)

build-packages:
	@scripts/install-packages $(packages_build)

examples-packages:
	@scripts/install-packages $(packages_examples)

test-packages:
	@scripts/install-packages $(packages_test)

install-needs:
	@scripts/install-packages $(packages_install)

package-needs:
	@scripts/install-packages $(packages_package)

soak-packages:
	@scripts/install-packages $(packages_soak)

bench-packages:
	@scripts/install-packages $(packages_bench)

lint-packages:
	@scripts/install-packages $(packages_lint)

swift-found:
	@if [ -z "$(swift_path)" ]; then \
	  echo "no swift here: install Swift 6.3 or later (https://www.swift.org/install), or say make SWIFT=/path/to/swift" >&2; \
	  exit 1; \
	fi
