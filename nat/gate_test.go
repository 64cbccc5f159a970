//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// load makes somebody else's ruleset.
func load(t testing.TB, text string) {
	t.Helper()
	// nft wants a line's end behind a closing brace.
	feed(t, strings.ReplaceAll(text, "} }", "}\n}"), "nft", "-f", "-")
}

// feed runs a command that must succeed on the lines of its standard input.
func feed(t testing.TB, text, name string, args ...string) {
	t.Helper()
	need.Tool(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

func gates(t testing.TB, bridge string) []Gate {
	t.Helper()
	all, err := Gates(dial(t), bridge)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// open opens all gates, and then there must be none.
func open(t testing.TB, bridge string) {
	t.Helper()
	for _, g := range gates(t, bridge) {
		commit(t, g.Open())
	}
	for _, g := range gates(t, bridge) {
		t.Errorf("%s is closed to %s after it was opened", g, bridge)
	}
}

// closeAll takes all our rules away again.
func closeAll(t testing.TB) {
	t.Helper()
	all, err := Opened(dial(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		commit(t, []nl.Request{o.Close()})
	}
}

// chainLines are the rules of a chain, with nft's hook line left out.
func chainLines(t testing.TB, chain string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(run(t, "nft", append([]string{"list", "chain"}, strings.Fields(chain)...)...)) {
		line = strings.TrimSpace(line)
		if word, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"table", "chain", "type", "}", ""}, word) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

const (
	fromBr0 = `iifname "br0" accept comment "container: br0"`
	toBr0   = `oifname "br0" accept comment "container: br0"`
)

// The rules of one chain, "inet fw forward", before, and after it was opened
// to br0. Other chains of the table stand before it.
var gateTests = []struct {
	name   string
	family string // "inet" if empty
	policy string
	others string
	rules  string
	want   []string // the rules after
}{
	{name: "an empty chain", policy: "drop", want: []string{fromBr0, toBr0}},
	{name: "of IPv4", family: "ip", policy: "drop", want: []string{fromBr0, toBr0}},
	{name: "of IPv6", family: "ip6", policy: "drop", want: []string{fromBr0, toBr0}},
	{
		name: "rules that are for some packets", policy: "drop",
		rules: `
			ct state established,related accept
			iifname "eth0" oifname "eth1" accept
			iifname "eth0" drop`,
		want: []string{`ct state established,related accept`, `iifname "eth0" oifname "eth1" accept`, `iifname "eth0" drop`, fromBr0, toBr0},
	},
	{
		name: "an end of its own", policy: "accept",
		rules: `
			ip saddr 192.0.2.1 accept
			drop`,
		want: []string{`ip saddr 192.0.2.1 accept`, fromBr0, toBr0, `drop`},
	},
	{
		name: "an end that counts and tells", policy: "accept",
		others: `counter lost { }`,
		rules: `
			log prefix "lost: "
			counter name "lost" log counter drop comment "the rest"`,
		want: []string{`log prefix "lost: "`, fromBr0, toBr0, `counter name "lost" log counter packets 0 bytes 0 drop comment "the rest"`},
	},
	{
		name: "an end that answers", policy: "accept",
		rules: `reject with icmpx admin-prohibited`,
		want:  []string{fromBr0, toBr0, `reject with icmpx admin-prohibited`},
	},
	{
		// As OpenWrt's: that chain serves input as well, so nothing must be
		// accepted there.
		name: "an end in another chain", policy: "drop",
		others: `chain refuse {
				meta l4proto tcp reject with tcp reset
				reject
			}`,
		rules: `
			iifname "eth0" jump refuse
			jump refuse`,
		want: []string{`iifname "eth0" jump refuse`, fromBr0, toBr0, `jump refuse`},
	},
	{
		// As firewalld's without an owner.
		name: "an end behind two others", policy: "accept",
		others: `
			chain allow { return; }
			chain public { jump allow; reject with icmpx admin-prohibited; }
			chain zones { iifname "eth0" goto public; goto public; }`,
		rules: `
			ct state vmap { established : accept, related : accept }
			jump allow
			jump zones
			reject with icmpx admin-prohibited`,
		want: []string{`ct state vmap { established : accept, related : accept }`, `jump allow`, fromBr0, toBr0, `jump zones`, `reject with icmpx admin-prohibited`},
	},
	{
		name: "a return to the policy", policy: "drop",
		rules: `
			return
			accept`,
		want: []string{fromBr0, toBr0, `return`, `accept`},
	},
	{
		name: "a return of the bridge's own", policy: "drop",
		rules: `iifname "br0" return`,
		want:  []string{fromBr0, `iifname "br0" return`, toBr0},
	},
	{
		name: "a way from which nothing comes back", policy: "drop",
		others: `chain public { iifname "eth0" accept; }`,
		rules: `
			goto public
			accept`,
		want: []string{fromBr0, toBr0, `goto public`, `accept`},
	},
	{
		name: "one of the two is there", policy: "drop",
		rules: fromBr0,
		want:  []string{fromBr0, toBr0},
	},
	{
		name: "both are there", policy: "drop",
		rules: toBr0 + "\n" + fromBr0,
		want:  []string{toBr0, fromBr0},
	},
	{
		name: "both are there, but too late", policy: "accept",
		rules: "drop\n" + fromBr0 + "\n" + toBr0,
		want:  []string{fromBr0, toBr0, "drop", fromBr0, toBr0},
	},
	{
		name: "somebody else has accepted them", policy: "drop",
		rules: `
			iifname "br*" counter accept
			oifname != "br1" accept`,
		want: []string{`iifname "br*" counter packets 0 bytes 0 accept`, `oifname != "br1" accept`},
	},
	{
		// As firewalld, once it has been told so.
		name: "somebody else has accepted them elsewhere", policy: "accept",
		others: `
			chain trusted { accept; }
			chain public { reject; }
			chain zones { iifname "br0" goto trusted; goto public; }`,
		rules: `
			oifname "br0" jump trusted
			jump zones`,
		want: []string{`oifname "br0" jump trusted`, `jump zones`},
	},
	{
		name: "somebody has closed one side on purpose", policy: "drop",
		rules: `iifname "br0" drop`,
		want:  []string{`iifname "br0" drop`, toBr0},
	},
	{
		name: "accepted on a condition", policy: "drop",
		rules: `
			iifname "br0" oifname "eth0" accept
			iifname "br0" tcp dport 80 accept
			iifname "br0" limit rate 1/second accept
			iifname "br00" accept
			iifname { "br0", "br9" } drop`,
		want: []string{
			`iifname "br0" oifname "eth0" accept`, `iifname "br0" tcp dport 80 accept`, `iifname "br0" limit rate 1/second accept`,
			`iifname "br00" accept`, `iifname { "br0", "br9" } drop`, fromBr0, toBr0,
		},
	},
	{
		name: "marks are no conditions", policy: "accept",
		rules: `meta mark set 0x00000007 drop`,
		want:  []string{`meta mark set 0x00000007 drop`},
	},
	{name: "nothing is dropped", policy: "accept", rules: `iifname "br0" drop`, want: []string{`iifname "br0" drop`}},
	{name: "all is accepted in the end", policy: "drop", rules: `accept`, want: []string{`accept`}},
	{
		name: "what is switched off", policy: "drop",
		others: `flags dormant`,
	},
}

func TestOpen(t *testing.T) {
	for _, tt := range gateTests {
		t.Run(tt.name, func(t *testing.T) {
			netns(t)
			commit(t, IPv4.Ruleset())
			family := tt.family
			if family == "" {
				family = "inet"
			}
			chain := family + " fw forward"
			load(t, fmt.Sprintf("table %s fw {\n%s\nchain forward {\ntype filter hook forward priority 10; policy %s;\n%s\n}\n}",
				family, tt.others, tt.policy, tt.rules))
			before := ruleset(t)
			opening := gates(t, "br0")
			for _, g := range opening {
				if g.String() != chain {
					t.Errorf("got the gate %s, want %s", g, chain)
				}
				if g.Owner != 0 {
					t.Errorf("%s has the owner %d", g, g.Owner)
				}
			}
			open(t, "br0")
			same(t, chain, chainLines(t, chain), strings.Join(tt.want, "\n"))

			// What was there of ours goes as well.
			closeAll(t)
			ours := func(line string) bool { return line == fromBr0 || line == toBr0 }
			same(t, chain+" closed again", chainLines(t, chain), strings.Join(slices.DeleteFunc(slices.Clone(tt.want), ours), "\n"))
			if !strings.Contains(before, gateComment) {
				same(t, "the ruleset", ruleset(t), before)
			}
		})
	}
}

// Chains that are no gates, whatever they drop.
func TestNoGate(t *testing.T) {
	netns(t)
	commit(t, IPv4.Ruleset()) // whose forward chain ends in drop
	load(t, `
		table inet fw {
			chain in { type filter hook input priority 0; policy drop; }
			chain out { type filter hook output priority 0; policy drop; }
			chain pre { type filter hook prerouting priority 0; policy drop; }
			chain forward { drop; }
		}
		table ip6 container { chain forward { type filter hook forward priority 0; policy drop; } }
		table bridge fw { chain forward { type filter hook forward priority 0; policy drop; } }
		table arp fw { chain in { type filter hook input priority 0; policy drop; } }`)
	if all := gates(t, "br0"); len(all) != 0 {
		t.Errorf("got the gates %s", all)
	}
	if all, err := Opened(dial(t)); err != nil || len(all) != 0 {
		t.Errorf("got the openings %v (error %v)", all, err)
	}
}

// Two bridges, several chains; each opening is told, and each is removed alone.
func TestOpened(t *testing.T) {
	netns(t)
	load(t, `
		table ip a { chain f { type filter hook forward priority 0; policy drop; } }
		table ip6 a { chain f { type filter hook forward priority 0; policy drop; } }
		table inet a { chain f { type filter hook forward priority 0; policy drop;
			iifname "br1" counter accept comment "hello: br1"
			iifname "br3" drop comment "container: br3"
			iifname "br3" accept comment "container: br4"
			accept comment "container: br3"
		} }`)
	before := ruleset(t)
	open(t, "br1")
	if all := gates(t, "br0"); len(all) != 2 {
		t.Fatalf("got the gates %s of br0, want two", all)
	}
	open(t, "br0")
	all, err := Opened(dial(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range all {
		got = append(got, chainWords(o.Family, o.Table, o.Chain)+" "+o.Bridge)
	}
	slices.Sort(got)
	want := []string{"ip a f br0", "ip a f br0", "ip a f br1", "ip a f br1", "ip6 a f br0", "ip6 a f br0", "ip6 a f br1", "ip6 a f br1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	one := all[0].Close()
	commit(t, []nl.Request{one})
	refuse(t, unix.ENOENT, []nl.Request{one})
	closeAll(t)
	same(t, "the ruleset", ruleset(t), before)
}

func TestGateMessages(t *testing.T) {
	g := Gate{Family: 1, Table: "fw", Chain: "f", Bridge: "br0", missing: []opening{{7, 0}}}
	rule := "" +
		nest(144, 4) + // NFTA_RULE_EXPRESSIONS
		/**/ nest(36, 1) + // NFTA_LIST_ELEM
		/*  */ nla(9, 1) + "meta\x00" + pad(3) + // NFTA_EXPR_NAME
		/*  */ nest(20, 2) + // NFTA_EXPR_DATA
		/*    */ nla(8, 2) + be(7) + // NFTA_META_KEY: NFT_META_OIFNAME
		/*    */ nla(8, 1) + be(1) + // NFTA_META_DREG: NFT_REG_1
		/**/ nest(56, 1) + // NFTA_LIST_ELEM
		/*  */ nla(8, 1) + "cmp\x00" + // NFTA_EXPR_NAME
		/*  */ nest(44, 2) + // NFTA_EXPR_DATA
		/*    */ nla(8, 1) + be(1) + // NFTA_CMP_SREG: NFT_REG_1
		/*    */ nla(8, 2) + be(0) + // NFTA_CMP_OP: NFT_CMP_EQ
		/*    */ nest(24, 3) + // NFTA_CMP_DATA
		/*      */ nla(20, 1) + "br0" + pad(13) + // NFTA_DATA_VALUE
		/**/ nest(48, 1) + // NFTA_LIST_ELEM
		/*  */ nla(14, 1) + "immediate\x00" + pad(2) + // NFTA_EXPR_NAME
		/*  */ nest(28, 2) + // NFTA_EXPR_DATA
		/*    */ nla(8, 1) + be(0) + // NFTA_IMMEDIATE_DREG: NFT_REG_VERDICT
		/*    */ nest(16, 2) + // NFTA_IMMEDIATE_DATA
		/*      */ nest(12, 2) + // NFTA_DATA_VERDICT
		/*        */ nla(8, 1) + be(1) + // NFTA_VERDICT_CODE: NF_ACCEPT
		nla(21, 7) + "\x00\x0fcontainer: br0\x00" + pad(3) // NFTA_RULE_USERDATA
	const inet = "\x01\x00\x00\x00"          // struct nfgenmsg: NFPROTO_INET
	chain := nla(7, 1) + "fw\x00" + pad(1) + // NFTA_RULE_TABLE
		nla(6, 2) + "f\x00" + pad(2) // NFTA_RULE_CHAIN
	goldenMessage{
		g.Open()[0], `nft add rule inet fw f 'oifname "br0" accept comment "container: br0"'`,
		0xa06, flagsAppend, inet + chain + rule,
	}.check(t)
	g.missing[0].before = 9
	goldenMessage{
		g.Open()[0], `nft insert rule inet fw f position 9 'oifname "br0" accept comment "container: br0"'`,
		0xa06, flagsAdd, inet + chain + nla(12, 6) + be(0) + be(9) + rule, // NFTA_RULE_POSITION
	}.check(t)
	goldenMessage{
		Opening{1, "fw", "f", 9, "br0"}.Close(), `nft delete rule inet fw f handle 9`,
		0xa08, flagsChange, inet + chain + nla(12, 3) + be(0) + be(9), // NFTA_RULE_HANDLE
	}.check(t)
}

// What test kernels may lack: a rule that leaves the decision to a program, and
// the verdicts that end nothing.
func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		e    expr.Any
		want foreignRule
	}{
		{&expr.Queue{Num: 1}, foreignRule{verdict: expr.VerdictAccept}},
		{&expr.Verdict{Kind: expr.VerdictReturn}, foreignRule{verdict: expr.VerdictReturn}},
		{&expr.Verdict{Kind: expr.VerdictGoto, Chain: "x"}, foreignRule{verdict: expr.VerdictGoto, target: "x"}},
		{&expr.Counter{}, foreignRule{verdict: expr.VerdictContinue}},
		{&expr.Log{}, foreignRule{verdict: expr.VerdictContinue}},
		{&expr.Immediate{Register: 1, Data: []byte("1234")}, foreignRule{verdict: expr.VerdictContinue, opaque: true}},
		{&expr.Objref{Type: 2, Name: "a quota"}, foreignRule{verdict: expr.VerdictContinue, opaque: true}},
		{&expr.Limit{Rate: 1}, foreignRule{verdict: expr.VerdictContinue, opaque: true}},
	} {
		got, err := parseRule(rule{chain: "f", exprs: []expr.Any{tt.e}}.request(IPv4).Data)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%T: got %+v (error %v), want %+v", tt.e, got, err, tt.want)
		}
	}
}

// What comes from the kernel is taken apart without trust in any length.
func FuzzParseRule(f *testing.F) {
	g := Gate{Family: unix.NFPROTO_INET, Table: "fw", Chain: "f", Bridge: "br0", missing: []opening{{6, 0}, {7, 1}}}
	seeds := g.Open()
	for _, c := range IPv4.chains() {
		seeds = append(seeds, c.request(IPv4))
	}
	for _, r := range IPv4.rules() {
		seeds = append(seeds, r.request(IPv4))
	}
	for _, r := range seeds {
		f.Add(r.Data)
		for at := 4; at+4 <= len(r.Data); at += 4 {
			f.Add(r.Data[:at])
			for _, lie := range []uint16{0, 3, 5, 0xffff} {
				b := slices.Clone(r.Data)
				binary.NativeEndian.PutUint16(b[at:], lie)
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, ok, err := parseChain(data); err == nil && ok && len(c.table)+len(c.name) > len(data) {
			t.Errorf("a chain %q %q out of %d bytes", c.table, c.name, len(data))
		}
		r, err := parseRule(data)
		if err != nil {
			return
		}
		size := len(r.comment) + len(r.target)
		for _, n := range r.names {
			size += len(n.data)
		}
		if size > len(data) {
			t.Errorf("%d bytes out of %d", size, len(data))
		}
	})
}
