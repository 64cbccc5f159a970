//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// asJSON is a value as encoding/json prints it.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The lists are, byte for byte, those of encoding/json.
func TestWriteObjects(t *testing.T) {
	type container struct {
		Address   string    `json:"address"`
		Addresses []string  `json:"addresses"`
		PID       int       `json:"pid"`
		Veth      string    `json:"veth"`
		Bridge    string    `json:"bridge"`
		Started   time.Time `json:"started"`
		Ports     []string  `json:"ports"`
		Isolated  bool      `json:"isolated"`
		Lost      bool      `json:"lost"`
		Command   string    `json:"command"`
	}
	type kernel struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Needed bool   `json:"needed"`
		Config string `json:"config"`
		Lost   string `json:"lost"`
		Error  string `json:"error"`
		Loads  string `json:"loads"`
	}
	at := time.Date(2026, 11, 23, 15, 14, 36, 950000000, time.UTC)
	two := []listed{
		{"172.16.0.30", []string{"172.16.0.30", "fd00:16::30"}, 4311, "vethb07c11d2", "br0", at, []string{"80:8000/tcp", "53:53/udp"}, true, false, `sh -c "a\b"`},
		{"172.16.0.31", []string{"172.16.0.31"}, 1, "veth1", "br1", at.Add(-20 * time.Millisecond), []string{}, false, true, ""},
	}
	found := []finding{{"veth", true, false, "CONFIG_VETH", "nothing", "", ""}, {"bridge", false, true, "", "", "no <such> thing & more", ""}}
	for name, c := range map[string]struct {
		write func(io.Writer) error
		want  string
	}{
		"none":       {func(w io.Writer) error { return writeObjects[finding](w, nil) }, "[]\n"},
		"containers": {func(w io.Writer) error { return writeObjects(w, two) }, asJSON(t, []container{container(two[0]), container(two[1])})},
		"findings":   {func(w io.Writer) error { return writeObjects(w, found) }, asJSON(t, []kernel{kernel(found[0]), kernel(found[1])})},
	} {
		var b bytes.Buffer
		if err := c.write(&b); err != nil || b.String() != c.want {
			t.Errorf("%s: got %v and\n%s\nwant\n%s", name, err, &b, c.want)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if writeObjects[finding](full, nil) == nil || writeTable(full, [][]string{{"a"}}) == nil {
		t.Error("a device that is full is not told")
	}
}

func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\b\f\n\r\t\x1f\x7f", "é€\U0001f600", "\u2028\u2029\ufffd", "\xff\xc3\xed\xa0\x80", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, want := jsonString(s)+"\n", asJSON(t, s)
		// Where encoding/json writes \ufffd for a byte that is no UTF-8, it leaves
		// a U+FFFD that was there as it is.
		if want = strings.ReplaceAll(want, "\ufffd", `\ufffd`); got != want {
			t.Errorf("%q: got %swant %s", s, got, want)
		}
	})
}

// A row's last cell does not count for the width of its column, nor are bytes
// counted.
func TestWriteTable(t *testing.T) {
	var b strings.Builder
	err := writeTable(&b, [][]string{{"A", "B", "C"}, {"é€", "b", ""}, {"a", "a last one that is long"}, {"x"}})
	want := "A   B  C\né€  b  \na   a last one that is long\nx\n"
	if err != nil || b.String() != want {
		t.Errorf("got %v and\n%s\nwant\n%s", err, &b, want)
	}
}
