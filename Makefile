# make        lists the targets
# make demo   runs a first container
# make test   runs all the tests

SHELL     := /bin/bash
PREFIX    ?= /usr/local
GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The programs that exist; all of them are static and start without cgo.
PROGRAMS  := $(notdir $(patsubst %/,%,$(wildcard cmd/*/)))
BIN       ?= bin
GOBUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w"

# Tools, pinned; go run builds them once and caches them.
GOTESTSUM := $(GO) run gotest.tools/gotestsum@v1.13.0
GOLANGCI  := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Packages with tests that want root and a kernel: they run once more on pure
# cgroup v2 in the VM.
VM_PACKAGES := $(addprefix internal/,linux/cgroupfs linux/spawn container surface/runc engine engine/containers engine/ground storage/snapshot surface/cli) \
	cmd/tare test/verify

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## put tare and its companions into bin/
	@mkdir -p "$(BIN)"
	@set -e; for p in $(PROGRAMS); do echo "build $(BIN)/$$p"; $(GOBUILD) -o "$(BIN)/$$p" ./cmd/$$p; done

.PHONY: install
install: build ## install below PREFIX (default /usr/local; DESTDIR is honoured)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	@set -e; for p in $(PROGRAMS); do \
		echo "install $(PREFIX)/bin/$$p"; install -m 755 bin/$$p "$(DESTDIR)$(PREFIX)/bin/$$p"; done

	install -d "$(DESTDIR)$(PREFIX)/lib/systemd/system"
	sed 's|@PREFIX@|$(PREFIX)|' contrib/tare-boot.service >"$(DESTDIR)$(PREFIX)/lib/systemd/system/tare-boot.service"
	install -d "$(DESTDIR)$(PREFIX)/share/man/man1" "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" \
		"$(DESTDIR)$(PREFIX)/share/zsh/site-functions" "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	bin/tared man "$(DESTDIR)$(PREFIX)/share/man/man1"
	bin/tared completion bash >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tare"
	bin/tared completion zsh >"$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_tare"
	bin/tared completion fish >"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tare.fish"

.PHONY: demo
demo: build ## run a first container from the built-in image and print what is isolated
	@test/demo

.PHONY: test
test: build ## install what the tests need and run all of them
	@test/setup.sh
	@mkdir -p .cache
	$(GOTESTSUM) --format pkgname --jsonfile .cache/test.json -- -count=1 -timeout 15m ./...
	@$(GO) run ./test/skips test/skips/list.txt .cache/test.json

.PHONY: race
race: ## the tests of the packages with goroutines and processes, under -race
	$(GO) test -race -timeout 15m ./internal/linux/cgroupfs ./internal/linux/spawn ./internal/container ./internal/state ./internal/storage/snapshot

.PHONY: test-vm
test-vm: build ## the root tests again, on pure cgroup v2 in a virtual machine
	@test/vm/test $(VM_PACKAGES)

.PHONY: test-arm64
test-arm64: ## the pure and the spawn tests on an emulated arm64 machine
	@test/vm/arm64 || [ $$? = 77 ]

.PHONY: bench
bench: build ## measure tare next to crun, runc, podman and bubblewrap
	$(GO) run ./bench $(BENCHFLAGS)

.PHONY: bench-life
bench-life: build ## measure the life of 100 containers next to podman and docker: make bench-life BENCHFLAGS="-n 100 -rounds 3"
	$(GO) run ./bench/life $(BENCHFLAGS)

.PHONY: bench-pull
bench-pull: build ## measure pulls: make bench-pull LAYERS="first.tar second.tar" BENCHFLAGS="-n 5 -dir /var/tmp"
	$(GO) run ./bench/pull $(BENCHFLAGS) $(LAYERS)

.PHONY: soak
soak: build ## a thousand starts in a row; nothing may be left behind
	TARE_SOAK=1 $(GO) test -count=1 -v -timeout 30m -run Soak ./internal/linux/spawn
	TARE_SOAK=1 $(GO) test -count=5 -timeout 30m -run 'Crash|Volume|Swap|Race|Keeper|Killed|Many' ./internal/container ./internal/engine/containers ./cmd/tare

.PHONY: conformance
conformance: build ## judge tare-oci by runtime-tools (with crun and runc beside it), by our suite, under Podman, containerd and dockerd
	@test/setup.sh engines
	cd test/conformance && $(GOTESTSUM) --format pkgname -- -count=1 -timeout 5m ./contest
	cd test/conformance/validate && $(GO) run . -runtimes $(CURDIR)/bin/tare-oci,crun,runc $(VALIDATEFLAGS)
	@set -eo pipefail; for e in podman containerd docker; do test/conformance/engines/$$e.sh | grep -v '^ok [0-9]* - [^#]*$$'; done

.PHONY: lint
lint: ## run the linters of .golangci.yml
	$(GOLANGCI) run ./...

.PHONY: clean
clean: ## remove what make built
	rm -rf bin
