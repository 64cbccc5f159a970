//go:build linux

// Command probe is what the tests run inside containers and on the lab's
// machines: one static program that sends, listens, and tells what it finds.
//
//	probe serve NETWORK ADDR [NETWORK ADDR...]   say "ready"; answer everyone with
//	                                             their address, until killed
//	probe ask NETWORK ADDR TIMEOUT               print what such a server answers
//	probe pour ADDR BYTES                        say "ready"; write so much to the first
//	                                             who calls by TCP, and end
//	probe signals [COUNT]                        say "ready", and then the names of the
//	                                             signals that come; end after COUNT (1)
//	probe net                                    print interfaces, addresses and routes
//	probe net6                                   print IPv6 addresses and routes
//	probe flee DIR                               try to leave the root by way of a directory
//	                                             in it, and print what is found there
//	probe without CALL[/ARG:MASK]=ERRNO... -- COMMAND [ARG...]
//	                                             run a command as on a kernel that answers
//	                                             so to system calls (without.go)
//	probe agent                                  do what the lines of standard input say
//
// Networks and addresses are those of Go's package net: "tcp" ":8000". Any verb
// of an agent can be had as a command too.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"container/integration/flee"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("a verb is missing")
	}
	a := newAgent()
	switch args[0] {
	case "agent":
		return a.obey()
	case "serve":
		for pairs := args[1:]; len(pairs) >= 2; pairs = pairs[2:] {
			if _, err := a.serve(pairs[0], pairs[1]); err != nil {
				return err
			}
		}
		fmt.Println("ready")
		select {}
	case "flee":
		if len(args) != 2 {
			return fmt.Errorf("flee takes a directory, not %q", args[1:])
		}
		names, err := flee.Flee(args[1])
		if err == nil {
			fmt.Println(strings.Join(names, " "))
		}
		return err
	case "without":
		return without(args[1:])
	case "pour":
		return pour(args[1:])
	case "signals":
		return signals(args[1:])
	}
	text, err := a.do(args)
	if err != nil {
		return err
	}
	fmt.Println(text)
	return nil
}

// obey does what each line of standard input says, a list of words in JSON,
// and answers with a line. It ends with its input.
func (a *agent) obey() error {
	type answer struct{ Text, Error string }
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var words []string
		err := json.Unmarshal(in.Bytes(), &words)
		var ans answer
		if err == nil {
			ans.Text, err = a.do(words)
		}
		if err != nil {
			ans.Error = err.Error()
		}
		if err := out.Encode(ans); err != nil {
			return err
		}
	}
	return in.Err()
}

// pour ends as soon as the kernel has taken what it writes. It takes more than
// 128 KiB before any of it has arrived.
func pour(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("pour takes 2 words, not %q", args)
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	// The kernel counts what it needs beside the bytes.
	if err := c.(*net.TCPConn).SetWriteBuffer(256 << 10); err != nil {
		return err
	}
	_, err = c.Write(make([]byte, n))
	return err
}

// signals prints the names of the signals that come.
func signals(args []string) error {
	count := 1
	if len(args) > 0 {
		var err error
		if count, err = strconv.Atoi(args[0]); err != nil {
			return err
		}
	}
	got := make(chan os.Signal, 64)
	signal.Notify(got)
	// The runtime sends itself this one, to preempt a goroutine.
	signal.Reset(syscall.SIGURG)
	fmt.Println("ready")
	for range count {
		fmt.Println((<-got).String())
	}
	return nil
}
