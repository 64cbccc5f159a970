//go:build linux

package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Help is what was asked for, so it goes to standard output; and it takes no
// privilege.
func TestHelp(t *testing.T) {
	for _, words := range []string{"help", "-h", "-help", "--help", "-p 80:8000 -isolate -h 172.16.0.30 true"} {
		status, stdout, stderr := runCommand(strings.Fields(words)...)
		if status != 0 || stderr != "" || !strings.HasPrefix(stdout, usage) {
			t.Errorf("main %s: status %d, standard error %q, standard output %q; want 0, nothing, and the usage", words, status, stderr, stdout)
		}
		for _, line := range []string{
			"  -bridge NAME", "  -gateway CIDR[,CIDR6]", "  -network MODE", "  -n", "  -nat", "  -isolate", "  -mtu N", "  -mac ADDRESS",
			"  -hostname NAME", "  -p [HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]", "  -t", "  -pcap FILE", "  -x", "  -xx",
			"  exec  -e -pcap -t -u -w -x -xx", "  ls    -json -pcap -x -xx", "  check -json -pcap -x -xx",
			"  gc    -pcap -x -xx", "  down  -pcap -x -xx",
		} {
			if !strings.Contains(stdout, "\n"+line+"\n") {
				t.Fatalf("main %s has no line %q:\n%s", words, line, stdout)
			}
		}
	}
}

// Each verb tells of itself, and of its own flags alone.
func TestHelpOfVerbs(t *testing.T) {
	for verb := range verbHelp {
		if !strings.Contains(usage, "\n       main "+verb+" ") {
			t.Errorf("the usage has no verb %q", verb)
		}
		ways := []string{"help " + verb, verb + " -h", verb + " -help", verb + " --help"}
		if hasFlags(flagsOf(verb)) {
			words, ok := map[string]string{
				"exec": "exec -e A=b -h", "ls": "ls -json -h", "check": "check -json -h", "gc": "gc -x -xx -h", "down": "down -pcap FILE -h",
			}[verb]
			if !ok {
				t.Fatalf("%s has flags, and this test knows none of them", verb)
			}
			ways = append(ways, words)
		}
		var first string
		for _, words := range ways {
			status, stdout, stderr := runCommand(strings.Fields(words)...)
			if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "usage: main "+verb) {
				t.Errorf("main %s: status %d, standard error %q, standard output %q; want 0, nothing, and the usage", words, status, stderr, stdout)
			}
			if first == "" {
				first = stdout
			}
			if stdout != first {
				t.Errorf("main %s: %q, where main %s says %q", words, stdout, ways[0], first)
			}
			var flags []string
			for line := range strings.Lines(stdout) {
				if word, ok := strings.CutPrefix(line, "  -"); ok {
					flags = append(flags, strings.Fields(word)[0])
				}
			}
			if want := flagNames(flagsOf(verb)); !slices.Equal(flags, want) {
				t.Errorf("main %s tells of the flags %q, want %q", words, flags, want)
			}
		}
	}
	for _, words := range []string{"help nonsense", "help ls check"} {
		if status, stdout, stderr := runCommand(strings.Fields(words)...); status != statusSetup || stdout != "" || !strings.HasPrefix(stderr, "main: help") {
			t.Errorf("main %s: status %d, standard output %q, standard error %q; want 125, nothing, and an error", words, status, stdout, stderr)
		}
	}
}

// -h behind the flags is not one: it is the command's, or a flag's value.
func TestAsksForHelp(t *testing.T) {
	for _, words := range []string{
		"172.16.0.30 ls -h", "-- 172.16.0.30 -h", "-w -h 172.16.0.30 true", "exec 172.16.0.30 ls --help", "ls", "", "-q -h",
	} {
		if verb, asks := asksForHelp(strings.Fields(words)); asks {
			t.Errorf("main %s is taken for a cry for help, of %q", words, verb)
		}
	}
}

func flagNames(fs *flag.FlagSet) []string {
	var all []string
	fs.VisitAll(func(f *flag.Flag) { all = append(all, f.Name) })
	return all // in the order of their names
}

// defaults are those that a text can state, by flag. The others depend on the
// host, or are to do nothing.
func defaults() map[string]string {
	o := new(options)
	fs := flags(o)
	return map[string]string{
		"bridge":  o.bridge,
		"gateway": o.gateways[0].String(),
		"nat":     fmt.Sprint(o.nat),
		"network": o.network,
		"u":       fs.Lookup("u").DefValue,
	}
}

// What a flag's text says of its default is true, and said once.
func TestDefaultsInHelp(t *testing.T) {
	for name, fs := range map[string]*flag.FlagSet{"run": flags(new(options)), "exec": flagsOf("exec"), "ls": flagsOf("ls"), "gc": flagsOf("gc")} {
		want := defaults()
		fs.VisitAll(func(f *flag.Flag) {
			_, text := flag.UnquoteUsage(f)
			said := strings.Count(text, "default")
			if d, ok := want[f.Name]; ok {
				if said != 1 || !strings.Contains(text, "(default "+d) {
					t.Errorf("%s: -%s: %q does not say (default %s), or says more", name, f.Name, text, d)
				}
				return
			}
			if said > 1 {
				t.Errorf("%s: -%s: %q has more than one default", name, f.Name, text)
			}
			// A terminal's is whether there is one.
			if f.DefValue != "" && f.DefValue != "false" && f.Name != "t" {
				t.Errorf("%s: -%s: the default %q is not told, as this test doesn't know it", name, f.Name, f.DefValue)
			}
		})
	}
}
