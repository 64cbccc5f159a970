//go:build linux

package dissect_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/dissect"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The left column of a text, and the gap before the right one.
const gap, column = 2, dissect.Column - 2

// bytesOf is the left column of a text, put together.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	var all []byte
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		digits := strings.NewReplacer(" ", "", "|", "").Replace(line[:min(column, len(line))])
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, b...)
	}
	return all
}

// wordsOf is the right column of a text.
func wordsOf(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) > column+gap {
			all.WriteString(line[column+gap:])
		}
		all.WriteByte('\n')
	}
	return all.String()
}

// complete checks that the left column is the message, and that the layout is
// what it is said to be.
func complete(t testing.TB, text string, b []byte) {
	t.Helper()
	if got := bytesOf(t, text); !bytes.Equal(got, b) {
		t.Errorf("the text has other bytes than the message.\n--- got\n%s--- want\n%s--- text\n%s", hex.Dump(got), hex.Dump(b), text)
	}
	for line := range strings.Lines(text) {
		line := strings.TrimSuffix(line, "\n")
		switch {
		case line == "":
		case strings.TrimRight(line, " ") != line:
			t.Errorf("spaces at the end of %q", line)
		case len(line) > column && line[column:column+gap] != "  ":
			t.Errorf("the columns touch: %q", line)
		}
	}
}

// unknown is the lines about things that nothing is known of.
func unknown(text string) []string {
	var all []string
	for line := range strings.Lines(wordsOf(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasSuffix(words[0], "attribute"), words[len(words)-1] == "more",
			strings.Contains(line, "says to be"), strings.Contains(line, "are here"):
			all = append(all, line)
		}
	}
	return all
}

// golden is a file of testdata: messages, each with a line before it that says
// what it is. Its own left column is what they are made of, so it can be
// checked on machines of any byte order: the files were written on one with the
// lower byte first.
type golden struct {
	name string
	text strings.Builder
}

// add adds a message, or several of one sendmsg(2), in the text of d.
func (g *golden) add(title, text string) { fmt.Fprintf(&g.text, "# %s\n%s\n", title, text) }

// check compares with the file. The bytes of numbers are only the file's on a
// machine of its byte order.
func (g *golden) check(t *testing.T) {
	t.Helper()
	path := filepath.Join("testdata", g.name)
	got := g.text.String()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(file)
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		got, want = wordsOf(titleless(got)), wordsOf(titleless(want))
	}
	same(t, path, got, want)
}

// titleless is a golden's text without the lines that begin with #.
func titleless(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			all.WriteString(line)
		}
	}
	return all.String()
}

// same compares texts of several lines, and shows where they part.
func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	n := 0
	for n < len(g) && n < len(w) && g[n] == w[n] {
		n++
	}
	rest := func(lines []string) string {
		return strings.Join(lines[min(n, len(lines)):min(n+12, len(lines))], "\n")
	}
	t.Fatalf("%s: line %d differs.\n--- got\n%s\n--- want\n%s", what, n+1, rest(g), rest(w))
}

// section is one title of a golden file, and what stands below it.
type section struct {
	title string
	text  string
	b     []byte // the text's left column
}

func sections(t testing.TB, file string) []section {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	for _, s := range strings.Split("\n"+string(b), "\n# ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		text = strings.TrimRight(text, "\n") + "\n"
		all = append(all, section{title, text, bytesOf(t, text)})
	}
	return all
}

// family is the socket's that the messages of a golden file were sent over.
func family(file string) int {
	if strings.Contains(file, "route") {
		return unix.NETLINK_ROUTE
	}
	return unix.NETLINK_NETFILTER
}

// Each golden file is dissected again from its own left column, on whatever
// machine: nothing but the bytes decides about the text. And nothing in them is
// unknown. A title that begins with > is that of a request; what follows is
// what came in answer.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d golden files, error %v", len(files), err)
	}
	for _, path := range files {
		file := filepath.Base(path)
		t.Run(file, func(t *testing.T) {
			var d dissect.Dissector
			var request []byte
			for _, s := range sections(t, file) {
				if strings.HasPrefix(s.title, "> ") {
					request = s.b
					d.AnswerIn(binary.LittleEndian, family(file), s.b, nil)
				}
				text := d.AnswerIn(binary.LittleEndian, family(file), s.b, request)
				same(t, s.title, text, s.text)
				complete(t, text, s.b)
				for _, line := range unknown(text) {
					t.Errorf("%s: unknown: %s", s.title, line)
				}
			}
		})
	}
}

// What one machine sends means the same as what another one does that has the
// higher byte first, whichever of them reads it.
func TestByteOrder(t *testing.T) {
	type order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	for _, tt := range []struct {
		name   string
		family int
		build  func(order) []byte
		says   []string
	}{
		{"route", unix.NETLINK_ROUTE, func(o order) []byte {
			m := message{o, nil}
			return m.header(44, unix.RTM_NEWLINK, 0x605, 7, 0).
				u8(0, 0).u16(772).u32(1).u32(unix.IFF_UP).u32(0xffffffff).
				u16(8, unix.IFLA_MTU).u32(1500).
				u16(4, 0x8000|unix.IFLA_LINKINFO).b
		}, []string{"nlmsg_len 44", "NLM_F_EXCL", "nlmsg_seq 7", "ARPHRD_LOOPBACK", "ifi_index 1", "ifi_flags IFF_UP", "0xffffffff", "IFLA_MTU 1500", "NLA_F_NESTED|IFLA_LINKINFO"}},
		{"nf_tables", unix.NETLINK_NETFILTER, func(o order) []byte {
			m := message{o, nil}
			return m.header(52, 0xa09, 0x405, 7, 0).
				u8(2, 0, 0, 0).
				u16(8, unix.NFTA_SET_NAME).raw("lea\x00").
				u16(8, unix.NFTA_SET_KEY_TYPE).raw("\x00\x00\x00\x14"). // iface_index
				u16(16, unix.NFTA_SET_USERDATA).u8(0, 4).u32(1).u8(1, 4).u32(2).
				header(48, 0xa0c, 0x605, 8, 0).
				u8(2, 0, 0, 0).
				u16(8, unix.NFTA_SET_ELEM_LIST_SET).raw("lea\x00").
				u16(20, 0x8000|unix.NFTA_SET_ELEM_LIST_ELEMENTS).
				u16(16, 0x8000|unix.NFTA_LIST_ELEM).
				u16(12, 0x8000|unix.NFTA_SET_ELEM_KEY).
				u16(8, unix.NFTA_DATA_VALUE).u32(7).b
		}, []string{"NFT_MSG_NEWSET", "NFTA_SET_KEY_TYPE iface_index", "KEYBYTEORDER BYTEORDER_HOST_ENDIAN", "NFT_MSG_NEWSETELEM", "NFTA_DATA_VALUE 7"}},
		{"error", unix.NETLINK_NETFILTER, func(o order) []byte {
			m := message{o, nil}
			return m.header(48, unix.NLMSG_ERROR, 0x300, 7, 0).
				u32(uint32(1<<32-17)). // EEXIST
				header(500, 0xa00, 0x605, 7, 0).
				u16(10, 1).raw("well\x00\x00\x00\x00").b
		}, []string{"NLMSG_ERROR", "NLM_F_CAPPED|NLM_F_ACK_TLVS", "error -EEXIST, file exists", "NFT_MSG_NEWTABLE", "nlmsg_len 500", `NLMSGERR_ATTR_MSG "well"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			little, big := tt.build(binary.LittleEndian), tt.build(binary.BigEndian)
			if bytes.Equal(little, big) {
				t.Fatal("they are the same")
			}
			a := new(dissect.Dissector).AnswerIn(binary.LittleEndian, tt.family, little, nil)
			b := new(dissect.Dissector).AnswerIn(binary.BigEndian, tt.family, big, nil)
			complete(t, a, little)
			complete(t, b, big)
			same(t, "the words", wordsOf(b), wordsOf(a))
			for _, want := range tt.says {
				if !strings.Contains(a, want) {
					t.Errorf("no %q in\n%s", want, a)
				}
			}
		})
	}
}

// message is one that is being made, in an order of bytes.
type message struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	b []byte
}

func (m message) header(length int, typ, flags uint16, seq, pid uint32) message {
	return m.u32(uint32(length)).u16(typ, flags).u32(seq, pid)
}

func (m message) u8(all ...uint8) message {
	m.b = append(m.b, all...)
	return m
}

func (m message) u16(all ...uint16) message {
	for _, v := range all {
		m.b = m.order.AppendUint16(m.b, v)
	}
	return m
}

func (m message) u32(all ...uint32) message {
	for _, v := range all {
		m.b = m.order.AppendUint32(m.b, v)
	}
	return m
}

func (m message) raw(s string) message {
	m.b = append(m.b, s...)
	return m
}

// native is a message in this machine's byte order.
func native() message {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return message{binary.LittleEndian, nil}
	}
	return message{binary.BigEndian, nil}
}

// What can't be is said as it is, and the bytes are there all the same.
func TestBroken(t *testing.T) {
	link := func(length int) message {
		return native().header(length, unix.RTM_NEWLINK, 5, 1, 0).u32(0, 1, 1, 1)
	}
	genmsg := func(length int, typ uint16) message {
		return native().header(length, typ, 5, 1, 0).u8(2, 0, 0, 0)
	}
	for _, tt := range []struct {
		name   string
		family int
		m      message
		says   []string
	}{
		{"nothing", unix.NETLINK_ROUTE, native(), nil},
		{"a byte", unix.NETLINK_ROUTE, native().u8(7), []string{"1 byte, too few for a struct nlmsghdr"}},
		{"half a header", unix.NETLINK_ROUTE, native().u32(32, 16), []string{"8 bytes, too few for a struct nlmsghdr"}},
		{"a length below the header's", unix.NETLINK_ROUTE, link(15), []string{"nlmsg_len 15, but the header alone is 16 bytes", "ifi_index 1"}},
		{"a length of nothing", unix.NETLINK_ROUTE, link(0), []string{"nlmsg_len 0, but the header alone is 16 bytes"}},
		{"a length beyond the end", unix.NETLINK_ROUTE, link(99), []string{"nlmsg_len 99, but 32 bytes are here", "ifi_change IFF_UP"}},
		{"a length beyond a signed number", unix.NETLINK_ROUTE, native().u32(0xfffffff0).u16(16, 5).u32(1, 0), []string{"nlmsg_len 4294967280, but 16 bytes are here"}},
		{"a second one that goes beyond all", unix.NETLINK_ROUTE, native().header(16, 1, 0, 1, 0).header(1<<31-1, 1, 0, 2, 0), []string{"nlmsg_len 2147483647, but 16 bytes are here"}},
		{"no struct ifinfomsg", unix.NETLINK_ROUTE, native().header(16, unix.RTM_GETLINK, 1, 1, 0), []string{"RTM_GETLINK"}},
		{"half a struct ifinfomsg", unix.NETLINK_ROUTE, native().header(22, unix.RTM_GETLINK, 1, 1, 0).u8(7, 0, 1, 0, 2, 3), []string{"ifi_family AF_BRIDGE", "2 bytes more"}},
		{"padding of a message", unix.NETLINK_ROUTE, native().header(17, 99, 0, 1, 0).u8(1, 0, 0, 0), []string{"nlmsg_type 99", "1 byte more", "padding"}},
		{"two messages and a bit", unix.NETLINK_ROUTE, native().header(16, 1, 0, 1, 0).header(16, 4, 0, 2, 0).u8(1), []string{"NLMSG_NOOP", "NLMSG_OVERRUN", "1 byte, too few"}},

		{"an attribute shorter than its header", unix.NETLINK_ROUTE, link(40).u16(3, unix.IFLA_MTU).u32(1), []string{"IFLA_MTU, which says to be of 3 bytes, and 8 bytes are here"}},
		{"an attribute of no length", unix.NETLINK_ROUTE, link(40).u16(0, 0).u32(1), []string{"attribute 0, which says to be of 0 bytes"}},
		{"an attribute beyond the end", unix.NETLINK_ROUTE, link(40).u16(64, unix.IFLA_IFNAME).raw("lo\x00\x00"), []string{"IFLA_IFNAME, which says to be of 64 bytes, and 8 bytes are here"}},
		{"an attribute beyond its nest", unix.NETLINK_ROUTE, link(48).u16(12, 0x8000|unix.IFLA_LINKINFO).u16(9, unix.IFLA_INFO_KIND).raw("veth").u16(4, 0),
			[]string{"IFLA_INFO_KIND, which says to be of 9 bytes, and 8 bytes are here", "\nattribute 0\n"}},
		{"less than an attribute", unix.NETLINK_ROUTE, link(35).u8(4, 0, 1), []string{"3 bytes more"}},
		{"an attribute that ends without padding", unix.NETLINK_ROUTE, link(37).u16(5, unix.IFLA_CARRIER).u8(1), []string{"IFLA_CARRIER 1"}},
		{"an unknown attribute", unix.NETLINK_ROUTE, link(40).u16(8, 999).u32(1), []string{"attribute 999 4 bytes"}},
		{"unknown attributes inside of one", unix.NETLINK_ROUTE, link(44).u16(12, 0x8000|999).u16(8, 0x4000|7).u32(1), []string{"NLA_F_NESTED|attribute 999\n", "  NLA_F_NET_BYTEORDER|attribute 7 4 bytes"}},
		{"a number of another length", unix.NETLINK_ROUTE, link(38).u16(6, unix.IFLA_MTU).u16(7), []string{"IFLA_MTU 7"}},
		{"a number of no number's length", unix.NETLINK_ROUTE, link(40).u16(7, unix.IFLA_MTU).u32(1), []string{"IFLA_MTU 3 bytes"}},
		{"an address of no address's length", unix.NETLINK_ROUTE, native().header(30, unix.RTM_NEWADDR, 0, 1, 0).u32(0, 0).u16(6, unix.IFA_LOCAL).u16(1), []string{"IFA_LOCAL 2 bytes"}},
		{"a name that is none", unix.NETLINK_ROUTE, link(40).u16(8, unix.IFLA_IFNAME).raw("\x1b[1m"), []string{`IFLA_IFNAME "\x1b[1m"`}},
		{"an unknown kind of link", unix.NETLINK_ROUTE, link(52).u16(20, 0x8000|unix.IFLA_LINKINFO).u16(8, unix.IFLA_INFO_KIND).raw("abc\x00").u16(8, unix.IFLA_INFO_DATA).u32(1),
			[]string{`IFLA_INFO_KIND "abc"`, "IFLA_INFO_DATA 4 bytes"}},
		{"a struct that is too long", unix.NETLINK_ROUTE, native().header(52, unix.RTM_NEWADDR, 0, 1, 0).u32(0, 0).u16(28, unix.IFA_CACHEINFO).u32(1, 2, 3, 4, 5, 6), []string{"struct ifa_cacheinfo", "tstamp 4", "8 bytes more"}},

		{"another family", 99, native().header(20, 16, 1, 1, 0).u32(1), []string{"nlmsg_type 16", "nlmsg_flags NLM_F_REQUEST\n", "4 bytes more"}},
		{"unknown flags", unix.NETLINK_ROUTE, native().header(16, unix.RTM_NEWROUTE, 0x8041, 1, 0), []string{"NLM_F_REQUEST|0x40|0x8000"}},
		{"unknown flags alone", unix.NETLINK_ROUTE, native().header(16, unix.RTM_NEWROUTE, 0x8000, 1, 0), []string{"nlmsg_flags 0x8000"}},
		{"an unknown message of nf_tables", unix.NETLINK_NETFILTER, genmsg(20, 0xaff), []string{"NFNL_SUBSYS_NFTABLES<<8|255", "NFPROTO_IPV4"}},
		{"an unknown subsystem", unix.NETLINK_NETFILTER, genmsg(20, 0xff01), []string{"nlmsg_type 65281"}},
		{"user data that ends early", unix.NETLINK_NETFILTER, genmsg(28, 0xa09).u16(8, unix.NFTA_SET_USERDATA).u8(0, 4, 1, 0), []string{"NFTA_SET_USERDATA\n", "4 bytes more"}},
		{"user data, and padding on the next line", unix.NETLINK_NETFILTER, genmsg(36, 0xa0c).u16(16, unix.NFTA_SET_ELEM_LIST_ELEMENTS).u16(4, 0x8000|1).u16(7, 0x8000|1).u8(1, 2, 3, 0), []string{"3 bytes more", "padding"}},

		{"user data whose padding takes two lines", unix.NETLINK_NETFILTER, genmsg(40, 0xa09).u16(17, unix.NFTA_SET_USERDATA).u8(0, 4).u32(0).u8(99, 5, 1, 2, 3, 4, 5, 0, 0, 0),
			[]string{"NFTNL_UDATA_SET_KEYBYTEORDER", "type 99 5 bytes"}},

		{"an answer without an errno", unix.NETLINK_ROUTE, native().header(18, unix.NLMSG_ERROR, 0, 1, 0).u16(1), []string{"2 bytes more"}},
		{"an answer without a header", unix.NETLINK_ROUTE, native().header(24, unix.NLMSG_ERROR, 0, 1, 0).u32(1<<32-1, 5), []string{"error -EPERM, operation not permitted", "4 bytes, too few for a struct nlmsghdr"}},
		{"the end of a list, and words", unix.NETLINK_ROUTE, native().header(28, unix.NLMSG_DONE, 0x202, 1, 0).u32(0).u16(8, 1).raw("abc\x00"), []string{"NLM_F_MULTI|NLM_F_ACK_TLVS", "\nerror 0, done\n", `NLMSGERR_ATTR_MSG "abc"`}},
		{"an errno that is none", unix.NETLINK_ROUTE, native().header(36, unix.NLMSG_ERROR, 0x100, 1, 0).u32(5).header(16, 16, 5, 1, 0), []string{"error 5\n"}},
		{"an answer with the request in it", unix.NETLINK_ROUTE, native().header(80, unix.NLMSG_ERROR, 0x200, 1, 0).u32(1<<32-19).
			header(37, unix.RTM_NEWLINK, 5, 1, 0).u32(0, 1, 1, 1).u16(5, unix.IFLA_CARRIER).u8(1, 0, 0, 0).u16(6, 1).raw("a\x00\x00\x00"),
			[]string{"error -ENODEV, no such device", "    struct ifinfomsg", "    IFLA_CARRIER 1\n", "\nNLMSGERR_ATTR_MSG \"a\"\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := dissect.Message(tt.family, tt.m.b)
			complete(t, text, tt.m.b)
			for _, want := range tt.says {
				if !strings.Contains(wordsOf(text), want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// However deep a message goes, the text stays in reach of the eye.
func TestDeep(t *testing.T) {
	m := native().header(16+16+4*4000, unix.RTM_NEWLINK, 5, 1, 0).u32(0, 0, 0, 0)
	for n := 4 * 4000; n > 0; n -= 4 {
		m = m.u16(uint16(n), 0x8000|unix.IFLA_PROP_LIST)
	}
	text := dissect.Message(unix.NETLINK_ROUTE, m.b)
	complete(t, text, m.b)
	for line := range strings.Lines(text) {
		if len(line) > 120 {
			t.Fatalf("a line of %d bytes", len(line))
		}
	}
}

// An extended acknowledgement, in the request's words.
func TestExplained(t *testing.T) {
	// Two messages of one sendmsg: the answer is to the second.
	request := native().header(32, unix.RTM_NEWLINK, 5, 6, 0).u32(0, 1, 1, 1).
		header(64, unix.RTM_NEWLINK, 5, 7, 0).u32(0, 1, 1, 1).
		u16(8, unix.IFLA_MTU).u32(1500).
		u16(24, 0x8000|unix.IFLA_LINKINFO).
		u16(8, unix.IFLA_INFO_KIND).raw("abc\x00").
		u16(12, 0x8000|unix.IFLA_INFO_SLAVE_DATA).u32(1, 1).b
	for _, tt := range []struct {
		offset, missing, nest int // -1: not said
		seq                   uint32
		want                  string
	}{
		{32, -1, -1, 7, "NLMSGERR_ATTR_OFFS 32: IFLA_MTU\n"},
		{39, -1, -1, 7, "NLMSGERR_ATTR_OFFS 39: IFLA_MTU\n"},
		{40, -1, -1, 7, "NLMSGERR_ATTR_OFFS 40: IFLA_LINKINFO\n"},
		{44, -1, -1, 7, "NLMSGERR_ATTR_OFFS 44: IFLA_LINKINFO > IFLA_INFO_KIND\n"},
		{20, -1, -1, 7, "NLMSGERR_ATTR_OFFS 20: ifi_index\n"},
		{64, -1, -1, 7, "NLMSGERR_ATTR_OFFS 64\n"},
		{32, -1, -1, 6, "NLMSGERR_ATTR_OFFS 32\n"}, // the first one ends there
		{32, -1, -1, 9, "NLMSGERR_ATTR_OFFS 32\n"}, // no such request
		{-1, 3, -1, 7, "NLMSGERR_ATTR_MISS_TYPE 3: IFLA_IFNAME\n"},
		{-1, 1, 40, 7, "NLMSGERR_ATTR_MISS_TYPE 1: IFLA_INFO_KIND\nNLMSGERR_ATTR_MISS_NEST 40: IFLA_LINKINFO\n"},
		{-1, 99, -1, 7, "NLMSGERR_ATTR_MISS_TYPE 99\n"},
	} {
		attrs := native()
		for i, v := range []int{2: tt.offset, 5: tt.missing, 6: tt.nest} {
			if i == 2 && v >= 0 || i == 5 && v >= 0 || i == 6 && v >= 0 {
				attrs = attrs.u16(8, uint16(i)).u32(uint32(v))
			}
		}
		answer := native().header(36+len(attrs.b), unix.NLMSG_ERROR, 0x300, tt.seq, 0).u32(1<<32-22).
			header(64, unix.RTM_NEWLINK, 5, tt.seq, 0).raw(string(attrs.b)).b
		text := dissect.Answer(unix.NETLINK_ROUTE, answer, request)
		complete(t, text, answer)
		if got := wordsOf(text); !strings.HasSuffix(got, "nlmsg_pid 0\n"+tt.want) {
			t.Errorf("want %q at the end of\n%s", tt.want, text)
		}
	}
}

// A name is the one that x/sys has, or there is none.
func TestErrnoName(t *testing.T) {
	known := 0
	for n := 1; n < 200; n++ {
		errno := unix.Errno(n)
		got := dissect.ErrnoName(errno)
		if got == fmt.Sprint(n) {
			continue
		}
		known++
		want := unix.ErrnoName(errno)
		if want == "ENOTSUP" {
			want = "EOPNOTSUPP" // the same number
		}
		if got != want {
			t.Errorf("errno %d is called %s, want %s", n, got, want)
		}
	}
	if known < 50 {
		t.Errorf("%d names", known)
	}
}
