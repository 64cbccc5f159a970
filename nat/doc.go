//go:build linux

// Package nat is the nf_tables side of a container network: one table named
// "container" that says who holds which address, which ports are published,
// what is masqueraded and what is let in.
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
//	      raw -300      input ──┘           │  srcnat 100
//	      conntrack -200   │                │
//	      dstnat -100    local ── output ───┘
//	                     process  dstnat -100
//
// # Maps, not rules
//
// What a container adds is elements of maps, never rules. So a packet costs
// the same whether ten ports are published or ten thousand, a container is
// added in one transaction, and the kernel itself refuses an address or a port
// that somebody has: a map holds a key once (EEXIST).
//
// # Messages
//
// nf_tables messages are netlink messages between NFNL_MSG_BATCH_BEGIN and
// NFNL_MSG_BATCH_END, and take effect together or not at all. Unlike
// rtnetlink's, their numbers are big-endian; only data that registers hold in
// the host's order (an interface's index, a mark, ct state) is in the host's.
// Layouts are those of linux/netfilter/nf_tables.h and nfnetlink.h.
package nat
