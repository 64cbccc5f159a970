//go:build linux

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"container/rtnl"
)

// namespaces is the container's side: what its first process does.
func (s *sketch) namespaces() {
	in := new(sketch)
	in.o, in.c, in.workdir = s.o, s.c, s.workdir
	in.inside()
	s.function("inside", `What the container's first process does, in namespaces of its own, until it starts the command.`, func() {
		s.indent = ""
		s.heredoc("    cat", "INSIDE", in.String(), true)
		s.indent = "    "
	})
	s.function("contain", `Namespaces of its own for mounts, host name, System V IPC, network, processes: unshare(2) makes the
first four, and for the last there must be a new process (--fork), which is PID 1. What is mounted in
there does not show outside (--mount makes all of it private). In its cgroup, and seen from there,
the container is in the root of all cgroups.`, func() {
		flags := "--mount --uts --ipc --net --pid"
		if s.o.network == hostNetwork {
			flags = "--mount --uts --ipc --pid"
		}
		s.linef(`unshare %s --fork --kill-child sh -euc '`, flags)
		s.indent = "        "
		for _, l := range s.enter {
			s.line(strings.ReplaceAll(inShell(l), "'", `'\''`))
		}
		last := `exec "$0" --cgroup sh "$tmp/inside"' "$unshare"`
		for i := range s.after {
			last += fmt.Sprintf(" %d<&-", firstGroup+i)
		}
		s.line(last)
		s.indent = "    "
	})
}

// inside is container, filesystem and run in a shell's words.
func (s *sketch) inside() {
	o := s.o
	s.line(`set -eu
trap '[ $? = 0 ] || exit 125' EXIT # until there is a command, whose status it is
die() { echo "$*" >&2; exit 125; }`)
	var tools []string
	for _, t := range s.tools() {
		if slices.Contains([]string{"capsh", "env", "ip", "mount", "script", "setpriv", "sysctl"}, t) {
			tools = append(tools, t)
		}
	}
	s.toolFunctions(tools)
	s.line("")
	if s.bridged() {
		s.comment("Tell those outside who we are: the host's number of this process. (To itself it is PID 1.)")
		s.line(`read -r pid rest </proc/self/stat
echo "$pid" >&3
exec 3>&-
`)
	}
	if o.network == noNetwork {
		s.do("", rtnl.Up(rtnl.LoopbackIndex, "lo"))
	}
	s.line(sysctl("kernel/hostname", o.hostname))
	s.tree()
	if s.bridged() {
		s.line("")
		s.comment("Wait for the network.")
		s.line("read -r go <&5\nexec 5<&-")
	}
	s.command()
}

// tree is filesystem.
func (s *sketch) tree() {
	o := s.o
	s.line("")
	if o.hasRoot() {
		s.comment("The container's tree, while it is not yet the root. Only a mount can become one. (A symbolic link\nin it that begins with / still leads to the host's tree here; main mounts when it no longer does.)")
		s.line("root=" + word(o.rootfs))
	} else {
		s.comment("The container's tree is the host's own, with fresh kernel file systems on it.")
		s.line("root=")
	}
	s.comment("Whatever is mounted over their names, this directory stays where we are, and 9 leads nowhere.")
	s.line(`cd "$tmp"
exec 9>/dev/null`)
	restricts := !o.privileged || o.readOnly || slices.ContainsFunc(o.volumes, func(v volume) bool { return v.readOnly })
	if restricts {
		s.function("restrict", `restrict TOP OPTIONS: all that is mounted at TOP or below. (mount_setattr(2) does it at once.) In
the list a space is \040. What lies hidden below another mount can't be named, nor be reached.`, func() {
			s.line(`sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .*/\1/' /proc/self/mountinfo | while read -r at; do
    at=$(printf %b "$at")
    case "$at" in
    "$1" | "${1%/}"/*) mount -o "remount,bind,$2" "$at" 2>&9 || : ;;
    esac
done`)
		})
	}
	s.line("")
	for i, v := range o.volumes {
		if i == 0 {
			s.comment("The volumes, as long as their names mean the host's files.")
		}
		s.linef(`if [ -d %s ]; then mkdir volume%d; else : >volume%d; fi`, word(v.source), i, i)
		s.linef(`mount --rbind %s volume%d`, word(v.source), i)
	}
	if o.hasRoot() {
		s.line(`mount --rbind "$root" "$root"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/etc"
for name in hostname hosts resolv.conf; do
    [ -e "$root/etc/$name" ] || [ -L "$root/etc/$name" ] || : >"$root/etc/$name"
done`)
		for i, v := range o.volumes {
			if !strings.HasPrefix(v.target, "/dev/") {
				s.mountPoint(v, i)
			}
		}
		if o.workdir != "/" && o.readOnly {
			s.linef(`mkdir -p "$root"%s`, word(o.workdir))
		}
	}
	var take []string
	if !o.privileged {
		take = append(take, "nodev")
	}
	if o.readOnly {
		take = append(take, "ro")
	}
	if len(take) > 0 {
		why := "Devices are those of its own /dev, whatever nodes it finds or makes elsewhere."
		if o.readOnly {
			why = "Nothing of the tree can be written."
			if !o.privileged {
				why += " And devices are those of its own /dev."
			}
		}
		s.comment(why)
		s.linef(`restrict "${root:-/}" %s`, strings.Join(take, ","))
	}

	s.line("")
	s.comment("/proc of its own processes, /sys of its own network.")
	flags := "nosuid,nodev,noexec"
	s.linef(`mount -t proc -o %s proc "$root/proc"`, flags)
	if !o.privileged {
		s.comment("What changes the host is read-only.")
		s.linef(`for at in %s; do
    [ -e "$root$at" ] || continue
    mount --bind "$root$at" "$root$at"
    mount -o remount,bind,ro,%s "$root$at"
done`, strings.Join(readOnlyPaths, " "), flags)
		flags += ",ro"
	}
	s.linef(`mount -t sysfs -o %s sysfs "$root/sys"
mount -t cgroup2 -o %s cgroup2 "$root/sys/fs/cgroup" 2>&9 || : # where there is version 2`, flags, flags)

	s.line("")
	s.comment("/dev with nothing of the host's in it.")
	s.linef(`mount -t tmpfs -o nosuid,noexec,mode=0755,nr_blocks=%s tmpfs "$root/dev"`, devBlocks)
	for _, d := range devices {
		s.linef(`mknod -m 666 "$root/dev/%s" c %d %d`, d.name, d.major, d.minor)
	}
	if !o.privileged {
		var names []string
		for _, d := range devices {
			names = append(names, d.name)
		}
		s.comment("Each node is a mount of its own, so that others that it makes there are of no use.")
		s.linef(`for name in %s; do
    mount --bind "$root/dev/$name" "$root/dev/$name"
done
mount -o remount,bind,nosuid,nodev,noexec "$root/dev"`, strings.Join(names, " "))
	}
	s.line(`ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=64m tmpfs "$root/dev/shm"
mount -t mqueue -o nosuid,nodev,noexec mqueue "$root/dev/mqueue" 2>&9 || : # CONFIG_POSIX_MQUEUE`)
	if !o.privileged {
		s.line("")
		s.comment("What tells of the host is hidden: a directory under an empty one, a file under /dev/null.")
		s.linef(`for at in %s; do
    if [ -d "$root$at" ]; then
        mount -t tmpfs -o ro,nosuid,nodev,noexec tmpfs "$root$at"
    elif [ -e "$root$at" ]; then
        mount --bind "$root/dev/null" "$root$at"
    fi
done`, strings.Join(maskedPaths, " "))
	}
	for i, v := range o.volumes {
		s.attach(v, i)
	}
	s.names()
	if o.hasRoot() && o.workdir != "/" && !o.readOnly {
		s.linef(`mkdir -p "$root"%s`, word(o.workdir))
	}
}

// mountPoint makes what a volume is mounted on.
func (s *sketch) mountPoint(v volume, i int) {
	s.linef(`if [ -d volume%d ]; then mkdir -p "$root"%s; else mkdir -p "$root"%s; [ -e "$root"%s ] || : >"$root"%s; fi`,
		i, word(v.target), word(path.Dir(v.target)), word(v.target), word(v.target))
}

func (s *sketch) attach(v volume, i int) {
	s.line("")
	if s.o.makes(v) {
		s.mountPoint(v, i)
	}
	s.linef(`mount --no-canonicalize --move volume%d "$root"%s`, i, word(v.target))
	if !s.o.privileged {
		s.linef(`[ -b %s ] || [ -c %s ] || restrict "$root"%s nodev`, word(v.source), word(v.source), word(v.target))
	}
	if v.readOnly {
		s.linef(`restrict "$root"%s ro`, word(v.target))
	}
}

// names is the files that tell names.
func (s *sketch) names() {
	o := s.o
	own := func(name string) bool {
		return !slices.ContainsFunc(o.volumes, func(v volume) bool { return v.target == name })
	}
	if !slices.ContainsFunc(nameFiles, own) {
		return
	}
	s.function("over", "over NAME: what was written to /dev/NAME lies over /etc/NAME, which stays as it is below.", func() {
		s.line(`[ ! -e "$root/etc/$1" ] || mount --bind "$root/dev/$1" "$root/etc/$1"
rm "$root/dev/$1"`)
	})
	if own("/etc/hostname") {
		s.linef(`echo %s >"$root/dev/hostname"`, word(o.hostname))
		s.line("over hostname")
	}
	if own("/etc/hosts") {
		s.heredoc(`cat >"$root/dev/hosts"`, "HOSTS", string(hosts(addrs(o.addresses), o.hostname)), true)
		s.line("over hosts")
	}
	if own("/etc/resolv.conf") {
		if len(o.dns) > 0 {
			var given []string
			for _, a := range o.dns {
				given = append(given, a.String())
			}
			s.heredoc(`cat >"$root/dev/resolv.conf"`, "RESOLV", string(withNameservers(nil, given)), true)
		} else {
			s.comment("The host's resolvers, but not those at its own loopback address.")
			s.linef(`: >"$root/dev/resolv.conf"
for file in %s; do
    [ -r "$file" ] || continue
    sed '/^[[:space:]]*nameserver[[:space:]]*\(127\.\|::1$\|0\.0\.0\.0$\|::$\)/d' "$file" >"$root/dev/resolv.conf"
    ! grep -q '^[[:space:]]*nameserver' "$root/dev/resolv.conf" || break
done
grep -q '^[[:space:]]*nameserver' "$root/dev/resolv.conf" ||
    printf 'nameserver %%s\n' %s >>"$root/dev/resolv.conf"`, strings.Join(resolverFiles, " "), strings.Join(publicResolvers, " "))
		}
		s.line("over resolv.conf")
	}
}

// command is what the second process does, and what PID 1 does after.
func (s *sketch) command() {
	s.line("")
	s.line(`umask 022
ulimit -Sn 1024 2>&9 || :
exec 9>&-`)
	var run string
	if s.o.hasRoot() {
		s.comment("The tree comes to lie over the host's, and chroot(2) goes there. (main uses pivot_root(2); with it\nthe host's tools would be gone before they are done here.)")
		s.line(`cd "$root"
mount --move "$root" /`)
		run = s.capsh()
	} else {
		if s.workdir != "" {
			s.linef("cd %s", word(s.workdir))
		} else {
			s.line(`cd "$from"`)
		}
		run = s.setpriv() + " env -i " + s.env() + " " + shellWords(s.o.argv)
	}
	s.comment(s.whyCaps())
	if s.c.terminal {
		if s.o.hasRoot() {
			s.line("export capsh")
		}
		s.comment("The terminal is a pty of the container's own /dev/pts" + map[bool]string{true: " (here of the host's, for -rootfs)"}[s.o.hasRoot()] + ", which script(1) opens.")
		if s.c.user.uid != 0 {
			run = fmt.Sprintf(`chown %d "$(tty)" && exec %s`, s.c.user.uid, run)
		}
		run = "script -qec " + word(run) + " /dev/null"
	}
	s.line("trap - EXIT")
	s.line(run + " || exit $?")
	s.line("exit 0")
}

func (s *sketch) whyCaps() string {
	if s.o.privileged {
		return "Who the command is. It has all capabilities."
	}
	return `Who the command is, and what root may do in here: a capability that is out of the bounding set comes
back by no program, and no_new_privs takes from set-user-ID programs what they would give.`
}

// setpriv is become, bound, setCaps and noNewPrivs.
func (s *sketch) setpriv() string {
	u := s.c.user
	words := []string{"setpriv", fmt.Sprintf("--reuid %d --regid %d", u.uid, u.gid)}
	if len(u.groups) > 0 {
		words = append(words, "--groups "+groupList(u.groups))
	} else {
		words = append(words, "--clear-groups")
	}
	words = append(words, "--inh-caps=-all")
	if s.c.caps != allCaps {
		set := "-all"
		for _, name := range capWords(s.c.caps) {
			set += ",+" + name
		}
		words = append(words, "--bounding-set "+set)
	}
	if s.c.confined {
		words = append(words, "--no-new-privs")
	}
	return strings.Join(words, " ")
}

// capsh is the same for a tree that may have no tools.
func (s *sketch) capsh() string {
	u := s.c.user
	words := []string{`"$capsh" --chroot=.`}
	if drop := capWords(allCaps &^ s.c.caps); len(drop) > 0 {
		words = append(words, "--drop=cap_"+strings.Join(drop, ",cap_"))
	}
	words = append(words, "--inh=")
	if s.c.confined {
		words = append(words, "--no-new-privs")
	}
	words = append(words, "--groups="+groupList(u.groups), fmt.Sprintf("--gid=%d --uid=%d", u.gid, u.uid))
	args := s.o.argv[1:]
	file := word(s.c.paths[0])
	if len(s.c.paths) > 1 {
		// On a volume, perhaps.
		s.line("command=" + file)
		s.linef(`for file in %s; do
    if [ -x ".$file" ]; then command=$file; break; fi
done`, shellWords(s.c.paths))
		file = `"$command"`
	}
	if s.o.workdir != "/" {
		words = append(words, `--shell=/bin/sh -- -c 'cd "$0" && unset PWD OLDPWD SHLVL && exec "$@"'`, word(s.o.workdir), file)
	} else {
		words = append(words, "--shell="+file, "--")
	}
	return "env -i " + s.env() + " " + strings.Join(append(words, shellWords(args)), " ")
}

func groupList(groups []uint32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(groups), " ", ","), "[]")
}

// capWords are the names of capabilities as tools have them, without cap_.
func capWords(set capabilities) []string {
	var names []string
	for i, name := range capNames {
		if set&(1<<i) != 0 {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
}
