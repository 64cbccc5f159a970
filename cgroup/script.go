//go:build linux

package cgroup

import (
	"path/filepath"
	"strings"
)

// Script is what New and the rest do, in the words of a shell, and does
// nothing: what makes the group, what a process does to enter it, and what
// removes it.
func Script(name string, l Limits) (before, inside, after []string, err error) {
	return kernel.script(name, l)
}

func (h host) script(name string, l Limits) (before, inside, after []string, err error) {
	dirs, err := h.plan(name, l)
	if err != nil {
		return nil, nil, nil, err
	}
	set := func(value, dir, file string) string {
		return "echo " + quote(value) + " > " + quote(filepath.Join(dir, file))
	}
	for _, d := range dirs {
		before = append(before, "mkdir -p "+quote(d.path))
		if d.v2 {
			what := "+" + strings.Join(d.enable, " +")
			before = append(before,
				set(what, d.top, "cgroup.subtree_control"),
				set(what, d.parent, "cgroup.subtree_control"))
		}
		if d.mustHaveCPUs() {
			for _, file := range cpusetFiles {
				from := quote(filepath.Join(d.top, file))
				before = append(before,
					"cat "+from+" > "+quote(filepath.Join(d.parent, file)),
					"cat "+from+" > "+quote(filepath.Join(d.path, file)))
			}
		}
		for _, s := range d.settings {
			line := set(s.value, d.path, s.file)
			if s.lacking == "" {
				line = "[ ! -e " + quote(filepath.Join(d.path, s.file)) + " ] || " + line
			}
			before = append(before, line)
		}
		inside = append(inside, "echo $$ > "+quote(filepath.Join(d.path, "cgroup.procs")))
		after = append(after, "rmdir "+quote(d.path))
	}
	return before, inside, after, nil
}

// quote makes one word of a string, for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("/._-,:+@%", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
