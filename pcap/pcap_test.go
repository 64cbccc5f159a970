//go:build linux

package pcap_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nat"
	"container/nl"
	"container/pcap"
	"container/rtnl"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

func marshal(reqs ...nl.Request) []byte { return nl.Marshal(reqs) }

// writes keeps what is written, call by call.
type writes [][]byte

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, bytes.Clone(b))
	return len(b), nil
}

func capture(t *testing.T) (*writes, *pcap.Writer) {
	t.Helper()
	var all writes
	w, err := pcap.NewWriter(&all)
	if err != nil {
		t.Fatal(err)
	}
	return &all, w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// native is numbers in this machine's byte order.
func native(numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

func same(t *testing.T, what string, got []byte, parts ...[]byte) {
	t.Helper()
	if want := bytes.Join(parts, nil); !bytes.Equal(got, want) {
		t.Errorf("%s\n--- got\n%s--- want\n%s", what, hex.Dump(got), hex.Dump(want))
	}
}

// A file byte by byte: of the headers each number, and the messages as they
// are.
func TestBytes(t *testing.T) {
	all, w := capture(t)
	up, end := marshal(rtnl.Up(rtnl.LoopbackIndex, "lo")), []byte("whatever came")
	check(t, w.Sent(at, unix.NETLINK_ROUTE, up))
	check(t, w.Received(at.Add(time.Second), unix.NETLINK_NETFILTER, end))
	check(t, w.Received(at, unix.NETLINK_ROUTE, nil))

	if len(*all) != 4 {
		t.Fatalf("%d writes, want one for the file's header and one for each packet", len(*all))
	}
	same(t, "file", (*all)[0],
		native(0xa1b23c4d), binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, 2), 4),
		native(0, 0, 262144, 253))
	same(t, "sent", (*all)[1],
		native(1767323045, 678901234, 48, 48),
		[]byte{0, 4, 0x03, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, up)
	same(t, "received", (*all)[2],
		native(1767323046, 678901234, 29, 29),
		[]byte{0, 0, 0x03, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12}, end)
	same(t, "nothing", (*all)[3],
		native(1767323045, 678901234, 16, 16),
		[]byte{0, 0, 0x03, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
}

// What goes in one sendmsg but is more than Wireshark reads in one packet is
// several packets, each of whole messages.
func TestTooMany(t *testing.T) {
	reqs := make([]nl.Request, 20000)
	for i := range reqs {
		reqs[i] = rtnl.Up(uint32(i), "lo")
	}
	b := marshal(reqs...)
	all, w := capture(t)
	check(t, w.Sent(at, unix.NETLINK_ROUTE, b))
	var again []byte
	for _, p := range (*all)[1:] {
		if len(p) > 16+256<<10 {
			t.Errorf("a packet of %d bytes", len(p)-16)
		}
		if (len(p)-32)%32 != 0 {
			t.Errorf("a packet with %d bytes of messages of 32", len(p)-32)
		}
		if kept, length := binary.NativeEndian.Uint32(p[8:]), binary.NativeEndian.Uint32(p[12:]); kept != length || int(kept) != len(p)-16 {
			t.Errorf("a packet of %d bytes says to be %d of %d", len(p)-16, kept, length)
		}
		again = append(again, p[32:]...)
	}
	if !bytes.Equal(again, b) {
		t.Errorf("%d bytes of messages came out, of %d that went in", len(again), len(b))
	}
	if want := 1 + 3; len(*all) != want {
		t.Errorf("%d writes, want %d", len(*all), want)
	}
}

// A single message that is too long is cut off, and the packet says so.
func TestTooLong(t *testing.T) {
	b := append(native(400<<10), make([]byte, 400<<10-4)...)
	all, w := capture(t)
	check(t, w.Sent(at, unix.NETLINK_ROUTE, append(b, marshal(rtnl.Up(1, "lo"))...)))
	if len(*all) != 3 {
		t.Fatalf("%d writes, want 3", len(*all))
	}
	p := (*all)[1]
	if got, want := p[8:16], native(256<<10, 400<<10+16); !bytes.Equal(got, want) || len(p) != 16+256<<10 {
		t.Errorf("a packet of %d bytes that says % x, want % x", len(p), got, want)
	}
}

type full struct{ left int }

var errFull = errors.New("full")

func (f *full) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestNoRoom(t *testing.T) {
	if _, err := pcap.NewWriter(&full{0}); !errors.Is(err, errFull) {
		t.Errorf("NewWriter: %v", err)
	}
	w, err := pcap.NewWriter(&full{1})
	check(t, err)
	if err := w.Sent(at, unix.NETLINK_ROUTE, nil); !errors.Is(err, errFull) {
		t.Errorf("Sent: %v", err)
	}
}

// Wireshark's own reader finds in the file what was put there.
func TestTshark(t *testing.T) {
	need.Tool(t, "tshark")
	all, w := capture(t)
	check(t, w.Sent(at, unix.NETLINK_ROUTE, marshal(
		rtnl.Veth("veth1f3a", nil, "br0", 3, 1500, rtnl.VethPeer{Name: "eth0", PID: 4711}),
		rtnl.Up(rtnl.LoopbackIndex, "lo"))))
	check(t, w.Received(at.Add(time.Millisecond), unix.NETLINK_ROUTE, ack()))
	check(t, w.Sent(at.Add(2*time.Millisecond), unix.NETLINK_NETFILTER, transaction()))
	path := filepath.Join(t.TempDir(), "netlink.pcap")
	check(t, os.WriteFile(path, bytes.Join(*all, nil), 0o600))

	var stderr strings.Builder
	cmd := exec.Command("tshark", "-r", path, "-T", "fields", "-E", "separator=/s", "-E", "quote=s",
		"-e", "netlink.family", "-e", "frame.time_delta", "-e", "netlink-route.nltype", "-e", "netlink.hdr_type", "-e", "netlink-route.ifla_ifname", "-e", "netlink.error", "-e", "_ws.malformed")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	// A frame a line: what it has several of, joined by commas.
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{
		`'0x0000' '0.000000000' '16,16'  'veth1f3a'  `,          // RTM_NEWLINK, with the veth's name
		`'0x0000' '0.001000000'  '0x0002,0x0010'  '-17' `,       // NLMSG_ERROR, and what it answers
		`'0x000c' '0.001000000'  '0x0010,0x0a00,0x0a03,0x0011'`, // NFT_MSG_NEWTABLE and NEWCHAIN in a transaction
	}
	if len(got) != len(want) {
		t.Fatalf("%d frames:\n%s", len(got), out)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("frame %d:\ngot  %s\nwant %s", i+1, got[i], want[i])
		}
	}
}

// transaction makes a table with a chain.
func transaction() []byte {
	var few []nl.Request
	for _, r := range nat.IPv4.Ruleset() {
		if n := len(few); n == 0 || n == 1 && r.Type&0xff == unix.NFT_MSG_NEWCHAIN {
			few = append(few, r)
		}
	}
	return marshal(nat.Batch(few)...)
}

// ack is an answer: EEXIST.
func ack() []byte {
	head := marshal(rtnl.Up(rtnl.LoopbackIndex, "lo"))[:16]
	answer := bytes.Clone(head)
	binary.NativeEndian.PutUint32(answer, 36)
	binary.NativeEndian.PutUint16(answer[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint16(answer[6:], 0x100) // NLM_F_CAPPED
	return bytes.Join([][]byte{answer, native(1<<32 - 17), head}, nil)
}
