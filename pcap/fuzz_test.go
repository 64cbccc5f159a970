//go:build linux

package pcap_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"container/pcap"
)

// Whatever goes over a socket, the file is packets that are where their headers
// say, and they hold all of it, as far as a packet can.
func FuzzWriter(f *testing.F) {
	message := func(length uint32, size int) []byte {
		return append(binary.NativeEndian.AppendUint32(nil, length), make([]byte, size)...)
	}
	f.Add([]byte(nil))
	f.Add(message(16, 12))
	f.Add(append(message(17, 16), message(16, 12)...))
	f.Add(message(0, 12))
	f.Add(message(^uint32(0), 12))
	f.Add(message(^uint32(2), 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		var file bytes.Buffer
		w, err := pcap.NewWriter(&file)
		if err == nil {
			err = w.Sent(time.Unix(1, 2), 16, b)
		}
		if err != nil {
			t.Fatal(err)
		}
		const fileHeader, packetHeader, cooked = 24, 16, 16
		rest := file.Bytes()[fileHeader:]
		var all []byte
		for len(rest) > 0 {
			if len(rest) < packetHeader {
				t.Fatalf("%d bytes are no packet", len(rest))
			}
			kept, length := binary.NativeEndian.Uint32(rest[8:]), binary.NativeEndian.Uint32(rest[12:])
			if kept < cooked || kept > length || int(kept) > len(rest)-packetHeader {
				t.Fatalf("a packet of %d bytes of %d, where there are %d", kept, length, len(rest)-packetHeader)
			}
			all = append(all, rest[packetHeader+cooked:packetHeader+kept]...)
			rest = rest[packetHeader+kept:]
		}
		if !bytes.HasPrefix(b, all) || len(b) < 200<<10 && len(all) != len(b) {
			t.Errorf("%d bytes of %d are in the file", len(all), len(b))
		}
	})
}
