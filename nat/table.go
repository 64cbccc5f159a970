//go:build linux

package nat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// table is the family's table in the words of nft(8): "ip container".
func (f Family) table() string { return f.String() + " " + Table }

// newTable makes the family's table; EEXIST when there is one.
func (f Family) newTable() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_NEWTABLE),
		Flags: create,
		Data: body(f, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, Table)
			ae.Uint32(unix.NFTA_TABLE_FLAGS, 0)
		}),
		What: "table " + f.table() + ": create",
		Cmd:  "nft create table " + f.table(),
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EAFNOSUPPORT, Text: "the kernel has no nf_tables for this: " + f.option()},
		},
	}
}

// option is what brings the family into nf_tables.
func (f Family) option() string {
	if f == Bridge {
		return "CONFIG_NF_TABLES_BRIDGE"
	}
	return "CONFIG_NF_TABLES_" + f.layer().options
}

// DeleteTable takes the family's table away with everything in it. ENOENT when
// there is none.
func (f Family) DeleteTable() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_DELTABLE),
		Flags: change,
		Data: body(f, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, Table)
		}),
		What: "table " + f.table() + ": delete",
		Cmd:  "nft delete table " + f.table(),
	}
}

// chain is a chain of the table. One without a type is only jumped to.
type chain struct {
	name     string
	typ      string // "filter" or "nat"
	hook     uint32 // NF_INET_…
	priority int32
}

// Priorities, the same numbers that nft(8) has names for.
const (
	mangle = -150 // behind connection tracking, before any destination is rewritten
	dstnat = -100
	filter = 0
	srcnat = 100
)

// nfAccept is NF_ACCEPT in linux/netfilter.h.
const nfAccept = 1

func (c chain) request(f Family) nl.Request {
	cmd := fmt.Sprintf("nft add chain %s %s", f.table(), c.name)
	if c.typ != "" {
		cmd += fmt.Sprintf(" '{ type %s hook %s priority %d; policy accept; }'", c.typ, hookNames[c.hook], c.priority)
	}
	r := nl.Request{
		Type:  message(unix.NFT_MSG_NEWCHAIN),
		Flags: add,
		Data: body(f, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_CHAIN_TABLE, Table)
			ae.String(unix.NFTA_CHAIN_NAME, c.name)
			if c.typ == "" {
				return
			}
			nested(ae, unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) {
				ae.Uint32(unix.NFTA_HOOK_HOOKNUM, c.hook)
				ae.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
			})
			ae.Uint32(unix.NFTA_CHAIN_POLICY, nfAccept)
			ae.String(unix.NFTA_CHAIN_TYPE, c.typ)
		}),
		What: fmt.Sprintf("chain %s %s: add", f.table(), c.name),
		Cmd:  cmd,
	}
	if c.typ == "nat" {
		r.Advice = []nl.Advice{
			{Errno: unix.ENOENT, Text: "the kernel has no NAT for nf_tables: CONFIG_NFT_NAT, CONFIG_NF_NAT, CONFIG_NF_CONNTRACK, modules nft_chain_nat, nf_nat and nf_conntrack"},
			{Errno: unix.EBUSY, Text: "before Linux 4.18 iptable_nat and nf_tables NAT exclude each other: rmmod iptable_nat"},
		}
	}
	return r
}

var hookNames = [...]string{
	unix.NF_INET_PRE_ROUTING:  "prerouting",
	unix.NF_INET_LOCAL_IN:     "input",
	unix.NF_INET_FORWARD:      "forward",
	unix.NF_INET_LOCAL_OUT:    "output",
	unix.NF_INET_POST_ROUTING: "postrouting",
}

// rule is a rule in nft(8)'s words, and as the machine runs it.
type rule struct {
	chain string
	text  string
	exprs []expr.Any
	needs string // the options that the expressions come from
	first bool   // it stands before what the chain holds already
}

func (r rule) request(f Family) nl.Request {
	verb, flags := "add", add|netlink.Append
	if r.first {
		verb, flags = "insert", add
	}
	needs := r.needs
	if needs == "" {
		needs = "nf_tables: CONFIG_NF_TABLES"
	}
	lacks := "the kernel lacks part of " + needs
	if f != Bridge && publishing(r.chain) {
		lacks += "; only -p takes it"
	}
	return nl.Request{
		Type:  message(unix.NFT_MSG_NEWRULE),
		Flags: flags,
		Data: body(f, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_RULE_TABLE, Table)
			ae.String(unix.NFTA_RULE_CHAIN, r.chain)
			nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) {
				for _, e := range r.exprs {
					if e, ok := e.(replySource); ok {
						ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, e.marshal())
						continue
					}
					b, err := expr.Marshal(byte(f), e)
					if err != nil {
						panic("nat: " + r.text + ": " + err.Error())
					}
					ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, b)
				}
			})
		}),
		What: fmt.Sprintf("chain %s %s: %s rule %q", f.table(), r.chain, verb, r.text),
		Cmd:  fmt.Sprintf("nft %s rule %s %s %s", verb, f.table(), r.chain, shellQuote(r.text)),
		Advice: []nl.Advice{
			{Errno: unix.ENOENT, Text: lacks},
		},
	}
}

// shellQuote makes words that the shell would split or expand one word.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Tables tells which families have their table.
func Tables(c *nl.Conn) ([]Family, error) {
	r := getTables()
	answers, err := c.Query(r)
	if err != nil {
		return nil, err
	}
	var all []Family
	for _, m := range answers {
		name, err := tableName(m.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.What, err)
		}
		if f := Family(m.Data[0]); name == Table && slices.Contains(Families[:], f) {
			all = append(all, f)
		}
	}
	return all, nil
}

// tableName is the name in the data of an NFT_MSG_NEWTABLE message.
func tableName(b []byte) (name string, err error) {
	if len(b) < 4 {
		return "", fmt.Errorf("a message of %d bytes", len(b))
	}
	ad, err := decoder(b[4:])
	if err != nil {
		return "", err
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_TABLE_NAME {
			name = ad.String()
		}
	}
	return name, ad.Err()
}

// getTables asks for the tables of all families.
func getTables() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_GETTABLE),
		Flags: netlink.Request | netlink.Dump,
		Data:  body(unix.AF_UNSPEC, 0, nil),
		What:  "nf_tables: list the tables",
		Cmd:   "nft list tables",
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EINVAL, Text: noTables},
		},
	}
}

// noTables is the advice for a kernel without nf_tables: it answers a
// transaction with EOPNOTSUPP and a question with EINVAL.
const noTables = "the kernel has no nf_tables: CONFIG_NF_TABLES, module nf_tables"
