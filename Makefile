# make            one static, stripped, reproducible binary: ./main
# make install    the binary, its man page and completions, below PREFIX and DESTDIR; make uninstall
# make run        build it and run a shell in a container
# make test       all tests, as root; installs the tools that they look with
# make bench      a whole run against a C program that does the same (BENCH='-n 30')
# make docs       what a run tells of itself, put into docs/tour.md
# make lint       gofmt, go vet, staticcheck, golangci-lint
# make fuzz       every fuzz target, FUZZTIME each

SOURCE   := $(shell git describe --always --dirty 2>/dev/null || echo 'unknown source')
LDFLAGS  := -s -w -buildid= -X 'main.source=$(SOURCE)'
# What makes it small, beside -s -w: functions that stand close together, none
# put into another, and the garbage collector that Go had before 1.26, where it
# still has it. It costs a run 2 to 6 % of CPU time; childcode_test.go
# looks at what becomes of the child between clone and execve.
LDFLAGS  += -funcalign=4
GCFLAGS  := all=-l
SMALLER  := $(shell GOEXPERIMENT=nogreenteagc go env GOEXPERIMENT 2>/dev/null)
SOURCES  := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './integration/*')
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FUZZTIME ?= 60s

# What the tests look at the kernel with. The product needs none of it.
TOOLS    := ip:iproute2 nft:nftables sysctl:procps top:procps strace:strace busybox:busybox-static perl:perl \
            iptables-nft:iptables iptables-legacy:iptables conntrack:conntrack bash:bash zsh:zsh mandoc:mandoc \
            tshark:tshark tmux:tmux vim:vim less:less setpriv:util-linux unshare:util-linux nsenter:util-linux \
            flock:util-linux mount:mount script:bsdutils capsh:libcap2-bin

main: $(SOURCES) go.mod go.sum Makefile
	CGO_ENABLED=0 GOEXPERIMENT=$(SMALLER) go build -trimpath -buildvcs=false -gcflags "$(GCFLAGS)" -ldflags "$(LDFLAGS)" -o $@ .

PREFIX   ?= /usr/local
ROOT     := $(DESTDIR)$(PREFIX)
MAN8     := $(ROOT)/share/man/man8/main.8
FOR_BASH := $(ROOT)/share/bash-completion/completions/main
FOR_ZSH  := $(ROOT)/share/zsh/site-functions/_main

.PHONY: install
install: main
	install -D -m 755 main $(ROOT)/bin/main
	install -D -m 644 main.8 $(MAN8)
	install -D -m 644 completions/main.bash $(FOR_BASH)
	install -D -m 644 completions/_main $(FOR_ZSH)

.PHONY: uninstall
uninstall:
	rm -f $(ROOT)/bin/main $(MAN8) $(FOR_BASH) $(FOR_ZSH)

.PHONY: run
run: main
	$(SUDO) ./main 172.16.0.30 sh

.PHONY: test
test: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 go test ./...

.PHONY: race
race: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 go test -race ./...

.PHONY: tools
tools:
	@for t in $(TOOLS); do command -v $${t%%:*} >/dev/null || missing="$$missing $${t#*:}"; done; \
	[ -z "$$missing" ] || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends $$missing; }

.PHONY: bench
bench: main
	$(SUDO) env PATH="$$PATH" go run ./integration/bench -main ./main $(BENCH)

.PHONY: docs
docs: main
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 MAIN_BINARY="$$PWD/main" go test ./integration -count=1 -run '^TestTour$$' -update

.PHONY: lint
lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo 'gofmt would change these'; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

# Each fuzz target of each package, one after another.
.PHONY: fuzz
fuzz:
	@for pkg in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: clean
clean:
	rm -f main integration/bench/floor
