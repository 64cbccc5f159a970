//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

//go:embed peer.sh
var peerSource string

// peer is another way to run a command in a container.
type peer struct {
	name, mode string
	needs      []string // other programs than the one it is called by
	slow       bool
	argv       func(t *tools) ([]string, error)
}

var peers = []peer{
	{"unshare", "a", nil, false, func(t *tools) ([]string, error) {
		return []string{"unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc", t.nothing}, nil
	}},
	{"bubblewrap", "a", []string{"bwrap"}, false, func(t *tools) ([]string, error) { return bubblewrap(t), nil }},
	{"crun", "a", nil, false, func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"crun", "--root", filepath.Join(t.dir, "crun"), "--cgroup-manager", "disabled", "run", "--bundle", dir, "bench"}, err
	}},
	{"runc", "a", nil, true, func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"runc", "--root", filepath.Join(t.dir, "runc"), "run", "--bundle", dir, "bench"}, err
	}},
	{"systemd-nspawn on a bridge", "b", []string{"systemd-nspawn"}, true, func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"systemd-nspawn", "-q", "--register=no", "--keep-unit", "--network-bridge=br0", "-D", filepath.Join(dir, "rootfs"), "/nothing"}, err
	}},
	{"the article's commands (ip, nft)", "c", []string{"sh", "unshare", "ip", "nft"}, false, (*tools).article},
	{"crun, CNI's bridge, portmap and firewall", "c", []string{"crun", "cnitool", "ip", "iptables"}, true, func(t *tools) ([]string, error) { return t.peer("cni") }},
	{"podman, netavark, crun", "c", []string{"podman", "crun", "iptables"}, true, func(t *tools) ([]string, error) { return t.peer("podman") }},
	{"docker", "c", []string{"docker", "dockerd"}, true, func(t *tools) ([]string, error) { return t.peer("docker") }},
}

// bubblewrap is its command line for the namespaces that the runner makes, with
// the host's own tree.
func bubblewrap(t *tools) []string {
	return []string{"bwrap", "--bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--unshare-uts",
		"--unshare-ipc", "--unshare-net", "--unshare-cgroup", "--hostname", "container", t.nothing}
}

// peer prepares one of those that peer.sh knows, and is the command line of one
// run.
func (t *tools) peer(name string) ([]string, error) {
	script := filepath.Join(t.dir, "peer.sh")
	if err := os.WriteFile(script, []byte(peerSource), 0o600); err != nil {
		return nil, err
	}
	netns := ""
	if name == "cni" {
		netns = "/run/netns/bench"
	}
	if _, err := t.bundle(netns); err != nil {
		return nil, err
	}
	if _, err := output(shell(script, "prepare", name, t.dir)); err != nil {
		return nil, err
	}
	return []string{"sh", script, "run", name, t.dir}, nil
}

// article is the command line of article.sh.
func (t *tools) article() ([]string, error) {
	script := filepath.Join(t.dir, "article.sh")
	err := os.WriteFile(script, []byte(articleSource), 0o600)
	for _, fifo := range []string{"ready", "go"} {
		err = errors.Join(err, unix.Mkfifo(filepath.Join(t.dir, fifo), 0o600))
	}
	return []string{"sh", script, t.dir, t.nothing}, err
}

// bundle makes an OCI bundle (opencontainers/runtime-spec, config.md) with the
// same namespaces and a root file system of one program.
func (t *tools) bundle(netns string) (string, error) {
	dir := filepath.Join(t.dir, "bundle", filepath.Base(netns))
	root := filepath.Join(dir, "rootfs")
	for _, sub := range []string{"proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return "", err
		}
	}
	program, err := os.ReadFile(t.nothing)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(root, "nothing"), program, 0o755); err != nil {
		return "", err
	}
	type object = map[string]any
	var namespaces []object
	for _, n := range []string{"pid", "network", "ipc", "uts", "mount", "cgroup"} {
		namespaces = append(namespaces, object{"type": n})
	}
	config, err := json.Marshal(object{
		"ociVersion": "1.0.0",
		"hostname":   "container",
		"root":       object{"path": "rootfs"},
		"mounts":     []object{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux":      object{"namespaces": namespaces},
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "cwd": "/",
			"args": []string{"/nothing"}, "env": []string{"PATH=/"},
		},
	})
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)
}
