//go:build linux

package nat

import (
	"bytes"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// What is read of the chains of others, and where a packet ends in them.

// baseChain is a base chain of somebody else's in the forward hook.
type baseChain struct {
	family      uint8
	table, name string
	drops       bool // its policy
}

// forwardChains lists the base chains in the forward hook that filter IP and
// are not ours.
func forwardChains(c *nl.Conn) ([]baseChain, error) {
	r := nl.Request{
		Type:  message(unix.NFT_MSG_GETCHAIN),
		Flags: netlink.Request | netlink.Dump,
		Data:  body(unix.NFPROTO_UNSPEC, 0, nil),
		What:  "nf_tables: list the chains",
		Cmd:   "nft list chains",
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EINVAL, Text: noTables},
		},
	}
	answers, err := c.Query(r)
	if err != nil {
		return nil, err
	}
	var all []baseChain
	for _, m := range answers {
		b, ok, err := parseChain(m.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
		if ok && b.table != Table {
			all = append(all, b)
		}
	}
	return all, nil
}

// parseChain reads an NFT_MSG_NEWCHAIN message; ok if the chain is a base chain
// of a family that IP packets meet, in its forward hook.
func parseChain(b []byte) (c baseChain, ok bool, err error) {
	if len(b) < 4 {
		return c, false, fmt.Errorf("a message of %d bytes", len(b))
	}
	c.family = b[0]
	switch c.family {
	case unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6:
	default:
		return c, false, nil
	}
	ad, err := decoder(b[4:])
	if err != nil {
		return c, false, err
	}
	var typ string
	hook := ^uint32(0) // what is only jumped to has none
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_CHAIN_TABLE:
			c.table = ad.String()
		case unix.NFTA_CHAIN_NAME:
			c.name = ad.String()
		case unix.NFTA_CHAIN_TYPE:
			typ = ad.String()
		case unix.NFTA_CHAIN_POLICY:
			c.drops = expr.VerdictKind(ad.Uint32()) == expr.VerdictDrop
		case unix.NFTA_CHAIN_HOOK:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.NFTA_HOOK_HOOKNUM {
						hook = ad.Uint32()
					}
				}
				return nil
			})
		}
	}
	return c, hook == unix.NF_INET_FORWARD && typ == "filter", ad.Err()
}

// tableState tells whether a table is switched off (NFT_TABLE_F_DORMANT), and
// the port id of its owner, or 0.
func tableState(c *nl.Conn, family uint8, table string) (dormant bool, owner uint32, err error) {
	const ownerAttr = 7 // NFTA_TABLE_OWNER
	r := nl.Request{
		Type:  message(unix.NFT_MSG_GETTABLE),
		Flags: netlink.Request,
		Data: body(Family(family), 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, table)
		}),
		What: "table " + table + ": look up",
		Cmd:  "nft list table " + table,
	}
	answers, err := c.Query(r)
	if err != nil {
		return false, 0, err
	}
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		ad, err := decoder(m.Data[4:])
		if err != nil {
			return false, 0, fmt.Errorf("%s: %w", r.What, err)
		}
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_TABLE_FLAGS:
				dormant = ad.Uint32()&unix.NFT_TABLE_F_DORMANT != 0
			case ownerAttr:
				owner = ad.Uint32()
			}
		}
		if err := ad.Err(); err != nil {
			return false, 0, fmt.Errorf("%s: %w", r.What, err)
		}
	}
	return dormant, owner, nil
}

// foreignRule is what is understood of a rule: its verdict, and which packets
// it is for.
type foreignRule struct {
	handle  uint64
	names   []nameTest       // all of them must hold
	opaque  bool             // and there is more, that is not understood
	verdict expr.VerdictKind // VerdictContinue if it has none
	target  string           // of a jump or goto
	comment string
}

// nameTest compares the name of an interface.
type nameTest struct {
	key   expr.MetaKey
	data  []byte // "br0\x00…", or, without a NUL, what it begins with
	equal bool
}

// is tells whether an interface, a name of 16 bytes, passes the test: as many
// bytes are compared as the rule has.
func (t nameTest) is(name []byte) bool { return bytes.HasPrefix(name, t.data) == t.equal }

// rules lists a chain of the same table.
func (b baseChain) rules(c *nl.Conn, chain string) ([]foreignRule, error) {
	r := nl.Request{
		Type:  message(unix.NFT_MSG_GETRULE),
		Flags: netlink.Request | netlink.Dump,
		Data: body(Family(b.family), 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_RULE_TABLE, b.table)
			ae.String(unix.NFTA_RULE_CHAIN, chain)
		}),
		What: fmt.Sprintf("chain %s: list", chainWords(b.family, b.table, chain)),
		Cmd:  "nft list chain " + chainWords(b.family, b.table, chain),
	}
	answers, err := c.Query(r)
	if err != nil {
		return nil, err
	}
	all := make([]foreignRule, len(answers))
	for i, m := range answers {
		if all[i], err = parseRule(m.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
	}
	return all, nil
}

// parseRule reads an NFT_MSG_NEWRULE message.
func parseRule(b []byte) (foreignRule, error) {
	r := foreignRule{verdict: expr.VerdictContinue}
	if len(b) < 4 {
		return r, fmt.Errorf("a message of %d bytes", len(b))
	}
	ad, err := decoder(b[4:])
	if err != nil {
		return r, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_HANDLE:
			r.handle = ad.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.comment = parseComment(ad.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			var m meta
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					ad.Nested(func(ad *netlink.AttributeDecoder) error { return r.expression(ad, &m) })
				}
				return nil
			})
		}
	}
	return r, ad.Err()
}

// meta is the last load of an interface's name: which, and the register.
type meta struct {
	key expr.MetaKey
	reg uint32
}

// expression reads NFTA_EXPR_NAME and NFTA_EXPR_DATA, and adds to the rule what
// that says.
func (r *foreignRule) expression(ad *netlink.AttributeDecoder, m *meta) error {
	var name string
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
			switch name {
			case "reject":
				r.verdict = expr.VerdictDrop
			case "queue": // a program decides
				r.verdict = expr.VerdictAccept
			case "meta", "cmp", "immediate", "match", "target", "objref":
				// see below
			case "counter", "log", "last":
				// nothing to do with the packet's way
			default:
				r.opaque = true
			}
		case unix.NFTA_EXPR_DATA:
			switch name {
			case "meta":
				ad.Nested(m.parse)
			case "cmp":
				ad.Nested(func(ad *netlink.AttributeDecoder) error { return r.compare(ad, *m) })
			case "immediate":
				ad.Nested(r.immediate)
			case "match", "target":
				ad.Nested(func(ad *netlink.AttributeDecoder) error { return r.extension(ad, name) })
			case "objref":
				ad.Nested(r.object)
			}
		}
	}
	return nil
}

func (m *meta) parse(ad *netlink.AttributeDecoder) error {
	*m = meta{key: unknown}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_META_KEY:
			m.key = expr.MetaKey(ad.Uint32())
		case unix.NFTA_META_DREG:
			m.reg = ad.Uint32()
		}
	}
	return nil
}

func (r *foreignRule) compare(ad *netlink.AttributeDecoder, m meta) error {
	t := nameTest{key: m.key}
	var reg, op uint32
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_CMP_SREG:
			reg = ad.Uint32()
		case unix.NFTA_CMP_OP:
			op = ad.Uint32()
		case unix.NFTA_CMP_DATA:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.NFTA_DATA_VALUE {
						t.data = append([]byte(nil), ad.Bytes()...)
					}
				}
				return nil
			})
		}
	}
	t.equal = op == uint32(expr.CmpOpEq)
	known := m.key == expr.MetaKeyIIFNAME || m.key == expr.MetaKeyOIFNAME
	if !known || reg != m.reg || op > uint32(expr.CmpOpNeq) {
		r.opaque = true
		return nil
	}
	r.names = append(r.names, t)
	return nil
}

// immediate reads a verdict: what is loaded into register 0.
func (r *foreignRule) immediate(ad *netlink.AttributeDecoder) error {
	reg := ^uint32(0)
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_IMMEDIATE_DREG:
			reg = ad.Uint32()
		case unix.NFTA_IMMEDIATE_DATA:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					if ad.Type() == unix.NFTA_DATA_VERDICT {
						ad.Nested(r.parseVerdict)
					}
				}
				return nil
			})
		}
	}
	r.opaque = r.opaque || reg != unix.NFT_REG_VERDICT
	return nil
}

func (r *foreignRule) parseVerdict(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_VERDICT_CODE:
			r.verdict = expr.VerdictKind(int32(ad.Uint32()))
		case unix.NFTA_VERDICT_CHAIN:
			r.target = ad.String()
		}
	}
	return nil
}

// extension reads a match or target of iptables that nf_tables runs as it is
// (nft_compat): their names are NFTA_MATCH_NAME, NFTA_TARGET_NAME, and what
// they hold NFTA_MATCH_INFO.
func (r *foreignRule) extension(ad *netlink.AttributeDecoder, kind string) error {
	var name string
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_MATCH_NAME:
			name = kind + " " + ad.String()
		case unix.NFTA_MATCH_INFO:
			if name == "match comment" {
				// struct xt_comment_info: 256 bytes of text, ended by a NUL
				text, _, _ := bytes.Cut(ad.Bytes(), []byte{0})
				r.comment = string(text)
			}
		}
	}
	switch name {
	case "match comment", "target LOG", "target NFLOG":
	case "target REJECT":
		r.verdict = expr.VerdictDrop
	case "target NFQUEUE": // a program decides
		r.verdict = expr.VerdictAccept
	default:
		r.opaque = true
	}
	return nil
}

// object reads the use of a named object: a counter, or what may be a condition.
func (r *foreignRule) object(ad *netlink.AttributeDecoder) error {
	var typ uint32
	for ad.Next() {
		if ad.Type() == unix.NFTA_OBJREF_IMM_TYPE {
			typ = ad.Uint32()
		}
	}
	r.opaque = r.opaque || typ != unix.NFT_OBJECT_COUNTER
	return nil
}

// covers tells whether the rule is for all packets of which is known that much:
// the name of the interface on one side.
func (r foreignRule) covers(key expr.MetaKey, name []byte) bool {
	for _, t := range r.names {
		if t.key != key || !t.is(name) {
			return false
		}
	}
	return !r.opaque
}

// unknown is the key of a walk of which nothing is known.
const unknown = expr.MetaKey(^uint32(0))

// walk follows packets through a base chain and those that it leads to.
type walk struct {
	c     *nl.Conn
	base  baseChain
	lists map[string][]foreignRule // what has been read
}

type outcome int

const (
	passed outcome = iota // came to the chain's end
	accepted
	dropped
)

// ending is where a packet ends.
type ending struct {
	outcome outcome
	base    uint64 // the base chain's rule that ended it or led there; 0 is none
	rule    uint64 // the rule that ended it; 0 is the policy
}

// end finds what becomes of packets of which the name of the interface on one
// side is known, and nothing else: rules that are only for some of them are
// passed over.
func (w *walk) end(key expr.MetaKey, name []byte) (ending, error) {
	e, err := w.follow(w.base.name, key, name, 0)
	if e.outcome == passed {
		e.outcome, e.rule = accepted, 0
		if w.base.drops {
			e.outcome = dropped
		}
	}
	return e, err
}

// mostJumps is NFT_JUMP_STACK_SIZE: the kernel refuses a deeper nest, and
// loops. But chains are read one after another, and may change between.
const mostJumps = 16

func (w *walk) follow(chain string, key expr.MetaKey, name []byte, depth int) (ending, error) {
	rules, err := w.read(chain)
	if err != nil || depth > mostJumps {
		return ending{}, err
	}
	for _, r := range rules {
		if !r.covers(key, name) {
			continue
		}
		switch r.verdict {
		case expr.VerdictDrop:
			return ending{dropped, r.handle, r.handle}, nil
		case expr.VerdictContinue, expr.VerdictBreak:
		case expr.VerdictReturn:
			return ending{passed, r.handle, r.handle}, nil
		case expr.VerdictJump, expr.VerdictGoto:
			e, err := w.follow(r.target, key, name, depth+1)
			if err != nil || e.outcome != passed || r.verdict == expr.VerdictGoto {
				e.base = r.handle
				return e, err
			}
		default: // accepted, or queued for a program that decides
			return ending{accepted, r.handle, r.handle}, nil
		}
	}
	return ending{}, nil
}

func (w *walk) read(chain string) ([]foreignRule, error) {
	if rules, ok := w.lists[chain]; ok {
		return rules, nil
	}
	rules, err := w.base.rules(w.c, chain)
	if w.lists == nil {
		w.lists = make(map[string][]foreignRule)
	}
	w.lists[chain] = rules
	return rules, err
}
