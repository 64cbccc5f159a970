//go:build linux

package integration

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"container/integration/lab"
)

// docs/tour.md shows what a run tells of itself. A comment says what is shown,
// and the indented block below it is put there by "make docs":
//
//	<!-- -x: REGEXP -->               each line that matches
//	<!-- -x: REGEXP, to REGEXP -->   from the first that matches to the next that matches the other
//	<!-- -xx: REGEXP -->              the first that does, with its message
//	<!-- -xx: REGEXP, from REGEXP --> the same, without what is before a line
//
// What differs from run to run is replaced: see stable.
const tour = "../docs/tour.md"

// shownRun is the run that the tour is about.
var shownRun = []string{"-xx", "-p", "80:8000", "-mac", "02:00:00:00:00:30", address, "true"}

// telling is a line of a narration, and what is below it.
type telling struct {
	line string
	more []string
}

var shown = regexp.MustCompile(`^<!-- (-xx?): (.+?)(?:, (from|to) (.+))? -->$`)

// The tour shows what ./main tells today.
func TestTour(t *testing.T) {
	t.Parallel()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the tour shows the bytes of a little-endian machine")
	}
	run := stableRun(t)
	have, err := os.ReadFile(tour)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(string(have), run)
	if err != nil {
		t.Fatalf("%s: %v", tour, err)
	}
	if *update {
		if err := os.WriteFile(tour, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("%s is out of date, make docs (-want +have):\n%s", tour, diff)
	}
}

// What README.md shows of -x and -xx are lines of such a run as well.
func TestReadmeNarration(t *testing.T) {
	t.Parallel()
	var run strings.Builder
	for _, d := range stableRun(t) {
		fmt.Fprintln(&run, d.line)
		for _, line := range d.more {
			fmt.Fprintln(&run, line)
		}
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## See what it does\n")
	section, _, _ = strings.Cut(section, "\n## ")
	lines := 0
	for line := range strings.Lines(stable(section)) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if !ok || strings.HasPrefix(line, "$ ") || strings.TrimSpace(line) == "⋮" {
			continue
		}
		// … is what is left out.
		like := "(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + "$"
		if lines++; !regexp.MustCompile(like).MatchString(run.String()) {
			t.Errorf("no run tells this: %s", line)
		}
	}
	if lines < 20 {
		t.Errorf("README.md shows %d lines of narration, want at least 20", lines)
	}
}

// What the pages link to is there: files, and the functions that a link names.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	links := regexp.MustCompile("\\[(`?)([^]`]+)`?\\]\\(([^)#:]+)\\)")
	function := regexp.MustCompile(`^(?:[a-z]+\.)?([A-Za-z]+\.)?([A-Za-z0-9]+)$`)
	for _, page := range []string{"../README.md", "../docs/packet.md", tour} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all := links.FindAllStringSubmatch(string(text), -1)
		if len(all) < 5 {
			t.Errorf("%s: %d links", page, len(all))
		}
		for _, m := range all {
			file := filepath.Join(filepath.Dir(page), m[3])
			source, err := os.ReadFile(file)
			if info, serr := os.Stat(file); serr != nil {
				t.Errorf("%s: %s: %v", page, m[0], serr)
				continue
			} else if info.IsDir() || m[1] == "" || !strings.HasSuffix(file, ".go") {
				continue
			}
			f := function.FindStringSubmatch(m[2])
			if f == nil || err != nil {
				t.Errorf("%s: %s: what is the function? %v", page, m[0], err)
				continue
			}
			if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + f[2] + `\(`).Match(source) {
				t.Errorf("%s: %s: there is no such function", page, m[0])
			}
		}
	}
}

// fill puts into a page what a run told.
func fill(page string, run []telling) (string, error) {
	var out []string
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		m := shown.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		block, err := choose(run, m[1], m[2], m[3], m[4])
		if err != nil {
			return "", err
		}
		out = append(out, "")
		for _, line := range block {
			out = append(out, "    "+line)
		}
		out = append(out, "")
		for i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], "    ")) {
			i++
		}
	}
	return strings.Join(out, "\n"), nil
}

// choose is what a comment wants shown.
func choose(run []telling, level, pattern, word, limit string) (block []string, err error) {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	bound, err := regexp.Compile(limit)
	if err != nil {
		return nil, err
	}
	for i, d := range run {
		switch {
		case !want.MatchString(d.line):
			continue
		case level == "-xx":
			return message(d, word == "from", bound)
		case word != "to":
			block = append(block, d.line)
			continue
		}
		for _, d := range run[i:] {
			block = append(block, d.line)
			if bound.MatchString(d.line) {
				return block, nil
			}
		}
		return nil, fmt.Errorf("behind %q no line matches %q", pattern, limit)
	}
	if block == nil {
		return nil, fmt.Errorf("no line matches %q", pattern)
	}
	return block, nil
}

// message is a line and what is below it; only from a certain line on, if that
// is wanted.
func message(d telling, cut bool, from *regexp.Regexp) ([]string, error) {
	block, more := []string{d.line}, d.more
	if cut {
		block = append(block, "    ⋮")
		for len(more) > 0 && !from.MatchString(more[0]) {
			more = more[1:]
		}
	}
	if len(more) == 0 {
		return nil, fmt.Errorf("%s: no message, or no line %q in it", d.line, from)
	}
	return append(block, more...), nil
}

// stableRun is what the run tells, the same each time.
func stableRun(t *testing.T) (run []telling) {
	t.Helper()
	host := lab.New(t).Host
	host.SetSysctl("net/ipv4/ip_forward", "0") // as a host has it that is no router
	_, stderr, status := host.Main(shownRun...).Result()
	if status != 0 {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	for line := range strings.Lines(stable(stderr)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "+ ") {
			run = append(run, telling{line: line})
		} else if n := len(run); n > 0 {
			run[n-1].more = append(run[n-1].more, line)
		}
	}
	return run
}

// What differs from run to run, and what stands for it. The numbers of links
// depend on what the kernel puts into a new network namespace, those of messages
// on how often it was asked before.
var (
	ofTime    = regexp.MustCompile(`(?m)^( *\+) [0-9]+\.[0-9]{3}ms `)
	ofVeth    = regexp.MustCompile(`\bveth([0-9a-f]{8})\b`)
	ofPid     = regexp.MustCompile(`\b(nsenter -t |netns |pid |process |wait4\()[0-9]+\b`)
	ofClone   = regexp.MustCompile(`(?m)^( *\+ (?:\[guardian\] )?clone3?\(.*\) =) [0-9]+$`)
	ofMAC     = regexp.MustCompile(`\b(name veth1 address) [0-9a-f:]{17}`)
	ofHostMAC = regexp.MustCompile(`\bfe(?::[0-9a-f]{2}){5}\b`)
	ofFD      = regexp.MustCompile(`\b(bind|read|write)\([0-9]+, `)
	ofIndex   = regexp.MustCompile(`( lease '\{ [0-9a-f.:]+ :) [0-9]+ `)
	ofNumber  = regexp.MustCompile(`(?m)^(.*?)([0-9a-f]{2}(?: [0-9a-f]{2}){3})( +(nlmsg_seq|IFLA_NET_NS_PID|IFLA_MASTER|if[ai]_index)) ([0-9]+)$`)
	ofDevice  = regexp.MustCompile(` dev (lo|br0|veth1)\b`)
)

const (
	aVeth = "1f3a9c02"
	aPid  = 4242
)

// indexes are the numbers of links.
var indexes = map[string]uint32{"lo": 1, "veth1": 2, "br0": 3}

func stable(text string) string {
	for _, m := range ofVeth.FindAllStringSubmatch(text, -1) {
		text = strings.ReplaceAll(text, "veth"+m[1], "veth"+aVeth)
		text = strings.ReplaceAll(text, hexBytes([]byte(m[1])), hexBytes([]byte(aVeth)))
	}
	text = ofTime.ReplaceAllString(text, "$1 ")
	text = ofPid.ReplaceAllString(text, fmt.Sprint("${1}", aPid))
	text = ofClone.ReplaceAllString(text, fmt.Sprint("$1 ", aPid))
	text = ofMAC.ReplaceAllString(text, "$1 02:00:00:00:00:30")
	text = ofHostMAC.ReplaceAllString(text, "fe:00:00:00:00:30")
	text = ofFD.ReplaceAllString(text, "$1(5, ")
	text = ofIndex.ReplaceAllString(text, "$1 4 ")

	lines := strings.Split(text, "\n")
	var dev string
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "+ ") {
			dev = ""
			if m := ofDevice.FindStringSubmatch(line); m != nil {
				dev = m[1]
			}
		}
		m := ofNumber.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var n uint32
		switch {
		case m[5] == "0":
			continue
		case m[4] == "nlmsg_seq":
			n = 1
		case m[4] == "IFLA_NET_NS_PID":
			n = aPid
		case m[4] == "IFLA_MASTER":
			n = indexes["br0"]
		case dev == "":
			continue
		default:
			n = indexes[dev]
		}
		lines[i] = m[1] + hexBytes(binary.NativeEndian.AppendUint32(nil, n)) + m[3] + " " + fmt.Sprint(n)
	}
	return strings.Join(lines, "\n")
}

// hexBytes is bytes as the narration shows them.
func hexBytes(b []byte) string { return fmt.Sprintf("% x", b) }
