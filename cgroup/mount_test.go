//go:build linux

package cgroup

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseMount(t *testing.T) {
	tests := []struct {
		name, line string
		want       mount
	}{
		{
			"version 1, no optional fields",
			"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
			mount{unix.Mkdev(0, 32), "/", "/sys/fs/cgroup/memory", []string{"rw", "relatime"}, "cgroup", []string{"rw", "memory"}},
		},
		{
			"version 1, two controllers, two optional fields",
			"36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct",
			mount{unix.Mkdev(0, 33), "/", "/sys/fs/cgroup/cpu,cpuacct", []string{"ro", "nosuid"}, "cgroup", []string{"rw", "cpu", "cpuacct"}},
		},
		{
			"version 2, a root above the cgroup namespace's, and a large minor number",
			"30 23 0:300 /../.. /sys/fs/cgroup rw unbindable - cgroup2 cgroup2 rw,nsdelegate",
			mount{unix.Mkdev(0, 300), "/../..", "/sys/fs/cgroup", []string{"rw"}, "cgroup2", []string{"rw", "nsdelegate"}},
		},
		{
			"escapes, in the root too",
			`30 23 0:24 /a\134b /mnt/with\040space\011tab\043hash rw - cgroup2 cgroup2 rw`,
			mount{unix.Mkdev(0, 24), `/a\b`, "/mnt/with space\ttab#hash", []string{"rw"}, "cgroup2", []string{"rw"}},
		},
		{
			"a source that is empty",
			"30 23 0:24 / /mnt rw - cgroup2  rw",
			mount{unix.Mkdev(0, 24), "/", "/mnt", []string{"rw"}, "cgroup2", []string{"rw"}},
		},
		{
			"a mount point named like the separator",
			"30 23 0:24 / - rw - cgroup2 - rw",
			mount{unix.Mkdev(0, 24), "/", "-", []string{"rw"}, "cgroup2", []string{"rw"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMount(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseMountRefuses(t *testing.T) {
	for _, line := range []string{
		"",
		"35 31 0:32 / /mnt",
		"35 31 0:32 / /mnt rw",
		"35 31 0:32 / /mnt rw cgroup cgroup rw,memory",
		"35 31 0:32 / /mnt rw - cgroup cgroup",
		"35 31 32 / /mnt rw - cgroup cgroup rw",
		"35 31 0:-1 / /mnt rw - cgroup cgroup rw",
		"35 31 0:99999999999 / /mnt rw - cgroup cgroup rw",
	} {
		if m, err := parseMount(line); err == nil {
			t.Errorf("%q is taken for %+v", line, m)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has more than one line: %q", err)
		}
	}
}

func TestParseMountsLeavesOutWhatIsCovered(t *testing.T) {
	mounts, err := parseMounts("30 23 0:24 / /a rw - cgroup2 cgroup2 rw\n" +
		"31 23 0:25 / /b rw - tmpfs tmpfs rw\n" +
		"32 30 0:24 /below /a rw - cgroup2 cgroup2 rw\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) != 2 || mounts[0].point != "/b" || mounts[1].root != "/below" {
		t.Errorf("got %+v", mounts)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"/plain":            "/plain",
		`/a\040b`:           "/a b",
		`/a\134040b`:        `/a\040b`, // it is not read twice
		`\040`:              " ",
		`/short\04`:         `/short\04`,
		`/not\999octal`:     `/not\999octal`,
		`/large\777`:        `/large\777`,
		`/sign\+07`:         `/sign\+07`,
		`/\303\244\012\011`: "/ä\n\t",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	for _, seed := range []string{
		"",
		"\n",
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
		"30 23 0:300 /../.. /sys/fs/cgroup rw shared:1 master:2 - cgroup2 cgroup2 rw\n31 23 0:4 net:[4026532177] /run/netns/lab rw shared:2 - nsfs nsfs rw\n",
		`30 23 0:24 /a\134b /mnt/with\040space rw - cgroup2  rw`,
		"1 2 3:4 - - - - - - -",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mounts, err := parseMounts(s)
		if err != nil {
			if mounts != nil {
				t.Error("an error, and mounts beside it")
			}
			return
		}
		points := make(map[string]bool)
		for _, m := range mounts {
			if points[m.point] {
				t.Errorf("two mounts at %q", m.point)
			}
			points[m.point] = true
			if len(m.options) == 0 || len(m.super) == 0 {
				t.Errorf("no options: %+v", m)
			}
		}
	})
}

func FuzzParseMembership(f *testing.F) {
	for _, seed := range []string{"", "0::/", "4:memory:/container/veth1f3a9c02", "1:cpu,cpuacct:/a:b", "9:name=systemd:/", "0::/container/../x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseMembership(s)
		if !ok {
			return
		}
		for _, tree := range []*hierarchy{
			{v2: true, top: "/cg", root: "/"},
			{v2: true, top: "/cg", root: "/.."},
			{top: "/cg", root: "/", controllers: []string{"rw", "memory"}},
		} {
			name, ok := m.within(tree, "container")
			if !ok {
				continue
			}
			// Whatever /proc says, what is opened is below our directory.
			if d := kernel.dir(tree, name); !strings.HasPrefix(d.path, "/cg/container/") {
				t.Errorf("%q leads to %s", s, d.path)
			}
		}
	})
}
