//go:build linux

package lab

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/integration/need"
)

// Snapshot is the state of the machine's network as text, to be compared with
// an earlier one: links, addresses, rules and routes of all tables, IPv4 and
// IPv6, with every attribute that is no counter; the nf_tables ruleset, where
// nft(8) is there to list it; and all of /proc/sys/net/ipv4, ipv6 and bridge.
func (n *Node) Snapshot() string {
	n.t.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "== %s: links, addresses, rules, routes\n", n.Name)
	for _, k := range []struct {
		name     string
		typ      netlink.HeaderType
		header   int
		volatile []uint16
	}{
		{"link", unix.RTM_GETLINK, unix.SizeofIfInfomsg, []uint16{
			unix.IFLA_STATS, unix.IFLA_STATS64,
			unix.IFLA_CARRIER_CHANGES, unix.IFLA_CARRIER_UP_COUNT, unix.IFLA_CARRIER_DOWN_COUNT,
			unix.IFLA_AF_SPEC, // settings that are below, and counters
		}},
		{"address", unix.RTM_GETADDR, unix.SizeofIfAddrmsg, []uint16{unix.IFA_CACHEINFO}},
		{"rule", unix.RTM_GETRULE, unix.SizeofRtMsg, nil},
		{"route", unix.RTM_GETROUTE, unix.SizeofRtMsg, []uint16{unix.RTA_CACHEINFO}},
	} {
		msgs, err := n.dump(unix.NETLINK_ROUTE, k.typ, k.header)
		if err != nil {
			n.t.Fatalf("%s: %v", n.Name, err)
		}
		var lines []string
		for _, m := range msgs {
			lines = append(lines, k.name+" "+render(m.Data, k.header, k.volatile)+"\n")
		}
		// A hash table's order says nothing.
		slices.Sort(lines)
		s.WriteString(strings.Join(lines, ""))
	}
	fmt.Fprintf(&s, "== %s: nft list ruleset\n%s", n.Name, n.ruleset())
	fmt.Fprintf(&s, "== %s: settings\n", n.Name)
	for _, dir := range []string{"ipv4", "ipv6", "bridge"} {
		s.WriteString(n.settings("/proc/sys/net/" + dir))
	}
	return s.String()
}

// render is a message: its header in hexadecimal, and each attribute behind
// its number, as text if it is some.
func render(b []byte, header int, volatile []uint16) string {
	words := []string{hex.EncodeToString(b[:header])}
	ad, err := netlink.NewAttributeDecoder(b[header:])
	if err != nil {
		return words[0] + " " + hex.EncodeToString(b[header:])
	}
	for ad.Next() {
		if slices.Contains(volatile, ad.Type()) {
			continue
		}
		value := hex.EncodeToString(ad.Bytes())
		if header == unix.SizeofIfInfomsg && ad.Type() == unix.IFLA_LINKINFO {
			value = linkInfo(ad.Bytes())
		}
		if text := strings.TrimSuffix(string(ad.Bytes()), "\x00"); len(text) > 1 && printable(text) {
			value = fmt.Sprintf("%q", text)
		}
		words = append(words, fmt.Sprintf("%d=%s", ad.Type(), value))
	}
	return strings.Join(words, " ")
}

// linkInfo is what is particular to a link's kind, and to its being a port of a
// bridge, but for the timers of the spanning tree, which always run.
func linkInfo(b []byte) string {
	timers := map[uint16][]uint16{
		unix.IFLA_INFO_DATA:       {unix.IFLA_BR_HELLO_TIMER, unix.IFLA_BR_TCN_TIMER, unix.IFLA_BR_TOPOLOGY_CHANGE_TIMER, unix.IFLA_BR_GC_TIMER},
		unix.IFLA_INFO_SLAVE_DATA: {unix.IFLA_BRPORT_MESSAGE_AGE_TIMER, unix.IFLA_BRPORT_FORWARD_DELAY_TIMER, unix.IFLA_BRPORT_HOLD_TIMER},
	}
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return hex.EncodeToString(b)
	}
	var words []string
	for ad.Next() {
		value := fmt.Sprintf("%q", strings.TrimSuffix(string(ad.Bytes()), "\x00")) // a kind
		if volatile := timers[ad.Type()]; volatile != nil {
			value = "{" + strings.TrimSpace(render(ad.Bytes(), 0, volatile)) + "}"
		}
		words = append(words, fmt.Sprintf("%d=%s", ad.Type(), value))
	}
	return "{" + strings.Join(words, " ") + "}"
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// ruleset is what nft(8) lists.
func (n *Node) ruleset() string {
	if _, err := exec.LookPath("nft"); err != nil {
		return "(no nft here to list it)\n"
	}
	return n.Ruleset()
}

// Ruleset is what "nft list ruleset" prints. It takes the tool nft.
func (n *Node) Ruleset() string {
	n.t.Helper()
	need.Tool(n.t, "nft")
	out, err := n.Command("nft", "list", "ruleset").Output()
	if err != nil {
		n.t.Fatalf("%s: nft list ruleset: %v", n.Name, err)
	}
	return string(out)
}

// settings is the files below a directory of /proc/sys, a line each.
func (n *Node) settings(dir string) string {
	var s strings.Builder
	n.must(func() error {
		return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreGone(err)
			}
			// Some can only be written (route/flush), some have no value yet
			// (stable_secret).
			if value, err := os.ReadFile(path); err == nil {
				fmt.Fprintf(&s, "%s = %s\n", strings.TrimPrefix(path, "/proc/sys/"), strings.TrimSpace(string(value)))
			}
			return nil
		})
	})
	return s.String()
}

// ignoreGone makes nothing of a directory that is not there, or no more.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
