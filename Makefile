# The one entry to everything: `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run deploy test test-rust test-sdk check check-infra check-terraform check-policies check-kubernetes check-lint check-deploy check-docker images sbom compose-up compose-down compose-test bench bench-gateway bench-proxies bench-mixed bench-queue bench-batch bench-upload bench-start soak chaos fuzz migrate clean

CARGO ?= cargo
VENV := .venv

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: ## build and start everything in one process (UPSTREAM=http://host:port/v1 names a model server)
	$(CARGO) run --release --locked --bin tandem -- up $(if $(UPSTREAM),--upstream $(UPSTREAM))

check: check-infra ## formatting, lints, documentation, dependency rules, infrastructure
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) check --manifest-path fuzz/Cargo.toml --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
	scripts/deny.sh

# Terraform and kubectl are no part of what builds the platform: where they can't be had, that is said and the rest is checked.
check-infra: check-lint check-policies check-docker check-deploy
	@if scripts/terraform-check.sh --can-run; then $(MAKE) --no-print-directory check-terraform; \
	else echo "NOT CHECKED: infra/terraform, as terraform or its providers are out of reach. make check-terraform says more." >&2; fi
	@if scripts/kubernetes-check.sh --can-run; then $(MAKE) --no-print-directory check-kubernetes; \
	else echo "NOT CHECKED: infra/kubernetes, as kubectl is missing. make check-kubernetes says more." >&2; fi

check-terraform: ## format, validation and tests of every Terraform root and module; no cloud account is needed
	scripts/terraform-docs.py --check
	scripts/terraform-check.sh

check-policies: ## checkov and our own policies on infra/terraform, and checkov on the Dockerfile
	scripts/policy-check.sh

check-docker: .venv-docker/ready ## hadolint on the Dockerfile
	.venv-docker/bin/hadolint --failure-threshold info infra/docker/Dockerfile

check-lint: ## shell scripts, YAML, workflows and builds
	scripts/lint.sh

check-deploy: ## make deploy against tools that only record what they are told: order, and that a second run changes nothing
	python3 scripts/tests/test_deploy.py

check-kubernetes: ## renders infra/kubernetes for every environment: shapes, our policies, checkov; no cluster is needed
	scripts/kubernetes-check.sh

test: test-sdk test-rust ## every test; starts PostgreSQL and RabbitMQ when none is running, and Pub/Sub emulators where they are installed

test-rust:
	$(CARGO) build --workspace --bins --locked
	scripts/with-postgres.sh scripts/with-rabbitmq.sh scripts/with-pubsub.sh $(CARGO) test --workspace --locked --no-fail-fast

test-sdk: $(VENV)/ready tests/oidc/node_modules/ready tests/node/node_modules/ready tests/hooks/node_modules/ready
	$(CARGO) build --bin tandem --bin orchestrator --locked
	$(VENV)/bin/pytest -q tests/sdk

.venv-docker/ready: infra/docker/requirements.txt
	scripts/venv.sh .venv-docker infra/docker/requirements.txt
	touch $@

$(VENV)/ready: tests/sdk/requirements.txt
	scripts/venv.sh $(VENV) tests/sdk/requirements.txt
	touch $@

tests/oidc/node_modules/ready: tests/oidc/package-lock.json
	scripts/npm.sh tests/oidc
	touch $@

tests/node/node_modules/ready: tests/node/package-lock.json
	scripts/npm.sh tests/node
	touch $@

tests/hooks/node_modules/ready: tests/hooks/package-lock.json
	scripts/npm.sh tests/hooks
	touch $@

images: ## container images of the services (BINARIES=folder of binaries that are built already, TAG=latest, REGISTRY=tandem)
	scripts/with-docker.sh scripts/with-bases.sh scripts/images.sh $(BINARIES)

sbom: .venv-docker/ready ## what is in each image, as SPDX, in target/sbom
	scripts/with-docker.sh scripts/sbom.sh

compose-up: ## start compose.yaml: the services on this machine, with the settings of .env
	scripts/with-docker.sh --running scripts/with-bases.sh scripts/compose-up.sh

compose-down: ## stop it (VOLUMES=1 throws its data away)
	scripts/with-docker.sh --running sh -c '$$COMPOSE down --remove-orphans $(if $(VOLUMES),--volumes)'

compose-test: $(VENV)/ready tests/node/node_modules/ready ## the scenarios on compose.yaml, and what happens to its containers
	$(CARGO) build --workspace --bins --locked
	TAG=test scripts/with-docker.sh scripts/with-bases.sh scripts/compose-test.sh $${CARGO_TARGET_DIR:-target}/debug

bench: bench-gateway bench-proxies ## what the gateway adds to a request, against the simulator and beside nginx

bench-gateway: ## the same load through the gateway and directly to the simulator
	$(CARGO) run --release --locked --bin tandem -- bench

bench-proxies: ## CPU, latency and memory beside nginx, each alone on one core, with and without governing (ROUNDS=3)
	$(CARGO) build --release --locked --bin gateway --bin tandem --bin ungoverned --bin load
	scripts/with-nginx.sh scripts/with-postgres.sh scripts/bench_proxies.py $${CARGO_TARGET_DIR:-target}/release $(ROUNDS)

bench-mixed: ## streams in bursts beside a batch on one model server: what each does to the other (BURSTS=5)
	$(CARGO) build --release --locked --bin gateway --bin orchestrator --bin worker --bin mixed
	scripts/with-postgres.sh $${CARGO_TARGET_DIR:-target}/release/mixed $(BURSTS)

bench-queue: ## what a batch costs beside its answers: 100,000 lines without delay, and at 1,000 lines/s (LINES=100000)
	$(CARGO) build --release --locked --bin gateway --bin worker --bin overhead
	scripts/with-postgres.sh scripts/with-rabbitmq.sh $${CARGO_TARGET_DIR:-target}/release/overhead $(LINES)

bench-batch: ## one batch of 50,000 lines and 1 GiB: time, peak memory, every line checked
	$(CARGO) build --release --locked --bin tandem
	scripts/big_batch.py $${CARGO_TARGET_DIR:-target}/release/tandem

bench-upload: ## a batch input of 8 GiB and a million lines in parts: time, and peak memory of gateway and worker (SIZE_GB=8 LINES=1000000)
	$(CARGO) build --release --locked --bin tandem --bin gateway --bin orchestrator --bin worker --bin simulator
	scripts/with-postgres.sh scripts/big_upload.py $${CARGO_TARGET_DIR:-target}/release $(or $(SIZE_GB),8) $(or $(LINES),1000000)

bench-start: ## time from start to the first answer, and memory when idle
	$(CARGO) build --release --locked --bin tandem
	scripts/start_time.py $${CARGO_TARGET_DIR:-target}/release/tandem

soak: ## ten minutes of 500 streams while model servers fail (MINUTES=10): leaks, truth, accounts
	$(CARGO) build --release --locked --bin tandem --bin soak
	$${CARGO_TARGET_DIR:-target}/release/soak $(or $(MINUTES),10)

chaos: ## every fault of the matrix on real processes and servers, a quarter of an hour; writes docs/kill-matrix.md
	$(CARGO) build --workspace --bins --locked
	scripts/with-postgres.sh scripts/with-rabbitmq.sh scripts/with-pubsub.sh scripts/with-faketime.sh $(CARGO) test --workspace --test chaos --locked

fuzz: ## every fuzz target for a minute (SECONDS=60): codecs, the look into requests, rights of tokens
	scripts/fuzz.sh $(or $(SECONDS),60)

migrate: ## bring the database of tandem.toml to this version
	$(CARGO) run --release --locked --bin tandem -- migrate up

deploy: ## bring an environment in Google Cloud to what this tree says (ENV=dev PROJECT=acme-dev-1; PLAN=1 only says what it would do)
	@ENV="$(ENV)" PROJECT="$(PROJECT)" scripts/deploy.sh

clean: ## remove what was built and the embedded data
	$(CARGO) clean
	rm -rf data $(VENV) .venv-policies .venv-docker tests/oidc/node_modules tests/node/node_modules tests/hooks/node_modules
