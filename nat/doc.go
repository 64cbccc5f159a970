//go:build linux

// Package nat is the nf_tables side of a container network: up to three tables,
// each of another family and all named "container".
//
//   - ip and ip6 are two of a kind, for the addresses of their family: who holds
//     which, which ports are published, what is masqueraded and what is let in.
//   - bridge stands at the bridge's ports and guards them: a container speaks
//     with the addresses that it was given, nobody else says that he has them,
//     and isolated containers keep to themselves.
//
// A table is there when a container needs it (Claim.Families). Beside the
// tables there are two things to see to. Gates are the chains of other firewalls
// that would drop what comes from a bridge, or goes there, whatever is accepted
// here; in them a rule for each way is put (Gate). And connection tracking leads
// a flow where it has led its first packet, so the kernel is told to forget the
// flows of a port that has come to lead elsewhere (Flows). A TCP connection it
// must not forget before the end; who goes on writing when the container is gone
// is answered with a RST by rules of their own (Family.Optional).
//
// # The machine
//
// The kernel runs rules on a small virtual machine. A rule is a list of
// expressions, run one after another over a packet. An expression loads
// something into a register (payload: bytes of the packet; meta: what the
// kernel knows beside them, as the interface; ct: what connection tracking
// knows; fib: what the routing table says of an address), compares a register
// with a constant (cmp), looks it up in a set or a map (lookup), or acts on
// it (nat, masq, immediate: a verdict). One that does not match ends the
// rule, and the next rule runs.
//
// There are four registers of 16 bytes, numbered 1 to 4. The same 64 bytes are
// sixteen registers of 4 bytes, numbered 8 to 23: register 1 begins where
// register 8 does, so a key of several fields ("tcp . 80") is loaded into
// registers 1 (or 8), 9, 10, each field padded to 4 bytes, and looked up as
// one.
//
// Rules stand in chains. A base chain is tied to a hook, a place in a
// packet's way through the kernel, with a priority among the chains there:
//
//	in  ─ prerouting ─ routing ─┬─ forward ─┬─ postrouting ─ out
//	      conntrack -200  input ┘           │  filter 0
//	      mangle -150      │ filter 0       │  srcnat 100
//	      dstnat -100    local ── output ───┘
//	                     process  mangle -150
//	                              dstnat -100
//
// A frame that comes in by a bridge's port passes the hooks of the family
// bridge before those of IP, which it meets only if it is for the host, or if
// br_netfilter shows it to them (at 0, so behind the guard):
//
//	port ─ prerouting ─┬─ forward ─ … ─ port
//	       guard -200  │  guard -200
//	                   └─ to the host: IP's prerouting
//
// # Maps, not rules
//
// What a container adds is elements of maps, never rules. So a packet costs
// the same whether ten ports are published or ten thousand, a container is
// added in one transaction, and the kernel itself refuses an address or a port
// that somebody has: a map holds a key once (EEXIST). The guard's sets go with
// the leases in the same transaction, and so are refused with them.
//
// # Messages
//
// nf_tables messages are netlink messages between NFNL_MSG_BATCH_BEGIN and
// NFNL_MSG_BATCH_END, and take effect together or not at all. Unlike
// rtnetlink's, their numbers are big-endian; only data that registers hold in
// the host's order (an interface's index, a mark, ct state) is in the host's.
// Layouts are those of linux/netfilter/nf_tables.h and nfnetlink.h.
package nat
