//go:build linux

// Package xtables opens the FORWARD chain of iptables' filter table to a
// bridge, where it drops what nobody accepted, by the interface that iptables
// had before nf_tables and still has as iptables-legacy.
//
// # A table
//
// The kernel has no message for a rule. A program reads a whole table, makes
// another of it and hands that back, by getsockopt and setsockopt on a raw
// socket. A table is bytes: one entry for each rule behind another, and numbers
// that say where in there a hook's chain begins (hook_entry) and where its
// policy is (underflow), an entry like any other. Here is FORWARD with one rule
// and the policy DROP, a chain of the user's own that it jumps to, and what is
// last in every table, sizes as on 64-bit machines:
//
//	  0  INPUT     ACCEPT                  hook_entry and underflow of INPUT
//	152  FORWARD   -i eth0, jump to 784    hook_entry of FORWARD
//	304            DROP                    underflow of FORWARD
//	456  OUTPUT    ACCEPT                  hook_entry and underflow of OUTPUT
//	608  user's    ERROR "mine"            a chain's name; nothing comes here
//	784            RETURN
//	936  the end   ERROR "ERROR"
//
// An entry is struct ipt_entry, any number of matches, and a target:
//
//	struct ipt_entry {                        // 112 bytes
//		struct ipt_ip {
//			struct in_addr src, dst, smsk, dmsk;        //  0
//			char iniface[16], outiface[16];             // 16, 32
//			u8 iniface_mask[16], outiface_mask[16];     // 48, 64
//			__u16 proto;                                // 80
//			__u8 flags, invflags;                       // 82, 83
//		} ip;
//		unsigned int nfcache;                     // 84
//		__u16 target_offset;                      // 88  where the target is
//		__u16 next_offset;                        // 90  the length of all
//		unsigned int comefrom;                    // 92  the kernel's own
//		struct xt_counters { __u64 pcnt, bcnt; }  // 96
//	};
//	struct xt_entry_match, xt_entry_target {  // 32 bytes, and data
//		__u16 size;                               //  0  with the data
//		char name[29];                            //  2
//		__u8 revision;                            // 31
//	};
//
// All that is zero in ipt_ip matches everything. An interface's name is
// compared where its mask has ones: 4 for "br0", its NUL included, and 2 for
// "br+". IPv6's ip6t_entry is the same with longer addresses and, behind proto,
// a tos.
//
// A target without a name is the standard one, and its data a verdict: below
// zero, -1 less NF_ACCEPT or another; otherwise the offset of the entry to go
// on at, that of the next one for a rule without a target. Any other name is
// one of an extension: REJECT, LOG.
//
// Everything is in the host's byte order, and sizes of targets and matches are
// multiples of the alignment of a __u64: 8, but 4 on 386.
//
// # Another entry
//
// One more entry moves all behind it, and so each jump there, and the numbers
// of the hooks. The kernel counts a new table from zero and hands out what the
// old one had counted, which has to be added to the new. Nothing holds the
// table meanwhile: if its number of entries is another by then, the kernel
// refuses (EAGAIN), and that is all it looks at. Programs keep each other out by
// a flock on /run/xtables.lock.
//
// To ask for a table makes the kernel make it. So the first look is at
// /proc/net/ip_tables_names, which has the names of those that there are.
//
// Layouts are those of linux/netfilter/x_tables.h,
// linux/netfilter_ipv4/ip_tables.h and linux/netfilter_ipv6/ip6_tables.h.
package xtables
