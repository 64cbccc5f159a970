//go:build linux

package nat

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/nl"
)

// Sysctl is a kernel setting and the value it had: "net.ipv4.ip_forward", "0".
type Sysctl struct{ Name, Value string }

// Remember is a transaction that keeps in the table what settings were before
// they are changed, so that whoever takes the table away can put them back, in
// the order of their numbers: from first on. It is refused with EEXIST when
// something is remembered under one of these numbers already.
func Remember(first uint32, old []Sysctl) []nl.Request {
	elems := make([]element, len(old))
	for i, s := range old {
		note := s.Name + "=" + s.Value
		elems[i] = element{
			key:     hostData(first + uint32(i)),
			comment: note,
			text:    fmt.Sprintf("%d comment %q", first+uint32(i), note),
		}
	}
	return chunks(sysctls, unix.NFT_MSG_NEWSETELEM, create, elems)
}

// Remembered is what Remember put in the table, in that order. ENOENT when
// there is no table.
func Remembered(c *nl.Conn) ([]Sysctl, error) {
	elems, err := sysctls.list(c)
	if err != nil {
		return nil, err
	}
	// The kernel keeps a set in no order.
	slices.SortFunc(elems, func(a, b element) int {
		return cmp.Compare(binary.NativeEndian.Uint32(a.key), binary.NativeEndian.Uint32(b.key))
	})
	var all []Sysctl
	for _, e := range elems {
		name, value, ok := strings.Cut(e.comment, "=")
		if !ok {
			continue // somebody else's element: nothing that we could put back
		}
		all = append(all, Sysctl{Name: name, Value: value})
	}
	return all, nil
}
