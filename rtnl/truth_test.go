//go:build linux

package rtnl_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// TestCmdSends compares each request with what the real ip(8) sends when it
// runs the request's Cmd: the message's type and flags, the family's header,
// and the attributes as a tree, in any order. That a difference is no more
// there is an error like one that is not in the table.
//
// Left aside everywhere: sequence numbers, which ip takes from the clock, and
// NLA_F_NESTED, which ip leaves out where the kernel was never strict about it.
func TestCmdSends(t *testing.T) {
	for _, d := range deeds {
		if d.writes {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			w := newWorld(t, d.setup)
			compare(t, w, d.req(t, w), d.differ)
		})
	}
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			w := newWorld(t, aSubnet+aNeighbour)
			compare(t, w, q.req(t, w), q.differ)
		})
	}
}

// compare runs a request's Cmd and compares the last message of its type, for
// ip asks before it acts; or of its type and flags, if there is one, for ip
// also asks afterwards for the names of links in what it prints.
func compare(t *testing.T, w world, r nl.Request, differ []difference) {
	t.Helper()
	sent := w.trace(t, r.Cmd)
	last, same := -1, false
	for i, m := range sent {
		if m.Header.Type != r.Type || same && m.Header.Flags != r.Flags {
			continue
		}
		last, same = i, m.Header.Flags == r.Flags
	}
	if last < 0 {
		t.Fatalf("%s: has sent no message of type %d, but %v", r.Cmd, r.Type, sent)
	}
	ip, here := flatten(t, sent[last]), flatten(t, message(r))

	paths := maps.Clone(ip)
	maps.Copy(paths, here)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if ip[path] == here[path] {
			continue
		}
		if !slices.ContainsFunc(differ, func(d difference) bool {
			return d.path == path && matches(d.ip, ip[path]) && matches(d.here, here[path])
		}) {
			t.Errorf("%s: %s: ip sends %s, the request is %s", r.Cmd, path, orNothing(ip[path]), orNothing(here[path]))
		}
	}
	for _, d := range differ {
		if ip[d.path] == here[d.path] {
			t.Errorf("%s: %s: a difference is expected, but both are %s", r.Cmd, d.path, orNothing(ip[d.path]))
		}
	}
}

// message is a request as its connection sends it, less what that numbers.
func message(r nl.Request) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: r.Type, Flags: r.Flags}, Data: r.Data}
}

func matches(pattern, s string) bool { return pattern == s || pattern == "*" && s != "" }

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// trace runs a line of shell script under strace(1) and gives the netlink
// messages that it sent.
func (ns netns) trace(t *testing.T, line string) []netlink.Message {
	t.Helper()
	need.Tool(t, "ip")
	need.Tool(t, "strace")
	file := filepath.Join(t.TempDir(), "trace")
	ns.run(t, "strace", "-f", "-qq", "-o", file, "-s", "0",
		"-e", "signal=none", "-e", "trace=sendmsg,sendto", "-e", "write=all",
		"sh", "-c", line)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sent []netlink.Message
	for _, b := range dumped(t, string(text)) {
		for len(b) >= unix.NLMSG_HDRLEN {
			n := binary.NativeEndian.Uint32(b)
			if n == 0 {
				break // ip sends more of its buffer than it has filled
			}
			aligned := (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
			if uint64(aligned) > uint64(len(b)) {
				t.Fatalf("%s: a message of %d bytes in the last %d", line, n, len(b))
			}
			var m netlink.Message
			if err := m.UnmarshalBinary(b[:aligned]); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, m)
			b = b[aligned:]
		}
	}
	return sent
}

// dumped reads the buffers that strace -e write=all has dumped. Each begins at
// offset 0; 16 bytes a line, as hex digits and then as text:
//
//	| 00000  20 00 00 00 10 00 05 00  00 00 00 00 00 00 00 00   ............... |
func dumped(t *testing.T, text string) [][]byte {
	t.Helper()
	var all [][]byte
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, " | ")
		if !ok {
			continue
		}
		offset, rest, _ := strings.Cut(rest, "  ")
		const digits = len("20 00 00 00 10 00 05 00  00 00 00 00 00 00 00 00")
		if len(rest) < digits {
			t.Fatalf("strace: a line that can't be read: %q", line)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(rest[:digits]), ""))
		if err != nil {
			t.Fatalf("strace: %v: %q", err, line)
		}
		if strings.Trim(offset, "0") == "" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("strace: a buffer that begins in the middle: %q", line)
		}
		all[len(all)-1] = append(all[len(all)-1], b...)
	}
	return all
}

// attr is what the bytes of an attribute are.
type attr struct {
	name   string
	number bool            // 4 bytes in the host's order
	header []field         // before the attributes in it
	nest   map[uint16]attr // the attributes in it
}

// field is a field of a struct.
type field struct {
	name       string
	size, skip int // skip: bytes of padding before it
}

var ifinfomsg = []field{
	{name: "family", size: 1}, {name: "device type", size: 2, skip: 1},
	{name: "index", size: 4}, {name: "flags", size: 4}, {name: "change", size: 4},
}

var ifaddrmsg = []field{
	{name: "family", size: 1}, {name: "prefix length", size: 1},
	{name: "ifa_flags", size: 1}, {name: "scope", size: 1}, {name: "index", size: 4},
}

var ndmsg = []field{
	{name: "family", size: 1}, {name: "index", size: 4, skip: 3},
	{name: "state", size: 2}, {name: "flags", size: 1}, {name: "type", size: 1},
}

var rtmsg = []field{
	{name: "family", size: 1}, {name: "destination length", size: 1},
	{name: "source length", size: 1}, {name: "tos", size: 1},
	{name: "table", size: 1}, {name: "protocol", size: 1},
	{name: "scope", size: 1}, {name: "type", size: 1}, {name: "flags", size: 4},
}

// link is the attributes of a link, with those of a veth's other end in them.
func link(peer map[uint16]attr) map[uint16]attr {
	return map[uint16]attr{
		unix.IFLA_ADDRESS:    {name: "address"},
		unix.IFLA_IFNAME:     {name: "ifname"},
		unix.IFLA_MTU:        {name: "mtu", number: true},
		unix.IFLA_MASTER:     {name: "master", number: true},
		unix.IFLA_NET_NS_PID: {name: "net_ns_pid", number: true},
		unix.IFLA_IFALIAS:    {name: "ifalias"},
		unix.IFLA_EXT_MASK:   {name: "ext_mask", number: true},
		unix.IFLA_AF_SPEC: {name: "af_spec", nest: map[uint16]attr{
			unix.AF_INET6: {name: "inet6", nest: map[uint16]attr{
				unix.IFLA_INET6_ADDR_GEN_MODE: {name: "addr_gen_mode"},
			}},
		}},
		unix.IFLA_LINKINFO: {name: "linkinfo", nest: map[uint16]attr{
			unix.IFLA_INFO_KIND:       {name: "kind"},
			unix.IFLA_INFO_SLAVE_KIND: {name: "slave_kind"},
			unix.IFLA_INFO_SLAVE_DATA: {name: "slave_data", nest: map[uint16]attr{
				unix.IFLA_BRPORT_MODE:           {name: "mode"},
				unix.IFLA_BRPORT_GUARD:          {name: "guard"},
				unix.IFLA_BRPORT_ISOLATED:       {name: "isolated"},
				unix.IFLA_BRPORT_GROUP_FWD_MASK: {name: "group_fwd_mask"},
			}},
			unix.IFLA_INFO_DATA: {name: "data", nest: map[uint16]attr{
				1: {name: "peer", header: ifinfomsg, nest: peer}, // VETH_INFO_PEER
			}},
		}},
	}
}

var messages = map[netlink.HeaderType]attr{
	unix.RTM_NEWLINK: {header: ifinfomsg, nest: link(link(nil))},
	unix.RTM_DELLINK: {header: ifinfomsg, nest: link(nil)},
	unix.RTM_GETLINK: {header: ifinfomsg, nest: link(nil)},
	unix.RTM_NEWADDR: {header: ifaddrmsg, nest: map[uint16]attr{
		unix.IFA_LOCAL:     {name: "local"},
		unix.IFA_ADDRESS:   {name: "address"},
		unix.IFA_BROADCAST: {name: "broadcast"},
		unix.IFA_FLAGS:     {name: "flags", number: true},
	}},
	unix.RTM_GETADDR: {header: ifaddrmsg},
	unix.RTM_NEWROUTE: {header: rtmsg, nest: map[uint16]attr{
		unix.RTA_GATEWAY: {name: "gateway"},
	}},
	unix.RTM_GETROUTE: {header: rtmsg, nest: map[uint16]attr{
		unix.RTA_DST: {name: "destination"},
	}},
	unix.RTM_NEWNEIGH: {header: ndmsg, nest: neighbour},
	unix.RTM_DELNEIGH: {header: ndmsg, nest: neighbour},
	unix.RTM_GETNEIGH: {header: ndmsg, nest: neighbour},
}

var neighbour = map[uint16]attr{
	unix.NDA_DST:    {name: "destination"},
	unix.NDA_LLADDR: {name: "lladdr"},
	unix.NDA_MASTER: {name: "master", number: true},
}

// flatten is a message as values by path: {"linkinfo/kind": `"bridge"`, …}.
func flatten(t *testing.T, m netlink.Message) map[string]string {
	t.Helper()
	values := map[string]string{"message flags": m.Header.Flags.String()}
	shape, ok := messages[m.Header.Type]
	if !ok {
		t.Fatalf("a message of type %d", m.Header.Type)
	}
	if err := shape.flatten("", m.Data, values); err != nil {
		t.Fatalf("a message of type %d: %v", m.Header.Type, err)
	}
	return values
}

func (a attr) flatten(prefix string, b []byte, values map[string]string) error {
	for _, f := range a.header {
		if len(b) < f.skip+f.size {
			return fmt.Errorf("%s%s is missing", prefix, f.name)
		}
		values[prefix+f.name] = number(b[f.skip : f.skip+f.size])
		b = b[f.skip+f.size:]
	}
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		in, ok := a.nest[ad.Type()]
		if !ok {
			in.name = fmt.Sprintf("attribute %d", ad.Type())
		}
		path := prefix + in.name
		if _, ok := values[path]; ok {
			return fmt.Errorf("%s is there twice", path)
		}
		switch v := ad.Bytes(); {
		case in.nest != nil:
			values[path] = "attributes"
			if err := in.flatten(path+"/", v, values); err != nil {
				return err
			}
		case in.number && len(v) == 4:
			values[path] = number(v)
		default:
			values[path] = readable(v)
		}
	}
	return ad.Err()
}

// number is the value of a number of 1, 2 or 4 bytes in the host's order.
func number(b []byte) string {
	switch len(b) {
	case 1:
		return fmt.Sprint(b[0])
	case 2:
		return fmt.Sprint(binary.NativeEndian.Uint16(b))
	}
	return fmt.Sprint(binary.NativeEndian.Uint32(b))
}

// readable is bytes as a text if they are one, less a last NUL.
func readable(b []byte) string {
	text := strings.TrimSuffix(string(b), "\x00")
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Sprintf("%d bytes: % x", len(b), b)
	}
	return fmt.Sprintf("%q", b)
}
