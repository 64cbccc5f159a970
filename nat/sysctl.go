//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"container/nl"
)

// Sysctl is a kernel setting and the value it had: "net.ipv4.ip_forward", "0".
type Sysctl struct{ Name, Value string }

// Remember is a transaction that keeps in the family's table what settings were
// before they are changed, so that whoever takes the table away can put them
// back, in the order of their numbers: from first on. It is refused with EEXIST
// when something is remembered under one of these numbers already.
func (f Family) Remember(first uint32, old []Sysctl) []nl.Request {
	elems := make([]element, len(old))
	for i, s := range old {
		elems[i] = noted(first+uint32(i), s.Name+"="+s.Value)
	}
	return chunks(f.sysctls(), unix.NFT_MSG_NEWSETELEM, create, elems)
}

func noted(number uint32, note string) element {
	return element{key: hostData(number), comment: note, text: fmt.Sprintf("%d comment %q", number, note)}
}

// RememberAgain is a transaction that puts what is remembered there once more,
// after others have deleted it. What is there still is no obstacle.
func (f Family) RememberAgain(c *nl.Conn) ([]nl.Request, error) {
	elems, err := f.sysctls().list(c)
	if err != nil {
		return nil, err
	}
	for i, e := range elems {
		elems[i] = noted(binary.NativeEndian.Uint32(e.key), e.comment)
	}
	return chunks(f.sysctls(), unix.NFT_MSG_NEWSETELEM, add, elems), nil
}

// Remembered is what Remember put in the family's table, in that order; nothing
// where there is no table.
func (f Family) Remembered(c *nl.Conn) ([]Sysctl, error) {
	elems, err := f.sysctls().list(c)
	if err != nil {
		return nil, err
	}
	// The kernel keeps a set in no order.
	sort.SliceStable(elems, func(i, j int) bool {
		return binary.NativeEndian.Uint32(elems[i].key) < binary.NativeEndian.Uint32(elems[j].key)
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
