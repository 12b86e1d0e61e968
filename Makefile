# What the project can do for you. `make test` needs Go and git; the rest it installs or names.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
TOOL    := go tool -modfile=tools.mod

.PHONY: build generate lint test bench

build: ## one static binary, bin/postern
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -X main.version=$(VERSION)' -o bin/postern ./cmd/postern

generate: ## pages from their templ files
	$(TOOL) templ generate -path views

lint: ## formatting, vet and staticcheck
	test -z "$$(gofmt -l . | grep -v _templ.go)"
	go vet ./...
	$(TOOL) staticcheck ./...

test: lint ## everything, with a real browser and a real PostgreSQL
	sh deploy/test-requirements.sh
	POSTERN_TEST_ALL=1 go test -timeout 20m ./...

bench: ## speed, with PostgreSQL if it is there
	go test -run '^$$' -bench . -benchmem ./...
