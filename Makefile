# The one entry to everything. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run test check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

check: ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: ## every test
	cargo test --workspace --locked
