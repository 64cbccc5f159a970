//go:build linux

package nat

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// inTable begins every command on something in the table.
const inTable = "ip " + Table

// newTable makes the table; EEXIST when there is one.
func newTable() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_NEWTABLE),
		Flags: create,
		Data: body(unix.NFPROTO_IPV4, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, Table)
			ae.Uint32(unix.NFTA_TABLE_FLAGS, 0)
		}),
		What: "table " + inTable + ": create",
		Cmd:  "nft create table " + inTable,
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EAFNOSUPPORT, Text: "the kernel has no nf_tables for IPv4: CONFIG_NF_TABLES_IPV4"},
		},
	}
}

// DeleteTable takes the table away with everything in it. ENOENT when there
// is none.
func DeleteTable() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_DELTABLE),
		Flags: change,
		Data: body(unix.NFPROTO_IPV4, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, Table)
		}),
		What: "table " + inTable + ": delete",
		Cmd:  "nft delete table " + inTable,
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
	raw    = -300 // before connection tracking
	dstnat = -100
	filter = 0
	srcnat = 100
)

// nfAccept is NF_ACCEPT in linux/netfilter.h.
const nfAccept = 1

func (c chain) request() nl.Request {
	cmd := fmt.Sprintf("nft add chain %s %s", inTable, c.name)
	if c.typ != "" {
		cmd += fmt.Sprintf(" '{ type %s hook %s priority %d; policy accept; }'", c.typ, hookNames[c.hook], c.priority)
	}
	r := nl.Request{
		Type:  message(unix.NFT_MSG_NEWCHAIN),
		Flags: add,
		Data: body(unix.NFPROTO_IPV4, 0, func(ae *netlink.AttributeEncoder) {
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
		What: fmt.Sprintf("chain %s %s: add", inTable, c.name),
		Cmd:  cmd,
	}
	if c.typ == "nat" {
		r.Advice = []nl.Advice{
			{Errno: unix.ENOENT, Text: "the kernel has no NAT for nf_tables: CONFIG_NFT_NAT, CONFIG_NF_NAT, modules nft_chain_nat and nf_nat"},
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
}

func (r rule) request() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_NEWRULE),
		Flags: add | netlink.Append,
		Data: body(unix.NFPROTO_IPV4, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_RULE_TABLE, Table)
			ae.String(unix.NFTA_RULE_CHAIN, r.chain)
			nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) {
				for _, e := range r.exprs {
					b, err := expr.Marshal(unix.NFPROTO_IPV4, e)
					if err != nil {
						panic("nat: " + r.text + ": " + err.Error())
					}
					ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, b)
				}
			})
		}),
		What: fmt.Sprintf("chain %s %s: add rule %q", inTable, r.chain, r.text),
		Cmd:  fmt.Sprintf("nft add rule %s %s %s", inTable, r.chain, shellQuote(r.text)),
		Advice: []nl.Advice{
			{Errno: unix.ENOENT, Text: "the kernel lacks part of " + r.needs},
		},
	}
}

// shellQuote makes words that the shell would split or expand one word.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Exists tells whether the table is there.
func Exists(c *nl.Conn) (bool, error) {
	_, err := c.Query(getTable())
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

func getTable() nl.Request {
	return nl.Request{
		Type:  message(unix.NFT_MSG_GETTABLE),
		Flags: netlink.Request,
		Data: body(unix.NFPROTO_IPV4, 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_TABLE_NAME, Table)
		}),
		What: "table " + inTable + ": look up",
		Cmd:  "nft list table " + inTable,
		Advice: []nl.Advice{
			{Errno: unix.EOPNOTSUPP, Text: noTables},
			{Errno: unix.EINVAL, Text: noTables},
		},
	}
}

// noTables is the advice for a kernel without nf_tables: it answers a
// transaction with EOPNOTSUPP and a question with EINVAL.
const noTables = "the kernel has no nf_tables: CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, module nf_tables"
