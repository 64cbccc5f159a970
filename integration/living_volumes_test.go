//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
)

// -read-only covers the root and what is mounted below it, and leaves what a
// program needs: /dev, /dev/shm, and volumes that are not read-only themselves.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "mnt/x", "", "data/x", "", "fixed/x", "")
	volume := t.TempDir()
	const try = `for d in / /mnt /etc /data /fixed /dev/shm; do (: >$d/new) 2>/dev/null && echo $d can be written; done; echo x >/dev/null; pwd`
	c := behind(t, n, "busybox mount -t tmpfs tmpfs "+tree+"/mnt",
		words([]string{"-read-only", "-rootfs", tree, "-v", volume + ":/data", "-v", volume + ":/fixed:ro", "-w", "/made/here", address}, script(try))...)
	expect(t, c, 0, "/data can be written\n/dev/shm can be written\n/made/here\n", "")
	if got := entries(t, volume); !slices.Equal(got, []string{"new"}) {
		t.Errorf("on the volume are %q, want what was written there", got)
	}
	if exists(tree + "/new") {
		t.Error("the root was written")
	}
	// Without the flag it is not so.
	expect(t, n.Main(words([]string{"-rootfs", tree, address}, script("echo x >/new && cat /new && rm /new"))...), 0, "x\n", "")
}

// On the host's tree nothing of the host's can be written.
func TestReadOnlyHostsTree(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dir := t.TempDir()
	c := behind(t, n, "mkdir "+dir+"/mnt; busybox mount -t tmpfs tmpfs "+dir+"/mnt",
		words([]string{"-read-only", address}, script("cd "+dir+"; for f in x mnt/x /dev/shm/x; do (: >$f) 2>/dev/null && echo $f; done"))...)
	expect(t, c, 0, "/dev/shm/x\n", "")
	if got := entries(t, dir); !slices.Equal(got, []string{"mnt"}) {
		t.Errorf("in the directory are %q", got)
	}
}

// What the host's mounts take from their files, a container does not give
// back, whatever it makes read-only.
func TestMountFlagsStay(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree, top := busyboxTree(t), t.TempDir()
	const picked = `while read id parent dev root place flags rest; do case $place in /|/ro|/rw) echo $place $flags;; esac; done </proc/self/mountinfo | sort`
	for _, c := range []struct{ flag, root string }{{"-read-only", "ro"}, {"-read-only=false", "rw"}} {
		cmd := behind(t, n, "busybox mount -t tmpfs -o nosuid tmpfs "+top+"; mkdir "+top+"/root "+top+"/volume; cp -a "+tree+"/. "+top+"/root; "+
			"busybox mount -o bind "+top+"/volume "+top+"/volume; busybox mount -o remount,bind,nosuid,noexec "+top+"/volume",
			words([]string{c.flag, "-rootfs", top + "/root", "-v", top + "/volume:/ro:ro", "-v", top + "/volume:/rw", address}, script(picked))...)
		expect(t, cmd, 0, "/ "+c.root+",nosuid,nodev,relatime\n/ro ro,nosuid,nodev,noexec,relatime\n/rw rw,nosuid,nodev,noexec,relatime\n", "")
	}
}

// Volumes: directories and files, what they are mounted on made if it is
// missing, written through or not.
func TestVolumes(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dir := t.TempDir()
	put(t, dir+"/data/f", "in a directory\n", 0o644)
	put(t, dir+"/data/sub/g", "below\n", 0o644)
	put(t, dir+"/file", "a file\n", 0o644)
	put(t, dir+"/etc/own", "own\n", 0o644)
	put(t, dir+"/etc/hostname", "the volume's\n", 0o644)
	link(t, "data", dir+"/link")
	for _, c := range []struct {
		name, volumes, script, want string
	}{
		{"a directory", "data:/data", "ls /data; cat /data/sub/g", "f\nsub\nbelow\n"},
		{"a file", "file:/file", "cat /file", "a file\n"},
		{"deep", "data:/a/b/c file:/a/d/e", "cat /a/b/c/f /a/d/e", "in a directory\na file\n"},
		{"over what is there", "data:/there file:/there.too", "ls /there; cat /there.too", "f\nsub\na file\n"},
		{"by a symbolic link", "link:/data", "cat /data/f", "in a directory\n"},
		{"one on another", "data:/v file:/v/f file:/v/sub/new", "cat /v/f /v/sub/new /v/sub/g", "a file\na file\nbelow\n"},
		{"in /dev", "data:/dev/data file:/dev/file", "cat /dev/data/f /dev/file", "in a directory\na file\n"},
		{"over the container's own", "file:/etc/hosts", "cat /etc/hosts /etc/hostname", "a file\ncontainer\n"},
		{"below the container's own", "etc:/etc", "cat /etc/own /etc/hostname; ls /etc", "own\ncontainer\nhostname\nown\n"},
		{"an odd name", "data:/a//b/../c/./d/", "cat /a/c/d/f", "in a directory\n"},
		{"read-only", "data:/data:ro file:/file:ro", "(echo x >/data/x) 2>/dev/null || echo no; (echo x >/data/f) 2>/dev/null || echo no; (echo x >/file) 2>/dev/null || echo no", "no\nno\nno\n"},
		{"rw", "file:/file:rw", ": >>/file && echo yes", "yes\n"},
		{"not recursive to others", "data:/r:ro data:/w", "(: >/r/x) 2>/dev/null || : >>/w/f && echo yes", "yes\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := busyboxTree(t, "there/covered", "", "there.too", "covered")
			var flags []string
			for v := range strings.FieldsSeq(c.volumes) {
				flags = append(flags, "-v", dir+"/"+v)
			}
			expect(t, n.Main(words(flags, []string{"-rootfs", tree, address}, script(c.script))...), 0, c.want, "")
		})
	}
	// A name from the working directory on.
	tree := busyboxTree(t)
	c := n.Main("-rootfs", tree, "-v", "./data:/data", "-v", "file:/file", address, "cat", "/data/f", "/file")
	c.Dir = dir
	expect(t, c, 0, "in a directory\na file\n", "")
	// On the host's tree, which is not added to.
	expect(t, n.Main("-v", dir+"/data:/mnt", address, "ls", "/mnt"), 0, "f\nsub\n", "")
	expect(t, n.Main("-v", dir+"/data:/no/such", address, "true"), 125, "", "main: -v "+dir+"/data: the host's own tree has no /no/such to mount it on\n")
	if exists("/no") {
		t.Error("the host has got a directory /no")
	}
}

// What is written to a volume is on the host, as whoever wrote it; and what is
// mounted below a volume is there too, read-only if the volume is.
func TestVolumesWithMountsBelow(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree, dir := busyboxTree(t), t.TempDir()
	const try = "echo out >/rw/out; ls /ro/mnt; (: >/ro/mnt/y) 2>/dev/null || echo fixed; : >/rw/mnt/y && ls /ro/mnt"
	c := behind(t, n, "mkdir "+dir+"/mnt; busybox mount -t tmpfs tmpfs "+dir+"/mnt; touch "+dir+"/mnt/x",
		words([]string{"-rootfs", tree, "-v", dir + ":/ro:ro", "-v", dir + ":/rw", address}, script(try))...)
	expect(t, c, 0, "x\nfixed\nx\ny\n", "")
	if b, _ := os.ReadFile(dir + "/out"); string(b) != "out\n" {
		t.Errorf("on the host is %q", b)
	}
}

func TestBadVolumes(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree, dir := busyboxTree(t, "file", ""), t.TempDir()
	before := n.Snapshot()
	const takes = "it takes SRC:DST or SRC:DST:ro"
	const from = "it takes SRC:DST, where DST is a path from / on, and not / itself"
	for volume, want := range map[string]string{
		dir:               `invalid value "` + dir + `" for flag -v: ` + takes,
		dir + ":/a:rx":    `invalid value "` + dir + `:/a:rx" for flag -v: ` + takes,
		dir + ":/a:ro:x":  `invalid value "` + dir + `:/a:ro:x" for flag -v: ` + takes,
		dir + ":a":        `invalid value "` + dir + `:a" for flag -v: ` + from,
		dir + ":/":        `invalid value "` + dir + `:/" for flag -v: ` + from,
		":/a":             `invalid value ":/a" for flag -v: ` + from,
		dir + ":":         `invalid value "` + dir + `:" for flag -v: ` + from,
		dir + "/none:/a":  "-v " + dir + "/none: no such file or directory",
		dir + "/none:/a:": `invalid value "` + dir + `/none:/a:" for flag -v: ` + takes,
	} {
		expect(t, n.Main("-rootfs", tree, "-v", volume, address, "true"), 125, "", "main: "+want+"\n")
	}
	same(t, n, before)
	// A directory on a file: the kernel refuses, and which of the two steps
	// failed is said, each time.
	for range 20 {
		fails(t, n.Main("-rootfs", tree, "-v", dir+":/file", address, "true"), 125, "in the container: mount volume "+dir+" on /file: ")
	}
	lab.Eventually(t, func() error { return noVeth(n) })
}

// A symbolic link in the tree leads a volume nowhere but to another place in
// the tree: neither a link to a path from / on, nor one with as many ".." as it
// takes on the host.
func TestVolumesStayInside(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	dir, outside := t.TempDir(), t.TempDir()
	put(t, dir+"/f", "the volume\n", 0o644)
	up := strings.Repeat("../", 40)
	for _, c := range []struct {
		name, to string
		inside   bool // the tree has what the link points to
	}{
		{"from / on", "/etc", true},
		{"up", up + "etc", true},
		{"twice", "/second", true},
		{"through /proc", "/proc/self/root/etc", true},
		{"through /proc and up", "/proc/self/cwd/" + up + "etc", true},
		{"to the host alone", outside, false},
		{"up to the host alone", up + outside[1:], false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := busyboxTree(t)
			if err := os.Mkdir(tree+"/etc", 0o755); err != nil {
				t.Fatal(err)
			}
			link(t, c.to, tree+"/link")
			link(t, up+"etc", tree+"/second")
			// On the link itself, and below it.
			below := n.Main("-rootfs", tree, "-v", dir+":/link/living", address, "cat", "/link/living/f")
			if c.inside {
				expect(t, below, 0, "the volume\n", "")
				expect(t, n.Main("-rootfs", tree, "-v", dir+":/link", address, "cat", "/etc/f"), 0, "the volume\n", "")
			} else {
				fails(t, below, 125, "in the container: mount volume "+dir+" on /link/living: ")
				fails(t, n.Main("-rootfs", tree, "-v", dir+":/link", address, "true"), 125, "in the container: mount volume "+dir+" on /link: ")
			}
			if got := entries(t, outside); len(got) > 0 {
				t.Errorf("outside of the tree are %q now", got)
			}
			if exists("/etc/living") || exists("/etc/f") {
				t.Error("the host's /etc has the volume's mount point or its file")
			}
		})
	}
}

// The working directory: there, made, or not to be had.
func TestWorkingDirectory(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree, volume := busyboxTree(t, "there/x", "", "file", ""), t.TempDir()
	link(t, strings.Repeat("../", 40)+"there", tree+"/link")
	for _, c := range []struct{ dir, want string }{
		{"/there", "/there\n"},
		{"/there/", "/there\n"},
		{"/", "/\n"},
		{"/new/and/deep", "/new/and/deep\n"},
		{"/link", "/there\n"},
		{"/link/new", "/there/new\n"},
		{"/volume/new/dir", "/volume/new/dir\n"},
		{"/dev/shm", "/dev/shm\n"},
		{"/proc/self", "/proc/2\n"},
	} {
		expect(t, n.Main("-rootfs", tree, "-v", volume+":/volume", "-w", c.dir, address, "/bin/pwd", "-P"), 0, c.want, "")
	}
	if exists(tree+"/proc/self") || exists(tree+"/volume/new") || !exists(volume+"/new/dir") {
		t.Error("a directory was made below what is mounted on it")
	}
	for dir, want := range map[string]string{
		"/file":           "in the container: chdir /file: not a directory",
		"/file/below":     "in the container: mkdir /file/below: not a directory",
		"/proc/no/such":   "in the container: chdir /proc/no/such: no such file or directory",
		"relative":        "-w relative: it takes a path from / on",
		"/proc/self/fd/0": "in the container: chdir /proc/self/fd/0: not a directory",
	} {
		expect(t, n.Main("-rootfs", tree, "-w", dir, address, "pwd"), 125, "", "main: "+want+"\n")
	}
	// Without the flag: / in a tree of its own, the caller's own on the host's.
	c := n.Main("-rootfs", tree, address, "pwd")
	c.Dir = volume
	expect(t, c, 0, "/\n", "")
	c = n.Main(address, "pwd")
	c.Dir = volume
	expect(t, c, 0, volume+"\n", "")
	expect(t, n.Main("-w", "/no/such", address, "pwd"), 125, "", "main: in the container: chdir /no/such: no such file or directory\n")
	if exists("/no") {
		t.Error("the host has got a directory /no")
	}
}

// The command's environment is what is asked for, and four things more.
func TestEnvironmentAsked(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	tree := busyboxTree(t, "etc/passwd", "root:x:0:0::/home/of/root:/bin/sh\nal:x:1000:1000::/home/al:\n")
	const ip = "CONTAINER_IP=" + address
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, c := range []struct {
		flags string
		want  []string
	}{
		{"", []string{"HOME=/home/of/root", "HOSTNAME=container", ip, path}},
		{"-hostname box -u al", []string{"HOME=/home/al", "HOSTNAME=box", ip, path}},
		{"-e A=1 -e B=a=b -e C=", []string{"A=1", "B=a=b", "C=", "HOME=/home/of/root", "HOSTNAME=container", ip, path}},
		{"-e A=1 -e A=2", []string{"A=2", "HOME=/home/of/root", "HOSTNAME=container", ip, path}},
		{"-e FROM_CALLER -e NOT_THERE", []string{"FROM_CALLER=of the caller", "HOME=/home/of/root", "HOSTNAME=container", ip, path}},
		{"-e HOME=/h -e HOSTNAME=x -e PATH=/bin", []string{"HOME=/h", "HOSTNAME=x", "PATH=/bin", ip}},
		{"-e TERM", []string{"HOME=/home/of/root", "HOSTNAME=container", ip, path, "TERM=odd"}},
	} {
		cmd := n.Main(words([]string{"-rootfs", tree}, strings.Fields(c.flags), []string{address, "env"})...)
		cmd.Env = []string{"FROM_CALLER=of the caller", "SECRET=x", "TERM=odd", "PATH=/nowhere", "HOME=/caller", "LD_PRELOAD=/x", "GODEBUG=x=1"}
		differ(t, "main "+c.flags, sorted(says(t, cmd)), lines(slices.Sorted(slices.Values(c.want))...))
	}
	expect(t, n.Main("-e", "=x", address, "true"), 125, "", `main: invalid value "=x" for flag -e: it takes NAME=VALUE or NAME`+"\n")
}

// A command is looked for in the container's tree and by the container's PATH,
// and links are followed in there.
func TestPathInside(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	outside := t.TempDir()
	put(t, outside+"/tool", "#!/bin/sh\necho outside\n", 0o755)
	tree := busyboxTree(t, "first/tool", "not executable", "opt/only", "not executable", "file", "")
	put(t, tree+"/second/tool", "#!/bin/sh\necho \"$0\" \"$@\"\n", 0o755)
	link(t, "/second/tool", tree+"/opt/absolute")
	link(t, strings.Repeat("../", 40)+"second/tool", tree+"/opt/up")
	link(t, outside+"/tool", tree+"/opt/escape")
	link(t, "loop", tree+"/opt/loop")
	for _, c := range []struct {
		path    string
		command string
		status  int
		want    string
	}{
		{"/first:/second", "tool a b", 0, "/second/tool a b\n"},
		{"/none:/second/:/opt", "tool", 0, "/second//tool\n"},
		{"/opt", "absolute x", 0, "/opt/absolute x\n"},
		{"/opt", "up", 0, "/opt/up\n"},
		{"/none", "/second/tool", 0, "/second/tool\n"},
		{"/none", "second/tool", 0, "second/tool\n"},
		{"", "second/tool", 0, "second/tool\n"},
		{"second", "tool", 0, "second/tool\n"},
		{"/opt", "escape", 127, "escape: command not found in /opt"},
		{"/opt", "loop", 127, "loop: command not found in /opt"},
		{"/second", "sh", 127, "sh: command not found in /second"},
		{"/first:/opt", "tool", 126, "tool: permission denied"},
		{"/file:/second", "tool", 0, "/second/tool\n"},
		{"/opt", outside + "/tool", 127, outside + "/tool: no such file or directory"},
		{"/opt", "/opt/escape", 127, "/opt/escape: no such file or directory"},
		{"/opt", "/opt", 126, "/opt: permission denied"},
		{"/opt", "/file", 126, "/file: permission denied"},
		{"/opt", "/file/x", 127, "/file/x: not a directory"},
		{"/opt", "/opt/loop", 126, "/opt/loop: too many levels of symbolic links"},
	} {
		cmd := n.Main(words([]string{"-rootfs", tree, "-e", "PATH=" + c.path, address}, strings.Fields(c.command))...)
		if c.status == 0 {
			expect(t, cmd, 0, c.want, "")
		} else {
			expect(t, cmd, c.status, "", "main: "+c.want+"\n")
		}
	}
	// With a volume that brings it.
	expect(t, n.Main("-rootfs", tree, "-v", outside+":/vol", "-e", "PATH=/none:/vol", address, "tool"), 0, "outside\n", "")
	expect(t, n.Main("-rootfs", tree, "-v", outside+":/vol", address, "/vol/tool"), 0, "outside\n", "")
	expect(t, n.Main("-rootfs", tree, "-v", outside+":/vol", address, "/vol/none"), 127, "", "main: /vol/none: no such file or directory\n")
	expect(t, n.Main("-rootfs", tree, "-v", filepath.Join(tree, "file")+":/opt/x", address, "/opt/x"), 126, "", "main: /opt/x: permission denied\n")
}
