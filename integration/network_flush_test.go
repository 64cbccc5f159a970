//go:build linux

package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// elementsSorted is a ruleset with the elements of each set in order: a hash
// table has none.
func elementsSorted(ruleset string) string {
	return elementText.ReplaceAllStringFunc(ruleset, func(s string) string {
		list := strings.Split(elementText.FindStringSubmatch(s)[1], ",")
		for i := range list {
			list[i] = strings.Join(strings.Fields(list[i]), " ")
		}
		slices.Sort(list)
		return "elements = { " + strings.Join(list, ", ") + " }"
	})
}

// flushed are two containers whose ruleset somebody has taken away, as does whoever
// loads a ruleset file that begins with "flush ruleset".
type flushed struct {
	*lab.Lab
	snapshot      string // before there was anything
	ruleset       string // before the flush
	claims        string
	first, second *lab.Agent
	outside       *lab.Agent
}

func flush(t *testing.T) *flushed {
	t.Helper()
	need.Tool(t, "nft")
	l := lab.New(t)
	f := &flushed{Lab: l, snapshot: l.Host.Snapshot(), outside: l.Outside.Agent()}
	serve(t, f.outside, "0.0.0.0:7")
	f.first = l.Host.Container(t, words(both("80:8000"), []string{"-p", "127.0.0.1:8080:8000", addr30})...)
	f.second = l.Host.Container(t, words(both("81:8000"), []string{addr31})...)
	serve(t, f.first, "0.0.0.0:8000")
	serve(t, f.second, "0.0.0.0:8000")
	f.answers(t)
	f.ruleset, f.claims = elementsSorted(l.Host.Ruleset()), claims(l.Host)
	f.lost(t, false)
	f.flush(t)
	return f
}

func (f *flushed) flush(t *testing.T) {
	t.Helper()
	says(t, f.Host.Command("nft", "flush", "ruleset"))
	closed(t, "outside to the first, after the flush", f.outside, hostAddr+":80")
	closed(t, "the first to outside, after the flush", f.first, outsideAddr+":7")
}

// answers checks that the containers work.
func (f *flushed) answers(t *testing.T) {
	t.Helper()
	reaches(t, "outside to the first", f.outside, hostAddr+":80", outsideAddr)
	reaches(t, "outside to the second", f.outside, hostAddr+":81", outsideAddr)
	reaches(t, "host to the first", f.Host.Agent(), "127.0.0.1:80", bridgeAddr)
	reaches(t, "the second to the first, published", f.second, hostAddr+":80", bridgeAddr)
	reaches(t, "the first to outside", f.first, outsideAddr+":7", hostAddr)
	if _, err := f.Host.Agent().Ask("tcp", "127.0.0.1:8080"); err != nil {
		t.Error(err)
	}
}

// lost checks what is listed about the two.
func (f *flushed) lost(t *testing.T, want bool) {
	t.Helper()
	all := listed(t, f.Host)
	table := strings.Split(strings.TrimSuffix(says(t, f.Host.Main("ls")), "\n"), "\n")[1:]
	if len(all) != 2 || len(table) != 2 {
		t.Errorf("listed is %+v\n%s\nwant two containers", all, strings.Join(table, "\n"))
		return
	}
	for i, addr := range []string{addr30, addr31} {
		if all[i].Address != addr || told(all[i].Lost) != want {
			t.Errorf("listed is %+v, want %s with lost %t", all[i], addr, want)
		}
		if !strings.HasPrefix(table[i], addr+" ") || strings.Contains(table[i], "lost") != want {
			t.Errorf("the table has %q, want %s, with lost %t", table[i], addr, want)
		}
	}
}

// restored checks that all is as it was.
func (f *flushed) restored(t *testing.T) {
	t.Helper()
	f.lost(t, false)
	differ(t, "the ruleset", elementsSorted(f.Host.Ruleset()), f.ruleset)
	f.answers(t)
}

// over ends the containers, and takes the rest down.
func (f *flushed) over(t *testing.T) {
	t.Helper()
	f.first.Stop(t)
	f.second.Stop(t)
	lab.Eventually(t, func() error { return noVeth(f.Host) })
	if err := noClaims(f.Host); err != nil {
		t.Error(err)
	}
	if err := publishedPortsFree(f.Host); err != nil {
		t.Error(err)
	}
	succeed(t, f.Host.Main("down"))
	same(t, f.Host, f.snapshot)
}

func publishedPortsFree(n *lab.Node) error {
	for _, p := range [][2]string{{"tcp", "0.0.0.0:80"}, {"udp", "0.0.0.0:80"}, {"tcp", "0.0.0.0:81"}, {"tcp", "127.0.0.1:8080"}} {
		if err := portFree(n, p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}

// gc puts back what a flush took, as often as it is needed.
func TestFlushThenGC(t *testing.T) {
	t.Parallel()
	f := flush(t)
	f.lost(t, true)
	succeed(t, f.Host.Main("gc"))
	f.restored(t)
	f.flush(t)
	f.lost(t, true)
	succeed(t, f.Host.Main("gc"))
	f.restored(t)
	f.over(t)
}

// So does the next run, whatever its address.
func TestFlushThenRun(t *testing.T) {
	t.Parallel()
	f := flush(t)
	succeed(t, f.Host.Main(addr32, "true"))
	f.restored(t)
	f.over(t)
}

// And the leases: nobody can have the address or the port meanwhile.
func TestFlushThenTheSame(t *testing.T) {
	t.Parallel()
	f := flush(t)
	refusal := regexp.MustCompile(`^main: address 172\.16\.0\.30 is in use by veth[0-9a-f]{8} \(pid \d+, probe\)\n$`)
	if stdout, stderr, status := f.Host.Main(addr30, "echo", "mine").Result(); status != 125 || stdout != "" || !refusal.MatchString(stderr) {
		t.Errorf("the address: status %d, output %q, error %q; want 125 and that it is in use", status, stdout, stderr)
	}
	refusal = regexp.MustCompile(`^main: port 80/tcp: it is in use by .*\n$`)
	if stdout, stderr, status := f.Host.Main("-p", "80:8000", addr32, "echo", "mine").Result(); status != 125 || stdout != "" || !refusal.MatchString(stderr) {
		t.Errorf("the port: status %d, output %q, error %q; want 125 and that it is in use", status, stdout, stderr)
	}
	succeed(t, f.Host.Main("gc"))
	f.restored(t)
	f.over(t)
}

// Containers whose ruleset is gone end as any other.
func TestFlushThenEnd(t *testing.T) {
	t.Parallel()
	f := flush(t)
	f.first.Stop(t)
	f.second.Stop(t)
	lab.Eventually(t, func() error { return noVeth(f.Host) })
	if err := publishedPortsFree(f.Host); err != nil {
		t.Error(err)
	}
	succeed(t, f.Host.Main("down"))
	same(t, f.Host, f.snapshot)
}

// What was restored for a runner that is killed then goes with it.
func TestFlushThenKill(t *testing.T) {
	t.Parallel()
	f := flush(t)
	succeed(t, f.Host.Main("gc"))
	f.restored(t)
	kill(t, f.first.Process.Pid)
	await(f.first.Cmd)
	lab.Eventually(t, func() error {
		if c := claims(f.Host); strings.Contains(c, addr30) {
			return fmt.Errorf("in the table is yet: %s", c)
		}
		return nil
	})
	closed(t, "outside to the killed one", f.outside, hostAddr+":80")
	reaches(t, "outside to the other", f.outside, hostAddr+":81", outsideAddr)
	f.second.Stop(t)
	lab.Eventually(t, func() error { return noVeth(f.Host) })
	succeed(t, f.Host.Main("down"))
	same(t, f.Host, f.snapshot)
}

// Guards are put back too: an isolated container is isolated again, and nobody
// can send from another's address.
func TestFlushedGuards(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	l := lab.New(t)
	alone := l.Host.Container(t, words(both("80:8000"), []string{"-isolate", addr30})...)
	open := l.Host.Container(t, addr31)
	serve(t, alone, "0.0.0.0:8000")
	serve(t, open, "0.0.0.0:7")
	closed(t, "open to isolated", open, addr30+":8000")
	closed(t, "isolated to open", alone, addr31+":7")
	ruleset := elementsSorted(l.Host.Ruleset())
	says(t, l.Host.Command("nft", "flush", "ruleset"))
	succeed(t, l.Host.Main("gc"))
	differ(t, "the ruleset", elementsSorted(l.Host.Ruleset()), ruleset)
	closed(t, "open to isolated", open, addr30+":8000")
	closed(t, "isolated to open", alone, addr31+":7")
	reaches(t, "open to isolated, published", open, hostAddr+":80", bridgeAddr)
	host, mac := l.Host.Agent(), l.Host.Link("br0").MAC.String()
	serve(t, host, bridgeAddr+":7")
	for _, from := range []string{nobody, addr30} {
		if _, err := alone.Tell("packet", "veth1", mac, from+":1000", bridgeAddr+":7", "hello"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := host.Heard(); err != nil || got != "udp "+addr30+" hello" {
		t.Errorf("the host heard %q (%v), want what is honest alone", got, err)
	}
}

// A table that lacks a part, as one made by another version may, is told from
// one that isn't there: the run is refused with what to do, and leaves it at
// that.
func TestTableOfAnother(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	succeed(t, n.Command("nft", "delete", "map", "ip", "container", "lease"))
	lab.Eventually(t, func() error { return noVeth(n) })
	before := arrangement(n)
	mentions(t, n, "map ip container lease: create "+address+" : ", address)
	mentions(t, n, ": no such file or directory (the table is gone, or another version of main made it", address)
	lab.Eventually(t, func() error { return unchanged(before, arrangement(n)) })
	succeed(t, n.Main("down"))
	succeed(t, n.Main(address, "true"))
}
