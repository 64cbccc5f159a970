//go:build linux

package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// modulesDep is as depmod(8) writes it, on Linux 5.10.
const modulesDep = `kernel/crypto/crc32c_generic.ko:
kernel/lib/libcrc32c.ko:
kernel/net/llc/llc.ko:
kernel/net/802/stp.ko: kernel/net/llc/llc.ko
kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/bridge/br_netfilter.ko: kernel/net/bridge/bridge.ko kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/drivers/net/veth.ko:
kernel/net/netfilter/nfnetlink.ko:
kernel/net/netfilter/nf_tables.ko: kernel/lib/libcrc32c.ko kernel/net/netfilter/nfnetlink.ko
kernel/net/netfilter/nft-odd.ko.xz: kernel/net/netfilter/nf_tables.ko kernel/lib/libcrc32c.ko kernel/net/netfilter/nfnetlink.ko
`

func TestPlanModules(t *testing.T) {
	for _, c := range []struct {
		name            string
		builtin, loaded string
		wanted          []string
		want            []string // names
	}{
		{"links", "", "", linkModules, []string{"llc", "stp", "bridge", "veth"}},
		{"some are loaded", "", "llc 16384 1 stp, Live 0x0\nveth 1 0\n", linkModules, []string{"stp", "bridge"}},
		{"some are built in", "kernel/net/802/stp.ko\nkernel/net/llc/llc.ko\n", "", linkModules, []string{"bridge", "veth"}},
		{"all are there", "kernel/net/bridge/bridge.ko\n", "veth 1 0\n", linkModules, nil},
		// The last dependency first, and the algorithm before the one that asks
		// for it; each once.
		{"an algorithm", "", "", []string{"nf_tables", "nft_odd"}, []string{"nfnetlink", "crc32c_generic", "libcrc32c", "nf_tables", "nft_odd"}},
		{"an algorithm that is there", "kernel/crypto/crc32c_generic.ko\n", "", []string{"nft_odd"}, []string{"nfnetlink", "libcrc32c", "nf_tables", "nft_odd"}},
		{"an unknown one", "", "", []string{"no_such"}, nil},
	} {
		files := planModules(parseDependencies(modulesDep), presentModules(c.builtin, c.loaded), c.wanted)
		var got []string
		for _, f := range files {
			got = append(got, moduleName(f.file))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Nothing is loaded that is not on the list, but what that depends on. Bridged
// packets are not to pass by IP's rules because a container was started.
func TestModulesAskedFor(t *testing.T) {
	for _, name := range slices.Concat(linkModules, natModules) {
		if name == "br_netfilter" || strings.HasSuffix(name, ".ko") || moduleName(name) != name {
			t.Errorf("%s is asked for", name)
		}
	}
}

// modules makes a tree of modules that are files with their path as content, and
// says in what order they were loaded. refuse is the errors of some.
func modules(t *testing.T, dep string, refuse map[string]error) (tree moduleTree, order *[]string) {
	t.Helper()
	order = new([]string)
	dir := filepath.Join(t.TempDir(), "modules")
	for line := range strings.Lines(dep) {
		file, _, _ := strings.Cut(line, ":")
		write(t, filepath.Join(dir, file), file)
	}
	write(t, filepath.Join(dir, "modules.dep"), dep)
	tree = moduleTree{dir: dir, owner: uint32(os.Getuid()), have: func() string { return "" }, init: func(fd, flags int) error {
		b := make([]byte, 256)
		n, err := unix.Read(fd, b)
		if err != nil {
			return err
		}
		name := moduleName(string(b[:n]))
		if flags != 0 {
			name += " compressed"
		}
		if err := refuse[name]; err != nil {
			return err
		}
		*order = append(*order, name)
		return nil
	}}
	return tree, order
}

func write(t *testing.T, name, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoadModules(t *testing.T) {
	tree, order := modules(t, modulesDep, map[string]error{"stp": unix.EEXIST})
	n, err := tree.load(nil, []string{"bridge", "nft_odd"})
	if want := []string{"llc", "bridge", "nfnetlink", "crc32c_generic", "libcrc32c", "nf_tables", "nft_odd compressed"}; err != nil || n != 8 || !slices.Equal(*order, want) {
		t.Errorf("%d were loaded, %v (error %v); want %v", n, *order, err, want)
	}
	// What was decompressed since.
	tree, order = modules(t, modulesDep, nil)
	odd := filepath.Join(tree.dir, "kernel/net/netfilter/nft-odd.ko.xz")
	if err := os.Rename(odd, strings.TrimSuffix(odd, ".xz")); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.load(nil, []string{"nft_odd"}); err != nil || !slices.Contains(*order, "nft_odd") {
		t.Errorf("%v were loaded (error %v)", *order, err)
	}
}

// The first module that can't be loaded is told, with what to do about it.
func TestLoadModulesRefused(t *testing.T) {
	for _, c := range []struct {
		refuse map[string]error
		want   string
	}{
		{map[string]error{"stp": unix.EPERM, "bridge": unix.ENOENT}, "module stp: finit_module DIR/kernel/net/802/stp.ko: operation not permitted"},
		{map[string]error{"nft_odd compressed": unix.EOPNOTSUPP}, "module nft_odd: finit_module DIR/kernel/net/netfilter/nft-odd.ko.xz: operation not supported (this kernel does not decompress it: xz -d DIR/kernel/net/netfilter/nft-odd.ko.xz)"},
		{map[string]error{"nft_odd compressed": unix.EINVAL}, "module nft_odd: finit_module DIR/kernel/net/netfilter/nft-odd.ko.xz: invalid argument (this kernel does not decompress it: xz -d DIR/kernel/net/netfilter/nft-odd.ko.xz)"},
		{map[string]error{"llc": unix.EINVAL}, "module llc: finit_module DIR/kernel/net/llc/llc.ko: invalid argument"},
	} {
		tree, order := modules(t, modulesDep, c.refuse)
		asked, load := []string(nil), tree.init
		tree.init = func(fd, flags int) error {
			b := make([]byte, 256)
			n, _ := unix.Pread(fd, b, 0)
			asked = append(asked, moduleName(string(b[:n])))
			return load(fd, flags)
		}
		n, err := tree.load(nil, []string{"bridge", "veth", "nft_odd"})
		if err == nil || strings.ReplaceAll(err.Error(), tree.dir, "DIR") != c.want {
			t.Errorf("got the error %v, want %s", err, c.want)
		}
		if n != len(*order) || !slices.Contains(*order, "veth") {
			t.Errorf("%d were loaded, %v", n, *order)
		}
		// Where a module is refused, those that need it would be.
		for needs, first := range map[string]string{"bridge": "stp", "stp": "llc"} {
			if i := slices.Index(asked, needs); i >= 0 && !slices.Contains(*order, first) {
				t.Errorf("%v were tried, and %s takes %s", asked, needs, first)
			}
		}
	}
}

// Nothing is loaded that others may have written, or put in the place of what
// was there.
func TestLoadModulesTrusts(t *testing.T) {
	const veth = "kernel/drivers/net/veth.ko"
	outside := filepath.Join(t.TempDir(), "veth.ko")
	write(t, outside, veth)
	link := func(dir, name string) {
		if err := errors.Join(os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+"~")), os.Symlink(filepath.Join(dir, name+"~"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		dep   string
		spoil func(dir string) error
	}{
		"a directory that all may write":    {spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, "kernel/drivers"), 0o777) }},
		"a directory that a group may":      {spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, "kernel/drivers/net"), 0o775) }},
		"the tree itself":                   {spoil: func(dir string) error { return os.Chmod(dir, 0o777) }},
		"what the tree is in":               {spoil: func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }},
		"a file that all may write":         {spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, veth), 0o666) }},
		"a link in the place of a file":     {spoil: func(dir string) error { link(dir, veth); return nil }},
		"a link in place of a directory":    {spoil: func(dir string) error { link(dir, "kernel/drivers"); return nil }},
		"a file that is not there":          {spoil: func(dir string) error { return os.Remove(filepath.Join(dir, veth)) }},
		"no list":                           {spoil: func(dir string) error { return os.Remove(filepath.Join(dir, "modules.dep")) }},
		"no tree":                           {spoil: os.RemoveAll},
		"a list that leads out of the tree": {dep: "../../veth.ko:\n"},
		"one that names a file elsewhere":   {dep: outside + ":\n"},
		"one that goes about":               {dep: "kernel/../../veth.ko:\n"},
	} {
		tree, order := modules(t, modulesDep, nil)
		if c.dep != "" {
			write(t, filepath.Join(tree.dir, "modules.dep"), c.dep)
		}
		if c.spoil != nil {
			if err := c.spoil(tree.dir); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := tree.load(nil, []string{"veth"}); err == nil || n > 0 || len(*order) > 0 {
			t.Errorf("%s: loaded %v (error %v)", name, *order, err)
		}
	}
}

func TestWantsModule(t *testing.T) {
	for err, want := range map[error]bool{unix.EOPNOTSUPP: true, unix.ENOENT: true, unix.EPROTONOSUPPORT: true, unix.EBUSY: false, unix.EPERM: false, unix.EEXIST: false} {
		if got := wantsModule(err); got != want {
			t.Errorf("%v: got %t", err, got)
		}
	}
	// What can't be loaded for is not tried again, and its error is left as it is.
	tries := 0
	err := withModules(nil, linkModules, func() error { tries++; return unix.EBUSY })
	if tries != 1 || err != unix.EBUSY {
		t.Errorf("tried %d times: %v", tries, err)
	}
}

// Whatever the lists say, a plan has each file once, behind those that it needs
// where these don't go round in circles, and none that is there.
func FuzzPlanModules(f *testing.F) {
	f.Add(modulesDep, "kernel/net/llc/llc.ko\n", "veth 1\n", "bridge nft_odd veth")
	f.Add("a.ko: b.ko\nb.ko: a.ko\n", "", "", "a")
	f.Add("libcrc32c.ko: crc32c_generic.ko\ncrc32c_generic.ko: libcrc32c.ko\n", "", "", "libcrc32c")
	f.Fuzz(func(t *testing.T, dep, builtin, loaded, wanted string) {
		all, present := parseDependencies(dep), presentModules(builtin, loaded)
		known := maps.Clone(present)
		seen := make(map[string]bool)
		for _, m := range planModules(all, present, strings.Fields(wanted)) {
			name, file := moduleName(m.file), m.file
			if seen[name] || known[name] {
				t.Errorf("%s is planned twice, or is there", file)
			}
			seen[name] = true
		}
	})
}
