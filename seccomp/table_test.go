//go:build linux

package seccomp

import (
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Goldens: go test -update writes them anew.
var update = flag.Bool("update", false, "write the goldens in testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("%s, line %d (-update if that is meant):\n got %q\nwant %q", file, i+1, a, b)
		}
	}
}

var architectures = strings.Fields("386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x")

// The tables of all architectures, read from the sources on any of them: each
// name has the number of its own name, and the golden says where there is
// which.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("rules*.go")
	if err != nil {
		t.Fatal(err)
	}
	where := map[string][]string{} // "group name" → architectures
	var order []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var in []string
		for _, arch := range architectures {
			context := build.Default
			context.GOOS, context.GOARCH = "linux", arch
			if ok, err := context.MatchFile(".", file); err != nil {
				t.Fatal(err)
			} else if ok {
				in = append(in, arch)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			name, number, group, ok := ruleOf(n)
			if !ok {
				return true
			}
			if number != "SYS_"+strings.ToUpper(name) {
				t.Errorf("%s: %s has the number %s", file, name, number)
			}
			key := fmt.Sprintf("%-11s %s", group, name)
			if where[key] == nil {
				order = append(order, key)
			}
			where[key] = append(where[key], in...)
			return true
		})
	}
	var b strings.Builder
	for _, key := range order {
		archs := where[key]
		slices.SortFunc(archs, func(a, b string) int {
			return slices.Index(architectures, a) - slices.Index(architectures, b)
		})
		if len(slices.Compact(slices.Clone(archs))) != len(archs) {
			t.Errorf("%s: twice on an architecture: %s", key, archs)
		}
		on := strings.Join(archs, " ")
		if len(archs) == len(architectures) {
			on = "everywhere"
		}
		fmt.Fprintf(&b, "%-36s %s\n", key, on)
	}
	golden(t, "tables.txt", b.String())
}

// ruleOf takes {"name", unix.SYS_NAME, group} apart.
func ruleOf(n ast.Node) (name, number, group string, ok bool) {
	lit, ok := n.(*ast.CompositeLit)
	if !ok || lit.Type != nil || len(lit.Elts) != 3 {
		return "", "", "", false
	}
	s, ok1 := lit.Elts[0].(*ast.BasicLit)
	nr, ok2 := lit.Elts[1].(*ast.SelectorExpr)
	g, ok3 := lit.Elts[2].(*ast.Ident)
	if !ok1 || !ok2 || !ok3 {
		return "", "", "", false
	}
	return strings.Trim(s.Value, `"`), nr.Sel.Name, g.Name, true
}

var capabilityNames = map[int]string{
	2: "DAC_READ_SEARCH", 16: "SYS_MODULE", 17: "SYS_RAWIO", 18: "SYS_CHROOT", 19: "SYS_PTRACE", 20: "SYS_PACCT",
	21: "SYS_ADMIN", 22: "SYS_BOOT", 23: "SYS_NICE", 25: "SYS_TIME", 26: "SYS_TTY_CONFIG", 34: "SYSLOG",
	38: "PERFMON", 39: "BPF",
}

// The rules and the program of one architecture, as a reader sees them.
func TestListing(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the golden is of amd64; TestTables has the tables of all")
	}
	var b strings.Builder
	for _, r := range Rules(0) {
		var unless []string
		for c := range 64 {
			if r.Unless>>c&1 == 1 {
				unless = append(unless, capabilityNames[c])
			}
		}
		if unless == nil {
			unless = []string{"-"}
		}
		what := r.Name
		if r.When != "" {
			what += " " + r.When
		}
		fmt.Fprintf(&b, "%3d  %-62s %-6s  %-17s %s\n", r.Number, what, unix.ErrnoName(r.Errno), strings.Join(unless, "|"), r.Why)
	}
	golden(t, "rules_amd64.txt", b.String())
	golden(t, "program_amd64.txt", listing(Filter(some)))
}
