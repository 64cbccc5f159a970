//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A kernel gets the modules that it lacks by running modprobe(8). A host that
// has the modules and no modprobe is one where "main" does it: those of a fixed
// list, when the kernel has just refused something for want of them.

// What a run needs of modules, in the names of kernels old and new. One that
// isn't there is built in, or has another name.
var (
	linkModules = []string{"bridge", "veth"}
	natModules  = []string{
		"nfnetlink", "nf_tables", "nf_tables_set", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_fib_ipv4", "nft_fib_ipv6",
		"nft_reject_ipv4", "nft_reject_ipv6", "nft_meta_bridge", "nf_conntrack_netlink",
		// Before Linux 5.2:
		"nf_tables_ipv4", "nf_tables_ipv6", "nf_tables_bridge", "nft_meta", "nft_chain_nat_ipv4", "nft_chain_nat_ipv6", "nft_masq_ipv4", "nft_masq_ipv6",
	}
)

// moduleFor is a module that another asks for as it is loaded, and that no list
// of dependencies tells of: libcrc32c wants the algorithm by its name.
var moduleFor = map[string]string{"libcrc32c": "crc32c_generic"}

// withModules does something once more when the kernel has refused it as if a
// module were missing, and modules could be loaded.
func withModules(x *narrator, wanted []string, do func() error) error {
	err := do()
	if err == nil || !wantsModule(err) || kernelLoads() || os.Geteuid() != 0 {
		return err
	}
	loaded, failed := kernelModules().load(x, wanted)
	if loaded > 0 {
		err = do()
	}
	if err != nil && failed != nil {
		err = fmt.Errorf("%w; %w", err, failed)
	}
	return err
}

// wouldLoad is the names of the modules that withModules would load upon an error.
func wouldLoad(err error, wanted []string) string {
	if err == nil || !wantsModule(err) || kernelLoads() || os.Geteuid() != 0 {
		return ""
	}
	files, _ := kernelModules().missing(wanted) // if that fails, there are none
	names := make([]string, len(files))
	for i, m := range files {
		names[i] = moduleName(m.file)
	}
	return strings.Join(names, " ")
}

// wantsModule tells whether an error may stand for a module that is missing: a
// kind of link, a netlink family, a part of nf_tables.
func wantsModule(err error) bool {
	return slices.ContainsFunc([]unix.Errno{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT, unix.EINVAL}, func(e unix.Errno) bool {
		return errors.Is(err, e)
	})
}

// kernelLoads tells whether loading modules is the kernel's own business: it has
// a program for it; or somebody has told it by an empty name to load none; or it
// has no modules.
func kernelLoads() bool {
	name, err := readSysctl("kernel/modprobe")
	if err != nil || name == "" {
		return true
	}
	return unix.Access(name, unix.X_OK) == nil
}

// moduleTree is where a kernel's modules are, and what it has of them already.
type moduleTree struct {
	dir   string // /lib/modules/RELEASE
	owner uint32 // of all that is trusted
	have  func() string
	init  func(fd int, flags int) error
}

// kernelModules is the tree of the kernel that runs.
func kernelModules() moduleTree {
	var u unix.Utsname
	_ = unix.Uname(&u) // fails for no pointer that is one
	release := unix.ByteSliceToString(u.Release[:])
	dir := "/lib/modules/" + release
	if _, err := os.Stat(dir); err != nil {
		dir = "/usr" + dir
	}
	return moduleTree{
		dir: dir,
		have: func() string {
			b, _ := os.ReadFile("/proc/modules") // none, if it can't be read
			return string(b)
		},
		init: func(fd, flags int) error { return unix.FinitModule(fd, "", flags) },
	}
}

// missing is the files of the modules that are wanted and not there, each behind
// those that it depends on.
func (t moduleTree) missing(wanted []string) ([]dependency, error) {
	if err := t.trust(); err != nil {
		return nil, err
	}
	dep, err := os.ReadFile(filepath.Join(t.dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(t.dir, "modules.builtin"))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	return planModules(parseDependencies(string(dep)), presentModules(string(builtin), t.have()), wanted), nil
}

// load loads modules, and tells how many. One that can't be loaded keeps those
// from it that need it, and no others.
func (t moduleTree) load(x *narrator, wanted []string) (loaded int, err error) {
	files, err := t.missing(wanted)
	if err != nil {
		return 0, fmt.Errorf("modules: %w", err)
	}
	failed := make(map[string]bool)
	for _, m := range files {
		if slices.ContainsFunc(m.needs, func(file string) bool { return failed[moduleName(file)] }) {
			continue
		}
		lerr := t.loadFile(x, m.file)
		if lerr == nil {
			loaded++
			continue
		}
		failed[moduleName(m.file)] = true
		if err == nil { // the first is why others fail
			err = fmt.Errorf("module %s: %w", moduleName(m.file), lerr)
		}
	}
	return loaded, err
}

// loadFile loads a module from a file of the tree.
func (t moduleTree) loadFile(x *narrator, file string) error {
	fd, file, err := t.open(file)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	flags, word := 0, "0"
	if compressed(file) {
		flags, word = unix.MODULE_INIT_COMPRESSED_FILE, "MODULE_INIT_COMPRESSED_FILE"
	}
	full := filepath.Join(t.dir, file)
	x.call("finit_module(%d, \"\", %s)  # modprobe %s: %s", fd, word, moduleName(file), full)
	err = t.init(fd, flags)
	switch {
	case errors.Is(err, unix.EEXIST): // somebody else was faster
		return nil
	case err != nil && flags != 0 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)):
		return fmt.Errorf("finit_module %s: %w (this kernel does not decompress it: %s %s)", full, err, decompress(file), full)
	case err != nil:
		return fmt.Errorf("finit_module %s: %w", full, err)
	}
	return nil
}

// open opens a file of the tree that nobody but its owner could have written, nor
// put there. One that was decompressed since depmod(8) ran has another name.
func (t moduleTree) open(file string) (fd int, found string, err error) {
	parts := strings.Split(file, "/")
	if path.IsAbs(file) || path.Clean(file) != file || parts[0] == ".." {
		return -1, "", fmt.Errorf("modules.dep names %q, which is no file below %s", file, t.dir)
	}
	fd, err = unix.Open(t.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i, part := range parts {
		if err != nil {
			break
		}
		here := fd
		flags := unix.O_RDONLY
		if i < len(parts)-1 {
			flags = unix.O_PATH | unix.O_DIRECTORY
		}
		fd, err = openNext(here, part, flags)
		if plain := strings.TrimSuffix(file, path.Ext(file)); errors.Is(err, unix.ENOENT) && i == len(parts)-1 && compressed(file) {
			file = plain
			fd, err = openNext(here, path.Base(plain), flags)
		}
		unix.Close(here)
		if err == nil {
			if err = t.trustFD(fd); err != nil {
				unix.Close(fd)
			}
		}
	}
	if err != nil {
		return -1, "", fmt.Errorf("%s: %w", filepath.Join(t.dir, file), err)
	}
	return fd, file, nil
}

// trust makes sure of the directory and of all above it.
func (t moduleTree) trust() error {
	real, err := filepath.EvalSymlinks(t.dir)
	if err != nil {
		return err
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		if err == nil {
			err = t.trustStat(&st)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if dir == "/" {
			return nil
		}
	}
}

func (t moduleTree) trustFD(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return t.trustStat(&st)
}

var errWritable = errors.New("others than root may write there, so nothing is loaded from it")

func (t moduleTree) trustStat(st *unix.Stat_t) error {
	if st.Uid != 0 && st.Uid != t.owner || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return errWritable
	}
	return nil
}

// dependencies are the lines of modules.dep(5): a file, and those that it needs,
// of which the last is to be loaded first.
//
//	kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
type dependencies map[string]dependency

type dependency struct {
	file  string
	needs []string
}

func parseDependencies(text string) dependencies {
	all := make(dependencies)
	for line := range strings.Lines(text) {
		file, needs, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && file != "" {
			all[moduleName(file)] = dependency{file, strings.Fields(needs)}
		}
	}
	return all
}

// presentModules is the names of the modules that are built in (modules.builtin)
// or loaded (/proc/modules, whose lines begin with a name).
func presentModules(builtin, loaded string) map[string]bool {
	all := make(map[string]bool)
	for _, list := range []string{builtin, loaded} {
		for line := range strings.Lines(list) {
			if f := strings.Fields(line); len(f) > 0 {
				all[moduleName(f[0])] = true
			}
		}
	}
	return all
}

// planModules is the files to load for what is wanted, in order.
func planModules(all dependencies, present map[string]bool, wanted []string) []dependency {
	var files []dependency
	planned := make(map[string]bool)
	var add func(name, file string)
	add = func(name, file string) {
		if planned[name] || present[name] {
			return
		}
		planned[name] = true
		if first, ok := all[moduleFor[name]]; ok {
			add(moduleFor[name], first.file)
		}
		needs := all[name].needs
		for _, need := range slices.Backward(needs) {
			add(moduleName(need), need)
		}
		files = append(files, dependency{file, needs})
	}
	for _, name := range wanted {
		if d, ok := all[name]; ok {
			add(name, d.file)
		}
	}
	return files
}

// moduleName is a module's name as the kernel has it: that of its file, or its
// own, without what comes behind the first dot, and "_" for "-".
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

func compressed(file string) bool { return strings.Contains(path.Base(file), ".ko.") }

// decompress is the command that does it.
func decompress(file string) string {
	switch path.Ext(file) {
	case ".gz":
		return "gzip -d"
	case ".zst":
		return "zstd -d --rm"
	}
	return "xz -d"
}
