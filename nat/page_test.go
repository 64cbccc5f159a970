//go:build linux

package nat

import (
	"os"
	"strings"
	"testing"
)

// The page that explains the rules shows all that there are, chain by chain, in
// their order. The table ip6 is told by what is different from ip.
func TestPageShowsTheRules(t *testing.T) {
	b, err := os.ReadFile("../docs/packet.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, f := range []Family{IPv4, Bridge} {
		rest := section(t, page, "### Table "+f.table())
		for _, r := range allRules(f) {
			rest = behind(t, rest, r.text)
		}
		for _, c := range append(f.chains(), f.cutChains()...) {
			behind(t, section(t, page, "### Table "+f.table()), "chain "+c.name+" {")
		}
		for _, s := range f.sets() {
			behind(t, section(t, page, "### Table "+f.table()), s.kind()+" "+s.name+" {")
		}
	}
	same4 := make(map[string]bool)
	for _, r := range allRules(IPv4) {
		same4[r.text] = true
	}
	rest := section(t, page, "### Table "+IPv6.table())
	words := strings.NewReplacer("ip6 ", "ip ", "::1", "127.0.0.0/8")
	for _, r := range allRules(IPv6) {
		if !same4[words.Replace(r.text)] {
			rest = behind(t, rest, r.text)
		}
	}
}

// section is what stands under a heading, up to the next.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, _, _ := strings.Cut(behind(t, page, heading), "\n#")
	return text
}

// behind is what follows a line, or the first part of one.
func behind(t *testing.T, text, line string) string {
	t.Helper()
	for rest := text; rest != ""; {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		l, _, _ = strings.Cut(l+" ", "  #") // a rule's number
		l = strings.TrimSpace(l)
		if l == line || strings.HasSuffix(line, "{") && strings.HasPrefix(l, line) {
			return rest
		}
	}
	t.Fatalf("docs/packet.md: where is %q?", line)
	return ""
}
