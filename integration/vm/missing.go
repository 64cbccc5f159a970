//go:build linux

package main

// ciBoots are the boots that every change must pass: the oldest kernel and the
// newest, another architecture, one of 32 bits and one that is big-endian.
func ciBoots() []boot {
	var boots []boot
	for _, which := range []struct{ target, kernel string }{
		{"amd64", "5.10"}, {"amd64", "7"}, {"arm64", "6.1"}, {"386", "6.1"}, {"s390x", "6.1"},
	} {
		t, _ := find(which.target)
		boots = append(boots, boot{target: t, kernel: which.kernel})
	}
	return boots
}

// missing is what the message must say when a module is not there, or "ok" if a
// run does without it.
var missing = []struct{ module, want string }{
	{"bridge", "CONFIG_BRIDGE,bridge"},
	{"veth", "CONFIG_VETH,veth"},
	{"nf_tables", "CONFIG_NF_TABLES,nf_tables"},
	{"nf_conntrack", "CONFIG_NF_CONNTRACK,nf_conntrack"},
	{"nf_nat", "CONFIG_NF_NAT,nf_nat"},
	{"nft_chain_nat", "CONFIG_NFT_NAT,nft_chain_nat"},
	{"nft_masq", "CONFIG_NFT_MASQ,nft_masq"},
	{"nft_ct", "CONFIG_NFT_CT,nft_ct"},
	{"nft_fib", "CONFIG_NFT_FIB"},
	{"nft_fib_ipv4", "CONFIG_NFT_FIB_IPV4,nft_fib_ipv4"},
	{"nft_fib_ipv6", "CONFIG_NFT_FIB_IPV6,nft_fib_ipv6"},
	{"nft_reject", "ok"},
	{"nft_meta_bridge", "ok"},
	{"nf_conntrack_netlink", "ok"},
}

// missingBoots are boots of amd64, each without one of these.
func missingBoots() []boot {
	t, _ := find("amd64")
	var boots []boot
	for _, m := range missing {
		boots = append(boots, boot{
			target:  t,
			kernel:  "6.1",
			words:   []string{"vm.cases=missing", "vm.want=" + m.want},
			without: []string{m.module},
		})
	}
	return boots
}

// moduleBoots are boots in which ./main loads the modules itself: plain ones,
// compressed ones where the kernel decompresses them, and such as it does not,
// where the message must say that.
func moduleBoots() []boot {
	var boots []boot
	for _, which := range []struct{ target, kernel, squeeze string }{
		{"amd64", "5.10", ""}, {"amd64", "6.12", ""}, {"riscv64", "7", ""}, {"mipsle", "6.1", ""},
		{"amd64", "6.1", "xz"}, {"amd64", "6.12", "zstd"},
	} {
		t, _ := find(which.target)
		b := boot{target: t, kernel: which.kernel, squeeze: which.squeeze, words: []string{"vm.modules=no"}}
		if which.squeeze != "" {
			b.words = append(b.words, "vm.cases=missing", "vm.want=finit_module,.ko"+extensions[which.squeeze]+")")
		}
		boots = append(boots, b)
	}
	return boots
}
