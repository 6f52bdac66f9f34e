# safe-mirror-operator. `make` prints the targets; scripts longer than a few lines are in hack/.

GO        ?= go
KUBECTL   ?= kubectl
# The image that `make deploy` installs, for example registry.example.com/infra/safe-mirror-operator:v0.1.0.
IMG       ?=
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -X main.version=$(VERSION)
# `make test` runs one of this many parts of the e2e scenarios, chosen by the commit; `make e2e` runs them all.
E2E_SHARDS ?= 8
E2E_SHARD  ?= $(shell hack/shard.sh $(E2E_SHARDS))/$(E2E_SHARDS)
# The nested module's dependencies want these; the main module's do not.
export LAB_TAGS := containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper

TOOLS := bin/controller-gen bin/crd-ref-docs bin/golangci-lint bin/kustomize

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL: # the go command uses all cores by itself, and two control planes at once are too many for a laptop
.PHONY: help build lab lab-stock demo test test-unit test-parts test-lab test-demo test-shard test-crash rendering e2e crash bench-mirror bench-plan bench-forecast sim lint lint-fix fmt tidy \
        generate verify tools clean install deploy undeploy check-gcc

help: ## Print this help
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo

##@ See it
demo: build lab ## Watch a plain mirror set deadlock real controllers, then a SafeMirrorRollout complete the same change
	$(GO) build -o bin/demo ./test/demo
	bin/demo

##@ Build
build: ## Build the operator and its command line: bin/safe-mirror
	@test -x bin/safe-mirror || echo "building bin/safe-mirror; about 3 minutes from cold on two cores"
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/safe-mirror .

lab: ## Build the lab: API server, scheduler, Machine Config Controller, registries, nodes (some 20 minutes the first time)
	@hack/lab.sh

lab-stock: lab ## Build the unmodified Machine Config Controller too, for e2e
	@hack/lab.sh --stock

clean: ## Remove everything that was built; the Go build cache stays
	rm -rf bin .lab

##@ Test
test: test-unit test-parts test-lab test-demo test-shard test-crash ## Everything that a change must pass: unit, API, the demo as main job, a shard of e2e, a sample of crashes

test-unit: check-gcc ## Unit tests, with the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

test-parts: ## Unit tests of the lab's own parts
	$(GO) -C test/lab/parts test -tags $(LAB_TAGS) ./...

test-lab: build lab ## API tests on the real API server
	packages=$$(hack/lab-packages.sh) || { echo "no API tests found"; exit 1; }; \
	$(GO) test -tags lab -count=1 -p 1 -timeout 20m $$packages

test-demo: build lab ## Run the demo and check its RESULT line
	$(GO) build -o bin/demo ./test/demo
	hack/demo-check.sh

test-shard: build lab-stock ## One shard of the e2e scenarios: E2E_SHARD=i/n, i from 0
	E2E_SHARD=$(E2E_SHARD) hack/e2e.sh

test-crash: build lab ## A sample of the crash runs, chosen by the commit
	hack/crash.sh

rendering: lab ## 300 random unions of mirror sets: is each rendered or refused as predicted?
	$(GO) test -c -tags lab -o bin/rendering ./test/rendering
	RENDERING_SETS=300 bin/rendering -test.timeout 30m

e2e: build lab-stock ## All e2e scenarios: raw, twins and safe
	hack/e2e.sh

crash: build lab ## Kill the operator before and after each of its writes, and fail, delay, double and contradict them (two hours)
	hack/crash.sh --all

check-gcc:
	@command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null || { \
	  echo "The race detector needs a C compiler and there is none: install gcc (Debian: apt-get install gcc libc6-dev)."; exit 1; }

##@ Measure
bench-mirror: build ## Race the mirror engine against skopeo, crane, regctl and regsync over a shaped link (some 20 minutes)
	hack/bench-mirror.sh

bench-plan: ## Time a plan of 2,000 nodes, 50,000 pods and 5,000 images from files, against plain decoding of the same files
	$(GO) run ./test/bench/plan

bench-forecast: ## Time the forecast of 1,000 nodes, 20,000 pods and 500 budgets, against matching pods with budgets alone
	$(GO) run ./test/bench/forecast

sim: ## Run the decision in 10,000 seeded simulations with faults
	hack/sim.sh

##@ Keep in order
lint: bin/golangci-lint ## Lint both modules
	hack/lint.sh

lint-fix: bin/golangci-lint ## Lint, and fix what the linters can fix
	hack/lint.sh --fix

fmt: ## Format the Go files
	gofmt -s -w $$(git ls-files --cached --others --exclude-standard '*.go')

tidy: ## Tidy the go.mod of every module
	hack/tidy.sh

generate: $(TOOLS) ## Write the generated files: deep copies, CRD, role, API reference, phases diagram
	hack/generate.sh

verify: $(TOOLS) ## Fail if generate, fmt, tidy or lint would change or find anything; changes nothing itself
	hack/verify.sh

tools: $(TOOLS) ## Build the pinned tools into bin/

$(TOOLS) &: hack/tools/go.mod hack/tools/go.sum
	@echo "building the tools of hack/tools; a few minutes from cold"
	@mkdir -p bin
	$(GO) build -C hack/tools -o ../../bin/ tool
	@touch $(TOOLS)

##@ Cluster
install: bin/kustomize ## Install the CRD into the cluster of the current context
	KUBECTL=$(KUBECTL) hack/deploy.sh install

deploy: bin/kustomize ## Install the operator: make deploy IMG=registry/name:tag
	KUBECTL=$(KUBECTL) hack/deploy.sh deploy $(IMG)

undeploy: bin/kustomize ## Remove the operator, unless a rollout still exists
	KUBECTL=$(KUBECTL) hack/deploy.sh undeploy
