//go:build linux

// Package pcap writes netlink messages to a capture file, which Wireshark,
// tshark and tcpdump read as they do what the kernel's own nlmon device shows.
package pcap

import (
	"encoding/binary"
	"io"
	"time"
)

const (
	// nanoseconds is the magic number of a classic capture file whose times
	// are in nanoseconds. Its byte order is that of the file's headers.
	nanoseconds = 0xa1b23c4d

	// linkTypeNetlink is LINKTYPE_NETLINK: a cooked header, then messages in
	// the byte order of the file's headers.
	linkTypeNetlink = 253

	// most is the largest packet that Wireshark reads
	// (WTAP_MAX_PACKET_SIZE_STANDARD, wiretap/wtap.h).
	most = 256 << 10

	cookedLen = 16
)

// Writer writes a capture file. It is not for use by several goroutines at
// once.
type Writer struct{ w io.Writer }

// NewWriter begins a capture file.
//
//	struct pcap_file_header {
//		bpf_u_int32 magic;
//		u_short     version_major;
//		u_short     version_minor;
//		bpf_int32   thiszone;    0
//		bpf_u_int32 sigfigs;     0
//		bpf_u_int32 snaplen;     the most of a packet there is
//		bpf_u_int32 linktype;
//	};
func NewWriter(w io.Writer) (*Writer, error) {
	var b []byte
	b = binary.NativeEndian.AppendUint32(b, nanoseconds)
	b = binary.NativeEndian.AppendUint16(b, 2)
	b = binary.NativeEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.NativeEndian.AppendUint32(b, most)
	b = binary.NativeEndian.AppendUint32(b, linkTypeNetlink)
	_, err := w.Write(b)
	return &Writer{w}, err
}

// Sent writes what one sendmsg(2) carried at some time over a netlink socket of
// a family (unix.NETLINK_ROUTE, …): one message, or several.
func (w *Writer) Sent(at time.Time, family int, b []byte) error {
	return w.packets(at, outgoing, family, b)
}

// Received writes what one recvmsg(2) carried.
func (w *Writer) Received(at time.Time, family int, b []byte) error {
	return w.packets(at, host, family, b)
}

// Where a packet goes, linux/if_packet.h: PACKET_HOST, PACKET_OUTGOING.
const (
	host     = 0
	outgoing = 4
)

// packets writes messages as one packet, or as several where they are too many
// for one.
func (w *Writer) packets(at time.Time, direction uint16, family int, b []byte) error {
	for {
		n := fit(b)
		if err := w.packet(at, direction, family, b[:n]); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
}

// fit is the length of those messages at the head of several that fit into a
// packet: of the first at least, whatever it is.
func fit(b []byte) int {
	n := 0
	for len(b)-n >= 16 {
		// nlmsg_len, and the padding behind the message
		size := int((uint64(binary.NativeEndian.Uint32(b[n:])) + 3) &^ 3)
		if size < 16 || size > len(b)-n {
			return len(b)
		}
		if n > 0 && n+size > most-cookedLen {
			return n
		}
		n += size
	}
	return len(b)
}

// packet writes a packet with one call of Write, so that a file that is read
// meanwhile, or never finished, ends with a whole one. What is too long for one
// is cut off.
//
//	struct pcap_pkthdr {
//		bpf_u_int32 tv_sec;
//		bpf_u_int32 tv_nsec;
//		bpf_u_int32 caplen;    what is here
//		bpf_u_int32 len;       what there was
//	};
//
// The cooked header is that of "any" device, 16 bytes, its numbers big-endian:
// the direction, the link's type (ARPHRD_NETLINK), 10 bytes for an address that
// there is none of, and the netlink family where an EtherType would be.
func (w *Writer) packet(at time.Time, direction uint16, family int, b []byte) error {
	length := cookedLen + len(b)
	kept := min(length, most)
	p := make([]byte, 0, 16+kept)
	p = binary.NativeEndian.AppendUint32(p, uint32(at.Unix()))
	p = binary.NativeEndian.AppendUint32(p, uint32(at.Nanosecond()))
	p = binary.NativeEndian.AppendUint32(p, uint32(kept))
	p = binary.NativeEndian.AppendUint32(p, uint32(length))

	const arphrdNetlink = 824
	p = binary.BigEndian.AppendUint16(p, direction)
	p = binary.BigEndian.AppendUint16(p, arphrdNetlink)
	p = append(p, make([]byte, 10)...)
	p = binary.BigEndian.AppendUint16(p, uint16(family))
	p = append(p, b[:kept-cookedLen]...)
	_, err := w.w.Write(p)
	return err
}
