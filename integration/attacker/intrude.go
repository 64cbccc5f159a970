//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// intrusions are attempts that take words.
var intrusions = map[string]func(words []string) error{
	"hello":   func([]string) error { return nil },
	"swap":    swap,
	"write":   write,
	"search":  search,
	"connect": func(words []string) error { return said(connect(words[0])) },
	"kill": func(words []string) error {
		pid, err := strconv.Atoi(words[0])
		if err != nil {
			return err
		}
		return said(unix.Kill(pid, 0))
	},
}

// said prints what came of an attempt.
func said(err error) error {
	fmt.Println(outcome(err))
	return nil
}

// swap exchanges two files again and again, until its input ends. It is for those
// who look twice, so it gives them time for a look or two in between.
func swap(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("swap takes 3 words, not %q", words)
	}
	pause, err := time.ParseDuration(words[2])
	if err != nil {
		return err
	}
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	fmt.Println("ready")
	for {
		select {
		case <-end:
			return nil
		default:
		}
		if err := unix.Renameat2(unix.AT_FDCWD, words[0], unix.AT_FDCWD, words[1], unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

func write(words []string) error {
	tries, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	err = errNotThere
	for range tries {
		for _, name := range words[1:] {
			if err = openToWrite(name); err == nil {
				return said(nil)
			}
		}
	}
	return said(err)
}

// search looks through all memory of a process that can be read. The words come
// in two parts, for who started this process knows its words.
func search(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("search takes 3 words, not %q", words)
	}
	dir := "/proc/" + words[0] + "/"
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return said(err)
	}
	memory, err := os.Open(dir + "mem")
	if err != nil {
		return said(err)
	}
	defer memory.Close()
	looked := 0
	for line := range strings.Lines(string(maps)) {
		var start, end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil || strings.Contains(line, "[v") {
			continue // vvar, vdso, vsyscall
		}
		const most = 1 << 20
		b := make([]byte, most)
		for at := start; at < end; at += most / 2 {
			n, err := memory.ReadAt(b[:min(most, end-at)], at)
			if n == 0 && err != nil {
				break
			}
			looked += n
			if bytes.Contains(b[:n], []byte(words[1]+words[2])) {
				return said(nil)
			}
		}
	}
	if looked == 0 {
		return errors.New("nothing could be read")
	}
	return said(errors.New("not there"))
}

func connect(name string) error {
	c, err := net.Dial("unix", "@"+name)
	if err == nil {
		c.Close()
	}
	return err
}
