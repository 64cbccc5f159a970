//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// describeNet is the interfaces with their addresses, and the routes as
// /proc/net/route has them: a line each.
//
//	interface veth1 up 172.16.0.30/24
//	route 0.0.0.0/0 via 172.16.0.100 dev veth1
func describeNet() (string, error) {
	var lines []string
	ifaces, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range ifaces {
		words := []string{"interface", i.Name, "down"}
		if i.Flags&net.FlagUp != 0 {
			words[2] = "up"
		}
		addrs, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addrs {
			words = append(words, a.String())
		}
		lines = append(lines, strings.Join(words, " "))
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(routes)), "\n")[1:] {
		f := strings.Fields(line)
		to, via, mask := addr(f[1]), addr(f[2]), net.IPMask(addr(f[7]))
		ones, _ := mask.Size()
		text := fmt.Sprintf("route %s/%d", to, ones)
		if !via.IsUnspecified() {
			text += " via " + via.String()
		}
		lines = append(lines, text+" dev "+f[0])
	}
	return strings.Join(lines, "\n"), nil
}
