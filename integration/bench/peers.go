//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

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
	stop       func(t *tools) error // when all is measured
}

var peers = []peer{
	{name: "unshare", mode: "a", argv: func(t *tools) ([]string, error) {
		return []string{"unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc", t.nothing}, nil
	}},
	{name: "bubblewrap", mode: "a", needs: []string{"bwrap"}, argv: func(t *tools) ([]string, error) { return bubblewrap(t), nil }},
	{name: "crun", mode: "a", argv: func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"crun", "--root", filepath.Join(t.dir, "crun"), "--cgroup-manager", "disabled", "run", "--bundle", dir, "bench"}, err
	}},
	{name: "runc", mode: "a", slow: true, argv: func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"runc", "--root", filepath.Join(t.dir, "runc"), "run", "--bundle", dir, "bench"}, err
	}},
	{name: "systemd-nspawn on a bridge", mode: "b", needs: []string{"systemd-nspawn"}, slow: true, argv: func(t *tools) ([]string, error) {
		dir, err := t.bundle("")
		return []string{"systemd-nspawn", "-q", "--register=no", "--keep-unit", "--network-bridge=br0", "-D", filepath.Join(dir, "rootfs"), "/nothing"}, err
	}},
	{name: "the article's commands (ip, nft)", mode: "c", needs: []string{"sh", "unshare", "ip", "nft"}, argv: (*tools).article},
	{name: "crun, CNI's bridge, portmap and firewall", mode: "c", needs: []string{"crun", "cnitool", "ip", "iptables"}, slow: true, argv: func(t *tools) ([]string, error) { return t.peer("cni") }},
	{name: "podman, netavark, crun", mode: "c", needs: []string{"podman", "crun", "iptables"}, slow: true, argv: func(t *tools) ([]string, error) { return t.peer("podman") }},
	{name: "docker", mode: "c", needs: []string{"docker", "dockerd"}, slow: true, argv: func(t *tools) ([]string, error) { return t.peer("docker") }, stop: func(t *tools) error { return t.script("stop", "docker") }},
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
	netns := ""
	if name == "cni" {
		netns = "/run/netns/bench"
	}
	if _, err := t.bundle(netns); err != nil {
		return nil, err
	}
	script := filepath.Join(t.dir, "peer.sh")
	if err := os.WriteFile(script, []byte(peerSource), 0o600); err != nil {
		return nil, err
	}
	return []string{"sh", script, "run", name, t.dir}, t.script("prepare", name)
}

func (t *tools) script(verb, name string) error {
	c := exec.Command("sh", filepath.Join(t.dir, "peer.sh"), verb, name, t.dir)
	// Not a pipe: a daemon that it starts would hold it open.
	said, err := os.CreateTemp(t.dir, "said")
	if err != nil {
		return err
	}
	defer said.Close()
	c.Stderr = said
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%s %s: %w: %s", verb, name, err, strings.TrimSpace(string(text)))
	}
	return nil
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
// same namespaces, of which a network namespace may be there already, and a
// root file system of one program.
func (t *tools) bundle(netns string) (string, error) {
	dir := filepath.Join(t.dir, "bundle", filepath.Base(netns))
	root := filepath.Join(dir, "rootfs")
	for _, sub := range []string{"proc", "dev", "sys", "usr", "etc", "tmp"} {
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
	net := object{"type": "network"}
	if netns != "" {
		net["path"] = netns
	}
	namespaces := []object{net}
	for _, n := range []string{"pid", "ipc", "uts", "mount", "cgroup"} {
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
