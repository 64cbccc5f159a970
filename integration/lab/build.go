//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The two programs are built once for a test binary, on first use, unless the
// environment tells where they are: those who compile as themselves and test
// as root set MAIN_BINARY and PROBE_BINARY.
var (
	binaries = sync.OnceValues(build)
	buildDir string
)

type paths struct{ main, probe string }

func build() (paths, error) {
	p := paths{os.Getenv("MAIN_BINARY"), os.Getenv("PROBE_BINARY")}
	var err error
	if p.main, err = buildOne(p.main, "main", "container"); err != nil {
		return p, err
	}
	p.probe, err = buildOne(p.probe, "probe", "container/integration/probe")
	return p, err
}

// buildOne builds a package as the Makefile does, in a directory that Cleanup
// removes.
func buildOne(given, name, pkg string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	if buildDir == "" {
		var err error
		if buildDir, err = os.MkdirTemp("", "container-test-"); err != nil {
			return "", err
		}
	}
	path := filepath.Join(buildDir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Cleanup removes what was built. TestMain calls it when all tests have run.
func Cleanup() {
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
}

func mainBinary(t testing.TB) string {
	t.Helper()
	p, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return p.main
}

// MainBinary is the absolute path of the built ./main.
func MainBinary(t testing.TB) string {
	t.Helper()
	return mainBinary(t)
}

// Probe is the absolute path of the probe, a static program that does what the
// tests need done inside a container (see integration/probe). The container
// runs the host's own tree, so the path holds there too.
func Probe(t testing.TB) string {
	t.Helper()
	p, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return p.probe
}
