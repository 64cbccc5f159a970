//go:build linux

package dissect_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/dissect"
	"container/integration/need"
)

// kinds says what each table is, from what refers to it: an enum, flags
// (numbered by bit), the attributes or fields of something.
func kinds(t *testing.T) (tables map[string][]dissect.Entry, flags, structs map[string]bool) {
	t.Helper()
	tables = dissect.Tables()
	flags, structs = map[string]bool{}, map[string]bool{}
	for name, entries := range tables {
		if strings.HasPrefix(name, "nlm_f-") {
			flags[name] = true
		}
		for _, e := range entries {
			if _, table, ok := strings.Cut(e.Typ, "|"); ok {
				flags[table] = true
			}
			if s, ok := strings.CutPrefix(e.Typ, "$"); ok {
				s, _, _ = strings.Cut(s, "@")
				structs[s] = true
			}
		}
	}
	structs["nfgenmsg"] = true
	return tables, flags, structs
}

// Each table that a word refers to is there, and there is no other; numbers go
// up; and every type is one that there is.
func TestTables(t *testing.T) {
	tables, _, _ := kinds(t)
	used := map[string]bool{"nfgenmsg": true}
	refer := func(from, name string) {
		used[name] = true
		if tables[name] == nil {
			t.Errorf("%s: no table %q", from, name)
		}
	}
	number := regexp.MustCompile(`^[usnN](8|16|32|64)$`)
	for name, entries := range tables {
		for i, e := range entries {
			if i > 0 && e.N <= entries[i-1].N && e.N >= 0 {
				t.Errorf("%s: %s is %d, after %d", name, e.Name, e.N, entries[i-1].N)
			}
			typ := e.Typ
			at := strings.IndexAny(typ, "/|")
			switch {
			case typ == "", typ == "string", typ == "mac", typ == "ip", typ == "hex", typ == "ip4", typ == "ip6", typ == "data", typ == "settype":
			case name == "nfnl_subsys", strings.HasPrefix(name, "res_id-"):
				refer(name, typ)
			case typ[0] == '@', typ[0] == '[', typ[0] == '%':
				refer(e.Name, typ[1:])
			case typ[0] == '$':
				s, attributes, ok := strings.Cut(typ[1:], "@")
				refer(e.Name, s)
				if ok {
					refer(e.Name, attributes)
				}
			case typ[0] == '?':
				_, prefix, _ := strings.Cut(typ, "/")
				found := false
				for other := range tables {
					if strings.HasPrefix(other, prefix) {
						used[other], found = true, true
					}
				}
				if !found {
					t.Errorf("%s: no table %q…", e.Name, prefix)
				}
			case at > 0:
				if !number.MatchString(typ[:at]) {
					t.Errorf("%s: what is %q?", e.Name, typ)
				}
				if typ[at+1:] != "res_id" { // it has tables for some messages alone
					refer(e.Name, typ[at+1:])
				}
			case !number.MatchString(typ):
				t.Errorf("%s: what is %q?", e.Name, typ)
			}
		}
	}
	for name := range tables {
		switch {
		case used[name], strings.HasPrefix(name, "nlm_f-"), strings.HasPrefix(name, "res_id-"), strings.HasPrefix(name, "nf_inet-"):
		case slices.Contains([]string{"nlmsg", "rtm", "nfnl_msg", "nfnl_subsys", "nlmsgerr", "datatype", "errno"}, name):
		default:
			t.Errorf("nothing refers to the table %q", name)
		}
	}
}

// headers are the kernel's own, which say what each name of tables is.
const headers = `
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/errno.h>
#include <linux/version.h>
#include <stddef.h>
#include <sys/socket.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error headers before Linux 6.1
#endif
`

// newer are names that came after the headers of Linux 6.1.
var newer = []string{
	"NLM_F_BULK", "NLM_F_ACK_TLVS",
	"IFLA_DEVLINK_PORT", "IFLA_GSO_IPV4_MAX_SIZE", "IFLA_GRO_IPV4_MAX_SIZE", "IFLA_DPLL_PIN",
	"IFLA_MAX_PACING_OFFLOAD_HORIZON", "IFLA_NETNS_IMMUTABLE", "IFLA_HEADROOM", "IFLA_TAILROOM",
	"IFLA_BR_FDB_N_LEARNED", "IFLA_BR_FDB_MAX_LEARNED",
	"IFLA_BRPORT_MAB", "IFLA_BRPORT_MCAST_N_GROUPS", "IFLA_BRPORT_MCAST_MAX_GROUPS",
	"IFLA_BRPORT_NEIGH_VLAN_SUPPRESS", "IFLA_BRPORT_BACKUP_NHID",
	"DEVCONF_FORCE_FORWARDING", "RTA_FLOWLABEL", "CTA_TIMESTAMP_EVENT",
	"NFT_TABLE_F_PERSIST", "NFTA_DEVICE_PREFIX", "NFTA_SET_TYPE", "NFTA_SET_COUNT", "NFTA_BITWISE_SREG2",
	"NFT_BITWISE_AND", "NFT_BITWISE_OR", "NFT_BITWISE_XOR", "NFT_META_BRI_BROUTE",
	"NFT_MSG_GETRULE_RESET", "NFT_MSG_DESTROYTABLE", "NFT_MSG_DESTROYCHAIN", "NFT_MSG_DESTROYRULE", "NFT_MSG_DESTROYSET",
	"NFT_MSG_DESTROYSETELEM", "NFT_MSG_DESTROYOBJ", "NFT_MSG_DESTROYFLOWTABLE", "NFT_MSG_GETSETELEM_RESET",
}

// Every name and number, and every field of a struct, is what the C compiler
// finds in the kernel's headers.
func TestKernelHeaders(t *testing.T) {
	need.Tool(t, "gcc")
	tables, flags, structs := kinds(t)
	var c strings.Builder
	fmt.Fprint(&c, headers)
	checked := 0
	for name, entries := range tables {
		// Names that are nft(8)'s own, and not in the kernel.
		if strings.Contains(name, "_udata") || name == "datatype" || name == "byteorder" {
			continue
		}
		offset := 0
		for _, e := range entries {
			checked++
			switch {
			case e.Name == "__padding": // of the compiler's, without a name
				offset += dissect.SizeOf(e.Typ)
			case structs[name]:
				fmt.Fprintf(&c, "_Static_assert(offsetof(struct %s, %s) == %d, \"%s\");\n", name, e.Name, offset, e.Name)
				offset += dissect.SizeOf(e.Typ)
			case flags[name]:
				fmt.Fprintf(&c, "_Static_assert((unsigned)(%s) == 1u << %d, \"%s\");\n", e.Name, e.N, e.Name)
			default:
				fmt.Fprintf(&c, "_Static_assert((int)(%s) == %d, \"%s\");\n", e.Name, e.N, e.Name)
			}
		}
		if structs[name] {
			fmt.Fprintf(&c, "_Static_assert(sizeof(struct %s) == %d, \"%s\");\n", name, offset, name)
		}
	}
	if checked < 800 {
		t.Errorf("only %d names", checked)
	}
	cmd := exec.Command("gcc", "-fsyntax-only", "-fmax-errors=0", "-fdiagnostics-plain-output", "-x", "c", "-")
	cmd.Stdin = strings.NewReader(c.String())
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "headers before Linux") || strings.Contains(string(out), "No such file") {
		need.Skip(t, "needs the headers of Linux 6.1 or newer: "+string(out))
	}
	undeclared := regexp.MustCompile(`error: ‘(\w+)’ undeclared|error: '(\w+)' undeclared`)
	for line := range strings.Lines(string(out)) {
		if m := undeclared.FindStringSubmatch(line); m != nil && slices.Contains(newer, m[1]+m[2]) {
			continue
		}
		// What follows from a name that isn't declared.
		if strings.Contains(line, "error: ") && !strings.Contains(line, "is not an integer") {
			t.Error(line)
		}
	}
	if err != nil && !strings.Contains(string(out), "error: ") {
		t.Fatal(err)
	}
}
