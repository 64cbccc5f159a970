//go:build linux

package nat

import (
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// An accept ends a packet's way through one base chain, not through the hook:
// the next base chain there may drop it all the same. So where a host's own
// firewall drops what it doesn't know, the rule that lets a bridge's packets
// pass must stand in the firewall's chain.

// Gate is a base chain of somebody else's in the forward hook that drops what
// comes from a bridge, or goes there, for want of a rule that accepts it: by
// its policy, or by a rule that drops or rejects whatever has come so far, or
// that leads all of it to a chain that does.
type Gate struct {
	Family       uint8 // NFPROTO_IPV4, NFPROTO_IPV6 or NFPROTO_INET
	Table, Chain string
	Bridge       string

	// Owner is the port id of the netlink socket that the table belongs to
	// (NFT_TABLE_F_OWNER, from Linux 5.12), as a rule the number of its
	// process; 0 when it is nobody's. Others can't change such a table, and
	// Open's requests are refused with EPERM: say Remedy's words instead.
	Owner uint32

	missing []opening
}

// opening is a rule that a gate lacks: what it is about, and the handle of the
// rule that it must stand before; 0 is the chain's end.
type opening struct {
	key    expr.MetaKey
	before uint64
}

// gateComment, and the name of the bridge, is the comment of our rules in
// somebody else's chains.
const gateComment = Table + ": "

// Gates looks for the chains that close a bridge. Where nobody else has chains
// in the forward hook this takes one question, the list of all chains.
//
// What was found may change before Open's requests are sent. A chain or a rule
// that is gone by then makes them fail with ENOENT; look again. (The whole
// transaction fails, so don't put them into one with anything else.) If they
// are sent with BatchAt, of a generation that was before the look, any change
// makes them fail with ERESTART; look again, too. Without, two runs at once may
// open a gate twice, which does no harm, and Opened finds both.
func Gates(c *nl.Conn, bridge string) ([]Gate, error) {
	bases, err := forwardChains(c)
	if err != nil {
		return nil, err
	}
	var gates []Gate
	for _, b := range bases {
		g := Gate{Family: b.family, Table: b.table, Chain: b.name, Bridge: bridge}
		w := walk{c: c, base: b}
		any, err := w.end(unknown, nil)
		if err != nil {
			return nil, err
		}
		if any.outcome != dropped {
			continue
		}
		for _, key := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
			own, err := w.end(key, nameData(bridge))
			if err != nil {
				return nil, err
			}
			// Another end is somebody's word about this bridge: it is
			// accepted, or dropped on purpose.
			if own.rule == any.rule {
				g.missing = append(g.missing, opening{key, own.base})
			}
		}
		if g.missing == nil {
			continue
		}
		dormant, owner, err := tableState(c, b.family, b.table)
		if err != nil {
			return nil, err
		}
		if g.Owner = owner; !dormant {
			gates = append(gates, g)
		}
	}
	return gates, nil
}

// String is the chain in nft(8)'s words: "inet firewalld filter_FORWARD".
func (g Gate) String() string { return chainWords(g.Family, g.Table, g.Chain) }

// Open is what lets the bridge's packets pass: a rule for those that come from
// it and one for those that go there, or one of them if the other is there. A
// comment says whose they are; nft and iptables-nft show it.
//
// They have the form that nft gives them, in a table of iptables-nft too, which
// reads that as well as its own.
func (g Gate) Open() []nl.Request {
	var reqs []nl.Request
	for _, o := range g.missing {
		reqs = append(reqs, g.open(o))
	}
	return reqs
}

func (g Gate) open(o opening) nl.Request {
	comment := gateComment + g.Bridge
	text := fmt.Sprintf("%s %q accept comment %q", sideWord(o.key), g.Bridge, comment)
	exprs := []expr.Any{&expr.Meta{Key: o.key, Register: 1}, equal(1, nameData(g.Bridge)), verdict(expr.VerdictAccept)}
	r := nl.Request{
		Type:  message(unix.NFT_MSG_NEWRULE),
		Flags: add | netlink.Append,
		Data: body(Family(g.Family), 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_RULE_TABLE, g.Table)
			ae.String(unix.NFTA_RULE_CHAIN, g.Chain)
			if o.before != 0 {
				ae.Uint64(unix.NFTA_RULE_POSITION, o.before)
			}
			nested(ae, unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) {
				for _, e := range exprs {
					b, err := expr.Marshal(g.Family, e)
					if err != nil {
						panic("nat: " + text + ": " + err.Error())
					}
					ae.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, b)
				}
			})
			ae.Bytes(unix.NFTA_RULE_USERDATA, commentData(comment))
		}),
		What: fmt.Sprintf("chain %s: add rule %q", g, text),
		Cmd:  fmt.Sprintf("nft add rule %s %s", g, shellQuote(text)),
	}
	if o.before != 0 {
		// Without NLM_F_APPEND it stands before the rule at the position.
		r.Flags = add
		r.Cmd = fmt.Sprintf("nft insert rule %s position %d %s", g, o.before, shellQuote(text))
	}
	if g.Owner != 0 {
		r.Advice = []nl.Advice{{Errno: unix.EPERM, Text: "the table has an owner: " + g.Remedy()}}
	}
	return r
}

// Remedy is what a person can do where Open may not: a command to type, or, for
// a table whose owner is none that we know, what to ask of it.
func (g Gate) Remedy() string {
	switch {
	case g.Family == unix.NFPROTO_INET && g.Table == "firewalld":
		return "firewall-cmd --zone=trusted --add-interface=" + g.Bridge
	case g.Owner != 0:
		return fmt.Sprintf("process %d must accept iifname %q and oifname %q in chain %s", g.Owner, g.Bridge, g.Bridge, g)
	}
	var cmds []string
	for _, r := range g.Open() {
		cmds = append(cmds, r.Cmd)
	}
	return strings.Join(cmds, "; ")
}

// Opening is a rule of ours in somebody else's chain.
type Opening struct {
	Family       uint8
	Table, Chain string
	Handle       uint64
	Bridge       string
}

// Opened lists our rules in the chains of others, of all bridges.
func Opened(c *nl.Conn) ([]Opening, error) {
	bases, err := forwardChains(c)
	if err != nil {
		return nil, err
	}
	var all []Opening
	for _, b := range bases {
		rules, err := b.rules(c, b.name)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			bridge, ok := strings.CutPrefix(r.comment, gateComment)
			// Only what Open makes: a person may write such a comment too.
			if ok && r.verdict == expr.VerdictAccept && len(r.names) == 1 && r.names[0].is(nameData(bridge)) {
				all = append(all, Opening{b.family, b.table, b.name, r.handle, bridge})
			}
		}
	}
	return all, nil
}

// Close takes the rule away. ENOENT when it is gone, or its chain is; EPERM
// when the table has come to be somebody's own.
func (o Opening) Close() nl.Request {
	chain := chainWords(o.Family, o.Table, o.Chain)
	return nl.Request{
		Type:  message(unix.NFT_MSG_DELRULE),
		Flags: change,
		Data: body(Family(o.Family), 0, func(ae *netlink.AttributeEncoder) {
			ae.String(unix.NFTA_RULE_TABLE, o.Table)
			ae.String(unix.NFTA_RULE_CHAIN, o.Chain)
			ae.Uint64(unix.NFTA_RULE_HANDLE, o.Handle)
		}),
		What: fmt.Sprintf("chain %s: delete the rule for %s, handle %d", chain, o.Bridge, o.Handle),
		Cmd:  fmt.Sprintf("nft delete rule %s handle %d", chain, o.Handle),
	}
}

// chainWords is a chain as nft(8) names it.
func chainWords(family uint8, table, chain string) string {
	word := map[uint8]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6"}[family]
	return word + " " + table + " " + chain
}

func sideWord(key expr.MetaKey) string {
	if key == expr.MetaKeyIIFNAME {
		return "iifname"
	}
	return "oifname"
}
