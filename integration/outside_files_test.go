//go:build linux

package integration

import (
	"fmt"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// tmpfsTree is a script that makes a root file system of a busybox, and what else
// is to be made, on a tmpfs at a place, and does something to that then.
func tmpfsTree(t *testing.T, place, made, then string) string {
	t.Helper()
	need.Tool(t, "busybox")
	return fmt.Sprintf(`busybox mount -t tmpfs -o size=8m,nr_inodes=50 tmpfs %s
cd %[1]s
mkdir bin
cp $(command -v busybox) bin
for b in sh ls; do ln -s busybox bin/$b; done
%[2]s
%[3]s
cd /`, place, made, then)
}

// Ways to fill a file system to the last.
const (
	fillInodes = `i=0; while (: >f$i) 2>/dev/null; do i=$((i+1)); done`
	fillBlocks = `dd if=/dev/zero of=fill bs=4k 2>/dev/null || true`
	noWriting  = `busybox mount -o remount,ro .`
)

// A tree that nothing can be added to is good enough if it has what is mounted
// on. If not, the run says what is missing and why, in one line, and nothing is
// left of it.
func TestTreeIsFullOrReadOnly(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	succeed(t, n.Main(address, "true"))
	idle(t, n)
	before := arrangement(n)
	const (
		full     = ": no space left on device"
		readOnly = ": no such file or directory (it could not be made either: the tree is read-only, or a link in it leads nowhere)"
		all      = "mkdir proc sys dev etc"
	)
	for _, c := range []struct {
		made, then string
		flags      []string
		want       string // what is said behind "in the container: ", "" if all is well
	}{
		{all, fillBlocks, nil, ""},
		{"", fillInodes, nil, "mkdir /proc" + full},
		{all, fillInodes, nil, "mknod /etc/hostname" + full},
		{all + "; touch etc/hostname etc/hosts etc/resolv.conf", fillInodes, nil, ""},
		{"", noWriting, nil, "mount /proc" + readOnly},
		{"", noWriting, []string{"-read-only"}, "mount /proc" + readOnly},
		{all, noWriting, nil, ""},
		{all, noWriting, []string{"-read-only"}, ""},
		{all, noWriting, []string{"-v", "/tmp:/data/x"}, "mount volume /tmp on /data/x" + readOnly},
		{all, noWriting, []string{"-w", "/nowhere"}, "chdir /nowhere: no such file or directory"},
	} {
		tree := t.TempDir()
		args := words([]string{"-p", "8080:80", "-rootfs", tree}, c.flags, []string{address, "sh", "-c", "ls -d /proc/self >/dev/null; echo started"})
		cmd := behind(t, n, tmpfsTree(t, tree, c.made, c.then), args...)
		if c.want == "" {
			expect(t, cmd, 0, "started\n", "")
		} else {
			expect(t, cmd, 125, "", "main: in the container: "+c.want+"\n")
		}
		if err := noClaims(n); err != nil {
			t.Error(err)
		}
		lab.Eventually(t, func() error { return unchanged(before, arrangement(n)) })
	}
}
