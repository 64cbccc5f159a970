//go:build linux

package main

import (
	"strings"
	"testing"
)

// The modules that a run would load stand in one line, each once.
func TestCheckRows(t *testing.T) {
	var b strings.Builder
	err := writeTable(&b, checkRows([]finding{
		{Name: "pid namespace", OK: true, Config: "CONFIG_PID_NS"},
		{Name: "bridge", Config: "CONFIG_BRIDGE", Loads: "llc stp bridge"},
		{Name: "nat", Config: "CONFIG_NFT_NAT", Loads: "nf_tables nft_nat"},
		{Name: "fib", Config: "CONFIG_NFT_FIB", Loads: "nf_tables nft_nat", Lost: "-p is refused"},
		{Name: "guard", Config: "CONFIG_NF_TABLES_BRIDGE", Lost: "-isolate is refused", Error: "table: no"},
	}))
	const want = `ok       pid namespace  CONFIG_PID_NS
loads    bridge         CONFIG_BRIDGE            a run loads its modules first
loads    nat            CONFIG_NFT_NAT           a run loads its modules first
loads    fib            CONFIG_NFT_FIB           a run loads its modules first
missing  guard          CONFIG_NF_TABLES_BRIDGE  without it: -isolate is refused (table: no)
the modules that a run loads: llc stp bridge nf_tables nft_nat
`
	if got := b.String(); err != nil || got != want {
		t.Errorf("got (error %v)\n%swant\n%s", err, got, want)
	}
}
