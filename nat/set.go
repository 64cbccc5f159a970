//go:build linux

package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// datatype is a type of data as nft(8) knows it. The kernel keeps the number
// and hands it back, so that nft can print the data; the length is what counts.
type datatype struct {
	name   string
	number uint32 // enum datatypes in nftables' include/datatype.h
	length int    // bytes, without padding
	order  uint32 // of the bytes
}

// enum byteorder in nftables' include/datatype.h
const (
	mixedOrder   = 0 // several fields, each with its own
	hostOrder    = 1
	networkOrder = 2
)

var (
	ipv4Addr    = datatype{"ipv4_addr", 7, 4, networkOrder}
	ipv6Addr    = datatype{"ipv6_addr", 8, 16, networkOrder}
	etherAddr   = datatype{"ether_addr", 9, 6, networkOrder}
	etherType   = datatype{"ether_type", 10, 2, networkOrder}
	inetProto   = datatype{"inet_proto", 12, 1, networkOrder}
	inetService = datatype{"inet_service", 13, 2, networkOrder}
	mark        = datatype{"mark", 19, 4, hostOrder}
	ifaceIndex  = datatype{"iface_index", 20, 4, hostOrder}
	integer16   = datatype{"integer", 4, 16, networkOrder}
	ifname      = datatype{"ifname", 41, unix.IFNAMSIZ, hostOrder}
)

// fields is the type of a key or a value: one datatype, or several joined.
type fields []datatype

func (f fields) String() string {
	names := make([]string, len(f))
	for i, t := range f {
		names[i] = t.name
	}
	return strings.Join(names, " . ")
}

// number joins the numbers of the types, 6 bits each (concat_subtype_add in
// nftables' include/datatype.h).
func (f fields) number() uint32 {
	var n uint32
	for _, t := range f {
		n = n<<6 | t.number
	}
	return n
}

// order is the byte order of a single field.
func (f fields) order() uint32 {
	if len(f) == 1 {
		return f[0].order
	}
	return mixedOrder
}

// length is the bytes of all: when there are several, each takes up whole
// registers of 4 bytes.
func (f fields) length() uint32 {
	if len(f) == 1 {
		return uint32(f[0].length)
	}
	n := 0
	for _, t := range f {
		n += (t.length + 3) &^ 3
	}
	return uint32(n)
}

// set is a set of a table, or a map, when its keys have values.
type set struct {
	family Family
	name   string
	id     uint32 // its number within a transaction, for rules that name it
	key    fields
	value  fields
	flags  uint32 // NFT_SET_INTERVAL

	// A key that nft(8) has no type for is told by what loads it, in its words
	// and as it keeps them.
	typeof     string
	typeofData []byte
}

func (s set) kind() string {
	if s.value != nil {
		return "map"
	}
	return "set"
}

func (s set) request() nl.Request {
	decl := "type " + s.key.String()
	if s.typeof != "" {
		decl = "typeof " + s.typeof
	}
	if s.value != nil {
		decl += " : " + s.value.String()
	}
	decl += ";"
	if s.flags&unix.NFT_SET_INTERVAL != 0 {
		decl += " flags interval;"
	}
	return nl.Request{
		Type:  message(unix.NFT_MSG_NEWSET),
		Flags: add,
		Data: body(s.family, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_SET_TABLE, Table)
			ae.String(unix.NFTA_SET_NAME, s.name)
			flags := s.flags
			if s.value != nil {
				flags |= unix.NFT_SET_MAP
			}
			ae.Uint32(unix.NFTA_SET_FLAGS, flags)
			ae.Uint32(unix.NFTA_SET_KEY_TYPE, s.key.number())
			ae.Uint32(unix.NFTA_SET_KEY_LEN, s.key.length())
			if s.value != nil {
				ae.Uint32(unix.NFTA_SET_DATA_TYPE, s.value.number())
				ae.Uint32(unix.NFTA_SET_DATA_LEN, s.value.length())
			}
			ae.Uint32(unix.NFTA_SET_ID, s.id)
			ae.Bytes(unix.NFTA_SET_USERDATA, s.userData())
		}),
		What: fmt.Sprintf("%s %s %s: add", s.kind(), s.family.table(), s.name),
		Cmd:  fmt.Sprintf("nft add %s %s %s '{ %s }'", s.kind(), s.family.table(), s.name, decl),
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: "the kernel has no nf_tables sets of this kind: CONFIG_NF_TABLES (before 4.18 CONFIG_NFT_HASH, CONFIG_NFT_RBTREE)"},
			{Errno: unix.EEXIST, Text: "a table of the same name with another layout is in the way: nft delete table " + s.family.table()},
		},
	}
}

// userData tells nft(8) in which order the bytes of keys and values are, and
// what a key is that has no type (NFTNL_UDATA_SET_KEYBYTEORDER, …DATABYTEORDER
// and …KEY_TYPEOF in libnftnl/udata.h). The kernel only keeps it; without it
// nft shows an index or a mark with its bytes reversed, and of an interface's
// name nothing.
func (s set) userData() []byte {
	b := userNumber(0, s.key.order())
	if s.value != nil {
		b = append(b, userNumber(1, s.value.order())...)
	}
	if s.typeof != "" {
		b = append(b, userBytes(3, s.typeofData)...)
	}
	return b
}

// userBytes is an attribute of user data: a type, a length, and so many bytes.
func userBytes(typ byte, parts ...[]byte) []byte {
	data := slices.Concat(parts...)
	return append([]byte{typ, byte(len(data))}, data...)
}

// userNumber is one of a number, which is in the host's order.
func userNumber(typ byte, n uint32) []byte { return userBytes(typ, hostData(n)) }

// element is a member of a set, or a key of a map with its value.
type element struct {
	key, value []byte
	end        bool   // the first key after an interval
	comment    string // text for people, 127 bytes at most
	text       string // the element in nft(8)'s words
}

// otherTable is the advice when there is no set to put an element into.
var otherTable = []nl.Advice{{
	Errno: unix.ENOENT,
	Text:  "the table is gone, or another version of main made it: main down, once its containers have ended",
}}

// elements is a message about elements of one set: NFT_MSG_NEWSETELEM with
// flags add or create, or NFT_MSG_DELSETELEM.
func (s set) elements(typ uint16, flags netlink.HeaderFlags, elems ...element) nl.Request {
	verb := "delete"
	switch {
	case typ == unix.NFT_MSG_NEWSETELEM && flags == create:
		verb = "create"
	case typ == unix.NFT_MSG_NEWSETELEM:
		verb = "add"
	}
	texts := make([]string, 0, len(elems))
	size := 64
	for _, e := range elems {
		if e.text != "" {
			texts = append(texts, e.text)
		}
		size += 48 + len(e.key) + len(e.value) + len(e.comment)
	}
	text := strings.Join(texts, ", ")
	table := s.family.table()

	b := appendBody(make([]byte, 0, size), s.family, 0)
	b = appendString(b, unix.NFTA_SET_ELEM_LIST_TABLE, Table)
	b = appendString(b, unix.NFTA_SET_ELEM_LIST_SET, s.name)
	b, list := begin(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	for _, e := range elems {
		b = e.append(b)
	}
	end(b, list)

	var advice []nl.Advice
	if typ == unix.NFT_MSG_NEWSETELEM {
		advice = otherTable
	}
	return nl.Request{
		Type:   message(typ),
		Flags:  flags,
		Data:   b,
		What:   s.kind() + " " + table + " " + s.name + ": " + verb + " " + text,
		Cmd:    "nft " + verb + " element " + table + " " + s.name + " " + shellQuote("{ "+text+" }"),
		Advice: advice,
	}
}

// append puts the element behind b, as a member of a list.
func (e element) append(b []byte) []byte {
	b, member := begin(b, unix.NFTA_LIST_ELEM)
	value := func(typ uint16, v []byte) {
		var at int
		b, at = begin(b, typ)
		b = appendAttribute(b, unix.NFTA_DATA_VALUE, v)
		end(b, at)
	}
	value(unix.NFTA_SET_ELEM_KEY, e.key)
	if e.value != nil {
		value(unix.NFTA_SET_ELEM_DATA, e.value)
	}
	if e.end {
		b = appendAttribute(b, unix.NFTA_SET_ELEM_FLAGS, []byte{0, 0, 0, unix.NFT_SET_ELEM_INTERVAL_END})
	}
	if e.comment != "" {
		b = appendAttribute(b, unix.NFTA_SET_ELEM_USERDATA, commentData(e.comment))
	}
	end(b, member)
	return b
}

// commentData is a comment as nft(8) stores and shows it: a type (0,
// NFTNL_UDATA_SET_ELEM_COMMENT in libnftnl/udata.h), a length, and the text
// with a NUL behind it.
func commentData(text string) []byte {
	return userBytes(0, []byte(text), []byte{0})
}

// parseComment is the comment in an element's user data, if there is one.
func parseComment(b []byte) string {
	for len(b) >= 2 {
		typ, n := b[0], int(b[1])
		if len(b) < 2+n {
			return ""
		}
		if typ == 0 {
			return strings.TrimSuffix(string(b[2:2+n]), "\x00")
		}
		b = b[2+n:]
	}
	return ""
}

// getElements asks for all elements of the set.
func (s set) getElements() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_GETSETELEM),
		Flags: netlink.Request | netlink.Dump,
		Data: body(s.family, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, Table)
			ae.String(unix.NFTA_SET_ELEM_LIST_SET, s.name)
		}),
		What: fmt.Sprintf("%s %s %s: list", s.kind(), s.family.table(), s.name),
		Cmd:  fmt.Sprintf("nft list %s %s %s", s.kind(), s.family.table(), s.name),
		Advice: []nl.Advice{
			{Errno: unix.EINVAL, Text: noTables},
		},
	}
}

// list sends getElements and reads the answers; nothing where there is no
// table.
//
// The kernel hands out a long list piece by piece, each from where it left off
// by count. When it makes the hash table larger in between, the order is
// another: some elements come twice, and others, as many at most, not at all.
// To the kernel that is no change of the ruleset (NLM_F_DUMP_INTR). So a list
// with an element twice is asked for again; one without is complete.
func (s set) list(c *nl.Conn) ([]element, error) {
	r := s.getElements()
	for range 10 {
		answers, err := c.Query(r)
		if errors.Is(err, unix.ENOENT) {
			return nil, nil // no table
		}
		if err != nil {
			return nil, err
		}
		var all []element
		for _, m := range answers {
			elems, err := s.parse(m.Data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.What, err)
			}
			all = append(all, elems...)
		}
		if !twice(all) {
			return all, nil
		}
	}
	return nil, fmt.Errorf("%s: the kernel rearranged it while it was read, ten times", r.What)
}

// twice tells whether a key is there more than once.
func twice(elems []element) bool {
	seen := make(map[string]bool, len(elems))
	for _, e := range elems {
		if seen[string(e.key)] {
			return true
		}
		seen[string(e.key)] = true
	}
	return false
}

// parse reads the data of an NFT_MSG_NEWSETELEM message. Keys and values are
// of the set's lengths, or it is an error.
func (s set) parse(b []byte) ([]element, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("a message of %d bytes", len(b))
	}
	ad, err := decoder(b[4:])
	if err != nil {
		return nil, err
	}
	var all []element
	for ad.Next() {
		if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		ad.Nested(func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				var e element
				ad.Nested(e.parse)
				if len(e.key) != int(s.key.length()) || s.value != nil && len(e.value) != int(s.value.length()) {
					return fmt.Errorf("an element of %d and %d bytes", len(e.key), len(e.value))
				}
				all = append(all, e)
			}
			return nil
		})
	}
	return all, ad.Err()
}

func (e *element) parse(ad *netlink.AttributeDecoder) error {
	value := func(to *[]byte) {
		ad.Nested(func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				if ad.Type() == unix.NFTA_DATA_VALUE {
					*to = append([]byte(nil), ad.Bytes()...)
				}
			}
			return nil
		})
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			value(&e.key)
		case unix.NFTA_SET_ELEM_DATA:
			value(&e.value)
		case unix.NFTA_SET_ELEM_USERDATA:
			e.comment = parseComment(ad.Bytes())
		}
	}
	return nil
}

// Data in registers: an interface's name fills 16 bytes, for a shorter value
// would match every name that begins with it; an index is in the host's order;
// a port is in the network's, padded to a register.

func nameData(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func hostData(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func portData(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }

// concat joins fields, each padded to registers of 4 bytes.
func concat(fields ...[]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = append(b, f...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return b
}
