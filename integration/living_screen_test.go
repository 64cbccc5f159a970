//go:build linux

package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

// screen is a terminal with a real terminal's mind, tmux's, in which a shell of
// the host runs.
type screen struct {
	n      *lab.Node
	socket string
}

const prompt = "<>"

// newScreen starts a terminal of 80 by 24 with a shell in which $M is ./main,
// and returns when that prompts.
func newScreen(t *testing.T, n *lab.Node) *screen {
	t.Helper()
	need.Tool(t, "tmux")
	s := &screen{n: n, socket: filepath.Join(t.TempDir(), "tmux")}
	// -D stays in the foreground: the server is a process of the node's, and
	// ends with it.
	server := s.tmux("-f", "/dev/null", "-D")
	server.Env = append(os.Environ(), "M="+lab.MainBinary(t), "PS1="+prompt, "ENV=", "LC_ALL=C.UTF-8", "SHELL=/bin/sh")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, func() error {
		out, err := s.tmux("set", "-g", "default-terminal", "screen").CombinedOutput()
		return errors.Join(err, complaint(out))
	})
	says(t, s.tmux("set", "-g", "status", "off"))
	says(t, s.tmux("new-session", "-d", "-x", "80", "-y", "24", "exec sh"))
	s.await(t, func(text string) bool { return text == prompt+"\n" })
	return s
}

func complaint(out []byte) error {
	if len(out) == 0 {
		return nil
	}
	return errors.New(string(bytes.TrimSpace(out)))
}

func (s *screen) tmux(args ...string) *lab.Cmd {
	return s.n.Command("tmux", append([]string{"-S", s.socket}, args...)...)
}

// shows is what is on the screen, without empty lines at its end.
func (s *screen) shows(t *testing.T) string {
	t.Helper()
	return strings.TrimRight(says(t, s.tmux("capture-pane", "-p")), "\n") + "\n"
}

// await waits until the screen shows what is asked for, and gives it.
func (s *screen) await(t *testing.T, good func(string) bool) (text string) {
	t.Helper()
	lab.Eventually(t, func() error {
		if text = s.shows(t); !good(text) {
			return fmt.Errorf("the screen shows\n%s", text)
		}
		return nil
	})
	return text
}

func (s *screen) awaitText(t *testing.T, want string) {
	t.Helper()
	lab.Eventually(t, func() error {
		if text := s.shows(t); text != want {
			return fmt.Errorf("the screen shows\n%s\nwant\n%s", text, want)
		}
		return nil
	})
}

// enter types text, or keys by tmux's names.
func (s *screen) enter(t *testing.T, keys ...string) {
	t.Helper()
	says(t, s.tmux(append([]string{"send-keys"}, keys...)...))
}

// numbered is lines with their numbers.
func numbered(from, to int) string {
	var s strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintln(&s, "line", i)
	}
	return s.String()
}

// Programs that take the whole screen start, draw, follow a change of the
// window's size, and leave the screen and the terminal's settings as they
// were: by a run and by an exec.
func TestFullScreenPrograms(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"vim", "less", "top"} {
		need.Tool(t, tool)
	}
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	file := filepath.Join(t.TempDir(), "f")
	put(t, file, numbered(1, 100), 0o644)
	dir := filepath.Dir(file)

	for _, verb := range []string{address, "exec -w " + dir + " 172.16.0.31"} {
		s := newScreen(t, n)
		s.enter(t, "cd "+dir+"; V='"+verb+"'; clear; stty -g >before; echo ready", "Enter")
		s.awaitText(t, "ready\n"+prompt+"\n")
		scroll := "ready\n" + prompt

		// vim draws the file and its last line, on a screen of its own.
		s.enter(t, "$M $V vim -u NONE -N -i NONE f", "Enter")
		scroll += "$M $V vim -u NONE -N -i NONE f\n" + prompt
		s.await(t, func(text string) bool {
			return strings.HasPrefix(text, numbered(1, 23)) && strings.Contains(text, `"f" 100`)
		})
		s.enter(t, "iHello ", "Escape")
		s.await(t, func(text string) bool { return strings.HasPrefix(text, "Hello line 1\nline 2\n") })
		s.enter(t, ":q!", "Enter")
		s.awaitText(t, scroll+"\n")

		// less pages.
		s.enter(t, "$M $V env LESS= less f", "Enter")
		scroll += "$M $V env LESS= less f\n" + prompt
		s.awaitText(t, numbered(1, 23)+"f\n")
		s.enter(t, "Space")
		s.awaitText(t, numbered(24, 46)+":\n")
		s.enter(t, "G")
		s.awaitText(t, numbered(78, 100)+"(END)\n")
		s.enter(t, "q")
		s.awaitText(t, scroll+"\n")

		// top sees the container's processes alone, and stays on the screen.
		s.enter(t, "clear; $M $V top", "Enter")
		s.await(t, func(text string) bool {
			return strings.Contains(text, "PID USER") && strings.Contains(text, " init\n") && strings.Contains(text, " top\n") && !strings.Contains(text, " tmux")
		})
		s.enter(t, "q")
		s.await(t, func(text string) bool { return strings.HasSuffix(text, "\n"+prompt+"\n") })

		// A window that changes is drawn anew, in its new size.
		s.enter(t, "clear; $M $V vim -u NONE -N -i NONE f", "Enter")
		s.await(t, func(text string) bool { return strings.HasPrefix(text, numbered(1, 23)) })
		says(t, s.tmux("resize-window", "-x", "60", "-y", "12"))
		s.await(t, func(text string) bool {
			return strings.HasPrefix(text, numbered(1, 11)) && !strings.Contains(text, "line 12")
		})
		says(t, s.tmux("resize-window", "-x", "90", "-y", "30"))
		s.await(t, func(text string) bool {
			return strings.HasPrefix(text, numbered(1, 29)) && !strings.Contains(text, "line 30")
		})
		s.enter(t, ":q!", "Enter")
		s.await(t, func(text string) bool { return strings.HasSuffix(text, prompt+"\n") })

		// The shell's terminal is sane, and what it was.
		s.enter(t, "clear; stty -g >after; cmp before after && echo sane", "Enter")
		s.awaitText(t, "sane\n"+prompt+"\n")
		_ = s.tmux("kill-server").Run() // it may be gone before it can say so
	}
	keep.end(t)
}

// measured counts and hashes what passes.
type measured struct {
	hash.Hash
	n int64
}

func (m *measured) Write(b []byte) (int, error) {
	m.n += int64(len(b))
	return m.Hash.Write(b)
}

// A gigabyte that goes through a container's cat comes out whole: as many
// bytes, and the same.
func TestGigabyte(t *testing.T) {
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	for _, verb := range [][]string{{address}, {"exec", "172.16.0.31"}} {
		c := n.Main(append(verb, "cat")...)
		sent, come := measured{Hash: sha256.New()}, measured{Hash: sha256.New()}
		data := io.LimitReader(rand.NewChaCha8([32]byte{1}), 1<<30)
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() {
			_, err := io.CopyBuffer(io.MultiWriter(stdin, &sent), data, make([]byte, 1<<20))
			written <- errors.Join(err, stdin.Close())
		}()
		_, err = io.CopyBuffer(&come, stdout, make([]byte, 1<<20))
		if err := errors.Join(err, <-written, c.Wait()); err != nil {
			t.Errorf("%q: %v", verb, err)
		}
		if sent.n != 1<<30 || come.n != sent.n || !bytes.Equal(come.Sum(nil), sent.Sum(nil)) {
			t.Errorf("%q: %d bytes went in, %d came out, or not the same ones", verb, sent.n, come.n)
		}
	}
	keep.end(t)
}

// Standard streams that are no terminal stay what they are: every byte passes,
// the end of the input and of the output's reader too, and the three are apart.
func TestStreams(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, verb := range [][]string{{address}, {"-u", "1000", address}, {"exec", "172.16.0.31"}} {
		run := func(command ...string) *lab.Cmd { return n.Main(words(verb, command)...) }
		c := run("cat")
		c.Stdin = bytes.NewReader(all)
		expect(t, c, 0, string(all), "")
		expect(t, run("sh", "-c", "echo out; echo err >&2; tty; exit 3"), 3, "out\nnot a tty\n", "err\n")
		expect(t, run("wc", "-c"), 0, "0\n", "") // nothing to read, and that ends
		c = run("head", "-c", "3")
		c.Stdin = strings.NewReader("abcdef")
		expect(t, c, 0, "abc", "")
		// Nobody reads any more.
		c = run("yes")
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stdout, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		_ = stdout.Close()
		_ = c.Wait()
		if c.Status() != 141 {
			t.Errorf("%q yes: status %d, want 141, of SIGPIPE", verb, c.Status())
		}
		// A file is a file, and is read on from where it was.
		f, err := os.Open(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(1, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		c = run("head", "-c", "3")
		c.Stdin = f
		expect(t, c, 0, "ELF", "")
		f.Close()
	}
	// In a pipeline of the shell's, where the first ends by SIGPIPE.
	shell := n.Command("sh", "-c", `"$0" `+address+` yes | "$0" 172.16.0.32 head -n 2; "$0" exec 172.16.0.31 seq 3 | "$0" exec 172.16.0.31 tail -n 1`, lab.MainBinary(t))
	expect(t, shell, 0, "y\ny\n3\n", "")
	keep.end(t)
}

// The command has its three streams and nothing else open, whatever the caller
// of a run or an exec had.
func TestNoOtherDescriptors(t *testing.T) {
	t.Parallel()
	n := lab.New(t).Host
	keep := hold(t, n, "172.16.0.31")
	secret, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	for _, verb := range [][]string{{address}, {"-privileged", address}, {"exec", "172.16.0.31"}} {
		c := n.Main(words(verb, []string{"sh", "-c", `ls /proc/$$/fd`})...)
		for range 60 {
			c.ExtraFiles = append(c.ExtraFiles, secret) // 3 to 62
		}
		expect(t, c, 0, "0\n1\n2\n", "")
		// With a terminal, too.
		y := newConsole(t)
		c = y.on(n.Main(words(verb[:len(verb)-1], []string{"-t"}, verb[len(verb)-1:], []string{"sh", "-c", `ls -1 /proc/$$/fd; readlink /proc/$$/fd/0`})...))
		c.ExtraFiles = append(c.ExtraFiles, secret, secret)
		_ = c.Run()
		y.ends(t, c, 0)
		if got := y.all(); got != "0\n1\n2\n/dev/pts/0\n" {
			t.Errorf("%q: with a terminal the command has open %q", verb, got)
		}
	}
	keep.end(t)
}
