//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"container/file"
)

// nameFiles tell a container's programs names: their own, and whom to ask for
// others.
var nameFiles = []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}

// names mounts the container's own files over those of its tree, or of a volume
// there, which stay as they are below; a volume that is such a file has its way.
// They are made in the container's /dev, a file system that nobody else sees,
// and unlinked there when they are mounted.
func (p *program) names(o *options) ([]step, error) {
	resolv, err := resolvConf(o.dns)
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{
		"/etc/hostname":    []byte(o.hostname + "\n"),
		"/etc/hosts":       hosts(addrs(o.addresses), o.hostname),
		"/etc/resolv.conf": resolv,
	}
	fd := p.lowestFD(0)
	steps := []step{p.hostname(o.hostname)}
	for _, name := range nameFiles {
		if slices.ContainsFunc(o.volumes, func(v volume) bool { return v.target == name }) {
			continue
		}
		b := content[name]
		draft := "/dev/" + path.Base(name)
		steps = append(steps,
			call("open "+draft, unix.SYS_OPENAT, atFDCWD(), p.str(draft), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644).wanting(fd),
			call("write "+draft, unix.SYS_WRITE, fd, p.data(b), uintptr(len(b))).wanting(uintptr(len(b))),
			closing(draft, fd),
			// A tree without the file does without it.
			p.mount("bind "+draft+" to "+name, draft, name, "", unix.MS_BIND, "").passing(unix.ENOENT),
			call("unlink "+draft, unix.SYS_UNLINKAT, atFDCWD(), p.str(draft), 0),
		)
	}
	return steps, nil
}

func hosts(addresses []netip.Addr, hostname string) []byte {
	var b bytes.Buffer
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, a := range addresses {
		fmt.Fprintf(&b, "%s\t%s\n", a, hostname)
	}
	return b.Bytes()
}

// resolverFiles are where the host's resolvers are told. systemd-resolved puts
// its own loopback address in the first and those that it asks in the second.
var resolverFiles = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// publicResolvers are asked where the host names none that a container could
// reach, as Docker does.
var publicResolvers = []string{"8.8.8.8", "8.8.4.4"}

// resolvConf is the container's /etc/resolv.conf: the host's, less the
// nameservers that are the host's own loopback addresses, which are not the
// container's.
func resolvConf(dns []netip.Addr) ([]byte, error) {
	var given []string
	for _, a := range dns {
		given = append(given, a.String())
	}
	if len(given) > 0 {
		return withNameservers(nil, given), nil
	}
	var rest []byte
	for _, name := range resolverFiles {
		b, err := file.ReadUpTo(name, 1<<20)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		servers, others := parseResolvConf(b)
		if len(servers) > 0 {
			return withNameservers(others, servers), nil
		}
		if rest == nil {
			rest = others
		}
	}
	return withNameservers(rest, publicResolvers), nil
}

// parseResolvConf gives the nameservers that a container can reach, and all
// lines that name none.
func parseResolvConf(b []byte) (servers []string, others []byte) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			others = append(append(others, strings.TrimRight(line, "\r\n")...), '\n')
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && !a.IsLoopback() && !a.IsUnspecified() {
			servers = append(servers, f[1])
		}
	}
	return servers, others
}

func withNameservers(rest []byte, servers []string) []byte {
	b := bytes.Clone(rest)
	for _, s := range servers {
		b = append(b, "nameserver "+s+"\n"...)
	}
	return b
}
