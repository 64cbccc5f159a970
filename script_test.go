//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"container/nat"
	"container/nl"
)

// printed is what "main -n" prints for arguments.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := runCommand(append([]string{"-n"}, args...)...)
	if status != 0 || stderr != "" {
		t.Fatalf("main -n %s: status %d, error %q", strings.Join(args, " "), status, stderr)
	}
	return stdout
}

// Whoever asks for the script gets it, without being root (which
// integration.TestScriptOrdinaryUser sees to, as root), and nobody else does.
func TestWantsScript(t *testing.T) {
	for words, want := range map[string]bool{
		"-n 172.16.0.30 true":       true,
		"--n 172.16.0.30 true":      true,
		"-p 80:80 -n":               true,
		"-n -p nonsense":            true,
		"-n=false 172.16.0.30 true": false,
		"172.16.0.30 -n":            false,
		"exec -n 172.16.0.30 true":  false,
		"ls -n":                     false,
		"-n -h":                     false,
		"-q -n":                     false,
	} {
		if got := wantsScript(strings.Fields(words)); got != want {
			t.Errorf("main %s: got %t, want %t", words, got, want)
		}
	}
}

// Nothing is left of what stands in for what only the script knows, and what
// is known stands there.
func TestScriptStandIns(t *testing.T) {
	standIns := []string{
		fmt.Sprint(standInIndex), fmt.Sprint(standInPID), fmt.Sprint(standInMTU), fmt.Sprint(standInNumber),
		standInAlias, standInGroup, standInMAC.String(), hostMAC(standInMAC).String(), "2653", "@SETTING@", "@VALUE@", " . 65534 : ", " . 65533 : ", "\x00",
	}
	both := "172.16.0.100/24,fd00:16::100/64"
	for _, tt := range []struct {
		args string
		has  []string
	}{
		{"172.16.0.30 true", []string{
			"ip link add name $veth address fe${mac#02} ${mtu:+mtu $mtu} master br0 up type veth peer name veth1 address $mac ${mtu:+mtu $mtu} netns $pid\n",
			"create element ip container lease { 172.16.0.30 : $index }\n",
			"add element bridge container macs { $index . $mac }\n",
			`alias='container 172.16.0.30 pid '"$pid"' true'` + "\n",
		}},
		{"-gateway " + both + " -e HOME -t auto true", []string{
			"add element bridge container addresses6 { $index . fd00:16::1, $index . $linklocal }\n",
			"add element bridge container targets { $index . 0xfd000016000000000000000000000001, $index . $target }\n",
			`${HOME+"HOME=$HOME"}`,
		}},
		{"-gateway " + both + " -mac 02:00:00:00:00:05 -mtu 1400 172.16.0.30,fd00:16::30 true", []string{
			"ip link add name $veth address fe:00:00:00:00:05 mtu 1400 master br0 up type veth peer name veth1 address 02:00:00:00:00:05 mtu 1400 netns $pid\n",
			"{ $index . fd00:16::30, $index . fe80::ff:fe00:5 }\n",
		}},
		{"-p 80 -p 65535:81 -p 127.0.0.1::82/udp 172.16.0.30 true", []string{
			"create element ip container publish { tcp . $port1 : 172.16.0.30 . 80, tcp . 65535 : 172.16.0.30 . 81 }\n",
			"create element ip container publish_at { 127.0.0.1 . udp . $port2 : 172.16.0.30 . 82 }\n",
			`echo "published 127.0.0.1:$port2:82/udp" >&2`,
		}},
	} {
		text := printed(t, strings.Fields(tt.args)...)
		for _, s := range standIns {
			if strings.Contains(text, s) && !strings.Contains(tt.args, s) {
				t.Errorf("main -n %s: there is %q in it", tt.args, s)
			}
		}
		for _, h := range tt.has {
			if !strings.Contains(text, h) {
				t.Errorf("main -n %s: there is no %q in it:\n%s", tt.args, h, text)
			}
		}
	}
}

// The transactions are those of a run, statement by statement.
func TestScriptTransactions(t *testing.T) {
	text := printed(t, "-p", "80:8000", "-mac", "02:00:00:00:00:05", "172.16.0.30", "true")
	found := regexp.MustCompile(`(?s)<<NFT\n(.*?)NFT\n`).FindAllStringSubmatch(text, -1)
	c := nat.Claim{
		Bridge: "br0", Index: 7, MAC: net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05},
		Addresses: addrs(prefixes(t, "172.16.0.30/24")), Networks: prefixes(t, "172.16.0.100/24"),
		Ports: []nat.Port{{HostPort: 80, Port: 8000, Proto: 6}},
	}
	var want []string
	for _, of := range [][]string{
		commands(append(nat.IPv4.Ruleset(), nat.IPv4.Optional()...)), commands(append(nat.Bridge.Ruleset(), nat.Bridge.Optional()...)), commands(c.Take()), commands(c.Release()),
	} {
		want = append(want, strings.Join(of, ""))
	}
	if len(found) != len(want) {
		t.Fatalf("there are %d transactions, want %d", len(found), len(want))
	}
	for i, f := range found {
		if got := strings.ReplaceAll(f[1], "$index", "7"); got != want[i] {
			t.Errorf("transaction %d is\n%swant\n%s", i, got, want[i])
		}
	}
}

// commands are requests as nft reads them from a file.
func commands(reqs []nl.Request) []string {
	var all []string
	for _, r := range reqs {
		all = append(all, nftLine(r.Cmd)+"\n")
	}
	return all
}

func prefixes(t *testing.T, words ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestNFTLine(t *testing.T) {
	for cmd, want := range map[string]string{
		`nft create table ip container`:                         `create table ip container`,
		`nft add rule ip container output 'oifname "a'\''b" x'`: `add rule ip container output oifname "a'b" x`,
	} {
		if got := nftLine(cmd); got != want {
			t.Errorf("%s: got %q, want %q", cmd, got, want)
		}
	}
}

// A text is taken as it is, whatever it is, by the shell.
func TestScriptWord(t *testing.T) {
	for s, want := range map[string]string{
		"":        "''",
		"br0":     "br0",
		"a b":     "'a b'",
		"it's":    `'it'\''s'`,
		"$x":      "'$x'",
		"A=b":     "A=b",
		"=b":      "'=b'",
		"~":       "'~'",
		"a\nb":    "'a\nb'",
		"a.b/c:d": "a.b/c:d",
	} {
		if got := word(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
	var s shellText
	s.heredoc("cat", "END", "a\nEND\nb\n", true)
	if want := "cat <<'END_'\na\nEND\nb\nEND_\n"; s.String() != want {
		t.Errorf("got %q, want %q", s.String(), want)
	}
	if got, want := sysctl("net/ipv4/conf/lan.7/route_localnet", "1"), "sysctl -qw net/ipv4/conf/lan.7/route_localnet=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What nft has no words for is refused, before there is half a script.
func TestScriptRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-bridge", `a"b`, "172.16.0.30", "true"}, `-n: bridge "a\"b": nft(8) has no way to write such a name`},
		{[]string{"-bridge", `a*`, "172.16.0.30", "true"}, `-n: bridge "a*": nft(8) has no way to write such a name`},
		{[]string{"-rootfs", "/nonexistent", "172.16.0.30", "true"}, "-rootfs /nonexistent: no such file or directory"},
		{[]string{"-gateway", "172.16.0.1/24", "172.16.0.1", "true"}, "address 172.16.0.1 is the gateway's own"},
	} {
		status, stdout, stderr := runCommand(append([]string{"-n"}, tt.args...)...)
		if status != statusSetup || stdout != "" || stderr != "main: "+tt.want+"\n" {
			t.Errorf("main -n %s: status %d, output %q, error %q; want 125, nothing and %q", strings.Join(tt.args, " "), status, stdout, stderr, tt.want)
		}
	}
}

func TestWithoutN(t *testing.T) {
	for line, want := range map[string]string{
		"-n auto echo -n hi":       "auto echo -n hi",
		"-p 80:80 --n auto echo":   "-p 80:80 auto echo",
		"-n -network none echo -n": "-network none echo -n",
	} {
		args := strings.Fields(line)
		o, err := parseOptions(args)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(withoutN(args, len(o.argv)), " "); got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
}
