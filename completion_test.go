//go:build linux

package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"container/integration/need"
)

// completer is a shell that completes a command line: it reads lines from standard input,
// and writes for each what could stand at its end, a word a line, and then
// "END".
type completer struct {
	name   string
	file   string // with the completions
	script string // its arguments: the directory of the completions, and one to work in

	// cuts tells that a word begins behind its last ":" or "=".
	cuts bool
}

var completers = []completer{
	{name: "bash", file: "main.bash", cuts: true, script: `
. "$1/main.bash"
while IFS= read -r line; do
	COMP_LINE=$line COMP_POINT=${#line}
	_main
	for word in "${COMPREPLY[@]}"; do printf '%s\n' "$word"; done
	echo END
done
`},
	// A terminal, and a zsh in it that writes to a file what it is given to
	// offer.
	{name: "zsh", file: "_main", script: `
cat >$2/inside <<'EOT'
PROMPT= RPROMPT=
setopt no_beep no_auto_list no_auto_menu
autoload -Uz compinit && compinit -u -D
compadd() {
	if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
		local -a words
		builtin compadd -A words "$@"
		(( $#words )) && print -rl -- $words >>$OUT
	fi
	builtin compadd "$@"
}
finish() { comppostfuncs=(finish); print END >>$OUT; print -n '<end>' }
comppostfuncs=(finish)
bindkey '^I' complete-word
bindkey '^U' kill-whole-line
print '<''ready>'
EOT
zmodload zsh/zpty
zpty inside "TERM=vt100 OUT=$2/out zsh -f -i"
zpty -w inside "fpath=($1 \$fpath); source $2/inside"
zpty -r inside seen '*<ready>*'
while IFS= read -r line; do
	zpty -w -n inside $'\C-u'$line$'\t'
	zpty -r inside seen '*<end>*'
done
zpty -d inside
cat $2/out
`},
}

// complete is what could stand at the end of each line. A wrapper is a command
// that runs the shell.
func (s completer) complete(t *testing.T, lines []string, wrapper ...string) [][]string {
	t.Helper()
	need.Tool(t, s.name)
	completions, err := filepath.Abs("completions")
	if err != nil {
		t.Fatal(err)
	}
	// The file is read here so that go test sees that its result depends on it.
	if _, err := os.ReadFile(filepath.Join(completions, s.file)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(s.script), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := append(slices.Clone(wrapper), s.name, script, completions, dir)
	if s.name == "zsh" {
		argv = slices.Insert(argv, len(wrapper)+1, "-f")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", s.name, err, stderr.Bytes())
	}
	all := [][]string{nil}
	for word := range strings.Lines(string(out)) {
		last := &all[len(all)-1]
		if word = strings.TrimSpace(word); word == "END" {
			slices.Sort(*last)
			*last = slices.Compact(*last)
			all = append(all, nil)
		} else if word != "" {
			*last = append(*last, word)
		}
	}
	if all = all[:len(all)-1]; len(all) != len(lines) {
		t.Fatalf("%s: %d answers to %d lines", s.name, len(all), len(lines))
	}
	return all
}

// completion is a line, and what could stand at its end.
type completion struct {
	line string
	want []string
}

// Both shells offer all flags and no others, for each verb; they know which
// take a value, and the values that are listed somewhere.
func TestCompletion(t *testing.T) {
	var verbs []string
	for verb := range verbHelp {
		verbs = append(verbs, verb)
	}
	slices.Sort(verbs)
	flagsOfA := func(fs *flag.FlagSet) []string {
		words := []string{"-h"}
		for _, name := range flagNames(fs) {
			words = append(words, "-"+name)
		}
		slices.Sort(words)
		return words
	}
	capabilities := append([]string{"ALL"}, capNames[:]...)
	slices.Sort(capabilities)
	auto := []string{"auto"}
	first := append([]string{"auto"}, verbs...)
	slices.Sort(first)

	tests := []completion{
		{"main ", first},
		{"main -", flagsOfA(flags(new(options)))},
		{"main -p 80:8000 -", flagsOfA(flags(new(options)))},
		{"main help ", verbs},
		{"main help gc ", nil},
		{"main -network ", []string{"bridge", "host", "none"}},
		{"main -network=h", []string{"host"}},
		{"main -network none setpri", []string{"setpriv"}},
		{"main -network=host setpri", []string{"setpriv"}},
		{"main -network bridge au", auto},
		{"main auto setpri", []string{"setpriv"}},
		{"main -p 80:8000 -t auto setpri", []string{"setpriv"}},
		{"main -cap-add ", capabilities},
		{"main -cap-drop SYS_M", []string{"SYS_MODULE"}},
		{"main -e CONTAINER_TES", []string{"CONTAINER_TEST"}},
		{"main exec -u roo", []string{"root"}},
		{"main -t=f", []string{"false"}},
		{"main -v DIR/tree/etc:/x:", []string{"ro"}},
		{"main -hostname ", nil},
		{"main -rootfs DIR/tr", []string{"DIR/tree"}},
		{"main -v DIR/tree/et", []string{"DIR/tree/etc"}},
		{"main -rootfs DIR/tree -w /e", []string{"/etc"}},
		{"main -rootfs DIR/tree auto onl", []string{"only-here"}},
		{"main auto cat DIR/tr", []string{"DIR/tree"}},
		{"main -pcap DIR/tr", []string{"DIR/tree"}},
		{"main -pcap=DIR/tr", []string{"DIR/tree"}},
		{"main gc -x -pcap DIR/tr", []string{"DIR/tree"}},
		{"main exec -pcap DIR/tr", []string{"DIR/tree"}},
		{"main -x -xx -pcap trace auto setpri", []string{"setpriv"}},
		{"main -n -x auto setpri", []string{"setpriv"}},
		{"main ls -x -j", []string{"-json"}},
		{"main ls -pcap trace -j", []string{"-json"}},
		{"main ls -json -x=f", []string{"false"}},
		{"main exec -x 172.16.0.31 setpri", []string{"setpriv"}},
		{"main gc x -", nil},
		{"DIR/main exec ", []string{"172.16.0.30", "172.16.0.31", "fd00:16::31"}},
		{"DIR/main exec fd00:1", []string{"fd00:16::31"}},
		{"DIR/main exec 172.16.0.31 setpri", []string{"setpriv"}},
	}
	flags(new(options)).VisitAll(func(f *flag.Flag) {
		line, want := "main -"+f.Name+" aut", []string(nil)
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			want = auto
		}
		tests = append(tests, completion{line, want})
	})
	for _, verb := range verbs {
		if verb != "help" {
			tests = append(tests, completion{"main " + verb + " -", flagsOfA(flagsOf(verb))})
		}
	}

	dir := t.TempDir()
	for name, text := range map[string]string{
		"tree/etc/passwd":    "",
		"tree/bin/only-here": "",
		"main": `#!/bin/sh
echo 'ADDRESS                  PID   UP  NETWORK  PORTS        COMMAND'
echo '172.16.0.30              4242  5m  br0      -            bash'
echo '172.16.0.31,fd00:16::31  4311  8s  br0      80:8000/tcp  nc -l -p 8000'
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CONTAINER_TEST", "1")
	for _, s := range completers {
		t.Run(s.name, func(t *testing.T) {
			need.Tool(t, "setpriv")
			var lines []string
			for _, tt := range tests {
				lines = append(lines, strings.ReplaceAll(tt.line, "DIR", dir))
			}
			for i, got := range s.complete(t, lines) {
				var want []string
				for _, w := range tests[i].want {
					w = strings.ReplaceAll(w, "DIR", dir)
					want = append(want, s.inserted(lines[i], w))
				}
				// zsh offers a path's last part, and adds the rest.
				if s.name == "zsh" {
					for j := range got {
						got[j] = strings.TrimSuffix(got[j], "/")
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q: %q, want %q", tests[i].line, got, want)
				}
			}
		})
	}
}

// inserted is what a shell puts in to complete a line's last word.
func (s completer) inserted(line, word string) string {
	last := line[strings.LastIndexByte(line, ' ')+1:]
	switch {
	case s.cuts:
		if i := strings.LastIndexAny(last, ":="); i >= 0 && strings.HasPrefix(word, last[:i+1]) {
			return word[i+1:]
		}
	case strings.Contains(word, "/"):
		return filepath.Base(word)
	}
	return word
}

// The bridges that there are: those of a network namespace of its own.
func TestCompletionOfBridges(t *testing.T) {
	need.Root(t)
	need.Tool(t, "unshare")
	need.Tool(t, "ip")
	const world = `mount -t sysfs sysfs /sys && ip link add br7 type bridge && ip link add veth7 type veth && exec "$@"`
	for _, s := range completers {
		t.Run(s.name, func(t *testing.T) {
			got := s.complete(t, []string{"main -bridge "}, "unshare", "--net", "--mount", "sh", "-c", world, "sh")
			if want := []string{"br7"}; !slices.Equal(got[0], want) {
				t.Errorf("%q, want %q", got[0], want)
			}
		})
	}
}
