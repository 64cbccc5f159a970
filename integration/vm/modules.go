//go:build linux

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// wanted is what a run has need of, by module. A kernel may have some of it
// built in, or not at all.
var wanted = []string{
	// What others are made with, without a word of it in modules.dep: the kernel
	// asks for it by the name of the algorithm.
	"crc32c_generic",
	"ipv6", "veth", "bridge",
	"nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_ct", "nft_counter", "nft_limit", "nft_objref",
	"nft_fib", "nft_fib_inet", "nft_fib_ipv4", "nft_fib_ipv6",
	"nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6",
	"nft_meta_bridge", "nft_reject_bridge", "nf_conntrack_netlink",
}

// module is a file of /lib/modules/RELEASE.
type module struct {
	path    string // below there: kernel/net/bridge/bridge.ko
	name    string
	data    []byte
	depends []string // names
	aliases []string // by which the kernel asks for it
	soft    []string // what is loaded before it, if it is there
}

// moduleName is what lsmod(8) calls a module.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModule reads what a module says of itself: its section .modinfo holds
// strings NAME=VALUE. That is all that depmod(8) goes by for what is here.
func readModule(file string, data []byte) (*module, error) {
	m := &module{path: file, name: moduleName(file), data: data}
	plain, err := decompress(file, data)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(plain))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("%s: it has no section .modinfo", file)
	}
	info, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for word := range strings.SplitSeq(string(info), "\x00") {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "depends":
			m.depends = strings.FieldsFunc(strings.ReplaceAll(value, "-", "_"), func(r rune) bool { return r == ',' })
		case "alias":
			m.aliases = append(m.aliases, value)
		case "softdep":
			if pre, ok := strings.CutPrefix(value, "pre: "); ok {
				m.soft = append(m.soft, pre)
			}
		}
	}
	return m, nil
}

// extensions is what a tool that compresses puts behind a file's name.
var extensions = map[string]string{"xz": ".xz", "zstd": ".zst"}

// own are the modules that /init itself has need of.
var own = []string{"ipv6", "veth"}

// squeezed is the tree with its modules compressed by a tool, xz or zstd, for a
// kernel that has them otherwise. What /init has need of stays as it is.
func (t tree) squeezed(tool string) (tree, error) {
	if tool == "" {
		return t, nil
	}
	args := map[string][]string{"xz": {"--check=crc32"}, "zstd": nil}[tool]
	rest := tree{}
	for name, m := range t {
		rest[name] = m
		if slices.Contains(own, name) {
			continue
		}
		plain, err := decompress(m.path, m.data)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(tool, append(args, "-c")...)
		cmd.Stdin = bytes.NewReader(plain)
		c := *m
		if c.data, err = cmd.Output(); err != nil {
			return nil, fmt.Errorf("%s -c %s: %w", tool, m.path, err)
		}
		before, _, _ := strings.Cut(m.path, ".ko")
		c.path = before + ".ko" + extensions[tool]
		rest[name] = &c
	}
	return rest, nil
}

// decompress is what xz(1) or zstd(1) makes of a module, by its name.
func decompress(file string, data []byte) ([]byte, error) {
	tool := map[string]string{".xz": "xz", ".zst": "zstd"}[path.Ext(file)]
	if tool == "" {
		return data, nil
	}
	cmd := exec.Command(tool, "-dc")
	cmd.Stdin = bytes.NewReader(data)
	plain, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s -dc %s: %w", tool, file, err)
	}
	return plain, nil
}

// tree is a kernel's modules, by name.
type tree map[string]*module

// order is the modules of those names and all that they depend on, each behind
// what it depends on.
func (t tree) order(names []string) []*module {
	var all []*module
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		m := t[name]
		if m == nil || seen[name] {
			return
		}
		seen[name] = true
		for _, d := range m.depends {
			visit(d)
		}
		all = append(all, m)
	}
	for _, name := range names {
		visit(name)
	}
	return all
}

// without is the tree less some modules; those that depend on them stay, and
// can't be loaded.
func (t tree) without(names []string) tree {
	rest := tree{}
	for name, m := range t {
		if !slices.Contains(names, name) {
			rest[name] = m
		}
	}
	return rest
}

// files is /lib/modules/RELEASE as depmod(8) would leave it, and a file "order"
// of what can be loaded, a path a line, each behind what it depends on.
func (t tree) files(release string) []entry {
	dir := "lib/modules/" + release + "/"
	var files []entry
	var dep, alias, soft, order strings.Builder
	for _, m := range t.order(wanted) {
		files = append(files, entry{dir + m.path, isFile | 0o644, m.data, [2]uint32{}})
		dep.WriteString(m.path + ":")
		needs := t.order([]string{m.name})
		complete := true
		for _, d := range slices.Backward(needs[:len(needs)-1]) {
			dep.WriteString(" " + d.path)
		}
		for _, d := range needs {
			complete = complete && !slices.ContainsFunc(d.depends, func(name string) bool { return t[name] == nil })
		}
		dep.WriteString("\n")
		for _, a := range m.aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", a, m.name)
		}
		for _, s := range m.soft {
			fmt.Fprintf(&soft, "softdep %s pre: %s\n", m.name, s)
		}
		if complete {
			order.WriteString(m.path + "\n")
		}
	}
	for name, text := range map[string]string{"modules.dep": dep.String(), "modules.alias": alias.String(), "modules.softdep": soft.String(), "order": order.String()} {
		files = append(files, entry{dir + name, isFile | 0o644, []byte(text), [2]uint32{}})
	}
	return files
}
