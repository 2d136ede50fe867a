# `make` alone lists what there is. Everything a target needs is set up by scripts/setup, which skips what is there.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup run build dev test bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile

setup: ## install what building and running needs; says what it does and why
	@scripts/setup run

run: ## build for release and start the server (ARGS='...' are handed to it)
	@scripts/setup run >&2 # so that what the command prints can be piped
	@source scripts/env && build_release_if_needed >&2 && exec "$$MOAT_TARGET/release/moat" $(ARGS)

build: setup ## the release build alone
	@source scripts/env && build_release

dev: setup ## a debug build that is built again and restarted when a file changes
	@source scripts/env && exec cargo leptos watch

test: ## set up, then formatting, lints, builds, tests and browser tests
	@scripts/setup test
	@scripts/test

bench: ## set up, then a release build and the measurements (ARGS=workspaces, desk or live: those alone)
	@scripts/setup bench
	@source scripts/env && build_release_if_needed && exec scripts/bench $(ARGS)
