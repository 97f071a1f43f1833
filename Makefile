# Worldmesh. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
PY := $(ROOT)/.venv/bin/python
BIN := $(ROOT)/.build/bin
STAMPS := $(ROOT)/.build/stamps
MESH := $(PY) -m worldmesh_mesh
GO_SERVICES := gateway relay presence
GO_MODULE := github.com/worldmesh/worldmesh
SOURCES = $(wildcard $(ROOT)/py_services/*/src) $(ROOT)/mesh/src $(ROOT)/clients/python/src
export PYTHONDONTWRITEBYTECODE := 1
export GOFLAGS := -buildvcs=false

.PHONY: help
help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(ROOT)/Makefile

# ---------------------------------------------------------------- tools

.PHONY: tools
tools: $(STAMPS)/python $(STAMPS)/go $(STAMPS)/protos ## Install everything that the other targets need
	@$(PY) $(ROOT)/tools/paths.py

$(STAMPS)/python: $(ROOT)/tools/python/uv.txt $(ROOT)/tools/python/requirements.txt
	@echo "== Python packages (first time: about a minute)"
	@mkdir -p $(STAMPS)
	@test -x $(PY) || python3 -m venv $(ROOT)/.venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(ROOT)/tools/python/uv.txt
	@VIRTUAL_ENV=$(ROOT)/.venv $(ROOT)/.venv/bin/uv pip sync --quiet --require-hashes $(ROOT)/tools/python/requirements.txt
	@$(PY) -m ensurepip >/dev/null 2>&1 || true
	@touch $@

$(STAMPS)/go: $(ROOT)/tools/go/go.mod $(ROOT)/tools/go/go.sum
	@echo "== Go tools (first time: about two minutes)"
	@mkdir -p $(STAMPS) $(BIN)
	@cd $(ROOT)/tools/go && go build -o $(BIN)/ tool
	@touch $@

$(STAMPS)/protos: $(ROOT)/tools/protos $(STAMPS)/python
	@$(ROOT)/tools/protos
	@touch $@

.PHONY: lock
lock: ## Renew the lock of Python packages from tools/python/requirements.in
	@$(ROOT)/.venv/bin/uv pip compile --quiet --generate-hashes --no-header --python-version 3.11 \
		$(ROOT)/tools/python/requirements.in -o $(ROOT)/tools/python/requirements.txt
	@echo uv | $(ROOT)/.venv/bin/uv pip compile --quiet --generate-hashes --no-header --python-version 3.11 \
		- -o $(ROOT)/tools/python/uv.txt

# ---------------------------------------------------------------- contracts

.PHONY: gen
gen: tools ## Generate code and tables from the contracts
	@$(ROOT)/tools/gen
	@$(MESH) docs

.PHONY: gen-check
gen-check: tools ## Fail if gen/ or the generated docs are not what the contracts say
	@$(ROOT)/tools/gen-check

.PHONY: golden
golden: tools ## Renew the golden bytes of the contract tests after an addition to the contracts
	@cd $(ROOT) && $(PY) -m tests.contract.golden && $(PY) -m tests.contract.golden_frames
	@cd $(ROOT) && go test ./go_services/internal/frames -update

.PHONY: breaking-image
breaking-image: tools ## Release the contracts: from now on `make lint` refuses changes that break them
	@$(ROOT)/tools/breaking --renew && git -C $(ROOT) status --short proto/released.binpb proto/released.fbs

.PHONY: new-service
new-service: tools ## Scaffold a Python service: NAME=quests
	@$(PY) $(ROOT)/tools/new_service.py "$(NAME)"

# ---------------------------------------------------------------- the world

.PHONY: build
build: tools ## Build the Go services
	@test -x $(BIN)/gateway || echo "== Go services (first time: about a minute)"
	@cd $(ROOT) && go build -ldflags "-X $(GO_MODULE)/go_services/internal/kit.build=$$(tools/revision)" \
		-o $(BIN)/ $(GO_SERVICES:%=./go_services/cmd/%)

.PHONY: up
up: build ## Start the whole world (RELAYS=2 GATEWAYS=2 PRESENCE=2; DETACH=1)
	@exec $(MESH) up $(if $(DETACH),--detach)

.PHONY: down
down: ## End the world
	@$(MESH) down

.PHONY: where
where: ## Print the world's addresses as JSON; fail with a reason while not all of it is ready
	@$(ROOT)/tools/where

.PHONY: logs
logs: ## Follow the world's logs (WARN=1: from their beginning what is warned of, that it is over, and what ended)
	@tail $(if $(WARN),-q -n +1,-n 20) -F $${WORLDMESH_DATA:-$(ROOT)/.data}/log/*.log \
		$(if $(WARN),| grep --line-buffered -E '"level": ?"(warn|error)|"s":"[WEF]"|^[^ ]+ (warning|error|critical) |Exited .* process=|( is back| again|got the lease|took a room[^"]*|has moved on)"')

.PHONY: server-token
server-token: ## Make an account for a server of the studio: NAME=my-server
	@$(MESH) run-as identity -- $(PY) -m worldmesh_identity create-server-account "$(NAME)"

.PHONY: rotate
rotate: ## Renew what proves who is who, while the world runs: WHAT=certificates, authorities or signing-key
	@[ -n "$(WHAT)" ] || { echo "error: say what: make rotate WHAT=certificates, authorities or signing-key" >&2; exit 1; }
	@$(MESH) rotate "$(WHAT)"

.PHONY: clean
clean: ## End the world and remove its data, the built services and caches; the tools stay
	@if [ -x $(PY) ]; then $(MESH) clean; fi
	@rm -f $(GO_SERVICES:%=$(BIN)/%)
	@rm -rf $(addprefix $(ROOT)/.build/,bench chaos retryprobe screenshots) $(ROOT)/.pytest_cache $(ROOT)/.mypy_cache $(ROOT)/.ruff_cache

# ---------------------------------------------------------------- checks

.PHONY: lint
lint: tools ## Contracts, Python (ruff, mypy strict), Go (gofmt, vet)
	@$(ROOT)/tools/lint

.PHONY: test-unit
test-unit: tools ## Unit tests of both languages: a minute or two (SERVICE=world for one: seconds)
	@$(ROOT)/tools/test unit $(SERVICE)

.PHONY: test
test: build ## Everything (SERVICE=world for one service's)
	@$(ROOT)/tools/test all $(SERVICE)

.PHONY: chaos
chaos: build ## Faults under load, and what was lost (ROWS=1,7 for some; see tools/chaos --help)
	@$(ROOT)/tools/chaos

.PHONY: chaos-mutants
chaos-mutants: build ## Known bugs in the services, which faults must show: half an hour (ONLY=offline-at-once)
	@$(PY) -m tests.chaos.mutants $(if $(ONLY),--only $(ONLY))

.PHONY: bench
bench: build ## Benchmarks beside a bare fan-out server (ONLY=rooms, rpc or presence; see bench/run --help)
	@$(ROOT)/bench/run
