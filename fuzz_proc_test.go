//go:build linux

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
)

// Each line of the input is a word. What of an exec's is refused has words.
func FuzzParseExecOptions(f *testing.F) {
	for _, s := range []string{
		"172.16.0.30 true", "-e A=b -u 1000:1000 -w /tmp 172.16.0.30 sh -c x", "-t=false -xx fd00:16::30 true",
		"", "-", "--", "172.16.0.30", "172.16.0.30 ", "auto true", "-p 80:80 172.16.0.30 x", "-pcap", "-e =x 172.16.0.30 x",
		"172.16.0.30/24 true", "172.16.0.30,fd00::1 x", "-u : 172.16.0.30 x",
	} {
		f.Add(strings.ReplaceAll(s, " ", "\n"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseExecOptions(strings.Split(s, "\n"))
		switch {
		case err != nil && err.Error() == "":
			t.Errorf("%q: an error without words", s)
		case err == nil && (!o.address.IsValid() || len(o.argv) == 0 || o.argv[0] == ""):
			t.Errorf("%q: %+v", s, *o)
		}
	})
}

// Values of flags.
func FuzzParseValues(f *testing.F) {
	for _, s := range []string{
		"", "02:00:00:00:00:05", "02-00-00-00-00-05", "0200.0000.0005", "01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00:05:06:07",
		"NET_ADMIN", "cap_net_admin", "ALL", "CAP_CAP_ALL", "CAP_", "A=b", "=", "A", "8.8.8.8", "fe80::1%eth0", "::", "0", "-1", "1e3", "68", "65536",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := parseMAC(s)
		if err == nil && (len(mac) != 6 || mac[0]&1 != 0) {
			t.Errorf("-mac %q is %s", s, mac)
		}
		caps, err := parseCap(s)
		if err == nil && (caps == 0 || caps&^allCaps != 0) {
			t.Errorf("-cap-add %q is %x", s, caps)
		}
		env, err := parseEnv(s)
		if err == nil && (env == "" || env[0] == '=') {
			t.Errorf("-e %q is %q", s, env)
		}
		dns, err := parseResolver(s)
		if err == nil && !dns.IsValid() {
			t.Errorf("-dns %q is %s", s, dns)
		}
		mtu, err := parseMTU(s)
		if err == nil && (mtu < 68 || mtu > 65535) {
			t.Errorf("-mtu %q is %d", s, mtu)
		}
		pids, err := parsePIDs(s)
		if err == nil && pids < -1 {
			t.Errorf("-pids-limit %q is %d", s, pids)
		}
	})
}

// A process has the name that it gives itself.
func FuzzParseStat(f *testing.F) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	for _, name := range []string{"", ")", ") S 1 1 1", "(", "a b", "\n", "\x00", strings.Repeat(")", 15)} {
		f.Add(strings.Replace(string(b), "(", "("+name, 1))
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fields, err := parseStat(s)
		if err == nil && (len(fields) < 20 || slices.Contains(fields, "")) {
			t.Errorf("%q: fields %q", s, fields)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("")
	f.Add(":")
	f.Add("Name:\tx\nName:\ty")
	f.Fuzz(func(t *testing.T, s string) {
		size := 0
		for key, value := range parseStatus(s) {
			size += len(key) + len(value)
		}
		if size > len(s) {
			t.Errorf("%q: %d bytes of it", s, size)
		}
	})
}

// A runner's record is read by another, later or older one.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(nil))
	whole := nl.Marshal([]nl.Request{{Type: 1, Data: []byte{2, 0, 0, 0}}, {Type: 2, Data: []byte{10, 0, 0, 0, 5}}})
	for n := range whole {
		f.Add(whole[:n])
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		reqs, err := nl.Unmarshal(b, "record")
		if err != nil {
			return
		}
		if families := familiesOf(reqs); len(families) > len(reqs) || len(reqs) > 0 && !slices.Contains(families, nat.Family(reqs[0].Data[0])) {
			t.Errorf("families %v of %d requests", families, len(reqs))
		}
	})
}

// Whatever a child says, to be told what it means takes no more than that.
func FuzzChildsReport(f *testing.F) {
	for _, n := range []int32{-1 << 31, insteadStep, cloneStep, handlerStep, -1, 0, 1, 2, 3, 1<<31 - 1} {
		f.Add(n, int32(unix.EPERM))
		f.Add(n, n)
	}
	p := &program{setUp: []step{newSession()}, command: []step{newSession()}, after: []step{newSession()}}
	f.Fuzz(func(t *testing.T, step, errno int32) {
		if p.failed(report{step, errno}).Error() == "" {
			t.Errorf("step %d, errno %d: an error without words", step, errno)
		}
	})
}

func FuzzControlMessages(f *testing.F) {
	rights, creds := unix.UnixRights(0), unix.UnixCredentials(&unix.Ucred{Pid: 1})
	for _, whole := range [][]byte{rights, creds, slices.Concat(rights, creds)} {
		for n := range whole {
			f.Add(whole[:n])
		}
		f.Add(whole)
	}
	f.Add(unix.UnixRights(0, 1))
	f.Add(append(slices.Clone(rights), rights...))
	f.Fuzz(func(t *testing.T, oob []byte) {
		m := message{fd: -1}
		if err := m.take(oob); err != nil && (m.fd != -1 || m.from != 0) {
			t.Errorf("%+v beside the error %v", m, err)
		}
	})
}
