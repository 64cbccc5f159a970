//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/flee"
)

// verb is what runs in a container:
//
//	serve PORT           say "ready"; answer everyone at PORT, TCP and UDP, with
//	                     their address, until standard input ends
//	ask NETWORK ADDR     print what such a server answers
//	exit N               end with this status
//	die N                end by this signal
//	eat MB               touch so much memory
//	terminal             print the size of the terminal that this runs on
//	hostname             print it
//	flee DIR             try to leave the root by way of a directory, and print what
//	                     is there
func verb(args []string) error {
	if len(args) == 0 {
		return errors.New("a verb is missing")
	}
	verb, args := args[0], append(args[1:], "", "")
	n, _ := strconv.Atoi(args[0])
	switch verb {
	case "serve":
		for _, network := range []string{"tcp", "udp"} {
			if err := serve(network, ":"+args[0]); err != nil {
				return err
			}
		}
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "ask":
		text, err := ask(args[0], args[1])
		if err == nil {
			fmt.Println(text)
		}
		return err
	case "exit":
		os.Exit(n)
	case "die":
		if err := unix.Kill(os.Getpid(), unix.Signal(n)); err != nil {
			return err
		}
		select {}
	case "eat":
		b := make([]byte, n<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println("ate", len(b)>>20)
		return nil
	case "terminal":
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err == nil {
			fmt.Println("terminal", size.Row, size.Col)
		}
		return err
	case "flee":
		names, err := flee.Flee(args[0])
		if err == nil {
			fmt.Println(strings.Join(names, " "))
		}
		return err
	case "hostname":
		name, err := os.Hostname()
		fmt.Println(name)
		return err
	}
	return fmt.Errorf("no verb %q", verb)
}

// serve listens, and answers in the background with the address that is asked
// from.
func serve(network, addr string) error {
	if network == "udp" {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			return err
		}
		go func() {
			b := make([]byte, 2048)
			for {
				_, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo([]byte(host(from)+"\n"), from)
			}
		}()
		return nil
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					_, _ = fmt.Fprintln(c, host(c.RemoteAddr()))
				}
			}()
		}
	}()
	return nil
}

// askPatience is how long an answer may take: a machine that is emulated, and
// has the time on the wall, takes its time.
const askPatience = time.Minute

// ask sends a question, and reads the answer.
func ask(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, askPatience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(askPatience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, "?"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// host is an address without its port.
func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}
