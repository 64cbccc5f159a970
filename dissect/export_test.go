//go:build linux

package dissect

import (
	"encoding/binary"
	"strings"
)

// AnswerIn is Dissector.Answer for a machine of any byte order.
func (d *Dissector) AnswerIn(order binary.ByteOrder, family int, answer, request []byte) string {
	return d.text(order, family, answer, request)
}

// Tables is all tables, by their names; an entry's number and name are the
// kernel's.
func Tables() map[string][]Entry {
	all := make(map[string][]Entry)
	for _, name := range tableNames() {
		t := tableOf(name)
		for e, ok := t.next(); ok; e, ok = t.next() {
			all[name] = append(all[name], Entry{e.n, e.name, e.typ})
		}
	}
	return all
}

// Entry is a word of a table.
type Entry struct {
	N         int
	Name, Typ string
}

var (
	SizeOf    = size
	ErrnoName = errnoName
)

// tableNames is the first word of each line of tables that goes on with no other.
func tableNames() []string {
	var names []string
	for line := range strings.Lines(tables) {
		if name, _, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "\t") {
			names = append(names, name)
		}
	}
	return names
}
