//go:build linux

package dissect

import (
	"strconv"
	"strings"
)

// What is in a register or in a set's element, no attribute says. This file
// finds it out from the expressions before, and from the message that made the
// set, as a person who reads the messages would.

const newSet = "NFNL_SUBSYS_NFTABLES<<8|NFT_MSG_NEWSET"

// remember keeps the types of the set that a message makes.
func (r *reader) remember() {
	if r.sets == nil {
		r.sets = make(map[string]setTypes)
	}
	r.sets[r.setName("NFTA_SET_TABLE", "NFTA_SET_NAME")] = setTypes{
		key:   r.said["NFTA_SET_KEY_TYPE"],
		value: r.said["NFTA_SET_DATA_TYPE"],
	}
}

func (r *reader) setName(table, set string) string {
	return r.said["nfgen_family"] + " " + r.said[table] + " " + r.said[set]
}

// dataOf is the types of the data inside of an attribute, joined by dots.
func (r *reader) dataOf(name string) string {
	set := r.sets[r.setName("NFTA_SET_ELEM_LIST_TABLE", "NFTA_SET_ELEM_LIST_SET")]
	switch name {
	case "NFTA_SET_ELEM_KEY", "NFTA_SET_ELEM_KEY_END":
		return set.key
	case "NFTA_SET_ELEM_DATA":
		return set.value
	case "NFTA_BITWISE_DATA": // how far to shift
		return "u32"
	}
	// What a register is compared with, or masked.
	return r.regs[r.said[r.expr+"SREG"]]
}

// begin is the beginning of an expression whose attributes have this prefix:
// what one before has said under these names is over.
func (r *reader) begin(prefix string) {
	r.expr = prefix
	for key := range r.said {
		if strings.HasPrefix(key, prefix) {
			delete(r.said, key)
		}
	}
}

// run is what an expression does to its destination register.
func (r *reader) run() {
	reg := r.said[r.expr+"DREG"]
	if reg == "" {
		return
	}
	typ := ""
	switch r.expr {
	case "NFTA_META_":
		typ = entryNamed("meta", r.said["NFTA_META_KEY"]).typ
	case "NFTA_CT_":
		typ = entryNamed("ct_key", r.said["NFTA_CT_KEY"]).typ
	case "NFTA_FIB_":
		typ = entryNamed("fib_result", r.said["NFTA_FIB_RESULT"]).typ
	case "NFTA_PAYLOAD_":
		typ = r.packetField()
	case "NFTA_BITWISE_":
		typ = r.regs[r.said["NFTA_BITWISE_SREG"]]
	}
	r.regs[reg] = typ
}

// packetField is what a payload expression loads: addresses are at these
// offsets in an IPv4 header (12 and 16), an IPv6 one (8 and 24) and ARP (14
// and 24), hardware addresses in Ethernet's (0 and 6) and ARP (8 and 18), and
// ports in all headers of transport (0 and 2).
func (r *reader) packetField() string {
	offset, n := r.said["NFTA_PAYLOAD_OFFSET"], r.said["NFTA_PAYLOAD_LEN"]
	bytes, _ := strconv.Atoi(n)
	switch r.said["NFTA_PAYLOAD_BASE"] {
	case "NFT_PAYLOAD_LL_HEADER":
		switch {
		case n == "6" && (offset == "0" || offset == "6"):
			return "mac"
		case n == "2" && offset == "12":
			return "n16/eth_p"
		}
	case "NFT_PAYLOAD_NETWORK_HEADER":
		switch {
		case n == "6" && (offset == "8" || offset == "18"):
			return "mac"
		case n == "16" && (offset == "8" || offset == "24"):
			return "ip6"
		case offset == "12" || offset == "16" || offset == "14" || offset == "24":
			if bytes > 4 {
				return "ip6" // a prefix of the IPv6 address at 24
			}
			return "ip4"
		}
	case "NFT_PAYLOAD_TRANSPORT_HEADER":
		if n == "2" && (offset == "0" || offset == "2") {
			return "n16"
		}
	}
	return ""
}

// datatypes is the nft(8) datatypes in a number, 6 bits each
// (concat_subtype_add in nftables' include/datatype.h).
func datatypes(v uint64) string {
	if v == 0 {
		return "0"
	}
	s := ""
	for ; v != 0; v >>= 6 {
		name := strconv.FormatUint(v&0x3f, 10)
		if e, ok := entryAt("datatype", int(v&0x3f)); ok {
			name = e.name
		}
		if s != "" {
			name += " . "
		}
		s = name + s
	}
	return s
}

// register is what is in registers, of the types that data says: nft's names
// of a set's datatypes, or one of tables. When there are several, each takes up
// whole registers of 4 bytes.
func (r *reader) register(b []byte) (string, bool) {
	if r.data == "" {
		return names(b)
	}
	fields := strings.Split(r.data, " . ")
	var all []string
	for i, f := range fields {
		typ := f
		if e := entryNamed("datatype", f); e.typ != "" {
			typ = e.typ
		}
		n := len(b)
		if i < len(fields)-1 || typ != "hex" && i > 0 {
			n = size(typ)
		}
		if n == 0 || n > len(b) {
			return names(b)
		}
		text, ok := r.words("", typ, b[:n])
		if !ok {
			return "", false
		}
		if typ == "string" {
			text = strconv.Quote(text)
		}
		all = append(all, text)
		b = b[min(align(n), len(b)):]
	}
	return strings.Join(all, " . "), len(b) == 0
}

// names is the names of links, of 16 bytes each (IFNAMSIZ), if that is what the
// bytes look like.
func names(b []byte) (string, bool) {
	if len(b)%16 != 0 {
		return "", false
	}
	var all []string
	for ; len(b) > 0; b = b[16:] {
		name := strings.TrimRight(string(b[:16]), "\x00")
		for _, c := range []byte(name) {
			if c <= ' ' || c >= 0x7f {
				return "", false
			}
		}
		if name == "" {
			return "", false
		}
		all = append(all, strconv.Quote(name))
	}
	return strings.Join(all, " . "), len(all) > 0
}
