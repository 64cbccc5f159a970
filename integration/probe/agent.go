//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// agent keeps what lasts from one verb to the next.
type agent struct {
	flows map[string]net.Conn
	heard chan string // what servers were sent
}

func newAgent() *agent {
	return &agent{
		flows: map[string]net.Conn{},
		heard: make(chan string, 1024),
	}
}

// do carries out a verb.
func (a *agent) do(words []string) (string, error) {
	verb, args := words[0], words[1:]
	takes := map[string]int{"hello": 0, "serve": 2, "ask": 3, "flow": 3, "heard": 1, "packet": 5, "frame": 2, "advertise": 2, "net": 0, "net6": 0, "mac": 1, "read": 1}
	n, known := takes[verb]
	switch {
	case !known:
		return "", fmt.Errorf("no verb %q", verb)
	case n != len(args):
		return "", fmt.Errorf("%s takes %d words, not %q", verb, n, args)
	}
	switch verb {
	case "serve":
		return a.serve(args[0], args[1])
	case "ask":
		return ask(args[0], args[1], args[2])
	case "flow":
		return a.flow(args[0], args[1], args[2])
	case "heard":
		return a.next(args[0])
	case "packet":
		return "", packet(args[0], args[1], args[2], args[3], args[4])
	case "frame":
		return "", frame(args[0], args[1])
	case "advertise":
		return "", advertise(args[0], args[1])
	case "net":
		return describeNet()
	case "net6":
		return describeNet6()
	case "mac":
		i, err := net.InterfaceByName(args[0])
		if err != nil {
			return "", err
		}
		return i.HardwareAddr.String(), nil
	case "read":
		b, err := os.ReadFile(args[0])
		return string(b), err
	}
	return "hello", nil
}

// serve listens, and answers in the background.
func (a *agent) serve(network, addr string) (string, error) {
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			return "", err
		}
		go a.serveUDP(c)
		return c.LocalAddr().String(), nil
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return "", err
	}
	go a.serveTCP(l)
	return l.Addr().String(), nil
}

func (a *agent) serveUDP(c net.PacketConn) {
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		a.note("udp " + host(from) + " " + strings.TrimSpace(string(buf[:n])))
		_, _ = c.WriteTo([]byte(host(from)+"\n"), from)
	}
}

func (a *agent) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		a.note("tcp " + host(c.RemoteAddr()))
		go func() {
			defer c.Close()
			// Each line gets the same answer.
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if _, err := fmt.Fprintln(c, host(c.RemoteAddr())); err != nil {
					return
				}
			}
		}()
	}
}

// note keeps what was heard, unless nobody cares.
func (a *agent) note(what string) {
	select {
	case a.heard <- what:
	default:
	}
}

// next is what was heard next.
func (a *agent) next(timeout string) (string, error) {
	d, err := time.ParseDuration(timeout)
	if err != nil {
		return "", err
	}
	select {
	case what := <-a.heard:
		return what, nil
	default:
	}
	select {
	case what := <-a.heard:
		return what, nil
	case <-time.After(d):
		return "", errors.New("nothing")
	}
}

// ask sends a question and reads the answer, over a socket of its own.
func ask(network, addr, timeout string) (string, error) {
	d, err := time.ParseDuration(timeout)
	if err != nil {
		return "", err
	}
	p, stop := newPatience(d)
	defer stop()
	c, err := new(net.Dialer).DialContext(p, network, addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return question(c, p)
}

// flow is ask over a socket that is kept.
func (a *agent) flow(network, addr, timeout string) (string, error) {
	d, err := time.ParseDuration(timeout)
	if err != nil {
		return "", err
	}
	p, stop := newPatience(d)
	defer stop()
	c := a.flows[network+addr]
	if c == nil {
		if c, err = new(net.Dialer).DialContext(p, network, addr); err != nil {
			return "", err
		}
		a.flows[network+addr] = c
	}
	return question(c, p)
}

func question(c net.Conn, p patience) (string, error) {
	if err := c.SetDeadline(time.Time{}); err != nil {
		return "", err
	}
	// The connection may be used again: nothing is set later than here.
	set := make(chan struct{})
	give := context.AfterFunc(p, func() {
		defer close(set)
		_ = c.SetDeadline(time.Now())
	})
	defer func() {
		if !give() {
			<-set
		}
	}()
	if _, err := fmt.Fprintln(c, "?"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// host is an address without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}
