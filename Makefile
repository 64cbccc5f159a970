# make            one static, stripped, reproducible binary: ./main
# make install    the binary, its man page and completions, below PREFIX and DESTDIR; make uninstall
# make run        build it and run a shell in a container
# make test       all tests, as root; installs the tools that they look with
# make bench      what a run takes, beside a C program that does the same and the peers that
#                 are installed; into docs/bench.md (BENCH='-n 30 start': less of it, printed)
# make bench-peers  installs the peers, from Debian
# make faults     each system call of a run, an exec, a down and a gc goes wrong once (half an hour; FAULTS='-only clone3')
# make storm      as many containers at once as there can be, and churn: minutes, on a machine with nothing else to do
# make docs       what a run tells of itself, put into docs/tour.md
# make vm         boot a bare machine in qemu and run ./main there (ARCH=arm64 KERNEL=6.12; VM='-cases run,nat')
# make vm-all     every architecture and kernel that is known, and the table of docs/hosts.md; vm-ram: how much memory they need
# make vm-missing a kernel without one module after another; vm-modules: main loads them; vm-ci: the boots that every change must pass
# make lint       gofmt, go vet, staticcheck, golangci-lint
# make fuzz       every fuzz target, FUZZTIME each
# make vuln       known vulnerabilities of what is linked in (govulncheck)
# make dist       the binary for each architecture, and SHA256SUMS, in dist/

SOURCE   := $(shell git describe --always --dirty 2>/dev/null || echo 'unknown source')
LDFLAGS  := -s -w -buildid= -X 'main.source=$(SOURCE)'
# What makes it small, beside -s -w: functions that stand close together, none
# put into another but in Go's runtime, and the garbage collector that Go had
# before 1.26, where it still has it. It saves 0.34 MB and costs a run nothing that
# could be measured. (Without inlining in the runtime it is another 0.07 MB, and a
# run takes 5 % longer.) childcode_test.go looks at what becomes of the child
# between clone and execve.
LDFLAGS  += -funcalign=4
GCFLAGS  := -gcflags all=-l -gcflags runtime= -gcflags internal/runtime/...=
SMALLER  := $(shell GOEXPERIMENT=nogreenteagc go env GOEXPERIMENT 2>/dev/null)
SOURCES  := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './integration/*')
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FUZZTIME ?= 60s

# What the tests look at the kernel with. The product needs none of it.
TOOLS    := ip:iproute2 nft:nftables sysctl:procps top:procps strace:strace busybox:busybox-static perl:perl \
            iptables-nft:iptables iptables-legacy:iptables conntrack:conntrack bash:bash zsh:zsh mandoc:mandoc \
            tshark:tshark tmux:tmux vim:vim less:less setpriv:util-linux unshare:util-linux nsenter:util-linux \
            flock:util-linux mount:mount script:bsdutils capsh:libcap2-bin

BUILD     = CGO_ENABLED=0 GOEXPERIMENT=$(SMALLER) go build -trimpath -buildvcs=false $(GCFLAGS) -ldflags "$(LDFLAGS)"

main: $(SOURCES) go.mod go.sum Makefile
	$(BUILD) -o $@ .

# Go's ports to Linux; arm by GOARM. MIPS without a floating-point unit, as the
# small ones are.
ARCHES   := 386 amd64 arm5 arm6 arm7 arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x
BINARIES := $(ARCHES:%=dist/main-linux-%)

# The same source (SOURCE, which "main version" prints) gives the same bytes,
# wherever it is built.
.PHONY: dist
dist: $(BINARIES)
	cd dist && sha256sum $(notdir $(BINARIES)) >SHA256SUMS

dist/main-linux-%: $(SOURCES) go.mod go.sum Makefile
	GOOS=linux GOARCH=$(if $(filter arm5 arm6 arm7,$*),arm GOARM=$(*:arm%=%),$*) GOMIPS=softfloat GOMIPS64=softfloat $(BUILD) -o $@ .

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

# What runs the tests: CI takes one that tries a failed test again, and says so.
GOTEST   ?= go test ./...

# They take a few minutes, and several times as long on a machine that others use
# as well: more than the ten that go test has patience for.
.PHONY: test
test: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 $(GOTEST) -timeout 40m

.PHONY: race
race: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 $(GOTEST) -race -timeout 40m

.PHONY: storm
storm: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 MAIN_BINARY="$$PWD/main" go test ./integration -count=1 -timeout 30m -v -run '^(TestStorm|TestFullBridge|TestChurn)$$' -storm

.PHONY: tools
tools:
	@for t in $(TOOLS); do command -v $${t%%:*} >/dev/null || missing="$$missing $${t#*:}"; done; \
	[ -z "$$missing" ] || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends $$missing; }

.PHONY: bench
bench: BENCH ?= -o docs/bench.md
bench: main
	$(SUDO) env PATH="$$PATH:$$(go env GOPATH)/bin" go run ./integration/bench -main ./main $(BENCH)

.PHONY: bench-peers
bench-peers:
	$(SUDO) apt-get update -q
	$(SUDO) apt-get install -qy --no-install-recommends bubblewrap crun runc systemd-container \
		containernetworking-plugins podman netavark aardvark-dns conmon docker.io iptables iperf3
	go install github.com/containernetworking/cni/cnitool@v1.3.0

# TestFaults tries a sample of this at each "make test".
.PHONY: faults
faults: main tools
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 MAIN_BINARY="$$PWD/main" go test ./integration/faults -count=1 -v -timeout 6h -every $(FAULTS)

.PHONY: docs
docs: main
	$(SUDO) env PATH="$$PATH" MUST_RUN=1 MAIN_BINARY="$$PWD/main" go test ./integration -count=1 -run '^TestTour$$' -update

ARCH     ?= amd64
KERNEL   ?= 6.1
RUN_VM   := go run ./integration/vm

.PHONY: vm vm-all vm-ram vm-missing vm-modules vm-ci
vm:
	$(RUN_VM) -arch $(ARCH) -kernel $(KERNEL) $(VM)

vm-all:
	$(RUN_VM) -all -table docs/hosts.md $(VM)

vm-ram:
	$(RUN_VM) -all -ram -patience 1m -table docs/hosts.md $(VM)

vm-missing:
	$(RUN_VM) -missing $(VM)

vm-modules:
	$(RUN_VM) -modules $(VM)

vm-ci:
	$(RUN_VM) -ci $(VM)

.PHONY: lint
lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo 'gofmt would change these'; exit 1; }
	go vet ./...
	GOARCH=386 go vet ./...
	GOARCH=s390x go vet ./...
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

# Without an answer of the database nothing is known, so that is a failure too.
VULN := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: vuln
vuln:
	@out=$$(go run $(VULN) ./... 2>&1); status=$$?; echo "$$out"; \
	case "$$status $$out" in \
	0*) ;; \
	*'exit status 3'*) exit 1 ;; \
	*) echo "make vuln: nothing was checked: the database ($${GOVULNDB:-https://vuln.go.dev}) could not be had" >&2; exit 2 ;; \
	esac

.PHONY: clean
clean:
	rm -f main integration/bench/floor
	rm -rf dist
