//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// store is where the kernels are kept from one time to the next:
//
//	ARCH/apt/…                      what apt-get(8) keeps for that architecture
//	ARCH-FLAVOUR-KERNEL/release     6.1.0-37-amd64
//	                    kernel      for qemu
//	                    modules/…   those of wanted, and what they depend on
//	                    busybox     a static one
type store struct {
	dir     string
	mirrors []mirror
	mu      sync.Mutex // apt-get locks; one at a time
	apts    map[string]apt
}

// mirror is a place that this machine gets its own Debian packages from.
type mirror struct {
	uri      string
	security bool
}

// openStore finds the store, and the mirrors of this machine's own sources.
func openStore() (*store, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s := &store{dir: filepath.Join(dir, "container-vm"), apts: map[string]apt{}}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 2 || f[1] != "main" {
			continue
		}
		m := mirror{uri: f[0]}
		switch path.Base(f[0]) {
		case "debian":
		case "debian-security":
			m.security = true
		default:
			continue
		}
		if !slices.Contains(s.mirrors, m) {
			s.mirrors = append(s.mirrors, m)
		}
	}
	if len(s.mirrors) == 0 {
		return nil, errors.New("this machine's own sources of packages name no mirror of Debian, such as http://HOST/debian")
	}
	return s, nil
}

// keyring has the keys of all releases that are still to be had.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// sources is what stands in a sources.list(5) for a suite, with its security
// updates or without.
func (s *store) sources(suite string, security bool) string {
	var b strings.Builder
	for _, m := range s.mirrors {
		name := suite
		if m.security {
			if !security {
				continue
			}
			name += "-security"
		}
		fmt.Fprintf(&b, "deb [targets=Packages signed-by=%s] %s %s main\n", keyring, m.uri, name)
	}
	return b.String()
}

// apt is an apt(8) that knows one suite for one architecture, and nothing of
// what is installed here.
type apt struct{ dir, arch string }

func (a apt) command(name string, args ...string) *exec.Cmd {
	options := []string{
		"-qq",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"),
		"-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State=" + a.dir,
		"-o", "Dir::State::status=/dev/null",
		"-o", "Dir::Cache=" + a.dir,
		"-o", "APT::Architecture=" + a.arch,
		"-o", "APT::Architectures=" + a.arch,
		"-o", "APT::Sandbox::User=root",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=2",
	}
	cmd := exec.Command(name, append(options, args...)...)
	cmd.Dir = a.dir
	return cmd
}

// run runs it, and has its output in the error.
func (a apt) run(name string, args ...string) ([]byte, error) {
	cmd := a.command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, err
}

// apt is ready to download for an architecture from a suite.
func (s *store) apt(arch, suite string) (apt, error) {
	a, ready := s.apts[arch+"-"+suite]
	if ready {
		return a, nil
	}
	a = apt{filepath.Join(s.dir, "apt", arch+"-"+suite), arch}
	if err := os.MkdirAll(filepath.Join(a.dir, "lists", "partial"), 0o755); err != nil {
		return a, err
	}
	if err := os.MkdirAll(filepath.Join(a.dir, "archives", "partial"), 0o755); err != nil {
		return a, err
	}
	update := func(security bool) error {
		err := os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(s.sources(suite, security)), 0o644)
		if err == nil {
			_, err = a.run("apt-get", "update")
		}
		return err
	}
	// sid has no security updates, and an architecture that Debian has given up
	// has none any more.
	err := error(nil)
	if suite == "sid" || update(true) != nil {
		err = update(false)
	}
	if err == nil {
		s.apts[arch+"-"+suite] = a
	}
	return a, err
}

// download gets a package, in one of the versions that the suite has, and calls
// f with each of its files.
func (a apt) download(name string, f func(h *tar.Header, r io.Reader) error) error {
	versions, err := a.run("apt-cache", "madison", name)
	if err != nil {
		return err
	}
	err = fmt.Errorf("package %s: there is none for %s", name, a.arch)
	for line := range strings.Lines(string(versions)) {
		_, version, _ := strings.Cut(line, "|")
		version, _, _ = strings.Cut(version, "|")
		if _, err = a.run("apt-get", "download", name+"="+strings.TrimSpace(version)); err != nil {
			continue // an index may name what the mirror has no more
		}
		var found []string
		if found, err = filepath.Glob(filepath.Join(a.dir, name+"_*.deb")); err == nil && len(found) == 0 {
			err = fmt.Errorf("package %s: apt-get download left no file", name)
		}
		if err != nil {
			return err
		}
		defer os.Remove(found[0])
		return unpack(found[0], f)
	}
	return err
}

// unpack calls f with each file of a package.
func unpack(deb string, f func(h *tar.Header, r io.Reader) error) error {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for r := tar.NewReader(out); err == nil; {
		var h *tar.Header
		if h, err = r.Next(); err == nil {
			err = f(h, r)
		}
	}
	if err == io.EOF {
		_, err = io.Copy(io.Discard, out)
	}
	if err != nil {
		_ = cmd.Process.Kill()
	}
	return errors.Join(err, cmd.Wait())
}

// kernels is the names of a suite's kernels of a version and flavour, the
// newest first, each with the packages that it is in.
func (a apt) kernels(version, flavour string) ([][]string, error) {
	out, err := a.run("apt-cache", "pkgnames", "linux-")
	if err != nil {
		return nil, err
	}
	// From 7.0 on linux-image is empty, and two others have what it had.
	one := regexp.MustCompile(`^linux-(image|binary)-(` + regexp.QuoteMeta(version) + `\.[0-9][-+.0-9a-z]*)-` + regexp.QuoteMeta(flavour) + `$`)
	names := strings.Fields(string(out))
	found := map[string][]string{}
	for _, name := range names {
		m := one.FindStringSubmatch(name)
		if m == nil || strings.HasSuffix(m[2], "-cloud") || strings.HasSuffix(m[2], "-rt") || strings.HasSuffix(m[2], "-unsigned") {
			continue
		}
		release := m[2] + "-" + flavour
		if modules := "linux-modules-" + release; m[1] == "binary" && slices.Contains(names, modules) {
			found[release] = []string{name, modules}
		} else if found[release] == nil {
			found[release] = []string{name}
		}
	}
	order := make([]string, 0, len(found))
	for release := range found {
		order = append(order, release)
	}
	slices.SortFunc(order, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	packages := make([][]string, len(order))
	for i, release := range order {
		packages[i] = found[release]
	}
	return packages, nil
}

// numbers is a release by its numbers, to be compared.
func numbers(release string) (n []int) {
	for _, word := range strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' }) {
		i, _ := strconv.Atoi(word)
		n = append(n, i)
	}
	return n
}

// kernel is what is booted.
type kernel struct {
	release string
	image   string // the files
	dtb     string
	busybox []byte
	modules tree
}

// mayMatter are the modules that are looked at. There are thousands of others.
var mayMatter = regexp.MustCompile(`/kernel/(net/(802|llc|bridge|netfilter|ipv[46])/|drivers/net/veth\.ko|lib/libcrc32c|crypto/crc32c|lib/crc)`)

// kernel is a target's kernel, downloaded on first use.
func (s *store) kernel(t target, version string) (*kernel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := filepath.Join(s.dir, t.debian+"-"+t.flavour+"-"+version)
	for _, part := range []struct {
		file  string // is there when all is
		fetch func(dir string, t target, version string) error
	}{{"release", s.fetchKernel}, {"busybox", s.fetchBusybox}} {
		if _, err := os.Stat(filepath.Join(dir, part.file)); err != nil {
			if err := part.fetch(dir, t, version); err != nil {
				return nil, fmt.Errorf("kernel %s for %s: %w", version, t.debian, err)
			}
		}
	}
	return load(dir, t)
}

// fetchKernel downloads a kernel into a directory of the store. The file
// "release" is written last.
func (s *store) fetchKernel(dir string, t target, version string) error {
	a, err := s.apt(t.debian, suiteOf(version))
	if err != nil {
		return err
	}
	candidates, err := a.kernels(version, t.flavour)
	if err != nil {
		return err
	}
	err = fmt.Errorf("there is none in %s", suiteOf(version))
	release := ""
	for _, packages := range candidates {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if release, err = extract(a, dir, packages, t.dtb); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "release"), []byte(release), 0o644)
}

// fetchBusybox downloads the program of the package busybox-static. It is no
// kernel's business which release a static program is of, and not every release
// has it for each architecture.
func (s *store) fetchBusybox(dir string, t target, version string) (err error) {
	for _, suite := range []string{suiteOf(version), "bookworm", "trixie"} {
		var a apt
		if a, err = s.apt(t.debian, suite); err != nil {
			continue
		}
		err = a.download("busybox-static", func(h *tar.Header, r io.Reader) error {
			if !strings.HasSuffix(h.Name, "bin/busybox") || h.Typeflag != tar.TypeReg {
				return nil
			}
			return save(filepath.Join(dir, "busybox"), r)
		})
		if err == nil {
			return nil
		}
	}
	return err
}

// extract puts a kernel, its modules and a device tree into a directory, and
// returns the kernel's release.
func extract(a apt, dir string, packages []string, dtb string) (release string, err error) {
	modules := tree{}
	for _, name := range packages {
		err := a.download(name, func(h *tar.Header, r io.Reader) error {
			if h.Typeflag != tar.TypeReg {
				return nil
			}
			base := path.Base(h.Name)
			switch {
			case strings.HasPrefix(base, "vmlinu"): // vmlinuz, vmlinux
				if _, v, ok := strings.Cut(base, "-"); ok {
					release = v
				} else {
					release = path.Base(path.Dir(h.Name))
				}
				return save(filepath.Join(dir, "kernel"), r)
			case dtb != "" && base == dtb:
				return save(filepath.Join(dir, "dtb"), r)
			case mayMatter.MatchString(h.Name):
				data, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				_, below, _ := strings.Cut(h.Name, "/kernel/")
				m, err := readModule("kernel/"+below, data)
				if err != nil {
					return err
				}
				modules[m.name] = m
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	if release == "" {
		return "", fmt.Errorf("packages %s: there is no kernel in them", strings.Join(packages, ", "))
	}
	for _, m := range modules.order(wanted) {
		if err := save(filepath.Join(dir, "modules", m.path), bytes.NewReader(m.data)); err != nil {
			return "", err
		}
	}
	return release, nil
}

// save writes a file, and the directories that lead to it.
func save(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// load is a kernel of the store.
func load(dir string, t target) (*kernel, error) {
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if err != nil {
		return nil, err
	}
	k := &kernel{release: string(release), image: filepath.Join(dir, "kernel"), modules: tree{}}
	if t.dtb != "" {
		k.dtb = filepath.Join(dir, "dtb")
	}
	if k.busybox, err = os.ReadFile(filepath.Join(dir, "busybox")); err != nil {
		return nil, err
	}
	top := filepath.Join(dir, "modules")
	err = filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m, err := readModule(strings.TrimPrefix(name, top+"/"), data)
		if err == nil {
			k.modules[m.name] = m
		}
		return err
	})
	return k, err
}
