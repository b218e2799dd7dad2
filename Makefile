# Thin: what a target does stands in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run status kubectl helm stop image test redhac soak model e2e fuzz bench bench-core mutants lint fmt generate
MAKEFLAGS += --no-print-directory

help: ## this list
	@echo 'Rauthy on Kubernetes: the operator, the agent, their tests.  make TARGET'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make run CONTEXT=name [IMAGE=registry/image:tag]   on a Kubernetes of yours'
	@echo '  cargo run -p rauthy-agent -- dev --nodes 3         without Kubernetes'

run: ## a RauthyCluster with three members on a Kubernetes of its own, in this machine
	@scripts/run

status: ## how the cluster of `make run` is
	@scripts/in status

kubectl: ## kubectl there: make kubectl ARGS='get pods'
	@scripts/in kubectl $(ARGS)

helm: ## helm there: make helm ARGS='list -A'
	@scripts/in helm $(ARGS)

stop: ## end the cluster of `make run` and remove all of it
	@scripts/stop

image: ## both programs in one image: target/image/rauthy.tar (PROFILE=release to ship it)
	@scripts/image

test: ## everything: unit, property, simulator, processes, operator, e2e on a real Kubernetes
	@scripts/test

e2e: ## only the tests on a real Kubernetes (ONLY=part-of-a-name, KEEP=1 leaves it running)
	@scripts/e2e

redhac: ## programs written for redhac, on redhac from crates.io and on ours (ONLY=theirs or ours)
	@scripts/redhac-compat

fuzz: ## damaged messages for every decoder, for MINUTES=5
	@scripts/fuzz

bench: ## beside redhac, hiqlite, etcd, Redis and bare TCP: docs/bench/ (QUICK=1, ROUNDS=n, ONLY=writes,socket,…)
	@scripts/bench

bench-core: ## what the consensus core can do on one thread (ONLY=part-of-a-name, PERF=1 profiles it)
	@scripts/bench-core

soak: ## long cuts and delays, then the simulator until MINUTES=30 are over (FROM=seed goes on from there)
	@scripts/soak

model: ## the models of the protocol, all of them and to the end (minutes to hours)
	@scripts/model

mutants: ## changes the consensus core place by place: what nobody notices (FILE=node/leader.rs, MINUTES=n, PART=1/2)
	@scripts/mutants $(FILE)

lint: ## formatting, clippy, generated files, dependencies, chart, shell scripts
	@scripts/lint

fmt: ## format the sources
	@cargo fmt --all

generate: ## write the generated files anew
	@scripts/generate

export CONTEXT IMAGE PROFILE ONLY KEEP PERF MINUTES FROM PART HISTORIES QUICK ROUNDS OUT
