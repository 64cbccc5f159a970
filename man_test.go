//go:build linux

package main

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/need"
)

// manual is main.8 by its headings (.Sh and .Ss), as it is written.
func manual(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("main.8")
	if err != nil {
		t.Fatal(err)
	}
	parts := make(map[string]string)
	heading := ""
	for line := range strings.Lines(string(b)) {
		if len(line) > 4 && (line[:4] == ".Sh " || line[:4] == ".Ss ") {
			heading = strings.TrimSpace(line[4:])
			continue
		}
		parts[heading] += line
	}
	return parts
}

// The manual has every flag of every verb, in the order of their names, and no
// other; and their defaults, where they can be stated.
func TestManualHasFlags(t *testing.T) {
	parts := manual(t)
	sets := map[string]*flag.FlagSet{"a run": flags(new(options))}
	for verb := range verbHelp {
		if fs := flagsOf(verb); hasFlags(fs) {
			sets[verb] = fs
		}
		if !strings.Contains(parts["Verbs"], "\n.It Cm "+verb+"\n") {
			t.Errorf("the manual doesn't tell of %s", verb)
		}
	}
	for verb, fs := range sets {
		// What is before the first is no flag.
		items := strings.Split(parts["Flags of "+verb], "\n.It Fl ")[1:]
		texts := make(map[string]string)
		var names []string
		for _, text := range items {
			name, text, _ := strings.Cut(strings.Replace(text, "\n", " ", 1), " ")
			names = append(names, name)
			texts[name] = text
		}
		if want := flagNames(fs); !slices.Equal(names, want) {
			t.Errorf("the manual has the flags %q of %s, and there are %q", names, verb, want)
		}
		want := defaults()
		for name, text := range texts {
			switch d := want[name]; {
			case d != "" && !strings.Contains(text, "(default "+d+")") && !strings.Contains(text, "(default "+d+","):
				t.Errorf("the manual doesn't say that -%s of %s has the default %s", name, verb, d)
			case d == "" && strings.Contains(text, "(default ") && name != "hostname":
				t.Errorf("the manual has a default of -%s of %s that this test doesn't know", name, verb)
			}
		}
	}
	for heading := range parts {
		if verb, ok := strings.CutPrefix(heading, "Flags of "); ok && sets[verb] == nil {
			t.Errorf("the manual has flags of %s, which has none", verb)
		}
	}
}

// The manual is set without a complaint, and has each flag's value as the help
// has it.
func TestManual(t *testing.T) {
	need.Tool(t, "mandoc")
	_ = manual(t) // so that go test sees that its result depends on it
	if out, err := exec.Command("mandoc", "-T", "lint", "-W", "warning", "main.8").CombinedOutput(); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	out, err := exec.Command("mandoc", "-T", "ascii", "-O", "width=200", "main.8").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Bold is a letter, a backspace and the letter.
	text := regexp.MustCompile(".\b").ReplaceAllString(string(out), "")
	for _, fs := range []*flag.FlagSet{flags(new(options)), flagsOf("exec")} {
		fs.VisitAll(func(f *flag.Flag) {
			item := "-" + f.Name
			if value, _ := flag.UnquoteUsage(f); value != "" {
				item += " " + value
			}
			if !regexp.MustCompile(`(?m)^ {5}` + regexp.QuoteMeta(item) + `( |$)`).MatchString(text) {
				t.Errorf("the manual has no item %q", item)
			}
		})
	}
	// The synopsis is that of the usage.
	synopsis, _, _ := strings.Cut(text[strings.Index(text, "SYNOPSIS"):], "DESCRIPTION")
	for _, line := range []string{
		"main [flags] ADDRESS COMMAND [ARG ...]", "main exec [flags] ADDRESS COMMAND [ARG ...]", "main ls [flags]",
		"main check [flags]", "main gc [flags]", "main down [flags]", "main version", "main help [VERB]",
	} {
		if !strings.Contains(synopsis, "     "+line+"\n") {
			t.Errorf("the synopsis has no line %q:\n%s", line, synopsis)
		}
		if words := strings.ReplaceAll(line, "ARG ...", "ARG..."); !strings.Contains(usage, words) {
			t.Errorf("the usage has no %q:\n%s", words, usage)
		}
	}
}
