//go:build linux

package dissect

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// value is what bytes mean, with a space before it, as typ says in the way of
// tables. Under its name it can be looked up later in said. It is not ok if
// the bytes can't be what typ says: then the text is how many they are.
func (r *reader) value(name, typ string, b []byte) (text string, ok bool) {
	text, ok = r.words(name, typ, b)
	if !ok {
		delete(r.said, name)
		if len(b) == 0 {
			return "", false
		}
		return " " + count(len(b)), false
	}
	r.said[name] = text
	if typ == "string" {
		text = strconv.Quote(text)
	}
	return " " + text, true
}

func (r *reader) words(name, typ string, b []byte) (string, bool) {
	switch typ {
	case "":
		return "", false
	case "string":
		return strings.TrimRight(string(b), "\x00"), true
	case "mac":
		return mac(b), len(b) > 0
	case "hex":
		return "0x" + hex.EncodeToString(b), len(b) > 0
	case "ip":
		a, ok := netip.AddrFromSlice(b)
		return a.String(), ok
	case "ip4":
		return prefix(b, 4)
	case "ip6":
		return prefix(b, 16)
	case "data":
		return r.register(b)
	case "settype":
		v, ok := r.number('n', b)
		return datatypes(v), ok
	}
	v, ok := r.number(typ[0], b)
	if !ok {
		return "", false
	}
	i := strings.IndexAny(typ, "/|")
	switch {
	case i < 0:
	case typ[i] == '|':
		return flags(typ[i+1:], v), true
	default:
		if e, ok := entryAt(r.enum(typ[i+1:]), int(v)); ok {
			return e.name, true
		}
	}
	if typ[0] == 's' || typ[0] == 'N' {
		return strconv.FormatInt(int64(v), 10), true
	}
	return utoa(v), true
}

// enum is the table of an enum: of that which is meant in this message, where
// the numbers have other names in several.
func (r *reader) enum(table string) string {
	for _, field := range []string{"nlmsg_type", "nfgen_family"} {
		if other := table + "-" + r.said[field]; tableOf(other).words != "" {
			return other
		}
	}
	return table
}

// number is a number in the byte order of a kind: see tables.
func (r *reader) number(kind byte, b []byte) (uint64, bool) {
	order := r.order
	if kind == 'n' || kind == 'N' {
		order = binary.BigEndian
	}
	signed := kind == 's' || kind == 'N'
	switch {
	case len(b) == 1 && signed:
		return uint64(int8(b[0])), true
	case len(b) == 1:
		return uint64(b[0]), true
	case len(b) == 2 && signed:
		return uint64(int16(order.Uint16(b))), true
	case len(b) == 2:
		return uint64(order.Uint16(b)), true
	case len(b) == 4 && signed:
		return uint64(int32(order.Uint32(b))), true
	case len(b) == 4:
		return uint64(order.Uint32(b)), true
	case len(b) == 8:
		return order.Uint64(b), true
	}
	return 0, false
}

// size is how many bytes a thing is that has no length of its own: a field of
// a C struct, or of an nf_tables register.
func size(typ string) int {
	switch typ {
	case "mac":
		return 6
	case "ip4":
		return 4
	case "ip6", "string": // IFNAMSIZ
		return 16
	}
	digits := strings.TrimLeft(typ, "usnN")
	if i := strings.IndexAny(digits, "/|"); i >= 0 {
		digits = digits[:i]
	}
	bits, _ := strconv.Atoi(digits)
	return bits / 8
}

// mac is a hardware address.
func mac(b []byte) string {
	var s []byte
	for i, c := range b {
		if i > 0 {
			s = append(s, ':')
		}
		if c < 0x10 {
			s = append(s, '0')
		}
		s = strconv.AppendUint(s, uint64(c), 16)
	}
	return string(s)
}

// prefix is an address, or a prefix where nft(8) loads and compares no more
// than that is long.
func prefix(b []byte, full int) (string, bool) {
	if len(b) == 0 || len(b) > full {
		return "", false
	}
	a, _ := netip.AddrFromSlice(append(append([]byte(nil), b...), make([]byte, full-len(b))...))
	if len(b) == full {
		return a.String(), true
	}
	return a.String() + "/" + itoa(8*len(b)), true
}
