# One static binary. The flags make the same bytes in any directory.
GOFLAGS := -trimpath
SOURCE  := $(shell git describe --always --dirty 2>/dev/null || echo unknown source)
LDFLAGS := -s -w -buildid= -X 'main.source=$(SOURCE)'

main: $(shell find . -name '*.go' -not -name '*_test.go' -not -path './integration/*') go.mod go.sum Makefile
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags "$(LDFLAGS)" -o $@ .
