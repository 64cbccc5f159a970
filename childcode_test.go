//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/need"
)

// childCode is the functions that run between clone and execve, or for good in
// a child that never calls execve. The compiler may have put some of them into
// others.
var childCode = []string{
	"main.rawClone", "main.cloneProcess", "main.resetHandlers", "main.oldClone", "main.runProgram", "main.runGuardian", "main.sayMade", "main.nameChild", "main.runChild",
	"main.failChild", "main.exitChild", "main.superviseChild", "main.exitStatus",
	"main.sigsetSize",
}

// systemCall is how a raw system call comes about: x/sys's function jumps to
// the standard library's, by way of a wrapper where the two pass arguments
// differently, and that one calls the instruction's.
var systemCall = []string{
	"golang.org/x/sys/unix.RawSyscall6", "golang.org/x/sys/unix.RawSyscall6.abi0",
	"syscall.RawSyscall6", "syscall.RawSyscall6.abi0",
	"internal/runtime/syscall/linux.Syscall6", "internal/runtime/syscall/linux.Syscall6.abi0",
}

// The rules at the head of clone_linux.go, read off the machine code: the
// child's functions call, jump to and refer to nothing but one another and the
// raw system call. So there is no growing of the stack (runtime.morestack), no
// write barrier, no panic, no race detector, and no variable of the runtime's.
func TestChildCallsNothing(t *testing.T) {
	needGo(t)
	for _, c := range []struct {
		name string
		args []string
		env  []string
	}{
		{"as shipped", []string{"-trimpath", "-gcflags=all=-l", "-gcflags=runtime=", "-gcflags=internal/runtime/...=", "-ldflags=-funcalign=4"}, []string{"CGO_ENABLED=0"}}, // as the Makefile has it
		{"with inlining", []string{"-trimpath"}, []string{"CGO_ENABLED=0"}},
		{"race detector", []string{"-race"}, []string{"CGO_ENABLED=1"}},
		{"arm", []string{"-gcflags=all=-l"}, []string{"CGO_ENABLED=0", "GOARCH=arm"}}, // 32 bits
		{"arm64", []string{"-gcflags=all=-l"}, []string{"CGO_ENABLED=0", "GOARCH=arm64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "main")
			args := append([]string{"build", "-buildvcs=false", "-o", binary}, c.args...)
			goTool(t, c.env, append(args, ".")...)
			code := disassemble(t, binary)
			for _, name := range []string{"main.rawClone", "main.runChild"} {
				if len(code[name]) == 0 {
					t.Errorf("%s is not there", name)
				}
			}
			for name, lines := range code {
				for _, line := range lines {
					why := objection(line)
					if why == "" || c.name == "race detector" && wrapper(name, why) {
						continue
					}
					t.Errorf("%s %s:\n%s", name, why, line)
				}
			}
		})
	}
}

// wrapper tells whether an objection is to what the race detector adds to the
// wrapper between x/sys and the standard library, which nothing here can keep
// it from. It notes the call in a list of the thread's own. (That list is a
// ring of parts, and to go to the next part takes a lock: a child of a test
// binary that was built so might hang there. None is shipped.)
func wrapper(name, why string) bool {
	return name == "syscall.RawSyscall6.abi0" && (why == "goes to runtime.racefuncenter" || why == "goes to runtime.racefuncexit")
}

var (
	// "main.runChild(SB)" in an operand.
	symbolOperand = regexp.MustCompile(`([^\s,*$]+?)(?:\+\d+)?\(SB\)`)
	// A call whose target is in a register or in memory, in the words of each
	// architecture.
	indirectCall = regexp.MustCompile(`\s(?:CALL|BL|BLX|JAL|JALR)\s+[^\s]*(?:\(|\bR?\d+\b|[ABCD]X|[SD]I)[^\s]*\s*$`)
)

// objection says what is wrong with an instruction of the child's code.
func objection(line string) string {
	symbols := symbolOperand.FindAllStringSubmatch(line, -1)
	for _, m := range symbols {
		if !slices.Contains(childCode, m[1]) && !slices.Contains(systemCall, m[1]) {
			return "goes to " + m[1]
		}
	}
	if len(symbols) == 0 && indirectCall.MatchString(line) {
		return "calls what only the run can tell"
	}
	return ""
}

func TestObjection(t *testing.T) {
	for line, want := range map[string]string{
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL golang.org/x/sys/unix.RawSyscall6.abi0(SB)	": "",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	BL main.runChild(SB)	":                            "",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	MOVQ AX, 0x38(SP)	":                               "",
		"clone_linux.go:246	0x10c9d0	5400056d	BLE 43(PC)	":                                        "",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	JBE 0x510c40	":                                    "",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL runtime.panicIndex(SB)	":                     "goes to runtime.panicIndex",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	JMP runtime.morestack_noctxt.abi0(SB)	":           "goes to runtime.morestack_noctxt.abi0",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CMPL runtime.writeBarrier(SB), $0x0	":             "goes to runtime.writeBarrier",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL runtime.duffzero+248(SB)	":                   "goes to runtime.duffzero",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL AX		":                                        "calls what only the run can tell",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL 0x18(DX)	":                                   "calls what only the run can tell",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	CALL (R1)	":                                       "calls what only the run can tell",
		"clone_linux.go:178	0x510a61	e8fa9dfbff	BL (R2)	":                                         "calls what only the run can tell",
	} {
		if got := objection(line); got != want {
			t.Errorf("%q: got the objection %q, want %q", line, got, want)
		}
	}
}

// disassemble is the instructions of each function of childCode and systemCall
// that a binary has.
func disassemble(t *testing.T, binary string) map[string][]string {
	t.Helper()
	var names []string
	for _, name := range slices.Concat(childCode, systemCall) {
		names = append(names, regexp.QuoteMeta(name))
	}
	out := goTool(t, nil, "tool", "objdump", "-s", "^("+strings.Join(names, "|")+")$", binary)
	code := make(map[string][]string)
	name := ""
	for line := range strings.Lines(out) {
		if head, ok := strings.CutPrefix(line, "TEXT "); ok {
			name, _, _ = strings.Cut(head, "(SB)")
		} else if line = strings.TrimSpace(line); line != "" {
			code[name] = append(code[name], line)
		}
	}
	return code
}

// needGo is for a test that builds the program: a user who has no module cache
// can't.
func needGo(t *testing.T) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		need.Skip(t, fmt.Sprintf("needs to build the program: %v\n%s", err, out))
	}
}

// goTool runs the go command and gives its output.
func goTool(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// No goroutine of the program locks its thread: the thread would end with it,
// and the kernel would kill the children that it made (dieWithParent).
func TestNoLockedThreads(t *testing.T) {
	seen := make(map[string]bool)
	var look func(dir string)
	look = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		for _, name := range pkg.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && id.Name == "LockOSThread" {
					t.Errorf("%s: LockOSThread", fset.Position(id.Pos()))
				}
				return true
			})
		}
		for _, path := range pkg.Imports {
			if sub, ok := strings.CutPrefix(path, "container/"); ok {
				look(sub)
			}
		}
	}
	look(".")
	for _, dir := range []string{"nl", "rtnl", "nat"} {
		if !seen[dir] {
			t.Errorf("package %s was not looked at", dir)
		}
	}
}
